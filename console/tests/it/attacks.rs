//! Attacks on a console, and its answers.

use std::collections::VecDeque;
use std::time::Duration;

use pumice_console::{Bounds, Console, Settings, StartError};
use pumice_testing::folder::Folder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{EDITOR, OPERATOR, Server, VIEWER, encoded, parse, session_of, settings};
use crate::fixtures::{SCRIPT, lively, run_id};

async fn bind(settings: Settings) -> Result<Console, StartError> {
    Console::bind(std::sync::Arc::new(Folder::new().await), settings).await
}

#[tokio::test]
async fn address_that_others_reach_needs_a_login_and_a_name() {
    let open = |listen: &str| Settings { listen: listen.parse().unwrap(), tokens: Vec::new(), ..settings() };
    assert!(matches!(bind(open("0.0.0.0:0")).await, Err(StartError::NoLogin(_))));
    assert!(matches!(bind(open("[::]:0")).await, Err(StartError::NoLogin(_))));
    let proxied =
        Settings { urls: vec!["https://pumice.example.org".parse().unwrap()], ..open("127.0.0.1:0") };
    assert!(
        matches!(bind(proxied).await, Err(StartError::NoLogin(_))),
        "a proxy passes on what comes from elsewhere"
    );
    let named = Settings { listen: "0.0.0.0:0".parse().unwrap(), ..settings() };
    assert!(matches!(bind(named).await, Err(StartError::NoHost(_))));
    assert!(bind(open("127.0.0.1:0")).await.is_ok());
    let whole = Settings { urls: vec!["https://pumice.example.org".parse().unwrap()], ..settings() };
    let console = bind(Settings { listen: "0.0.0.0:0".parse().unwrap(), ..whole }).await.unwrap();
    assert!(!console.has_links(), "a link would be of use to an eavesdropper");
}

#[tokio::test]
async fn page_whose_name_points_here_reads_nothing() {
    let server = Server::start(lively().await).await;
    let session = server.session(VIEWER).await;
    let cookie = format!("{}={session}", server.cookie());
    for path in
        ["/", "/runs", "/api/v1/runs/list", "/api/v1/openapi.json", "/live", "/login", "/assets/console.css"]
    {
        // The browser sends what it has for the name that was rebound; say it had our cookie.
        let headers = [("host", "evil.example:8377"), ("cookie", cookie.as_str())];
        let answer = server.send("GET", path, &headers, "").await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(!answer.body.contains("etl/load"), "{path}");
        assert!(!answer.body.contains(server.realm_name()), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn write_of_another_site_changes_nothing() {
    let server = Server::start(lively().await).await;
    let session = server.session(EDITOR).await;
    let cookie = format!("{}={session}", server.cookie());
    let own = format!("http://{}", server.host());
    for more in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
    ] {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let headers = [&[("cookie", cookie.as_str()), form], more].concat();
        for (path, body) in [("/job/run", encoded(&[("id", "nightly")])), ("/login/link", String::new())] {
            assert_eq!(server.send("POST", path, &headers, &body).await.status, 403, "{path} {more:?}");
        }
        let json = [("cookie", cookie.as_str()), ("content-type", "text/plain")];
        let answer =
            server.send("POST", "/api/v1/jobs/delete", &[&json, more].concat(), "{\"jobs\":[\"*\"]}").await;
        assert_eq!(answer.status, 403, "{more:?}");
    }
    assert_eq!(server.get("/job?id=nightly").await.status, 200);
    let runs = server.get("/api/v1/runs/list?job=nightly").await.json();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(0), "{runs}");
}

#[tokio::test]
async fn login_link_works_once_and_its_token_nowhere_else() {
    let server = Server::start(lively().await).await;
    let link = server.links.lock().unwrap()[0].clone();
    let path = link.strip_prefix(&format!("http://{}", server.host())).unwrap().to_owned();
    let token = path.strip_prefix("/login?token=").unwrap().to_owned();
    for wrong in [format!("/?token={token}"), format!("/runs?access_token={token}")] {
        assert_eq!(server.send("GET", &wrong, &[], "").await.status, 400, "{wrong}");
    }
    assert_eq!(server.get_as(&token, "/").await.status, 401, "a link is not a bearer token");
    // A preview of the link, as messengers make one, does not use it up.
    let preview = server.send("HEAD", &path, &[], "").await;
    assert_eq!((preview.status, preview.header("set-cookie")), (200, ""));
    let first = server.send("GET", &path, &[], "").await;
    assert_eq!((first.status, first.header("location")), (303, "/"));
    let cookie = first.header("set-cookie");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&token), "{cookie}");
    let session = session_of(&first);
    assert_eq!(server.see(&session, "/runs").await.status, 200);
    let second = server.send("GET", &path, &[], "").await;
    assert_eq!((second.status, second.header("set-cookie")), (401, ""));
    assert_eq!(server.see(&token, "/runs").await.status, 303, "a link is not a session");
    // The user at the terminal gets another one.
    assert_eq!(server.post_as("", "/login/link", &[]).await.status, 303);
    assert_eq!(server.links.lock().unwrap().len(), 2);
    assert_eq!(server.post_as(&session, "/logout", &[]).await.status, 303);
    assert_eq!(server.see(&session, "/runs").await.status, 303);
}

