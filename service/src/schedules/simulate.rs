//! `schedules simulate`.

use pumice_core::clock::{MAX_COUNTED, Recovery, Slot as ClockSlot, after_outage, utc};
use pumice_core::ids::JobId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scheduled, UnreadJob, Which, find};
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::{Instant, Slot};

/// An outage that might be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateOutage {
    /// Only this job, by id or pattern.
    #[serde(default)]
    pub job: Option<String>,
    /// From when nothing looks at the clock.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
}

/// The effect of catch-up after an outage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulated {
    /// From when nothing looks at the clock.
    pub from: Slot,
    /// Until when.
    pub to: Slot,
    /// The outcome for each entry.
    pub entries: Vec<EntryRecovery>,
    /// The jobs that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadJob>,
}

/// The outcome for an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryRecovery {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// How many slots it misses, as far as they are counted.
    pub missed: u32,
    /// Whether the count was given up: there may be more.
    #[serde(default)]
    pub capped: bool,
    /// The first that it misses.
    pub first: Option<Slot>,
    /// The last.
    pub last: Option<Slot>,
    /// The missed slots that are started at the end of the outage.
    pub made_up: Vec<Slot>,
    /// The last slots of the outage, which are started as if nothing had been.
    pub in_time: Vec<Slot>,
    /// How many of the missed slots are never started.
    pub passed_over: u32,
    /// Whether it missed more than it may make up for, and waits to be resumed.
    pub halts: bool,
    /// Why it starts nothing anyway.
    pub why: Option<String>,
}

/// Shows what catch-up would do if nothing looked at the clock between two times.
///
/// # Errors
/// [`Error`] when the outage ends before it begins, no job is as asked, or the store cannot be read.
pub async fn simulate(realm: &dyn Realm, request: &SimulateOutage) -> Result<Simulated, Error> {
    let (from, to) = (request.from.0, request.to.0);
    if to <= from {
        return Err(Error::invalid(format!(
            "the outage ends at {}, not after it begins at {}",
            utc(to),
            utc(from)
        )));
    }
    let found = find(realm, request.job.as_deref().map_or(Which::Matching(None), Which::Named)).await?;
    let mut entries = Vec::new();
    for one in &found.scheduled {
        let recoveries = after_outage(&one.plan, &one.timetable, (from, to), found.now);
        entries.extend(recoveries.iter().map(|recovery| entry_recovery(one, recovery)));
    }
    Ok(Simulated { from: Slot(from), to: Slot(to), entries, unread: found.unread() })
}

fn entry_recovery(one: &Scheduled, recovery: &Recovery) -> EntryRecovery {
    let slots = |slots: &[ClockSlot]| slots.iter().map(|slot| Slot(slot.at)).collect();
    let missed = recovery.missed.as_ref();
    EntryRecovery {
        job_id: one.job_id.clone(),
        entry: recovery.entry,
        missed: missed.map_or(0, |missed| missed.count),
        capped: missed.is_some_and(|missed| missed.count >= MAX_COUNTED),
        first: missed.map(|missed| Slot(missed.from)),
        last: missed.map(|missed| Slot(missed.to)),
        made_up: slots(&recovery.made_up),
        in_time: slots(&recovery.in_time),
        passed_over: if recovery.halts { 0 } else { recovery.passed_over() },
        halts: recovery.halts,
        why: recovery.silence.clone(),
    }
}
