//! Bad input: one clear message, the right exit status, and nothing lost.

use std::fs;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, shell};

fn check(spec: &Value) -> Printed {
    let pumice = Pumice::new();
    pumice.write("jobs.json", spec.to_string());
    pumice.run(&["check", "jobs.json"])
}

fn job(more: &Value) -> Value {
    let mut job = json!({ "job_id": "a", "type": "log", "worker": "core", "payload": null });
    for (name, value) in more.as_object().expect("an object") {
        job[name] = value.clone();
    }
    job
}

#[test]
fn environment_that_is_invalid_is_of_the_request() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job(&json!({ "enabled": true })).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    for (name, value, wanted) in [
        ("LAVA_EVENT_TTL", "soon", "invalid environment variable: LAVA_EVENT_TTL: "),
        ("LAVA_RENDER_AT", "never", "invalid environment variable: LAVA_RENDER_AT: "),
        ("TZ", "Nowhere/Else", "TZ=Nowhere/Else is not a time zone"),
    ] {
        for arguments in [&["dispatch", "a"][..], &["serve"], &["run", "--jobs", "jobs.json", "a"]] {
            let printed: Printed =
                pumice.command(arguments).env(name, value).output().expect("it ends").into();
            assert!(printed.err.contains(wanted), "{name} {arguments:?}: {}", printed.err);
            assert_eq!(printed.status, 2, "{name} {arguments:?}");
        }
    }
}

#[test]
fn every_field_is_checked() {
    for (more, wanted) in [
        (json!({ "job_id": 5 }), "job_id: expected a string, got a number 5"),
        (json!({ "job_id": "" }), "job_id: job id \"\" must not be empty"),
        (json!({ "type": "cmmd" }), "no such job type \"cmmd\" (did you mean \"cmd\"?)"),
        (json!({ "worker": "a b" }), "part of a queue's name"),
        (json!({ "enabled": 1 }), "enabled: expected true or false or a string, got a number 1"),
        (json!({ "schedule": "61 * * * *" }), "schedule: \"61 * * * *\" is not a crontab"),
        (
            json!({ "schedule": { "crontab": "0 0 * * *", "form": "2026-01-01" } }),
            "schedule.form: no such field (did you mean \"from\"?)",
        ),
        (json!({ "parameters": [] }), "parameters: expected an object, got a list []"),
        (json!({ "globals": { "Lava_x": 1 } }), "the global \"Lava_x\" is reserved"),
        (json!({ "state": "x" }), "state: expected an object, got a string \"x\""),
        (json!({ "iteration_limit": 0 }), "iteration_limit: 0 is less than 1"),
        (json!({ "iteration_limit": 11 }), "iteration_limit: 11 is more than 10"),
        (json!({ "iteration_limit": 1.5 }), "iteration_limit: expected a whole number, got a number 1.5"),
        (json!({ "iteration_delay": "6m" }), "iteration_delay: 6m is more than 5m"),
        (json!({ "iteration_delay": "abc" }), "iteration_delay: \"abc\" is not a duration"),
        (json!({ "max_run_delay": "-1s" }), "max_run_delay: \"-1s\" is negative"),
        (json!({ "max_tries": -1 }), "max_tries: -1 is less than 0"),
        (json!({ "on_success": {} }), "on_success: expected a list, got an object {}"),
        (json!({ "on_success": [{ "message": "x" }] }), "on_success[0]: the field \"action\" is missing"),
        (
            json!({ "on_fail": [{ "action": "lgo", "message": "x" }] }),
            "on_fail[0].action: no such action \"lgo\" (did you mean \"log\"?)",
        ),
        (json!({ "on_retry": [{ "action": "log" }] }), "on_retry[0]: the field \"message\" is missing"),
        (
            json!({ "on_retry": [{ "action": "dispatch", "job_id": "b", "delay": "16m" }] }),
            "on_retry[0].delay: a delay of 16m is more than 15m",
        ),
        (json!({ "render_at": "later" }), "render_at: \"later\" is none of auto, dispatch, run"),
        (json!({ "timezone": "Australia/Sidney" }), "(did you mean \"Australia/Sydney\"?)"),
        (json!({ "overlap": "skp" }), "(did you mean \"skip\"?)"),
        (json!({ "timeout": "x" }), "timeout: \"x\" is not a duration"),
        (json!({ "retry_backoff": 1 }), "retry_backoff: expected one of fixed, exponential, got a number 1"),
        (json!({ "tags": { "a": 1 } }), "tags.a: expected a string, got a number 1"),
        (json!({ "paylod": 1 }), "paylod: no such field (did you mean \"payload\"?)"),
        (json!({ "enabled": "{{ 1 +" }), "enabled: "),
        (json!({ "type": "cmd", "payload": "" }), "payload: must not be empty"),
        (
            json!({ "type": "cmd", "payload": "echo 'x" }),
            "payload: the command line has an opening ' without a closing one",
        ),
        (
            json!({ "type": "cmd", "payload": "x", "parameters": { "arg": [] } }),
            "parameters.arg: no such field (did you mean \"args\"?)",
        ),
        (
            json!({ "type": "cmd", "payload": "x", "parameters": { "args": ["a", "{% if %}"] } }),
            "parameters.args[1]: ",
        ),
        (json!({ "type": "chain", "payload": [] }), "payload: the list of jobs is empty"),
        (
            json!({ "type": "chain", "payload": "b", "parameters": { "start": "c" } }),
            "the start job \"c\" is not in the chain",
        ),
        (json!({ "type": "chain", "payload": "b, a" }), "job a is a step of itself"),
        (json!({ "type": "dispatch", "payload": "a" }), "job a may not dispatch itself"),
        (json!({ "type": "dispatch", "payload": 5 }), "payload: expected a string or a list, got a number 5"),
    ] {
        let printed = check(&job(&more));
        assert_eq!(printed.status, 2, "{more}: {printed:?}");
        assert!(
            printed.err.contains("jobs.json: ") && printed.err.contains(wanted),
            "{more}: {}",
            printed.err
        );
    }
}

