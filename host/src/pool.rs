//! Threads for what may take long.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::duration::Span;
use pumice_core::ports::{BlockingPool, PoolError};
use tokio::sync::Semaphore;

/// How many pieces of work may be under way at once, for each processor.
const PER_CPU: usize = 2;
/// How long a piece may take, the wait for its turn included. Each has bounds of its own that are far below.
const LONGEST: Duration = Duration::from_secs(60);

/// How many files may be read at once, for each processor: more than pieces of work, since reads mostly wait.
const READS_PER_CPU: usize = 16;

/// Work on the runtime's blocking threads: so many pieces at once, each within a time. Reads of files have turns of their
/// own, so that a file system that hangs holds up reads alone.
#[derive(Clone, Debug)]
pub struct ThreadPool {
    turns: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Default for ThreadPool {
    fn default() -> Self {
        let cpus = available_parallelism().map_or(1, std::num::NonZero::get);
        let turns = |each| Arc::new(Semaphore::new(cpus * each));
        Self { turns: turns(PER_CPU), reads: turns(READS_PER_CPU) }
    }
}

#[async_trait]
impl BlockingPool for ThreadPool {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        run(self.turns.clone(), LONGEST, work).await
    }

    async fn run_within(&self, limit: Duration, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        run(self.turns.clone(), limit, work).await
    }

    async fn read(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        run(self.reads.clone(), LONGEST, work).await
    }
}

async fn run(
    turns: Arc<Semaphore>,
    limit: Duration,
    work: Box<dyn FnOnce() + Send>,
) -> Result<(), PoolError> {
    let done = async move {
        // The pool is never closed. A piece that is given up keeps its turn until it ends.
        let turn = turns.acquire_owned().await.map_err(|_| PoolError::Stopped)?;
        let working = tokio::task::spawn_blocking(move || {
            work();
            drop(turn);
        });
        working.await.map_err(|error| if error.is_panic() { PoolError::Panicked } else { PoolError::Stopped })
    };
    tokio::time::timeout(limit, done).await.unwrap_or(Err(PoolError::TimedOut(Span::from(limit))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn work_that_waits_holds_up_nothing_but_its_own_turn() {
        let pool = ThreadPool::default();
        let (go, wait) = mpsc::channel::<()>();
        let waiting = pool.run(Box::new(move || {
            let _ = wait.recv();
        }));
        let mut waiting = std::pin::pin!(waiting);
        let other = pool.run(Box::new(|| {}));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("it waits"),
            other = other => assert_eq!(other, Ok(())),
        }
        go.send(()).expect("it waits");
        assert_eq!(waiting.await, Ok(()));
        assert_eq!(pool.run(Box::new(|| panic!("oh"))).await, Err(PoolError::Panicked));
    }

    #[tokio::test]
    async fn reads_that_hang_leave_turns_for_other_work() {
        let pool = ThreadPool::default();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let hanging = (0..pool.reads.available_permits()).map(|_| {
            let wait = wait.clone();
            pool.read(Box::new(move || drop(wait.lock().map(|wait| wait.recv()))))
        });
        let mut hanging: Vec<_> = hanging.collect();
        for read in &mut hanging {
            let first = std::future::poll_fn(|task| std::task::Poll::Ready(read.as_mut().poll(task))).await;
            assert!(first.is_pending());
        }
        assert_eq!(pool.reads.available_permits(), 0);
        assert_eq!(pool.run(Box::new(|| {})).await, Ok(()));
        drop(go);
        for read in hanging {
            assert_eq!(read.await, Ok(()));
        }
    }
}
