//! Takes requests for runs: into a realm that is open here, or through a console.

use pumice_core::request::{DispatchRequest, When};
use pumice_service::Error;
use pumice_service::dispatch::{
    Batch, Batches, Dispatch, Intake, IntakeCounts, Keys, Outcomes, Placed, Prepared, RefusedRequest,
    dispatch,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use crate::target::Target;

/// Most bytes of requests that are sent to a console at once: it takes bodies of a mebibyte.
const MAX_SENT: usize = 700 * 1024;

/// Takes the batches of requests that come, and counts them.
pub(crate) enum Taker<'a> {
    /// Into a realm, which has a batch prepared while it writes another.
    Here(Box<Intake>, Receiver<Result<Prepared, Error>>),
    /// Through a console.
    There(Sender<'a>, Batches),
}

impl Taker<'_> {
    /// How many requests there were, and what became of them.
    pub(crate) fn counts(&self) -> IntakeCounts {
        match self {
            Self::Here(intake, _) => intake.counts(),
            Self::There(sender, _) => sender.counts,
        }
    }

    /// Takes the next batch, each request by itself; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Result<Batch, Error>> {
        let taken = match self {
            Self::Here(intake, prepared) => match prepared.recv().await? {
                Ok(batch) => Ok(intake.take(batch).await),
                Err(error) => Err(error),
            },
            Self::There(sender, batches) => match batches.recv().await? {
                Ok(batch) => Ok(sender.take(batch).await),
                Err(error) => Err(error),
            },
        };
        Some(taken)
    }
}

/// Sends requests to a console.
pub(crate) struct Sender<'a> {
    target: &'a Target,
    /// Gives keys to requests without one, where the same may be sent again.
    keys: Option<Keys>,
    dry_run: bool,
    counts: IntakeCounts,
}

/// Requests that are sent together.
#[derive(Default)]
struct Sending {
    requests: Vec<Value>,
    places: Vec<String>,
    bytes: usize,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(target: &'a Target, keys: Option<Keys>, dry_run: bool) -> Self {
        Self { target, keys, dry_run, counts: IntakeCounts::default() }
    }

    async fn take(&mut self, batch: Vec<Placed>) -> Batch {
        let mut done = Batch::default();
        let mut sending = Sending::default();
        for placed in batch {
            let (place, mut request) = match placed {
                Ok(placed) => placed,
                Err(bad) => {
                    let refused = RefusedRequest { request: bad.place, error: bad.error.to_string() };
                    done.outcomes.refused.push(refused);
                    self.counts.refused += 1;
                    continue;
                }
            };
            if let Some(keys) = &mut self.keys {
                keys.give(&mut request);
            }
            let request = to_json(&request);
            let bytes = request.to_string().len();
            if sending.bytes + bytes > MAX_SENT && !sending.requests.is_empty() {
                self.send(std::mem::take(&mut sending), &mut done).await;
                if done.failed.is_some() {
                    return done;
                }
            }
            sending.bytes += bytes;
            sending.requests.push(request);
            sending.places.push(place);
        }
        if !sending.requests.is_empty() {
            self.send(sending, &mut done).await;
        }
        done
    }

    async fn send(&mut self, sending: Sending, done: &mut Batch) {
        let Sending { requests, places, .. } = sending;
        let request = Dispatch { requests, key: None, places, dry_run: self.dry_run };
        match self.target.ask(dispatch, &request).await {
            Ok(Outcomes { accepted, refused, foreseen, .. }) => {
                let existing = accepted.iter().map(|one| one.existing);
                let existing =
                    existing.chain(foreseen.iter().map(|one| one.existing)).filter(|one| *one).count();
                self.counts.existing += existing;
                self.counts.taken += accepted.len() + foreseen.len() - existing;
                self.counts.refused += refused.len();
                done.outcomes.accepted.extend(accepted);
                done.outcomes.foreseen.extend(foreseen);
                done.outcomes.refused.extend(refused);
            }
            Err(error) => done.failed = Some(error),
        }
    }
}

/// A request as the API takes it.
fn to_json(request: &DispatchRequest) -> Value {
    let mut asked = json!({ "job_id": request.job_id });
    let maps = [("parameters", &request.parameters), ("globals", &request.globals)];
    for (name, map) in maps.into_iter().filter(|(_, map)| !map.is_empty()) {
        asked[name] = Value::Object(map.clone());
    }
    match request.when {
        When::Now => {}
        When::After(delay) => asked["delay"] = json!(delay),
        When::At(at) => asked["at"] = json!(at.to_rfc3339()),
    }
    if let Some(key) = &request.idempotency_key {
        asked["idempotency_key"] = json!(key);
    }
    asked
}

#[cfg(test)]
mod tests {
    use pumice_core::request::parse_object;

    use super::*;

    #[test]
    fn request_that_is_sent_is_read_as_it_was() {
        for asked in [
            json!({ "job_id": "etl/größe" }),
            json!({ "job_id": "a", "parameters": { "day": "1" }, "globals": { "x": { "y": 2 } }, "idempotency_key": "k" }),
            json!({ "job_id": "a", "delay": "5m" }),
            json!({ "job_id": "a", "at": "2027-03-01T10:20:30.123456+01:00" }),
        ] {
            let read = parse_object(&asked, chrono_tz::UTC).unwrap();
            assert_eq!(parse_object(&to_json(&read), chrono_tz::Asia::Tokyo).unwrap(), read, "{asked}");
        }
    }
}
