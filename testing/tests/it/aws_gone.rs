//! A record that is removed by hand while its run goes on: the run is at rest, and the message about it
//! does not start its job a second time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::engine::Handled;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::Site;
use pumice_core::ports::{Change, CommitError, Created, Outgoing, RunPage, RunQuery, RunStore, StoreError};
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::RunSpec;
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, log_job, request};
use serde_json::json;

/// A store whose records are removed just before a write.
struct Vanishing {
    realm: Arc<Faulty>,
    inner: Arc<dyn RunStore>,
    /// How many writes take place before that.
    pass: AtomicUsize,
}

#[async_trait]
impl RunStore for Vanishing {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        self.inner.create(runs).await
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.inner.load(key).await
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.inner.load_with_spec(key).await
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        if self.pass.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.realm.remove(&change.run.key).await;
        }
        self.inner.commit(change).await
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        self.inner.children(key, attempt).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.inner.due(now, limit).await
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.inner.page(query).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.inner.in_line(job_id, limit).await
    }
}

#[tokio::test]
async fn record_removed_before_a_write_leaves_its_run_at_rest() {
    // The writes: the claim, the end of the attempt, the first action, that nothing is left to do.
    for (pass, marks) in [(0, 0), (1, 1), (2, 1), (3, 1)] {
        let realm = Arc::new(Faulty::start(&[log_job("note")]).await);
        let mut job = realm.marking_job("mark", 0);
        let action = json!({ "action": "dispatch", "job_id": "note" });
        job["on_success"] = json!([action, action]);
        realm.cloud.put_jobs(&[job]).await;
        let key = key_of(&dispatch(&realm.dispatcher().await, request("mark")).await.expect("it is taken"));
        let body = realm.message().await;
        let mut site = Site::clone(&*realm.site(&realm.realm().await).await);
        let inner = site.ports.runs.clone();
        site.ports.runs = Arc::new(Vanishing { realm: realm.clone(), inner, pass: pass.into() });
        let handled = realm.engine_at(Arc::new(site)).handle(&body, 1, None).await;
        assert_eq!(handled, Handled::Delete, "before write {pass}");
        assert!(realm.load(&key).await.is_none(), "nothing is written in place of what was removed");
        assert_eq!(realm.marks(), marks, "before write {pass}");
    }
}

/// A job whose spec has an item of its own.
fn wide_job() -> serde_json::Value {
    let mut job = log_job("wide");
    job["description"] = "x".repeat(2_000).into();
    job
}

#[tokio::test]
async fn spec_that_outlived_its_record_stops_no_new_run() {
    let realm = Faulty::start(&[wide_job()]).await;
    let mut asked = request("wide");
    asked.idempotency_key = Some("once".to_owned());
    let dispatcher = realm.dispatcher().await;
    let key = key_of(&dispatch(&dispatcher, asked.clone()).await.expect("it is taken"));
    // Records and specs expire each by itself.
    realm.remove(&key).await;
    let again = dispatch(&dispatcher, asked).await.expect("it is taken again");
    assert_eq!((key_of(&again), again.existing), (key.clone(), false));
    assert_eq!(realm.work(&realm.engine().await, &key).await.run.status, Status::Complete);
}

#[tokio::test]
async fn table_with_unexpected_keys_is_reported() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let dispatcher = realm.dispatcher().await;
    let other = Fault::Invalid("The provided key element does not match the schema");
    realm.proxy.fail("PutItem", other.clone(), 1);
    let error = dispatch(&dispatcher, request("note")).await.expect_err("it is refused").to_string();
    for part in ["lava.test.runs", "does not match the schema", "is not as this version of Pumice expects"] {
        assert!(error.contains(part), "{error}");
    }
    // The end of an attempt is not taken for one that is too large: it is kept, and written later.
    let run = dispatch(&dispatcher, request("note")).await.expect("it is taken");
    realm.proxy.fail_after("UpdateItem", 1, other, 1);
    let worked = realm.work(&realm.engine().await, &key_of(&run)).await;
    assert_eq!((worked.run.status, worked.run.reason), (Status::Complete, None));
}
