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
    let shown = output(&id(0));
    let (state, start) = shown.trim().split_once(' ').expect("two words");
    assert_eq!((state, output(&id(1)).as_str()), ("two", "one\n"));
    let next: Vec<Value> = all().into_iter().filter(|run| run["job_id"] == "next").collect();
    assert_eq!(output(next[0]["run_id"].as_str().expect("an id")).trim(), start);
}

#[test]
fn render_tells_when_a_job_is_rendered_and_why() {
    let pumice = Pumice::new();
    let mut jobs = vec![shell("fixed", "echo {{ globals.g }}"), shell("moving", "echo {{ start }}")];
    jobs[0]["globals"] = json!({ "g": 1 });
    let mut shown = shell("chosen", "echo {{ start }}");
    shown["render_at"] = "run".into();
    jobs.push(shown);
    pumice.write("jobs.json", Value::Array(jobs).to_string());
    for (job, wanted) in [
        ("fixed", "rendered at dispatch: it names nothing that changes"),
        ("moving", "rendered anew at the start of each attempt: it names start"),
        ("chosen", "rendered at the start of each attempt, as its render_at says"),
    ] {
        let printed = pumice.run(&["render", "--jobs", "jobs.json", job]);
        assert!(printed.status == 0 && printed.err.contains(wanted), "{printed:?}");
        // Output for programs has the rendered text alone.
        printed.json();
        let wide = pumice.run(&["check", "-o", "wide", "jobs.json"]);
        assert!(wide.status == 0 && wide.out.contains(&format!("{job}: {wanted}")), "{wide:?}");
        let shown = pumice.run(&["check", "-o", "json", "jobs.json"]).json()["rendering"].clone();
        let shown = shown.as_array().expect("a list").iter().find(|one| one["job_id"] == job).cloned();
        assert!(shown.is_some_and(|one| one["when"].as_str().is_some_and(|when| when.contains(wanted))));
    }
}

#[test]
fn check_shows_when_jobs_are_rendered_by_the_realms_setting() {
    let pumice = Pumice::new();
    let realm = json!({ "realm": "pumice", "config": { "RENDER_AT": "run" } });
    pumice.write("jobs.json", json!([realm, shell("a", "true")]).to_string());
    let wide = pumice.run(&["check", "-o", "wide", "jobs.json"]);
    let wanted = "rendered at the start of each attempt, as the realm's setting RENDER_AT says";
    assert!(wide.out.contains(&format!("a: {wanted}")), "{wide:?}");
    let rendered = pumice.run(&["render", "--jobs", "jobs.json", "a"]);
    assert!(rendered.status == 0 && rendered.err.contains(wanted), "{rendered:?}");
}

#[test]
fn render_finds_what_asks_for_the_time_by_a_name_that_is_put_together() {
    let pumice = Pumice::new();
    pumice
        .write("jobs.json", json!([shell("a", "echo {{ utils.datetime['no' ~ 'w']().year }}")]).to_string());
    let rendered = pumice.run(&["render", "--jobs", "jobs.json", "a"]);
    assert!(
        rendered.err.contains("rendered anew at the start of each attempt: it asks for the time"),
        "{rendered:?}"
    );
}

#[test]
fn template_that_fails_at_dispatch_is_reported_and_retried() {
    let pumice = Pumice::new();
    let mut dispatched = shell("dispatched", "echo {{ state.s + 1 }}");
    dispatched["state"] = json!({ "s": "none" });
    dispatched["render_at"] = "dispatch".into();
    let mut auto = dispatched.clone();
    (auto["job_id"], auto["render_at"]) = ("auto".into(), "auto".into());
    let mut late = auto.clone();
    (late["job_id"], late["render_at"]) = ("late".into(), "run".into());
    pumice.write("jobs.json", json!([dispatched, auto, late]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let wanted = "; each attempt renders it anew";
    for job in ["dispatched", "auto"] {
        let printed = pumice.run(&["dispatch", job]);
        assert!(printed.status == 0 && printed.err.contains(wanted), "{printed:?}");
        let accepted = pumice.run(&["dispatch", job, "-o", "json"]).json()["accepted"][0].clone();
        assert!(accepted["warning"].as_str().is_some_and(|warning| warning.contains(wanted)), "{accepted}");
        let run = pumice.run(&["runs", "show", "latest", "-o", "json"]);
        let log = run.json().to_string();
        assert!(log.contains("warning: ") && log.contains("each attempt renders it anew"), "{log}");
    }
    let printed = pumice.run(&["dispatch", "late"]);
    assert!(printed.status == 0 && printed.err.is_empty(), "{printed:?}");
    // By then there is what the template asks for.
    assert_eq!(pumice.run(&["state", "put", "s", "1"]).status, 0);
    let _server = pumice.serve();
    let all = || pumice.run(&["runs", "list", "-o", "json"]).json()["runs"].as_array().expect("runs").clone();
    wait_until(|| all().iter().all(|run| run["status"] == "complete"));
}

#[test]
fn actions_of_a_success_see_no_error_and_the_record_has_none() {
    let pumice = Pumice::new();
    let mut spec = shell("a", "true");
    spec["on_success"] = json!([{ "action": "dispatch", "job_id": "next",
        "parameters": { "args": ["echo {{ result.error|default('undefined') }} {{ 'error' in result }}"] } }]);
    pumice.write("jobs.json", json!([spec, shell("next", "true")]).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "a", "-o", "json"]);
    let next = printed.run_of("next");
    assert!(
        next["payload"].to_string().contains("undefined False")
            || next["parameters"].to_string().contains("undefined False"),
        "{next:#}"
    );
    let first = printed.run_of("a");
    assert!(
        first["result"].as_object().is_some_and(|result| result.get("error") == Some(&Value::Null)),
        "{first:#}"
    );
}

#[test]
fn event_log_of_nothing_adds_no_entry() {
    let pumice = Pumice::new();
    for (nothing, entries) in
        [(json!(""), 0), (json!({}), 0), (json!([]), 0), (json!("x"), 1), (json!("{{ 1 }}"), 1)]
    {
        let mut spec = shell("a", "true");
        spec["event_log"] = nothing.clone();
        let run = pumice.run_spec(&spec, "a").run_of("a").clone();
        let log = run["log"].as_array().expect("a log");
        let shown = log.iter().filter(|entry| entry["status"] == "logging").count();
        assert_eq!(shown, entries, "{nothing}: {log:?}");
    }
}
