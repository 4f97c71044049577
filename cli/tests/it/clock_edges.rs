//! Messages of `check` and `schedules` at the limits of a schedule.

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice};
use crate::schedules::{applied, apply, job, json_of, refused};

/// `check` of documents, whatever it finds.
fn checked(documents: &Value) -> Printed {
    let pumice = Pumice::new();
    pumice.write("specs.json", documents.to_string());
    pumice.run(&["check", "specs.json"])
}

/// The words of `check` for documents that it refuses.
fn wrong(documents: &Value) -> String {
    let printed = checked(documents);
    assert_eq!(printed.status, 2, "{printed:?}");
    printed.err
}

#[test]
fn parameters_of_an_entry_are_checked_as_the_jobs() {
    let message = wrong(&job("a", &json!([{ "every": "5s", "parameters": { "nosuch": 1 } }, "@daily"])));
    assert!(message.contains("schedule[0].parameters.nosuch: no such field"), "{message}");
    let message = wrong(&job("a", &json!({ "every": "5s", "parameters": { "timeout": "5x" } })));
    assert!(message.contains("schedule.parameters.timeout"), "{message}");
    // Laid over the job's, and the job's own mistakes are reported once.
    let mut with_own =
        job("a", &json!([{ "every": "5s", "parameters": { "timeout": "5m" } }, { "every": "7s" }]));
    with_own["parameters"] = json!({ "timeout": "5x" });
    let message = wrong(&with_own);
    assert_eq!(message.matches("parameters.timeout").count(), 1, "{message}");
    with_own["parameters"] = json!({ "env": { "A": "b" } });
    assert_eq!(checked(&with_own).status, 0);
}

#[test]
fn times_that_are_not_the_written_ones_are_refused() {
    for (text, wanted) in [
        ("2027-01-01 10:00 EST", "names the zone \"EST\", which is not read"),
        ("Mon, 1 Mar 2027 03:00:00 CET", "names the zone \"CET\", which is not read"),
        ("23:30", "names no full date"),
        ("Friday", "names no full date"),
        ("March", "names no full date"),
        ("12", "names no full date"),
        ("Dec 2027", "names no full date"),
        ("1 March", "names no full date"),
    ] {
        for schedule in [
            json!({ "at": text }),
            json!({ "at": ["2100-01-01", text] }),
            json!({ "crontab": "0 3 * * *", "from": text }),
            json!({ "crontab": "0 3 * * *", "to": text }),
        ] {
            let message = wrong(&job("a", &schedule));
            assert!(message.contains(wanted) && message.contains("schedule"), "{schedule}: {message}");
        }
    }
    for text in [
        "1 March 2100",
        "FRI 1 MAR 2100 10:00 PM",
        "Mar 1, 2100 10:00 AM",
        "Mar 1, 2100 10:00 +1100",
        "2100-03-01 10:00 UTC",
        "2100-03-01 10:00 GMT",
        "2100-03-01T10:00Z",
        "21000301",
        "2100",
        "2100-W09",
    ] {
        let printed = checked(&job("a", &json!({ "at": text })));
        assert_eq!(printed.status, 0, "{text}: {printed:?}");
    }
}

#[test]
fn weekday_without_a_day_is_refused() {
    for weekday in ["L", "l", "+", "+L", "1,L"] {
        let message = wrong(&job("a", &json!(format!("0 0 1 * {weekday}"))));
        assert!(message.contains("which names no day: say 5L"), "{weekday}: {message}");
    }
    for weekday in ["5L", "friL", "+5", "+5#2", "5#L", "1,5L"] {
        let printed = checked(&job("a", &json!(format!("0 0 1 * {weekday}"))));
        assert!(printed.status == 0 || !printed.err.contains("names no day"), "{weekday}: {printed:?}");
    }
}

#[test]
fn name_that_is_none_is_said_with_the_one_that_is_meant() {
    for (crontab, wanted) in [
        (
            "0 0 1 marc *",
            "its month is \"marc\": \"marc\" is not a name of one, did you mean \"mar\"? (months are 1 to 12",
        ),
        (
            "0 0 * * monday",
            "its weekday is \"monday\": \"monday\" is not a name of one, did you mean \"mon\"?",
        ),
        ("0 0 * * mon-fry", "\"fry\" is not a name of one (weekdays are"),
        ("0 0 * * 1,+5", "its weekday is \"1,+5\": a + stands before the whole list, as in +1,5"),
    ] {
        let message = wrong(&job("a", &json!(crontab)));
        assert!(message.contains(wanted), "{crontab}: {message}");
    }
}

