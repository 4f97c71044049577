//! The output of commands with `-o json` is the response of their service function, and nothing else.

use std::collections::BTreeSet;

use pumice_core::ports::Doc;
use pumice_service::{
    audit, connections, dead, dispatch, doctor, drain, metrics, operations, pauses, payloads, pools, render,
    runs, schedules, secrets, specs, state, stats, triggers, workers,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::dead::bury;
use crate::pumice::Pumice;

/// Whether a text is a response, whole.
fn holds<A: Serialize + DeserializeOwned>(text: &str) -> bool {
    let read = serde_json::from_str::<A>(text).map(|response| serde_json::to_value(response).ok());
    let printed = serde_json::from_str::<Value>(text).ok();
    read.is_ok_and(|again| again == printed)
}

type Case<'a> = (&'a str, &'a [&'a str], fn(&str) -> bool);

/// Each command, how it is called, and its response. They build on each other.
const CASES: [Case<'_>; 65] = [
    ("check", &["check", "jobs.json"], holds::<specs::Checked>),
    ("apply", &["apply", "jobs.json"], holds::<specs::Applied>),
    ("apply", &["apply", "--dry-run", "changed.json"], holds::<specs::Applied>),
    ("plan", &["plan", "changed.json"], holds::<specs::Planned>),
    ("apply", &["apply", "--prune", "--scope", "once", "changed.json"], holds::<specs::Applied>),
    ("export", &["export", "exported"], holds::<specs::Exported>),
    ("realm show", &["realm", "show"], holds::<specs::RealmShown>),
    ("jobs list", &["jobs", "list"], holds::<specs::JobList>),
    ("jobs show", &["jobs", "show", "daily"], holds::<Doc>),
    ("render", &["render", "once"], holds::<render::RenderedJob>),
    ("jobs pause", &["jobs", "pause", "o*", "--until", "2h"], holds::<pauses::PausesChanged>),
    ("jobs resume", &["jobs", "resume", "o*"], holds::<pauses::PausesChanged>),
    ("workers list", &["workers", "list"], holds::<workers::WorkerList>),
    ("workers pause", &["workers", "pause", "w"], holds::<pauses::PausesChanged>),
    ("workers resume", &["workers", "resume", "w"], holds::<pauses::PausesChanged>),
    ("workers drain", &["workers", "drain", "w", "--dry-run"], holds::<drain::WorkersDrained>),
    ("pools list", &["pools", "list"], holds::<pools::PoolList>),
    ("maintenance on", &["maintenance", "on", "--why", "disk"], holds::<pauses::PausesChanged>),
    ("maintenance off", &["maintenance", "off"], holds::<pauses::PausesChanged>),
    ("dispatch", &["dispatch", "once", "none"], holds::<dispatch::Outcomes>),
    ("runs list", &["runs", "list"], holds::<runs::RunList>),
    ("failures", &["failures"], holds::<runs::FailureList>),
    ("stats", &["stats"], holds::<stats::Stats>),
    ("doctor", &["doctor"], holds::<doctor::Diagnosis>),
    ("metrics", &["metrics"], holds::<metrics::Metrics>),
    ("dead list", &["dead", "list"], holds::<dead::DeadList>),
    ("dead redrive", &["dead", "redrive", "--where", "job:once"], holds::<dead::DeadDone>),
    ("dead drop", &["dead", "drop", "--where", "job:once", "--yes"], holds::<dead::DeadDone>),
    ("runs show", &["runs", "show", "latest"], holds::<runs::RunTree>),
    ("runs output", &["runs", "output", "latest"], holds::<Vec<runs::Printed>>),
    ("runs output --from", &["runs", "output", "latest", "--from", "0"], holds::<runs::OutputPart>),
    ("runs why", &["runs", "why", "latest"], holds::<runs::RunWhy>),
    ("runs cancel", &["runs", "cancel", "latest"], holds::<runs::Cancelled>),
    ("runs cancel", &["runs", "cancel", "latest"], holds::<runs::Cancelled>),
    ("runs retry", &["runs", "retry", "latest", "--all"], holds::<runs::RetriedRun>),
    ("runs cancel --where", &["runs", "cancel", "--where", "job:once"], holds::<runs::ManyDone>),
    ("runs retry --where", &["runs", "retry", "--where", "job:once", "--dry-run"], holds::<runs::ManyDone>),
    ("runs delete", &["runs", "delete", "--where", "job:once status:cancelled"], holds::<runs::ManyDone>),
    ("runs bulk list", &["runs", "bulk", "list"], holds::<runs::BulkList>),
    ("schedules list", &["schedules", "list"], holds::<schedules::ScheduleList>),
    ("schedules next", &["schedules", "next"], holds::<schedules::UpcomingStarts>),
    ("schedules pause", &["schedules", "pause", "daily"], holds::<schedules::Held>),
    ("schedules resume", &["schedules", "resume", "daily"], holds::<schedules::Held>),
    ("schedules run", &["schedules", "run", "daily"], holds::<dispatch::AcceptedRun>),
    (
        "schedules backfill",
        &["schedules", "backfill", "daily", "--from", "20250501", "--to", "20250503"],
        holds::<schedules::BackfillAnswer>,
    ),
    ("schedules backfills list", &["schedules", "backfills", "list"], holds::<schedules::BackfillList>),
    (
        "schedules simulate",
        &["schedules", "simulate", "--down", "20270101", "20270103"],
        holds::<schedules::Simulated>,
    ),
    (
        "schedules export",
        &["schedules", "export", "--format", "eventbridge"],
        holds::<schedules::CloudFormationTemplate>,
    ),
    ("connections list", &["connections", "list"], holds::<Vec<connections::ConnectionShown>>),
    ("connections show", &["connections", "show", "box"], holds::<Doc>),
    ("connections test", &["connections", "test", "values"], holds::<connections::TestedConnection>),
    ("connections delete", &["connections", "delete", "box"], holds::<connections::DeletedConnection>),
    ("secrets list", &["secrets", "list"], holds::<Vec<secrets::SecretShown>>),
    ("state get", &["state", "get", "x"], holds::<Value>),
    ("state list", &["state", "list"], holds::<Vec<state::StateShown>>),
    ("state delete", &["state", "delete", "x", "y"], holds::<state::DeletedState>),
    ("payloads put", &["payloads", "put", "jobs.json", "--to", "demo/"], holds::<payloads::PutDone>),
    ("payloads list", &["payloads", "list"], holds::<payloads::PayloadList>),
    ("payloads get", &["payloads", "get", "demo/jobs.json", "copy"], holds::<payloads::PayloadShown>),
    ("triggers list", &["triggers", "list"], holds::<triggers::TriggerList>),
    ("triggers show", &["triggers", "show", "t"], holds::<Doc>),
    ("triggers test", &["triggers", "test", "in", "x"], holds::<triggers::TestedTriggers>),
    ("triggers delete", &["triggers", "delete", "t", "u"], holds::<triggers::DeletedTriggers>),
    ("jobs delete", &["jobs", "delete", "once", "none"], holds::<specs::DeletedJobs>),
    ("audit list", &["audit", "list"], holds::<audit::AuditList>),
];

