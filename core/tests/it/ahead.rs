//! Runs that are made ahead of their time: each is named before it is made, and before it is withdrawn.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{EntryPause, JobSchedule, Looked, State, Timetable};
use pumice_core::ids::JobId;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

const AHEAD: TimeDelta = TimeDelta::seconds(90);

fn plan_of(enabled: bool, schedule: &Value) -> JobSchedule {
    let job = json!({
        "job_id": "a", "type": "cmd", "worker": "core", "enabled": enabled, "payload": "true",
        "schedule": schedule,
    });
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    let plan = JobSchedule::of(&JobSpec::parse(&job).expect("a job"), &realm, &Settings::default());
    JobSchedule { made_by: Some("one".to_owned()), ..plan }
}

fn plan(schedule: &Value) -> JobSchedule {
    plan_of(true, schedule)
}

fn at(time: &str) -> Instant {
    format!("2026-03-01T{time}Z").parse().expect("a time")
}

/// A sweeper: the looks that follow one another at once, as far as it comes.
struct Sweeper {
    timetable: Timetable,
    /// The keys of the runs that were made, and of those that were cancelled, in order.
    made: Vec<String>,
    cancelled: Vec<String>,
}

impl Sweeper {
    fn new(time: &str) -> Self {
        let timetable = Timetable::new(JobId::new("a").expect("an id"), at(time));
        Self { timetable, made: Vec::new(), cancelled: Vec::new() }
    }

    fn look(&self, plan: &JobSchedule, time: &str) -> Looked {
        let settled = self.timetable.settled(plan, at(time));
        let looked = settled.unwrap_or_else(|| self.timetable.look(plan, at(time), AHEAD));
        looked.in_steps(&self.timetable, at(time))
    }

    /// One look, whose record is written.
    fn step(&mut self, plan: &JobSchedule, time: &str) -> bool {
        let looked = self.look(plan, time);
        self.cancelled.extend(looked.withdrawn);
        self.made.extend(looked.starts.into_iter().map(|start| start.key));
        self.timetable = looked.next;
        looked.again
    }

    fn sweep(&mut self, plan: &JobSchedule, time: &str) {
        while self.step(plan, time) {}
    }

    fn edited(&mut self, time: &str) {
        self.timetable = self.timetable.touched(at(time));
    }
}

fn keys(sweeper: &Sweeper) -> Vec<&str> {
    sweeper.made.iter().map(String::as_str).collect()
}

const SLOT: &str = "schedule:2026-03-01T09:00:00Z";

#[test]
fn run_is_named_before_it_is_made() {
    let hourly = plan(&json!("0 * * * *"));
    let mut sweeper = Sweeper::new("08:30:00");
    sweeper.sweep(&hourly, "08:30:01");
    assert!(sweeper.step(&hourly, "08:59:00"), "the look that makes the run follows at once");
    assert_eq!(sweeper.made, [""; 0]);
    let named = sweeper.timetable.named(SLOT).expect("it is named");
    assert!(named.pending.is_some() && named.at == at("09:00:00"));
    assert!(sweeper.timetable.due_at.is_some_and(|due| due <= at("09:00:00")), "a crash here is found");
    assert!(!sweeper.step(&hourly, "08:59:00"));
    assert_eq!(keys(&sweeper), [SLOT]);
    assert!(sweeper.timetable.named(SLOT).is_some_and(|made| made.pending.is_none()));
    sweeper.sweep(&hourly, "09:00:30");
    assert_eq!(keys(&sweeper), [SLOT], "once");
}

#[test]
fn slot_of_a_run_that_was_withdrawn_is_started_where_it_is_wanted_once_more() {
    let schedule = json!({ "crontab": "0 * * * *", "max_runs": 1 });
    let (on, off) = (plan(&schedule), plan_of(false, &schedule));
    let ways: [fn(&mut Sweeper, &JobSchedule, &JobSchedule); 3] = [
        |sweeper, _, off| {
            sweeper.edited("08:59:10");
            sweeper.sweep(off, "08:59:11");
        },
        |sweeper, on, _| {
            let pause = EntryPause { until: None, by: "ann".to_owned(), why: String::new() };
            let held = sweeper.timetable.paused(on, None, &pause, at("08:59:10"));
            sweeper.timetable = held.next.expect("it is paused");
            let named: Vec<&str> = sweeper.timetable.withdrawing().collect();
            assert_eq!(named, [SLOT], "for the process that pauses, which cancels it");
            sweeper.sweep(on, "08:59:11");
            let resumed = sweeper.timetable.resumed(on, None, false, at("08:59:20"));
            sweeper.timetable = resumed.next.expect("it goes on");
        },
        |sweeper, _, off| {
            // A look that was about to make the run, and comes too late, has another key than the one after it.
            let before = sweeper.timetable.clone();
            sweeper.edited("08:59:10");
            sweeper.step(off, "08:59:11");
            assert_eq!(before.named(SLOT).map(|made| made.at), Some(at("09:00:00")));
            sweeper.sweep(off, "08:59:11");
        },
    ];
    for way in ways {
        let mut sweeper = Sweeper::new("08:30:00");
        sweeper.sweep(&on, "08:59:00");
        assert_eq!((keys(&sweeper), sweeper.timetable.cursors[0].started), (vec![SLOT], 1));
        way(&mut sweeper, &on, &off);
        assert_eq!(sweeper.cancelled, [SLOT]);
        let cursor = &sweeper.timetable.cursors[0];
        assert_eq!((cursor.started, cursor.last), (0, None), "as if nothing had looked yet");
        sweeper.edited("08:59:30");
        sweeper.sweep(&on, "08:59:31");
        assert_eq!(keys(&sweeper), [SLOT, &format!("{SLOT}#1")]);
        let cursor = &sweeper.timetable.cursors[0];
        assert_eq!((cursor.started, &cursor.state), (1, &State::Active));
    }
}

