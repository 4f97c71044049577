//! `schedules` in folders, mostly of those that nothing serves: what is to be started is asked of the same functions that
//! start it. The reports of other job runners' users have their numbers in their names.

use serde_json::{Value, json};

use crate::pumice::{Pumice, wait_until};

pub(crate) fn job(id: &str, schedule: &Value) -> Value {
    json!({
        "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "true",
        "timezone": "Europe/Berlin", "schedule": schedule,
    })
}

fn with(mut job: Value, more: &Value) -> Value {
    job.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    job
}

/// A realm's folder with these jobs, which nothing serves.
pub(crate) fn applied(jobs: &Value) -> Pumice {
    let pumice = Pumice::new();
    apply(&pumice, jobs);
    pumice
}

pub(crate) fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

/// The JSON of a command that went well.
pub(crate) fn json_of(pumice: &Pumice, arguments: &[&str]) -> Value {
    let printed = pumice.run(&[arguments, &["-o", "json"]].concat());
    assert_eq!(printed.status, 0, "{arguments:?}: {printed:?}");
    printed.json()
}

/// One field of the slots that are shown.
fn slots(pumice: &Pumice, arguments: &[&str], field: &str) -> Vec<String> {
    let shown = json_of(pumice, &[&["schedules", "next"], arguments].concat());
    let text = |slot: &Value| slot[field].as_str().expect("a text").to_owned();
    shown["slots"].as_array().expect("slots").iter().map(text).collect()
}

/// The state of each entry.
fn states(pumice: &Pumice) -> Vec<String> {
    let shown = json_of(pumice, &["schedules", "list"]);
    let state = |entry: &Value| entry["state"].as_str().expect("a state").to_owned();
    shown["schedules"].as_array().expect("entries").iter().map(state).collect()
}

pub(crate) fn refused(pumice: &Pumice, arguments: &[&str]) -> String {
    let printed = pumice.run(arguments);
    assert_eq!(printed.status, 2, "{arguments:?}: {printed:?}");
    printed.err
}

/// Jobs of every kind of schedule.
fn many() -> Value {
    json!([
        job("etl/daily", &json!("30 2 * * *")),
        job(
            "etl/two",
            &json!([{ "every": "1h", "from": "2100-01-01" }, { "crontab": "0 9 * * *", "timezone": "America/New_York" }])
        ),
        with(job("off", &json!("0 * * * *")), &json!({ "enabled": false })),
        job("boot", &json!("@reboot")),
        job("past", &json!({ "at": "2020-01-01" })),
        job("none", &json!("--")),
    ])
}

#[test]
fn report_42_every_listing_names_the_zone_and_fits() {
    let pumice = applied(&many());
    for arguments in [
        &["schedules", "list"][..],
        &["schedules", "next"],
        &["schedules", "next", "etl/*", "--tz", "Asia/Tokyo"],
        &["schedules", "next", "--from", "2027-01-01", "-n", "50"],
    ] {
        let printed = pumice.run(arguments);
        assert_eq!(printed.status, 0, "{printed:?}");
        assert!(printed.out.lines().all(|line| line.chars().count() <= 80), "{}", printed.out);
        let rows = printed.out.lines().skip(1);
        assert!(rows.clone().count() > 0 && printed.out.contains("ZONE"), "{}", printed.out);
        let has_zone = |line: &str| {
            ["Europe/", "America/", "Ameri", "Asia/Tokyo"].iter().any(|zone| line.contains(zone))
        };
        assert!(rows.clone().all(has_zone), "{}", printed.out);
    }
    for entry in json_of(&pumice, &["schedules", "list"])["schedules"].as_array().expect("entries") {
        assert!(entry["zone"].is_string(), "{entry}");
    }
    let checked = pumice.run(&["check", "jobs.json"]).out;
    assert!(checked.contains("etl/daily: each day at 02:30 Europe/Berlin; next 2"), "{checked}");
    assert!(checked.contains("etl/two 1: each day at 09:00 America/New_York; next 2"), "{checked}");
    assert!(checked.contains("off: at minute 0 past every hour Europe/Berlin; next "), "{checked}");
}