#[test]
fn command_prints_the_response_of_its_function() {
    let pumice = Pumice::new();
    let job = |id: &str, more: &Value| {
        let mut job =
            json!({ "job_id": id, "type": "cmd", "worker": "w", "enabled": true, "payload": "true" });
        job.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        job
    };
    let chain =
        json!({ "job_id": "chain", "type": "chain", "worker": "w", "enabled": true, "payload": ["once"] });
    let trigger =
        json!({ "trigger_id": "t", "bucket": "in", "prefix": "*", "job_id": "once", "enabled": true });
    let jobs =
        json!([job("once", &json!({})), job("daily", &json!({ "schedule": "@daily" })), chain, trigger]);
    pumice.write("jobs.json", jobs.to_string());
    pumice.write("changed.json", job("once", &json!({ "description": "new" })).to_string());
    let put = pumice.run(&["state", "put", "x", "1", "-o", "json"]);
    assert!(holds::<state::PutItem>(&put.out), "{put:?}");
    let ssh = json!({ "conn_id": "box", "type": "ssh", "ssh_key": "k" });
    let values = json!({ "conn_id": "values", "type": "generic", "enabled": true, "attributes": { "a": 1 } });
    pumice.write("box.json", json!([ssh, values]).to_string());
    assert_eq!(pumice.run(&["apply", "box.json"]).status, 0);
    let set = pumice.feed(&["secrets", "set", "k", "-o", "json"], "response-canary");
    assert!(holds::<secrets::SecretSet>(&set.out), "{set:?}");
    let deleted = pumice.run(&["secrets", "delete", "k", "-o", "json"]);
    assert!(holds::<secrets::SecretOf>(&deleted.out), "{deleted:?}");
    for (command, arguments, holds) in CASES {
        let printed = pumice.run(&[arguments, &["-o", "json"]].concat());
        assert!(holds(&printed.out), "{command}: {printed:?}");
    }
    let backfill = pumice.run(&["schedules", "backfills", "list", "-o", "json"]).json();
    let id = backfill["backfills"][0]["id"].as_str().expect("an id");
    let mut tried: BTreeSet<&str> = CASES.iter().map(|(command, ..)| *command).collect();
    for (command, word, holds) in [
        ("schedules backfills show", "show", holds::<schedules::BackfillOne> as fn(&str) -> bool),
        ("schedules backfills cancel", "cancel", holds::<schedules::BackfillChanged>),
        ("schedules backfills resume", "resume", holds::<schedules::BackfillChanged>),
    ] {
        let printed = pumice.run(&["schedules", "backfills", word, id, "-o", "json"]);
        assert!(holds(&printed.out), "{command}: {printed:?}");
        tried.insert(command);
    }
    let acts = pumice.run(&["runs", "bulk", "list", "-o", "json"]).json();
    let id = acts["bulk"][0]["id"].as_str().expect("an id");
    let shown = pumice.run(&["runs", "bulk", "show", id, "-o", "json"]);
    assert!(holds::<runs::BulkDetails>(&shown.out), "{shown:?}");
    // It is complete: both are refused, and no response is printed.
    for word in ["stop", "resume"] {
        let refused = pumice.run(&["runs", "bulk", word, id, "-o", "json"]);
        assert!(refused.status == 2 && refused.err.contains("is complete"), "{refused:?}");
    }
    tried.extend(["runs bulk show", "runs bulk stop", "runs bulk resume"]);
    let entry = pumice.run(&["audit", "list", "--limit", "1", "-o", "json"]).json();
    let id = entry["entries"][0]["id"].as_str().expect("an id");
    let shown = pumice.run(&["audit", "show", id, "-o", "json"]);
    assert!(holds::<audit::AuditShown>(&shown.out), "{shown:?}");
    // Each line of it is a run.
    let exported = pumice.run(&["runs", "export", "-o", "json"]);
    assert!(!exported.out.is_empty() && exported.out.lines().all(holds::<runs::RunShown>), "{exported:?}");
    tried.extend(["audit show", "runs export"]);
    let shown = pumice.run(&[
        "dead",
        "show",
        &bury(&pumice, "w", "{}", "it cannot be read").to_string(),
        "-o",
        "json",
    ]);
    assert!(holds::<dead::DeadDetails>(&shown.out), "{shown:?}");
    tried.insert("dead show");
    tried.extend(["state put", "secrets set", "secrets delete"]);
    let all: Vec<_> = operations();
    assert_eq!(tried, all.iter().map(|one| one.command).collect());
}
