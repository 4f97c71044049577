//! `schedules simulate`: what it foretells is what the engine does, also where a pause ends before the outage or within it.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{EntryPause, IN_TIME, JobSchedule, Timetable, after_outage};
use pumice_core::ids::JobId;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

fn plan(schedule: &Value) -> JobSchedule {
    let job = json!({
        "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true", "schedule": schedule,
    });
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    JobSchedule::of(&JobSpec::parse(&job).expect("a job"), &realm, &Settings::default())
}

fn instant(time: &str) -> Instant {
    format!("2026-07-01T{time}Z").parse().expect("a time")
}

/// The slots that an engine starts at the end of an outage, and whether it halts: it looked each minute before.
fn started(plan: &JobSchedule, asked: &Timetable, from: Instant, to: Instant) -> (Vec<Instant>, bool) {
    let mut timetable = asked.clone();
    let mut now = instant("00:01:00");
    while now < from {
        timetable = timetable.look(plan, now, TimeDelta::zero()).next;
        now += TimeDelta::minutes(1);
    }
    timetable = timetable.look(plan, from - TimeDelta::microseconds(1), TimeDelta::zero()).next;
    let looked = timetable.look(plan, to, TimeDelta::zero());
    (looked.starts.iter().map(|start| start.slot.at).collect(), !looked.halted.is_empty())
}

#[test]
fn outage_after_a_pause_is_foretold_as_it_comes() {
    let (asked_at, from, to) = (instant("00:00:30"), instant("01:10:00"), instant("03:00:20"));
    for catch_up in ["none", "last", "all"] {
        for when in [
            json!({ "crontab": "*/10 * * * *" }),
            json!({ "crontab": "0 * * * *", "jitter": "5m" }),
            json!({ "every": "20m", "from": "2026-07-01T00:00:00Z" }),
            json!({ "at": ["2026-07-01T00:30:00Z", "2026-07-01T01:30:00Z", "2026-07-01T03:00:00Z"] }),
        ] {
            let mut schedule = when.clone();
            schedule["catch_up"] = json!(catch_up);
            schedule["window"] = json!("1d");
            if catch_up == "all" {
                // A long outage halts some of them.
                schedule["max"] = json!(6);
            }
            let plan = plan(&schedule);
            let planned = plan.entries[0].as_ref().expect("an entry");
            let new = Timetable::new(JobId::new("a").expect("an id"), instant("00:00:00"));
            let seen = new.look(&plan, instant("00:00:00"), TimeDelta::zero()).next;
            let paused = |until: Option<&str>| {
                let until = until.map(instant);
                let pause = EntryPause { until, by: String::new(), why: String::new() };
                seen.paused(&plan, None, &pause, asked_at).next.expect("it is paused")
            };
            for (timetable, until) in [
                (seen.clone(), Some("00:00:00")),
                (paused(Some("00:45:00")), Some("00:45:00")),
                (paused(Some("01:00:00")), Some("01:00:00")),
                (paused(Some("02:00:00")), Some("02:00:00")),
                (paused(Some("02:59:00")), Some("02:59:00")),
                (paused(Some("04:00:00")), None),
                (paused(None), None),
            ] {
                let outage = after_outage(&plan, &timetable, (from, to), asked_at).remove(0);
                let about = format!("{schedule}, paused until {until:?}: {outage:?}");
                let slots = outage.made_up.iter().chain(&outage.in_time).map(|slot| slot.at);
                let (wanted, halts) = started(&plan, &timetable, from, to);
                assert_eq!((slots.collect::<Vec<_>>(), outage.halts), (wanted, halts), "{about}");
                let is_paused = until.is_none_or(|until| instant(until) > to);
                assert_eq!(outage.silence.is_some(), is_paused, "{about}");
                let entry = planned.entry(instant("00:00:00"));
                let begun = from - planned.jitter - TimeDelta::microseconds(1);
                // No slot is before the time at which it was put, and no start within a pause.
                let begun = begun.max(instant("00:00:00"));
                let first = until.map(|until| (instant(until) - planned.jitter).max(begun));
                let late = to - planned.jitter - IN_TIME;
                let slots = first.map(|first| entry.slots(first).take_while(|slot| slot.at < late).count());
                let missed = outage.missed.as_ref().map_or(0, |missed| missed.count as usize);
                assert_eq!(missed, slots.unwrap_or(0), "{about}");
            }
        }
    }
}
