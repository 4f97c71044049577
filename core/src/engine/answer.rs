//! The answer to a request that was taken.

use serde_json::json;

use crate::Timestamp;
use crate::ids::{JobId, RunId, WorkerName};
use crate::job_type::DispatchError;
use crate::ports::Created;
use crate::request::{DispatchRequest, When};
use crate::run::{Keyed, Run, Status, Trigger};

/// A request that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The job.
    pub job_id: JobId,
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub status: Status,
    /// Whether the run was there already, under the same idempotency key.
    pub existing: bool,
    /// Of a start by the clock how many runs of its slot were withdrawn before this one.
    pub again: u32,
    /// Whether it was itself.
    pub(super) is_withdrawn: bool,
    /// A warning for its caller, as why its templates could not be rendered yet.
    pub warning: Option<String>,
}

/// A run that a request would make.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// The job.
    pub job_id: JobId,
    /// The worker that it would be for.
    pub worker: WorkerName,
    /// When it would be due.
    pub at: Timestamp,
    /// Whether it would run: one of a job that is not enabled is skipped.
    pub is_enabled: bool,
    /// Whether the run is there already under the same idempotency key, or an earlier request would make it.
    pub existing: bool,
    /// The run, where it is there.
    pub run_id: Option<RunId>,
    /// A warning for the caller, as why its templates cannot be rendered yet.
    pub warning: Option<String>,
}

/// The answer for a run that was to be created.
pub(super) fn answer(run: &Run, created: Created) -> Result<Accepted, DispatchError> {
    if let Some(why) = created.refused {
        return Err(DispatchError::TooLarge(why));
    }
    if let Some(error) = created.failed {
        return Err(error.into());
    }
    let Some(existing) = created.existing else {
        let (job_id, run_id) = (run.job_id.clone(), run.run_id);
        let (status, existing, again, is_withdrawn) = (run.status, false, 0, false);
        return Ok(Accepted { job_id, run_id, status, existing, again, is_withdrawn, warning: None });
    };
    if let Some(taken) = taken_by(&existing, run.keyed.as_ref(), &run.job_id) {
        return Err(taken);
    }
    if let (Some(Trigger::Http { digest: Some(theirs), .. }), Some(Trigger::Http { digest, delivery, .. })) =
        (&existing.trigger, &run.trigger)
        && digest.as_ref().is_some_and(|ours| ours != theirs)
    {
        return Err(DispatchError::DeliveryTaken {
            job_id: run.job_id.to_string(),
            delivery: delivery.clone().unwrap_or_default(),
            run_id: existing.run_id,
        });
    }
    Ok(Accepted {
        job_id: run.job_id.clone(),
        run_id: existing.run_id,
        status: existing.status,
        existing: true,
        again: 0,
        is_withdrawn: existing.was_withdrawn(),
        warning: None,
    })
}

/// Refuses a request whose key is taken by another, with other contents.
pub(super) fn taken_by(existing: &Run, ours: Option<&Keyed>, job_id: &JobId) -> Option<DispatchError> {
    let (theirs, ours) = (existing.keyed.as_ref()?, ours?);
    (theirs.fingerprint != ours.fingerprint).then(|| DispatchError::KeyTaken {
        job_id: job_id.to_string(),
        key: ours.key.clone(),
        run_id: existing.run_id,
        theirs: told(theirs, ours),
        ours: told(ours, theirs),
    })
}

/// Longest text of a request that is kept with its key, in bytes: a record is to stay small.
const MAX_ASKED_BYTES: usize = 512;

/// A request's key with what the request asks, the same however its fields are ordered.
pub(super) fn keyed(request: &DispatchRequest) -> Option<Keyed> {
    let key = request.idempotency_key.clone()?;
    let when = match request.when {
        // The key says when, whichever clock it was that struck.
        _ if request.scheduled.is_some() => json!("now"),
        When::Now => json!("now"),
        When::After(delay) => json!(delay),
        When::At(at) => json!(crate::message::iso(at)),
    };
    let mut asked = json!({ "parameters": request.parameters, "globals": request.globals, "when": when });
    if let Some(redo) = &request.redo {
        asked["redo"] = json!(redo);
    }
    asked.sort_all_objects();
    let text = bounded(asked.to_string());
    asked["job_id"] = json!(request.job_id);
    asked.sort_all_objects();
    let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, asked.to_string().as_bytes());
    Some(Keyed { key, fingerprint: digest.simple().to_string(), asked: text })
}