#[test]
fn list_says_the_state_of_each_entry() {
    let pumice = applied(&many());
    assert_eq!(states(&pumice), ["reboot", "active", "active", "active", "disabled", "over"]);
    assert_eq!(
        json_of(&pumice, &["schedules", "list", "--job", "etl/*"])["schedules"].as_array().map(Vec::len),
        Some(3)
    );
    let entry = &json_of(&pumice, &["schedules", "list", "--job", "etl/two"])["schedules"][0];
    assert_eq!(
        (&entry["what"], &entry["next"]),
        (&json!("every 1h, from 2100-01-01"), &json!("2099-12-31T23:00:00Z"))
    );
}

#[test]
fn next_notes_the_gap_the_fold_and_the_zone() {
    let pumice = applied(&json!([job("a", &json!("15,45 2 * * *")), job("b", &json!("30 * * * *"))]));
    let gap = json_of(&pumice, &["schedules", "next", "a", "--from", "2027-03-28", "--to", "2027-03-28"]);
    assert_eq!(
        gap["slots"],
        json!([{
            "job_id": "a", "entry": 0, "slot": "2027-03-28T01:00:00Z", "local": "2027-03-28T03:00:00+02:00",
            "zone": "Europe/Berlin", "notes": ["02:15 does not exist: first instant after it, for 2 slots"],
        }])
    );
    let fold = ["b", "--from", "2027-10-31T00:00:00Z", "--to", "2027-10-31T02:00:00Z"];
    assert_eq!(slots(&pumice, &fold, "slot"), ["2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"]);
    assert_eq!(slots(&pumice, &fold, "local"), ["2027-10-31T02:30:00+02:00", "2027-10-31T02:30:00+01:00"]);
    let shown = pumice.run(&[&["schedules", "next", "-o", "wide"][..], &fold].concat()).out;
    assert!(
        shown.contains("02:30 comes twice: the first") && shown.contains("comes twice: the second"),
        "{shown}"
    );
    let tokyo = [&["--tz", "Asia/Tokyo"][..], &fold].concat();
    assert_eq!(slots(&pumice, &tokyo, "local")[0], "2027-10-31T09:30:00+09:00");
    assert_eq!(slots(&pumice, &tokyo, "zone")[0], "Asia/Tokyo");
}

#[test]
fn next_of_all_jobs_is_in_the_order_of_time() {
    let jobs: Vec<Value> =
        (0..5).map(|n| job(&format!("j{n}"), &json!(format!("{} * * * *", n * 11)))).collect();
    let pumice = applied(&json!(jobs));
    let shown = slots(&pumice, &["-n", "25"], "slot");
    assert!(shown.is_sorted() && shown.len() == 25, "{shown:?}");
    assert_eq!(slots(&pumice, &[], "slot").len(), 10);
    assert_eq!(
        slots(&pumice, &["--from", "2027-01-01T00:00Z", "--to", "2027-01-02T00:00Z"], "slot").len(),
        121
    );
    assert_eq!(slots(&pumice, &["j3", "-n", "1"], "job_id"), ["j3"]);
}

#[test]
fn next_and_others_refuse_what_makes_no_sense() {
    let pumice = applied(&many());
    for (arguments, wanted) in [
        (&["schedules", "next", "etl/dialy"][..], "did you mean"),
        (&["schedules", "next", "none"], "has no schedule"),
        (&["schedules", "next", "nothing/*"], "no "),
        (&["schedules", "next", "--tz", "Europe/Berln"], "Europe/Berlin"),
        (&["schedules", "next", "--from", "soon"], "--from: "),
        (&["schedules", "next", "--from", "2027-01-02", "--to", "2027-01-01"], "is before --from"),
        (&["schedules", "pause", "etl/two", "--entry", "2"], "no entry 2: it has 2, counted from 0"),
        (&["schedules", "pause", "etl/two", "--until", "2020-01-01"], "is past"),
        (&["schedules", "pause", "none"], "has no schedule"),
        (&["schedules", "resume", "nowhere"], "no such job"),
        (&["schedules", "run", "etl/dail?"], "no such job"),
        (&["schedules", "run", "etl/two"], "has 2 entries: entry must be one of 0 to 1"),
        (
            &["schedules", "run", "etl/daily", "--at", "2027-01-01T02:30:01+01:00"],
            "the nearest are 2027-01-01T01:30:00Z and 2027-01-02T01:30:00Z",
        ),
        (&["schedules", "simulate", "--down", "2027-01-02", "2027-01-01"], "not after it begins"),
    ] {
        let message = refused(&pumice, arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
    }
}

#[test]
fn report_38_preview_equals_what_fires() {
    let pumice = applied(&json!([]));
    let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(3)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    apply(&pumice, &job("soon", &json!({ "at": [soon, "2020-01-01T00:00:00Z"] })));
    let preview = slots(&pumice, &["soon"], "slot");
    assert_eq!(preview, [soon]);
    let _server = pumice.serve();
    // It is made a second ahead, and is to come until it starts.
    wait_until(|| json_of(&pumice, &["runs", "list"])["runs"][0]["status"] == "complete");
    let last = &json_of(&pumice, &["schedules", "list"])["schedules"][0];
    assert_eq!((&last["last"], &last["state"]), (&json!(preview[0]), &json!("over")));
    assert_eq!(slots(&pumice, &["soon"], "slot"), [] as [&str; 0]);
}

#[test]
fn report_10_next_begins_after_now_and_goes_on() {
    let pumice = applied(&job("a", &json!("* * * * *")));
    let now = chrono::Utc::now();
    let shown: Vec<chrono::DateTime<chrono::Utc>> =
        slots(&pumice, &["-n", "3"], "slot").iter().map(|slot| slot.parse().expect("a time")).collect();
    assert!(
        shown[0] > now - chrono::TimeDelta::seconds(1) && shown[0] <= now + chrono::TimeDelta::seconds(61),
        "{shown:?}"
    );
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == chrono::TimeDelta::minutes(1)), "{shown:?}");
}

