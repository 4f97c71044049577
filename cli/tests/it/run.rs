//! `run`: what a job gives, and how it fails.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

fn log(job_id: &str) -> Value {
    json!({ "job_id": job_id, "type": "log", "worker": "core", "enabled": true, "payload": null })
}

fn with(mut spec: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        spec[name] = value.clone();
    }
    spec
}

fn statuses(run: &Value) -> Vec<&str> {
    run["log"]
        .as_array()
        .expect("a log")
        .iter()
        .map(|entry| entry["status"].as_str().expect("a status"))
        .collect()
}

#[test]
fn log_job_has_a_whole_record() {
    let printed = Pumice::new().run_spec(&log("a"), "a");
    let run = printed.run_of("a");
    assert_eq!((printed.status, run["status"].as_str()), (0, Some("complete")));
    assert_eq!(statuses(&run), ["dispatched", "starting", "running", "complete"]);
    for field in
        ["run_id", "ts_dispatch", "ts_start", "ts_end", "ts_event", "tu_event", "worker", "hostname", "ttl"]
    {
        assert!(!run[field].is_null(), "{field}: {run:#}");
    }
    assert_eq!((run["iteration"].as_i64(), run["parent"].is_null()), (Some(1), true));
}

#[test]
fn commands_fail_with_their_reason() {
    let pumice = Pumice::new();
    let cases = [
        (shell("a", "echo out; echo 'no such table' >&2; exit 7"), "exit status 7: no such table"),
        (
            with(shell("a", ""), json!({ "payload": "no-such-command-here", "parameters": {} })),
            "no such command: no-such-command-here",
        ),
        (
            with(shell("a", ""), json!({ "payload": "sleep 60", "parameters": { "timeout": "0.2s" } })),
            "timed out after 0.2s",
        ),
        (with(shell("a", "sleep 60"), json!({ "timeout": "0.2s" })), "timed out after 0.2s"),
        (shell("a", "kill -9 $$"), "killed by signal 9"),
    ];
    for (spec, reason) in cases {
        let printed = pumice.run_spec(&spec, "a");
        let run = printed.run_of("a");
        assert_eq!(printed.status, 1, "{spec}");
        assert_eq!(
            (run["status"].as_str(), run["reason"].as_str()),
            (Some("failed"), Some(reason)),
            "{spec}"
        );
    }
}

#[test]
fn failed_command_keeps_the_end_of_its_stderr() {
    let printed = Pumice::new().run_spec(&shell("a", "seq 1 100000 >&2; exit 1"), "a");
    let kept = printed.run_of("a")["result"]["error_data"]["error"].as_str().expect("stderr").to_owned();
    assert!(kept.ends_with("100000") && kept.len() <= 1024, "{}", kept.len());
}

#[test]
fn hundred_megabytes_of_output_do_no_harm() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", shell("a", "head -c 100000000 /dev/zero | tr '\\0' x").to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "a", "-o", "json", "--keep", "kept"]);
    let path = printed.run_of("a")["result"]["output"][0]["stdout"].as_str().expect("a path").to_owned();
    assert_eq!(std::fs::metadata(pumice.path().join("kept").join(path)).expect("kept").len(), 100_000_000);
    assert!(printed.err.len() < 100_000, "{}", printed.err.len());
}

#[test]
fn commands_get_lavas_environment_and_no_shell() {
    let script =
        "echo $LAVA_JOB_ID:$LAVA_REALM:$LAVA_WORKER:$LAVA_OWNER:$X; test -d \"$TMPDIR\"; echo $LAVA_RUN_ID";
    let spec = with(shell("a/b", script), json!({ "owner": "me", "globals": { "g": "a; b" } }));
    let spec = with(spec, json!({ "parameters": { "args": [script], "env": { "X": "{{ globals.g }}" } } }));
    let printed = Pumice::new().run_spec(&spec, "a/b");
    assert!(printed.err.contains("a/b:local:core:me:a; b"), "{}", printed.err);
    let echo = json!({ "job_id": "e", "type": "cmd", "worker": "core", "enabled": true,
        "payload": "echo {{globals.g}} $HOME '|' cat", "globals": { "g": "a b; exit 1 \" '" } });
    let printed = Pumice::new().run_spec(&echo, "e");
    assert_eq!(printed.run_of("e")["payload"], json!(["echo", "a b; exit 1 \" '", "$HOME", "|", "cat"]));
    assert!(printed.err.contains("a b; exit 1 \" ' $HOME | cat"), "{}", printed.err);
}

