//! Acts on many runs: watched, stopped in the midst, resumed; two at once.

use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::audit::Origin;
use pumice_core::bulk::{BulkAct, BulkKind, BulkState, SILENCE, Tally};
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::RunSpec;
use pumice_service::runs::{self, ManyOutcome, ManyRuns, Step};
use pumice_service::{Error, ErrorKind, Realm as _};
use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::{Api, job};

/// The page of an act.
const PAGE: u64 = 500;

fn key(number: u64) -> RunKey {
    let id: RunId = format!("0190c0c0-0000-7000-8000-{number:012}").parse().unwrap();
    RunKey::root(id)
}

/// Changes the store behind the realm's back.
fn change(realm: &Folder, sql: &str) {
    let store = rusqlite::Connection::open(realm.path().join("pumice.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    store.execute_batch(sql).unwrap();
}

/// Makes runs that wait, one a second, the last a minute ago.
async fn waiting(realm: &Folder, number: u64) {
    let last = realm.now() - TimeDelta::minutes(1);
    let one = |n: u64| {
        let at = last - TimeDelta::seconds(i64::try_from(number - n).unwrap());
        let about = (JobId::new("late").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
        let run_id = key(n).run_id().unwrap();
        let run = Run::dispatched(key(n), run_id, about, at, at, Span::from_days(30));
        let spec = RunSpec::of_job(Arc::new(job("late", json!({})).as_object().unwrap().clone()));
        (NewRun { run, spec }, None)
    };
    let made: Vec<_> = (0..number).map(one).collect();
    assert!(realm.runs().create(&made).await.unwrap().iter().all(pumice_core::ports::Created::is_new));
}

fn cancel() -> ManyRuns {
    ManyRuns { filter: "job:late".to_owned(), why: Some("wrong month".to_owned()), ..ManyRuns::default() }
}

/// Does something to the realm while an act stands still.
fn meanwhile<T: Send>(does: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(does)
        });
        thread.join().unwrap()
    })
}

async fn shown(realm: &Folder, id: &str) -> Value {
    let request = runs::ShowBulk { id: id.to_owned(), outcome: None, cursor: 0 };
    serde_json::to_value(runs::show_bulk(realm, &request).await.unwrap()).unwrap()
}

fn listing(filter: &str) -> runs::ListRuns {
    serde_json::from_value(json!({ "where": filter, "limit": 1_000 })).unwrap()
}

fn stop(id: &str) -> runs::StopBulk {
    runs::StopBulk { id: id.to_owned(), why: "enough".to_owned(), dry_run: false }
}

async fn resumed(realm: &Folder, id: &str) -> Result<runs::BulkChanged, Error> {
    runs::resume_bulk(realm, &runs::ResumeBulk { id: id.to_owned(), dry_run: false }).await
}

