//! A known secret goes through every job type and action, and stands nowhere afterwards.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::pumice::{Pumice, wait_until};

const SECRET: &str = "canary-of-a-secret-5150";
const STATE: &str = "canary-of-the-state-5151";
const MARKED: &str = "canary-of-a-mark-5152";
/// A secret that templates encode, and the part of it that no encoding changes.
const ODD: &str = "S3cret'&\"canary-of-quotes-5153+ /";
const PART: &str = "canary-of-quotes-5153";
/// The values of state items whose ids the realm marks; one is too short to be known elsewhere.
const NAMED: [(&str, &str); 2] = [("etl/password", "canary-of-a-name-5154"), ("etl/passwords", "q7#")];

const ENCODED: &str = "{{ state.odd | tojson }} {{ state.odd | urlencode }} {{ state }} {{ state.odd | e }} {{ state.odd | replace(\"'\", \"''\") }} {{ globals.my_password }}x {{ state.hidden }}";

fn job(id: &str, kind: &str, payload: Value, more: Value) -> Value {
    let mut job = json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload,
        "state": { "hidden": "none", "odd": "none" }, "globals": { "my_password": MARKED },
        "x-allow": ["shell-sign", "unknown-variable", "only-logged"] });
    job.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    job
}

/// What a template gives of the secret state item.
const HIDDEN: &str = "{{ state.hidden }}";

/// The realm and its connections.
fn documents() -> Vec<Value> {
    let connection = json!({ "conn_id": "vault", "type": "generic", "enabled": true,
        "attributes": { "token": { "type": "ssm", "parameter": "/token" } } });
    // Neither is called: the address is refused, and the action fails at once.
    let mail = json!({ "conn_id": "mail", "type": "email", "enabled": true, "host": "169.254.169.254", "user": "u",
        "password": "/token", "from": "lava@example.com" });
    // No server is there.
    let database = json!({ "conn_id": "db", "type": "postgres", "enabled": true, "host": "127.0.0.1", "port": 1, "database": "d",
        "user": "u", "password": "/token" });
    let chat = json!({ "conn_id": "chat", "type": "slack", "enabled": true, "webhook_url": "/chat" });
    let realm = json!({ "realm": "local", "config": { "REDACT": "*password*" } });
    vec![realm, connection, mail, chat, database]
}

/// Actions of every type.
fn actions() -> Value {
    let hidden = HIDDEN;
    json!([
        { "action": "log", "message": format!("hidden {hidden} {{{{ result }}}}") },
        { "action": "dispatch", "job_id": "logs", "parameters": { "vars": { "x": hidden } } },
        { "action": "state", "state_id": "plain", "value": hidden },
        { "action": "state", "state_id": "plain", "value": "{{ globals.my_password }}x" },
        { "action": "state", "state_id": "plain", "value": { "a": ["{{ globals.my_password }}x"] } },
        { "action": "state", "state_id": format!("x{hidden}"), "value": 1 },
        { "action": "state", "state_id": "x{{ globals.my_password }}x", "value": 1 },
        { "action": "state", "state_id": "plain", "value": 1, "publisher": hidden },
        { "action": "email", "email_conn": "mail", "to": format!("{hidden}@example.com"), "subject": hidden, "message": hidden,
            "attachments": [format!("/{hidden}")] },
        { "action": "email", "email_conn": "mail", "to": "a@example.com", "subject": hidden, "message": hidden },
        { "action": "slack", "slack_conn": "chat", "message": hidden, "subject": hidden, "from": hidden },
        { "action": "log", "message": "{{ state.odd | tojson }} {{ state.odd | urlencode }} {{ state }} {{ globals.my_password }}x" },
        { "action": "webhook", "url": format!("http://169.254.169.254/{hidden}?{{{{ state.odd | urlencode }}}}"), "secret": "/token",
            "headers": { "X-Hidden": hidden }, "body": { "x": hidden, "y": "{{ state.odd }}", "z": "{{ globals.my_password }}x" } },
        { "action": "sns", "topic": "arn:aws:sns:us-east-1:123456789012:none", "message": ENCODED, "subject": hidden },
        { "action": "sqs", "queue": "https://sqs.us-east-1.amazonaws.com/123456789012/none", "message": ENCODED },
        { "action": "event", "detail": { "x": hidden, "y": ENCODED }, "detail_type": hidden },
        { "action": "state", "state_id": "sealed", "value": hidden, "type": "secure" },
    ])
}

