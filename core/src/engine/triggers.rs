//! From what happened to an object to the runs of the jobs that triggers start for it.

use std::sync::Arc;

use super::answer::Accepted;
use super::dispatch::{Dispatcher, ObjectStart};
use crate::job_type::{DispatchError, JobError};
use crate::ports::{StoreError, TriggerStore};
use crate::run::Trigger;
use crate::trigger::{Assessment, ObjectEvent, Verdict, assess};

/// The triggers of a realm. Cheap to clone.
#[derive(Clone)]
pub struct Triggers {
    dispatcher: Dispatcher,
    store: Arc<dyn TriggerStore>,
}

impl std::fmt::Debug for Triggers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Triggers")
    }
}

/// What became of one job of a trigger, or of a trigger that cannot be used.
#[derive(Debug)]
pub struct Fired {
    /// The trigger.
    pub trigger_id: String,
    /// The job; `None` of a trigger that cannot be used.
    pub job_id: Option<String>,
    /// The run, or why there is none.
    pub outcome: Result<Accepted, NotFired>,
}

/// Why a trigger that fits started nothing, or not all of its jobs.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotFired {
    /// The trigger itself cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The job was not dispatched.
    #[error(transparent)]
    Refused(#[from] DispatchError),
}

impl NotFired {
    /// Whether the store was at fault, and not the trigger or its job.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Refused(DispatchError::Store(_)))
    }

    /// Its kind in a word, for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.kind(),
            _ => "bad_trigger",
        }
    }
}

impl Fired {
    /// The trigger and its job, for messages.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.job_id {
            Some(job_id) => format!("trigger {}, job {job_id}", self.trigger_id),
            None => format!("trigger {}", self.trigger_id),
        }
    }
}

impl Triggers {
    /// The triggers of a store, whose jobs this dispatcher starts.
    #[must_use]
    pub fn new(dispatcher: Dispatcher, store: Arc<dyn TriggerStore>) -> Self {
        Self { dispatcher, store }
    }

    /// What the triggers make of an event; nothing is started.
    ///
    /// # Errors
    /// [`StoreError`] when the triggers cannot be read, or rendering could not be done.
    pub async fn assess(&self, event: &ObjectEvent) -> Result<Assessment, StoreError> {
        let triggers = self.store.of_bucket(&event.bucket).await?;
        let jobs = self.dispatcher.jobs();
        let (renderer, zone) = (jobs.registry().renderer().clone(), jobs.site().zone);
        let event = event.clone();
        // A template can make itself slow.
        let assessing = jobs.apart(move || assess(&triggers, &event, &renderer, zone));
        assessing.await.map_err(|error: JobError| StoreError::new(error.to_string()))
    }

    /// Starts the jobs of all triggers that an event fits. One that fails stops no other. An event that comes again makes
    /// no second run: the ids of runs follow from trigger, object and event.
    ///
    /// # Errors
    /// [`StoreError`] when the triggers cannot be read.
    pub async fn fire(&self, event: &ObjectEvent) -> Result<Vec<Fired>, StoreError> {
        let mut fired = Vec::new();
        for assessed in self.assess(event).await?.found {
            let trigger_id = assessed.trigger_id;
            let (id, starts) = match assessed.verdict {
                Verdict::Unfit(_) => continue,
                Verdict::Failed(error) => {
                    let outcome = Err(NotFired::Unusable(error));
                    fired.push(Fired { trigger_id, job_id: None, outcome });
                    continue;
                }
                Verdict::Fits(id, starts) => (id, starts),
            };
            let start = ObjectStart {
                name: event.name(&id),
                trigger: Trigger::Object {
                    trigger_id: trigger_id.clone(),
                    bucket: event.bucket.clone(),
                    key: event.key.clone(),
                    event_type: event.event_type.clone(),
                    version: event.version.clone(),
                },
            };
            let (mut requests, mut places) = (Vec::new(), Vec::new());
            for one in starts {
                let outcome = one.request.map(|request| requests.push(request));
                match outcome {
                    Ok(()) => places.push(one.job_id),
                    Err(error) => fired.push(Fired {
                        trigger_id: trigger_id.clone(),
                        job_id: Some(one.job_id),
                        outcome: Err(NotFired::Unusable(error)),
                    }),
                }
            }
            let outcomes = self.dispatcher.dispatch_object(requests, &start).await;
            fired.extend(places.into_iter().zip(outcomes).map(|(job_id, outcome)| Fired {
                trigger_id: trigger_id.clone(),
                job_id: Some(job_id),
                outcome: outcome.map_err(NotFired::from),
            }));
        }
        Ok(fired)
    }
}
