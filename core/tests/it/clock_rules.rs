//! Rules of the clock that its users meet at the edges: zones that change, long holidays, refused starts, pauses of entries
//! that nothing has looked at.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{Entry, EntryPause, JobSchedule, PlannedEntry, State, Timetable, rules_of, utc};
use pumice_core::ids::JobId;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

const NO_WAIT: TimeDelta = TimeDelta::zero();

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn realm(config: &Value) -> RealmSpec {
    let summer = json!({ "days": ["2027-07-01/2027-08-31"] });
    let closed = json!({ "weekdays": "mon-sun" });
    RealmSpec::parse(
        &json!({ "realm": "r", "calendars": { "summer": summer, "closed": closed }, "config": config }),
    )
    .expect("a realm")
}

fn plan_in(zone: &str, schedule: Value) -> JobSchedule {
    let realm = realm(&json!({ "TIMEZONE": zone }));
    let document = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true",
        "schedule": schedule });
    let Value::Object(document) = document else { unreachable!() };
    let job = JobSpec::stored(std::sync::Arc::new(document)).expect("a job");
    JobSchedule::of(&job, &realm, &realm.settings)
}

fn plan(schedule: Value) -> JobSchedule {
    plan_in("UTC", schedule)
}

fn planned(plan: &JobSchedule, entry: usize) -> &PlannedEntry {
    plan.entries[entry].as_ref().expect("an entry")
}

fn fresh(at: &str) -> Timetable {
    Timetable::new(JobId::new("a").expect("an id"), instant(at))
}

fn seen(plan: &JobSchedule, at: &str) -> Timetable {
    fresh(at).look(plan, instant(at), NO_WAIT).next
}

fn slots(plan: &JobSchedule, after: &str, count: usize) -> Vec<String> {
    let entry: Entry = planned(plan, 0).entry(instant(after));
    entry.slots(instant(after)).take(count).map(|slot| utc(slot.at)).collect()
}

#[test]
fn zone_of_an_interval_without_wall_times_makes_no_edit() {
    for (schedule, is_same) in [
        (json!({ "every": "24h" }), true),
        (json!({ "every": "24h", "from": "2026-03-01T00:00:00Z", "to": "2027-03-01T00:00:00+01:00" }), true),
        (json!({ "at": ["2026-04-01T00:00:00Z"], "max_runs": 1 }), true),
        (json!("@reboot"), true),
        (json!({ "every": "24h", "from": "2026-03-01" }), false),
        (json!({ "every": "24h", "to": "2027-03-01T10:00" }), false),
        (json!({ "every": "24h", "skip": "summer" }), false),
        (json!({ "at": ["2026-04-01T00:00:00Z", "2026-04-01T10:00"] }), false),
        (json!("0 12 * * *"), false),
    ] {
        let [york, berlin] =
            ["America/New_York", "Europe/Berlin"].map(|zone| plan_in(zone, schedule.clone()));
        let [one, other] = [&york, &berlin].map(|plan| &planned(plan, 0).fingerprint);
        assert_eq!(one == other, is_same, "{schedule}");
    }
}

#[test]
fn zone_change_keeps_the_phase_and_the_count_of_an_interval() {
    let york = plan_in("America/New_York", json!([{ "every": "24h" }, { "every": "2s", "max_runs": 1 }]));
    let berlin = plan_in("Europe/Berlin", json!([{ "every": "24h" }, { "every": "2s", "max_runs": 1 }]));
    let first = seen(&york, "2026-03-01T10:00:01Z");
    let over = first.look(&york, instant("2026-03-01T10:00:10Z"), NO_WAIT).next;
    assert_eq!(over.cursors[1].started, 1);
    let looked =
        over.touched(instant("2026-03-01T20:00:00Z")).look(&berlin, instant("2026-03-01T20:00:00Z"), NO_WAIT);
    assert!(looked.starts.is_empty(), "{:?}", looked.starts);
    let next: Vec<_> = looked.next.cursors.iter().map(|cursor| cursor.next).collect();
    assert_eq!(next, [Some(instant("2026-03-02T10:00:01Z")), None]);
}

