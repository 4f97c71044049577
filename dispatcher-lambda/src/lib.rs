//! The dispatcher function: events of AWS's in, runs out.

mod event;

pub use event::{BadEvent, Change, Event, Record, payload};

use chrono::TimeDelta;
use pumice_core::engine::{Dispatcher, Housekeeper, Triggers};
use pumice_core::job_type::DispatchError;
use pumice_core::ports::StoreError;
use pumice_core::request::{DispatchRequest, Parsed};
use pumice_core::trigger::Objects;
use pumice_service::dispatch::{AcceptedRun, Outcomes, RefusedRequest};
use serde_json::{Value, json};

/// How far ahead of their time runs are made that a schedule starts, so that they begin to the second though the sweeper
/// comes each minute.
const AHEAD: TimeDelta = TimeDelta::seconds(90);

/// Why an invocation fails: AWS delivers the event again, or moves it to the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The event is none that the function knows.
    #[error(transparent)]
    BadEvent(#[from] BadEvent),
    /// Requests were not taken, and nobody sees their outcomes.
    #[error("{0}")]
    Refused(String),
    /// AWS could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failed {
    /// Its kind, in a word, as Lambda and its destinations show it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BadEvent(_) => "BadEvent",
            Self::Refused(_) => "Refused",
            Self::Store(_) => "Unreachable",
        }
    }
}

/// What became of the requests of an event.
#[derive(Default)]
struct Taken {
    outcomes: Outcomes,
    /// How many of the refused requests could be taken another time.
    unreachable: usize,
}

impl Taken {
    /// The answer.
    fn json(&self) -> Value {
        // Outcomes always serialise.
        serde_json::to_value(&self.outcomes).unwrap_or_default()
    }
}

/// Whether an event asks to look at what is due, and for nothing else.
#[must_use]
pub fn is_sweep(event: &Value) -> bool {
    matches!(Event::read(event, chrono_tz::UTC), Ok(Event::Sweep))
}

/// Does what an event asks; `invocation` names it, the same when AWS tries again. Gives the answer.
///
/// # Errors
/// [`Failed`] when the event as a whole, or what nobody else would tell of, did not go well.
pub async fn handle(
    housekeeper: &Housekeeper,
    triggers: &Triggers,
    event: &Value,
    invocation: &str,
    zone: chrono_tz::Tz,
) -> Result<Value, Failed> {
    let dispatcher = housekeeper.dispatcher();
    match Event::read(event, zone)? {
        Event::Sweep => {
            // Each by itself: one that fails is not in the way of the others.
            let (swept, noticed) = (housekeeper.sweep().await, housekeeper.notice().await);
            let struck = housekeeper.strike(AHEAD).await;
            let (swept, _, struck) = (swept?, noticed?, struck?);
            tracing::info!(swept, started = struck.started, "looked at what was due");
            Ok(json!({ "swept": swept, "started": struck.started }))
        }
        Event::Changed(changes) => {
            let count = changes.len();
            for Change { job_id, at } in changes {
                housekeeper.touch(&[job_id], at).await?;
            }
            // At once: what is due within the minute would else begin late.
            let struck = housekeeper.strike(AHEAD).await?;
            tracing::info!(
                changed = count,
                started = struck.started,
                "looked at schedules that were changed"
            );
            Ok(json!({ "changed": count, "started": struck.started }))
        }
        Event::Direct(requests) => {
            let taken = take(dispatcher, requests, Name::Call(&format!("invocation:{invocation}"))).await;
            if taken.outcomes.accepted.is_empty() && taken.unreachable > 0 {
                return Err(StoreError::new(taken.outcomes.reasons()).into());
            }
            Ok(taken.json())
        }
        Event::Delivered(records) => delivered(dispatcher, triggers, records).await,
        Event::Queued(records) => {
            let mut failures = Vec::new();
            for record in records {
                let name = format!("sqs:{}", record.id);
                let mut taken = take(dispatcher, record.requests, Name::Event(&name)).await;
                fire(triggers, record.objects, &name, &mut taken).await;
                if !taken.outcomes.refused.is_empty() {
                    failures.push(json!({ "itemIdentifier": record.id }));
                }
            }
            Ok(json!({ "batchItemFailures": failures }))
        }
    }
}

