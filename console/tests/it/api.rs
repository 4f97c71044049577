//! The API.

use std::collections::BTreeSet;

use pumice_core::schema::check;
use pumice_service::{Access, Operation, operations};
use serde_json::{Value, json};

use crate::client::{EDITOR, Server, VIEWER};
use crate::fixtures::{lively, run_id};

/// Whether an operation only looks: one that tests a connection reaches out of the realm.
fn looks(operation: &Operation) -> bool {
    operation.access == Access::Read && operation.command != "connections test"
}

/// The path of a command below `/api/v1/`.
fn path_of(command: &str) -> String {
    command.replace("--", "").replace(' ', "/")
}

#[tokio::test]
async fn operation_that_looks_answers_by_its_schema() {
    let server = Server::start(lively().await).await;
    let failed = run_id(5).to_string();
    let mut tried = BTreeSet::new();
    for (command, query) in [
        ("realm show", String::new()),
        ("jobs list", "pattern=etl/*".to_owned()),
        ("jobs show", "job=etl/load/01".to_owned()),
        ("runs list", "limit=3&statuses=failed".to_owned()),
        ("runs show", format!("run={failed}&details=true")),
        ("runs why", format!("run={failed}")),
        ("runs output", format!("run={failed}")),
        ("runs output --from", format!("run={failed}&from=0&name=stderr&limit=100")),
        ("runs bulk list", String::new()),
        ("schedules list", String::new()),
        ("schedules next", "number=3".to_owned()),
        ("schedules backfills list", String::new()),
        ("schedules simulate", "from=2027-01-01T00:00:00Z&to=2027-01-02T00:00:00Z".to_owned()),
        ("schedules export", String::new()),
        ("state get", "id=seen/at".to_owned()),
        ("state list", String::new()),
        ("triggers list", "where=bucket:in".to_owned()),
        ("triggers test", "bucket=in&key=x&size=3".to_owned()),
        ("connections list", String::new()),
        ("connections show", "connection=box".to_owned()),
        ("secrets list", String::new()),
        ("workers list", String::new()),
        ("pools list", String::new()),
        ("audit list", "where=act:apply&limit=5".to_owned()),
        ("runs export", "limit=2".to_owned()),
        ("dead list", String::new()),
        ("doctor", String::new()),
        ("failures", String::new()),
        ("metrics", String::new()),
        ("stats", String::new()),
        ("render", "job=nightly&globals=%7B%22x%22:1%7D".to_owned()),
    ] {
        tried.insert(command);
        let path = format!("/api/v1/{}?{query}", path_of(command));
        let answer = server.get_as(VIEWER, &path).await;
        assert_eq!(answer.status, 200, "{command}: {}", answer.body);
        let operation = operations().into_iter().find(|one| one.command == command).unwrap();
        let problems = check(&operation.response(), &answer.json());
        assert!(problems.is_empty(), "{command}: {problems:?} in {}", answer.body);
    }
    let others = [
        "audit show",
        "runs bulk show",
        "check",
        "connections test",
        "schedules backfills show",
        "triggers show",
        "dead show",
        "export",
        "plan",
        "payloads list",
        "payloads get",
    ];
    let looks = operations().into_iter().filter(|one| one.access == Access::Read).map(|one| one.command);
    let all: BTreeSet<&str> = looks.collect();
    assert_eq!(tried.into_iter().chain(others).collect::<BTreeSet<_>>(), all, "an operation is not tried");
}

#[tokio::test]
async fn every_operation_has_its_endpoint_and_its_description() {
    let server = Server::start(lively().await).await;
    let document = server.get_as(VIEWER, "/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for operation in operations() {
        let path = format!("/api/v1/{}", path_of(operation.command));
        let is_apart = ["payloads put", "payloads get"].contains(&operation.command);
        assert_eq!(paths.contains_key(&path), !is_apart, "{path}");
        let answer = server.api(VIEWER, &path, &json!({ "no-such-field": 1 })).await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        let expected = if is_apart {
            404
        } else if !looks(&operation) {
            403
        } else {
            400
        };
        assert_eq!(answer.status, expected, "{path}: {detail}");
        // The description offers the routes of the router.
        let has_get = document["paths"][&path]["get"].is_object();
        let got = server.get_as(EDITOR, &path).await;
        assert_eq!(
            has_get,
            ![404, 405].contains(&got.status) || got.body.contains("not_found"),
            "{path}: {}",
            got.status
        );
    }
    for path in paths.keys() {
        assert!(
            operations().iter().any(|one| format!("/api/v1/{}", path_of(one.command)) == *path),
            "{path}"
        );
    }
}

