//! Requests of other systems for triggers of type `http`.

use hmac::{Hmac, KeyInit, Mac};
use pumice_core::ids::SecretName;
use pumice_core::ports::{RunQuery, RunStore, TriggerStore};
use pumice_core::run::Trigger;
use pumice_core::secret::SecretText;
use pumice_core::spec::JobSpec;
use pumice_core::trigger::TriggerSpec;
use pumice_service::Realm;
use pumice_testing::folder::Folder;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::{Answer, EDITOR, Server, settings};

const SECRET: &str = "canary of the hook's secret";

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn trigger(id: &str, more: &Value) -> Value {
    let mut document = json!({ "trigger_id": id, "type": "http", "enabled": true, "secret": "hook", "job_id": "build",
        "globals": { "branch": "{{ event.ref }}", "what": "{{ info.event_type }}" } });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

async fn realm(triggers: &[Value]) -> Folder {
    let folder = Folder::new().await;
    let job = json!({ "job_id": "build", "type": "log", "worker": "core", "enabled": true, "payload": {} });
    folder.catalog().put_jobs(vec![JobSpec::parse(&job).unwrap()], false).await.unwrap();
    let read = |one: &Value| TriggerSpec::parse(one, folder.registry().renderer()).unwrap();
    let triggers = triggers.iter().map(read).collect();
    TriggerStore::put_triggers(folder.triggers(), triggers, false).await.unwrap();
    let (name, secret) = (SecretName::new("hook").unwrap(), SecretText::new(SECRET));
    folder.vault().unwrap().set(&name, secret, folder.now()).await.unwrap();
    folder
}

async fn post(server: &Server, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
    let signature = signature(SECRET, body);
    let own = [("x-hub-signature-256", signature.as_str()), ("content-type", "application/json")];
    let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let own = own.into_iter().filter(|(name, _)| !is_given(name));
    server.send("POST", path, &own.chain(headers.iter().copied()).collect::<Vec<_>>(), body).await
}

async fn runs(server: &Server) -> usize {
    let query = RunQuery { job: Some("build".to_owned()), limit: 100, ..RunQuery::default() };
    RunStore::page(server.realm.runs(), &query).await.unwrap().runs.len()
}

#[tokio::test]
async fn signed_request_starts_its_triggers_jobs_once_a_delivery() {
    let server = Server::start(realm(&[trigger("git/push", &json!({}))]).await).await;
    let body = r#"{"ref": "refs/heads/main"}"#;
    let github = [("x-github-event", "push"), ("x-github-delivery", "d-1")];
    let first = post(&server, "/hooks/git/push", body, &github).await;
    assert_eq!(first.status, 202, "{first:?}");
    let made = &first.json()["runs"][0];
    assert_eq!((&made["job_id"], &made["existing"]), (&json!("build"), &json!(false)), "{first:?}");
    let again = post(&server, "/hooks/git%2Fpush", body, &github).await;
    assert_eq!((again.status, &again.json()["runs"][0]["existing"]), (202, &json!(true)), "{again:?}");
    assert_eq!(again.json()["runs"][0]["run_id"], made["run_id"]);
    assert_eq!(runs(&server).await, 1);
    let query = RunQuery { limit: 1, ..RunQuery::default() };
    let run = RunStore::page(server.realm.runs(), &query).await.unwrap().runs.remove(0);
    let Trigger::Http { trigger_id, event_type, delivery, digest } = run.trigger() else { panic!("{run:?}") };
    assert_eq!((trigger_id.as_str(), event_type.as_deref()), ("git/push", Some("push")));
    assert!(delivery.as_deref() == Some("d-1") && digest.is_some(), "{delivery:?} {digest:?}");
    let (_, spec) = server.realm.runs().load_with_spec(&run.key).await.unwrap().unwrap();
    let spec = serde_json::to_string(&spec).unwrap();
    assert!(spec.contains("refs/heads/main") && spec.contains("\"push\""), "{spec}");
    // Deliveries of no name are each their own.
    for _ in 0..2 {
        assert_eq!(post(&server, "/hooks/git/push", body, &[]).await.status, 202);
    }
    assert_eq!(runs(&server).await, 3);
    // Another body under the same name starts nothing, and its sender sees it.
    let other = post(&server, "/hooks/git/push", r#"{"ref": "other"}"#, &github).await;
    assert!(other.status == 422 && other.body.contains("came before with another body"), "{other:?}");
    assert_eq!(runs(&server).await, 3);
    // The same name in another header is another sender's.
    let key = [("x-github-event", "push"), ("idempotency-key", "d-1")];
    let apart = post(&server, "/hooks/git/push", body, &key).await;
    assert_eq!(apart.json()["runs"][0]["existing"], json!(false), "{apart:?}");
    assert_eq!(runs(&server).await, 4);
}

#[tokio::test]
async fn request_that_is_not_signed_starts_nothing_and_learns_nothing() {
    let triggers = [
        trigger("git", &json!({})),
        trigger("lost", &json!({ "secret": "missing" })),
        json!({ "trigger_id": "objects", "bucket": "in", "prefix": "*", "enabled": true, "job_id": "build" }),
    ];
    let server = Server::start(realm(&triggers).await).await;
    let body = "{}";
    let wrong = signature("other", body);
    let of_other_body = signature(SECRET, "{ }");
    let token = format!("Bearer {EDITOR}");
    let mut bodies = std::collections::BTreeSet::new();
    for (path, headers) in [
        ("/hooks/git", vec![("x-hub-signature-256", "")]),
        ("/hooks/git", vec![("x-hub-signature-256", "sha256=")]),
        ("/hooks/git", vec![("x-hub-signature-256", wrong.as_str())]),
        ("/hooks/git", vec![("x-hub-signature-256", of_other_body.as_str())]),
        ("/hooks/git", vec![("x-hub-signature-256", wrong.as_str()), ("authorization", token.as_str())]),
        ("/hooks/none", vec![]),
        ("/hooks/objects", vec![]),
        ("/hooks/lost", vec![]),
        ("/hooks/..%2Fgit", vec![]),
    ] {
        let answer = post(&server, path, body, &headers).await;
        assert_eq!(answer.status, 401, "{path} {headers:?}: {answer:?}");
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "an answer reveals which trigger is there: {bodies:?}");
    assert_eq!(server.send("GET", "/hooks/git", &[], "").await.status, 405);
    let foreign = post(&server, "/hooks/git", body, &[("host", "evil.example")]).await;
    assert_eq!(foreign.status, 421, "{foreign:?}");
    assert_eq!(runs(&server).await, 0);
}

#[tokio::test]
async fn request_that_a_trigger_refuses_or_cannot_read_gets_a_reason() {
    let triggers = [
        trigger("off", &json!({ "enabled": false })),
        trigger("pushes", &json!({ "if_event_type": "push" })),
        trigger("gone", &json!({ "job_id": ["build", "no/such"] })),
        trigger("form", &json!({ "signature_header": "X-Signature", "globals": { "a": "{{ event.a }}" } })),
    ];
    let server = Server::start(realm(&triggers).await).await;
    let body = r#"{"ref": "x"}"#;
    let ping = [("x-github-event", "ping")];
    for (path, headers, passed) in [
        ("/hooks/off", &[][..], "it is not enabled"),
        ("/hooks/pushes", &ping[..], "if_event_type: the event type \"ping\" matches none of its patterns"),
    ] {
        let answer = post(&server, path, body, headers).await;
        assert_eq!((answer.status, &answer.json()["passed"][0]), (200, &json!(passed)), "{answer:?}");
    }
    assert_eq!(runs(&server).await, 0);
    let gone = post(&server, "/hooks/gone", body, &[("idempotency-key", "k")]).await;
    assert_eq!(gone.status, 422, "{gone:?}");
    assert!(gone.json()["runs"].as_array().unwrap().iter().any(|it| it["error"].is_string()), "{gone:?}");
    assert_eq!(runs(&server).await, 1, "one that fails stops no other");
    let broken = post(&server, "/hooks/pushes", "{", &[("x-github-event", "push")]).await;
    assert!(broken.status == 400 && broken.body.contains("not JSON"), "{broken:?}");
    let long = "x".repeat(300);
    let long = post(&server, "/hooks/off", body, &[("webhook-id", long.as_str())]).await;
    assert_eq!(long.status, 400, "{long:?}");
    let signed = signature(SECRET, "a=1+2");
    let form = [("x-signature", signed.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let form = server.send("POST", "/hooks/form", &form, "a=1+2").await;
    assert_eq!(form.status, 202, "{form:?}");
    for answer in [&gone, &broken, &form] {
        assert!(!answer.body.contains(SECRET));
    }
}

#[tokio::test]
async fn read_only_console_takes_no_hooks() {
    let mut read_only = settings();
    read_only.is_read_only = true;
    let server = Server::with(realm(&[trigger("git", &json!({}))]).await, read_only).await;
    assert_eq!(post(&server, "/hooks/git", "{}", &[]).await.status, 403);
    assert_eq!(runs(&server).await, 0);
}
