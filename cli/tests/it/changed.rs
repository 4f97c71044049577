//! Changes since a job ended well last, and the input of a run.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

/// A job that fails unless a variable is 4.
fn job(column: &str) -> Value {
    let mut job = shell("orders", "test \"$COLUMN\" = 4");
    job["parameters"]["env"] = json!({ "COLUMN": column, "MODE": "x" });
    job["schedule"] = json!({ "crontab": "0 3 * * *", "timezone": "UTC" });
    job["globals"] = json!({ "site": "north" });
    job
}

fn apply(pumice: &Pumice, column: &str) {
    pumice.write("jobs.json", job(column).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
}

fn user() -> String {
    let user = std::process::Command::new("id").arg("-un").output().expect("id").stdout;
    String::from_utf8(user).expect("UTF-8").trim().to_owned()
}

/// Runs it to its end; gives the id.
fn ended(pumice: &Pumice, given: &[&str]) -> String {
    let arguments = [&["dispatch", "orders", "-o", "json"], given].concat();
    let run = pumice.run(&arguments).json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    wait_until(|| {
        let status = pumice.run(&["runs", "why", &run, "-o", "json"]).json()["status"].clone();
        status == "complete" || status == "failed"
    });
    run
}

#[test]
fn failed_run_shows_changes_since_the_last_success_by_actor() {
    let pumice = Pumice::new();
    apply(&pumice, "4");
    let _server = pumice.serve();
    let success = ended(&pumice, &["-g", "day=1"]);
    let why = |run: &str| pumice.run(&["runs", "why", run]).out;
    assert_eq!(why(&success).lines().count(), 1, "it ended well");
    apply(&pumice, "5");
    let failed = ended(&pumice, &["-g", "day=2"]);
    let report = why(&failed);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 4, "{report}");
    let since = format!("since run {success}, which ended well, the spec changed, by {}", user());
    assert!(lines[1].starts_with(&since) && lines[1].contains(" (apply from cli, audit entry "), "{report}");
    assert_eq!(
        lines[2..],
        ["  the spec's parameters.env.COLUMN: \"4\" → \"5\"", "  the input's globals.day: \"1\" → \"2\""]
    );
    let shown = pumice.run(&["runs", "show", &failed]).out;
    assert!(shown.starts_with(&report), "{shown}");
    let found = pumice.run(&["failures"]).out;
    assert!(found.contains("the spec's parameters.env.COLUMN: \"4\" → \"5\""), "{found}");
    // Where nothing was edited, what was asked for is all there is.
    apply(&pumice, "4");
    let success = ended(&pumice, &["-g", "day=3"]);
    let failed = ended(&pumice, &["-p", "env.COLUMN=6"]);
    let report = pumice.run(&["runs", "why", &failed, "-o", "json"]).json();
    assert_eq!(
        (&report["since"]["success"], &report["since"]["changed"]),
        (&json!(success), &Value::Null),
        "{report:#}"
    );
    assert_eq!(report["since"]["spec"], Value::Null, "{report:#}");
    assert!(why(&failed).contains("which ended well, what was asked for differs:\n"), "{}", why(&failed));
}

#[test]
fn shown_run_has_its_actor_its_input_and_its_slot() {
    let pumice = Pumice::new();
    apply(&pumice, "5");
    let _server = pumice.serve();
    let run = ended(&pumice, &["-g", "hold=infinity", "-p", "timeout=5m"]);
    let shown = pumice.run(&["runs", "show", &run, "-o", "wide"]).out;
    for wanted in [
        "asked for with parameter timeout=5m\n".to_owned(),
        "asked for with global hold=infinity\n".to_owned(),
        format!("asked for by {} at ", user()),
        " (dispatch from cli, audit entry ".to_owned(),
    ] {
        assert!(shown.contains(&wanted), "{wanted}: {shown}");
    }
    assert!(!shown.contains("north") && !shown.contains("schedule.slot"), "it is the spec's: {shown}");
    let json = pumice.run(&["runs", "show", &run, "-o", "json"]).json();
    assert_eq!(
        json["runs"][0]["asked"],
        json!({ "parameters": { "timeout": "5m" }, "globals": { "hold": "infinity" } }),
        "{json:#}"
    );
    // A slot that was started by hand, and a retry of that, which keeps it.
    let started = pumice.run(&["schedules", "run", "orders", "--at", "2026-03-01T03:00:00Z", "--wait"]);
    assert_eq!(started.status, 1, "{started:?}");
    let slot = "schedule.slot is 2026-03-01T03:00:00Z, in zone UTC\n";
    let shown = pumice.run(&["runs", "show", "latest", "-o", "wide"]).out;
    assert!(shown.contains(slot) && shown.contains(" (schedules run from cli, audit entry "), "{shown}");
    assert_eq!(pumice.run(&["runs", "retry", "latest", "--key", "again"]).status, 0);
    wait_until(|| pumice.run(&["runs", "why", "latest"]).out.starts_with("failed"));
    let shown = pumice.run(&["runs", "show", "latest", "-o", "wide"]).out;
    assert!(shown.contains(slot) && shown.contains(" (runs retry from cli, audit entry "), "{shown}");
}
