//! `apply`, `jobs`, `state`, `render`, `template`, `schema`: the commands around jobs.

use serde_json::json;

use crate::pumice::{Pumice, shell};

fn spec(description: &str) -> String {
    json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "echo '{{ start }}' {{globals.x}}",
        "globals": { "x": 1 }, "description": description, "X-mine": [1] })
    .to_string()
}

#[test]
fn apply_says_what_changed_and_a_dry_run_changes_nothing() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", spec("one"));
    assert!(pumice.run(&["apply", "jobs.json", "--dry-run"]).out.contains("1 added"));
    assert!(!pumice.path().join(".pumice").exists());
    assert!(pumice.run(&["apply", "jobs.json"]).out.contains("added     a"));
    assert!(pumice.run(&["apply", "jobs.json"]).out.contains("1 unchanged"));
    pumice.write("jobs.json", spec("two"));
    let dry = pumice.run(&["apply", "jobs.json", "--dry-run"]).out;
    assert!(dry.contains("- description: \"one\"") && dry.contains("+ description: \"two\""), "{dry}");
    assert!(pumice.run(&["jobs", "show", "a"]).out.contains("\"one\""));
    assert_eq!(pumice.run(&["apply", "jobs.json", "-o", "json"]).json()["jobs"][0]["change"], "updated");
    let shown = pumice.run(&["jobs", "show", "a"]).json();
    assert_eq!((shown["description"].as_str(), &shown["X-mine"]), (Some("two"), &json!([1])));
    assert!(pumice.run(&["jobs", "list", "b*"]).out.lines().count() == 1);
    assert_eq!(pumice.run(&["jobs", "delete", "a"]).status, 0);
    assert_eq!(pumice.run(&["jobs", "delete", "a"]).status, 2);
}

#[test]
fn deleted_jobs_may_be_a_pattern_and_their_users_are_listed() {
    let pumice = Pumice::new();
    let job = |id: &str, kind: &str, payload: serde_json::Value| json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload });
    let jobs = json!([
        job("etl/a", "log", json!(null)),
        job("etl/b", "log", json!(null)),
        job("top", "chain", json!(["etl/a", "etl/b"])),
        job("other", "log", json!(null)),
    ]);
    pumice.write("jobs.json", jobs.to_string());
    pumice.run(&["apply", "jobs.json"]);
    let printed = pumice.run(&["jobs", "delete", "etl/*"]);
    assert_eq!((printed.status, printed.out.as_str()), (0, "deleted etl/a\ndeleted etl/b\n"));
    assert!(printed.err.contains("warning: job top still names etl/a, etl/b"), "{printed:?}");
    let printed = pumice.run(&["jobs", "delete", "nothing*", "other"]);
    assert_eq!((printed.status, printed.out.as_str()), (2, "deleted other\nnot there: nothing*\n"));
    assert_eq!(pumice.run(&["jobs", "list", "-o", "json"]).json()["jobs"].as_array().map(Vec::len), Some(1));
}

#[test]
fn realm_and_its_defaults_are_applied_too() {
    let pumice = Pumice::new();
    pumice.write("jobs/realm.json", json!({ "realm": "prod", "config": { "ITERATION_MAX_LIMIT": 20 }, "on_fail": [{ "action": "log", "message": "realm saw {{ job.job_id }} fail" }] }).to_string());
    pumice.write("jobs/a.json", json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "false", "iteration_limit": 20 }).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs", "a"]);
    assert!(printed.err.contains("realm saw a fail"), "{}", printed.err);
    assert_eq!(pumice.run(&["apply", "jobs"]).status, 0);
    assert_eq!(pumice.run(&["--realm", "other", "jobs", "list"]).status, 2);
    assert_eq!(pumice.run(&["--realm", "prod", "jobs", "list"]).status, 0);
}

