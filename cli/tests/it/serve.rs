//! `serve` in one process, requests from others; and the end of `serve` at the worst of times.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

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
fn who_waits_for_a_run_that_is_not_due_yet_is_told_when_it_starts() {
    let pumice = Pumice::new();
    let _server = pumice.serve();
    apply(&pumice, &shell("a", "true"));
    let printed = pumice.run(&["dispatch", "a", "--delay", "1s", "--wait"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(printed.err.contains("nothing starts before "), "{printed:?}");
    assert!(!printed.err.contains("serve"), "all is well: {printed:?}");
}

#[test]
fn a_folder_is_served_by_one_process_only() {
    let pumice = Pumice::new();
    let _server = pumice.serve();
    let printed = pumice.run(&["serve"]);
    assert_eq!(printed.status, 3);
    assert!(printed.err.contains("another pumice process serves"), "{}", printed.err);
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
    assert!(printed.err.contains("stands for another request"), "{}", printed.err);
}

#[test]
fn a_run_that_waits_for_its_time_says_when_it_starts() {
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
fn a_waiting_run_is_cancelled_and_a_running_one_is_stopped() {
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
fn what_a_killed_serve_leaves_is_finished_once_by_the_next() {
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
fn steps_that_run_apart_after_a_crash_keep_out_of_each_others_way() {
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
fn followed_requests_tell_what_was_refused_too() {
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
fn what_commands_printed_can_be_had_as_it_was() {
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
fn a_time_that_is_past_is_told_of() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let printed = pumice.run(&["dispatch", "a", "--at", "2020-01-01T00:00Z"]);
    assert!(printed.status == 0 && printed.err.contains("--at 2020-01-01T00:00Z is past"), "{printed:?}");
    assert_eq!(pumice.run(&["dispatch", "a", "--at", "2999-01-01T00:00Z"]).err, "");
}
