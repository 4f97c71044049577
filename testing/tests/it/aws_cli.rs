//! The `pumice` command on a realm on AWS, and a worker that is a process.

use std::process::{Child, Stdio};
use std::time::Duration;

use pumice_aws::Realm;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{Catalog, Consumer};
use pumice_core::run::Status;
use pumice_testing::standins::{Cloud, until};
use serde_json::{Value, json};

/// A process that ends when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_worker(cloud: &Cloud, slots: &str) -> Process {
    let mut command = cloud.pumice_command(&["worker", "core", "--slots", slots]);
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
}

#[tokio::test]
async fn jobs_are_applied_looked_at_and_deleted() {
    let cloud = Cloud::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jobs.json");
    let job = |text: &str| json!([{ "job_id": "etl/load", "type": "log", "worker": "core", "enabled": true, "payload": {}, "description": text }]);
    std::fs::write(&file, job("first").to_string()).expect("it is written");
    let path = file.to_str().expect("a path");
    assert!(cloud.pumice(&["apply", path]).contains("1 added, 0 updated, 0 unchanged"));
    assert!(cloud.pumice(&["apply", path]).contains("0 added, 0 updated, 1 unchanged"));
    std::fs::write(&file, job("second").to_string()).expect("it is written");
    let dry = cloud.pumice(&["apply", "--dry-run", path]);
    assert!(dry.contains("+ description: \"second\"") && dry.contains("dry run"), "{dry}");
    assert!(cloud.pumice(&["apply", path]).contains("0 added, 1 updated, 0 unchanged"));
    assert!(cloud.pumice(&["jobs", "list"]).contains("etl/load"));
    let shown: Value = serde_json::from_str(&cloud.pumice(&["jobs", "show", "etl/load"])).expect("JSON");
    assert_eq!(shown["description"], "second");
    cloud.pumice(&["jobs", "delete", "etl/load"]);
    let output = cloud.pumice_command(&["jobs", "show", "etl/load"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn job_applied_twice_is_unchanged() {
    let cloud = Cloud::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jobs.json");
    let text = r#"{ "job_id": "wide", "type": "log", "worker": "core", "enabled": true, "payload": {
        "floats": [1.0, -0.0, 0.1, 907.3038322028689, 1.5e-7, 1.2345678901234568e17],
        "whole": [0, -9223372036854775808, 18446744073709551615],
        "texts": ["", "1"], "nothing": null, "empty": {}, "none": [] } }"#;
    std::fs::write(&file, text).expect("it is written");
    let path = file.to_str().expect("a path");
    assert!(cloud.pumice(&["apply", path]).contains("1 added, 0 updated, 0 unchanged"));
    assert!(cloud.pumice(&["apply", path]).contains("0 added, 0 updated, 1 unchanged"));
    // As DynamoDB keeps numbers, which its stand-in does not do.
    let kept = cloud.clients.dynamodb.get_item().table_name(cloud.names().jobs());
    let kept = kept.key("job_id", aws_sdk_dynamodb::types::AttributeValue::S("wide".to_owned())).send().await;
    let kept = format!("{:?}", kept.expect("it answers").item.expect("it is there")["payload"]);
    assert!(kept.contains(r#"N("1"), N("0"), N("0.1"), N("907.3038322028689")"#), "{kept}");
}

#[tokio::test]
async fn runs_of_deleted_jobs_are_listed() {
    let cloud = Cloud::start(&[]).await;
    cloud.put_jobs(&["etl/load", "etl/check", "other"].map(pumice_testing::standins::log_job)).await;
    let dispatched: Vec<String> =
        ["etl/load", "etl/check"].map(|job| cloud.pumice(&["dispatch", job])).into_iter().collect();
    cloud.pumice(&["jobs", "delete", "etl/load"]);
    let none = cloud.pumice_command(&["jobs", "delete", "no/such"]).output().expect("it runs");
    assert_eq!(none.status.code(), Some(2));
    for pattern in [&[][..], &["--job", "etl/*"], &["--status", "dispatched"]] {
        let listed = cloud.pumice(&[&["runs", "list", "-o", "wide"], pattern].concat());
        for run in &dispatched {
            let run_id = run.split_whitespace().next().expect("an id");
            assert_eq!(listed.matches(run_id).count(), 1, "{listed}");
        }
    }
    // One that is there again is listed once.
    cloud.put_jobs(&[pumice_testing::standins::log_job("etl/load")]).await;
    let listed = cloud.pumice(&["runs", "list"]);
    assert_eq!(listed.matches("etl/load").count(), 1, "{listed}");
}

/// Puts `count` runs of a job into the index that are newer than all others, with nothing but what it holds.
async fn fill_index(cloud: &Cloud, job: &str, count: usize) {
    use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
    let text = |value: String| AttributeValue::S(value);
    let later = chrono::Utc::now().timestamp_micros() + 3_600_000_000;
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(25) {
        let writes = numbers.iter().map(|number| {
            let put = PutRequest::builder()
                .item("run_id", text(format!("ffffffff-0000-4000-8000-{number:012}")))
                .item("path", text("/".to_owned()))
                .item("job_id", text(job.to_owned()))
                .item("ts_dispatch", AttributeValue::N((later + *number as i64).to_string()));
            WriteRequest::builder().put_request(put.build().expect("an item")).build()
        });
        let request = cloud.clients.dynamodb.batch_write_item();
        let written = request.request_items(cloud.names().runs(), writes.collect()).send().await;
        assert!(written.expect("written").unprocessed_items.is_none_or(|left| left.is_empty()));
    }
}

#[tokio::test]
async fn old_run_is_found_by_the_beginning_of_its_id() {
    let cloud = Cloud::start(&["old", "busy"].map(pumice_testing::standins::log_job)).await;
    let id_of = |printed: String| {
        let answer: Value = serde_json::from_str(&printed).expect("JSON");
        answer["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{printed}")).to_owned()
    };
    let timed = id_of(cloud.pumice(&["dispatch", "old", "-o", "json"]));
    let keyed = id_of(cloud.pumice(&["dispatch", "old", "--key", "once", "-o", "json"]));
    assert_eq!((&timed[14..15], &keyed[14..15]), ("7", "5"));
    fill_index(&cloud, "busy", 1_200).await;
    for (id, characters) in [(&timed, 8), (&timed, 18), (&keyed, 8), (&keyed, 18), (&keyed, 35)] {
        let shown = cloud.pumice(&["runs", "show", &id[..characters], "-o", "json"]);
        assert!(shown.contains(id.as_str()), "{id} by {characters} characters: {shown}");
    }
    let store = cloud.realm.store();
    let look = async |prefix: &str, most| store.runs_beginning(prefix, 4, most).await.expect("it answers");
    // An id with a time is found among no more than the runs of its time.
    let found = look(&timed[..15], 10).await;
    assert_eq!(
        (found.keys.iter().map(ToString::to_string).collect(), found.looked_at),
        (vec![timed.clone()], None)
    );
    // Any other is found only among so many of the newest.
    let found = look(&keyed[..15], 1_200).await;
    assert_eq!((found.keys.len(), found.looked_at), (0, Some(1_200)));
    assert_eq!(look(&keyed[..15], 1_202).await.looked_at, None);
    assert_eq!(look("ffffffff", 10).await.keys.len(), 4);
    let none = cloud.pumice_command(&["runs", "show", "0123"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.code() == Some(2) && told.contains("no such run 0123"), "{told}");
}

#[tokio::test]
async fn processes_of_a_killed_worker_are_stopped_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("pid");
    let line = format!("sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600'", mark.display());
    let job = json!({ "job_id": "slow", "type": "cmd", "worker": "core", "enabled": true, "payload": line });
    let cloud = Cloud::start(&[job]).await;
    let start = || {
        let mut command = cloud.pumice_command(&["worker", "core", "--slots", "2"]);
        command.env("TMPDIR", folder.path());
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    };
    let mut worker = start();
    let beside = start();
    cloud.pumice(&["dispatch", "slow"]);
    let pid = until(async || std::fs::read_to_string(&mark).ok()).await.expect("it starts");
    let proc = std::path::Path::new("/proc").join(pid.trim());
    assert!(proc.exists());
    // Whichever has it: the other goes on.
    let status = std::fs::read_to_string(proc.join("status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has one").trim();
    let (mut killed, alive) =
        if parent == worker.0.id().to_string() { (worker, beside) } else { (beside, worker) };
    killed.0.kill().expect("it is killed");
    killed.0.wait().expect("it ends");
    assert!(proc.exists(), "it is not stopped yet");
    worker = start();
    until(async || (!proc.exists()).then_some(())).await.expect("the next worker stops it");
    let folders = || {
        let all = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        all.filter(|entry| entry.file_name().to_string_lossy().starts_with("pumice-test-")).count()
    };
    until(async || (folders() == 2).then_some(())).await.expect("its leftovers are removed");
    drop((worker, alive));
}

#[tokio::test]
async fn worker_process_runs_dispatched_jobs() {
    let chain = json!({ "job_id": "both", "type": "chain", "worker": "core", "enabled": true, "payload": "one, two" });
    let cmd = |id: &str| json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "true" });
    let cloud = Cloud::start(&[chain, cmd("one"), cmd("two")]).await;
    let _worker = start_worker(&cloud, "4");
    let printed = cloud.pumice(&["dispatch", "both", "--wait", "-o", "json"]);
    let answer: Value = serde_json::from_str(&printed).expect("JSON");
    let statuses: Vec<&str> =
        answer["runs"].as_array().expect("runs").iter().filter_map(|run| run["status"].as_str()).collect();
    assert_eq!(statuses, ["complete", "complete", "complete"], "{printed}");
    let run_id = answer["accepted"][0]["run_id"].as_str().expect("an id");
    let listed = cloud.pumice(&["runs", "list", "--job", "b*", "--status", "complete", "-o", "wide"]);
    assert!(listed.contains(run_id) && listed.contains("both"), "{listed}");
    assert!(cloud.pumice(&["runs", "show", run_id]).contains("└─ two"));
}

#[tokio::test]
async fn running_job_keeps_its_message_hidden() {
    let job =
        json!({ "job_id": "slow", "type": "cmd", "worker": "core", "enabled": true, "payload": "sleep 4" });
    // The queue's own time of being hidden is shorter than the job.
    let cloud = Cloud::start_with(&[job], 1).await;
    let _worker = start_worker(&cloud, "2");
    let printed = cloud.pumice(&["dispatch", "slow", "--wait", "-o", "json"]);
    let answer: Value = serde_json::from_str(&printed).expect("JSON");
    let key = answer["runs"][0]["run_key"].as_str().expect("a key").parse().expect("a key");
    let run = cloud.ended(&key).await;
    assert_eq!((run.status, run.epoch, run.crashes), (Status::Complete, 1, 0));
}

#[tokio::test]
async fn worker_stopped_finishes_its_running_jobs() {
    let job =
        json!({ "job_id": "slow", "type": "cmd", "worker": "core", "enabled": true, "payload": "sleep 2" });
    let cloud = Cloud::start(&[job]).await;
    let mut worker = start_worker(&cloud, "2");
    let printed = cloud.pumice(&["dispatch", "slow", "-o", "json"]);
    let answer: Value = serde_json::from_str(&printed).expect("JSON");
    let run_id: pumice_core::ids::RunKey =
        answer["accepted"][0]["run_id"].as_str().expect("an id").parse().expect("a key");
    let running = until(async || {
        let run = pumice_core::ports::RunStore::load(cloud.realm.store(), &run_id).await.expect("it answers");
        run.filter(|run| run.status == Status::Running)
    });
    running.await.expect("it starts");
    let told = std::process::Command::new("kill").arg(worker.0.id().to_string()).status().expect("kill runs");
    assert!(told.success());
    assert!(worker.0.wait().expect("it ends").success());
    assert_eq!(cloud.ended(&run_id).await.status, Status::Complete);
}

#[tokio::test]
async fn state_is_shared_with_the_functions() {
    let job = json!({
        "job_id": "reads", "type": "cmd", "worker": "core", "enabled": true, "render_at": "run",
        "payload": "echo '{{ state.mark }}'", "state": { "mark": "none" },
    });
    let cloud = Cloud::start(&[job]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    cloud.pumice(&["state", "put", "mark", "42"]);
    assert!(cloud.pumice(&["state", "list"]).contains("mark"));
    assert_eq!(cloud.pumice(&["state", "get", "mark"]).trim(), "42");
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "reads" }))).await;
    assert_eq!(cloud.object(run.result["output"][0]["stdout"].as_str().expect("it wrote")).await, "42\n");
    cloud.pumice(&["state", "delete", "mark"]);
    assert!(!cloud.pumice(&["state", "list"]).contains("mark"));
}

