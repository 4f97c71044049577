//! Stopping a server is not a crash: nothing is counted, and nothing is lost.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::pumice::{Pumice, Server, shell, wait_until};

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

fn dispatched(pumice: &Pumice, job: &str) -> String {
    let accepted = pumice.run(&["dispatch", job, "-o", "json"]).json();
    accepted["accepted"][0]["run_id"].as_str().expect("an id").to_owned()
}

fn runs(pumice: &Pumice, run: &str) -> Vec<Value> {
    pumice.run(&["runs", "show", run, "-o", "json"]).json()["runs"].as_array().expect("runs").clone()
}

/// A script that takes long the first time, and ends well the second.
fn once_more(folder: &str, name: &str) -> String {
    format!("echo x >> {folder}/{name}; test $(wc -l < {folder}/{name}) = 2 || sleep 100")
}

#[test]
fn attempt_stopped_with_its_server_is_repeated_and_not_counted() {
    for signals in [&["TERM"][..], &["INT", "INT"], &["TERM", "TERM"]] {
        let pumice = Pumice::new();
        let folder = pumice.path().display().to_string();
        let mut spec = shell("a", &once_more(&folder, "tries"));
        // Neither of these limits has room for a crash.
        spec["max_tries"] = 1.into();
        spec["on_fail"] = json!([{ "action": "log", "message": "failed" }]);
        let chain =
            json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["a"] });
        apply(&pumice, &json!([spec, chain]));
        for job in ["a", "c"] {
            let _ = std::fs::remove_file(pumice.path().join("tries"));
            // Asked twice, it does not wait for the time that it may take.
            let drain = if signals.len() > 1 { "100s" } else { "0.2s" };
            let server = pumice.serve_with(&["--drain", drain]);
            let run = dispatched(&pumice, job);
            wait_until(|| pumice.path().join("tries").exists());
            server.signal(signals[0]);
            // A signal that comes before the one before it was seen is one with it.
            assert_eq!(if signals.len() > 1 { server.end_by(signals[1]) } else { server.end() }, 0);
            let stopped = runs(&pumice, &run);
            assert!(stopped.iter().all(|run| run["status"] == "waiting"), "{stopped:#?}");
            let again = pumice.serve();
            let status = || runs(&pumice, &run)[0]["status"].as_str().unwrap_or_default().to_owned();
            wait_until(|| !["waiting", "running"].contains(&status().as_str()));
            let ended = runs(&pumice, &run);
            assert!(
                ended.iter().all(|run| run["status"] == "complete" && run["iteration"] == 1),
                "{ended:#?}"
            );
            assert!(!json!(ended).to_string().contains("was lost"), "{ended:#?}");
            again.signal("TERM");
            assert_eq!(again.end(), 0);
        }
    }
}

#[test]
fn chain_rests_at_its_next_step_when_its_server_drains() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    let first = shell(
        "first",
        &format!("touch {folder}/begun; while ! test -e {folder}/go; do sleep 0.02; done; echo 1"),
    );
    let second = shell("second", "echo 2");
    let chain = json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["first", "second"] });
    apply(&pumice, &json!([first, second, chain]));
    let server = pumice.serve_with(&["--drain", "60s"]);
    let run = dispatched(&pumice, "c");
    wait_until(|| pumice.path().join("begun").exists());
    server.signal("TERM");
    // A request from now on is for the next server.
    let other = dispatched(&pumice, "second");
    pumice.write("go", "");
    assert_eq!(server.end(), 0);
    let statuses = |run: &str| runs(&pumice, run).iter().map(|run| run["status"].clone()).collect::<Vec<_>>();
    assert_eq!(statuses(&run), ["waiting", "complete"]);
    assert_eq!(statuses(&other), ["dispatched"]);
    let _again = pumice.serve();
    wait_until(|| statuses(&run) == ["complete", "complete", "complete"] && statuses(&other) == ["complete"]);
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "1\n2\n");
}

#[test]
fn server_that_is_stopping_is_reported_by_what_looks_at_it() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    let long =
        shell("long", &format!("touch {folder}/begun; while ! test -e {folder}/go; do sleep 0.02; done"));
    let mut other = shell("other", "true");
    other["worker"] = "idle".into();
    apply(&pumice, &json!([long, other]));
    let server = pumice.serve_with(&["--drain", "60s"]);
    dispatched(&pumice, "long");
    wait_until(|| pumice.path().join("begun").exists());
    let said = |words: &[&str]| pumice.run(words).out;
    assert!(!said(&["workers", "list"]).contains("stopping") && !said(&["doctor"]).contains("stopping"));
    server.signal("TERM");
    let run = dispatched(&pumice, "other");
    let is_stopping = "the server of this folder is stopping since ";
    wait_until(|| said(&["runs", "why", &run]).contains(is_stopping));
    let why = said(&["runs", "why", &run]);
    assert!(why.trim_end().ends_with("and begins nothing more; `pumice serve` runs it after that"), "{why}");
    let listed = said(&["workers", "list"]);
    assert!(listed.contains("stopping") && listed.contains("the server is stopping since"), "{listed}");
    let workers = pumice.run(&["workers", "list", "-o", "json"]).json();
    assert!(workers["served"] == true && workers["stopping"].is_string(), "{workers:#}");
    let doctor = pumice.run(&["doctor", "-o", "json"]).json();
    let check = doctor["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "server");
    let check = check.expect("the server");
    assert_eq!(check["finding"], "warning", "{check:#}");
    assert!(check["says"].as_str().is_some_and(|says| says.contains("is stopping since ")), "{check:#}");
    pumice.write("go", "");
    assert_eq!(server.end(), 0);
    let why = said(&["runs", "why", &run]);
    assert!(why.contains("nothing serves this folder") && !why.contains("stopping"), "{why}");
    // The note was about that server.
    let _again = pumice.serve();
    wait_until(|| said(&["runs", "why", &run]).starts_with("complete"));
    assert_eq!(pumice.run(&["workers", "list", "-o", "json"]).json()["stopping"], Value::Null);
}