/// Jobs of payloads, requests and statements.
fn jobs_of_payloads() -> Vec<Value> {
    let hidden = HIDDEN;
    vec![
        job(
            "exe",
            "exe",
            json!("run.sh '{{ globals.my_password }}x'"),
            json!({ "parameters": { "args": [ENCODED] } }),
        ),
        job(
            "pkg",
            "pkg",
            json!("a.zip"),
            json!({ "parameters": { "args": [ENCODED], "command": "run.sh" } }),
        ),
        job(
            "http",
            "http",
            json!("http://169.254.169.254/?{{ state.odd | urlencode }}&{{ globals.my_password }}x"),
            json!({ "parameters": { "headers": { "X-Hidden": hidden } } }),
        ),
        job("lambda", "lambda", json!("none"), json!({ "parameters": { "event": { "x": ENCODED } } })),
        job(
            "sqli",
            "sqli",
            json!(format!("select '{ENCODED}'")),
            json!({ "parameters": { "conn_id": "db" } }),
        ),
        job(
            "sql",
            "sql",
            json!("a.sql"),
            json!({ "parameters": { "conn_id": "db", "vars": { "x": hidden } } }),
        ),
        job(
            "sqlc",
            "sqlc",
            json!("a.sql"),
            json!({ "parameters": { "conn_id": "db", "vars": { "x": hidden } } }),
        ),
    ]
}

/// Jobs of every type, with every action, each of which comes upon a secret.
fn specs() -> Value {
    let hidden = HIDDEN;
    let shell = |script: &str| {
        json!({ "args": [script], "connections": { "vault": "vault" },
        "env": { "DB_PASSWORD": MARKED, "HIDDEN": hidden } })
    };
    let tell = "\"$LAVA_CONN_VAULT\" token; echo $HIDDEN $DB_PASSWORD; \"$LAVA_CONN_VAULT\" token >&2; echo $HIDDEN $DB_PASSWORD >&2;";
    let actions = actions();
    let ends = json!({ "parameters": shell(&format!("{tell} exit 3")), "on_fail": actions, "on_retry": actions,
        "iteration_limit": 2, "event_log": { "was": hidden } });
    let jobs = vec![
        job("fails", "cmd", json!("sh -c"), ends),
        job("works", "cmd", json!("sh -c"), json!({ "parameters": shell(tell), "on_success": actions })),
        job(
            "broken",
            "cmd",
            json!(format!("echo {{{{ state.hidden + 1 }}}} {{{{ {STATE:?}.nothing.at }}}}")),
            json!({ "x-allow": "secret-in-spec" }),
        ),
        job("nofile", "cmd", json!("/none/{{state.hidden}}"), json!({})),
        job("logs", "log", Value::Null, json!({})),
        job("chain", "chain", json!("works, fails"), json!({})),
        job("chained", "chain", json!("works,{{ state.hidden }}"), json!({})),
        job("dag", "dag", json!({ "works": null, "logs": "works" }), json!({})),
        job(
            "each",
            "foreach",
            json!("item"),
            json!({ "parameters": { "foreach": { "type": "inline", "values": [{ "x": hidden, "db_password": MARKED }] } } }),
        ),
        // It has the value itself, of 21 characters.
        job(
            "item",
            "cmd",
            json!("sh -c"),
            json!({ "parameters": { "args": ["v={{ globals.db_password }}; echo ${v}x; [ $(printf %s $v | wc -c) = 21 ]"] } }),
        ),
        job("prints", "cmd", json!("echo '{{ globals.my_password }}x'"), json!({})),
        job(
            "starts",
            "dispatch",
            json!("logs"),
            json!({ "parameters": { "parameters": { "vars": { "x": hidden } } } }),
        ),
    ];
    Value::from([documents(), jobs, jobs_of_payloads()].concat())
}

#[test]
fn canary_goes_through_every_job_type_and_action() {
    let registry = pumice_job_types::registry().expect("a registry");
    let (specs, actions) = (specs(), actions());
    let names = |list: &Value, field: &str| -> BTreeSet<String> {
        let named = list.as_array().into_iter().flatten();
        named.filter_map(|one| one[field].as_str().map(str::to_owned)).collect()
    };
    let run = |one: &&Value| one["job_id"].as_str().is_some_and(|id| JOBS.contains(&id));
    let run = Value::from(specs.as_array().into_iter().flatten().filter(run).cloned().collect::<Vec<_>>());
    let types = registry.job_types().map(|one| one.name().to_owned()).collect();
    assert_eq!(names(&run, "type"), types, "a job of each type must be in `specs` and `JOBS`");
    let kinds = registry.actions().map(|one| one.name().to_owned()).collect();
    assert_eq!(names(&actions, "action"), kinds, "an action of each kind must be in `actions`");
}

