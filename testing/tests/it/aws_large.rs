//! Values too large for an item of a table: offloaded to S3 if there is a place for them, and else an
//! error that says what to do, once.

use pumice_core::engine::Handled;
use pumice_core::ports::{Catalog, RunQuery, RunStore};
use pumice_core::run::{Part, Run, Status};
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, log_job, request};
use serde_json::{Value, json};

/// DynamoDB's message about an item that it cannot keep.
const TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

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

/// Checks that the reason of a run contains these parts.
fn assert_told(run: &Run, parts: &[&str]) {
    let reason = run.reason.as_deref().unwrap_or_default();
    for part in parts {
        assert!(reason.contains(part), "{part} is missing: {reason}");
    }
}

#[tokio::test]
async fn result_without_a_place_fails_the_attempt_with_the_fix() {
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
async fn failure_whose_result_has_no_place_keeps_its_reason() {
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
async fn rendered_values_without_a_place_are_left_out() {
    let mut job = log_job("wide");
    job["render_at"] = "run".into();
    job["payload"] = json!({ "text": "x".repeat(100_000) });
    let realm = bare(&[job]).await;
    let run = dispatch(&realm.dispatcher().await, request("wide")).await.expect("it is taken");
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.attempt, worked.run.crashes), (Status::Complete, 1, 0));
    assert_eq!((worked.run.rendered, worked.run.reason), (None, None), "its work is done and recorded");
}

