//! dateutil's `rrule`: times that recur by a rule of iCalendar.

mod build;
mod days;
mod walk;

use std::sync::Arc;

use crate::call::{self, Args};
use crate::clock::classes::with_weekdays;
use crate::clock::datetime::DateTime;
use crate::clock::order;
use crate::clock::relative::Weekday;
use crate::eval::objects::Object;
use crate::fault::{Outcome, fail};
use crate::native::{Member, Methods, Native};
use crate::runtime::Runtime;
use crate::value::{Iter, Val};

use Member::Value;

/// How often a rule recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freq {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

impl Freq {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Yearly, "YEARLY"),
        (Self::Monthly, "MONTHLY"),
        (Self::Weekly, "WEEKLY"),
        (Self::Daily, "DAILY"),
        (Self::Hourly, "HOURLY"),
        (Self::Minutely, "MINUTELY"),
        (Self::Secondly, "SECONDLY"),
    ];
}

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    freq: Freq,
    start: DateTime,
    interval: i64,
    /// The day a week begins with, from Monday.
    week_start: i64,
    count: Option<i64>,
    until: Option<DateTime>,
    positions: Vec<i64>,
    months: Vec<i64>,
    month_days: Vec<i64>,
    year_days: Vec<i64>,
    easters: Vec<i64>,
    weeks: Vec<i64>,
    weekdays: Vec<i64>,
    /// Weekdays with their number in the month or year.
    numbered: Vec<(i64, i64)>,
    hours: Option<Vec<i64>>,
    minutes: Option<Vec<i64>>,
    seconds: Option<Vec<i64>>,
    /// Whether no time fits, whatever the year.
    never: bool,
    /// The arguments that were given, for `replace` and `str`.
    given: Vec<(&'static str, Val)>,
}

pub(crate) static MODULE: Native = Native::module(
    "dateutil.rrule",
    with_weekdays![
        ("rrule", Member::Native(&RRULE)),
        ("rruleset", Member::Refused(ALONE)),
        ("rrulestr", Member::Refused(ALONE)),
        ("weekday", Member::Native(&WEEKDAY)),
        ("FREQNAMES", Member::Value(|| Val::list(FREQUENCIES.iter().map(|name| Val::str(name)).collect()))),
        ("YEARLY", Value(|| Val::Int(0))),
        ("MONTHLY", Value(|| Val::Int(1))),
        ("WEEKLY", Value(|| Val::Int(2))),
        ("DAILY", Value(|| Val::Int(3))),
        ("HOURLY", Value(|| Val::Int(4))),
        ("MINUTELY", Value(|| Val::Int(5))),
        ("SECONDLY", Value(|| Val::Int(6))),
    ],
);

const ALONE: &str = "write the rule as rrule(…)";

static RRULE: Native = Native::class("dateutil.rrule.rrule", build::rrule, &[]);
const FREQUENCIES: [&str; 7] = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"];

static WEEKDAY: Native = Native::class("dateutil.rrule.weekday", Weekday::new_call, &[]);

pub(crate) const METHODS: Methods = &[
    ("after", after),
    ("before", before),
    ("between", between),
    ("count", count),
    ("replace", |rt, this, args| build::replaced(rt, own(this)?, args)),
    ("xafter", xafter),
];

fn own(this: &Val) -> Outcome<&Rule> {
    if let Val::Object(object) = this
        && let Object::Rule(rule) = &**object
    {
        return Ok(rule);
    }
    fail(format!("a {} is not an rrule", this.type_name()))
}

/// The rule in a value.
pub(crate) fn of(value: &Val) -> Option<&Rule> {
    own(value).ok()
}

/// Whether `a` is later than `b`, or as late if `or_equal`.
fn later(a: &DateTime, b: &Val, or_equal: bool) -> Outcome<bool> {
    match order::order(&a.clone().into_val(), b)? {
        Some(order) => Ok(order.is_gt() || (or_equal && order.is_eq())),
        None => fail("a recurring time can only be compared with a datetime"),
    }
}

