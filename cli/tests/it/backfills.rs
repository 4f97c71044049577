//! `schedules backfill` and `schedules backfills` in folders. The reports of other job runners' users have their numbers in
//! their names.

use serde_json::{Value, json};

use crate::pumice::{Pumice, wait_until};
use crate::schedules::{applied, apply, job, json_of, refused};

/// Nine slots, each at 01:30 UTC.
const NINE: [&str; 4] = ["--from", "2025-01-01T00:00Z", "--to", "2025-01-10T00:00Z"];

/// A daily job that prints what its templates see of the schedule.
fn daily(id: &str) -> Value {
    let mut daily = job(id, &json!("30 2 * * *"));
    let seen = ["slot", "local", "previous", "entry", "missed", "backfill"];
    let seen: Vec<String> = seen.iter().map(|name| format!("{name}={{{{ schedule.{name} }}}}")).collect();
    daily["payload"] = json!(format!("echo '{}'", seen.join("|")));
    daily
}

/// One whose command fails while there is a file.
fn failing(pumice: &Pumice, id: &str) -> Value {
    let mut failing = job(id, &json!("30 2 * * *"));
    failing["payload"] = json!(format!("test ! -e {}", pumice.path().join("broken").display()));
    failing
}

/// Asks for a backfill of nine slots.
fn begin(pumice: &Pumice, id: &str, options: &[&str]) -> Value {
    json_of(pumice, &[&["schedules", "backfill", id], &NINE[..], options].concat())
}

#[test]
fn date_alone_at_the_end_means_that_whole_day() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([daily("a")]));
    let planned = |to: &str| {
        let range = ["--from", "2025-01-01", "--to", to, "--tz", "Europe/Berlin", "--dry-run"];
        json_of(&pumice, &[&["schedules", "backfill", "a"], &range[..]].concat())["planned"].clone()
    };
    // At 02:30 of each day there.
    assert_eq!((planned("2025-01-03"), planned("2025-01-03T00:00")), (json!(3), json!(2)));
    assert_eq!((planned("2025-01"), planned("2025-W01")), (json!(31), json!(5)));
    let next =
        ["schedules", "next", "a", "--from", "2025-01-01", "--to", "2025-01-03", "--tz", "Europe/Berlin"];
    assert_eq!(json_of(&pumice, &next)["slots"].as_array().map(Vec::len), Some(3));
    let down = ["schedules", "simulate", "a", "--down", "2025-01-01T12:00Z", "2025-01-03"];
    assert_eq!(json_of(&pumice, &down)["to"], "2025-01-03T12:59:59Z", "in the zone of Sydney");
    let ahead = ["schedules", "backfill", "a", "--from", "2025-01-01", "--to", "2100-01-01"];
    assert!(refused(&pumice, &ahead).contains("in the future"));
}

fn shown(pumice: &Pumice, begun: &Value) -> Value {
    let id = begun["backfill"]["id"].as_str().expect("an id");
    json_of(pumice, &["schedules", "backfills", "show", id])["backfill"].take()
}

/// Waits until a backfill is in a state, and no run of it is under way.
fn wait_for(pumice: &Pumice, begun: &Value, state: &str) -> Value {
    wait_until(|| {
        let now = shown(pumice, begun);
        now["state"] == state && now["under_way"] == json!([])
    });
    shown(pumice, begun)
}

fn runs(pumice: &Pumice) -> Vec<Value> {
    json_of(pumice, &["runs", "list", "--limit", "1000"])["runs"].as_array().cloned().expect("runs")
}

/// The slots of runs that a backfill made, in the order in which these were dispatched.
fn slots_of(pumice: &Pumice, id: &Value) -> Vec<String> {
    let mut made: Vec<Value> = runs(pumice);
    made.retain(|run| run["schedule"]["backfill"] == *id);
    made.sort_by_key(|run| run["ts_dispatch"].as_str().expect("a time").to_owned());
    made.iter().map(|run| run["schedule"]["slot"].as_str().expect("a slot")[..16].to_owned()).collect()
}

