//! A job's schedule made ready to be asked when it is due: zones, calendars and limits looked up.

use std::collections::BTreeMap;

use chrono::{SubsecRound, TimeDelta};
use chrono_tz::Tz;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cron::{Cron, Slot};
use super::cursor::Missing;
use super::entry::{Calendars, Entry, Recurrence, named};
use crate::Timestamp;
use crate::duration::Span;
use crate::hosts::Hosts;
use crate::ids::JobId;
use crate::ports::Doc;
use crate::spec::{
    Bound, Calendar, Enabled, JobSpec, Nodes, OneOrMany, Overlap, RealmSpec, RecurrenceSpec, Schedule,
    ScheduleEntry, Settings, locked_nodes,
};
use crate::text::quoted;

/// Namespace of what follows from an entry or a job's id; never to be changed.
const ENTRIES: Uuid = Uuid::from_u128(0x1c9a_7f52_64be_4e0f_8a37_55d3_0be1_92c6);

/// Why an entry that is due when the service starts is never due on AWS.
pub const NO_SERVICE: &str = "@reboot is the start of `pumice serve`, and on AWS no service starts";

/// An entry of a job's schedule with all that decides when it starts.
#[derive(Clone, Debug)]
pub struct PlannedEntry {
    /// As the spec has it.
    pub spec: ScheduleEntry,
    /// The zone of its times.
    pub zone: Tz,
    /// Whether nothing named a zone, so that it is UTC.
    pub zone_is_default: bool,
    /// The digest of the fields that decide when it is due.
    pub fingerprint: String,
    /// The digest of the globals and parameters that it gives to its runs; empty where it gives none.
    pub given: String,
    /// How it makes up for what it missed.
    pub missing: Missing,
    /// How much later than its slots its starts are.
    pub jitter: TimeDelta,
    when: Timing,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    calendars: Option<Calendars>,
}

/// The timing of an entry, as far as its spec says.
#[derive(Clone, Debug)]
enum Timing {
    Cron(Cron),
    Every(TimeDelta),
    At(Vec<Slot>),
}

/// Why an entry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadEntry(pub String);

/// The schedule of a job.
#[derive(Clone, Debug)]
pub struct JobSchedule {
    /// Its entries, in order. One that cannot be used is not in the way of the others.
    pub entries: Vec<Result<PlannedEntry, BadEntry>>,
    /// Whether the job may be started: one that is not enabled, or does not say so, starts nothing. A template is
    /// looked at when a run starts.
    pub enabled: bool,
    /// The schedule as the spec has it, as a [`digest`]; none where the job has none that is ours.
    pub spec: Option<String>,
    /// The rules of the realm and the environment that it was made by, as a [`rules_of`]; none where it was made by none.
    pub rules: Option<String>,
    /// The hosts of the job's worker, for entries with `nodes: all`: the caller's to fill in.
    pub hosts: Hosts,
    /// The digest of the job and the realm, where runs are made ahead of their time: the caller's to fill in.
    pub made_by: Option<String>,
    /// The schedules that the job had since the last look, and from when on: a look would have seen them. `None` where the job
    /// could not be read.
    pub superseded: Vec<(Timestamp, Option<Self>)>,
}

impl JobSchedule {
    /// The schedule of a job.
    #[must_use]
    pub fn of(job: &JobSpec, realm: &RealmSpec, settings: &Settings) -> Self {
        let none = BTreeMap::new();
        let calendars = realm.fields.calendars.as_ref().unwrap_or(&none);
        let schedule = job.document.get("schedule").unwrap_or(&Value::Null);
        let rules = Some(rules_of(realm, settings));
        if !settings.starts(job.fields.dispatcher.as_deref()) {
            return Self { rules, ..Self::none() };
        }
        let entries = Schedule::entries(schedule).into_iter().map(|entry| {
            let entry = entry.map_err(|error| BadEntry(error.to_string()))?;
            PlannedEntry::new(entry, job, calendars, settings)
        });
        let entries: Vec<_> = entries.collect();
        let spec = (!entries.is_empty()).then(|| digest(schedule));
        let enabled = job.fields.enabled != Enabled::Static(false);
        Self { entries, enabled, spec, rules, hosts: Hosts::Single, made_by: None, superseded: Vec::new() }
    }

