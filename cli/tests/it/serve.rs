//! `serve` in one process, requests from others; and the end of `serve` at the worst of times.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::pumice::{Pumice, Server, shell, wait_until};

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

#[test]
fn jobs_are_applied_dispatched_and_followed_from_elsewhere() {
    let pumice = Pumice::new();
    let server = pumice.serve();
    apply(&pumice, &json!([shell("a", "echo hi"), shell("b", "exit 3")]));
    let printed = pumice.run(&["dispatch", "a", "--wait", "-o", "json"]);
    assert_eq!((printed.status, printed.run_of("a")["status"].as_str()), (0, Some("complete")));
    let printed = pumice.run(&["dispatch", "a", "b", "--wait"]);
    assert_eq!(printed.status, 1, "{printed:?}");
    let listed = pumice.run(&["runs", "list", "--status", "failed", "-o", "json"]).json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(1));
    server.signal("INT");
    assert_eq!(server.end(), 0);
}

#[test]
fn waiting_for_a_run_that_is_not_due_shows_its_start() {
    let pumice = Pumice::new();
    let _server = pumice.serve();
    apply(&pumice, &shell("a", "true"));
    let printed = pumice.run(&["dispatch", "a", "--delay", "1s", "--wait"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(printed.err.contains("nothing starts before "), "{printed:?}");
    assert!(!printed.err.contains("serve"), "all is well: {printed:?}");
}

#[test]
fn folder_is_served_by_one_process_only() {
    let pumice = Pumice::new();
    let _server = pumice.serve();
    let printed = pumice.run(&["serve"]);
    assert_eq!(printed.status, 3);
    assert!(printed.err.contains("another pumice process serves"), "{}", printed.err);
}

#[test]
fn unserved_worker_of_a_folder_is_named_everywhere() {
    let pumice = Pumice::new();
    let edge = |id: &str| {
        let mut job = shell(id, "true");
        job["worker"] = "edge".into();
        job
    };
    apply(&pumice, &json!([shell("a", "true"), edge("b")]));
    let first_lines = |options: &[&str]| {
        let mut command = pumice.command(&["serve"]);
        let mut child = command.args(options).stderr(Stdio::piped()).spawn().expect("serve");
        let lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let serving = lines.map_while(Result::ok).find(|line| line.contains("serving")).expect("it serves");
        (Server(child), serving)
    };
    let (server, serving) = first_lines(&["--worker", "core"]);
    assert!(serving.contains("workers=core"), "{serving}");
    assert_eq!(pumice.run(&["dispatch", "a", "--wait"]).status, 0);
    let printed = pumice.run(&["doctor", "-o", "json"]).json();
    let workers = |found: &Value| {
        let checks = found["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["name"] == "workers").expect("it is there");
        (check["finding"].clone(), check["says"].as_str().expect("a sentence").to_owned())
    };
    let message = "nothing serves worker edge: this folder's server serves core";
    assert_eq!(workers(&printed), ("ok".into(), format!("{message}; no run waits for it")));
    let run = pumice.run(&["dispatch", "b", "-o", "json"]).json()["accepted"][0]["run_id"].clone();
    let run = run.as_str().expect("an id");
    assert_eq!(pumice.run(&["runs", "why", run]).out, format!("dispatched: {message}\n"));
    let (finding, says) = workers(&pumice.run(&["doctor", "-o", "json"]).json());
    assert_eq!(finding, "warning", "{says}");
    assert!(says.starts_with(&format!("{message}, and 1 run waits for it, the first {run}")), "{says}");
    let listed = pumice.run(&["workers", "list"]).out;
    assert!(
        listed.contains("not served: the server serves core\n")
            && listed.lines().any(|line| line.starts_with("core") && line.contains("served")),
        "{listed}"
    );
    let listed = pumice.run(&["workers", "list", "-o", "json"]).json();
    assert_eq!(
        (&listed["serves"], &listed["workers"][1]["is_served"]),
        (&json!(["core"]), &json!(false)),
        "{listed}"
    );
    let second = pumice.run(&["serve"]);
    assert!(
        second.status == 3
            && second.err.contains("another pumice process serves ")
            && second.err.contains(" for worker core; "),
        "{}",
        second.err
    );
    drop(server);
    // One that serves all of them says so, and nothing of the one before is left.
    let (_server, serving) = first_lines(&[]);
    assert!(serving.contains("workers=all"), "{serving}");
    wait_until(|| pumice.run(&["runs", "why", run]).out.starts_with("complete"));
    assert_eq!(workers(&pumice.run(&["doctor", "-o", "json"]).json()).0, "ok");
    assert_eq!(pumice.run(&["workers", "list", "-o", "json"]).json()["serves"], Value::Null);
}

#[test]
fn one_key_makes_one_run() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let id = |arguments: &[&str]| pumice.run(arguments).json()["accepted"][0]["run_id"].clone();
    let first = id(&["dispatch", "a", "--key", "k", "-p", "timeout=5m", "-o", "json"]);
    assert_eq!(first, id(&["dispatch", "a", "--key", "k", "-p", "timeout=5m", "-o", "json"]));
    assert_ne!(first, id(&["dispatch", "a", "--key", "other", "-o", "json"]));
    let printed = pumice.run(&["dispatch", "a", "--key", "k", "-p", "timeout=6m"]);
    assert_eq!(printed.status, 2);
    assert!(printed.err.contains("was already used by another request"), "{}", printed.err);
}

#[test]
fn run_that_waits_for_its_time_says_when_it_starts() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    assert_eq!(pumice.run(&["dispatch", "a", "--at", "2100-12-24T18:00:00Z"]).status, 0);
    let listed = pumice.run(&["runs", "list"]).out;
    assert!(listed.contains("starts 2100-12-2"), "{listed}");
    let run = pumice.run(&["runs", "list", "-o", "json"]).run_of("a");
    assert_eq!(run["not_before"], "2100-12-24T18:00:00.000000+00:00");
    let id = run["run_id"].as_str().expect("it has an id");
    let shown = pumice.run(&["runs", "show", id]).out;
    assert!(shown.contains("starts 2100-12-2"), "{shown}");
    assert_eq!(pumice.run(&["runs", "cancel", id]).status, 0);
    let listed = pumice.run(&["runs", "list"]).out;
    assert!(!listed.contains("starts ") && listed.contains("cancelled before it ran"), "{listed}");
}

#[test]
fn waiting_run_is_cancelled_and_a_running_one_is_stopped() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([shell("later", "true"), shell("long", "echo up > up; exec sleep 600")]));
    let id = |arguments: &[&str]| {
        pumice.run(arguments).json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned()
    };
    let later = id(&["dispatch", "later", "-d", "10m", "-o", "json"]);
    assert!(pumice.run(&["runs", "cancel", &later]).out.contains("cancelled"));
    let status =
        |run: &str| pumice.run(&["runs", "show", run, "-o", "json"]).json()["runs"][0]["status"].clone();
    assert_eq!(status(&later), "cancelled");
    assert_eq!(pumice.run(&["runs", "cancel", &later]).status, 2);

    let _server = pumice.serve();
    let long = id(&["dispatch", "long", "-o", "json"]);
    wait_until(|| status(&long) == "running");
    assert!(pumice.run(&["runs", "cancel", &long]).out.contains("stopping"));
    wait_until(|| status(&long) == "cancelled");
}