/// The nine slots.
fn nine() -> Vec<String> {
    (1..10).map(|day| format!("2025-01-{day:02}T01:30")).collect()
}

fn counts(backfill: &Value) -> Value {
    json!(["planned", "started", "completed", "failed", "passed_over", "left"].map(|name| &backfill[name]))
}

#[test]
fn report_35_templates_of_a_backfill_see_the_slot_not_now() {
    let pumice = applied(&daily("a"));
    let begun = begin(&pumice, "a", &["--max-active", "3", "--why", "the source was late"]);
    assert_eq!((&begun["existing"], &begun["backfill"]["planned"]), (&json!(false), &json!(9)));
    let _server = pumice.serve();
    let over = wait_for(&pumice, &begun, "complete");
    assert_eq!((counts(&over), &over["why"]), (json!([9, 9, 9, 0, 0, 0]), &json!("the source was late")));
    assert_eq!(slots_of(&pumice, &over["id"]), nine());
    let id = over["id"].as_str().expect("an id");
    for run in runs(&pumice) {
        let printed = pumice.run(&["runs", "output", run["run_id"].as_str().expect("an id")]).out;
        let day: u32 = run["schedule"]["slot"].as_str().expect("a slot")[8..10].parse().expect("a day");
        let previous = if day == 1 { "2024-12-31".to_owned() } else { format!("2025-01-{:02}", day - 1) };
        let wanted = format!(
            "slot=2025-01-{day:02} 01:30:00+00:00|local=2025-01-{day:02} 02:30:00+01:00|previous={previous} 01:30:00+00:00|entry=0|missed=None|backfill={id}"
        );
        assert_eq!(printed.trim(), wanted);
        let message = pumice.run(&["runs", "show", run["run_id"].as_str().expect("an id")]).out;
        assert!(
            message
                .contains(&format!("for the slot 2025-01-{day:02}T01:30:00Z of entry 0, by backfill {id}")),
            "{message}"
        );
    }
}

#[test]
fn report_34_zoned_schedule_makes_three_runs_for_three_months() {
    let monthly = job("monthly", &json!({ "crontab": "0 0 1 * *", "timezone": "America/Sao_Paulo" }));
    let pumice = applied(&monthly);
    let range = ["--from", "2025-01-01", "--to", "2025-03-31", "--tz", "America/Sao_Paulo"];
    let dry = json_of(&pumice, &[&["schedules", "backfill", "monthly", "--dry-run"], &range[..]].concat());
    let slots: Vec<&Value> =
        dry["slots"].as_array().expect("slots").iter().map(|slot| &slot["slot"]).collect();
    assert_eq!(slots, ["2025-01-01T03:00:00Z", "2025-02-01T03:00:00Z", "2025-03-01T03:00:00Z"]);
    assert_eq!(json_of(&pumice, &["schedules", "backfills", "list"])["backfills"], json!([]));
    let _server = pumice.serve();
    let begun = json_of(&pumice, &[&["schedules", "backfill", "monthly"], &range[..]].concat());
    let over = wait_for(&pumice, &begun, "complete");
    assert_eq!((counts(&over), runs(&pumice).len()), (json!([3, 3, 3, 0, 0, 0]), 3));
}

