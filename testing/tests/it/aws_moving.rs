//! A realm that moves from a folder to AWS, by the steps of docs/moving.md.

use std::path::Path;
use std::process::Command;

use pumice_core::ports::{Catalog, RunStore};
use pumice_core::run::Status;
use pumice_testing::standins::{Cloud, until};
use serde_json::{Value, json};

/// The `pumice` command in a folder, and what it prints.
fn in_folder(folder: &Path, arguments: &[&str]) -> String {
    let program = std::env::var_os("PUMICE_COMMAND").expect("PUMICE_COMMAND names the command");
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).env_remove("LAVA_REALM").env_remove("PUMICE_HOME");
    let output = command.output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// A realm in a folder: jobs, a schedule, a trigger, a connection, a payload, a run that ended.
fn fill(folder: &Path) {
    let documents = json!([
        { "job_id": "etl/load", "type": "exe", "worker": "core", "enabled": true, "payload": "etl/load.sh" },
        { "job_id": "etl/all", "type": "chain", "worker": "core", "enabled": true, "payload": ["etl/load", "etl/note"],
          "schedule": { "crontab": "0 3 * * *", "timezone": "Europe/Berlin" } },
        { "job_id": "etl/note", "type": "log", "worker": "core", "enabled": true, "payload": "noted",
          "globals": { "day": "2026-03-01", "share": 0.1 } },
        { "trigger_id": "new", "enabled": true, "bucket": "inbox", "prefix": "in", "job_id": ["etl/note"] },
        { "conn_id": "warehouse", "type": "generic", "enabled": true, "attributes": { "host": "db.example" } },
    ]);
    std::fs::write(folder.join("documents.json"), documents.to_string()).expect("a file");
    in_folder(folder, &["apply", "documents.json"]);
    std::fs::write(folder.join("load.sh"), "#!/bin/sh\necho loaded\n").expect("a file");
    in_folder(folder, &["payloads", "put", "load.sh", "--to", "etl/"]);
    let program = std::env::var_os("PUMICE_COMMAND").expect("PUMICE_COMMAND names the command");
    let mut server = Command::new(program).current_dir(folder).arg("serve").spawn().expect("it starts");
    in_folder(folder, &["dispatch", "etl/note", "--wait"]);
    // It may have ended by itself.
    let _ = server.kill();
    let _ = server.wait();
}

#[tokio::test]
async fn realm_moves_from_a_folder_to_aws_as_the_page_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fill(folder);
    in_folder(folder, &["export", "realm-files"]);
    let archive = in_folder(folder, &["runs", "export"]);
    let archived: Vec<Value> =
        archive.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((archived.len(), &archived[0]["job_id"]), (1, &json!("etl/note")), "{archive}");
    in_folder(folder, &["maintenance", "on", "--why", "moved to AWS"]);

    let cloud = Cloud::start(&[]).await;
    // The folder's own definition has its name and places: that of the deployed realm stays.
    std::fs::remove_file(folder.join("realm-files/realm.json")).expect("it is there");
    let files = folder.join("realm-files").display().to_string();
    let plan = cloud.pumice(&["plan", &files]);
    assert!(plan.contains("5 to add, 0 to update"), "{plan}");
    cloud.pumice(&["apply", &files]);
    assert!(cloud.pumice(&["plan", &files]).contains("nothing to do: 5 unchanged"));
    cloud.pumice(&["schedules", "pause", "etl/all", "--why", "until the folder rests"]);
    let load = folder.join("load.sh").display().to_string();
    let realm = json!({ "realm": "test", "s3_temp": "s3://test-bucket/tmp", "s3_payloads": "s3://test-bucket/payloads" });
    let document = realm.as_object().cloned().expect("an object");
    cloud.realm.store().put_realm(document).await.expect("it is put");
    cloud.pumice(&["payloads", "put", &load, "--to", "etl/"]);
    cloud.pumice(&["state", "put", "day", "\"2026-03-01\""]);

    // What was moved is there, unchanged.
    for job in ["etl/load", "etl/all", "etl/note"] {
        let shown = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
        let (before, after) =
            (shown(in_folder(folder, &["jobs", "show", job])), shown(cloud.pumice(&["jobs", "show", job])));
        assert_eq!(before, after, "{job}");
    }
    let listed: Value =
        serde_json::from_str(&cloud.pumice(&["schedules", "list", "-o", "json"])).expect("JSON");
    assert_eq!(listed["schedules"][0]["state"], "paused", "{listed}");
    assert!(cloud.pumice(&["triggers", "list"]).contains("inbox"));
    assert!(cloud.pumice(&["connections", "list"]).contains("warehouse"));
    // And it runs.
    let mut worker = cloud.pumice_command(&["worker", "core"]).spawn().expect("it starts");
    let dispatched: Value =
        serde_json::from_str(&cloud.pumice(&["dispatch", "etl/all", "-o", "json"])).expect("JSON");
    let key = dispatched["accepted"][0]["run_id"].as_str().expect("an id").parse().expect("a key");
    let ended = until(async || {
        let run = cloud.realm.store().load(&key).await.ok().flatten()?;
        run.status.is_end().then_some(run)
    });
    let ended = ended.await.expect("it ends");
    let printed = cloud.pumice(&["runs", "output", key.as_str()]);
    // It may have ended by itself.
    let _ = worker.kill();
    let _ = worker.wait();
    assert_eq!((ended.status, &*printed), (Status::Complete, "loaded\n"), "{ended:?}");
}
