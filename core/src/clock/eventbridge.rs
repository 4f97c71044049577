//! Entries as schedules of Amazon EventBridge Scheduler, as far as it can express them (EventBridge Scheduler User Guide,
//! Schedule types).

use chrono::{Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;

use super::cron::counts_hours;
use super::planned::PlannedEntry;
use super::preview::utc;
use super::words::pattern;
use crate::Timestamp;
use crate::spec::{CatchUp, Crontab, RecurrenceSpec};

/// The longest expression that Scheduler takes, in characters.
const MAX_EXPRESSION: usize = 256;
/// How far ahead is looked for a change of clock.
const DAYS_OF_CHANGES: i64 = 400;
/// How long after a template is made its intervals begin: it is not deployed at once, and Scheduler takes no start that is
/// past.
const DEPLOYING: TimeDelta = TimeDelta::days(1);
/// How long a schedule goes on after its last slot: less than the shortest period, a minute.
const AFTER_LAST: TimeDelta = TimeDelta::seconds(30);

/// A schedule of EventBridge Scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// `cron(…)`, `rate(…)` or `at(…)`.
    pub expression: String,
    /// The IANA name of its zone.
    pub zone: &'static str,
    /// From when it holds. Scheduler takes none that is past.
    pub start: Option<Timestamp>,
    /// Until when it holds.
    pub end: Option<Timestamp>,
}

/// An entry as EventBridge Scheduler has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Native {
    /// The schedules that name the entry's slots; none where Scheduler cannot express it.
    pub schedules: Vec<Expression>,
    /// The differences from the entry, or why there is no schedule.
    pub remarks: Vec<String>,
}

/// An entry as schedules of EventBridge Scheduler. `since` is when the entry was first seen.
#[must_use]
pub fn native(planned: &PlannedEntry, since: Timestamp, now: Timestamp) -> Native {
    let mut native = Native::default();
    if let Some(why) = inexpressible(planned) {
        native.remarks.push(why);
        return native;
    }
    let written = match planned.spec.starts() {
        Some(RecurrenceSpec::Crontab(crontab)) => cron(crontab, planned.zone),
        Some(RecurrenceSpec::Every(every)) => rate(every.get().as_secs()).map(|rate| vec![(rate, Tz::UTC)]),
        Some(RecurrenceSpec::At(_)) | None => Ok(at(planned, since, now)),
    };
    let written = match written {
        Ok(written) => written,
        Err(why) => {
            native.remarks.push(why);
            return native;
        }
    };
    let is_interval = matches!(planned.spec.starts(), Some(RecurrenceSpec::Every(_)));
    if is_interval && planned.entry(since).next(now).is_some_and(|slot| slot.at.second() != 0) {
        let why =
            "its starts are not on whole minutes, as Scheduler's are: count it from a whole minute with from";
        native.remarks.push(why.to_owned());
        return native;
    }
    // Instants are what is left of a list within its window.
    let is_list = matches!(planned.spec.starts(), Some(RecurrenceSpec::At(_)));
    let spans = if is_list { vec![(None, None)] } else { spans(planned) };
    for (from, to) in spans {
        let span = |(expression, zone): &(String, Tz)| {
            within(planned, since, now, (from, to), is_interval).map(|(start, end)| Expression {
                expression: expression.clone(),
                zone: zone.name(),
                start,
                end,
            })
        };
        native.schedules.extend(written.iter().filter_map(span));
    }
    if native.schedules.is_empty() {
        let odd = has_odd_seconds(planned, since, now);
        let why = if odd {
            "none of its instants is on a whole minute, as Scheduler's are"
        } else {
            "no slot comes any more"
        };
        native.remarks.push(why.to_owned());
        return native;
    }
    if has_odd_seconds(planned, since, now) {
        native
            .remarks
            .push("instants that are not on a whole minute are left out, as Scheduler has none".to_owned());
    }
    let differences = differences(planned, &native.schedules, now);
    native.remarks.extend(differences);
    native
}

/// The feature that Scheduler lacks.
fn inexpressible(planned: &PlannedEntry) -> Option<String> {
    let spec = &planned.spec;
    if planned.is_reboot() {
        return Some("@reboot names no time".to_owned());
    }
    if planned.is_for_all_nodes() {
        return Some("Scheduler knows no hosts: it would start the job once, not on each".to_owned());
    }
    if spec.skip.is_some() || spec.only.is_some() {
        return Some(
            "Scheduler has no calendars: it would start the job on days that they leave out".to_owned(),
        );
    }
    if spec.max_runs.is_some() {
        return Some("Scheduler counts no starts: it would not end after max_runs".to_owned());
    }
    None
}

/// The times in which an entry holds: one span, or two where it holds outside of a window.
fn spans(planned: &PlannedEntry) -> Vec<(Option<Timestamp>, Option<Timestamp>)> {
    let bound = |bound: &Option<crate::spec::Bound>| bound.as_ref().and_then(|at| at.instant(planned.zone));
    match (bound(&planned.spec.from), bound(&planned.spec.to)) {
        (Some(from), Some(to)) if from > to => vec![(None, Some(to)), (Some(from), None)],
        span => vec![span],
    }
}

