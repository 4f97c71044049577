//! Signed specs of runs: a record that was not written by Pumice is not run.

use aws_sdk_dynamodb::types::AttributeValue;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::ports::{RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Cloud, DISPATCHER, FunctionSpec};
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn cmd(id: &str, line: &str) -> Value {
    json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": line })
}

/// Deploys the dispatcher with a key, if one is given.
fn deploy_dispatcher(cloud: &Cloud, key: Option<&str>) {
    let environment: Vec<(&str, &str)> = key.map(|key| ("PUMICE_SIGNING_KEY", key)).into_iter().collect();
    let function = FunctionSpec {
        name: DISPATCHER,
        binary: "dispatcher-lambda",
        timeout: 60,
        environment: &environment,
    };
    cloud.deploy(&function);
}

/// Deploys worker `core`, which admits what has no signature or not.
fn deploy_worker(cloud: &Cloud, unsigned: &str) {
    let environment =
        [("LAVA_WORKER", "core"), ("PUMICE_SIGNING_KEY", KEY), ("PUMICE_UNSIGNED_RUNS", unsigned)];
    let function =
        FunctionSpec { name: "worker-core", binary: "worker-lambda", timeout: 30, environment: &environment };
    cloud.deploy(&function);
    let queue = cloud.names().queue(&WorkerName::new("core").expect("a name"));
    cloud.map_queue(&queue, "worker-core", 1);
}

/// Makes the realm's secret, with the key.
fn make_secret(cloud: &Cloud) {
    // The token is any text of this length.
    let secret =
        json!({ "Name": "lava-test-pumice-signing", "SecretString": KEY, "ClientRequestToken": KEY });
    cloud.call_json("secretsmanager", "secretsmanager.CreateSecret", &secret);
}

/// A run that is recorded and has no worker yet.
fn recorded(cloud: &Cloud, job: &str) -> RunKey {
    cloud.dispatch(&json!({ "job_id": job }))
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Writes an attribute of a run's record, as a process with the credentials of some worker may.
async fn write(cloud: &Cloud, key: &RunKey, name: &str, value: AttributeValue) {
    let update = cloud.clients.dynamodb.update_item().table_name(cloud.names().runs());
    let update = update.key("run_id", text(key.as_str())).key("path", text("/"));
    let update = update.update_expression("SET #name = :value").expression_attribute_names("#name", name);
    update.expression_attribute_values(":value", value).send().await.expect("it is written");
}

async fn read(cloud: &Cloud, key: &RunKey, name: &str) -> AttributeValue {
    let read = cloud.clients.dynamodb.get_item().table_name(cloud.names().runs());
    let read = read.key("run_id", text(key.as_str())).key("path", text("/"));
    let item = read.send().await.expect("it answers").item.expect("it is there");
    item[name].clone()
}

fn assert_not_run(run: &Run, why: &str) {
    assert_eq!(run.ts_start, None, "it was not begun");
    let reason = run.reason.as_deref().unwrap_or_default();
    assert!(matches!(run.status, Status::Failed | Status::Rejected) && reason.contains(why), "{run:?}");
}

#[tokio::test]
async fn changed_record_is_not_run_and_says_why() {
    let jobs = [
        cmd("good", "echo good"),
        cmd("other", "echo other"),
        cmd("long", &format!("echo {}", "x".repeat(2_000))),
    ];
    let cloud = Cloud::start(&jobs).await;
    deploy_dispatcher(&cloud, Some(KEY));
    let whole = recorded(&cloud, "good");
    let long = recorded(&cloud, "long");
    let [changed, swapped, bare, sent_elsewhere] = [(); 4].map(|()| recorded(&cloud, "good"));
    // The spec itself; with another run's signature; without any.
    let AttributeValue::S(spec) = read(&cloud, &changed, "spec").await else { panic!("a text") };
    write(&cloud, &changed, "spec", text(&spec.replace("echo good", "echo evil"))).await;
    let other = recorded(&cloud, "other");
    for name in ["spec", "spec_signature"] {
        let value = read(&cloud, &other, name).await;
        write(&cloud, &swapped, name, value).await;
    }
    write(&cloud, &bare, "spec_signature", text("none")).await;
    write(&cloud, &sent_elsewhere, "worker", text("other")).await;
    deploy_worker(&cloud, "refuse");
    for key in [&whole, &long, &other] {
        let run = cloud.ended(key).await;
        assert_eq!((run.status, run.reason), (Status::Complete, None), "{}", cloud.logs());
    }
    assert_not_run(
        &cloud.ended(&changed).await,
        "its spec is not trusted: its signature is not that of this realm",
    );
    assert_not_run(&cloud.ended(&swapped).await, "its signature is not that of this realm");
    assert_not_run(&cloud.ended(&bare).await, "it has no signature");
    assert_not_run(
        &cloud.ended(&sent_elsewhere).await,
        "its spec is for worker core, its record for worker other",
    );
}

#[tokio::test]
async fn forged_spec_of_an_ended_run_goes_into_no_new_run() {
    let cloud = Cloud::start(&[cmd("bad", "false good"), cmd("sound", "false sound")]).await;
    make_secret(&cloud);
    deploy_dispatcher(&cloud, Some(KEY));
    deploy_worker(&cloud, "refuse");
    let [forged, bare, sound] = ["bad", "bad", "sound"].map(|job| recorded(&cloud, job));
    for key in [&forged, &bare, &sound] {
        assert_eq!(cloud.ended(key).await.status, Status::Failed, "{}", cloud.logs());
    }
    let AttributeValue::S(spec) = read(&cloud, &forged, "spec").await else { panic!("a text") };
    write(&cloud, &forged, "spec", text(&spec.replace("false good", "echo evil"))).await;
    write(&cloud, &bare, "spec_signature", text("none")).await;
    // People may look at it all the same.
    assert!(cloud.pumice(&["runs", "show", forged.as_str(), "-o", "json"]).contains(forged.as_str()));
    for (key, why) in [(&forged, "its signature is not that of this realm"), (&bare, "it has no signature")] {
        let id = format!("id:{key}");
        for spec in ["pinned", "latest"] {
            for words in [vec![key.as_str()], vec![key.as_str(), "--dry-run"], vec!["--where", &id]] {
                let asked = [&["runs", "retry", "-o", "json", "--spec", spec][..], &words].concat();
                let output = cloud.pumice_command(&asked).output().expect("it runs");
                let all = [output.stdout, output.stderr].concat();
                let printed = String::from_utf8_lossy(&all);
                let wanted = format!("its spec is not trusted: {why}");
                assert!(!output.status.success() && printed.contains(&wanted), "{asked:?}: {printed}");
            }
        }
    }
    let again = cloud.pumice(&["runs", "retry", "--spec", "pinned", sound.as_str(), "-o", "json"]);
    assert!(again.contains("accepted"), "{again}");
    let query = RunQuery { job: Some("bad".to_owned()), limit: 10, ..RunQuery::default() };
    let runs = cloud.realm.store().list(&query).await.expect("the store answers");
    assert_eq!(runs.len(), 2, "no further run of it was made");
}

#[tokio::test]
async fn signed_run_is_not_run_by_a_worker_without_the_key() {
    let cloud = Cloud::start(&[cmd("good", "echo good")]).await;
    deploy_dispatcher(&cloud, Some(KEY));
    let signed = recorded(&cloud, "good");
    cloud.deploy_worker("core", 30, 1);
    assert_not_run(&cloud.ended(&signed).await, "it is signed, and this process has no key");
    // A worker that must check does not begin without the key.
    let worker = ["worker", "core"];
    let mut refused = cloud.pumice_command(&worker);
    let refused = refused.env("PUMICE_UNSIGNED_RUNS", "refuse").output().expect("it runs");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("secret lava-test-pumice-signing"), "{told}");
}

