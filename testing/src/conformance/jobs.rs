//! Job specs and the realm.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::ports::Doc;
use serde_json::Value;

use super::{Adapters, job, realm, stored_jobs};

pub async fn come_in_the_order_asked_for(on: &Adapters) {
    let ids = [job("report"), job("no/such"), job("etl/load")];
    let jobs = on.jobs.jobs(&ids).await.expect("the store answers");
    let documents: Vec<Option<Value>> = jobs
        .into_iter()
        .map(|job| job.map(|job| Value::Object(Doc::clone(&job.expect("it holds").document))))
        .collect();
    let stored = stored_jobs();
    assert_eq!(documents, [Some(stored[2].clone()), None, Some(stored[0].clone())]);
    let ids = on.jobs.job_ids().await.expect("the store answers");
    // A store may find it too costly to name them.
    assert!(ids.as_ref().is_none_or(|ids| ids.len() == stored.len()), "{ids:?}");
}

pub async fn the_realm_is_whole(on: &Adapters) {
    let found = on.jobs.realm().await.expect("the store answers");
    for (name, value) in realm().as_object().expect("an object") {
        assert_eq!(found.document.get(name), Some(value));
    }
}