#[test]
fn server_that_stalls_longer_than_its_lease_keeps_its_runs() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    apply(
        &pumice,
        &shell("a", &format!("echo x >> {folder}/tries; while ! test -e {folder}/go; do sleep 0.02; done")),
    );
    let server = pumice.serve();
    let run = dispatched(&pumice, "a");
    wait_until(|| pumice.path().join("tries").exists());
    // As long ago as if the server had stood still: its claim and the time of the next look are over.
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("the store");
    store.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    let (record, key): (String, String) = store
        .query_row("SELECT record, key FROM runs", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a record");
    let mut record: Value = serde_json::from_str(&record).expect("JSON");
    let long_ago = record["lease"]["until"].as_i64().expect("a time") - 1_000_000 * 3_600;
    record["lease"]["until"] = long_ago.into();
    record["due_at"] = long_ago.into();
    let rev = record["rev"].as_i64().expect("a number");
    record["rev"] = (rev + 1).into();
    let changed = store
        .execute(
            "UPDATE runs SET record = ?, rev = ?, due_at = ? WHERE key = ? AND rev = ?",
            rusqlite::params![record.to_string(), rev + 1, long_ago, key, rev],
        )
        .expect("written");
    assert_eq!(changed, 1);
    let due = || {
        store.query_row("SELECT due_at FROM runs", [], |row| row.get::<_, Option<i64>>(0)).expect("a record")
    };
    // The sweeper has looked, and its message was dealt with: only that of the command itself is left.
    wait_until(|| due() != Some(long_ago));
    wait_until(|| {
        store.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).expect("a count")
            <= 1
    });
    pumice.write("go", "");
    wait_until(|| runs(&pumice, &run)[0]["status"] == "complete");
    assert_eq!(std::fs::read_to_string(pumice.path().join("tries")).expect("tries"), "x\n");
    assert!(!json!(runs(&pumice, &run)).to_string().contains("was lost"));
    drop(server);
}

#[test]
fn server_that_was_started_with_nohup_survives_a_hangup() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let serve = pumice.command(&["serve"]);
    let mut command = std::process::Command::new("nohup");
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(pumice.path());
    let child: Child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("serve");
    let server = Server(child);
    let run = dispatched(&pumice, "a");
    wait_until(|| runs(&pumice, &run)[0]["status"] == "complete");
    server.signal("HUP");
    let run = dispatched(&pumice, "a");
    wait_until(|| runs(&pumice, &run)[0]["status"] == "complete");
    server.signal("TERM");
    assert_eq!(server.end(), 0);
}

#[test]
fn supervisor_is_notified_of_the_server_start_and_end() {
    let pumice = Pumice::new();
    let path = pumice.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    let child =
        pumice.command(&["serve"]).env("NOTIFY_SOCKET", &path).stderr(Stdio::null()).spawn().expect("serve");
    let server = Server(child);
    let notified = |wanted: &str| {
        let mut buffer = [0; 100];
        loop {
            let count = socket.recv(&mut buffer).expect("a message");
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
            assert!(text.contains("WATCHDOG=1"), "{text}");
        }
    };
    notified("READY=1");
    notified("WATCHDOG=1");
    server.signal("TERM");
    notified("STOPPING=1");
    assert_eq!(server.end(), 0);
}

#[test]
fn server_that_is_asked_to_stop_as_soon_as_it_serves_ends_well() {
    let pumice = Pumice::new();
    for _ in 0..5 {
        let server = pumice.serve();
        server.signal("TERM");
        assert_eq!(server.end(), 0);
    }
}

#[test]
fn command_that_ended_while_its_server_stood_still_has_ended() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    let job = |id: &str, end: &str| {
        let mut job =
            shell(id, &format!("echo x >> {folder}/{id}; sleep 1.5; echo y >> {folder}/{id}; exit {end}"));
        job["timeout"] = "3s".into();
        job
    };
    apply(&pumice, &json!([job("well", "0"), job("badly", "3")]));
    let server = pumice.serve();
    let asked = [dispatched(&pumice, "well"), dispatched(&pumice, "badly")];
    let lines =
        |id: &str| std::fs::read_to_string(pumice.path().join(id)).unwrap_or_default().lines().count();
    wait_until(|| lines("well") == 1 && lines("badly") == 1);
    server.signal("STOP");
    wait_until(|| lines("well") == 2 && lines("badly") == 2);
    // Until their time is up, as far as the server knows.
    std::thread::sleep(std::time::Duration::from_secs(4));
    server.signal("CONT");
    let ended = |run: &str| {
        wait_until(|| runs(&pumice, run)[0]["status"] != "running");
        runs(&pumice, run)[0].clone()
    };
    let [well, badly] = asked.map(|run| ended(&run));
    assert_eq!(well["status"], "complete", "{well:#}");
    assert_eq!(badly["reason"], "exit status 3", "{badly:#}");
    assert_eq!((lines("well"), lines("badly")), (2, 2));
}
