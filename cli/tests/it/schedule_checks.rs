//! Messages of `check` about schedules. The reports of other job runners' users have their numbers in their names.

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice};
use crate::schedules::{job, refused};

/// Warnings of `check` about jobs and a realm.
fn warned(documents: &Value) -> Printed {
    let pumice = Pumice::new();
    pumice.write("specs.json", documents.to_string());
    let printed = pumice.run(&["check", "specs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    printed
}

#[test]
fn check_warns_of_schedules_that_are_probably_unintended() {
    let realm = json!({ "realm": "r", "calendars": { "week": { "weekdays": "mon-sun" } } });
    for (schedule, wanted) in [
        (json!("0 0 30 2 *"), "schedule: 0 0 30 2 * never comes: no date matches [never-due]"),
        (json!({ "at": ["2020-01-01", "2021-01-01"] }), "schedule: all its instants are past [never-due]"),
        (
            json!({ "crontab": "@daily", "to": "2020-01-01" }),
            "schedule: its time is over: it holds until 2020-01-01 [never-due]",
        ),
        (
            json!(["@daily", { "crontab": "@daily", "skip": "week" }]),
            "schedule[1]: its calendars leave no day for it [never-due]",
        ),
        (
            json!({ "crontab": "@daily", "skip": "moon" }),
            "schedule: the realm has no calendar \"moon\" (until that is mended",
        ),
    ] {
        let reported = warned(&json!([realm, job("a", &schedule)])).err;
        assert!(reported.contains(wanted) && reported.lines().count() == 1, "{schedule}: {reported}");
    }
}

#[test]
fn report_39_check_says_that_days_and_weekdays_mean_either() {
    let reported = warned(&job("a", &json!("0 0 13 * 5")));
    assert!(reported.out.contains("a: at 00:00, on day 13 or Friday, Europe/Berlin; next 2"), "{reported:?}");
    assert!(reported.err.contains("day of month 13 and weekday 5 together mean either of them (for days that are both say `+5`) [both-days]"), "{reported:?}");
    assert_eq!(warned(&job("a", &json!("0 0 13 * +5"))).err, "");
    assert_eq!(warned(&job("a", &json!("0 0 * * 5"))).err, "");
}

#[test]
fn report_40_check_advises_an_interval_for_an_uneven_step() {
    for (crontab, wanted) in [
        (
            "*/40 * * * *",
            "*/40 in the field minute is not every 40: it begins anew each time (for a true interval say `every: 40m`)",
        ),
        ("0 */7 * * *", "`every: 7h`"),
        ("0 0 */2 * *", "`every: 2d`"),
        ("0,*/45 * * * *", "`every: 45m`"),
    ] {
        let reported = warned(&job("a", &json!(crontab))).err;
        assert!(reported.contains(wanted) && reported.contains("[uneven-step]"), "{crontab}: {reported}");
    }
    for crontab in ["*/15 * * * *", "0 */6 * * *", "0 0 1 */3 *", "8-18/2 * * * *"] {
        assert_eq!(warned(&job("a", &json!(crontab))).err, "", "{crontab}");
    }
}

#[test]
fn check_warns_of_an_implicit_zone() {
    let bare = |schedule: Value| {
        let mut job = job("a", &schedule);
        job.as_object_mut().expect("an object").remove("timezone");
        job
    };
    for schedule in [
        json!("0 3 * * *"),
        json!("@daily"),
        json!({ "at": "2100-01-01" }),
        json!({ "every": "1h", "from": "2100-01-01" }),
    ] {
        assert!(warned(&bare(schedule.clone())).err.contains("[default-zone]"), "{schedule}");
        let realm = json!({ "realm": "r", "config": { "TIMEZONE": "Asia/Tokyo" } });
        assert_eq!(warned(&json!([realm, bare(schedule)])).err, "");
    }
    for schedule in [
        json!("*/5 * * * *"),
        json!("@hourly"),
        json!("@reboot"),
        json!({ "every": "1h" }),
        json!({ "at": "2100-01-01T00:00Z" }),
    ] {
        assert_eq!(warned(&bare(schedule.clone())).err, "", "{schedule}");
    }
}

#[test]
fn check_warns_of_many_starts_in_one_second() {
    let jobs = |count: usize| {
        json!((0..count).map(|n| job(&format!("j{n:02}"), &json!("0 5 * * *"))).collect::<Vec<_>>())
    };
    let reported = warned(&jobs(51));
    assert!(
        reported.err.contains("schedule: 51 starts come together at ")
            && reported
                .err
                .contains("of j00, j01, j02 and 48 more (`jitter: 5m` spreads them) [busy-second]"),
        "{reported:?}"
    );
    assert_eq!(warned(&jobs(50)).err, "");
    assert!(reported.out.contains("… and 1 more: -o wide shows all"), "{}", reported.out);
}

#[test]
fn report_41_check_refuses_huge_ranges_and_lists() {
    let pumice = Pumice::new();
    let instants = json!({ "at": vec!["1 March 2100"; 100_000] });
    for (schedule, wanted) in [
        (json!("1-100000000 * * * *"), "is not a crontab"),
        (json!(format!("{} * * * *", vec!["1"; 100_000].join(","))), "characters are more than 1000"),
        (instants, "at has 100000 instants, more than 1000"),
        (json!(vec!["* * * * *"; 10_000]), "10000 entries are more than 1000"),
        (json!({ "crontab": "@daily", "globals": { "lava_x": 1 } }), "the global \"lava_x\" is reserved"),
        (json!({ "crontab": "@daily", "timezone": "Mars/Base" }), "is not an IANA time zone"),
    ] {
        pumice.write("job.json", job("a", &schedule).to_string());
        let reported = refused(&pumice, &["check", "job.json"]);
        assert!(
            reported.contains(wanted) && reported.len() < 2_000,
            "{wanted}: {}",
            reported.get(..2_000).unwrap_or(&reported)
        );
    }
}

#[test]
fn days_of_a_calendar_may_stand_in_a_file() {
    let pumice = Pumice::new();
    let realm =
        json!({ "realm": "r", "calendars": { "free": { "days": ["2027-05-03"], "file": "days/free.txt" } } });
    pumice.write(
        "specs.json",
        json!([realm, job("a", &json!({ "crontab": "0 9 * * *", "skip": "free" }))]).to_string(),
    );
    let refused = |wanted: &str| {
        let printed = pumice.run(&["check", "specs.json"]);
        assert!(printed.status != 0 && printed.err.contains(wanted), "{wanted}: {printed:?}");
    };
    refused("[0].calendars.free.file: \"days/free.txt\": cannot be read");
    std::fs::create_dir(pumice.path().join("days")).expect("a folder");
    for (text, wanted) in [
        ("# nothing\n\n", "it has no day"),
        ("2027-05-01\n1 May 2027\n", "line 2: \"1\" is not a day: write it as 2026-12-25"),
        ("2027-05-09/2027-05-01", "line 1: \"2027-05-09/2027-05-01\" ends before it begins"),
    ] {
        pumice.write("days/free.txt", text);
        refused(wanted);
    }
    pumice.write(
        "days/free.txt",
        "\u{feff}# public holidays\r\n2027-05-01 Labour Day\r\n\r\n2027-05-05/2027-05-06,a bridge\r\n",
    );
    assert_eq!(pumice.run(&["apply", "specs.json"]).status, 0);
    let next =
        pumice.run(&["schedules", "next", "a", "--from", "2027-05-01", "--to", "2027-05-07", "-o", "json"]);
    let slots = next.json()["slots"].clone();
    let days: Vec<&str> =
        slots.as_array().expect("slots").iter().filter_map(|slot| slot["slot"].as_str()?.get(..10)).collect();
    assert_eq!(days, ["2027-05-02", "2027-05-04", "2027-05-07"]);
    // The stored realm has the days; one with a file's name shows why nothing starts.
    pumice.write("days/free.txt", "2027-05-02");
    let again = pumice
        .run(&["schedules", "next", "a", "--from", "2027-05-01", "--to", "2027-05-03", "-o", "json"])
        .json();
    assert_eq!(again["slots"][0]["slot"].as_str().and_then(|slot| slot.get(..10)), Some("2027-05-02"));
}
