//! An invocation, and a run that it works on.

use super::files::SharedFiles;
use super::lease::Parent;
use crate::Timestamp;
use crate::duration::Span;
use crate::engine::halt::Halt;
use crate::engine::limits::LEASE_MARGIN;
use crate::ports::Workspace;
use crate::run::{Run, Worker};
use crate::spec::{JobSpec, RunSpec};

/// A run that an invocation works on, with all that it takes.
pub(super) struct Task<'a> {
    /// The record as it was seen last.
    pub(super) run: Run,
    /// The spec that the run uses, for good.
    pub(super) spec: &'a RunSpec,
    /// Its job, as the spec has it.
    pub(super) job: &'a JobSpec,
    pub(super) invocation: &'a Invocation,
    /// The parent of a step that runs in its parent's invocation.
    pub(super) parent: Option<Parent<'a>>,
}

/// One invocation: its owner, its time, and its directory.
pub(super) struct Invocation {
    pub(super) owner: Worker,
    pub(super) began: Timestamp,
    pub(super) ends: Option<Timestamp>,
    pub(super) work_dir: Box<dyn Workspace>,
    pub(super) files: SharedFiles,
    pub(super) halt: Halt,
    /// How deep the run that it began with stands below its root.
    pub(super) depth: usize,
}

impl Invocation {
    /// Until when a claim made now holds.
    pub(super) fn lease_until(&self, now: Timestamp, lease: Span) -> Timestamp {
        self.ends.map_or(now + lease.delta(), |ends| ends.max(now) + LEASE_MARGIN.delta())
    }

    /// Whether more than half of the time is over, or the process is to stop: a step that starts now might be cut
    /// off, and would have more time in another invocation.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.halt.is_resting() || self.ends.is_some_and(|ends| ends - now < (ends - self.began) / 2)
    }
}