const JOBS: [&str; 17] = [
    "fails", "works", "nofile", "logs", "chain", "chained", "dag", "each", "starts", "prints", "exe", "pkg",
    "http", "lambda", "sqli", "sql", "sqlc",
];

fn without_canary(what: &str, bytes: &[u8]) {
    for canary in [SECRET, STATE, PART, &format!("{MARKED}x")] {
        let found = bytes.windows(canary.len()).position(|part| part == canary.as_bytes());
        if let Some(at) = found {
            let near = &bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())];
            panic!("{canary} stands in {what}: {}", String::from_utf8_lossy(near));
        }
    }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Every command that shows something of the realm, in every format.
fn every_command_masks(pumice: &Pumice) {
    let mut looked = 0;
    for format in ["table", "wide", "json", "yaml"] {
        let mut commands: Vec<Vec<&str>> = vec![
            vec!["state", "list"],
            vec!["state", "get", "hidden"],
            vec!["state", "get", NAMED[0].0],
            vec!["state", "get", NAMED[1].0],
            vec!["audit", "list"],
            vec!["secrets", "list"],
            vec!["connections", "list"],
            vec!["connections", "show", "vault"],
            vec!["runs", "list"],
            vec!["runs", "list", "--children"],
            vec!["runs", "export", "--children"],
            vec!["jobs", "list"],
            vec!["jobs", "show", "works"],
            vec!["check", "specs.json"],
        ];
        for id in JOBS {
            commands.push(vec!["render", id]);
        }
        let latest: Vec<String> = JOBS.iter().map(|id| format!("latest:{id}")).collect();
        for run in &latest {
            commands.push(vec!["runs", "show", run]);
            commands.push(vec!["runs", "output", run]);
        }
        for mut command in commands {
            command.extend(["-o", format]);
            let printed = pumice.run(&command);
            let all = format!("{}{}", printed.out, printed.err);
            without_canary(&command.join(" "), all.as_bytes());
            if command[0] != "check" && command[0] != "jobs" {
                assert!(!all.contains(MARKED), "{command:?}: {printed:?}");
                assert!(NAMED.iter().all(|(_, value)| !all.contains(value)), "{command:?}: {printed:?}");
            }
            looked += 1;
        }
    }
    assert!(looked > 100, "{looked}");
}

/// How the runs of these jobs end.
const ENDS: [&str; 17] = [
    "chain failed",
    "chained failed",
    "dag complete",
    // Items are taken as they stand.
    "each complete",
    "exe complete",
    "fails failed",
    "http failed",
    "lambda failed",
    "logs complete",
    "nofile failed",
    "pkg complete",
    "prints complete",
    "sql failed",
    "sqlc failed",
    "sqli failed",
    "starts failed",
    "works complete",
];