#[test]
fn attempts_are_made_until_one_succeeds_or_none_is_left() {
    let pumice = Pumice::new();
    let script = "test {{ globals.lava.iteration }} = 3";
    let spec = with(
        shell("a", script),
        json!({ "render_at": "run", "iteration_limit": 3, "iteration_delay": "0.05s",
        "on_retry": [{ "action": "log", "message": "again" }], "on_fail": [{ "action": "log", "message": "gone" }] }),
    );
    let printed = pumice.run_spec(&spec, "a");
    let run = printed.run_of("a");
    assert_eq!((run["status"].as_str(), run["iteration"].as_i64()), (Some("complete"), Some(3)), "{run:#}");
    assert_eq!(
        statuses(&run),
        ["dispatched", "starting", "running", "retrying", "running", "retrying", "running", "complete"]
    );
    assert_eq!(printed.err.matches("again").count(), 2, "{}", printed.err);
    let spec = with(spec, json!({ "iteration_limit": 2 }));
    let printed = pumice.run_spec(&spec, "a");
    assert_eq!((printed.status, printed.run_of("a")["status"].as_str()), (1, Some("failed")));
    assert_eq!(
        (printed.err.matches("again").count(), printed.err.matches("gone").count()),
        (1, 1),
        "{}",
        printed.err
    );
}

#[test]
fn chain_stops_at_a_failure_unless_it_is_forgiven() {
    let pumice = Pumice::new();
    let jobs = |can_fail: Value| {
        json!([
            with(
                log("top"),
                json!({ "type": "chain", "payload": "a,b,c", "parameters": { "can_fail": can_fail } })
            ),
            shell("a", "echo kept > shared.txt"),
            shell("b", "exit 4"),
            shell("c", "cat shared.txt"),
        ])
    };
    let printed = pumice.run_spec(&jobs(json!([])), "top");
    assert_eq!((printed.status, printed.run_of("top")["reason"].as_str()), (1, Some("job b: exit status 4")));
    assert_eq!(printed.json()["runs"].as_array().map(Vec::len), Some(3));
    let printed = pumice.run_spec(&jobs(json!("b")), "top");
    assert_eq!(printed.status, 0);
    assert!(printed.err.contains("c | kept"), "the steps share a directory: {}", printed.err);
    assert_eq!(printed.run_of("top")["result"]["failed_jobs"], json!(["b"]));
}

#[test]
fn chain_skips_disabled_jobs_and_fails_on_missing_ones() {
    let pumice = Pumice::new();
    let off = with(log("off"), json!({ "enabled": false }));
    let chain = |payload: &str| {
        with(log("top"), json!({ "type": "chain", "payload": payload, "parameters": { "can_fail": "*" } }))
    };
    let printed = pumice.run_spec(&json!([chain("off, on"), off, log("on")]), "top");
    assert_eq!(printed.run_of("off")["status"], "skipped");
    assert_eq!((printed.run_of("on")["status"].as_str(), printed.status), (Some("complete"), 0));
    let printed = pumice.run_spec(&json!([chain("nowhere, on"), log("on")]), "top");
    assert_eq!(printed.run_of("top")["reason"], "job nowhere: no such job");
    let elsewhere = with(log("on"), json!({ "worker": "other" }));
    let printed = pumice.run_spec(&json!([chain("on"), elsewhere]), "top");
    assert_eq!(printed.run_of("top")["reason"], "job on: it is for worker other, not core");
}

#[test]
fn numbers_reach_a_command_as_they_were_written() {
    let pumice = Pumice::new();
    pumice.write(
        "jobs.json",
        r#"[{ "job_id": "say", "type": "cmd", "worker": "core", "enabled": true, "payload": "echo '{{ globals.x }}'",
            "globals": { "x": 907.3038322028689 } }]"#,
    );
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "say"]);
    assert!(printed.err.contains("| 907.3038322028689\n"), "{printed:?}");
}

