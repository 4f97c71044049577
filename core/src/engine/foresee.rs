//! Requests that are looked at before anything is made: what each would make, and whose key is taken.

use std::collections::HashMap;

use super::answer::{Accepted, Foreseen, answer, keyed, taken_by};
use super::dispatch::{Dispatcher, Prepared, PreparedBatch};
use super::fresh::keyed_run;
use crate::ids::{RunId, RunKey};
use crate::job_type::DispatchError;
use crate::ports::{Created, StoreError};
use crate::request::DispatchRequest;
use crate::run::{Keyed, Run};

impl Dispatcher {
    /// The runs that requests which were prepared would make: nothing is recorded or sent. The outcomes are in the order of
    /// the requests. `seen` has the keys of those that were foreseen before.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn foresee(
        &self,
        prepared: PreparedBatch,
        seen: &mut HashMap<RunId, Keyed>,
    ) -> Result<Vec<Result<Foreseen, DispatchError>>, StoreError> {
        let PreparedBatch { runs, refused } = prepared;
        let mut runs = runs.into_iter();
        let mut outcomes = Vec::with_capacity(refused.len());
        for refused in refused {
            let Prepared { new, warning, .. } = match refused {
                Some(error) => {
                    outcomes.push(Err(error));
                    continue;
                }
                None => runs.next().ok_or_else(|| StoreError::corrupt("a prepared run is missing"))?,
            };
            let run = new.run;
            let stored = match &run.keyed {
                Some(_) => self.site().ports.runs.peek(&run.key).await?,
                None => None,
            };
            let is_stored = stored.is_some();
            let before =
                || seen.get(&run.run_id).map(|keyed| Run { keyed: Some(keyed.clone()), ..run.clone() });
            let existing = stored.or_else(before).map(Box::new);
            let answer = answer(&run, Created { existing, ..Created::default() });
            if let Some(keyed) = run.keyed.clone() {
                seen.entry(run.run_id).or_insert(keyed);
            }
            outcomes.push(answer.map(|Accepted { run_id, existing, .. }| Foreseen {
                job_id: run.job_id.clone(),
                worker: run.worker.clone(),
                at: run.not_before,
                is_enabled: !run.status.is_end(),
                existing,
                run_id: is_stored.then_some(run_id),
                warning,
            }));
        }
        Ok(outcomes)
    }

    /// Why a request with an idempotency key would be refused for another that has the key; `None` where it would not.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn key_taken(&self, request: &DispatchRequest) -> Result<Option<DispatchError>, StoreError> {
        let Some(keyed) = keyed(request) else { return Ok(None) };
        let run_id = keyed_run(&self.site().realm, &request.job_id, &keyed.key);
        let existing = self.site().ports.runs.peek(&RunKey::root(run_id)).await?;
        Ok(existing.and_then(|existing| taken_by(&existing, Some(&keyed), &request.job_id)))
    }
}
