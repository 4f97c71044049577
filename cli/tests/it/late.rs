//! Dead-man limits in folders: what `check` says of them, and what becomes of those that are broken while a server runs.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};
use crate::schedules::{job, refused};

fn with(mut job: Value, more: &Value) -> Value {
    job.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    job
}

/// Actions that note what they see in a state item.
fn noting(id: &str) -> Value {
    let value = json!({
        "job": "{{ job.job_id }}", "limit": "{{ late.limit }}", "by": "{{ late.by }}", "slot": "{{ late.slot }}",
        "entry": "{{ late.entry }}", "run_id": "{{ late.run_id }}", "status": "{{ late.status }}", "why": "{{ late.why }}",
        "of": "{{ schedule.slot }}", "global": "{{ globals.region }}",
    });
    json!([{ "action": "state", "state_id": id, "value": value }])
}

fn applied(documents: &Value) -> Pumice {
    let pumice = Pumice::new();
    pumice.write("jobs.json", documents.to_string());
    let printed = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    pumice
}

fn runs(pumice: &Pumice, arguments: &[&str]) -> Vec<Value> {
    let printed = pumice.run(&[&["runs", "list", "--limit", "1000", "-o", "json"], arguments].concat());
    assert_eq!(printed.status, 0, "{printed:?}");
    printed.json()["runs"].as_array().expect("runs").clone()
}

fn alerts(pumice: &Pumice, limit: &str) -> Vec<Value> {
    runs(pumice, &[]).into_iter().filter(|run| run["late"]["limit"] == limit).collect()
}

/// The one alert of a limit, once its actions are done.
fn alert(pumice: &Pumice, limit: &str, state: &str) -> (Value, Value) {
    let mut noted = Value::Null;
    wait_until(|| {
        let found = pumice.run(&["state", "get", state, "-o", "json"]);
        noted = if found.status == 0 { found.json() } else { Value::Null };
        !noted.is_null()
    });
    let mut found = alerts(pumice, limit);
    assert_eq!(found.len(), 1, "{found:#?}");
    let value = noted.get("value").cloned().unwrap_or(noted);
    (found.remove(0), value)
}

fn entry_of(pumice: &Pumice) -> Value {
    pumice.run(&["schedules", "list", "-o", "json"]).json()["schedules"][0].clone()
}

