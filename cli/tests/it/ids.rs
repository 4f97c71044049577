//! Job ids that are unsafe as paths or hard to see, in every place that takes a job id.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

const ODD: [(&str, &str); 10] = [
    ("..", "the segment \"..\""),
    ("a/../../b", "the segment \"..\""),
    (".", "the segment \".\""),
    ("/etc/x", "an empty segment"),
    ("a//b", "an empty segment"),
    ("a/", "an empty segment"),
    ("a\u{200b}b", "zero-width"),
    ("a\u{202e}b", "direction-changing"),
    ("a\u{1b}[2Jb", "control characters"),
    ("-rf", "taken for an option"),
];

fn log(id: &str) -> Value {
    json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": null })
}

fn names(kind: &str, id: &str) -> Value {
    let payload = match kind {
        "chain" | "dispatch" => json!([id]),
        "dag" => json!({ "ok": id }),
        _ => json!(id),
    };
    let parameters = match kind {
        "foreach" => json!({ "foreach": { "type": "range", "stop": 1 } }),
        _ => Value::Null,
    };
    json!({ "job_id": "top", "type": kind, "worker": "core", "payload": payload, "parameters": parameters })
}

#[test]
fn specs_with_odd_job_ids_are_refused_with_the_rule() {
    let pumice = Pumice::new();
    let long = format!("a/{}", "x".repeat(256));
    for (id, rule) in ODD.into_iter().chain([(long.as_str(), "longer than 255 bytes")]) {
        let action = json!({ "job_id": "top", "type": "log", "worker": "w", "payload": null, "on_fail": [{ "action": "dispatch", "job_id": id }] });
        let kinds = ["chain", "dispatch", "dag", "foreach"].map(|kind| names(kind, id));
        for spec in [vec![log(id), action], kinds.to_vec()].concat() {
            pumice.write("jobs.json", spec.to_string());
            for command in ["check", "apply"] {
                let printed = pumice.run(&[command, "jobs.json"]);
                assert_eq!(printed.status, 2, "{spec}: {printed:?}");
                assert!(printed.err.contains(rule), "{spec}: {printed:?}");
                assert!(!printed.err.contains(['\u{1b}', '\u{200b}', '\u{202e}']), "{printed:?}");
            }
        }
    }
    assert!(!pumice.path().join(".pumice").exists());
}

#[test]
fn requests_for_odd_job_ids_are_refused_with_the_rule() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", log("ok").to_string());
    pumice.run(&["apply", "jobs.json"]);
    for (id, rule) in ODD {
        let list = json!([{ "job_id": "ok" }, { "job_id": id }]).to_string();
        let printed = pumice.feed(&["dispatch", "--file", "-"], list);
        assert!(printed.status == 2 && printed.err.contains(rule), "{id:?}: {printed:?}");
        for arguments in
            [&["dispatch", "--", id][..], &["render", "--", id], &["run", "--jobs", "jobs.json", "--", id]]
        {
            let printed = pumice.run(arguments);
            assert!(printed.status == 2 && printed.err.contains(rule), "{arguments:?}: {printed:?}");
        }
        if !id.starts_with('-') {
            let printed = pumice.feed(&["dispatch", "--file", "-"], format!("ok\n'{id}' -g x=1\n"));
            assert!(printed.status == 2 && printed.err.contains(rule), "{id:?}: {printed:?}");
        }
    }
}

#[test]
fn stored_job_with_an_odd_id_is_seen_and_deleted_but_not_run() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", json!([log("ok"), log("odd")]).to_string());
    pumice.run(&["apply", "jobs.json"]);
    for odd in ["../out", "a\u{202e}b", "-x", "a//b"] {
        let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
        let sql = "INSERT INTO jobs SELECT ?1, json_set(spec, '$.job_id', ?1) FROM jobs WHERE job_id = 'odd'";
        assert_eq!(store.execute(sql, [odd]), Ok(1));
        drop(store);
        let listed = pumice.run(&["jobs", "list", "-o", "json"]).json();
        assert!(listed["jobs"].as_array().expect("jobs").iter().any(|job| job["job_id"] == odd), "{listed}");
        let table = pumice.run(&["jobs", "list"]);
        assert!(table.status == 0 && !table.out.contains('\u{202e}'), "{table:?}");
        assert_eq!(pumice.run(&["jobs", "show", "--", odd]).json()["job_id"], odd);
        assert_eq!(pumice.run(&["dispatch", "ok"]).status, 0);
        assert_eq!(pumice.run(&["dispatch", "--", odd]).status, 2);
        assert_eq!(pumice.run(&["jobs", "delete", "--", odd]).status, 0);
    }
    assert!(!pumice.path().join("out").exists() && !pumice.path().join(".pumice/out").exists());
}

#[test]
fn run_dispatched_under_an_odd_id_is_rejected_and_makes_nothing() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", shell("odd", "echo printed").to_string());
    pumice.run(&["apply", "jobs.json"]);
    assert_eq!(pumice.run(&["dispatch", "odd"]).status, 0);
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    let odd = "../../outside";
    let changed = store.execute(
        "UPDATE runs SET job_id = ?1, record = json_set(record, '$.job_id', ?1), pinned = json_set(pinned, '$.job.job_id', ?1)",
        [odd],
    );
    assert_eq!(changed, Ok(1));
    assert_eq!(store.execute("UPDATE messages SET body = json_set(body, '$.job_id', ?1)", [odd]), Ok(1));
    drop(store);
    let _server = pumice.serve();
    let began = std::time::Instant::now();
    let run = loop {
        let run = pumice.run(&["runs", "list", "-o", "json"]).json()["runs"][0].clone();
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{run:#}");
        if run["ts_end"].is_string() {
            break run;
        }
    };
    assert_eq!(run["status"], "rejected", "{run:#}");
    assert!(run["reason"].as_str().is_some_and(|reason| reason.contains("the segment \"..\"")), "{run:#}");
    let found = std::process::Command::new("find")
        .arg(pumice.path())
        .args(["-name", "outside*"])
        .output()
        .expect("find");
    assert!(found.stdout.is_empty() && !pumice.path().parent().expect("a parent").join("outside").exists());
}

#[test]
fn action_that_renders_to_an_odd_id_fails_with_the_rule() {
    let pumice = Pumice::new();
    let mut job = log("a");
    job["on_success"] = json!([{ "action": "dispatch", "job_id": "{{ globals.target }}" }]);
    pumice.write("jobs.json", job.to_string());
    for (id, rule) in ODD.into_iter().filter(|(id, _)| !id.contains('\u{1b}')) {
        let target = format!("target={id}");
        let printed = pumice.run(&["run", "--jobs", "jobs.json", "a", "-g", &target, "-o", "json"]);
        let log = printed.run_of("a")["log"].clone();
        let failed = log.as_array().expect("a log").iter().find(|entry| entry["status"] == "action_failed");
        assert!(
            failed.is_some_and(|entry| entry.to_string().contains(&rule.replace('"', "\\\""))),
            "{id:?}: {log:#}"
        );
    }
}
