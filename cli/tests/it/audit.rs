//! The audit: each act leaves an entry, a dry run none, and secrets are in no entry.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

/// The entries that a filter means, the newest first.
fn entries(pumice: &Pumice, filter: &str) -> Vec<Value> {
    let listed = pumice.run(&["audit", "list", "--where", filter, "-o", "json"]).json();
    listed["entries"].as_array().expect("entries").clone()
}

/// Acts and outcomes, the oldest first.
fn acts(pumice: &Pumice) -> Vec<String> {
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let summary = |entry: &Value| format!("{} {}", word(entry, "act"), word(entry, "outcome"));
    entries(pumice, "").iter().rev().map(summary).collect()
}

#[test]
fn act_leaves_an_entry_and_a_dry_run_none() {
    let pumice = Pumice::new();
    pumice.write("a.json", shell("etl/a", "true").to_string());
    assert_eq!(pumice.run(&["apply", "a.json"]).status, 0);
    pumice.write("a.json", shell("etl/a", "false").to_string());
    for arguments in [
        &["apply", "--dry-run", "a.json"][..],
        &["apply", "a.json"],
        &["jobs", "pause", "etl/*", "--dry-run"],
        &["jobs", "pause", "etl/*", "--why", "new disk"],
        &["runs", "cancel", "--where", "job:etl/*", "--dry-run"],
        &["jobs", "list"],
        &["audit", "list"],
        &["dispatch", "etl/a"],
        &["dispatch", "etl/none"],
        &["state", "put", "x", "1"],
        &["jobs", "delete", "etl/a"],
    ] {
        let printed = pumice.run(arguments);
        assert!(printed.status == 0 || arguments[1] == "etl/none", "{arguments:?}: {printed:?}");
    }
    let wanted = [
        "apply done",
        "apply done",
        "jobs pause done",
        "dispatch done",
        "dispatch refused",
        "state put done",
        "jobs delete done",
    ];
    assert_eq!(acts(&pumice), wanted);
    let user = std::process::Command::new("id").arg("-un").output().expect("id").stdout;
    let user = String::from_utf8(user).expect("UTF-8").trim().to_owned();
    let applied = entries(&pumice, "act:apply");
    let changes = applied[0]["changes"].as_array().expect("changes");
    let wanted = json!({ "of": { "kind": "job", "name": "etl/a" }, "field": "parameters.args[0]",
        "before": "true", "after": "false" });
    assert_eq!((changes.len(), &changes[0]), (1, &wanted));
    assert!(applied[0]["who"].as_str().is_some_and(|who| who.starts_with(&user)), "{}", applied[0]);
    assert_eq!(applied[0]["from"], "cli");
    let deleted = &entries(&pumice, "act:\"jobs delete\" what:job:etl/a")[0];
    assert!(deleted["changes"].as_array().is_some_and(|all| all.iter().any(|one| one["field"] == "payload")));
    // The table fits, and an entry is found by its beginning.
    let id: String = deleted["id"].as_str().expect("an id").chars().take(13).collect();
    let table = pumice.run(&["audit", "list"]);
    assert!(table.out.contains(&id) && table.out.contains("refused"), "{}", table.out);
    let shown = pumice.run(&["audit", "show", &id]);
    assert!(shown.out.starts_with("jobs delete by "), "{shown:?}");
    assert!(shown.out.contains("job etl/a:\n") && shown.out.contains("  - payload: "), "{}", shown.out);
}

