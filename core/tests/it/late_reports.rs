//! Dead-man limits: the pure rules, and reports of other job runners' users about alerts that came late, twice or never
//! (named after the report). Those that need more than one process are in the simulation.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::{
    Alert, EntryPause, JobSchedule, LimitKind, Looked, MAX_OPEN, Runs, State, Timetable, Watched, utc,
};
use pumice_core::ids::JobId;
use pumice_core::run::Status;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

fn instant(text: &str) -> Instant {
    let text = if text.len() == 5 { format!("2026-07-01T{text}:00Z") } else { text.to_owned() };
    text.parse().expect("a time")
}

fn plan(schedule: &Value) -> JobSchedule {
    let document = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true",
        "schedule": schedule });
    let job = JobSpec::parse(&document).expect("a job");
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    JobSchedule::of(&job, &realm, &Settings::default())
}

/// A schedule that is looked at, with what became of its runs.
struct Clock {
    plan: JobSchedule,
    timetable: Timetable,
    runs: BTreeMap<String, Watched>,
}

impl Clock {
    fn new(schedule: &Value, at: &str) -> Self {
        let plan = plan(schedule);
        let timetable = Timetable::new(JobId::new("a").expect("an id"), instant(at));
        let mut clock = Self { plan, timetable, runs: BTreeMap::new() };
        clock.look(at);
        clock
    }

    fn peek(&self, at: &str) -> Looked {
        let now = instant(at) + TimeDelta::seconds(1);
        let asked = self.timetable.asks_for(now).into_iter();
        let runs: Runs = asked.map(|key| (key.to_owned(), self.runs.get(key).cloned())).collect();
        let looked = self.timetable.look_with(&self.plan, Some(&runs), now, TimeDelta::zero());
        assert_eq!(looked.alerts, [], "each look below has them made");
        let judged = looked.next.cursors.iter().flat_map(|cursor| cursor.watch.alerts.clone());
        Looked { alerts: judged.collect(), ..looked }
    }

    /// Looks at a time. Its starts are made.
    fn look(&mut self, at: &str) -> Looked {
        let looked = self.peek(at);
        for start in &looked.starts {
            let run = Watched { status: Status::Dispatched, ts_start: None, ts_end: None, reason: None };
            self.runs.entry(start.key.clone()).or_insert(run);
        }
        self.timetable = looked.next.clone();
        let made = self.timetable.look_with(&self.plan, Some(&Runs::new()), instant(at), TimeDelta::zero());
        assert_eq!(made.alerts, looked.alerts, "the next look has them made");
        if !looked.alerts.is_empty() {
            assert!(self.timetable.due_at.is_some_and(|due| due <= instant(at)), "and comes at once");
            self.timetable = made.next;
        }
        looked
    }

    /// The limits that are broken at a time, by as many looks as are due by then.
    fn told(&mut self, at: &str) -> Vec<(LimitKind, String)> {
        let mut told: Vec<_> = self.look(at).alerts.iter().map(shown).collect();
        let is_due = |due: Instant| due <= instant(at) + TimeDelta::seconds(1);
        for _ in 0..3 {
            if !self.timetable.due_at.is_some_and(is_due) {
                break;
            }
            told.extend(self.look(at).alerts.iter().map(shown));
        }
        told
    }

    fn run(&mut self, slot: &str) -> &mut Watched {
        let key = format!("schedule:{}", utc(instant(slot)));
        self.runs.get_mut(&key).expect("a run")
    }

    fn begins(&mut self, slot: &str, at: &str) {
        let run = self.run(slot);
        (run.status, run.ts_start) = (Status::Running, Some(instant(at)));
    }

    fn ends(&mut self, slot: &str, status: Status, at: &str) {
        let run = self.run(slot);
        (run.status, run.ts_end) = (status, Some(instant(at)));
        if matches!(status, Status::Complete | Status::Failed) {
            run.ts_start.get_or_insert(instant(at));
        }
    }

    fn state(&self) -> &State {
        &self.timetable.cursors[0].state
    }
}

fn shown(alert: &Alert) -> (LimitKind, String) {
    let slot = alert.broken.slot.map(|slot| slot.format("%H:%M").to_string());
    (alert.broken.limit, slot.unwrap_or_default())
}

fn hourly(more: &Value) -> Value {
    let mut entry = json!({ "crontab": "0 * * * *" });
    entry.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    entry
}

