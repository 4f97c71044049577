//! Pumice beside lava itself, on one realm: each dispatches what the other runs.

use std::process::Command;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use pumice_core::ids::RunKey;
use pumice_core::ports::Catalog;
use pumice_core::run::Status;
use pumice_testing::standins::{Cloud, folder, until};
use serde_json::{Value, json};

/// A job as lava wants it: with all that lava's schema asks for.
fn job(id: &str, worker: &str, kind: &str, payload: Value) -> Value {
    json!({
        "job_id": id, "type": kind, "worker": worker, "enabled": true, "payload": payload,
        "description": "of both", "owner": "us",
    })
}

/// The tables that only lava uses, and the realm as lava wants it.
async fn add_lavas(cloud: &Cloud) {
    for (table, keys) in [("events", vec!["job_id", "run_id"]), ("connections", vec!["conn_id"])] {
        let mut request = cloud.clients.dynamodb.create_table().table_name(format!("lava.test.{table}"));
        for (name, kind) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
            let key = KeySchemaElement::builder().attribute_name(*name).key_type(kind);
            let attribute = AttributeDefinition::builder().attribute_name(*name);
            request = request.key_schema(key.build().expect("a key")).attribute_definitions(
                attribute.attribute_type(ScalarAttributeType::S).build().expect("an attribute"),
            );
        }
        request.billing_mode(BillingMode::PayPerRequest).send().await.expect("it is made");
    }
    let realm = json!({
        "realm": "test", "s3_temp": "s3://test-bucket/tmp", "s3_payloads": "s3://test-bucket/payloads",
        "s3_key": "alias/lava-test-user",
    });
    cloud.realm.store().put_realm(realm.as_object().cloned().expect("an object")).await.expect("it is put");
}

/// One of lava's programs on the realm.
fn lava(cloud: &Cloud, program: &str, home: &std::path::Path) -> Command {
    let mut command = Command::new(folder().join("lava/bin").join(program));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("AWS_ENDPOINT_URL", cloud.server.url()).env("AWS_DEFAULT_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("LAVA_TMPDIR", home);
    command
}

#[tokio::test]
async fn what_lava_dispatches_pumice_runs() {
    let mut reads = job("reads", "core", "cmd", json!("echo '{{ state.mark }}' '{{ globals.who }}'"));
    reads["state"] = json!({ "mark": "none" });
    let cloud = Cloud::start(&[reads]).await;
    add_lavas(&cloud).await;
    cloud.deploy_worker("core", 30, 1);
    let home = tempfile::tempdir().expect("a folder");
    // A state item that lava put.
    let put = "import sys; from lava.lib.state import LavaStateItem; \
               LavaStateItem.new(state_id='mark', realm='test', value=[1, 'two']).put()";
    let put = lava(&cloud, "python", home.path()).args(["-c", put]).output().expect("python runs");
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let mut dispatcher = lava(&cloud, "lava-dispatcher", home.path());
    let sent = dispatcher.args(["-r", "test", "-g", "who=lava", "reads"]).output().expect("lava runs");
    let told = format!("{}{}", String::from_utf8_lossy(&sent.stdout), String::from_utf8_lossy(&sent.stderr));
    assert!(sent.status.success(), "{told}");
    let run = cloud.ended_run_of("reads").await;
    assert_eq!(run.status, Status::Complete, "{run:#?}");
    assert!(told.contains(&run.run_id.to_string()), "lava printed another run id: {told}");
    let output = cloud.object(run.result["output"][0]["stdout"].as_str().expect("it wrote")).await;
    assert_eq!(output, "[1, 'two'] lava\n");
}

#[tokio::test]
async fn what_pumice_dispatches_lava_runs() {
    let cloud = Cloud::start(&[job("note", "other", "log", Value::Null)]).await;
    add_lavas(&cloud).await;
    cloud.deploy_dispatcher();
    let key: RunKey = cloud.dispatch(&json!({ "job_id": "note", "globals": { "who": "pumice" } }));
    let home = tempfile::tempdir().expect("a folder");
    let mut worker = lava(&cloud, "lava-worker", home.path());
    worker.args([
        "--root",
        "--batch",
        "-r",
        "test",
        "-w",
        "other",
        "--wait",
        "1",
        "--sleep",
        "1",
        "-t",
        "1",
        "--no-colour",
    ]);
    let worked = worker.output().expect("lava runs");
    let told = String::from_utf8_lossy(&worked.stderr).into_owned();
    let found = until(async || {
        let asked = cloud.clients.dynamodb.get_item().table_name("lava.test.events");
        let asked = asked.key("job_id", AttributeValue::S("note".to_owned()));
        asked.key("run_id", AttributeValue::S(key.to_string())).send().await.expect("it answers").item
    });
    let item = found.await.unwrap_or_else(|| panic!("lava has no record of the run: {told}"));
    assert_eq!(item["status"], AttributeValue::S("complete".to_owned()), "{told}");
}
