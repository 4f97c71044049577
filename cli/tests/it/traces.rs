//! Traces of runs, with a collector that the test starts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};
use crate::web::{OK, Server, body_of};

/// The spans of the requests that have come, by job.
fn spans(server: &Server, wanted: usize) -> BTreeMap<String, Value> {
    let mut spans = BTreeMap::new();
    while spans.len() < wanted {
        let request = server.next();
        assert!(request.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("x-team: data"), "{request}");
        let body = body_of(&request);
        let resource = &body["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!(*resource, json!([{ "key": "service.name", "value": { "stringValue": "pumice" } }]));
        for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans") {
            spans.insert(span["name"].as_str().expect("a name").to_owned(), span.clone());
        }
    }
    spans
}

fn attribute(span: &Value, name: &str) -> Value {
    let all = span["attributes"].as_array().expect("attributes");
    all.iter().find(|one| one["key"] == name).map(|one| one["value"].clone()).unwrap_or_default()
}

#[test]
fn chain_is_one_trace_and_what_it_starts_is_linked() {
    let pumice = Pumice::new();
    let start = json!([{ "action": "dispatch", "job_id": "after" }]);
    let mut chain = json!({ "job_id": "night", "type": "chain", "worker": "core", "enabled": true,
        "payload": ["first", "second"] });
    chain["on_fail"] = start;
    let second = shell("second", "echo 'the disk is full' >&2; exit 3");
    pumice.write(
        "jobs.json",
        json!([shell("first", "true"), second, shell("after", "true"), chain]).to_string(),
    );
    let server = Server::start(&[OK; 20]);
    let mut command = pumice.command(&["run", "--jobs", "jobs.json", "night"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", server.url(""));
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-team=data");
    assert_eq!(command.output().expect("it runs").status.code(), Some(1));
    let spans = spans(&server, 4);
    let (night, after) = (&spans["night"], &spans["after"]);
    for (name, code) in [("first", 1), ("second", 2)] {
        let span = &spans[name];
        assert_eq!(span["traceId"], night["traceId"], "{name}");
        assert_eq!(span["parentSpanId"], night["spanId"], "{name}");
        assert_eq!(span["status"]["code"], code, "{name}");
        let nanos = |span: &Value, field: &str| -> u128 {
            span[field].as_str().expect("a time").parse().expect("a number")
        };
        assert!(nanos(night, "startTimeUnixNano") <= nanos(span, "startTimeUnixNano"), "{name}");
        assert!(nanos(span, "startTimeUnixNano") <= nanos(span, "endTimeUnixNano"), "{name}");
        assert!(nanos(span, "endTimeUnixNano") <= nanos(night, "endTimeUnixNano"), "{name}");
    }
    assert!(night["parentSpanId"].is_null() && night["links"].is_null(), "{night}");
    let message = spans["second"]["status"]["message"].as_str().expect("a reason");
    assert!(message.contains("exit status 3") && message.contains("the disk is full"), "{message}");
    let run_id = attribute(night, "pumice.run_id")["stringValue"].as_str().expect("an id").replace('-', "");
    assert_eq!(night["traceId"], run_id);
    // A run that it started is a trace of its own.
    assert_ne!(after["traceId"], night["traceId"]);
    assert_eq!(after["links"], json!([{ "traceId": night["traceId"], "spanId": night["spanId"] }]));
}

#[test]
fn collector_that_does_not_answer_causes_one_warning() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", json!([shell("a", "true")]).to_string());
    for (endpoint, words) in [
        // Nothing listens there.
        ("http://127.0.0.1:1", "spans of runs were not sent"),
        ("collector:4317", "no traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT must begin with http"),
    ] {
        let mut command = pumice.command(&["run", "--jobs", "jobs.json", "a"]);
        let done = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).output().expect("it runs");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && errors.contains(words), "{errors}");
    }
}
