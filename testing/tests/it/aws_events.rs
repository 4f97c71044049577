//! Every event of `events/`, through Lambda's own protocol on the binaries that would be deployed.

use std::collections::BTreeSet;
use std::path::Path;

use pumice_core::ids::RunKey;
use pumice_core::ports::RunStore;
use pumice_core::run::Status;
use pumice_testing::standins::{Cloud, Emulator, log_job};
use serde_json::{Value, json};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// An event, for the realm of the test.
pub(crate) fn event(name: &str) -> String {
    let text = std::fs::read_to_string(folder().join(name)).expect("the event is there");
    text.replace(r#"\"realm\": \"demo\""#, r#"\"realm\": \"test\""#)
}

/// The jobs that the events ask for.
pub(crate) fn jobs() -> [Value; 2] {
    [log_job("demo/hello"), log_job("ops/region")]
}

async fn cloud() -> Cloud {
    Cloud::start(&jobs()).await
}

/// The dispatcher's answer to each event: the jobs that it takes, or the records that failed.
pub(crate) const DISPATCHER: [(&str, &[&str]); 8] = [
    ("dispatcher-eventbridge.json", &["demo/hello"]),
    ("dispatcher-list.json", &["demo/hello", "ops/region", "demo/hello"]),
    ("dispatcher-object.json", &["demo/hello"]),
    ("dispatcher-schedule-rule.json", &["demo/hello"]),
    ("dispatcher-scheduler.json", &["ops/region"]),
    ("dispatcher-sns.json", &["demo/hello"]),
    ("dispatcher-text.json", &["demo/hello", "ops/region"]),
    ("dispatcher-sqs.json", &["2e1424d4-f796-459a-8184-9c92662be6da"]),
];
pub(crate) const SWEEP: &str = "dispatcher-sweep.json";
pub(crate) const WORKER: [&str; 3] = ["worker-batch.json", "worker-lava.json", "worker-run.json"];

#[test]
fn every_event_is_tried() {
    let files = std::fs::read_dir(folder()).expect("the folder is there").flatten();
    let found: BTreeSet<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    let mut tried: BTreeSet<String> = DISPATCHER.iter().map(|(name, _)| (*name).to_owned()).collect();
    tried.extend(WORKER.iter().chain([&SWEEP]).map(|name| (*name).to_owned()));
    assert_eq!(found, tried);
}

/// Checks what the dispatcher has answered to an event, and that there is a record of each run.
pub(crate) async fn dispatcher_took(cloud: &Cloud, name: &str, expected: &[&str], answer: &Value, log: &str) {
    let (list, field) = match answer.get("batchItemFailures") {
        Some(failures) => (failures, "itemIdentifier"),
        None => (&answer["accepted"], "job_id"),
    };
    let found: Vec<&str> =
        list.as_array().into_iter().flatten().filter_map(|item| item[field].as_str()).collect();
    assert_eq!(found, expected, "{name}: {answer}\n{log}");
    for run in answer["accepted"].as_array().into_iter().flatten() {
        let key: RunKey = run["run_id"].as_str().expect("an id").parse().expect("a key");
        assert!(cloud.realm.store().load(&key).await.expect("it answers").is_some(), "{name}: {run}");
    }
}

#[tokio::test]
async fn dispatcher_takes_its_events() {
    let cloud = cloud().await;
    let dispatcher = Emulator::start(&cloud, "dispatcher-lambda");
    for (name, expected) in DISPATCHER {
        let answer = dispatcher.invoke(&event(name));
        dispatcher_took(&cloud, name, expected, &answer, &dispatcher.log()).await;
    }
    assert_eq!(dispatcher.invoke(&event(SWEEP)), json!({ "swept": 0, "started": 0 }));
}

#[tokio::test]
async fn empty_realm_is_swept() {
    let cloud = cloud().await;
    let realms = cloud.clients.dynamodb.delete_item().table_name(cloud.names().realms());
    let key = aws_sdk_dynamodb::types::AttributeValue::S("test".to_owned());
    realms.key("realm", key).send().await.expect("it is removed");
    let dispatcher = Emulator::start(&cloud, "dispatcher-lambda");
    assert_eq!(dispatcher.invoke(&event(SWEEP)), json!({ "swept": 0, "started": 0 }));
    let refused = dispatcher.invoke(&event("dispatcher-object.json")).to_string();
    assert!(refused.contains("`pumice --aws apply` makes it"), "{refused}");
}

#[tokio::test]
async fn dispatcher_names_the_fault_of_an_event() {
    let cloud = cloud().await;
    let dispatcher = Emulator::start(&cloud, "dispatcher-lambda");
    for (event, wanted) in [
        (json!({ "hello": "world" }), "the event is not a dispatch request"),
        (json!("hello"), "the event is not a dispatch request"),
        (json!({ "Records": [{ "eventSource": "aws:kinesis" }] }), "the event is not a dispatch request"),
        (
            json!({ "Records": [{ "eventSource": "aws:s3" }] }),
            "an S3 event is malformed: s3.bucket.name is missing",
        ),
        (json!({ "job_id": "demo/hello", "scheduled_at": "<aws.scheduler.scheduled-time>" }), "scheduled_at"),
        (
            json!({ "id": "1", "source": "x", "detail-type": "x", "detail": { "job_id": "no/such" } }),
            "no such job no/such",
        ),
    ] {
        let answer = dispatcher.invoke(&event.to_string());
        let told = answer["errorMessage"].as_str().unwrap_or_default();
        assert!(told.contains(wanted), "{event}: {answer}");
        assert!(
            ["BadEvent", "Refused"].contains(&answer["errorType"].as_str().unwrap_or_default()),
            "{answer}"
        );
    }
    for (event, wanted) in [
        (r#"{"job_id": "demo/hello", "globals": {"x": 18446744073709551616}}"#, "more than 64 bits"),
        (r#"{"job_id": "demo/hello", "globals": {"x": 1e400}}"#, "larger than any float"),
        (r#"{"job_id": "demo/hello", "job_id": "demo/hello"}"#, "given twice"),
    ] {
        let answer = dispatcher.invoke(event);
        let told = answer["errorMessage"].as_str().unwrap_or_default();
        assert!(told.contains(wanted) && answer["errorType"] == "BadEvent", "{event}: {answer}");
    }
    let answer = dispatcher.invoke(r#"{"job_id": "demo/hello", "delay": "1h"}"#);
    assert!(answer["refused"][0]["error"].as_str().is_some_and(|error| error.contains("\"at\"")), "{answer}");
}

/// Checks the worker's answer to an event, and the outcome of each of its messages: a run, or a dead letter.
pub(crate) async fn worker_took(cloud: &Cloud, name: &str, answer: &Value, log: &str) {
    assert_eq!(*answer, json!({ "batchItemFailures": [] }), "{name}\n{log}");
    let event: Value = serde_json::from_str(&event(name)).expect("JSON");
    for record in event["Records"].as_array().expect("records") {
        let body = record["body"].as_str().expect("a body");
        let Ok(message) = serde_json::from_str::<Value>(body) else {
            let (dead, attributes) = cloud.message_of("lava-test-core-dlq").await;
            assert_eq!(dead, body);
            assert!(attributes["pumice.reason"].contains("is not a dispatch message"), "{attributes:?}");
            continue;
        };
        let key: RunKey = message["run_id"].as_str().expect("an id").parse().expect("a key");
        let run = cloud.realm.store().load(&key).await.expect("it answers").expect("it is there");
        assert_eq!(run.status, Status::Complete, "{name}");
    }
}

#[tokio::test]
async fn worker_takes_its_events() {
    let cloud = cloud().await;
    let worker = Emulator::start(&cloud, "worker-lambda");
    for name in WORKER {
        let answer = worker.invoke(&event(name));
        worker_took(&cloud, name, &answer, &worker.log()).await;
    }
}

#[tokio::test]
async fn worker_sends_foreign_messages_to_the_dead_letters() {
    let cloud = cloud().await;
    let mut elsewhere = log_job("elsewhere");
    elsewhere["worker"] = json!("other");
    cloud.put_jobs(&[elsewhere]).await;
    let worker = Emulator::start(&cloud, "worker-lambda");
    let record = |realm: &str, job: &str, run_id: &str| {
        let body = json!({ "realm": realm, "worker": "core", "job_id": job, "run_id": run_id, "ts_dispatch": "2026-03-01T00:00:00Z" });
        json!({ "Records": [{
            "messageId": "1", "receiptHandle": "1", "body": body.to_string(), "eventSource": "aws:sqs",
            "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {},
        }] })
        .to_string()
    };
    let run_id = "7d0f1a52-6a2b-4a35-9f0c-0d6f5f6f3c11";
    assert_eq!(worker.invoke(&record("prod", "demo/hello", run_id)), json!({ "batchItemFailures": [] }));
    let (_, attributes) = cloud.message_of("lava-test-core-dlq").await;
    assert_eq!(attributes["pumice.reason"], "the message is for realm prod, not test");
    assert_eq!(worker.invoke(&record("test", "elsewhere", run_id)), json!({ "batchItemFailures": [] }));
    let key: RunKey = run_id.parse().expect("a key");
    let run = cloud.realm.store().load(&key).await.expect("it answers").expect("it is there");
    let reason = run.reason.as_deref().unwrap_or_default();
    assert_eq!((run.status, reason), (Status::Rejected, "sent to worker core, but its job is for other"));
    let log = worker.log();
    assert!(log.contains(run_id) && log.contains("elsewhere"), "{log}");
    let answer = worker.invoke(r#"{"hello": "world"}"#);
    assert!(
        answer["errorMessage"].as_str().is_some_and(|told| told.contains("not an SQS event")),
        "{answer}"
    );
}