#[test]
fn null_in_place_of_a_payload_is_named_once() {
    for (kind, wanted) in [
        ("chain", "a string or a list"),
        ("cmd", "a string"),
        ("dag", "an object"),
        ("dispatch", "a string or a list"),
        ("exe", "a string"),
        ("foreach", "a string"),
        ("http", "a string"),
        ("lambda", "a string"),
        ("pkg", "a string or a list"),
        ("sql", "a string or a list"),
        ("sqlc", "a string or a list"),
        ("sqli", "a string or a list"),
    ] {
        let printed = check(&job(&json!({ "type": kind, "payload": null })));
        let line = format!("payload: expected {wanted}, got null\n");
        assert!(printed.status == 2 && printed.err.contains(&line), "{kind}: {printed:?}");
    }
}

/// A job in YAML, with this text in `enabled`.
fn enabled(text: &str) -> Pumice {
    let pumice = Pumice::new();
    let job = format!("job_id: a\ntype: log\nworker: core\npayload: null\nenabled: {text}\n");
    pumice.write("jobs.yaml", job);
    pumice
}

#[test]
fn invalid_enabled_is_refused_with_the_fix() {
    for (text, fix) in [
        ("yes", "write true"),
        ("On", "write true"),
        ("Y", "write true"),
        ("no", "write false"),
        ("OFF", "write false"),
        ("n", "write false"),
        ("\"\"", "write true, false or a template"),
        ("sometimes", "write true, false or a template"),
        ("\"1\"", "write true, false or a template"),
    ] {
        let pumice = enabled(text);
        for command in ["check", "apply"] {
            let printed = pumice.run(&[command, "jobs.yaml"]);
            let shown = text.trim_matches('"');
            let wanted = format!(
                "jobs.yaml: enabled: \"{shown}\" is a text, and a job is enabled only by true ({fix})"
            );
            assert_eq!(printed.status, 2, "{command} {text}: {printed:?}");
            assert!(printed.err.contains(&wanted), "{command} {text}: {}", printed.err);
        }
    }
    for text in ["true", "True", "\"true\"", "\" TRUE \"", "\"false\"", "\"{{ 1 == 2 }}\"", "\"{# never #}\""]
    {
        let pumice = enabled(text);
        let printed = pumice.run(&["check", "jobs.yaml"]);
        assert_eq!(printed.status, 0, "{text}: {printed:?}");
    }
}

