//! Runs that were made ahead of their time, as they are shown: what waits is next, and not last.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{EntryPause, JobSchedule, State, Timetable, standings};
use pumice_core::hosts::Hosts;
use pumice_core::ids::{HostId, JobId};
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

/// How far ahead a sweep makes runs.
const AHEAD: TimeDelta = TimeDelta::seconds(90);
const SWEEP: i64 = 60;

fn plan(schedule: &Value) -> JobSchedule {
    let job = json!({
        "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true", "schedule": schedule,
    });
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    let plan = JobSchedule::of(&JobSpec::parse(&job).expect("a job"), &realm, &Settings::default());
    let hosts = ["h1", "h2"].map(|name| HostId::new(name).expect("an id"));
    JobSchedule { hosts: Hosts::Alive(hosts.into_iter().collect()), ..plan }
}

fn begin() -> Instant {
    "2026-07-01T10:00:10Z".parse().expect("a time")
}

fn after(seconds: i64) -> Instant {
    begin() + TimeDelta::seconds(seconds)
}

/// A timetable that a sweep has looked at each minute up to a second.
fn swept(plan: &JobSchedule, until: i64) -> Timetable {
    let new = Timetable::new(JobId::new("a").expect("an id"), begin());
    let sweeps = (0..=until).filter(|second| second % SWEEP == 0);
    sweeps.fold(new, |timetable, second| timetable.look(plan, after(second), AHEAD).next)
}

#[test]
fn slot_whose_run_waits_is_next_and_not_last() {
    for schedule in [
        json!("* * * * *"),
        json!("*/5 * * * *"),
        json!({ "every": "20s" }),
        json!({ "every": "20s", "from": "2026-07-01T09:00:05Z" }),
        json!({ "every": "20s", "max_runs": 7 }),
        json!({ "at": "2026-07-01T10:01:30Z" }),
        json!({ "at": ["2026-07-01T10:00:30Z", "2026-07-01T10:02:30Z"] }),
        json!({ "crontab": "* * * * *", "jitter": "50s" }),
        json!({ "crontab": "* * * * *", "nodes": "all", "max_runs": 3 }),
    ] {
        let plan = plan(&schedule);
        let planned = plan.entries[0].as_ref().expect("an entry");
        let most = planned.spec.max_runs.map_or(usize::MAX, |max| max.as_u32() as usize);
        let mut timetable = swept(&plan, 0);
        let since = timetable.cursors[0].since;
        let entry = planned.entry(since);
        let slots = entry.slots(since).map(|slot| slot.at).take(most);
        let slots: Vec<Instant> = slots.take_while(|slot| *slot < after(3_600)).collect();
        for second in 1..400 {
            let now = after(second);
            if second % SWEEP == 0 {
                timetable = timetable.look(&plan, now, AHEAD).next;
            }
            let standing = standings(&plan, &timetable, now).remove(0);
            let (begun, left): (Vec<Instant>, Vec<Instant>) =
                slots.iter().copied().partition(|slot| *slot + planned.jitter <= now);
            let shown = (standing.last, standing.next_slot(), standing.started as usize, standing.word());
            let word = if left.is_empty() { "over" } else { "active" };
            let wanted = (begun.last().copied(), left.first().copied(), begun.len(), word);
            assert_eq!(shown, wanted, "{schedule} after {second}s");
            let upcoming: Vec<Instant> = standing.upcoming(now).take(3).map(|slot| slot.at).collect();
            assert_eq!(upcoming, left.into_iter().take(3).collect::<Vec<_>>(), "{schedule} after {second}s");
            assert_eq!(standing.silence().is_some(), word == "over", "{schedule} after {second}s");
        }
    }
}

#[test]
fn entry_that_does_not_start_what_waits_shows_no_start_to_come() {
    let plan = plan(&json!({ "every": "20s" }));
    let timetable = swept(&plan, 60);
    let now = after(75);
    let pause = EntryPause { until: None, by: String::new(), why: String::new() };
    let paused = timetable.paused(&plan, None, &pause, now).next.expect("it is paused");
    let disabled = JobSchedule { enabled: false, ..plan.clone() };
    for (plan, timetable, word) in [(&plan, &paused, "paused"), (&disabled, &timetable, "disabled")] {
        let standing = standings(plan, timetable, now).remove(0);
        assert_ne!(standing.cursor.state, State::Active);
        assert_eq!((standing.word(), standing.next_slot()), (word, None));
        assert!(standing.last.is_none_or(|last| last <= now), "{word}: {:?}", standing.last);
    }
}

#[test]
fn entry_that_waits_for_a_service_cannot_be_used_where_none_starts() {
    let plan = plan(&json!(["@reboot", "0 3 * * *"]));
    let folder = standings(&plan, &swept(&plan, 0), begin()).iter().map(|one| one.word()).collect::<Vec<_>>();
    assert_eq!(folder, ["reboot", "active"]);
    // The record is that of an engine, which knows no place.
    let timetable = swept(&plan, 0);
    let aws = plan.without_service();
    let shown = standings(&aws, &timetable, begin());
    let why = "@reboot is the start of `pumice serve`, and on AWS no service starts";
    assert_eq!(shown.iter().map(|one| one.word()).collect::<Vec<_>>(), ["broken", "active"]);
    assert_eq!(shown[0].trouble.as_deref(), Some(why));
    assert_eq!(shown[0].silence(), Some(format!("cannot be used: {why}")));
    assert_eq!(shown[0].next_slot(), None);
}
