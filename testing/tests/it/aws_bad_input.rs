//! Faults on AWS: each has a clear error, the right retry or dead letter, and loses nothing.

use std::sync::Arc;

use pumice_core::engine::Handled;
use pumice_core::ids::RunKey;
use pumice_core::message::Message;
use pumice_core::ports::{JobStore, RunQuery, RunStore};
use pumice_core::run::{NEVER, Run, Status};
use pumice_core::spec::JobSpec;
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, log_job, request};
use serde_json::{Value, json};

/// Every call from now on.
const ALWAYS: usize = usize::MAX;

async fn runs(realm: &Faulty) -> Vec<Run> {
    let query = RunQuery { limit: 100, ..RunQuery::default() };
    realm.cloud.realm.store().list(&query).await.expect("it answers")
}

#[tokio::test]
async fn child_whose_record_vanished_goes_to_the_dead_letters() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let run = dispatch(&realm.dispatcher().await, request("note")).await.expect("it is taken");
    let mut message: Message = serde_json::from_str(&realm.message().await).expect("a message");
    message.run_key = Some(RunKey::root(run.run_id).child(1, 0));
    let handled = realm.engine().await.handle(&message.body(), 1, None).await;
    assert_eq!(handled, Handled::Bury("there is no record of this step".to_owned()));
}

#[tokio::test]
async fn record_vanishing_during_a_run_is_logged() {
    let job =
        json!({ "job_id": "slow", "type": "cmd", "worker": "core", "enabled": true, "payload": "sleep 600" });
    let realm = Faulty::start(&[job]).await;
    let run = dispatch(&realm.dispatcher().await, request("slow")).await.expect("it is taken");
    let (key, body) = (key_of(&run), realm.message().await);
    let engine = realm.engine().await;
    let working = tokio::spawn(async move { engine.handle(&body, 1, None).await });
    while realm.load(&key).await.is_some_and(|run| run.status != Status::Running) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    realm.remove(&key).await;
    // The command is stopped, and nothing is written in place of the removed record.
    assert_eq!(working.await.expect("it ends"), Handled::Delete);
    assert!(realm.load(&key).await.is_none());
}

#[tokio::test]
async fn stored_job_and_realm_with_mistakes_run() {
    use pumice_core::ports::Catalog;
    let realm = Faulty::start(&[]).await;
    let store = realm.cloud.realm.store();
    let config = json!({ "EVENT_TTL": null, "CMD_TIMEOUT": "soon" });
    let document =
        json!({ "realm": "test", "s3_temp": "s3://test-bucket/tmp", "config": config, "on_fail": "pager" });
    store.put_realm(document.as_object().cloned().expect("an object")).await.expect("it is put");
    let odd = json!({ "job_id": "odd", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "colour": "red", "event_log": "{{ 1 +", "iteration_limit": "2", "on_success": [{ "action": "pager" }, "log"] });
    let odd = JobSpec::stored(Arc::new(odd.as_object().cloned().expect("an object"))).expect("it can run");
    store.put_jobs(vec![odd], false).await.expect("it is put");
    let run = dispatch(&realm.dispatcher().await, request("odd")).await.expect("it is taken");
    let run = realm.work(&realm.engine().await, &key_of(&run)).await.run;
    assert_eq!((run.status, run.retry.limit, run.expires), (Status::Complete, 2, NEVER));
    let told: Vec<String> = run.log.entries.iter().map(|entry| entry.info.to_string()).collect();
    for part in [
        "colour: no such field",
        "event_log: ",
        "on_success[0].action: no such action",
        "on_success[1]: ",
        "config.CMD_TIMEOUT",
        "bad event_log",
    ] {
        assert!(told.iter().any(|entry| entry.contains(part)), "{part}: {told:?}");
    }
    let failed = run.log.entries.iter().filter(|entry| entry.status == Status::ActionFailed);
    assert_eq!(failed.count(), 2, "{told:?}");
}

#[tokio::test]
async fn message_over_a_mebibyte_is_refused() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let mut large = request("note");
    large.globals.insert("x".to_owned(), Value::String("x".repeat(1_100_000)));
    let error = dispatch(&realm.dispatcher().await, large).await.expect_err("it is too large").to_string();
    assert!(error.contains("1048576"), "{error}");
    assert!(runs(&realm).await.is_empty());
}

