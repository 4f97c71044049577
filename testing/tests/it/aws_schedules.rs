//! Runs that are due long after they are asked for, in a realm that makes schedules for them. Only the
//! test that says so sweeps.

use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindowMode};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use pumice_core::engine::{Dispatcher, Handled, Housekeeper};
use pumice_core::ids::RunKey;
use pumice_core::message::Message;
use pumice_core::ports::RunStore;
use pumice_core::request::{DispatchRequest, When};
use pumice_core::run::Status;
use pumice_testing::standins::{
    Cloud, DISPATCHER, Fault, Faulty, FunctionSpec, SCHEDULES, dispatch, key_of, log_job, request, until,
};
use serde_json::{Value, json};

/// How slow the clock of a dispatcher is, in seconds: a run that is due in a moment is more than 15
/// minutes ahead for it, and its schedule fires in a moment.
const SLOW: i64 = 1_000;

fn ahead(job: &str, at: DateTime<Utc>) -> DispatchRequest {
    DispatchRequest { when: When::At(at), ..request(job) }
}

/// A realm with schedules, and a dispatcher with a slow clock.
async fn realm_with(job: impl FnOnce(&Faulty) -> Value) -> (Faulty, Dispatcher) {
    let realm = Faulty::start(&[]).await;
    realm.cloud.put_jobs(&[job(&realm)]).await;
    realm.cloud.make_schedule_group().await;
    let slow = realm.skewed_site_of(&realm.realm_with_schedules().await, -SLOW).await;
    let dispatcher = realm.dispatcher_at(slow);
    (realm, dispatcher)
}

/// The outcomes of the next messages.
async fn handled(realm: &Faulty, count: usize) -> Vec<Handled> {
    let engine = realm.engine().await;
    let mut handled = Vec::new();
    let enough = until(async || {
        handled.extend(realm.take(&engine).await);
        (handled.len() >= count).then_some(())
    });
    enough.await.unwrap_or_else(|| panic!("{count} messages do not come"));
    handled
}

#[tokio::test]
async fn dispatcher_makes_a_schedule_of_a_run_far_ahead() {
    let cloud = Cloud::start(&[log_job("report")]).await;
    cloud.make_schedule_group().await;
    cloud.deploy(&FunctionSpec {
        name: DISPATCHER,
        binary: "dispatcher-lambda",
        timeout: 60,
        environment: &SCHEDULES,
    });
    let due = Utc::now().trunc_subsecs(0) + TimeDelta::hours(1);
    let at = (due - TimeDelta::milliseconds(1)).to_rfc3339();
    let asked = json!({
        "job_id": "report", "at": at, "parameters": { "day": 1 }, "globals": { "who": "Pele" }, "idempotency_key": "one",
    });
    let key = cloud.dispatch(&asked);
    let schedule = cloud.schedule_of(&key).await.expect("it has a schedule");
    let expected = due.format("at(%Y-%m-%dT%H:%M:%S)").to_string();
    assert_eq!(schedule.schedule_expression(), Some(&*expected));
    assert_eq!(schedule.schedule_expression_timezone(), Some("UTC"));
    assert_eq!(schedule.flexible_time_window().map(|it| it.mode()), Some(&FlexibleTimeWindowMode::Off));
    assert_eq!(schedule.action_after_completion(), Some(&ActionAfterCompletion::Delete));
    let target = schedule.target().expect("it has a target");
    assert_eq!(target.arn(), "arn:aws:sqs:eu-west-1:000000000000:lava-test-core");
    assert_eq!(target.role_arn(), SCHEDULES[1].1);
    assert_eq!(target.retry_policy().and_then(|it| it.maximum_event_age_in_seconds()), Some(3_600));
    let message: Message = serde_json::from_str(target.input().expect("an input")).expect("a message");
    assert_eq!((message.key(), message.job_id.as_str()), (key.clone(), "report"));
    // The request's parameters are in the record, not in a schedule for others to read.
    assert_eq!((&message.parameters, &message.globals), (&None, &None));
    let run = cloud.realm.store().load(&key).await.expect("it answers").expect("it is there");
    assert_eq!(run.due_at, Some(run.not_before - TimeDelta::minutes(15)), "the sweeper's way is as it was");

    assert_eq!(cloud.dispatch(&asked), key, "the same request finds its run");
    let soon = cloud.dispatch(&json!({ "job_id": "report", "delay": "15m" }));
    assert!(cloud.schedule_of(&soon).await.is_none(), "its queue holds the message of a run that is near");
    assert!(!cloud.logs().contains("has no schedule"), "{}", cloud.logs());
}