#[tokio::test]
async fn missing_jobs_runs_and_realms_are_named() {
    let cloud = Cloud::start(&[]).await;
    let fails = |arguments: &[&str], status: i32, wanted: &str| {
        let output = cloud.pumice_command(arguments).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
        assert!(told.contains(wanted), "{arguments:?}: {told}");
    };
    fails(
        &["dispatch", "no/such"],
        2,
        "no such job no/such (the realm has no jobs yet: apply job specs first)",
    );
    fails(&["runs", "show", "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55"], 2, "no such run");
    let mut elsewhere = cloud.pumice_command(&["jobs", "list"]);
    elsewhere.env("LAVA_PREFIX", "other");
    let output = elsewhere.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("other.test.jobs") && told.contains("is the realm deployed"), "{told}");
    let mut nowhere = cloud.pumice_command(&["jobs", "list"]);
    nowhere.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let output = nowhere.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("is AWS_ENDPOINT_URL right"), "{told}");
    let mut nobody = cloud.pumice_command(&["jobs", "list"]);
    nobody.env_remove("AWS_ACCESS_KEY_ID").env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere");
    let output = nobody.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("no AWS credentials: set AWS_PROFILE") && told.lines().count() == 1, "{told}");
    assert!(!told.contains("dispatch failure"), "{told}");
    // A run is taken whose worker has no queue, and the command says so.
    cloud
        .put_jobs(&[
            json!({ "job_id": "lost", "type": "log", "worker": "nobody", "enabled": true, "payload": {} }),
        ])
        .await;
    let output = cloud.pumice_command(&["dispatch", "lost"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && told.contains("was not sent") && told.contains("queue lava-test-nobody"),
        "{told}"
    );
}

