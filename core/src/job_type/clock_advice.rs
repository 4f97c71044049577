//! Warnings about schedules: valid but probably unintended.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::Registry;
use super::busy_second::busy_second;
use super::late_advice::advise_limits;
use super::survey::Surveyed;
use crate::Timestamp;
use crate::clock::{Entry, JobSchedule, PlannedEntry, is_scheduled, utc};
use crate::globals::merge_parameters;
use crate::problem::{JsonPath, Problem};
use crate::spec::{Bound, Crontab, JobSpec, RealmSpec, RecurrenceSpec, Settings};

/// Most pairs of entries of a job that are searched for a slot that they have in common, and most steps of a search.
const MAX_PAIRS: usize = 200;
const MAX_SLOTS: usize = 200;
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
        let scheduled = jobs.iter().enumerate().filter(|(_, one)| is_scheduled(&one.job.document));
        let scheduled = scheduled.filter(|(_, one)| !settings.worker_kind(&one.job.fields.worker).is_lavas());
        let plans: Vec<(usize, JobSchedule)> =
            scheduled.map(|(index, one)| (index, JobSchedule::of(one.job, realm, settings))).collect();
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

impl Registry {
    /// Checks what the entries of a job's schedule give to its runs: their parameters, laid over the job's own.
    pub(super) fn check_entries(&self, job: &JobSpec) -> Vec<Problem> {
        let Some(job_type) = self.job_type(&job.fields.r#type) else { return Vec::new() };
        let root = JsonPath::root().field("schedule");
        let is_list = job.document.get("schedule").is_some_and(Value::is_array);
        let of_parameters = |job: &JobSpec| {
            let mut problems = job_type.check(job, &self.renderer);
            problems.retain(|problem| problem.path.as_str().starts_with(".parameters"));
            problems
        };
        let (mut own, mut problems) = (None, Vec::new());
        for (index, entry) in job.fields.schedule.0.iter().enumerate() {
            let Some(given) = entry.parameters.as_ref().filter(|given| !given.is_empty()) else { continue };
            let path = if is_list { root.item(index) } else { root.clone() };
            let own = own.get_or_insert_with(|| of_parameters(job));
            let mut overlaid = job.clone();
            overlaid.set_parameters(merge_parameters(&job.parameters(), given));
            let found = of_parameters(&overlaid).into_iter().filter(|problem| !own.contains(problem));
            problems.extend(found.map(|problem| problem.below(&path)));
        }
        problems
    }
}

/// Warnings about the entries of a job.
fn advise_plan(job: &JobSpec, plan: &JobSchedule, now: Timestamp) -> Vec<Problem> {
    let root = JsonPath::root().field("schedule");
    let is_list = job.document.get("schedule").is_some_and(Value::is_array);
    let mut advice = Vec::new();
    let mut is_default = false;
    for (index, planned) in plan.entries.iter().enumerate() {
        let path = if is_list { root.item(index) } else { root.clone() };
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => {
                let warning = Problem::warning("unusable-entry", path, error.to_string());
                advice.push(warning.with_hint("until that is mended the entry starts nothing"));
                continue;
            }
        };
        advice.extend(never_due(planned, &path, now));
        if let Some(RecurrenceSpec::Crontab(crontab)) = planned.spec.starts() {
            advice.extend(uneven_step(crontab, &path));
            advice.extend(both_days(crontab, &path));
        }
        is_default |= planned.zone_is_default && needs_zone(planned);
    }
    advice.extend(same_starts(plan, &root, now));
    if is_default {
        let told =
            Problem::warning("default-zone", root, "no timezone is given, so that its times are in UTC");
        advice.push(told.with_hint("say `timezone: Europe/Berlin`, or `timezone: UTC` if that is meant"));
    }
    advice
}