#[test]
fn report_36_cancelled_backfill_stops_and_goes_on_when_resumed() {
    let pumice = applied(&daily("a"));
    let begun = begin(&pumice, "a", &["--max-active", "2"]);
    let id = begun["backfill"]["id"].as_str().expect("an id");
    // Nothing serves the folder: two runs are made and wait.
    assert_eq!(slots_of(&pumice, &begun["backfill"]["id"]), nine()[..2]);
    let dry = json_of(&pumice, &["schedules", "backfills", "cancel", id, "--dry-run"]);
    assert_eq!((&dry["changed"], &dry["backfill"]["state"]), (&json!(true), &json!("cancelled")));
    assert_eq!(shown(&pumice, &begun)["state"], "active", "nothing was changed");
    let cancelled = json_of(&pumice, &["schedules", "backfills", "cancel", id, "--why", "wrong month"]);
    assert_eq!(cancelled["backfill"]["cancelled"]["why"], "wrong month");
    let again = json_of(&pumice, &["schedules", "backfills", "cancel", id]);
    assert_eq!(again["changed"], false);
    let server = pumice.serve();
    let over = wait_for(&pumice, &begun, "cancelled");
    assert_eq!(counts(&over), json!([9, 2, 2, 0, 0, 7]), "what was under way goes on");
    assert_eq!(begin(&pumice, "a", &["--max-active", "2"])["existing"], true);
    assert_eq!(json_of(&pumice, &["schedules", "backfills", "resume", id])["changed"], true);
    let over = wait_for(&pumice, &begun, "complete");
    assert_eq!((counts(&over), slots_of(&pumice, &over["id"])), (json!([9, 9, 9, 0, 0, 0]), nine()));
    let message = refused(&pumice, &["schedules", "backfills", "resume", id]);
    assert!(message.contains("is complete"), "{message}");
    drop(server);
    // Slots of a cancelled one can be done by another.
    let other = begin(&pumice, "a", &["--only", "all", "--key", "again"]);
    let other_id = other["backfill"]["id"].as_str().expect("an id");
    let cancel = ["schedules", "backfills", "cancel", other_id, "--runs"];
    assert_eq!(json_of(&pumice, &cancel)["runs_cancelled"], 1);
    let third = begin(&pumice, "a", &["--only", "all", "--key", "once more", "--max-active", "9"]);
    let _server = pumice.serve();
    assert_eq!(counts(&wait_for(&pumice, &third, "complete")), json!([9, 9, 9, 0, 0, 0]));
    assert_eq!(counts(&wait_for(&pumice, &other, "cancelled")), json!([9, 1, 0, 1, 0, 8]));
}

#[test]
fn report_37_max_active_counts_apart_from_overlap_and_is_shown() {
    let mut queued = daily("a");
    queued["overlap"] = json!("queue");
    let pumice = applied(&queued);
    // A run of the job's own is in the way of none of the backfill's places.
    assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
    let begun = begin(&pumice, "a", &["--max-active", "4"]);
    let now = shown(&pumice, &begun);
    assert_eq!((&now["max_active"], now["under_way"].as_array().map(Vec::len)), (&json!(4), Some(4)));
    let message = pumice.run(&["schedules", "backfills", "show", now["id"].as_str().expect("an id")]).out;
    assert!(
        message.contains("at most 4 at the same time") && message.matches("under way").count() == 5,
        "{message}"
    );
    let _server = pumice.serve();
    assert_eq!(counts(&wait_for(&pumice, &begun, "complete")), json!([9, 9, 9, 0, 0, 0]));
    let listed = pumice.run(&["schedules", "backfills", "list", "--job", "a*"]).out;
    assert!(listed.contains("complete") && listed.contains("9/9"), "{listed}");
    assert_eq!(
        json_of(&pumice, &["schedules", "backfills", "list", "--job", "b"]),
        json!({ "backfills": [] })
    );
}

#[test]
fn backfill_one_at_a_time_is_never_skipped_by_overlap() {
    let mut skipped = daily("a");
    skipped["overlap"] = json!("skip");
    let pumice = applied(&skipped);
    let _server = pumice.serve();
    let begun = begin(&pumice, "a", &[]);
    assert_eq!(counts(&wait_for(&pumice, &begun, "complete")), json!([9, 9, 9, 0, 0, 0]));
}