type Span = (Option<Timestamp>, Option<Timestamp>);

/// From when and until when a schedule holds, of a span of an entry; `None` when it is over.
fn within(
    planned: &PlannedEntry,
    since: Timestamp,
    now: Timestamp,
    span: Span,
    is_interval: bool,
) -> Option<Span> {
    let (from, to) = span;
    let entry = planned.entry(since);
    let begin = if is_interval { now + DEPLOYING } else { now };
    let begin = from.map_or(begin, |from| from.max(begin));
    let first = entry.next(begin - TimeDelta::seconds(1)).filter(|slot| to.is_none_or(|to| slot.at <= to))?;
    let end = match to {
        Some(to) => Some(entry.last(first.at, to)?.at + AFTER_LAST),
        None => None,
    };
    // An interval is counted from its start; a crontab needs none when its time has come.
    let start = if is_interval { Some(first.at) } else { from.filter(|from| *from > now) };
    Some((start, end))
}

/// The differences of Scheduler's schedules from the entry.
fn differences(planned: &PlannedEntry, schedules: &[Expression], now: Timestamp) -> Vec<String> {
    let spec = &planned.spec;
    let mut told = Vec::new();
    if let Some(RecurrenceSpec::Crontab(crontab)) = spec.starts()
        && changes_clock(planned.zone, now)
    {
        told.push(if counts_hours(crontab) {
            "Scheduler starts it once in the hour that comes twice, Pumice both times".to_owned()
        } else {
            "Scheduler leaves out a slot that a change of clock skips; Pumice starts it at the first instant after"
                .to_owned()
        });
    }
    if matches!(spec.starts(), Some(RecurrenceSpec::Every(_))) {
        let begin = schedules.iter().filter_map(|schedule| schedule.start).min();
        told.extend(begin.map(|begin| {
            let begin = utc(begin);
            format!("it begins at {begin}, so that it counts from where Pumice does: deploy it before")
        }));
    }
    if spec.jitter.is_some() {
        told.push("Scheduler knows no fixed jitter: its start comes without".to_owned());
    }
    match spec.catch_up {
        Some(CatchUp::None) => {}
        Some(_) => told.push("catch_up is Pumice's: Scheduler makes up for nothing".to_owned()),
        None => {
            told.push("catch_up is Pumice's, and last by default: Scheduler makes up for nothing".to_owned())
        }
    }
    if spec.overlap.is_some() {
        told.push("overlap is the entry's: a run that Scheduler asks for has the job's".to_owned());
    }
    let limits = [
        ("must_start", spec.must_start.is_some()),
        ("finish_by", spec.finish_by.is_some()),
        ("max_silence", spec.max_silence.is_some()),
    ];
    let limits: Vec<&str> =
        limits.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect();
    if !limits.is_empty() {
        let limits = limits.join(", ");
        told.push(format!("{limits}: judged by Pumice's clock alone, for the slots that it starts itself"));
    }
    if spec.pause_after.is_some() {
        told.push("pause_after pauses the entry in Pumice: Scheduler goes on starting it".to_owned());
    }
    if spec.run_now {
        told.push("run_now is Pumice's: Scheduler waits for the first slot".to_owned());
    }
    told
}

/// Whether the clock of a zone is changed within the next year.
fn changes_clock(zone: Tz, now: Timestamp) -> bool {
    let offset = |days: i64| {
        let at = now + TimeDelta::days(days);
        zone.offset_from_utc_datetime(&at.naive_utc()).fix()
    };
    (1..=DAYS_OF_CHANGES).any(|days| offset(days) != offset(0))
}

/// An interval. Scheduler counts in whole minutes.
fn rate(seconds: u64) -> Result<String, String> {
    if seconds == 0 || !seconds.is_multiple_of(60) {
        return Err("Scheduler has intervals of whole minutes only".to_owned());
    }
    let (value, unit) = match seconds {
        days if days % 86_400 == 0 => (days / 86_400, "day"),
        hours if hours % 3_600 == 0 => (hours / 3_600, "hour"),
        minutes => (minutes / 60, "minute"),
    };
    Ok(format!("rate({value} {unit}{})", if value == 1 { "" } else { "s" }))
}

/// Instants, in UTC: a local time may come twice.
fn at(planned: &PlannedEntry, since: Timestamp, now: Timestamp) -> Vec<(String, Tz)> {
    let entry = planned.entry(since);
    let slots = entry.slots(now).filter(|slot| slot.at.second() == 0);
    slots.map(|slot| (format!("at({})", slot.at.format("%Y-%m-%dT%H:%M:%S")), Tz::UTC)).collect()
}

/// Whether an entry has instants to come that are not on a whole minute.
fn has_odd_seconds(planned: &PlannedEntry, since: Timestamp, now: Timestamp) -> bool {
    let is_list = matches!(planned.spec.starts(), Some(RecurrenceSpec::At(_)));
    is_list && planned.entry(since).slots(now).any(|slot| slot.at.second() != 0)
}