#[test]
fn stored_job_with_an_invalid_enabled_is_not_dispatched() {
    let pumice = enabled("true");
    assert_eq!(pumice.run(&["apply", "jobs.yaml"]).status, 0);
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    let changed = store.execute("UPDATE jobs SET spec = json_set(spec, '$.enabled', 'yes')", []);
    assert_eq!(changed, Ok(1));
    drop(store);
    let printed = pumice.run(&["dispatch", "a"]);
    assert_eq!(printed.status, 2, "{printed:?}");
    assert!(printed.err.contains("enabled: \"yes\" is a text"), "{}", printed.err);
    assert!(printed.err.contains("(write true)"), "{}", printed.err);
}

#[test]
fn all_mistakes_are_reported_and_nothing_is_loaded() {
    let pumice = Pumice::new();
    pumice.write("jobs/good.json", job(&json!({ "job_id": "good" })).to_string());
    pumice.write("jobs/bad.yaml", "job_id: b\ntype: log\nworker: 5\nenabeld: true\npayload: null\n");
    pumice.write("jobs/worse.json", json!([job(&json!({})), { "type": "log" }]).to_string());
    let printed = pumice.run(&["apply", "jobs"]);
    assert_eq!(printed.status, 2);
    for wanted in [
        "bad.yaml: worker: expected a string",
        "bad.yaml: enabeld: no such field (did you mean \"enabled\"?)",
        "worse.json: [1]: the field \"job_id\" is missing",
        "5 problems in 2 files",
    ] {
        assert!(printed.err.contains(wanted), "{wanted}: {}", printed.err);
    }
    assert!(!pumice.path().join(".pumice").exists());
}

#[test]
fn two_specs_with_one_id_are_refused() {
    let printed = check(&json!([job(&json!({})), job(&json!({}))]));
    assert!(printed.err.contains("the job_id \"a\" was given before"), "{}", printed.err);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let pumice = Pumice::new();
    pumice.write("latin.json", b"{\"job_id\": \"caf\xe9\"}");
    pumice.write("huge.json", format!("[{}]", " ".repeat(10 * 1024 * 1024)));
    pumice.write("broken.json", "{\"job_id\": }");
    pumice.write("broken.yaml", "a: [1, 2");
    fs::create_dir(pumice.path().join("empty")).expect("a folder");
    for (path, wanted) in [
        ("latin.json", "not UTF-8: byte 16"),
        ("huge.json", "larger than 4 MiB"),
        ("broken.json", "not JSON: expected value at line 1 column 12"),
        ("broken.yaml", "not YAML"),
        ("nowhere.json", "cannot be read"),
        ("empty", "holds no spec file"),
    ] {
        let printed = pumice.run(&["check", path]);
        assert_eq!(printed.status, 2, "{path}");
        assert!(printed.err.contains(path) && printed.err.contains(wanted), "{path}: {}", printed.err);
    }
}

#[test]
fn folders_that_lead_in_a_circle_do_no_harm() {
    let pumice = Pumice::new();
    pumice.write("jobs/deep/a.json", job(&json!({})).to_string());
    std::os::unix::fs::symlink(pumice.path().join("jobs"), pumice.path().join("jobs/deep/loop"))
        .expect("a link");
    let printed = pumice.run(&["check", "jobs", "-o", "json"]);
    assert_eq!(printed.json()["jobs"], json!(["a"]));
}

#[test]
fn requests_are_checked() {
    let pumice = Pumice::new();
    pumice.write(
        "jobs.json",
        json!([job(&json!({ "enabled": true })), job(&json!({ "job_id": "etl/load", "enabled": true }))])
            .to_string(),
    );
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    for (arguments, wanted) in [
        (vec!["dispatch", "etl/laod"], "no such job etl/laod (did you mean \"etl/load\"?)"),
        (vec!["dispatch", "a", "-d", "16m"], "give a time with --at instead"),
        (vec!["dispatch", "a", "-d", "-1s"], "is negative"),
        (vec!["dispatch", "a", "-d", "abc"], "is not a duration"),
        (vec!["dispatch", "a", "--at", "tomorrow"], "is not an ISO 8601 time"),
        (vec!["dispatch", "a", "-g", "lava.x=1"], "reserved"),
        (vec!["dispatch", "a", "-g", "novalue"], "expected NAME=VALUE"),
        (vec!["dispatch", "a", "-p", "a..b=1"], "empty part"),
        (vec!["dispatch", "a", "--key", ""], "must not be empty"),
        (vec!["runs", "show", "nothing"], "is not a UUID: a list of runs shows their ids"),
        (vec!["runs", "cancel", "nothing/1.0"], "a list of runs shows their ids"),
        (vec!["runs", "show", "00000000-0000-0000-0000-000000000000"], "no such run"),
        (vec!["runs", "cancel", "00000000-0000-0000-0000-000000000000"], "no such run"),
        (vec!["runs", "list", "--status", "runing"], "did you mean \"running\"?"),
        (vec!["jobs", "show", "b"], "no such job b"),
        (vec!["state", "get", "x"], "no such state item x"),
        (vec!["state", "put", "lava.x", "1"], "reserved"),
        (vec!["run", "--jobs", "jobs.json", "zzz"], "no such job zzz"),
        (vec!["render", "a", "--tz", "Mars/Olympus"], "is not an IANA time zone"),
    ] {
        let printed = pumice.run(&arguments);
        assert_eq!(printed.status, 2, "{arguments:?}: {printed:?}");
        assert!(printed.err.contains(wanted), "{arguments:?}: {}", printed.err);
        assert!(printed.out.is_empty() || arguments[0] == "dispatch", "{arguments:?}");
    }
    assert_eq!(pumice.run(&["runs", "list", "-o", "json"]).json()["runs"], json!([]));
}