#[tokio::test]
async fn caller_without_a_login_sees_nothing() {
    let server = Server::start(lively().await).await;
    for path in ["/", "/runs", "/run?id=latest", "/job?id=nightly", "/state", "/taste", "/nothing"] {
        let answer = server.send("GET", path, &[], "").await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").starts_with("/login?next=%2F"), "{path}");
    }
    for path in ["/api/v1/runs/list", "/api/v1/openapi.json", "/api/nothing", "/live"] {
        let answer = server.send("GET", path, &[], "").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{path}");
    }
    for header in ["Bearer wrong-token-0123456789", "Bearer ", "Bearer", &format!("Basic {EDITOR}"), EDITOR] {
        assert_eq!(server.send("GET", "/", &[("authorization", header)], "").await.status, 401, "{header}");
    }
    let twice = [("authorization", "Bearer x"), ("authorization", &format!("Bearer {EDITOR}"))];
    assert_eq!(server.send("GET", "/", &twice, "").await.status, 401);
    let answer = server.post_as("", "/login", &[("token", "wrong-token-0123456789")]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (401, ""));
}

#[tokio::test]
async fn way_after_the_login_leads_nowhere_else() {
    let server = Server::start(lively().await).await;
    for (next, location) in [
        ("/runs?job=a%2Fb", "/runs?job=a%2Fb"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        let answer = server.post_as("", "/login", &[("token", VIEWER), ("next", next)]).await;
        assert_eq!(answer.header("location"), location, "{next}");
    }
    let session = server.session(VIEWER).await;
    let answer = server.post_as(&session, "/taste", &[("theme", "dark"), ("back", "//evil.example")]).await;
    assert_eq!(answer.header("location"), "/");
}

/// Where a form is sent, what it has, and whether an operator may.
type Act<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);

