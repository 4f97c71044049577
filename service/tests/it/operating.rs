//! How a realm is doing, and what puts it right.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::LimitKind;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::permits::{Admit, Gate, Permit, PermitChange};
use pumice_core::ports::{Change, Consumer, DeadLetters, DeadQueue, Outgoing, Queue};
use pumice_core::run::{Duties, Fingerprint, Late, LockChange, NewRun, Run, Status};
use pumice_core::spec::{ActionsWhen, RunSpec, Timezone};
use pumice_service::dead::DeadOutcome::{Dropped, Ended, Redriven};
use pumice_service::doctor::{self, Finding};
use pumice_service::stats::AskStats;
use pumice_service::{ErrorKind, Realm as _, dead, metrics, runs, stats};
use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::{Api, job};

fn worker() -> WorkerName {
    WorkerName::new("core").unwrap()
}

/// A run of a job that ended so many minutes ago, as a number names it.
fn ended(
    number: u32,
    id: &str,
    status: Status,
    reason: Option<&str>,
    now: Timestamp,
    minutes: i64,
) -> NewRun {
    let run_id: RunId = format!("0190b0b0-0000-7000-8000-{number:012}").parse().unwrap();
    let about = (JobId::new(id).unwrap(), "cmd".to_owned(), worker());
    let at = now - TimeDelta::minutes(minutes);
    let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, at, at, Span::from_days(30));
    run.status = status;
    run.ts_start = Some(at + TimeDelta::seconds(2));
    run.ts_end = Some(at + TimeDelta::seconds(5));
    run.due_at = None;
    run.reason = reason.map(str::to_owned);
    run.log.push(status, at, Value::Null);
    let document = job(id, json!({ "globals": { "day": minutes } }));
    NewRun { run, spec: RunSpec::of_job(Arc::new(document.as_object().unwrap().clone())) }
}

/// The key of a run that a number names.
fn key_of(number: u32) -> RunKey {
    RunKey::root(format!("0190b0b0-0000-7000-8000-{number:012}").parse().unwrap())
}

async fn put(realm: &Folder, made: Vec<NewRun>) {
    let made: Vec<_> = made.into_iter().map(|one| (one, None)).collect();
    assert!(realm.runs().create(&made).await.unwrap().iter().all(pumice_core::ports::Created::is_new));
}

pub(crate) async fn failures_by_cause(api: &Api) {
    let realm = Folder::new().await;
    crate::applied(&Api::default(), &realm).await;
    let now = realm.now();
    let mut made = vec![ended(1, "once", Status::Complete, None, now, 30)];
    for (number, order) in (2..).zip([4_711, 4_712, 9]) {
        let reason = format!("job mid > low: exit status 3: order {order} is unknown");
        made.push(ended(number, "once", Status::Failed, Some(&reason), now, i64::from(number)));
    }
    made.push(ended(10, "daily", Status::Failed, Some("exit status 4: order 1 is unknown"), now, 20));
    made.push(ended(11, "daily", Status::Rejected, Some("exit status 3: order 7 is unknown"), now, 21));
    made.push(ended(12, "daily", Status::Failed, Some("exit status 3: order 7 is unknown"), now, 60 * 30));
    made.push(ended(13, "daily", Status::Cancelled, Some("asked to"), now, 1));
    put(&realm, made).await;

    let asked = api.request("failures", json!({ "limit": 1 }));
    let found = api.response("failures", &runs::failures(&realm, &asked).await.unwrap());
    assert_eq!((&found["where"], &found["runs"]), (&json!("status:failed,rejected since:1d"), &json!(5)));
    assert_eq!((&found["more_groups"], &found["is_cut"]), (&json!(1), &json!(false)));
    let group = &found["groups"][0];
    let reason = "exit status 3: order <n> is unknown";
    assert_eq!((&group["reason"], &group["count"]), (&json!(reason), &json!(4)));
    assert_eq!(group["fingerprint"], Fingerprint::of_normalised(reason).to_string());
    let jobs = json!([{ "job_id": "once", "count": 3 }, { "job_id": "daily", "count": 1 }]);
    assert_eq!((&group["jobs"], &group["more_jobs"]), (&jobs, &json!(0)));
    assert_eq!(group["example"], "0190b0b0-0000-7000-8000-000000000002", "the last one");
    assert_eq!(group["success"], "0190b0b0-0000-7000-8000-000000000001");
    assert_eq!(group["input"], json!([{ "field": "globals.day", "before": 30, "after": 2 }]));
    assert_eq!(group["spec"], Value::Null, "it is the same");

    // The window and the statuses are the filter's where it names them.
    let asked = api.request("failures", json!({ "where": "since:3d status:failed job:daily" }));
    let found = runs::failures(&realm, &asked).await.unwrap();
    assert_eq!((found.runs, found.groups.len()), (2, 2), "{found:?}");
    let wrong = runs::ListFailures { filter: Some("colour:red".to_owned()), ..runs::ListFailures::default() };
    assert_eq!(runs::failures(&realm, &wrong).await.unwrap_err().kind(), ErrorKind::Invalid);

    // The group of the window is done again, each run once.
    let request = runs::RetryMany { all: true, ..runs::RetryMany::default() };
    let request = runs::of_cause(&Fingerprint::of_normalised(reason), &request).unwrap();
    for (done, already) in [(4, 0), (0, 4)] {
        let retried = runs::retry_many(&realm, &request).await.unwrap();
        assert_eq!((retried.count, retried.done, retried.already), (4, done, already), "{retried:?}");
    }
}

