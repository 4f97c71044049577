//! A deployment that changes a parameter alone: versions of the functions, their alias, and the way back.

use pumice_core::ids::RunKey;
use pumice_core::ports::{Catalog, RunStore};
use pumice_core::run::Status;
use pumice_testing::standins::{DISPATCHER, Deployed, log_job, until};
use serde_json::{Value, json};

const WORKER: &str = "lava-test-pumice-worker-core";
const FUNCTIONS: [&str; 2] = [DISPATCHER, WORKER];

fn alias(realm: &Deployed, function: &str) -> String {
    alias_named(realm, function, "live")
}

fn alias_named(realm: &Deployed, function: &str, name: &str) -> String {
    let path = format!("/2015-03-31/functions/{function}/aliases/{name}");
    let alias = realm.cloud.call("lambda", "GET", &path, None);
    alias["FunctionVersion"].as_str().unwrap_or_else(|| panic!("{alias}")).to_owned()
}

/// The configuration of a version.
fn version(realm: &Deployed, function: &str, version: &str) -> Value {
    let path = format!("/2015-03-31/functions/{function}/configuration?Qualifier={version}");
    realm.cloud.call("lambda", "GET", &path, None)
}

async fn completes(realm: &Deployed, key: &RunKey) {
    let run = realm.cloud.ended(key).await;
    assert_eq!((run.status, run.reason.as_deref()), (Status::Complete, None), "{}", realm.cloud.logs());
}

#[tokio::test]
async fn update_publishes_versions_and_runs_go_on() {
    let realm = Deployed::start(&[]).await;
    let cloud = &realm.cloud;
    let s3 = &cloud.clients.s3;
    s3.delete_bucket_policy()
        .bucket(realm.output("Bucket"))
        .send()
        .await
        .expect("no connection has TLS here");
    let mut slow = log_job("slow");
    slow["type"] = json!("cmd");
    slow["payload"] = json!("sleep 8");
    let document = json!({ "realm": "test" }).as_object().cloned().unwrap_or_default();
    cloud.realm.store().put_realm(document).await.expect("it is put");
    cloud.put_jobs(&[log_job("quick"), slow]).await;
    for function in FUNCTIONS {
        assert_eq!(alias(&realm, function), "1", "{function}");
    }

    let under_way = cloud.dispatch(&json!({ "job_id": "slow" }));
    let begun = until(async || {
        let run = cloud.realm.store().load(&under_way).await.expect("it answers")?;
        (run.status == Status::Running).then_some(())
    });
    begun.await.unwrap_or_else(|| panic!("it does not begin\n{}", cloud.logs()));
    realm.update(&["LogLevel=debug"]);
    assert_eq!(alias_named(&realm, DISPATCHER, "sweep"), "2", "sweeps are of the same version");
    for function in FUNCTIONS {
        assert_eq!(alias(&realm, function), "2", "{function}");
        let described = |number: &str| {
            let of = version(&realm, function, number);
            let level = of["Environment"]["Variables"]["PUMICE_LOG"].as_str().unwrap_or("?").to_owned();
            (level.clone(), of["Description"].as_str().unwrap_or("?").contains(&format!(" {level} ")))
        };
        assert_eq!(described("1"), ("info".to_owned(), true), "{function}");
        assert_eq!(described("2"), ("debug".to_owned(), true), "{function}");
    }
    completes(&realm, &under_way).await;
    completes(&realm, &cloud.dispatch(&json!({ "job_id": "quick" }))).await;

    // The way back, which takes no deployment.
    let path = format!("/2015-03-31/functions/{WORKER}/aliases/live");
    cloud.call("lambda", "PUT", &path, Some(&json!({ "FunctionVersion": "1" })));
    completes(&realm, &cloud.dispatch(&json!({ "job_id": "quick" }))).await;
    assert_eq!([alias(&realm, DISPATCHER), alias(&realm, WORKER)], ["2", "1"]);

    // A change that concerns no function publishes nothing.
    realm.update(&["LogLevel=debug", "AlarmErrors=9"]);
    assert_eq!([alias(&realm, DISPATCHER), alias(&realm, WORKER)], ["2", "1"]);
}