#[tokio::test]
async fn run_without_a_signature_is_run_where_that_is_admitted() {
    let cloud = Cloud::start(&[cmd("good", "echo good")]).await;
    deploy_dispatcher(&cloud, None);
    let (unsigned, forged) = (recorded(&cloud, "good"), recorded(&cloud, "good"));
    let signature = AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([1; 16]));
    write(&cloud, &forged, "spec_signature", signature).await;
    deploy_worker(&cloud, "admit");
    assert_eq!(cloud.ended(&unsigned).await.status, Status::Complete);
    assert_not_run(&cloud.ended(&forged).await, "its signature is not that of this realm");
}

#[tokio::test]
async fn steps_jobs_that_jobs_start_and_those_of_people_are_signed() {
    let chain = json!({ "job_id": "all", "type": "chain", "worker": "core", "enabled": true, "payload": "good, good" });
    let many =
        json!({ "job_id": "many", "type": "dispatch", "worker": "core", "enabled": true, "payload": "good" });
    let cloud = Cloud::start(&[cmd("good", "echo good"), chain, many]).await;
    deploy_dispatcher(&cloud, Some(KEY));
    deploy_worker(&cloud, "refuse");
    for job in ["all", "many"] {
        let run = cloud.ended(&recorded(&cloud, job)).await;
        assert_eq!((run.status, run.reason), (Status::Complete, None), "{}", cloud.logs());
    }
    assert_eq!(cloud.ended_run_of("good").await.status, Status::Complete);
    // People's, with the key of the environment, and with that of the realm's secret.
    let wait = ["dispatch", "good", "--wait"];
    let refused = cloud.pumice_command(&wait).output().expect("it runs");
    assert!(!refused.status.success(), "there is no key: {refused:?}");
    let given = cloud.pumice_command(&wait).env("PUMICE_SIGNING_KEY", KEY).output().expect("it runs");
    assert!(given.status.success(), "{given:?}");
    make_secret(&cloud);
    let found = cloud.pumice_command(&wait).output().expect("it runs");
    assert!(found.status.success(), "{found:?}");
}
