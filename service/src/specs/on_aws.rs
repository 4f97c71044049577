//! What a realm on AWS does not have.

use pumice_core::clock::NO_SERVICE;
use pumice_core::ports::Doc;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, Settings};
use serde_json::Value;

/// Mistakes of a job in a realm on AWS.
pub(super) fn of_job(job: &JobSpec, settings: &Settings) -> Vec<Problem> {
    let mut problems = reboot(job);
    if !settings.worker_kind(&job.fields.worker).is_lavas() {
        problems.extend(secure(&job.document));
    }
    problems
}

/// Entries that start with a service: on AWS no service starts.
fn reboot(job: &JobSpec) -> Vec<Problem> {
    let is_list = job.document.get("schedule").is_some_and(Value::is_array);
    let schedule = JsonPath::root().field("schedule");
    let entries = job.fields.schedule.0.iter().enumerate();
    let starts = entries
        .filter(|(_, entry)| entry.crontab.as_ref().is_some_and(|crontab| crontab.pattern().is_none()));
    let problem = |index: usize| {
        let path = if is_list { schedule.item(index) } else { schedule.clone() };
        Problem::new(path, NO_SERVICE).with_hint("give a time, or dispatch it by hand")
    };
    starts.map(|(index, _)| problem(index)).collect()
}

/// Actions of a job or a realm that put secure items: these need KMS, which Pumice does not use.
pub(super) fn secure(document: &Doc) -> Vec<Problem> {
    let mut problems = Vec::new();
    for list in ["on_success", "on_retry", "on_fail", "on_late"] {
        let actions = document.get(list).and_then(Value::as_array).into_iter().flatten();
        let is_secure = |action: &Value| {
            action["action"].as_str() == Some("state") && action["type"].as_str() == Some("secure")
        };
        for (index, _) in actions.enumerate().filter(|(_, action)| is_secure(action)) {
            let path = JsonPath::root().field(list).item(index).field("type");
            let message = "secure items need KMS on AWS, which Pumice does not use";
            let hint = "keep the secret in Parameter Store, and read it by a connection";
            problems.push(Problem::new(path, message).with_hint(hint));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use pumice_core::Timestamp;
    use serde_json::json;

    use crate::specs::documents::{Document, Documents, Surroundings, read};

    #[test]
    fn document_that_cannot_work_on_aws_is_refused_where_it_stands() {
        let job = |field: &str, value: serde_json::Value| {
            let mut job =
                json!({ "job_id": "a", "type": "log", "worker": "w", "payload": null, "enabled": true });
            job[field] = value;
            job
        };
        let registry = pumice_job_types::registry().unwrap();
        let no_service = "@reboot is the start of `pumice serve`, and on AWS no service starts";
        let no_kms = "secure items need KMS on AWS, which Pumice does not use";
        let secure = json!({ "action": "state", "state_id": "x", "value": "y", "type": "secure" });
        let log = json!({ "action": "log", "message": "m" });
        for (document, wanted) in [
            (job("schedule", json!("@reboot")), format!("schedule: {no_service}")),
            (job("schedule", json!({ "crontab": "@Reboot" })), format!("schedule: {no_service}")),
            (job("schedule", json!(["@hourly", "@reboot"])), format!("schedule[1]: {no_service}")),
            (job("on_success", json!([log, secure])), format!("on_success[1].type: {no_kms}")),
            (job("on_fail", json!([secure])), format!("on_fail[0].type: {no_kms}")),
            (job("on_retry", json!([secure])), format!("on_retry[0].type: {no_kms}")),
            (job("on_late", json!([secure])), format!("on_late[0].type: {no_kms}")),
            (json!({ "realm": "r", "on_fail": [secure] }), format!("on_fail[0].type: {no_kms}")),
        ] {
            let document =
                Document { file: "jobs.json".to_owned(), path: String::new(), allowed: Vec::new(), document };
            let given = || Documents { documents: vec![document.clone()], files: 1, ..Documents::default() };
            let read_in = |there: &Surroundings| read(given(), &registry, Timestamp::UNIX_EPOCH, there);
            let aws = Surroundings { is_aws: true, ..Surroundings::default() };
            let refused = read_in(&aws).unwrap_err();
            assert!(refused.message().contains(&format!("jobs.json: {wanted}")), "{wanted}: {refused}");
            assert!(read_in(&Surroundings::default()).is_ok(), "{wanted}");
        }
    }
}
