//! Jobs and realms that are in the store already: a mistake stops only what cannot run.

use serde_json::{Value, json};

use crate::pumice::{Pumice, wait_until};

fn job(id: &str, more: &Value) -> Value {
    let mut job =
        json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "true" });
    job.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    job
}

/// Puts a job into the store as it is, past all checks.
fn store(pumice: &Pumice, job: &Value) {
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    let put = "INSERT OR REPLACE INTO jobs VALUES (?1, ?2)";
    let id = job["job_id"].as_str().expect("an id");
    assert_eq!(store.execute(put, [id, &job.to_string()]), Ok(1));
}

fn store_realm(pumice: &Pumice, realm: &Value) {
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    assert_eq!(store.execute("UPDATE meta SET value = ?1 WHERE name = 'realm'", [realm.to_string()]), Ok(1));
}

/// A realm's folder with one job that is right.
fn home() -> Pumice {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job("right", &json!({})).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    pumice
}

/// The record of a job's newest run, once it is done.
fn run_of(pumice: &Pumice, job: &str) -> Value {
    let printed = pumice.run(&["dispatch", job, "--wait"]);
    let shown = pumice.run(&["runs", "show", &format!("latest:{job}"), "-o", "json"]);
    assert_eq!(shown.status, 0, "{printed:?} {shown:?}");
    shown.run_of(job)
}