#[test]
fn backfill_of_what_is_missing_leaves_what_there_is() {
    let pumice = applied(&daily("a"));
    for day in ["03", "07"] {
        let at = format!("2025-01-{day}T01:30:00Z");
        assert_eq!(pumice.run(&["schedules", "run", "a", "--at", &at]).status, 0);
    }
    let dry = json_of(&pumice, &[&["schedules", "backfill", "a", "--dry-run"], &NINE[..]].concat());
    assert_eq!(
        (&dry["planned"], &dry["starts"], dry["slots"][2]["starts"].clone()),
        (&json!(9), &json!(7), json!(false))
    );
    let _server = pumice.serve();
    let begun = begin(&pumice, "a", &["--reverse"]);
    let over = wait_for(&pumice, &begun, "complete");
    assert_eq!((counts(&over), runs(&pumice).len()), (json!([9, 7, 7, 0, 2, 0]), 9));
    let mut wanted = nine();
    wanted.retain(|slot| !slot.contains("-03T") && !slot.contains("-07T"));
    wanted.reverse();
    assert_eq!(slots_of(&pumice, &over["id"]), wanted, "the newest first");
    // The run of a slot is one, however it is asked for.
    let at = ["schedules", "run", "a", "--at", "2025-01-01T01:30:00Z", "-o", "json"];
    assert_eq!(pumice.run(&at).json()["existing"], true);
}

#[test]
fn backfill_of_what_failed_runs_that_alone_and_anew() {
    let pumice = applied(&json!([]));
    apply(&pumice, &failing(&pumice, "a"));
    let server = pumice.serve();
    pumice.write("broken", "");
    let first = begin(&pumice, "a", &["--entry", "0", "--max-active", "9"]);
    let over = wait_for(&pumice, &first, "complete");
    assert_eq!((counts(&over), over["bad"].as_array().map(Vec::len)), (json!([9, 9, 0, 9, 0, 0]), Some(9)));
    assert_eq!(over["bad"][0]["status"], "failed");
    std::fs::remove_file(pumice.path().join("broken")).expect("removed");
    let one = ["--from", "2025-01-01T00:00Z", "--to", "2025-01-02T00:00Z", "--only", "failed"];
    let one = json_of(&pumice, &[&["schedules", "backfill", "a"], &one[..]].concat());
    assert_eq!(counts(&wait_for(&pumice, &one, "complete")), json!([1, 1, 1, 0, 0, 0]));
    // That slot's newest run completed, and the others failed. A slot without a run is not among them.
    let longer = ["--from", "2024-12-31T00:00Z", "--to", "2025-01-10T00:00Z", "--only", "failed"];
    let rest = json_of(&pumice, &[&["schedules", "backfill", "a"], &longer[..]].concat());
    let over = wait_for(&pumice, &rest, "complete");
    assert_eq!(counts(&over), json!([10, 8, 8, 0, 2, 0]));
    assert_eq!(slots_of(&pumice, &over["id"]), nine()[1..]);
    let none = json_of(&pumice, &[&["schedules", "backfill", "a", "--key", "2"], &longer[..]].concat());
    assert_eq!(counts(&wait_for(&pumice, &none, "complete")), json!([10, 0, 0, 0, 10, 0]));
    drop(server);
}

#[test]
fn backfill_asked_for_twice_is_begun_once() {
    let pumice = applied(&daily("a"));
    let both: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| begin(&pumice, "a", &["--max-active", "2"]))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(both.iter().filter(|one| one["existing"] == false).count(), 1, "{both:?}");
    assert!(both.iter().all(|one| one["backfill"]["id"] == both[0]["backfill"]["id"]));
    assert_eq!(runs(&pumice).len(), 2);
    let all = json_of(&pumice, &["schedules", "backfills", "list"]);
    assert_eq!(all["backfills"].as_array().map(Vec::len), Some(1));
    // With a key the key decides, and a different request under it is refused.
    let keyed = begin(&pumice, "a", &["--key", "mine", "--only", "all"]);
    assert_eq!(begin(&pumice, "a", &["--key", "mine", "--only", "all"])["existing"], true);
    let message = refused(&pumice, &[&["schedules", "backfill", "a", "--key", "mine"], &NINE[..]].concat());
    let id = keyed["backfill"]["id"].as_str().expect("an id");
    assert!(message.contains(&format!("the key \"mine\" was already used by backfill {id}")), "{message}");
}