    /// That of a job that has none, or is started by others.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            entries: Vec::new(),
            enabled: false,
            spec: None,
            rules: None,
            hosts: Hosts::Single,
            made_by: None,
            superseded: Vec::new(),
        }
    }

    /// The same in a realm where no service starts, as on AWS: an entry that is due with one cannot be used.
    #[must_use]
    pub fn without_service(mut self) -> Self {
        let waits =
            |entry: &&mut Result<PlannedEntry, BadEntry>| entry.as_ref().is_ok_and(PlannedEntry::is_reboot);
        for entry in self.entries.iter_mut().filter(waits) {
            *entry = Err(BadEntry(NO_SERVICE.to_owned()));
        }
        self
    }

    /// Whether an entry that can be used starts the job on each host.
    #[must_use]
    pub fn is_for_all_nodes(&self) -> bool {
        self.entries.iter().flatten().any(PlannedEntry::is_for_all_nodes)
    }

    /// Whether it has no entries at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl PlannedEntry {
    /// Whether calendars move its slots.
    pub(super) const fn has_calendars(&self) -> bool {
        self.calendars.is_some()
    }

    fn new(
        spec: ScheduleEntry,
        job: &JobSpec,
        calendars: &BTreeMap<String, Calendar>,
        settings: &Settings,
    ) -> Result<Self, BadEntry> {
        let dispatchers = || settings.dispatcher_zones.get(job.fields.dispatcher.as_ref()?).copied();
        let overlap = spec.overlap.or(job.fields.overlap).unwrap_or_default();
        if spec.nodes == Some(Nodes::All) && overlap != Overlap::Allow {
            return Err(BadEntry(locked_nodes(overlap.as_str())));
        }
        let worker = &job.fields.worker;
        if spec.nodes == Some(Nodes::All) && settings.worker_kind(worker).is_lavas() {
            return Err(BadEntry(format!("nodes: all needs `pumice worker`, and {worker} is a lava worker")));
        }
        let given = spec.timezone.or(job.fields.timezone).or(settings.timezone).or_else(dispatchers);
        let zone = given.map_or(Tz::UTC, |zone| zone.0);
        let unread = |bound: &Bound| BadEntry(format!("{} is not a time", quoted(bound.as_str())));
        let instant = |bound: &Bound| bound.instant(zone).ok_or_else(|| unread(bound));
        let when = match spec.starts() {
            Some(RecurrenceSpec::Crontab(crontab)) => Timing::Cron(Cron::new(crontab)),
            Some(RecurrenceSpec::Every(every)) => Timing::Every(every.delta()),
            Some(RecurrenceSpec::At(at)) => {
                let slot = |bound: &Bound| {
                    let (at, wall) = bound.reading(zone).ok_or_else(|| unread(bound))?;
                    // A slot has whole seconds, as its key has.
                    let wall = wall.map(|wall| wall.trunc_subsecs(0));
                    Ok(named(at.trunc_subsecs(0), wall, zone))
                };
                let mut at: Vec<Slot> = at.iter().map(slot).collect::<Result<_, _>>()?;
                at.sort_by_key(|slot| slot.at);
                at.dedup_by_key(|slot| slot.at);
                Timing::At(at)
            }
            None => return Err(BadEntry("neither crontab, every nor at is given".to_owned())),
        };
        let from = spec.from.as_ref().map(instant).transpose()?.map(up);
        let to = spec.to.as_ref().map(instant).transpose()?;
        if spec.every.is_some() && from.zip(to).is_some_and(|(from, to)| from > to) {
            let why =
                "from is after to, and an interval begins at from: give from alone, or one that is before to";
            return Err(BadEntry(why.to_owned()));
        }
        let kept = kept_to(&spec, calendars)?;
        let window = spec.window.map(Span::delta);
        let catch_up = spec.catch_up.unwrap_or_default();
        let missing = Missing { catch_up, window, max: spec.max.map(|max| max.as_u32()) };
        let jitter = spec.jitter.map_or(TimeDelta::zero(), |most| jitter(&job.fields.job_id, most));
        let by_zone = kept.is_some() || depends_on_zone(&spec);
        let fingerprint = fingerprint(&spec, if by_zone { zone } else { Tz::UTC }, kept.as_ref());
        let zone_is_default = given.is_none();
        let has_values = spec.globals.is_some() || spec.parameters.is_some();
        let given = if has_values { digest(&json!([spec.globals, spec.parameters])) } else { String::new() };
        Ok(Self {
            zone,
            zone_is_default,
            fingerprint,
            given,
            missing,
            jitter,
            when,
            from,
            to,
            calendars: kept,
            spec,
        })
    }

    /// When the run of a slot starts: later by the entry's jitter.
    ///
    /// Rules about which slots there are go by the slot: `from`, `to`, calendars, and the time at which the entry was put, edited or
    /// enabled. Rules about whether a slot is started go by this time: pauses, outages, limits and `run_now`.
    #[must_use]
    pub fn start_of(&self, slot: Timestamp) -> Timestamp {
        slot + self.jitter
    }

    /// The instant up to which the runs of slots have started by a time.
    #[must_use]
    pub fn begun_by(&self, at: Timestamp) -> Timestamp {
        at - self.jitter
    }

    /// The entry as it can be asked; `since` is when it was first seen, from which intervals without `from` count.
    #[must_use]
    pub fn entry(&self, since: Timestamp) -> Entry {
        let when = match &self.when {
            Timing::Cron(cron) => Recurrence::Cron(cron.clone()),
            Timing::Every(interval) => {
                let from = self.from.unwrap_or_else(|| since.trunc_subsecs(0));
                Recurrence::Every { interval: *interval, from }
            }
            Timing::At(instants) => Recurrence::At(instants.clone()),
        };
        let (from, to, calendars) = (self.from, self.to, self.calendars.clone());
        Entry { when, zone: self.zone, from, to, calendars }
    }

    /// The time in which it holds; with the first after the second, outside the two.
    pub(super) const fn window(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.from, self.to)
    }

    /// Whether it gives its runs the same as another entry of its job: a slot of both is one run.
    #[must_use]
    pub fn gives_the_same(&self, other: &Self) -> bool {
        self.given == other.given
    }

    /// Whether it has a dead-man limit.
    pub(super) const fn has_limits(&self) -> bool {
        let ScheduleEntry { must_start, finish_by, max_silence, pause_after, .. } = &self.spec;
        must_start.is_some() || finish_by.is_some() || max_silence.is_some() || pause_after.is_some()
    }

    /// Whether it starts the job on each host.
    #[must_use]
    pub fn is_for_all_nodes(&self) -> bool {
        self.spec.nodes == Some(Nodes::All)
    }

    /// Whether it is due when the service starts, and at no time.
    #[must_use]
    pub fn is_reboot(&self) -> bool {
        matches!(&self.when, Timing::Cron(cron) if cron.is_reboot())
    }
}