#[test]
fn slot_is_shifted_over_a_holiday_of_any_length() {
    let shifted = |crontab: &str, shift: &str, after: &str| {
        let plan = plan(json!({ "crontab": crontab, "skip": "summer", "shift": shift }));
        slots(&plan, after, 3)
    };
    assert_eq!(
        shifted("0 9 1 7 *", "next", "2026-12-01T00:00:00Z"),
        ["2027-09-01T09:00:00Z", "2028-07-01T09:00:00Z", "2029-07-01T09:00:00Z"]
    );
    assert_eq!(
        shifted("0 9 15 8 *", "previous", "2026-12-01T00:00:00Z"),
        ["2027-06-30T09:00:00Z", "2028-08-15T09:00:00Z", "2029-08-15T09:00:00Z"]
    );
    // In the middle of it, at its end, and on the very day, before and after the time.
    for (after, wanted) in [
        ("2027-08-31T23:00:00Z", "2027-09-01T09:00:00Z"),
        ("2027-09-01T08:59:59Z", "2027-09-01T09:00:00Z"),
        ("2027-09-01T09:00:00Z", "2028-07-01T09:00:00Z"),
    ] {
        assert_eq!(shifted("0 9 1 7 *", "next", after)[0], wanted, "{after}");
    }
    // Many slots of one holiday are one start.
    assert_eq!(
        shifted("0 9 * * *", "next", "2027-06-29T12:00:00Z"),
        ["2027-06-30T09:00:00Z", "2027-09-01T09:00:00Z", "2027-09-02T09:00:00Z"]
    );
    let none = plan(json!({ "crontab": "0 9 * * *", "skip": "closed", "shift": "next" }));
    assert_eq!(slots(&none, "2026-12-01T00:00:00Z", 1), [] as [&str; 0]);
    let none = plan(json!({ "crontab": "0 9 * * *", "skip": "closed", "shift": "previous" }));
    assert_eq!(slots(&none, "2026-12-01T00:00:00Z", 1), [] as [&str; 0]);
}

#[test]
fn pause_of_an_entry_that_is_removed_pauses_no_other() {
    let pause = EntryPause { until: None, by: "pele".to_owned(), why: "w".to_owned() };
    let all = plan(json!(["0 1 * * *", "0 2 * * *", "0 3 * * *"]));
    for (which, rest) in [
        (0, json!(["0 2 * * *", "0 3 * * *"])),
        (1, json!(["0 1 * * *", "0 3 * * *"])),
        (2, json!(["0 1 * * *", "0 2 * * *"])),
    ] {
        let now = instant("2026-03-01T10:00:00Z");
        let paused = fresh("2026-03-01T09:00:00Z").paused(&all, Some(which), &pause, now);
        let paused = paused.next.expect("it is paused");
        let is_paused = |timetable: &Timetable| -> Vec<bool> {
            let states = timetable.cursors.iter().map(|cursor| matches!(cursor.state, State::Paused { .. }));
            states.collect()
        };
        assert_eq!(is_paused(&paused), [which == 0, which == 1, which == 2]);
        let edited = paused.touched(now).look(&plan(rest), now, NO_WAIT).next;
        assert_eq!(is_paused(&edited), [false, false], "{which}");
        let cursors = edited.cursors.iter().map(|cursor| cursor.next.is_some()).collect::<Vec<_>>();
        assert_eq!(cursors, [true, true]);
    }
}

