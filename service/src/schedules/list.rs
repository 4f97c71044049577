//! `schedules list`.

use pumice_core::Timestamp;
use pumice_core::clock::{LimitKind, Standing, State, limits_in_words, standings, starts_in_words};
use pumice_core::ids::JobId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scheduled, Which, find};
use crate::failure::Error;
use crate::listed::{Jobs, asked};
use crate::realm::Realm;
use crate::time::Slot;

/// Whose entries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSchedules {
    /// Only jobs whose id matches: `*` any text, `?` one character.
    #[serde(default)]
    pub job: Option<String>,
    /// Only the entries of jobs that these terms mean: `job:`, `worker:`, `type:`, `tag:`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// The entries of schedules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleList {
    /// The entries by job, then the jobs that cannot be read.
    pub schedules: Vec<ScheduleRow>,
    /// How many jobs are listed.
    #[serde(default)]
    pub jobs: usize,
    /// How many jobs of the realm have schedules.
    #[serde(default)]
    pub all: usize,
    /// Why nothing is started now, where the whole realm stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScheduleRow {
    /// An entry.
    Entry(Box<EntryStanding>),
    /// A job that cannot be read.
    Unread(UnreadRow),
}

impl ScheduleRow {
    /// The job.
    #[must_use]
    pub fn job(&self) -> &JobId {
        match self {
            Self::Entry(entry) => &entry.job_id,
            Self::Unread(unread) => &unread.job_id,
        }
    }
}

/// A job that cannot be read, so that nothing starts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadRow {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Always `null`.
    pub entry: (),
    /// Always `broken`.
    pub state: String,
    /// Why.
    pub trouble: String,
}

/// An entry as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryStanding {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// Its meaning in words; `null` where it cannot be used.
    pub what: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Its state: `active`, `paused`, `halted`, `disabled`, `over`, `reboot`, `broken`.
    pub state: String,
    /// The next slot that is started.
    pub next: Option<Slot>,
    /// When the run of that slot starts, where the entry's jitter makes that later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Slot>,
    /// The last slot that was started or passed over.
    pub last: Option<Slot>,
    /// How many slots are due and wait for a server.
    pub overdue: usize,
    /// How many runs it has started.
    pub started: u32,
    /// Why it cannot be used, or why its last start was refused.
    pub trouble: Option<String>,
    /// Its broken limits, as they were judged last.
    pub late: Vec<LateEntry>,
    /// Its pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseShown>,
    /// Why it starts nothing now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<String>,
}

/// A limit that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LateEntry {
    /// Which.
    pub limit: LimitKind,
    /// The slot at which it was broken.
    pub slot: Option<Slot>,
    /// When it was up.
    pub by: Slot,
}

/// The pause of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseShown {
    /// Until when; `null` until it is resumed.
    pub until: Option<Slot>,
    /// The actor that paused it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Lists the entries of schedules.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListSchedules) -> Result<ScheduleList, Error> {
    let meant = asked::<Jobs>(realm, request.filter.as_deref(), None).await?;
    let found = find(realm, Which::Meant(request.job.as_deref(), &meant)).await?;
    let mut schedules = Vec::new();
    for one in &found.scheduled {
        let standings = standings(&one.plan, &one.timetable, found.now);
        let entry = |standing| ScheduleRow::Entry(Box::new(entry_standing(one, &standing)));
        schedules.extend(standings.into_iter().map(entry));
    }
    schedules.extend(found.unread().into_iter().map(|unread| {
        ScheduleRow::Unread(UnreadRow {
            job_id: unread.job_id,
            entry: (),
            state: "broken".to_owned(),
            trouble: unread.trouble,
        })
    }));
    let note = stands_still(realm).await?;
    Ok(ScheduleList { schedules, jobs: found.scheduled.len() + found.unread.len(), all: found.all, note })
}

/// The note about a realm that stands still, as one that was restored does.
pub(super) async fn stands_still(realm: &dyn Realm) -> Result<Option<String>, Error> {
    let pauses = realm.runs().pauses().await?;
    let note = "the realm stands still: schedules start nothing until `pumice maintenance off`";
    Ok(pauses.stands_still(realm.now()).map(|_| note.to_owned()))
}

/// When the run of a slot starts, where that is later by the entry's jitter.
pub(super) fn later(standing: &Standing<'_>, slot: Timestamp) -> Option<Slot> {
    let later = standing.later(slot);
    (later > chrono::TimeDelta::zero()).then(|| Slot(slot + later))
}

fn entry_standing(one: &Scheduled, standing: &Standing<'_>) -> EntryStanding {
    let words =
        standing.planned.map(|planned| starts_in_words(&planned.spec) + &limits_in_words(&planned.spec));
    let late = standing.cursor.watch.broken.iter().map(|broken| LateEntry {
        limit: broken.limit,
        slot: broken.slot.map(Slot),
        by: Slot(broken.by),
    });
    let paused = match &standing.cursor.state {
        State::Paused { until, by, why } => {
            Some(PauseShown { until: until.map(Slot), by: by.clone(), why: why.clone() })
        }
        _ => None,
    };
    let next = standing.next_slot();
    EntryStanding {
        job_id: one.job_id.clone(),
        entry: standing.entry,
        what: words,
        zone: standing.planned.map(|planned| planned.zone.name().to_owned()),
        state: standing.word().to_owned(),
        starts: next.and_then(|slot| later(standing, slot)),
        next: next.map(Slot),
        last: standing.last.map(Slot),
        overdue: standing.overdue.len(),
        started: standing.started,
        trouble: standing.trouble.clone(),
        late: late.collect(),
        paused,
        silence: standing.silence(),
    }
}