#[tokio::test]
async fn act_stopped_in_the_midst_says_where_and_goes_on() {
    let realm = Folder::new().await;
    waiting(&realm, PAGE + 100).await;
    let mut id = String::new();
    let request = cancel();
    let mut heard = |step: Step<'_>| {
        if let Step::Begun { id: begun, count } = step {
            assert_eq!(count, PAGE + 100);
            begun.clone_into(&mut id);
            let active = meanwhile(shown(&realm, begun));
            assert_eq!((&active["bulk"]["state"], &active["bulk"]["left"]), (&json!("active"), &json!(600)));
            // One that is carried out is not carried out a second time.
            let refused = meanwhile(resumed(&realm, begun)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
            let stopped = meanwhile(runs::stop_bulk(&realm, &stop(begun))).unwrap();
            assert!(stopped.changed && stopped.bulk.state == "stopped", "{stopped:?}");
            let again = meanwhile(runs::stop_bulk(&realm, &stop(begun))).unwrap();
            assert!(!again.changed, "{again:?}");
        }
    };
    let done = runs::cancel_many_heard(&realm, &request, &mut heard).await.unwrap();
    assert_eq!((done.done, done.count, done.bulk.as_deref()), (PAGE, PAGE + 100, Some(id.as_str())));
    assert_eq!(
        done.stopped.map(|stop| (stop.by, stop.why)),
        Some(("tester".to_owned(), "enough".to_owned()))
    );
    let page = shown(&realm, &id).await;
    assert_eq!((&page["bulk"]["done"], &page["bulk"]["left"]), (&json!(PAGE), &json!(100)));
    assert_eq!(
        (page["receipts"].as_array().unwrap().len(), &page["bulk"]["why"]),
        (500, &json!("wrong month"))
    );
    let open = async || {
        let open = listing("job:late status:dispatched");
        runs::list(&realm, &open).await.unwrap().runs.len()
    };
    assert_eq!(open().await, 100);
    let changed = resumed(&realm, &id).await.unwrap();
    assert_eq!((changed.bulk.state.as_str(), changed.bulk.done, changed.bulk.left), ("complete", 600, 0));
    assert_eq!(open().await, 0);
    let page = shown(&realm, &id).await;
    let receipts = page["receipts"].as_array().unwrap();
    let runs: std::collections::BTreeSet<&str> =
        receipts.iter().map(|one| one["run"].as_str().unwrap()).collect();
    assert_eq!((receipts.len(), runs.len()), (600, 600), "each run has one receipt");
    assert_eq!(resumed(&realm, &id).await.unwrap_err().kind(), ErrorKind::Conflict, "it is complete");
    let refused = runs::stop_bulk(&realm, &stop(&id)).await.unwrap_err();
    assert!(refused.message().contains("is complete"), "{refused}");
}

/// A store that fails for one run, and a stop that comes before the record says so.
#[tokio::test]
async fn act_stopped_after_a_failure_tells_the_failure() {
    let realm = Folder::new().await;
    waiting(&realm, 3).await;
    let request = cancel();
    let mut id = String::new();
    let mut heard = |step: Step<'_>| {
        if let Step::Begun { id: begun, .. } = step {
            begun.clone_into(&mut id);
            change(
                &realm,
                &format!(
                    "CREATE TRIGGER fails BEFORE UPDATE ON runs WHEN old.key = '{}'
                 BEGIN SELECT RAISE(FAIL, 'the disk is wet'); END",
                    key(1)
                ),
            );
            meanwhile(runs::stop_bulk(&realm, &stop(begun))).unwrap();
        }
    };
    let failed = runs::cancel_many_heard(&realm, &request, &mut heard).await.unwrap_err();
    for wanted in ["the disk is wet", "stopped by tester", &format!("resume act {id}")] {
        assert!(failed.message().contains(wanted), "{wanted}: {failed}");
    }
    let page = shown(&realm, &id).await;
    assert_eq!(page["bulk"]["state"], "stopped", "{page}");
    assert!(page["bulk"]["left"].as_u64() > Some(0), "{page}");
    change(&realm, "DROP TRIGGER fails");
    let changed = resumed(&realm, &id).await.unwrap();
    assert_eq!((changed.bulk.state.as_str(), changed.bulk.done, changed.bulk.left), ("complete", 3, 0));
}

/// A record as a process that was killed leaves it: some runs in hand, one of them dealt with.
fn left_behind(now: Timestamp, in_hand: Vec<RunKey>) -> BulkAct {
    let at = now - SILENCE - TimeDelta::seconds(1);
    BulkAct {
        id: "act".to_owned(),
        rev: 7,
        kind: BulkKind::Cancel,
        asked: serde_json::to_value(cancel()).unwrap(),
        terms: "job:late status:dispatched,waiting".to_owned(),
        tagged: Vec::new(),
        before: now,
        by: "ada".to_owned(),
        from: Origin::Cli,
        state: BulkState::Active,
        carrier: "killed".to_owned(),
        count: 3,
        tally: Tally::default(),
        pages: 0,
        in_hand,
        next: None,
        begun: at,
        beat: at,
        ended: None,
        expires: None,
    }
}

