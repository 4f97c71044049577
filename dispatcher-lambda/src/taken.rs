//! The outcomes of an event's requests and objects.

use std::collections::BTreeMap;

use pumice_core::engine::{Dispatcher, Triggers};
use pumice_core::job_type::DispatchError;
use pumice_core::request::{DispatchRequest, Parsed};
use pumice_core::trigger::ObjectEvents;
use pumice_service::dispatch::{AcceptedRun, Outcomes, RefusedRequest};
use serde_json::{Value, json};

/// Longest answer, in bytes, whose lists are whole (Lambda quotas, synchronous payload: 6 MB).
const MAX_ANSWER: usize = 5 * 1024 * 1024;
/// How much of a longer one's lists is given.
const SHOWN: usize = 1_000;
/// Longest reason, in bytes, that is given of one request.
const MAX_REASON: usize = 2 * 1024;
/// Most refused requests of one event that have a line of their own in the log.
const MAX_LINES: usize = 10;

/// The outcomes of an event's requests.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) outcomes: Outcomes,
    /// How many of the refused requests could be taken another time.
    pub(crate) unreachable: usize,
    /// How many were refused for good, by reason.
    pub(crate) refused: BTreeMap<&'static str, usize>,
    /// How many lines the log has about them.
    lines: usize,
}

impl Taken {
    /// The answer. One that Lambda would not take has the beginnings of its lists, and says how long they are.
    pub(crate) fn json(&self) -> Value {
        // Outcomes always serialise.
        let whole = serde_json::to_value(&self.outcomes).unwrap_or_default();
        if whole.to_string().len() <= MAX_ANSWER {
            return whole;
        }
        let Outcomes { accepted, refused, .. } = &self.outcomes;
        json!({
            "accepted": accepted.iter().take(SHOWN).collect::<Vec<_>>(),
            "accepted_count": accepted.len(),
            "refused": refused.iter().take(SHOWN).collect::<Vec<_>>(),
            "refused_count": refused.len(),
        })
    }

    /// Whether every request was taken.
    pub(crate) fn is_whole(&self) -> bool {
        self.outcomes.refused.is_empty()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.outcomes.accepted.extend(other.outcomes.accepted);
        self.outcomes.refused.extend(other.outcomes.refused);
        self.unreachable += other.unreachable;
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    /// Counts the requests that were refused for good and whose outcome no caller sees, for alarms. Each has its line already.
    pub(crate) fn tell_refused(&self) {
        for (reason, count) in &self.refused {
            tracing::info!(target: "pumice::refused", reason, count, "requests were refused");
        }
    }

    /// A request that could be taken another time.
    fn not_reached(&mut self, request: String, error: &str) {
        self.unreachable += 1;
        self.outcomes.refused.push(RefusedRequest { request, error: bounded(error) });
    }

    /// A request that is refused for good.
    fn refuse(&mut self, request: String, reason: &'static str, error: &str) {
        *self.refused.entry(reason).or_default() += 1;
        self.outcomes.refused.push(RefusedRequest { request, error: bounded(error) });
    }

    /// Whether what was just refused gets a line of its own; the last one says that others have none.
    fn has_line(&mut self, event: &str) -> bool {
        self.lines += 1;
        if self.lines == MAX_LINES + 1 {
            tracing::error!(
                event,
                "further requests of this event were not taken, and have no lines of their own"
            );
        }
        self.lines <= MAX_LINES
    }
}

/// As much of a reason as is given.
fn bounded(error: &str) -> String {
    if error.len() <= MAX_REASON {
        return error.to_owned();
    }
    format!("{}… ({} bytes in all)", &error[..error.floor_char_boundary(MAX_REASON)], error.len())
}

/// Has the triggers start jobs for objects, each by itself. A failure is refused, so that the event is delivered again:
/// jobs that were started are not started again.
pub(crate) async fn fire(triggers: &Triggers, objects: ObjectEvents, event: &str, taken: &mut Taken) {
    for object in objects {
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                if taken.has_line(event) {
                    tracing::error!(event, %error, "an event cannot be read");
                }
                taken.refuse("an object".to_owned(), "bad_event", &error.to_string());
                continue;
            }
        };
        let (bucket, key) = (&object.bucket, &object.key);
        let fired = match triggers.fire(&object).await {
            Ok(fired) => fired,
            Err(error) => {
                if taken.has_line(event) {
                    tracing::error!(event, bucket, key, %error, "triggers cannot be read");
                }
                taken.not_reached(format!("object {key} of bucket {bucket}"), &error.to_string());
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
                    if taken.has_line(event) {
                        tracing::error!(event, bucket, key, trigger = one.trigger_id, job_id = one.job_id, %error, "a trigger started nothing");
                    }
                    let request = format!("{what}, object {key} of bucket {bucket}");
                    match error.is_unreachable() {
                        true => taken.not_reached(request, &error.to_string()),
                        false => taken.refuse(request, error.kind(), &error.to_string()),
                    }
                }
            }
        }
    }
}

/// The name from which the ids of a batch's requests follow, the same at a redelivery.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    /// A call of the function.
    Call(&'a str),
    /// An event that AWS delivers.
    Event(&'a str),
}

/// Takes each request by itself.
pub(crate) async fn take(dispatcher: &Dispatcher, requests: Vec<Parsed>, name: Name<'_>) -> Taken {
    let (Name::Call(event) | Name::Event(event)) = name;
    let mut taken = Taken::default();
    let mut good: Vec<DispatchRequest> = Vec::with_capacity(requests.len());
    for parsed in requests {
        match parsed {
            Ok(request) => good.push(request),
            Err(bad) => {
                let error = bounded(&bad.error.to_string());
                if taken.has_line(event) {
                    tracing::error!(event, place = bad.place, error, "a request is invalid");
                }
                taken.refuse(bad.place, "bad_request", &error);
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
                if taken.has_line(event) {
                    tracing::error!(event, %job_id, %error, "a request was not taken");
                }
                match &error {
                    DispatchError::Store(error) => taken.not_reached(job_id, &error.to_string()),
                    error => taken.refuse(job_id, error.kind(), &error.to_string()),
                }
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_whole_unless_lambda_would_not_take_it() {
        let mut taken = Taken::default();
        for place in 0..10 {
            taken.refuse(format!("line {place}"), "bad_request", &"x".repeat(10_000));
        }
        let answer = taken.json();
        assert_eq!(answer["refused"].as_array().map(Vec::len), Some(10));
        assert!(answer.to_string().len() < 10 * (MAX_REASON + 100), "each reason is bounded");
        for place in 0..100_000 {
            taken.refuse(format!("line {place}"), "bad_request", "no such thing as this line would have it");
        }
        let answer = taken.json();
        assert_eq!((&answer["refused_count"], &answer["accepted_count"]), (&json!(100_010), &json!(0)));
        assert_eq!(answer["refused"].as_array().map(Vec::len), Some(SHOWN));
        assert!(answer.to_string().len() < MAX_ANSWER);
        assert_eq!(taken.refused, BTreeMap::from([("bad_request", 100_010)]));
    }
}