#[test]
fn entry_beside_a_paused_one_is_new_to_the_first_look() {
    let pause = EntryPause { until: None, by: String::new(), why: String::new() };
    let both = plan(json!(["0 1 * * *", { "crontab": "0 2 * * *", "run_now": true }]));
    let now = instant("2026-03-01T10:00:00Z");
    let paused =
        fresh("2026-03-01T09:00:00Z").paused(&both, Some(0), &pause, now).next.expect("it is paused");
    let looked = paused.look(&both, now, NO_WAIT);
    let starts: Vec<_> = looked.starts.iter().map(|start| (start.entry, utc(start.slot.at))).collect();
    assert_eq!(starts, [(1, "2026-03-01T09:00:00Z".to_owned())]);
    assert!(looked.next.cursors.iter().all(|cursor| !cursor.unseen));
}

#[test]
fn refused_start_is_known_until_the_next_and_does_not_count() {
    let both = plan(json!([{ "every": "4s", "from": "2026-03-01T00:00:00Z" },
        { "every": "20s", "from": "2026-03-01T00:00:00Z", "max_runs": 1, "parameters": { "nosuch": 1 } }]));
    let timetable = seen(&both, "2026-03-01T10:00:01Z");
    let looked = timetable.look(&both, instant("2026-03-01T10:00:20Z"), NO_WAIT);
    let refused = looked.starts.iter().find(|start| start.entry == 1).expect("it is due").clone();
    let mut next = looked.next;
    assert_eq!((next.cursors[1].started, next.cursors[1].next), (1, None));
    next.refuse(&both, &[(refused, "no such field".to_owned())], false);
    assert_eq!(next.cursors[1].started, 0);
    assert_eq!(next.cursors[1].next, Some(instant("2026-03-01T10:00:40Z")));
    assert!(next.due_at <= next.cursors[1].next);
    // The other entry has the job looked at meanwhile.
    let trouble = |timetable: &Timetable| timetable.cursors[1].trouble.clone();
    let later = next.look(&both, instant("2026-03-01T10:00:24Z"), NO_WAIT).next;
    assert_eq!(trouble(&later).as_deref(), Some("no such field"));
    let again = later.look(&both, instant("2026-03-01T10:00:40Z"), NO_WAIT);
    assert_eq!(again.starts.iter().filter(|start| start.entry == 1).count(), 1);
    assert_eq!(trouble(&again.next), None, "the next start is another one");
    let edited = later.touched(instant("2026-03-01T10:00:25Z"));
    assert_eq!(trouble(&edited.look(&both, instant("2026-03-01T10:00:26Z"), NO_WAIT).next), None);
}

#[test]
fn refused_start_on_one_of_two_hosts_counts() {
    let all = plan(json!({ "every": "20s", "from": "2026-03-01T00:00:00Z", "max_runs": 1 }));
    let looked = seen(&all, "2026-03-01T10:00:01Z").look(&all, instant("2026-03-01T10:00:20Z"), NO_WAIT);
    let mut next = looked.next;
    next.refuse(&all, &[(looked.starts[0].clone(), "gone".to_owned())], true);
    assert_eq!((next.cursors[0].started, next.cursors[0].next), (1, None));
    assert_eq!(next.cursors[0].trouble.as_deref(), Some("gone"));
}

#[test]
fn instants_within_a_second_are_one_slot() {
    let plan =
        plan(json!({ "at": ["2026-03-01T11:27:43.2Z", "2026-03-01T11:27:43.7Z", "2026-03-01T11:27:44Z"] }));
    assert_eq!(slots(&plan, "2026-03-01T00:00:00Z", 5), ["2026-03-01T11:27:43Z", "2026-03-01T11:27:44Z"]);
}

#[test]
fn window_with_parts_of_a_second_names_whole_seconds() {
    let plan =
        plan(json!({ "every": "10s", "from": "2026-03-01T10:00:00.5Z", "to": "2026-03-01T10:00:21.9Z" }));
    let entry = planned(&plan, 0).entry(instant("2026-03-01T00:00:00Z"));
    let slots: Vec<_> = entry.slots(instant("2026-03-01T00:00:00Z")).map(|slot| slot.at).collect();
    let wanted = ["2026-03-01T10:00:01Z", "2026-03-01T10:00:11Z", "2026-03-01T10:00:21Z"].map(instant);
    assert_eq!(slots, wanted);
}

