//! Changes of jobs that follow one another before anything looks at the clock.

use std::sync::Arc;

use pumice_core::clock::Timetable;
use pumice_core::ids::JobId;
use pumice_core::ports::{Catalog, ScheduleStore};
use pumice_core::spec::JobSpec;
use pumice_local::{Database, Durability};
use serde_json::{Value, json};

fn job(schedule: &str, payload: &str) -> JobSpec {
    let job = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": payload,
        "schedule": schedule });
    let Value::Object(job) = job else { unreachable!("it is an object") };
    JobSpec::stored(Arc::new(job)).expect("a job")
}

async fn timetable(database: &Database) -> Timetable {
    let id = JobId::new("a").expect("an id");
    let found = ScheduleStore::load(database, &[id]).await.expect("it answers");
    found.into_iter().next().flatten().expect("it is there")
}

/// The schedules that were superseded; none where the job was gone.
async fn superseded(database: &Database) -> Vec<Option<Value>> {
    let superseded = timetable(database).await.superseded;
    superseded.into_iter().map(|one| one.job.and_then(|job| job.get("schedule").cloned())).collect()
}

#[tokio::test]
async fn each_change_since_the_last_look_is_kept_until_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("realm.db");
    let database = Database::open(&path, folder.path(), Durability::Normal).expect("a store");
    let put = async |schedule: &str, payload: &str| {
        database.put_jobs(vec![job(schedule, payload)], false).await.expect("it is put");
    };
    put("0 1 * * *", "one").await;
    put("0 1 * * *", "two").await;
    assert_eq!(superseded(&database).await, [], "it is due when it was");
    put("0 2 * * *", "two").await;
    database.delete_jobs(vec![JobId::new("a").expect("an id")]).await.expect("it is deleted");
    put("0 2 * * *", "two").await;
    let kept = [Some(json!("0 1 * * *")), Some(json!("0 2 * * *")), None];
    assert_eq!(superseded(&database).await, kept);
    // The realm's rules are others: that the job was gone is all that counts.
    let realm = json!({ "realm": "r", "config": { "TIMEZONE": "Asia/Tokyo" } });
    let before = timetable(&database).await;
    database.put_realm(realm.as_object().cloned().expect("an object")).await.expect("it is put");
    let after = timetable(&database).await;
    let at = after.changed.expect("it is to be looked at");
    assert_eq!(after, Timetable { cursors: Vec::new(), ..before.under_other_rules(at) });
    // A look at them takes them away.
    let looked = Timetable { rev: after.rev + 1, changed: None, superseded: Vec::new(), ..after };
    let looked = Timetable { cursors: vec![pumice_core::clock::Cursor::unusable(at)], ..looked };
    ScheduleStore::put(&database, vec![looked]).await.expect("it answers").remove(0).expect("it is written");
    put("0 3 * * *", "two").await;
    assert_eq!(superseded(&database).await, [], "a look has seen the one before");
}

#[tokio::test]
async fn other_rules_keep_that_a_job_was_not_enabled() {
    for first in [json!(true), json!(false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("realm.db");
        let database = Database::open(&path, folder.path(), Durability::Normal).expect("a store");
        // The text of a job may have such a field elsewhere.
        for (enabled, zone) in [(first.clone(), "UTC"), (json!(true), "Asia/Tokyo")] {
            let schedule = json!({ "crontab": "0 1 * * *", "globals": { "enabled": false } });
            let spec = json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": enabled, "payload": "true",
                "schedule": [schedule], "timezone": zone });
            let Value::Object(spec) = spec else { unreachable!("it is an object") };
            let spec = JobSpec::stored(Arc::new(spec)).expect("a job");
            database.put_jobs(vec![spec], false).await.expect("it is put");
        }
        let before = timetable(&database).await;
        let realm = json!({ "realm": "r", "config": { "TIMEZONE": "Asia/Tokyo" } });
        database.put_realm(realm.as_object().cloned().expect("an object")).await.expect("it is put");
        let after = timetable(&database).await;
        let at = after.changed.expect("it is to be looked at");
        assert_eq!(after, before.under_other_rules(at));
        assert_eq!(after.superseded.len(), usize::from(first == false), "{first}");
    }
}