#[tokio::test]
async fn role_that_is_not_enough_is_refused_by_each_act() {
    let server = Server::start(lively().await).await;
    let viewer = server.session(VIEWER).await;
    let operator = server.session(OPERATOR).await;
    let id = run_id(1).to_string();
    let acts: [Act<'_>; 30] = [
        ("/runs/cancel", &[("run", &id)], true),
        ("/run/cancel", &[("id", &id)], true),
        ("/run/retry", &[("id", &id)], true),
        ("/runs/many", &[("act", "cancel"), ("where", "job:none")], true),
        ("/runs/many", &[("act", "retry"), ("where", "job:none")], true),
        ("/runs/many", &[("act", "delete"), ("where", "job:none")], false),
        ("/bulk/stop", &[("id", "none")], true),
        ("/bulk/resume", &[("id", "none")], false),
        ("/job/run", &[("id", "nightly")], true),
        ("/job/delete", &[("id", "nightly")], false),
        ("/jobs/pause", &[("jobs", "nightly")], true),
        ("/jobs/resume", &[("jobs", "nightly")], true),
        ("/workers/pause", &[("worker", "core")], true),
        ("/workers/drain", &[("worker", "core")], true),
        ("/workers/resume", &[("worker", "core")], true),
        ("/maintenance/on", &[], true),
        ("/maintenance/off", &[], true),
        ("/schedules/pause", &[("id", "nightly"), ("entry", "0")], true),
        ("/schedules/resume", &[("id", "nightly"), ("entry", "0")], true),
        ("/schedules/run", &[("id", "nightly"), ("entry", "0")], true),
        (
            "/schedules/backfill",
            &[("id", "nightly"), ("entry", "0"), ("from", "2026-01-01"), ("to", "2026-01-02")],
            true,
        ),
        ("/backfill/cancel", &[("id", "x")], true),
        ("/backfill/resume", &[("id", "x")], true),
        ("/state/put", &[("id", "x"), ("value", "1")], false),
        ("/state/delete", &[("id", "seen/at")], false),
        ("/trigger/delete", &[("id", "t")], false),
        ("/connection/test", &[("id", "box")], true),
        ("/connection/delete", &[("id", "box")], false),
        ("/secrets/set", &[("name", "x"), ("value", "12345678")], false),
        ("/secrets/delete", &[("name", "k")], false),
    ];
    for (path, form, for_operators) in acts {
        assert_eq!(server.post_as(&viewer, path, form).await.status, 403, "{path}");
        let answer = server.post_as(&operator, path, form).await;
        assert_eq!(answer.status == 403, !for_operators, "{path}: {}", answer.status);
    }
    for (operation, body) in [
        ("dispatch", json!({ "requests": [{ "job_id": "nightly" }] })),
        ("runs/cancel", json!({ "runs": [id] })),
        ("apply", json!({ "specs": { "documents": [] } })),
        ("jobs/delete", json!({ "jobs": ["nightly"] })),
        ("state/put", json!({ "id": "x", "value": 1 })),
        ("secrets/set", json!({ "name": "x", "value": "12345678" })),
    ] {
        let answer = server.api(VIEWER, &format!("/api/v1/{operation}"), &body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (403, "application/problem+json"),
            "{operation}"
        );
    }
    // Pages of a viewer offer no act.
    let run = format!("/run?id={id}");
    for path in ["/runs", &run, "/job?id=nightly", "/jobs", "/workers", "/schedules", "/state", "/secrets"] {
        let page = server.see(&viewer, path).await.body;
        assert!(!page.contains("class=\"danger\"") && !page.contains("/pause\""), "{path}");
    }
}

#[tokio::test]
async fn read_only_console_changes_nothing_for_anyone() {
    let server = Server::with(lively().await, Settings { is_read_only: true, ..settings() }).await;
    let session = server.session(EDITOR).await;
    assert_eq!(server.post_as(&session, "/job/run", &[("id", "nightly")]).await.status, 403);
    assert_eq!(server.post_as(&session, "/state/delete", &[("id", "seen/at")]).await.status, 403);
    let answer = server.api(EDITOR, "/api/v1/jobs/delete", &json!({ "jobs": ["nightly"] })).await;
    assert_eq!(answer.json()["detail"], "this console is read-only");
    assert_eq!(server.post_as(&session, "/taste", &[("theme", "dark")]).await.status, 303);
    assert_eq!(server.get("/job?id=nightly").await.status, 200);
}

#[tokio::test]
async fn path_that_climbs_finds_nothing() {
    let server = Server::start(lively().await).await;
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/api/v1/../../etc/passwd",
        "/api/v1/payloads/get?key=x&path=/etc/passwd",
        "/etc/passwd",
    ] {
        let answer = server.get(path).await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:") && !answer.body.contains("[package]"), "{path}");
    }
    let secret = server.realm.path().join("outside");
    std::fs::write(&secret, "outside-canary").unwrap();
    let id = run_id(4).to_string();
    for at in ["/etc/passwd", &secret.display().to_string(), "../../etc/passwd", "file:///etc/passwd"] {
        for page in ["/run/output", "/run/output/raw"] {
            let answer = server.get(&format!("{page}?{}", encoded(&[("id", &id), ("at", at)]))).await;
            assert_eq!(answer.status, 404, "{page} {at}");
            assert!(!answer.body.contains("outside-canary"), "{page} {at}");
        }
    }
    let put = json!({ "files": [{ "key": "x", "path": "/etc/passwd" }] });
    assert_eq!(server.api(EDITOR, "/api/v1/payloads/put", &put).await.status, 404);
}

