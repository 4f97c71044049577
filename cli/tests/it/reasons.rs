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
fn a_failure_in_a_chain_within_chains_tells_the_way_and_the_why_once() {
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
fn a_run_that_waited_too_long_for_another_of_its_job_is_rejected() {
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
