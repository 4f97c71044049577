//! Changes of a job that follow one another before anything looks at the clock, and entries that are due at the same times.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::backfill::{BackfillEntry, BackfillRequest, Only};
use pumice_core::clock::{Backfill, EntryPause, JobSchedule, Looked, State, Timetable, standings, utc};
use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::spec::{JobSpec, RealmSpec};
use serde_json::{Value, json};

const NO_WAIT: TimeDelta = TimeDelta::zero();

fn instant(text: &str) -> DateTime<Utc> {
    format!("2026-11-30T{text}Z").parse().expect("a time")
}

fn document(schedule: Value, more: &Value) -> Doc {
    let mut job = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true",
        "schedule": schedule });
    for (name, value) in more.as_object().expect("fields") {
        job[name] = value.clone();
    }
    let Value::Object(job) = job else { unreachable!("it is an object") };
    job
}

/// A job and its timetable, as a folder keeps them.
#[derive(Default)]
struct Folder {
    job: Option<Doc>,
    timetable: Option<Timetable>,
}

impl Folder {
    fn change(&mut self, at: &str, job: Option<Doc>) -> &mut Self {
        let at = instant(at);
        let edited = match &self.timetable {
            Some(known) => known.edited(self.job.as_ref(), job.as_ref(), at),
            None => Timetable::new(JobId::new("a").expect("an id"), at),
        };
        (self.job, self.timetable) = (job, Some(edited));
        self
    }

    fn put(&mut self, at: &str, schedule: Value) -> &mut Self {
        self.change(at, Some(document(schedule, &json!({}))))
    }

    fn plan(&self) -> JobSchedule {
        let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
        let Some(job) = &self.job else { return JobSchedule::none() };
        let job = JobSpec::stored(std::sync::Arc::new(job.clone())).expect("a job");
        self.timetable.as_ref().expect("it was put").schedule_of(&job, &realm, &realm.settings)
    }

    fn look(&mut self, at: &str) -> Looked {
        let looked = self.timetable.as_ref().expect("it was put").look(&self.plan(), instant(at), NO_WAIT);
        self.timetable = Some(looked.next.clone());
        looked
    }

    /// The slots that a look starts, with their entries.
    fn starts(&mut self, at: &str) -> Vec<String> {
        let starts = self.look(at).starts;
        starts.iter().map(|start| format!("{} {}", start.entry, start.slot.at.format("%H:%M"))).collect()
    }
}

fn hourly() -> Value {
    json!({ "crontab": "0 * * * *", "catch_up": "all", "window": "12h" })
}

#[test]
fn job_that_was_deleted_meanwhile_begins_anew() {
    let mut folder = Folder::default();
    folder.put("00:30:00", hourly());
    assert_eq!(folder.starts("01:00:01"), ["0 01:00"]);
    folder.change("01:30:00", None).put("04:30:00", hourly());
    // Neither the slots while it was not there nor those before.
    assert_eq!(folder.starts("05:00:01"), ["0 05:00"]);
    let limited = json!({ "crontab": "0 * * * *", "max_runs": 1, "run_now": true });
    let mut folder = Folder::default();
    folder.put("00:30:00", limited.clone());
    assert_eq!(folder.starts("00:30:01"), ["0 00:30"]);
    assert!(folder.starts("01:00:01").is_empty());
    folder.change("01:30:00", None).put("01:30:05", limited);
    assert_eq!(folder.starts("01:31:00"), ["0 01:30"]);
}

#[test]
fn time_without_enabled_has_no_slots() {
    let mut folder = Folder::default();
    folder.put("00:30:00", hourly());
    assert_eq!(folder.starts("01:00:01"), ["0 01:00"]);
    let off = document(hourly(), &json!({ "enabled": false }));
    folder.change("01:30:00", Some(off)).put("04:30:00", hourly());
    assert_eq!(folder.starts("05:00:01"), ["0 05:00"]);
}

#[test]
fn schedule_that_was_another_meanwhile_begins_with_the_last_change() {
    let mut folder = Folder::default();
    folder.put("00:30:00", hourly());
    assert_eq!(folder.starts("01:00:01"), ["0 01:00"]);
    folder.put("01:30:00", json!("30 12 * * *")).put("04:30:00", hourly());
    assert_eq!(folder.starts("05:00:01"), ["0 05:00"]);
}

