//! E-mail of the whole program, with a mail server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Longest time that a test waits for an e-mail.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "mail-canary-password";

fn place(variable: &str) -> PathBuf {
    let named = std::env::var_os(variable);
    named.map(PathBuf::from).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"))
}

/// A mail server; it ends when this is dropped.
struct MailServer {
    child: Child,
    port: u64,
    kept: Receiver<Value>,
}

impl MailServer {
    fn start(folder: &Path, mode: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/standins/mail_server.py");
        let python = place("PUMICE_STANDINS").join("mail/bin/python");
        let mut command = Command::new(python);
        command
            .args([script, &folder.display().to_string(), mode])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("an output")).lines();
        let (sender, kept) = channel::<Value>();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("JSON"));
            }
        });
        let port = kept.recv_timeout(PATIENCE).expect("it listens")["port"].as_u64().expect("a port");
        Self { child, port, kept }
    }

    fn next(&self) -> Value {
        self.kept.recv_timeout(PATIENCE).expect("an e-mail")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A realm in a folder whose jobs send e-mail.
struct World {
    folder: tempfile::TempDir,
    server: MailServer,
}

impl World {
    fn new(mode: &str, connection: Value, to: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = MailServer::start(folder.path(), mode);
        let mut mail = json!({ "conn_id": "mail", "type": "email", "enabled": true, "host": "localhost",
            "port": server.port, "from": "Lava <lava@example.com>" });
        mail.as_object_mut().expect("an object").extend(connection.as_object().expect("an object").clone());
        let job = json!({ "job_id": "load", "type": "cmd", "worker": "core", "enabled": true,
            "payload": "sh -c 'echo printed; echo broken >&2; exit 3'",
            "on_fail": [{ "action": "email", "email_conn": "mail", "to": to, "subject": "{{ job.job_id }} fäiled",
                "message": "{{ result.reason }}", "attachments": ["{{ result.error_data.output[0].stdout }}"] }] });
        std::fs::write(folder.path().join("specs.json"), json!([mail, job]).to_string()).expect("written");
        let world = Self { folder, server };
        let set = world.run(&["secrets", "set", "mail-password", "--file", "password"]);
        assert!(set.status.success(), "{set:?}");
        let applied = world.run(&["apply", "specs.json"]);
        assert!(applied.status.success(), "{applied:?}");
        world
    }

    fn run(&self, arguments: &[&str]) -> Output {
        std::fs::write(self.folder.path().join("password"), PASSWORD).expect("written");
        let mut command = Command::new(place("PUMICE_COMMAND"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.output().expect("it runs")
    }

    /// Runs the job, and gives what its record says of its action: nothing where that went well.
    fn dispatched(&self) -> String {
        let mut server = Command::new(place("PUMICE_COMMAND"))
            .arg("serve")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it serves");
        let ran = self.run(&["dispatch", "load", "--wait", "-o", "json"]);
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        let begun = std::time::Instant::now();
        let log = loop {
            let shown = self.run(&["runs", "show", "latest", "-o", "json"]);
            let shown = String::from_utf8(shown.stdout).expect("text");
            let shown: Value = serde_json::from_str(&shown).expect("JSON");
            // The duties are done when the record has no due time.
            let is_done = shown["runs"][0]["due_at"].is_null() && shown["runs"][0]["status"] == "failed";
            if is_done || begun.elapsed() > PATIENCE {
                break shown["runs"][0]["log"].to_string();
            }
        };
        let _ = server.kill();
        let _ = server.wait();
        log
    }

    fn tested(&self) -> Value {
        let tested = self.run(&["connections", "test", "mail", "-o", "json"]);
        let told = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(!told.contains(PASSWORD), "{told}");
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {tested:?}"))
    }
}

fn login(more: Value) -> Value {
    let mut login = json!({ "user": "lava", "password": "mail-password" });
    login.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    login
}

#[test]
fn email_of_a_failed_run_arrives_with_its_output() {
    let world = World::new("plain", json!({}), json!(["ann@example.com", "bob@example.com"]));
    assert_eq!(world.tested()["works"], true);
    let log = world.dispatched();
    assert!(!log.contains("action_failed"), "{log}");
    let kept = world.server.next();
    assert_eq!(kept["from"], "lava@example.com");
    assert_eq!(kept["to"], json!(["ann@example.com", "bob@example.com"]));
    let text = kept["text"].as_str().expect("a text");
    for part in [
        "Subject: load =?utf-8?",
        "From: \"Lava\" <lava@example.com>",
        "exit status 3: broken",
        "filename=\"stdout\"",
        "printed",
    ] {
        let plain = part.replace("\"Lava\"", "Lava");
        assert!(text.contains(part) || text.contains(&plain), "{part}: {text}");
    }
}

#[test]
fn server_that_wants_a_login_gets_it_encrypted_or_not() {
    for (mode, more, encrypted) in
        [("login", json!({}), false), ("starttls", json!({ "tls": true, "ca_cert": "ca.pem" }), true)]
    {
        let mut more = more;
        let world = World::new(mode, login(json!({})), json!("ann@example.com"));
        if let Some(ca_cert) = more.get_mut("ca_cert") {
            *ca_cert = world.folder.path().join("ca.pem").display().to_string().into();
            let spec = world.folder.path().join("specs.json");
            let mut specs: Value =
                serde_json::from_str(&std::fs::read_to_string(&spec).expect("specs")).expect("JSON");
            specs[0].as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            std::fs::write(&spec, specs.to_string()).expect("written");
            assert!(world.run(&["apply", "specs.json"]).status.success());
        }
        let tested = world.tested();
        assert_eq!(tested["works"], true, "{mode}: {tested}");
        assert!(tested["tried"].as_str().expect("a text").contains("took the login of lava"), "{tested}");
        let log = world.dispatched();
        assert!(!log.contains("action_failed"), "{mode}: {log}");
        let kept = world.server.next();
        assert_eq!((&kept["login"], &kept["encrypted"]), (&json!(true), &json!(encrypted)), "{mode}");
    }
}

#[test]
fn server_that_refuses_is_named_in_the_record() {
    for (mode, connection, to, wanted) in [
        (
            "plain",
            json!({}),
            json!("nobody@example.com"),
            "takes it for no recipient: nobody@example.com: 550 5.1.1 no such user here",
        ),
        ("plain", json!({}), json!("nobody@example.com, ann@example.com"), "took it for 1 of 2 recipients"),
        ("plain", json!({ "tls": true }), json!("ann@example.com"), "STARTTLS is not supported"),
        ("login", json!({}), json!("ann@example.com"), "530 5.7.0 Authentication required"),
        (
            "login",
            json!({ "user": "eve", "password": "mail-password" }),
            json!("ann@example.com"),
            "refuses the login: 535 5.7.8",
        ),
        ("starttls", json!({}), json!("ann@example.com"), "give the connection `tls: true`"),
        (
            "starttls",
            json!({ "tls": true }),
            json!("ann@example.com"),
            "invalid peer certificate: UnknownIssuer",
        ),
    ] {
        let world = World::new(mode, connection, to);
        let log = world.dispatched();
        assert!(log.contains("action_failed") && log.contains(wanted), "{mode} {wanted}: {log}");
        assert!(!log.contains(PASSWORD), "{log}");
    }
}