#[test]
fn busy_second_counts_runs_and_looks_a_year_ahead() {
    let jobs = |count: usize, schedule: Value| {
        json!((0..count).map(|n| job(&format!("j{n:02}"), &schedule)).collect::<Vec<_>>())
    };
    for schedule in [json!("0 3 1 * *"), json!({ "at": "2100-05-01" })] {
        let is_rare = schedule.is_string();
        let message = checked(&jobs(60, schedule)).err;
        assert_eq!(message.contains("60 starts come together at "), is_rare, "{message}");
    }
    let soon = (chrono::Utc::now() + chrono::TimeDelta::days(200)).format("%Y-%m-%d").to_string();
    assert!(checked(&jobs(51, json!({ "at": soon }))).err.contains("[busy-second]"));
    assert_eq!(checked(&jobs(50, json!("0 3 1 * *"))).err, "");
    // Two starts a day, a few minutes of one day a year, and others that start each second.
    for schedule in [json!("0 7,19 1 * *"), json!("*/5 9 1 1 *"), json!("0 7,19 * * *")] {
        let mut given = jobs(60, schedule.clone());
        let often = (0..4).map(|n| job(&format!("often{n}"), &json!({ "every": "1s" })));
        for more in [Vec::new(), often.collect()] {
            given.as_array_mut().expect("a list").extend(more);
            assert!(checked(&given).err.contains("[busy-second]"), "{schedule}");
        }
    }
    // Entries of one job with one instant make one run.
    assert_eq!(checked(&job("a", &json!(vec!["0 3 * * *"; 60]))).err, "");
    let different: Vec<Value> =
        (0..60).map(|n| json!({ "crontab": "0 3 * * *", "globals": { "n": n } })).collect();
    assert!(checked(&job("a", &json!(different))).err.contains("60 starts come together at "));
}

#[test]
fn entries_with_a_common_slot_are_warned_of_and_noted() {
    let first = json!({ "every": "4s", "from": "2027-01-01T00:00:00Z", "overlap": "skip" });
    let second = |more: Value| {
        let mut entry = json!({ "every": "8s", "from": "2027-01-01T00:00:00Z" });
        entry.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        job("t/two", &json!([first, entry]))
    };
    let message = checked(&second(json!({ "max_runs": 2 }))).err;
    assert!(
        message.contains("schedule[1]: at 2027-01-01T00:00:00Z entry 0 and entry 1 name one slot, which is one run, of entry 0: its max_runs counts them all the same")
            && message.contains("[same-start]"),
        "{message}"
    );
    assert!(
        checked(&second(json!({ "overlap": "allow" }))).err.contains("its overlap does not apply to them")
    );
    for more in [json!({}), json!({ "overlap": "skip" }), json!({ "max_runs": 2, "globals": { "x": 1 } })] {
        assert_eq!(checked(&second(more.clone())).err, "", "{more}");
    }
    let shifted = json!({ "every": "8s", "from": "2027-01-01T00:00:01Z", "max_runs": 2 });
    assert_eq!(checked(&job("t/two", &json!([first, shifted]))).err, "");
    let pumice = applied(&second(json!({ "max_runs": 2 })));
    let next = ["schedules", "next", "t/two", "--from", "2027-01-01T00:00Z", "-n", "3"];
    let notes: Vec<(Value, Value)> = json_of(&pumice, &next)["slots"]
        .as_array()
        .expect("slots")
        .iter()
        .map(|slot| (slot["entry"].clone(), slot["notes"].clone()))
        .collect();
    let noted = json!(["one run with that of entry 0"]);
    assert_eq!(notes, [(json!(0), json!([])), (json!(1), noted), (json!(0), json!([]))]);
}

#[test]
fn second_day_on_a_line_of_a_calendars_file_is_refused() {
    let pumice = Pumice::new();
    let realm = json!({ "realm": "r", "calendars": { "free": { "file": "free.txt" } } });
    pumice.write("specs.json", json!([realm]).to_string());
    for line in [
        "2026-12-25 - 2026-12-31",
        "2026-12-25,2026-12-26",
        "2026-12-25; 2026-12-26",
        "2026-12-25 to 2026-12-31",
        "2026-12-25/2026-12-26 2027-01-01",
        "2026-12-25 2026/12/26",
    ] {
        pumice.write("free.txt", format!("2026-01-01 New Year\n{line}\n"));
        let message = refused(&pumice, &["check", "specs.json"]);
        assert!(
            message.contains("line 2: \"20") && message.contains("would be a remark"),
            "{line}: {message}"
        );
    }
    for line in ["2026-12-25 25 December", "2026-12-25, 2026 edition", "2026-12-25 (12-25)"] {
        pumice.write("free.txt", line);
        assert_eq!(pumice.run(&["check", "specs.json"]).status, 0, "{line}");
    }
}