#[test]
fn edit_of_other_fields_keeps_slots_that_no_look_has_seen() {
    for is_looked_at in [false, true] {
        let mut folder = Folder::default();
        folder.put("00:30:00", hourly());
        if is_looked_at {
            folder.look("00:30:01");
        }
        for (at, payload) in [("02:30:00", "echo one"), ("03:30:00", "echo two")] {
            folder.change(at, Some(document(hourly(), &json!({ "payload": payload, "max_tries": 2 }))));
        }
        assert_eq!(folder.starts("04:00:01"), ["0 01:00", "0 02:00", "0 03:00", "0 04:00"]);
    }
}

#[test]
fn entries_of_several_edits_begin_when_they_came() {
    let other = json!({ "crontab": "15 * * * *", "catch_up": "all", "window": "12h", "run_now": true });
    let mut folder = Folder::default();
    folder.put("00:30:00", json!([hourly()])).put("02:30:00", json!([hourly(), other]));
    folder.put("03:30:00", json!([other, hourly()]));
    // The second is first seen at 02:30, and starts once at once.
    let mut starts = folder.starts("04:00:01");
    starts.sort();
    let named = ["0 02:30", "0 02:30", "0 03:15", "1 01:00", "1 02:00", "1 03:00", "1 04:00"];
    assert!(starts.iter().all(|start| named.contains(&start.as_str())) && starts.len() == 6, "{starts:?}");
    assert!(folder.starts("04:00:02").is_empty());
}

#[test]
fn pause_of_a_job_lives_through_edits_and_not_through_its_deletion() {
    let pause = EntryPause { until: None, by: "ann".to_owned(), why: "audit".to_owned() };
    let paused = || {
        let mut folder = Folder::default();
        folder.put("00:30:00", hourly()).look("00:30:01");
        let held =
            folder.timetable.as_ref().unwrap().paused(&folder.plan(), None, &pause, instant("00:40:00"));
        folder.timetable = held.next;
        folder.look("00:40:01");
        folder
    };
    let mut edited = paused();
    edited.put("01:30:00", json!("30 12 * * *")).put("02:30:00", hourly());
    assert!(edited.starts("03:00:01").is_empty());
    assert!(matches!(edited.timetable.as_ref().unwrap().cursors[0].state, State::Paused { .. }));
    let mut gone = paused();
    gone.change("01:30:00", None).put("02:30:00", hourly());
    assert_eq!(gone.starts("03:00:01"), ["0 03:00"]);
    // A pause that is asked for between the changes and the look keeps to what the changes say.
    let mut asked = Folder::default();
    asked.put("00:30:00", hourly()).look("00:30:01");
    asked.change("01:30:00", None).put("02:30:00", hourly());
    let held = asked.timetable.as_ref().unwrap().paused(&asked.plan(), None, &pause, instant("02:40:00"));
    let held = held.next.expect("it is paused");
    assert_eq!((held.superseded.len(), utc(held.cursors[0].since)), (0, utc(instant("02:30:00"))));
}

#[test]
fn many_changes_take_bounded_room() {
    let mut folder = Folder::default();
    for turn in 0..500 {
        folder.put("00:30:00", json!([hourly(), format!("{} * * * *", turn % 60)]));
    }
    let kept = folder.timetable.as_ref().unwrap().superseded.len();
    assert!((2..=20).contains(&kept), "{kept}");
    assert_eq!(folder.starts("01:00:01").first().map(String::as_str), Some("0 01:00"));
    let many: Vec<String> =
        (0..2_000).map(|minute| format!("{} {} * * *", minute % 60, minute % 24)).collect();
    for turn in 0..4 {
        let list: Vec<String> = many.iter().cloned().chain([format!("{turn} * * * *")]).collect();
        folder.put("01:30:00", json!(list));
    }
    let bytes = serde_json::to_string(&folder.timetable.as_ref().unwrap().superseded).unwrap().len();
    assert!(bytes < 70_000, "{bytes}");
}

/// Two entries that are due at the same times, for two regions.
fn region(name: &str) -> Value {
    json!({ "crontab": "0 * * * *", "globals": { "region": name } })
}