/// An instant in whole seconds, not before it.
fn up(at: Timestamp) -> Timestamp {
    let whole = at.trunc_subsecs(0);
    if whole < at { whole + TimeDelta::seconds(1) } else { whole }
}

/// Whether an entry without calendars is due at other instants in another zone.
fn depends_on_zone(spec: &ScheduleEntry) -> bool {
    let is_wall = |bound: &Bound| bound.reading(Tz::UTC).is_none_or(|(_, wall)| wall.is_some());
    let by_window = [&spec.from, &spec.to].into_iter().flatten().any(is_wall);
    by_window
        || match spec.starts() {
            Some(RecurrenceSpec::Crontab(crontab)) => crontab.pattern().is_some(),
            Some(RecurrenceSpec::At(at)) => at.iter().any(is_wall),
            Some(RecurrenceSpec::Every(_)) | None => false,
        }
}

/// The calendars of an entry.
fn kept_to(spec: &ScheduleEntry, known: &BTreeMap<String, Calendar>) -> Result<Option<Calendars>, BadEntry> {
    let named = |names: Option<&OneOrMany<String>>| {
        let names = names.into_iter().flat_map(OneOrMany::iter);
        let find = |name: &String| {
            let missing = || BadEntry(format!("the realm has no calendar {}", quoted(name)));
            let calendar = known.get(name).ok_or_else(missing)?;
            let unusable = |why| BadEntry(format!("the calendar {} cannot be used: {why}", quoted(name)));
            calendar.mistake().map_or_else(|| Ok(calendar.clone()), |why| Err(unusable(why)))
        };
        names.map(find).collect::<Result<Vec<_>, _>>()
    };
    let (skip, only) = (named(spec.skip.as_ref())?, named(spec.only.as_ref())?);
    Ok((!skip.is_empty() || !only.is_empty()).then_some(Calendars { skip, only, shift: spec.shift }))
}

