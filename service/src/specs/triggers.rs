//! Triggers among specs: read, and looked at together with the jobs and the realm.

use pumice_core::job_type::Surveyed;
use pumice_core::problem::{JsonPath, Problem, did_you_mean};
use pumice_core::spec::RealmSpec;
use pumice_core::text::quoted;
use pumice_core::trigger::{TriggerSpec, TriggerType};
use serde_json::Value;

/// Whether a document is a trigger.
#[must_use]
pub fn is_trigger(document: &Value) -> bool {
    document.get("trigger_id").is_some()
}

/// Warnings about a trigger, given these jobs and this realm: jobs that are not there, and in a folder a
/// bucket that has no folder.
pub(super) fn advice(
    trigger: &TriggerSpec,
    jobs: &[Surveyed<'_>],
    realm: Option<&RealmSpec>,
    is_aws: bool,
) -> Vec<Problem> {
    let known = || jobs.iter().map(|one| one.job.fields.job_id.as_str());
    let mut problems = Vec::new();
    for id in trigger.named_jobs().filter(|id| known().all(|known| known != *id)) {
        let path = JsonPath::root().field("job_id");
        let mut problem = Problem::warning("unknown-job", path, format!("there is no job {}", quoted(id)));
        problem.hint = did_you_mean(id, known());
        problems.push(problem);
    }
    if let (TriggerType::Object, false, Some(bucket)) =
        (trigger.fields.r#type, is_aws, &trigger.fields.bucket)
    {
        let buckets = realm.and_then(|realm| realm.fields.buckets.as_ref());
        let names = || buckets.into_iter().flatten().map(|(name, _)| name.as_str());
        if names().all(|name| name != bucket) {
            let path = JsonPath::root().field("bucket");
            let message =
                format!("the realm's buckets have no folder for {}: nothing is started", quoted(bucket));
            let problem = Problem::warning("unknown-bucket", path, message);
            let hint = did_you_mean(bucket, names());
            let hint = hint.unwrap_or_else(|| "add it to buckets in the realm's document".to_owned());
            problems.push(problem.with_hint(hint));
        }
    }
    problems
}