const NONE: [(LimitKind, String); 0] = [];

fn one(limit: LimitKind, slot: &str) -> [(LimitKind, String); 1] {
    [(limit, slot.to_owned())]
}

#[test]
fn report_airflow_18031_limit_is_reported_during_the_run() {
    let mut clock = Clock::new(&hourly(&json!({ "finish_by": "10m" })), "00:30");
    clock.look("01:00");
    clock.begins("01:00", "01:00");
    assert_eq!(clock.timetable.due_at, Some(instant("01:10") + TimeDelta::seconds(1)));
    let looked = clock.look("01:10");
    assert_eq!(looked.alerts.iter().map(shown).collect::<Vec<_>>(), one(LimitKind::FinishBy, "01:00"));
    assert_eq!(looked.alerts[0].status, Some(Status::Running));
    assert_eq!(
        looked.alerts[0].why,
        "the run of 2026-07-01T01:00:00Z had not ended by 2026-07-01T01:10:00Z: it is running"
    );
    clock.ends("01:00", Status::Complete, "01:50");
    assert_eq!(clock.told("02:00"), NONE);
}

#[test]
fn report_airflow_12008_run_never_started_breaks_both_limits() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "finish_by": "10m" })), "00:30");
    clock.look("01:00");
    assert_eq!(clock.told("01:04"), NONE);
    assert_eq!(clock.told("01:05"), one(LimitKind::MustStart, "01:00"));
    assert_eq!(clock.told("01:10"), one(LimitKind::FinishBy, "01:00"));
    assert_eq!(clock.told("01:59"), NONE);
}

#[test]
fn report_airflow_50481_limit_judged_again_is_the_same_alert() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "max_silence": "80m" })), "00:30");
    clock.look("01:00");
    // A sweeper that stopped before it wrote, and one that races: both find what was found before.
    let (first, second) = (clock.peek("01:05"), clock.peek("01:40"));
    assert_eq!(first.alerts.len(), 1);
    assert_eq!(first.alerts[0].key, second.alerts[0].key);
    let (one, other) = (clock.peek("01:50"), clock.peek("01:58"));
    let silence = |looked: &Looked| {
        let found = looked.alerts.iter().find(|alert| alert.broken.limit == LimitKind::MaxSilence);
        found.map(|alert| alert.key.clone())
    };
    assert!(silence(&one).is_some() && silence(&one) == silence(&other));
}

#[test]
fn report_airflow_50481_reported_limit_is_not_reported_again() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    clock.look("01:00");
    assert_eq!(clock.told("01:05"), one(LimitKind::MustStart, "01:00"));
    for at in ["01:05", "01:06", "01:30", "02:00"] {
        assert_eq!(clock.told(at), NONE, "{at}");
    }
}

#[test]
fn report_airflow_32138_silence_is_reported_without_starts() {
    let mut clock = Clock::new(
        &hourly(&json!({ "max_silence": "90m", "catch_up": "all", "max": 1, "window": "1d" })),
        "00:30",
    );
    // Nothing looked for hours: more was missed than may be made up for.
    let looked = clock.look("09:30");
    assert_eq!(looked.halted, [0]);
    assert_eq!(looked.alerts, [], "a run of what is due may have ended, made by a sweeper that stopped");
    assert_eq!(clock.told("09:30"), one(LimitKind::MaxSilence, ""));
    assert_eq!(clock.told("12:00"), NONE, "once a slot, and a halted entry passes none");
}

#[test]
fn report_kestra_17618_failures_in_a_row_pause_the_entry_once() {
    let mut clock = Clock::new(&hourly(&json!({ "pause_after": 2 })), "00:30");
    for (slot, status) in [
        ("01:00", Status::Failed),
        ("02:00", Status::Complete),
        ("03:00", Status::Failed),
        ("04:00", Status::Skipped),
        ("05:00", Status::Cancelled),
    ] {
        clock.look(slot);
        clock.ends(slot, status, &slot.replace(":00", ":10"));
        assert_eq!(clock.told(&slot.replace(":00", ":20")), NONE, "{slot}");
        assert_eq!(clock.state(), &State::Active, "{slot}");
    }
    clock.look("06:00");
    clock.ends("06:00", Status::Rejected, "06:10");
    let looked = clock.look("06:10");
    assert_eq!(looked.alerts.iter().map(shown).collect::<Vec<_>>(), one(LimitKind::PauseAfter, "06:00"));
    let State::Paused { until: None, by, why } = clock.state() else { panic!("{:?}", clock.state()) };
    assert_eq!(
        (by.as_str(), why.as_str()),
        ("pumice", "2 runs in a row ended badly, the last for 2026-07-01T06:00:00Z")
    );
    assert_eq!(clock.look("07:00").starts, []);
    assert_eq!(clock.told("07:00"), NONE);
    // Resumed, it may fail anew.
    clock.timetable =
        clock.timetable.resumed(&clock.plan, None, false, instant("08:30")).next.expect("it changes");
    clock.look("09:00");
    clock.ends("09:00", Status::Failed, "09:01");
    assert_eq!(clock.told("09:02"), NONE);
    clock.look("10:00");
    clock.ends("10:00", Status::Failed, "10:01");
    assert_eq!(clock.told("10:02"), one(LimitKind::PauseAfter, "10:00"));
}