/// The instant in so many seconds, in UTC.
fn soon(seconds: i64) -> String {
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[test]
fn bad_limits_are_refused_with_the_reason() {
    let pumice = Pumice::new();
    for (limits, wanted) in [
        (json!({ "must_start": 0 }), "must_start is from 1s to 366d"),
        (
            json!({ "finish_by": "2y" }),
            "\"2y\" is neither a duration such as 90m nor a time of day such as 06:00",
        ),
        (json!({ "finish_by": "24:00" }), "\"24:00\" is neither"),
        (json!({ "finish_by": "400d" }), "finish_by is from 1s to 366d"),
        (json!({ "must_start": ["5m"] }), "schedule"),
        (json!({ "max_silence": "06:00" }), "\"06:00\" is not a duration"),
        (json!({ "max_silence": 0 }), "max_silence is from 1s to 366d"),
        (json!({ "pause_after": 0 }), "pause_after"),
        (json!({ "pause_after": 1.5 }), "pause_after"),
        (json!({ "must_begin": "5m" }), "no such field"),
    ] {
        let mut entry = json!({ "crontab": "0 3 * * *" });
        entry.as_object_mut().expect("an object").extend(limits.as_object().cloned().expect("an object"));
        pumice.write("a.json", job("a", &entry).to_string());
        for command in ["check", "apply"] {
            let reported = refused(&pumice, &[command, "a.json"]);
            assert!(reported.contains(wanted), "{command} {limits}: {reported}");
        }
    }
    pumice.write("a.json", job("a", &json!({ "crontab": "@reboot", "must_start": "5m" })).to_string());
    assert!(refused(&pumice, &["check", "a.json"]).contains("@reboot names none"));
}

#[test]
fn limits_that_are_probably_unintended_are_warned_of() {
    let actions = json!([{ "action": "log", "message": "{{ late.why }}" }]);
    let realm = json!({ "realm": "r", "on_late": actions });
    let warned = |documents: Value| {
        let pumice = Pumice::new();
        pumice.write("specs.json", documents.to_string());
        let printed = pumice.run(&["check", "specs.json"]);
        assert_eq!(printed.status, 0, "{printed:?}");
        printed.err
    };
    for (entry, wanted) in [
        (json!({ "crontab": "0 3 * * *", "must_start": "10m", "finish_by": "5m" }), "[limit-order]"),
        (json!({ "crontab": "0 3 * * *", "must_start": "04:00", "finish_by": "03:30" }), "[limit-order]"),
        (json!({ "crontab": "0 9 * * mon-fri", "max_silence": "26h" }), "is shorter than the 3d from"),
        (json!({ "every": "1h", "max_silence": "30m" }), "[short-silence]"),
        (json!({ "at": ["2100-01-01", "2100-03-01"], "max_silence": "1d" }), "[short-silence]"),
    ] {
        let reported = warned(json!([realm, job("a", &entry)]));
        assert!(reported.contains(wanted) && reported.lines().count() == 1, "{entry}: {reported}");
    }
    let good = json!({ "crontab": "0 3 * * *", "must_start": "10m", "finish_by": "06:00", "max_silence": "26h", "pause_after": 3 });
    assert_eq!(warned(json!([realm, job("a", &good)])), "");
    assert_eq!(warned(with(job("a", &good), &json!({ "on_late": actions }))), "");
    let reported = warned(job("a", &good));
    assert!(
        reported.contains("schedule: must_start, finish_by, max_silence, pause_after: neither the job nor its realm has on_late actions (what is broken is only logged and listed) [only-logged]"),
        "{reported}"
    );
    // A job's own list, though empty, replaces the realm's.
    let reported = warned(json!([realm, with(job("a", &good), &json!({ "on_late": [] }))]));
    assert!(reported.contains("[only-logged]"), "{reported}");
}

#[test]
fn actions_of_on_late_are_checked_as_all_are() {
    let pumice = Pumice::new();
    let entry = json!({ "crontab": "0 3 * * *", "must_start": "10m" });
    for (action, wanted) in [
        (json!({ "action": "lgo", "message": "x" }), "on_late[0].action: no such action"),
        (json!({ "action": "log", "message": "{{ late.why" }), "on_late[0].message"),
    ] {
        for document in [
            with(job("a", &entry), &json!({ "on_late": [action] })),
            json!({ "realm": "r", "on_late": [action] }),
        ] {
            pumice.write("a.json", document.to_string());
            let reported = refused(&pumice, &["check", "a.json"]);
            assert!(reported.contains(wanted), "{document}: {reported}");
        }
    }
    let seen = |field: &str, text: &str| {
        let action = json!([{ "action": "log", "message": text }]);
        pumice.write("a.json", with(job("a", &json!("0 3 * * *")), &json!({ field: action })).to_string());
        pumice.run(&["check", "a.json"]).err
    };
    assert_eq!(seen("on_late", "{{ late.why }} {{ schedule.slot }}"), "");
    assert!(seen("on_late", "{{ lat.why }}").contains("[unknown-variable]"));
    assert!(seen("on_fail", "{{ late.why }}").contains("[unknown-variable]"));
    pumice.write(
        "a.json",
        with(job("a", &entry), &json!({ "on_late": [{ "action": "dispatch", "job_id": "nobody" }] }))
            .to_string(),
    );
    assert!(pumice.run(&["check", "a.json"]).err.contains("on_late[0].job_id: there is no job \"nobody\""));
}

#[test]
fn limit_is_reported_once_while_the_run_still_runs() {
    let entry = json!({ "at": soon(2), "finish_by": 1, "must_start": "1h", "globals": { "region": "apac" } });
    let slow = with(shell("slow", "sleep 30"), &json!({ "schedule": entry, "on_late": noting("noted") }));
    let pumice = applied(&slow);
    let _server = pumice.serve();
    let (alert, noted) = alert(&pumice, "finish_by", "noted");
    let run = runs(&pumice, &[]).into_iter().find(|run| run["late"].is_null()).expect("the run");
    assert_eq!((&run["status"], &alert["status"]), (&json!("running"), &json!("complete")));
    assert_eq!(alert["late"]["run_id"], run["run_id"]);
    assert_eq!(noted["job"], "slow");
    assert_eq!(noted["limit"], "finish_by");
    assert_eq!(noted["run_id"], run["run_id"]);
    assert_eq!((&noted["status"], &noted["entry"]), (&json!("running"), &json!("0")));
    assert_eq!(noted["slot"], noted["of"]);
    assert!(noted["why"].as_str().is_some_and(|why| why.contains("had not ended by")), "{noted}");
    // The newest run of the job is the one that runs, and the alert is next to it.
    for latest in ["latest", "latest:slow"] {
        let shown = pumice.run(&["runs", "show", latest, "-o", "json"]).json();
        assert_eq!(shown["runs"][0]["run_id"], run["run_id"], "{latest}");
    }
    let table = pumice.run(&["runs", "list", "-o", "wide"]).out;
    assert!(table.contains("alert: finish_by: the run of "), "{table}");
    let late = &entry_of(&pumice)["late"];
    assert_eq!((late.as_array().map(Vec::len), &late[0]["limit"]), (Some(1), &json!("finish_by")));
    assert!(pumice.run(&["schedules", "list", "-o", "wide"]).out.contains("late: finish_by "));
}

#[test]
fn alert_takes_no_lock_of_its_job() {
    let entry = json!({ "at": soon(2), "finish_by": 1, "overlap": "queue" });
    let slow = with(
        shell("slow", "sleep 30"),
        &json!({ "schedule": entry, "overlap": "queue", "on_late": noting("noted") }),
    );
    let pumice = applied(&slow);
    let _server = pumice.serve();
    let (alert, _) = alert(&pumice, "finish_by", "noted");
    assert_eq!(alert["status"], "complete");
}

#[test]
fn actions_of_the_realm_apply_and_their_failures_are_recorded() {
    let realm = json!({ "realm": "test", "on_late": [{ "action": "dispatch", "job_id": "nobody" }, noting("noted")[0]] });
    let entry = json!({ "at": soon(2), "finish_by": 1 });
    let pumice = applied(&json!([realm, with(shell("slow", "sleep 30"), &json!({ "schedule": entry }))]));
    let _server = pumice.serve();
    let (alert, _) = alert(&pumice, "finish_by", "noted");
    let failed = |alert: &Value| {
        let log = alert["log"].as_array().expect("a log").iter();
        let failed = log.filter(|entry| entry["status"] == "action_failed");
        failed.filter_map(|entry| entry["info"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let failed = failed(&alert);
    assert!(failed.len() == 1 && failed[0].starts_with("on_late[0] dispatch: "), "{failed:?}");
}

#[test]
fn failures_in_a_row_pause_the_entry_until_it_is_resumed() {
    let entry = json!({ "every": "1s", "pause_after": 2 });
    let bad = with(shell("bad", "exit 3"), &json!({ "schedule": entry, "on_late": noting("noted") }));
    let pumice = applied(&bad);
    let _server = pumice.serve();
    let (alert, noted) = alert(&pumice, "pause_after", "noted");
    assert_eq!((&alert["late"]["status"], &noted["status"]), (&json!("failed"), &json!("failed")));
    let shown = entry_of(&pumice);
    assert_eq!((&shown["state"], &shown["paused"]["by"]), (&json!("paused"), &json!("pumice")));
    let why = shown["paused"]["why"].as_str().unwrap_or_default();
    assert!(
        why.starts_with("2 runs in a row ended badly, the last for ") && why.contains("exit status 3"),
        "{why}"
    );
    let started = || runs(&pumice, &[]).into_iter().filter(|run| run["late"].is_null()).count();
    let count = started();
    assert!(count >= 2, "{count}");
    assert_eq!(pumice.run(&["schedules", "resume", "bad"]).status, 0);
    wait_until(|| started() >= count + 2 && alerts(&pumice, "pause_after").len() == 2);
}

#[test]
fn last_failure_tells_the_clock_long_before_the_next_slot() {
    let entry = json!({ "at": [soon(2), "2100-01-01"], "pause_after": 1 });
    let bad = with(shell("bad", "exit 3"), &json!({ "schedule": entry, "on_late": noting("noted") }));
    let pumice = applied(&bad);
    let _server = pumice.serve();
    alert(&pumice, "pause_after", "noted");
    assert_eq!(entry_of(&pumice)["state"], "paused");
}

#[test]
fn silence_is_reported_before_the_first_slot_and_without_one() {
    let entry = json!({ "at": "2100-01-01", "max_silence": 2 });
    let pumice = applied(&with(job("quiet", &entry), &json!({ "on_late": noting("noted") })));
    let _server = pumice.serve();
    let (alert, noted) = alert(&pumice, "max_silence", "noted");
    assert_eq!((&alert["late"]["slot"], &alert["late"]["run_id"]), (&Value::Null, &Value::Null));
    assert_eq!((&noted["slot"], &noted["of"]), (&json!("None"), &json!("")));
}

#[test]
fn limit_without_actions_is_logged_and_listed_and_makes_no_run() {
    let entry = json!({ "at": "2100-01-01", "max_silence": 2 });
    let pumice = applied(&job("quiet", &entry));
    let _server = pumice.serve();
    wait_until(|| entry_of(&pumice)["late"][0]["limit"] == "max_silence");
    assert_eq!(runs(&pumice, &[]), [] as [Value; 0]);
}

#[test]
fn limit_that_is_up_without_a_server_is_reported_by_the_next() {
    let entry = json!({ "at": soon(2), "finish_by": 3, "catch_up": "none" });
    let slow = with(shell("slow", "sleep 30"), &json!({ "schedule": entry, "on_late": noting("noted") }));
    let pumice = applied(&slow);
    let mut server = pumice.serve();
    wait_until(|| runs(&pumice, &[]).iter().any(|run| run["status"] == "running"));
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    let _server = pumice.serve();
    alert(&pumice, "finish_by", "noted");
}

/// The worker of the job is out in the first case: nothing serves it.
#[test]
fn worker_that_the_realm_names_performs_the_actions() {
    for options in [&["--worker", "ops"][..], &[]] {
        let realm = json!({ "realm": "test", "config": { "ON_LATE_WORKER": "ops" } });
        let entry = json!({ "at": soon(2), "must_start": 1, "finish_by": 2 });
        let value = json!("{{ job.worker }} {{ late.limit }}");
        let actions = json!([{ "action": "state", "state_id": "noted", "value": value }]);
        let slow = with(shell("slow", "sleep 30"), &json!({ "schedule": entry, "on_late": actions }));
        let worker = slow["worker"].as_str().expect("a name").to_owned();
        let pumice = applied(&json!([realm, slow]));
        let _server = pumice.serve_with(options);
        let limit = if options.is_empty() { "finish_by" } else { "must_start" };
        let (alert, noted) = alert(&pumice, limit, "noted");
        assert_eq!(alert["worker"], "ops", "{alert:#}");
        let noted = noted.as_str().expect("a text");
        assert!(noted.starts_with(&format!("{worker} ")), "{noted}");
    }
}

#[test]
fn worker_named_for_late_actions_may_be_lavas_in_a_folder_alone() {
    let pumice = Pumice::new();
    let config = json!({ "ON_LATE_WORKER": "gp", "FOREIGN_WORKERS": "gp" });
    pumice.write("realm.json", json!({ "realm": "test", "config": config }).to_string());
    let reported = refused(&pumice, &["--aws", "check", "realm.json"]);
    assert!(reported.contains("gp is a lava worker by FOREIGN_WORKERS"), "{reported}");
    for command in ["check", "apply"] {
        let printed = pumice.run(&[command, "realm.json"]);
        assert!(printed.status == 0 && printed.err.contains("[no-lava-workers]"), "{printed:?}");
    }
}
