//! Entries of the audit about acts at the console, and whether the realm works.

use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::client::{EDITOR, OPERATOR, Server, VIEWER};
use crate::fixtures::{SCRIPT, lively};

/// The entries of an act, the newest first, with all that they have.
async fn entries(server: &Server, act: &str) -> Vec<Value> {
    let query = serde_json::json!({ "where": format!("act:{act:?} from:console,api"), "details": true });
    let answer = server.api(VIEWER, "/api/v1/audit/list", &query).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn act_has_the_name_of_the_login_and_the_way_it_came() {
    let server = Server::start(lively().await).await;
    let put = json!({ "id": "x", "value": 1 });
    assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put).await.status, 200);
    // A request that is refused for its role never reaches the realm, and is in the audit.
    assert_eq!(server.api(OPERATOR, "/api/v1/state/put", &put).await.status, 403);
    let form = [("id", "x"), ("value", "2"), ("form", "json")];
    let session = server.session(EDITOR).await;
    let posted = server.post_as(&session, "/state/put", &form).await;
    assert_eq!(posted.status, 303, "{posted:?}");
    let found = entries(&server, "state put").await;
    let actors: Vec<(&Value, &Value)> = found.iter().map(|one| (&one["who"], &one["from"])).collect();
    let who = json!("editor (editor)");
    let denied = json!("operator (operator)");
    assert_eq!(actors, [(&who, &json!("console")), (&denied, &json!("api")), (&who, &json!("api"))]);
    assert!(found[1]["outcome"] == "refused" && found[1].get("asked").is_none(), "{found:?}");
    assert!(found[1]["error"].as_str().unwrap().contains("asks for the role editor"), "{found:?}");
    // The link is the console's owner's.
    let link = server.links.lock().unwrap()[0].clone();
    let path = link.split_once(&server.host()).unwrap().1.to_owned();
    let opened = server.send("GET", &path, &[], "").await;
    let session = crate::client::session_of(&opened);
    assert_eq!(server.post_as(&session, "/state/put", &form).await.status, 303);
    assert_eq!(entries(&server, "state put").await[0]["who"], "tester (login link)");
    // A dry run is not an act.
    let pause = json!({ "jobs": ["nightly"], "terms": { "dry_run": true } });
    assert_eq!(server.api(EDITOR, "/api/v1/jobs/pause", &pause).await.status, 200);
    assert_eq!(entries(&server, "jobs pause").await, Vec::<Value>::new());
}

#[tokio::test]
async fn page_of_the_audit_lists_entries_and_shows_each_as_text() {
    let server = Server::start(lively().await).await;
    let put = json!({ "id": "x", "value": SCRIPT });
    assert_eq!(server.api(EDITOR, "/api/v1/state/put", &put).await.status, 200);
    let page = server.get_as(VIEWER, "/audit").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let body = page.body.replace("&#x2f;", "/").replace("&amp;", "&");
    let link = body.split("href=\"").find(|rest| rest.starts_with("/audit/entry")).unwrap();
    let link = link.split('"').next().unwrap().to_owned();
    let one = server.get_as(VIEWER, &link).await;
    assert_eq!(one.status, 200, "{}", one.body);
    assert!(one.body.contains("state put by editor (editor)"), "{}", one.body);
    assert!(!one.body.contains(SCRIPT), "{}", one.body);
    let none = server.get_as(VIEWER, "/audit?where=who:nobody").await;
    assert!(none.body.contains("No entry is like that."), "{}", none.body);
    let wrong = server.get_as(VIEWER, "/audit?where=colour:red").await;
    assert!(wrong.status == 200 && wrong.body.contains("is not a word of filters"), "{}", wrong.body);
}

#[tokio::test]
async fn health_needs_no_login_and_shows_no_names() {
    let server = Server::start(Folder::new().await).await;
    let answer = server.send("GET", "/healthz", &[], "").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let health = answer.json();
    assert_eq!(health["reasons"], json!(["no process runs the jobs of this folder"]));
    let foreign = server.send("GET", "/healthz", &[("host", "evil.example")], "").await;
    assert_eq!(foreign.status, 421);
    // While a process serves it, it works.
    let server = Server::start(Folder::new().await).await;
    let lock = std::fs::File::create(server.realm.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let answer = server.send("GET", "/healthz", &[], "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok","reasons":[]}"#));
    // While that process stops, nothing begins.
    let folder = Folder::new().await;
    let _lock = folder.stopping().await;
    let answer = Server::start(folder).await.send("GET", "/healthz", &[], "").await;
    let reasons = answer.json()["reasons"].to_string();
    let is_stopping = reasons.contains("the server of this folder is stopping since ");
    assert!(answer.status == 503 && is_stopping, "{answer:?}");
}
