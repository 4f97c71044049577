//! Events of S3's, by every way, and the runs that triggers make of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use dispatcher_lambda::{Aside, Failed, Invocation, handle};
use pumice_core::engine::{Housekeeper, Triggers};
use pumice_core::ids::TriggerId;
use pumice_core::ports::{
    Catalog, Doc, RunQuery, RunStore, StoreError, StoreErrorKind, TriggerStore, TriggerUpsert,
};
use pumice_core::run::{Run, Status, Trigger};
use pumice_core::spec::JobSpec;
use pumice_core::trigger::TriggerSpec;
use pumice_local::{Database, Durability, Home};
use pumice_template::Renderer;
use serde_json::{Value, json};

/// Triggers that cannot be reached for a while.
struct Flaky {
    database: Database,
    is_out: AtomicBool,
}

#[async_trait]
impl TriggerStore for Flaky {
    async fn of_bucket(&self, bucket: &str) -> Result<Vec<Arc<Doc>>, StoreError> {
        match self.is_out.load(Ordering::Relaxed) {
            true => Err(StoreError::of(StoreErrorKind::Unreachable, "the table does not answer")),
            false => self.database.of_bucket(bucket).await,
        }
    }

    async fn all_triggers(&self) -> Result<Vec<Doc>, StoreError> {
        self.database.all_triggers().await
    }

    async fn put_triggers(
        &self,
        triggers: Vec<TriggerSpec>,
        dry_run: bool,
    ) -> Result<Vec<TriggerUpsert>, StoreError> {
        self.database.put_triggers(triggers, dry_run).await
    }

    async fn delete_triggers(&self, ids: Vec<TriggerId>) -> Result<Vec<bool>, StoreError> {
        self.database.delete_triggers(ids).await
    }
}

/// No dead letters.
struct Nowhere;

#[async_trait]
impl Aside for Nowhere {
    async fn put(&self, body: String) -> Result<(), StoreError> {
        panic!("there are no dead letters: {body}")
    }
}

struct Realm {
    home: Home,
    housekeeper: Housekeeper,
    store: Arc<Flaky>,
    triggers: Triggers,
    _folder: tempfile::TempDir,
}

fn job(id: &str, enabled: bool) -> JobSpec {
    let job = json!({ "job_id": id, "type": "log", "worker": "core", "enabled": enabled, "payload": null });
    JobSpec::parse(&job).expect("as it is written")
}

fn trigger(id: &str, job_id: Value) -> TriggerSpec {
    let trigger = json!({ "trigger_id": id, "bucket": "b", "prefix": "in", "job_id": job_id, "enabled": true,
        "globals": { "key": "{{ key }}", "now": "{{ utils.uuid() }}" } });
    TriggerSpec::parse(&trigger, &Renderer::default()).expect("as it is written")
}

impl Realm {
    async fn new(triggers: Vec<TriggerSpec>) -> Self {
        let folder = tempfile::tempdir().expect("as it is written");
        let home = Home::open(folder.path(), None, true, Durability::Normal).await.expect("as it is written");
        home.database()
            .put_jobs(vec![job("load", true), job("off", false)], false)
            .await
            .expect("as it is written");
        home.database().put_triggers(triggers, false).await.expect("as it is written");
        let registry = Arc::new(pumice_job_types::registry().expect("as it is written"));
        let housekeeper = Housekeeper::new(home.site().await.expect("as it is written"), registry);
        let store = Arc::new(Flaky { database: home.database().clone(), is_out: AtomicBool::new(false) });
        let triggers = Triggers::new(housekeeper.dispatcher().clone(), store.clone());
        Self { home, housekeeper, store, triggers, _folder: folder }
    }

    async fn take(&self, event: &Value) -> Result<Value, Failed> {
        let ends = chrono::Utc::now() + chrono::TimeDelta::minutes(1);
        let invocation = Invocation { id: "call", ends, zone: chrono_tz::UTC, aside: &Nowhere };
        handle(&self.housekeeper, &self.triggers, event, invocation).await
    }

    async fn runs(&self) -> Vec<Run> {
        RunStore::list(self.home.database(), &RunQuery { limit: 1_000, ..RunQuery::default() })
            .await
            .expect("as it is written")
    }
}

fn record(key: &str) -> Value {
    json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2026-01-30T16:18:17.123Z",
        "s3": { "bucket": { "name": "b" }, "object": { "key": key, "size": 5, "versionId": "v1", "sequencer": "0A" } } })
}

fn sqs(bodies: &[Value]) -> Value {
    let record = |(number, body): (usize, &Value)| json!({ "eventSource": "aws:sqs", "messageId": format!("m{number}"), "body": body.to_string() });
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn sns(message: &Value) -> Value {
    json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "arn:aws:sns:r:1:t:s",
        "Sns": { "MessageId": uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, b"m").to_string(), "Message": message.to_string(),
            "Type": "Notification", "TopicArn": "arn:aws:sns:r:1:t", "Timestamp": "2026-01-01T00:00:00Z",
            "SignatureVersion": "1", "Signature": "", "SigningCertUrl": "https://a", "UnsubscribeUrl": "https://a",
            "MessageAttributes": {} } }] })
}