#[test]
fn globals_flow_down_and_requests_win() {
    let pumice = Pumice::new();
    let jobs = json!([
        with(
            log("top"),
            json!({ "type": "dispatch", "payload": "mid", "globals": { "a": "top", "b": "top" } })
        ),
        with(
            log("mid"),
            json!({ "type": "chain", "payload": "leaf", "globals": { "b": "mid", "c": "mid" } })
        ),
        with(
            shell(
                "leaf",
                "echo {{ globals.a }} {{ globals.b }} {{ globals.c }} {{ globals.lava.master_job_id }} {{ globals.lava.parent_job_id }}"
            ),
            json!({ "globals": { "a": "leaf", "b": "leaf", "c": "leaf" } })
        ),
    ]);
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "top", "-g", "b=asked"]);
    assert!(printed.err.contains("top asked mid top mid"), "{}", printed.err);
}

#[test]
fn disabled_jobs_are_skipped_in_both_forms() {
    let pumice = Pumice::new();
    for (enabled, reason) in [(json!(false), "not enabled"), (json!("{{ 1 == 2 }}"), "gave \"False\"")] {
        let printed = pumice.run_spec(&with(log("a"), json!({ "enabled": enabled })), "a");
        let run = printed.run_of("a");
        assert_eq!((printed.status, run["status"].as_str()), (1, Some("skipped")));
        assert!(run["reason"].as_str().expect("a reason").contains(reason), "{run:#}");
    }
    let printed = pumice.run_spec(&with(log("a"), json!({ "enabled": " {{ 'TRUE' }} " })), "a");
    assert_eq!(printed.run_of("a")["status"], "complete");
}

#[test]
fn failing_action_changes_nothing_but_the_log() {
    let actions =
        json!([{ "action": "dispatch", "job_id": "nowhere" }, { "action": "log", "message": "still done" }]);
    let printed = Pumice::new().run_spec(&with(log("a"), json!({ "on_success": actions })), "a");
    let run = printed.run_of("a");
    assert_eq!((printed.status, run["status"].as_str()), (0, Some("complete")));
    assert!(statuses(&run).contains(&"action_failed"), "{run:#}");
    assert!(printed.err.contains("still done"), "{}", printed.err);
}

#[test]
fn dispatch_job_may_not_list_itself_in_any_form() {
    let pumice = Pumice::new();
    let direct = with(log("a"), json!({ "type": "dispatch", "payload": "a" }));
    let printed = pumice.run_spec(&direct, "a");
    assert_eq!(printed.status, 2);
    assert!(printed.err.contains("may not dispatch itself"), "{}", printed.err);
    pumice.write("jobs.json", with(log("ab"), json!({ "type": "dispatch", "payload": "b" })).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "ab", "-p", "job_prefix=a", "-o", "json"]);
    assert!(printed.err.contains("job ab may not dispatch itself"), "{}", printed.err);
}

#[test]
fn action_may_start_its_own_job() {
    let again = json!([{ "action": "dispatch", "job_id": "{{ job.job_id }}" }]);
    let printed = Pumice::new().run_spec(&with(log("a"), json!({ "on_success": again })), "a");
    assert_eq!(printed.out.matches("levels below the job that began it all; the limit is 32").count(), 1);
}

#[test]
fn dispatch_job_sends_nothing_when_one_job_is_missing() {
    let all = with(
        log("all"),
        json!({ "type": "dispatch", "payload": "a, nope, b", "on_fail": [
        { "action": "log", "message": "saw {{ result.error }} {{ result.error_data.jobs }}" },
    ] }),
    );
    let printed = Pumice::new().run_spec(&json!([all, log("a"), log("b")]), "all");
    let run = printed.run_of("all");
    assert_eq!(run["reason"], "no such job nope; the others are left out");
    assert_eq!(run["result"]["error_data"]["failed_jobs"], json!(["nope"]));
    assert!(printed.err.contains("saw nope: No such job []"), "{}", printed.err);
    assert!(!printed.out.contains("\"job_id\": \"a\""), "{}", printed.out);
}

#[test]
fn jobs_that_dispatch_each_other_for_ever_come_to_an_end() {
    let job = |id: &str, other: &str| with(log(id), json!({ "type": "dispatch", "payload": other }));
    let printed = Pumice::new().run_spec(&json!([job("a", "b"), job("b", "a")]), "a");
    assert_eq!(printed.status, 1);
    assert!(printed.out.contains("levels below the job that began it all"), "{}", printed.out.len());
}

