//! Notices by e-mail and Slack, and tests of their connections, with servers that the tests start.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice};
use crate::web::{OK, Server};

/// Longest time that a test waits for an e-mail.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mail server that takes every e-mail, but for the login of `eve`.
pub(crate) struct MailServer {
    address: SocketAddr,
    given: Receiver<String>,
}

impl MailServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, given) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let text = served(&stream.expect("a connection"));
                if text.contains("\nDATA\n") {
                    let _ = sender.send(text);
                }
            }
        });
        Self { address, given }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn next(&self) -> String {
        self.given.recv_timeout(PATIENCE).expect("an e-mail")
    }
}

/// Serves one connection; gives the input.
fn served(stream: &TcpStream) -> String {
    let mut answers = stream;
    let mut say = |text: &str| answers.write_all(text.as_bytes()).unwrap_or_default();
    let (mut all, mut is_data) = (String::new(), false);
    say("220 test\r\n");
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        all.push_str(&line);
        all.push('\n');
        match line.split([' ', ':']).next().unwrap_or_default() {
            _ if is_data && line != "." => continue,
            "EHLO" => say("250-test\r\n250 AUTH PLAIN\r\n"),
            "AUTH" if line.contains("AGV2ZQ") => say("535 no\r\n"),
            "AUTH" => say("235 yes\r\n"),
            "DATA" => say("354 go on\r\n"),
            "QUIT" => say("221 bye\r\n"),
            _ => say("250 ok\r\n"),
        }
        is_data = line == "DATA";
    }
    all
}

/// The block of the guide that has a text.
fn block(text: &str) -> String {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let mut blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(text)).expect("a block").to_owned()
}

fn ran(pumice: &Pumice, job: &str, secret: (&str, &str)) -> Printed {
    let mut command = pumice.command(&["run", "--jobs", "specs.yaml", job, "-o", "json"]);
    command.env(secret.0, secret.1);
    Printed::from(command.output().expect("it runs"))
}

#[test]
fn email_of_the_guide_is_sent_when_its_job_fails() {
    let (pumice, server) = (Pumice::new(), MailServer::start());
    let block = block("action: email");
    pumice.write("guide.yaml", block.clone());
    assert_eq!(pumice.run(&["check", "guide.yaml"]).status, 0);
    let near = block.replace("smtp.example.com", "127.0.0.1").replace("tls: true", "tls: false");
    pumice.write("specs.yaml", near.replace("port: 587", &format!("port: {}", server.port())));
    let printed = ran(&pumice, "orders/report", ("PUMICE_SECRET_VALUE_LAVA_MAIL_PASSWORD", "mail-canary-4"));
    assert_eq!(printed.run_of("orders/report")["status"], "failed", "{printed:?}");
    assert!(!printed.out.contains("action_failed") && !printed.err.contains("action"), "{printed:?}");
    let email = server.next();
    for part in [
        "RCPT TO:<ops@example.com>",
        "Subject: orders/report failed",
        "exit status 3, says run",
        "no orders today",
    ] {
        assert!(email.contains(part), "{part}: {email}");
    }
}

#[test]
fn slack_message_of_the_guide_is_posted_when_its_job_fails() {
    let (pumice, server) = (Pumice::new(), Server::start(&[OK]));
    pumice.write("specs.yaml", block("action: slack"));
    assert_eq!(pumice.run(&["check", "specs.yaml"]).status, 0);
    let url = server.url("/services/canary-of-slack");
    let printed = ran(&pumice, "orders/watch", ("PUMICE_SECRET_VALUE_LAVA_CHAT_URL", &url));
    assert_eq!(printed.run_of("orders/watch")["status"], "failed", "{printed:?}");
    assert!(!printed.out.contains("canary-of") && !printed.err.contains("canary-of"), "{printed:?}");
    let request = server.next();
    assert!(request.starts_with("POST /services/canary-of-slack HTTP/1.1\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let head = body["blocks"][0]["text"]["text"].as_str().expect("a text");
    assert!(
        head.starts_with("<!here>\n*From*: lava@") && head.ends_with("\n*Subject*: orders/watch failed"),
        "{head}"
    );
    assert_eq!(body["blocks"][2]["text"]["text"], "exit status 3: no orders today");
}

#[test]
fn notice_to_the_metadata_service_is_refused() {
    let pumice = Pumice::new();
    let job = |id: &str, action: Value| json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "false", "on_fail": [action] });
    let specs = json!([
        { "conn_id": "mail", "type": "email", "enabled": true, "host": "169.254.169.254", "from": "a@b.c" },
        { "conn_id": "chat", "type": "slack", "enabled": true, "webhook_url": "/chat" },
        job("mails", json!({ "action": "email", "email_conn": "mail", "to": "a@b.c", "subject": "s", "message": "m" })),
        job("posts", json!({ "action": "slack", "slack_conn": "chat", "message": "m" })),
    ]);
    pumice.write("specs.yaml", specs.to_string());
    for id in ["mails", "posts"] {
        let printed = ran(&pumice, id, ("PUMICE_SECRET_VALUE_CHAT", "http://169.254.169.254/x"));
        assert!(
            printed.out.contains("is not called") || printed.err.contains("is not called"),
            "{printed:?}"
        );
    }
}