/// A crontab as one expression, or two where day of month and weekday are given: either makes it due, and Scheduler takes
/// one of them only.
fn cron(crontab: &Crontab, zone: Tz) -> Result<Vec<(String, Tz)>, String> {
    let Some(cron) = pattern(crontab) else { return Err("@reboot names no time".to_owned()) };
    let fields = &cron.pattern;
    let (any_day, any_weekday) = (fields.is_dom_wildcard(), fields.is_dow_wildcard());
    if fields.matches_dom_and_dow() && !any_day && !any_weekday {
        return Err("Scheduler takes a day of the month or a weekday, not both together".to_owned());
    }
    let text = crontab.pattern().unwrap_or_default();
    let special = |field: usize, has: bool| {
        let part = text.split_whitespace().nth(field).unwrap_or_default();
        if has { Err(format!("{part} is not said in the same way by Scheduler")) } else { Ok(()) }
    };
    special(2, fields.days.has_modifiers())?;
    special(4, fields.days_of_week.has_modifiers())?;
    let minutes = listed(&fields.minutes.values(), 0, 59);
    let hours = listed(&fields.hours.values(), 0, 23);
    let months = listed(&fields.months.values(), 1, 12);
    // Scheduler counts weekdays from 1, which is Sunday; crontabs from 0, and Sunday is 7 too.
    let mut weekdays: Vec<u16> = fields.days_of_week.values().iter().map(|day| day % 7 + 1).collect();
    weekdays.sort_unstable();
    weekdays.dedup();
    let on_days = || format!("cron({minutes} {hours} {} {months} ? *)", listed(&fields.days.values(), 1, 31));
    let on_weekdays = || format!("cron({minutes} {hours} ? {months} {} *)", listed(&weekdays, 1, 7));
    let expressions = match (any_day, any_weekday) {
        (true, true) => vec![format!("cron({minutes} {hours} * {months} ? *)")],
        (false, true) => vec![on_days()],
        (true, false) => vec![on_weekdays()],
        (false, false) => vec![on_days(), on_weekdays()],
    };
    if let Some(long) = expressions.iter().find(|expression| expression.len() > MAX_EXPRESSION) {
        return Err(format!(
            "its expression has {} characters, Scheduler takes {MAX_EXPRESSION}",
            long.len()
        ));
    }
    Ok(expressions.into_iter().map(|expression| (expression, zone)).collect())
}

/// The values of a field: `*`, or a list of values and ranges.
fn listed(values: &[u16], low: u16, high: u16) -> String {
    if values.len() == usize::from(high - low + 1) {
        return "*".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    let mut rest = values;
    while let Some(first) = rest.first().copied() {
        let run = rest.iter().zip(first..).take_while(|(value, expected)| *value == expected).count();
        let last = first + u16::try_from(run).unwrap_or(1) - 1;
        match run {
            1 => parts.push(first.to_string()),
            2 => parts.extend([first.to_string(), last.to_string()]),
            _ => parts.push(format!("{first}-{last}")),
        }
        rest = &rest[run..];
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crontab_is_translated_field_by_field() {
        for (crontab, wanted) in [
            ("30 2 * * *", vec!["cron(30 2 * * ? *)"]),
            ("*/15 * * * *", vec!["cron(0,15,30,45 * * * ? *)"]),
            ("*/40 8-18 * * *", vec!["cron(0,40 8-18 * * ? *)"]),
            ("0 9 * * 1-5", vec!["cron(0 9 ? * 2-6 *)"]),
            ("0 9 * * 0", vec!["cron(0 9 ? * 1 *)"]),
            ("0 9 * * 7", vec!["cron(0 9 ? * 1 *)"]),
            ("0 9 * * sun,sat", vec!["cron(0 9 ? * 1,7 *)"]),
            ("0 9 * * 5-7", vec!["cron(0 9 ? * 1,6,7 *)"]),
            ("0 0 1,15 jan-mar *", vec!["cron(0 0 1,15 1-3 ? *)"]),
            ("0 0 13 * 5", vec!["cron(0 0 13 * ? *)", "cron(0 0 ? * 6 *)"]),
            ("@weekly", vec!["cron(0 0 ? * 1 *)"]),
            ("@midnight", vec!["cron(0 0 * * ? *)"]),
        ] {
            let made = cron(&crontab.parse().unwrap(), Tz::UTC).unwrap();
            assert_eq!(made.iter().map(|(made, _)| made.as_str()).collect::<Vec<_>>(), wanted, "{crontab}");
        }
        for crontab in ["0 0 L * *", "0 0 15W * *", "0 0 * * 5#2", "0 0 * * 5L", "0 0 13 * +5", "@reboot"] {
            assert!(cron(&crontab.parse().unwrap(), Tz::UTC).is_err(), "{crontab}");
        }
    }

    #[test]
    fn interval_is_whole_minutes() {
        for (seconds, wanted) in [
            (60, "rate(1 minute)"),
            (2_400, "rate(40 minutes)"),
            (3_600, "rate(1 hour)"),
            (5_400, "rate(90 minutes)"),
            (172_800, "rate(2 days)"),
        ] {
            assert_eq!(rate(seconds).as_deref(), Ok(wanted));
        }
        assert!(rate(90).is_err() && rate(1).is_err());
    }
}
