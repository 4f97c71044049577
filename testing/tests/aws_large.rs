//! What is too large for an item of a table: kept in S3 where there is a place for it, and else an error
//! that says what to do, told once.

use pumice_core::engine::Handled;
use pumice_core::ports::{Catalog, RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, log_job, request};
use serde_json::{Value, json};

/// A realm with these jobs and no place in S3.
async fn bare(jobs: &[Value]) -> Faulty {
    let realm = Faulty::start(jobs).await;
    let document = json!({ "realm": "test" }).as_object().cloned().expect("an object");
    realm.cloud.realm.store().put_realm(document).await.expect("it is put");
    realm
}

/// A job that leaves a mark and whose result has more than a record holds: its command line is in it.
fn wordy_job(realm: &Faulty) -> Value {
    let mut job = realm.marking_job("wordy", 0);
    let line = format!("{} {}", job["payload"].as_str().expect("a line"), "x".repeat(100_000));
    job["payload"] = line.into();
    job["iteration_limit"] = 3.into();
    job["on_fail"] = json!([{ "action": "dispatch", "job_id": "note" }]);
    job
}

async fn runs_of(realm: &Faulty, job: &str) -> Vec<Run> {
    let query = RunQuery { job: Some(job.to_owned()), limit: 100, ..RunQuery::default() };
    realm.cloud.realm.store().list(&query).await.expect("it answers")
}

/// What the reason of a run must say.
fn assert_told(run: &Run, parts: &[&str]) {
    let reason = run.reason.as_deref().unwrap_or_default();
    for part in parts {
        assert!(reason.contains(part), "{part} is missing: {reason}");
    }
}

#[tokio::test]
async fn a_result_without_a_place_for_it_fails_the_attempt_once_and_says_the_fix() {
    let realm = bare(&[log_job("note")]).await;
    realm.cloud.put_jobs(&[wordy_job(&realm)]).await;
    let run = dispatch(&realm.dispatcher().await, request("wordy")).await.expect("it is taken");
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.attempt, worked.run.crashes), (Status::Failed, 1, 0));
    assert_eq!(realm.marks(), 1, "the work is done once");
    let parts = ["its work is done", "the result of run", "98304", "give realm test an s3_temp"];
    assert_told(&worked.run, &parts);
    assert_eq!(worked.handled[0], Handled::Delete);
    assert_eq!(runs_of(&realm, "note").await.len(), 1, "its actions are done");
}

#[tokio::test]
async fn a_failure_whose_result_has_no_place_is_told_as_what_it_is() {
    let realm = bare(&[log_job("note")]).await;
    let mut job = wordy_job(&realm);
    job["payload"] = format!("sh -c 'exit 3' {}", "x".repeat(100_000)).into();
    job["iteration_limit"] = 1.into();
    realm.cloud.put_jobs(&[job]).await;
    let run = dispatch(&realm.dispatcher().await, request("wordy")).await.expect("it is taken");
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.crashes), (Status::Failed, 0));
    assert_told(&worked.run, &["exit status 3", "give realm test an s3_temp"]);
}

#[tokio::test]
async fn what_is_rendered_at_the_start_without_a_place_for_it_fails_the_attempt() {
    let mut job = log_job("wide");
    job["render_at"] = "run".into();
    job["payload"] = json!({ "text": "x".repeat(100_000) });
    let realm = bare(&[job]).await;
    let run = dispatch(&realm.dispatcher().await, request("wide")).await.expect("it is taken");
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.attempt, worked.run.crashes), (Status::Failed, 1, 0));
    assert_told(&worked.run, &["its work is done", "the rendered of run", "give realm test an s3_temp"]);
}

#[tokio::test]
async fn a_plan_without_a_place_for_it_fails_before_its_first_step() {
    let step = "a-step-whose-name-is-long";
    let chain = json!({ "job_id": "all", "type": "chain", "worker": "core", "enabled": true,
        "render_at": "run", "payload": vec![step; 5_000] });
    let realm = bare(&[log_job(step), chain]).await;
    let run = dispatch(&realm.dispatcher().await, request("all")).await.expect("it is taken");
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.crashes), (Status::Failed, 0));
    assert_told(&worked.run, &["the rendered of run", "give realm test an s3_temp"]);
}

#[tokio::test]
async fn a_step_whose_spec_has_no_place_fails_the_chain() {
    let mut step = log_job("step");
    step["payload"] = json!({ "text": "x".repeat(200_000) });
    let chain =
        json!({ "job_id": "all", "type": "chain", "worker": "core", "enabled": true, "payload": "step" });
    let realm = bare(&[step, chain]).await;
    let run = dispatch(&realm.dispatcher().await, request("all")).await.expect("it is taken");
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.attempt), (Status::Failed, 1));
    assert_told(&worked.run, &["job step", "the spec of run", "give realm test an s3_temp"]);
}

#[tokio::test]
async fn one_request_that_is_too_large_does_not_stop_the_others() {
    let realm = bare(&[log_job("note")]).await;
    let mut large = request("note");
    large.globals.insert("x".to_owned(), Value::String("x".repeat(500_000)));
    let dispatcher = realm.dispatcher().await;
    let outcomes = dispatcher.dispatch(vec![request("note"), large, request("note")], None).await;
    let taken: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true]);
    assert_eq!(runs_of(&realm, "note").await.len(), 2);
}

#[tokio::test]
async fn an_end_that_the_table_does_not_take_is_recorded_without_its_result() {
    for (job, write, fault) in [
        ("free", "UpdateItem", Fault::Error("ValidationException")),
        ("locked", "TransactWriteItems", Fault::Cancelled("ValidationError")),
    ] {
        let realm = Faulty::start(&[]).await;
        let mut locked = realm.marking_job("locked", 0);
        locked["overlap"] = "queue".into();
        realm.cloud.put_jobs(&[realm.marking_job("free", 0), locked]).await;
        let run = dispatch(&realm.dispatcher().await, request(job)).await.expect("it is taken");
        // The first write is the claim.
        realm.proxy.fail_after(write, 1, fault, 1);
        let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
        assert_eq!((worked.run.status, worked.run.crashes, realm.marks()), (Status::Failed, 0, 1), "{job}");
        assert_told(&worked.run, &["its work is done", "lava.test.runs", "made by a test"]);
    }
}