#[tokio::test]
async fn text_of_a_job_is_text_on_every_page() {
    let server = Server::start(lively().await).await;
    let complete = run_id(4).to_string();
    server.realm.print(&format!("/out/{complete}/stdout"), &format!("{SCRIPT}\nfixture-canary-5150\n"));
    pumice_core::secret::remember("fixture-canary-5150");
    let at = format!("/out/{complete}/stdout");
    let output = format!("/run/output?{}", encoded(&[("id", &complete), ("at", &at)]));
    let mut paths: Vec<String> = (0..9).map(|number| format!("/run?id={}", run_id(number))).collect();
    paths.extend(
        ["/", "/runs?limit=200", "/jobs", "/schedules", "/triggers", "/connections", "/state"]
            .map(str::to_owned),
    );
    paths.push(output.clone());
    paths.push(format!("{output}&{}", encoded(&[("find", SCRIPT)])));
    paths.push(format!("{output}&find=canary"));
    paths.extend(
        ["/job", "/runs", "/jobs", "/run", "/trigger", "/nothing"].map(|path| {
            format!("{path}?{}", encoded(&[("id", SCRIPT), ("job", SCRIPT), ("pattern", SCRIPT)]))
        }),
    );
    for path in paths {
        let answer = server.get(&path).await;
        assert!(!answer.body.contains("<img src=x"), "{path}: {}", answer.body);
        assert!(!answer.body.contains("</script><"), "{path}");
        assert!(!answer.body.contains("fixture-canary"), "{path}");
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
    }
    let raw = server.get(&output.replace("/run/output", "/run/output/raw")).await;
    assert_eq!(
        (raw.header("content-type"), raw.header("x-content-type-options")),
        ("text/plain; charset=utf-8", "nosniff")
    );
    assert!(raw.body.contains("<img src=x") && raw.body.contains("*****"), "{raw:?}");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_hold_scripts_off() {
    let server = Server::start(lively().await).await;
    let host = [("host", "evil.example")];
    for answer in [
        server.get("/").await,
        server.get("/nothing").await,
        server.get("/run?id=none").await,
        server.get("/api/v1/runs/list").await,
        server.get("/api/v1/nothing").await,
        server.get("/assets/console.js").await,
        server.send("GET", "/login", &[], "").await,
        server.send("GET", "/", &[], "").await,
        server.send("GET", "/", &host, "").await,
        server.send("PUT", "/", &[], "").await,
    ] {
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{part}: {answer:?}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{answer:?}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    // No page needs what the policy forbids.
    for path in ["/", "/runs", "/run?id=latest", "/job?id=dagged", "/schedules"] {
        let page = server.get(path).await.body;
        for forbidden in [" style=", "<style", " onclick=", " onload=", "javascript:", "<script>"] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn request_that_is_too_large_is_refused() {
    let server = Server::start(lively().await).await;
    let bearer = format!("Bearer {EDITOR}");
    let token = ("authorization", bearer.as_str());
    let long = format!("/runs?job={}", "x".repeat(5_000));
    assert_eq!(server.get(&long).await.status, 414);
    let many = format!("/runs?{}", "a=1&".repeat(900));
    assert_eq!(server.get(&many).await.status, 400);
    let wide = "x".repeat(40_000);
    let answer = server.send("GET", "/", &[token, ("x-wide", wide.as_str())], "").await;
    assert_eq!(answer.status, 431);
    let body = format!("{{\"requests\":[\"{}\"]}}", "x".repeat(2 * 1024 * 1024));
    let answer =
        server.send("POST", "/api/v1/dispatch", &[token, ("content-type", "application/json")], &body).await;
    assert!([413, 0].contains(&answer.status), "{}", answer.status);
    // A body that does not say how long it is.
    let chunk = format!("{:x}\r\n{}\r\n", 600_000, "x".repeat(600_000));
    let text = format!(
        "POST /api/v1/dispatch HTTP/1.1\r\nhost: {}\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunk}{chunk}0\r\n\r\n",
        server.host()
    );
    let answer = parse(&server.raw(&text).await);
    assert!([413, 0].contains(&answer.status), "{}", answer.status);
    let deep = format!("{{\"requests\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let answer =
        server.send("POST", "/api/v1/dispatch", &[token, ("content-type", "application/json")], &deep).await;
    assert_eq!(answer.status, 400);
    assert_eq!(server.get("/").await.status, 200, "it goes on");
}

#[tokio::test]
async fn list_that_would_fill_the_memory_is_refused() {
    let server = Server::start(lively().await).await;
    for limit in ["1001", "99999999", "18446744073709551615", "0"] {
        let answer = server.get_as(VIEWER, &format!("/api/v1/runs/list?limit={limit}")).await;
        assert!(answer.status == 400 && answer.body.contains("is not from 1 to 1000"), "{limit}: {answer:?}");
    }
    assert_eq!(server.get_as(VIEWER, "/api/v1/runs/list?limit=1000").await.status, 200);
}

#[tokio::test]
async fn consoles_of_one_host_have_sessions_of_their_own() {
    let one = Server::start(lively().await).await;
    let other = Server::start(lively().await).await;
    let (first, second) = (one.session(VIEWER).await, other.session(VIEWER).await);
    // A browser sends the cookies of both ports to each.
    let cookies = format!("{}={first}; {}={second}", one.cookie(), other.cookie());
    assert_ne!(one.cookie(), other.cookie());
    for server in [&one, &other] {
        assert_eq!(server.send("GET", "/runs", &[("cookie", &cookies)], "").await.status, 200);
    }
}

#[tokio::test]
async fn head_of_a_page_does_not_use_up_its_notice() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let cookie = format!("{}={session}", server.cookie());
    server.post_as(&session, "/runs/cancel", &[]).await;
    assert_eq!(server.send("HEAD", "/runs", &[("cookie", &cookie)], "").await.status, 200);
    assert!(server.see(&session, "/runs").await.body.contains("no run is ticked"));
}

fn hurried(bounds: Bounds) -> Settings {
    Settings { bounds, ..settings() }
}

#[tokio::test]
async fn client_that_is_slow_is_let_go() {
    let short = Duration::from_millis(200);
    let bounds = Bounds { head_time: short, body_time: short, ..Bounds::default() };
    let server = Server::with(Folder::new().await, hurried(bounds)).await;
    // One sends nothing, one half a head, one half a body.
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\n", server.host());
    let body = format!(
        "POST /login HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: same-origin\r\ncontent-length: 100\r\n\r\ntoken=",
        server.host()
    );
    for (sent, statuses) in [("", [0, 0]), (head.as_str(), [0, 408]), (body.as_str(), [408, 408])] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
        assert!(ended.is_ok(), "it waits for {sent:?}");
        let status = parse(&String::from_utf8_lossy(&text)).status;
        assert!(statuses.contains(&status), "{status} {sent:?}");
    }
}

#[tokio::test]
async fn connection_that_is_held_for_ever_ends() {
    let bounds = Bounds { connection_time: Duration::from_millis(300), ..Bounds::default() };
    let server = Server::with(Folder::new().await, hurried(bounds)).await;
    let text =
        format!("GET /live HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {VIEWER}\r\n\r\n", server.host());
    let ended = tokio::time::timeout(Duration::from_secs(20), server.raw(&text)).await.unwrap();
    assert!(ended.contains("text/event-stream"), "{ended}");
}

/// A connection that has asked for a page, and is kept by its client.
async fn kept(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let text = format!("GET /login HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", server.host());
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn flood_of_connections_leaves_room_for_others() {
    // None ends by itself while the test runs.
    let bounds = Bounds { connections: 8, head_time: Duration::from_hours(1), ..Bounds::default() };
    let server = Server::with(Folder::new().await, hurried(bounds)).await;
    let user = kept(&server, &format!("authorization: Bearer {VIEWER}\r\n")).await;
    let mut held = VecDeque::new();
    for number in 0..10_000 {
        held.push_back(match number % 20 {
            0 => kept(&server, "").await,
            _ => TcpStream::connect(server.address).await.unwrap(),
        });
        // A process may not have as many open; the server has closed the oldest.
        if held.len() > 200 {
            held.pop_front();
        }
    }
    let answer = tokio::time::timeout(Duration::from_secs(60), server.send("GET", "/login", &[], "")).await;
    assert_eq!(answer.unwrap().status, 200);
    // The connection of a user who has logged in was not given away.
    let mut user = user;
    let text = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.host());
    user.write_all(text.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    user.read_to_end(&mut rest).await.unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("x-content-type-options"), "{}", rest.len());
    drop(held);
}

#[tokio::test]
async fn streams_of_events_have_a_limit_of_their_own() {
    let bounds = Bounds { streams: 1, ..Bounds::default() };
    let server = Server::with(Folder::new().await, hurried(bounds)).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let text =
        format!("GET /live HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {VIEWER}\r\n\r\n", server.host());
    first.write_all(text.as_bytes()).await.unwrap();
    let mut piece = [0; 16];
    first.read_exact(&mut piece).await.unwrap();
    assert_eq!(server.get("/live").await.status, 503);
    assert_eq!(server.get("/").await.status, 200);
}
