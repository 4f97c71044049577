//! The permits of a gate: only so many runs have one, and the others stand in line.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::permits::{Admit, Gate, GateView, PermitChange};
use pumice_core::ports::{Change, CommitError};

use super::{Adapters, key, run_of};

fn gate() -> Gate {
    Gate::of_key("customer 7/é").expect("a key")
}

/// Passes as one that saw this ticket last, from its own place in line.
fn take(max: u32, tickets: u64, ticket: Option<u64>) -> PermitChange {
    PermitChange::Take { gate: gate(), admit: Admit { max, tickets, ticket } }
}

const fn wait_at(gate: Gate, ticket: u64) -> PermitChange {
    PermitChange::Wait { gate, ticket }
}

fn leave(ticket: Option<u64>) -> PermitChange {
    PermitChange::Leave { gate: gate(), ticket }
}

async fn change(on: &Adapters, number: u128, permit: PermitChange) -> Result<bool, CommitError> {
    let mut run = on.get(&key(number)).await;
    run.rev += 1;
    on.runs.commit(&Change { run, lock: None, permit: Some(permit), message: None }).await
}

async fn done(on: &Adapters, number: u128, permit: PermitChange) {
    change(on, number, permit).await.expect("it can take place");
}

async fn is_full(on: &Adapters, number: u128, permit: PermitChange) {
    let before = on.get(&key(number)).await;
    let outcome = change(on, number, permit).await;
    assert!(matches!(&outcome, Err(CommitError::Full(full)) if *full == gate()), "{outcome:?}");
    assert_eq!(on.get(&key(number)).await, before, "the record is as it was");
}

async fn view(on: &Adapters, limit: usize) -> GateView {
    on.runs.gate(&gate(), limit).await.expect("the store answers")
}

async fn four(on: &Adapters) {
    on.make([run_of(1, "report"), run_of(2, "report"), run_of(3, "etl/load"), run_of(4, "etl/load")]).await;
}

pub async fn permits_are_taken_until_none_is_left(on: &Adapters) {
    four(on).await;
    assert_eq!(view(on, 10).await, GateView::default());
    done(on, 1, take(2, 0, None)).await;
    done(on, 1, take(2, 0, None)).await;
    assert_eq!(view(on, 10).await.holders, [key(1)], "one run has one permit, however often it asks");
    done(on, 3, take(2, 0, None)).await;
    is_full(on, 2, take(2, 0, None)).await;
    done(on, 1, take(1, 0, None)).await;
    done(on, 3, leave(None)).await;
    done(on, 3, leave(None)).await;
    is_full(on, 2, take(1, 0, None)).await;
    assert_eq!(view(on, 10).await.holders, [key(1)]);
    done(on, 2, take(2, 0, None)).await;
}

pub async fn line_is_in_the_order_of_its_tickets(on: &Adapters) {
    four(on).await;
    done(on, 1, take(1, 0, None)).await;
    done(on, 4, wait_at(gate(), 7)).await;
    done(on, 2, wait_at(gate(), 1_767_225_600_123_456)).await;
    is_full(on, 3, wait_at(gate(), 7)).await;
    done(on, 3, wait_at(gate(), 1_767_225_600_123_457)).await;
    let seen = view(on, 2).await;
    assert_eq!(seen.tickets, 1_767_225_600_123_457);
    assert_eq!(seen.line, [(7, key(4)), (1_767_225_600_123_456, key(2))]);
    assert!(seen.more && !view(on, 3).await.more);
    done(on, 2, leave(Some(1_767_225_600_123_456))).await;
    let seen = view(on, 10).await;
    assert_eq!(seen.line.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>(), [key(4), key(3)]);
    assert_eq!(seen.holders, [key(1)]);
}

pub async fn permit_taken_from_the_line_leaves_it(on: &Adapters) {
    four(on).await;
    done(on, 1, take(1, 0, None)).await;
    done(on, 2, wait_at(gate(), 5)).await;
    is_full(on, 2, take(1, 5, Some(5))).await;
    done(on, 1, leave(None)).await;
    done(on, 2, take(1, 0, Some(5))).await;
    let seen = view(on, 10).await;
    assert_eq!((seen.holders, seen.line), (vec![key(2)], Vec::new()));
}

pub async fn newcomer_that_does_not_know_the_line_is_refused(on: &Adapters) {
    four(on).await;
    done(on, 1, take(2, 0, None)).await;
    done(on, 2, wait_at(gate(), 5)).await;
    is_full(on, 3, take(2, 0, None)).await;
    done(on, 3, take(2, 5, None)).await;
}

pub async fn conflict_changes_no_permit(on: &Adapters) {
    four(on).await;
    let run = on.get(&key(1)).await;
    let permit = Some(take(1, 0, None));
    let outcome = on.runs.commit(&Change { run, lock: None, permit, message: None }).await;
    assert!(matches!(outcome, Err(CommitError::Conflict)), "{outcome:?}");
    assert_eq!(view(on, 10).await.holders, []);
}

pub async fn lock_and_permit_are_taken_together_or_not_at_all(on: &Adapters) {
    use pumice_core::run::LockChange::{Free, Take};
    four(on).await;
    let both = async |number: u128, lock, permit| {
        let mut run = on.get(&key(number)).await;
        run.rev += 1;
        on.runs.commit(&Change { run, lock: Some(lock), permit: Some(permit), message: None }).await
    };
    done(on, 3, take(1, 0, None)).await;
    let refused = both(1, Take, take(1, 0, None)).await;
    assert!(matches!(refused, Err(CommitError::Full(_))), "{refused:?}");
    assert!(on.lock(&key(2), Take).await.is_ok(), "the lock was not taken");
    done(on, 3, leave(None)).await;
    let refused = both(1, Take, take(1, 0, None)).await;
    assert!(matches!(&refused, Err(CommitError::Locked(by)) if *by == key(2)), "{refused:?}");
    assert_eq!(view(on, 10).await.holders, [], "the permit was not taken");
    both(1, Free, take(1, 0, None)).await.expect("the lock is another's, and the record is written");
    assert_eq!(view(on, 10).await.holders, [key(1)]);
    both(2, Free, leave(None)).await.expect("it has the lock");
    both(1, Take, leave(None)).await.expect("the lock is free");
    assert_eq!(view(on, 10).await.holders, []);
}

pub async fn run_that_is_gone_is_taken_from_its_gate(on: &Adapters) {
    four(on).await;
    done(on, 1, take(1, 0, None)).await;
    done(on, 2, wait_at(gate(), 5)).await;
    on.runs.leave_gate(&gate(), &key(1), None).await.expect("the store answers");
    on.runs.leave_gate(&gate(), &key(2), Some(5)).await.expect("the store answers");
    on.runs.leave_gate(&gate(), &key(3), Some(9)).await.expect("nothing is to be done");
    let seen = view(on, 10).await;
    assert_eq!((seen.holders, seen.line), (Vec::new(), Vec::new()));
}
