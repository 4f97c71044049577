//! Outputs with lines of any length, on every page that shows them.

use pumice_core::ids::RunKey;
use pumice_core::run::Status;
use pumice_testing::folder::Folder;
use serde_json::json;

use crate::client::{Server, encoded};
use crate::fixtures::{lively, run_id};
use crate::pages::{MAX_PAGE, compressed, values};
use crate::weight::{create, record};

/// The query of the output of the complete run.
fn query(more: &[(&str, &str)]) -> String {
    let (id, at) = (run_id(4).to_string(), format!("/out/{}/stdout", run_id(4)));
    encoded(&[&[("id", id.as_str()), ("at", at.as_str())], more].concat())
}

async fn printed(text: &str) -> Server {
    let server = Server::start(lively().await).await;
    server.realm.print(&format!("/out/{}/stdout", run_id(4)), text);
    server
}

#[tokio::test]
async fn line_longer_than_a_window_is_shown_on_every_page() {
    let long = format!("{}END", "x".repeat(70_000));
    for text in [
        long.clone(),
        format!("{long}\n"),
        format!("first\nsecond\n{long}"),
        format!("{{{}}}\n{long}\n", "y".repeat(20_000)),
        format!("10%\r{}100% END", "50%\r".repeat(20_000)),
    ] {
        let server = printed(&text).await;
        let pages = [
            server.get(&format!("/run?id={}", run_id(4))).await.body,
            server.get(&format!("/run/output?{}", query(&[]))).await.body,
            pumice_console::run_as_document(&*server.realm, &run_id(4).to_string(), None).await.unwrap(),
        ];
        for page in pages {
            assert!(!page.contains("Nothing was printed"), "{}", &text[..20]);
            assert!(page.contains("END") && page.contains("class=\"cut\""), "{}", &text[..20]);
        }
        // Every earlier part is reached, up to the beginning.
        let (mut path, mut all) = (format!("/run/output?{}", query(&[])), 0);
        for _ in 0..20 {
            let page = server.get(&path).await.body;
            all += page.matches("<span id=\"L").count();
            let earlier = page.split(">Earlier</a>").next().filter(|_| page.contains(">Earlier</a>"));
            match earlier.and_then(|before| values(before, "href").pop()) {
                Some(earlier) => path = earlier,
                None => break,
            }
        }
        assert!(path.contains("before=") && all >= 2, "{path} {all}");
        let first = server.get(&path).await.body;
        assert!(first.contains(&format!("</a>{}", &text[..3])), "{}", &text[..20]);
    }
    let empty = printed("").await;
    assert!(empty.get(&format!("/run/output?{}", query(&[]))).await.body.contains("Nothing was printed."));
}

#[tokio::test]
async fn page_of_an_output_has_the_command_that_prints_it_alone() {
    let realm = Folder::new().await;
    let root = RunKey::root(run_id(1));
    let spec = json!({ "job_id": "x", "type": "cmd", "worker": "core", "payload": "x" });
    let steps = [root.child(1, 0), root.child(1, 1)];
    let mut made = vec![record(root.clone(), "x", "chain", Status::Complete, &spec)];
    for step in &steps {
        let mut one = record(step.clone(), "x", "cmd", Status::Complete, &spec);
        let places = ["stdout", "stderr"].map(|stream| format!("/out/{step}/{stream}"));
        one.run.result = json!({ "output": [{ "payload": "x", "exit_status": 0, "stdout": places[0], "stderr": places[1] }] });
        for place in &places {
            realm.print(place, &format!("this is {place}\n"));
        }
        made.push(one);
    }
    create(&realm, made).await;
    let server = Server::start(realm).await;
    for step in &steps {
        for stream in ["stdout", "stderr"] {
            let (id, at) = (root.to_string(), format!("/out/{step}/{stream}"));
            let query = encoded(&[("id", id.as_str()), ("at", &at)]);
            let page = server.get(&format!("/run/output?{query}")).await.body;
            let named = if stream == "stderr" { " --name=stderr" } else { "" };
            let command = format!("pumice runs output {step} --from=0{named} --attempt=1");
            assert_eq!(values(&page, "data-copy")[0], command, "{at}");
            let query = encoded(&[("run", step.as_str()), ("from", "0"), ("name", stream), ("attempt", "1")]);
            let part = server.get(&format!("/api/v1/runs/output/from?{query}")).await.json();
            assert_eq!(part["text"], format!("this is {at}\n"), "{part}");
        }
    }
}

#[tokio::test]
async fn page_of_any_output_is_small() {
    // Texts that hardly compress, as a generator of Lehmer's makes them.
    let mut seed = 42_u64;
    let mut next = |most: u64| {
        seed = seed * 48_271 % 0x7fff_ffff;
        seed % most
    };
    let numbers: String = (1..400_000).map(|number| format!("{number}\n")).collect();
    let short: String = (0..60_000).map(|_| format!("{:05x}\n", next(0xf_ffff))).collect();
    let marks: String = (0..200_000).map(|_| ['<', '&', '"', '\'', '/', '\n'][next(6) as usize]).collect();
    let letters: String = (0..200_000).map(|_| char::from(b'!' + u8::try_from(next(90)).unwrap())).collect();
    for text in [numbers, short, marks, letters] {
        let server = printed(&text).await;
        for page in [
            format!("/run?id={}", run_id(4)),
            format!("/run/output?{}", query(&[])),
            format!("/run/output?{}", query(&[("from", "100000")])),
            format!("/run/output?{}", query(&[("find", "1")])),
            format!("/run/output?{}", query(&[("find", "&")])),
        ] {
            let answer = server.get(&page).await;
            let size = compressed(&answer.body);
            assert!(answer.status == 200 && size <= MAX_PAGE, "{page}: {size}, {}", &text[..20]);
        }
    }
}

#[tokio::test]
async fn line_behind_a_long_one_is_found_and_shown_by_its_number() {
    let server = printed(&format!("first\n{}\nneedle here\nlast\n", "x".repeat(2 * 1024 * 1024))).await;
    let page = server.get(&format!("/run/output?{}", query(&[("find", "needle")]))).await.body;
    let hits: Vec<String> = values(&page, "href")
        .into_iter()
        .filter(|link| link.contains("from=") && link.contains('#'))
        .collect();
    assert_eq!(hits.len(), 1, "{hits:?}");
    let (path, id) = hits[0].split_once('#').unwrap();
    assert_eq!(id, "L3");
    let shown = server.get(path).await.body;
    assert!(shown.contains("<span id=\"L3\"><a href=\"#L3\">3</a>needle here"), "{shown}");
}

#[tokio::test]
async fn page_is_sent_compressed_where_that_is_accepted() {
    let server = printed("hello\n").await;
    let token = format!("Bearer {}", crate::client::VIEWER);
    let headers = [("authorization", token.as_str()), ("accept-encoding", "gzip")];
    for (path, is_packed) in
        [("/runs", true), ("/api/v1/runs/list", true), ("/api/v1/jobs/show?job=nightly", false)]
    {
        let packed = server.send("GET", path, &headers, "").await;
        assert_eq!(packed.header("content-encoding") == "gzip", is_packed, "{path}");
        let plain = server.send("GET", path, &headers[..1], "").await;
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        let size = |answer: &crate::client::Answer| answer.header("content-length").parse::<usize>().unwrap();
        assert!(!is_packed || size(&packed) * 2 < size(&plain), "{path}");
    }
}
