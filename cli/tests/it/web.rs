//! Jobs and actions that make requests, with a server that the test starts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, wait_until};

/// Longest time that a test waits for a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that gives one answer after the other, and is silent when there is none left.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl Server {
    pub(crate) fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut answers = answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>().into_iter();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let _ = sender.send(request_of(&mut stream));
                match answers.next() {
                    Some(answer) => stream.write_all(answer.as_bytes()).expect("written"),
                    None => {
                        let _ = stream.read(&mut [0]);
                        let _ = sender.send("closed".to_owned());
                    }
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn next(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }
}

fn request_of(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (String::new(), [0; 1024]);
    loop {
        let count = stream.read(&mut piece).expect("a request");
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
            return text;
        }
    }
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn failing(actions: &Value) -> Value {
    json!([{ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "sh -c 'echo broken >&2; exit 3'", "on_fail": actions }])
}

fn http_job(url: &str, parameters: &Value) -> Value {
    json!([{ "job_id": "a", "type": "http", "worker": "core", "enabled": true, "payload": url, "parameters": parameters }])
}

pub(crate) fn body_of(request: &str) -> Value {
    let body = request.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {request}"))
}

#[test]
fn webhook_of_a_failed_run_is_sent_rendered_and_signed() {
    let (pumice, server) = (Pumice::new(), Server::start(&[OK]));
    let action = json!([{
        "action": "webhook", "url": server.url("/hook?from={{ job.job_id }}"), "headers": { "X-Team": "{{ realm.realm }}" },
        "body": { "text": "{{ job.job_id }}: {{ result.reason }}" }, "secret": "chat-key",
    }]);
    pumice.write("jobs.json", failing(&action).to_string());
    let mut command = pumice.command(&["run", "--jobs", "jobs.json", "a", "-o", "json"]);
    command.env("PUMICE_SECRET_VALUE_CHAT_KEY", "s3cr3t-key");
    let printed = crate::pumice::Printed::from(command.output().expect("it runs"));
    let request = server.next();
    assert!(request.starts_with("POST /hook?from=a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-team: "), "{request}");
    assert_eq!(body_of(&request), json!({ "text": "a: exit status 3: broken" }));
    // echo -n '{"text":"a: exit status 3: broken"}' | openssl dgst -sha256 -hmac s3cr3t-key
    assert!(
        request.contains(
            "x-hub-signature-256: sha256=58e3dfd9c8bcbc3a6627856df2243d8bad92aee424eb0ee89b8a99207ba07142"
        ),
        "{request}"
    );
    assert_eq!(printed.run_of("a")["status"], "failed");
    assert!(!printed.out.contains("s3cr3t-key") && !printed.err.contains("s3cr3t-key"), "{printed:?}");
}

