//! Comparing dates and times.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use chrono::Timelike;

use super::datetime::DateTime;
use super::time::Time;
use super::zone::TzInfo;
use crate::fault::{Outcome, fail};
use crate::value::Val;

/// `==`; never fails.
pub(crate) fn equal(a: &Val, b: &Val) -> bool {
    match (a, b) {
        (Val::Date(x), Val::Date(y)) => x == y,
        (Val::DateTime(x), Val::DateTime(y)) => {
            x.tz.is_some() == y.tz.is_some() && compare(x, y) == Ordering::Equal
        }
        (Val::Time(x), Val::Time(y)) => {
            x.offset().is_some() == y.offset().is_some() && compare_times(x, y) == Ordering::Equal
        }
        (Val::Delta(x), Val::Delta(y)) => x == y,
        (Val::Relative(x), Val::Relative(y)) => x == y,
        (Val::Weekday(x), Val::Weekday(y)) => x == y,
        (Val::Zone(x), Val::Zone(y)) => {
            x == y
                || (x.fixed_offset().is_some()
                    && x.fixed_offset() == y.fixed_offset()
                    && (x.type_name() == y.type_name() || (is_dateutils(x) && is_dateutils(y))))
        }
        _ => false,
    }
}

/// Whether a zone is one of those that dateutil compares by their offset: `tzutc` and `tzoffset`.
fn is_dateutils(zone: &TzInfo) -> bool {
    matches!(zone, TzInfo::TzUtc | TzInfo::Offset { .. })
}

/// Hashes what [`equal`] compares; values that are equal hash alike. Whether
/// the value was one of those.
pub(crate) fn hash<H: Hasher>(value: &Val, state: &mut H) -> bool {
    match value {
        Val::Date(date) => date.hash(state),
        // Of two equal wall-clock times Python hashes the first for both.
        Val::DateTime(at) => {
            DateTime { fold: false, ..(**at).clone() }.aware_utc().unwrap_or(at.wall).hash(state)
        }
        Val::Time(time) => {
            let offset = i64::from(time.offset().unwrap_or(0));
            (i64::from(time.time.num_seconds_from_midnight()) - offset).hash(state);
            time.time.nanosecond().hash(state);
        }
        Val::Delta(delta) => delta.hash(state),
        Val::Relative(relative) => {
            for amount in relative.amounts() {
                (amount as i64).hash(state);
            }
            relative.absolute.hash(state);
        }
        Val::Weekday(weekday) => weekday.day.hash(state),
        Val::Zone(_) => "zone".hash(state),
        _ => return false,
    }
    true
}

/// `<` and its kin; `None` for types that have no order.
pub(crate) fn order(a: &Val, b: &Val) -> Outcome<Option<Ordering>> {
    Ok(Some(match (a, b) {
        (Val::Date(x), Val::Date(y)) => x.cmp(y),
        (Val::Delta(x), Val::Delta(y)) => x.cmp(y),
        (Val::DateTime(x), Val::DateTime(y)) => {
            if x.tz.is_some() != y.tz.is_some() {
                return mixed();
            }
            compare(x, y)
        }
        (Val::Time(x), Val::Time(y)) => {
            if x.offset().is_some() != y.offset().is_some() {
                return mixed();
            }
            compare_times(x, y)
        }
        (Val::DateTime(_), Val::Date(_)) | (Val::Date(_), Val::DateTime(_)) => {
            return fail("a datetime and a date cannot be compared: use .date() on the datetime");
        }
        _ => return Ok(None),
    }))
}

fn mixed<T>() -> Outcome<T> {
    fail(
        "a time with a zone and one without cannot be compared: give both a zone, or use .replace(tzinfo=none)",
    )
}

fn compare(x: &DateTime, y: &DateTime) -> Ordering {
    if x.same_zone(y) {
        return x.wall.cmp(&y.wall);
    }
    x.aware_utc().cmp(&y.aware_utc())
}

fn compare_times(x: &Time, y: &Time) -> Ordering {
    let utc = |time: &Time| {
        let offset = chrono::Duration::seconds(time.offset().unwrap_or(0).into());
        time.time.signed_duration_since(chrono::NaiveTime::MIN) - offset
    };
    utc(x).cmp(&utc(y))
}
