//! Crontabs against a calendar that looks at every minute.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use pumice_core::clock::{ClockChange, Cron};
use pumice_core::spec::Crontab;

/// How many crontabs are tried.
const CRONTABS: u32 = 5_000;
/// How far around a change of clock is looked.
const AROUND: TimeDelta = TimeDelta::hours(14);
/// How much further the calendar looks: no clock changes by more in these years.
const MARGIN: TimeDelta = TimeDelta::hours(3);
const MINUTE: TimeDelta = TimeDelta::minutes(1);

type Instant = DateTime<Utc>;

fn cron(text: &str) -> Cron {
    Cron::new(&text.parse::<Crontab>().expect("a crontab"))
}

fn instant(text: &str) -> Instant {
    text.parse().expect("a time")
}

/// The next slots, as instants.
fn next(crontab: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
    let slots = cron(crontab).slots(instant(after), zone).take(count).collect::<Vec<_>>();
    slots.iter().map(|slot| slot.at.with_timezone(&zone).format("%m-%d %H:%M %z").to_string()).collect()
}

/// The changes of clock of all zones in the years that are tried.
fn changes() -> Vec<(Tz, Instant)> {
    let (from, to) = (instant("2024-01-01T00:00:00Z"), instant("2029-01-01T00:00:00Z"));
    let offset = |zone: Tz, at: Instant| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let mut found = Vec::new();
    for zone in TZ_VARIANTS {
        let mut at = from;
        while at < to {
            let next = at + TimeDelta::hours(12);
            if offset(zone, at) != offset(zone, next) {
                found.push((zone, at));
            }
            at = next;
        }
    }
    found
}

/// A field of a crontab: its text, and the values that it has.
fn field(low: u32, high: u32) -> impl Strategy<Value = (String, BTreeSet<u32>)> {
    let all: BTreeSet<u32> = (low..=high).collect();
    let one = (low..=high).prop_map(|value| (value.to_string(), BTreeSet::from([value])));
    let range = (low..=high, low..=high).prop_map(|(a, b)| {
        let (first, last) = (a.min(b), a.max(b));
        (format!("{first}-{last}"), (first..=last).collect())
    });
    let step = (2..=high.max(3) / 2 + 1).prop_map(move |step| {
        let count = usize::try_from(step).expect("small");
        (format!("*/{step}"), (low..=high).step_by(count).collect())
    });
    let list = prop::collection::btree_set(low..=high, 2..5)
        .prop_map(|values| (values.iter().map(u32::to_string).collect::<Vec<_>>().join(","), values));
    prop_oneof![2 => Just(("*".to_owned(), all)), 2 => one, 1 => range, 1 => step, 2 => list]
}

#[derive(Clone, Debug)]
struct Fields {
    text: String,
    values: Vec<BTreeSet<u32>>,
    counts_hours: bool,
    any_day: bool,
}

fn fields() -> impl Strategy<Value = Fields> {
    let days = |low: u32, high: u32| {
        let step = (1..=3_u32).prop_map(move |step| {
            (format!("*/{step}"), (low..=high).step_by(step as usize).collect::<BTreeSet<u32>>())
        });
        let one = (low..=high).prop_map(|day| (day.to_string(), BTreeSet::from([day])));
        let all = Just(("*".to_owned(), (low..=high).collect::<BTreeSet<u32>>()));
        prop_oneof![3 => all, 1 => one, 1 => step]
    };
    let (day, weekday) = (days(1, 31), days(0, 6));
    (field(0, 59), field(0, 23), day, field(1, 12), weekday).prop_map(
        |(minute, hour, day, month, weekday)| Fields {
            text: [&*minute.0, &*hour.0, &*day.0, &*month.0, &*weekday.0].join(" "),
            counts_hours: hour.0.starts_with('*'),
            // Where both are given, either will do, unless one begins with a star.
            any_day: !day.0.starts_with('*') && !weekday.0.starts_with('*'),
            values: vec![minute.1, hour.1, day.1, month.1, weekday.1],
        },
    )
}

impl Fields {
    fn names(&self, local: NaiveDateTime) -> bool {
        let has = |field: usize, value: u32| self.values[field].contains(&value);
        // The most selective first: this looks at millions of minutes.
        if !has(0, local.minute()) || !has(1, local.hour()) || local.second() != 0 {
            return false;
        }
        let day = has(2, local.day());
        let weekday = has(4, local.weekday().num_days_from_sunday());
        let days = if self.any_day { day || weekday } else { day && weekday };
        days && has(3, local.month())
    }
}

