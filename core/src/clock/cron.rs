//! The slots of a crontab in a zone, through its changes of clock (crontab(5), and cron(8) on changes of clock).
//!
//! croner knows crontabs; it is asked free of zones, as a day with 24 hours has every time once. The instant of a local
//! time is decided here.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::Timestamp;
use crate::spec::Crontab;

/// How far ahead is looked for a change of clock, and how far one can move it: a zone that changes sides of the date line
/// moves by a day.
const REACH: TimeDelta = TimeDelta::hours(27);
/// The step in which a change is looked for: no two are that close.
const STEP: TimeDelta = TimeDelta::hours(1);
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// A crontab that can be asked when it is due.
#[derive(Clone, Debug)]
pub struct Cron {
    /// Due when any of them is; none for `@reboot`, which names no time.
    patterns: Box<[croner::Cron]>,
    /// Whether its hour field begins with `*`.
    counts_hours: bool,
    /// Whether no month has any of its days, as with the 30th of February: a search would go through all years.
    never: bool,
}

/// A time at which a crontab is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The instant.
    pub at: Timestamp,
    /// The local time that the crontab names.
    pub local: NaiveDateTime,
    /// The change of clock that touches it, if any.
    pub change: Option<ClockChange>,
    /// The day that it was on before calendars shifted it.
    pub moved_from: Option<NaiveDate>,
}

/// The effect of a change of clock on a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// The local time does not exist on that day: it is the first instant after it. So many slots fall on it.
    Skipped(u32),
    /// The local time does not exist on that day: it is as much later as the clock was put forward (PEP 495).
    Later,
    /// The local time comes twice on that day: it is the first.
    First,
    /// The local time comes twice on that day, and this is the second: the crontab counts hours.
    Second,
}

impl Cron {
    /// Whether it names no time, but the start of the service (crontab(5), @reboot).
    #[must_use]
    pub fn is_reboot(&self) -> bool {
        self.patterns.is_empty()
    }

    /// A crontab as a spec has it.
    #[must_use]
    pub fn new(crontab: &Crontab) -> Self {
        let counts_hours = counts_hours(crontab);
        let text = crontab.pattern();
        // A crontab was read in these words before.
        let patterns: Box<[croner::Cron]> =
            text.iter().flat_map(|text| apart(text)).filter_map(|text| text.parse().ok()).collect();
        let never = match (patterns.first(), text) {
            (Some(pattern), Some(text)) if !text.starts_with('@') => !names_a_day(pattern, &text),
            _ => false,
        };
        Self { patterns, counts_hours, never }
    }

    /// The first slot after an instant. An entry whose hour field begins with `*` counts real hours: it is due at each
    /// instant whose local time it names, twice where a time comes twice, and not where one is skipped. Any other is a
    /// time of day: where that is skipped, it is the first instant after it, once for all that are skipped together;
    /// where it comes twice, the first. `None` when there is none within the years that crontabs know.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: Tz) -> Option<Slot> {
        let after = after.trunc_subsecs(0);
        if self.counts_hours { self.next_hour(after, zone) } else { self.next_time_of_day(after, zone) }
    }

    /// The slots after an instant.
    pub fn slots(&self, after: Timestamp, zone: Tz) -> impl Iterator<Item = Slot> + '_ {
        std::iter::successors(self.next(after, zone), move |slot| self.next(slot.at, zone))
    }

    fn next_time_of_day(&self, after: Timestamp, zone: Tz) -> Option<Slot> {
        let mut local = local(after, zone);
        loop {
            local = self.local_after(local)?;
            let slot = time_of_day(local, zone)?;
            if slot.at > after {
                return Some(self.with_skipped(slot, zone));
            }
        }
    }

    /// The slot with the number of those that were skipped together with it.
    fn with_skipped(&self, slot: Slot, zone: Tz) -> Slot {
        if !matches!(slot.change, Some(ClockChange::Skipped(_))) {
            return slot;
        }
        let others = std::iter::successors(self.local_after(slot.local), |local| self.local_after(*local));
        let same = others.map_while(|local| time_of_day(local, zone)).take_while(|other| other.at == slot.at);
        let count = 1 + u32::try_from(same.count()).unwrap_or(u32::MAX - 1);
        Slot { change: Some(ClockChange::Skipped(count)), ..slot }
    }

    fn next_hour(&self, after: Timestamp, zone: Tz) -> Option<Slot> {
        let mut from = after;
        loop {
            let wall = local(from, zone);
            let mut local = self.local_after(wall)?;
            let at = (local - (wall - from.naive_utc())).and_utc();
            if let Some(change) = next_change(from, zone).filter(|change| at >= *change) {
                // Nothing is due before it; then its clock counts, which may name the very instant of it.
                match self.at(change, zone) {
                    Some(slot) => return Some(slot),
                    None => from = change,
                }
                continue;
            }
            if at - from <= REACH {
                return Some(hour(at, local, zone));
            }
            loop {
                // The first instant with that local time: one that is skipped has none.
                if let Some(at) = zone.from_local_datetime(&local).earliest() {
                    return Some(hour(at.to_utc(), local, zone));
                }
                local = self.local_after(local)?;
            }
        }
    }

    /// The slot at an instant, if it is one.
    fn at(&self, at: Timestamp, zone: Tz) -> Option<Slot> {
        let wall = local(at, zone);
        let next = self.local_after(wall - SECOND)?;
        (next == wall).then(|| hour(at, wall, zone))
    }

    /// The first local time after another that the crontab names, as if no clock ever changed.
    fn local_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        if self.never {
            return None;
        }
        let next = |pattern: &croner::Cron| pattern.find_next_occurrence(&local.and_utc(), false).ok();
        self.patterns.iter().filter_map(next).min().map(|next: DateTime<Utc>| next.naive_utc())
    }
}