#[test]
fn fields_of_notices_are_checked_one_by_one() {
    let pumice = Pumice::new();
    let email = json!({ "action": "email", "to": "a@b.c", "subject": "s", "message": "m" });
    let slack = json!({ "action": "slack", "slack_conn": "c", "message": "m" });
    let many = vec!["a@b.c"; 51];
    for (base, change, wanted) in [
        (&email, json!({ "to": null }), "to"),
        (&email, json!({ "to": 5 }), "to"),
        (&email, json!({ "to": [] }), "1 to 50 recipients, not 0"),
        (&email, json!({ "to": many }), "1 to 50 recipients, not 51"),
        (&email, json!({ "to": "ann" }), "\"ann\" is not an e-mail address: it has no @"),
        (&email, json!({ "to": ["a@b.c", "bob"] }), "on_fail[0].to[1]"),
        (&email, json!({ "from": "me" }), "\"me\" is not an e-mail address"),
        (&email, json!({ "subject": "" }), "subject"),
        (&email, json!({ "message": ["m"] }), "message"),
        (&email, json!({ "attachments": "a" }), "attachments"),
        (&email, json!({ "email_conn": "" }), "email_conn"),
        (&email, json!({ "cc": "a@b.c" }), "cc"),
        (&slack, json!({ "slack_conn": null }), "slack_conn"),
        (&slack, json!({ "message": "" }), "message"),
        (&slack, json!({ "style": "loud" }), "style"),
        (&slack, json!({ "colour": 5 }), "colour"),
        (&slack, json!({ "color": "red" }), "did you mean \"colour\""),
    ] {
        let mut action = base.clone();
        action.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let job =
            json!({ "job_id": "j", "type": "log", "worker": "w", "payload": null, "on_fail": [action] });
        pumice.write("job.json", job.to_string());
        let checked = pumice.run(&["check", "job.json"]);
        assert_eq!(checked.status, 2, "{change}: {checked:?}");
        assert!(checked.err.contains("on_fail[0]") && checked.err.contains(wanted), "{change}: {checked:?}");
    }
    for (action, is_warned) in [(&email, false), (&slack, true)] {
        let job =
            json!({ "job_id": "j", "type": "log", "worker": "w", "payload": null, "on_fail": [action] });
        pumice.write("job.json", job.to_string());
        let applied = pumice.run(&["apply", "job.json"]);
        assert_eq!(applied.status, 0, "{applied:?}");
        assert_eq!(applied.err.contains("[unknown-connection]"), is_warned, "{applied:?}");
    }
}