#[test]
fn previous_slot_is_that_of_the_plan() {
    let previous = |plan: &JobSchedule, timetable: &Timetable, at: &str| -> Vec<Option<String>> {
        let looked = timetable.look(plan, instant(at), NO_WAIT);
        looked.starts.iter().map(|start| start.previous.map(utc)).collect()
    };
    let slot = |text: &str| Some(text.to_owned());
    let minutes = plan(json!({ "crontab": "* * * * *", "catch_up": "none" }));
    let first = seen(&minutes, "2026-03-01T11:30:30Z");
    assert_eq!(previous(&minutes, &first, "2026-03-01T11:31:00Z"), [slot("2026-03-01T11:30:00Z")]);
    // After three minutes in which nothing looked: those in time follow the ones that were passed over.
    let one = first.look(&minutes, instant("2026-03-01T11:31:00Z"), NO_WAIT).next;
    assert_eq!(
        previous(&minutes, &one, "2026-03-01T11:35:14Z"),
        [slot("2026-03-01T11:33:00Z"), slot("2026-03-01T11:34:00Z")]
    );
    let rare = plan(json!("0 0 29 2 *"));
    let first = seen(&rare, "2028-02-28T00:00:00Z");
    assert_eq!(previous(&rare, &first, "2028-02-29T00:00:00Z"), [slot("2024-02-29T00:00:00Z")]);
    let interval = plan(json!({ "every": "1h", "from": "2026-03-01T12:00:00Z" }));
    let first = seen(&interval, "2026-03-01T11:00:00Z");
    assert_eq!(previous(&interval, &first, "2026-03-01T12:00:00Z"), [None]);
    let now = plan(json!({ "crontab": "0 3 * * *", "run_now": true }));
    let looked = fresh("2026-03-01T11:00:00Z").look(&now, instant("2026-03-01T11:00:00Z"), NO_WAIT);
    assert_eq!(looked.starts[0].previous, Some(instant("2026-03-01T03:00:00Z")));
}

#[test]
fn rules_of_a_realm_are_its_zones_dispatchers_and_calendars() {
    let of = |config: Value| {
        let (realm, _) = realm(&config).with_lava_table();
        rules_of(&realm, &realm.settings)
    };
    let plain = of(json!({}));
    assert_eq!(plain, of(json!({ "CMD_TIMEOUT": "5m" })));
    for config in [
        json!({ "TIMEZONE": "Europe/Berlin" }),
        json!({ "DISPATCHER_ZONES": { "x": "Europe/Berlin" } }),
        json!({ "DISPATCHERS": ["x"] }),
        json!({ "FOREIGN_WORKERS": ["x"] }),
    ] {
        assert_ne!(plain, of(config.clone()), "{config}");
    }
    let in_folder = realm(&json!({ "FOREIGN_WORKERS": ["x"] }));
    assert_eq!(plain, rules_of(&in_folder, &in_folder.settings), "no lava worker can be in a folder");
    let other =
        RealmSpec::parse(&json!({ "realm": "r", "calendars": { "summer": { "days": ["2027-07-02"] } } }));
    assert_ne!(plain, rules_of(&other.expect("a realm"), &Settings::default()));
}

#[test]
fn look_by_other_rules_needs_the_realm_as_it_is() {
    let plan = plan(json!("0 12 * * *"));
    let rules = plan.rules.clone().expect("a plan has rules");
    let timetable = seen(&plan, "2026-03-01T08:00:00Z");
    assert!(!timetable.needs_new_realm(&rules));
    assert!(timetable.needs_new_realm("others"));
    assert!(timetable.touched(instant("2026-03-01T09:00:00Z")).needs_new_realm(&rules));
}