#[test]
fn realm_without_jobs_shows_the_next_step() {
    let pumice = Pumice::new();
    pumice.write("realm.json", json!({ "realm": "test" }).to_string());
    assert_eq!(pumice.run(&["apply", "realm.json"]).status, 0);
    let printed = pumice.run(&["dispatch", "hello"]);
    assert_eq!(printed.status, 2);
    let wanted = "no such job hello (the realm has no jobs yet: apply job specs first)";
    assert!(printed.err.contains(wanted), "{}", printed.err);
}

#[test]
fn one_bad_request_does_not_stop_the_others() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job(&json!({ "enabled": true })).to_string());
    pumice.run(&["apply", "jobs.json"]);
    let printed = pumice.feed(
        &["dispatch", "--file", "-", "-o", "json"],
        "# two good, two bad\na\na -d 16m\nnowhere\na -g x=1\n",
    );
    assert_eq!(printed.status, 2);
    assert_eq!(printed.json()["accepted"].as_array().map(Vec::len), Some(2));
    assert!(
        printed.err.contains("line 3: ") && printed.err.contains("no such job nowhere"),
        "{}",
        printed.err
    );
}

#[test]
fn line_that_is_not_utf_8_does_not_stop_the_others() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job(&json!({ "enabled": true })).to_string());
    pumice.run(&["apply", "jobs.json"]);
    let lines = b"# caf\xe9\na\na -g x=caf\xe9\na -g x=1\n";
    pumice.write("lines.txt", lines);
    let from_file = pumice.run(&["dispatch", "--file", "lines.txt", "-o", "json"]);
    let from_input = pumice.feed(&["dispatch", "--file", "-", "-o", "json"], lines);
    for printed in [from_file, from_input] {
        assert_eq!(printed.status, 2, "{printed:?}");
        assert_eq!(printed.json()["accepted"].as_array().map(Vec::len), Some(2));
        assert!(printed.err.contains("line 3: not UTF-8: byte 11 of "), "{}", printed.err);
    }
    pumice.write("list.json", b"[{\"job_id\": \"caf\xe9\"}]");
    let printed = pumice.run(&["dispatch", "--file", "list.json"]);
    assert_eq!(printed.status, 2, "{printed:?}");
    assert!(
        printed.err.contains("not JSON after request 0: not UTF-8 at line 1 column 17"),
        "{}",
        printed.err
    );
}

#[test]
fn store_of_a_newer_version_is_left_alone() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job(&json!({})).to_string());
    pumice.run(&["apply", "jobs.json"]);
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    store.pragma_update(None, "user_version", 99).expect("a version");
    let printed = pumice.run(&["jobs", "list"]);
    assert_eq!(printed.status, 3);
    assert!(
        printed.err.contains("newer version of pumice") && printed.err.contains("version 99"),
        "{}",
        printed.err
    );
}

#[test]
fn file_that_is_not_a_store_is_named() {
    let pumice = Pumice::new();
    pumice.write(".pumice/pumice.db", "this is not a database, however long one looks at it");
    let printed = pumice.run(&["jobs", "list"]);
    assert_eq!(printed.status, 3);
    assert!(printed.err.contains("cannot open the store"), "{}", printed.err);
    let printed = pumice.run(&["--home", "nowhere", "jobs", "list"]);
    assert_eq!(printed.status, 2);
    assert!(printed.err.contains("there is no realm in nowhere"), "{}", printed.err);
}