#[test]
fn connections_are_tested_and_say_what_was_tried() {
    let (pumice, mail, web) = (Pumice::new(), MailServer::start(), Server::start(&[OK, OK, OK]));
    let login = |user: &str| {
        json!({ "conn_id": user, "type": "email", "enabled": true, "host": "127.0.0.1", "port": mail.port(),
            "user": user, "password": "/key", "from": "lava@example.com" })
    };
    let specs = json!([
        login("ann"),
        login("eve"),
        { "conn_id": "chat", "type": "slack", "enabled": true, "webhook_url": web.url("/services/canary-5") },
        { "conn_id": "hook", "type": "webhook", "enabled": true, "url": web.url("/hook"), "secret": "/key" },
        { "conn_id": "down", "type": "webhook", "enabled": true, "url": "http://127.0.0.1:1/hook" },
        { "conn_id": "lite", "type": "sqlite3", "enabled": true, "host": "/none/x.db" },
        { "conn_id": "values", "type": "generic", "enabled": true, "attributes": { "a": { "type": "ssm", "parameter": "/key" } } },
        { "conn_id": "lost", "type": "generic", "enabled": true, "attributes": { "a": { "type": "ssm", "parameter": "/gone" } } },
        { "conn_id": "off", "type": "generic", "attributes": {} },
        { "conn_id": "box", "type": "ssh", "enabled": true, "ssh_key": "/key" },
    ]);
    pumice.write("specs.json", specs.to_string());
    assert_eq!(pumice.run(&["apply", "specs.json"]).status, 0);
    assert_eq!(pumice.feed(&["secrets", "set", "/key"], "canary-of-a-key-8").status, 0);
    for (arguments, works, wanted) in [
        (vec!["ann"], true, "greeted, took the login of ann; nothing was sent"),
        (vec!["eve"], false, "refuses the login: 535 no"),
        (vec!["ann", "--send"], false, "give --target"),
        (vec!["ann", "--send", "--target", "bob@example.com"], true, "an e-mail to bob@example.com"),
        (vec!["chat"], true, "HEAD http://127.0.0.1"),
        (vec!["chat", "--send"], true, "a message to the channel"),
        (vec!["hook", "--send"], true, "a POST of a test"),
        (vec!["down"], false, "cannot connect to http://127.0.0.1:1"),
        (vec!["lite"], false, "there is no file /none/x.db"),
        (vec!["values"], true, "its 1 values"),
        (vec!["lost"], false, "/gone"),
        (vec!["off"], false, "connection \"off\" is not enabled"),
        (vec!["box", "--target", "-oProxyCommand=x"], false, "is not a host"),
    ] {
        let mut all = vec!["connections", "test"];
        // A target may look like an option.
        let target = arguments.iter().position(|one| *one == "--target");
        let joined = target.map(|at| format!("--target={}", arguments[at + 1]));
        all.extend(arguments.iter().take(target.unwrap_or(arguments.len())));
        all.extend(joined.as_deref());
        let printed = pumice.run(&all);
        assert_eq!(printed.status, i32::from(!works), "{arguments:?}: {printed:?}");
        assert!(printed.out.contains(wanted), "{arguments:?} {wanted}: {printed:?}");
        assert!(!printed.out.contains("canary") && !printed.err.contains("canary"), "{printed:?}");
    }
    assert!(mail.next().contains("RCPT TO:<bob@example.com>"));
    assert!(web.next().starts_with("HEAD / HTTP/1.1\r\n"));
    assert!(web.next().starts_with("POST /services/canary-5 HTTP/1.1\r\n"));
    let hook = web.next();
    assert!(
        hook.starts_with("POST /hook HTTP/1.1\r\n") && hook.contains("x-hub-signature-256: sha256="),
        "{hook}"
    );
    let gone = pumice.run(&["connections", "test", "ch"]);
    assert!(gone.status == 2 && gone.err.contains("no such connection ch"), "{gone:?}");
}

#[cfg(feature = "sql")]
#[test]
fn sql_of_the_guide_leaves_the_rows_that_it_says() {
    let pumice = Pumice::new();
    let guide = block("type: sqli");
    let database = pumice.path().join("orders.db").display().to_string();
    let show = "---\njob_id: show\ntype: cmd\nworker: core\nenabled: true\npayload: cat 1.0.out\n---\njob_id: both\ntype: chain\nworker: core\nenabled: true\npayload: [orders/totals, show]\n";
    pumice.write("specs.yaml", guide.replace("/tmp/orders.db", &database) + show);
    let printed = pumice.run(&["run", "--jobs", "specs.yaml", "both"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(
        printed.err.contains("show | region|total\n") && printed.err.contains("show | apac|11.5\n"),
        "{printed:?}"
    );
    // The job of the section on `sql` reads what that one has left.
    let part = |text: &str, fence: &str| {
        text.split(fence).nth(1).and_then(|rest| rest.split("```").next()).map(str::to_owned)
    };
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let section = guide.split("### sql\n").nth(1).expect("a section");
    let [job, file] = ["```yaml\n", "```sql\n"].map(|fence| part(section, fence).expect("an example"));
    pumice.write("payloads/orders/regions.sql", file);
    let show = "---\njob_id: show\ntype: cmd\nworker: core\nenabled: true\npayload: cat regions.sql.0.out regions.sql.1.out\n---\njob_id: both\ntype: chain\nworker: core\nenabled: true\npayload: [orders/regions, show]\n";
    let lite = json!({ "conn_id": "lite", "type": "sqlite3", "enabled": true, "host": database });
    pumice.write("specs.yaml", format!("{job}---\n{lite}\n{show}"));
    let printed = pumice.run(&["run", "--jobs", "specs.yaml", "--payloads", "payloads", "both"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(printed.err.contains("show | apac\nshow | 3\n"), "{printed:?}");
}
