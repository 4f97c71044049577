//! The slots of a schedule that are due, whatever stops, comes late, jumps or is changed.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use pumice_core::clock::{Cron, Cursor, Due, Entry, IN_TIME, Missing, Recurrence, State};
use pumice_core::spec::{CatchUp, Crontab};

type Instant = DateTime<Utc>;

const NO_WAIT: TimeDelta = TimeDelta::zero();

fn instant(text: &str) -> Instant {
    text.parse().expect("a time")
}

/// A time of the first of March.
fn at(time: &str) -> Instant {
    instant(&format!("2026-03-01T{time}Z"))
}

fn entry(crontab: &str) -> Entry {
    let cron = Cron::new(&crontab.parse::<Crontab>().expect("a crontab"));
    Entry { when: Recurrence::Cron(cron), zone: chrono_tz::UTC, from: None, to: None, calendars: None }
}

fn catching_up(catch_up: CatchUp) -> Missing {
    Missing { catch_up, ..Missing::default() }
}

fn due(cursor: &Cursor, entry: &Entry, missing: Missing, now: Instant) -> Option<Due> {
    cursor.awake(entry, NO_WAIT, now).due(entry, missing, now, NO_WAIT)
}

/// The times of day that are started.
fn started(due: Option<Due>) -> Vec<String> {
    let slots = due.into_iter().flat_map(|due| due.start);
    slots.map(|slot| slot.at.format("%H:%M").to_string()).collect()
}

#[test]
fn new_entry_starts_with_its_next_slot() {
    let hourly = entry("0 * * * *");
    let cursor = Cursor::new(&hourly, "a".to_owned(), at("09:59:59"));
    assert_eq!(due(&cursor, &hourly, Missing::default(), at("09:59:59")), None);
    assert_eq!(started(due(&cursor, &hourly, Missing::default(), at("10:00:00"))), ["10:00"]);
    let exactly = Cursor::new(&hourly, "a".to_owned(), at("10:00:00"));
    assert_eq!(due(&exactly, &hourly, Missing::default(), at("10:00:30")), None);
}

#[test]
fn look_late_by_a_minute_starts_the_same_slots() {
    let minutely = entry("* * * * *");
    let cursor = Cursor::new(&minutely, "a".to_owned(), at("09:58:30"));
    for catch_up in [CatchUp::None, CatchUp::Last, CatchUp::All] {
        let due = due(&cursor, &minutely, catching_up(catch_up), at("10:00:01"));
        assert_eq!(started(due), ["09:59", "10:00"], "{catch_up:?}");
    }
}

#[test]
fn after_a_day_down_it_catches_up_as_it_says() {
    let hourly = entry("0 * * * *");
    let cursor = Cursor::new(&hourly, "a".to_owned(), instant("2026-02-28T10:30:00Z"));
    let now = at("10:30:00");
    let of = |missing: Missing| {
        let due = due(&cursor, &hourly, missing, now).expect("it is due");
        assert_eq!(due.cursor.next, Some(at("11:00:00")));
        (due.start.len(), due.missed.map_or(0, |missed| missed.count))
    };
    assert_eq!(of(catching_up(CatchUp::None)), (0, 24));
    assert_eq!(of(catching_up(CatchUp::Last)), (1, 24));
    assert_eq!(of(catching_up(CatchUp::All)), (1, 24), "its window is an hour");
    let window = Some(TimeDelta::hours(5));
    assert_eq!(of(Missing { catch_up: CatchUp::All, window, max: None }), (5, 24));
}

#[test]
fn a_night_job_that_is_too_late_does_not_run_by_day() {
    let nightly = entry("0 2 * * *");
    let cursor = Cursor::new(&nightly, "a".to_owned(), at("01:00:00"));
    let window = Some(TimeDelta::hours(2));
    let missing = Missing { window, ..Missing::default() };
    assert_eq!(started(due(&cursor, &nightly, missing, at("03:59:00"))), ["02:00"]);
    let late = due(&cursor, &nightly, missing, at("10:00:00")).expect("it is seen to");
    assert_eq!((late.start.len(), late.missed.map(|missed| missed.count)), (0, Some(1)));
    assert_eq!(late.cursor.next, Some(instant("2026-03-02T02:00:00Z")));
}

