//! Reports of other schedulers' users about sweepers and stores, by their numbers: each is tried on a realm's file.

use std::sync::Arc;

use chrono::{SubsecRound, TimeDelta, Utc};
use pumice_core::engine::Housekeeper;
use pumice_core::ids::JobId;
use pumice_core::ports::{Catalog, CommitError, RunQuery, RunStore, ScheduleStore};
use pumice_core::run::Run;
use pumice_core::spec::JobSpec;
use pumice_local::{Durability, Home};
use serde_json::json;

/// How far ahead starts are made.
const AHEAD: TimeDelta = TimeDelta::seconds(90);

/// A realm's folder with a job that is due in a minute, opened so many times as processes of their own would.
async fn realms(count: usize) -> (tempfile::TempDir, Vec<(Home, Housekeeper)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = Vec::new();
    for _ in 0..count {
        opened.push(open(folder.path()).await);
    }
    let due = (Utc::now() + TimeDelta::seconds(60)).trunc_subsecs(0);
    let job = json!({
        "job_id": "once", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "schedule": { "at": due.to_rfc3339() },
    });
    let job = JobSpec::parse(&job).expect("it holds");
    opened[0].0.database().put_jobs(vec![job], false).await.expect("it is put");
    (folder, opened)
}

async fn open(folder: &std::path::Path) -> (Home, Housekeeper) {
    let home = Home::open(folder, None, true, Durability::Normal).await.expect("a realm");
    let registry = Arc::new(pumice_job_types::registry().expect("job types"));
    let site = home.site().await.expect("a site");
    (home, Housekeeper::new(site, registry))
}

async fn runs(home: &Home) -> Vec<Run> {
    let query = RunQuery { limit: 100, ..RunQuery::default() };
    RunStore::list(home.database(), &query).await.expect("it answers")
}

#[tokio::test]
async fn report_22_sweepers_that_race_make_one_run_for_a_slot() {
    let (_folder, opened) = realms(3).await;
    let racing = opened.iter().map(|(_, housekeeper)| housekeeper.strike(AHEAD));
    let started: usize = futures_util::future::join_all(racing)
        .await
        .into_iter()
        .map(|struck| struck.expect("it strikes").started)
        .sum();
    assert_eq!((started, runs(&opened[0].0).await.len()), (1, 1));
}

#[tokio::test]
async fn report_23_sweeper_with_an_old_record_is_refused() {
    let (_folder, opened) = realms(2).await;
    let ids = [JobId::new("once").expect("an id")];
    let [(home, first), (other, second)] = &opened[..] else { panic!("two") };
    let old =
        ScheduleStore::load(home.database(), &ids).await.expect("it answers").remove(0).expect("it is there");
    first.strike(AHEAD).await.expect("it strikes");
    // The other stood still since it read the record.
    let stale = pumice_core::clock::Timetable { rev: old.rev + 1, ..old };
    let outcome = ScheduleStore::put(other.database(), vec![stale]).await.expect("it answers").remove(0);
    assert!(matches!(outcome, Err(CommitError::Conflict)), "{outcome:?}");
    second.strike(AHEAD).await.expect("it strikes");
    assert_eq!(runs(home).await.len(), 1);
}

#[tokio::test]
async fn report_31_schedules_are_in_the_store_and_not_in_a_process() {
    let (folder, opened) = realms(1).await;
    drop(opened);
    let (home, housekeeper) = open(folder.path()).await;
    assert_eq!(housekeeper.strike(AHEAD).await.expect("it strikes").started, 1);
    assert_eq!(runs(&home).await[0].job_id.as_str(), "once");
}