#[test]
fn run_of_a_job_that_was_edited_is_made_anew() {
    let before = plan(&json!("0 * * * *"));
    let after = JobSchedule { made_by: Some("two".to_owned()), ..before.clone() };
    let mut sweeper = Sweeper::new("08:30:00");
    sweeper.sweep(&before, "08:59:00");
    sweeper.timetable = sweeper.timetable.hurried(at("08:59:20"));
    sweeper.sweep(&after, "08:59:20");
    assert_eq!(
        (keys(&sweeper), &sweeper.cancelled[..]),
        (vec![SLOT, "schedule:2026-03-01T09:00:00Z#1"], &[SLOT.to_owned()][..])
    );
    sweeper.sweep(&after, "08:59:30");
    assert_eq!(sweeper.made.len(), 2, "once");
}

#[test]
fn record_outlives_its_job_until_its_runs_are_cancelled() {
    let hourly = plan(&json!("0 * * * *"));
    let mut sweeper = Sweeper::new("08:30:00");
    sweeper.sweep(&hourly, "08:59:00");
    sweeper.edited("08:59:10");
    assert!(sweeper.step(&JobSchedule::none(), "08:59:10"));
    assert!(sweeper.timetable.withdrawing().eq([SLOT]) && sweeper.cancelled.is_empty());
    sweeper.sweep(&JobSchedule::none(), "08:59:10");
    assert_eq!((sweeper.cancelled, sweeper.timetable.cursors), (vec![SLOT.to_owned()], Vec::new()));
}

#[test]
fn entry_begins_once_whatever_follows_its_first_look() {
    for schedule in [json!({ "every": "30s" }), json!({ "crontab": "0 9 * * *", "run_now": true })] {
        let plan = plan(&schedule);
        let mut sweeper = Sweeper::new("08:30:00.700");
        // Its record is not written, as the realm was changed meanwhile.
        let lost = sweeper.look(&plan, "08:30:00.900");
        assert_eq!((lost.starts.len(), lost.withdrawn.len()), (0, 0), "{schedule}");
        sweeper.edited("08:30:01.200");
        sweeper.sweep(&plan, "08:30:01.300");
        sweeper.edited("08:30:02.500");
        sweeper.sweep(&plan, "08:30:02.600");
        let wanted: &[&str] = match schedule.get("every") {
            Some(_) => &[
                "schedule:2026-03-01T08:30:31Z",
                "schedule:2026-03-01T08:31:01Z",
                "schedule:2026-03-01T08:31:31Z",
            ],
            None => &["schedule:2026-03-01T08:30:01Z"],
        };
        assert_eq!(keys(&sweeper), wanted, "{schedule}");
    }
}

#[test]
fn start_that_is_to_be_made_and_is_too_late_is_decided_anew() {
    for (catch_up, wanted) in [("none", 0), ("last", 1), ("all", 1)] {
        let plan = plan(&json!({ "crontab": "0 * * * *", "catch_up": catch_up }));
        let mut sweeper = Sweeper::new("08:30:00");
        sweeper.sweep(&plan, "08:30:00");
        assert!(sweeper.step(&plan, "08:59:00"), "it is named, and the sweeper stops");
        sweeper.sweep(&plan, "09:10:00");
        assert_eq!(sweeper.made.len(), wanted, "{catch_up}");
        assert_eq!(sweeper.timetable.cursors[0].next, Some(at("10:00:00")), "{catch_up}");
    }
}

#[test]
fn job_that_is_enabled_later_starts_at_once_then() {
    let schedule = json!({ "crontab": "0 9 * * *", "run_now": true });
    let mut sweeper = Sweeper::new("08:30:00");
    sweeper.sweep(&plan_of(false, &schedule), "08:30:00");
    sweeper.sweep(&plan_of(false, &schedule), "08:30:30");
    assert_eq!(sweeper.made, [""; 0]);
    sweeper.edited("08:31:00");
    sweeper.sweep(&plan(&schedule), "08:31:00");
    assert_eq!(keys(&sweeper), ["schedule:2026-03-01T08:31:00Z"]);
    sweeper.edited("08:32:00");
    sweeper.sweep(&plan_of(false, &schedule), "08:32:00");
    sweeper.edited("08:33:00");
    sweeper.sweep(&plan(&schedule), "08:33:00");
    assert_eq!(sweeper.made.len(), 1, "once");
}
