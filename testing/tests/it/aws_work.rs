//! The directory that the steps of a run share goes along from one invocation to the next, and is never silently empty.

use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Cloud, until};
use serde_json::{Value, json};

fn cmd(id: &str, script: &str) -> Value {
    json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "sh -c",
        "parameters": { "args": [script] } })
}

fn chain(steps: &[&str]) -> Value {
    json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": steps })
}

async fn children(cloud: &Cloud, run: &Run) -> Vec<Run> {
    let children = pumice_core::ports::RunStore::children(cloud.realm.store(), &run.key, 1).await;
    children.expect("the store answers")
}

/// The output of a run's last step.
async fn printed(cloud: &Cloud, run: &Run) -> String {
    let steps = children(cloud, run).await;
    let last = steps.last().expect("steps");
    cloud.object(last.result["output"][0]["stdout"].as_str().expect("it wrote")).await
}

#[tokio::test]
async fn files_go_along_past_the_end_of_an_invocation() {
    let first = cmd("first", "mkdir -p d; echo 42 > d/data; ln -s d/data link; chmod 700 d/data; sleep 2");
    let more = cmd("more", "cat link >> sum; sleep 2");
    let last = cmd("last", "cat link sum; test -x d/data");
    let cloud = Cloud::start(&[chain(&["first", "more", "more", "more", "last"]), first, more, last]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 8, 1);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "c" }))).await;
    assert_eq!((run.status, run.crashes), (Status::Complete, 0), "{run:#?}");
    assert!(run.epoch > 1, "steps of 2 s do not fit into 8 s: {run:#?}");
    assert_eq!(printed(&cloud, &run).await, "42\n42\n42\n42\n");
}

#[tokio::test]
async fn files_go_along_when_a_step_is_tried_again_after_a_delay() {
    let first = cmd("first", "echo 42 > data");
    let mut second =
        cmd("second", "cat data; test -e tried || { echo x > tried; exit 1; }; echo more > data");
    second["iteration_limit"] = json!(2);
    second["iteration_delay"] = json!("1s");
    let cloud =
        Cloud::start(&[chain(&["first", "second", "last"]), first, second, cmd("last", "cat data tried")])
            .await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "c" }))).await;
    assert_eq!(run.status, Status::Complete, "{run:#?}");
    assert_eq!(children(&cloud, &run).await[1].attempt, 2);
    assert_eq!(printed(&cloud, &run).await, "more\nx\n");
}

/// A step that ends well in its third attempt, each in an invocation of its own.
fn flaky() -> Value {
    let mut flaky = cmd("flaky", "cat made; echo x >> tries; test $(wc -l < tries) = 3");
    flaky["iteration_limit"] = json!(3);
    flaky["iteration_delay"] = json!("1s");
    flaky
}

#[tokio::test]
async fn files_go_along_however_deep_the_steps_are() {
    let of = |id: &str, kind: &str, payload: &Value, parameters: &Value| json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload, "parameters": parameters });
    let none = json!({});
    let inner = of("inner", "chain", &json!(["flaky", "look"]), &none);
    let begins = of("begins", "chain", &json!(["w", "flaky", "look"]), &none);
    let each = of(
        "each",
        "foreach",
        &json!("inner"),
        &json!({ "foreach": { "type": "range", "stop": 1 }, "workers": 1 }),
    );
    let dag = of("dag", "dag", &json!({ "w": null, "inner": "w", "look": "inner" }), &none);
    for whole in [
        of("c", "chain", &json!(["w", "flaky", "look", "last"]), &none),
        of("c", "chain", &json!(["w", "inner", "last"]), &none),
        of("c", "chain", &json!(["w", "each", "last"]), &none),
        of("c", "chain", &json!(["begins", "last"]), &none),
        of("c", "chain", &json!(["dag", "last"]), &none),
        of("c", "dag", &json!({ "w": null, "flaky": "w", "last": "flaky" }), &none),
    ] {
        let jobs = [
            cmd("w", "echo x > made"),
            flaky(),
            cmd("look", "cat made tries"),
            cmd("last", "cat made tries | wc -l"),
        ];
        let compound = [inner.clone(), begins.clone(), each.clone(), dag.clone(), whole.clone()];
        let cloud = Cloud::start(&[&jobs[..], &compound[..]].concat()).await;
        cloud.deploy_dispatcher();
        cloud.deploy_worker("core", 30, 1);
        let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "c" }))).await;
        assert_eq!(run.status, Status::Complete, "{whole}: {run:#?}");
        let steps = children(&cloud, &run).await;
        let last = steps.iter().find(|step| step.job_id.as_str() == "last").expect("a last step");
        let printed = last.result["output"][0]["stdout"].as_str().expect("it wrote");
        assert_eq!(cloud.object(printed).await, "4\n", "{whole}");
    }
}