#[tokio::test]
async fn output_is_shown_and_kept_in_the_realms_bucket() {
    let cloud = Cloud::start(&[]).await;
    let line = "sh -c 'printf \"one\\000two\\n\"; seq 30 >&2'";
    cloud
        .put_jobs(&[
            json!({ "job_id": "say", "type": "cmd", "worker": "core", "enabled": true, "payload": line }),
        ])
        .await;
    // As `apply` makes a realm that has no document.
    let document = json!({ "realm": "test" });
    let realm = Realm::new(&cloud.clients, cloud.names(), None);
    realm.store().put_realm(document.as_object().cloned().expect("an object")).await.expect("it is put");
    let mut worker = cloud.pumice_command(&["worker", "core"]);
    worker.env("PUMICE_BUCKET", "test-bucket").stdout(Stdio::null()).stderr(Stdio::null());
    let _worker = Process(worker.spawn().expect("it starts"));
    let waited = cloud.pumice_command(&["dispatch", "say", "--wait"]).output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&waited.stdout), String::from_utf8_lossy(&waited.stderr));
    assert!(err.contains("say | one\\x00two\n") && err.contains("say | 20\n"), "{err}");
    let run_id = out.split_whitespace().next().expect("an id");
    let place = format!("s3://test-bucket/tmp/.output/say/{run_id}/stderr");
    assert!(err.contains(&format!("say | … 81 bytes in all: {place}")) && !err.contains("| 21"), "{err}");
    let printed = cloud.pumice_command(&["runs", "output", run_id]).output().expect("it runs");
    assert_eq!(printed.stdout, b"one\0two\n");
    assert_eq!(printed.stderr.iter().filter(|byte| **byte == b'\n').count(), 30);
    // A worker whose queue is not there does not seem to work.
    let nobody = cloud.pumice_command(&["worker", "nobody"]).output().expect("it runs");
    let err = String::from_utf8_lossy(&nobody.stderr);
    assert!(
        nobody.status.code() == Some(3) && err.contains("queue lava-test-nobody") && !err.contains("working"),
        "{err}"
    );
}

