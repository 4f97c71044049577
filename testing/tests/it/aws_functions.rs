//! The functions, as they would be deployed, on a stand-in that runs them as AWS Lambda does: from a
//! request to the record of its run, and through what goes wrong.

use pumice_core::run::Status;
use pumice_testing::standins::{Cloud, DISPATCHER, binary, statuses};
use serde_json::{Value, json};

fn cmd(id: &str, line: &str) -> Value {
    json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": line })
}

fn log(id: &str) -> Value {
    json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": {} })
}

#[tokio::test]
async fn request_becomes_a_run_and_its_record() {
    let mut job = cmd("hello", "echo 'hello {{ globals.name }}'");
    job["globals"] = json!({ "name": "world" });
    let cloud = Cloud::start(&[job, log("note")]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let hello = cloud.dispatch(&json!({ "job_id": "hello", "globals": { "name": "Pele" } }));
    let note = cloud.dispatch(&json!({ "request": "note -p x=1" }));
    let run = cloud.ended(&hello).await;
    assert_eq!(statuses(&run), [Status::Dispatched, Status::Starting, Status::Running, Status::Complete]);
    assert_eq!(run.hostname.as_deref(), Some("worker-core"));
    let location = run.result["output"][0]["stdout"].as_str().expect("it wrote something");
    assert_eq!(location, format!("s3://test-bucket/tmp/.output/hello/{}/stdout", run.run_id));
    assert_eq!(cloud.object(location).await, "hello Pele\n");
    assert_eq!(cloud.ended(&note).await.status, Status::Complete);
    // One line of the log reports the end, and carries its metrics.
    let logs = cloud.logs();
    let line = logs
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["run_id"] == json!(run.run_id) && line["_aws"].is_object());
    let line = line.unwrap_or_else(|| panic!("no line with metrics: {logs}"));
    assert_eq!(
        (&line["Runs"], &line["status"], &line["worker"]),
        (&json!(1), &json!("complete"), &json!("core"))
    );
    assert!(line["RunTime"].is_number() && line["Delay"].is_number(), "{line}");
    // Log lines are paid for by the byte, and 26 more a line (CloudWatch Logs, PutLogEvents): that it
    // was dispatched, the job's own lines, and how it ended.
    let of_note = logs.lines().filter(|line| line.contains(note.as_str()));
    let (job, ours): (Vec<&str>, Vec<&str>) = of_note.partition(|line| line.contains("\"pumice::job\""));
    let bytes = |lines: &[&str]| -> usize { lines.iter().map(|line| line.len() + 26).sum() };
    assert!(ours.len() == 2 && bytes(&ours) <= 800, "docs/cost.md: {} bytes: {ours:#?}", bytes(&ours));
    assert!(job.len() == 1 && bytes(&job) <= 1_000, "docs/cost.md: {} bytes: {job:#?}", bytes(&job));
}

#[tokio::test]
async fn delayed_run_starts_on_time() {
    let cloud = Cloud::start(&[log("later")]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let key = cloud.dispatch(&json!({ "job_id": "later", "delay": "3s" }));
    let run = cloud.ended(&key).await;
    assert_eq!(run.status, Status::Complete);
    let waited = run.ts_start.expect("it started") - run.ts_dispatch;
    assert!(waited.num_milliseconds() >= 3_000, "{waited}");
}

#[tokio::test]
async fn failing_run_is_tried_again_and_ends_in_its_on_fail() {
    let mut job = cmd("shaky", "sh -c 'echo no luck >&2; exit 3'");
    job["iteration_limit"] = json!(2);
    job["iteration_delay"] = json!("1s");
    job["on_fail"] =
        json!([{ "action": "dispatch", "job_id": "cleanup", "parameters": { "of": "{{ result.error }}" } }]);
    let cloud = Cloud::start(&[job, log("cleanup")]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "shaky" }))).await;
    assert_eq!((run.status, run.attempt, run.crashes), (Status::Failed, 2, 0));
    assert_eq!(run.reason.as_deref(), Some("exit status 3: no luck"));
    let cleanup = cloud.ended_run_of("cleanup").await;
    assert_eq!(cleanup.status, Status::Complete);
    assert_eq!(cleanup.dispatched_by.as_ref(), Some(&run.key));
}