#[test]
fn pause_after_starts_nothing_of_the_slot_at_which_it_is_found() {
    let mut clock = Clock::new(&hourly(&json!({ "pause_after": 1 })), "00:30");
    clock.look("01:00");
    clock.ends("01:00", Status::Failed, "01:10");
    let looked = clock.look("02:00");
    assert_eq!((looked.starts.len(), looked.alerts.len()), (0, 1));
}

#[test]
fn pause_after_withdraws_runs_made_ahead() {
    let mut clock = Clock::new(&hourly(&json!({ "pause_after": 1 })), "00:30");
    clock.look("01:00");
    let ahead = clock.timetable.look(&clock.plan, instant("01:59"), TimeDelta::seconds(90));
    assert_eq!(ahead.starts.len(), 1);
    clock.timetable = ahead.next;
    clock.ends("01:00", Status::Failed, "01:59");
    assert_eq!(clock.peek("01:59").withdrawn, ["schedule:2026-07-01T02:00:00Z"]);
}

#[test]
fn run_within_its_limits_judged_late_makes_no_alert() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "finish_by": "20m" })), "00:30");
    clock.look("01:00");
    clock.begins("01:00", "01:05");
    clock.ends("01:00", Status::Failed, "01:20");
    assert_eq!(clock.told("01:59"), NONE);
    assert_eq!(clock.timetable.cursors[0].watch.open.len(), 0);
}

#[test]
fn run_that_began_late_before_the_look_is_reported() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    clock.look("01:00");
    clock.begins("01:00", "01:06");
    let looked = clock.look("01:59");
    assert_eq!(looked.alerts.iter().map(shown).collect::<Vec<_>>(), one(LimitKind::MustStart, "01:00"));
    assert!(looked.alerts[0].why.ends_with("it began at 2026-07-01T01:06:00Z"), "{}", looked.alerts[0].why);
}

#[test]
fn skipped_run_did_not_start_and_cancelled_run_is_owed_nothing() {
    for (status, wanted) in [(Status::Skipped, 2), (Status::Rejected, 2), (Status::Cancelled, 0)] {
        let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "finish_by": "5m" })), "00:30");
        clock.look("01:00");
        clock.ends("01:00", status, "01:01");
        assert_eq!(clock.look("01:05").alerts.len(), wanted, "{status}");
    }
}

#[test]
fn refused_start_is_reported_with_the_reason() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "max_silence": "26h" })), "00:30");
    clock.look("01:00");
    let key = clock.timetable.cursors[0].watch.open[0].key.clone();
    clock.runs.clear();
    clock.timetable.cursors[0].watch.refuse(&key, "parameters are too large");
    let looked = clock.look("01:05");
    assert!(looked.alerts[0].why.ends_with("its start was refused: parameters are too large"));
    assert_eq!((looked.alerts[0].run.clone(), looked.alerts[0].status), (None, None));
}

#[test]
fn slots_missed_for_good_are_reported_by_the_last() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "catch_up": "none" })), "00:30");
    let looked = clock.look("05:30");
    assert_eq!(looked.starts, []);
    let looked = clock.look("05:31");
    assert_eq!(looked.alerts.iter().map(shown).collect::<Vec<_>>(), one(LimitKind::MustStart, "05:00"));
    let why = &looked.alerts[0].why;
    assert!(why.ends_with("it was missed, as nothing looked at the clock then, 5 slots in all"), "{why}");
}