/// Warnings about the limits of a job's entries.
fn advise_all_limits(job: &JobSpec, realm: &RealmSpec, plan: &JobSchedule, now: Timestamp) -> Vec<Problem> {
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
fn needs_zone(planned: &PlannedEntry) -> bool {
    let is_wall =
        |bound: &Bound| bound.instant(chrono_tz::UTC) != bound.instant(chrono_tz::Pacific::Kiritimati);
    let spec = &planned.spec;
    let by_window = [&spec.from, &spec.to].into_iter().flatten().any(is_wall);
    by_window
        || match spec.starts() {
            // Of a crontab that names minutes alone it makes none.
            Some(RecurrenceSpec::Crontab(crontab)) => {
                let five = crontab.pattern().filter(|pattern| !pattern.starts_with('@'));
                let rest =
                    five.as_deref().map(|five| five.split_whitespace().skip(1).any(|field| field != "*"));
                !planned.is_reboot() && rest.unwrap_or(!crontab.as_str().eq_ignore_ascii_case("@hourly"))
            }
            Some(RecurrenceSpec::At(at)) => at.iter().any(is_wall),
            Some(RecurrenceSpec::Every(_)) | None => false,
        }
}

/// A warning about an entry that starts nothing from now on.
fn never_due(planned: &PlannedEntry, path: &JsonPath, now: Timestamp) -> Option<Problem> {
    // One that starts as soon as it is seen starts once.
    if planned.is_reboot() || planned.spec.run_now || planned.entry(now).next(now).is_some() {
        return None;
    }
    let bare = Entry { from: None, to: None, calendars: None, ..planned.entry(now) };
    let without_calendars = Entry { calendars: None, ..planned.entry(now) };
    let message = match planned.spec.starts() {
        Some(RecurrenceSpec::At(_)) if bare.next(now).is_none() => "all its instants are past".to_owned(),
        Some(RecurrenceSpec::Crontab(crontab)) if bare.next(now).is_none() => {
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
    let warning = Problem::warning("never-due", path.clone(), message);
    let is_held_back = planned.spec.jitter.is_some();
    Some(if is_held_back {
        warning.with_hint("a slot from before the entry was put is not started, whatever its jitter")
    } else {
        warning
    })
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
    let warning = Problem::warning("uneven-step", path.clone(), message);
    Some(if unit.is_empty() {
        warning
    } else {
        warning.with_hint(format!("for a true interval say `every: {step}{unit}`"))
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
    let warning = Problem::warning("both-days", path.clone(), message);
    Some(warning.with_hint(format!("for days that are both say `+{weekdays}`")))
}

/// Warnings about entries whose own rules do not hold where an earlier entry names the same slots: both are one run, which
/// is the earlier one's.
fn same_starts(plan: &JobSchedule, path: &JsonPath, now: Timestamp) -> Vec<Problem> {
    let usable =
        || plan.entries.iter().enumerate().filter_map(|(place, one)| Some((place, one.as_ref().ok()?)));
    let mut advice = Vec::new();
    let mut looked = 0;
    for (place, later) in usable() {
        let rule = if later.spec.max_runs.is_some() {
            "its max_runs counts them all the same"
        } else if later.spec.overlap.is_some() {
            "its overlap does not apply to them"
        } else {
            continue;
        };
        for (first, earlier) in usable().take_while(|(first, _)| *first < place) {
            let is_other = later.spec.max_runs.is_none() && earlier.spec.overlap == later.spec.overlap;
            if is_other || !earlier.gives_the_same(later) || looked >= MAX_PAIRS {
                continue;
            }
            looked += 1;
            if let Some(slot) = first_common(&earlier.entry(now), &later.entry(now), now) {
                let message = format!(
                    "at {} entry {first} and entry {place} name one slot, which is one run, of entry {first}: {rule}",
                    utc(slot)
                );
                let warning = Problem::warning("same-start", path.item(place), message);
                advice.push(warning.with_hint("give one of them globals, if both are to run"));
                break;
            }
        }
    }
    advice
}

/// The first slot that two entries have in common, of the next that they have.
fn first_common(one: &Entry, other: &Entry, now: Timestamp) -> Option<Timestamp> {
    let mut at = now;
    for _ in 0..MAX_SLOTS {
        let (first, second) = (one.next(at)?.at, other.next(at)?.at);
        if first == second {
            return Some(first);
        }
        // Neither has one before the later of the two.
        at = first.max(second) - TimeDelta::seconds(1);
    }
    None
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
