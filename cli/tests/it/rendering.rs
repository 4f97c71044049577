//! When templates are rendered: at dispatch, and anew at each start where they name what changes.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

#[test]
fn attempt_sees_its_own_iteration_and_start() {
    let pumice = Pumice::new();
    let mut spec = shell(
        "a",
        "echo {{ start.isoformat() }} {{ start.microsecond }}; test {{ globals.lava.iteration }} -ge 2",
    );
    spec["iteration_limit"] = 3.into();
    let printed = pumice.run_spec(&spec, "a");
    let run = printed.run_of("a");
    assert_eq!((&run["status"], &run["iteration"]), (&json!("complete"), &json!(2)), "{printed:?}");
    // The record shows what ran.
    assert!(
        run["parameters"].to_string().contains("test 2 -ge 2")
            || run["payload"].to_string().contains("test 2 -ge 2"),
        "{run:#}"
    );
    assert!(printed.err.contains(" 0\n"), "whole seconds: {printed:?}");
}

#[test]
fn state_and_times_are_those_of_the_start_and_agree() {
    let pumice = Pumice::new();
    let mut first = shell("first", "echo {{ state.s }} {{ start.strftime('%H%M%S') }}");
    first["state"] = json!({ "s": "none" });
    first["on_success"] = json!([{ "action": "dispatch", "job_id": "next",
        "parameters": { "args": ["echo {{ start.strftime('%H%M%S') }}"] } }]);
    let once = {
        let mut once = shell("once", "echo {{ state.s }}");
        once["state"] = json!({ "s": "none" });
        once["render_at"] = "dispatch".into();
        once
    };
    pumice.write("jobs.json", json!([first, once, shell("next", "true")]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let put = |value: &str| assert_eq!(pumice.run(&["state", "put", "s", value]).status, 0);
    put("one");
    let asked = pumice.run(&["dispatch", "first", "once", "-d", "2s", "-o", "json"]).json();
    put("two");
    let _server = pumice.serve();
    let id = |index: usize| asked["accepted"][index]["run_id"].as_str().expect("an id").to_owned();
    let all = || pumice.run(&["runs", "list", "-o", "json"]).json()["runs"].as_array().expect("runs").clone();
    wait_until(|| all().len() == 3 && all().iter().all(|run| run["status"] == "complete"));
    let output = |run: &str| pumice.run(&["runs", "output", run]).out;
    let told = output(&id(0));
    let (state, start) = told.trim().split_once(' ').expect("two words");
    assert_eq!((state, output(&id(1)).as_str()), ("two", "one\n"));
    let next: Vec<Value> = all().into_iter().filter(|run| run["job_id"] == "next").collect();
    assert_eq!(output(next[0]["run_id"].as_str().expect("an id")).trim(), start);
}

#[test]
fn render_tells_when_a_job_is_rendered_and_why() {
    let pumice = Pumice::new();
    let mut jobs = vec![shell("fixed", "echo {{ globals.g }}"), shell("moving", "echo {{ start }}")];
    jobs[0]["globals"] = json!({ "g": 1 });
    let mut told = shell("told", "echo {{ start }}");
    told["render_at"] = "run".into();
    jobs.push(told);
    pumice.write("jobs.json", Value::Array(jobs).to_string());
    for (job, wanted) in [
        ("fixed", "rendered at dispatch: it names nothing that changes"),
        ("moving", "rendered anew at the start of each attempt: it names start"),
        ("told", "rendered at the start of each attempt"),
    ] {
        let printed = pumice.run(&["render", "--jobs", "jobs.json", job]);
        assert!(printed.status == 0 && printed.err.contains(wanted), "{printed:?}");
        // What is rendered is alone in what programs read.
        printed.json();
    }
}
