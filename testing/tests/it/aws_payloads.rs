//! Jobs of types exe and pkg on a realm whose payloads are in S3.

use std::os::fd::AsFd;

use pumice_core::engine::{Dispatcher, Engine};
use pumice_core::ports::{Catalog, Fetched, ObjectStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, request};
use serde_json::{Value, json};

const PAYLOADS: &str = "s3://test-bucket/payloads";

fn job(id: &str, job_type: &str, payload: &str, parameters: Value) -> Value {
    json!({ "job_id": id, "type": job_type, "worker": "core", "enabled": true, "payload": payload, "parameters": parameters })
}

/// A realm with payloads, and what dispatches and runs.
struct Stage {
    realm: Faulty,
    dispatcher: Dispatcher,
    engine: Engine,
}

impl Stage {
    async fn new(jobs: &[Value], payloads: &[(&str, &[u8])]) -> Self {
        let realm = Faulty::start(jobs).await;
        let document = json!({ "realm": "test", "s3_temp": "s3://test-bucket/tmp", "s3_payloads": PAYLOADS });
        let document = document.as_object().cloned().expect("an object");
        realm.direct().store().put_realm(document).await.expect("it is put");
        let stage = Self { dispatcher: realm.dispatcher().await, engine: realm.engine().await, realm };
        for (key, bytes) in payloads {
            stage.put(key, bytes).await;
        }
        stage
    }

    /// Puts a payload, past the proxy.
    async fn put(&self, key: &str, bytes: &[u8]) {
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, bytes).expect("room for a few bytes");
        let location = format!("{PAYLOADS}/{key}");
        self.realm.direct().objects().put_file(&location, file.as_fd()).await.expect("it is kept");
    }

    async fn run(&self, job: &str) -> Run {
        let accepted = dispatch(&self.dispatcher, request(job)).await.expect("it is taken");
        self.realm.work(&self.engine, &key_of(&accepted)).await.run
    }

    /// How many requests for objects there were since the last call: lists and fetches.
    fn gets(&self) -> usize {
        self.realm.proxy.calls().get("GET").copied().unwrap_or_default()
    }

    async fn printed(&self, run: &Run, index: usize) -> String {
        let output = &run.result["output"][index];
        self.realm.cloud.object(output["stdout"].as_str().unwrap_or_else(|| panic!("{run:#?}"))).await
    }
}

#[tokio::test]
async fn payloads_of_a_prefix_run_in_order_and_are_fetched_once() {
    let stage = Stage::new(
        &[job("steps", "exe", "demo/ x", json!({}))],
        &[
            ("demo/2.sh", b"#!/bin/sh\necho second $1 $LAVA_S3_PAYLOAD"),
            ("demo/1.sh", b"#!/bin/sh\necho first $1"),
            ("demo/deep/3.sh", b"#!/bin/sh\nexit 9"),
            ("demo/", b""),
            ("demo2.sh", b"#!/bin/sh\nexit 9"),
        ],
    )
    .await;
    stage.gets();
    let run = stage.run("steps").await;
    assert_eq!(run.status, Status::Complete, "{run:#?}");
    let names: Vec<&Value> =
        run.result["output"].as_array().expect("a list").iter().map(|one| &one["payload"]).collect();
    assert_eq!(names, ["1.sh", "2.sh"]);
    assert_eq!(stage.printed(&run, 0).await, "first x\n");
    assert_eq!(stage.printed(&run, 1).await, format!("second x {PAYLOADS}/demo/\n"));
    let place = run.result["output"][1]["stdout"].as_str().expect("a place");
    assert!(
        place.starts_with("s3://test-bucket/tmp/.output/steps/") && place.ends_with("/2.sh.stdout"),
        "{place}"
    );
    // A list and two fetches, then a list alone; one payload has changed, then.
    assert_eq!(stage.gets(), 3, "docs/cost.md");
    stage.run("steps").await;
    assert_eq!(stage.gets(), 1, "docs/cost.md");
    stage.put("demo/1.sh", b"#!/bin/sh\necho changed").await;
    let run = stage.run("steps").await;
    assert_eq!((stage.gets(), stage.printed(&run, 0).await), (2, "changed\n".to_owned()));
}