#[test]
fn settings_over_a_realm_keep_what_the_environment_says() {
    let environment = |name: &str| (name == "LAVA_TIMEZONE").then(|| "Asia/Tokyo".to_owned());
    let before = realm(&json!({ "TIMEZONE": "Europe/Berlin" })).settings;
    let after = realm(&json!({ "TIMEZONE": "America/New_York", "DISPATCHERS": ["x"] })).settings;
    let zone = |settings: &Settings| settings.timezone.map(|zone| zone.to_string());
    assert_eq!(zone(&before.over(&after)).as_deref(), Some("America/New_York"));
    let given = before.with_environment(&environment).expect("it holds").over(&after);
    assert_eq!(zone(&given).as_deref(), Some("Asia/Tokyo"));
    assert_eq!(given.dispatchers, Some(vec!["x".to_owned()]));
}

#[test]
fn stored_time_in_doubt_starts_the_job_with_a_warning() {
    let document = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true",
        "schedule": { "crontab": "0 3 * * *", "to": "Mon, 1 Mar 2027 03:00:00 EST" } });
    let error = JobSpec::parse(&document).expect_err("it is given").to_string();
    assert!(error.contains("names the zone \"EST\", which is not read"), "{error}");
    let Value::Object(fields) = document else { unreachable!() };
    let job = JobSpec::stored(std::sync::Arc::new(fields)).expect("it runs");
    let warnings: Vec<String> = job.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|told| told.contains("EST")), "{warnings:?}");
    assert_eq!(job.fields.schedule.0.len(), 1);
    let realm = realm(&json!({}));
    let plan = JobSchedule::of(&job, &realm, &realm.settings);
    assert_eq!(slots(&plan, "2027-02-27T12:00:00Z", 9), ["2027-02-28T03:00:00Z", "2027-03-01T03:00:00Z"]);
}

#[test]
fn jitter_moves_no_slot_of_an_interval_from_the_time_it_was_seen() {
    let at = "2026-11-29T16:22:10Z";
    let mut starts = std::collections::BTreeSet::new();
    for number in 0..8 {
        let schedule = json!({ "every": "1m", "jitter": "40s" });
        let document = json!({ "job_id": format!("job-{number}"), "type": "cmd", "worker": "core", "enabled": true,
            "payload": "true", "schedule": schedule });
        let Value::Object(document) = document else { unreachable!() };
        let job = JobSpec::stored(std::sync::Arc::new(document)).expect("a job");
        let realm = realm(&json!({}));
        let plan = JobSchedule::of(&job, &realm, &realm.settings);
        let timetable = Timetable::new(job.fields.job_id.clone(), instant(at));
        let timetable = timetable.look(&plan, instant(at), NO_WAIT).next;
        // Its slots are those without jitter, and its starts are late by it.
        let looked = timetable.look(&plan, instant("2026-11-29T16:23:55Z"), NO_WAIT);
        let start = looked.starts.first().expect("it starts");
        assert_eq!(utc(start.slot.at), "2026-11-29T16:23:10Z");
        assert_eq!(start.at, start.slot.at + planned(&plan, 0).jitter);
        assert_eq!(timetable.due_at, Some(start.at));
        starts.insert(start.at);
    }
    assert!(starts.len() > 4, "{starts:?}");
}

#[test]
fn range_of_weekdays_from_sunday_to_sunday_is_sunday() {
    for (weekdays, days) in [
        ("sun-sun", 1),
        ("SUN-Sun", 1),
        ("0-sun", 1),
        ("mon-sun", 7),
        ("fri-sun", 3),
        ("0-7", 7),
        ("sun-sun,3", 2),
    ] {
        let plan = plan(json!(format!("0 9 * * {weekdays}")));
        let week = slots(&plan, "2026-11-30T00:00:00Z", days + 1);
        let last_of_week = instant(&week[days - 1]);
        assert!(last_of_week < instant("2026-12-07T00:00:00Z"), "{weekdays}: {week:?}");
        assert!(instant(&week[days]) >= instant("2026-12-07T00:00:00Z"), "{weekdays}: {week:?}");
    }
}
