//! Calls that AWS carries out in part, puts off, or does not permit for a while: nothing is lost, and nothing done
//! twice.

use pumice_core::engine::Handled;
use pumice_core::ports::{RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, log_job, request};

/// Every call from now on.
const ALWAYS: usize = usize::MAX;
const THROTTLED: Fault = Fault::Error("ProvisionedThroughputExceededException");

async fn runs(realm: &Faulty) -> Vec<Run> {
    let query = RunQuery { limit: 1_000, ..RunQuery::default() };
    realm.cloud.realm.store().list(&query).await.expect("it answers")
}

/// Lets a worker run all there is, after the sweeper has looked.
async fn finish_all(realm: &Faulty) -> Vec<Run> {
    realm.housekeeper_at(realm.skewed_site(120).await).sweep().await.expect("it answers");
    let engine = realm.engine().await;
    while !realm.take(&engine).await.is_empty() {}
    runs(realm).await
}

#[tokio::test]
async fn unprocessed_keys_are_read_again() {
    let jobs: Vec<_> = (0..5).map(|number| log_job(&format!("note-{number}"))).collect();
    let mut large = log_job("large");
    large["description"] = "x".repeat(2_000).into();
    let realm = Faulty::start(&[jobs, vec![large]].concat()).await;
    let (dispatcher, engine) = (realm.dispatcher().await, realm.engine().await);
    realm.proxy.fail("BatchGetItem", Fault::InPart, ALWAYS);
    let requests = (0..5).map(|number| request(&format!("note-{number}"))).collect();
    for outcome in dispatcher.dispatch(requests, None).await {
        outcome.expect("its job is found");
    }
    // A record and its spec, which has an item of its own.
    let run = dispatch(&dispatcher, request("large")).await.expect("it is taken");
    assert_eq!(realm.work(&engine, &key_of(&run)).await.run.status, Status::Complete);
    assert_eq!(finish_all(&realm).await.len(), 6);
    assert!(realm.proxy.calls()["BatchGetItem"] > 10, "it was asked again");
}

#[tokio::test]
async fn table_giving_one_item_at_a_time_gives_all() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    for outcome in dispatcher.dispatch(vec![request("note"); 20], None).await {
        outcome.expect("it is taken");
    }
    let store = realm.realm().await.store().clone();
    realm.proxy.calls();
    realm.proxy.fail("BatchGetItem", Fault::InPart, ALWAYS);
    let query = RunQuery { limit: 1_000, ..RunQuery::default() };
    assert_eq!(store.list(&query).await.expect("it answers").len(), 20);
    assert_eq!(realm.proxy.calls()["BatchGetItem"], 20);
}

#[tokio::test]
async fn unsent_messages_of_a_batch_are_swept() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    realm.proxy.fail("SendMessageBatch", Fault::InPart, 1);
    let outcomes = dispatcher.dispatch(vec![request("note"); 5], None).await;
    let keys: Vec<_> = outcomes.iter().map(|o| key_of(o.as_ref().expect("it is recorded"))).collect();
    let engine = realm.engine().await;
    let mut handled = Vec::new();
    while handled.len() < 4 {
        handled.extend(realm.take(&engine).await);
    }
    assert_eq!(realm.take(&engine).await, [], "no message is sent for the first");
    for (place, key) in keys.iter().enumerate() {
        let expected = if place == 0 { Status::Dispatched } else { Status::Complete };
        assert_eq!(realm.load(key).await.map(|run| run.status), Some(expected), "{place}");
    }
    let later = realm.housekeeper_at(realm.skewed_site(120).await);
    assert_eq!(later.sweep().await.expect("it answers"), 1, "the first, and no other");
    assert_eq!(realm.work(&engine, &keys[0]).await.run.status, Status::Complete);
}

#[tokio::test]
async fn end_without_the_right_is_kept_until_it_is_written() {
    let realm = Faulty::start(&[]).await;
    realm.cloud.put_jobs(&[realm.marking_job("mark", 0)]).await;
    let key = key_of(&dispatch(&realm.dispatcher().await, request("mark")).await.expect("it is taken"));
    let (engine, other, body) = (realm.engine().await, realm.engine().await, realm.message().await);
    realm.proxy.calls();
    realm.proxy.fail_after("UpdateItem", 1, Fault::Error("AccessDeniedException"), ALWAYS);
    let again = body.clone();
    let working = tokio::spawn(async move { engine.handle(&body, 1, None).await });
    let mut writes = 0;
    while writes < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        writes += realm.proxy.calls().get("UpdateItem").unwrap_or(&0);
    }
    // The claim holds: a message that comes again starts nothing.
    assert_eq!(other.handle(&again, 2, None).await, Handled::Delete);
    assert_eq!(realm.load(&key).await.map(|run| run.status), Some(Status::Running));
    realm.proxy.heal();
    assert_eq!(working.await.expect("it ends"), Handled::Delete);
    let run = realm.load(&key).await.expect("it is there");
    assert_eq!((run.status, run.attempt, run.crashes, realm.marks()), (Status::Complete, 1, 0, 1));
}

#[tokio::test]
async fn end_with_a_lock_waits_while_the_table_is_busy() {
    let realm = Faulty::start(&[]).await;
    let mut job = realm.marking_job("locked", 0);
    job["overlap"] = "queue".into();
    realm.cloud.put_jobs(&[job]).await;
    let key = key_of(&dispatch(&realm.dispatcher().await, request("locked")).await.expect("it is taken"));
    let engine = realm.engine().await;
    realm.proxy.calls();
    // The first write is the claim. A pause of a second and one of two, not three tries at once.
    realm.proxy.fail_after("TransactWriteItems", 1, Fault::Cancelled("ThrottlingError"), 2);
    let began = std::time::Instant::now();
    let run = realm.work(&engine, &key).await.run;
    assert!(began.elapsed() > std::time::Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!((run.status, run.crashes, realm.marks()), (Status::Complete, 0, 1));
    assert_eq!(realm.proxy.calls()["TransactWriteItems"], 4);
}

#[tokio::test]
async fn event_throttled_halfway_makes_each_run_once() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    let event = || dispatcher.dispatch_event(vec![request("note"); 40], "sqs:1");
    // For a moment: the calls are tried again within the dispatch.
    realm.proxy.fail("PutItem", THROTTLED, 5);
    assert!(event().await.iter().all(Result::is_ok));
    assert_eq!(runs(&realm).await.len(), 40);
    // For longer: the event fails, and is delivered again.
    let event = || dispatcher.dispatch_event(vec![request("note"); 40], "sqs:2");
    realm.proxy.fail_after("PutItem", 15, THROTTLED, ALWAYS);
    let outcomes = event().await;
    let error = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).expect("it is throttled");
    assert!(error.to_string().contains("lava.test.runs"), "{error}");
    realm.proxy.heal();
    // The runs that were made have their messages, and need not wait for the sweeper.
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 15);
    let engine = realm.engine().await;
    while !realm.take(&engine).await.is_empty() {}
    let complete = runs(&realm).await.iter().filter(|run| run.status == Status::Complete).count();
    assert_eq!(complete, 40 + 15);
    assert!(event().await.iter().all(Result::is_ok));
    let ended = finish_all(&realm).await;
    assert_eq!(ended.len(), 80);
    assert!(ended.iter().all(|run| (run.status, run.attempt, run.crashes) == (Status::Complete, 1, 0)));
}