#[test]
fn report_12_apply_of_an_earlier_hour_starts_no_past_slot() {
    let pumice = applied(&job("a", &json!({ "at": "2100-01-01" })));
    apply(&pumice, &job("a", &json!({ "at": ["2020-01-01", "2100-01-01"] })));
    assert_eq!(slots(&pumice, &["a"], "slot"), ["2099-12-31T23:00:00Z"]);
}

#[test]
fn report_13_apply_of_an_equal_spec_keeps_a_pause() {
    let pumice = applied(&many());
    assert_eq!(pumice.run(&["schedules", "pause", "etl/two", "--entry", "1"]).status, 0);
    apply(&pumice, &many());
    assert_eq!(states(&pumice)[2..4], ["active", "paused"]);
}

#[test]
fn report_14_pause_after_apply_resumes_with_the_next_slot() {
    let pumice = applied(&many());
    let before = slots(&pumice, &["etl/daily", "-n", "1"], "slot");
    let paused = pumice.run(&["schedules", "pause", "etl/*", "--why", "moving house", "-o", "json"]).json();
    assert_eq!(paused["entries"].as_array().map(Vec::len), Some(3), "{paused}");
    assert_eq!(states(&pumice)[1..4], ["paused", "paused", "paused"]);
    let entry = &json_of(&pumice, &["schedules", "list", "--job", "etl/daily"])["schedules"][0];
    assert_eq!((&entry["paused"]["why"], &entry["next"]), (&json!("moving house"), &Value::Null));
    assert!(!entry["paused"]["by"].as_str().expect("a name").is_empty());
    let shown = json_of(&pumice, &["schedules", "next", "etl/daily"]);
    assert_eq!(
        (shown["slots"].as_array().map(Vec::len), &shown["silent"][0]["state"]),
        (Some(0), &json!("paused"))
    );
    let message = pumice.run(&["schedules", "next", "etl/daily"]).err;
    assert!(
        message.contains("etl/daily entry 0: paused by ") && message.contains(": moving house"),
        "{message}"
    );
    let resumed = pumice.run(&["schedules", "resume", "etl/*"]);
    assert_eq!((resumed.status, resumed.out.matches("resumed").count()), (0, 3), "{resumed:?}");
    assert_eq!(slots(&pumice, &["etl/daily", "-n", "1"], "slot"), before);
    let again = json_of(&pumice, &["schedules", "resume", "etl/daily"]);
    assert_eq!(again["entries"][0]["outcome"], "unchanged");
}

#[test]
fn report_14_pause_until_shows_the_slot_after_it() {
    let pumice = applied(&many());
    let until = ["schedules", "pause", "etl/daily", "--until", "2050-06-01T12:00:00Z", "--dry-run"];
    let dry = json_of(&pumice, &until);
    assert_eq!((&dry["dry_run"], &dry["entries"][0]["next"]), (&json!(true), &json!("2050-06-02T00:30:00Z")));
    assert_eq!(states(&pumice)[1], "active", "nothing was changed");
    assert_eq!(pumice.run(&until[..5]).status, 0);
    assert_eq!(
        slots(&pumice, &["etl/daily", "-n", "2"], "slot"),
        ["2050-06-02T00:30:00Z", "2050-06-03T00:30:00Z"]
    );
}

