//! Warnings about dead-man limits of schedules: valid but probably unintended.

use chrono::TimeDelta;

use crate::Timestamp;
use crate::clock::{PlannedEntry, utc};
use crate::problem::{JsonPath, Problem};
use crate::spec::{ActionsWhen, JobSpec, Limit, RealmSpec};

/// How many slots ahead limits are compared.
const AHEAD: usize = 50;

/// Warnings about the limits of an entry that stands at a path.
pub(super) fn advise_limits(
    job: &JobSpec,
    realm: &RealmSpec,
    planned: &PlannedEntry,
    path: &JsonPath,
    now: Timestamp,
) -> Vec<Problem> {
    let spec = &planned.spec;
    let names = [
        (spec.must_start.is_some(), "must_start"),
        (spec.finish_by.is_some(), "finish_by"),
        (spec.max_silence.is_some(), "max_silence"),
        (spec.pause_after.is_some(), "pause_after"),
    ];
    let given: Vec<&str> = names.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect();
    if given.is_empty() {
        return Vec::new();
    }
    let mut advice = Vec::new();
    let given = given.join(", ");
    let has_actions = !job.actions().or(&realm.actions(), ActionsWhen::OnLate).is_empty();
    if !has_actions {
        let message = format!("{given}: neither the job nor its realm has on_late actions");
        let warning = Problem::warning("only-logged", path.clone(), message);
        advice.push(warning.with_hint("what is broken is only logged and listed"));
    }
    let slots: Vec<Timestamp> = planned.entry(now).slots(now).take(AHEAD).map(|slot| slot.at).collect();
    advice.extend(limit_order(planned, &slots, path));
    advice.extend(short_silence(planned, &slots, path));
    advice
}

/// A warning about a run that must have ended before it must have begun, or before it is meant to begin.
fn limit_order(planned: &PlannedEntry, slots: &[Timestamp], path: &JsonPath) -> Option<Problem> {
    let by = |limit: Option<Limit>, slot: Timestamp| limit?.by(slot, planned.start_of(slot), planned.zone);
    slots.iter().find_map(|slot| {
        let (start, end) = (by(planned.spec.must_start, *slot), by(planned.spec.finish_by, *slot));
        let meant = planned.start_of(*slot);
        let message = match (start, end) {
            (Some(start), Some(end)) if end < start => {
                format!(
                    "the run of {} must have ended by {}, and begun by {}",
                    utc(*slot),
                    utc(end),
                    utc(start)
                )
            }
            (Some(by), _) | (_, Some(by)) if by <= meant => {
                format!(
                    "the limit of {} is up at {}, and its jitter starts it at {}",
                    utc(*slot),
                    utc(by),
                    utc(meant)
                )
            }
            _ => return None,
        };
        Some(Problem::warning("limit-order", path.clone(), message))
    })
}

/// A warning about a silence that is shorter than the time between two slots.
fn short_silence(planned: &PlannedEntry, slots: &[Timestamp], path: &JsonPath) -> Option<Problem> {
    let max = planned.spec.max_silence?;
    let gaps = slots.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    let (gap, from): (TimeDelta, Timestamp) =
        gaps.max_by_key(|(gap, from)| (*gap, std::cmp::Reverse(*from)))?;
    (gap > max.delta()).then(|| {
        let gap = crate::duration::Span::from(gap.to_std().unwrap_or_default());
        let message =
            format!("max_silence: {max} is shorter than the {gap} from {} to the next slot", utc(from));
        let warning = Problem::warning("short-silence", path.clone(), message);
        warning.with_hint("it is broken though every run ends well")
    })
}
