//! A foreach whose steps are spread, on the stand-ins: what its steps and its parent ask, and that it ends.

use futures_util::future::join_all;
use pumice_core::ports::{Catalog, RunStore};
use pumice_core::run::Status;
use pumice_testing::standins::{Faulty, dispatch, key_of, log_job, request};
use serde_json::json;

/// How many items there are, unless `PUMICE_ITEMS` says so.
fn items() -> usize {
    std::env::var("PUMICE_ITEMS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

/// How many parts an index has at most after its first key.
const PARTS: usize = 8;

/// How many invocations of the worker take messages at the same time.
const INVOCATIONS: usize = 8;

/// The most memory that this process has had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

#[tokio::test]
async fn spread_foreach_ends_after_each_item_ran_once() {
    let each = json!({ "job_id": "each", "type": "foreach", "worker": "core", "enabled": true, "payload": "item",
        "parameters": { "foreach": { "type": "range", "name": "n", "stop": items() }, "limit": items(), "spread": true } });
    let realm = Faulty::start(&[log_job("item"), each]).await;
    let document = json!({ "realm": "test", "s3_temp": "s3://test-bucket/tmp", "config": { "FOREACH_MAX_LIMIT": 10_000 } });
    realm
        .cloud
        .realm
        .store()
        .put_realm(document.as_object().cloned().expect("an object"))
        .await
        .expect("put");
    let run = dispatch(&realm.dispatcher().await, request("each")).await.expect("it is taken");
    let (key, engine) = (key_of(&run), realm.engine().await);
    realm.proxy.calls();
    let began = std::time::Instant::now();
    let parent = loop {
        join_all((0..INVOCATIONS).map(|_| realm.take(&engine))).await;
        if let Some(run) = realm.load(&key).await.filter(|run| run.due_at.is_none()) {
            break run;
        }
        assert!(began.elapsed().as_secs() < 3_000, "{:?}", realm.load(&key).await);
    };
    let calls = realm.proxy.calls();
    println!(
        "{} items in {:?}, {} MiB at most, {} looks, {} writes of the parent: {calls:?}",
        items(),
        began.elapsed(),
        peak(),
        parent.epoch,
        parent.rev
    );
    assert_eq!(parent.status, Status::Complete, "{parent:?}");
    assert_eq!(
        (&parent.result["jobs_completed"], &parent.result["failed_indexes"]),
        (&json!(items()), &json!([]))
    );
    let children = realm.cloud.realm.store().children(&key, 1).await.expect("it reads");
    assert_eq!(children.len(), items());
    let is_whole = |child: &pumice_core::run::Run| {
        child.status == Status::Complete && child.epoch == 1 && child.ts_end <= parent.ts_end
    };
    let odd: Vec<_> = children.iter().filter(|child| !is_whole(child)).map(|child| &child.key).collect();
    assert!(odd.is_empty(), "{odd:?}");
    // A claim, a note that a step has ended, a rest and a report for each look, however many steps end.
    assert!(parent.rev <= 4 * parent.epoch + 4, "{} writes, {} looks", parent.rev, parent.epoch);
    // Each item: made, claimed, ended, done.
    assert_eq!(calls["PutItem"], items());
    // The index of their job is divided as they are many: one write for each batch and part at most.
    let batches = items() / 250 + 1;
    let most = 3 * items() + usize::try_from(parent.rev).expect("a count") + batches * (1 + PARTS);
    assert!(calls["UpdateItem"] <= most, "{calls:?}");
}
