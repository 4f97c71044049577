//! The trigger of a run, as `runs show` has it.

use serde_json::json;

use crate::pumice::{Pumice, shell};

#[test]
fn runs_show_has_the_trigger_of_a_run_and_of_its_steps() {
    let pumice = Pumice::new();
    let chain =
        json!({ "job_id": "top", "type": "chain", "worker": "core", "enabled": true, "payload": "low" });
    pumice.write("jobs.json", json!([chain, shell("low", "true")]).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "top", "-o", "json"]);
    let (top, low) = (printed.run_of("top").clone(), printed.run_of("low").clone());
    assert_eq!(top["trigger"], json!({ "kind": "caller" }), "{printed:?}");
    assert_eq!(low["trigger"], json!({ "kind": "run", "run": top["run_key"] }), "{printed:?}");
}

#[test]
fn runs_show_has_a_line_about_the_trigger() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", shell("low", "true").to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    assert_eq!(pumice.run(&["dispatch", "low"]).status, 0);
    let shown = pumice.run(&["runs", "show", "latest"]);
    assert!(shown.out.lines().any(|line| line == "triggered by a caller"), "{}", shown.out);
}
