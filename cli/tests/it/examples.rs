//! Every example runs, and ends as its description says.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::notices::MailServer;
use crate::pumice::Pumice;
use crate::web::{OK, Server};

/// Jobs that are to end otherwise than complete when they are run by themselves.
const OTHERWISE: [(&str, &str); 6] = [
    ("demo/nightly/check", "failed"),
    ("demo/nightly/summary", "skipped"),
    ("ops/notice", "failed"),
    ("ops/notice-by-mail", "failed"),
    ("ops/on-fail", "failed"),
    ("ops/on-fail/break", "failed"),
];
/// Steps that need what the steps before them left.
const STEPS: [&str; 2] = ["demo/nightly/check", "demo/nightly/total"];

fn examples() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/jobs").display().to_string()
}

fn payloads() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/payloads").display().to_string()
}

#[test]
fn every_example_runs() {
    let pumice = Pumice::new();
    let checked = pumice.run(&["check", &examples(), "-o", "json"]);
    let ids: Vec<String> = serde_json::from_value(checked.json()["jobs"].clone()).expect("ids");
    assert!(ids.len() >= 8, "{ids:?}");
    let otherwise = BTreeMap::from(OTHERWISE);
    let server = Server::start(&[OK]);
    let hook = format!("hook={}", server.url("/hook"));
    let mail = MailServer::start();
    let by_mail = Path::new(&examples()).join("ops/notice-by-mail.yaml");
    let by_mail = std::fs::read_to_string(by_mail).expect("an example");
    let near = pumice.write("mail.yaml", by_mail.replace("port: 2525", &format!("port: {}", mail.port())));
    let near = near.display().to_string();
    for id in ids.iter().filter(|id| !STEPS.contains(&id.as_str())) {
        // Examples that ask a server have its address in a global.
        let jobs = if id == "ops/notice-by-mail" { near.clone() } else { examples() };
        let options = ["run", "--jobs", &jobs, "--payloads", &payloads(), id, "-g", &hook, "-o", "json"];
        let printed = pumice.run(&options);
        let status = otherwise.get(id.as_str()).unwrap_or(&"complete");
        assert_eq!(printed.run_of(id)["status"], *status, "{id}: {printed:#?}");
        assert_eq!(printed.status, i32::from(*status != "complete"), "{id}");
    }
    let email = mail.next();
    assert!(email.contains("Subject: ops/notice-by-mail failed") && email.contains("0 orders"), "{email}");
    let notice = server.next();
    assert!(notice.contains("ops/notice failed: exit status 3: no orders today"), "{notice}");
}

#[test]
fn nightly_job_does_what_the_readme_says() {
    let pumice = Pumice::new();
    let printed = pumice.run(&["run", "--jobs", &examples(), "demo/nightly", "-o", "json"]);
    assert_eq!(printed.status, 0, "{}", printed.err);
    let status = |job: &str| printed.run_of(job)["status"].clone();
    for job in [
        "demo/nightly",
        "demo/nightly/load",
        "demo/nightly/extract",
        "demo/nightly/total",
        "demo/nightly/summary",
    ] {
        assert_eq!(status(job), "complete", "{job}");
    }
    assert_eq!(status("demo/nightly/check"), "failed");
    // Globals flow down: the parent's 200 rows win over the step's own 10.
    assert!(printed.err.contains("extracted 200 orders for apac"), "{}", printed.err);
    // A chain's steps share its run id; a dispatched job has one of its own.
    let (load, extract) = (printed.run_of("demo/nightly/load"), printed.run_of("demo/nightly/extract"));
    assert_eq!(load["run_id"], extract["run_id"]);
    assert_eq!(load["parent"], printed.run_of("demo/nightly")["run_id"]);
    // The action's job came a second after the others.
    let cleanup = printed.run_of("demo/nightly/cleanup");
    assert_eq!(cleanup["status"], "complete");
    let at = |value: &Value| {
        value.as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>().expect("a time")
    };
    let waited = at(&cleanup["ts_start"]) - at(&cleanup["ts_dispatch"]);
    assert!(waited.num_milliseconds() >= 1_000, "{waited}");
}

#[test]
fn schema_of_the_examples_is_the_printed_one() {
    for of in ["job", "connection"] {
        let printed = Pumice::new().run(&["schema", of]).out;
        let carried = format!("../examples/{of}.schema.json");
        let carried = Path::new(env!("CARGO_MANIFEST_DIR")).join(carried);
        assert_eq!(printed, std::fs::read_to_string(carried).expect("a schema"), "run `cargo xtask schema`");
    }
}