#[test]
fn backfill_of_a_paused_entry_starts_its_slots_and_says_so() {
    let pumice = applied(&daily("a"));
    assert_eq!(pumice.run(&["schedules", "pause", "a"]).status, 0);
    let printed = pumice.run(&[&["schedules", "backfill", "a"], &NINE[..]].concat());
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(
        printed.err.contains("entry 0 is paused: a backfill starts its slots all the same"),
        "{printed:?}"
    );
    assert!(printed.err.contains("records of runs are kept for 30d"), "{printed:?}");
    let _server = pumice.serve();
    wait_until(|| {
        json_of(&pumice, &["schedules", "backfills", "list"])["backfills"][0]["state"] == "complete"
    });
    assert_eq!(runs(&pumice).len(), 9);
}

#[test]
fn backfill_whose_job_changes_stops_and_says_why() {
    for (then, why) in [
        (json!({ "enabled": false }), "the job is not enabled"),
        (json!({ "schedule": "30 3 * * *" }), "entry 0 of the schedule was changed since the backfill began"),
        (Value::Null, "the job is gone"),
    ] {
        let pumice = applied(&daily("a"));
        let begun = begin(&pumice, "a", &[]);
        let mut changed = daily("a");
        match then.as_object() {
            Some(fields) => {
                changed.as_object_mut().expect("an object").extend(fields.clone());
                apply(&pumice, &changed);
            }
            None => assert_eq!(pumice.run(&["jobs", "delete", "a"]).status, 0),
        }
        let _server = pumice.serve();
        let over = wait_for(&pumice, &begun, "stopped");
        assert_eq!((&over["stopped"]["why"], counts(&over)), (&json!(why), json!([9, 1, 1, 0, 0, 8])));
        // As it was when the backfill began, it goes on.
        apply(&pumice, &daily("a"));
        let id = over["id"].as_str().expect("an id");
        assert_eq!(pumice.run(&["schedules", "backfills", "resume", id]).status, 0);
        assert_eq!(counts(&wait_for(&pumice, &begun, "complete")), json!([9, 9, 9, 0, 0, 0]));
    }
}

#[test]
fn backfill_outlives_its_server() {
    let pumice = applied(&daily("a"));
    let begun = begin(&pumice, "a", &["--max-active", "3"]);
    for ended in 1..=3 {
        let server = pumice.serve();
        wait_until(|| {
            let now = shown(&pumice, &begun);
            now["state"] == "complete" || now["completed"].as_u64().is_some_and(|count| count >= ended)
        });
        assert!(server.end_by("KILL") != 0);
    }
    let _server = pumice.serve();
    let over = wait_for(&pumice, &begun, "complete");
    assert_eq!((counts(&over), runs(&pumice).len()), (json!([9, 9, 9, 0, 0, 0]), 9));
    let mut slots = slots_of(&pumice, &over["id"]);
    slots.sort();
    assert_eq!(slots, nine());
}

