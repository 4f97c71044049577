//! How far, how deep and how long the engine goes.

use crate::duration::Span;

/// Most jobs that one chain, dag, foreach or dispatch names.
pub const MAX_STEPS: usize = 10_000;

/// How long after the end of an invocation its claims still hold, for clocks that differ.
pub const LEASE_MARGIN: Span = Span::from_secs(60);

/// How a worker runs what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a claim holds unless it is extended.
    pub lease: Span,
    /// How often a running attempt looks whether it was cancelled, and extends its claim.
    pub watch: Span,
    /// How long an attempt may go on after it was stopped.
    pub grace: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lease: Span::from_mins(5), watch: Span::from_secs(1), grace: Span::from_secs(10) }
    }
}