#[test]
fn missed_slots_are_reported_though_one_is_in_time_again() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m", "catch_up": "none" })), "00:30");
    assert_eq!(clock.look("05:00").starts.len(), 1);
    assert_eq!(clock.told("05:01"), one(LimitKind::MustStart, "04:00"));
}

#[test]
fn run_of_a_sweeper_that_stopped_before_it_wrote_is_watched() {
    let limits = json!({ "finish_by": "5m", "max_silence": "4h", "pause_after": 1 });
    let mut clock = Clock::new(&hourly(&limits), "00:30");
    // It made the run of 01:00 and stopped; the next look makes up for the last slot alone.
    let made = clock.peek("01:00").starts.remove(0);
    let run =
        Watched { status: Status::Running, ts_start: Some(instant("01:00")), ts_end: None, reason: None };
    clock.runs.insert(made.key, run);
    let looked = clock.look("03:10");
    assert_eq!(
        looked.starts.iter().map(|start| utc(start.slot.at)).collect::<Vec<_>>(),
        ["2026-07-01T03:00:00Z"]
    );
    clock.begins("03:00", "03:10");
    let told = clock.told("03:11");
    assert_eq!(told, [(LimitKind::FinishBy, "01:00".to_owned()), (LimitKind::FinishBy, "03:00".to_owned())]);
    clock.ends("01:00", Status::Failed, "03:20");
    assert_eq!(clock.told("03:21"), one(LimitKind::PauseAfter, "01:00"));
}

#[test]
fn run_from_before_an_edit_counts_for_no_limit_after_it() {
    let mut clock = Clock::new(&hourly(&json!({ "pause_after": 1 })), "00:30");
    clock.look("01:00");
    clock.plan = plan(&json!({ "crontab": "30 * * * *", "pause_after": 1 }));
    clock.timetable = clock.timetable.touched(instant("01:10"));
    clock.ends("01:00", Status::Failed, "01:20");
    assert_eq!(clock.told("01:25"), NONE);
    assert_eq!(clock.state(), &State::Active);
}

#[test]
fn slot_made_up_for_too_late_is_reported() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    assert_eq!(clock.look("01:30").starts.len(), 1);
    clock.begins("01:00", "01:30");
    assert_eq!(clock.told("01:31"), one(LimitKind::MustStart, "01:00"));
}

#[test]
fn limit_counts_from_the_start_that_jitter_makes_later() {
    let mut clock = Clock::new(
        &json!({ "crontab": "0 * * * *", "jitter": "10m", "must_start": "5m", "finish_by": "01:30" }),
        "00:30",
    );
    let jitter = clock.plan.entries[0].as_ref().expect("an entry").jitter;
    assert!(jitter > TimeDelta::zero());
    clock.look("01:11");
    let open = &clock.timetable.cursors[0].watch.open[0];
    assert_eq!(open.must_start, Some(instant("01:05") + jitter));
    assert_eq!(open.finish_by, Some(instant("01:30")), "a time of day is that after the slot");
}

#[test]
fn edit_keeps_the_limits_of_slots_that_were_started() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    clock.look("01:00");
    clock.plan = plan(&json!("30 * * * *"));
    clock.timetable = clock.timetable.touched(instant("01:02"));
    clock.look("01:02");
    assert_eq!(clock.told("01:05"), one(LimitKind::MustStart, "01:00"));
}

#[test]
fn entry_that_is_gone_takes_its_limits_along() {
    let mut clock = Clock::new(&json!([hourly(&json!({ "must_start": "5m" })), "30 * * * *"]), "00:30");
    clock.look("01:00");
    clock.plan = plan(&json!(["30 * * * *"]));
    clock.timetable = clock.timetable.touched(instant("01:02"));
    assert_eq!(clock.told("01:02"), NONE);
    assert_eq!(clock.told("01:05"), NONE);
}

#[test]
fn silence_counts_from_last_success_and_repeats_with_slots() {
    let mut clock = Clock::new(&hourly(&json!({ "max_silence": "150m" })), "00:30");
    clock.look("01:00");
    clock.ends("01:00", Status::Complete, "01:10");
    for slot in ["02:00", "03:00"] {
        clock.look(slot);
        clock.ends(slot, Status::Failed, slot);
    }
    assert_eq!(clock.told("03:39"), NONE);
    assert_eq!(clock.told("03:40"), one(LimitKind::MaxSilence, "03:00"));
    assert_eq!(clock.told("04:00"), NONE);
    assert_eq!(clock.told("06:00"), NONE);
    assert_eq!(clock.told("06:10"), one(LimitKind::MaxSilence, "06:00"));
    clock.ends("06:00", Status::Complete, "06:20");
    assert_eq!(clock.told("07:00"), NONE);
    assert_eq!(clock.timetable.cursors[0].watch.broken, []);
    assert_eq!(clock.told("08:50"), one(LimitKind::MaxSilence, "08:00"));
}