#[tokio::test]
async fn interrupted_act_goes_on_with_the_runs_it_had_in_hand() {
    let realm = Folder::new().await;
    waiting(&realm, 4).await;
    let named = runs::CancelRuns {
        runs: vec![key(1).to_string()],
        ..serde_json::from_value(json!({ "runs": [] })).unwrap()
    };
    runs::cancel(&realm, &named).await.unwrap();
    realm.bulk().create_bulk(&left_behind(realm.now(), vec![key(0), key(1), key(2)])).await.unwrap();
    let found = runs::list_bulk(&realm, &runs::ListBulk { filter: None, limit: 10 }).await.unwrap();
    assert_eq!(found.bulk[0].state, "interrupted");
    for (terms, count) in [
        ("-id:0190", 1),
        ("act:cancel status:interrupted,failed who:a* from:cli since:1d", 1),
        ("act:retry", 0),
        ("-status:interrupted", 0),
        ("until:1d", 0),
    ] {
        let asked = runs::ListBulk { filter: Some(terms.to_owned()), limit: 10 };
        assert_eq!(runs::list_bulk(&realm, &asked).await.unwrap().bulk.len(), count, "{terms}");
    }
    let dry = runs::ResumeBulk { id: "act".to_owned(), dry_run: true };
    assert_eq!(runs::resume_bulk(&realm, &dry).await.unwrap().bulk.state, "active");
    let done = resumed(&realm, "act").await.unwrap().bulk;
    assert_eq!((done.state.as_str(), done.done, done.already, done.left), ("complete", 2, 1, 0));
    let page = shown(&realm, "act").await;
    let outcome = |key: RunKey| {
        let of = |one: &&Value| one["run"] == key.as_str();
        page["receipts"].as_array().unwrap().iter().find(of).map(|one| one["outcome"].clone())
    };
    assert_eq!(outcome(key(0)), Some(json!(ManyOutcome::Cancelled)));
    assert_eq!(outcome(key(1)), Some(json!(ManyOutcome::Already)));
    // The fourth was not in hand, and the count is an upper bound.
    assert_eq!(outcome(key(3)), None);
    assert_eq!(realm.runs().peek(&key(3)).await.unwrap().unwrap().status, Status::Dispatched);
}

#[tokio::test]
async fn of_two_processes_with_one_act_the_first_stops() {
    let realm = Folder::new().await;
    waiting(&realm, 2).await;
    let request = cancel();
    let mut heard = |step: Step<'_>| {
        if let Step::Begun { id, .. } = step {
            let overtaken = async {
                let stored = realm.bulk().load_bulk(id).await.unwrap().unwrap();
                let other = stored.resumed("other".to_owned(), realm.now(), None);
                realm.bulk().put_bulk(&other, None).await.unwrap();
            };
            meanwhile(overtaken);
        }
    };
    let refused = runs::cancel_many_heard(&realm, &request, &mut heard).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.message().contains("another process has gone on with act"), "{refused}");
    // The other process reports the runs that it had in hand.
    let found = runs::list_bulk(&realm, &runs::ListBulk { filter: None, limit: 10 }).await.unwrap();
    assert_eq!((found.bulk[0].done, found.bulk[0].left), (0, 2));
}

