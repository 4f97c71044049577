//! Warnings about schedules: valid but probably unintended.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::Registry;
use super::late_advice::advise_limits;
use super::survey::Surveyed;
use crate::Timestamp;
use crate::clock::{Entry, Plan, Planned, Slot, utc};
use crate::problem::{JsonPath, Problem};
use crate::spec::{Bound, Crontab, JobSpec, RealmSpec, Settings, Starts};
use crate::text::escaped;

/// Most starts in one second without a warning.
const MAX_TOGETHER: usize = 50;
/// How far ahead starts are counted, and how many of them are.
const AHEAD: TimeDelta = TimeDelta::hours(24);
const MAX_COUNTED: usize = 30_000;
/// Most jobs of a busy second that are named.
const MAX_NAMED: usize = 3;
/// A field of a crontab.
struct Field {
    name: &'static str,
    /// Its first and last value.
    values: (u64, u64),
    /// How many there are before it begins anew; 0 for days of months, which have no fixed number.
    size: u64,
    /// The unit of the interval that may be meant.
    unit: &'static str,
    /// The names of its values.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The fields of a crontab, in order.
const FIELDS: [Field; 5] = [
    Field { name: "minute", values: (0, 59), size: 60, unit: "m", names: &[] },
    Field { name: "hour", values: (0, 23), size: 24, unit: "h", names: &[] },
    Field { name: "day of month", values: (1, 31), size: 0, unit: "d", names: &[] },
    Field { name: "month", values: (1, 12), size: 12, unit: "", names: &MONTHS },
    Field { name: "weekday", values: (0, 6), size: 7, unit: "d", names: &WEEKDAYS },
];

impl Registry {
    /// Warnings about the schedules of jobs, by their place: entries that cannot be used or never start, steps and days
    /// that are seldom meant, zones that are not given, and too many starts in one second over all jobs.
    #[must_use]
    pub fn survey_clock(
        &self,
        jobs: &[Surveyed<'_>],
        realm: Option<&RealmSpec>,
        settings: &Settings,
        now: Timestamp,
    ) -> Vec<(usize, Problem)> {
        let none = RealmSpec::parse(&json!({ "realm": "none" }));
        let Some(realm) = realm.or(none.as_ref().ok()) else { return Vec::new() };
        let scheduled = jobs.iter().enumerate().filter(|(_, one)| !one.job.fields.schedule.0.is_empty());
        let scheduled = scheduled.filter(|(_, one)| !settings.is_foreign(&one.job.fields.worker));
        let plans: Vec<(usize, Plan)> =
            scheduled.map(|(index, one)| (index, Plan::of(one.job, realm, settings))).collect();
        let mut told = Vec::new();
        for (index, plan) in plans.iter().filter(|(index, _)| jobs[*index].given) {
            told.extend(
                advise_plan(jobs[*index].job, plan, now).into_iter().map(|problem| (*index, problem)),
            );
            let limits = advise_all_limits(jobs[*index].job, realm, plan, now);
            told.extend(limits.into_iter().map(|problem| (*index, problem)));
        }
        told.extend(busy_second(jobs, &plans, now));
        told.sort_by_key(|(index, _)| *index);
        told
    }
}

/// Warnings about the entries of a job.
fn advise_plan(job: &JobSpec, plan: &Plan, now: Timestamp) -> Vec<Problem> {
    let root = JsonPath::root().field("schedule");
    let is_list = job.document.get("schedule").is_some_and(Value::is_array);
    let mut advice = Vec::new();
    let mut is_default = false;
    for (index, planned) in plan.entries.iter().enumerate() {
        let path = if is_list { root.item(index) } else { root.clone() };
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => {
                let told = Problem::warning("unusable-entry", path, error.to_string());
                advice.push(told.with_hint("until that is mended the entry starts nothing"));
                continue;
            }
        };
        advice.extend(never_due(planned, &path, now));
        if let Some(Starts::Crontab(crontab)) = planned.spec.starts() {
            advice.extend(uneven_step(crontab, &path));
            advice.extend(both_days(crontab, &path));
        }
        is_default |= planned.zone_is_default && needs_zone(planned);
    }
    if is_default {
        let told =
            Problem::warning("default-zone", root, "no timezone is given, so that its times are in UTC");
        advice.push(told.with_hint("say `timezone: Europe/Berlin`, or `timezone: UTC` if that is meant"));
    }
    advice
}

/// Warnings about the limits of a job's entries.
fn advise_all_limits(job: &JobSpec, realm: &RealmSpec, plan: &Plan, now: Timestamp) -> Vec<Problem> {
    let root = JsonPath::root().field("schedule");
    let is_list = job.document.get("schedule").is_some_and(Value::is_array);
    let entries =
        plan.entries.iter().enumerate().filter_map(|(index, planned)| Some((index, planned.as_ref().ok()?)));
    let limits = entries.flat_map(|(index, planned)| {
        let path = if is_list { root.item(index) } else { root.clone() };
        advise_limits(job, realm, planned, &path, now)
    });
    limits.collect()
}

/// Whether the zone makes a difference to when an entry is due.
fn needs_zone(planned: &Planned) -> bool {
    let is_wall =
        |bound: &Bound| bound.instant(chrono_tz::UTC) != bound.instant(chrono_tz::Pacific::Kiritimati);
    let spec = &planned.spec;
    let by_window = [&spec.from, &spec.to].into_iter().flatten().any(is_wall);
    by_window
        || match spec.starts() {
            // Of a crontab that names minutes alone it makes none.
            Some(Starts::Crontab(crontab)) => {
                let five = crontab.pattern().filter(|pattern| !pattern.starts_with('@'));
                let rest =
                    five.as_deref().map(|five| five.split_whitespace().skip(1).any(|field| field != "*"));
                !planned.is_reboot() && rest.unwrap_or(!crontab.as_str().eq_ignore_ascii_case("@hourly"))
            }
            Some(Starts::At(at)) => at.iter().any(is_wall),
            Some(Starts::Every(_)) | None => false,
        }
}

/// A warning about an entry that starts nothing from now on.
fn never_due(planned: &Planned, path: &JsonPath, now: Timestamp) -> Option<Problem> {
    if planned.is_reboot() || planned.entry(now).next(now).is_some() {
        return None;
    }
    let bare = Entry { from: None, to: None, calendars: None, ..planned.entry(now) };
    let without_calendars = Entry { calendars: None, ..planned.entry(now) };
    let message = match planned.spec.starts() {
        Some(Starts::At(_)) if bare.next(now).is_none() => "all its instants are past".to_owned(),
        Some(Starts::Crontab(crontab)) if bare.next(now).is_none() => {
            format!("{crontab} never comes: no date matches")
        }
        _ if without_calendars.next(now).is_some() => "its calendars leave no day for it".to_owned(),
        _ => match &planned.spec.to {
            Some(to) if to.instant(planned.zone).is_some_and(|to| to < now) => {
                format!("its time is over: it holds until {to}")
            }
            _ => "no start of it is within the time in which it holds".to_owned(),
        },
    };
    Some(Problem::warning("never-due", path.clone(), message))
}

/// A warning about a step that is not an interval, as it begins anew with each hour, day or month.
fn uneven_step(crontab: &Crontab, path: &JsonPath) -> Option<Problem> {
    let uneven = |(text, field): (&str, Field)| {
        let step = text.split(',').find_map(|item| field.uneven_step(item))?;
        Some((text.to_owned(), field, step))
    };
    let (text, Field { name, unit, .. }, step) =
        crontab.as_str().split_whitespace().zip(FIELDS).find_map(uneven)?;
    let message = format!("{text} in the field {name} is not every {step}: it begins anew each time");
    let told = Problem::warning("uneven-step", path.clone(), message);
    Some(if unit.is_empty() {
        told
    } else {
        told.with_hint(format!("for a true interval say `every: {step}{unit}`"))
    })
}

impl Field {
    /// The step of an item that goes through the whole field and is not an interval. A range that ends before is meant so.
    fn uneven_step(&self, item: &str) -> Option<u64> {
        let (range, step) = item.split_once('/')?;
        let step: u64 = step.parse().ok().filter(|step| *step > 1)?;
        let (min, max) = self.values;
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if range == "*" => (min, max),
            None => (self.value(range)?, max),
        };
        let end = first.checked_add(last.checked_sub(first)? / step * step)?;
        // Of weekdays Monday to Friday is a range of its own.
        let is_to_the_end = if self.name == "weekday" { last >= max } else { end.saturating_add(step) > max };
        let is_whole = is_to_the_end && first.checked_sub(min)? < step;
        (is_whole && (self.size == 0 || !self.size.is_multiple_of(step))).then_some(step)
    }