#[tokio::test]
async fn plan_without_a_place_fails_before_its_first_step() {
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
async fn step_whose_spec_has_no_place_fails_the_chain() {
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
async fn end_refused_by_the_table_is_recorded_without_result() {
    for (job, write, fault) in [
        ("free", "UpdateItem", Fault::Invalid(TOO_LARGE)),
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
        assert_told(&worked.run, &["its work is done", "lava.test.runs", TOO_LARGE]);
    }
}

#[tokio::test]
async fn claim_refused_by_the_table_drops_its_event_log() {
    let mut logged = log_job("logged");
    logged["event_log"] = json!({ "number": 1 });
    let step =
        json!({ "job_id": "all", "type": "chain", "worker": "core", "enabled": true, "payload": "logged" });
    let realm = Faulty::start(&[logged, step]).await;
    // The refused write is the claim of the run, and the making of the step, which is its claim as well.
    for (job, write, pass, of) in [("logged", "UpdateItem", 0, "/"), ("all", "PutItem", 1, "/1.0")] {
        realm.proxy.fail_after(write, pass, Fault::Invalid(TOO_LARGE), 1);
        let run = dispatch(&realm.dispatcher().await, request(job)).await.expect("it is taken");
        let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
        assert_eq!((worked.run.status, worked.run.crashes), (Status::Complete, 0), "{:?}", worked.run.reason);
        let logged = match of {
            "/" => worked.run,
            _ => realm.load(&worked.run.key.child(1, 0)).await.expect("it is there"),
        };
        let log = format!("{:?}", logged.log);
        assert!(log.contains("bad event_log: it cannot be recorded") && log.contains(TOO_LARGE), "{log}");
        realm.proxy.heal();
    }
}

#[tokio::test]
async fn run_whose_claim_the_table_never_takes_fails() {
    let mut queued = log_job("queued");
    queued["overlap"] = "queue".into();
    let realm = Faulty::start(&[log_job("note"), queued]).await;
    for (job, write, fault) in [
        ("note", "UpdateItem", Fault::Invalid(TOO_LARGE)),
        ("queued", "TransactWriteItems", Fault::Cancelled("ValidationError")),
    ] {
        realm.proxy.fail(write, fault, 1);
        let run = dispatch(&realm.dispatcher().await, request(job)).await.expect("it is taken");
        let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
        assert_eq!((worked.run.status, worked.handled), (Status::Failed, vec![Handled::Delete]), "{job}");
        assert_told(&worked.run, &["cannot record the transition", TOO_LARGE]);
    }
}

#[tokio::test]
async fn chain_that_cannot_wait_for_its_steps_fails() {
    let chain =
        json!({ "job_id": "all", "type": "chain", "worker": "core", "enabled": true, "payload": "step" });
    let realm = Faulty::start(&[]).await;
    let mut first = realm.marking_job("step", 4);
    first["overlap"] = "queue".into();
    realm.cloud.put_jobs(&[first, chain]).await;
    let dispatcher = realm.dispatcher().await;
    let held = key_of(&dispatch(&dispatcher, request("step")).await.expect("it is taken"));
    let (engine, body) = (realm.engine().await, realm.message().await);
    let working = tokio::spawn(async move { engine.handle(&body, 1, None).await });
    while realm.load(&held).await.is_some_and(|run| run.status != Status::Running) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let all = key_of(&dispatch(&dispatcher, request("all")).await.expect("it is taken"));
    // Its claim and that its step waits for the lock are written; then it would wait for the step.
    realm.proxy.fail_after("UpdateItem", 2, Fault::Invalid(TOO_LARGE), 1);
    let body = realm.message().await;
    assert_eq!(realm.engine().await.handle(&body, 1, None).await, Handled::Delete);
    let run = realm.load(&all).await.expect("it is there");
    assert_eq!((run.status, run.crashes), (Status::Failed, 0), "{:?}", run.reason);
    assert_told(&run, &[TOO_LARGE]);
    assert!(realm.load(&all.child(1, 0)).await.is_some_and(|step| step.status == Status::Cancelled));
    working.await.expect("it ends");
}

/// The places in S3 that hold a part of a record.
async fn places(realm: &Faulty, name: &str) -> Vec<String> {
    let asked = realm.cloud.clients.s3.list_objects_v2().bucket("test-bucket").prefix("tmp/.pumice/");
    let found = asked.send().await.expect("it answers");
    let keys = found.contents().iter().filter_map(|object| object.key());
    keys.filter(|key| key.contains(&format!("/{name}-"))).map(str::to_owned).collect()
}

/// Removes them, as a bucket's rule does after a while.
async fn expire(realm: &Faulty, name: &str) {
    let all = places(realm, name).await;
    assert_eq!(all.len(), 1, "{all:?}");
    for key in all {
        let gone = realm.cloud.clients.s3.delete_object().bucket("test-bucket").key(key);
        gone.send().await.expect("it is removed");
    }
}

/// A run that has failed once with a large result, and is tried again in five minutes.
async fn retrying(realm: &Faulty) -> Run {
    retrying_with(realm, "exit 3").await
}

async fn retrying_with(realm: &Faulty, line: &str) -> Run {
    let mut job = wordy_job(realm);
    job["payload"] = format!("sh -c '{line}' {}", "x".repeat(100_000)).into();
    job["iteration_limit"] = 2.into();
    job["iteration_delay"] = "5m".into();
    realm.cloud.put_jobs(&[job]).await;
    let key = key_of(&dispatch(&realm.dispatcher().await, request("wordy")).await.expect("it is taken"));
    assert_eq!(realm.take(&realm.engine().await).await, [Handled::Delete]);
    realm.load(&key).await.expect("it is there")
}

#[tokio::test]
async fn result_missing_in_s3_is_logged_and_stops_nothing() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let run = retrying(&realm).await;
    assert_eq!((run.status, &run.result["error"]), (Status::Retrying, &json!("Failed with exit status 3")));
    expire(&realm, "result").await;
    let run = realm.load(&run.key).await.expect("it is readable");
    assert!(run.result.is_null() && run.gone(Part::Result).is_some(), "{:?}", run.offloaded);
    assert_eq!(runs_of(&realm, "wordy").await.len(), 1);
    let shown = realm.cloud.pumice(&["runs", "show", run.key.as_str()]);
    assert!(shown.contains("its result is gone from s3://test-bucket/tmp/.pumice/"), "{shown}");
    // The sweeper and the next attempt go on.
    let later = realm.skewed_site(1_200).await;
    assert_eq!(realm.housekeeper_at(later.clone()).sweep().await.expect("it answers"), 1);
    let ended = realm.work(&realm.engine_at(later), &run.key).await.run;
    assert_eq!((ended.status, ended.attempt, ended.crashes), (Status::Failed, 2, 0));
    assert_eq!(ended.result["error"], "Failed with exit status 3", "it has the result of its last attempt");
}

#[tokio::test]
async fn lists_and_sweeper_skip_offloaded_values_without_loss() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let run = retrying(&realm).await;
    let later = realm.housekeeper_at(realm.skewed_site(1_200).await);
    let store = realm.realm().await.store().clone();
    realm.proxy.calls();
    let query = RunQuery { job: Some("wordy".to_owned()), limit: 100, ..RunQuery::default() };
    let listed = store.list(&query).await.expect("it answers");
    assert!(listed[0].result.is_null() && listed[0].place_of(Part::Result).is_some());
    assert_eq!(later.sweep().await.expect("it answers"), 1);
    let calls = realm.proxy.calls();
    assert!(!calls.contains_key("GET") && !calls.contains_key("PUT"), "{calls:?}");
    let swept = realm.load(&run.key).await.expect("it is there");
    assert_eq!((swept.rev, &swept.result), (run.rev + 1, &run.result));
}