/// The texts of the entries of a run's log with this status.
fn entries(run: &Value, status: &str) -> Vec<String> {
    let log = run["log"].as_array().expect("a log").iter();
    log.filter(|entry| entry["status"] == status)
        .map(|entry| entry["info"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn stored_job_that_is_none_stops_itself_alone() {
    let pumice = home();
    let texts = [
        ("no-worker", json!({ "job_id": "no-worker", "type": "log", "payload": null }).to_string(), "worker"),
        ("bad-worker", job("bad-worker", &json!({ "worker": 5 })).to_string(), "worker"),
        ("broken", "{\"job_id\": \"broken\",".to_owned(), "not JSON"),
        ("list", "[]".to_owned(), "expected an object"),
        ("twice", job("twice", &json!({})).to_string().replacen('{', "{\"type\":\"log\",", 1), "type"),
        ("other", job("elsewhere", &json!({})).to_string(), "stands where job \"other\" is kept"),
    ];
    {
        let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
        for (id, text, _) in &texts {
            assert_eq!(store.execute("INSERT INTO jobs VALUES (?1, ?2)", [*id, text]), Ok(1));
        }
    }
    let _server = pumice.serve();
    assert_eq!(run_of(&pumice, "right")["status"], "complete");
    for (id, _, reason) in &texts {
        let refused = pumice.run(&["dispatch", id]);
        assert!(refused.status == 2 && refused.err.contains(reason), "{id}: {refused:?}");
    }
}

#[test]
fn stored_job_with_mistakes_outside_its_run_runs() {
    let pumice = home();
    let cases = [
        (json!({ "colour": "red" }), "colour: no such field"),
        (json!({ "paramters": {} }), "did you mean \"parameters\"?"),
        (json!({ "event_log": { "x": "{{ 1 +" } }), "event_log.x: "),
        (json!({ "schedule": "1,,2 * * * *" }), "schedule: "),
        (json!({ "schedule": { "cron": "@daily" } }), "schedule"),
        (json!({ "description": 5 }), "description: expected a string"),
        (json!({ "owner": ["a"] }), "owner: expected a string"),
        (json!({ "dispatcher": 1 }), "dispatcher: expected a string"),
        (json!({ "tags": ["a"] }), "tags: expected an object"),
        (json!({ "cw_metrics": "yes" }), "cw_metrics: expected true or false"),
        (json!({ "globals": { "lavatory": 1 } }), "globals.lavatory: the global \"lavatory\" is reserved"),
        (
            json!({ "globals": { "lava": { "iteration": 9 } }, "payload": "test {{globals.lava.iteration}} = 1" }),
            "globals.lava: the global \"lava\" is reserved",
        ),
        (json!({ "state": { "a\u{200b}": 1 } }), "state["),
        (json!({ "on_fail": [{ "action": "pager" }] }), "on_fail[0].action: no such action \"pager\""),
        (json!({ "on_retry": ["pager"] }), "on_retry[0]: expected an object"),
        (json!({ "on_fail": {} }), "on_fail: expected a list"),
    ];
    for (number, (more, _)) in cases.iter().enumerate() {
        store(&pumice, &job(&format!("odd{number}"), more));
    }
    let printed = pumice.run(&["dispatch", "odd0"]);
    assert!(printed.status == 0 && printed.err.contains("colour: no such field"), "{printed:?}");
    let _server = pumice.serve();
    for (number, (more, wanted)) in cases.iter().enumerate() {
        let run = run_of(&pumice, &format!("odd{number}"));
        assert_eq!(run["status"], "complete", "{more}: {run:#}");
        let warnings = entries(&run, "logging");
        let is_warned = |entry: &String| entry.starts_with("warning: ") && entry.contains(wanted);
        assert!(warnings.iter().any(is_warned), "{more}: {warnings:?}");
    }
    assert_eq!(entries(&run_of(&pumice, "right"), "logging"), [] as [&str; 0]);
}

#[test]
fn malformed_action_fails_when_its_time_comes() {
    let pumice = home();
    let cases = [
        (json!([{ "action": "pager", "message": "x" }]), "on_success[0] pager: no such action"),
        (json!([{ "message": "x" }]), "on_success[0]: not an action"),
        (json!(["log"]), "on_success[0]: not an action: expected an object, got a string \"log\""),
        (json!([null]), "on_success[0]: not an action"),
        (json!([{ "action": 5 }]), "on_success[0]: not an action"),
        (json!({ "action": "log", "message": "x" }), "on_success[0]: not a list of actions"),
        (json!("log"), "on_success[0]: not a list of actions"),
        (json!([{ "action": "log" }]), "on_success[0] log: the field \"message\" is missing"),
        (json!([{ "action": "log", "message": "{{ 1 +" }]), "on_success[0] log: "),
        (json!([{ "action": "state", "state_id": "s", "value": 1, "til": 1 }]), "til: no such field"),
        (
            json!([{ "action": "state", "state_id": "s", "value": 1, "ttl": "soon" }]),
            "\"soon\" is not a duration",
        ),
        (json!([{ "action": "dispatch", "job_id": "right", "delay": "1h" }]), "on_success[0] dispatch: "),
    ];
    for (number, (actions, _)) in cases.iter().enumerate() {
        // The one after it is done all the same.
        let mut actions = actions.clone();
        if let Some(list) = actions.as_array_mut() {
            list.push(json!({ "action": "state", "state_id": format!("after{number}"), "value": "yes" }));
        }
        store(&pumice, &job(&format!("odd{number}"), &json!({ "on_success": actions })));
    }
    let _server = pumice.serve();
    for (number, (actions, wanted)) in cases.iter().enumerate() {
        let run = run_of(&pumice, &format!("odd{number}"));
        assert_eq!(run["status"], "complete", "{actions}: {run:#}");
        let failed = entries(&run, "action_failed");
        assert!(failed.len() == 1 && failed[0].contains(wanted), "{actions}: {failed:?}");
        if actions.is_array() {
            let after = pumice.run(&["state", "get", &format!("after{number}")]);
            assert!(after.out.contains("yes"), "{actions}: {after:?}");
        }
    }
    let ignored = json!([{ "action": "log", "message": "x", "level": "info" }]);
    store(&pumice, &job("ignored", &json!({ "on_success": ignored })));
    let run = run_of(&pumice, "ignored");
    assert_eq!(entries(&run, "action_failed"), [] as [&str; 0], "as lava, which passes over it");
    assert!(entries(&run, "logging")[0].contains("on_success[0].level: no such field"), "{run:#}");
}

#[test]
fn stored_step_with_mistakes_outside_its_run_runs() {
    let pumice = home();
    store(&pumice, &job("odd", &json!({ "colour": "red", "on_fail": [{ "action": "pager" }] })));
    for top in [
        json!({ "job_id": "top", "type": "chain", "payload": ["right", "odd"] }),
        json!({ "job_id": "top", "type": "dag", "payload": { "odd": "right" } }),
        json!({ "job_id": "top", "type": "foreach", "payload": "odd", "parameters": { "foreach": { "type": "range", "stop": "2" } } }),
        json!({ "job_id": "top", "type": "dispatch", "payload": ["odd"] }),
    ] {
        pumice.write("top.json", job("top", &top).to_string());
        assert_eq!(pumice.run(&["apply", "top.json"]).status, 0, "{top}");
        let _server = pumice.serve();
        assert_eq!(run_of(&pumice, "top")["status"], "complete", "{top}");
        let tree = pumice.run(&["runs", "show", "latest:top", "-o", "json"]);
        let odd = tree.run_of("odd");
        assert_eq!(odd["status"], "complete", "{top}: {odd:#}");
        assert_eq!(entries(&odd, "logging").len(), 2, "{top}: {odd:#}");
    }
}

#[test]
fn stored_job_that_cannot_run_is_refused_with_the_reason() {
    let pumice = home();
    for (more, wanted) in [
        (json!({ "type": "docker" }), "no such job type \"docker\""),
        (json!({ "payload": 5 }), "payload: expected a string"),
        (json!({ "iteration_limit": 2.5 }), "iteration_limit: expected a whole number, got a number 2.5"),
        (
            json!({ "iteration_limit": "many" }),
            "iteration_limit: expected a whole number, got a string \"many\"",
        ),
        (json!({ "iteration_limit": "11" }), "iteration_limit: 11 is more than 10"),
        (json!({ "max_run_delay": "soon" }), "max_run_delay: \"soon\" is not a duration"),
        (json!({ "overlap": "maybe" }), "overlap: \"maybe\" is none of"),
        (json!({ "parameters": { "colour": 1 } }), "parameters.colour: no such field"),
    ] {
        store(&pumice, &job("odd", &more));
        let printed = pumice.run(&["dispatch", "odd"]);
        assert!(printed.status == 2 && printed.err.contains(wanted), "{more}: {printed:?}");
        assert!(!printed.err.contains("invalid type"), "{more}: {printed:?}");
        // It is in no other job's way.
        let run = pumice.run(&["run", "right"]);
        assert_eq!(run.status, 0, "{more}: {run:?}");
    }
}

#[test]
fn check_and_apply_stay_strict() {
    let pumice = home();
    for more in [
        json!({ "colour": "red" }),
        json!({ "event_log": "{{ 1 +" }),
        json!({ "schedule": "1,,2 * * * *" }),
        json!({ "on_fail": [{ "action": "pager" }] }),
        json!({ "on_fail": ["pager"] }),
        json!({ "on_fail": {} }),
        json!({ "on_success": [{ "action": "log", "message": "x", "level": "info" }] }),
        json!({ "owner": 5 }),
        json!({ "globals": { "lava": 1 } }),
    ] {
        pumice.write("odd.json", job("odd", &more).to_string());
        for command in ["check", "apply"] {
            assert_eq!(pumice.run(&[command, "odd.json"]).status, 2, "{command} {more}");
        }
    }
    for config in [json!({ "CMD_TIMEOUT": "soon" }), json!({ "cmd_timeout": null }), json!([])] {
        pumice.write("realm.json", json!({ "realm": "local", "config": config }).to_string());
        for command in ["check", "apply"] {
            assert_eq!(pumice.run(&[command, "realm.json"]).status, 2, "{command} {config}");
        }
    }
}

#[test]
fn stored_realm_with_mistakes_stops_no_job() {
    let pumice = home();
    store(&pumice, &job("fails", &json!({ "payload": "false" })));
    let name = pumice.run(&["jobs", "list", "-o", "json"]);
    assert_eq!(name.status, 0);
    let realm = |more: Value| {
        let mut realm = json!({ "realm": "local" });
        realm.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        realm
    };
    for (more, wanted) in [
        (json!({ "config": { "EVENT_TTL": null } }), None),
        (json!({ "config": { "event_ttl": "" } }), None),
        (
            json!({ "config": { "CMD_TIMEOUT": "soon" } }),
            Some("config.CMD_TIMEOUT: \"soon\" is not a duration"),
        ),
        (json!({ "config": { "CMD_TIMEOUT": null } }), Some("config.CMD_TIMEOUT: expected a duration")),
        (
            json!({ "config": { "FOREACH_LIMIT": 2.5 } }),
            Some("config.FOREACH_LIMIT: expected a whole number"),
        ),
        (json!({ "config": { "state_ttl": [1] } }), Some("config.state_ttl: expected a duration")),
        (json!({ "config": "x" }), Some("config: expected an object")),
        (json!({ "s3_temp": 5 }), Some("s3_temp: expected a string")),
        (json!({ "on_fail": "pager" }), Some("on_fail: expected a list")),
        (json!({ "on_fail": [{ "action": "pager" }] }), None),
    ] {
        store_realm(&pumice, &realm(more.clone()));
        let _server = pumice.serve();
        let run = run_of(&pumice, "right");
        assert_eq!(run["status"], "complete", "{more}: {run:#}");
        let warnings = entries(&run, "logging");
        assert_eq!(warnings.len(), usize::from(wanted.is_some()), "{more}: {warnings:?}");
        assert!(wanted.is_none_or(|wanted| warnings[0].contains(wanted)), "{more}: {warnings:?}");
        if more.get("on_fail").is_some() {
            let failed = run_of(&pumice, "fails");
            assert_eq!(failed["status"], "failed", "{failed:#}");
            wait_until(|| !entries(&run_of(&pumice, "fails"), "action_failed").is_empty());
        }
        if more["config"].get("EVENT_TTL").is_some() || more["config"].get("event_ttl").is_some() {
            assert_eq!(run["ttl"], Value::Null, "kept for good");
        } else {
            assert!(run["ttl"].is_u64(), "{run:#}");
        }
    }
}
