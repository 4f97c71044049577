//! Reports of other job runners' users as tests of the pure rules, each under its number. Those that belong to commands are
//! in `cli/tests/it/schedules.rs` and `schedule_checks.rs`; those that need more than one process in the simulation and the
//! tests of stores.

mod changes;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{America, Europe, Pacific, TZ_VARIANTS, Tz};
use proptest::prelude::*;
use proptest::sample::select;
use pumice_core::clock::{
    ClockChange, Cron, Entry, EntryPause, HoldOutcome, IN_TIME, JobSchedule, Looked, PlannedEntry, Slot,
    State, Timetable, after_outage, standings, utc,
};
use pumice_core::ids::JobId;
use pumice_core::spec::{Crontab, JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

type Instant = DateTime<Utc>;

const NO_WAIT: TimeDelta = TimeDelta::zero();
const SECOND: TimeDelta = TimeDelta::seconds(1);

fn instant(text: &str) -> Instant {
    text.parse().expect("a time")
}

fn cron(text: &str) -> Cron {
    Cron::new(&text.parse::<Crontab>().expect("a crontab"))
}

fn job(schedule: &Value, more: &Value) -> JobSpec {
    let mut document =
        json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true" });
    let fields = document.as_object_mut().expect("an object");
    fields.insert("schedule".to_owned(), schedule.clone());
    fields.extend(more.as_object().cloned().unwrap_or_default());
    JobSpec::parse(&document).expect("a job")
}

fn realm() -> RealmSpec {
    let christmas = json!({ "days": ["2026-12-25/2026-12-28"] });
    RealmSpec::parse(&json!({ "realm": "r", "calendars": { "christmas": christmas } })).expect("a realm")
}

fn plan_with(schedule: &Value, more: &Value) -> JobSchedule {
    JobSchedule::of(&job(schedule, more), &realm(), &Settings::default())
}

fn plan(schedule: Value) -> JobSchedule {
    plan_with(&schedule, &json!({}))
}

fn planned(plan: &JobSchedule) -> &PlannedEntry {
    plan.entries[0].as_ref().expect("an entry")
}

/// The notes on a slot of the first entry.
fn notes(plan: &JobSchedule, slot: &Slot) -> Vec<String> {
    let timetable = Timetable::new(JobId::new("a").expect("an id"), slot.at);
    standings(plan, &timetable, slot.at)[0].notes(slot)
}

/// A job's timetable as it is once it was looked at.
fn seen(plan: &JobSchedule, at: &str) -> Timetable {
    let job_id = JobId::new("a").expect("an id");
    Timetable::new(job_id, instant(at)).look(plan, instant(at), NO_WAIT).next
}

fn look(timetable: &Timetable, plan: &JobSchedule, at: &str) -> Looked {
    timetable.look(plan, instant(at), NO_WAIT)
}

fn started(looked: &Looked) -> Vec<String> {
    looked.starts.iter().map(|start| utc(start.slot.at)).collect()
}

/// Local times of the next slots.
fn next(crontab: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
    let crontab = cron(crontab);
    let slots = crontab.slots(instant(after), zone).take(count).collect::<Vec<Slot>>();
    slots.iter().map(|slot| slot.at.with_timezone(&zone).format("%m-%d %H:%M").to_string()).collect()
}

#[test]
fn report_12_edit_to_an_earlier_hour_starts_nothing_now() {
    let noon = plan(json!("0 12 * * *"));
    let timetable = seen(&noon, "2026-03-01T08:00:00Z");
    let nine = plan(json!("0 9 * * *"));
    let looked = look(&timetable.touched(instant("2026-03-01T10:00:00Z")), &nine, "2026-03-01T10:00:01Z");
    assert_eq!(started(&looked), [] as [&str; 0]);
    assert_eq!(looked.next.cursors[0].next, Some(instant("2026-03-02T09:00:00Z")));
}

#[test]
fn report_13_equal_spec_changes_no_cursor() {
    for schedule in [json!("0 12 * * *"), json!({ "every": "6h" }), json!(["0 1 * * *", { "every": "7m" }])] {
        let same = plan(schedule);
        let timetable = seen(&same, "2026-03-01T08:00:00Z");
        let touched = timetable.touched(instant("2026-03-01T08:03:00Z"));
        assert_eq!(look(&touched, &same, "2026-03-01T08:03:01Z").next.cursors, timetable.cursors);
    }
}

fn pause(until: Option<&str>) -> EntryPause {
    EntryPause { until: until.map(instant), by: "pele".to_owned(), why: "moving".to_owned() }
}

#[test]
fn report_14_resume_waits_for_the_next_slot() {
    let hourly = plan(json!("0 * * * *"));
    let paused = seen(&hourly, "2026-03-01T08:30:00Z").paused(
        &hourly,
        None,
        &pause(None),
        instant("2026-03-01T08:31:00Z"),
    );
    let timetable = look(&paused.next.expect("a change"), &hourly, "2026-03-01T08:31:01Z").next;
    assert_eq!(timetable.due_at, None);
    let held = timetable.resumed(&hourly, None, false, instant("2026-03-01T12:30:00Z"));
    assert_eq!(held.outcomes, [(0, HoldOutcome::Resumed)]);
    let looked = look(&held.next.expect("a change"), &hourly, "2026-03-01T12:30:01Z");
    assert_eq!((started(&looked).len(), looked.next.due_at), (0, Some(instant("2026-03-01T13:00:00Z"))));
    let held = timetable.resumed(&hourly, None, true, instant("2026-03-01T12:30:00Z"));
    let looked = look(&held.next.expect("a change"), &hourly, "2026-03-01T12:30:01Z");
    assert_eq!(started(&looked), ["2026-03-01T12:00:00Z"], "the last one is made up for");
}

#[test]
fn report_14_pause_right_after_apply_is_found_by_the_first_look() {
    for schedule in [
        json!("* * * * *"),
        json!({ "every": "1m", "run_now": true }),
        json!({ "at": "2026-03-01T08:00:30Z" }),
    ] {
        let plan = plan(schedule);
        let applied = Timetable::new(JobId::new("a").expect("an id"), instant("2026-03-01T08:00:00Z"));
        let held = applied.paused(&plan, None, &pause(None), instant("2026-03-01T08:00:01Z"));
        let looked = look(&held.next.expect("a change"), &plan, "2026-03-01T08:10:00Z");
        assert_eq!(started(&looked), [] as [&str; 0]);
        assert!(matches!(looked.next.cursors[0].state, State::Paused { .. }));
    }
}

#[test]
fn report_14_pausing_one_entry_loses_no_start_of_the_others() {
    let two = plan(json!(["0 9 * * *", { "crontab": "30 9 * * *", "run_now": true }, "0 9 * * 0"]));
    let applied = Timetable::new(JobId::new("a").expect("an id"), instant("2026-03-01T08:59:00Z"));
    // Nothing looks at the clock between the two.
    let held = applied.paused(&two, Some(0), &pause(None), instant("2026-03-01T09:00:10Z"));
    let looked = look(&held.next.expect("a change"), &two, "2026-03-01T09:00:11Z");
    assert_eq!(
        started(&looked),
        ["2026-03-01T08:59:00Z", "2026-03-01T09:00:00Z"],
        "the second at once, the third by its slot"
    );
    assert_eq!(looked.starts.iter().map(|start| start.entry).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn report_14_pause_withdraws_runs_made_ahead() {
    let minutely = plan(json!("* * * * *"));
    let now = instant("2026-03-01T08:00:30Z");
    let looked = seen(&minutely, "2026-03-01T08:00:10Z").look(&minutely, now, TimeDelta::seconds(90));
    assert_eq!(looked.starts.len(), 2);
    let held = looked.next.paused(&minutely, None, &pause(None), now + SECOND).next.expect("a change");
    assert_eq!(held.due_at, Some(now + SECOND));
    assert_eq!(held.withdrawing().count(), 2, "for the process that pauses");
    let next = held.look(&minutely, now + SECOND * 2, NO_WAIT).in_steps(&held, now + SECOND * 2);
    assert_eq!((next.withdrawn.len(), next.next.is_unfinished()), (2, false));
}

#[test]
fn report_14_pause_ends_by_itself_with_the_slot_after_it() {
    let hourly = plan(json!("0 * * * *"));
    let until = pause(Some("2026-03-01T10:00:00Z"));
    let held =
        seen(&hourly, "2026-03-01T08:30:00Z").paused(&hourly, None, &until, instant("2026-03-01T08:31:00Z"));
    let timetable = look(&held.next.expect("a change"), &hourly, "2026-03-01T08:31:01Z").next;
    assert_eq!(timetable.due_at, Some(instant("2026-03-01T10:00:00Z")));
    let looked = look(&timetable, &hourly, "2026-03-01T10:00:00Z");
    assert_eq!((started(&looked).len(), looked.next.due_at), (0, Some(instant("2026-03-01T11:00:00Z"))));
}

#[test]
fn report_14_edit_while_paused_starts_nothing_of_the_pause() {
    let timetable = seen(&plan(json!("0 12 * * *")), "2026-03-01T08:00:00Z");
    let noon = plan(json!("0 12 * * *"));
    let paused =
        timetable.paused(&noon, None, &pause(None), instant("2026-03-01T08:01:00Z")).next.expect("a change");
    let minutely = plan(json!("* * * * *"));
    let edited = paused.touched(instant("2026-03-01T08:02:00Z"));
    // Nothing has looked at the edit when it is resumed.
    let resumed =
        edited.resumed(&minutely, None, false, instant("2026-03-01T11:00:30Z")).next.expect("a change");
    let looked = look(&resumed, &minutely, "2026-03-01T11:00:31Z");
    assert_eq!((started(&looked).len(), looked.next.due_at), (0, Some(instant("2026-03-01T11:01:00Z"))));
}

#[test]
fn report_15_disable_and_enable_before_the_slot_runs_it() {
    let (on, off) =
        (plan(json!("0 12 * * *")), plan_with(&json!("0 12 * * *"), &json!({ "enabled": false })));
    let timetable = seen(&on, "2026-03-01T08:00:00Z").touched(instant("2026-03-01T09:00:00Z"));
    let timetable = look(&timetable, &off, "2026-03-01T09:00:00Z").next;
    assert_eq!(timetable.due_at, None);
    let timetable =
        look(&timetable.touched(instant("2026-03-01T10:00:00Z")), &on, "2026-03-01T10:00:00Z").next;
    assert_eq!(started(&look(&timetable, &on, "2026-03-01T12:00:00Z")), ["2026-03-01T12:00:00Z"]);
}

#[test]
fn report_16_a_million_missed_slots_halt_and_can_be_resumed() {
    let all = plan(json!({ "every": "1s", "catch_up": "all", "window": "30d" }));
    let timetable = seen(&all, "2026-03-01T00:00:00Z");
    let looked = look(&timetable, &all, "2026-03-13T00:00:00Z");
    assert_eq!((looked.starts.len(), &looked.halted[..]), (0, &[0][..]));
    let refused = looked.next.resumed(&all, None, true, instant("2026-03-13T00:00:00Z"));
    assert_eq!((refused.outcomes, refused.next), (vec![(0, HoldOutcome::WouldHalt)], None));
    let resumed =
        looked.next.resumed(&all, None, false, instant("2026-03-13T00:00:00Z")).next.expect("a change");
    assert_eq!(started(&look(&resumed, &all, "2026-03-13T00:00:01Z")), ["2026-03-13T00:00:01Z"]);
}

#[test]
fn report_17_a_day_down_makes_none_or_one_by_policy() {
    for (catch_up, wanted) in [("none", 0), ("last", 1)] {
        let hourly = plan(json!({ "crontab": "0 * * * *", "catch_up": catch_up }));
        let down = (instant("2026-03-01T10:30:00Z"), instant("2026-03-02T10:30:00Z"));
        let timetable = seen(&hourly, "2026-03-01T10:30:00Z");
        assert_eq!(look(&timetable, &hourly, "2026-03-02T10:30:00Z").starts.len(), wanted, "{catch_up}");
        let told = after_outage(&hourly, &timetable, down, down.0);
        assert_eq!(
            (told[0].made_up.len(), told[0].passed_over()),
            (wanted, 24 - u32::try_from(wanted).expect("few"))
        );
    }
}

#[test]
fn report_18_first_slot_ever_that_was_missed_counts() {
    let nightly = plan(json!("0 2 * * *"));
    let timetable = seen(&nightly, "2026-03-01T01:00:00Z");
    let looked = look(&timetable, &nightly, "2026-03-01T02:30:00Z");
    assert_eq!(started(&looked), ["2026-03-01T02:00:00Z"]);
    assert_eq!(looked.starts[0].missed.as_ref().map(|missed| missed.count), Some(1));
}

#[test]
fn report_19_night_job_outside_its_window_does_not_run_by_day() {
    let nightly = plan(json!({ "crontab": "0 2 * * *", "window": "2h" }));
    let timetable = seen(&nightly, "2026-03-01T01:00:00Z");
    let down = (instant("2026-03-01T01:00:00Z"), instant("2026-03-01T10:00:00Z"));
    assert_eq!(look(&timetable, &nightly, "2026-03-01T10:00:00Z").starts.len(), 0);
    let told = after_outage(&nightly, &timetable, down, down.0);
    assert_eq!((told[0].made_up.len(), told[0].passed_over()), (0, 1));
}

#[test]
fn report_20_restarts_more_often_than_the_period_lose_nothing() {
    let daily = plan(json!("0 12 * * *"));
    let mut text = serde_json::to_string(&seen(&daily, "2026-03-01T00:00:00Z")).expect("JSON");
    let mut starts = Vec::new();
    for hour in 1..30 {
        let timetable: Timetable = serde_json::from_str(&text).expect("a timetable");
        let at = instant("2026-03-01T00:00:00Z") + TimeDelta::hours(hour);
        let looked = timetable.look(&daily, at, NO_WAIT);
        starts.extend(started(&looked));
        text = serde_json::to_string(&looked.next).expect("JSON");
    }
    assert_eq!(starts, ["2026-03-01T12:00:00Z"]);
}

#[test]
fn report_21_look_that_is_late_by_61_seconds_still_runs() {
    for catch_up in ["none", "last", "all"] {
        let minutely = plan(json!({ "crontab": "* * * * *", "catch_up": catch_up }));
        let timetable = seen(&minutely, "2026-03-01T08:00:30Z");
        let looked = look(&timetable, &minutely, "2026-03-01T08:02:01Z");
        assert_eq!(started(&looked), ["2026-03-01T08:01:00Z", "2026-03-01T08:02:00Z"], "{catch_up}");
    }
}

#[test]
fn report_24_restart_after_a_good_run_makes_no_second() {
    let daily = plan(json!("0 8 * * *"));
    let looked = look(&seen(&daily, "2026-03-01T07:00:00Z"), &daily, "2026-03-01T08:00:00Z");
    assert_eq!(looked.starts.len(), 1);
    assert_eq!(look(&looked.next, &daily, "2026-03-01T08:30:00Z").starts.len(), 0);
}

#[test]
fn report_25_run_now_and_a_slot_in_a_moment_are_one() {
    let both = plan(json!({ "crontab": "* * * * *", "run_now": true }));
    let applied = Timetable::new(JobId::new("a").expect("an id"), instant("2026-03-01T07:59:58.5Z"));
    let mut timetable = applied.look(&both, instant("2026-03-01T07:59:58.5Z"), NO_WAIT);
    let mut starts = started(&timetable);
    timetable = look(&timetable.next, &both, "2026-03-01T08:00:00Z");
    starts.extend(started(&timetable));
    assert_eq!(starts, ["2026-03-01T08:00:00Z"]);
}

#[test]
fn report_26_waking_from_suspend_applies_the_policy() {
    let hourly = plan(json!("0 * * * *"));
    let timetable = seen(&hourly, "2026-03-01T08:30:00Z");
    // The lid was closed from 08:40 to 11:20: the first look after that sees three slots.
    let looked = look(&timetable, &hourly, "2026-03-01T11:20:00Z");
    assert_eq!(started(&looked), ["2026-03-01T11:00:00Z"]);
    assert_eq!(looked.starts[0].missed.as_ref().map(|missed| missed.count), Some(3));
}

#[test]
fn report_27_clock_set_back_makes_no_slot_twice() {
    let hourly = plan(json!("0 * * * *"));
    let looked = look(&seen(&hourly, "2026-03-01T11:30:00Z"), &hourly, "2026-03-01T12:00:00Z");
    let mut timetable = looked.next;
    let mut starts = Vec::new();
    for hour in 4..=13 {
        let looked = look(&timetable, &hourly, &format!("2026-03-01T{hour:02}:00:00Z"));
        starts.extend(started(&looked));
        timetable = looked.next;
    }
    assert_eq!(starts, ["2026-03-01T13:00:00Z"]);
}

#[test]
fn report_28_clock_set_forward_catches_up_once() {
    let minutely = plan(json!({ "crontab": "*/5 * * * *", "catch_up": "none" }));
    let looked = look(&seen(&minutely, "2026-03-01T08:01:00Z"), &minutely, "2026-03-02T08:03:00Z");
    let in_time = instant("2026-03-02T08:03:00Z") - IN_TIME;
    assert!(
        looked.starts.iter().all(|start| start.slot.at >= in_time) && looked.starts.len() <= 1,
        "{looked:?}"
    );
    assert_eq!(looked.next.cursors[0].next, Some(instant("2026-03-02T08:05:00Z")));
}

#[test]
fn report_32_deleted_job_leaves_no_cursor() {
    let hourly = plan(json!({ "every": "1h", "from": "2026-03-01T00:00:00Z" }));
    let timetable = seen(&hourly, "2026-03-01T07:30:00Z");
    let ended = timetable.ended(instant("2026-03-01T07:40:00Z"));
    assert_eq!((ended.next.cursors.len(), ended.starts.len()), (0, 0), "a record without cursors is removed");
    // The look comes late, and the next slot is not later for it.
    assert_eq!(
        look(&timetable, &hourly, "2026-03-01T08:00:50Z").next.due_at,
        Some(instant("2026-03-01T09:00:00Z"))
    );
}

/// The starts between two times when something looks at each second.
fn fired(plan: &JobSchedule, timetable: &Timetable, from: &str, to: &str) -> Vec<String> {
    let (mut timetable, mut at, mut starts) = (timetable.clone(), instant(from), Vec::new());
    while at <= instant(to) {
        if timetable.due_at.is_some_and(|due| due <= at) {
            let looked = timetable.look(plan, at, NO_WAIT);
            assert!(looked.starts.iter().all(|start| start.at <= at));
            starts.extend(started(&looked));
            timetable = looked.next;
        }
        at += SECOND;
    }
    starts
}

#[test]
fn report_38_preview_equals_the_starts() {
    let zone = |mut entry: Value| {
        entry["timezone"] = json!("Europe/Berlin");
        entry
    };
    for schedule in [
        json!({ "crontab": "30 2 * * *" }),
        json!({ "crontab": "*/7 1-3 * * *" }),
        json!({ "crontab": "15 * * * *", "jitter": "10m" }),
        json!({ "every": "13m" }),
        json!({ "crontab": "* * * * *", "max_runs": 7 }),
        json!({ "at": ["2026-03-29T02:30", "2026-03-29T01:30:30", "2020-01-01"] }),
        json!({ "crontab": "0 * * * *", "from": "2026-03-29T04:00", "to": "2026-03-29T01:00" }),
        json!({ "crontab": "0 5 * * *", "skip": "christmas", "shift": "next" }),
        json!({ "every": "1h", "run_now": true }),
    ] {
        let plan = plan(zone(schedule.clone()));
        let (from, to) = ("2026-03-28T23:00:30Z", "2026-03-29T05:00:00Z");
        let applied = Timetable::new(JobId::new("a").expect("an id"), instant(from));
        let preview: Vec<String> = standings(&plan, &applied, instant(from))[0]
            .upcoming(instant(from))
            .take_while(|slot| slot.at + planned(&plan).jitter <= instant(to))
            .map(|slot| utc(slot.at))
            .collect();
        assert_eq!(preview, fired(&plan, &applied, from, to), "{schedule}");
        // Half-way it shows the rest.
        let (half, mut rest) = ("2026-03-29T01:00:15Z", Vec::new());
        let mut timetable = applied;
        let mut at = instant(from);
        while at <= instant(half) {
            timetable = timetable.look(&plan, at, NO_WAIT).next;
            at += SECOND * 15;
        }
        let standings = standings(&plan, &timetable, instant(half));
        let upcoming = standings[0].upcoming(instant(half));
        rest.extend(
            upcoming
                .take_while(|slot| slot.at + planned(&plan).jitter <= instant(to))
                .map(|slot| utc(slot.at)),
        );
        assert_eq!(rest, fired(&plan, &timetable, half, to), "{schedule} from half-way");
    }
}

#[test]
fn report_14_entry_added_to_a_paused_disabled_job_stays_paused() {
    let one = plan(json!("0 9 * * *"));
    let paused = seen(&one, "2026-03-01T00:00:00Z")
        .paused(&one, None, &pause(None), instant("2026-03-01T00:00:01Z"))
        .next
        .expect("a change");
    let mut timetable = paused;
    for (at, enabled) in [("2026-03-01T00:01:00Z", false), ("2026-03-01T00:02:00Z", true)] {
        let two = plan_with(&json!(["0 9 * * *", "0 10 * * *"]), &json!({ "enabled": enabled }));
        timetable = look(&timetable.touched(instant(at)), &two, at).next;
        let is_paused = |cursor: &pumice_core::clock::Cursor| matches!(cursor.state, State::Paused { .. });
        assert!(timetable.cursors.len() == 2 && timetable.cursors.iter().all(is_paused), "{timetable:?}");
    }
}

#[test]
fn report_39_days_and_weekdays_mean_either_and_plus_means_both() {
    let days = |crontab: &str| {
        let crontab = cron(crontab);
        let slots = crontab.slots(instant("2026-03-01T00:00:00Z"), Tz::UTC).take(4);
        slots.map(|slot| slot.at.format("%m-%d").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(days("0 0 14 * 5"), ["03-06", "03-13", "03-14", "03-20"]);
    assert_eq!(days("0 0 13 * +5"), ["03-13", "11-13", "08-13", "10-13"]);
}

#[test]
fn report_41_huge_ranges_and_lists_are_refused_at_once() {
    let list = vec!["1"; 100_000].join(",");
    let instants = json!({ "at": vec!["1 March 2026 at noon"; 100_000] });
    for (schedule, wanted) in [
        (json!("1-100000000 * * * *"), "is not a crontab"),
        (json!("* * * * 1-100000000"), "is not a crontab"),
        (json!(format!("{list} * * * *")), "characters are more than"),
        (json!({ "crontab": "9".repeat(1_000_000) }), "characters are more than"),
        (instants.clone(), "at has 100000 instants, more than 1000"),
        (json!([instants]), "at has 100000 instants, more than 1000"),
        (json!(vec!["* * * * *"; 10_000]), "10000 entries are more than 1000"),
        (json!({ "every": "1000000d" }), "is longer than a hundred years"),
        (json!({ "every": "36000d" }), "every is whole seconds"),
        (json!({ "every": 0 }), "every is whole seconds"),
        (json!({ "crontab": "@daily", "globals": { "Lava": 1 } }), "the global \"Lava\" is reserved"),
    ] {
        let document = json!({ "job_id": "a", "type": "cmd", "worker": "core", "payload": "true", "schedule": schedule });
        let told = JobSpec::parse(&document).expect_err("it is refused").to_string();
        assert!(told.contains(wanted) && told.len() < 2_000, "{wanted}: {}", &told[..told.len().min(2_000)]);
        let stored = pumice_core::spec::Schedule::entries(&document["schedule"]);
        assert!(
            stored.iter().any(|entry| entry.as_ref().is_err_and(|told| told.to_string().len() < 2_000)),
            "{wanted}"
        );
    }
}

#[test]
fn preview_of_entries_that_cannot_be_used_says_why() {
    let broken = plan(json!([{ "crontab": "0 9 * * *", "skip": "nowhere" }, "0 9 * * *"]));
    let timetable = seen(&broken, "2026-03-01T00:00:00Z");
    let held = timetable
        .paused(&broken, None, &pause(None), instant("2026-03-01T00:00:01Z"))
        .next
        .expect("a change");
    let told = standings(&broken, &held, instant("2026-03-01T00:00:02Z"));
    assert!(told[0].silence().is_some_and(|why| why.contains("the realm has no calendar \"nowhere\"")));
    assert!(told[1].silence().is_some_and(|why| why.contains("paused by pele: moving")));
    // Once it can be used it is still paused.
    let mended = plan(json!([{ "crontab": "0 9 * * *", "skip": "christmas" }, "0 9 * * *"]));
    let looked = look(&held.touched(instant("2026-03-01T00:01:00Z")), &mended, "2026-03-01T00:01:00Z");
    assert!(
        looked.next.cursors.iter().all(|cursor| matches!(cursor.state, State::Paused { .. })),
        "{looked:?}"
    );
}

#[test]
fn preview_of_a_calendar_says_where_a_slot_came_from() {
    let shifted = plan(json!({ "crontab": "0 9 * * *", "skip": "christmas", "shift": "next" }));
    let entry: Entry = planned(&shifted).entry(instant("2026-12-01T00:00:00Z"));
    let slot = entry.next(instant("2026-12-24T12:00:00Z")).expect("a slot");
    assert_eq!(notes(&shifted, &slot), ["moved from 2026-12-25 by its calendars"]);
}