/// How much a command prints at once: enough for pieces that are kept for good and joined at the end.
const PRINTED: usize = 30_000_000;

/// A worker that keeps what commands print often, and a run that prints on once there is a file, and ends once there is
/// another.
async fn printing(folder: &std::path::Path) -> (Cloud, Process, String) {
    let until = |name: &str| format!("while ! test -e {}; do sleep 0.1; done", folder.join(name).display());
    let (go, end) = (until("go"), until("end"));
    let script = format!("echo first; {go}; yes 123456789 | head -c {PRINTED}; {end}; exit 3");
    let job = json!({ "job_id": "say", "type": "cmd", "worker": "core", "enabled": true, "payload": "sh -c",
        "parameters": { "args": [script] } });
    let cloud = Cloud::start(&[job]).await;
    let mut worker = cloud.pumice_command(&["worker", "core"]);
    worker.env("PUMICE_BUCKET", "test-bucket").env("LAVA_OUTPUT_INTERVAL", "0.2s");
    let worker = Process(worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
    let dispatched = cloud.pumice(&["dispatch", "say"]);
    let run_id = dispatched.split_whitespace().next().expect("an id").to_owned();
    (cloud, worker, run_id)
}

async fn kept(cloud: &Cloud, run_id: &str) -> Vec<String> {
    let prefix = format!("tmp/.output/say/{run_id}/");
    let listed = cloud.clients.s3.list_objects_v2().bucket("test-bucket").prefix(&prefix).send().await;
    let listed = listed.expect("it answers");
    let keys = listed.contents().iter().filter_map(|object| object.key()?.strip_prefix(&prefix));
    keys.map(str::to_owned).collect()
}

#[tokio::test]
async fn output_on_s3_is_followed_to_the_end_of_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (cloud, _worker, run_id) = printing(folder.path()).await;
    let file = |name: &str| Stdio::from(std::fs::File::create(place(name)).expect("a file"));
    let mut follow = cloud.pumice_command(&["runs", "output", &run_id, "-f"]);
    let mut follower = Process(follow.stdout(file("out")).stderr(file("err")).spawn().expect("it starts"));
    let out = || std::fs::read(place("out")).expect("a file");
    until(async || (out() == b"first\n").then_some(())).await.expect("the output is followed");
    std::fs::write(place("go"), "").expect("it is written");
    let length = || std::fs::metadata(place("out")).expect("a file").len();
    until(async || (length() == 6 + PRINTED as u64).then_some(())).await.expect("all of it is followed");
    let names: Vec<String> =
        (0..(PRINTED as u64).div_ceil(8 << 20)).map(|index| format!("_live/1.stdout.{index:06}")).collect();
    assert_eq!(kept(&cloud, &run_id).await, names, "it is kept in pieces");
    std::fs::write(place("end"), "").expect("it is written");
    let ended = until(async || follower.0.try_wait().expect("it can be asked")).await.expect("it ends");
    let err = std::fs::read_to_string(place("err")).expect("a file");
    assert!(ended.code() == Some(1) && err.contains("the run is failed"), "{err}");
    let wanted = [b"first\n".to_vec(), b"123456789\n".repeat(PRINTED / 10)].concat();
    assert!(out() == wanted, "{} bytes and not {}", out().len(), wanted.len());
    let printed = cloud.pumice_command(&["runs", "output", &run_id]).output().expect("it runs");
    assert!(printed.stdout == wanted, "{} bytes and not {}", printed.stdout.len(), wanted.len());
    assert_eq!(kept(&cloud, &run_id).await, ["stdout"], "the pieces are gone");
}