#[tokio::test]
async fn two_acts_on_the_same_runs_do_each_once() {
    let realm = Folder::new().await;
    waiting(&realm, 40).await;
    let request = cancel();
    let (one, other) = tokio::join!(runs::cancel_many(&realm, &request), runs::cancel_many(&realm, &request));
    let (one, other) = (one.unwrap(), other.unwrap());
    let acts = |done: &runs::ManyDone| done.done + done.already;
    assert!(acts(&one) == one.count && acts(&other) == other.count, "{one:?} {other:?}");
    // Each run is in one receipt as cancelled, and in the other, if it was counted there in time, as dealt with before.
    assert_eq!(one.done + other.done, 40, "{one:?} {other:?}");
    assert_eq!(one.count.max(other.count), 40, "{one:?} {other:?}");
    let cancelled = listing("job:late status:cancelled");
    assert_eq!(runs::list(&realm, &cancelled).await.unwrap().runs.len(), 40);
}

#[tokio::test]
async fn act_with_a_secret_in_its_request_is_refused() {
    let realm = Folder::new().await;
    waiting(&realm, 1).await;
    pumice_core::secret::remember("bulk-canary-5523");
    let request = ManyRuns { why: Some("bulk-canary-5523".to_owned()), ..cancel() };
    let refused = runs::cancel_many(&realm, &request).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(realm.runs().peek(&key(0)).await.unwrap().unwrap().status, Status::Dispatched);
}

/// Each operation, as an API asks for it: the acts of `many` are there.
pub(crate) async fn looked_at(api: &Api, realm: &Folder) {
    let list = api.request("runs bulk list", json!({}));
    let listed = api.response("runs bulk list", &runs::list_bulk(realm, &list).await.unwrap());
    let acts = listed["bulk"].as_array().unwrap();
    assert!(acts.len() >= 3 && acts.iter().all(|one| one["state"] == "complete"), "{listed}");
    let retried = acts.iter().find(|one| one["act"] == "retry" && one["done"] == 1).unwrap();
    let show = api.request("runs bulk show", json!({ "id": retried["id"], "outcome": "retried" }));
    let shown = api.response("runs bulk show", &runs::show_bulk(realm, &show).await.unwrap());
    assert_eq!(shown["receipts"].as_array().map(Vec::len), Some(1), "{shown}");
    waiting(realm, 1).await;
    realm.bulk().create_bulk(&left_behind(realm.now(), vec![key(0)])).await.unwrap();
    let stop: runs::StopBulk = api.request("runs bulk stop", json!({ "id": "act", "why": "wrong jobs" }));
    let stopped = api.response("runs bulk stop", &runs::stop_bulk(realm, &stop).await.unwrap());
    assert_eq!((&stopped["changed"], &stopped["bulk"]["state"]), (&json!(true), &json!("stopped")));
    let resume = api.request("runs bulk resume", json!({ "id": "act" }));
    let resumed = api.response("runs bulk resume", &runs::resume_bulk(realm, &resume).await.unwrap());
    assert_eq!((&resumed["bulk"]["state"], &resumed["bulk"]["done"]), (&json!("complete"), &json!(1)));
}

#[tokio::test]
async fn act_is_named_by_the_beginning_of_its_id() {
    let realm = Folder::new().await;
    let ids = ["01a226ff-8f0d-7001-8000-000000000001", "01a226ff-8f0d-7002-8000-000000000001"];
    for id in ids {
        let act = BulkAct { id: id.to_owned(), ..left_behind(realm.now(), Vec::new()) };
        realm.bulk().create_bulk(&act).await.unwrap();
    }
    assert_eq!(shown(&realm, "01A226FF-8F0D-7001").await["bulk"]["id"], ids[0]);
    let error = async |id: &str| {
        let request = runs::ShowBulk { id: id.to_owned(), outcome: None, cursor: 0 };
        runs::show_bulk(&realm, &request).await.unwrap_err()
    };
    let several = error("01a226ff-8f0d").await;
    assert!(ids.iter().all(|id| several.message().contains(id)), "{several}");
    assert_eq!(several.kind(), ErrorKind::Invalid);
    for none in ["01a226ff-8f0", "01a226ff-8f0e", ""] {
        assert_eq!(error(none).await.kind(), ErrorKind::NotFound, "{none}");
    }
    let stopped = runs::stop_bulk(&realm, &stop(&ids[1][..18])).await.unwrap();
    assert_eq!(stopped.bulk.id, ids[1]);
    let entries =
        pumice_service::audit::list(&realm, &serde_json::from_value(json!({})).unwrap()).await.unwrap();
    let entry = serde_json::to_value(&entries.entries[0]).unwrap();
    assert!(entry["what"].to_string().contains(ids[1]), "the audit has the whole id: {entry}");
}

