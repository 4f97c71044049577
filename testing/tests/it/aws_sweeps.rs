//! Sweeps over many runs on the stand-in, counted where the calls go out.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{TimeDelta, Utc};
use pumice_core::ids::RunKey;
use pumice_core::ports::{Queue, RunStore};
use pumice_core::request::{DispatchRequest, When};
use pumice_testing::standins::{Faulty, key_of, log_job, request};

/// How many runs are due at one time: more than one page of each part of the index, or than `PUMICE_DUE` says.
fn many() -> usize {
    std::env::var("PUMICE_DUE").ok().and_then(|count| count.parse().ok()).unwrap_or(1_200)
}

/// Dispatches a job so many times, for a time after now.
async fn dispatch(realm: &Faulty, count: usize, after: TimeDelta) -> Vec<RunKey> {
    let dispatcher = realm.dispatcher().await;
    let mut keys = Vec::new();
    let asked = DispatchRequest { when: When::At(Utc::now() + after), ..request("note") };
    for part in vec![asked; count].chunks(500) {
        let taken = dispatcher.dispatch(part.to_vec(), None).await;
        keys.extend(taken.iter().map(|taken| key_of(taken.as_ref().expect("it is taken"))));
    }
    realm.proxy.calls();
    keys
}

async fn backlog(realm: &Faulty) -> u64 {
    let core = pumice_core::ids::WorkerName::new("core").expect("a name");
    let depth = realm.cloud.realm.queues().depth(&core).await.expect("it answers");
    depth.ready + depth.delayed
}

#[tokio::test]
async fn all_that_is_due_at_one_time_is_sent_by_one_sweep() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let count = many();
    dispatch(&realm, count, TimeDelta::hours(1)).await;
    assert_eq!(backlog(&realm).await, 0);
    // As of a clock that is 50 minutes ahead.
    let housekeeper = realm.housekeeper_at(realm.skewed_site(3_000).await);
    realm.proxy.calls();
    let swept = housekeeper.sweep().await.expect("it sweeps");
    let calls = realm.proxy.calls();
    println!("{count} due runs in one sweep: {calls:?}");
    assert_eq!((swept, backlog(&realm).await), (count, u64::try_from(count).expect("a count")));
    // One write for each; the rest goes in batches: of 20 runs two for their messages, of a page one in a hundred to read.
    let of = |action: &str| calls.get(action).copied().unwrap_or(0);
    let parts = 8;
    assert_eq!(of("UpdateItem"), count);
    assert!(of("SendMessageBatch") <= count / 10 + parts * 2, "{calls:?}");
    assert!(
        of("BatchGetItem") <= count / 100 + parts && of("Query") <= count / 1_000 + 2 * parts,
        "{calls:?}"
    );
    assert_eq!(housekeeper.sweep().await.expect("it sweeps"), 0);
}

#[tokio::test]
async fn timed_run_behind_a_backlog_is_sent_by_the_next_sweep() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let count = many();
    dispatch(&realm, count, TimeDelta::zero()).await;
    let timed = dispatch(&realm, 1, TimeDelta::minutes(16)).await.remove(0);
    let housekeeper = realm.housekeeper_at(realm.skewed_site(120).await);
    realm.proxy.calls();
    assert_eq!(housekeeper.sweep().await.expect("it sweeps"), count + 1);
    let calls = realm.proxy.calls();
    println!("{count} waiting runs and one that is due: {calls:?}");
    let run = realm.load(&timed).await.expect("it is there");
    assert!(run.due_at > Some(run.not_before), "it was sent: {run:?}");
    // The timed one has a message; those that wait in their queue get none.
    assert_eq!((calls["SendMessageBatch"], calls["UpdateItem"]), (1, count + 1), "{calls:?}");
    assert_eq!(backlog(&realm).await, u64::try_from(count + 1).expect("a count"));
    // And for the next minutes they cost nothing.
    for minutes in [3, 8, 14] {
        let later = realm.housekeeper_at(realm.skewed_site(minutes * 60).await);
        realm.proxy.calls();
        assert_eq!(later.sweep().await.expect("it sweeps"), 0);
        let calls = realm.proxy.calls();
        assert_eq!(calls.keys().collect::<Vec<_>>(), ["Query"], "{calls:?}");
    }
}

/// As after a restore of the other tables. Its sweeps fail, and are not taken for those of a realm that nothing was applied to.
#[tokio::test]
async fn realm_without_document_is_untouched_only_without_runs() {
    for runs in [0, 1] {
        let realm = Faulty::start(&[log_job("note")]).await;
        dispatch(&realm, runs, TimeDelta::hours(1)).await;
        assert!(!realm.cloud.realm.is_untouched().await, "it has its document");
        let key = AttributeValue::S(realm.cloud.names().realm().to_string());
        let delete = realm.cloud.clients.dynamodb.delete_item().table_name(realm.cloud.names().realms());
        delete.key("realm", key).send().await.expect("it is deleted");
        assert_eq!(realm.cloud.realm.is_untouched().await, runs == 0);
    }
}

#[tokio::test]
async fn unreadable_records_are_put_off_and_stop_no_sweep() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let keys = dispatch(&realm, 120, TimeDelta::hours(1)).await;
    // As after a rollback: a version to come has written what this one does not know.
    let dynamodb = &realm.cloud.clients.dynamodb;
    for key in &keys[..110] {
        let update = dynamodb.update_item().table_name(realm.cloud.names().runs());
        let update = update.key("run_id", AttributeValue::S(key.to_string()));
        let update = update.key("path", AttributeValue::S("/".to_owned()));
        let update =
            update.update_expression("SET #status = :new").expression_attribute_names("#status", "status");
        let update =
            update.expression_attribute_values(":new", AttributeValue::S("from the future".to_owned()));
        update.send().await.expect("it is written");
    }
    // And what is not a record of a run at all.
    let odd = dynamodb.put_item().table_name(realm.cloud.names().runs());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let odd = odd.item("run_id", text("odd")).item("path", text("odd")).item("due_shard", text("3"));
    odd.item("due_at", AttributeValue::N("1".to_owned())).send().await.expect("it is put");
    let housekeeper = realm.housekeeper_at(realm.skewed_site(3_000).await);
    let until = Utc::now() + TimeDelta::hours(5);
    let swept = housekeeper.sweep_until(until).await.expect("it sweeps");
    assert_eq!((swept.looked_at, swept.unreadable), (10, 111));
    // Within the hour they are not read again.
    realm.proxy.calls();
    let again = realm.housekeeper_at(realm.skewed_site(3_000 + 3_000).await);
    let swept = again.sweep_until(until).await.expect("it sweeps");
    assert_eq!((swept.unreadable, swept.looked_at), (0, 10), "those that can be read wait for a worker");
    // After it they are, and are found when they can be read.
    let update = dynamodb.update_item().table_name(realm.cloud.names().runs());
    let update = update.key("run_id", text(keys[0].as_str())).key("path", text("/"));
    let update =
        update.update_expression("SET #status = :old").expression_attribute_names("#status", "status");
    update.expression_attribute_values(":old", text("dispatched")).send().await.expect("it is written");
    let later = realm.housekeeper_at(realm.skewed_site(3_000 + 3_700).await);
    let swept = later.sweep_until(until).await.expect("it sweeps");
    assert_eq!(swept.unreadable, 110);
    assert!(realm.cloud.realm.store().peek(&keys[0]).await.expect("it reads").is_some());
}