#[tokio::test]
async fn request_that_is_tried_changes_nothing() {
    let server = Server::start(lively().await).await;
    let apply = json!({ "specs": { "documents": [{ "document": {
        "job_id": "new", "type": "cmd", "worker": "core", "enabled": true, "payload": "true" } }] } });
    // Every viewer may try.
    let tried = server.api(VIEWER, "/api/v1/apply?dry_run=true", &apply).await;
    assert_eq!((tried.status, &tried.json()["dry_run"]), (200, &json!(true)), "{}", tried.body);
    assert_eq!(server.get("/api/v1/jobs/show?job=new").await.status, 404);
    assert_eq!(server.api(VIEWER, "/api/v1/apply", &apply).await.status, 403);
    let cancel = json!({ "runs": [run_id(1).to_string()] });
    let tried = server.api(VIEWER, "/api/v1/runs/cancel?dry_run=true", &cancel).await;
    assert_eq!(
        (tried.status, &tried.json()["runs"][0]["outcome"]),
        (200, &json!("cancelled")),
        "{}",
        tried.body
    );
    // An operation that cannot be tried is not carried out instead.
    let test = json!({ "connection": "box" });
    let refused = server.api(EDITOR, "/api/v1/connections/test?dry_run=true", &test).await;
    assert!(
        refused.status == 400 && refused.body.contains("connections test has no dry_run: nothing was done"),
        "{}",
        refused.body
    );
    let put = json!({ "id": "tried", "value": 1 });
    let tried = server.api(VIEWER, "/api/v1/state/put?dry_run=true", &put).await;
    assert_eq!((tried.status, &tried.json()["after"]["value"]), (200, &json!(1)), "{}", tried.body);
    assert_eq!(server.get("/api/v1/state/get?id=tried").await.status, 404);
    let delete = json!({ "jobs": ["new"] });
    let tried = server.api(VIEWER, "/api/v1/jobs/delete?dry_run=true", &delete).await;
    assert_eq!((tried.status, &tried.json()["jobs"][0]["deleted"]), (200, &json!(false)), "{}", tried.body);
    let shown = server.get(&format!("/api/v1/runs/show?run={}", run_id(1))).await.json();
    assert_eq!(shown["runs"][0]["status"], "running");
    // One that has its dry run within is tried there.
    let many = json!({ "runs": { "where": "status:failed" } });
    let tried = server.api(VIEWER, "/api/v1/runs/retry/where?dry_run=true", &many).await;
    assert_eq!((tried.status, &tried.json()["dry_run"]), (200, &json!(true)), "{}", tried.body);
    assert_eq!(server.api(VIEWER, "/api/v1/runs/retry/where", &many).await.status, 403);
    for query in ["dry_run=yes", "dry_run", "dryrun=true", "dry-run=true"] {
        assert_eq!(
            server.api(EDITOR, &format!("/api/v1/apply?{query}"), &apply).await.status,
            400,
            "{query}"
        );
    }
    for other in [json!(false), Value::Null] {
        let mut otherwise = apply.clone();
        otherwise["dry_run"] = other;
        assert_eq!(server.api(EDITOR, "/api/v1/apply?dry_run=true", &otherwise).await.status, 400);
    }
    assert_eq!(server.get("/api/v1/jobs/show?job=new").await.status, 404);
}

