//! A record's account of what started its run, as a realm's folder keeps it.

use std::sync::Arc;

use chrono::{SubsecRound, TimeDelta, Utc};
use pumice_core::engine::Housekeeper;
use pumice_core::ids::JobId;
use pumice_core::ports::{Catalog, RunQuery, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_core::run::Trigger;
use pumice_core::spec::JobSpec;
use pumice_local::{Durability, Home};
use serde_json::json;

async fn realm(folder: &std::path::Path) -> (Home, Housekeeper) {
    let home = Home::open(folder, None, true, Durability::Normal).await.expect("a realm");
    let due = (Utc::now() + TimeDelta::seconds(60)).trunc_subsecs(0);
    let job = json!({
        "job_id": "once", "type": "log", "worker": "core", "enabled": true, "payload": null,
        "schedule": { "at": due.to_rfc3339() },
    });
    home.database().put_jobs(vec![JobSpec::parse(&job).expect("it holds")], false).await.expect("it is put");
    let registry = Arc::new(pumice_job_types::registry().expect("job types"));
    let site = home.site().await.expect("a site");
    (home, Housekeeper::new(site, registry))
}

/// The trigger of the newest run.
async fn newest(home: &Home) -> Trigger {
    let query = RunQuery { limit: 1, ..RunQuery::default() };
    RunStore::list(home.database(), &query).await.expect("it answers").first().expect("a run").trigger()
}

fn request() -> Vec<DispatchRequest> {
    vec![DispatchRequest::new(JobId::new("once").expect("an id"))]
}

#[tokio::test]
async fn run_names_its_trigger_for_every_caller() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, housekeeper) = realm(folder.path()).await;
    let dispatcher = housekeeper.dispatcher();
    dispatcher.dispatch(request(), None).await.remove(0).expect("it is taken");
    assert_eq!(newest(&home).await, Trigger::Caller);
    let first = dispatcher.dispatch_call(request(), "invocation:1").await.remove(0).expect("it is taken");
    assert_eq!(newest(&home).await, Trigger::Caller);
    let again = dispatcher.dispatch_call(request(), "invocation:1").await.remove(0).expect("it is taken");
    assert_eq!((again.run_id, again.existing), (first.run_id, true), "a call that is repeated makes one run");
    dispatcher.dispatch_event(request(), "sns:1").await.remove(0).expect("it is taken");
    assert_eq!(newest(&home).await, Trigger::Event { event: "sns:1".to_owned() });
    assert_eq!(housekeeper.strike(TimeDelta::seconds(90)).await.expect("it strikes").started, 1);
    let made = newest(&home).await;
    assert!(matches!(made, Trigger::Schedule { entry: 0, slot: Some(_), backfill: None }), "{made:?}");
}

#[tokio::test]
async fn event_with_a_long_name_is_recorded_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, housekeeper) = realm(folder.path()).await;
    // The name is cut within a character of two bytes.
    let name = format!("eventbridge:x{}", "\u{e9}".repeat(200_000));
    housekeeper.dispatcher().dispatch_event(request(), &name).await.remove(0).expect("it is taken");
    let Trigger::Event { event } = newest(&home).await else { panic!("an event") };
    assert!(name.starts_with(&event) && (250..=256).contains(&event.len()), "{}", event.len());
}
