//! Writes that are meant for a document as it was read.

use pumice_service::operations;
use serde_json::{Value, json};

use crate::client::{Answer, EDITOR, OPERATOR, Server, VIEWER, encoded};
use crate::fixtures;

fn spec(id: &str, payload: &str) -> Value {
    json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": payload })
}

fn applied(document: &Value) -> Value {
    json!({ "specs": { "documents": [{ "document": document }] } })
}

/// Sends a write with the header `If-Match`, one line for each text.
async fn write(server: &Server, path: &str, conditions: &[&str], body: &Value) -> Answer {
    let bearer = format!("Bearer {EDITOR}");
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    headers.extend(conditions.iter().map(|one| ("if-match", *one)));
    server.send("POST", &format!("/api/v1/{path}"), &headers, &body.to_string()).await
}

async fn tag(server: &Server, path: &str) -> String {
    let answer = server.get(&format!("/api/v1/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    let tag = answer.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20, "{path}: {tag}");
    tag
}

async fn lively() -> Server {
    let server = Server::start(fixtures::lively().await).await;
    let definition = json!({ "realm": server.realm_name(), "config": {}, "x-note": 1 });
    let trigger =
        json!({ "trigger_id": "in", "bucket": "b", "prefix": "*", "job_id": "one", "enabled": true });
    let connection =
        json!({ "conn_id": "shelf", "type": "generic", "enabled": true, "attributes": { "a": 1 } });
    for document in [&spec("one", "true"), &definition, &trigger, &connection] {
        let put = server.api(EDITOR, "/api/v1/apply", &applied(document)).await;
        assert_eq!(put.status, 200, "{}", put.body);
    }
    server
}

#[tokio::test]
async fn of_two_editors_the_second_is_refused() {
    let server = lively().await;
    let read = tag(&server, "jobs/show?job=one").await;
    let first = write(&server, "apply", &[&read], &applied(&spec("one", "echo first"))).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let second = write(&server, "apply", &[&read], &applied(&spec("one", "echo second"))).await;
    let problem = second.json();
    assert_eq!((second.status, &problem["kind"]), (412, &json!("changed")), "{problem}");
    assert_eq!(second.header("content-type"), "application/problem+json");
    assert_eq!(problem["current"], spec("one", "echo first"));
    let now = tag(&server, "jobs/show?job=one").await;
    assert_eq!(second.header("etag"), now);
    assert_ne!(now, read);
    let shown = server.get("/api/v1/jobs/show?job=one").await.json();
    assert_eq!(shown["payload"], "echo first");
    let again = write(&server, "apply", &[&now], &applied(&spec("one", "echo second"))).await;
    assert_eq!(again.status, 200, "{}", again.body);
    // Nothing but the condition kept it out.
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.json()["payload"], "echo second");
}

#[tokio::test]
async fn of_many_editors_at_once_one_wins() {
    let server = lively().await;
    let read = tag(&server, "jobs/show?job=one").await;
    let bodies: Vec<Value> = (0..12).map(|number| applied(&spec("one", &format!("echo {number}")))).collect();
    let conditions = [read.as_str()];
    let writes = bodies.iter().map(|body| write(&server, "apply", &conditions, body));
    let answers = futures_util::future::join_all(writes).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(
        (count(200), count(412)),
        (1, 11),
        "{:?}",
        answers.iter().map(|one| one.status).collect::<Vec<_>>()
    );
    for refused in answers.iter().filter(|answer| answer.status == 412) {
        assert!(
            refused.json()["current"]["payload"].as_str().is_some_and(|text| text.starts_with("echo ")),
            "{}",
            refused.body
        );
    }
}

#[tokio::test]
async fn of_many_puts_of_a_state_item_one_wins() {
    let server = lively().await;
    for secure in [false, true] {
        let put = |value: usize| json!({ "id": "n", "value": format!("value {value}"), "secure": secure });
        assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put(99)).await.status, 200);
        let read = tag(&server, "state/get?id=n").await;
        let (bodies, conditions) = ((0..12).map(put).collect::<Vec<_>>(), [read.as_str()]);
        let writes = bodies.iter().map(|body| write(&server, "state/put", &conditions, body));
        let statuses: Vec<u16> =
            futures_util::future::join_all(writes).await.iter().map(|answer| answer.status).collect();
        let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
        assert_eq!((count(200), count(412)), (1, 11), "{statuses:?}");
    }
}

