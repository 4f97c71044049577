//! Records of runs: made, read and written.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::pauses::{Pause, Pauses, Scope};
use pumice_core::ports::{Change, CommitError, RunQuery};
use pumice_core::run::{Duties, Keyed, Lease, Status, Worker};
use pumice_core::spec::ActionsWhen;
use serde_json::{Value, json};

use super::{Adapters, at, child_of, key, message_about, new, run_of};

pub async fn run_is_read_as_it_was_made(on: &Adapters) {
    let mut run = run_of(1, "etl/load");
    run.keyed = Some(Keyed { key: "k".to_owned(), fingerprint: "f".to_owned(), asked: "{}".to_owned() });
    run.foreach_index = Some(0);
    let made = new(run.clone());
    on.runs.create(&[(made.clone(), None)]).await.expect("it is made");
    assert_eq!(on.get(&run.key).await, run);
    let (found, spec) =
        on.runs.load_with_spec(&run.key).await.expect("the store answers").expect("it is there");
    assert_eq!((found, spec), (run.clone(), made.spec.clone()));
    let trusted = on.runs.load_trusted(&run.key).await.expect("the store answers");
    assert_eq!(trusted, Some((run.clone(), made.spec)));
    assert_eq!(on.runs.peek(&run.key).await.expect("the store answers"), Some(run));
    assert!(on.runs.peek(&key(9)).await.expect("the store answers").is_none());
    assert!(on.runs.load(&key(9)).await.expect("the store answers").is_none());
    assert!(on.runs.load_with_spec(&key(9)).await.expect("the store answers").is_none());
    assert!(on.runs.load_trusted(&key(9)).await.expect("the store answers").is_none());
}

pub async fn spec_is_read_as_it_was_made_however_long(on: &Adapters) {
    for (number, length) in [(1, 0), (2, 900), (3, 1_100), (4, 100_000)] {
        let run = run_of(number, "report");
        let mut made = new(run.clone());
        Arc::make_mut(&mut made.spec.job).insert("description".to_owned(), Value::from("x".repeat(length)));
        on.runs.create(&[(made.clone(), None)]).await.expect("it is made");
        on.change(&run.key, |run| run.reason = Some("changed".to_owned())).await;
        let found = on.runs.load_with_spec(&run.key).await.expect("the store answers");
        assert_eq!(found.expect("it is there").1, made.spec, "{length} bytes");
    }
}

pub async fn each_of_a_batch_is_made_by_itself(on: &Adapters) {
    on.make([run_of(2, "report")]).await;
    let other = run_of(2, "etl/load");
    let batch = vec![(new(run_of(1, "report")), None), (new(other), None), (new(run_of(3, "report")), None)];
    let created = on.runs.create(&batch).await.expect("the store answers");
    let existing: Vec<_> = created.into_iter().map(|created| created.existing.map(|run| *run)).collect();
    assert_eq!(existing, [None, Some(run_of(2, "report")), None]);
    for number in 1..=3 {
        assert_eq!(
            on.get(&key(number)).await.job_id.as_str(),
            "report",
            "the existing record stays as it is"
        );
    }
}

pub async fn one_batch_may_name_a_run_twice(on: &Adapters) {
    let batch = vec![(new(run_of(1, "report")), None), (new(run_of(1, "report")), None)];
    let created = on.runs.create(&batch).await.expect("the store answers");
    let made = created.iter().filter(|created| created.existing.is_none()).count();
    assert_eq!((created.len(), made), (2, 1));
}

pub async fn message_goes_with_a_run_that_is_made(on: &Adapters) {
    let run = run_of(1, "report");
    let outgoing = message_about(&run, on.clock.now());
    let created = on.runs.create(&[(new(run), Some(outgoing.clone()))]).await.expect("it is made");
    let bodies: Vec<String> = on.take(10).await.into_iter().map(|delivery| delivery.body).collect();
    let expected = if created[0].sent { vec![outgoing.message.body()] } else { Vec::new() };
    assert_eq!(bodies, expected, "a store that says it has sent a message has, and no other");
}

pub async fn existing_run_sends_no_message(on: &Adapters) {
    let run = run_of(1, "report");
    on.make([run.clone()]).await;
    let outgoing = message_about(&run, on.clock.now());
    let created = on.runs.create(&[(new(run), Some(outgoing))]).await.expect("the store answers");
    assert!(!created[0].sent);
    assert!(on.take(10).await.is_empty());
}

pub async fn change_is_read_as_it_was_written(on: &Adapters) {
    let run = run_of(1, "report");
    on.make([run.clone()]).await;
    let written = on
        .change(&run.key, |run| {
            run.status = Status::Failed;
            run.epoch = 3;
            run.attempt = 2;
            run.crashes = 1;
            run.cancel = true;
            run.ts_start = Some(at(5));
            run.ts_end = Some(at(6));
            run.due_at = Some(at(7));
            run.lease = Some(Lease { owner: Worker("host/1".to_owned()), until: at(8) });
            run.duties = Some(Duties { actions: Some(ActionsWhen::OnFail), done: 1, wake_parent: true });
            run.result = json!({ "error": "it broke", "error_data": [1.5, 907.3038322028689, null] });
            run.reason = Some("it broke".to_owned());
            run.hostname = Some("host".to_owned());
            run.log.push(Status::Failed, at(6), Value::String("it broke".to_owned()));
        })
        .await;
    assert_eq!(on.get(&run.key).await, written);
    let (found, spec) =
        on.runs.load_with_spec(&run.key).await.expect("the store answers").expect("it is there");
    assert_eq!((found, spec), (written, new(run).spec), "its pinned spec never changes");
}

