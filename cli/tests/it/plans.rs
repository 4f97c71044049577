//! `plan`, `apply --prune`, `apply --env`, `export`, `dag`: specs in files and in the realm.

use std::path::Path;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice};

fn job(id: &str, more: Value) -> Value {
    let mut job =
        json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "true" });
    job.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    job
}

fn realm(jobs: &[Value]) -> Pumice {
    let pumice = Pumice::new();
    pumice.write("all.json", Value::from(jobs).to_string());
    let applied = pumice.run(&["apply", "all.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
    pumice
}

fn ids(pumice: &Pumice) -> Vec<String> {
    let jobs = pumice.run(&["jobs", "list", "-o", "json"]).json()["jobs"].clone();
    let jobs = jobs.as_array().expect("jobs").clone();
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

fn digest(printed: &Printed) -> String {
    printed.json()["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn plan_shows_what_apply_would_do_and_changes_nothing() {
    let pumice = Pumice::new();
    let steps = |last: &str| json!({ "type": "chain", "payload": ["etl/a", "etl/b", last] });
    pumice.write("jobs.json", json!([job("etl/a", json!({})), job("etl/all", steps("etl/c"))]).to_string());
    let plan = pumice.run(&["plan", "jobs.json", "--exit-code"]);
    assert_eq!(plan.status, 1, "{plan:?}");
    assert!(plan.out.contains("+ job etl/a\n+ job etl/all\n2 to add, 0 to update"), "{plan:?}");
    assert!(!pumice.path().join(".pumice").exists());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let plan = pumice.run(&["plan", "jobs.json", "--exit-code"]);
    assert_eq!((plan.status, plan.out.contains("nothing to do: 2 unchanged")), (0, true), "{plan:?}");
    pumice.write(
        "jobs.json",
        json!([job("etl/a", json!({ "owner": "ada" })), job("etl/all", steps("etl/d"))]).to_string(),
    );
    let plan = pumice.run(&["plan", "jobs.json"]);
    assert_eq!(plan.status, 0, "{plan:?}");
    for wanted in
        ["~ job etl/a\n    + owner: \"ada\"\n", "    payload[2]: \"etl/c\" → \"etl/d\"\n", "2 to update"]
    {
        assert!(plan.out.contains(wanted), "{wanted}: {}", plan.out);
    }
    assert!(!plan.out.contains('\u{1b}'), "no colours in a pipe");
    assert!(pumice.run(&["plan", "jobs.json"]).out.contains("2 to update"), "nothing was written");
    assert_eq!(pumice.run(&["plan", "nowhere.json"]).status, 2);
}

#[test]
fn plan_that_is_expected_is_refused_once_others_have_written() {
    let pumice = realm(&[job("a", json!({})), job("b", json!({}))]);
    pumice.write("new.json", json!([job("a", json!({ "owner": "ada" })), job("b", json!({}))]).to_string());
    let expected = digest(&pumice.run(&["plan", "new.json", "-o", "json"]));
    // A document that the plan leaves as it is counts as well.
    pumice.write("other.json", job("b", json!({ "owner": "eve" })).to_string());
    assert_eq!(pumice.run(&["apply", "other.json"]).status, 0);
    let refused = pumice.run(&["apply", "new.json", "--expect", &expected]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("have changed; look at the plan again"), "{refused:?}");
    assert_eq!(pumice.run(&["jobs", "show", "b"]).json()["owner"], "eve");
    let expected = digest(&pumice.run(&["plan", "new.json", "-o", "json"]));
    let applied = pumice.run(&["apply", "new.json", "--expect", &expected]);
    assert!(applied.out.contains("0 added, 2 updated, 0 unchanged"), "{applied:?}");
    assert_eq!(pumice.run(&["jobs", "show", "a"]).json()["owner"], "ada");
}

#[test]
fn prune_removes_what_is_in_its_scope_and_not_in_the_files() {
    let pumice = realm(&[
        job("etl/a", json!({})),
        job("etl/old", json!({ "schedule": "@daily" })),
        job("etl-old", json!({})),
        job("other", json!({ "type": "chain", "payload": ["etl/old", "etl/a"] })),
    ]);
    let trigger =
        json!({ "trigger_id": "etl/in", "bucket": "b", "prefix": "*", "job_id": "etl/old", "enabled": true });
    pumice.write("trigger.json", trigger.to_string());
    assert_eq!(pumice.run(&["apply", "trigger.json"]).status, 0);
    pumice.write("jobs/a.json", job("etl/a", json!({})).to_string());
    let prune = ["--prune", "--scope", "etl"];
    let plan = pumice.run(&[&["plan", "jobs"], &prune[..]].concat());
    for wanted in [
        "- job etl/old\n    its schedule starts nothing more: \"@daily\"\n",
        "! job other still names job etl/old",
        "! trigger etl/in still names job etl/old",
        "stays within etl, as the files have none of its kind there:\n    trigger etl/in\n",
        "0 to add, 0 to update, 1 to remove, 1 unchanged",
    ] {
        assert!(plan.out.contains(wanted), "{wanted}: {}", plan.out);
    }
    let dry = pumice.run(&[&["apply", "jobs", "--dry-run"], &prune[..]].concat());
    assert!(
        dry.out.contains("removed   etl/old") && dry.out.contains("1 removed, 1 unchanged (dry run"),
        "{dry:?}"
    );
    assert_eq!(ids(&pumice), ["etl-old", "etl/a", "etl/old", "other"]);
    let expected = digest(&pumice.run(&[&["plan", "jobs", "-o", "json"], &prune[..]].concat()));
    let applied = pumice.run(&[&["apply", "jobs", "--expect", &expected], &prune[..]].concat());
    assert_eq!(applied.status, 0, "{applied:?}");
    assert_eq!(ids(&pumice), ["etl-old", "etl/a", "other"]);
    assert_eq!(pumice.run(&["triggers", "show", "etl/in"]).status, 0, "a kind that no file has stays");
    let again = pumice.run(&[&["apply", "jobs", "--expect", &expected], &prune[..]].concat());
    assert_eq!(again.status, 2, "what was planned is done: {again:?}");
}

#[test]
fn prune_that_is_probably_not_meant_is_refused() {
    let pumice = realm(&[job("etl/a", json!({})), job("etl/b", json!({})), job("ops/c", json!({}))]);
    pumice.write("jobs/a.json", job("etl/a", json!({})).to_string());
    pumice.write("realm/realm.json", json!({ "realm": "local" }).to_string());
    std::fs::create_dir(pumice.path().join("empty")).expect("a folder");
    for (arguments, wanted) in [
        (
            vec!["jobs", "--prune", "--scope", "elt"],
            "neither the files nor the realm have anything within scope elt (did you mean",
        ),
        (
            vec!["jobs", "--prune", "--scope", "ops"],
            "none of the files' documents is within scope ops, where the realm has 1",
        ),
        (vec!["empty", "--prune", "--scope", "etl"], "the folder holds no spec file"),
        (vec!["realm", "--prune", "--scope", "*"], "the files have no job, trigger or connection"),
        (vec!["jobs", "--prune", "--scope", "etl/*"], "is not a pattern"),
        (vec!["jobs", "--prune", "--scope", ""], "a scope is empty"),
        (vec!["jobs", "--prune"], "--scope"),
        (vec!["jobs", "--scope", "etl"], "--prune"),
    ] {
        for command in ["plan", "apply"] {
            let refused = pumice.run(&[&[command], &arguments[..]].concat());
            assert_eq!(refused.status, 2, "{command} {arguments:?}: {refused:?}");
            assert!(refused.err.contains(wanted), "{command} {arguments:?}: {}", refused.err);
        }
    }
    assert_eq!(ids(&pumice), ["etl/a", "etl/b", "ops/c"]);
    let elsewhere = pumice.run(&["apply", "jobs", "--prune", "--scope", "etl", "--home", "nothing"]);
    assert_eq!(elsewhere.status, 2, "{elsewhere:?}");
    assert!(!pumice.path().join("nothing").exists());
}

#[test]
fn prune_of_a_job_that_runs_is_refused_unless_it_is_meant() {
    let hourly = json!({ "schedule": { "every": "1h" } });
    let pumice =
        realm(&[job("etl/a", json!({})), job("etl/busy", json!({})), job("etl/hourly", hourly.clone())]);
    assert_eq!(pumice.run(&["dispatch", "etl/busy"]).status, 0);
    pumice.write("a.json", job("etl/a", json!({})).to_string());
    let prune = ["a.json", "--prune", "--scope", "etl/"];
    let plan = pumice.run(&[&["plan", "-o", "json"], &prune[..]].concat()).json();
    assert_eq!(plan["documents"][0]["unended"]["count"], 1, "{plan}");
    let shown = pumice.run(&[&["plan"], &prune[..]].concat());
    assert!(shown.status == 0 && shown.out.contains("apply refuses this until these runs"), "{shown:?}");
    let refused = pumice.run(&[&["apply"], &prune[..]].concat());
    let run = plan["documents"][0]["unended"]["runs"][0].as_str().expect("a run").to_owned();
    assert!(refused.status == 2 && refused.err.contains(&run), "{refused:?}");
    assert_eq!(ids(&pumice).len(), 3);
    // What is touched is named as in the plan: before it is done, and by the act itself.
    let despite = [&["apply", "--despite-runs"], &prune[..]].concat();
    let touched = json!([
        { "job_id": "etl/busy", "unended": { "count": 1, "runs": [run] } },
        { "job_id": "etl/hourly", "schedule": hourly["schedule"] },
    ]);
    let looked = pumice.run(&[&despite[..], &["--dry-run"]].concat());
    assert!(
        looked.out.contains(&format!("removed   etl/busy\n    1 run has not ended: {run}\n")),
        "{looked:?}"
    );
    assert!(
        looked.out.contains("removed   etl/hourly\n    its schedule starts nothing more: "),
        "{looked:?}"
    );
    let looked = pumice.run(&[&despite[..], &["--dry-run", "-o", "json"]].concat()).json();
    assert_eq!(looked["touched"], touched);
    let applied = pumice.run(&[&despite[..], &["-o", "json"]].concat());
    assert_eq!((applied.status, &applied.json()["touched"]), (0, &touched));
    assert_eq!(ids(&pumice), ["etl/a"]);
}

#[test]
fn files_are_built_for_an_environment() {
    let pumice = Pumice::new();
    pumice.write("config/prod.yaml", "realm: prod\nprefix: { job: app }\nworker: { main: core }\nday: 2\n");
    pumice.write("jobs/_common/cmd.yaml", "type: cmd\nenabled: true\nworker: <{ worker.main }>\n");
    pumice.write(
        "jobs/load.yaml",
        "# <% include '_common/cmd.yaml' %>\njob_id: <{ prefix.job }>/load\npayload: echo {{start}} <{ day }>\nx-src: <{ jinja.templates[0] }>\n"
            .replacen("# ", "", 1),
    );
    pumice.write("jobs/dev.yaml", "# <% if env == 'dev' %>\njob_id: dev\ntype: log\n# <% endif %>\n");
    pumice.write("jobs/none.json", "<% if false %>{}<% endif %>");
    let env = ["--env", "config/prod.yaml"];
    let applied = pumice.run(&[&["apply", "jobs"], &env[..]].concat());
    assert_eq!(
        (applied.status, applied.out.as_str()),
        (0, "added     app/load\n1 added, 0 updated, 0 unchanged\n"),
        "{applied:?}"
    );
    assert!(applied.err.contains("nothing for environment prod in 2 files"), "{applied:?}");
    let shown = pumice.run(&["jobs", "show", "app/load"]).json();
    assert_eq!((&shown["payload"], &shown["x-src"]), (&json!("echo {{start}} 2"), &json!("load.yaml")));
    let plan = pumice.run(&[&["plan", "jobs", "--exit-code"], &env[..]].concat());
    assert_eq!(plan.status, 0, "{plan:?}");
    assert_eq!(pumice.run(&[&["check", "jobs"], &env[..]].concat()).status, 0);
    pumice.write("jobs/bad.yaml", "job_id: a\nowner: <{ missing.name }>\n");
    let refused = pumice.run(&[&["check", "jobs"], &env[..]].concat());
    assert!(
        refused.status == 2 && refused.err.contains("jobs/bad.yaml: line 2: undefined value"),
        "{refused:?}"
    );
    pumice.write("config/prod.yaml", "db: { password: hunter2 }\n");
    let refused = pumice.run(&[&["check", "jobs"], &env[..]].concat());
    assert!(refused.status == 2 && refused.err.contains("db.password seems to be a secret"), "{refused:?}");
    assert!(!refused.err.contains("hunter2"), "{refused:?}");
}

#[test]
fn every_example_is_exported_and_taken_back_unchanged() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/jobs").display().to_string();
    let pumice = Pumice::new();
    assert_eq!(pumice.run(&["apply", &examples]).status, 0);
    let odd = json!([
        job("Etl/A", json!({})),
        job("etl/a", json!({})),
        job("größe/日本", json!({})),
        job("a:b", json!({ "x-n": 1.0e300 }))
    ]);
    pumice.write("odd.json", odd.to_string());
    assert_eq!(pumice.run(&["apply", "odd.json"]).status, 0);
    let dry = pumice.run(&["export", "out", "--dry-run"]);
    assert!(
        dry.status == 0
            && dry.out.contains("jobs/demo/nightly.json\n")
            && !pumice.path().join("out").exists(),
        "{dry:?}"
    );
    let exported = pumice.run(&["export", "out"]);
    assert_eq!(exported.status, 0, "{exported:?}");
    let plan = pumice.run(&["plan", "out", "--exit-code", "--prune", "--scope", "*"]);
    assert!(plan.status == 0 && plan.out.contains("nothing to do"), "{plan:?}");
    let applied = pumice.run(&["apply", "out", "--home", "other"]);
    assert_eq!(applied.status, 0, "{applied:?}");
    let [before, after] = [".pumice", "other"]
        .map(|home| pumice.run(&["export", "again", "--dry-run", "--home", home, "-o", "json"]).json());
    assert_eq!(before, after);
    let again = pumice.run(&["export", "out"]);
    assert!(again.status == 2 && again.err.contains("the folder is not empty"), "{again:?}");
    assert_eq!(pumice.run(&["export", "out", "--into"]).status, 0);
    let part = pumice.run(&["export", "part", "--scope", "etl/", "-o", "json"]).json();
    let ids: Vec<&Value> =
        part["documents"].as_array().expect("documents").iter().map(|one| &one["id"]).collect();
    assert!(
        ids.iter().all(|id| id.as_str().is_some_and(|id| id.starts_with("etl/"))) && !ids.is_empty(),
        "{ids:?}"
    );
    assert_eq!(pumice.run(&["export", "none", "--scope", "nothing"]).status, 2);
    assert!(!pumice.path().join("none").exists());
}

#[test]
fn export_has_no_secrets() {
    let pumice = realm(&[job("a", json!({}))]);
    pumice.write("b.json", job("b", json!({ "x-token": "canary-of-export" })).to_string());
    assert_eq!(pumice.run(&["apply", "b.json"]).status, 0);
    assert_eq!(pumice.feed(&["secrets", "set", "k"], "canary-of-export").status, 0);
    let exported = pumice.run(&["export", "out"]);
    assert_eq!(exported.status, 2, "{exported:?}");
    assert!(exported.err.contains("left out job b: x-token has the value of a secret"), "{exported:?}");
    assert!(
        pumice.path().join("out/jobs/a.json").exists() && !pumice.path().join("out/jobs/b.json").exists()
    );
}

#[test]
fn dag_is_made_of_a_table_and_back() {
    let pumice = Pumice::new();
    pumice.write("dag.csv", "job,a,b\nc,x,x\nb,x,\n");
    let made =
        pumice.run(&["dag", "generate", "dag.csv", "--prefix", "etl/", "--compact", "--wrap", "payload"]);
    assert_eq!(made.json(), json!({ "payload": { "etl/c": ["etl/a", "etl/b"], "etl/b": "etl/a" } }));
    assert!(made.err.contains("without a row of their own, and so after no other job: a"), "{made:?}");
    let order = pumice.run(&["dag", "generate", "dag.csv", "--order"]);
    assert_eq!(order.out, "batch 1\n  a\nbatch 2\n  b\nbatch 3\n  c\n");
    let dag = job("all", json!({ "type": "dag", "payload": { "c": ["a", "b"], "b": "a" } }));
    pumice.write("dag.json", dag.to_string());
    assert_eq!(pumice.run(&["dag", "table", "dag.json"]).out, "job,a,b\nc,x,x\nb,x,\n");
    pumice.write("circle.csv", "job,depends_on\na,b\nb,a\n");
    let refused = pumice.run(&["dag", "generate", "circle.csv"]);
    assert!(
        refused.status == 2 && refused.err.contains("in a circle: \"a\" after \"b\" after \"a\""),
        "{refused:?}"
    );
}

#[test]
fn job_that_was_changed_by_other_hands_is_shown_as_drift() {
    let pumice = realm(&[job("a", json!({})), job("b", json!({ "owner": "ada" }))]);
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    let raw = |id: &str| -> String {
        store.query_row("SELECT spec FROM jobs WHERE job_id = ?", [id], |row| row.get(0)).expect("a job")
    };
    let edited = raw("b").replace("\"ada\"", "\"eve\"");
    assert!(edited.contains("x-pumice-applied") && edited.contains("eve"), "{edited}");
    store.execute("UPDATE jobs SET spec = ? WHERE job_id = 'b'", [&edited]).expect("it is edited");
    let plan = pumice.run(&["plan", "all.json"]);
    let wanted =
        "~ job b\n    drift: changed by other means since it was applied\n    owner: \"eve\" → \"ada\"\n1 ";
    assert!(plan.out.contains(&wanted[..wanted.len() - 2]), "{plan:?}");
    let shown = pumice.run(&["jobs", "show", "b"]);
    assert!(
        shown.err.contains("changed by other means") && !shown.out.contains("x-pumice-applied"),
        "{shown:?}"
    );
    assert!(!pumice.run(&["jobs", "show", "a"]).err.contains("changed by other means"));
    assert_eq!(pumice.run(&["apply", "all.json"]).status, 0);
    assert!(!pumice.run(&["jobs", "show", "b"]).err.contains("changed by other means"));
    // A job that was put before there were marks is not a change, and gets one.
    store.execute("UPDATE jobs SET spec = json_remove(spec, '$.x-pumice-applied')", []).expect("edited");
    assert_eq!(pumice.run(&["plan", "all.json", "--exit-code"]).status, 0);
    assert!(pumice.run(&["apply", "all.json"]).out.contains("2 unchanged"));
    assert!(raw("a").contains("x-pumice-applied"));
    // Runs keep what is theirs.
    assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
    let kept: i64 = store
        .query_row("SELECT count(*) FROM specs WHERE instr(spec, 'x-pumice-applied') > 0", [], |row| {
            row.get(0)
        })
        .unwrap_or(0);
    assert_eq!(kept, 0);
}