/// The same object, by every way.
fn every_way() -> Vec<Value> {
    let direct = json!({ "Records": [record("in/a+b")] });
    let bus = json!({ "id": "1", "source": "aws.s3", "detail-type": "Object Created", "time": "2026-01-30T16:18:17Z",
        "detail": { "bucket": { "name": "b" }, "reason": "PutObject",
            "object": { "key": "in/a b", "size": 5, "version-id": "v1", "sequencer": "0A" } } });
    let wrapped = json!({ "Type": "Notification", "MessageId": "1", "Message": direct.to_string() });
    vec![direct.clone(), direct.clone(), bus.clone(), sns(&direct), sns(&bus), sqs(&[direct, wrapped, bus])]
}

#[tokio::test]
async fn object_delivered_repeatedly_by_any_way_makes_one_run() {
    let realm = Realm::new(vec![trigger("t", json!("load"))]).await;
    for event in every_way() {
        let answer = realm.take(&event).await.unwrap();
        assert!(answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty), "{event}: {answer}");
        let runs = realm.runs().await;
        assert_eq!(runs.len(), 1, "{event}");
        let wanted = Trigger::Object {
            trigger_id: "t".to_owned(),
            bucket: "b".to_owned(),
            key: "in/a b".to_owned(),
            event_type: "ObjectCreated:Put".to_owned(),
            version: Some("v1".to_owned()),
        };
        assert_eq!(runs[0].trigger(), wanted);
    }
    let mut other = record("in/a+b");
    other["s3"]["object"]["sequencer"] = json!("0B");
    realm.take(&json!({ "Records": [other] })).await.unwrap();
    assert_eq!(realm.runs().await.len(), 2, "the object was put again");
    let unfit = realm.take(&json!({ "Records": [record("elsewhere")] })).await.unwrap();
    assert_eq!(unfit["accepted"], json!([]));
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" });
    assert_eq!(realm.take(&test).await.unwrap()["accepted"], json!([]));
}

#[tokio::test]
async fn job_named_twice_makes_two_runs_and_disabled_is_skipped() {
    let realm = Realm::new(vec![trigger("t", json!(["load", "off", "load"]))]).await;
    let event = json!({ "Records": [record("in/a")] });
    realm.take(&event).await.unwrap();
    // The list is edited between two deliveries.
    let other = vec![trigger("t", json!(["off", "load", "load"]))];
    realm.home.database().put_triggers(other, false).await.unwrap();
    realm.take(&event).await.unwrap();
    let runs = realm.runs().await;
    let of = |job: &str| runs.iter().filter(|run| run.job_id.as_str() == job).count();
    assert_eq!((of("load"), of("off")), (2, 1));
    assert!(runs.iter().all(|run| (run.status == Status::Skipped) == (run.job_id.as_str() == "off")));
}

#[tokio::test]
async fn failure_of_one_stops_no_other_and_fails_the_event() {
    let mut bad = trigger("bad", json!("load"));
    let document = Arc::make_mut(&mut bad.document);
    document.insert("colour".to_owned(), json!("red"));
    let realm =
        Realm::new(vec![bad, trigger("missing", json!(["gone", "load"])), trigger("ok", json!("load"))])
            .await;
    let event = json!({ "Records": [record("in/a"), { "eventSource": "aws:s3" }] });
    for _ in 0..2 {
        let error = realm.take(&event).await.unwrap_err();
        assert_eq!(error.kind(), "Refused");
        for told in [
            "trigger bad",
            "colour: no such field",
            "trigger missing, job gone",
            "no such job gone",
            "s3.bucket.name is missing",
        ] {
            assert!(error.to_string().contains(told), "{told}: {error}");
        }
        assert_eq!(realm.runs().await.len(), 2, "a started job is not started again");
    }
    let answer = realm
        .take(&sqs(&[json!({ "Records": [record("in/b")] }), json!({ "Records": [record("x")] })]))
        .await
        .unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] }));
    realm.home.database().put_jobs(vec![job("gone", true)], false).await.unwrap();
    let again = Box::pin(realm.take(&json!({ "Records": [record("in/a")] }))).await.unwrap_err();
    assert!(!again.to_string().contains("gone") && again.to_string().contains("colour"), "{again}");
    assert_eq!(realm.runs().await.len(), 5, "the job that was missing was started, for this event");
}

#[tokio::test]
async fn store_that_is_out_fails_the_event_until_it_answers() {
    let realm = Realm::new(vec![trigger("t", json!("load"))]).await;
    realm.store.is_out.store(true, Ordering::Relaxed);
    let direct = json!({ "Records": [record("in/a")] });
    let error = realm.take(&direct).await.unwrap_err();
    assert_eq!(error.kind(), "Unreachable", "{error}");
    let queued = sqs(&[direct.clone(), json!({ "Event": "s3:TestEvent" })]);
    assert_eq!(
        realm.take(&queued).await.unwrap(),
        json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] })
    );
    realm.store.is_out.store(false, Ordering::Relaxed);
    for event in [direct, queued] {
        realm.take(&event).await.unwrap();
        assert_eq!(realm.runs().await.len(), 1);
    }
}
