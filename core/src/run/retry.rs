//! The attempt after one that failed.

use super::record::Run;
use crate::duration::Span;
use crate::request::MAX_DELAY;
use crate::spec::RetryBackoff;

/// Makes the record that of the next attempt, which looks everything up anew.
pub(super) fn begin_next(next: &mut Run) {
    next.attempt += 1;
    next.lease = None;
    next.set_rendered(None);
    next.ts_attempt = None;
}

/// The delay before the attempt after this one.
pub(super) fn retry_delay(run: &Run, jitter: f64) -> Span {
    match run.retry.backoff {
        RetryBackoff::Fixed => run.retry.delay,
        RetryBackoff::Exponential => {
            let most = run.retry.delay.get().saturating_mul(1 << (run.attempt - 1).min(20));
            Span::from(most.min(MAX_DELAY.get()).mul_f64(jitter.clamp(0.0, 1.0)))
        }
    }
}
