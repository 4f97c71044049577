//! What is typed into a form is what it does, and stays there where the form is refused.

use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::client::{Answer, EDITOR, Server, VIEWER, encoded};
use crate::fixtures::{lively, run_id};

#[tokio::test]
async fn refused_form_is_shown_as_it_was_filled_in() {
    let server = Server::start(lively().await).await;
    let session = server.session(EDITOR).await;
    let run = run_id(1).to_string();
    let (why, until) = (("why", "it's <b>late</b>"), ("until", "next week"));
    for (path, form, typed) in [
        ("/jobs/pause", vec![("jobs", "nightly"), why, until], until.1),
        ("/workers/pause", vec![("worker", "core"), why, until], until.1),
        ("/workers/drain", vec![("worker", "core"), why, until], until.1),
        ("/maintenance/on", vec![why, until], until.1),
        ("/schedules/pause", vec![("id", "nightly"), ("entry", "0"), why, until], until.1),
        ("/state/put", vec![("id", "a b"), ("value", "x\ny"), ("ttl", "soon"), ("kind", "raw")], "soon"),
        ("/run/retry", vec![("id", run.as_str()), ("from", "all"), ("globals", "day 1")], "day 1"),
        ("/runs/views", vec![("name", "mine"), ("query", "back=1")], "mine"),
    ] {
        let answer = server.post_as(&session, path, &form).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        let action = format!("action=\"{}\"", path.replace('/', "&#x2f;"));
        let form_of = answer.body.split("<form class=\"stack\"").nth(1).unwrap_or_default();
        assert!(form_of.contains(&action) && form_of.contains(typed), "{path}: {}", answer.body);
        for (name, _) in &form {
            assert!(form_of.contains(&format!("name=\"{name}\"")), "{path} {name}: {form_of}");
        }
        assert!(!answer.body.contains("<b>late"), "{path}");
    }
    let form = [("id", "x"), ("value", "typed-canary-88"), ("ttl", "soon"), ("kind", "secure")];
    let refused = server.post_as(&session, "/state/put", &form).await;
    assert!(refused.status == 400 && refused.body.contains("soon"), "{refused:?}");
    assert!(!refused.body.contains("typed-canary"), "{refused:?}");
    // For a role there is nothing to be corrected.
    let viewer = server.session(VIEWER).await;
    let refused = server.post_as(&viewer, "/maintenance/on", &[until]).await;
    assert!(refused.status == 403 && !refused.body.contains("next week"), "{refused:?}");
}

async fn state_of(server: &Server, id: &str) -> Value {
    server.get(&format!("/api/v1/state/get?{}", encoded(&[("id", id)]))).await.json()
}

#[tokio::test]
async fn value_is_put_as_it_was_typed() {
    let server = Server::start(Folder::new().await).await;
    let session = server.session(EDITOR).await;
    for (kind, typed, stored) in [
        ("raw", "  two blanks  ", json!("  two blanks  ")),
        ("json", "line1\r\nline2", json!("line1\nline2")),
        ("json", " [1, 2] ", json!([1, 2])),
        ("raw", "pass word ", json!("pass word ")),
    ] {
        let form = [("id", "x"), ("value", typed), ("kind", kind)];
        assert_eq!(server.post_as(&session, "/state/put", &form).await.status, 303, "{typed:?}");
        assert_eq!(state_of(&server, "x").await, stored, "{typed:?}");
    }
}

async fn apply(server: &Server, job: &Value) {
    let request = json!({ "specs": { "documents": [{ "document": job }] } });
    let applied = server.api(EDITOR, "/api/v1/apply", &request).await;
    assert_eq!(applied.status, 200, "{applied:?}");
}

fn id_of(answer: &Answer) -> String {
    answer.header("location").split_once("id=").unwrap().1.to_owned()
}

/// What a run was asked for with, as its record has it.
async fn globals_of(server: &Server, run: &str) -> Value {
    let key = run.parse().unwrap();
    let (_, spec) = pumice_service::Realm::runs(&*server.realm).load_with_spec(&key).await.unwrap().unwrap();
    Value::Object(spec.asked.unwrap().globals)
}

#[tokio::test]
async fn run_again_has_values_of_their_types() {
    let server = Server::start(Folder::new().await).await;
    let session = server.session(EDITOR).await;
    let job = json!({ "job_id": "sum", "type": "cmd", "worker": "core", "enabled": true,
        "payload": "echo '{{ globals.n * 2 }}'", "globals": { "n": 1, "m": 1, "t": "" } });
    apply(&server, &job).await;
    let form = [("id", "sum"), ("global:n", "7"), ("global:t", " x "), ("globals", "on:=true\nlist:=[1,2]")];
    let run = id_of(&server.post_as(&session, "/job/run", &form).await);
    let asked = json!({ "n": 7, "t": " x ", "on": true, "list": [1, 2] });
    assert_eq!(globals_of(&server, &run).await, asked);
    let cancelled = server.post_as(&session, "/run/cancel", &[("id", run.as_str())]).await;
    assert_eq!(cancelled.status, 303, "{cancelled:?}");
    let page = server.see(&session, &format!("/run/retry?id={run}")).await.body;
    for line in ["n:=7", "t= x ", "on:=true", "list:=[1,2]"] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let again = |globals: &'static str| {
        [
            ("id", run.clone()),
            ("from", "all".to_owned()),
            ("globals", globals.to_owned()),
            ("key", "once".to_owned()),
        ]
    };
    for wrong in ["n=8", "on=false", "m=2"] {
        let form = again(wrong);
        let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
        let refused = server.post_as(&session, "/run/retry", &form).await;
        assert!(refused.status == 400 && refused.body.contains(":=VALUE"), "{wrong}: {refused:?}");
        let query = encoded(&[("id", run.as_str()), ("from", "all"), ("globals", wrong)]);
        let page = server.see(&session, &format!("/run/retry?{query}")).await.body;
        assert!(page.contains("class=\"reason bad\"") && page.contains(":=VALUE"), "{wrong}: {page}");
        assert!(!page.contains("Run it again so"), "{wrong}: {page}");
    }
    let form = again("n:=8\non:=false");
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let done = server.post_as(&session, "/run/retry", &form).await;
    assert_eq!(done.status, 303, "{done:?}");
    let second = globals_of(&server, &id_of(&done)).await;
    assert_eq!((&second["n"], &second["on"], &second["t"]), (&json!(8), &json!(false), &json!(" x ")));
    let query = encoded(&[("id", run.as_str()), ("from", "all"), ("globals", "n:=8")]);
    let page = server.see(&session, &format!("/run/retry?{query}")).await.body;
    assert!(page.contains("--global=n:=8") || page.contains("&#x27;--global=n:=8&#x27;"), "{page}");
}
