//! Making a `relativedelta`.

use std::sync::Arc;

use super::datetime::DateTime;
use super::order;
use super::relative::{ABSOLUTE, RELATIVE, RelativeDelta, Weekday};
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::Val;
use crate::value::number::Num;
use crate::value::undefined::with_article;

/// `relativedelta(dt1, dt2)` or `relativedelta(years=…, month=…, …)`.
pub(crate) fn new(rt: &Runtime<'_>, mut args: Args) -> Outcome {
    let first = args.take_kw("dt1");
    let second = args.take_kw("dt2");
    let mut pos = args.pos.drain(..);
    let (first, second) = (first.or_else(|| pos.next()), second.or_else(|| pos.next()));
    if pos.next().is_some() {
        return fail("relativedelta() takes two dates, or named amounts such as months=1");
    }
    drop(pos);
    if let (Some(first), Some(second)) = (&first, &second)
        && !first.is_none()
        && !second.is_none()
    {
        return between(first, second);
    }
    let mut relative = RelativeDelta::default();
    let (mut weeks, mut yearday, mut nlyearday) = (0.0, 0, 0);
    for (name, value) in args.kw {
        match &*name {
            "weekday" => relative.weekday = weekday(rt, &value)?,
            "weeks" => weeks = amount(rt, "weeks", &value)?,
            "yearday" => yearday = optional(rt, "yearday", &value)?.unwrap_or(0),
            "nlyearday" => nlyearday = optional(rt, "nlyearday", &value)?.unwrap_or(0),
            name => set_field(rt, &mut relative, name, &value)?,
        }
    }
    for (name, amount) in [("years", relative.years), ("months", relative.months)] {
        if amount.fract() != 0.0 {
            return fail(format!("relativedelta() needs whole {name}"));
        }
    }
    relative.days += weeks * 7.0;
    day_of_year(&mut relative, yearday, nlyearday)?;
    Ok(Val::Relative(Arc::new(relative.fixed())))
}

fn set_field(rt: &Runtime<'_>, relative: &mut RelativeDelta, name: &str, value: &Val) -> Outcome<()> {
    if let Some(at) = ABSOLUTE.iter().position(|known| *known == name) {
        relative.absolute[at] = optional(rt, name, value)?;
        return Ok(());
    }
    let field = match name {
        "years" => &mut relative.years,
        "months" => &mut relative.months,
        "days" => &mut relative.days,
        "leapdays" => &mut relative.leapdays,
        "hours" => &mut relative.hours,
        "minutes" => &mut relative.minutes,
        "seconds" => &mut relative.seconds,
        "microseconds" => &mut relative.microseconds,
        name => {
            let known = RELATIVE.iter().chain(&ABSOLUTE).chain(&["weekday", "weeks", "yearday"]);
            return Err(crate::fault::Fault::new(
                crate::ErrorKind::Runtime,
                format!("relativedelta() has no parameter \"{name}\""),
            )
            .nearest(name, known.copied()));
        }
    };
    *field = amount(rt, name, value)?;
    Ok(())
}

fn amount(rt: &Runtime<'_>, name: &str, value: &Val) -> Outcome<f64> {
    if value.is_undefined() {
        return Err(rt.undefined(value));
    }
    match Num::of(value) {
        Some(number) => {
            let amount = number.to_float()?;
            if amount.abs() > 1e15 || amount.is_nan() {
                return fail(format!("relativedelta(): \"{name}\" is out of range"));
            }
            Ok(amount)
        }
        None => call::wrong("relativedelta", name, "a number", value),
    }
}

fn optional(rt: &Runtime<'_>, name: &str, value: &Val) -> Outcome<Option<i64>> {
    match value {
        Val::None => Ok(None),
        value => call::int(rt, "relativedelta", name, value).map(Some),
    }
}

fn weekday(rt: &Runtime<'_>, value: &Val) -> Outcome<Option<Weekday>> {
    match value {
        Val::None => Ok(None),
        Val::Weekday(weekday) => Ok(Some(*weekday)),
        Val::Int(day @ -7..=6) => Ok(Some(Weekday::new(day.rem_euclid(7) as u8))),
        Val::Undefined(_) => Err(rt.undefined(value)),
        other => fail(format!(
            "relativedelta(): \"weekday\" must be a weekday such as MO(-1), not {}",
            with_article(other.type_name())
        )),
    }
}

/// Days up to the end of each month of a common year, the last with a leap
/// day to spare.
const MONTH_ENDS: [i64; 12] = [31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 366];

pub(crate) fn day_of_year(relative: &mut RelativeDelta, yearday: i64, nlyearday: i64) -> Outcome<()> {
    let day = if nlyearday != 0 { nlyearday } else { yearday };
    if day == 0 {
        return Ok(());
    }
    if nlyearday == 0 && yearday > 59 {
        relative.leapdays = -1.0;
    }
    let Some(month) = MONTH_ENDS.iter().position(|end| day <= *end) else {
        return fail(format!("relativedelta(): there is no day {day} in a year"));
    };
    let before = if month == 0 { 0 } else { MONTH_ENDS[month - 1] };
    relative.absolute[1] = Some(month as i64 + 1);
    relative.absolute[2] = Some(day - before);
    Ok(())
}

/// The calendar distance from `second` to `first`.
fn between(first: &Val, second: &Val) -> Outcome {
    use chrono::Datelike;
    let (Some(a), Some(b)) = (RelativeDelta::midnight(first), RelativeDelta::midnight(second)) else {
        return fail("relativedelta() measures between two dates");
    };
    let later = |x: &DateTime, y: &DateTime| {
        let (x, y) = (x.clone().into_val(), y.clone().into_val());
        Ok::<_, Box<crate::fault::Fault>>(order::order(&x, &y)? == Some(std::cmp::Ordering::Greater))
    };
    let mut months =
        i64::from(a.wall.year() - b.wall.year()) * 12 + i64::from(a.wall.month()) - i64::from(b.wall.month());
    let shift = |months: i64| RelativeDelta {
        years: (months / 12) as f64,
        months: (months % 12) as f64,
        ..RelativeDelta::default()
    };
    let mut relative = shift(months);
    let mut reached = relative.shift(&b)?;
    let backwards = later(&b, &a)?;
    // Month lengths put the first guess at most one month too far.
    for _ in 0..3 {
        let beyond = if backwards { later(&a, &reached)? } else { later(&reached, &a)? };
        if !beyond {
            break;
        }
        months += if backwards { 1 } else { -1 };
        relative = shift(months);
        reached = relative.shift(&b)?;
    }
    let rest = super::arith::between(&a, &reached)?;
    relative.seconds = (rest.days() * 86_400 + rest.second_part()) as f64;
    relative.microseconds = rest.micro_part() as f64;
    Ok(Val::Relative(Arc::new(relative.fixed())))
}