#[tokio::test]
async fn output_on_s3_outlives_a_killed_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cloud, mut worker, run_id) = printing(folder.path()).await;
    let printed = async || {
        let printed = cloud.pumice_command(&["runs", "output", &run_id]).output().expect("it runs");
        (!printed.stdout.is_empty()).then_some(printed.stdout)
    };
    assert_eq!(until(printed).await.as_deref(), Some(&b"first\n"[..]));
    worker.0.kill().expect("it is killed");
    worker.0.wait().expect("it ends");
    assert_eq!(printed().await.as_deref(), Some(&b"first\n"[..]));
    assert_eq!(kept(&cloud, &run_id).await, ["_live/1.stdout.000000"]);
    for name in ["go", "end"] {
        std::fs::write(folder.path().join(name), "").expect("its processes end");
    }
}

#[tokio::test]
async fn message_taken_while_stopping_is_redelivered_soon() {
    // Its queue would hide it for two minutes.
    let cloud = Cloud::start_with(&[pumice_testing::standins::log_job("note")], 120).await;
    cloud.pumice(&["dispatch", "note"]);
    let queues = Realm::new(&cloud.clients, cloud.names(), None).queues().clone();
    let queues = queues.hidden_for(Duration::from_secs(1));
    let core = WorkerName::new("core").expect("a name");
    let take = async || queues.receive(&core, 1, Duration::ZERO).await.expect("it answers").pop();
    let first = until(take).await.expect("it is there");
    let again = until(take).await.expect("it comes again");
    assert_eq!((first.receives, again.receives), (1, 2));
}

