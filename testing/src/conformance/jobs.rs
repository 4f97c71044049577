//! Job specs and the realm.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::ports::Doc;
use pumice_core::spec::{Retention, Settings};
use serde_json::Value;

use super::{Adapters, job, odd_job, realm, stored_jobs};

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
    assert!(ids.as_ref().is_none_or(|ids| ids.len() == stored.len() + 1), "{ids:?}");
}

pub async fn stored_with_mistakes_come_with_warnings(on: &Adapters) {
    let found = on.jobs.jobs(&[job("odd")]).await.expect("the store answers").pop().flatten();
    let odd = found.expect("it is there").expect("it can run");
    assert_eq!(Value::Object(Doc::clone(&odd.document)), odd_job());
    let warned: Vec<&str> = odd.warnings.iter().map(|warning| warning.path.as_str()).collect();
    for field in [".colour", ".owner", ".schedule", ".on_fail[0]"] {
        assert!(warned.contains(&field), "{field}: {warned:?}");
    }
    assert_eq!(odd.fields.iteration_limit, Some(2));
    assert_eq!(odd.fields.on_fail.as_ref().map(Vec::len), Some(2));
}

pub async fn realm_is_whole(on: &Adapters) {
    let found = on.jobs.realm().await.expect("the store answers");
    for (name, value) in realm().as_object().expect("an object") {
        assert_eq!(found.document.get(name), Some(value));
    }
    // The store adds whether lava's workers have a table of events there.
    let has_lava_table = found.settings.has_lava_table;
    let event_ttl = Retention::of(None);
    let defaults = Settings { event_ttl, foreach_limit: 7, has_lava_table, ..Settings::default() };
    assert_eq!(found.settings, defaults);
    let warned: Vec<&str> = found.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, [".on_fail", ".config.cmd_timeout"]);
}