#[test]
fn state_items_are_put_read_listed_and_deleted() {
    let pumice = Pumice::new();
    assert_eq!(pumice.run(&["state", "put", "etl/last", r#"{"n": 1}"#, "--ttl", "1h"]).status, 0);
    assert_eq!(pumice.run(&["state", "get", "etl/last"]).json(), json!({ "n": 1 }));
    pumice.run(&["state", "put", "etl/last", "plain text"]);
    assert_eq!(pumice.run(&["state", "get", "etl/last"]).json(), json!("plain text"));
    assert_eq!(pumice.run(&["state", "list", "-o", "json"]).json()[0]["state_id"], "etl/last");
    let tried = pumice.run(&["state", "put", "etl/last", "3", "--dry-run"]);
    let lines: Vec<&str> = tried.out.lines().collect();
    assert!(tried.status == 0 && lines[0] == "would replace state item etl/last:", "{tried:?}");
    assert!(
        lines[1].contains("before \"plain text\", until ") && lines[2].contains("after  3, until "),
        "{tried:?}"
    );
    let tried = pumice.run(&["state", "put", "new", "canary-77", "--secure", "--dry-run"]);
    assert!(tried.out.contains("which is not there:") && !tried.out.contains("canary"), "{tried:?}");
    assert_eq!(pumice.run(&["state", "list", "--where", "-id:etl/*", "-o", "json"]).json(), json!([]));
    assert_eq!(pumice.run(&["state", "get", "etl/last"]).json(), json!("plain text"));
    assert_eq!(pumice.run(&["state", "delete", "etl/last"]).status, 0);
    assert_eq!(pumice.run(&["state", "get", "etl/last"]).status, 2);
}

#[test]
fn render_shows_what_would_run() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", spec("one"));
    let arguments = [
        "render",
        "--jobs",
        "jobs.json",
        "a",
        "-g",
        "x=y z",
        "--now",
        "2026-03-01T15:05:06",
        "--tz",
        "Australia/Sydney",
    ];
    assert_eq!(pumice.run(&arguments).json()["payload"], json!(["echo", "2026-03-01 15:05:06+11:00", "y z"]));
}

#[test]
fn templates_can_be_tried() {
    let pumice = Pumice::new();
    pumice.write("vars.yaml", "globals:\n  name: Pele\n");
    let printed = pumice.run(&["template", "--context", "vars.yaml", "hello {{ globals.name }}"]);
    assert_eq!(printed.out, "hello Pele\n");
    let printed = pumice.feed(&["template", "--now", "2026-03-01T00:00:00Z", "--tz", "UTC"], "{{ ustart }}");
    assert_eq!(printed.out, "2026-03-01 00:00:00+00:00\n");
    let printed = pumice.run(&["template", "{{ nope.x }}"]);
    assert_eq!(printed.status, 2);
}

#[test]
fn schemas_and_completions_are_printed() {
    let pumice = Pumice::new();
    let schema = pumice.run(&["schema", "job"]).json();
    assert!(
        schema["allOf"].to_string().contains("CmdParameters")
            || schema["allOf"].to_string().contains("timeout")
    );
    assert!(pumice.run(&["completions", "bash"]).out.contains("_pumice"));
}

#[test]
fn reader_that_goes_away_is_not_a_failure() {
    let pumice = Pumice::new();
    let script = format!(
        "{} schema job | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_pumice")
    );
    let status = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(pumice.path())
        .status()
        .expect("bash");
    assert!(status.success(), "{status}");
}

#[test]
fn applied_realm_shows_its_changes() {
    let pumice = Pumice::new();
    pumice.write("realm.yaml", "realm: other\n");
    let refused = pumice.run(&["--realm", "test", "apply", "--dry-run", "realm.yaml"]);
    assert_eq!(refused.status, 2, "there is no folder yet: {refused:?}");
    let realm = |config: &str| format!("realm: test\n{config}");
    pumice.write("realm.yaml", realm("config: {CMD_TIMEOUT: 5m}\n"));
    assert!(pumice.run(&["apply", "realm.yaml"]).out.contains("realm test"));
    assert!(pumice.run(&["apply", "realm.yaml"]).out.contains("unchanged realm test"));
    pumice.write("realm.yaml", realm(""));
    for arguments in [&["apply", "--dry-run", "realm.yaml"][..], &["apply", "realm.yaml"]] {
        let reported = pumice.run(arguments).out;
        let lines = ["updated   realm test", "    - config: {\"CMD_TIMEOUT\":\"5m\"}"];
        assert!(lines.iter().all(|line| reported.contains(line)), "{arguments:?}: {reported}");
    }
    pumice.write("realm.yaml", "realm: other\n");
    for arguments in [&["apply", "--dry-run", "realm.yaml"][..], &["apply", "realm.yaml"]] {
        let refused = pumice.run(arguments);
        assert_eq!(refused.status, 2, "{arguments:?}: {refused:?}");
    }
}

#[test]
fn probably_unintended_parts_warn_and_are_not_refused() {
    let pumice = Pumice::new();
    let job = |id: &str, more: &str| {
        format!("job_id: {id}\ntype: cmd\nworker: core\npayload: {more}\nenabled: true\n")
    };
    pumice.write("jobs/pipe.yaml", job("pipe", "cat a | wc -l"));
    pumice.write("jobs/cut.yaml", job("cut", "cut -d '|' -f 1 a"));
    pumice.write("jobs/shell.yaml", job("shell", "sh -c 'cat a | wc -l'"));
    for name in ["first", "second", "third"] {
        let id = format!("jobs/{name}.yaml");
        pumice.write(&id, job(name, "date").replace("enabled: true", "schedule: 0 3 * * *"));
    }
    pumice.write("realm.yaml", "realm: test\nconfig: {FOREIGN_WORKER: gp}\n");
    for arguments in [&["check", "realm.yaml", "jobs"][..], &["apply", "realm.yaml", "jobs"]] {
        let reported = pumice.run(arguments);
        assert_eq!(reported.status, 0, "{reported:?}");
        let warnings: Vec<&str> = reported.err.lines().collect();
        for (warning, part) in warnings.iter().zip([
            "warning: realm.yaml: config.FOREIGN_WORKER: no setting of this name is read (did you mean \"FOREIGN_WORKERS\"?) [unknown-setting]",
            "warning: jobs/first.yaml: enabled: not given, so that no run of the job is started (say `enabled: true`) [not-enabled]: 3 times, for job first, job second, job third",
            "warning: jobs/first.yaml: schedule: no timezone is given, so that its times are in UTC",
            "warning: jobs/pipe.yaml: payload: | means nothing here: no shell runs the command (for a shell, say sh -c '…') [shell-sign]",
        ]) {
            assert!(warning.starts_with(part), "{part}: {warning}");
        }
        assert_eq!(warnings.len(), 4, "{warnings:#?}");
    }
    let json = pumice.run(&["check", "-o", "json", "-q", "realm.yaml", "jobs"]);
    assert_eq!((json.err.as_str(), json.json()["warnings"].as_array().map(Vec::len)), ("", Some(8)));
}

#[test]
fn jobs_are_held_to_the_settings_of_the_realm_that_is_there() {
    let pumice = Pumice::new();
    let job = |id: &str, worker: &str, job_type: &str| {
        format!(
            "job_id: {id}\ntype: {job_type}\nworker: {worker}\npayload: x\nenabled: true\niteration_limit: 20\n"
        )
    };
    pumice.write("many.yaml", job("many", "core", "log"));
    pumice.write("lavas.yaml", job("lavas", "gp-1", "sqlc"));
    let refused = pumice.run(&["apply", "many.yaml", "lavas.yaml"]);
    assert!(refused.status == 2 && refused.err.contains("3 problems in 2 files"), "{refused:?}");
    let config = "{ITERATION_MAX_LIMIT: 50, FOREIGN_WORKERS: gp-*}";
    pumice.write("realm.yaml", format!("realm: test\nconfig: {config}\n"));
    assert_eq!(pumice.run(&["apply", "realm.yaml"]).status, 0);
    // In a folder there are no lava workers: the type must be one of Pumice's.
    let refused = pumice.run(&["apply", "many.yaml", "lavas.yaml"]);
    assert!(refused.status == 2 && refused.err.contains("in 1 file"), "{refused:?}");
    assert!(!refused.err.contains("many.yaml"), "{refused:?}");
    let applied = pumice.run(&["apply", "many.yaml"]);
    assert!(applied.out.contains("1 added") && applied.err.is_empty(), "{applied:?}");
    let checked = pumice.run(&["--aws", "check", "realm.yaml", "many.yaml", "lavas.yaml"]);
    assert!(checked.status == 0 && !checked.err.contains("no-lava-workers"), "{checked:?}");
}

#[test]
fn run_warns_and_names_no_file_that_it_removes() {
    let pumice = Pumice::new();
    let job = |id: &str, more: &str| format!("job_id: {id}\ntype: cmd\nworker: core\npayload: {more}\n");
    pumice.write("jobs/noisy.yaml", job("noisy", "seq 30\nenabled: true"));
    pumice.write("jobs/off.yaml", job("off", "date"));
    let printed = pumice.run(&["run", "--jobs", "jobs", "noisy"]);
    assert!(printed.err.contains("noisy | … 81 bytes in all: --keep DIR keeps them"), "{printed:?}");
    assert!(!printed.err.contains("warning"), "it is about another job: {printed:?}");
    let printed = pumice.run(&["run", "--jobs", "jobs", "--keep", "kept", "noisy"]);
    let place = printed.err.lines().find_map(|line| line.split_once("bytes in all: ")).expect("a place").1;
    assert_eq!(std::fs::read_to_string(pumice.path().join(place)).expect("it is there").lines().count(), 30);
    let printed = pumice.run(&["run", "--jobs", "jobs", "off"]);
    assert!(printed.err.contains("warning: off: enabled: not given"), "{printed:?}");
}

#[test]
fn dry_run_of_a_deletion_says_what_it_would_delete_and_deletes_nothing() {
    let pumice = Pumice::new();
    pumice.write(
        "all.json",
        json!([shell("a/one", "true"), shell("a/two", "true"),
            { "trigger_id": "t", "bucket": "b", "prefix": "p", "job_id": "a/one", "enabled": true },
            { "conn_id": "c", "type": "generic", "enabled": true, "attributes": { "host": "db" } }])
        .to_string(),
    );
    assert_eq!(pumice.run(&["apply", "all.json"]).status, 0);
    assert_eq!(pumice.run(&["state", "put", "s", "1"]).status, 0);
    for (delete, would) in [
        (&["jobs", "delete", "a/*"][..], "would delete a/one\nwould delete a/two\n"),
        (&["triggers", "delete", "t"], "would delete t\n"),
        (&["connections", "delete", "c"], "would delete c\n"),
        (&["state", "delete", "s"], "would delete s\n"),
    ] {
        for _ in 0..2 {
            let tried = pumice.run(&[delete, &["--dry-run"]].concat());
            assert_eq!((tried.status, &*tried.out), (0, would), "{delete:?} {tried:?}");
        }
        let json = pumice.run(&[delete, &["--dry-run", "-o", "json"]].concat()).json();
        assert_eq!(json["dry_run"], true, "{json}");
        let missing = [&delete[..2], &["nope", "--dry-run"]].concat();
        assert_eq!(pumice.run(&missing).status, 2, "{missing:?}");
        let done = pumice.run(delete);
        assert_eq!(done.status, 0, "{done:?}");
        assert_eq!(pumice.run(&[delete, &["--dry-run"]].concat()).status, 2, "{delete:?} is gone");
    }
    // A try leaves no entry in the audit.
    let acts = pumice.run(&["audit", "list", "--where", "act:\"jobs delete\"", "-o", "json"]).json();
    assert_eq!(acts["entries"].as_array().map(Vec::len), Some(1), "{acts}");
}
