//! Acts on many runs: records that several processes may write, and pages of receipts.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::audit::Origin;
use pumice_core::bulk::{BulkAct, BulkKind, BulkOutcome, BulkState, Receipt, ReceiptPage, Tally};
use pumice_core::ports::{CommitError, Order, PageCursor};
use serde_json::json;

use super::{Adapters, at, key};

/// An act with a value in each field that has one while it goes on.
fn act(id: &str) -> BulkAct {
    BulkAct {
        id: id.to_owned(),
        rev: 1,
        kind: BulkKind::Retry,
        asked: json!({ "runs": { "where": "job:\"a b\" tag:ü" }, "all": true }),
        terms: "job:\"a b\" tag:ü status:failed".to_owned(),
        tagged: vec![vec!["etl/load".to_owned()], Vec::new()],
        before: at(9),
        by: "ann".to_owned(),
        from: Origin::Console,
        state: BulkState::Active,
        carrier: "one".to_owned(),
        count: 700,
        tally: Tally { done: 3, already: 2, refused: 1 },
        pages: 2,
        in_hand: vec![key(1), key(2).child(1, 0)],
        next: Some(PageCursor { order: Order::Oldest, place: 77, key: key(2) }),
        begun: at(1),
        beat: at(2),
        ended: None,
        expires: Some(at(9_000_000_000)),
    }
}

fn page(number: u64, outcome: BulkOutcome) -> ReceiptPage {
    let error = (outcome == BulkOutcome::Refused).then(|| "its \"step\" is gone: ü".to_owned());
    let receipts = vec![
        Receipt { run: key(u128::from(number)), outcome, by: None, error },
        Receipt { run: key(9), outcome: BulkOutcome::Retried, by: Some(key(8)), error: None },
    ];
    ReceiptPage { number, receipts }
}

async fn stored(on: &Adapters, id: &str) -> Option<BulkAct> {
    on.bulk.load_bulk(id).await.expect("the store answers")
}

async fn receipts(on: &Adapters, id: &str, from: u64, pages: usize) -> Vec<ReceiptPage> {
    on.bulk.bulk_receipts(id, from, pages).await.expect("the store answers")
}

pub async fn act_on_many_is_read_as_it_was_written(on: &Adapters) {
    assert_eq!(stored(on, "one").await, None);
    on.bulk.create_bulk(&act("one")).await.expect("it is written");
    assert_eq!(stored(on, "one").await, Some(act("one")));
    let other = BulkAct { count: 1, ..act("one") };
    assert!(matches!(on.bulk.create_bulk(&other).await, Err(CommitError::Conflict)));
    assert_eq!(receipts(on, "one", 0, 9).await, []);
    let stopped = BulkState::Stopped { by: "bob".to_owned(), why: "wrong \"month\"".to_owned() };
    let failed = BulkState::Failed { why: "throttled".to_owned() };
    // More than ten pages: they come in the order of numbers, not of texts.
    let states = [stopped, failed, BulkState::Active, BulkState::Complete];
    for number in 0..12_u64 {
        let (rev, state) = (number + 2, states[number as usize % states.len()].clone());
        let (next, in_hand) = (None, Vec::new());
        let next =
            BulkAct { rev, state, next, in_hand, pages: number + 1, ended: Some(at(30)), ..act("one") };
        let receipts = page(number, BulkOutcome::ALL[number as usize % BulkOutcome::ALL.len()]);
        on.bulk.put_bulk(&next, Some(&receipts)).await.expect("it is written");
        assert_eq!(stored(on, "one").await, Some(next));
    }
    let all: Vec<ReceiptPage> =
        (0..12).map(|number| page(number, BulkOutcome::ALL[number as usize % 7])).collect();
    assert_eq!(receipts(on, "one", 0, 99).await, all);
    assert_eq!(receipts(on, "one", 9, 2).await, all[9..11]);
    assert_eq!(receipts(on, "on", 0, 99).await, []);
}

pub async fn act_on_many_of_an_old_revision_is_a_conflict(on: &Adapters) {
    let made = act("one");
    assert!(matches!(on.bulk.put_bulk(&made, None).await, Err(CommitError::Conflict)));
    on.bulk.create_bulk(&made).await.expect("it is written");
    let next = BulkAct { rev: 2, pages: 1, ..made.clone() };
    on.bulk.put_bulk(&next, Some(&page(0, BulkOutcome::Deleted))).await.expect("it is written");
    for rev in [1, 2, 4] {
        let stale = BulkAct { rev, pages: 7, ..made.clone() };
        for receipts in [None, Some(&page(0, BulkOutcome::Refused))] {
            let put = on.bulk.put_bulk(&stale, receipts).await;
            assert!(matches!(put, Err(CommitError::Conflict)), "{rev}: {put:?}");
        }
    }
    assert_eq!(stored(on, "one").await, Some(next));
    assert_eq!(receipts(on, "one", 0, 9).await, [page(0, BulkOutcome::Deleted)]);
}

pub async fn acts_on_many_come_newest_first(on: &Adapters) {
    for id in ["b", "a", "c"] {
        on.bulk.create_bulk(&act(id)).await.expect("it is written");
    }
    let ids = async |limit: usize| {
        let found = on.bulk.bulk_acts(limit).await.expect("the store answers");
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(9).await, ["c", "b", "a"]);
    assert_eq!(ids(2).await, ["c", "b"]);
    // Nothing of this is taken for a run.
    assert_eq!(on.runs.due(at(9_000_000_000), 10).await.expect("the store answers"), []);
}