/// The same number of runs, of which one is another.
#[tokio::test]
async fn act_on_others_of_the_same_number_is_refused() {
    let realm = Folder::new().await;
    waiting(&realm, 4).await;
    for one in [0, 1] {
        let cancelled = runs::CancelRuns { runs: vec![key(one).to_string()], why: None, dry_run: false };
        runs::cancel(&realm, &cancelled).await.unwrap();
    }
    let of = |filter: &str, more: Value| -> ManyRuns {
        let mut request = json!({ "where": filter });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    };
    let retry = |runs: ManyRuns| runs::RetryMany { runs, ..runs::RetryMany::default() };
    let dry = || json!({ "dry_run": true });
    let (open, ended) = ("job:late status:dispatched", "job:late status:cancelled");
    let looks = [
        runs::cancel_many(&realm, &of(open, dry())).await.unwrap(),
        runs::retry_many(&realm, &retry(of(ended, dry()))).await.unwrap(),
        runs::delete_many(&realm, &of(ended, dry())).await.unwrap(),
    ];
    assert!(looks.iter().all(|look| look.count == 2), "{looks:?}");
    // Run 2 is cancelled and run 0 is gone: two are open with a new one, and two have ended.
    let cancelled = runs::CancelRuns { runs: vec![key(2).to_string()], why: None, dry_run: false };
    runs::cancel(&realm, &cancelled).await.unwrap();
    change(&realm, &format!("DELETE FROM runs WHERE key = '{}'", key(0)));
    let at = realm.now() - TimeDelta::minutes(2);
    let about = (JobId::new("late").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
    let run = Run::dispatched(key(9), key(9).run_id().unwrap(), about, at, at, Span::from_days(30));
    let spec = RunSpec::of_job(Arc::new(job("late", json!({})).as_object().unwrap().clone()));
    assert!(realm.runs().create(&[(NewRun { run, spec }, None)]).await.unwrap()[0].is_new());
    let as_shown = |look: &runs::ManyDone| json!({ "expect": look.expect, "before": look.before });
    let refused = [
        runs::cancel_many(&realm, &of(open, as_shown(&looks[0]))).await.unwrap_err(),
        runs::retry_many(&realm, &retry(of(ended, as_shown(&looks[1])))).await.unwrap_err(),
        runs::delete_many(&realm, &of(ended, as_shown(&looks[2]))).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.message().contains("2 runs are meant now as before, but others"), "{error}");
    }
    assert!(realm.runs().peek(&key(1)).await.unwrap().is_some());
}

/// A span of time in the terms counts from the look.
#[tokio::test]
async fn span_of_an_act_counts_from_its_look() {
    let realm = Folder::new().await;
    waiting(&realm, 3).await;
    let before = pumice_core::message::iso(realm.now() - TimeDelta::seconds(50));
    let asked = |more: Value| -> ManyRuns {
        let mut request = json!({ "where": "job:late since:30s", "before": before });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    };
    let all = asked(json!({ "where": "job:late", "dry_run": true }));
    let shown = runs::cancel_many(&realm, &all).await.unwrap().expect.unwrap();
    assert_eq!(runs::cancel_many(&realm, &asked(json!({ "dry_run": true }))).await.unwrap().count, 0);
    // They were dispatched within the 30 seconds before the look.
    let done = runs::cancel_many(&realm, &asked(json!({ "expect": shown }))).await.unwrap();
    assert_eq!((done.count, done.done), (3, 3));
}
