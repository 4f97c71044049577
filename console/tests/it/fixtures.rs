//! A realm that has everything, and whose texts attack.

use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::Doc;
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::RunSpec;
use pumice_service::specs::{Apply, apply};
use pumice_service::{Realm, connections, secrets, state};
use pumice_testing::folder::Folder;
use serde_json::{Value, json};

/// A text that runs as a script wherever it is not escaped.
pub(crate) const SCRIPT: &str = "</script><img src=x onerror=alert(1)>'\"&{{ 7*7 }}";
/// The ids of jobs that links must bring back whole.
pub(crate) const ODD_IDS: [&str; 5] =
    ["etl/load/01", "größe/日本/🚀 job", "a&b=c#d?e%2Ff+g", "<b>bold</b>'\"", "[x]*"];
/// The statuses that a run can be in.
pub(crate) const STATUSES: [Status; 9] = [
    Status::Dispatched,
    Status::Running,
    Status::Waiting,
    Status::Retrying,
    Status::Complete,
    Status::Failed,
    Status::Skipped,
    Status::Rejected,
    Status::Cancelled,
];

/// The id of the run with a number.
pub(crate) fn run_id(number: usize) -> RunId {
    format!("0190a0a0-0000-7000-8000-{number:012}").parse().unwrap()
}

fn job(id: &str, more: Value) -> Value {
    let mut job = json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "echo hello", "description": SCRIPT });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

/// A realm with jobs of many kinds, and runs of each status with texts that attack.
pub(crate) async fn lively() -> Folder {
    let folder = Folder::new().await;
    fill(&folder).await;
    folder
}

/// Fills a realm.
pub(crate) async fn fill(realm: &Folder) {
    let mut documents = vec![
        job(
            "nightly",
            json!({ "schedule": [{ "crontab": "0 3 * * *" }, { "every": "6h" }], "timezone": "Europe/Berlin" }),
        ),
        job("off", json!({ "enabled": false, "schedule": "@hourly" })),
        job("templated", json!({ "enabled": "{{ globals.on }}", "globals": { "on": "true" } })),
        json!({ "job_id": "chained", "type": "chain", "worker": "core", "enabled": true, "payload": ["etl/load/01", "nightly"] }),
        json!({ "job_id": "dagged", "type": "dag", "worker": "core", "enabled": true,
            "payload": { "nightly": null, "etl/load/01": "nightly", "templated": ["nightly", "etl/load/01"] } }),
        json!({ "trigger_id": format!("t/{SCRIPT}").replace("{{ 7*7 }}", ""), "bucket": "in", "prefix": "*", "job_id": ["nightly"], "enabled": true }),
        json!({ "conn_id": "box", "type": "ssh", "ssh_key": "k", "description": SCRIPT }),
    ];
    documents.extend(ODD_IDS.map(|id| job(id, json!({}))));
    let specs: Vec<Value> = documents.into_iter().map(|document| json!({ "document": document })).collect();
    let request: Apply = serde_json::from_value(json!({ "specs": { "documents": specs } })).unwrap();
    apply(realm, request).await.unwrap();
    for (id, text, secure) in [("seen/at", SCRIPT, false), ("hidden", "hidden-canary-22", true)] {
        let request = json!({ "id": id, "value": { "text": text }, "secure": secure });
        state::put(realm, serde_json::from_value(request).unwrap()).await.unwrap();
    }
    let secret = json!({ "name": "k", "value": "fixture-canary-5150" });
    secrets::set(realm, serde_json::from_value(secret).unwrap()).await.unwrap();
    assert_eq!(connections::list(realm, &connections::ListConnections::default()).await.unwrap().len(), 1);
    runs(realm).await;
}

/// Runs in every status, of jobs with odd ids, and a chain with its steps.
async fn runs(realm: &Folder) {
    let now = realm.now();
    let mut made = Vec::new();
    for (number, status) in STATUSES.into_iter().enumerate() {
        let id = ODD_IDS[number % ODD_IDS.len()];
        let mut run = run(RunKey::root(run_id(number)), id, now - TimeDelta::minutes(number as i64));
        stand(&mut run, status);
        made.push(NewRun { run, spec: spec(id) });
    }
    let root = RunKey::root(run_id(100));
    for (key, id, status) in [
        (root.clone(), "dagged", Status::Failed),
        (root.child(1, 0), "nightly", Status::Complete),
        (root.child(1, 1), "etl/load/01", Status::Failed),
    ] {
        let is_root = key.depth() == 0;
        let mut run = run(key, id, now);
        stand(&mut run, status);
        if is_root {
            run.job_type = "dag".to_owned();
        }
        let spec = if is_root { dag() } else { spec(id) };
        made.push(NewRun { run, spec });
    }
    let messages: Vec<Message> =
        made.iter().take(STATUSES.len()).map(|one| Message::about(realm.name(), &one.run)).collect();
    let made: Vec<_> = made.into_iter().map(|one| (one, None)).collect();
    assert!(realm.runs().create(&made).await.unwrap().iter().all(|one| one.is_new()));
    for message in messages {
        realm.bury(message, &format!("set aside: {SCRIPT}")).await;
    }
}

fn run(key: RunKey, job: &str, at: pumice_core::Timestamp) -> Run {
    let run_id = key.run_id().unwrap();
    let about = (JobId::stored(job).unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
    Run::dispatched(key, run_id, about, at, at, Span::from_days(30))
}

/// Has a run stand in a status, with texts that attack wherever there may be one.
fn stand(run: &mut Run, status: Status) {
    run.status = status;
    run.attempt = 1;
    run.log.push(status, run.ts_dispatch, json!(SCRIPT));
    run.log.push(Status::ActionFailed, run.ts_dispatch, json!({ "why": SCRIPT }));
    if !matches!(status, Status::Dispatched | Status::Skipped | Status::Rejected) {
        run.ts_start = Some(run.ts_dispatch);
    }
    if status.is_end() {
        run.ts_end = Some(run.ts_dispatch + TimeDelta::seconds(3));
        run.due_at = None;
    }
    if status.is_failure() {
        run.reason = Some(format!("it broke: {SCRIPT}"));
    }
    if status == Status::Complete {
        let location = format!("/out/{}/stdout", run.key);
        run.result = json!({ "exit_status": 0, "output": [{ "payload": SCRIPT, "exit_status": 0, "stdout": location }] });
    }
}

fn spec(id: &str) -> RunSpec {
    let document = job(id, json!({ "globals": { "x": SCRIPT }, "parameters": { "args": [SCRIPT] } }));
    let job: Doc = document.as_object().unwrap().clone();
    RunSpec::of_job(Arc::new(job))
}

fn dag() -> RunSpec {
    let document = json!({ "job_id": "dagged", "type": "dag", "worker": "core", "enabled": true,
        "payload": { "nightly": null, "etl/load/01": "nightly", "templated": ["nightly", "etl/load/01"] } });
    RunSpec::of_job(Arc::new(document.as_object().unwrap().clone()))
}