#[test]
fn work_of_a_killed_serve_is_finished_once_by_the_next() {
    let pumice = Pumice::new();
    let chain = json!({ "job_id": "top", "type": "chain", "worker": "core", "enabled": true, "payload": "one, two, three" });
    let count = |id: &str, script: &str| shell(id, &format!("echo {id} >> \"$MARKS\"; {script}"));
    let jobs = json!([
        chain,
        count("one", "true"),
        count("two", "test -e go || { touch started; exec sleep 600; }"),
        count("three", "true")
    ]);
    let folder = pumice.path().display().to_string();
    let text = jobs
        .to_string()
        .replace("$MARKS", &format!("{folder}/marks"))
        .replace("-e go", &format!("-e {folder}/go"))
        .replace("touch started", &format!("touch {folder}/started"));
    pumice.write("jobs.json", text);
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let mut server = pumice.serve();
    let accepted = pumice.run(&["dispatch", "top", "-o", "json"]).json();
    let run = accepted["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    wait_until(|| pumice.path().join("started").exists());
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    pumice.write("go", "");
    let again = pumice.serve();
    let shown = || pumice.run(&["runs", "show", &run, "-o", "json"]).json()["runs"].clone();
    wait_until(|| shown()[0]["status"] == "complete");
    // The step that was cut off ran twice, and its record says so; the others ran once.
    let marks = std::fs::read_to_string(pumice.path().join("marks")).expect("marks");
    assert_eq!(marks.lines().collect::<Vec<_>>(), ["one", "two", "two", "three"]);
    let step =
        shown().as_array().expect("runs").iter().find(|run| run["job_id"] == "two").cloned().expect("two");
    assert!(step["log"].to_string().contains("again after its worker was lost"), "{step:#}");
    drop(again);
    // Nothing of the killed process is left behind.
    let left =
        std::process::Command::new("pgrep").args(["-f", &format!("{folder}/go")]).output().expect("pgrep");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn steps_resumed_apart_after_a_crash_do_not_interfere() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    let step = |id: &str, seconds: &str| {
        shell(
            id,
            &format!("touch {folder}/{id}; sleep {seconds}; echo made by {id} > mine.txt; cat mine.txt"),
        )
    };
    let dag = json!({ "job_id": "d", "type": "dag", "worker": "core", "enabled": true,
        "payload": { "a": null, "b": null }, "parameters": { "workers": 2 } });
    apply(&pumice, &json!([dag, step("a", "0.3"), step("b", "0.8")]));
    let mut server = pumice.serve();
    let accepted = pumice.run(&["dispatch", "d", "-o", "json"]).json();
    let run = accepted["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    wait_until(|| pumice.path().join("a").exists() && pumice.path().join("b").exists());
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    let _again = pumice.serve();
    let shown = || pumice.run(&["runs", "show", &run, "-o", "json"]).json()["runs"].clone();
    wait_until(|| shown()[0]["status"] == "complete");
    for child in shown().as_array().expect("runs").iter().skip(1) {
        let stdout =
            child["result"]["output"][0]["stdout"].as_str().unwrap_or_else(|| panic!("no output: {child:#}"));
        let kept = std::fs::read_to_string(pumice.path().join(".pumice").join(stdout)).expect("kept");
        let job_id = child["job_id"].as_str().expect("an id");
        assert!(kept.starts_with("made by"), "{job_id}: {kept}");
    }
}

#[test]
fn followed_requests_report_refusals_too() {
    let pumice = Pumice::new();
    let _server = pumice.serve();
    apply(&pumice, &shell("a", "true"));
    let printed = pumice.run(&["dispatch", "a", "nowhere", "--wait", "-o", "json"]);
    let json = printed.json();
    assert_eq!((printed.status, json["runs"][0]["status"].as_str()), (2, Some("complete")));
    assert_eq!(json["refused"][0]["request"], "nowhere");
    let printed = pumice.run(&["dispatch", "nowhere", "--wait", "-o", "json"]);
    assert_eq!((printed.status, printed.json()["refused"].as_array().map(Vec::len)), (2, Some(1)));
}

#[test]
fn output_of_commands_is_kept_byte_for_byte() {
    let pumice = Pumice::new();
    let chain = json!({ "job_id": "both", "type": "chain", "worker": "core", "enabled": true, "payload": ["a", "b"] });
    apply(
        &pumice,
        &json!([
            shell("a", "printf 'one\\0two\\n'"),
            shell("b", "echo no >&2; exit 3"),
            chain,
            shell("slow", "sleep 60")
        ]),
    );
    let server = pumice.serve();
    let run_of = |arguments: &[&str]| {
        let asked = pumice.run(&[&["dispatch", "-o", "json"], arguments].concat());
        asked.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned()
    };
    let run_id = run_of(&["both", "--wait"]);
    let printed = pumice.run(&["runs", "output", &run_id]);
    assert_eq!((printed.status, printed.out.as_str(), printed.err.as_str()), (0, "one\0two\n", "no\n"));
    let places = pumice.run(&["runs", "output", &run_id, "-o", "json"]).json();
    assert_eq!((places[0]["job_id"].as_str(), places[0]["stream"].as_str()), (Some("a"), Some("stdout")));
    let place = places[0]["location"].as_str().expect("a place");
    std::fs::remove_file(place).expect("it is removed");
    let printed = pumice.run(&["runs", "output", &run_id]);
    assert!(
        printed.out.is_empty() && printed.err.contains(&format!("note: it is gone from {place}")),
        "{printed:?}"
    );
    // One that goes on.
    let slow = run_of(&["slow"]);
    let printed = pumice.run(&["runs", "output", &slow]);
    assert!(printed.status == 0 && printed.err.contains("its commands may print more"), "{printed:?}");
    assert_eq!(pumice.run(&["runs", "output", "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55"]).status, 2);
    pumice.run(&["runs", "cancel", &slow]);
    server.signal("INT");
    assert_eq!(server.end(), 0);
}

#[test]
fn past_time_is_reported() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let printed = pumice.run(&["dispatch", "a", "--at", "2020-01-01T00:00Z"]);
    assert!(printed.status == 0 && printed.err.contains("--at 2020-01-01T00:00Z is past"), "{printed:?}");
    assert_eq!(pumice.run(&["dispatch", "a", "--at", "2999-01-01T00:00Z"]).err, "");
}