#[tokio::test]
async fn poison_message_becomes_a_dead_letter_and_record_says_why() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_worker("core", 30, 1);
    let run_id = "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55";
    let message = json!({
        "realm": "test", "worker": "core", "job_id": "no/such", "run_id": run_id,
        "ts_dispatch": "2026-01-01T00:00:00+00:00",
    });
    cloud.send("core", &message.to_string()).await;
    let (body, attributes) = cloud.message_of("lava-test-core-dlq").await;
    assert_eq!(serde_json::from_str::<Value>(&body).expect("its body"), message);
    assert_eq!(attributes["pumice.reason"], "no such job no/such");
    let run = cloud.ended(&run_id.parse().expect("a key")).await;
    assert_eq!((run.status, run.reason.as_deref()), (Status::Rejected, Some("no such job no/such")));
    // A body that is not a message becomes a dead letter too, with the reason.
    cloud.send("core", "{ not json").await;
    let (body, attributes) = cloud.message_of("lava-test-core-dlq").await;
    assert_eq!(body, "{ not json");
    assert!(attributes["pumice.reason"].starts_with("the body is not a dispatch message"), "{attributes:?}");
}

#[tokio::test]
async fn failed_messages_of_a_batch_are_redelivered_alone() {
    let cloud = Cloud::start(&[log("a"), log("b")]).await;
    cloud.deploy_dispatcher();
    let record = |id: &str, body: &str| {
        json!({
            "messageId": id, "receiptHandle": id, "body": body, "eventSource": "aws:sqs",
            "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {},
        })
    };
    let event = json!({ "Records": [
        record("1", "a"), record("2", "no/such"), record("3", "{\"job_id\":"), record("4", "b\nno/such"),
    ] });
    let answer = cloud.invoke(DISPATCHER, &event);
    let failed: Vec<&str> = answer["batchItemFailures"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|f| f["itemIdentifier"].as_str())
        .collect();
    assert_eq!(failed, ["2", "3", "4"]);
    // A redelivery takes no request twice.
    cloud.invoke(DISPATCHER, &event);
    let query = pumice_core::ports::RunQuery { limit: 10, ..Default::default() };
    let runs =
        pumice_core::ports::RunStore::list(cloud.realm.store(), &query).await.expect("the store answers");
    let mut jobs: Vec<&str> = runs.iter().map(|run| run.job_id.as_str()).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ["a", "b"]);
}

#[tokio::test]
async fn schedule_delivered_twice_starts_one_job() {
    let cloud = Cloud::start(&[log("nightly")]).await;
    let dispatcher = cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let at = (chrono::Utc::now() + chrono::TimeDelta::seconds(2)).format("%Y-%m-%dT%H:%M:%S").to_string();
    let input = json!({ "job_id": "nightly", "scheduled_at": format!("{at}Z") });
    let schedule = json!({
        "ScheduleExpression": format!("at({at})"),
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": dispatcher, "RoleArn": "arn:aws:iam::000000000000:role/test", "Input": input.to_string() },
    });
    cloud.call("scheduler", "POST", "/schedules/once", Some(&schedule));
    let run = cloud.ended_run_of("nightly").await;
    assert_eq!(run.status, Status::Complete);
    assert_eq!(run.keyed.as_ref().map(|keyed| keyed.key.clone()), Some(format!("schedule:{at}Z")));
    let again = cloud.invoke(DISPATCHER, &input);
    assert_eq!(again["accepted"][0]["run_id"], json!(run.run_id));
    assert_eq!(again["accepted"][0]["existing"], json!(true));
}

#[tokio::test]
async fn chain_goes_on_past_the_end_of_an_invocation() {
    let step = |n: u32| cmd(&format!("step/{n}"), "sleep 2");
    let chain = json!({
        "job_id": "long", "type": "chain", "worker": "core", "enabled": true, "payload": "step/1, step/2, step/3, step/4",
    });
    let cloud = Cloud::start(&[chain, step(1), step(2), step(3), step(4)]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 8, 1);
    let key = cloud.dispatch(&json!({ "job_id": "long" }));
    let run = cloud.ended(&key).await;
    assert_eq!((run.status, run.crashes, run.attempt), (Status::Complete, 0, 1), "{run:#?}");
    assert!(run.epoch > 1, "four steps of 2 s do not fit into 8 s: {run:#?}");
    let children = pumice_core::ports::RunStore::children(cloud.realm.store(), &key, 1)
        .await
        .expect("the store answers");
    assert_eq!(children.len(), 4);
    assert!(children.iter().all(|child| child.status == Status::Complete && child.crashes == 0));
}