/// The messages about failed actions in the log of a run.
fn action_failures(pumice: &Pumice, jobs: &Value) -> String {
    pumice.write("jobs.json", jobs.to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let _server = pumice.serve();
    let asked = pumice.run(&["dispatch", "a", "--wait", "-o", "json"]);
    let run_id = asked.json()["accepted"][0]["run_id"].as_str().expect("a run").to_owned();
    let mut shown = String::new();
    wait_until(|| {
        shown = pumice.run(&["runs", "show", &run_id, "-o", "json"]).out;
        shown.contains("action_failed")
    });
    shown
}

#[test]
fn action_that_fails_tells_why_and_leaves_the_run_as_it_is() {
    for (action, why) in [
        (
            json!({ "action": "webhook", "url": "http://{{ '169.254.169.254' }}/latest" }),
            "on_fail[0] webhook: http://169.254.169.254 is not called",
        ),
        (
            json!({ "action": "webhook", "url": "{{ job.job_id }}/secret-path" }),
            "on_fail[0] webhook: the URL is invalid",
        ),
        (
            json!({ "action": "webhook", "url": "http://127.0.0.1:9/", "secret": "gone" }),
            "on_fail[0] webhook: cannot sign: there is no secret gone",
        ),
    ] {
        let shown = action_failures(&Pumice::new(), &failing(&json!([action])));
        assert!(shown.contains(why), "{why}: {shown}");
        assert!(shown.contains("\"status\": \"failed\"") && !shown.contains("secret-path"), "{shown}");
    }
}

#[cfg(not(feature = "aws"))]
#[test]
fn action_on_aws_without_aws_says_how_to_get_it() {
    for action in [
        json!({ "action": "sns", "topic": "arn:t", "message": "m" }),
        json!({ "action": "sqs", "queue": "q", "message": "m" }),
        json!({ "action": "event" }),
    ] {
        let shown = action_failures(&Pumice::new(), &failing(&json!([action])));
        assert!(shown.contains("this pumice was built without AWS"), "{shown}");
    }
}

#[test]
fn field_of_an_action_that_is_wrong_is_named_by_check() {
    let pumice = Pumice::new();
    for (action, place) in [
        (json!({ "action": "webhook" }), "url"),
        (json!({ "action": "webhook", "url": 5 }), "url"),
        (json!({ "action": "webhook", "url": "" }), "url"),
        (json!({ "action": "webhook", "url": "ftp://a/" }), "url"),
        (json!({ "action": "webhook", "url": "https://a/", "methd": "PUT" }), "methd"),
        (json!({ "action": "webhook", "url": "https://a/", "method": "FETCH" }), "method"),
        (json!({ "action": "webhook", "url": "https://a/", "headers": [] }), "headers"),
        (json!({ "action": "webhook", "url": "https://a/", "headers": { "a b": "c" } }), "headers"),
        (json!({ "action": "webhook", "url": "https://a/", "headers": { "a": "x\ny" } }), "headers"),
        (
            json!({ "action": "webhook", "url": "https://a/", "headers": { "a": "x".repeat(9000) } }),
            "headers",
        ),
        (json!({ "action": "webhook", "url": "https://a/", "body": 5 }), "body"),
        (json!({ "action": "webhook", "url": "https://a/", "secret": [] }), "secret"),
        (json!({ "action": "webhook", "url": "https://a/", "signature_header": "X" }), "signature_header"),
        (
            json!({ "action": "webhook", "url": "https://a/", "secret": "s", "signature_header": "a b" }),
            "signature_header",
        ),
        (json!({ "action": "sns", "message": "m" }), "topic"),
        (json!({ "action": "sns", "topic": "t" }), "message"),
        (json!({ "action": "sns", "topic": "t", "message": 5 }), "message"),
        (json!({ "action": "sns", "topic": "t", "message": "m", "subject": {} }), "subject"),
        (json!({ "action": "sqs", "message": "m" }), "queue"),
        (json!({ "action": "sqs", "queue": "q" }), "message"),
        (json!({ "action": "sqs", "queue": "q", "message": "m", "delay": "16m" }), "delay"),
        (json!({ "action": "sqs", "queue": "q", "message": "m", "delay": "soon" }), "delay"),
        (json!({ "action": "sqs", "queue": "q", "message": "m", "group_id": 5 }), "group_id"),
        (json!({ "action": "event", "source": 5 }), "source"),
        (json!({ "action": "event", "resources": "arn" }), "resources"),
        (json!({ "action": "event", "detail": { "a": 5 } }), "detail"),
        (json!({ "action": "event", "busses": "b" }), "busses"),
    ] {
        pumice.write("jobs.json", failing(&json!([action])).to_string());
        let checked = pumice.run(&["check", "jobs.json"]);
        let report = checked.out.clone() + &checked.err;
        assert!(
            checked.status == 2 && report.contains("on_fail[0]") && report.contains(place),
            "{action}: {report}"
        );
    }
}

#[test]
fn parameter_of_an_http_job_that_is_wrong_is_named_by_check() {
    let pumice = Pumice::new();
    for (parameters, place) in [
        (json!({ "method": "get" }), "method"),
        (json!({ "headers": { "a b": "c" } }), "headers"),
        (json!({ "headers": { "a": [] } }), "headers"),
        (json!({ "body": true }), "body"),
        (json!({ "ok": "6xx" }), "ok"),
        (json!({ "ok": [] }), "ok"),
        (json!({ "ok": [200, true] }), "ok"),
        (json!({ "ok": {} }), "ok"),
        (json!({ "redirects": 6 }), "redirects"),
        (json!({ "retries": -1 }), "retries"),
        (json!({ "retries": 11 }), "retries"),
        (json!({ "retry_delay": "soon" }), "retry_delay"),
        (json!({ "request_timeout": [] }), "request_timeout"),
        (json!({ "timeout": "x" }), "timeout"),
        (json!({ "jinja": "no" }), "jinja"),
        (json!({ "retires": 3 }), "retires"),
    ] {
        pumice.write("jobs.json", http_job("https://a/", &parameters).to_string());
        let checked = pumice.run(&["check", "jobs.json"]);
        let report = checked.out.clone() + &checked.err;
        assert!(
            checked.status == 2 && report.contains(&format!("parameters.{place}")),
            "{parameters}: {report}"
        );
    }
    for url in [
        json!(""),
        json!(5),
        json!(null),
        json!("ftp://a/"),
        json!("orders"),
        json!({}),
        json!("x".repeat(9000)),
    ] {
        let mut job = http_job("", &json!({}));
        job[0]["payload"] = url.clone();
        pumice.write("jobs.json", job.to_string());
        let checked = pumice.run(&["check", "jobs.json"]);
        let report = checked.out.clone() + &checked.err;
        assert!(checked.status == 2 && report.contains("payload"), "{url}: {report}");
    }
}

#[test]
fn http_job_keeps_the_response_of_each_attempt_as_output() {
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\nbusy";
    let bad = "HTTP/1.1 500 Bad\r\ncontent-length: 3\r\n\r\nbad";
    let (pumice, server) = (Pumice::new(), Server::start(&[bad, busy, OK]));
    let mut jobs = http_job(
        &server.url("/orders/{{ globals.day }}"),
        &json!({ "retries": 1, "method": "POST", "body": { "day": "{{ globals.day }}" } }),
    );
    jobs[0]["iteration_limit"] = 2.into();
    jobs[0]["globals"] = json!({ "day": "monday" });
    pumice.write("jobs.json", jobs.to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let _serving = pumice.serve();
    let asked = pumice.run(&["dispatch", "a", "--wait", "-o", "json"]);
    assert_eq!(asked.status, 0, "{asked:?}");
    for _ in 0..3 {
        let request = server.next();
        assert!(request.starts_with("POST /orders/monday HTTP/1.1"), "{request}");
        assert_eq!(body_of(&request), json!({ "day": "monday" }));
    }
    let shown = pumice.run(&["runs", "show", "latest", "-o", "json"]).out;
    assert!(
        shown.contains("\"status\": \"complete\"") && shown.contains("the server answered 500"),
        "{shown}"
    );
    // Both attempts, one after the other.
    assert_eq!(pumice.run(&["runs", "output", "latest"]).out, "badok");
}

#[test]
fn http_job_that_is_cancelled_closes_its_connection_at_once() {
    let (pumice, server) = (Pumice::new(), Server::start(&[]));
    pumice.write("jobs.json", http_job(&server.url("/"), &json!({})).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let _serving = pumice.serve();
    assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
    assert!(server.next().starts_with("GET / HTTP/1.1"));
    assert_eq!(pumice.run(&["runs", "cancel", "latest"]).status, 0);
    assert_eq!(server.next(), "closed");
    wait_until(|| {
        pumice.run(&["runs", "show", "latest", "-o", "json"]).out.contains("\"status\": \"cancelled\"")
    });
}

#[test]
fn http_job_whose_time_is_up_fails_with_that() {
    for parameters in [json!({ "timeout": "300ms" }), json!({ "timeout": "1s", "request_timeout": "30s" })] {
        let (pumice, server) = (Pumice::new(), Server::start(&[]));
        let span = parameters["timeout"].as_str().expect("a time").replace("300ms", "0.3s");
        let mut parameters = parameters.clone();
        parameters["timeout"] = span.into();
        let printed = pumice.run_spec(&http_job(&server.url("/"), &parameters), "a");
        let reason = printed.run_of("a")["reason"].as_str().expect("a reason").to_owned();
        assert!(reason.starts_with("timed out after"), "{reason}");
    }
}

/// The examples of the guide's section on each action and job type, by job id.
fn guide() -> Vec<Value> {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documents = blocks.filter_map(|block| serde_yaml_ng::from_str::<Value>(block).ok());
    documents.filter(|job| job["job_id"].as_str().is_some_and(|id| id.starts_with("orders/"))).collect()
}

#[test]
fn examples_of_the_guide_pass_check_and_do_what_it_says() {
    let jobs = guide();
    let ids: Vec<&str> = jobs.iter().filter_map(|job| job["job_id"].as_str()).collect();
    assert_eq!(
        ids,
        [
            "orders/regions",
            "orders/vacuum",
            "orders/fetch",
            "orders/summarise",
            "orders/load",
            "orders/export"
        ]
    );
    let pumice = Pumice::new();
    let mut documents = jobs;
    documents.push(
        json!({ "conn_id": "shop", "type": "postgres", "enabled": true, "host": "127.0.0.1", "port": 1,
        "database": "d", "user": "u", "password": "/key" }),
    );
    pumice.write("jobs.json", Value::from(documents).to_string());
    let checked = pumice.run(&["check", "jobs.json"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    let server = Server::start(&[OK, OK]);
    let run =
        |id: &str, global: &str| pumice.run(&["run", "--jobs", "jobs.json", id, "-g", global, "-o", "json"]);
    let fetched = run("orders/fetch", &format!("server={}", server.url("")));
    assert_eq!(fetched.run_of("orders/fetch")["status"], "complete", "{fetched:?}");
    assert!(server.next().starts_with("GET /orders?day=20"));
    let loaded = run("orders/load", &format!("hook={}", server.url("/hook")));
    assert_eq!(loaded.run_of("orders/load")["status"], "failed", "{loaded:?}");
    let request = server.next();
    assert!(request.contains("x-team: data"), "{request}");
    assert_eq!(body_of(&request), json!({ "text": "orders/load failed: exit status 3: no orders" }));
    // A stand-in for the client of the database.
    let client = pumice.write("bin/psql", "#!/bin/sh\nfor last; do :; done; echo \"$last $(cat)\"");
    std::fs::set_permissions(client, std::fs::Permissions::from_mode(0o755)).expect("a program");
    pumice.write("payloads/orders/vacuum.sql", "vacuum orders;");
    let mut command =
        pumice.command(&["run", "--jobs", "jobs.json", "--payloads", "payloads", "orders/vacuum"]);
    let path = std::env::var("PATH").expect("a path");
    command.env("PATH", format!("{}:{path}", pumice.path().join("bin").display()));
    command.env("PUMICE_SECRET_VALUE_KEY", "key-of-the-database");
    let vacuumed = Printed::from(command.output().expect("it runs"));
    let wanted = "orders/vacuum | --echo-errors vacuum orders;\n";
    assert!(vacuumed.status == 0 && vacuumed.err.contains(wanted), "{vacuumed:?}");
}
