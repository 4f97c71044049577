//! Why runs did not end well.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

fn chain(job_id: &str, step: &str) -> Value {
    json!({ "job_id": job_id, "type": "chain", "worker": "core", "enabled": true, "payload": step })
}

/// Chains within chains, and a command that fails.
fn nested(script: &str) -> Value {
    json!([chain("top", "mid"), chain("mid", "inner"), chain("inner", "low"), shell("low", script)])
}

#[test]
fn failure_in_nested_chains_has_its_path_and_reason_once() {
    let pumice = Pumice::new();
    let jobs = nested("echo boom >&2; exit 3");
    let printed = pumice.run_spec(&jobs, "top");
    for (job_id, reason) in [
        ("top", "job mid > inner > low: exit status 3: boom"),
        ("mid", "job inner > low: exit status 3: boom"),
        ("inner", "job low: exit status 3: boom"),
        ("low", "exit status 3: boom"),
    ] {
        assert_eq!(printed.run_of(job_id)["reason"], reason);
    }
    pumice.write("jobs.json", jobs.to_string());
    let table = pumice.run(&["run", "--jobs", "jobs.json", "top", "-q"]);
    let remarks =
        ["job mid > inner > low: exit status 3: boom", "job inner > low", "job low", "exit status 3: boom"];
    assert_eq!(table.out.lines().count(), remarks.len(), "{}", table.out);
    for (line, remark) in table.out.lines().zip(remarks) {
        assert!(line.ends_with(&format!("  {remark}")), "{line}");
    }
}

#[test]
fn run_that_waits_too_long_for_its_lock_is_rejected() {
    let mut slow = shell("slow", "sleep 4");
    slow["overlap"] = json!("queue");
    slow["max_run_delay"] = json!("2s");
    let jobs = json!([
        { "job_id": "top", "type": "dispatch", "worker": "core", "enabled": true, "payload": "slow, slow" },
        slow
    ]);
    let printed = Pumice::new().run_spec(&jobs, "top").json();
    let runs = printed["runs"].as_array().expect("runs").iter().filter(|run| run["job_id"] == "slow");
    let mut ends: Vec<(&str, &str)> = runs
        .map(|run| (run["status"].as_str().unwrap_or_default(), run["reason"].as_str().unwrap_or_default()))
        .collect();
    ends.sort_unstable();
    let why = "was due more than its max_run_delay of 2s ago, and waited for another run of its job";
    assert_eq!(ends, [("complete", ""), ("rejected", why)], "{printed:#}");
}

/// A job of which three runs are asked for, a second after each other: the id of each, its status and its reason.
fn three_in_turn(overlap: &str, script: &str) -> Vec<(String, String, String)> {
    let mut job = shell("one", script);
    job["overlap"] = json!(overlap);
    let start = |name: &str, delay: u32| json!({ "action": "dispatch", "job_id": "one", "delay": delay, "parameters": { "env": { "NAME": name } } });
    let jobs = json!([
        {
            "job_id": "top", "type": "log", "worker": "core", "enabled": true, "payload": "starts three",
            "on_success": [start("a", 0), start("b", 1), start("c", 2)]
        },
        job
    ]);
    let printed = Pumice::new().run_spec(&jobs, "top").json();
    let runs = printed["runs"].as_array().expect("runs").iter().filter(|run| run["job_id"] == "one");
    let text = |run: &Value, name: &str| run[name].as_str().unwrap_or_default().to_owned();
    let explained: Vec<(String, String, String)> =
        runs.map(|run| (text(run, "run_id"), text(run, "status"), text(run, "reason"))).collect();
    assert_eq!(explained.len(), 3, "{printed:#}");
    explained
}

#[test]
fn of_runs_that_wait_the_newest_alone_is_run() {
    let explained = three_in_turn("latest", "sleep 4");
    let mut statuses: Vec<&str> = explained.iter().map(|(_, status, _)| status.as_str()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["complete", "complete", "skipped"], "{explained:?}");
    let (_, _, why) = explained.iter().find(|(_, status, _)| status == "skipped").expect("one");
    let newer =
        explained.iter().find(|(run_id, ..)| why.contains(run_id.as_str())).expect("the one that is named");
    assert!(newer.1 == "complete" && why.ends_with("of the same job came after it"), "{explained:?}");
}

#[test]
fn run_that_replaces_another_has_it_cancelled() {
    let explained = three_in_turn("cancel_running", r#"test "$NAME" = c || sleep 100"#);
    let complete: Vec<&str> = explained
        .iter()
        .filter(|(_, status, _)| status == "complete")
        .map(|(run_id, ..)| run_id.as_str())
        .collect();
    assert_eq!(complete.len(), 1, "{explained:?}");
    assert!(explained.iter().any(|(_, status, _)| status == "cancelled"), "{explained:?}");
    for (_, status, why) in explained.iter().filter(|(_, status, _)| status != "complete") {
        // One that still waited for the first to stop when the third came was not run at all.
        let wanted = if status == "cancelled" {
            "of the same job takes its place"
        } else {
            "of the same job came after it"
        };
        assert!(why.ends_with(wanted), "{explained:?}");
        assert!(explained.iter().any(|(run_id, ..)| why.contains(run_id.as_str())), "{explained:?}");
    }
}
