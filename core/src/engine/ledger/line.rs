//! The line for a job's lock: a run that leaves it, or frees the lock, wakes the next.

use super::Ledger;
use super::apply::{ApplyError, rest};
use crate::engine::fresh::keyed_run;
use crate::ids::{JobId, RunKey};
use crate::ports::StoreError;
use crate::request::again_key;
use crate::run::{IllegalTransition, Input, Run, StopRequest, calls_next};
use crate::spec::Overlap;

/// Most runs that are called at one time, because those before them ended meanwhile.
const MAX_CALLED: usize = 5;
/// Most runs in line that are looked at to find the newest. More stand there only where most of them wait for good
/// (`overlap: queue`).
const MAX_IN_LINE: usize = 1_000;

impl Ledger {
    /// Asks a run to stop: one that waits never starts, one that runs is stopped.
    ///
    /// # Errors
    /// [`ApplyError`] when it has ended, was asked before, is gone, or the store cannot be reached.
    pub(in crate::engine) async fn cancel(&self, key: &RunKey) -> Result<Run, ApplyError> {
        self.end(key, Input::Cancel).await
    }

    /// The same for a person or a program, whose name the record keeps.
    ///
    /// # Errors
    /// As [`Ledger::cancel`].
    pub(in crate::engine) async fn cancel_for(
        &self,
        key: &RunKey,
        request: StopRequest,
    ) -> Result<Run, ApplyError> {
        self.end(key, Input::Stop(Box::new(request))).await
    }

    async fn end(&self, key: &RunKey, input: Input) -> Result<Run, ApplyError> {
        let run = self.site().ports.runs.peek(key).await?.ok_or_else(|| ApplyError::Gone(key.clone()))?;
        let cancelled = self.apply(run, input).await.map_err(|error| match error {
            ApplyError::Removed(run) => ApplyError::Gone(run.key),
            error => error,
        })?;
        self.call_next(&cancelled).await;
        Ok(cancelled)
    }