/// Every slot in a time, found by looking at each minute.
fn looked_at(fields: &Fields, zone: Tz, from: Instant, to: Instant) -> Vec<Instant> {
    let minutes = |from: Instant, to: Instant| {
        std::iter::successors(Some(from), |at| Some(*at + MINUTE)).take_while(move |at| *at <= to)
    };
    let local = |at: Instant| at.with_timezone(&zone).naive_local();
    let mut slots = BTreeSet::new();
    if fields.counts_hours {
        slots.extend(minutes(from, to).filter(|at| fields.names(local(*at))));
    } else {
        let mut first: BTreeMap<NaiveDateTime, Instant> = BTreeMap::new();
        for at in minutes(from - MARGIN, to + MARGIN) {
            first.entry(local(at)).or_insert(at);
        }
        let (begin, end) = (local(from - MARGIN), local(to + MARGIN));
        let named =
            std::iter::successors(Some(begin), |wall| Some(*wall + MINUTE)).take_while(|wall| *wall <= end);
        // One that is skipped is at the first minute whose time is later.
        let named = named.filter(|wall| fields.names(*wall));
        slots.extend(named.filter_map(|wall| first.range(wall..).next()).map(|(_, at)| *at));
    }
    slots.into_iter().filter(|at| *at > from && *at <= to).collect()
}

