//! Threads for work that may take long.

use std::time::Duration;

use async_trait::async_trait;

use crate::duration::Span;

/// Threads for what may take long, apart from those that look after runs.
#[async_trait]
pub trait BlockingPool: Send + Sync {
    /// Does a piece of work, and returns when it is done.
    ///
    /// # Errors
    /// [`PoolError`] when it is not done, or not in time.
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError>;

    /// The same for work that has a limit of its own, which may be longer than that of other work.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    async fn run_within(&self, limit: Duration, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        let _ = limit;
        self.run(work).await
    }

    /// Reads files that jobs name. They may be on a file system that hangs, so a pool of few threads has others for this.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    async fn read(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        self.run(work).await
    }
}

/// Why a piece of work was not done. Reads on after what names the work: `rendering took longer than 1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It was given up after so long, the wait for its turn included.
    #[error("took longer than {0}")]
    TimedOut(Span),
    /// It panicked.
    #[error("panicked")]
    Panicked,
    /// The process ends.
    #[error("was stopped")]
    Stopped,
}

/// Does everything at once, on the thread that asks.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce;

#[async_trait]
impl BlockingPool for AtOnce {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        work();
        Ok(())
    }
}
