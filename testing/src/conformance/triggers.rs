//! Triggers: put, found by their bucket, listed and removed.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::ids::TriggerId;
use pumice_core::ports::{Doc, JobChange};
use pumice_core::trigger::TriggerSpec;
use pumice_template::Renderer;
use serde_json::{Value, json};

use super::Adapters;

fn document(id: &str, bucket: &str, prefix: &str) -> Value {
    json!({ "trigger_id": id, "bucket": bucket, "prefix": prefix, "job_id": ["etl/load", "report"], "enabled": true,
        "if_size_gt": 10, "globals": { "n": 1.5, "none": null }, "x-note": "kept" })
}

async fn put(on: &Adapters, documents: &[Value], dry_run: bool) -> Vec<(JobChange, Option<Doc>)> {
    let read = |document| TriggerSpec::parse(document, &Renderer::default()).expect("it holds");
    let triggers = documents.iter().map(read).collect();
    let applied = on.triggers.put_triggers(triggers, dry_run).await.expect("the store answers");
    applied.into_iter().map(|one| (one.change, one.before)).collect()
}

/// The ids of the triggers of a bucket.
async fn of(on: &Adapters, bucket: &str) -> Vec<String> {
    let found = on.triggers.of_bucket(bucket).await.expect("the store answers");
    let mut ids: Vec<String> =
        found.iter().map(|doc| doc["trigger_id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

fn id(text: &str) -> TriggerId {
    TriggerId::new(text).expect("an id")
}

pub async fn trigger_is_read_as_it_was_put(on: &Adapters) {
    let one = document("one", "b", "in");
    assert_eq!(put(on, std::slice::from_ref(&one), false).await, [(JobChange::Added, None)]);
    let found = on.triggers.of_bucket("b").await.expect("the store answers");
    assert_eq!(found.len(), 1);
    assert_eq!(Value::Object((*found[0]).clone()), one);
    let all = on.triggers.all_triggers().await.expect("the store answers");
    assert_eq!(all.into_iter().map(Value::Object).collect::<Vec<_>>(), [one]);
}

pub async fn triggers_are_found_by_their_bucket(on: &Adapters) {
    let hook =
        json!({ "trigger_id": "hook", "type": "http", "secret": "s", "job_id": "report", "enabled": true });
    let all = [document("b", "x", "in"), document("a", "x", "*"), document("c", "y", "in"), hook];
    put(on, &all, false).await;
    assert_eq!(
        (of(on, "x").await, of(on, "y").await),
        (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!(of(on, "nothing").await, [] as [&str; 0]);
    let all = on.triggers.all_triggers().await.expect("the store answers");
    let ids: Vec<&Value> = all.iter().map(|doc| &doc["trigger_id"]).collect();
    assert_eq!(ids, ["a", "b", "c", "hook"]);
}

pub async fn trigger_put_again_gives_the_change(on: &Adapters) {
    let one = document("one", "b", "in");
    put(on, std::slice::from_ref(&one), false).await;
    let before = || Some(one.as_object().expect("an object").clone());
    assert_eq!(put(on, std::slice::from_ref(&one), false).await, [(JobChange::Unchanged, before())]);
    let moved = document("one", "other", "in");
    assert_eq!(put(on, std::slice::from_ref(&moved), true).await, [(JobChange::Updated, before())]);
    assert_eq!((of(on, "b").await.len(), of(on, "other").await.len()), (1, 0), "a dry run changes nothing");
    assert_eq!(put(on, std::slice::from_ref(&moved), false).await, [(JobChange::Updated, before())]);
    assert_eq!((of(on, "b").await.len(), of(on, "other").await.len()), (0, 1));
}

pub async fn trigger_deleted_is_not_found(on: &Adapters) {
    put(on, &[document("one", "b", "in"), document("two", "b", "in")], false).await;
    let ids = vec![id("two"), id("nothing")];
    assert_eq!(on.triggers.delete_triggers(ids).await.expect("the store answers"), [true, false]);
    assert_eq!(of(on, "b").await, ["one"]);
}