#[test]
fn report_14_paused_job_starts_nothing_while_it_is_served() {
    let pumice =
        applied(&json!([job("still", &json!({ "every": "1s" })), job("goes", &json!({ "every": "1s" }))]));
    assert_eq!(pumice.run(&["schedules", "pause", "still"]).status, 0);
    let _server = pumice.serve();
    let runs_of =
        |job: &str| json_of(&pumice, &["runs", "list", "--job", job])["runs"].as_array().map_or(0, Vec::len);
    wait_until(|| runs_of("goes") >= 3);
    assert_eq!(runs_of("still"), 0);
    assert_eq!(pumice.run(&["schedules", "resume", "still"]).status, 0);
    wait_until(|| runs_of("still") >= 1);
    assert_eq!(pumice.run(&["schedules", "pause", "goes"]).status, 0);
}

#[test]
fn report_15_disabled_and_enabled_again_has_the_same_next_slot() {
    let pumice = applied(&job("a", &json!("0 12 * * *")));
    let before = slots(&pumice, &["a", "-n", "1"], "slot");
    apply(&pumice, &with(job("a", &json!("0 12 * * *")), &json!({ "enabled": false })));
    assert_eq!((states(&pumice), slots(&pumice, &["a"], "slot").len()), (vec!["disabled".to_owned()], 0));
    apply(&pumice, &job("a", &json!("0 12 * * *")));
    assert_eq!(slots(&pumice, &["a", "-n", "1"], "slot"), before);
}