#[tokio::test]
async fn every_document_has_a_tag_that_guards_its_writes() {
    let server = lively().await;
    let realm = server.realm_name();
    let definition = json!({ "realm": realm, "config": {}, "x-note": 2 });
    let trigger =
        json!({ "trigger_id": "in", "bucket": "c", "prefix": "*", "job_id": "one", "enabled": true });
    let connection =
        json!({ "conn_id": "shelf", "type": "generic", "enabled": true, "attributes": { "a": 2 } });
    assert_eq!(server.api(EDITOR, "/api/v1/state/put", &json!({ "id": "n", "value": 1 })).await.status, 200);
    let put = |value: u8| json!({ "id": "n", "value": value });
    for (show, path, change, other) in [
        ("realm/show", "apply", applied(&definition), None),
        (
            "triggers/show?trigger=in",
            "apply",
            applied(&trigger),
            Some(("triggers/delete", json!({ "triggers": ["in"] }))),
        ),
        (
            "connections/show?connection=shelf",
            "apply",
            applied(&connection),
            Some(("connections/delete", json!({ "connection": "shelf" }))),
        ),
        (
            "jobs/show?job=one",
            "apply",
            applied(&spec("one", "false")),
            Some(("jobs/delete", json!({ "jobs": ["one"] }))),
        ),
        ("state/get?id=n", "state/put", put(2), Some(("state/delete", json!({ "ids": ["n"] })))),
    ] {
        let read = tag(&server, show).await;
        assert_eq!(tag(&server, show).await, read, "{show}: it is the same as long as nothing changes");
        assert_eq!(write(&server, path, &[&read], &change).await.status, 200, "{show}");
        let late = write(&server, path, &[&read], &change).await;
        assert_eq!(late.status, 412, "{show}: {}", late.body);
        assert!(!late.json()["current"].is_null(), "{show}: {}", late.body);
        let Some((delete, body)) = other else { continue };
        let late = write(&server, delete, &[&read], &body).await;
        assert_eq!(late.status, 412, "{delete}: {}", late.body);
        let now = tag(&server, show).await;
        assert_eq!(write(&server, delete, &[&now], &body).await.status, 200, "{delete}");
        // A deleted document has no state: neither its tag nor * means it.
        for condition in [now.as_str(), "*"] {
            let gone = write(&server, delete, &[condition], &body).await;
            assert_eq!(
                (gone.status, &gone.json()["current"]),
                (412, &Value::Null),
                "{delete}: {}",
                gone.body
            );
            assert_eq!(gone.header("etag"), "", "{delete}");
            let made = write(&server, path, &[condition], &change).await;
            assert_eq!(made.status, 412, "{path} must not make {show} anew: {}", made.body);
        }
        assert_eq!(server.get(&format!("/api/v1/{show}")).await.status, 404, "{show}");
    }
}

#[tokio::test]
async fn condition_is_read_as_rfc_9110_has_it() {
    let server = lively().await;
    let read = tag(&server, "jobs/show?job=one").await;
    let weak = format!("W/{read}");
    let (list, weak_list) = (format!("\"no\" , {read}"), format!("W/\"no\", {weak}"));
    let body = applied(&spec("one", "true"));
    for (conditions, status) in [
        (&["*"][..], 200),
        (&[&list], 200),
        (&["\"no\"", &read], 200),
        (&[&weak], 412),
        (&[&weak_list], 412),
        (&["\"no\""], 412),
        (&[read.trim_matches('"')], 400),
        (&["\"no"], 400),
        (&[""], 400),
        (&["*, \"no\""], 400),
        (&["*", "*"], 400),
        (&["\"a\" \"b\""], 400),
    ] {
        let answer = write(&server, "apply", conditions, &body).await;
        assert_eq!(answer.status, status, "{conditions:?}: {}", answer.body);
    }
    let long = "\"x\",".repeat(1_000);
    assert_eq!(write(&server, "apply", &[&long], &body).await.status, 400);
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.header("etag"), read);
}