/// The value of a field that is named like a secret is in no entry, whichever part of it would have it.
#[test]
fn value_named_as_a_secret_is_in_no_entry() {
    let pumice = Pumice::new();
    let job = |value: &str| {
        let mut job = shell("etl/a", "true");
        job["parameters"]["env"] = json!({ "DB_PASSWORD": value, "MODE": value });
        job["globals"] = json!({ "settings": [{ "name": "api_key", "value": value }] });
        pumice.write("a.json", job.to_string());
        assert_eq!(pumice.run(&["apply", "a.json"]).status, 0);
    };
    job("plain-1");
    job("plain-2");
    for arguments in [
        &["dispatch", "etl/a", "-g", "password=hunter2", "-g", "day=monday"][..],
        &["dispatch", "etl/a", "-p", "args:=[\"load --token=hunter2\"]"],
        &["dispatch", "etl/none", "-g", "db.passwd=hunter2"],
        &["state", "put", "db_password", "hunter2"],
        &["state", "put", "size", "large"],
    ] {
        pumice.run(arguments);
    }
    let all = entries(&pumice, "");
    assert_eq!(all.len(), 7, "{all:#?}");
    let shown: String = all
        .iter()
        .map(|entry| pumice.run(&["audit", "show", entry["id"].as_str().expect("an id")]).out)
        .collect();
    let text = json!(all).to_string() + &shown;
    assert!(!text.contains("hunter2"), "{text}");
    // All else is there.
    assert!(text.contains("monday") && text.contains("large"), "{text}");
    let changes = &entries(&pumice, "act:apply")[0]["changes"];
    let change = |field: &str, before: &str, after: &str| json!({ "of": { "kind": "job", "name": "etl/a" }, "field": field, "before": before, "after": after });
    let wanted = json!([
        change("globals.settings[0].value", "*****", "*****"),
        change("parameters.env.DB_PASSWORD", "*****", "*****"),
        change("parameters.env.MODE", "plain-1", "plain-2"),
    ]);
    assert_eq!(changes, &wanted);
}

#[test]
fn apply_shows_what_it_changed_and_counts_what_stayed() {
    let pumice = Pumice::new();
    let jobs = |column: &str| {
        let mut edited = shell("etl/edited", "true");
        edited["parameters"]["env"] = json!({ "COLUMN": column, "MODE": "x" });
        let others = (0..20).map(|number| shell(&format!("etl/{number}"), "true"));
        pumice.write("jobs.json", Value::from_iter(others.chain([edited])).to_string());
        assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    };
    jobs("4");
    jobs("5");
    let entry = &entries(&pumice, "act:apply")[0];
    let target = json!({ "kind": "job", "name": "etl/edited" });
    assert_eq!(entry["what"], json!([target]), "{entry:#}");
    assert_eq!(
        entry["changes"],
        json!([{ "of": target, "field": "parameters.env.COLUMN", "before": "4", "after": "5" }])
    );
    assert_eq!(
        (&entry["answer"]["unchanged"], &entry["answer"]["jobs"]),
        (&json!(20), &json!([{ "job_id": "etl/edited", "change": "updated" }]))
    );
    let shown = pumice.run(&["audit", "show", entry["id"].as_str().expect("an id")]).out;
    let lines: Vec<&str> = shown.lines().skip(4).take(6).collect();
    assert_eq!(
        lines,
        [
            "to       job etl/edited",
            "         20 documents stayed as they were",
            "",
            "job etl/edited:",
            "    parameters.env.COLUMN: \"4\" → \"5\"",
            "",
        ],
        "{shown}"
    );
    // One that changes nothing says so.
    jobs("5");
    let entry = &entries(&pumice, "act:apply")[0];
    assert_eq!((&entry["what"], &entry["answer"]["unchanged"]), (&json!([]), &json!(21)), "{entry:#}");
}