#[test]
fn list_of_a_backfill_has_its_runs_alone() {
    let mut chain =
        json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["a", "a"] });
    chain["schedule"] = json!("30 2 * * *");
    let pumice = applied(&json!([daily("a"), chain]));
    let _server = pumice.serve();
    let first = begin(&pumice, "a", &["--max-active", "3"]);
    let second = begin(&pumice, "a", &["--only", "all", "--max-active", "3"]);
    let third = begin(&pumice, "c", &["--max-active", "9"]);
    let over = [&first, &second, &third].map(|begun| wait_for(&pumice, begun, "complete"));
    assert_eq!(pumice.run(&["dispatch", "a", "--wait"]).status, 0);
    for (over, job, steps) in [(&over[0], "a", 0), (&over[1], "a", 0), (&over[2], "c", 18)] {
        let id = over["id"].as_str().expect("an id");
        let list = |more: &[&str]| json_of(&pumice, &[&["runs", "list", "--backfill", id], more].concat());
        let count = |more: &[&str]| list(more)["runs"].as_array().map(Vec::len);
        let listed = list(&[]);
        let runs = listed["runs"].as_array().expect("runs");
        assert!(runs.iter().all(|run| run["schedule"]["backfill"] == id && run["job_id"] == job), "{listed}");
        assert_eq!((runs.len(), count(&["--children"])), (9, Some(9 + steps)));
        assert_eq!(count(&["--status", "complete", "--job", job]), Some(9));
        assert_eq!((count(&["--status", "failed"]), count(&["--since", "1h"])), (Some(0), Some(9)));
        let table = pumice.run(&["runs", "list", "--backfill", id, "--limit", "4"]);
        assert!(table.err.contains("4 runs") && table.err.contains("--cursor"), "{}", table.err);
        let shown = pumice.run(&["schedules", "backfills", "show", id]).out;
        assert!(shown.contains(&format!("pumice runs list --backfill {id}")), "{shown}");
        let message = refused(&pumice, &["runs", "list", "--backfill", id, "--job", "other*"]);
        assert!(message.contains("job:other* does not match"), "{message}");
    }
    let message = refused(&pumice, &["runs", "list", "--backfill", "nowhere"]);
    assert!(message.contains("there is no backfill \"nowhere\""), "{message}");
}

#[test]
fn entries_due_together_that_give_the_same_are_one_run() {
    let entries = json!(["30 2 * * *", { "crontab": "30 2 * * *", "globals": { "n": 1 } }, "30 2 * * sat", "30 3 30 2 *"]);
    let pumice = applied(&job("a", &entries));
    let _server = pumice.serve();
    let begun = begin(&pumice, "a", &["--only", "all", "--max-active", "3"]);
    let over = wait_for(&pumice, &begun, "complete");
    assert_eq!((counts(&over), runs(&pumice).len()), (json!([18, 18, 18, 0, 0, 0]), 18));
    let again = begin(&pumice, "a", &["--entry", "1", "--only", "all"]);
    assert_eq!(counts(&wait_for(&pumice, &again, "complete")), json!([9, 9, 9, 0, 0, 0]));
    // None of its slots is without a run now.
    let none = begin(&pumice, "a", &["--entry", "1"]);
    assert_eq!(counts(&wait_for(&pumice, &none, "complete")), json!([9, 0, 0, 0, 9, 0]));
}

