//! `datetime`.

use std::sync::Arc;

use chrono::{DateTime as Instant, Datelike, Duration, NaiveDateTime, Utc};

use super::date::{Date, YEARS, out_of_range};
use super::delta::Delta;
use super::time::{clock_text, repr_parts};
use super::zone::{TzInfo, offset_text, worker_to_utc};
use crate::Zone;
use crate::fault::Outcome;
use crate::value::Val;
use crate::value::containers::{Dict, Entries};

/// A wall-clock time, with or without a zone. Arithmetic is on the wall
/// clock; the offset is derived from the zone again each time.
#[derive(Clone, Debug)]
pub(crate) struct DateTime {
    pub(crate) wall: NaiveDateTime,
    pub(crate) tz: Option<Arc<TzInfo>>,
    /// The second of two equal wall-clock times.
    pub(crate) fold: bool,
}

impl DateTime {
    pub(crate) fn new(wall: NaiveDateTime, tz: Option<Arc<TzInfo>>) -> Self {
        Self { wall, tz, fold: false }
    }

    /// A computed time, if it is within Python's years.
    pub(crate) fn checked(wall: Option<NaiveDateTime>, tz: Option<Arc<TzInfo>>) -> Outcome<Self> {
        match wall {
            Some(wall) if YEARS.contains(&wall.year()) => Ok(Self::new(wall, tz)),
            _ => out_of_range(),
        }
    }

    /// The wall-clock time of `utc` in a zone.
    pub(crate) fn at_utc(utc: NaiveDateTime, tz: Arc<TzInfo>) -> Outcome<Self> {
        match tz.wall_at(utc) {
            Some((wall, fold)) if YEARS.contains(&wall.year()) => Ok(Self { wall, tz: Some(tz), fold }),
            _ => out_of_range(),
        }
    }

    /// The wall-clock time later by `delta`.
    pub(crate) fn plus(&self, delta: Delta) -> Outcome<Self> {
        Self::checked(self.wall.checked_add_signed(delta.to_chrono()), self.tz.clone())
    }

    /// Seconds east of UTC.
    pub(crate) fn offset(&self) -> Option<i32> {
        self.tz.as_ref().map(|tz| tz.offset(self.wall, self.fold))
    }

    pub(crate) fn tz_name(&self) -> Option<String> {
        self.tz.as_ref()?.name(self.wall, self.fold)
    }

    /// The UTC time of an aware time.
    pub(crate) fn aware_utc(&self) -> Option<NaiveDateTime> {
        let offset = self.offset()?;
        self.wall.checked_sub_signed(Duration::seconds(offset.into()))
    }

    /// The UTC time; a time without a zone is the worker's.
    pub(crate) fn utc(&self, worker: Zone) -> Outcome<NaiveDateTime> {
        let utc = match self.tz {
            Some(_) => self.aware_utc(),
            None => worker_to_utc(worker, self.wall, self.fold),
        };
        utc.map_or_else(out_of_range, Ok)
    }

    /// Seconds since the epoch.
    pub(crate) fn timestamp(&self, worker: Zone) -> Outcome<f64> {
        let micros = self.utc(worker)?.and_utc().timestamp_micros();
        Ok(micros as f64 / 1e6)
    }

    pub(crate) fn date(&self) -> Date {
        Date(self.wall.date())
    }

    /// Whether two times carry the very same zone object: then Python looks
    /// at the wall clock only. Only `tzlocal()` makes a new object each time.
    pub(crate) fn same_zone(&self, other: &Self) -> bool {
        match (&self.tz, &other.tz) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || (!a.is_made_anew() && a == b),
            _ => false,
        }
    }

    pub(crate) fn isoformat(&self, separator: &str, timespec: &str) -> String {
        let clock = clock_text(self.wall.time(), timespec).unwrap_or_default();
        let offset = self.offset().map(|offset| offset_text(offset, ":")).unwrap_or_default();
        format!("{}{separator}{clock}{offset}", self.date())
    }

    pub(crate) fn repr(&self) -> String {
        let day = self.wall.date();
        let fold = if self.fold { ", fold=1" } else { "" };
        let zone = self.tz.as_ref().map(|tz| format!(", tzinfo={}", tz.repr())).unwrap_or_default();
        format!(
            "datetime.datetime({}, {}, {}, {}{fold}{zone})",
            day.year(),
            day.month(),
            day.day(),
            repr_parts(self.wall.time())
        )
    }

    pub(crate) fn into_val(self) -> Val {
        Val::DateTime(Arc::new(self))
    }
}

/// An instant in a zone, for a context.
pub(crate) fn from_instant(at: Instant<Utc>, tz: TzInfo) -> Val {
    let utc = whole_micros(at.naive_utc());
    let tz = Arc::new(tz);
    let (wall, fold) = tz.wall_at(utc).unwrap_or((utc, false));
    DateTime { wall, tz: Some(tz), fold }.into_val()
}

/// A time without a zone, for a context.
pub(crate) fn naive(at: NaiveDateTime) -> Val {
    DateTime::new(whole_micros(at), None).into_val()
}

/// Python keeps microseconds.
fn whole_micros(at: NaiveDateTime) -> NaiveDateTime {
    use chrono::Timelike;
    let nanos = at.nanosecond() % 1_000_000_000 / 1_000 * 1_000;
    at.with_nanosecond(nanos).unwrap_or(at)
}

/// Gives the times that wait for the worker's zone that zone.
pub(crate) fn settle(value: Val, zone: Zone) -> Val {
    if waits(&value) { settled(&value, zone) } else { value }
}

fn waits(value: &Val) -> bool {
    crate::runtime::on_large_stack(|| match value {
        Val::DateTime(datetime) => datetime.tz.as_deref() == Some(&TzInfo::Worker),
        Val::List(list) => list.read().iter().any(waits),
        Val::Dict(dict) => dict.read().values().any(waits),
        _ => false,
    })
}

fn settled(value: &Val, zone: Zone) -> Val {
    crate::runtime::on_large_stack(|| match value {
        Val::DateTime(datetime) if datetime.tz.as_deref() == Some(&TzInfo::Worker) => {
            from_instant(datetime.wall.and_utc(), TzInfo::Local(zone))
        }
        Val::List(list) => Val::list(list.read().iter().map(|item| settled(item, zone)).collect()),
        Val::Dict(dict) => {
            let entries: Entries =
                dict.read().iter().map(|(key, item)| (key.clone(), settled(item, zone))).collect();
            Val::Dict(Arc::new(Dict::new(entries)))
        }
        other => other.clone(),
    })
}