/// Whether a field of days names the last day of the month, and whether the last weekday.
pub(super) fn last_days(days: &str) -> (bool, bool) {
    let has = |wanted: &str| days.split(',').any(|item| item.eq_ignore_ascii_case(wanted));
    (has("L"), has("LW"))
}

/// The crontab as texts of which croner reads each right: it takes a list with both `L` and `LW` for `LW` alone.
fn apart(text: &str) -> Vec<String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else { return vec![text.to_owned()] };
    if last_days(days) != (true, true) {
        return vec![text.to_owned()];
    }
    let without = |left_out: &str| {
        let items = days.split(',').filter(|item| !item.eq_ignore_ascii_case(left_out));
        format!("{minutes} {hours} {} {months} {weekdays}", items.collect::<Vec<_>>().join(","))
    };
    vec![without("L"), without("LW")]
}

/// How many days each month may have.
const LENGTHS: [&[u16]; 12] =
    [&[31], &[28, 29], &[31], &[30], &[31], &[30], &[31], &[31], &[30], &[31], &[30], &[31]];

/// Whether some month has a day that a crontab names. A search for one that no month has goes through all years.
fn names_a_day(cron: &croner::Cron, text: &str) -> bool {
    let fields = &cron.pattern;
    let field = |index: usize| text.split_whitespace().nth(index).unwrap_or_default().to_ascii_uppercase();
    let (days, weekdays) = (field(2), field(4));
    let (any_day, any_weekday) = (fields.is_dom_wildcard(), fields.is_dow_wildcard());
    let lengths = || {
        let months = fields.months.values().into_iter();
        months.filter_map(|month| LENGTHS.get(usize::from(month).checked_sub(1)?)).flat_map(|all| all.iter())
    };
    let weekdays: Vec<&str> = weekdays.trim_start_matches('+').split(',').collect();
    let by_day = || lengths().any(|length| days.split(',').any(|item| !days_of(item, *length).is_empty()));
    let by_weekday =
        || lengths().any(|length| weekdays.iter().any(|item| !days_of_weekday(item, *length).is_empty()));
    match (any_day, any_weekday) {
        (true, true) => true,
        (false, true) => by_day(),
        (true, false) => by_weekday(),
        (false, false) if !fields.matches_dom_and_dow() => by_day() || by_weekday(),
        (false, false) => lengths().any(|length| {
            let both = |day: &str, weekday: &str| {
                let (days, others) = (days_of(day, *length), days_of_weekday(weekday, *length));
                let is_weekend = ["0", "6", "7", "SAT", "SUN"].iter().any(|name| weekday.starts_with(name));
                let can_be = !(day.ends_with('W') && is_weekend && !weekday.contains('-'));
                can_be && days.start().max(others.start()) <= days.end().min(others.end())
            };
            days.split(',').any(|day| weekdays.iter().any(|weekday| both(day, weekday)))
        }),
    }
}