#[tokio::test]
async fn package_is_unpacked_and_run() {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [("bin/run.sh", "#!/bin/sh\ncat share/text; echo $1"), ("share/text", "packed\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).expect("room");
    }
    let tar = tar.into_inner().expect("an archive");
    let package = job(
        "pack",
        "pkg",
        "packs/a.tar",
        json!({ "command": "bin/run.sh", "args": ["{{ vars.x }}"], "vars": { "x": 5 } }),
    );
    let stage = Stage::new(&[package], &[("packs/a.tar", &tar)]).await;
    for gets in [2, 1] {
        stage.gets();
        let run = stage.run("pack").await;
        assert_eq!(run.status, Status::Complete, "{run:#?}");
        assert_eq!(stage.gets(), gets);
        assert_eq!(stage.printed(&run, 0).await, "packed\n5\n");
    }
}

#[tokio::test]
async fn payload_that_is_gone_or_too_large_fails_with_the_reason() {
    let stage = Stage::new(
        &[job("gone", "exe", "gone.sh", json!({})), job("large", "exe", "large.sh", json!({}))],
        &[("large.sh", &[b'#'; 2_000])],
    )
    .await;
    let run = stage.run("gone").await;
    assert_eq!(
        (run.status, run.reason.as_deref()),
        (Status::Failed, Some("no payload gone.sh; for all payloads of a folder write gone.sh/"))
    );
    let catalog = stage.realm.direct();
    let mut document = catalog.store().realm_document().await.expect("the store answers").expect("a realm");
    document.insert("config".to_owned(), json!({ "EXE_MAX_PAYLOAD_SIZE": 1_000 }));
    catalog.store().put_realm(document).await.expect("the store answers");
    let stage = Stage { engine: stage.realm.engine().await, ..stage };
    stage.gets();
    let run = stage.run("large").await;
    let wanted = "the payload large.sh has 2000 bytes; the limit is 1000 (EXE_MAX_PAYLOAD_SIZE)";
    assert_eq!((run.status, run.reason.as_deref()), (Status::Failed, Some(wanted)));
    assert_eq!(stage.gets(), 1, "it is not fetched");
}

#[tokio::test]
async fn object_that_changed_since_it_was_listed_is_not_fetched() {
    let stage = Stage::new(&[], &[("x", b"first")]).await;
    let realm = stage.realm.direct();
    let objects = realm.objects();
    let found = objects.list_level(&format!("{PAYLOADS}/x"), 10).await.expect("S3 answers");
    assert_eq!(found.len(), 1);
    let into = tempfile::tempfile().expect("a file");
    assert_eq!(objects.fetch(&found[0], into.as_fd()).await.expect("S3 answers"), Fetched::Whole);
    stage.put("x", b"later").await;
    assert_eq!(objects.fetch(&found[0], into.as_fd()).await.expect("S3 answers"), Fetched::Changed);
    stage.put("x", b"much later").await;
    assert_eq!(objects.fetch(&found[0], into.as_fd()).await.expect("S3 answers"), Fetched::Changed);
    stage.realm.cloud.remove_object(&format!("{PAYLOADS}/x")).await;
    assert_eq!(objects.fetch(&found[0], into.as_fd()).await.expect("S3 answers"), Fetched::Gone);
}

#[tokio::test]
async fn silent_store_fails_the_attempt_and_the_next_goes_on() {
    let mut steps = job("steps", "exe", "once.sh", json!({}));
    steps["iteration_limit"] = json!(2);
    let stage = Stage::new(&[steps], &[("once.sh", b"#!/bin/sh\necho done")]).await;
    // In a form that S3's client does not know, and so does not try again.
    stage.realm.proxy.fail("GET", Fault::Error("InternalError"), 1);
    let run = stage.run("steps").await;
    assert_eq!((run.status, run.attempt), (Status::Complete, 2), "{run:#?}");
}
