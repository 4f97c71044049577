//! When entries are due, as the judge counts it: by calculation or by looking at a clock on the wall, and not as the
//! engine finds it.

use chrono::{NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::clock::JobSchedule;
use pumice_core::request::schedule_key;
use pumice_core::spec::{JobSpec, RealmSpec};
use serde_json::Value;

use super::limits::Limits;

/// When an entry is due.
#[derive(Clone, Debug, PartialEq)]
enum Times {
    /// Each so many seconds from a time on.
    Every(i64, Timestamp),
    /// Each so many minutes of each hour, in a zone.
    Minutes(u32, Tz),
    /// At these minutes of an hour of each day in a zone, the first time that the clock shows them.
    Daily(u32, Vec<u32>, Tz),
    /// At these times.
    At(Vec<Timestamp>),
}

/// An entry as the judge knows it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    times: Times,
    pub(crate) jitter: TimeDelta,
    /// For how long a missed slot is made up for; none if it is not made up for.
    pub(crate) made_up_for: Option<TimeDelta>,
    /// Whether each slot must be started, however late.
    pub(crate) is_full: bool,
    pub(crate) max_runs: Option<u64>,
    /// Whether it starts its job on each host.
    pub(crate) is_on_each: bool,
    /// No slot before is due: when the entry was first seen as it is, or its job was enabled.
    pub(crate) put: Timestamp,
    /// No start before is due: the same, or when it was resumed without catching up.
    pub(crate) anchor: Timestamp,
    globals: Option<Value>,
    pub(crate) limits: Limits,
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).expect("times of scenarios hold")
}

impl Entry {
    /// The entries of a job's document, put at a time over others.
    pub(crate) fn all(job: &JobSpec, realm: &RealmSpec, now: Timestamp, before: &[Self]) -> Vec<Self> {
        let plan = JobSchedule::of(job, realm, &realm.settings);
        let given = job.document["schedule"].as_array().cloned().unwrap_or_default();
        let planned = plan.entries.into_iter().map(|planned| planned.expect("entries of scenarios hold"));
        let entries = given.iter().zip(planned).map(|(given, planned)| {
            let entry = Self::read(given, planned.jitter, planned.zone, now);
            let known = before.iter().find(|known| known.is_due_with(&entry));
            let (put, anchor) = known.map_or((now, now), |known| (known.put, known.anchor));
            Self { put, anchor, ..entry }
        });
        entries.collect()
    }

    fn read(given: &Value, jitter: TimeDelta, zone: Tz, anchor: Timestamp) -> Self {
        let times = match (given["every"].as_i64(), given["crontab"].as_str()) {
            (Some(every), _) => Times::Every(every, instant(&given["from"])),
            (None, Some(crontab)) => {
                let fields: Vec<&str> = crontab.split(' ').collect();
                match fields[0].strip_prefix("*/") {
                    Some(minutes) => Times::Minutes(minutes.parse().expect("a number"), zone),
                    None => {
                        let minutes = fields[0].split(',').map(|minute| minute.parse().expect("a number"));
                        Times::Daily(fields[1].parse().expect("a number"), minutes.collect(), zone)
                    }
                }
            }
            _ => Times::At(given["at"].as_array().into_iter().flatten().map(instant).collect()),
        };
        let policy = given["catch_up"].as_str().unwrap_or("last");
        let window = given["window"].as_i64().map_or(TimeDelta::hours(1), TimeDelta::seconds);
        let is_full = policy == "all" && given["max"].as_u64().is_some_and(|max| max > 10_000);
        let made_up_for = (policy != "none").then_some(window);
        let (max_runs, globals) = (given["max_runs"].as_u64(), given.get("globals").cloned());
        let (is_full, limits) = (is_full && max_runs.is_none(), Limits::read(given));
        let is_on_each = given["nodes"] == "all";
        let put = anchor;
        Self { times, jitter, made_up_for, is_full, max_runs, is_on_each, put, anchor, globals, limits }
    }

    /// The same of a job that is enabled at a time, and was not before.
    pub(crate) fn enabled(&self, at: Timestamp) -> Self {
        Self { put: at, anchor: at, ..self.clone() }
    }

    /// The same, with no start due before a time.
    pub(crate) fn anchored(&self, anchor: Timestamp) -> Self {
        Self { anchor, ..self.clone() }
    }

    /// Whether it is due at the same times as another one.
    pub(crate) fn is_due_with(&self, other: &Self) -> bool {
        self.times == other.times && self.jitter == other.jitter
    }

    /// Whether it is due at a time.
    pub(crate) fn is_due(&self, at: Timestamp) -> bool {
        match &self.times {
            Times::Every(seconds, from) => {
                at >= *from && (at - *from).num_milliseconds() % (seconds * 1_000) == 0
            }
            Times::Minutes(minutes, _) => at.second() == 0 && at.minute().is_multiple_of(*minutes),
            Times::Daily(hour, minutes, zone) => minutes.iter().any(|minute| {
                let on_the_wall = |at: Timestamp| at.with_timezone(zone).time();
                let wanted = NaiveTime::from_hms_opt(*hour, *minute, 0).expect("a time");
                on_the_wall(at) == wanted && on_the_wall(at - TimeDelta::hours(1)) != wanted
            }),
            Times::At(times) => times.contains(&at),
        }
    }

    /// The first time after another at which it is due.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.times {
            Times::Every(seconds, from) if after >= *from => {
                let turns = (after - *from).num_seconds() / seconds + 1;
                Some(*from + TimeDelta::seconds(turns * seconds))
            }
            Times::Every(_, from) => Some(*from),
            Times::At(times) => times.iter().copied().filter(|at| *at > after).min(),
            Times::Minutes(minutes, _) => {
                let seconds = i64::from(*minutes) * 60;
                Timestamp::from_timestamp((after.timestamp().div_euclid(seconds) + 1) * seconds, 0)
            }
            Times::Daily(hour, minutes, _) => {
                // In the zones of scenarios, with or without daylight saving time, the clock is up to six hours behind.
                let days = (-1..3).map(|days| (after + TimeDelta::days(days)).date_naive());
                let times = days.flat_map(|day| {
                    minutes.iter().filter_map(move |minute| day.and_hms_opt(*hour, *minute, 0))
                });
                let instants = times
                    .flat_map(|time| [0, 3, 4, 5, 6].map(|behind| time.and_utc() + TimeDelta::hours(behind)));
                instants.filter(|at| *at > after && self.is_due(*at)).min()
            }
        }
    }

    /// The idempotency key of a slot.
    pub(crate) fn key(&self, slot: Timestamp) -> String {
        schedule_key(slot, None, None, self.globals.as_ref())
    }
}