#[test]
fn backfill_refuses_what_makes_no_sense() {
    let mut off = daily("off");
    off["enabled"] = json!(false);
    let jobs = json!([
        daily("a"),
        off,
        job("none", &json!("--")),
        job("boot", &json!("@reboot")),
        job("two", &json!(["30 2 * * *", "0 5 * * *"])),
        job("often", &json!("* * * * *")),
    ]);
    let pumice = applied(&jobs);
    let short = ["--from", "2025-01-01T02:00Z", "--to", "2025-01-01T03:00Z"];
    for (arguments, wanted) in [
        (&["a", "--from", "2025-01-02", "--to", "2025-01-01"][..], "before it begins at"),
        (
            &["a", "--from", "2025-01-01", "--to", "2100-01-01"],
            "which is in the future: what is due then the clock starts",
        ),
        (&["a", "--from", "soon", "--to", "2025-01-01"], "--from: "),
        (&["a", "--from", "2025-01-01", "--to", "later"], "--to: "),
        (&["a", "--from", "2025-01-01", "--to", "2025-01-02", "--tz", "Europe/Berln"], "Europe/Berlin"),
        (&["a", "--from", "2025-01-01"], "--to <TIME>"),
        (&["b", NINE[0], NINE[1], NINE[2], NINE[3]], "no such job"),
        (&["a*", NINE[0], NINE[1], NINE[2], NINE[3]], "no "),
        (&["none", NINE[0], NINE[1], NINE[2], NINE[3]], "has no schedule"),
        (&["off", NINE[0], NINE[1], NINE[2], NINE[3]], "the job is not enabled: nothing starts it"),
        (&["boot", NINE[0], NINE[1], NINE[2], NINE[3]], "no slot lies between"),
        (&["a", short[0], short[1], short[2], short[3]], "the first after that is 2025-01-02T01:30:00Z"),
        (
            &["two", NINE[0], NINE[1], NINE[2], NINE[3], "--entry", "2"],
            "no entry 2: the schedule has 2, counted from 0",
        ),
        (&["a", NINE[0], NINE[1], NINE[2], NINE[3], "--max-active", "0"], "1 to 100 are possible"),
        (&["a", NINE[0], NINE[1], NINE[2], NINE[3], "--max-active", "101"], "1 to 100 are possible"),
        (&["a", NINE[0], NINE[1], NINE[2], NINE[3], "--max-active", "-1"], "-1"),
        (&["a", NINE[0], NINE[1], NINE[2], NINE[3], "--key", ""], "the key must not be empty"),
        (&["a", NINE[0], NINE[1], NINE[2], NINE[3], "--only", "some"], "missing, failed, all"),
        (&["often", NINE[0], NINE[1], NINE[2], NINE[3]], "12961 slots lie between"),
        (&["often", "--from", "2015-01-01", "--to", "2025-01-01"], "more than 100000 slots lie between"),
    ] {
        let message = refused(&pumice, &[&["schedules", "backfill"], arguments].concat());
        assert!(message.contains(wanted), "{arguments:?}: {message}");
    }
    for command in ["show", "cancel", "resume"] {
        let message = refused(&pumice, &["schedules", "backfills", command, "nowhere"]);
        assert!(message.contains("there is no backfill \"nowhere\""), "{message}");
    }
    assert_eq!(
        (json_of(&pumice, &["schedules", "backfills", "list"]), runs(&pumice).len()),
        (json!({ "backfills": [] }), 0)
    );
}

#[test]
fn times_without_a_zone_are_local_and_shown_in_utc() {
    let pumice = applied(&daily("a"));
    let ask = |zone: &str| {
        let arguments = [
            "schedules",
            "backfill",
            "a",
            "--from",
            "2025-01-01T02:00",
            "--to",
            "2025-01-01T10:00",
            "--dry-run",
            "-o",
            "json",
        ];
        let printed = pumice.command(&arguments).env("TZ", zone).output().expect("it runs");
        (printed.status.code(), String::from_utf8_lossy(&printed.stdout).contains("2025-01-01T01:30:00Z"))
    };
    // 02:00 in Berlin is 01:00 in UTC, and in London 02:00.
    assert_eq!(ask("Europe/Berlin"), (Some(0), true));
    assert_eq!(ask("UTC").0, Some(2));
}

#[test]
fn guide_names_each_option_and_state_of_backfills() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let begin = guide.find("### Backfills").expect("the chapter");
    let end = guide[begin..].find("\n## ").expect("its end");
    let chapter = &guide[begin..begin + end];
    let pumice = Pumice::new();
    for command in [&["schedules", "backfill"][..], &["schedules", "backfills", "cancel"]] {
        let help = pumice.run(&[command, &["--help"]].concat()).out;
        let own = help.split("Options of every command").next().unwrap_or_default();
        let options = own.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        let options: Vec<&str> = options.filter(|word| *word != "--help").collect();
        assert!(options.len() > 2, "{help}");
        for option in options {
            assert!(chapter.contains(&format!("`{option}")), "{command:?}: {option}");
        }
    }
    for word in
        ["active", "complete", "cancelled", "stopped", "--only missing", "--only failed", "--only all"]
    {
        assert!(chapter.contains(&format!("| `{word}`")), "{word}");
    }
}