/// Takes every record; fails when one was not taken whole. What was taken is not taken again.
async fn delivered(
    dispatcher: &Dispatcher,
    triggers: &Triggers,
    records: Vec<Record>,
) -> Result<Value, Failed> {
    let mut all = Taken::default();
    for record in records {
        let mut taken = take(dispatcher, record.requests, Name::Event(&record.id)).await;
        fire(triggers, record.objects, &record.id, &mut taken).await;
        all.outcomes.accepted.extend(taken.outcomes.accepted);
        all.outcomes.refused.extend(taken.outcomes.refused);
        all.unreachable += taken.unreachable;
    }
    if all.outcomes.refused.is_empty() {
        Ok(all.json())
    } else if all.unreachable > 0 {
        Err(StoreError::new(all.outcomes.reasons()).into())
    } else {
        Err(Failed::Refused(all.outcomes.reasons()))
    }
}

/// Has the triggers start jobs for objects, each by itself. What fails is refused, so that it comes again: what was started
/// is not started again.
async fn fire(triggers: &Triggers, objects: Objects, event: &str, taken: &mut Taken) {
    for object in objects {
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(event, %error, "an event cannot be read");
                let request = "an object".to_owned();
                taken.outcomes.refused.push(RefusedRequest { request, error: error.to_string() });
                continue;
            }
        };
        let (bucket, key) = (&object.bucket, &object.key);
        let fired = match triggers.fire(&object).await {
            Ok(fired) => fired,
            Err(error) => {
                tracing::error!(event, bucket, key, %error, "triggers cannot be read");
                taken.unreachable += 1;
                let request = format!("object {key} of bucket {bucket}");
                taken.outcomes.refused.push(RefusedRequest { request, error: error.to_string() });
                continue;
            }
        };
        if fired.is_empty() {
            tracing::info!(event, bucket, key, event_type = object.event_type, "no trigger fits");
        }
        for one in fired {
            let what = one.what();
            match one.outcome {
                Ok(run) => {
                    let existing = run.existing.then_some(true);
                    tracing::info!(event, bucket, key, trigger = one.trigger_id, job_id = one.job_id, run_id = %run.run_id, existing, "triggered");
                    taken.outcomes.accepted.push(AcceptedRun::from(run));
                }
                Err(error) => {
                    tracing::error!(event, bucket, key, trigger = one.trigger_id, job_id = one.job_id, %error, "a trigger started nothing");
                    taken.unreachable += usize::from(error.is_unreachable());
                    let request = format!("{what}, object {key} of bucket {bucket}");
                    taken.outcomes.refused.push(RefusedRequest { request, error: error.to_string() });
                }
            }
        }
    }
}

/// What names the requests of a batch, the same when they come again.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// A call of the function.
    Call(&'a str),
    /// An event that AWS delivers.
    Event(&'a str),
}

/// Takes each request by itself.
async fn take(dispatcher: &Dispatcher, requests: Vec<Parsed>, name: Name<'_>) -> Taken {
    let (Name::Call(event) | Name::Event(event)) = name;
    let mut taken = Taken::default();
    let mut good: Vec<DispatchRequest> = Vec::with_capacity(requests.len());
    for parsed in requests {
        match parsed {
            Ok(request) => good.push(request),
            Err(bad) => {
                tracing::error!(event, place = bad.place, error = %bad.error, "a request is invalid");
                let error = bad.error.to_string();
                taken.outcomes.refused.push(RefusedRequest { request: bad.place, error });
            }
        }
    }
    let names: Vec<String> = good.iter().map(|request| request.job_id.to_string()).collect();
    let dispatched = match name {
        Name::Call(call) => dispatcher.dispatch_call(good, call).await,
        Name::Event(event) => dispatcher.dispatch_event(good, event).await,
    };
    for (job_id, outcome) in names.into_iter().zip(dispatched) {
        match outcome {
            Ok(run) => {
                tracing::info!(%job_id, run_id = %run.run_id, status = %run.status, existing = run.existing.then_some(true), "dispatched");
                if let Some(warning) = &run.warning {
                    tracing::warn!(event, %job_id, run_id = %run.run_id, warning, "dispatched with a warning");
                }
                taken.outcomes.accepted.push(AcceptedRun::from(run));
            }
            Err(error) => {
                tracing::error!(event, %job_id, %error, "a request was not taken");
                taken.unreachable += usize::from(matches!(error, DispatchError::Store(_)));
                let error = error.to_string();
                taken.outcomes.refused.push(RefusedRequest { request: job_id, error });
            }
        }
    }
    taken
}