#[tokio::test]
async fn run_begins_by_its_schedule_alone() {
    let (realm, slow) = realm_with(|realm| realm.marking_job("report", 0)).await;
    let due = Utc::now() + TimeDelta::seconds(10);
    let key = key_of(&dispatch(&slow, ahead("report", due)).await.expect("it is taken"));
    assert!(realm.cloud.schedule_of(&key).await.is_some());
    let engine = realm.engine().await;
    assert!(realm.take(&engine).await.is_empty(), "no message comes before");
    let worked = realm.work(&engine, &key).await;
    assert_eq!((worked.run.status, realm.marks()), (Status::Complete, 1));
    let waited = worked.run.ts_start.expect("it began") - worked.run.not_before;
    assert!((TimeDelta::zero()..TimeDelta::minutes(1)).contains(&waited), "{waited}");
    assert!(realm.cloud.schedule_of(&key).await.is_none(), "it is gone when it was carried out");
}

#[tokio::test]
async fn run_woken_by_the_sweeper_runs_once() {
    let (realm, slow) = realm_with(|realm| realm.marking_job("report", 0)).await;
    let due = Utc::now() + TimeDelta::seconds(2);
    let key = key_of(&dispatch(&slow, ahead("report", due)).await.expect("it is taken"));
    assert_eq!(Housekeeper::with(realm.dispatcher().await).sweep().await.expect("it answers"), 1);
    assert_eq!(handled(&realm, 2).await, [Handled::Delete, Handled::Delete]);
    let run = realm.load(&key).await.expect("it is there");
    assert_eq!((run.status, run.epoch, realm.marks()), (Status::Complete, 1, 1));
}

#[tokio::test]
async fn cancelled_run_whose_schedule_fires_never_starts() {
    let (realm, slow) = realm_with(|realm| realm.marking_job("report", 0)).await;
    let due = Utc::now() + TimeDelta::seconds(2);
    let key = key_of(&dispatch(&slow, ahead("report", due)).await.expect("it is taken"));
    realm.dispatcher().await.cancel(&key).await.expect("it is cancelled");
    assert_eq!(handled(&realm, 1).await, [Handled::Delete], "the schedule's message");
    let run = realm.load(&key).await.expect("it is there");
    assert_eq!((run.status, run.ts_start, realm.marks()), (Status::Cancelled, None, 0));
}

#[tokio::test]
async fn schedule_made_without_an_answer_is_made_once() {
    let (realm, slow) = realm_with(|_| log_job("report")).await;
    // Of the services that are asked only Scheduler is asked with this method.
    realm.proxy.fail("POST", Fault::Unanswered, 1);
    let due = Utc::now() + TimeDelta::hours(1);
    let key = key_of(&dispatch(&slow, ahead("report", due)).await.expect("it is taken"));
    assert!(realm.cloud.schedule_of(&key).await.is_some());
    assert_eq!(realm.proxy.calls().get("POST"), Some(&2), "it was asked for again, and found");
}

#[tokio::test]
async fn run_with_large_parameters_has_a_schedule() {
    let (realm, slow) = realm_with(|_| log_job("report")).await;
    let mut large = ahead("report", Utc::now() + TimeDelta::hours(1));
    large.parameters.insert("text".to_owned(), "x".repeat(300 * 1024).into());
    let key = key_of(&dispatch(&slow, large).await.expect("it is taken"));
    assert!(realm.cloud.schedule_of(&key).await.is_some());
}

