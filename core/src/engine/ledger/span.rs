//! The end of a run for tracing: one event, from which a span can be made.

use crate::Timestamp;
use crate::run::Run;

/// The target of the events.
pub(in crate::engine) const TARGET: &str = "pumice::span";

/// Emits an event for a run that has just ended, where anything listens. Times are in microseconds since 1970.
pub(super) fn tell_end(before: &Run, after: &Run) {
    if before.status.is_end()
        || !after.status.is_end()
        || !tracing::enabled!(target: TARGET, tracing::Level::TRACE)
    {
        return;
    }
    let micros = |at: Timestamp| at.timestamp_micros();
    let end = after.ts_end.unwrap_or(after.ts_dispatch);
    tracing::trace!(
        target: TARGET,
        key = %after.key,
        run_id = %after.run_id,
        job_id = %after.job_id,
        job_type = after.job_type,
        worker = %after.worker,
        status = %after.status,
        attempt = after.attempt,
        dispatched = micros(after.ts_dispatch),
        start = micros(after.ts_start.unwrap_or(end)),
        end = micros(end),
        started_by = after.dispatched_by.as_ref().map(tracing::field::display),
        reason = after.reason,
        "span"
    );
}
