//! The package `dateutil`: the parts without modules of their own here.

use std::sync::Arc;

use crate::call::{self, Args};
use crate::clock::classes;
use crate::clock::date::Date;
use crate::clock::datetime::DateTime;
use crate::clock::zone::TzInfo;
use crate::dateparse;
use crate::fault::{Outcome, fail};
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::value::{Val, compare};

pub(super) static MODULE: Native = Native::module(
    "dateutil",
    &[
        ("easter", Member::Native(&EASTER_MODULE)),
        ("parser", Member::Native(&dateparse::MODULE)),
        ("relativedelta", Member::Native(&classes::RELATIVEDELTA_MODULE)),
        ("rrule", Member::Native(&crate::rrule::MODULE)),
        ("tz", Member::Native(&classes::TZ_MODULE)),
        ("utils", Member::Native(&UTILS_MODULE)),
        ("zoneinfo", Member::Refused("use dateutil.tz.gettz")),
    ],
);

static EASTER_MODULE: Native = Native::module(
    "dateutil.easter",
    &[
        ("easter", Member::Function(easter)),
        ("EASTER_JULIAN", Member::Value(|| Val::Int(1))),
        ("EASTER_ORTHODOX", Member::Value(|| Val::Int(2))),
        ("EASTER_WESTERN", Member::Value(|| Val::Int(3))),
    ],
);

static UTILS_MODULE: Native = Native::module(
    "dateutil.utils",
    &[
        ("today", Member::Function(today)),
        ("default_tzinfo", Member::Function(default_tzinfo)),
        ("within_delta", Member::Function(within_delta)),
    ],
);

/// `easter(year, method)`: by the Julian calendar (1), as Orthodox churches
/// (2) or Western ones (3) keep it.
fn easter(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [year, method] = args.bind("easter", ["year", "method"], 1)?;
    let year = call::int(rt, "easter", "year", &year.unwrap_or(Val::None))?;
    let method = call::int_or(rt, "easter", "method", method.as_ref(), 3)?;
    if !(1..=3).contains(&method) {
        return fail("easter(): \"method\" must be 1, 2 or 3");
    }
    if !(1..=9999).contains(&year) {
        return fail(format!("year {year} is out of range: 1 to 9999"));
    }
    let (month, day) = easter_day(year, method);
    Ok(Val::Date(Date::new(year, month, day)?))
}

/// Month and day of Easter Sunday, by the algorithm of the Calendar FAQ.
pub(crate) fn easter_day(year: i64, method: i64) -> (i64, i64) {
    let golden = year % 19;
    let mut extra = 0;
    let (moon, weekday) = if method < 3 {
        let moon = (19 * golden + 15) % 30;
        if method == 2 {
            extra = 10;
            if year > 1600 {
                extra += year / 100 - 16 - (year / 100 - 16) / 4;
            }
        }
        (moon, (year + year / 4 + moon) % 7)
    } else {
        let century = year / 100;
        let epact = (century - century / 4 - (8 * century + 13) / 25 + 19 * golden + 15) % 30;
        let moon = epact - (epact / 28) * (1 - (epact / 28) * (29 / (epact + 1)) * ((21 - golden) / 11));
        (moon, (year + year / 4 + moon + 2 - century + century / 4) % 7)
    };
    let days = moon - weekday + extra;
    (3 + (days + 26) / 30, 1 + (days + 27 + (days + 6) / 40) % 31)
}

/// `today(tzinfo)`: midnight of today.
fn today(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [tz] = args.bind("today", ["tzinfo"], 0)?;
    let now = match crate::clock::construct::zone_arg(rt, "today", tz.as_ref())? {
        Some(tz) => DateTime::at_utc(rt.ctx.now().naive_utc(), tz)?,
        None => classes::now(rt)?,
    };
    Ok(DateTime::new(now.date().0.and_time(chrono::NaiveTime::MIN), now.tz).into_val())
}

/// `default_tzinfo(dt, tzinfo)`: the time in that zone unless it has one.
fn default_tzinfo(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [value, tz] = args.bind("default_tzinfo", ["dt", "tzinfo"], 2)?;
    let Some(Val::DateTime(at)) = value else {
        return fail("default_tzinfo() needs a datetime");
    };
    let tz: Option<Arc<TzInfo>> = crate::clock::construct::zone_arg(rt, "default_tzinfo", tz.as_ref())?;
    Ok(match at.tz {
        Some(_) => Val::DateTime(at),
        None => DateTime { tz, ..(*at).clone() }.into_val(),
    })
}

/// `within_delta(dt1, dt2, delta)`.
fn within_delta(rt: &Runtime<'_>, args: Args) -> Outcome {
    use crate::value::number::Arith;
    use crate::value::operators::binary;
    let [first, second, delta] = args.bind("within_delta", ["dt1", "dt2", "delta"], 3)?;
    let arg = |value: Option<Val>| value.unwrap_or(Val::None);
    let difference = binary(rt, Arith::Sub, &arg(first), &arg(second))?;
    let Val::Delta(delta) = arg(delta) else {
        return fail("within_delta() needs a timedelta");
    };
    let delta = delta.abs()?;
    let least = compare::order(rt, &Val::Delta(delta.negated()?), &difference, "<=")?;
    let most = compare::order(rt, &difference, &Val::Delta(delta), "<=")?;
    Ok(Val::Bool(least.is_some_and(|order| order.is_le()) && most.is_some_and(|order| order.is_le())))
}
