//! The job type and the action of docs/job-types.md, checked and run in a realm's folder.

use std::sync::Arc;
use std::time::Duration;

use own_job_type::{AddOne, CountWords, Tally, Words};
use pumice_core::engine::{Engine, Handled, Limits};
use pumice_core::ids::{JobId, StateId, WorkerName};
use pumice_core::job_type::{BadRegistry, Registry, Runners, job_schema};
use pumice_core::ports::{Catalog, Clock, Consumer, RunStore, StateStore};
use pumice_core::request::DispatchRequest;
use pumice_core::run::{Run, Status};
use pumice_core::spec::{JobSpec, Settings};
use pumice_local::{Database, Durability, Home, SystemClock};
use serde_json::{Value, json};

fn registry() -> Arc<Registry> {
    let registry = pumice_job_types::add(Registry::builder()).leaf(Words).action(Tally);
    Arc::new(registry.build().expect("each has a name of its own"))
}

fn runners() -> Arc<Runners> {
    let runners = pumice_job_runners::add(Runners::builder()).leaf(CountWords).performer(AddOne);
    Arc::new(runners.build(registry()).expect("each has a runner"))
}

fn job(payload: &str, parameters: &Value) -> Value {
    let tally =
        |words| json!([{ "action": "tally", "state_id": format!("{{{{ job.job_id }}}}/{{{{ {words} }}}}") }]);
    json!({
        "job_id": "count", "type": "words", "worker": "core", "enabled": true, "globals": { "name": "Ann Lee" },
        "payload": payload, "parameters": parameters, "on_success": tally("result.words"), "on_fail": tally("result.error_data.words"),
    })
}

/// Runs a job to its end in a realm of its own.
async fn run(document: &Value) -> (Run, Database, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::open(folder.path(), None, true, Durability::Normal).await.expect("a realm");
    let runners = runners();
    let spec = runners.registry().read_job(document, &Settings::default()).expect("it holds");
    home.database().put_jobs(vec![spec], false).await.expect("it is put");
    let worker = WorkerName::new("core").expect("a name");
    let engine = Engine::new(home.site().await.expect("a site"), runners, worker.clone(), Limits::default());
    let request = DispatchRequest::new(JobId::new("count").expect("an id"));
    let accepted = engine.dispatcher().dispatch(vec![request], None).await.remove(0).expect("it is taken");
    let taken = home.database().receive(&worker, 1, Duration::ZERO).await.expect("it answers").remove(0);
    assert_eq!(engine.handle(&taken.body, taken.receives, None).await, Handled::Delete);
    let key = pumice_core::ids::RunKey::root(accepted.run_id);
    let run = home.database().load(&key).await.expect("it answers").expect("it is there");
    (run, home.database().clone(), folder)
}

async fn tally(database: &Database, id: &str) -> Option<Value> {
    let id = StateId::new(id).expect("an id");
    let found = StateStore::get(database, &[id], SystemClock.now()).await.expect("it answers");
    found.into_iter().flatten().map(|item| item.value).next()
}

#[tokio::test]
async fn own_job_rendered_completes_and_performs_own_action() {
    let (run, database, _folder) = run(&job("{{ globals.name }} was here", &json!({}))).await;
    assert_eq!((run.status, &run.result["words"]), (Status::Complete, &json!(4)));
    assert_eq!(tally(&database, "count/4").await, Some(json!(1)));
}

#[tokio::test]
async fn own_job_without_jinja_takes_the_text_as_it_stands() {
    let (run, _, _folder) = run(&job("{{ globals.name }}", &json!({ "jinja": false }))).await;
    assert_eq!((run.status, &run.result["words"]), (Status::Complete, &json!(3)));
}

#[tokio::test]
async fn own_job_failing_gives_its_reason_and_performs_own_action() {
    let (run, database, _folder) = run(&job("{{ globals.name }}", &json!({ "at_least": 3 }))).await;
    assert_eq!((run.status, run.attempt), (Status::Failed, 1));
    assert_eq!(run.result["error"], json!("2 words are fewer than 3"));
    assert_eq!(tally(&database, "count/2").await, Some(json!(1)));
}

#[test]
fn own_type_is_checked_by_its_types_templates_and_own_rules() {
    let registry = registry();
    for (document, wanted) in [
        (job("x", &json!({ "at_least": "many" })), "parameters.at_least: expected a whole number"),
        (
            job("x", &json!({ "at_lest": 1 })),
            "parameters.at_lest: no such field (did you mean \"at_least\"?)",
        ),
        (job("x", &json!({ "at_least": 0 })), "parameters.at_least: 0 words are always enough"),
        (job("{{ x", &json!({})), "payload: "),
        (
            {
                let mut bad = job("x", &json!({}));
                bad["on_fail"] = json!([{ "action": "tally" }]);
                bad
            },
            "on_fail[0]: the field \"state_id\" is missing",
        ),
    ] {
        let error = registry.read_job(&document, &Settings::default()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let spec = JobSpec::parse(&job("{{ globls.x }}", &json!({}))).unwrap();
    let advice: Vec<String> =
        registry.advise_job(&spec, &Settings::default()).iter().map(ToString::to_string).collect();
    assert!(advice.join("\n").contains("payload: unknown variable \"globls\""), "{advice:?}");
}

#[test]
fn own_type_is_in_the_printed_schema_without_marks() {
    let schema = job_schema(&registry()).to_string();
    for part in ["\"const\":\"words\"", "The fewest words that are enough", "\"const\":\"tally\""] {
        assert!(schema.contains(part), "{part}");
    }
    assert!(!schema.contains("x-template"));
}

#[test]
fn runner_missing_or_without_a_type_is_refused_by_name() {
    let build = |runners: pumice_core::job_type::RunnersBuilder, registry: Arc<Registry>| {
        runners.build(registry).expect_err("something is missing")
    };
    let all = || pumice_job_runners::add(Runners::builder());
    let own = Arc::new(pumice_job_types::registry().unwrap());
    for (error, wanted) in [
        (build(all().performer(AddOne), registry()), BadRegistry::NoRunner("the job type", "words")),
        (build(all().leaf(CountWords), registry()), BadRegistry::NoRunner("the action", "tally")),
        (build(all().leaf(CountWords), own.clone()), BadRegistry::NothingToRun("leaf job type", "words")),
        (build(all().performer(AddOne), own.clone()), BadRegistry::NothingToRun("action", "tally")),
        (
            build(all().leaf(CountWords).leaf(CountWords), own.clone()),
            BadRegistry::Twice("runners of a job type", "words"),
        ),
        (build(Runners::builder(), own), BadRegistry::NoRunner("the job type", "cmd")),
    ] {
        assert_eq!(error, wanted);
    }
    let twice = Registry::builder().leaf(Words).leaf(Words).build();
    assert_eq!(twice.map(drop), Err(BadRegistry::Twice("job types", "words")));
}

#[test]
fn page_has_the_code_that_is_tested() {
    let page = include_str!("../../../docs/job-types.md");
    for code in [include_str!("../src/lib.rs"), include_str!("../examples/serve.rs")] {
        assert!(
            page.contains(&format!("```rust\n{code}```\n")),
            "docs/job-types.md is not as the code is:\n{code}"
        );
    }
    assert_eq!(page.matches("```rust\n").count(), 2);
}