#[tokio::test]
async fn schedule_without_its_record_starts_nothing() {
    let (realm, slow) = realm_with(|realm| realm.marking_job("report", 0)).await;
    let due = Utc::now() + TimeDelta::seconds(2);
    let key = key_of(&dispatch(&slow, ahead("report", due)).await.expect("it is taken"));
    realm.remove(&key).await;
    assert_eq!(handled(&realm, 1).await, [Handled::Delete], "the schedule's message");
    assert!(realm.load(&key).await.is_none());
    assert_eq!(realm.marks(), 0);
}

#[tokio::test]
async fn command_makes_schedules_and_names_missing_parts() {
    let cloud = Cloud::start(&[log_job("report")]).await;
    cloud.make_schedule_group().await;
    let at = (Utc::now() + TimeDelta::hours(1)).to_rfc3339();
    let arguments = ["dispatch", "report", "--at", &at, "-o", "json"];
    let output = cloud.pumice_command(&arguments).envs(SCHEDULES).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let key: RunKey = answer["accepted"][0]["run_id"].as_str().expect("an id").parse().expect("a key");
    assert!(cloud.schedule_of(&key).await.is_some());
    let [group, ..] = SCHEDULES;
    let output = cloud.pumice_command(&arguments).envs([group]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("PUMICE_SCHEDULE_ROLE_ARN: must name the role"), "{told}");
}

/// The name of the one-off schedule that has the clock looked at before a slot.
fn look_before(slot: DateTime<Utc>) -> String {
    (slot - TimeDelta::seconds(75)).format("clock-%Y-%m-%dT%H-%M").to_string()
}

#[tokio::test]
async fn slot_far_ahead_has_its_own_look_and_edits_disarm_it() {
    let cloud = Cloud::start(&[]).await;
    cloud.make_schedule_group().await;
    cloud.deploy(&FunctionSpec {
        name: DISPATCHER,
        binary: "dispatcher-lambda",
        timeout: 60,
        environment: &SCHEDULES,
    });
    let slot = Utc::now().trunc_subsecs(0) + TimeDelta::hours(2);
    let job = |id: &str, at: DateTime<Utc>| {
        let mut job = log_job(id);
        job["schedule"] = json!({ "at": at.to_rfc3339() });
        job
    };
    let soon = Utc::now().trunc_subsecs(0) + TimeDelta::seconds(100);
    cloud.put_jobs(&[job("one", slot), job("two", slot), job("soon", soon)]).await;
    let sweep = json!({ "sweep": true });
    assert_eq!(cloud.invoke(DISPATCHER, &sweep)["started"], 0);
    let look = cloud.schedule_named(&look_before(slot)).await.expect("the slot has a look");
    let expression = look.schedule_expression().expect("a time");
    let at = (slot - TimeDelta::seconds(75)).format("at(%Y-%m-%dT%H:%M:00)").to_string();
    assert_eq!(expression, at, "a minute late it still is in time");
    assert_eq!(look.action_after_completion(), Some(&ActionAfterCompletion::Delete));
    let target = look.target().expect("a target");
    assert_eq!((target.arn(), target.role_arn()), (SCHEDULES[2].1, SCHEDULES[1].1));
    let event: Value = serde_json::from_str(target.input().expect("an input")).expect("an event");
    assert_eq!(event, sweep, "it looks at what is due, whatever that is by then");
    assert!(cloud.schedule_named(&look_before(soon)).await.is_none(), "the sweeper has a near one in sight");

    // Another slot takes its place: the look of before finds nothing to do.
    let later = slot + TimeDelta::hours(1);
    cloud.put_jobs(&[job("one", later)]).await;
    assert_eq!(cloud.invoke(DISPATCHER, &sweep)["started"], 0);
    assert!(cloud.schedule_named(&look_before(later)).await.is_some());
    assert_eq!(cloud.invoke(DISPATCHER, &event)["started"], 0, "a look starts only what is due");
    assert!(!cloud.logs().contains("has no schedule"), "{}", cloud.logs());
}