    fn value(&self, text: &str) -> Option<u64> {
        let named = || self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        text.parse().ok().or_else(|| Some(named()? as u64 + self.values.0))
    }
}

/// A warning about a crontab with day of month and weekday, of which either makes it due (crontab(5)).
fn both_days(crontab: &Crontab, path: &JsonPath) -> Option<Problem> {
    let fields: Vec<&str> = crontab.as_str().split_whitespace().collect();
    let is_given = |field: &&str| *field != "?" && !field.starts_with('*');
    let (days, weekdays) = (fields.get(2).filter(|f| is_given(f))?, fields.get(4).filter(|f| is_given(f))?);
    if weekdays.starts_with('+') {
        return None;
    }
    let message = format!("day of month {days} and weekday {weekdays} together mean either of them");
    let told = Problem::warning("both-days", path.clone(), message);
    Some(told.with_hint(format!("for days that are both say `+{weekdays}`")))
}

/// The next start of an entry, the earliest first.
struct Coming {
    at: Timestamp,
    slot: Slot,
    /// The place of its job, and of its entry among all.
    job: usize,
    place: usize,
}

impl PartialEq for Coming {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Coming {}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coming {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.place).cmp(&(other.at, other.place))
    }
}

/// A warning about the first second in which too many starts come together, at the first job of it that was given. It looks
/// at the starts of a day in their order, and at no more than [`MAX_COUNTED`].
fn busy_second(jobs: &[Surveyed<'_>], plans: &[(usize, Plan)], now: Timestamp) -> Option<(usize, Problem)> {
    let mut entries = Vec::new();
    for (job, plan) in plans.iter().filter(|(_, plan)| plan.enabled) {
        entries.extend(plan.entries.iter().flatten().map(|planned| (*job, planned, planned.entry(now))));
    }
    let mut heap = BinaryHeap::new();
    let come = |place: usize, after: Timestamp| {
        let (job, planned, entry): &(usize, &Planned, Entry) = &entries[place];
        let slot = entry.next(after)?;
        let at = slot.at + planned.jitter;
        (at <= now + AHEAD).then_some(Reverse(Coming { at, slot, job: *job, place }))
    };
    heap.extend((0..entries.len()).filter_map(|place| come(place, now)));
    let mut together: HashMap<usize, usize> = HashMap::new();
    let (mut second, mut count) = (now, 0);
    for _ in 0..MAX_COUNTED {
        let next = heap.pop();
        let at = next.as_ref().map(|Reverse(coming)| coming.at);
        if at != Some(second) {
            if count > MAX_TOGETHER
                && let Some(told) = too_many(jobs, &together, second, count)
            {
                return Some(told);
            }
            together.clear();
            count = 0;
        }
        let Reverse(coming) = next?;
        second = coming.at;
        count += 1;
        *together.entry(coming.job).or_insert(0) += 1;
        heap.extend(come(coming.place, coming.slot.at));
    }
    None
}

/// The warning about a second; `None` when none of its jobs was given.
fn too_many(
    jobs: &[Surveyed<'_>],
    together: &HashMap<usize, usize>,
    second: Timestamp,
    count: usize,
) -> Option<(usize, Problem)> {
    let mut places: Vec<usize> = together.keys().copied().collect();
    places.sort_unstable();
    let first = places.iter().copied().find(|place| jobs[*place].given)?;
    let names = places.iter().take(MAX_NAMED).map(|place| escaped(jobs[*place].job.fields.job_id.as_str()));
    let names = names.map(|name| name.into_owned()).collect::<Vec<_>>().join(", ");
    let more = places.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("{count} starts come together at {}: of {names}{more}", utc(second));
    let told = Problem::warning("busy-second", JsonPath::root().field("schedule"), message);
    Some((first, told.with_hint("`jitter: 5m` spreads them")))
}

#[cfg(test)]
mod field_tests {
    use super::*;

    #[test]
    fn uneven_step_through_a_whole_field_is_warned_of() {
        let step = |crontab: &str| {
            let crontab: Crontab = crontab.parse().unwrap();
            uneven_step(&crontab, &JsonPath::root()).map(|told| told.message)
        };
        for (crontab, wanted) in [
            ("*/40 * * * *", "every 40"),
            ("0-59/40 * * * *", "every 40"),
            ("1-59/7 * * * *", "every 7"),
            ("0-58/7 * * * *", "every 7"),
            ("0 */5 * * *", "every 5"),
            ("0 0-23/5 * * *", "every 5"),
            ("0 0 1-31/200 * *", "every 200"),
            ("0 0 */2 * *", "every 2"),
            ("0 0 1 1-12/5 *", "every 5"),
            ("0 0 1 jan-dec/5 *", "every 5"),
            ("0 0 * * 0-6/4", "every 4"),
            ("0 0 * * sun-sat/2", "every 2"),
            ("0 0 * * 1-7/2", "every 2"),
            ("5,0-59/9 * * * *", "every 9"),
        ] {
            let told = step(crontab).unwrap_or_default();
            assert!(told.contains(&format!("is not {wanted}:")), "{crontab}: {told}");
        }
        for crontab in [
            "*/15 * * * *",
            "0-59/15 * * * *",
            "1-59/2 * * * *",
            "5-59/15 * * * *",
            "0-30/10 * * * *",
            "0 8-18/3 * * *",
            "0 0 1-15/7 * *",
            "0 0 1 1-12/3 *",
            "0 0 * * 1-5/2",
            "0-59/1 * * * *",
            "@daily",
        ] {
            assert_eq!(step(crontab), None, "{crontab}");
        }
    }
}
