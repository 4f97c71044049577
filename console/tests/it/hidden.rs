//! Secrets stay out of renderings, whatever a caller's own templates do with them.

use pumice_testing::folder::Folder;
use serde_json::json;

use crate::client::{EDITOR, OPERATOR, Server, VIEWER, encoded};

/// Changes that a mask of known texts does not see.
const CHANGES: [&str; 5] = ["|reverse", "|upper", "[:4]", "[3:]|list|join('-')", "|length"];

/// A realm with a job, two secure state items and a value that the realm marks.
async fn server() -> Server {
    pumice_core::secret::mark_names(&["rendered_pin*".to_owned()]);
    let server = Server::start(Folder::new().await).await;
    for (id, value) in
        [("app/key", json!("topsecretvalue99")), ("app/deep", json!({ "user": "deeplyhidden77" }))]
    {
        let put = json!({ "id": id, "value": value, "secure": true });
        assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put).await.status, 200);
    }
    let job = json!({ "job_id": "st/use", "type": "cmd", "worker": "core", "enabled": true,
        "payload": "echo", "globals": { "rendered_pin": "markedvalue55" },
        "state": { "app/key": "", "app/deep": "" } });
    let apply = json!({ "specs": { "documents": [{ "document": job }] } });
    let applied = server.api(EDITOR, "/api/v1/apply", &apply).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    server
}

#[tokio::test]
async fn rendering_has_placeholders_for_every_role() {
    let server = server().await;
    let names = [
        "state['app/key']",
        "state['app/deep']|string",
        "job.state['app/key']",
        "globals.rendered_pin",
        "job.globals.rendered_pin",
    ];
    let templates: Vec<String> =
        names.iter().flat_map(|name| CHANGES.map(|change| format!("{{{{ ({name}){change} }}}}"))).collect();
    let changed = |value: &str, of: &str| match of {
        "|reverse" => value.chars().rev().collect::<String>(),
        "|upper" => value.to_uppercase(),
        "[:4]" => value[..4].to_owned(),
        "|length" => value.len().to_string(),
        _ => value[3..].chars().map(String::from).collect::<Vec<_>>().join("-"),
    };
    let expected: Vec<String> =
        names.iter().flat_map(|_| CHANGES.map(|change| changed("*****", change))).collect();
    let parameters = json!({ "args": templates });
    // A URL has a limit.
    let few = json!({ "args": templates[..CHANGES.len()] });
    let query = encoded(&[("job", "st/use"), ("parameters", &few.to_string())]);
    for role in [VIEWER, OPERATOR, EDITOR] {
        let asked = json!({ "job": "st/use", "parameters": parameters });
        let sent = server.api(role, "/api/v1/render", &asked).await;
        let got = server.get_as(role, &format!("/api/v1/render?{query}")).await;
        for (answer, number) in [(&sent, expected.len()), (&got, CHANGES.len())] {
            assert_eq!(answer.status, 200, "{answer:?}");
            let rendered = answer.json();
            let args: Vec<&str> =
                rendered["payload"].as_array().unwrap().iter().filter_map(|one| one.as_str()).collect();
            let expected: Vec<&str> = expected[..number].iter().map(String::as_str).collect();
            assert!(args.ends_with(&expected), "{args:?}");
            let hidden = rendered["hidden"].as_str().unwrap();
            for part in ["secure state items (", "app/deep", "app/key"] {
                assert!(hidden.contains(part), "{hidden}");
            }
            assert!(hidden.contains("values of job and realm that are masked"), "{hidden}");
        }
        let session = server.session(role).await;
        let args = json!(templates).to_string();
        let form = [("id", "st/use"), ("param:args", args.as_str()), ("preview", "1")];
        let page = server.post_as(&session, "/job/run", &form).await;
        assert!(page.status == 200 && page.body.contains("secure state items"), "{}", page.body);
        for secret in ["99eulav", "TOPSECRET", "55eulav", "MARKEDV", "77neddih"] {
            assert!(!page.body.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn template_that_fails_on_a_placeholder_says_so() {
    let server = server().await;
    let asked = json!({ "job": "st/use", "parameters": { "args": ["{{ state['app/deep'].user.name }}"] } });
    let answer = server.api(VIEWER, "/api/v1/render", &asked).await;
    assert!(answer.status == 400 && answer.body.contains("in place of secure state items"), "{answer:?}");
}

fn put_of(id: &str, value: &str) -> serde_json::Value {
    json!({ "id": id, "value": value })
}

#[tokio::test]
async fn state_item_with_a_marked_id_is_masked_everywhere() {
    let server = server().await;
    // One is too short to be known elsewhere.
    for (id, value) in [("rendered_pin_of_bank", "markeditem66"), ("rendered_pin", "q7#")] {
        let plain = pumice_service::tag(&json!(value));
        let put = server.api(EDITOR, "/api/v1/state/put", &put_of(id, value)).await;
        assert!(put.status == 200 && !put.body.contains(value), "{put:?}");
        let path = format!("/api/v1/state/get?{}", encoded(&[("id", id)]));
        let got = server.get(&path).await;
        assert_eq!((got.status, got.json()), (200, json!("*****")), "{got:?}");
        // The tag is that of the value itself, and no digest that everyone can make.
        let tag = got.header("etag").to_owned();
        assert_ne!(tag.trim_matches('"'), plain);
        let other = json!({ "id": id, "value": value.replace('m', "n").replace('q', "p") });
        assert_eq!(server.api(EDITOR, "/api/v1/state/put", &other).await.status, 200);
        assert_ne!(server.get(&path).await.header("etag"), tag);
        for (act, asked) in [
            ("put", json!({ "id": id, "value": 1, "if_match": tag })),
            ("delete", json!({ "ids": [id], "if_match": tag })),
        ] {
            let stale = server.api(EDITOR, &format!("/api/v1/state/{act}"), &asked).await;
            assert_eq!((stale.status, &stale.json()["current"]), (412, &json!("*****")), "{stale:?}");
        }
        assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put_of(id, value)).await.status, 200);
        assert_eq!(server.get(&path).await.header("etag"), tag);
        let list = server.api(VIEWER, "/api/v1/state/list", &json!({})).await;
        assert!(list.body.contains(id) && !list.body.contains(value), "{list:?}");
        let session = server.session(VIEWER).await;
        for page in ["/state", "/audit"] {
            let page = server.see(&session, page).await;
            assert!(
                page.status == 200 && page.body.contains(id) && !page.body.contains(value),
                "{}",
                page.body
            );
        }
    }
}
