//! One run's calls to AWS, counted where they go out: a ceiling on its cost.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use pumice_core::engine::{Dispatcher, Engine, Handled, Housekeeper};
use pumice_core::message::Message;
use pumice_core::run::Status;
use pumice_service::stats::cost::Used;
use pumice_testing::standins::{Faulty, Units, dispatch, key_of, log_job, request};

fn calls(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(action, count)| ((*action).to_owned(), *count)).collect()
}

#[tokio::test]
async fn run_costs_three_calls_to_dispatch_and_three_to_run() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    let first = dispatch(&dispatcher, request("note")).await.expect("it is taken");
    // Two reads, one of them the realm's; one write; one send. No question about the queue.
    assert_eq!(
        realm.proxy.calls(),
        calls(&[("BatchGetItem", 1), ("GetItem", 1), ("PutItem", 1), ("SendMessageBatch", 1)])
    );
    dispatch(&dispatcher, request("note")).await.expect("it is taken");
    assert_eq!(realm.proxy.calls(), calls(&[("BatchGetItem", 1), ("PutItem", 1), ("SendMessageBatch", 1)]));

    let engine = realm.engine().await;
    assert_eq!(realm.proxy.calls(), calls(&[("GetItem", 1)]), "the settings, once for a process");
    realm.work(&engine, &key_of(&first)).await;
    let worked = realm.proxy.calls();
    // Both runs may have been taken at once. The pauses are read once in ten seconds.
    let runs = worked["BatchGetItem"];
    assert_eq!(worked, calls(&[("BatchGetItem", runs), ("GetItem", 1), ("UpdateItem", 2 * runs)]));
}

/// A realm, a dispatcher and an engine that have read whatever a process reads once, by a run of one of
/// these jobs. Counting begins here.
async fn warm(jobs: &[serde_json::Value], job_id: &str) -> (Faulty, Dispatcher, Engine) {
    let realm = Faulty::start(jobs).await;
    let (dispatcher, engine) = (realm.dispatcher().await, realm.engine().await);
    let first = dispatch(&dispatcher, request(job_id)).await.expect("it is taken");
    realm.work(&engine, &key_of(&first)).await;
    realm.proxy.units();
    realm.proxy.calls();
    (realm, dispatcher, engine)
}

#[tokio::test]
async fn run_costs_two_read_and_six_write_units() {
    let (realm, dispatcher, engine) = warm(&[log_job("note")], "note").await;
    let run = dispatch(&dispatcher, request("note")).await.expect("it is taken");
    // The job; the record and its two indexes.
    assert_eq!(realm.proxy.units(), Units { read: 1, written: 3.0 }, "docs/cost.md");
    realm.work(&engine, &key_of(&run)).await;
    // The record; the claim, the end, and out of an index.
    assert_eq!(realm.proxy.units(), Units { read: 1, written: 3.0 }, "docs/cost.md");
}

#[tokio::test]
async fn cold_worker_reads_once_and_writes_twice() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let run = dispatch(&realm.dispatcher().await, request("note")).await.expect("it is taken");
    let (cold, body) = (realm.realm().await, realm.message().await);
    let message: Message = serde_json::from_str(&body).expect("a message");
    realm.proxy.calls();
    // As its function does: the runs of the event are read with the realm.
    cold.store().read_ahead(&[message.key()]).await.expect("it answers");
    let engine = realm.engine_at(realm.site(&cold).await);
    assert_eq!(engine.handle(&body, 1, None).await, Handled::Delete);
    let counted = realm.proxy.calls();
    assert_eq!(counted, calls(&[("BatchGetItem", 1), ("GetItem", 1), ("UpdateItem", 2)]), "the pauses");
    assert_eq!(realm.load(&key_of(&run)).await.map(|run| run.status), Some(Status::Complete));
    // A record that was read ahead is used once: the second time, the run is read as it is by then.
    assert_eq!(engine.handle(&body, 2, None).await, Handled::Delete);
    assert_eq!(realm.proxy.calls(), calls(&[("BatchGetItem", 1)]));
}