#[test]
fn dry_run_of_a_backfill_that_is_there_starts_nothing() {
    let pumice = applied(&json!([job("a", &json!("30 2 * * *"))]));
    let range = ["--from", "2025-01-01", "--to", "2025-01-04"];
    let ask = |options: &[&str]| {
        let printed = pumice.run(&[&["schedules", "backfill", "a"], &range[..], options].concat());
        assert_eq!(printed.status, 0, "{printed:?}");
        printed
    };
    for only in ["failed", "all", "missing"] {
        let before = ask(&["--only", only, "--dry-run"]);
        assert!(!before.out.contains("was there already"), "{before:?}");
        ask(&["--only", only]);
        let after = ask(&["--only", only, "--dry-run"]);
        assert!(
            after.out.contains("(was there already)")
                && after.out.ends_with("(dry run: nothing would be started)\n"),
            "{after:?}"
        );
        assert!(!after.err.is_empty(), "how to go on is said: {after:?}");
        let json = ask(&["--only", only, "--dry-run", "-o", "json"]).json();
        assert_eq!((&json["starts"], json["existing"]["job_id"].as_str()), (&json!(0), Some("a")));
    }
    // Another key is another backfill, and one that is another's is refused as without a dry run.
    ask(&["--only", "all", "--key", "k"]);
    let other = ["schedules", "backfill", "a", "--from", "2025-01-01", "--to", "2025-01-02", "--key", "k"];
    let without = refused(&pumice, &other);
    assert_eq!(refused(&pumice, &[&other[..], &["--dry-run"]].concat()), without);
}

#[test]
fn check_says_that_jitter_starts_no_slot_of_the_past() {
    let past = json!({ "at": "2020-01-01T00:00:00Z", "jitter": "1d" });
    let hint = "a slot from before the entry was put is not started, whatever its jitter";
    let message = checked(&job("a", &past)).err;
    assert!(message.contains("all its instants are past") && message.contains(hint), "{message}");
    let plain = checked(&job("a", &json!({ "at": "2020-01-01T00:00:00Z" }))).err;
    assert!(plain.contains("[never-due]") && !plain.contains(hint), "{plain}");
}

#[test]
fn run_of_a_slot_to_come_names_the_start_it_is_instead_of() {
    let pumice = applied(&json!([job("a", &json!({ "at": "2099-01-01T03:00:00Z" }))]));
    let run = ["schedules", "run", "a", "--at", "2099-01-01T03:00:00Z"];
    let note = "it is the run of slot 2099-01-01T03:00:00Z, which the clock would have started at 2099-01-01T03:00:00Z";
    let tried = pumice.run(&[&run[..], &["--dry-run"]].concat());
    assert!(tried.out.contains(note), "{tried:?}");
    let first = pumice.run(&run);
    assert!(first.status == 0 && first.err.contains(note), "{first:?}");
    let again = pumice.run(&run);
    assert!(again.out.contains("was there already") && !again.err.contains(note), "{again:?}");
}

#[test]
fn resumption_with_catch_up_prints_what_it_makes_up_for() {
    let pumice = applied(&json!([job("a", &json!("0 3 1 1 *"))]));
    assert_eq!(pumice.run(&["schedules", "pause", "a"]).status, 0);
    let resumed = pumice.run(&["schedules", "resume", "a", "--catch-up"]);
    assert!(resumed.out.contains("nothing was missed"), "{resumed:?}");
    pumice.run(&["schedules", "pause", "a"]);
    let resumed = pumice.run(&["schedules", "resume", "a"]);
    assert!(!resumed.out.contains("missed"), "{resumed:?}");
}

#[test]
fn slots_are_shown_up_to_a_limit_that_is_said() {
    let pumice = applied(&json!([job("a", &json!("* * * * *"))]));
    for number in ["0", "10001", "100000"] {
        let message = refused(&pumice, &["schedules", "next", "-n", number]);
        assert!(message.contains(&format!("{number} slots: from 1 to 10000 can be shown")), "{message}");
    }
    let range = ["schedules", "next", "--from", "2027-01-01", "--to", "2027-02-01", "-o", "json"];
    let printed = pumice.run(&range);
    assert!(printed.err.contains("the first 10000 starts"), "{}", printed.err);
    assert_eq!(printed.json()["cut"], true);
}

#[test]
fn export_says_what_scheduler_does_not_see() {
    let pumice = Pumice::new();
    let mut limited = job("x/late", &json!({ "crontab": "0 3 * * *", "finish_by": "1h" }));
    limited["on_late"] = json!([]);
    let all = json!({ "crontab": "0 3 * * *", "must_start": "10m", "max_silence": "26h", "pause_after": 3, "catch_up": "none" });
    apply(&pumice, &json!([limited, job("x/win", &all)]));
    let message = json_of(&pumice, &["schedules", "export", "--format", "eventbridge"]);
    let remarks = |entry: usize| message["Metadata"]["entries"][entry]["remarks"].to_string();
    assert!(remarks(0).contains("finish_by: judged by Pumice's clock alone"), "{message}");
    assert!(remarks(0).contains("last by default: Scheduler makes up for nothing"), "{message}");
    assert!(remarks(1).contains("must_start, max_silence: judged"), "{message}");
    assert!(remarks(1).contains("pause_after pauses the entry in Pumice"), "{message}");
    assert!(!remarks(1).contains("catch_up"), "{message}");
    assert!(message["Description"].as_str().is_some_and(|text| text.contains("pauses")), "{message}");
    let yaml = pumice.run(&["schedules", "export", "--format", "eventbridge"]).out;
    assert!(
        yaml.contains("Mode: 'OFF'") && yaml.contains("AWSTemplateFormatVersion: '2010-09-09'"),
        "{yaml}"
    );
}
