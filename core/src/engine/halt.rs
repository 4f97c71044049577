//! Notifies the engines of a process that it is to stop, which is not a crash: nothing is counted for it.

use crate::job_type::{Cancel, Stop};

/// Whether a process is to stop. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Halt {
    resting: Cancel,
    stopping: Cancel,
}

impl Halt {
    /// From now on no run and no step begins: jobs of steps rest at their next one, and attempts under way may end.
    pub fn rest(&self) {
        self.resting.stop(Stop::Halted);
    }

    /// From now on nothing may go on: attempts under way are stopped, and are made again elsewhere.
    pub fn stop(&self) {
        self.rest();
        self.stopping.stop(Stop::Halted);
    }

    /// Whether nothing may begin any more.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting.is_stopped().is_some()
    }

    /// Whether nothing may go on.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_stopped().is_some()
    }

    /// Returns when nothing may begin any more.
    pub async fn rested(&self) {
        self.resting.stopped().await;
    }

    /// Returns when nothing may go on.
    pub async fn stopped(&self) -> Stop {
        self.stopping.stopped().await
    }
}
