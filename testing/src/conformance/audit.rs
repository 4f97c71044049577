//! The audit: entries that are written before their acts and once they are over.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::audit::{ActOutcome, AuditEntry, AuditId, DocumentChange, Origin, Target};
use pumice_core::ports::AuditQuery;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Adapters, at};

/// An entry as it is begun at a time.
fn begun(at: Timestamp, number: u128) -> AuditEntry {
    AuditEntry {
        id: AuditId(Uuid::from_u128(AuditId::first_at(at).0.as_u128() + number)),
        at,
        who: "ada \"quoted\" ü".to_owned(),
        from: Origin::Cli,
        host: Some("lab-1".to_owned()),
        act: "jobs delete".to_owned(),
        what: vec![Target::new("job", "etl/load")],
        unnamed: 0,
        asked: json!({ "jobs": ["etl/load"], "n": 1.5 }),
        changes: Vec::new(),
        outcome: ActOutcome::Asked,
        answer: Value::Null,
        error: None,
        ended: None,
        expires: Some(at + TimeDelta::days(9_000)),
    }
}

async fn found(on: &Adapters, first: AuditId, last: AuditId, limit: usize) -> Vec<AuditEntry> {
    on.audit.entries(&AuditQuery { first, last, limit }).await.expect("the store answers")
}

/// Has a transaction take place that writes something else.
async fn write_something(on: &Adapters) {
    let item = pumice_core::ports::StateItem {
        state_id: pumice_core::ids::StateId::new("written").expect("an id"),
        r#type: pumice_core::ports::StateType::Json,
        value: json!(1),
        publisher: None,
        timestamp: at(0),
        expires: at(9_000_000_000),
    };
    on.state.put(item).await.expect("it is put");
}

pub async fn entry_comes_with_the_first_write_and_its_end_replaces_it(on: &Adapters) {
    let entry = begun(at(0), 1);
    on.audit.begin(&entry).await.expect("it is begun");
    write_something(on).await;
    assert_eq!(found(on, entry.id, entry.id, 5).await, std::slice::from_ref(&entry));
    let field = |text: &str| Some(json!({ "payload": text }));
    let change = DocumentChange {
        of: Target::new("job", "etl/load"),
        field: "payload".to_owned(),
        before: field("a"),
        after: field("b"),
    };
    let ended = AuditEntry {
        outcome: ActOutcome::Done,
        answer: json!({ "jobs": [{ "deleted": true }] }),
        changes: vec![change],
        ended: Some(at(2)),
        ..entry
    };
    on.audit.finish(&ended).await.expect("it is written");
    assert_eq!(found(on, ended.id, ended.id, 5).await, [ended]);
}

pub async fn act_that_writes_nothing_leaves_its_end_alone(on: &Adapters) {
    let entry = begun(at(0), 1);
    on.audit.begin(&entry).await.expect("it is begun");
    let refused = AuditEntry { outcome: ActOutcome::Refused, error: Some("no".to_owned()), ..entry };
    on.audit.finish(&refused).await.expect("it is written");
    write_something(on).await;
    assert_eq!(found(on, refused.id, refused.id, 5).await, [refused]);
}

pub async fn entries_come_newest_first_within_their_bounds(on: &Adapters) {
    // Over a change of the year, at which a store may begin another partition.
    let entries: Vec<AuditEntry> = (0..7).map(|n| begun(at(0) + TimeDelta::days(100 * n), 1)).collect();
    for entry in &entries {
        on.audit.finish(entry).await.expect("it is written");
    }
    let newest: Vec<AuditEntry> = entries.iter().rev().cloned().collect();
    let (first, last) = (entries[0].id, entries[6].id);
    assert_eq!(found(on, first, last, 10).await, newest);
    assert_eq!(found(on, first, last, 3).await, newest[..3]);
    assert_eq!(found(on, entries[2].id, entries[4].id, 10).await, newest[2..5]);
    assert_eq!(found(on, AuditId::first_at(at(1)), entries[1].id, 10).await, newest[5..6]);
    // Nothing of this is taken for a run.
    assert_eq!(on.runs.due(at(0) + TimeDelta::days(5_000), 10).await.expect("the store answers"), []);
}
