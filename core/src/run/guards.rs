//! Conditions on a record for an input to fit.

use super::input::IllegalTransition;
use super::look::is_early;
use super::record::Run;
use super::status::Status;
use super::worker::Worker;
use crate::Timestamp;

/// Whether no worker holds the run.
pub(super) fn not_held(run: &Run, now: Timestamp) -> Result<(), IllegalTransition> {
    match &run.lease {
        Some(lease) if now < lease.until => Err(IllegalTransition::Held),
        _ => Ok(()),
    }
}

/// Whether no worker holds the run and no duties of an attempt that has ended are left.
pub(super) fn without_duties(run: &Run, now: Timestamp) -> Result<(), IllegalTransition> {
    not_held(run, now)?;
    not_ended(run)?;
    if run.duties.is_some() { Err(IllegalTransition::Held) } else { Ok(()) }
}

/// Whether an attempt may begin: the record may have changed between the look and the write of the claim.
pub(super) fn startable(run: &Run, now: Timestamp) -> Result<(), IllegalTransition> {
    without_duties(run, now)?;
    if is_early(run, now) { Err(IllegalTransition::Early) } else { Ok(()) }
}

/// Whether the run has not ended.
pub(super) fn not_ended(run: &Run) -> Result<(), IllegalTransition> {
    if run.status.is_end() { Err(IllegalTransition::Ended) } else { Ok(()) }
}

/// Whether this worker has the run, by the claim of this epoch.
pub(super) fn held(run: &Run, worker: &Worker, epoch: u64) -> Result<(), IllegalTransition> {
    if run.is_held(worker, epoch) { Ok(()) } else { Err(IllegalTransition::Fenced) }
}

/// Whether this worker has the run, and its attempt is under way.
pub(super) fn running(run: &Run, worker: &Worker, epoch: u64) -> Result<(), IllegalTransition> {
    held(run, worker, epoch)?;
    if run.status == Status::Running { Ok(()) } else { Err(IllegalTransition::Fenced) }
}

/// Whether a run that may start has never begun, here or with lava.
pub(super) fn unbegun(run: &Run, now: Timestamp) -> Result<(), IllegalTransition> {
    startable(run, now)?;
    let has_begun = run.ts_start.is_some() || run.lease.is_some() || run.handed_over.is_some();
    if has_begun { Err(IllegalTransition::Nothing) } else { Ok(()) }
}