#[test]
fn results_of_a_failed_template_name_its_place() {
    let spec = shell("a", "echo {{ 1 / 0 }}");
    let run = Pumice::new().run_spec(&spec, "a").run_of("a");
    assert_eq!(run["status"], "failed");
    assert!(run["reason"].as_str().expect("a reason").starts_with("parameters.args[0]: "), "{run:#}");
}

#[test]
fn dag_runs_each_job_once_after_its_predecessors() {
    let pumice = Pumice::new();
    let mark = |id: &str| shell(id, &format!("echo {id} >> order; cat order | tr '\\n' ' '"));
    let dag = |payload: Value, parameters: Value| {
        with(log("top"), json!({ "type": "dag", "payload": payload, "parameters": parameters }))
    };
    let jobs = |top: Value| json!([top, mark("a"), mark("b"), mark("c"), mark("d"), shell("bad", "exit 5")]);
    let printed = pumice
        .run_spec(&jobs(dag(json!({ "d": ["b", "c"], "b": "a", "c": "a" }), json!({ "workers": 2 }))), "top");
    assert_eq!(printed.status, 0, "{printed:?}");
    assert_eq!(printed.json()["runs"].as_array().map(Vec::len), Some(5));
    let ends = |id: &str| printed.run_of(id)["ts_end"].as_str().expect("an end").to_owned();
    let starts = |id: &str| printed.run_of(id)["ts_start"].as_str().expect("a start").to_owned();
    for (before, after) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")] {
        assert!(ends(before) <= starts(after), "{before} before {after}");
    }
    let printed = pumice.run_spec(&jobs(dag(json!({ "a": "bad" }), json!({}))), "top");
    assert_eq!(printed.run_of("top")["reason"], "job bad: exit status 5");
    let printed = pumice.run_spec(&jobs(dag(json!({ "a": "bad" }), json!({ "can_fail": "bad" }))), "top");
    assert_eq!((printed.status, printed.run_of("a")["status"].as_str()), (0, Some("complete")));
    let printed = pumice.run_spec(&jobs(dag(json!({ "a": "b", "b": "a" }), json!({}))), "top");
    assert!(printed.err.contains("in a circle: a after b after a"), "{}", printed.err);
}

#[test]
fn foreach_runs_a_job_for_each_item_of_every_source() {
    let pumice = Pumice::new();
    let each = |foreach: Value| {
        with(
            log("each"),
            json!({ "type": "foreach", "payload": "leaf", "parameters": { "foreach": foreach } }),
        )
    };
    let leaf = shell("leaf", "echo got {{ globals.a }} at {{ globals.lava.foreach_index }}");
    let make = shell(
        "make",
        "printf 'a,b\\nx,1\\ny,2\\n' > rows.csv; printf '{\"a\": \"x\"}\\n{\"a\": \"y\"}\\n' > rows.jsonl",
    );
    let chain = with(log("top"), json!({ "type": "chain", "payload": "make, each" }));
    for foreach in [
        json!({ "type": "inline", "values": [{ "a": "x" }, { "a": "y" }] }),
        json!({ "type": "csv", "filename": "rows.{{ 'csv' }}" }),
        json!({ "type": "jsonl", "filename": "rows.jsonl" }),
    ] {
        let printed = pumice.run_spec(&json!([chain, make, leaf, each(foreach.clone())]), "top");
        assert_eq!(printed.status, 0, "{foreach}: {printed:?}");
        assert!(
            printed.err.contains("got x at 0") && printed.err.contains("got y at 1"),
            "{foreach}: {}",
            printed.err
        );
    }
    let printed = pumice.run_spec(
        &json!([leaf, each(json!({ "type": "range", "name": "a", "start": 5, "stop": 1, "step": -2 }))]),
        "each",
    );
    assert!(printed.err.contains("got 5 at 0") && printed.err.contains("got 3 at 1"), "{}", printed.err);
    let printed = pumice.run_spec(&json!([leaf, each(json!({ "type": "range", "stop": 11 }))]), "each");
    let runs = printed.json()["runs"].clone();
    assert_eq!(
        (printed.status, runs.as_array().map(Vec::len)),
        (1, Some(1)),
        "more than the limit: nothing runs"
    );
    let printed = pumice.run_spec(&json!([leaf, each(json!({ "type": "rnage", "stop": 1 }))]), "each");
    assert!(printed.err.contains("parameters.foreach.type: \"rnage\" is none of inline, range, csv, jsonl, query, s3list (did you mean \"range\"?)"), "{}", printed.err);
}