#[tokio::test]
async fn condition_that_nothing_would_heed_is_refused() {
    let server = lively().await;
    let two = json!({ "specs": { "documents": [{ "document": spec("one", "a") }, { "document": spec("two", "b") }] } });
    let pruned = json!({ "specs": applied(&spec("one", "a"))["specs"], "prune": "one" });
    let disagreeing = json!({ "specs": applied(&spec("one", "a"))["specs"], "if_match": "\"b\"" });
    for (path, body, wrong) in [
        ("apply", two, "one document"),
        ("apply", pruned, "one document"),
        ("apply", disagreeing, "says otherwise"),
        ("jobs/delete", json!({ "jobs": ["one", "nightly"] }), "one document"),
        ("state/delete", json!({ "ids": ["a", "b"] }), "one document"),
        ("dispatch", json!({ "requests": [{ "job_id": "one" }] }), "has no if_match"),
        ("jobs/show", json!({ "job": "one" }), "has no if_match"),
    ] {
        let answer = write(&server, path, &["*"], &body).await;
        assert!(
            answer.status == 400 && answer.body.contains(wrong),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
    }
    // A pattern is not a document.
    let pattern = write(&server, "jobs/delete", &["*"], &json!({ "jobs": ["on?"] })).await;
    assert_eq!(pattern.status, 412, "{}", pattern.body);
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.json()["payload"], "true");
    assert_eq!(server.get("/api/v1/jobs/show?job=two").await.status, 404);
}

#[tokio::test]
async fn tag_and_problem_give_no_secret_away() {
    let server = lively().await;
    let put = |text: &str| json!({ "id": "leak", "value": text });
    assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put("tag-canary-4711")).await.status, 200);
    let public = tag(&server, "state/get?id=leak").await;
    pumice_core::secret::remember("tag-canary-4711");
    let keyed = tag(&server, "state/get?id=leak").await;
    assert_ne!(public, keyed, "a viewer could try values until the tag fits");
    let refused = write(&server, "state/put", &["\"no\""], &put("x")).await;
    assert_eq!((refused.status, &refused.json()["current"]), (412, &json!("*****")), "{}", refused.body);
    assert_eq!(write(&server, "state/put", &[&keyed], &put("x")).await.status, 200);
}

#[tokio::test]
async fn description_says_what_has_a_tag_and_what_takes_a_condition() {
    let server = lively().await;
    let document = server.get_as(VIEWER, "/api/v1/openapi.json").await.json();
    let (mut tagged, mut conditional) = (Vec::new(), Vec::new());
    for operation in operations() {
        let path = format!("/api/v1/{}", operation.command.replace("--", "").replace(' ', "/"));
        let post = &document["paths"][&path]["post"];
        if post["responses"]["200"]["headers"]["ETag"].is_object() {
            tagged.push(operation.command);
        }
        let takes =
            post["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "If-Match"));
        assert_eq!(takes, post["responses"]["412"].is_object(), "{path}");
        if takes {
            conditional.push(operation.command);
        }
    }
    tagged.sort_unstable();
    conditional.sort_unstable();
    assert_eq!(tagged, ["connections show", "jobs show", "realm show", "state get", "triggers show"]);
    let expected =
        ["apply", "connections delete", "jobs delete", "state delete", "state put", "triggers delete"];
    assert_eq!(conditional, expected);
}

/// The value of a hidden field of a form, as a browser sends it.
fn field(page: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let value = page.split(&begin).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let entities =
        [("&quot;", "\""), ("&#x2f;", "/"), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    entities.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[tokio::test]
async fn editor_that_saves_late_sees_what_changed_meanwhile() {
    let server = lively().await;
    let session = server.session(EDITOR).await;
    let page = server.see(&session, "/job/edit?id=one").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let (tag, base) = (field(&page.body, "tag"), field(&page.body, "base"));
    let form = |tag: &str, base: &str, text: &str, more: &[(&'static str, &'static str)]| {
        let mut form = vec![
            ("id".to_owned(), "one".to_owned()),
            ("tag".to_owned(), tag.to_owned()),
            ("base".to_owned(), base.to_owned()),
            ("spec".to_owned(), text.to_owned()),
        ];
        form.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        form
    };
    let send = async |fields: Vec<(String, String)>| {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        server.post_as(&session, "/job/edit", &fields).await
    };
    let mine = spec("one", "echo mine").to_string();
    let preview = send(form(&tag, &base, &mine, &[("preview", "1")])).await;
    assert!(
        preview.status == 200
            && preview.body.contains("id=\"planned\"")
            && preview.body.contains("echo mine"),
        "{}",
        preview.body
    );
    assert_eq!(
        server.get("/api/v1/jobs/show?job=one").await.json()["payload"],
        "true",
        "a look saves nothing"
    );
    // Another editor is faster.
    let theirs = applied(&spec("one", "echo theirs"));
    assert_eq!(server.api(EDITOR, "/api/v1/apply", &theirs).await.status, 200);
    let late = send(form(&tag, &base, &mine, &[])).await;
    assert_eq!(late.status, 412, "{}", late.body);
    assert!(late.body.contains("It changed meanwhile") && late.body.contains("echo theirs"), "{}", late.body);
    assert!(late.body.contains("echo mine"), "what was typed is kept: {}", late.body);
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.json()["payload"], "echo theirs");
    // Having seen it, the editor may save over it.
    let (tag, base) = (field(&late.body, "tag"), field(&late.body, "base"));
    assert!(base.contains("echo theirs"), "{base}");
    let saved = send(form(&tag, &base, &mine, &[])).await;
    assert_eq!((saved.status, saved.header("location")), (303, "/job?id=one"), "{}", saved.body);
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.json()["payload"], "echo mine");
    // A job that was deleted is not made anew.
    let delete = json!({ "jobs": ["one"] });
    assert_eq!(server.api(EDITOR, "/api/v1/jobs/delete", &delete).await.status, 200);
    let gone = send(form(&tag, &base, &mine, &[])).await;
    assert!(gone.status == 412 && gone.body.contains("deleted meanwhile"), "{}", gone.body);
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.status, 404);
}

