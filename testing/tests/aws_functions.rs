//! The functions, as they would be deployed, on a stand-in that runs them as AWS Lambda does: from a
//! request to the record of its run, and through what goes wrong.

use pumice_core::run::Status;
use pumice_testing::standins::{Cloud, statuses};
use serde_json::{Value, json};

fn cmd(id: &str, line: &str) -> Value {
    json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": line })
}

fn log(id: &str) -> Value {
    json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": {} })
}

#[tokio::test]
async fn a_request_becomes_a_run_and_its_record() {
    let mut job = cmd("hello", "echo 'hello {{ globals.name }}'");
    job["globals"] = json!({ "name": "world" });
    let cloud = Cloud::start(&[job, log("note")]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let hello = cloud.dispatch(&json!({ "job_id": "hello", "globals": { "name": "Pele" } }));
    let note = cloud.dispatch(&json!({ "request": "note -p x=1" }));
    let run = cloud.ended(&hello).await;
    assert_eq!(statuses(&run), [Status::Dispatched, Status::Starting, Status::Running, Status::Complete]);
    assert_eq!(run.hostname.as_deref(), Some("worker-core"));
    let location = run.result["output"][0]["stdout"].as_str().expect("it wrote something");
    assert_eq!(location, format!("s3://test-bucket/tmp/hello/{}/stdout", run.run_id));
    let (bucket, key) = location.trim_start_matches("s3://").split_once('/').expect("a place");
    let object = cloud.clients.s3.get_object().bucket(bucket).key(key).send().await.expect("it was kept");
    assert_eq!(object.body.collect().await.expect("it is read").to_vec(), b"hello Pele\n");
    assert_eq!(cloud.ended(&note).await.status, Status::Complete);
    // One line of the log tells of the end, and carries its metrics.
    let logs = cloud.logs();
    let line = logs
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["run_id"] == json!(run.run_id) && line["_aws"].is_object());
    let line = line.unwrap_or_else(|| panic!("no line with metrics: {logs}"));
    assert_eq!(
        (&line["Runs"], &line["status"], &line["worker"]),
        (&json!(1), &json!("complete"), &json!("core"))
    );
    assert!(line["RunTime"].is_number() && line["Delay"].is_number(), "{line}");
}