impl Rule {
    /// All times, charged one by one.
    pub(crate) fn all(&self, rt: &Runtime<'_>) -> Outcome<Vec<Val>> {
        self.taken(rt, 0, usize::MAX, 1)
    }

    /// Every `step`th time from the place `from` on, up to the place `to`.
    pub(crate) fn taken(&self, rt: &Runtime<'_>, from: usize, to: usize, step: usize) -> Outcome<Vec<Val>> {
        let mut found = Vec::new();
        let mut at = 0;
        if from >= to {
            return Ok(found);
        }
        self.walk(rt, &mut |time| {
            if at >= from && (at - from).is_multiple_of(step) {
                rt.alloc_items(2)?;
                found.push(time.into_val());
            }
            at += 1;
            Ok(at < to)
        })?;
        Ok(found)
    }

    /// Whether a time is one of the rule's.
    pub(crate) fn contains(&self, rt: &Runtime<'_>, value: &Val) -> Outcome<bool> {
        let mut found = false;
        self.walk(rt, &mut |time| {
            found = !later(&time, value, false)? && later(&time, value, true)?;
            Ok(!found && !later(&time, value, false)?)
        })?;
        Ok(found)
    }
}

fn flag(value: &Option<Val>) -> bool {
    value.as_ref().is_some_and(Val::truth)
}

/// `count()`.
fn count(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("count")?;
    let mut count = 0;
    own(this)?.walk(rt, &mut |_| {
        count += 1;
        Ok(true)
    })?;
    Ok(Val::Int(count))
}

/// `before(dt, inc)`: the last before a time.
fn before(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [at, inc] = args.bind("before", ["dt", "inc"], 1)?;
    let at = at.unwrap_or(Val::None);
    let mut last = Val::None;
    own(this)?.walk(rt, &mut |time| {
        if later(&time, &at, !flag(&inc))? {
            return Ok(false);
        }
        last = time.into_val();
        Ok(true)
    })?;
    Ok(last)
}

/// `after(dt, inc)`: the first after a time.
fn after(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [at, inc] = args.bind("after", ["dt", "inc"], 1)?;
    let at = at.unwrap_or(Val::None);
    let mut first = Val::None;
    own(this)?.walk(rt, &mut |time| {
        let found = later(&time, &at, flag(&inc))?;
        if found {
            first = time.into_val();
        }
        Ok(!found)
    })?;
    Ok(first)
}

/// `xafter(dt, count, inc)`: those after a time, at most so many.
fn xafter(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [at, count, inc] = args.bind("xafter", ["dt", "count", "inc"], 1)?;
    let at = at.unwrap_or(Val::None);
    let most = match count {
        None | Some(Val::None) => usize::MAX,
        Some(count) => usize::try_from(call::int(rt, "xafter", "count", &count)?).unwrap_or(0),
    };
    let mut found = Vec::new();
    own(this)?.walk(rt, &mut |time| {
        if later(&time, &at, flag(&inc))? {
            if found.len() >= most {
                return Ok(false);
            }
            rt.alloc_items(2)?;
            found.push(time.into_val());
        }
        Ok(true)
    })?;
    Ok(Val::Iter(Arc::new(Iter::new("rrulebase.xafter", found))))
}

/// `between(after, before, inc)`.
fn between(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [after, before, inc, _count] = args.bind("between", ["after", "before", "inc", "count"], 2)?;
    let (after, before) = (after.unwrap_or(Val::None), before.unwrap_or(Val::None));
    let inc = flag(&inc);
    let mut found = Vec::new();
    own(this)?.walk(rt, &mut |time| {
        if later(&time, &before, !inc)? {
            return Ok(false);
        }
        if !found.is_empty() || later(&time, &after, inc)? {
            rt.alloc_items(2)?;
            found.push(time.into_val());
        }
        Ok(true)
    })?;
    Ok(Val::list(found))
}