#[test]
fn list_goes_on_where_it_ended_and_says_what_is_wrong() {
    let pumice = Pumice::new();
    for number in 0..5 {
        assert_eq!(pumice.run(&["state", "put", &format!("x{number}"), "1"]).status, 0);
    }
    let (mut cursor, mut found) = (None::<String>, Vec::new());
    loop {
        let mut arguments = vec!["audit", "list", "--limit", "2", "-o", "json"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let page = pumice.run(&arguments).json();
        found.extend(
            page["entries"].as_array().expect("entries").iter().map(|one| one["what"][0]["name"].clone()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(found, ["x4", "x3", "x2", "x1", "x0"]);
    for (arguments, why) in [
        (&["audit", "list", "--where", "job:x"][..], "the words are who: act: what:"),
        (&["audit", "list", "--where", "since:1h until:2h"], "no entry can match"),
        (&["audit", "list", "--limit", "0"], "limit: 0 is not from 1 to"),
        (&["audit", "list", "--cursor", "x"], "cursor: \"x\" is not one that a list gave"),
        (&["audit", "show", "x"], "is not the id of an entry"),
        (&["audit", "show", "00000000-0000"], "no entry of the audit has the id"),
    ] {
        let printed = pumice.run(arguments);
        assert!(printed.status == 2 && printed.err.contains(why), "{arguments:?}: {printed:?}");
    }
}

#[test]
fn cancelled_run_says_by_whom_and_why() {
    let pumice = Pumice::new();
    pumice.write("a.json", shell("a", "true").to_string());
    assert_eq!(pumice.run(&["apply", "a.json"]).status, 0);
    assert_eq!(pumice.run(&["dispatch", "a", "a"]).status, 0);
    let latest = pumice.run(&["runs", "cancel", "latest", "--why", "the wrong month"]);
    assert_eq!(latest.status, 0, "{latest:?}");
    let who = entries(&pumice, "act:\"runs cancel\"")[0]["who"].as_str().expect("who").to_owned();
    let why = pumice.run(&["runs", "why", "latest:a"]);
    assert!(why.out.contains("cancelled"), "{why:?}");
    let listed = pumice.run(&["runs", "list", "--where", "status:cancelled", "-o", "json"]).json();
    let wanted = format!("cancelled before it ran, by {who}: the wrong month");
    assert_eq!(listed["runs"][0]["reason"], wanted);
    let many = pumice.run(&["runs", "cancel", "--where", "job:a", "--why", "all of them"]);
    assert_eq!(many.status, 0, "{many:?}");
    let entry = &entries(&pumice, "act:\"runs cancel --where\"")[0];
    assert_eq!((&entry["asked"]["where"], &entry["answer"]["count"]), (&json!("job:a"), &json!(1)));
    assert_eq!(entry["answer"]["receipts"][0]["outcome"], "cancelled");
    let long = "x".repeat(600);
    let refused = pumice.run(&["runs", "cancel", "latest", "--why", &long]);
    assert!(refused.status == 2 && refused.err.contains("why: 600 bytes are more than 512"), "{refused:?}");
}

#[test]
fn secret_is_in_no_entry() {
    const CANARY: &str = "audited-canary-8842";
    let pumice = Pumice::new();
    assert_eq!(pumice.feed(&["secrets", "set", "s"], CANARY).status, 0);
    let sealed = "sealed-canary-8843";
    assert_eq!(pumice.run(&["state", "put", "x", sealed, "--secure"]).status, 0);
    let mut spec = shell("a", "true");
    spec["description"] = format!("with {CANARY}").into();
    // Its name is marked by the same act.
    spec["globals"] = json!({ "first_token": "first-canary-8845" });
    pumice
        .write("a.json", json!([spec, { "realm": "local", "config": { "REDACT": "*token*" } }]).to_string());
    assert_eq!(pumice.run(&["apply", "a.json"]).status, 0);
    assert_eq!(pumice.run(&["dispatch", "a", "-g", "my_token=marked-canary-8844"]).status, 0);
    assert_eq!(pumice.run(&["dispatch", "a", "-g", &format!("x={CANARY}")]).status, 2);
    assert_eq!(pumice.run(&["state", "put", "y", CANARY]).status, 0);
    assert_eq!(pumice.run(&["state", "put", "last_token", "named-canary-8846"]).status, 0);
    assert_eq!(pumice.run(&["jobs", "delete", "a"]).status, 0);
    let database = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("the store");
    let mut statement = database.prepare("SELECT record FROM audit").expect("the audit");
    let records = statement.query_map([], |row| row.get::<_, String>(0)).expect("records");
    let records: Vec<String> = records.map(|record| record.expect("a record")).collect();
    assert!(records.len() >= 8, "{records:?}");
    for record in records {
        assert!(!record.contains("canary"), "{record}");
    }
}

/// A process that is stopped in the midst of an act leaves its entry as it was begun.
#[test]
fn act_whose_process_is_killed_has_its_entry() {
    let pumice = Pumice::new();
    pumice.write("a.json", shell("a", "true").to_string());
    assert_eq!(pumice.run(&["apply", "a.json"]).status, 0);
    // It reads requests until its input ends, which it does not.
    let mut child = pumice
        .command(&["dispatch", "--file", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("dispatch");
    use std::io::Write;
    let mut input = child.stdin.take().expect("an input");
    for _ in 0..20_000 {
        writeln!(input, "a -d 10m").expect("written");
    }
    input.flush().expect("written");
    crate::pumice::wait_until(|| {
        pumice.run(&["runs", "list", "--limit", "1", "-o", "json"]).json()["runs"] != json!([])
    });
    child.kill().expect("killed");
    child.wait().expect("its end");
    let entry = &entries(&pumice, "act:dispatch")[0];
    assert_eq!((&entry["outcome"], &entry["ended"]), (&json!("asked"), &Value::Null));
    assert_eq!(entry["asked"]["file"], "-");
    let id = entry["id"].as_str().expect("an id");
    assert!(pumice.run(&["audit", "show", id]).out.contains("its end is not recorded"));
}

#[test]
fn secret_url_is_masked_and_its_change_shows() {
    let pumice = Pumice::new();
    let connection =
        |url: &str| json!({ "conn_id": "sl", "type": "slack", "enabled": true, "webhook_url": url });
    for url in [
        "https://hooks.slack.com/services/T/B/first-canary",
        "https://hooks.slack.com/services/T/B/other-canary",
    ] {
        pumice.write("c.json", connection(url).to_string());
        let planned = pumice.run(&["plan", "c.json"]);
        assert!(!planned.out.contains("canary"), "{planned:?}");
        assert_eq!(pumice.run(&["apply", "c.json"]).status, 0);
    }
    let shown = pumice.run(&["connections", "show", "sl", "-o", "json"]);
    assert!(shown.out.contains("*****") && !shown.out.contains("canary"), "{shown:?}");
    assert_eq!(pumice.run(&["connections", "delete", "sl"]).status, 0);
    let all = pumice.run(&["audit", "list", "-o", "json"]);
    assert!(!all.out.contains("canary"), "{all:?}");
    let applied = entries(&pumice, "act:apply");
    let masked = json!({ "of": { "kind": "connection", "name": "sl" }, "field": "webhook_url",
        "before": "*****", "after": "*****" });
    assert_eq!(applied[0]["changes"], json!([masked]));
}

/// An act on more things than fit on a line names each of them, and the list says how many there were.
#[test]
fn each_of_many_jobs_is_found_by_its_name() {
    let pumice = Pumice::new();
    let job = |n: usize| json!({ "job_id": format!("big/{n}"), "type": "log", "worker": "core", "enabled": true, "payload": null });
    pumice.write("big.json", json!((0..700).map(job).collect::<Vec<_>>()).to_string());
    pumice.write("one.json", json!([job(0)]).to_string());
    assert_eq!(pumice.run(&["apply", "big.json"]).status, 0);
    assert_eq!(pumice.run(&["apply", "one.json", "--prune", "--scope", "big"]).status, 0);
    let found = pumice.run(&["audit", "list", "--where", "what:job:big/650", "-o", "json"]).json();
    let entries = found["entries"].as_array().expect("entries");
    assert_eq!((entries.len(), &found["unsure"]), (2, &json!(0)), "{found}");
    let list = pumice.run(&["audit", "list"]).out;
    assert!(list.contains("and 698 more") && list.contains("and 699 more"), "{list}");
}