#[test]
fn silence_is_not_owed_while_paused_and_begins_anew_after() {
    let mut clock = Clock::new(&hourly(&json!({ "max_silence": "90m" })), "00:30");
    let pause = EntryPause { until: None, by: "ann".to_owned(), why: String::new() };
    let held = clock.timetable.paused(&clock.plan, None, &pause, instant("00:40"));
    clock.timetable = held.next.expect("it changes");
    assert_eq!(clock.told("00:40"), NONE);
    assert_eq!(clock.told("09:00"), NONE);
    clock.timetable =
        clock.timetable.resumed(&clock.plan, None, false, instant("09:10")).next.expect("it changes");
    assert_eq!(clock.told("09:10"), NONE);
    assert_eq!(clock.told("10:39"), NONE);
    // It counts from the look, which is a second later.
    assert_eq!(clock.told("10:41"), one(LimitKind::MaxSilence, "10:00"));
}

#[test]
fn success_of_a_run_before_a_pause_or_edit_ends_the_silence() {
    let schedule = hourly(&json!({ "max_silence": "90m", "pause_after": 1 }));
    let pause = EntryPause { until: None, by: "ann".to_owned(), why: String::new() };
    // It counts from the look after the end of a pause, which is a second later.
    for (is_edit, begun) in [(false, "03:11"), (true, "03:10")] {
        for (status, first) in [(Status::Complete, "03:50"), (Status::Failed, begun)] {
            let mut clock = Clock::new(&schedule, "00:30");
            clock.look("01:00");
            if is_edit {
                let edited = json!({ "crontab": "30 * * * *", "max_silence": "90m", "pause_after": 1 });
                clock.plan = plan(&edited);
                clock.timetable = clock.timetable.touched(instant("01:40"));
            } else {
                let held = clock.timetable.paused(&clock.plan, None, &pause, instant("01:10"));
                clock.timetable = held.next.expect("it changes");
                clock.look("01:20");
                let held = clock.timetable.resumed(&clock.plan, None, false, instant("01:40"));
                clock.timetable = held.next.expect("it changes");
            }
            clock.look("01:40");
            clock.ends("01:00", status, "02:20");
            clock.look("02:30");
            assert_eq!(clock.state(), &State::Active, "its failure is none of the entry's now");
            for at in ["03:00", "03:10", "03:11", "03:49", "03:50"] {
                let told = clock.told(at);
                assert_eq!(!told.is_empty(), at == first, "{is_edit} {status} at {at}: {told:?}");
                if at == first {
                    break;
                }
            }
        }
    }
}

#[test]
fn silence_is_owed_only_within_the_window() {
    let before = json!({ "max_silence": "90m", "from": "2026-07-01T06:00:00Z" });
    let mut clock = Clock::new(&hourly(&before), "00:30");
    for (at, wanted) in [("05:59", 0), ("06:00", 0), ("07:29", 0), ("07:30", 1)] {
        assert_eq!(clock.told(at).len(), wanted, "{at}");
    }
    let after = json!({ "max_silence": "90m", "to": "2026-07-01T01:30:00Z" });
    let mut clock = Clock::new(&hourly(&after), "00:30");
    for at in ["01:00", "02:00", "09:00"] {
        assert_eq!(clock.told(at), NONE, "{at}");
    }
    let outside =
        json!({ "max_silence": "90m", "from": "2026-07-01T06:00:00Z", "to": "2026-07-01T01:30:00Z" });
    let mut clock = Clock::new(&hourly(&outside), "00:30");
    for (at, wanted) in [("01:00", 0), ("02:00", 0), ("06:00", 0), ("07:29", 0), ("07:30", 1)] {
        assert_eq!(clock.told(at).len(), wanted, "{at}");
    }
}