#[test]
fn report_33_jitter_spreads_jobs_and_stays() {
    let jobs: Vec<Value> =
        (0..300).map(|n| job(&format!("j{n}"), &json!({ "crontab": "0 * * * *", "jitter": "5m" }))).collect();
    let pumice = applied(&json!(jobs));
    let arguments = ["schedules", "next", "--from", "2027-01-01T00:00:00Z", "--to", "2027-01-01T00:30:00Z"];
    let shown = json_of(&pumice, &arguments);
    let mut seconds = std::collections::BTreeMap::new();
    for slot in shown["slots"].as_array().expect("slots") {
        *seconds.entry(slot["notes"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(seconds.values().sum::<i32>(), 300);
    assert!(seconds.values().all(|count| *count <= 5), "{seconds:?}");
    assert_eq!(json_of(&pumice, &arguments), shown);
    assert!(!pumice.run(&["check", "jobs.json"]).err.contains("busy-second"));
}

#[test]
fn run_starts_a_slot_once_and_now_each_time() {
    let entry = json!({ "crontab": "30 2 * * *", "globals": { "kind": "night" } });
    let pumice = applied(&with(
        job("a", &entry),
        &json!({ "payload": "echo '{{ schedule.slot }} {{ globals.kind }}'" }),
    ));
    let at = ["schedules", "run", "a", "--at", "2027-01-01T01:30:00Z"];
    let first = json_of(&pumice, &at);
    let again = json_of(&pumice, &at);
    assert_eq!((&first["existing"], &again["existing"]), (&json!(false), &json!(true)));
    assert_eq!(first["run_id"], again["run_id"]);
    let other = json_of(&pumice, &["schedules", "run", "a"]);
    assert_ne!(other["run_id"], first["run_id"]);
    let shown = json_of(&pumice, &["runs", "show", first["run_id"].as_str().expect("an id")]);
    assert!(shown["runs"][0]["payload"].to_string().contains("2027-01-01 01:30:00+00:00 night"), "{shown}");
}

#[test]
fn run_of_one_job_starts_no_other_by_the_clock() {
    let pumice = Pumice::new();
    let fast = with(job("fast", &json!({ "every": "1s", "run_now": true })), &json!({ "payload": "true" }));
    // It takes three seconds of the clock.
    let slow = with(job("slow", &json!("@reboot")), &json!({ "payload": "sleep 3" }));
    pumice.write("jobs.json", json!([fast, slow]).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "slow", "--keep", "kept", "-o", "json"]);
    assert_eq!((printed.status, printed.run_of("slow")["status"].as_str()), (0, Some("complete")));
    let runs = json_of(&pumice, &["--home", "kept", "runs", "list"]);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "{runs}");
}

#[test]
fn simulate_shows_the_effect_of_catch_up() {
    let pumice = applied(&json!([
        job("all", &json!({ "crontab": "0 * * * *", "catch_up": "all", "window": "3h" })),
        job("halts", &json!({ "crontab": "* * * * *", "catch_up": "all", "window": "3h" })),
        job("last", &json!({ "crontab": "0 * * * *" })),
        job("none", &json!({ "crontab": "0 * * * *", "catch_up": "none" })),
        with(job("off", &json!("0 * * * *")), &json!({ "enabled": false })),
    ]));
    let down = ["schedules", "simulate", "--down", "2027-01-01T22:30:00Z", "2027-01-02T06:30:00Z"];
    let message = json_of(&pumice, &down);
    let of = |place: usize| {
        let entry = &message["entries"][place];
        (
            entry["missed"].as_u64(),
            entry["made_up"].as_array().map(Vec::len),
            entry["passed_over"].as_u64(),
            entry["halts"] == true,
        )
    };
    assert_eq!(of(0), (Some(8), Some(3), Some(5), false));
    assert!(of(1).3, "{message}");
    assert_eq!(of(2), (Some(8), Some(1), Some(7), false));
    assert_eq!(of(3), (Some(8), Some(0), Some(8), false));
    assert!(message["entries"][4]["why"].as_str().is_some_and(|why| why.contains("not enabled")));
    let said = pumice.run(&down).out;
    assert!(said.contains("last 0: misses 8 from 2027-01-01T23:00:00Z to 2027-01-02T06:00:00Z; makes up for 2027-01-02T06:00:00Z; passes over 7"), "{said}");
    assert!(said.contains("halts: ") || said.contains("halts 0: "), "{said}");
}

#[test]
fn export_is_cloudformation_that_starts_the_same_runs() {
    let pumice = applied(&json!([
        job(
            "etl/week",
            &json!({ "crontab": "0 9 * * 1-5", "globals": { "b": 1, "a": "x" }, "to": "2100-01-01" })
        ),
        job("either", &json!("0 0 13 * 5")),
        job(
            "odd",
            &json!(["0 0 L * *", { "every": "90s" }, { "every": "6h", "from": "2026-01-01" }, { "every": "6h", "from": "2026-01-01T00:00:30" }, { "at": ["2100-01-01T00:00Z", "2100-01-01T00:00:30Z", "2020-01-01"] }])
        ),
        with(job("off", &json!("0 * * * *")), &json!({ "enabled": false })),
    ]));
    let printed = pumice.run(&["schedules", "export", "--format", "eventbridge"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    let template: Value = serde_yaml_ng::from_str(&printed.out).expect("YAML");
    let resources = template["Resources"].as_object().expect("resources");
    let by = |expression: &str| {
        let found =
            resources.values().find(|resource| resource["Properties"]["ScheduleExpression"] == expression);
        found.unwrap_or_else(|| panic!("{expression}: {}", printed.out))["Properties"].clone()
    };
    let week = by("cron(0 9 ? * 2-6 *)");
    assert_eq!(week["ScheduleExpressionTimezone"], "Europe/Berlin");
    assert_eq!(week["EndDate"], "2099-12-31T08:00:30Z");
    let input: Value = serde_json::from_str(week["Target"]["Input"].as_str().expect("a text")).expect("JSON");
    assert_eq!(
        input,
        json!({ "job_id": "etl/week", "scheduled_at": "<aws.scheduler.scheduled-time>", "globals": { "b": 1, "a": "x" } })
    );
    assert_eq!(by("cron(0 0 13 * ? *)")["State"], "ENABLED");
    assert_eq!(by("cron(0 0 ? * 6 *)")["State"], "ENABLED");
    assert!(by("rate(6 hours)")["StartDate"].is_string());
    assert_eq!(by("at(2100-01-01T00:00:00)")["ScheduleExpressionTimezone"], "UTC");
    assert_eq!(by("cron(0 * * * ? *)")["State"], "DISABLED");
    assert_eq!(resources.len(), 6, "{}", printed.out);
    for part in [
        "# - L is not said in the same way",
        "# - Scheduler has intervals of whole minutes only",
        "# - its starts are not on whole minutes",
        "# - instants that are not on a whole minute are left out",
        "# - several schedules together",
    ] {
        assert!(printed.out.contains(part), "{part}: {}", printed.out);
    }
    let json = pumice.run(&["schedules", "export", "--format", "eventbridge", "-o", "json"]).json();
    let resources = json["Resources"].as_object().expect("resources");
    assert_eq!(resources.len(), 6);
    // The metadata has all of the comments, and nothing else apart from the keys of CloudFormation.
    let entries = json["Metadata"]["Entries"].as_array().or(json["Metadata"]["entries"].as_array());
    let named =
        entries.expect("entries").iter().flat_map(|entry| entry["resources"].as_array().expect("names"));
    assert_eq!(named.filter_map(Value::as_str).filter(|name| resources.contains_key(*name)).count(), 6);
    assert!(
        entries
            .expect("entries")
            .iter()
            .any(|entry| entry["what"].as_str().is_some_and(|what| !what.is_empty()))
    );
}

#[test]
fn stored_entry_that_cannot_be_used_is_listed_with_its_reason() {
    let pumice = applied(&json!([job("good", &json!("0 9 * * *")), job("bad", &json!("0 9 * * *"))]));
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    let bad = job("bad", &json!(["0 9 * * *", "61 * * * *", { "crontab": "0 9 * * *", "skip": "moon" }]));
    let put = "INSERT OR REPLACE INTO jobs VALUES (?1, ?2)";
    assert_eq!(store.execute(put, ["bad", &bad.to_string()]), Ok(1));
    assert_eq!(store.execute(put, ["lost", "{\"job_id\": \"lost\", \"schedule\": \"@daily\"}"]), Ok(1));
    let shown = json_of(&pumice, &["schedules", "list"]);
    let of =
        |place: usize, field: &str| shown["schedules"][place][field].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [of(0, "state"), of(1, "state"), of(2, "state"), of(3, "state")],
        ["active", "broken", "broken", "active"]
    );
    assert!(
        of(1, "trouble").contains("is not a crontab") && of(2, "trouble").contains("no calendar \"moon\""),
        "{shown}"
    );
    assert!(
        of(4, "job_id") == "lost" && of(4, "state") == "broken" && !of(4, "trouble").is_empty(),
        "{shown}"
    );
    let message = pumice.run(&["schedules", "list"]).err;
    assert!(
        message.contains("bad: entry 1 cannot be used: ") && message.contains("job lost cannot be read"),
        "{message}"
    );
    assert_eq!(slots(&pumice, &["-n", "2"], "job_id"), ["bad", "good"]);
    assert_eq!(pumice.run(&["schedules", "pause", "bad"]).status, 0);
    assert_eq!(states(&pumice)[..3], ["paused", "paused", "paused"]);
}

#[test]
fn examples_of_the_guide_hold() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let begin = guide.find("## By the clock").expect("the chapter");
    let end = guide[begin + 1..].find("\n## ").expect("its end");
    // Its years are past one day.
    let chapter = guide[begin..=begin + end + 1].replace("2027-", "2050-");
    let blocks = |kind: &str| {
        let fence = format!("```{kind}\n");
        let parts = chapter.split(&fence).skip(1);
        parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let pumice = Pumice::new();
    for (number, text) in blocks("yaml").iter().enumerate() {
        pumice.write(&format!("jobs/{number}.yaml"), text);
    }
    let commands: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|block| {
            block.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let words = words_of(command.split('#').next().unwrap_or_default());
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let printed = pumice.run(&arguments);
        assert_eq!(printed.status, 0, "{command}: {printed:?}");
        if arguments[0] == "check" {
            assert!(
                printed.out.contains("etl/load: each day at 02:30 Europe/Berlin; next "),
                "{}",
                printed.out
            );
            assert_eq!(printed.err, "", "{command}");
        }
    }
    // Each field that an entry has is in the table, and each state.
    let schema = Pumice::new().run(&["schema", "job"]).json();
    for field in schema["$defs"]["ScheduleEntry"]["properties"].as_object().expect("fields").keys() {
        assert!(chapter.contains(&format!("`{field}`")), "{field}");
    }
    for state in ["active", "paused", "halted", "disabled", "broken", "over", "reboot"] {
        assert!(chapter.contains(&format!("`{state}`")), "{state}");
    }
}

/// The words of a command line of the guide, which has single quotes and double ones.
pub(crate) fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.trim().chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            _ => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}
