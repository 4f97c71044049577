//! Jitter: a slot stays what it is, and its start comes later. Which slots there are goes by the slot, and whether a start is
//! made by its start.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{EntryPause, JobSchedule, Looked, PlannedEntry, Timetable, after_outage, standings};
use pumice_core::ids::JobId;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

const NO_WAIT: TimeDelta = TimeDelta::zero();

fn at(time: &str) -> Instant {
    format!("2026-11-30T{time}Z").parse().expect("a time")
}

fn plan(schedule: &Value) -> JobSchedule {
    let job = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true",
        "schedule": schedule });
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    JobSchedule::of(&JobSpec::parse(&job).expect("a job"), &realm, &Settings::default())
}

fn planned(plan: &JobSchedule) -> &PlannedEntry {
    plan.entries[0].as_ref().expect("an entry")
}

fn put(at: Instant) -> Timetable {
    Timetable::new(JobId::new("a").expect("an id"), at)
}

fn seen(plan: &JobSchedule, at: Instant) -> Timetable {
    put(at).look(plan, at, NO_WAIT).next
}

fn slots(looked: &Looked) -> Vec<Instant> {
    looked.starts.iter().map(|start| start.slot.at).collect()
}

fn pause(until: Option<Instant>) -> EntryPause {
    EntryPause { until, by: String::new(), why: String::new() }
}

#[test]
fn entry_has_no_slot_from_before_it_was_put_whatever_its_jitter() {
    for schedule in [
        json!({ "crontab": "0 * * * *", "jitter": "1d" }),
        json!({ "every": "1h", "from": "2026-11-01T00:00:00Z", "jitter": "1d" }),
        json!({ "every": "1h", "jitter": "1d" }),
        json!({ "at": ["2026-11-29T22:00:00Z", "2026-11-30T00:00:00Z", "2026-11-30T04:00:00Z"], "jitter": "1d" }),
    ] {
        let plan = plan(&schedule);
        let jitter = planned(&plan).jitter;
        assert!(jitter > TimeDelta::hours(3), "{jitter}");
        let now = at("02:11:00");
        let timetable = seen(&plan, now);
        let next = timetable.cursors[0].next.expect("a slot");
        assert!(next > now, "{schedule}: {next}");
        // So say the lists.
        let standing = standings(&plan, &put(now), now).remove(0);
        assert_eq!(standing.next_slot(), Some(next), "{schedule}");
        assert_eq!(standing.upcoming(now).next().map(|slot| slot.at), Some(next), "{schedule}");
        assert_eq!(timetable.due_at, Some(next + jitter), "{schedule}");
        // And the foretold outage.
        let down = (now, next + jitter);
        let recovery = after_outage(&plan, &timetable, down, now).remove(0);
        let started: Vec<Instant> = recovery.in_time.iter().map(|slot| slot.at).collect();
        assert_eq!((started, recovery.missed), (vec![next], None), "{schedule}");
        assert_eq!(slots(&timetable.look(&plan, next + jitter, NO_WAIT)), [next], "{schedule}");
        // An edit begins with slots after it, too.
        let edited = seen(&self::plan(&json!("30 12 * * *")), at("00:10:00")).touched(now);
        assert_eq!(edited.look(&plan, now, NO_WAIT).next.cursors[0].next, Some(next), "{schedule}");
    }
}

#[test]
fn start_at_once_is_made_unless_a_start_follows_in_a_moment() {
    for (schedule, came, is_made) in [
        (json!({ "crontab": "0 * * * *", "jitter": "59m", "run_now": true }), "02:00:39", true),
        (json!({ "crontab": "0 * * * *", "jitter": "59m", "run_now": true }), "01:59:59", true),
        (json!({ "crontab": "0 * * * *", "run_now": true }), "01:59:59", false),
        (json!({ "every": "1h", "jitter": "59m", "run_now": true }), "01:59:59", true),
    ] {
        let (plan, came) = (plan(&schedule), at(came));
        let looked = put(came).look(&plan, came, NO_WAIT);
        let wanted = if is_made { vec![came] } else { Vec::new() };
        assert_eq!(looked.starts.iter().map(|start| start.at).collect::<Vec<_>>(), wanted, "{schedule}");
        // It is the last start from then on.
        let now = came + TimeDelta::milliseconds(100);
        let standing = standings(&plan, &looked.next, now).remove(0);
        assert_eq!(standing.last, is_made.then_some(came), "{schedule}");
        assert!(standing.overdue.is_empty(), "{schedule}");
    }
}

#[test]
fn pause_takes_the_starts_that_come_within_it_and_no_others() {
    let plan = plan(&json!({ "crontab": "0 0 * * *", "jitter": "1d", "catch_up": "all", "window": "2d" }));
    let jitter = planned(&plan).jitter;
    let (midnight, minute) = (at("00:00:00"), TimeDelta::minutes(1));
    let start = midnight + jitter;
    let next_day = midnight + TimeDelta::days(1);
    let timetable = seen(&plan, midnight - minute);
    for (from, to, wanted) in [
        // Neither the slot nor its start is within the pause.
        (midnight + minute, start - minute, midnight),
        // The slot is, and its start is not.
        (midnight - TimeDelta::seconds(30), start - minute, midnight),
        // The start is.
        (start - minute, start + minute, next_day),
        (start - minute, start, next_day),
    ] {
        let with_end = timetable.paused(&plan, None, &pause(Some(to)), from).next.expect("it is paused");
        let shown = standings(&plan, &with_end, from).remove(0);
        assert_eq!(shown.next_slot(), Some(wanted), "{from} to {to}");
        let looked = with_end.look(&plan, from, NO_WAIT);
        assert_eq!(looked.next.due_at, Some(to), "{from} to {to}");
        let woken = looked.next.look(&plan, to, NO_WAIT);
        assert_eq!(slots(&woken), Vec::<Instant>::new(), "{from} to {to}");
        assert_eq!(woken.next.cursors[0].next, Some(wanted), "{from} to {to}");
        // The same as a pause that is ended by hand.
        let without = timetable.paused(&plan, None, &pause(None), from).next.expect("it is paused");
        let resumed = without.resumed(&plan, None, false, to).next.expect("it is resumed");
        assert_eq!(resumed.cursors[0].next, Some(wanted), "{from} to {to}");
        assert_eq!(shown.silence_at(to), None, "{from} to {to}");
        assert!(shown.silence_at(to - TimeDelta::microseconds(1)).is_some(), "{from} to {to}");
    }
}