#[tokio::test]
async fn text_that_cannot_be_saved_says_why() {
    let server = lively().await;
    let session = server.session(EDITOR).await;
    let page = server.see(&session, "/job/edit?id=one").await.body;
    let (tag, base) = (field(&page, "tag"), field(&page, "base"));
    pumice_core::secret::remember("edit-canary-4711");
    for (text, wrong) in [
        ("{", "the spec is not JSON"),
        ("[]", "a spec is a JSON object"),
        ("{\"job_id\": \"other\"}", "its job_id must be"),
        ("{\"job_id\": \"one\", \"job_id\": \"one\"}", "is given twice"),
        ("{\"job_id\": \"one\", \"x\": \"edit-canary-4711\"}", "has a secret in it"),
        ("{\"job_id\": \"one\", \"type\": \"none\"}", "none"),
    ] {
        let form = [("id", "one"), ("tag", tag.as_str()), ("base", base.as_str()), ("spec", text)];
        let answer = server.post_as(&session, "/job/edit", &form).await;
        let body = answer.body.replace("&quot;", "\"");
        assert!(
            answer.status == 200 && body.contains("reason bad") && body.contains(wrong),
            "{text}: {body}"
        );
        assert!(!body.contains("edit-canary"), "{body}");
    }
    let malformed = [("id", "one"), ("tag", "a\"b"), ("base", base.as_str()), ("spec", base.as_str())];
    assert_eq!(server.post_as(&session, "/job/edit", &malformed).await.status, 400);
    assert_eq!(server.get("/api/v1/jobs/show?job=one").await.json(), spec("one", "true"));
    // A caller that may not save does not see the form.
    for token in [VIEWER, OPERATOR] {
        let session = server.session(token).await;
        assert_eq!(server.see(&session, "/job/edit?id=one").await.status, 403);
        let form = [("id", "one"), ("tag", tag.as_str()), ("base", base.as_str()), ("spec", base.as_str())];
        assert_eq!(server.post_as(&session, "/job/edit", &form).await.status, 403);
    }
    // A spec with a secret in it would be saved with the mask in its place; so would a field that the realm marks.
    pumice_core::secret::mark_names(&["x-if-match-marked".to_owned()]);
    let mut marked = spec("marked", "true");
    marked["x-if-match-marked"] = json!("by its name");
    for (document, hidden) in [(spec("leaking", "echo edit-canary-4711"), "canary"), (marked, "by its name")]
    {
        let put = server.api(EDITOR, "/api/v1/apply", &applied(&document)).await;
        assert_eq!(put.status, 200, "{}", put.body);
        let id = document["job_id"].as_str().unwrap();
        let page = server.see(&session, &format!("/job/edit?{}", encoded(&[("id", id)]))).await;
        assert!(page.status == 409 && !page.body.contains(hidden), "{id}: {}", page.body);
    }
}
