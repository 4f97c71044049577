//! A backfill as it is asked for, and what is refused.

use chrono::{SubsecRound, TimeDelta};
use serde_json::json;
use uuid::Uuid;

use super::super::planned::JobSchedule;
use super::super::preview::{standings, utc};
use super::super::timetable::Timetable;
use super::walk::first;
use super::{Backfill, BackfillEntry, MAX_ACTIVE, MAX_SLOTS, Only, Progress};
use crate::Timestamp;
use crate::ids::JobId;
use crate::request::{BadKey, check_key};

/// Namespace of the ids of backfills; never to be changed.
const BACKFILLS: Uuid = Uuid::from_u128(0x7d42_0f6b_91c8_4d5e_a1b7_3c06_e58f_2a94);
/// How far slots are counted that are too many.
const MAX_COUNTED: usize = 10 * MAX_SLOTS;

/// A backfill as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillRequest {
    /// Of this entry of the schedule alone, counted from 0; of all that can be used where `None`.
    pub entry: Option<usize>,
    /// The first time that a slot may have.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// Which slots are started.
    pub only: Only,
    /// How many runs may be under way at the same time, 1 to [`MAX_ACTIVE`].
    pub max_active: u32,
    /// Whether the newest slot comes first.
    pub reverse: bool,
    /// A key that distinguishes it from another one that asks for the same.
    pub key: Option<String>,
    /// The person or program that asks.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Why a backfill is not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The range ends before it begins.
    #[error("the backfill ends at {}, before it begins at {}", utc(*.to), utc(*.from))]
    Backwards {
        /// The beginning.
        from: Timestamp,
        /// The end.
        to: Timestamp,
    },
    /// The range ends in the future.
    #[error("the backfill ends at {}, which is in the future: what is due then the clock starts", utc(*.0))]
    Future(Timestamp),
    /// So many runs at the same time are not allowed.
    #[error("{0} runs at the same time: 1 to {MAX_ACTIVE} are possible")]
    MaxActive(u32),
    /// The key is invalid.
    #[error(transparent)]
    Key(BadKey),
    /// Nothing may start the job.
    #[error("the job is not enabled: nothing starts it")]
    NotEnabled,
    /// The job has no schedule.
    #[error("the job has no schedule, or none that this realm acts on")]
    NoSchedule,
    /// The entry does not exist.
    #[error("there is no entry {entry}: the schedule has {count}, counted from 0")]
    NoEntry {
        /// The entry.
        entry: usize,
        /// How many there are.
        count: usize,
    },
    /// The entry cannot be used.
    #[error("entry {entry} cannot be used: {why}")]
    BadEntry {
        /// The entry.
        entry: usize,
        /// Why.
        why: String,
    },
    /// The entry starts its job on each host.
    #[error("entry {0} has nodes: all, and no record shows which hosts were alive then")]
    AllNodes(usize),
    /// There is nothing to start.
    #[error("no slot lies between {} and {}{}", utc(*.from), utc(*.to), next.map_or_else(String::new, |next| format!(": the first after that is {}", utc(next))))]
    NoSlots {
        /// The beginning.
        from: Timestamp,
        /// The end.
        to: Timestamp,
        /// The first slot that comes after it.
        next: Option<Timestamp>,
    },
    /// There is too much to start.
    #[error("{} slots lie between {} and {}, more than {MAX_SLOTS}: ask for a shorter time", if *.count > MAX_COUNTED { format!("more than {MAX_COUNTED}") } else { count.to_string() }, utc(*.from), utc(*.to))]
    TooMany {
        /// How many there are, as far as they were counted.
        count: usize,
        /// The beginning.
        from: Timestamp,
        /// The end.
        to: Timestamp,
    },
}

impl Backfill {
    /// The record of a backfill that begins now.
    ///
    /// # Errors
    /// [`Refused`] with the reason.
    pub fn begin(
        job_id: JobId,
        plan: &JobSchedule,
        timetable: &Timetable,
        asked: BackfillRequest,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let from = match asked.from.trunc_subsecs(0) {
            whole if whole < asked.from => whole + TimeDelta::seconds(1),
            whole => whole,
        };
        let to = asked.to.trunc_subsecs(0);
        check(&asked, from, to, now)?;
        let all = parts(plan, timetable, &asked, to, now)?;
        let id = id(&job_id, plan, &asked, &all, (from, to));
        // The fingerprint of an entry without slots in the range may change meanwhile.
        let with_slots = |part: &BackfillEntry| {
            let planned = plan.entries.get(part.entry).and_then(|planned| planned.as_ref().ok());
            planned.is_some_and(|planned| first(&planned.entry(part.since), from, part.until).is_some())
        };
        let parts: Vec<BackfillEntry> = all.iter().filter(|part| with_slots(part)).cloned().collect();
        let BackfillRequest { entry, only, max_active, reverse, key, by, why, .. } = asked;
        let mut begun = Self {
            id,
            job_id,
            rev: 1,
            due_at: Some(now),
            progress: Progress::Active,
            entry,
            parts,
            from,
            to,
            only,
            max_active,
            reverse: false,
            others: Vec::new(),
            key,
            by,
            why,
            begun: now,
            ended: None,
            expires: None,
            at: None,
            active: Vec::new(),
            planned: 0,
            skipped: 0,
            completed: 0,
            failed: 0,
            bad: Vec::new(),
        };
        let count = begun.coming(plan).map_or(0, |slots| slots.take(MAX_COUNTED + 1).count());
        if count == 0 {
            let next = |part: &BackfillEntry| {
                let planned = plan.entries.get(part.entry)?.as_ref().ok()?;
                planned.entry(part.since).next(to).map(|slot| slot.at)
            };
            return Err(Refused::NoSlots { from, to, next: all.iter().filter_map(next).min() });
        }
        begun.planned = u32::try_from(count).unwrap_or(u32::MAX);
        begun.reverse = reverse;
        if count > MAX_SLOTS { Err(Refused::TooMany { count, from, to }) } else { Ok(begun) }
    }

