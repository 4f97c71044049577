//! docs/deploy.md on a stand-in that enforces the policies of each role: `sam build`, `sam deploy`, jobs, and
//! every way to run them.

use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use chrono::{TimeDelta, Utc};
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::ports::{RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{ACCOUNT, Deployed, LIVE_DISPATCHER, make_queue, until};
use serde_json::{Value, json};

fn job(id: &str, kind: &str, payload: Value) -> Value {
    json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload })
}

fn jobs() -> Vec<Value> {
    let mut fragile = job("fragile", "cmd", json!("sh -c 'exit 3'"));
    fragile["on_fail"] = json!([{ "action": "dispatch", "job_id": "cleanup" }]);
    let mut alone = job("alone", "cmd", json!("sleep 1"));
    alone["overlap"] = "queue".into();
    // Keys of an index, which DynamoDB does not take as they are.
    alone["dispatcher"] = "".into();
    fragile["dispatcher"] = Value::Null;
    vec![
        job("hello", "cmd", json!("echo hello {{globals.name}}")),
        job("greet", "cmd", json!("echo hello {{globals.name}}")),
        job("log", "log", json!("by {{globals.name}}")),
        job("nightly", "log", json!("good night")),
        job("weekly", "log", json!("good week")),
        job("wide", "cmd", json!("echo {{globals.text|length}}")),
        json!({ "job_id": "elsewhere", "type": "log", "worker": "other", "enabled": true, "payload": null }),
        job("all", "chain", json!(["hello", "log"])),
        job("many", "dispatch", json!(["log", "hello"])),
        job("cleanup", "log", json!("cleaned up")),
        fragile,
        alone,
    ]
}

async fn complete(realm: &Deployed, key: &RunKey) -> Run {
    let run = realm.cloud.ended(key).await;
    assert_eq!((run.status, run.reason.as_deref()), (Status::Complete, None), "{}", realm.cloud.logs());
    run
}

fn apply(realm: &Deployed) {
    let folder = tempfile::tempdir().expect("a folder is made");
    for job in jobs() {
        let name = format!("{}.json", job["job_id"].as_str().expect("an id"));
        std::fs::write(folder.path().join(name), job.to_string()).expect("it is written");
    }
    let jobs = jobs().len();
    for wanted in
        [format!("{jobs} added, 0 updated, 0 unchanged"), format!("0 added, 0 updated, {jobs} unchanged")]
    {
        let told = realm.cloud.pumice(&["apply", &folder.path().to_string_lossy()]);
        assert!(told.contains(&wanted), "{told}");
    }
}

/// The bucket's policy refuses connections that are not encrypted, as all are here: that is seen, and then
/// the policy is taken away.
async fn without_encryption_there_are_no_outputs(realm: &Deployed) {
    let run = realm.cloud.ended(&realm.cloud.dispatch(&json!({ "job_id": "hello" }))).await;
    let reason = run.reason.unwrap_or_default();
    assert_eq!(run.status, Status::Failed, "{reason}");
    assert!(reason.contains("explicit deny in a resource-based policy"), "{reason}");
    let s3 = &realm.cloud.clients.s3;
    s3.delete_bucket_policy().bucket(realm.output("Bucket")).send().await.expect("it is deleted");
}

/// A schedule of Scheduler with the group and the role that the stack gives for it.
async fn schedule(realm: &Deployed, job: &str) {
    let at = Utc::now() + TimeDelta::seconds(2);
    // Scheduler puts the time where the guide has <aws.scheduler.scheduled-time>; ministack does not.
    let input = json!({ "job_id": job, "scheduled_at": at.to_rfc3339() });
    let target =
        Target::builder().arn(realm.output("DispatcherArn")).role_arn(realm.output("ScheduleRoleArn"));
    let scheduler = aws_sdk_scheduler::Client::new(&realm.config);
    let made = scheduler
        .create_schedule()
        .name("once")
        .group_name(realm.output("ScheduleGroup"))
        .schedule_expression(at.format("at(%Y-%m-%dT%H:%M:%S)").to_string())
        .flexible_time_window(
            FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().expect("a window"),
        )
        .target(target.input(input.to_string()).build().expect("a target"));
    made.send().await.expect("it is made");
}