#[test]
fn crontab_is_due_as_a_calendar_at_every_change_of_clock() {
    let changes = changes();
    assert!(changes.len() > 1_000, "{} changes", changes.len());
    let mut runner =
        TestRunner::new(Config { cases: CRONTABS, failure_persistence: None, ..Config::default() });
    let strategy = (fields(), select(changes), 0..840_i64);
    runner
        .run(&strategy, |(fields, (zone, change), shift)| {
            let from = change - AROUND + TimeDelta::minutes(shift);
            let to = change + AROUND;
            let found: Vec<Instant> =
                cron(&fields.text).slots(from, zone).map(|slot| slot.at).take_while(|at| *at <= to).collect();
            prop_assert_eq!(
                found,
                looked_at(&fields, zone, from, to),
                "{} in {} from {}",
                fields.text,
                zone,
                from
            );
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn skipped_time_of_day_is_due_once_right_after_the_gap() {
    use chrono_tz::America::{New_York, Santiago};
    use chrono_tz::Australia::Lord_Howe;
    let before = "2026-03-08T05:00:00Z";
    for crontab in ["30 2 * * *", "15,45 2 * * *", "0 2,14 * * *", "30 2-2 * * *"] {
        assert_eq!(next(crontab, New_York, before, 1), ["03-08 03:00 -0400"], "{crontab}");
    }
    assert_eq!(next("0 2,3 * * *", New_York, before, 2), ["03-08 03:00 -0400", "03-09 02:00 -0400"]);
    let slot = cron("15,45 2 * * *").next(instant(before), New_York).unwrap();
    assert_eq!(slot.change, Some(ClockChange::Skipped(2)));
    assert_eq!(slot.local.to_string(), "2026-03-08 02:15:00");
    assert_eq!(next("0 0 * * *", Santiago, "2026-09-06T03:00:00Z", 1), ["09-06 01:00 -0300"]);
    assert_eq!(next("15 2 * * *", Lord_Howe, "2026-10-03T12:00:00Z", 1), ["10-04 02:30 +1100"]);
}

#[test]
fn a_time_of_day_that_comes_twice_is_due_the_first_time() {
    use chrono_tz::America::New_York;
    let before = "2026-11-01T04:00:00Z";
    for crontab in ["30 1 * * *", "30 1,13 * * *", "30 0-1 * * *"] {
        let due = next(crontab, New_York, before, 3);
        assert_eq!(due.iter().filter(|at| at.starts_with("11-01 01:30")).count(), 1, "{crontab}: {due:?}");
        assert!(due.contains(&"11-01 01:30 -0400".to_owned()), "{crontab}: {due:?}");
    }
    // Asked from between the two, it is the next day's.
    assert_eq!(next("30 1 * * *", New_York, "2026-11-01T05:40:00Z", 1), ["11-02 01:30 -0500"]);
    let slot = cron("30 1 * * *").next(instant(before), New_York).unwrap();
    assert_eq!(slot.change, Some(ClockChange::First));
}

#[test]
fn a_crontab_that_counts_hours_goes_through_a_change_evenly() {
    use chrono_tz::America::New_York;
    let fold = next("*/30 * * * *", New_York, "2026-11-01T04:59:00Z", 5);
    let wanted = ["01:00 -0400", "01:30 -0400", "01:00 -0500", "01:30 -0500", "02:00 -0500"];
    assert_eq!(fold, wanted.map(|at| format!("11-01 {at}")));
    let gap = next("*/30 * * * *", New_York, "2026-03-08T06:29:00Z", 3);
    assert_eq!(gap, ["01:30 -0500", "03:00 -0400", "03:30 -0400"].map(|at| format!("03-08 {at}")));
}

#[test]
fn a_day_that_is_lost_stops_nothing() {
    use chrono_tz::Pacific::Apia;
    let due = next("0 9 * * *", Apia, "2011-12-29T10:00:00Z", 3);
    // The thirtieth was left out: its slot falls on the first instant of the thirty-first.
    assert_eq!(due, ["12-29 09:00 -1000", "12-31 00:00 +1400", "12-31 09:00 +1400"]);
}

#[test]
fn crontab_that_names_no_time_is_never_due() {
    let first = |crontab: &str| cron(crontab).next(instant("2026-01-01T00:00:00Z"), chrono_tz::UTC);
    for crontab in
        ["@reboot", "0 0 30 2 *", "0 0 31 4 *", "0 * 30,31 2 *", "*/5 0 31 4,6,9,11 *", "0 0 30 2 +1"]
    {
        assert_eq!(first(crontab), None, "{crontab}");
    }
    for crontab in
        ["0 0 29 2 *", "0 0 30 2 5", "0 0 30 2,3 *", "0 0 L 2 *", "0 0 31 * *", "0 0 * 2 *", "0 0 29 2 +1"]
    {
        assert!(first(crontab).is_some(), "{crontab}");
    }
    let utc = chrono_tz::UTC;
    assert_eq!(next("@daily", utc, "2026-01-01T00:00:00Z", 1), ["01-02 00:00 +0000"]);
    assert_eq!(next("@hourly", utc, "2026-01-01T00:30:00Z", 1), ["01-01 01:00 +0000"]);
    assert_eq!(
        next("0 0 13 * 5", utc, "2026-01-09T12:00:00Z", 2),
        ["01-13 00:00 +0000", "01-16 00:00 +0000"]
    );
}

#[test]
fn day_that_never_comes_has_no_slot_and_is_found_fast() {
    let after = "2026-01-01T00:00:00Z".parse().expect("a time");
    let next = |text: &str| Cron::new(&text.parse().expect(text)).next(after, chrono_tz::UTC);
    for text in [
        "0 0 30 2 *",
        "0 0 31 4,6,9,Nov *",
        "0 0 30,31 Feb ?",
        "0 0 31 2-2 *",
        "0 0 30/1 2 *",
        "0 0 30 2 +1",
        "0 0 30W 2 *",
        "0 0 31W 2,4 *",
        "0 0 1 * +5#3",
        "0 0 14,22-31 * +5#3",
        "0 0 1-20 * +5L",
        "0 0 L * +5#3",
        "0 0 29 2 +1#4",
        "0 0 15W * +6",
        "0 0 * * L",
    ] {
        let Ok(crontab) = text.parse() else { continue };
        let cron = Cron::new(&crontab);
        // Each would take a while if it were looked for.
        assert!((0..1_000).all(|_| cron.next(after, chrono_tz::UTC).is_none()), "{text}");
        assert!(!cron.is_reboot());
    }
    for (text, day) in [
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 30 2 Mon", "2026-02-02"),
        ("0 0 31 4,5 *", "2026-05-31"),
        ("0 0 L 2 *", "2026-02-28"),
        ("0 0 28W 2 *", "2026-02-27"),
        ("0 0 31W * *", "2026-01-30"),
        ("0 0 15 * +5#3", "2026-05-15"),
        ("0 0 1,16 * +5#3", "2026-01-16"),
        ("0 0 22-25 * +5L", "2026-04-24"),
        ("0 0 L * +5#4", "2031-02-28"),
        ("0 0 29 2 +2#5", "2028-02-29"),
        ("0 0 15W * +4", "2026-01-15"),
        ("0 0 1 * L", "2026-02-01"),
        ("0 0 * * 5#L", "2026-01-30"),
    ] {
        assert_eq!(next(text).expect(text).local.date().to_string(), day, "{text}");
    }
}

/// The items of days that croner keeps as features of the whole field, in all lists of them.
#[test]
fn list_of_days_is_due_when_any_of_its_items_is() {
    let slots = |days: &str, weekdays: &str| {
        let cron = cron(&format!("30 1 {days} * {weekdays}"));
        let slots = cron.slots(instant("2027-01-01T00:00:00Z"), Tz::UTC).map(|slot| slot.at);
        slots.take_while(|at| at.year() < 2029).collect::<BTreeSet<_>>()
    };
    type Field<'a> = (&'a [&'a str], &'a dyn Fn(&str) -> BTreeSet<Instant>);
    let of_days: Field<'_> = (&["L", "LW", "lw", "15W", "1W", "31", "29-30"], &|days| slots(days, "*"));
    let with_friday: Field<'_> = (&["L", "LW", "13"], &|days| slots(days, "+5"));
    let of_weekdays: Field<'_> = (&["5L", "5#2", "5#5", "1", "0L"], &|weekdays| slots("*", weekdays));
    for (items, due) in [of_days, with_friday, of_weekdays] {
        for chosen in 1..1_u32 << items.len() {
            let is_chosen = |(place, _): &(usize, &&str)| chosen >> place & 1 == 1;
            let list: Vec<&str> = items.iter().enumerate().filter(is_chosen).map(|(_, item)| *item).collect();
            let each: BTreeSet<Instant> = list.iter().flat_map(|item| due(item)).collect();
            for list in [list.clone(), list.into_iter().rev().collect()] {
                assert_eq!(due(&list.join(",")), each, "{list:?}");
            }
        }
    }
    let last: Vec<String> = next("0 0 L,LW * *", Tz::UTC, "2027-01-01T00:00:00Z", 5);
    assert_eq!(
        last,
        [
            "01-29 00:00 +0000",
            "01-31 00:00 +0000",
            "02-26 00:00 +0000",
            "02-28 00:00 +0000",
            "03-31 00:00 +0000"
        ]
    );
}