    /// Whether another one of the same job asks for the same: of the same entries, by whatever they were chosen.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        // Without a key the id follows from all that is asked for.
        if self.id == other.id && self.key.is_none() && other.key.is_none() {
            return true;
        }
        let told = |one: &Self| (one.from, one.to, one.only, one.reverse);
        let entries = |one: &Self| -> Vec<(usize, String)> {
            one.parts.iter().map(|part| (part.entry, part.fingerprint.clone())).collect()
        };
        let is_of_same = self.entry == other.entry || entries(self) == entries(other);
        self.job_id == other.job_id && told(self) == told(other) && is_of_same
    }
}

fn check(asked: &BackfillRequest, from: Timestamp, to: Timestamp, now: Timestamp) -> Result<(), Refused> {
    if asked.to < asked.from {
        return Err(Refused::Backwards { from: asked.from, to: asked.to });
    }
    if asked.to > now {
        return Err(Refused::Future(asked.to));
    }
    if asked.max_active == 0 || asked.max_active > MAX_ACTIVE {
        return Err(Refused::MaxActive(asked.max_active));
    }
    if let Some(key) = &asked.key {
        check_key(key).map_err(Refused::Key)?;
    }
    // A time of less than a second has no whole second in it.
    if to < from { Err(Refused::NoSlots { from: asked.from, to: asked.to, next: None }) } else { Ok(()) }
}

/// The entries that are asked for. A slot whose start is still to come, because of its jitter, is the clock's.
fn parts(
    plan: &JobSchedule,
    timetable: &Timetable,
    asked: &BackfillRequest,
    to: Timestamp,
    now: Timestamp,
) -> Result<Vec<BackfillEntry>, Refused> {
    let count = plan.entries.len();
    if count == 0 {
        return Err(Refused::NoSchedule);
    }
    if !plan.enabled {
        return Err(Refused::NotEnabled);
    }
    if let Some(entry) = asked.entry.filter(|entry| *entry >= count) {
        return Err(Refused::NoEntry { entry, count });
    }
    let (mut parts, mut bad) = (Vec::new(), None);
    for one in standings(plan, timetable, now) {
        let entry = one.entry;
        if asked.entry.is_some_and(|asked| asked != entry) {
            continue;
        }
        match one.planned {
            Some(planned) if planned.is_for_all_nodes() => bad = bad.or(Some(Refused::AllNodes(entry))),
            Some(planned) => {
                let (fingerprint, given) = (planned.fingerprint.clone(), Some(planned.given.clone()));
                let since = one.cursor.since;
                // Slots from before it was put are never the clock's.
                let until = to.min(planned.begun_by(now).max(since.min(now)));
                parts.push(BackfillEntry { entry, fingerprint, given, since, until });
            }
            None => bad = bad.or(Some(Refused::BadEntry { entry, why: one.trouble.unwrap_or_default() })),
        }
    }
    bad.filter(|_| parts.is_empty()).map_or(Ok(parts), Err)
}

/// The id of a backfill: it follows from the caller's key, else from what is asked for, so that asked for twice it is
/// begun once.
fn id(
    job_id: &JobId,
    plan: &JobSchedule,
    asked: &BackfillRequest,
    parts: &[BackfillEntry],
    (from, to): (Timestamp, Timestamp),
) -> String {
    let told = match &asked.key {
        Some(key) => json!([job_id, key]),
        None => {
            let entries: Vec<String> = parts.iter().map(|part| name(plan, part)).collect();
            json!([job_id, entries, utc(from), utc(to), asked.only, asked.reverse])
        }
    };
    Uuid::new_v5(&BACKFILLS, told.to_string().as_bytes()).simple().to_string()[..16].to_owned()
}

/// The name of an entry among the others: those that are due at the same times are counted.
fn name(plan: &JobSchedule, part: &BackfillEntry) -> String {
    let before = plan.entries.iter().take(part.entry).flatten();
    match before.filter(|planned| planned.fingerprint == part.fingerprint).count() {
        0 => part.fingerprint.clone(),
        twins => format!("{}#{twins}", part.fingerprint),
    }
}