#[tokio::test]
async fn large_spec_costs_one_more_read() {
    let mut job = log_job("note");
    job["description"] = "x".repeat(3_000).into();
    let realm = Faulty::start(&[job]).await;
    let (dispatcher, engine) = (realm.dispatcher().await, realm.engine().await);
    realm.proxy.calls();
    let run = dispatch(&dispatcher, request("note")).await.expect("it is taken");
    let counted = realm.proxy.calls();
    assert_eq!((counted.get("TransactWriteItems"), counted.get("PutItem")), (Some(&1), None));
    assert_eq!(realm.work(&engine, &key_of(&run)).await.run.crashes, 0);
    // The spec, and what is paused.
    assert_eq!(realm.proxy.calls(), calls(&[("BatchGetItem", 1), ("GetItem", 2), ("UpdateItem", 2)]));
}

/// The bytes of a value, as DynamoDB counts them (DynamoDB, item sizes and formats).
fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.trim_start_matches('-').len().div_ceil(2) + 1,
        AttributeValue::L(items) => 3 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        AttributeValue::M(fields) => 3 + fields.iter().map(|(n, v)| n.len() + size(v) + 1).sum::<usize>(),
        _ => 1,
    }
}

#[tokio::test]
async fn record_of_a_small_run_stays_within_a_kilobyte() {
    let realm = Faulty::start(&[log_job("etl/load/orders")]).await;
    let run = dispatch(&realm.dispatcher().await, request("etl/load/orders")).await.expect("it is taken");
    let key = key_of(&run);
    realm.work(&realm.engine().await, &key).await;
    let stored = realm.cloud.clients.dynamodb.get_item().table_name("lava.test.runs");
    let stored = stored.key("run_id", AttributeValue::S(key.to_string()));
    let stored = stored.key("path", AttributeValue::S("/".to_owned()));
    let item = stored.send().await.expect("it answers").item.expect("it is there");
    let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
    assert!(item.contains_key("spec"), "its spec stands in it: {item:?}");
    assert!(bytes <= 1_024, "{bytes} bytes: {item:#?}");
}

/// A job of a type with this payload, for `core`.
fn job(id: &str, job_type: &str, payload: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({ "job_id": id, "type": job_type, "worker": "core", "enabled": true, "payload": payload })
}

#[tokio::test]
async fn chain_of_ten_costs_56_write_units() {
    let steps: Vec<String> = (0..10).map(|number| format!("step{number}")).collect();
    let mut jobs: Vec<_> = steps.iter().map(|id| log_job(id)).collect();
    jobs.push(job("chain", "chain", &steps.into()));
    let (realm, dispatcher, engine) = warm(&jobs, "step0").await;
    let run = dispatch(&dispatcher, request("chain")).await.expect("it is taken");
    assert_eq!(realm.work(&engine, &key_of(&run)).await.run.status, Status::Complete);
    // On a slow machine the engine reads it in between, to see whether it was cancelled.
    let looks = realm.proxy.calls().get("GetItem").copied().unwrap_or(0);
    assert_eq!(realm.proxy.units(), Units { read: 12 + looks, written: 56.0 }, "docs/cost.md");
}

