//! Times of which a job has no slots, as it was not enabled, could not be read or was gone; and starts that are made up for.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{EntryPause, JobSchedule, Looked, MadeUp, State, Timetable, standings};
use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::spec::{JobSpec, RealmSpec};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

const NO_WAIT: TimeDelta = TimeDelta::zero();

fn at(time: &str) -> Instant {
    format!("2026-11-30T{time}Z").parse().expect("a time")
}

fn document(schedule: &Value, enabled: bool) -> Doc {
    let job = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": enabled, "payload": "true",
        "schedule": schedule });
    let Value::Object(job) = job else { unreachable!("it is an object") };
    job
}

/// A document that cannot be read.
fn broken(schedule: &Value) -> Doc {
    let mut job = document(schedule, true);
    job.remove("worker");
    assert!(JobSpec::stored(Arc::new(job.clone())).is_err());
    job
}

/// A job and its timetable, as a folder keeps them.
struct Folder {
    job: Doc,
    timetable: Timetable,
}

impl Folder {
    fn new(time: &str, job: Doc) -> Self {
        let timetable = Timetable::new(JobId::new("a").expect("an id"), at(time));
        let mut folder = Self { job, timetable };
        folder.look(time);
        folder
    }

    fn put(&mut self, time: &str, job: Doc) {
        self.timetable = self.timetable.edited(Some(&self.job), Some(&job), at(time));
        self.job = job;
    }

    fn plan(&self) -> JobSchedule {
        let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
        let job = JobSpec::stored(Arc::new(self.job.clone())).expect("a job");
        self.timetable.schedule_of(&job, &realm, &realm.settings)
    }

    fn look(&mut self, time: &str) -> Looked {
        let looked = match JobSpec::stored(Arc::new(self.job.clone())) {
            Ok(_) => self.timetable.look(&self.plan(), at(time), NO_WAIT),
            Err(why) => self.timetable.unreadable(&why.to_string(), at(time), at(time) + TimeDelta::hours(1)),
        };
        self.timetable = looked.next.clone();
        looked
    }

    fn starts(&mut self, time: &str) -> Vec<String> {
        let starts = self.look(time).starts;
        starts.iter().map(|start| start.slot.at.format("%H:%M").to_string()).collect()
    }

    fn pause(&mut self, time: &str, until: Option<&str>) {
        let pause = EntryPause { until: until.map(at), by: String::new(), why: String::new() };
        let paused = self.timetable.paused(&self.plan(), None, &pause, at(time)).next;
        self.timetable = paused.expect("it is paused");
    }

    fn resume(&mut self, time: &str) -> Vec<(usize, MadeUp)> {
        let held = self.timetable.resumed(&self.plan(), None, true, at(time));
        self.timetable = held.next.expect("it is resumed");
        held.made_up
    }
}

fn all() -> Value {
    json!({ "crontab": "*/10 * * * *", "catch_up": "all", "window": "12h" })
}

#[test]
fn time_without_enabled_has_no_slots_in_a_pause_or_halt_either() {
    for is_looked_at in [false, true] {
        for until in [None, Some("02:20:00"), Some("02:45:00"), Some("03:05:00")] {
            let mut folder = Folder::new("02:00:30", document(&all(), true));
            folder.pause("02:01:00", until);
            folder.put("02:15:00", document(&all(), false));
            if is_looked_at {
                for time in ["02:15:01", "02:21:00", "02:46:00"] {
                    assert_eq!(folder.starts(time), [""; 0], "{until:?}");
                }
            }
            folder.put("02:55:00", document(&all(), true));
            if until.is_none() {
                folder.resume("02:56:00");
            }
            let wanted: &[&str] = if until == Some("03:05:00") { &["03:10"] } else { &["03:00", "03:10"] };
            assert_eq!(folder.starts("03:10:30"), wanted, "{until:?}, {is_looked_at}");
        }
    }
}

