//! Pages are small as they are sent, those of the largest jobs too.

use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunKey, WorkerName};
use pumice_core::ports::Doc;
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::RunSpec;
use pumice_service::Realm;
use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::client::{EDITOR, Server, encoded};
use crate::fixtures::run_id;
use crate::pages::MAX_PAGE;

/// How many steps the largest job that is looked at has.
const STEPS: usize = 1_000;

/// Numbers that repeat nothing, the same in each run of a test.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // Knuth's multiplier; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }

    fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from_digit(u32::try_from(self.below(16)).unwrap(), 16).unwrap()).collect()
    }
}

/// A dag of jobs with these ids, each after some of those before it.
fn dag(id: &str, jobs: &[String], parents: usize) -> Value {
    let mut numbers = Numbers(7);
    let after = |step: usize, numbers: &mut Numbers| {
        let mut places: Vec<usize> = (0..parents.min(step)).map(|_| numbers.below(step)).collect();
        places.sort_unstable();
        places.dedup();
        match &places[..] {
            [] => Value::Null,
            places => places.iter().map(|place| json!(jobs[*place])).collect(),
        }
    };
    let payload: serde_json::Map<String, Value> =
        jobs.iter().enumerate().map(|(step, job)| (job.clone(), after(step, &mut numbers))).collect();
    json!({ "job_id": id, "type": "dag", "worker": "core", "enabled": true, "payload": payload })
}

fn dags() -> Vec<(Value, Vec<String>)> {
    let mut numbers = Numbers(42);
    let grouped: Vec<String> = (0..STEPS).map(|n| format!("grp{}/sub{}/n{n}", n % 7, n % 50)).collect();
    let odd: Vec<String> = (0..STEPS).map(|n| format!("{}{n}", numbers.text(10))).collect();
    let few: Vec<String> = (0..300).map(|n| format!("{}{n}", numbers.text(10))).collect();
    vec![
        (dag("big/grouped", &grouped, 2), grouped),
        (dag("big/odd", &odd, 3), odd),
        (dag("big/few", &few, 3), few),
    ]
}

/// A run of a job as it stands.
pub(crate) fn record(key: RunKey, job: &str, kind: &str, status: Status, spec: &Value) -> NewRun {
    let now = pumice_core::Timestamp::from_timestamp(1_795_000_000, 0).unwrap();
    let about = (JobId::stored(job).unwrap(), kind.to_owned(), WorkerName::new("core").unwrap());
    let mut run =
        Run::dispatched(key.clone(), key.run_id().unwrap(), about, now, now, Span::from_days(3_000));
    run.status = status;
    run.attempt = 1;
    if status.is_end() {
        (run.ts_start, run.ts_end, run.due_at) = (Some(now), Some(now + TimeDelta::seconds(3)), None);
    }
    let spec: Doc = spec.as_object().unwrap().clone();
    NewRun { run, spec: RunSpec::of_job(Arc::new(spec)) }
}

pub(crate) async fn create(realm: &Folder, runs: Vec<NewRun>) {
    let runs: Vec<_> = runs.into_iter().map(|run| (run, None)).collect();
    for some in runs.chunks(200) {
        assert!(realm.runs().create(some).await.unwrap().iter().all(|one| one.is_new()));
    }
}

/// How many bytes of a page are sent to a browser.
async fn sent(server: &Server, path: &str) -> usize {
    let token = format!("Bearer {EDITOR}");
    let headers = [("authorization", token.as_str()), ("accept-encoding", "gzip, deflate, br")];
    let answer = server.send("GET", path, &headers, "").await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, "gzip"), "{path}");
    answer.header("content-length").parse().unwrap()
}

#[tokio::test]
async fn pages_of_a_large_dag_are_small() {
    let realm = Folder::new().await;
    let mut pages = Vec::new();
    for (number, (spec, jobs)) in dags().into_iter().enumerate() {
        let id = spec["job_id"].as_str().unwrap().to_owned();
        let small = json!({ "job_id": "x", "type": "cmd", "worker": "core", "enabled": true, "payload": "echo hello" });
        let (whole, begun) = (RunKey::root(run_id(2 * number)), RunKey::root(run_id(2 * number + 1)));
        let mut root = record(whole.clone(), &id, "dag", Status::Complete, &spec);
        let ended: Vec<Value> =
            jobs.iter().map(|job| json!({ "job_id": job, "status": "complete" })).collect();
        root.run.result = json!({ "steps": ended });
        let mut runs = vec![root, record(begun.clone(), &id, "dag", Status::Running, &spec)];
        for (step, job) in jobs.iter().enumerate() {
            let key = whole.child(1, u32::try_from(step).unwrap());
            runs.push(record(key, job, "cmd", Status::Complete, &small));
        }
        create(&realm, runs).await;
        pages.push((id, spec, [whole, begun]));
    }
    let server = Server::start(realm).await;
    let documents: Vec<Value> = pages.iter().map(|(_, spec, _)| json!({ "document": spec })).collect();
    let applied = server.api(EDITOR, "/api/v1/apply", &json!({ "specs": { "documents": documents } })).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    for (id, _, runs) in pages {
        let runs = runs.map(|run| format!("/run?{}", encoded(&[("id", run.as_str())])));
        for path in runs.into_iter().chain([format!("/job?{}", encoded(&[("id", &id)]))]) {
            let page = server.get(&path).await.body;
            // A run that has just begun may have no steps to draw.
            assert!(
                page.contains("<div class=\"graph\"") || path.ends_with(['1', '3', '5', '7', '9']),
                "{path}"
            );
            let sent = sent(&server, &path).await;
            assert!(sent <= MAX_PAGE, "{id}: {path} has {sent} bytes");
        }
    }
}

#[tokio::test]
async fn page_of_a_run_with_large_documents_is_small() {
    let realm = Folder::new().await;
    let mut numbers = Numbers(3);
    let spec = json!({ "job_id": "wide", "type": "cmd", "worker": "core", "enabled": true,
        "payload": numbers.text(100_000), "parameters": { "env": { "A": numbers.text(100_000) } } });
    let mut root = record(RunKey::root(run_id(1)), "wide", "cmd", Status::Complete, &spec);
    root.run.result = json!({ "value": numbers.text(100_000) });
    for _ in 0..40 {
        let at = root.run.ts_dispatch;
        root.run.log.push(Status::ActionFailed, at, json!({ "why": numbers.text(8_000) }));
    }
    create(&realm, vec![root]).await;
    let server = Server::start(realm).await;
    let sent = sent(&server, &format!("/run?id={}", run_id(1))).await;
    assert!(sent <= MAX_PAGE, "{sent} bytes");
}