pub async fn change_of_an_old_revision_is_a_conflict(on: &Adapters) {
    let run = run_of(1, "report");
    on.make([run.clone()]).await;
    let current = on.change(&run.key, |run| run.crashes = 1).await;
    for rev in [current.rev - 1, current.rev, current.rev + 2] {
        let mut stale = run.clone();
        (stale.rev, stale.crashes) = (rev, 7);
        let outcome = on.runs.commit(&Change { run: stale, lock: None, permit: None, message: None }).await;
        assert!(matches!(outcome, Err(CommitError::Conflict)), "revision {rev}: {outcome:?}");
    }
    assert_eq!(on.get(&run.key).await, current);
}

pub async fn change_of_a_missing_run_is_a_conflict(on: &Adapters) {
    let mut run = run_of(1, "report");
    run.rev += 1;
    let outcome = on.runs.commit(&Change { run: run.clone(), lock: None, permit: None, message: None }).await;
    assert!(matches!(outcome, Err(CommitError::Conflict)), "{outcome:?}");
    assert!(on.runs.load(&run.key).await.expect("the store answers").is_none());
}

pub async fn message_goes_with_a_change(on: &Adapters) {
    let mut run = run_of(1, "report");
    on.make([run.clone()]).await;
    run.rev += 1;
    let outgoing = message_about(&run, on.clock.now() - TimeDelta::seconds(1));
    let change = Change { run, lock: None, permit: None, message: Some(outgoing.clone()) };
    let sent = on.runs.commit(&change).await.expect("no other writer");
    let bodies: Vec<String> = on.take(10).await.into_iter().map(|delivery| delivery.body).collect();
    let expected = if sent { vec![outgoing.message.body()] } else { Vec::new() };
    assert_eq!(bodies, expected, "a store that says it has sent a message has, and no other");
}

pub async fn conflict_sends_no_message(on: &Adapters) {
    let run = run_of(1, "report");
    on.make([run.clone()]).await;
    let message = Some(message_about(&run, on.clock.now()));
    assert!(on.runs.commit(&Change { run, lock: None, permit: None, message }).await.is_err());
    assert!(on.take(10).await.is_empty());
}

pub async fn finished_run_is_removed_with_its_steps(on: &Adapters) {
    let step = child_of(&run_of(1, "report"), 1, 0);
    on.make([run_of(1, "report"), step.clone(), run_of(2, "report")]).await;
    let remove = async |number| on.runs.remove(&key(number)).await.expect("the store answers");
    assert!(!remove(1).await, "it is not done");
    assert!(!remove(9).await, "there is none");
    for run in [key(1), step.key.clone()] {
        on.change(&run, |run| (run.status, run.due_at) = (Status::Failed, None)).await;
    }
    assert!(remove(1).await);
    for gone in [key(1), step.key] {
        assert!(on.runs.load(&gone).await.expect("the store answers").is_none());
    }
    assert!(on.runs.load(&key(2)).await.expect("the store answers").is_some());
    let left = on.runs.list(&RunQuery { children: true, limit: 10, ..RunQuery::default() }).await;
    assert_eq!(left.expect("the store answers").len(), 1);
    on.make([run_of(1, "report")]).await;
    assert_eq!(on.get(&key(1)).await.status, Status::Dispatched, "it may be made again");
}

pub async fn pauses_are_written_on_their_rev(on: &Adapters) {
    let none = on.runs.pauses().await.expect("the store answers");
    assert_eq!(none, Pauses::default());
    let pause = |scope| Pause {
        scope,
        since: at(1),
        until: Some(at(9)),
        by: Some("é".to_owned()),
        why: None,
        everything: false,
    };
    let first = none.with(pause(Scope::Realm), at(1));
    on.runs.put_pauses(&first).await.expect("no other writer was first");
    assert_eq!(on.runs.pauses().await.expect("the store answers"), first);
    let stale = on.runs.put_pauses(&none.with(pause(Scope::Job("*".to_owned())), at(1))).await;
    assert!(matches!(stale, Err(CommitError::Conflict)), "{stale:?}");
    let second = first.with(pause(Scope::Job("etl/*".to_owned())), at(2)).without(&Scope::Realm, at(2));
    let second = Pauses { rev: first.rev + 1, ..second };
    on.runs.put_pauses(&second).await.expect("no other writer was first");
    assert_eq!(on.runs.pauses().await.expect("the store answers"), second);
    assert!(matches!(on.runs.put_pauses(&second).await, Err(CommitError::Conflict)));
    // Pauses are not runs.
    on.make([run_of(1, "report")]).await;
    let all = on.runs.list(&RunQuery { limit: 10, ..RunQuery::default() }).await.expect("the store answers");
    assert_eq!(all.len(), 1);
}
