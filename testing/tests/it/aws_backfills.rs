//! Backfills, with the command and the functions that would be deployed.

use pumice_core::ports::{RunQuery, RunStore};
use pumice_core::run::Run;
use pumice_testing::standins::{Cloud, DISPATCHER, log_job, until};
use serde_json::{Value, json};

/// Five slots.
const FIVE: [&str; 4] = ["--from", "2025-01-01T00:00Z", "--to", "2025-01-05T12:00Z"];

async fn cloud() -> Cloud {
    let mut job = log_job("daily");
    job["schedule"] = json!({ "crontab": "30 2 * * *", "timezone": "Europe/Berlin" });
    let cloud = Cloud::start(&[job]).await;
    cloud.deploy_dispatcher();
    cloud
}

fn backfill(cloud: &Cloud, options: &[&str]) -> Value {
    let arguments = [&["schedules", "backfill", "daily", "-o", "json"], &FIVE[..], options].concat();
    serde_json::from_str(&cloud.pumice(&arguments)).expect("JSON")
}

fn shown(cloud: &Cloud, id: &str) -> Value {
    let printed = cloud.pumice(&["schedules", "backfills", "show", id, "-o", "json"]);
    serde_json::from_str::<Value>(&printed).expect("JSON")["backfill"].take()
}

/// Runs, in the order of their slots.
async fn runs(cloud: &Cloud) -> Vec<Run> {
    let query = RunQuery { job: Some("daily".to_owned()), limit: 1_000, ..RunQuery::default() };
    let mut runs = RunStore::list(cloud.realm.store(), &query).await.expect("it answers");
    runs.sort_by_key(|run| run.scheduled.as_ref().map(|scheduled| scheduled.slot));
    runs
}

#[tokio::test]
async fn backfill_goes_on_with_the_worker_that_ran_the_slot_before() {
    let cloud = cloud().await;
    cloud.deploy_worker("core", 60, 1);
    let begun = backfill(&cloud, &["--why", "the source was late"]);
    let id = begun["backfill"]["id"].as_str().expect("an id");
    // No sweep comes meanwhile.
    let over = until(async || Some(shown(&cloud, id)).filter(|over| over["state"] == "complete")).await;
    let over = over.unwrap_or_else(|| panic!("{}\n{}", shown(&cloud, id), cloud.logs()));
    assert_eq!([&over["started"], &over["completed"], &over["left"]], [&json!(5), &json!(5), &json!(0)]);
    let runs = runs(&cloud).await;
    assert_eq!(runs.len(), 5);
    for (day, run) in (1..).zip(&runs) {
        let scheduled = run.scheduled.as_ref().expect("a slot");
        assert_eq!(scheduled.slot.to_rfc3339(), format!("2025-01-0{day}T01:30:00+00:00"));
        assert_eq!(scheduled.backfill.as_deref(), Some(id));
    }
    let listed = cloud.pumice(&["runs", "list", "--backfill", id, "--status", "complete", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(5), "{listed}");
    assert_eq!(backfill(&cloud, &[])["existing"], true);
    // A worker looks for failed runs, too: there are none.
    let failed = backfill(&cloud, &["--only", "failed"]);
    assert_eq!(
        [&failed["backfill"]["state"], &failed["backfill"]["passed_over"]],
        [&json!("complete"), &json!(5)]
    );
}

#[tokio::test]
async fn sweeps_at_once_hold_the_limit_and_find_a_cancelled_run() {
    let cloud = cloud().await;
    let begun = backfill(&cloud, &["--max-active", "2", "--reverse"]);
    let id = begun["backfill"]["id"].as_str().expect("an id").to_owned();
    let sweeps = || {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| cloud.invoke(DISPATCHER, &json!({ "sweep": true })));
            }
        });
    };
    sweeps();
    let made = runs(&cloud).await;
    assert_eq!(made.len(), 2, "{made:?}");
    // It waits in its queue: no worker learns of its end.
    cloud.pumice(&["runs", "cancel", &made[1].run_id.to_string()]);
    sweeps();
    let made = runs(&cloud).await;
    let slots: Vec<String> = made
        .iter()
        .map(|run| run.scheduled.as_ref().expect("a slot").slot.format("%d").to_string())
        .collect();
    assert_eq!(slots, ["03", "04", "05"]);
    let now = shown(&cloud, &id);
    assert_eq!([&now["failed"], &now["bad"][0]["status"]], [&json!(1), &json!("cancelled")]);
    cloud.pumice(&["schedules", "backfills", "cancel", &id, "--runs"]);
    sweeps();
    let over = shown(&cloud, &id);
    assert_eq!(
        [&over["state"], &over["started"], &over["under_way"]],
        [&json!("cancelled"), &json!(3), &json!([])]
    );
    assert_eq!(runs(&cloud).await.len(), 3);
    let listed = cloud.pumice(&["schedules", "backfills", "list"]);
    assert!(listed.contains(&id) && listed.contains("cancelled"), "{listed}");
}