#[tokio::test]
async fn request_sent_again_with_its_key_makes_one_run() {
    let server = Server::start(lively().await).await;
    let bearer = format!("Bearer {EDITOR}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "night-1"),
    ];
    let body = json!({ "requests": [{ "job_id": "nightly" }] }).to_string();
    let first = server.send("POST", "/api/v1/dispatch", &headers, &body).await.json();
    let again = server.send("POST", "/api/v1/dispatch", &headers, &body).await.json();
    assert_eq!(first["accepted"][0]["run_id"], again["accepted"][0]["run_id"], "{first} {again}");
    assert_eq!(
        (&first["accepted"][0]["existing"], &again["accepted"][0]["existing"]),
        (&json!(false), &json!(true))
    );
    // Another request under the key is a mistake, as with `dispatch --key`: both are shown.
    let other = json!({ "requests": [{ "job_id": "nightly", "globals": { "ref": "x" } }] }).to_string();
    let refused = server.send("POST", "/api/v1/dispatch", &headers, &other).await;
    assert_eq!((refused.status, refused.json()["kind"].clone()), (409, json!("conflict")), "{refused:?}");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    let made = first["accepted"][0]["run_id"].as_str().unwrap();
    for part in [
        "was already used by another request",
        made,
        "\"globals\":{}",
        "\"ref\":\"x\"",
        "nothing was dispatched",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    // Several requests for a job are distinguished by their order.
    let several =
        json!({ "requests": [{ "job_id": "nightly" }, { "job_id": "nightly", "globals": { "n": 2 } }] });
    for is_there in [false, true] {
        let taken = server.send("POST", "/api/v1/dispatch", &headers, &several.to_string()).await.json();
        let existing = |n: usize| taken["accepted"][n]["existing"].clone();
        assert_eq!((existing(0), existing(1)), (json!(true), json!(is_there)), "{taken}");
    }
    // A list with one more in the middle is another list: nothing of it is taken, and nothing runs twice.
    let longer = json!({ "requests": [{ "job_id": "nightly" }, { "job_id": "nightly", "globals": { "n": 1 } },
        { "job_id": "nightly", "globals": { "n": 2 } }] });
    let runs = || server.get("/api/v1/runs/list?job=nightly&limit=500");
    let before = runs().await.json()["runs"].as_array().map(Vec::len);
    let refused = server.send("POST", "/api/v1/dispatch", &headers, &longer.to_string()).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(runs().await.json()["runs"].as_array().map(Vec::len), before);
    // A key that an operation does not know is not passed over.
    let cancel = json!({ "runs": [run_id(1).to_string()] }).to_string();
    assert_eq!(server.send("POST", "/api/v1/runs/cancel", &headers, &cancel).await.status, 400);
    // Nor is it taken for another field of that name, as the key of an object.
    let test = json!({ "bucket": "inbox" }).to_string();
    let refused = server.send("POST", "/api/v1/triggers/test", &headers, &test).await;
    assert!(refused.status == 400 && refused.body.contains("takes no idempotency-key"), "{refused:?}");
}

#[tokio::test]
async fn status_says_whether_all_was_done() {
    let server = Server::start(lively().await).await;
    let (ended, open) = (run_id(4).to_string(), run_id(0).to_string());
    let job = |id: &str| json!({ "job_id": id });
    for (path, body, status) in [
        ("dispatch", json!({ "requests": [job("nightly")] }), 200),
        ("dispatch", json!({ "requests": [job("nightly"), job("none")] }), 207),
        ("dispatch", json!({ "requests": [job("none")] }), 422),
        ("runs/cancel", json!({ "runs": [ended] }), 422),
        ("runs/cancel", json!({ "runs": [ended, open] }), 207),
    ] {
        let answer = server.api(EDITOR, &format!("/api/v1/{path}"), &body).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/json"), "{body}");
        assert_eq!(answer.json()["refused"].as_array().is_some_and(|all| !all.is_empty()), status != 200);
        let document = server.get("/api/v1/openapi.json").await.json();
        let place = format!("/paths/~1api~1v1~1{}/post/responses/{status}", path.replace('/', "~1"));
        assert!(document.pointer(&place).is_some(), "{place}");
    }
}

#[tokio::test]
async fn header_that_is_there_twice_is_refused() {
    let server = Server::start(lively().await).await;
    let bearer = format!("Bearer {EDITOR}");
    let body = json!({ "requests": [{ "job_id": "nightly" }] }).to_string();
    for twice in [
        [("idempotency-key", "k1"), ("idempotency-key", "k2"), ("content-type", "application/json")],
        [("idempotency-key", "k1"), ("content-type", "application/json"), ("content-type", "text/plain")],
    ] {
        let headers = [&[("authorization", bearer.as_str())][..], &twice].concat();
        let answer = server.send("POST", "/api/v1/dispatch", &headers, &body).await;
        assert!(answer.status == 400 && answer.body.contains("more than once"), "{twice:?}: {answer:?}");
    }
    let runs = server.get("/api/v1/runs/list?job=nightly").await.json();
    assert_eq!(runs["runs"], json!([]));
}

/// A value that would be dropped or rounded is refused, as by every other reader.
#[tokio::test]
async fn body_with_doubled_keys_or_numbers_beyond_64_bits_is_refused() {
    let server = Server::start(lively().await).await;
    let bearer = format!("Bearer {EDITOR}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for (path, body, why) in [
        ("state/put", r#"{"id":"s","value":123456789012345678901234567890}"#, "more than 64 bits"),
        ("state/put", r#"{"id":"s","value":{"a":1,"a":2}}"#, "given twice"),
        ("dispatch", r#"{"requests":[{"job_id":"nightly","globals":{"r":1,"r":2}}]}"#, "given twice"),
        ("runs/cancel/where", r#"{"where":"job:*","dry_run":true,"dry_run":false}"#, "given twice"),
        ("apply", r#"{"specs":{"documents":[{"document":{"job_id":"d","job_id":"e"}}]}}"#, "given twice"),
        ("runs/list", "{\"limit\":1,\"limit\":2}", "given twice"),
        ("runs/list", "\u{fffd}{", "cannot be read"),
    ] {
        let answer = server.send("POST", &format!("/api/v1/{path}"), &headers, body).await;
        assert!(answer.status == 400 && answer.body.contains(why), "{path} {body}: {answer:?}");
    }
    assert_eq!(server.get("/api/v1/state/get?id=s").await.status, 404, "nothing was put");
    let session = server.session(EDITOR).await;
    let twice = [("id", "s"), ("value", r#"{"a":1,"a":2}"#)];
    let form = server.post_as(&session, "/state/put", &twice).await;
    assert!(form.status == 400 && form.body.contains("given twice"), "{form:?}");
}

#[tokio::test]
async fn problem_says_what_is_wrong_and_whose_fault_it_is() {
    let server = Server::start(lively().await).await;
    for (method, path, body, status, kind) in [
        ("GET", "/api/v1/jobs/show?job=nightli", "", 404, json!("not_found")),
        ("GET", "/api/v1/jobs/show", "", 400, json!("invalid")),
        ("GET", "/api/v1/runs/show?run=zzz", "", 400, json!("invalid")),
        ("GET", "/api/v1/runs/list?limit=x", "", 400, Value::Null),
        ("GET", "/api/v1/jobs/delete", "", 405, Value::Null),
        ("GET", "/api/v1/nothing", "", 404, Value::Null),
        ("GET", "/api/v2/runs/list", "", 404, Value::Null),
        ("POST", "/api/v1/jobs/show", "[1]", 400, Value::Null),
        ("POST", "/api/v1/jobs/show", "{", 400, Value::Null),
        ("POST", "/api/v1/dispatch", "{\"requests\":1,\"kee\":2}", 400, json!("invalid")),
    ] {
        let bearer = format!("Bearer {EDITOR}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = server.send(method, path, &headers, body).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["status"], &problem["kind"]),
            (status, &json!(status), &kind),
            "{path} {problem}"
        );
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}");
    }
    for (method, path, methods) in [
        ("GET", "/api/v1/jobs/delete", "POST"),
        ("TRACE", "/api/v1/jobs/delete", "POST"),
        ("DELETE", "/api/v1/jobs/list", "GET, HEAD, POST"),
        ("PUT", "/runs", "GET, HEAD, POST"),
    ] {
        let headers = [("authorization", &*format!("Bearer {EDITOR}"))];
        let refused = server.send(method, path, &headers, "").await;
        assert_eq!((refused.status, refused.header("allow")), (405, methods), "{method} {path}");
    }
    let near = server.get("/api/v1/jobs/show?job=nightli").await.json();
    assert!(near["detail"].as_str().unwrap().contains("nightly"), "{near}");
    let form = [("authorization", &*format!("Bearer {EDITOR}")), ("content-type", "text/plain")];
    assert_eq!(server.send("POST", "/api/v1/jobs/show", &form, "{}").await.status, 415);
}

#[tokio::test]
async fn secret_does_not_leave_by_the_api() {
    let server = Server::start(lively().await).await;
    pumice_core::secret::remember("api-canary-4711");
    let put = json!({ "id": "leak", "value": "has api-canary-4711 in it" });
    assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put).await.status, 200);
    for path in ["/api/v1/state/get?id=leak", "/api/v1/state/list", "/state"] {
        let answer = server.get(path).await;
        assert!(
            !answer.body.contains("api-canary") && answer.body.contains("*****"),
            "{path}: {}",
            answer.body
        );
    }
}