#[test]
fn halted_entry_has_no_slots_of_the_time_without_enabled() {
    let schedule = json!({ "crontab": "* * * * *", "catch_up": "all", "window": "12h", "max": 5 });
    let mut folder = Folder::new("02:00:30", document(&schedule, true));
    folder.look("02:20:30");
    assert_eq!(folder.timetable.cursors[0].state, State::Halted);
    folder.put("02:21:00", document(&schedule, false));
    folder.look("02:21:01");
    folder.put("02:55:30", document(&schedule, true));
    folder.look("02:55:31");
    assert_eq!(folder.timetable.cursors[0].state, State::Halted, "an operator has to look at it");
    folder.resume("02:58:10");
    assert_eq!(folder.starts("02:58:10"), ["02:56", "02:57", "02:58"]);
}

#[test]
fn job_that_cannot_be_read_has_no_slots_meanwhile() {
    for schedule in [all(), json!({ "crontab": "*/10 * * * *", "catch_up": "none" })] {
        // With looks in between or without, and with a change that was noted or not.
        for (looks, is_noted) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut folder = Folder::new("02:00:30", document(&schedule, true));
            assert_eq!(folder.starts("02:10:00"), ["02:10"]);
            if is_noted {
                folder.put("02:15:00", broken(&schedule));
            } else {
                folder.job = broken(&schedule);
            }
            if looks {
                for time in ["02:15:01", "02:20:00", "03:20:00"] {
                    assert_eq!(folder.starts(time), [""; 0]);
                }
            }
            folder.put("04:59:50", document(&schedule, true));
            assert_eq!(folder.starts("05:00:10"), ["05:00"], "{schedule}, {looks}, {is_noted}");
            assert_eq!(folder.timetable.cursors[0].trouble, None);
        }
    }
}

#[test]
fn job_that_can_be_read_again_without_a_change_begins_then() {
    let mut folder = Folder::new("02:00:30", document(&all(), true));
    folder.put("02:05:00", broken(&all()));
    folder.look("02:05:01");
    // Another version of the program reads it.
    folder.job = document(&all(), true);
    assert_eq!(folder.starts("03:05:01"), [""; 0]);
    assert_eq!(folder.starts("03:10:01"), ["03:10"]);
}

#[test]
fn other_rules_leave_a_time_without_enabled_without_slots() {
    let mut folder = Folder::new("02:00:30", document(&all(), true));
    for (time, enabled) in [("02:05:00", false), ("02:35:00", true)] {
        folder.put(time, document(&all(), enabled));
    }
    folder.timetable = folder.timetable.under_other_rules(at("02:36:00"));
    assert_eq!(folder.starts("02:40:01"), ["02:40"]);
}

#[test]
fn entry_that_breaks_withdraws_its_run_made_ahead() {
    let ahead = TimeDelta::seconds(90);
    let calendars = json!({ "free": { "days": ["2027-01-01"] } });
    let plan = |calendars: &Value| {
        let realm = RealmSpec::parse(&json!({ "realm": "r", "calendars": calendars })).expect("a realm");
        let job = document(&json!({ "crontab": "0 * * * *", "skip": "free" }), true);
        let job = JobSpec::stored(Arc::new(job)).expect("a job");
        JobSchedule::of(&job, &realm, &realm.settings)
    };
    let (good, bad) = (plan(&calendars), plan(&json!({})));
    for is_made in [false, true] {
        let step = |timetable: &Timetable, plan: &JobSchedule, time: &str| {
            let looked = timetable.settled(plan, at(time));
            let looked = looked.unwrap_or_else(|| timetable.look(plan, at(time), ahead));
            looked.in_steps(timetable, at(time))
        };
        let new = Timetable::new(JobId::new("a").expect("an id"), at("02:30:00"));
        let mut timetable = step(&new, &good, "02:30:00").next;
        timetable = step(&timetable, &good, "02:30:00").next;
        timetable = step(&timetable, &good, "02:59:00").next;
        if is_made {
            timetable = step(&timetable, &good, "02:59:00").next;
        }
        timetable = timetable.touched(at("02:59:10"));
        let (mut cancelled, mut looks) = (Vec::new(), 0);
        loop {
            let looked = step(&timetable, &bad, "02:59:11");
            assert!(looked.starts.is_empty());
            cancelled.extend(looked.withdrawn);
            (timetable, looks) = (looked.next, looks + 1);
            if !looked.again {
                break;
            }
            assert!(looks < 5, "{timetable:?}");
        }
        assert_eq!(cancelled, ["schedule:2026-11-30T03:00:00Z"], "{is_made}");
        assert!(!timetable.is_unfinished() && timetable.cursors[0].ahead.is_empty());
        assert_eq!((timetable.cursors[0].next, timetable.due_at), (None, None));
    }
}