#[tokio::test]
async fn payload_over_400_kb_is_kept_in_s3_and_runs() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let mut large = request("note");
    large.globals.insert("x".to_owned(), Value::String("x".repeat(500_000)));
    let run = dispatch(&realm.dispatcher().await, large).await.expect("it is taken");
    let key = key_of(&run);
    assert_eq!(realm.work(&realm.engine().await, &key).await.run.status, Status::Complete);
    let (_, spec) =
        realm.cloud.realm.store().load_with_spec(&key).await.expect("it answers").expect("it is there");
    assert_eq!(spec.job["globals"]["x"].as_str().map(str::len), Some(500_000));
    let kept =
        realm.cloud.clients.s3.list_objects_v2().bucket("test-bucket").prefix("tmp/.pumice/").send().await;
    assert_eq!(kept.expect("it answers").contents().len(), 1);
}

#[tokio::test]
async fn large_payload_without_a_place_is_refused_with_the_fix() {
    use pumice_core::ports::Catalog;
    let realm = Faulty::start(&[log_job("note")]).await;
    let bare = json!({ "realm": "test" }).as_object().cloned().expect("an object");
    realm.cloud.realm.store().put_realm(bare).await.expect("it is put");
    let mut large = request("note");
    large.globals.insert("x".to_owned(), Value::String("x".repeat(500_000)));
    let error = dispatch(&realm.dispatcher().await, large).await.expect_err("it is too large").to_string();
    assert!(error.contains("give realm test an s3_temp"), "{error}");
    assert!(runs(&realm).await.is_empty());
}

#[tokio::test]
async fn missing_right_is_reported_with_its_table() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    realm.proxy.fail("PutItem", Fault::Error("AccessDeniedException"), ALWAYS);
    let error = dispatch(&dispatcher, request("note")).await.expect_err("it is denied").to_string();
    for part in ["lava.test.runs", "AccessDeniedException", "lacks this permission"] {
        assert!(error.contains(part), "{error}");
    }
    realm.proxy.heal();
    // A send that may not be done loses nothing: the sweeper sends it.
    realm.proxy.fail("SendMessageBatch", Fault::Error("AccessDenied"), ALWAYS);
    let run = dispatch(&dispatcher, request("note")).await.expect("the run is recorded");
    realm.proxy.heal();
    let later = realm.housekeeper_at(realm.skewed_site(120).await);
    assert_eq!(later.sweep().await.expect("it answers"), 1);
    assert_eq!(realm.work(&realm.engine().await, &key_of(&run)).await.run.status, Status::Complete);
}

#[tokio::test]
async fn claim_without_the_right_brings_the_message_back() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let run = dispatch(&realm.dispatcher().await, request("note")).await.expect("it is taken");
    let (engine, body) = (realm.engine().await, realm.message().await);
    realm.proxy.fail("UpdateItem", Fault::Error("AccessDeniedException"), ALWAYS);
    assert!(matches!(engine.handle(&body, 1, None).await, Handled::Again(_)));
    realm.proxy.heal();
    assert_eq!(engine.handle(&body, 2, None).await, Handled::Delete);
    let run = realm.load(&key_of(&run)).await.expect("it is there");
    assert_eq!((run.status, run.attempt, run.crashes), (Status::Complete, 1, 0));
}

#[tokio::test]
async fn tables_and_queues_that_are_not_there_are_named() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let clients = &realm.cloud.clients;
    let nowhere = pumice_aws::Names::new("none", realm.cloud.names().realm().clone());
    let other = pumice_aws::Realm::new(clients, &nowhere, None);
    let error = other.store().realm().await.expect_err("there is none").to_string();
    assert!(error.contains("none.realms") && error.contains("is the realm deployed"), "{error}");
    let worker = pumice_core::ids::WorkerName::new("core").expect("a name");
    let error = other.queues().put_aside(&worker, "x", "y").await.expect_err("there is none").to_string();
    assert!(error.contains("none-test-core-dlq") && error.contains("is the realm deployed"), "{error}");
}

#[tokio::test]
async fn largest_message_becomes_a_dead_letter_without_a_reason() {
    let realm = Faulty::start(&[]).await;
    let worker = pumice_core::ids::WorkerName::new("core").expect("a name");
    let queues = realm.realm().await.queues().clone();
    let reason = "it is not for this realm ".repeat(10);
    // The last one is refused with its reason, as by a queue that takes less than SQS does at most.
    for (bytes, expected) in [(1_048_576 - 60, Some(41)), (1_048_576, None), (10, None)] {
        if bytes == 10 {
            realm.proxy.fail("SendMessage", Fault::Error("InvalidParameterValue"), 1);
        }
        queues.put_aside(&worker, &"x".repeat(bytes), &reason).await.expect("it is a dead letter");
        let (body, attributes) = realm.cloud.message_of("lava-test-core-dlq").await;
        let told = attributes.get("pumice.reason");
        assert_eq!((body.len(), told.map(String::len)), (bytes, expected));
        assert!(told.is_none_or(|told| reason.starts_with(told)), "{told:?}");
    }
}