#[test]
fn full_disk_is_reported_and_loses_nothing() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job(&json!({ "enabled": true })).to_string());
    pumice.run(&["apply", "jobs.json"]);
    let before = pumice.run(&["dispatch", "a", "-o", "json"]);
    assert_eq!(before.status, 0);
    // A limit on the size of files stands in for the disk: SQLite cannot write beyond it.
    let mut limited = std::process::Command::new("sh");
    let script =
        format!("ulimit -f 8; trap '' XFSZ; exec {} dispatch --file many.txt", env!("CARGO_BIN_EXE_pumice"));
    pumice.write("many.txt", "a\n".repeat(2_000));
    let printed: Printed =
        limited.args(["-c", &script]).current_dir(pumice.path()).output().expect("sh").into();
    assert_eq!(printed.status, 3, "{printed:?}");
    assert!(
        printed.err.contains("the store failed") || printed.err.contains("cannot open the store"),
        "{}",
        printed.err
    );
    let runs = pumice.run(&["runs", "list", "-o", "json"]).json();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "all or nothing");
}

#[test]
fn key_given_twice_is_a_mistake() {
    let pumice = Pumice::new();
    pumice.write("a.yaml", "job_id: a\ntype: log\nworker: core\npayload: one\npayload: two\n");
    pumice
        .write("b.json", r#"{"job_id": "b", "type": "log", "worker": "core", "payload": {"x": 1, "x": 2}}"#);
    let printed = pumice.run(&["check", "a.yaml", "b.json"]);
    assert_eq!(printed.status, 2);
    for wanted in [
        "a.yaml: not YAML: the key \"payload\" is given twice",
        "b.json: not JSON: the key \"x\" is given twice",
    ] {
        assert!(printed.err.contains(wanted), "{wanted}: {}", printed.err);
    }
}

#[test]
fn one_mistake_does_not_hide_another() {
    let printed = check(&job(
        &json!({ "type": "cmd", "worker": "a b", "payload": "echo '{{ x'", "iteration_limit": 11,
        "on_fail": [{ "action": "mail" }, { "action": "dispatch" }] }),
    ));
    for wanted in
        ["5 problems", "worker: ", "payload: ", "iteration_limit: ", "on_fail[0].action: ", "on_fail[1]: "]
    {
        assert!(printed.err.contains(wanted), "{wanted}: {}", printed.err);
    }
}

#[test]
fn file_in_place_of_a_job_is_distinguished_from_one() {
    let pumice = Pumice::new();
    let file = pumice.write("jobs.json", job(&json!({})).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "jobs.json"]);
    assert_eq!(printed.status, 2, "{printed:?}");
    assert!(printed.err.contains("say --jobs jobs.json") && file.exists(), "{printed:?}");
}

#[test]
fn serve_refuses_a_realm_on_aws() {
    let printed = Pumice::new().run(&["--aws", "serve"]);
    assert!(printed.status == 2 && printed.err.contains("worker NAME"), "{printed:?}");
}

#[test]
fn folder_with_pipes_or_devices_is_reported_without_waiting() {
    let pumice = Pumice::new();
    std::fs::create_dir(pumice.path().join("specs")).expect("a folder");
    pumice.write("specs/a.yaml", shell("a", "true").to_string());
    let pipe = pumice.path().join("specs/e.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for command in [&["check", "specs"][..], &["apply", "specs"], &["run", "--jobs", "specs", "a"]] {
        let printed = pumice.run(command);
        assert!(
            printed.status == 2 && printed.err.contains("e.yaml: it is not a regular file"),
            "{printed:?}"
        );
    }
}

#[test]
fn secure_value_that_is_too_long_is_refused_alike() {
    let pumice = Pumice::new();
    pumice.write("specs/a.yaml", shell("a", "true").to_string());
    assert_eq!(pumice.run(&["apply", "specs"]).status, 0);
    let value = "a".repeat(5000);
    for more in [&["--dry-run"][..], &[]] {
        let printed = pumice.feed(&[&["state", "put", "big", "-", "--secure"], more].concat(), &value);
        assert_eq!(printed.status, 2, "{more:?}: {printed:?}");
        assert!(
            printed.err.contains("state item big") && printed.err.contains("4096 at most"),
            "{printed:?}"
        );
    }
}