/// People's commands, with the rights of the stack's policy for them.
fn one_who_only_looks_sees_all_and_changes_nothing(realm: &Deployed, failed: &RunKey) {
    let failed = &*failed.to_string();
    let shown: [(&[&str], &str); 9] = [
        (&["audit", "list"], "dispatch"),
        (&["jobs", "list"], "fragile"),
        (&["jobs", "show", "hello"], "echo hello"),
        (&["state", "list"], ""),
        (&["schedules", "list"], ""),
        (&["workers", "list"], "core"),
        (&["runs", "list", "--status", "failed", "-o", "wide"], failed),
        (&["runs", "list", "--job", "fragile", "-o", "wide"], failed),
        (&["runs", "show", failed], "cleanup"),
    ];
    let refused: [&[&str]; 3] =
        [&["dispatch", "hello"], &["state", "put", "seen", "1"], &["jobs", "delete", "hello"]];
    for (number, (arguments, told)) in shown.into_iter().enumerate() {
        let output = realm.command_of(&format!("viewer-{number}"), "ViewerPolicyArn", arguments).output();
        let output = output.expect("it runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains(told), "{arguments:?}: {output:?}");
    }
    for (number, arguments) in refused.into_iter().enumerate() {
        let output = realm.command_of(&format!("looker-{number}"), "ViewerPolicyArn", arguments).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
    }
}

fn a_person_looks_after_the_realm(realm: &Deployed, failed: &RunKey) {
    let folder = tempfile::tempdir().expect("a folder is made");
    let document = folder.path().join("realm.json");
    let settings = json!({ "realm": "test", "config": { "CMD_TIMEOUT": "20m" } });
    std::fs::write(&document, settings.to_string()).expect("it is written");
    let failed = &*failed.to_string();
    let document = &*document.to_string_lossy();
    let clock = folder.path().join("clock.json");
    let job = json!({ "job_id": "clock", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "schedule": "@yearly" });
    std::fs::write(&clock, job.to_string()).expect("it is written");
    let clock = &*clock.to_string_lossy();
    let asked: [(&[&str], &str); 17] = [
        (&["apply", document], "CMD_TIMEOUT"),
        (&["apply", clock], "clock"),
        (&["schedules", "list"], "clock"),
        (&["schedules", "next", "clock"], "-01-01"),
        (&["schedules", "pause", "clock", "--why", "audit"], "clock"),
        (&["schedules", "resume", "clock"], "clock"),
        (&["jobs", "delete", "clock"], "clock"),
        (&["jobs", "list"], "fragile"),
        (&["jobs", "show", "hello"], "echo hello"),
        (&["render", "weekly"], "good week"),
        (&["state", "put", "seen", "1"], ""),
        (&["state", "get", "seen"], "1"),
        (&["state", "list"], "seen"),
        (&["state", "delete", "seen"], ""),
        (&["runs", "list", "--status", "failed", "-o", "wide"], failed),
        (&["runs", "list", "--job", "fragile", "-o", "wide"], failed),
        (&["runs", "show", failed], "cleanup"),
    ];
    for (arguments, told) in asked {
        let printed = realm.cloud.pumice(arguments);
        assert!(printed.contains(told), "{arguments:?}: {printed}");
    }
    // With a schedule of its own, and with an unknown name.
    let mut ahead = realm.cloud.pumice_command(&["dispatch", "log", "--at", "2100-01-01T09:00"]);
    ahead.env("PUMICE_SCHEDULE_GROUP", realm.output("OneOffScheduleGroup"));
    ahead.env("PUMICE_SCHEDULE_ROLE_ARN", realm.output("OneOffScheduleRoleArn"));
    let ahead = ahead.output().expect("it runs");
    assert!(ahead.status.success() && ahead.stderr.is_empty(), "{ahead:?}");
    let mistyped = realm.cloud.pumice_command(&["dispatch", "helo"]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("did you mean \"hello\"?"), "{mistyped:?}");
    realm.cloud.pumice(&["jobs", "delete", "hello"]);
    assert!(!realm.cloud.pumice(&["jobs", "list"]).contains("hello"));
}

/// A schedule that any tool put into the table. Its later runs wait for their time.
async fn a_schedule_that_any_tool_put_starts_its_job(realm: &Deployed) {
    let cloud = &realm.cloud;
    cloud.put_straight("ticker", "5s").await;
    let query = RunQuery {
        job: Some("ticker".to_owned()),
        statuses: vec![Status::Complete],
        limit: 1,
        ..RunQuery::default()
    };
    let started = until(async || cloud.realm.store().list(&query).await.expect("it answers").pop());
    assert!(started.await.is_some_and(|run| run.scheduled.is_some()), "{}", cloud.logs());
    cloud.pumice(&["jobs", "delete", "ticker"]);
}

#[tokio::test]
async fn realm_deployed_by_the_guide_runs_jobs_with_its_roles() {
    let parameters = ["OneOffSchedules=yes", "ScheduledJob=nightly", "ScheduleExpression='rate(1 minute)'"];
    let realm = Deployed::start(&parameters).await;
    let cloud = &realm.cloud;
    assert_eq!(
        cloud.invoke(LIVE_DISPATCHER, &json!({ "sweep": true })),
        json!({ "swept": 0, "started": 0 }),
        "before the first apply"
    );
    apply(&realm);
    without_encryption_there_are_no_outputs(&realm).await;

    // A message that could not be sent is sent, once it can be and a minute has passed.
    let stuck = cloud.dispatch(&json!({ "job_id": "elsewhere" }));
    make_queue(&cloud.clients, cloud.names(), &WorkerName::new("other").expect("a name"), 30, 5).await;

    // From the command line, by invocation, by the topic, by the clock.
    let told = cloud.pumice(&["dispatch", "hello", "-g", "name=Pele", "--wait"]);
    let run_id = told.split_whitespace().next().expect("a run id");
    assert_eq!(cloud.pumice(&["runs", "output", run_id]), "hello Pele\n");
    complete(&realm, &cloud.dispatch(&json!({ "job_id": "hello", "globals": { "name": "Pele" } }))).await;
    let message = [
        ("Action", "Publish"),
        ("TopicArn", realm.output("DispatchTopic")),
        ("Message", "greet -g name=topic"),
    ];
    cloud.query("sns", &message);
    let greeted = cloud.ended_run_of("greet").await;
    assert_eq!(cloud.pumice(&["runs", "output", &greeted.key.to_string()]), "hello topic\n");
    schedule(&realm, "weekly").await;
    assert_eq!(cloud.ended_run_of("weekly").await.status, Status::Complete);

    // Steps, jobs that start jobs, failures, one after the other, and more than an item holds.
    complete(&realm, &cloud.dispatch(&json!({ "job_id": "all" }))).await;
    complete(&realm, &cloud.dispatch(&json!({ "job_id": "many" }))).await;
    let failed = cloud.ended(&cloud.dispatch(&json!({ "job_id": "fragile" }))).await;
    assert_eq!((failed.status, failed.reason.as_deref()), (Status::Failed, Some("exit status 3")));
    let cleanup = cloud.ended_run_of("cleanup").await;
    assert_eq!((cleanup.status, cleanup.dispatched_by), (Status::Complete, Some(failed.key.clone())));
    let lined_up: Vec<_> = (0..3).map(|_| cloud.dispatch(&json!({ "job_id": "alone" }))).collect();
    for key in &lined_up {
        complete(&realm, key).await;
    }
    let wide = cloud.dispatch(&json!({ "job_id": "wide", "globals": { "text": "x".repeat(500_000) } }));
    assert_eq!(cloud.pumice(&["runs", "output", &complete(&realm, &wide).await.key.to_string()]), "500000\n");

    // Far ahead, with a schedule of its own; cancelled.
    let ahead =
        cloud.dispatch(&json!({ "job_id": "log", "at": (Utc::now() + TimeDelta::hours(1)).to_rfc3339() }));
    assert!(cloud.schedule_of(&ahead).await.is_some(), "{}", cloud.logs());
    cloud.pumice(&["runs", "cancel", &ahead.to_string()]);
    let cancelled = cloud.realm.store().load(&ahead).await.expect("it answers").expect("it is there");
    assert_eq!(cancelled.status, Status::Cancelled);

    one_who_only_looks_sees_all_and_changes_nothing(&realm, &failed.key);
    a_person_looks_after_the_realm(&realm, &failed.key);

    a_schedule_that_any_tool_put_starts_its_job(&realm).await;

    // A body that is not a message becomes a dead letter.
    cloud.send("core", "{ not json").await;
    assert_eq!(cloud.message_of("lava-test-core-dlq").await.0, "{ not json");

    // The rule that the template makes, a minute after it was made.
    assert_eq!(cloud.ended_run_of("nightly").await.status, Status::Complete);

    // The sweeper that the template makes may be first.
    let sent = until(async || {
        cloud.invoke(LIVE_DISPATCHER, &json!({ "sweep": true }));
        cloud.take("lava-test-other").await
    });
    assert!(sent.await.expect("it is sent").0.contains(&stuck.to_string()));

    let logs = cloud.logs();
    assert!(
        logs.contains(&format!("arn:aws:sts::{ACCOUNT}:assumed-role/pumice-test-")),
        "no role was assumed: {logs}"
    );
    let denied: Vec<_> = logs.lines().filter(|it| it.contains("not authorized")).collect();
    let by_bucket = |it: &&str| it.contains("explicit deny in a resource-based policy");
    assert!(
        !denied.is_empty() && denied.iter().all(by_bucket),
        "only the bucket's policy refuses: {denied:#?}"
    );
}