#[test]
fn last_missed_slot_is_made_up_for_before_one_to_come() {
    for ahead in [0, 90] {
        let mut folder = Folder::new("08:30:00", document(&json!("0 * * * *"), true));
        let plan = folder.plan();
        let looked = folder.timetable.look(&plan, at("09:59:00"), TimeDelta::seconds(ahead));
        let starts: Vec<(String, bool)> = looked
            .starts
            .iter()
            .map(|start| (start.slot.at.format("%H:%M").to_string(), start.missed.is_some()))
            .collect();
        let mut wanted = vec![("09:00".to_owned(), true)];
        if ahead > 0 {
            wanted.push(("10:00".to_owned(), false));
        }
        assert_eq!(starts, wanted);
        folder.timetable = looked.next;
        let later: &[&str] = if ahead > 0 { &[] } else { &["10:00"] };
        assert_eq!(folder.starts("10:00:01"), later);
    }
}

#[test]
fn resumption_with_catch_up_counts_what_it_passes_over() {
    let of = |mut schedule: Value, enabled: bool| {
        schedule["crontab"] = json!("0 * * * *");
        let mut folder = Folder::new("00:30:00", document(&schedule, true));
        folder.pause("00:40:00", None);
        if !enabled {
            folder.put("00:41:00", document(&schedule, false));
        }
        let made_up = folder.resume("04:30:00").remove(0).1;
        let starts = u32::try_from(folder.starts("04:30:00").len()).expect("a few");
        assert_eq!(made_up.starts, starts, "{schedule}");
        (made_up.starts, made_up.passed_over, made_up.why.unwrap_or_default())
    };
    assert_eq!(of(json!({ "catch_up": "all", "window": "1d" }), true), (4, 0, String::new()));
    assert_eq!(of(json!({ "catch_up": "last" }), true), (1, 3, "catch_up is last".to_owned()));
    assert_eq!(of(json!({ "catch_up": "none" }), true), (0, 4, "catch_up is none".to_owned()));
    let old = |window: &str| format!("they are older than the window of {window}");
    assert_eq!(of(json!({ "catch_up": "all" }), true), (1, 3, old("1h")));
    assert_eq!(of(json!({ "catch_up": "last", "window": "10m" }), true), (0, 4, old("10m")));
    let limited = json!({ "catch_up": "all", "window": "1d", "max_runs": 2 });
    assert_eq!(of(limited, true).0, 2);
    assert_eq!(of(json!({ "catch_up": "all" }), false), (0, 4, "the job is not enabled".to_owned()));
}

#[test]
fn start_at_once_is_last_until_a_slot_is_started() {
    let schedule = json!({ "every": "1h", "run_now": true });
    let mut folder = Folder::new("02:00:30", document(&schedule, true));
    let last = |folder: &Folder, time: &str| standings(&folder.plan(), &folder.timetable, at(time))[0].last;
    assert_eq!(last(&folder, "02:30:00"), Some(at("02:00:30")));
    assert_eq!(folder.starts("03:00:30"), ["03:00"]);
    assert_eq!(last(&folder, "03:01:00"), Some(at("03:00:30")));
}