/// A schedule as a spec has it, as a digest, whatever the order of its fields.
#[must_use]
pub fn digest(schedule: &Value) -> String {
    let mut schedule = schedule.clone();
    schedule.sort_all_objects();
    digest_of(&schedule)
}

fn digest_of(value: &Value) -> String {
    let digest = Uuid::new_v5(&ENTRIES, value.to_string().as_bytes());
    digest.simple().to_string()[..16].to_owned()
}

/// What a realm and the settings, its own with the environment over them, say about schedules, as a digest: with another
/// one an entry may be due at other times, or not at all.
#[must_use]
pub fn rules_of(realm: &RealmSpec, settings: &Settings) -> String {
    let Settings { timezone, dispatcher_zones, dispatchers, .. } = settings;
    let lavas = settings.lava_workers();
    digest(&json!([timezone, dispatcher_zones, dispatchers, lavas, realm.fields.calendars]))
}

/// The digest of the fields that decide when an entry is due. The values that its runs are given are not among them, nor is
/// a zone that makes no difference.
fn fingerprint(spec: &ScheduleEntry, zone: Tz, calendars: Option<&Calendars>) -> String {
    let days = calendars.map(|calendars| json!([calendars.skip, calendars.only, calendars.shift]));
    let told = json!([spec.crontab, spec.every, spec.at, spec.from, spec.to, zone.name(), days, spec.jitter]);
    digest_of(&told)
}

/// By how much the starts of a job are later than their slots: the same each time, and spread evenly, most evenly for
/// jobs whose ids differ by a number at the end.
fn jitter(job_id: &JobId, most: Span) -> TimeDelta {
    /// The golden ratio's part of 2^64: its multiples are never close to each other.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let id = job_id.as_str();
    let stem = id.trim_end_matches(|c: char| c.is_ascii_digit());
    // However long it is: its last 64 bits.
    let digits = id[stem.len()..].bytes().map(|digit| u64::from(digit - b'0'));
    let number = digits.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(digit));
    let hash = Uuid::new_v5(&ENTRIES, stem.as_bytes()).as_u64_pair().0;
    let part = u128::from(hash.wrapping_add(number.wrapping_mul(GOLDEN)));
    let seconds = (u128::from(most.get().as_secs()) * part) >> 64;
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
}

/// Whether a job's document has a schedule, readable or not.
#[must_use]
pub fn is_scheduled(job: &Doc) -> bool {
    is_schedule(job.get("schedule").unwrap_or(&Value::Null))
}

/// Whether a job's field `schedule` says more than that there is none.
#[must_use]
pub fn is_schedule(schedule: &Value) -> bool {
    !Schedule::entries(schedule).is_empty()
}

/// Whether two documents of a realm differ in what decides which schedules are due, and when.
#[must_use]
pub fn is_clock_changed(before: &Doc, after: &Doc) -> bool {
    let settings = |realm: &Doc| {
        let (settings, _) =
            Settings::from_stored(realm.get("config").and_then(Value::as_object).unwrap_or(&Doc::new()));
        (settings.timezone, settings.dispatcher_zones, settings.dispatchers, settings.foreign_workers)
    };
    before.get("calendars") != after.get("calendars") || settings(before) != settings(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_of_numbered_jobs_is_spread_evenly() {
        for first in [0, u128::from(u64::MAX) - 150, 99_999_999_999_999_999_999, u128::MAX / 2] {
            let mut by_second = BTreeMap::new();
            for number in first..first + 300 {
                let id = JobId::new(format!("etl/hourly-{number}")).unwrap();
                *by_second.entry(jitter(&id, Span::from_mins(5))).or_insert(0) += 1;
            }
            assert!(by_second.values().all(|count| *count <= 3), "{first}: {by_second:?}");
            assert!(by_second.keys().all(|jitter| *jitter < TimeDelta::minutes(5)));
        }
    }
}
