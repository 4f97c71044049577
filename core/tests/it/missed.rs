//! The missed slots in each run's template context (`schedule.missed`).

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{IN_TIME, JobSchedule, Looked, MAX_COUNTED, Timetable};
use pumice_core::ids::JobId;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

fn at(time: &str) -> Instant {
    format!("2026-03-01T{time}Z").parse().expect("a time")
}

fn plan(schedule: &Value) -> JobSchedule {
    let document = json!({
        "job_id": "a", "type": "log", "worker": "core", "enabled": true, "payload": null, "schedule": schedule,
    });
    let job = JobSpec::parse(&document).expect("a job");
    JobSchedule::of(&job, &RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm"), &Settings::default())
}

/// A look at a time, after nothing had looked since another.
fn look(plan: &JobSchedule, since: Instant, now: Instant) -> Looked {
    let timetable = Timetable::new(JobId::new("a").expect("an id"), since);
    let seen = timetable.look(plan, since, TimeDelta::zero()).next;
    seen.look(plan, now, TimeDelta::zero())
}

/// Each start with the missed slots that its run sees: the last, and how many.
fn told(schedule: &Value, since: &str, now: &str) -> Vec<(String, Option<(String, u32)>)> {
    let time = |at: Instant| at.format("%H:%M").to_string();
    let looked = look(&plan(schedule), at(since), at(now));
    let told = looked.starts.iter().map(|start| {
        let missed = start.missed.as_ref().map(|missed| (time(missed.to), missed.count));
        (time(start.slot.at), missed)
    });
    told.collect()
}

fn up_to(slot: &str, to: &str, count: u32) -> (String, Option<(String, u32)>) {
    (slot.to_owned(), Some((to.to_owned(), count)))
}

#[test]
fn made_up_slot_sees_missed_slots_up_to_itself() {
    let all = |window: &str| json!({ "crontab": "0 * * * *", "catch_up": "all", "window": window });
    let three = [up_to("08:00", "08:00", 1), up_to("09:00", "09:00", 2), up_to("10:00", "10:00", 3)];
    assert_eq!(told(&all("9h"), "07:30:00", "10:30:00"), three);
    // Those that are too old are missed all the same.
    assert_eq!(told(&all("2h"), "07:30:00", "10:30:00"), three[1..]);
    let last = json!({ "crontab": "0 * * * *" });
    assert_eq!(told(&last, "07:30:00", "10:30:00"), three[2..]);
}

#[test]
fn first_slot_in_time_sees_all_missed_and_the_next_none() {
    let minutely = |catch_up: &str| json!({ "crontab": "* * * * *", "catch_up": catch_up, "window": "3m" });
    let in_time = [up_to("10:04", "10:03", 4), ("10:05".to_owned(), None)];
    for catch_up in ["none", "last"] {
        assert_eq!(told(&minutely(catch_up), "09:59:30", "10:05:00"), in_time, "{catch_up}");
    }
    let late = [up_to("10:02", "10:02", 3), up_to("10:03", "10:03", 4)];
    assert_eq!(told(&minutely("all"), "09:59:30", "10:05:00"), [&late[..], &in_time].concat());
}

#[test]
fn runs_see_no_missed_slots_where_none_was_missed() {
    for catch_up in ["none", "last", "all"] {
        let schedule = json!({ "crontab": "* * * * *", "catch_up": catch_up });
        let in_time = [("09:59".to_owned(), None), ("10:00".to_owned(), None)];
        assert_eq!(told(&schedule, "09:58:30", "10:00:05"), in_time, "{catch_up}");
    }
}

#[test]
fn missed_never_spans_a_later_slot_and_counts_as_one_by_one() {
    for (crontab, window, jitter) in
        [("*/7 * * * *", "6h", "0s"), ("0,1,30 * * * *", "26h", "5m"), ("*/10 3,4,22 * * *", "9h", "0s")]
    {
        let schedule = json!({
            "crontab": crontab, "catch_up": "all", "window": window, "max": 500, "jitter": jitter,
        });
        let plan = plan(&schedule);
        let planned = plan.entries[0].as_ref().expect("an entry");
        let since = at("00:00:30");
        for minutes in (0..1_500).step_by(97) {
            let now = since + TimeDelta::minutes(minutes);
            let looked = look(&plan, since, now);
            let slots: Vec<Instant> =
                planned.entry(since).slots(since).map(|slot| slot.at).take(300).collect();
            let late = now - planned.jitter - IN_TIME;
            for start in &looked.starts {
                let is_told = |slot: &&Instant| **slot <= start.slot.at && **slot < late;
                let expected = slots.iter().filter(is_told).count();
                let Some(missed) = &start.missed else { continue };
                assert_eq!((missed.from, missed.count as usize), (slots[0], expected), "{crontab} {minutes}");
                assert!(missed.to <= start.slot.at, "{crontab} {minutes}: {missed:?} of {}", start.slot.at);
            }
            // Every run that was late sees some.
            let is_untold =
                |start: &&pumice_core::clock::Start| start.slot.at < late && start.missed.is_none();
            assert!(!looked.starts.iter().any(|start| is_untold(&start)), "{crontab} {minutes}");
        }
    }
}

#[test]
fn count_ends_where_slots_are_no_longer_counted() {
    let schedule =
        json!({ "every": "1m", "from": "2026-03-01T00:00Z", "catch_up": "all", "window": "30m", "max": 50 });
    let looked = look(&plan(&schedule), at("00:00:30"), at("20:00:00"));
    assert!(looked.starts.len() > 25);
    for start in looked.starts.iter().filter(|start| start.slot.at < at("19:58:30")) {
        let missed = start.missed.as_ref().expect("it was missed");
        assert_eq!((missed.to, missed.count), (start.slot.at, MAX_COUNTED));
    }
}