/// The days that an item of the field of days may name in a month of a length: one that is not of a number and a letter
/// alone is taken to name any of its range.
fn days_of(item: &str, length: u16) -> RangeInclusive<u16> {
    let (range, step) = item.split_once('/').map_or((item, false), |(range, _)| (range, true));
    let number = |text: &str| text.parse::<u16>().ok();
    match (range, range.strip_suffix('W'), range.split_once('-')) {
        ("L", ..) => length..=length,
        ("LW", ..) => length.saturating_sub(2)..=length,
        (_, Some(day), _) => match number(day) {
            Some(day) if day <= length => day.saturating_sub(2).max(1)..=(day + 2).min(length),
            Some(_) => NONE,
            None => 1..=length,
        },
        (_, None, Some((first, last))) => {
            number(first).unwrap_or(1)..=number(last).unwrap_or(length).min(length)
        }
        (day, None, None) => match number(day) {
            Some(day) if step => day..=length,
            Some(day) if day <= length => day..=day,
            Some(_) => NONE,
            None => 1..=length,
        },
    }
}

/// No days at all.
const NONE: RangeInclusive<u16> = RangeInclusive::new(1, 0);

/// The same for an item of the field of weekdays: `5#3` is one of the days 15 to 21, `5L` one of the last seven.
fn days_of_weekday(item: &str, length: u16) -> RangeInclusive<u16> {
    match (item, item.split_once('#')) {
        ("" | "L" | "+", _) => NONE,
        (_, Some((_, "L"))) => length - 6..=length,
        (_, Some((_, nth))) => match nth.parse::<u16>() {
            Ok(nth @ 1..=5) => 7 * nth - 6..=(7 * nth).min(length),
            _ => 1..=length,
        },
        (item, None) if item.ends_with('L') => length - 6..=length,
        _ => 1..=length,
    }
}

fn local(at: Timestamp, zone: Tz) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

fn offset(at: Timestamp, zone: Tz) -> i32 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

/// Whether a crontab counts real hours: its hour field begins with `*`, or it is `@hourly`.
pub(super) fn counts_hours(crontab: &Crontab) -> bool {
    let text = crontab.as_str().trim();
    let hours = text.split_whitespace().nth(1);
    hours.map_or(text.eq_ignore_ascii_case("@hourly"), |hours| hours.starts_with('*'))
}

/// A time of day as a slot.
pub(super) fn time_of_day(local: NaiveDateTime, zone: Tz) -> Option<Slot> {
    use chrono::LocalResult::{Ambiguous, None as Skipped, Single};
    let (at, change) = match zone.from_local_datetime(&local) {
        Single(at) => (at.to_utc(), None),
        Ambiguous(one, other) => (one.min(other).to_utc(), Some(ClockChange::First)),
        Skipped => (first_after_gap(local, zone)?, Some(ClockChange::Skipped(1))),
    };
    Some(Slot { at, local, change, moved_from: None })
}

/// A slot that counts hours.
fn hour(at: Timestamp, local: NaiveDateTime, zone: Tz) -> Slot {
    let change = match zone.from_local_datetime(&local) {
        chrono::LocalResult::Ambiguous(one, other) => {
            Some(if at == one.min(other).to_utc() { ClockChange::First } else { ClockChange::Second })
        }
        _ => None,
    };
    Slot { at, local, change, moved_from: None }
}

/// The first instant whose local time is after one that is skipped.
fn first_after_gap(skipped: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    let around = skipped.and_utc();
    let (mut before, mut after) = (around.checked_sub_signed(REACH)?, around.checked_add_signed(REACH)?);
    while after - before > SECOND {
        let middle = (before + (after - before) / 2).trunc_subsecs(0);
        if local(middle, zone) > skipped { after = middle } else { before = middle }
    }
    Some(after)
}

/// The first instant after another, within reach, at which the zone's clock is changed.
fn next_change(after: Timestamp, zone: Tz) -> Option<Timestamp> {
    let known = offset(after, zone);
    let steps = std::iter::successors(Some(after), |at| at.checked_add_signed(STEP));
    let first = steps.take_while(|at| *at - after <= REACH).find(|at| offset(*at, zone) != known)?;
    let (mut before, mut changed) = (first - STEP, first);
    while changed - before > SECOND {
        let middle = (before + (changed - before) / 2).trunc_subsecs(0);
        if offset(middle, zone) == known { before = middle } else { changed = middle }
    }
    Some(changed)
}
