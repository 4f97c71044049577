//! A warning about a second in which too many starts come together.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use chrono::TimeDelta;

use super::survey::Surveyed;
use crate::Timestamp;
use crate::clock::{Entry, JobSchedule, PlannedEntry, Slot, utc};
use crate::problem::{JsonPath, Problem};
use crate::text::escaped;

/// Most starts in one second without a warning.
const MAX_TOGETHER: usize = 50;
/// How far ahead starts are counted.
const AHEAD: TimeDelta = TimeDelta::days(366);
/// About how many starts are counted in all.
const MAX_COUNTED: usize = 60_000;
/// The least that are counted of an entry: so one that starts each second leaves the others theirs.
const MIN_OF_ONE: usize = 30;
/// Most jobs of a busy second that are named.
const MAX_NAMED: usize = 3;

/// The next start of an entry, the earliest first.
struct Coming {
    at: Timestamp,
    slot: Slot,
    /// The place of its entry among all.
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

/// An entry whose starts are counted.
struct Counted<'a> {
    /// The place of its job.
    job: usize,
    /// The first entry of the job that gives its runs the same: a slot of both is one run.
    same_as: usize,
    planned: &'a PlannedEntry,
    entry: Entry,
}

/// A warning about the first second in which too many starts come together, at the first job of it that was given. It looks
/// at the starts of a year in their order, and of each entry at no more than its part of [`MAX_COUNTED`]: at the whole year of
/// one that starts rarely.
pub(super) fn busy_second(
    jobs: &[Surveyed<'_>],
    plans: &[(usize, JobSchedule)],
    now: Timestamp,
) -> Option<(usize, Problem)> {
    let mut entries = Vec::new();
    for (job, plan) in plans.iter().filter(|(_, plan)| plan.enabled) {
        let usable: Vec<&PlannedEntry> = plan.entries.iter().flatten().collect();
        for (place, planned) in usable.iter().copied().enumerate() {
            let same = usable[..place].iter().position(|earlier| earlier.gives_the_same(planned));
            let same_as = same.unwrap_or(place);
            entries.push(Counted { job: *job, same_as, planned, entry: planned.entry(now) });
        }
    }
    // An entry has one start in a second.
    if entries.len() > MAX_TOGETHER { busy_within(jobs, &entries, now) } else { None }
}

fn busy_within(jobs: &[Surveyed<'_>], entries: &[Counted<'_>], now: Timestamp) -> Option<(usize, Problem)> {
    let mut heap = BinaryHeap::new();
    let mut left = vec![(MAX_COUNTED / entries.len()).max(MIN_OF_ONE); entries.len()];
    let mut come = |place: usize, after: Timestamp| {
        left[place] = left[place].checked_sub(1)?;
        let Counted { planned, entry, .. } = &entries[place];
        let slot = entry.next(after)?;
        let at = planned.start_of(slot.at);
        (at <= now + AHEAD).then_some(Reverse(Coming { at, slot, place }))
    };
    heap.extend((0..entries.len()).filter_map(|place| come(place, now)));
    let mut together: HashMap<usize, usize> = HashMap::new();
    let mut runs = HashSet::new();
    let mut second = now;
    loop {
        let next = heap.pop();
        let at = next.as_ref().map(|Reverse(coming)| coming.at);
        if at != Some(second) {
            if runs.len() > MAX_TOGETHER
                && let Some(told) = too_many(jobs, &together, second, runs.len())
            {
                return Some(told);
            }
            together.clear();
            runs.clear();
        }
        let Reverse(coming) = next?;
        let Counted { job, same_as, .. } = entries[coming.place];
        second = coming.at;
        if runs.insert((job, same_as, coming.slot.at)) {
            *together.entry(job).or_insert(0) += 1;
        }
        heap.extend(come(coming.place, coming.slot.at));
    }
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
    let warning = Problem::warning("busy-second", JsonPath::root().field("schedule"), message);
    Some((first, warning.with_hint("`jitter: 5m` spreads them")))
}