#[test]
fn entries_due_at_the_same_times_keep_their_cursors_by_what_they_give() {
    let mut folder = Folder::default();
    folder.put("00:30:00", json!([region("eu"), region("us")])).look("00:30:01");
    let pause = EntryPause { until: None, by: "ann".to_owned(), why: "audit".to_owned() };
    let timetable = folder.timetable.as_ref().unwrap();
    folder.timetable = timetable.paused(&folder.plan(), Some(0), &pause, instant("00:40:00")).next;
    folder.look("00:40:01");
    // One comes in front, they change places, one goes.
    for (at, regions, paused) in [
        ("00:41:00", vec!["asia", "eu", "us"], vec![false, true, false]),
        ("00:42:00", vec!["us", "asia", "eu"], vec![false, false, true]),
        ("00:43:00", vec!["us", "eu"], vec![false, true]),
        ("00:44:00", vec!["eu"], vec![true]),
        // Its values are edited: it is the same entry.
        ("00:45:00", vec!["africa"], vec![true]),
    ] {
        let list: Vec<Value> = regions.iter().map(|name| region(name)).collect();
        folder.put(at, list.into()).look(at);
        let cursors = &folder.timetable.as_ref().unwrap().cursors;
        let states: Vec<bool> = cursors.iter().map(|one| matches!(one.state, State::Paused { .. })).collect();
        assert_eq!(states, paused, "{regions:?}");
    }
}

#[test]
fn runs_of_an_entry_are_counted_for_it_when_another_comes_in_front() {
    let limited = |name: &str| {
        let mut entry = region(name);
        entry["max_runs"] = json!(2);
        entry
    };
    let mut folder = Folder::default();
    folder.put("00:30:00", json!([limited("eu")])).look("00:30:01");
    assert_eq!(folder.starts("01:00:01"), ["0 01:00"]);
    folder.put("01:30:00", json!([limited("us"), limited("eu")])).look("01:30:01");
    let started = |folder: &Folder| -> Vec<u32> {
        let (timetable, plan) = (folder.timetable.as_ref().unwrap(), folder.plan());
        standings(&plan, timetable, instant("01:30:02")).iter().map(|one| one.started).collect()
    };
    assert_eq!(started(&folder), [0, 1]);
    assert_eq!(folder.starts("02:00:01"), ["0 02:00", "1 02:00"]);
    assert_eq!(folder.starts("03:00:01"), ["0 03:00"]);
}

#[test]
fn backfill_goes_on_with_its_entry_or_stops() {
    let mut folder = Folder::default();
    folder.put("00:30:00", json!([region("eu"), region("us")])).look("00:30:01");
    let asked = BackfillRequest {
        entry: Some(0),
        from: instant("01:00:00"),
        to: instant("04:00:00"),
        only: Only::Missing,
        max_active: 1,
        reverse: false,
        key: None,
        by: "ann".to_owned(),
        why: String::new(),
    };
    let timetable = folder.timetable.clone().unwrap();
    let job_id = JobId::new("a").expect("an id");
    let begun = Backfill::begin(job_id, &folder.plan(), &timetable, asked, instant("06:00:00"));
    let backfill = begun.expect("it begins");
    let entry_in = |regions: &[&str]| {
        let mut edited = Folder::default();
        edited.put("00:30:00", regions.iter().map(|name| region(name)).collect::<Vec<_>>().into());
        let plan = edited.plan();
        let entries =
            backfill.coming(&plan).map(|slots| slots.map(|slot| slot.start.entry).collect::<Vec<_>>());
        entries.ok()
    };
    assert_eq!(entry_in(&["eu", "us"]), Some(vec![0; 4]));
    assert_eq!(entry_in(&["asia", "us", "eu"]), Some(vec![2; 4]));
    assert_eq!(entry_in(&["us"]), None);
    // A record of an earlier release does not say what the entry gave.
    let part = BackfillEntry { given: None, ..backfill.parts[0].clone() };
    let earlier = Backfill { parts: vec![part], ..backfill.clone() };
    let mut edited = Folder::default();
    edited.put("00:30:00", json!([region("us")]));
    assert_eq!(earlier.coming(&edited.plan()).map(Iterator::count), Ok(4));
}

#[test]
fn other_rules_of_the_realm_meanwhile_start_nothing_that_is_past() {
    let mut folder = Folder::default();
    let every_hour = hourly();
    folder.put("00:30:00", json!([hourly()])).put("00:31:00", json!([every_hour, "15 12 * * *"]));
    folder.timetable = folder.timetable.map(|one| one.under_other_rules(instant("03:30:00")));
    assert_eq!(folder.starts("04:00:01"), ["0 04:00"]);
    // A job that was gone begins anew all the same.
    let mut gone = Folder::default();
    gone.put("00:30:00", hourly()).look("00:30:01");
    gone.change("01:30:00", None).put("02:30:00", hourly());
    gone.timetable = gone.timetable.map(|one| one.under_other_rules(instant("03:30:00")));
    assert_eq!(gone.timetable.as_ref().unwrap().superseded.len(), 1);
    assert_eq!(gone.starts("04:00:01"), ["0 04:00"]);
}
