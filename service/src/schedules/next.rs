//! `schedules next`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono_tz::Tz;
use pumice_core::clock::{PlannedEntry, Slot as ClockSlot, Standing, Upcoming, local, standings, utc};
use pumice_core::ids::JobId;
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::{later, stands_still};
use super::{Scheduled, UnreadJob, Which, find};
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::{Instant, Slot};

/// How many slots are shown, where nothing else is said.
const SHOWN: usize = 10;
/// Most slots that are shown.
pub const MAX_SHOWN: usize = 10_000;

/// Which slots to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NextStarts {
    /// Only this job, by id or pattern: `*` any text, `?` one character.
    #[serde(default)]
    pub job: Option<String>,
    /// At most so many, from 1 to 10,000; without it 10, or all up to `to`.
    #[serde(default)]
    pub number: Option<usize>,
    /// The slots that the entries name from this time on, whatever their state is; without it those that are started
    /// from now on.
    #[serde(default)]
    pub from: Option<Instant>,
    /// Only up to this time.
    #[serde(default)]
    pub to: Option<Instant>,
    /// Local times in this zone instead of the entry's.
    #[serde(default)]
    pub zone: Option<Timezone>,
}

impl NextStarts {
    fn limit(&self) -> usize {
        self.number.unwrap_or(if self.to.is_some() { MAX_SHOWN } else { SHOWN })
    }
}

/// Slots in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpcomingStarts {
    /// The slots.
    pub slots: Vec<UpcomingSlot>,
    /// The entries that start nothing now.
    pub silent: Vec<SilentEntry>,
    /// Whether there are more slots than may be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The jobs that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadJob>,
    /// Why nothing is started now, where the whole realm stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpcomingSlot {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The place of its entry in the schedule, from 0.
    pub entry: usize,
    /// The slot.
    pub slot: Slot,
    /// When its run starts, where that is later than the slot by the jitter of its entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Slot>,
    /// The slot in the zone.
    pub local: String,
    /// The zone.
    pub zone: String,
    /// Notes.
    pub notes: Vec<String>,
}

/// An entry that starts nothing now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilentEntry {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// Its state.
    pub state: String,
    /// Why.
    pub why: Option<String>,
}

/// The slots of an entry.
struct Row<'a> {
    job: &'a Scheduled,
    standing: Standing<'a>,
    slots: Upcoming,
}

/// Shows the next slots of all entries, in the order of time.
///
/// # Errors
/// [`Error`] when `to` is before `from`, no job is as asked, or the store cannot be read.
pub async fn next(realm: &dyn Realm, asked: &NextStarts) -> Result<UpcomingStarts, Error> {
    if let (Some(from), Some(to)) = (asked.from, asked.to)
        && to < from
    {
        return Err(Error::invalid(format!("to {} is before from {}", utc(to.0), utc(from.0))));
    }
    if asked.number.is_some_and(|number| !(1..=MAX_SHOWN).contains(&number)) {
        return Err(Error::invalid(format!(
            "{} slots: from 1 to {MAX_SHOWN} can be shown",
            asked.number.unwrap_or_default()
        )));
    }
    let which = asked.job.as_deref().map_or(Which::Matching(None), Which::Named);
    let found = find(realm, which).await?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for job in &found.scheduled {
        for standing in standings(&job.plan, &job.timetable, found.now) {
            let slots = match asked.from {
                Some(from) => standing.named_after(from.0 - chrono::TimeDelta::microseconds(1)),
                None => standing.upcoming(found.now),
            };
            rows.push(Row { job, standing, slots });
        }
    }
    let (slots, cut) = merged(&mut rows, asked);
    let silent = rows.iter().filter(|row| row.standing.silence().is_some()).map(|row| SilentEntry {
        job_id: row.job.job_id.clone(),
        entry: row.standing.entry,
        state: row.standing.word().to_owned(),
        why: row.standing.silence(),
    });
    let note = stands_still(realm).await?;
    let is_still = note.is_some();
    let slots = slots.iter().map(|(row, slot)| upcoming(&rows[*row], slot, asked, is_still)).collect();
    Ok(UpcomingStarts { slots, silent: silent.collect(), cut, unread: found.unread(), note })
}

fn upcoming(row: &Row<'_>, slot: &ClockSlot, asked: &NextStarts, is_still: bool) -> UpcomingSlot {
    let zone = zone_of(row, asked);
    UpcomingSlot {
        job_id: row.job.job_id.clone(),
        entry: row.standing.entry,
        slot: Slot(slot.at),
        starts: later(&row.standing, slot.at),
        local: local(slot.at, zone),
        zone: zone.name().to_owned(),
        notes: all_notes(row, slot, asked, is_still),
    }
}

