//! The line for a job's lock: whoever leaves it, or gives the lock up, calls the next one.

use super::apply::ApplyError;
use super::dispatch::Dispatcher;
use crate::ids::RunKey;
use crate::run::{IllegalTransition, Input, Run, calls_next};

/// Most runs that are called at one time, because those before them ended meanwhile.
const MAX_CALLED: usize = 5;

impl Dispatcher {
    /// Tells the next run in line for a job's lock that it is free. One that is not told looks by itself.
    pub(super) async fn call_next(&self, run: &Run) {
        if !calls_next(run, self.now()) {
            return;
        }
        for _ in 0..MAX_CALLED {
            let next = match self.site().ports.runs.next_in_line(&run.job_id).await {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(job_id = %run.job_id, %error, "the next run in line was not told");
                    return;
                }
            };
            match self.apply(next, Input::Freed).await {
                // It left the line without being called, and so calls nobody.
                Err(ApplyError::Illegal(IllegalTransition::Ended, _) | ApplyError::Removed(_)) => {}
                // It may have been told, or have looked, in the meantime.
                _ => return,
            }
        }
    }

    /// Looks whether the run that was in the way of one which now stands in line is done: it may have
    /// looked for the next one just before this one was there. Gives the record as it then stands.
    pub(super) async fn look_back(&self, held: Run, by: &RunKey) -> Run {
        match self.site().ports.runs.peek(by).await {
            Ok(Some(other)) if !other.is_done() => held,
            Ok(_) => match self.apply(held.clone(), Input::Freed).await {
                Ok(called) => called,
                // Others have told it, or it has looked.
                Err(_) => held,
            },
            Err(error) => {
                tracing::warn!(job_id = %held.job_id, %error, "a run in line looks later");
                held
            }
        }
    }
}