/// The text, or its beginning when it is long.
fn bounded(text: String) -> String {
    if text.len() <= MAX_ASKED_BYTES {
        return text;
    }
    let end = text.floor_char_boundary(MAX_ASKED_BYTES);
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}

/// One of two requests with the same key, in words. The digest distinguishes contents that are not shown.
fn told(keyed: &Keyed, other: &Keyed) -> String {
    let Keyed { fingerprint, asked, .. } = keyed;
    if asked.is_empty() {
        format!("a request with the digest {fingerprint}")
    } else if *asked == other.asked || other.asked.is_empty() {
        format!("{asked} with the digest {fingerprint}")
    } else {
        asked.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Span;
    use crate::ids::{RunKey, WorkerName};
    use chrono::DateTime;
    use serde_json::{Map, Value};

    fn request(parameters: Value) -> DispatchRequest {
        DispatchRequest {
            parameters: parameters.as_object().cloned().unwrap_or_else(Map::new),
            idempotency_key: Some("monday".to_owned()),
            ..DispatchRequest::new(JobId::new("load").unwrap())
        }
    }

    fn run(keyed: Option<Keyed>) -> Run {
        let run_id = RunId(uuid::Uuid::nil());
        let about = (JobId::new("load").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let epoch = DateTime::UNIX_EPOCH;
        let made = Run::dispatched(RunKey::root(run_id), run_id, about, epoch, epoch, Span::from_days(1));
        Run { keyed, ..made }
    }

    fn refused(first: Keyed, second: Keyed) -> String {
        let created = Created { existing: Some(Box::new(run(Some(first)))), ..Created::default() };
        match answer(&run(Some(second)), created) {
            Err(error @ DispatchError::KeyTaken { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn key_of_another_request_is_refused_and_both_are_shown() {
        let first = keyed(&request(json!({ "day": 1 }))).unwrap();
        let error = refused(first.clone(), keyed(&request(json!({ "day": 2 }))).unwrap());
        assert_eq!(
            error,
            "idempotency key \"monday\" of job load was already used by another request: run \
             00000000-0000-0000-0000-000000000000 was made by \
             {\"globals\":{},\"parameters\":{\"day\":1},\"when\":\"now\"}, this one is \
             {\"globals\":{},\"parameters\":{\"day\":2},\"when\":\"now\"}; give it another key"
        );
        let created = Created { existing: Some(Box::new(run(Some(first.clone())))), ..Created::default() };
        assert!(answer(&run(Some(first)), created).unwrap().existing, "the same request is not a mistake");
    }

    #[test]
    fn long_requests_are_cut_and_distinguished_by_digest() {
        let long = |end: &str| keyed(&request(json!({ "text": "é".repeat(5_000) + end }))).unwrap();
        let (first, second) = (long("1"), long("2"));
        assert!(first.asked.len() < MAX_ASKED_BYTES + 40 && first.asked.ends_with("bytes in all)"));
        let error = refused(first.clone(), second.clone());
        assert!(error.contains(&first.fingerprint) && error.contains(&second.fingerprint), "{error}");
        assert!(error.len() < 4 * MAX_ASKED_BYTES, "{error}");
    }

    #[test]
    fn record_of_before_has_a_digest_only_and_without_a_key_none() {
        let stored = json!({ "key": "monday", "fingerprint": "abc" });
        let old: Keyed = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(&old).unwrap(), stored);
        let new = keyed(&request(json!({}))).unwrap();
        let error = refused(old, new.clone());
        assert!(error.contains("made by a request with the digest abc, this one is"), "{error}");
        let ours = format!("with the digest {}; give it another key", new.fingerprint);
        assert!(error.ends_with(&ours), "{error}");
        assert!(keyed(&DispatchRequest::new(JobId::new("load").unwrap())).is_none());
        assert!(serde_json::to_value(run(None)).unwrap().get("keyed").is_none());
    }
}