#[tokio::test]
async fn run_is_watched_without_offloaded_values() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (first, gate) = (folder.path().join("first"), folder.path().join("gate"));
    // Its second attempt ends when it is let.
    let waits = format!("until [ -e {} ]; do sleep 0.02; done", gate.display());
    let line = format!("if mkdir {}; then exit 3; fi; {waits}; exit 3", first.display());
    let run = retrying_with(&realm, &line).await;
    let later = realm.skewed_site(1_200).await;
    assert_eq!(realm.housekeeper_at(later.clone()).sweep().await.expect("it answers"), 1);
    let engine = realm.engine_at(later);
    let body = realm.message().await;
    realm.proxy.calls();
    let working = tokio::spawn(async move { engine.handle(&body, 2, None).await });
    // It was read with its spec, and is looked at each second.
    let (mut looks, mut fetched) = (0, 0);
    while looks < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let calls = realm.proxy.calls();
        looks += calls.get("GetItem").unwrap_or(&0);
        fetched += calls.get("GET").unwrap_or(&0);
    }
    assert_eq!(fetched, 1);
    std::fs::write(&gate, "").expect("it is written");
    assert_eq!(working.await.expect("it ends"), Handled::Delete);
    let ended = realm.load(&run.key).await.expect("it is there");
    assert_eq!((ended.status, ended.attempt, ended.crashes), (Status::Failed, 2, 0));
}

#[tokio::test]
async fn offloaded_values_stay_when_the_realm_loses_its_place() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let run = retrying(&realm).await;
    let document = json!({ "realm": "test" }).as_object().cloned().expect("an object");
    realm.cloud.realm.store().put_realm(document).await.expect("it is put");
    let later = realm.skewed_site(1_200).await;
    realm.housekeeper_at(later.clone()).sweep().await.expect("it answers");
    realm.proxy.calls();
    let ended = realm.work(&realm.engine_at(later), &run.key).await.run;
    // The claim keeps what the first attempt left; only what the second one adds has no place.
    assert_eq!((ended.status, ended.attempt, ended.crashes), (Status::Failed, 2, 0));
    assert_told(&ended, &["exit status 3", "give realm test an s3_temp"]);
    assert!(!realm.proxy.calls().contains_key("PUT"), "nothing is put again");
}

#[tokio::test]
async fn missing_spec_fails_its_run() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let mut large = request("note");
    large.globals.insert("x".to_owned(), Value::String("x".repeat(500_000)));
    let run = dispatch(&realm.dispatcher().await, large).await.expect("it is taken");
    expire(&realm, "spec").await;
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!(worked.run.status, Status::Failed);
    assert_told(&worked.run, &["its spec is gone from s3://test-bucket/tmp/.pumice/"]);
}

#[tokio::test]
async fn missing_plan_fails_its_run_and_is_not_made_anew() {
    let realm = Faulty::start(&[]).await;
    let step = "a-step-whose-name-is-long";
    let chain = json!({ "job_id": "all", "type": "chain", "worker": "core", "enabled": true,
        "render_at": "run", "payload": vec![step; 5_000] });
    realm.cloud.put_jobs(&[realm.marking_job(step, 600), chain]).await;
    let key = key_of(&dispatch(&realm.dispatcher().await, request("all")).await.expect("it is taken"));
    let (engine, body) = (realm.engine().await, realm.message().await);
    let again = body.clone();
    let working = tokio::spawn(async move { engine.handle(&body, 1, None).await });
    let store = realm.cloud.realm.store();
    while store.children(&key, 1).await.expect("it answers").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The worker is lost while the first step is under way.
    working.abort();
    expire(&realm, "rendered").await;
    let later = realm.engine_at(realm.skewed_site(1_200).await);
    assert_eq!(later.handle(&again, 2, None).await, Handled::Delete);
    let run = realm.load(&key).await.expect("it is there");
    assert_eq!((run.status, run.crashes), (Status::Failed, 1));
    assert_told(&run, &["the plan of its steps is gone from s3://test-bucket/tmp/.pumice/"]);
    assert!(store.children(&key, 1).await.expect("it answers").iter().all(|step| step.cancel));
}