#[tokio::test]
async fn job_outliving_its_invocation_is_stopped_in_time() {
    let cloud = Cloud::start(&[cmd("endless", "sleep 600")]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 8, 1);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "endless" }))).await;
    assert_eq!((run.status, run.crashes), (Status::Failed, 0));
    assert!(run.reason.as_deref().is_some_and(|reason| reason.starts_with("timed out after")), "{run:#?}");
}

#[tokio::test]
async fn commands_get_credentials_only_when_their_job_asks() {
    let line = "sh -c 'env; pwd'";
    let mut asks = cmd("asks", line);
    asks["parameters"] = json!({ "aws_credentials": true });
    let cloud = Cloud::start(&[cmd("plain", line), asks]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    for (job, has) in [("plain", false), ("asks", true)] {
        let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": job }))).await;
        assert_eq!(run.status, Status::Complete);
        let output =
            cloud.object(run.result["output"][0]["stdout"].as_str().expect("it wrote something")).await;
        assert_eq!(output.contains("AWS_SECRET_ACCESS_KEY=test"), has, "{job}: {output}");
        assert!(!output.contains("AWS_LAMBDA_RUNTIME_API"), "{job}: {output}");
        let place = format!("\n{}/pumice/", cloud.server.tmp().display());
        assert!(output.contains(&place), "{job} works in a directory of its own: {output}");
    }
}

#[tokio::test]
async fn cancelled_running_job_is_stopped() {
    let cloud = Cloud::start(&[cmd("slow", "sleep 600")]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 60, 1);
    let key = cloud.dispatch(&json!({ "job_id": "slow" }));
    let started = pumice_testing::standins::until(async || {
        let run =
            pumice_core::ports::RunStore::load(cloud.realm.store(), &key).await.expect("the store answers");
        run.filter(|run| run.status == Status::Running)
    });
    started.await.expect("it starts");
    assert_eq!(cloud.pumice(&["runs", "cancel", key.as_str()]), format!("stopping {key}\n"));
    assert_eq!(cloud.ended(&key).await.status, Status::Cancelled);
}

#[test]
fn misconfigured_function_says_so_in_its_log() {
    // Each environment, and what is said of it.
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "LAVA_REALM: must name the realm"),
        (&[("LAVA_REALM", "test"), ("LAVA_WORKER", "no worker")], "LAVA_WORKER: "),
        (
            &[
                ("LAVA_REALM", "test"),
                ("LAVA_WORKER", "core"),
                ("PUMICE_SIGNING_KEY", "{{resolve:secretsmanager:x}}"),
            ],
            "PUMICE_SIGNING_KEY: the key must be",
        ),
        (
            &[("LAVA_REALM", "test"), ("LAVA_WORKER", "core"), ("PUMICE_UNSIGNED_RUNS", "refuse")],
            "PUMICE_SIGNING_KEY: must be set",
        ),
    ];
    for name in ["dispatcher-lambda", "worker-lambda"] {
        for (variables, said) in cases {
            if name == "dispatcher-lambda" && said.starts_with("LAVA_WORKER") {
                continue;
            }
            let mut command = std::process::Command::new(binary(name));
            let environment = [("AWS_REGION", "eu-west-1"), ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")];
            let output = command.env_clear().envs(environment).envs(variables.iter().copied()).output();
            let output = output.expect("it starts");
            assert!(!output.status.success(), "{name} with {variables:?}");
            let log = String::from_utf8(output.stdout).expect("it is text");
            let lines: Vec<Value> =
                log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let told = |line: &Value| line["level"] == "ERROR" && line.to_string().contains(said);
            assert_eq!(lines.iter().filter(|line| told(line)).count(), 1, "{name}, {said}: {log}");
        }
    }
}