#[test]
fn failed_item_stops_a_foreach_unless_it_is_forgiven() {
    let pumice = Pumice::new();
    let jobs = |can_fail: bool| {
        json!([
            with(
                log("each"),
                json!({ "type": "foreach", "payload": "leaf",
                "parameters": { "can_fail": can_fail, "foreach": { "type": "range", "name": "n", "stop": 3 } } })
            ),
            shell("leaf", "test {{ globals.n }} != 1"),
        ])
    };
    let printed = pumice.run_spec(&jobs(false), "each");
    assert_eq!(printed.run_of("each")["reason"], "job leaf (item 1): exit status 1");
    assert_eq!(printed.json()["runs"].as_array().map(Vec::len), Some(3));
    let printed = pumice.run_spec(&jobs(true), "each");
    assert_eq!(printed.run_of("each")["result"]["failed_indexes"], json!([1]));
    assert_eq!((printed.status, printed.json()["runs"].as_array().map(Vec::len)), (0, Some(4)));
}

#[test]
fn timed_out_run_keeps_its_output_and_lets_its_children_end() {
    let pumice = Pumice::new();
    let script = "(trap 'echo graceful; exit' TERM; while true; do sleep 0.05; done) & echo before; wait";
    for limits in [json!({ "timeout": "0.5s" }), json!({})] {
        let mut spec = with(shell("a", script), limits.clone());
        if limits == json!({}) {
            spec["parameters"]["timeout"] = json!("0.5s");
        }
        let printed = pumice.run_spec(&spec, "a");
        let run = printed.run_of("a");
        assert!(
            run["reason"].as_str().expect("a reason").starts_with("timed out after 500ms")
                || run["reason"].as_str().expect("a reason").starts_with("timed out after 0.5s"),
            "{run:#}"
        );
        assert!(
            printed.err.contains("a | before") && printed.err.contains("a | graceful"),
            "{limits}: {}",
            printed.err
        );
    }
}

#[test]
fn run_asked_to_end_takes_its_commands_along() {
    let pumice = Pumice::new();
    let mark = pumice.path().join("up");
    pumice.write("jobs.json", shell("a", &format!("touch {}; exec sleep 600", mark.display())).to_string());
    let mut child = pumice.command(&["run", "-q", "--jobs", "jobs.json", "a"]).spawn().expect("run");
    while !mark.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let status = std::process::Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(status.success());
    assert_eq!(child.wait().expect("an end").code(), Some(1));
    let left = std::process::Command::new("pgrep")
        .args(["-f", &mark.display().to_string()])
        .output()
        .expect("pgrep");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn log_job_writes_its_whole_template_context() {
    let pumice = Pumice::new();
    let each = json!({ "type": "foreach", "payload": "a",
        "parameters": { "foreach": { "type": "inline", "values": [{ "x": 1 }] } } });
    let jobs = json!([
        with(log("each"), each),
        with(log("a"), json!({ "state": { "s": "none" }, "globals": { "own": 2 } }))
    ]);
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "each", "-g", "asked=3"]);
    let line =
        printed.err.lines().find(|line| line.contains("spec=")).unwrap_or_else(|| panic!("{printed:?}"));
    let from = line.find('{').expect("it is JSON");
    let job: Value = serde_json::Deserializer::from_str(&line[from..])
        .into_iter()
        .next()
        .expect("it is there")
        .expect("JSON");
    let globals = &job["globals"];
    assert_eq!(
        (&globals["x"], &globals["own"], &globals["asked"]),
        (&json!(1), &json!(2), &json!("3")),
        "{job:#}"
    );
    assert_eq!(globals["lava"]["master_job_id"], "each");
    assert_eq!((&globals["lava"]["foreach_index"], &globals["lava"]["iteration"]), (&json!(0), &json!(1)));
    assert_eq!(
        (&job["state"]["s"], &job["owner"], &job["max_tries"]),
        (&json!("none"), &json!(""), &json!(0))
    );
    assert!(job["ts_start"].is_string() && job["run_id"].is_string() && job["realm"].is_string(), "{job:#}");
}
