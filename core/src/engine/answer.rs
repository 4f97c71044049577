//! What a caller is told about a request that was taken.

use serde_json::json;

use super::dispatch::Accepted;
use crate::job_type::DispatchError;
use crate::ports::Created;
use crate::request::{DispatchRequest, When};
use crate::run::Run;

/// What became of a run that was to be made.
pub(super) fn answer(run: Run, created: Created) -> Result<Accepted, DispatchError> {
    let Some(existing) = created.existing else {
        return Ok(Accepted { job_id: run.job_id, run_id: run.run_id, status: run.status, existing: false });
    };
    if let (Some(theirs), Some(ours)) = (&existing.keyed, &run.keyed)
        && theirs.fingerprint != ours.fingerprint
    {
        return Err(DispatchError::KeyTaken {
            job_id: run.job_id.to_string(),
            key: ours.key.clone(),
            run_id: existing.run_id,
            theirs: theirs.fingerprint.clone(),
            ours: ours.fingerprint.clone(),
        });
    }
    Ok(Accepted { job_id: run.job_id, run_id: existing.run_id, status: existing.status, existing: true })
}

/// A digest of what a request asks, the same however its fields are ordered.
pub(super) fn fingerprint(request: &DispatchRequest) -> String {
    let when = match request.when {
        When::Now => json!("now"),
        When::After(delay) => json!(delay),
        When::At(at) => json!(crate::message::iso(at)),
    };
    let mut asked = json!({
        "job_id": request.job_id, "parameters": request.parameters, "globals": request.globals, "when": when,
    });
    asked.sort_all_objects();
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, asked.to_string().as_bytes()).simple().to_string()
}