#[tokio::test]
async fn fan_out_of_a_hundred_costs_four_write_units_each() {
    let leaves: Vec<String> = (0..100).map(|number| format!("leaf{number}")).collect();
    let mut jobs: Vec<_> = leaves.iter().map(|id| log_job(id)).collect();
    jobs.push(job("fan", "dispatch", &leaves.into()));
    let (realm, dispatcher, engine) = warm(&jobs, "leaf0").await;
    let run = dispatch(&dispatcher, request("fan")).await.expect("it is taken");
    assert_eq!(realm.work(&engine, &key_of(&run)).await.run.status, Status::Complete);
    // The large spec of the job itself is read by itself; every further such read is a look, as above.
    let mut counted = realm.proxy.calls();
    let looks = counted.remove("GetItem").unwrap_or(0) - 1;
    // A hundred records with three indexes; running them is 3 more each, as above.
    assert_eq!(realm.proxy.units(), Units { read: 103 + looks, written: 415.0 }, "docs/cost.md");
    // Runs are made one by one, each on a condition of its own; jobs and messages go in batches.
    assert_eq!(
        counted,
        calls(&[
            ("BatchGetItem", 3),
            ("PutItem", 100),
            ("SendMessageBatch", 11),
            ("TransactWriteItems", 1),
            ("UpdateItem", 2)
        ])
    );
}

#[tokio::test]
async fn scheduled_start_and_idle_sweep_make_the_documented_calls() {
    let ahead = chrono::TimeDelta::seconds(90);
    let (realm, dispatcher, _) = warm(&[log_job("note")], "note").await;
    let housekeeper = Housekeeper::with(dispatcher);
    let sweep = async || {
        housekeeper.sweep().await.expect("it is swept");
        housekeeper.keep_to_rules().await.expect("it answers");
        housekeeper.strike(ahead).await.expect("it strikes").started
    };
    // A process that has just begun reads which timetables were looked at by other rules.
    assert_eq!(sweep().await, 0);
    assert_eq!(realm.proxy.calls(), calls(&[("GetItem", 1), ("Query", 17 + 8)]));
    assert_eq!(sweep().await, 0);
    // One for each part of the index on what is due, for runs and for schedules; one for backfills. And the realm.
    assert_eq!(realm.proxy.calls(), calls(&[("GetItem", 1), ("Query", 17)]), "docs/cost.md");
    let mut job = log_job("daily");
    let due = |seconds: i64| (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339();
    job["schedule"] = serde_json::json!({ "at": [due(60), due(86_400)] });
    realm.cloud.put_jobs(&[job]).await;
    realm.proxy.units();
    realm.proxy.calls();
    assert_eq!(sweep().await, 1);
    // The timetable, and the job, to look at it three times: at the change, to name the run, and to make it; the job, to
    // dispatch it; the run, and the timetable each time. And the realm, twice as the job was changed.
    let wanted =
        [("BatchGetItem", 5), ("GetItem", 2), ("PutItem", 4), ("Query", 17), ("SendMessageBatch", 1)];
    assert_eq!(realm.proxy.calls(), calls(&wanted));
    assert_eq!(realm.proxy.units(), Units { read: 3 + 4, written: 8.0 }, "docs/cost.md");
}

#[tokio::test]
async fn cost_of_a_run_is_estimated_as_it_is_counted() {
    let steps = [log_job("one"), log_job("two")];
    let chain = job("chain", "chain", &serde_json::json!(["one", "two"]));
    let (realm, dispatcher, engine) = warm(&[&steps[..], &[chain]].concat(), "one").await;
    for (name, children) in [("one", 0), ("chain", 2)] {
        let run = dispatch(&dispatcher, request(name)).await.expect("it is taken");
        let key = key_of(&run);
        assert_eq!(realm.work(&engine, &key).await.run.status, Status::Complete);
        let looks = realm.proxy.calls().get("GetItem").copied().unwrap_or(0);
        let counted = realm.proxy.units();
        let mut used = Used::default();
        used.take(&realm.load(&key).await.expect("it is there"));
        for number in 0..children {
            used.take_step(&realm.load(&key.child(1, number)).await.expect("a step"));
        }
        let cost = used.cost();
        let written: u32 = cost.write_units.try_into().expect("a few");
        assert_eq!(
            (cost.read_units, f64::from(written)),
            ((counted.read - looks) as u64, counted.written),
            "{name}"
        );
    }
}
