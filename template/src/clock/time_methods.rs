//! Methods of `time`.

use std::sync::Arc;

use chrono::Timelike;

use super::construct::zone_arg;
use super::delta::Delta;
use super::methods::format;
use super::time::{Time, hms, micros};
use super::zone::TzInfo;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::Val;

pub(crate) const TIME: Methods = &[
    ("dst", |_, this, args| time_zone(this, args, |_| Val::None)),
    ("isoformat", isoformat_time),
    ("replace", replace_time),
    ("strftime", format),
    ("tzname", |_, this, args| {
        time_zone(this, args, |tz| match tz.fixed_offset() {
            Some(_) => {
                tz.name(chrono::NaiveDateTime::default(), false).map_or(Val::None, |name| Val::str(&name))
            }
            None => Val::None,
        })
    }),
    ("utcoffset", |_, this, args| {
        time_zone(this, args, |tz| {
            tz.fixed_offset().map_or(Val::None, |offset| Val::Delta(Delta::seconds(offset.into())))
        })
    }),
];

fn own_time(this: &Val) -> Outcome<&Arc<Time>> {
    match this {
        Val::Time(time) => Ok(time),
        other => fail(format!("a {} is not a time", other.type_name())),
    }
}

fn isoformat_time(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [timespec] = args.bind("isoformat", ["timespec"], 0)?;
    let timespec = timespec.unwrap_or_else(|| Val::str("auto"));
    let timespec = call::text(rt, "isoformat", "timespec", &timespec)?;
    Ok(Val::str(&own_time(this)?.isoformat(timespec)?))
}

fn replace_time(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [hour, minute, second, micro, tz, fold] =
        args.bind("replace", ["hour", "minute", "second", "microsecond", "tzinfo", "fold"], 0)?;
    let own = own_time(this)?;
    let part =
        |name: &str, value: Option<&Val>, own: u32| call::int_or(rt, "replace", name, value, own.into());
    Ok(Val::Time(Arc::new(Time {
        time: hms(
            part("hour", hour.as_ref(), own.time.hour())?,
            part("minute", minute.as_ref(), own.time.minute())?,
            part("second", second.as_ref(), own.time.second())?,
            part("microsecond", micro.as_ref(), micros(own.time))?,
        )?,
        tz: match tz {
            None => own.tz.clone(),
            tz => zone_arg(rt, "replace", tz.as_ref())?,
        },
        fold: fold.map_or(own.fold, |fold| fold.truth()),
    })))
}

fn time_zone(this: &Val, args: Args, get: fn(&TzInfo) -> Val) -> Outcome {
    args.none("tzname")?;
    Ok(own_time(this)?.tz.as_deref().map_or(Val::None, get))
}
