//! The jobs of the torture test: of every kind, with commands that leave a mark each time they run.

use std::path::Path;

use pumice_core::duration::Span;
use pumice_core::ids::JobId;
use pumice_core::request::When;
use pumice_core::spec::JobSpec;
use serde_json::{Value, json};

use pumice_testing::prng::Prng;

pub(super) fn job(id: &str, kind: &str, payload: Value, more: Value) -> Value {
    let mut job =
        json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload });
    if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more) {
        job.extend(more);
    }
    job
}

/// A command that leaves a mark: its job, its run and its item; then does what the script says.
fn marked(id: &str, marks: &Path, script: &str, more: Value) -> Value {
    let text = format!("echo \"$LAVA_JOB_ID $LAVA_RUN_ID $ITEM\" >> '{}'; {script}", marks.display());
    let parameters =
        json!({ "args": [text], "env": { "ITEM": "{{ globals.lava.foreach_index | default('-') }}" } });
    let mut job = job(id, "cmd", json!("sh -c"), more);
    job["parameters"] = parameters;
    job
}

/// All jobs.
pub(super) fn all(marks: &Path) -> Result<Vec<JobSpec>, String> {
    let specs = [
        job("log", "log", Value::Null, json!({})),
        marked("quick", marks, "true", json!({})),
        marked("slow", marks, "sleep 0.1", json!({})),
        marked(
            "fails",
            marks,
            "exit 3",
            json!({ "iteration_limit": 3, "iteration_delay": "0.05s",
            "on_retry": [{ "action": "state", "state_id": "retried", "value": 1 }], "on_fail": [{ "action": "dispatch", "job_id": "log" }] }),
        ),
        marked("alone", marks, "true", json!({ "overlap": "queue" })),
        marked("step", marks, "true", json!({})),
        marked("item", marks, "true", json!({})),
        job("chain", "chain", json!("step, log, slow"), json!({})),
        job("dag", "dag", json!({ "log": ["step", "quick"] }), json!({})),
        job(
            "foreach",
            "foreach",
            json!("item"),
            json!({ "parameters": { "foreach": { "type": "range", "stop": 3 } } }),
        ),
        job("nested", "chain", json!("foreach, log"), json!({})),
        job(
            "fan",
            "dispatch",
            json!("quick, log, step"),
            json!({ "on_success": [{ "action": "dispatch", "job_id": "log" }] }),
        ),
    ];
    specs.iter().map(|spec| JobSpec::parse(spec).map_err(|error| error.to_string())).collect()
}

/// Each job that is asked for, and how often among so many.
const MIX: [(&str, u64); 10] = [
    ("log", 30),
    ("quick", 20),
    ("slow", 4),
    ("fails", 6),
    ("alone", 4),
    ("chain", 6),
    ("dag", 6),
    ("foreach", 6),
    ("nested", 4),
    ("fan", 8),
];

/// A job and a time, at random.
pub(super) fn any(chance: &mut Prng) -> (JobId, When) {
    let total: u64 = MIX.iter().map(|(_, weight)| weight).sum();
    let mut at = chance.below(total);
    let mut chosen = MIX[0].0;
    for (name, weight) in MIX {
        chosen = name;
        match at.checked_sub(weight) {
            Some(left) => at = left,
            None => break,
        }
    }
    let when =
        if chance.below(5) == 0 { When::After(Span::from_secs(1 + chance.below(3))) } else { When::Now };
    // The names above are all names of jobs.
    (JobId::new(chosen).unwrap_or_else(|_| unreachable!("{chosen}")), when)
}
