//! From what happened to an object, or came over HTTP, to the runs of the jobs that triggers start for it.

use std::sync::Arc;

use super::answer::Accepted;
use super::dispatch::{Dispatcher, EventStart};
use crate::job_type::{DispatchError, JobError};
use crate::ports::{StoreError, TriggerStore};
use crate::problem::Invalid;
use crate::run::Trigger;
use crate::trigger::{
    Assessment, HttpEvent, ObjectEvent, TriggerFields, TriggerVerdict, TriggeredStart, assess, starts_for,
};

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

/// The outcome of one job of a trigger, or of a trigger that cannot be used.
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

    /// Matches the triggers against an event; nothing is started.
    ///
    /// # Errors
    /// [`StoreError`] when the triggers cannot be read, or rendering could not be done.
    pub async fn assess(&self, event: &ObjectEvent) -> Result<Assessment, StoreError> {
        let triggers = self.store.of_bucket(&event.bucket).await?;
        let jobs = self.dispatcher.jobs();
        let (renderer, zone) = (jobs.registry().renderer().clone(), jobs.site().zone);
        let event = event.clone();
        // A template can make itself slow.
        let assessing = jobs.on_pool(move || assess(&triggers, &event, &renderer, zone));
        assessing.await.map_err(|error: JobError| StoreError::invalid(error.to_string()))
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
                TriggerVerdict::Unfit(_) => continue,
                TriggerVerdict::Failed(error) => {
                    let outcome = Err(NotFired::Unusable(error));
                    fired.push(Fired { trigger_id, job_id: None, outcome });
                    continue;
                }
                TriggerVerdict::Fits(id, starts) => (id, starts),
            };
            let start = EventStart {
                name: event.name(&id),
                trigger: Trigger::Object {
                    trigger_id: trigger_id.clone(),
                    bucket: event.bucket.clone(),
                    key: event.key.clone(),
                    event_type: event.event_type.clone(),
                    version: event.version.clone(),
                },
            };
            fired.extend(begin(&self.dispatcher, &trigger_id, starts, &start).await);
        }
        Ok(fired)
    }
}

/// Starts the jobs of a trigger for a request over HTTP whose signature was found right. A delivery that comes again
/// under its own name makes no second run.
pub async fn receive(dispatcher: &Dispatcher, fields: TriggerFields, event: HttpEvent) -> Vec<Fired> {
    let jobs = dispatcher.jobs();
    let (renderer, zone) = (jobs.registry().renderer().clone(), jobs.site().zone);
    let ports = &jobs.site().ports;
    let otherwise = ports.random.uuid(ports.clock.now()).to_string();
    let trigger_id = fields.trigger_id.to_string();
    let start = EventStart {
        name: event.name(&fields.trigger_id, &otherwise),
        trigger: Trigger::Http {
            trigger_id: trigger_id.clone(),
            event_type: event.event_type.clone(),
            delivery: event.delivery.as_ref().map(|delivery| delivery.id.clone()),
            digest: event.delivery.is_some().then(|| event.digest()),
        },
    };
    // A template can make itself slow.
    let asking = jobs.on_pool(move || starts_for(&fields, &event, &renderer, zone));
    match asking.await.map_err(|error: JobError| Invalid(error.to_string())).flatten() {
        Ok(starts) => begin(dispatcher, &trigger_id, starts, &start).await,
        Err(Invalid(why)) => vec![Fired { trigger_id, job_id: None, outcome: Err(NotFired::Unusable(why)) }],
    }
}

/// Starts the jobs of one trigger.
async fn begin(
    dispatcher: &Dispatcher,
    id: &str,
    starts: Vec<TriggeredStart>,
    start: &EventStart,
) -> Vec<Fired> {
    let of = |job_id: String, outcome| Fired { trigger_id: id.to_owned(), job_id: Some(job_id), outcome };
    let (mut fired, mut requests, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for one in starts {
        match one.request.map(|request| requests.push(request)) {
            Ok(()) => places.push(one.job_id),
            Err(Invalid(why)) => fired.push(of(one.job_id, Err(NotFired::Unusable(why)))),
        }
    }
    let outcomes = dispatcher.dispatch_for(requests, start).await;
    let started = places.into_iter().zip(outcomes);
    fired.extend(started.map(|(job_id, outcome)| of(job_id, outcome.map_err(NotFired::from))));
    fired
}