#[test]
fn silence_of_another_length_begins_anew() {
    let mut clock = Clock::new(&hourly(&json!({ "max_silence": "26h" })), "00:30");
    clock.look("05:00");
    clock.plan = plan(&hourly(&json!({ "max_silence": "30m" })));
    clock.timetable = clock.timetable.touched(instant("05:10"));
    assert_eq!(clock.told("05:10"), NONE);
    assert_eq!(clock.told("05:39"), NONE);
    assert_eq!(clock.told("05:40"), one(LimitKind::MaxSilence, "05:00"));
}

#[test]
fn open_slots_are_bounded_and_the_oldest_given_up() {
    let schedule = json!({ "every": "1m", "from": "2026-07-01T00:00:00Z", "finish_by": "1d" });
    let mut clock = Clock::new(&schedule, "00:00");
    let mut given_up = 0;
    for minute in 1..=60 {
        let at = instant("00:00") + TimeDelta::minutes(minute);
        given_up += clock.look(&utc(at)).given_up.iter().map(|(_, count)| count).sum::<u32>();
    }
    let watch = &clock.timetable.cursors[0].watch;
    assert_eq!((watch.open.len(), watch.given_up), (MAX_OPEN, given_up));
    assert!(given_up > 0 && watch.open[0].slot == instant("00:11"), "{given_up}: {:?}", watch.open[0]);
}

#[test]
fn runs_that_have_ended_leave_before_any_is_given_up() {
    let schedule = json!({ "every": "1m", "from": "2026-07-01T00:00:00Z", "finish_by": "1d" });
    let mut clock = Clock::new(&schedule, "00:00");
    for minute in 1..=200 {
        let at = utc(instant("00:00") + TimeDelta::minutes(minute));
        clock.look(&at);
        clock.ends(&at, Status::Complete, &at);
    }
    assert_eq!(clock.timetable.cursors[0].watch.given_up, 0);
}

#[test]
fn preview_judges_nothing() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    clock.look("01:00");
    let looked = clock.timetable.look(&clock.plan, instant("01:30"), TimeDelta::zero());
    assert_eq!((looked.alerts.len(), looked.next.cursors[0].watch.open.len()), (0, 1));
}

#[test]
fn sweeper_ahead_of_time_is_due_for_a_limit_after_it_is_up() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    clock.look("01:00");
    let looked =
        clock.timetable.look_with(&clock.plan, Some(&Runs::new()), instant("01:01"), TimeDelta::seconds(90));
    // Such a sweeper finds what is due within the next 90 seconds.
    assert_eq!(looked.next.due_at, Some(instant("01:06") + TimeDelta::seconds(31)));
}

#[test]
fn cursors_without_limits_are_written_as_before() {
    let clock = Clock::new(&json!("0 * * * *"), "00:30");
    let written = serde_json::to_value(&clock.timetable).expect("it is written");
    assert!(written["cursors"][0].get("watch").is_none(), "{written}");
    let read: Timetable = serde_json::from_value(written).expect("it is read");
    assert_eq!(read, clock.timetable);
}

#[test]
fn watch_comes_back_as_it_was_written() {
    let mut clock = Clock::new(
        &hourly(&json!({ "must_start": "5m", "finish_by": "20m", "max_silence": "90m", "pause_after": 3 })),
        "00:30",
    );
    clock.told("01:00");
    clock.told("02:00");
    let written = serde_json::to_string(&clock.timetable).expect("it is written");
    assert_eq!(serde_json::from_str::<Timetable>(&written).expect("it is read"), clock.timetable);
    let looked = clock.peek("03:00");
    let written = serde_json::to_string(&looked.next).expect("it is written");
    assert_eq!(serde_json::from_str::<Timetable>(&written).expect("it is read"), looked.next);
    let watch = &looked.next.cursors[0].watch;
    assert!(
        watch.broken.len() == 3
            && !watch.alerts.is_empty()
            && !watch.open.is_empty()
            && watch.silence.is_some(),
        "{watch:?}"
    );
}

#[test]
fn limit_that_an_edit_takes_away_is_late_no_more() {
    let mut clock = Clock::new(&hourly(&json!({ "must_start": "5m" })), "00:30");
    clock.look("01:00");
    clock.look("01:05");
    assert_eq!(clock.timetable.cursors[0].watch.broken.len(), 1);
    clock.plan = plan(&hourly(&json!({ "finish_by": "5m" })));
    clock.timetable = clock.timetable.touched(instant("01:10"));
    clock.look("01:10");
    assert_eq!(clock.timetable.cursors[0].watch.broken, []);
}