/// The slots of a job that changes of the clock and calendars touch, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TouchedSlots {
    /// The slots, with what is done to them as notes.
    pub slots: Vec<UpcomingSlot>,
    /// Up to when slots were looked at, where there are too many to look at all.
    pub looked_to: Option<Instant>,
}

/// Shows the slots of a job from one time to another that a change of the clock or its calendars touch, whatever the state of
/// its entries is.
///
/// # Errors
/// [`Error`] when there is no such job, or the store cannot be read.
pub async fn touched(
    realm: &dyn Realm,
    job: &str,
    from: Instant,
    to: Instant,
) -> Result<TouchedSlots, Error> {
    let found = find(realm, Which::Named(job)).await?;
    let asked = NextStarts { from: Some(from), to: Some(to), ..NextStarts::default() };
    let (mut slots, mut looked_to) = (Vec::new(), None);
    for job in &found.scheduled {
        for standing in standings(&job.plan, &job.timetable, found.now) {
            let touched = standing.touched(from.0, to.0);
            looked_to = looked_to.into_iter().chain(touched.looked_to).min();
            let row = Row { job, slots: standing.named_after(to.0), standing };
            slots.extend(touched.slots.iter().map(|slot| UpcomingSlot {
                notes: row.standing.changes(slot),
                ..upcoming(&row, slot, &asked, false)
            }));
        }
    }
    slots.sort_by_key(|slot: &UpcomingSlot| slot.slot);
    if let Some(end) = looked_to {
        slots.retain(|slot| slot.slot.0 <= end);
    }
    Ok(TouchedSlots { slots, looked_to: looked_to.map(Instant) })
}

/// The slots of all entries in the order of time, and whether there are more than may be shown.
fn merged(rows: &mut [Row<'_>], asked: &NextStarts) -> (Vec<(usize, ClockSlot)>, bool) {
    let number = asked.limit();
    let mut heap = BinaryHeap::new();
    let mut pending: Vec<Option<ClockSlot>> = rows.iter_mut().map(|row| row.slots.next()).collect();
    heap.extend(pending.iter().enumerate().filter_map(|(row, slot)| Some(Reverse((slot.as_ref()?.at, row)))));
    let mut slots = Vec::new();
    while let Some(Reverse((at, row))) = heap.pop() {
        if asked.to.is_some_and(|to| at > to.0) {
            break;
        }
        if slots.len() == number {
            return (slots, number == MAX_SHOWN);
        }
        slots.extend(pending[row].take().map(|slot| (row, slot)));
        pending[row] = rows[row].slots.next();
        heap.extend(pending[row].as_ref().map(|slot| Reverse((slot.at, row))));
    }
    (slots, false)
}

/// Notes about a slot.
fn all_notes(row: &Row<'_>, slot: &ClockSlot, asked: &NextStarts, is_still: bool) -> Vec<String> {
    let mut all = row.standing.notes(slot);
    all.extend(earlier_with(row, slot).map(|earlier| format!("one run with that of entry {earlier}")));
    if asked.from.is_some() {
        // A slot at the very end of a pause is within it.
        let at = row.standing.planned.map_or(slot.at, |planned| planned.start_of(slot.at));
        let before = at - chrono::TimeDelta::microseconds(1);
        all.extend(row.standing.silence_at(before).filter(|_| row.standing.word() != "over"));
    } else if row.standing.overdue.contains(slot) {
        let when = if is_still { "when the realm is resumed" } else { "as soon as a server looks" };
        all.push(format!("overdue: starts {when}"));
    }
    all
}

/// The first entry of the job before one that starts the same run by the same slot.
fn earlier_with(row: &Row<'_>, slot: &ClockSlot) -> Option<usize> {
    let (planned, since) = (row.standing.planned?, row.standing.cursor.since);
    let earlier = row.job.plan.entries.get(..row.standing.entry)?.iter().enumerate();
    let mut earlier = earlier.filter_map(|(place, earlier)| Some((place, earlier.as_ref().ok()?)));
    let names = |earlier: &PlannedEntry| {
        let next = earlier.entry(since).next(slot.at - chrono::TimeDelta::seconds(1));
        // Where an interval without `from` counts from is known of this entry alone.
        let is_known = earlier.spec.every.is_none() || earlier.spec.from.is_some();
        is_known && earlier.gives_the_same(planned) && next.is_some_and(|next| next.at == slot.at)
    };
    earlier.find(|(_, earlier)| names(earlier)).map(|(place, _)| place)
}

fn zone_of(row: &Row<'_>, asked: &NextStarts) -> Tz {
    asked.zone.map_or_else(|| super::zone_of(row.standing.planned), |zone| zone.0)
}