#[test]
fn more_than_it_may_make_up_for_halts_it_and_takes_no_time() {
    let every = Entry {
        when: Recurrence::Every { interval: TimeDelta::seconds(1), from: at("00:00:00") },
        ..entry("* * * * *")
    };
    let cursor = Cursor::new(&every, "a".to_owned(), at("00:00:00"));
    let years = instant("2036-03-01T00:00:00Z");
    let missing = Missing { catch_up: CatchUp::All, window: Some(TimeDelta::days(9_000)), max: Some(100) };
    let halted = due(&cursor, &every, missing, years).expect("it is seen to");
    assert_eq!((halted.start.len(), &halted.cursor.state), (0, &State::Halted));
    assert_eq!(due(&halted.cursor, &every, missing, years), None, "it waits to be resumed");
    let resumed = halted.cursor.resumed(&every, false, years);
    assert_eq!((resumed.next, &resumed.state), (Some(years + TimeDelta::seconds(1)), &State::Active));
    let last = due(&cursor, &every, catching_up(CatchUp::Last), years).expect("it is seen to");
    assert_eq!(last.start.len(), 91, "those in time");
}

#[test]
fn edit_starts_nothing_past_and_equal_spec_changes_nothing() {
    let cursor = Cursor::new(&entry("0 12 * * *"), "noon".to_owned(), at("08:00:00"));
    let earlier = entry("0 9 * * *");
    let edited = cursor.seen(&earlier, "nine", at("10:00:00"));
    assert_eq!(edited.next, Some(instant("2026-03-02T09:00:00Z")));
    assert_eq!(cursor.seen(&entry("0 12 * * *"), "noon", at("12:00:30")), cursor);
}

#[test]
fn a_pause_starts_nothing_and_its_end_waits_for_the_next_slot() {
    let hourly = entry("0 * * * *");
    let cursor = Cursor::new(&hourly, "a".to_owned(), at("08:30:00"));
    let paused = cursor.paused(None, "ann".to_owned(), "upgrade".to_owned());
    assert_eq!(due(&paused, &hourly, Missing::default(), at("09:00:10")), None);
    assert_eq!(paused.resumed(&hourly, false, at("10:00:20")).next, Some(at("11:00:00")));
    let caught_up = paused.resumed(&hourly, true, at("10:30:00"));
    assert_eq!(started(due(&caught_up, &hourly, Missing::default(), at("10:30:00"))), ["10:00"]);
    // A pause with an end goes on by itself, with what comes after it.
    let until = cursor.paused(Some(at("09:30:00")), "ann".to_owned(), String::new());
    assert_eq!(due(&until, &hourly, Missing::default(), at("09:00:10")), None);
    assert_eq!(started(due(&until, &hourly, Missing::default(), at("10:00:05"))), ["10:00"]);
}

#[test]
fn a_clock_that_is_set_back_starts_nothing_twice() {
    let hourly = entry("0 * * * *");
    let cursor = Cursor::new(&hourly, "a".to_owned(), at("11:30:00"));
    let noon = due(&cursor, &hourly, Missing::default(), at("12:00:01")).expect("it is due").cursor;
    for time in ["04:00:00", "11:59:59", "12:00:00", "12:00:30"] {
        assert_eq!(due(&noon, &hourly, Missing::default(), at(time)), None, "{time}");
    }
    assert_eq!(started(due(&noon, &hourly, Missing::default(), at("13:00:00"))), ["13:00"]);
    // Nor does an edit at such a time.
    assert_eq!(noon.seen(&entry("30 * * * *"), "half", at("04:00:00")).next, Some(at("12:30:00")));
}

