//! The stream of events.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::{EDITOR, Server, VIEWER};
use crate::fixtures::lively;

/// Reads lines until one begins so.
async fn until(lines: &mut tokio::io::Lines<BufReader<TcpStream>>, begin: &str) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with(begin) {
                return line;
            }
        }
        panic!("the stream ended before {begin}")
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.unwrap()
}

async fn listen(server: &Server, last: Option<&str>) -> tokio::io::Lines<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    let text = format!(
        "GET /live HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {VIEWER}\r\n{last}\r\n",
        server.host()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    BufReader::new(stream).lines()
}

#[tokio::test]
async fn stream_tells_of_runs_by_id_and_revision_alone() {
    let server = Server::start(lively().await).await;
    let mut lines = listen(&server, None).await;
    until(&mut lines, "event: sync").await;
    let asked = json!({ "requests": [{ "job_id": "nightly", "globals": { "secret": "in-the-run" } }] });
    let run = server.api(EDITOR, "/api/v1/dispatch", &asked).await.json();
    let id = run["accepted"][0]["run_id"].as_str().unwrap().to_owned();
    let event = until(&mut lines, "event: ").await;
    assert_eq!(event, "event: change");
    let data = until(&mut lines, "data: ").await;
    let data: serde_json::Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    let runs = data.as_object().unwrap();
    assert!(runs.contains_key(&id) && runs.values().all(serde_json::Value::is_number), "{data}");
    // Nor is a run forgotten that many newer ones push out of the looks: it may have ended meanwhile.
    let many: Vec<_> = (0..130).map(|_| json!({ "job_id": "off" })).collect();
    server.api(EDITOR, "/api/v1/dispatch", &json!({ "requests": many })).await;
    let ended = crate::fixtures::run_id(4).to_string();
    loop {
        let data = until(&mut lines, "data: ").await;
        let data: serde_json::Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        if data.get(&ended).is_some() {
            break;
        }
    }
    // A client that was away hears that something changed.
    let mut again = listen(&server, Some("elsewhere-7")).await;
    until(&mut again, "event: change").await;
}