#[tokio::test]
async fn spread_step_begins_with_the_files_of_those_before_it() {
    let dag = |payload: Value| {
        json!({ "job_id": "d", "type": "dag", "worker": "core", "enabled": true, "payload": payload,
            "parameters": { "spread": true } })
    };
    let reads = |id: &str| cmd(id, "cat made");
    let steps = [
        cmd("w", "echo 42 > made"),
        reads("left"),
        reads("right"),
        reads("last"),
        cmd("writes", "echo more > more"),
        chain(&["d", "last"]),
    ];
    // Two that only read leave the files as they were.
    let reading = dag(json!({ "w": null, "left": "w", "right": "w", "last": ["left", "right"] }));
    let cloud = Cloud::start(&[&steps[..], &[reading]].concat()).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 4);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "c" }))).await;
    assert_eq!(run.status, Status::Complete, "{run:#?}");
    assert_eq!(printed(&cloud, &run).await, "42\n", "the step after the dag");
    // The files of two that write lie in two directories.
    let writing = dag(json!({ "w": null, "writes": null, "last": ["w", "writes"] }));
    let cloud = Cloud::start(&[&steps[..], &[writing]].concat()).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 4);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "d" }))).await;
    let reason = run.reason.clone().unwrap_or_default();
    assert!(run.status == Status::Failed && reason.contains("left files in several directories"), "{run:#?}");
}

#[tokio::test]
async fn lost_files_fail_the_step_unless_the_job_starts_fresh() {
    let first = cmd("first", "echo 42 > data");
    let mut second = cmd("second", "ls; test -e data && exit 1; echo none");
    second["iteration_limit"] = json!(2);
    second["iteration_delay"] = json!("4s");
    for fresh in [false, true] {
        let mut step = second.clone();
        if fresh {
            step["work_dir"] = json!("fresh");
        }
        let cloud = Cloud::start(&[chain(&["first", "second"]), first.clone(), step]).await;
        cloud.deploy_dispatcher();
        cloud.deploy_worker("core", 30, 1);
        let key = cloud.dispatch(&json!({ "job_id": "c" }));
        let waits = until(async || {
            let steps = pumice_core::ports::RunStore::children(cloud.realm.store(), &key, 1).await;
            steps.expect("the store answers").into_iter().find(|step| step.status == Status::Retrying)
        });
        let waits = waits.await.expect("it is tried again");
        let place = waits.work.expect("files were left");
        assert_eq!(place.not_kept, None);
        cloud
            .remove_object(&format!(
                "s3://test-bucket/tmp/.work/{}/{}.tar",
                key.run_id().expect("an id"),
                place.name()
            ))
            .await;
        let run = cloud.ended(&key).await;
        if fresh {
            assert_eq!(run.status, Status::Complete, "{run:#?}");
            assert_eq!(printed(&cloud, &run).await, "none\n");
        } else {
            assert_eq!(run.status, Status::Failed, "{run:#?}");
            let reason = run.reason.expect("a reason");
            assert!(reason.contains("the directory that the steps of the run share was lost"), "{reason}");
            assert_eq!(
                children(&cloud, &Run { reason: None, ..cloud.run_of("c").await }).await[1].attempt,
                2
            );
        }
    }
}

#[tokio::test]
async fn job_that_leaves_no_files_keeps_no_object() {
    let mut step = cmd("step", "test -e /tmp/nothing");
    step["iteration_limit"] = json!(2);
    step["iteration_delay"] = json!("1s");
    let cloud = Cloud::start(&[chain(&["step"]), step]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let run = cloud.ended(&cloud.dispatch(&json!({ "job_id": "c" }))).await;
    assert_eq!(run.status, Status::Failed);
    assert!(children(&cloud, &run).await.iter().all(|step| step.work.is_none()));
}