/// A realm with the secrets, the payloads and the jobs.
fn prepare(pumice: &Pumice) {
    let mut specs = specs();
    // A spec that quotes the secret itself is the user's; it is not part of this realm.
    specs.as_array_mut().expect("a list").retain(|one| one["job_id"] != "broken");
    pumice.write("specs.json", specs.to_string());
    let set = pumice.feed(&["secrets", "set", "/token"], SECRET);
    assert_eq!(set.status, 0, "{set:?}");
    let set = pumice.feed(&["secrets", "set", "/chat"], format!("https://169.254.169.254/{SECRET}"));
    assert_eq!(set.status, 0, "{set:?}");
    for (id, value) in [("hidden", STATE), ("odd", ODD)] {
        let put = pumice.feed(&["state", "put", id, "-", "--secure", "--ttl", "1d"], value);
        assert_eq!(put.status, 0, "{put:?}");
    }
    let script = "#!/bin/sh\necho \"$@\"";
    pumice.write(".pumice/payloads/run.sh", script);
    pumice.write(".pumice/payloads/a.zip", crate::payloads::zip(&[("run.sh", script)]));
    pumice.write(".pumice/payloads/a.sql", format!("select '{ENCODED}', '{{{{ vars.x }}}}'"));
    let applied = pumice.run(&["apply", "specs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
    for (id, value) in NAMED {
        let put = pumice.run(&["state", "put", id, value]);
        assert_eq!(put.status, 0, "{put:?}");
        let listed = pumice.run(&["audit", "list", "--limit", "1", "-o", "json"]);
        assert!(listed.out.contains(id) && !listed.out.contains(value), "{listed:?}");
    }
}

#[test]
fn secret_that_goes_through_every_job_stands_nowhere() {
    let pumice = Pumice::new();
    prepare(&pumice);
    let mut server = pumice
        .command(&["serve"])
        .env("PUMICE_LOG", "debug")
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("serve");
    let mut errors = server.stderr.take().expect("stderr");
    let log = std::thread::spawn(move || {
        let mut log = Vec::new();
        errors.read_to_end(&mut log).expect("the log");
        log
    });
    wait_until(|| pumice.run(&["runs", "list", "-o", "json"]).status == 0);
    let mut statuses = BTreeSet::new();
    for id in JOBS {
        let printed = pumice.run(&["dispatch", id, "--wait", "-o", "json"]);
        without_canary(&format!("dispatch {id}"), format!("{}{}", printed.out, printed.err).as_bytes());
        let shown = pumice.run(&["runs", "show", &format!("latest:{id}"), "-o", "json"]).json();
        statuses.insert(format!("{id} {}", shown["runs"][0]["status"].as_str().unwrap_or_default()));
    }
    assert_eq!(statuses.iter().map(String::as_str).collect::<Vec<_>>(), ENDS);
    every_command_masks(&pumice);
    let output = pumice.run(&["runs", "output", "latest:works"]);
    assert_eq!(output.out, "********** *****\n", "{output:?}");
    for job in ["each", "prints"] {
        let output = pumice.run(&["runs", "output", &format!("latest:{job}")]);
        assert!(output.out.ends_with("*****x\n"), "{job}: {output:?}");
    }
    assert!(pumice.run(&["state", "get", "sealed"]).out.contains("*****"), "the action put it");
    let pid = server.id().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().expect("kill").success());
    server.wait().expect("its end");
    let log = log.join().expect("the log");
    assert!(!log.is_empty());
    without_canary("the log", &log);
    assert!(!String::from_utf8_lossy(&log).contains(MARKED));
    let mut found = Vec::new();
    files(&pumice.path().join(".pumice"), &mut found);
    assert!(found.iter().any(|path| path.ends_with("pumice.db")), "{found:?}");
    for path in found {
        without_canary(&path.display().to_string(), &std::fs::read(&path).expect("a file"));
    }
}

#[test]
fn template_that_fails_on_a_secret_does_not_show_it() {
    let pumice = Pumice::new();
    let put = pumice.run(&["state", "put", "hidden", STATE, "--secure"]);
    assert_eq!(put.status, 0, "{put:?}");
    for template in [
        "{{ state.hidden + 1 }}",
        "{{ state.hidden.nothing.at }}",
        "{{ state[state.hidden] }}",
        "{{ state.hidden | int(state.hidden) + 1 }}",
    ] {
        let spec = json!({ "job_id": "t", "type": "cmd", "worker": "core", "enabled": true, "payload": format!("echo \"{template}\""), "state": { "hidden": "" } });
        pumice.write("t.json", spec.to_string());
        assert_eq!(pumice.run(&["apply", "t.json"]).status, 0);
        for format in ["table", "json"] {
            let printed = pumice.run(&["render", "t", "-o", format]);
            without_canary(template, format!("{}{}", printed.out, printed.err).as_bytes());
        }
    }
}

#[test]
fn request_with_a_secret_is_refused_and_spec_with_one_warned_of() {
    let pumice = Pumice::new();
    assert_eq!(pumice.feed(&["secrets", "set", "s"], SECRET).status, 0);
    let spec = json!({ "job_id": "a", "type": "log", "worker": "core", "enabled": true, "payload": null, "description": format!("with {SECRET}") });
    pumice.write("a.json", spec.to_string());
    let applied = pumice.run(&["apply", "a.json"]);
    assert!(applied.status == 0 && applied.err.contains("[secret-in-spec]"), "{applied:?}");
    let refused = pumice.run(&["dispatch", "a", "-g", &format!("x={SECRET}")]);
    assert!(
        refused.status == 2 && refused.err.contains("have a secret, and records must not"),
        "{refused:?}"
    );
    without_canary("what it says", format!("{}{}", refused.out, refused.err).as_bytes());
}