    /// Asks a run to stop that is no longer wanted. Gives whether it was asked now: not one that has ended, was asked
    /// before or has no record.
    ///
    /// # Errors
    /// [`ApplyError`] when that could not be recorded: the run may go on.
    pub(in crate::engine) async fn stop(&self, key: &RunKey) -> Result<bool, ApplyError> {
        match self.cancel(key).await {
            Ok(_) => Ok(true),
            Err(ApplyError::Gone(_) | ApplyError::Removed(_) | ApplyError::Illegal(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Cancels the run that a job has under the key of a start by the clock, where it has not begun. Those of this key that were
    /// withdrawn before have others after them.
    pub(in crate::engine) async fn withdraw(&self, job_id: &JobId, key: &str) -> Result<(), StoreError> {
        for again in 0.. {
            let run = RunKey::root(keyed_run(&self.site().realm, job_id, &again_key(key, again)));
            match self.stop(&run).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(error.into()),
            }
            let found = self.site().ports.runs.peek(&run).await?;
            if !found.is_some_and(|run| run.was_withdrawn()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Notifies the next run in line for a job's lock that it is free. A run that is not notified looks by itself.
    pub(in crate::engine) async fn call_next(&self, run: &Run) {
        if calls_next(run, self.now()) {
            // Boxed: each run that ends carries this about, and few call another.
            Box::pin(self.call_line(&run.job_id)).await;
        }
    }

    /// Notifies the next run in line for the lock of a job, which may be free.
    pub(in crate::engine) async fn call_line(&self, job_id: &JobId) {
        for _ in 0..MAX_CALLED {
            let next = match self.next_in_line(job_id).await {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%job_id, %error, "the next run in line was not notified");
                    return;
                }
            };
            match self.apply(next, Input::Freed).await {
                // It left the line without being called, and so calls no other.
                Err(ApplyError::Illegal(IllegalTransition::Ended, _) | ApplyError::Removed(_)) => {}
                // It may have been notified, or have looked, in the meantime.
                Ok(_) | Err(ApplyError::Illegal(..)) => return,
                Err(error) => {
                    tracing::warn!(%job_id, %error, "the next run in line was not notified");
                    return;
                }
            }
        }
    }

    /// The next run for the lock: the longest waiting run, or the newest where that one makes way for newer ones.
    async fn next_in_line(&self, job_id: &JobId) -> Result<Option<Run>, StoreError> {
        let first = self.site().ports.runs.in_line(job_id, 1).await?.pop();
        match first {
            Some(first) if first.overlap.newest_wins() => self.newest(first).await.map(Some),
            first => Ok(first),
        }
    }

    /// The newest of a run and those that are in line with it and make way for newer ones. The others are passed over.
    async fn newest(&self, run: Run) -> Result<Run, StoreError> {
        let mut line = self.site().ports.runs.in_line(&run.job_id, MAX_IN_LINE).await?;
        line.retain(|other| other.overlap.newest_wins() && other.key != run.key);
        let mut newest = run;
        for other in line {
            let older = if other.came_after(&newest) { std::mem::replace(&mut newest, other) } else { other };
            self.pass_over(older, &newest).await;
        }
        Ok(newest)
    }

    /// Leaves out a run for a newer one. Gives its record as it then stands.
    async fn pass_over(&self, older: Run, newer: &Run) -> Run {
        match self.apply(older.clone(), Input::PassOver { by: newer.key.clone() }).await {
            Ok(left) => left,
            // It has started, or has ended.
            Err(ApplyError::Illegal(_, stored)) => *stored,
            Err(error) => {
                tracing::warn!(key = %older.key, %error, "a run is passed over later");
                older
            }
        }
    }

    /// Leaves out a run whose job's lock a newer one has, where it makes way for newer ones. `None` where it may wait.
    pub(in crate::engine) async fn pass_over_for_holder(
        &self,
        run: &Run,
        holder: &RunKey,
    ) -> Result<Option<Run>, StoreError> {
        let holder = self.site().ports.runs.peek(holder).await?;
        let newer = holder.filter(|holder| holder.overlap.newest_wins() && holder.came_after(run));
        let Some(newer) = newer else { return Ok(None) };
        match self.apply(run.clone(), Input::PassOver { by: newer.key.clone() }).await {
            Ok(left) => Ok(Some(left)),
            Err(error) => rest(error).map(Some),
        }
    }

    /// Sees to it that of the runs in line that make way for newer ones the newest alone stays, now that this one has
    /// come; with `cancel_running` the one that has the lock is stopped. Gives the record as it then stands.
    pub(in crate::engine) async fn take_turn(&self, held: Run, holder: &RunKey) -> Run {
        let key = held.key.clone();
        let newest = match self.newest(held.clone()).await {
            Ok(newest) => newest,
            Err(error) => {
                tracing::warn!(job_id = %held.job_id, %error, "a run in line looks for the others later");
                return held;
            }
        };
        if newest.overlap == Overlap::CancelRunning
            && let Err(error) = self.replace(holder, &newest).await
        {
            tracing::warn!(job_id = %held.job_id, %holder, %error, "a run is stopped later for a newer one");
        }
        if newest.key == key {
            return self.look_back(newest, holder).await;
        }
        match self.site().ports.runs.peek(&key).await {
            Ok(Some(stored)) => stored,
            Ok(None) => held,
            Err(error) => {
                tracing::warn!(job_id = %held.job_id, %key, %error, "a run in line was passed over, and its record not read");
                held
            }
        }
    }

    /// Stops the run that has a job's lock for a newer one.
    async fn replace(&self, holder: &RunKey, newer: &Run) -> Result<(), ApplyError> {
        let holder = self.site().ports.runs.peek(holder).await?;
        let Some(older) = holder.filter(|holder| newer.came_after(holder)) else { return Ok(()) };
        match self.apply(older, Input::Replace { by: newer.key.clone() }).await {
            Ok(replaced) => {
                self.call_next(&replaced).await;
                Ok(())
            }
            // It has ended, or was asked before.
            Err(ApplyError::Illegal(..) | ApplyError::Removed(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Leaves out a run that looks again whether it may start, where a newer one stands in line. `None` where it may.
    pub(in crate::engine) async fn pass_over_for_newer(&self, run: &Run) -> Result<Option<Run>, StoreError> {
        if !(run.overlap.newest_wins() && run.is_in_line())
            || Box::pin(self.newest(run.clone())).await?.key == run.key
        {
            return Ok(None);
        }
        let left = self.site().ports.runs.peek(&run.key).await?.unwrap_or_else(|| run.clone());
        // It may have been notified that the lock is free, and no other run was.
        self.call_next(&left).await;
        Ok(Some(left))
    }

    /// Looks whether the run that was in the way of one which now stands in line is done: it may have
    /// looked for the next one just before this one was there. Gives the record as it then stands.
    pub(in crate::engine) async fn look_back(&self, held: Run, by: &RunKey) -> Run {
        match self.site().ports.runs.peek(by).await {
            Ok(Some(other)) if !other.is_done() => held,
            Ok(_) => match self.apply(held.clone(), Input::Freed).await {
                Ok(called) => called,
                // It has been notified by others, or has looked.
                Err(ApplyError::Illegal(..) | ApplyError::Removed(_)) => held,
                Err(error) => {
                    tracing::warn!(job_id = %held.job_id, %error, "a run in line looks later");
                    held
                }
            },
            Err(error) => {
                tracing::warn!(job_id = %held.job_id, %error, "a run in line looks later");
                held
            }
        }
    }
}