#[tokio::test]
async fn job_without_a_queue_is_warned_of_and_its_run_says_why() {
    let cloud = Cloud::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jobs.json");
    let job = |id: &str, worker: &str| json!({ "job_id": id, "type": "log", "worker": worker, "enabled": true, "payload": {} });
    std::fs::write(&file, json!([job("lost", "elsewhere"), job("found", "core")]).to_string())
        .expect("it is written");
    let path = file.to_str().expect("a path");
    let told = |arguments: &[&str]| {
        let output = cloud.pumice_command(arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, warnings) = told(&["apply", "--strict", path]);
    assert!(status == Some(2) && warnings.contains("worker elsewhere has no queue"), "{warnings}");
    let (status, warnings) = told(&["apply", path]);
    assert!(status == Some(0) && warnings.contains("[no-queue]"), "{warnings}");
    assert!(!warnings.contains("worker core"), "{warnings}");
    let run = cloud.pumice(&["dispatch", "lost", "-o", "json"]);
    let run: Value = serde_json::from_str(&run).expect("JSON");
    let id = run["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("no run id: {run}"));
    let why = cloud.pumice(&["runs", "why", id]);
    assert!(why.contains("worker elsewhere has no queue in this realm"), "{why}");
    // lava's workers are not Pumice's.
    let realm = folder.path().join("realm.json");
    let definition = json!({ "realm": "test", "config": { "FOREIGN_WORKERS": "else*" } });
    std::fs::write(&realm, definition.to_string()).expect("it is written");
    let (_, warnings) = told(&["apply", folder.path().to_str().expect("a path")]);
    assert!(!warnings.contains("no-queue"), "{warnings}");
    // No job need name the worker that performs the actions of broken limits.
    let definition = json!({ "realm": "test", "config": { "ON_LATE_WORKER": "ops" } });
    std::fs::write(&realm, definition.to_string()).expect("it is written");
    let (status, warnings) = told(&["apply", realm.to_str().expect("a path")]);
    assert!(status == Some(0) && warnings.contains("worker ops has no queue"), "{warnings}");
    let output = cloud.pumice_command(&["doctor"]).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("workers that jobs or ON_LATE_WORKER name have no queue"), "{printed}");
}
