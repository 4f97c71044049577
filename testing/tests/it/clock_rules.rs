//! A realm's zone that changes while processes serve it.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Timelike, Utc};
use chrono_tz::Asia::Tokyo;
use pumice_core::engine::Housekeeper;
use pumice_core::job_type::Site;
use pumice_core::ports::Catalog;
use pumice_core::spec::{JobSpec, Settings};
use pumice_local::{Durability, Home};
use serde_json::{Value, json};

/// How far ahead starts are made.
const AHEAD: TimeDelta = TimeDelta::seconds(90);

async fn open(folder: &std::path::Path) -> Home {
    Home::open(folder, None, true, Durability::Normal).await.expect("a realm")
}

/// A process that serves the realm, with a variable of the environment or none.
async fn serving(home: &Home, zone: Option<&str>) -> Housekeeper {
    let registry = Arc::new(pumice_job_types::registry().expect("job types"));
    let site = Arc::into_inner(home.site().await.expect("a site")).expect("no other has it");
    let environment = |name: &str| zone.filter(|_| name == "LAVA_TIMEZONE").map(str::to_owned);
    let settings: Settings = site.settings.clone().with_environment(&environment).expect("it holds");
    Housekeeper::new(Arc::new(Site { settings, ..site }), registry)
}

/// Puts a job that is due in the coming minute by the clock of Tokyo.
async fn put_job(home: &Home) -> DateTime<Utc> {
    let due = (Utc::now() + TimeDelta::seconds(60)).trunc_subsecs(0);
    let due = due - TimeDelta::seconds(i64::from(due.second()));
    let crontab = due.with_timezone(&Tokyo).format("%M %H * * *").to_string();
    let job = json!({ "job_id": "daily", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "schedule": crontab });
    home.database().put_jobs(vec![JobSpec::parse(&job).expect("it holds")], false).await.expect("it is put");
    due
}

async fn set_zone(home: &Home, zone: &str) {
    let mut realm = home.database().realm_document().await.expect("it answers").expect("a realm");
    realm.insert("config".to_owned(), json!({ "TIMEZONE": zone }));
    assert!(matches!(realm["realm"], Value::String(_)));
    home.database().put_realm(realm).await.expect("it is put");
}

async fn set_dispatchers(home: &Home, names: &[&str]) {
    let mut realm = home.database().realm_document().await.expect("it answers").expect("a realm");
    realm.insert("config".to_owned(), json!({ "DISPATCHERS": names }));
    home.database().put_realm(realm).await.expect("it is put");
}

async fn started(housekeeper: &Housekeeper) -> usize {
    housekeeper.strike(AHEAD).await.expect("it strikes").started
}

#[tokio::test]
async fn zone_that_changes_while_served_counts_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, other) = (open(folder.path()).await, open(folder.path()).await);
    let housekeeper = serving(&home, None).await;
    put_job(&home).await;
    assert_eq!(started(&housekeeper).await, 0, "in UTC it is nine hours later");
    set_zone(&other, "Asia/Tokyo").await;
    assert_eq!(started(&housekeeper).await, 1);
}

#[tokio::test]
async fn start_with_another_environment_looks_at_all_schedules() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = open(folder.path()).await;
    put_job(&home).await;
    let before = serving(&home, None).await;
    assert_eq!(started(&before).await, 0);
    assert_eq!(before.keep_to_rules().await.expect("it answers").len(), 0);
    let after = serving(&home, Some("Asia/Tokyo")).await;
    assert_eq!(started(&after).await, 0, "nothing says that it is due");
    assert_eq!(after.keep_to_rules().await.expect("it answers").len(), 1);
    assert_eq!(started(&after).await, 1);
    assert_eq!(after.keep_to_rules().await.expect("it answers").len(), 0);
    // The environment goes over the realm, however often that changes.
    set_zone(&home, "Europe/Berlin").await;
    assert_eq!(
        started(&after).await,
        1,
        "it is due when it was, and its run made anew by the realm as it is now"
    );
    assert_eq!(started(&after).await, 0);
    assert_eq!(after.keep_to_rules().await.expect("it answers").len(), 0);
}

#[tokio::test]
async fn start_with_the_service_uses_the_realm_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, other) = (open(folder.path()).await, open(folder.path()).await);
    let housekeeper = serving(&home, None).await;
    let until = (Utc::now() + TimeDelta::hours(2)).naive_utc().format("%Y-%m-%dT%H:%M:%S").to_string();
    let job = json!({ "job_id": "boot", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "schedule": { "crontab": "@reboot", "to": until } });
    home.database().put_jobs(vec![JobSpec::parse(&job).expect("it holds")], false).await.expect("it is put");
    started(&housekeeper).await;
    // In Tokyo that time is over.
    set_zone(&other, "Asia/Tokyo").await;
    started(&housekeeper).await;
    assert_eq!(housekeeper.strike_at_start(Utc::now()).await.expect("it answers"), 0);
    set_zone(&other, "UTC").await;
    started(&housekeeper).await;
    assert_eq!(housekeeper.strike_at_start(Utc::now()).await.expect("it answers"), 1);
}

#[tokio::test]
async fn job_of_a_dispatcher_that_is_taken_over_while_served_is_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, other) = (open(folder.path()).await, open(folder.path()).await);
    let housekeeper = serving(&home, None).await;
    set_dispatchers(&other, &["others"]).await;
    let due = (Utc::now() + TimeDelta::seconds(60)).to_rfc3339();
    let job = json!({ "job_id": "theirs", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "dispatcher": "ours", "schedule": { "at": due } });
    home.database().put_jobs(vec![JobSpec::parse(&job).expect("it holds")], false).await.expect("it is put");
    assert_eq!((started(&housekeeper).await, started(&housekeeper).await), (0, 0));
    set_dispatchers(&other, &["others", "ours"]).await;
    assert_eq!(started(&housekeeper).await, 1);
}