#[test]
fn a_start_is_made_ahead_of_its_time_once() {
    let minutely = entry("* * * * *");
    let cursor = Cursor::new(&minutely, "a".to_owned(), at("08:59:30"));
    let ahead = TimeDelta::seconds(90);
    let first = cursor.due(&minutely, Missing::default(), at("08:59:30"), ahead).expect("it is due");
    assert_eq!(started(Some(first.clone())), ["09:00", "09:01"]);
    let next = first.cursor.due(&minutely, Missing::default(), at("09:00:30"), ahead);
    assert_eq!(started(next), ["09:02"]);
}

#[test]
fn windows_hold_within_and_inverted_outside() {
    let within = Entry { from: Some(at("09:00:00")), to: Some(at("11:00:00")), ..entry("0 * * * *") };
    let slots = |entry: &Entry| -> Vec<String> {
        entry.slots(at("06:30:00")).take(4).map(|slot| slot.at.format("%H:%M").to_string()).collect()
    };
    assert_eq!(slots(&within), ["09:00", "10:00", "11:00"]);
    let outside = Entry { from: Some(at("11:00:00")), to: Some(at("08:00:00")), ..entry("0 * * * *") };
    assert_eq!(slots(&outside), ["07:00", "08:00", "11:00", "12:00"]);
}

#[test]
fn an_interval_goes_evenly_through_a_change_of_clock() {
    let zone = chrono_tz::America::New_York;
    let from = instant("2026-10-31T04:00:00Z");
    let every = Entry {
        when: Recurrence::Every { interval: TimeDelta::minutes(15), from },
        zone,
        from: None,
        to: None,
        calendars: None,
    };
    // The two hours that are both called one o'clock.
    let (begin, end) = (instant("2026-11-01T05:00:00Z"), instant("2026-11-01T07:00:00Z"));
    let slots: Vec<Instant> = every.slots(begin).map(|slot| slot.at).take_while(|at| *at <= end).collect();
    assert_eq!(slots.len(), 8);
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(15)));
}

proptest! {
    /// However often and late the looks come: no slot is started twice, those that are in time are all started, and a
    /// look's work is bounded.
    #[test]
    fn every_slot_is_started_once_however_looks_come(
        crontab in prop::sample::select(vec!["* * * * *", "*/7 * * * *", "0 * * * *", "30 2,14 * * *"]),
        catch_up in prop::sample::select(vec![CatchUp::None, CatchUp::Last, CatchUp::All]),
        looks in prop::collection::vec((1_i64..20_000, prop::bool::ANY), 1..60),
        ahead in 0_i64..91,
    ) {
        let entry = entry(crontab);
        let mut now = at("00:00:00");
        let mut cursor = Cursor::new(&entry, "a".to_owned(), now);
        let mut starts: BTreeMap<Instant, u32> = BTreeMap::new();
        let ahead = TimeDelta::seconds(ahead);
        for (seconds, long) in looks {
            let before = now;
            now += TimeDelta::seconds(if long { seconds } else { seconds % 80 });
            let looked = cursor.due(&entry, catching_up(catch_up), now, ahead);
            let Some(looked) = looked else { continue };
            if looked.cursor.state == State::Halted {
                cursor = looked.cursor.resumed(&entry, false, now);
                continue;
            }
            prop_assert!(looked.start.len() <= 24, "{} at once", looked.start.len());
            prop_assert!(looked.cursor.next > cursor.next && looked.cursor.last > cursor.last);
            for slot in &looked.start {
                *starts.entry(slot.at).or_default() += 1;
            }
            // All that came since the look before and is in time is started.
            let fresh = entry.slots(before.max(now - IN_TIME) + ahead).map(|slot| slot.at);
            for slot in fresh.take_while(|at| *at <= now + ahead) {
                prop_assert!(starts.contains_key(&slot) || Some(slot) < cursor.next, "{} is lost at {}", slot, now);
            }
            cursor = looked.cursor;
        }
        prop_assert!(starts.values().all(|count| *count == 1), "{:?}", starts);
    }
}
