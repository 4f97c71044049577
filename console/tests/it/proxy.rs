//! A console behind a proxy that authenticates users.

use pumice_console::{Role, Settings, TrustedProxy, TrustedRole};
use serde_json::json;

use crate::client::{EDITOR, Server, settings};
use crate::fixtures::lively;

const USER: &str = "x-forwarded-user";
const ROLE: &str = "x-forwarded-role";

/// How a console is started behind a proxy at an address. The tests' own requests come from 127.0.0.1.
fn behind(proxy: &str, role: TrustedRole) -> Settings {
    let trust = TrustedProxy::new(USER.parse().unwrap(), role, vec![proxy.parse().unwrap()]).unwrap();
    Settings { proxy: Some(trust), ..settings() }
}

fn by_header() -> TrustedRole {
    TrustedRole::Header(ROLE.parse().unwrap())
}

const JSON: (&str, &str) = ("content-type", "application/json");
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

#[tokio::test]
async fn user_of_the_proxy_acts_under_their_name() {
    let server = Server::with(lively().await, behind("127.0.0.1", by_header())).await;
    let ada = [(USER, "ada"), (ROLE, "editor"), JSON, OWN];
    let page = server.send("GET", "/", &ada, "").await;
    assert!(
        page.status == 200 && page.body.contains("ada, editor") && !page.body.contains("Log out"),
        "{}",
        page.body
    );
    let put = json!({ "id": "n", "value": 1 }).to_string();
    assert_eq!(server.send("POST", "/api/v1/state/put", &ada, &put).await.status, 200);
    let entries = server.get("/api/v1/audit/list?where=act:%22state%20put%22").await.json();
    assert_eq!(entries["entries"][0]["who"], "ada (editor, by x-forwarded-user)", "{entries}");
    // The outcome of an act is shown to its actor, once.
    let form = [(USER, "ada"), (ROLE, "editor"), OWN, ("content-type", "application/x-www-form-urlencoded")];
    let deleted = server.send("POST", "/state/delete", &form, "id=n").await;
    assert_eq!(deleted.status, 303, "{}", deleted.body);
    let eve = server.send("GET", "/state", &[(USER, "eve"), (ROLE, "viewer")], "").await.body;
    assert!(!eve.contains("state item n deleted"), "{eve}");
    let seen = |page: &str| page.contains("state item n deleted");
    assert!(seen(&server.send("GET", "/state", &ada, "").await.body));
    assert!(!seen(&server.send("GET", "/state", &ada, "").await.body));
}

#[tokio::test]
async fn role_of_the_proxy_is_all_that_its_user_may() {
    let server = Server::with(lively().await, behind("127.0.0.1", by_header())).await;
    let put = json!({ "id": "n", "value": 1 }).to_string();
    for (role, status) in [("viewer", 403), ("operator", 403), ("editor", 200), ("admin", 403), ("", 403)] {
        let answer =
            server.send("POST", "/api/v1/state/put", &[(USER, "ada"), (ROLE, role), JSON, OWN], &put).await;
        assert_eq!(answer.status, status, "{role}: {}", answer.body);
    }
    let fixed = behind("127.0.0.1", TrustedRole::Fixed(Role::Viewer));
    let server = Server::with(lively().await, fixed).await;
    let ada = [(USER, "ada"), (ROLE, "editor"), JSON, OWN];
    assert_eq!(server.send("GET", "/api/v1/jobs/list", &ada, "").await.status, 200);
    let refused = server.send("POST", "/api/v1/state/put", &ada, &put).await;
    assert!(refused.status == 403 && refused.body.contains("logged in as viewer"), "{}", refused.body);
    // A header that decides nothing gives nothing.
    assert_eq!(server.get("/api/v1/state/get?id=n").await.status, 404);
}

#[tokio::test]
async fn header_from_elsewhere_is_refused_everywhere() {
    let server = Server::with(lively().await, behind("127.0.0.2", by_header())).await;
    let bearer = format!("Bearer {EDITOR}");
    for path in [
        "/",
        "/runs",
        "/api/v1/jobs/list",
        "/login",
        "/healthz",
        "/live",
        "/metrics",
        "/hooks/x",
        "/assets/x",
    ] {
        for header in [(USER, "ada"), (ROLE, "editor"), (USER, ""), ("X-FORWARDED-USER", "ada")] {
            let answer = server.send("GET", path, &[header], "").await;
            assert!(
                answer.status == 403 && answer.body.contains("another address"),
                "{path} {header:?}: {answer:?}"
            );
            // A token does not make it true.
            let answer = server.send("GET", path, &[header, ("authorization", &bearer)], "").await;
            assert_eq!(answer.status, 403, "{path} {header:?}");
        }
    }
    // Without it a token works as ever, and nothing else does.
    assert_eq!(server.get("/api/v1/jobs/list").await.status, 200);
    assert_eq!(server.send("GET", "/api/v1/jobs/list", &[], "").await.status, 401);
    assert_ne!(server.send("GET", "/healthz", &[], "").await.status, 403);
}

#[tokio::test]
async fn header_that_is_not_one_name_is_refused() {
    let server = Server::with(lively().await, behind("127.0.0.1", TrustedRole::Fixed(Role::Editor))).await;
    let long = "x".repeat(201);
    for name in ["", " ", "ada,eve", "a\tb", "login link", "ada\u{202e}", long.as_str()] {
        let answer = server.send("GET", "/api/v1/jobs/list", &[(USER, name)], "").await;
        assert_eq!(answer.status, 403, "{name:?}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let twice = [(USER, "ada"), (USER, "eve")];
    assert_eq!(server.send("GET", "/api/v1/jobs/list", &twice, "").await.status, 403);
    // Bytes that end or hide a header do not get that far.
    for name in ["ada\0", "ada\u{1}", "ada\u{7f}"] {
        let status = server.send("GET", "/api/v1/jobs/list", &[(USER, name)], "").await.status;
        assert!([400, 403, 0].contains(&status), "{name:?}: {status}");
    }
    // Without a name there is no login.
    assert_eq!(server.send("GET", "/api/v1/jobs/list", &[], "").await.status, 401);
    assert_eq!(server.send("GET", "/runs", &[], "").await.status, 303);
}

#[tokio::test]
async fn name_of_the_proxy_does_not_vouch_for_other_sites() {
    let server = Server::with(lively().await, behind("127.0.0.1", TrustedRole::Fixed(Role::Editor))).await;
    let put = json!({ "id": "n", "value": 1 }).to_string();
    for more in [&[][..], &[("sec-fetch-site", "cross-site")], &[("origin", "https://evil.example.org")]] {
        let mut headers = vec![(USER, "ada"), JSON];
        headers.extend_from_slice(more);
        let answer = server.send("POST", "/api/v1/state/put", &headers, &put).await;
        assert_eq!(answer.status, 403, "{more:?}: {}", answer.body);
    }
    // A request with two possible senders is refused.
    for token in [EDITOR, "unknown-token-0123456789"] {
        let bearer = format!("Bearer {token}");
        let both = [(USER, "ada"), JSON, OWN, ("authorization", bearer.as_str())];
        let answer = server.send("POST", "/api/v1/state/put", &both, &put).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    assert_eq!(server.get("/api/v1/state/get?id=n").await.status, 404);
    assert!(server.links.lock().unwrap().is_empty(), "a login link would be a way past the proxy");
}
