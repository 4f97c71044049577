//! How long commands may run, and how many items run at once.

use serde_json::json;

use crate::pumice::{Pumice, shell};

#[test]
fn timeout_of_a_cmd_job_is_its_commands() {
    let pumice = Pumice::new();
    let realm = json!({ "realm": "test", "config": { "CMD_TIMEOUT": "0.2s" } });
    let mut own = shell("own", "sleep 0.5");
    own["timeout"] = "1m".into();
    let mut both = shell("both", "sleep 60");
    both["timeout"] = "1m".into();
    both["parameters"]["timeout"] = "0.2s".into();
    let jobs = json!([realm, own, both, shell("realms", "sleep 60")]);
    pumice.write("jobs.json", jobs.to_string());
    for (job, status) in [("own", "complete"), ("both", "failed"), ("realms", "failed")] {
        let printed = pumice.run(&["run", "--jobs", "jobs.json", job, "-o", "json"]);
        assert_eq!(printed.run_of(job)["status"], status, "{job}: {printed:?}");
    }
}

#[test]
fn workers_of_a_foreach_run_items_at_the_same_time() {
    let pumice = Pumice::new();
    // Each item waits until three have begun.
    let folder = pumice.path().display().to_string();
    let script = format!(
        "touch {folder}/begun-{{{{ globals.n }}}}; for i in $(seq 100); do test $(ls {folder} | grep -c begun-) -ge 3 && exit 0; sleep 0.1; done; exit 1"
    );
    let each = |workers: u32| {
        json!({ "job_id": "each", "type": "foreach", "worker": "core", "enabled": true, "payload": "one",
            "parameters": { "foreach": { "type": "range", "name": "n", "stop": 3 }, "workers": workers } })
    };
    pumice.write("jobs.json", json!([each(3), shell("one", &script)]).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "each", "-o", "json"]);
    assert_eq!(printed.run_of("each")["status"], "complete", "{printed:?}");
    pumice.write("jobs.json", json!([each(0), shell("one", &script)]).to_string());
    let printed = pumice.run(&["check", "jobs.json"]);
    assert!(
        printed.status == 2 && printed.err.contains("parameters.workers: 0 is less than 1"),
        "{printed:?}"
    );
}