#[tokio::test]
async fn throttling_at_the_end_of_an_attempt_is_waited_out() {
    let realm = Faulty::start(&[]).await;
    realm.cloud.put_jobs(&[realm.marking_job("mark", 1)]).await;
    let run = dispatch(&realm.dispatcher().await, request("mark")).await.expect("it is taken");
    let (key, body) = (key_of(&run), realm.message().await);
    let engine = realm.engine().await;
    let working = tokio::spawn(async move { engine.handle(&body, 1, None).await });
    while realm.marks() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for write in ["UpdateItem", "TransactWriteItems", "PutItem"] {
        realm.proxy.fail(write, Fault::Error("ProvisionedThroughputExceededException"), ALWAYS);
    }
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    realm.proxy.heal();
    assert_eq!(working.await.expect("it ends"), Handled::Delete);
    let run = realm.load(&key).await.expect("it is there");
    assert_eq!((run.status, run.attempt, run.crashes, realm.marks()), (Status::Complete, 1, 0, 1));
}

#[tokio::test]
async fn hanging_endpoint_is_given_up_and_called_again() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    realm.proxy.fail("*", Fault::Hang, ALWAYS);
    let began = std::time::Instant::now();
    let error = dispatch(&dispatcher, request("note")).await.expect_err("no server answers").to_string();
    assert!(error.contains("lava.test.jobs") && error.contains("no answer in time"), "{error}");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    realm.proxy.heal();
    dispatch(&dispatcher, request("note")).await.expect("it is taken again");
}

#[tokio::test]
async fn write_without_an_answer_takes_place_once() {
    // A spec of a kilobyte and more is written in a transaction with the record.
    for (write, times, spec) in
        [("PutItem", 1, 0), ("TransactWriteItems", 1, 2_000), ("UpdateItem", 1, 0), ("UpdateItem", 2, 0)]
    {
        let realm = Faulty::start(&[]).await;
        let mut job = realm.marking_job("mark", 0);
        job["description"] = "x".repeat(spec).into();
        realm.cloud.put_jobs(&[job]).await;
        let dispatcher = realm.dispatcher().await;
        let engine = realm.engine().await;
        realm.proxy.fail(write, Fault::Unanswered, times);
        let run = dispatch(&dispatcher, request("mark")).await.expect("it is taken");
        assert!(!run.existing, "it was made now, and its message is sent: {write}");
        let worked = realm.work(&engine, &key_of(&run)).await;
        assert_eq!((worked.run.status, worked.run.crashes), (Status::Complete, 0), "{write}");
        assert_eq!((realm.marks(), runs(&realm).await.len()), (1, 1), "{write}");
    }
}

#[tokio::test]
async fn clock_five_minutes_wrong_loses_nothing() {
    let realm = Faulty::start(&[]).await;
    realm.cloud.put_jobs(&[realm.marking_job("mark", 0)]).await;
    let dispatcher = realm.dispatcher().await;
    // A worker whose clock is slow takes the run for one that is to start later, and leaves it.
    let slow = realm.engine_at(realm.skewed_site(-300).await);
    let run = dispatch(&dispatcher, request("mark")).await.expect("it is taken");
    let key = key_of(&run);
    assert_eq!(realm.take(&slow).await, [Handled::Delete]);
    assert_eq!((realm.marks(), realm.load(&key).await.map(|run| run.status)), (0, Some(Status::Dispatched)));
    // The sweeper sends it again; any other worker runs it.
    realm.housekeeper_at(realm.skewed_site(120).await).sweep().await.expect("it answers");
    assert_eq!(realm.work(&realm.engine().await, &key).await.run.status, Status::Complete);
    // One whose clock is fast runs what it is given.
    let fast = realm.engine_at(realm.skewed_site(300).await);
    let run = dispatch(&dispatcher, request("mark")).await.expect("it is taken");
    assert_eq!(realm.work(&fast, &key_of(&run)).await.run.status, Status::Complete);
    assert_eq!(realm.marks(), 2);
}