/// Puts a message aside, as a worker does; gives the id of the letter.
async fn bury(realm: &Folder, message: Message, reason: &str) -> String {
    let (database, worker) = (realm.database(), worker());
    let sent = database.send(vec![Outgoing { message, at: realm.now() - TimeDelta::seconds(1) }]).await;
    assert!(sent.iter().all(Result::is_ok));
    let taken = database.receive(&worker, 10, Duration::ZERO).await.unwrap();
    database.bury(&taken[0].receipt, reason).await.unwrap();
    let letters = database.dead_letters_of(&DeadQueue::Worker(worker), 100).await.unwrap().letters;
    letters.last().unwrap().id.clone()
}

pub(crate) async fn dead_letters(api: &Api) {
    let realm = Folder::new().await;
    crate::applied(&Api::default(), &realm).await;
    let name = RealmName::new("local").unwrap();
    let now = realm.now();
    let complete = ended(1, "once", Status::Complete, None, now, 5);
    let open = NewRun {
        run: Run { ts_end: None, ..ended(2, "daily", Status::Dispatched, None, now, 4).run },
        ..ended(2, "daily", Status::Dispatched, None, now, 4)
    };
    let gone = ended(3, "daily", Status::Dispatched, None, now, 4);
    let messages = [&complete, &open, &gone].map(|one| Message::about(&name, &one.run));
    put(&realm, vec![complete, open]).await;
    let mut ids = Vec::new();
    for (message, reason) in
        messages.into_iter().zip(["handed out too often", "it cannot be read", "its record is gone"])
    {
        ids.push(bury(&realm, message, reason).await);
    }
    let list = |filter: &str| api.request::<dead::ListDead>("dead list", json!({ "where": filter }));
    let found = api.response("dead list", &dead::list(&realm, &list("")).await.unwrap());
    let statuses: Vec<&Value> =
        found["letters"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!("complete"), &json!("dispatched"), &Value::Null]);
    for (filter, count) in [
        ("worker:core", 3),
        ("-worker:core", 0),
        ("job:daily", 2),
        ("status:complete", 1),
        ("reason:OFTEN", 1),
        ("since:1h", 3),
        ("until:1h", 0),
        ("id:0190b0b0", 3),
        ("-job:daily status:complete", 1),
    ] {
        let found = dead::list(&realm, &list(filter)).await.unwrap();
        assert_eq!(found.letters.len(), count, "{filter}");
    }
    let refused = dead::list(&realm, &list("type:cmd")).await.unwrap_err();
    assert!(refused.message().contains("\"type\" is not asked of dead letters: the words are"), "{refused}");
    let shown = api.request("dead show", json!({ "letter": ids[1] }));
    let shown = api.response("dead show", &dead::show(&realm, &shown).await.unwrap());
    assert!(shown["body"].as_str().unwrap().contains("0190b0b0-0000-7000-8000-000000000002"), "{shown}");
    let missing = api.request("dead show", json!({ "letter": "nope" }));
    assert_eq!(dead::show(&realm, &missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    redriven(api, &realm).await;
    dropped(api, &realm, &ids[0]).await;
}

fn outcomes(done: &dead::DeadDone) -> Vec<dead::DeadOutcome> {
    done.receipts.iter().map(|one| one.outcome).collect()
}

/// A letter whose run has ended is left; asked again, none is handed out twice.
async fn redriven(api: &Api, realm: &Folder) {
    let redrive = |request: Value| api.request::<dead::ActOnDead>("dead redrive", request);
    let dry =
        dead::redrive(realm, &redrive(json!({ "where": "worker:core", "dry_run": true }))).await.unwrap();
    let dry = api.response("dead redrive", &dry);
    assert_eq!((&dry["count"], &dry["done"]), (&json!(3), &json!(0)));
    let other = redrive(json!({ "where": "worker:core", "expect": 2 }));
    assert_eq!(dead::redrive(realm, &other).await.unwrap_err().kind(), ErrorKind::Conflict);
    let others = redrive(json!({ "where": "worker:core", "expect": "3:0123456789abcdef" }));
    let others = dead::redrive(realm, &others).await.unwrap_err();
    assert!(others.message().contains("3 dead letters are meant now as before, but others"), "{others}");
    let same = redrive(json!({ "where": "worker:core", "expect": dry["expect"] }));
    let done = dead::redrive(realm, &same).await.unwrap();
    assert_eq!((done.done, outcomes(&done)), (2, vec![Ended, Redriven, Redriven]));
    let again = dead::redrive(realm, &redrive(json!({ "where": "worker:core" }))).await.unwrap();
    assert_eq!((again.count, outcomes(&again)), (1, vec![Ended]));
    let waits = realm.database().receive(&worker(), 10, Duration::ZERO).await.unwrap();
    assert_eq!(waits.len(), 2, "each message is there once");
}

/// Never all by accident.
async fn dropped(api: &Api, realm: &Folder, ended: &str) {
    let discard = |request: Value| api.request::<dead::DropDead>("dead drop", request);
    for (request, wanted) in [
        (json!({ "of": {} }), "none is named"),
        (json!({ "of": { "where": "worker:core" } }), "look with a dry run first"),
        (json!({ "of": { "where": " " }, "yes": true }), "would mean every dead letter"),
        (json!({ "of": { "where": "worker:core", "letters": ["x"] }, "yes": true }), "not both"),
    ] {
        let refused = dead::discard(realm, &discard(request)).await.unwrap_err();
        assert!(refused.message().contains(wanted) && refused.kind() == ErrorKind::Invalid, "{refused}");
    }
    assert_eq!(realm.dead_letters().dead_count(&DeadQueue::Worker(worker())).await.unwrap(), 1);
    let done = dead::discard(realm, &discard(json!({ "of": { "letters": [ended] } }))).await.unwrap();
    assert_eq!(outcomes(&done), [Dropped]);
    api.response("dead drop", &done);
    assert_eq!(realm.dead_letters().dead_count(&DeadQueue::Worker(worker())).await.unwrap(), 0);
}

#[tokio::test]
async fn doctor_names_the_run_that_has_what_others_wait_for() {
    let realm = Folder::new().await;
    let _served = realm.served().await;
    let now = realm.now();
    let gate = Gate::of_key("warehouse").unwrap();
    let waits = |number: u32, id: &str, minutes: i64| {
        let mut made = ended(number, id, Status::Waiting, Some("x"), now, minutes);
        let due = now - TimeDelta::minutes(minutes);
        made.run = Run {
            ts_start: None,
            ts_end: None,
            reason: None,
            first_due: Some(due),
            due_at: Some(now + TimeDelta::seconds(20)),
            ..made.run
        };
        made
    };
    let mut holder = ended(1, "session", Status::Running, None, now, 16);
    holder.run = Run { ts_end: None, due_at: Some(now + TimeDelta::minutes(5)), ..holder.run };
    let mut at_gate = waits(2, "compact", 15);
    at_gate.run.permit = Some(Box::new(Permit {
        gate: Some(gate.clone()),
        ticket: Some(9),
        ..Permit::of_pool("x".parse().unwrap())
    }));
    let (key, first) = (holder.run.key.clone(), at_gate.run.key.clone());
    put(&realm, vec![holder, at_gate]).await;
    let mut run = realm.runs().load(&key).await.unwrap().unwrap();
    run.rev += 1;
    let admit = Admit { max: 1, tickets: 0, ticket: None };
    let taken = PermitChange::Take { gate: gate.clone(), admit };
    let change = Change { run, lock: None, permit: Some(taken), message: None };
    realm.runs().commit(&change).await.unwrap();
    let locks = async || {
        let found = doctor::doctor(&realm, &doctor::AskDoctor {}).await.unwrap();
        found.checks.into_iter().find(|check| check.name == "locks").unwrap()
    };
    // How long its runs usually take is not known, and an hour is not over.
    assert_eq!(locks().await.finding, Finding::Ok);
    // Three seconds each.
    put(&realm, (10..13).map(|n| ended(n, "session", Status::Complete, None, now, 100)).collect()).await;
    let found = locks().await;
    assert_eq!(
        (found.finding, &found.fix[..]),
        (Finding::Warning, &["runs".to_owned(), "show".to_owned(), key.to_string()][..])
    );
    let says = format!(
        "run {key} of session has a permit of key \"warehouse\", has run for 15 min, and usually takes 3 s: run {first} of compact has waited for it for 15 min"
    );
    assert_eq!(found.says, says);
    // The lock of a job, for more than an hour.
    let mut holder = ended(20, "alone", Status::Running, None, now, 90);
    holder.run = Run { ts_end: None, due_at: Some(now + TimeDelta::minutes(5)), ..holder.run };
    let key = holder.run.key.clone();
    put(&realm, vec![holder, waits(21, "alone", 61)]).await;
    let mut run = realm.runs().load(&key).await.unwrap().unwrap();
    run.rev += 1;
    let change = Change { run, lock: Some(LockChange::Take), permit: None, message: None };
    realm.runs().commit(&change).await.unwrap();
    let found = locks().await;
    assert!(
        found.says.starts_with(&format!("run {key} of alone has the lock of job alone, has run for ")),
        "{}",
        found.says
    );
    assert!(found.says.ends_with("has waited for it for 61 min (and 1 more)"), "{}", found.says);
}

/// An alert that was made so many minutes ago, whose actions no worker has taken.
fn alert(number: u32, now: Timestamp, minutes: i64) -> NewRun {
    let NewRun { run, spec } = ended(number, "etl/load", Status::Complete, None, now, minutes);
    let late = Late {
        limit: LimitKind::MustStart,
        entry: 0,
        by: now,
        slot: None,
        previous: None,
        zone: Timezone(chrono_tz::UTC),
        run_id: None,
        status: None,
        why: "it is dispatched".to_owned(),
        worker: None,
    };
    let duties = Some(Duties { actions: Some(ActionsWhen::OnLate), done: 0, wake_parent: false });
    // As the sweeper leaves it, which comes ever more rarely.
    let due_at = Some(now + TimeDelta::minutes(minutes.min(14)));
    NewRun { run: Run { late: Some(Box::new(late)), duties, due_at, ..run }, spec }
}

#[tokio::test]
async fn attempts_that_cannot_begin_are_a_fault() {
    let realm = Folder::new().await;
    let (served, now) = (realm.served().await, realm.now());
    let found = async || {
        let found = doctor::doctor(&realm, &doctor::AskDoctor {}).await.unwrap();
        found.checks.into_iter().find(|check| check.name == "attempts").unwrap()
    };
    let waits = |number, reason| {
        let NewRun { run, spec } = ended(number, "etl/load", Status::Waiting, Some(reason), now, 1);
        let (ts_end, due_at) = (None, Some(now + TimeDelta::minutes(5)));
        NewRun { run: Run { ts_end, due_at, ..run }, spec }
    };
    put(&realm, vec![waits(1, "exit status 3: cannot begin: x")]).await;
    assert_eq!(found().await.finding, Finding::Ok);
    put(&realm, vec![waits(3, "cannot begin: no disk"), waits(2, "cannot begin: no rights")]).await;
    let check = found().await;
    let wanted = format!(
        "the attempts of 2 runs wait for a fault of the host, the first run {} of etl/load: cannot begin: no",
        key_of(2)
    );
    // Both were dispatched at the same time.
    let others = wanted.replace(&key_of(2).to_string(), &key_of(3).to_string());
    assert!(check.says.starts_with(&wanted) || check.says.starts_with(&others), "{check:?}");
    assert_eq!((check.finding, &*check.fix[1]), (Finding::Fault, "why"));
    drop(served);
}

#[tokio::test]
async fn actions_of_broken_limits_that_no_worker_takes_are_a_fault() {
    let realm = Folder::new().await;
    let now = realm.now();
    let found = async || {
        let found = doctor::doctor(&realm, &doctor::AskDoctor {}).await.unwrap();
        found.checks.into_iter().find(|check| check.name == "alerts").unwrap()
    };
    put(&realm, vec![alert(1, now, 1)]).await;
    assert_eq!(found().await.finding, Finding::Skipped, "without a server");
    let served = realm.served().await;
    assert_eq!(found().await.finding, Finding::Ok, "its worker has a moment");
    put(&realm, vec![alert(2, now, 40), alert(3, now, 20)]).await;
    let check = found().await;
    assert_eq!(check.finding, Finding::Fault, "{check:?}");
    let wanted = "the actions of 2 broken limits are not performed, the first since 39 min, as nothing takes the messages of core";
    assert!(check.says.starts_with(wanted), "{check:?}");
    assert_eq!(check.fix, ["runs", "why", &key_of(2).to_string()]);
    let why = runs::why(&realm, &runs::RunName { run: key_of(2).to_string() }).await.unwrap();
    assert!(why.why.contains("its actions wait for worker core since"), "{}", why.why);
    drop(served);
}

pub(crate) async fn doctor_stats_and_metrics(api: &Api, busy: &Folder) {
    let realm = Folder::new().await;
    let found = doctor::doctor(&realm, &api.request("doctor", json!({}))).await.unwrap();
    assert_eq!((found.faults, found.checks[0].finding), (0, Finding::Ok), "{found:?}");
    api.response("doctor", &found);
    api.response("doctor", &doctor::doctor(busy, &doctor::AskDoctor {}).await.unwrap());
    // A message that was set aside and a run from the future are seen.
    let now = realm.now();
    let ahead = ended(1, "a", Status::Complete, None, now, -10);
    let message = Message::about(&RealmName::new("local").unwrap(), &ahead.run);
    put(&realm, vec![ahead]).await;
    bury(&realm, message, "x").await;
    let found = doctor::doctor(&realm, &doctor::AskDoctor {}).await.unwrap();
    let of = |name: &str| found.checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(
        (of("clock").finding, of("dead letters").finding),
        (Finding::Fault, Finding::Warning),
        "{found:?}"
    );
    assert_eq!(of("dead letters").fix, ["dead", "list"]);

    let mut made = vec![
        ended(2, "b", Status::Failed, Some("x"), now, 10),
        ended(3, "b", Status::Complete, None, now, 12),
    ];
    made.push(ended(4, "b", Status::Complete, None, now, 60 * 30));
    put(&realm, made).await;
    let asked = api.request("stats", json!({ "where": "until:1s" }));
    let shown = api.response("stats", &stats::stats(&realm, &asked).await.unwrap());
    let one = &shown["jobs"][0];
    assert_eq!(
        (&one["job_id"], &one["runs"], &one["failures_per_mille"]),
        (&json!("b"), &json!(2), &json!(500))
    );
    assert_eq!((&one["took_p50_ms"], &one["waited_p95_ms"]), (&json!(3_000), &json!(2_000)));
    assert_eq!(
        (&one["before"]["runs"], &shown["is_cut"], &shown["more_jobs"]),
        (&json!(1), &json!(false), &json!(0))
    );

    // A run whose record is removed stays in the counts: those of today, too.
    put(&realm, vec![ended(5, "gone", Status::Failed, Some("x"), now, 10)]).await;
    let of = async |words: &str| {
        let asked = AskStats { filter: Some(format!("{words} job:gone")), ..AskStats::default() };
        stats::stats(&realm, &asked).await.unwrap()
    };
    let before = of("since:2d").await;
    assert!(realm.runs().remove(&key_of(5)).await.unwrap());
    let after = of("since:2d").await;
    assert_eq!((after.all.runs, after.all.failed), (before.all.runs, before.all.failed), "{after:?}");
    assert_eq!((before.all.gone, after.all.gone), (0, 1));
    let note = after.note.unwrap_or_default();
    assert!(note.contains("the records of 1 of these runs are gone"), "{note}");
    // A window that begins within the day of the run says that it is left out.
    let day = (now - TimeDelta::minutes(10)).date_naive();
    let part = of(&format!("since:{day}T00:00:01Z")).await;
    let note = part.note.unwrap_or_default();
    assert!(part.all.gone == 0 && note.starts_with("1 run whose records are gone are left out"), "{note}");

    let read = metrics::metrics(&realm, &api.request("metrics", json!({}))).await.unwrap();
    api.response("metrics", &read);
    let text = read.text();
    for line in [
        "pumice_runs{status=\"complete\"} 3",
        "pumice_job_runs{job_id=\"b\",status=\"failed\"} 1",
        "pumice_dead_letters{of=\"worker\",worker=\"core\"} 1",
        "pumice_dead_letters_all 1",
        "pumice_scrape_failed{part=\"queues\"} 0",
        "# TYPE pumice_sweeper_lag_seconds gauge",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
}
