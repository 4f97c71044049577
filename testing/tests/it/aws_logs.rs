//! Log lines of faults on AWS: one each, with the words to search for.

use std::io::Write;
use std::sync::{Arc, Mutex};

use pumice_core::engine::Handled;
use pumice_core::ids::RunKey;
use pumice_core::ports::Consumer;
use pumice_core::request::{DispatchRequest, When};
use pumice_testing::standins::{Fault, Faulty, dispatch, key_of, log_job, request};
use serde_json::json;

/// Every call from now on.
const ALWAYS: usize = usize::MAX;

/// The log of this thread.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no thread panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Heard {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let heard = Self::default();
        let to = heard.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone());
        (heard, tracing::subscriber::set_default(lines.finish()))
    }

    /// The lines that say this.
    fn saying(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().expect("no thread panicked").clone()).expect("it is text");
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// The one line that says this, which names a run and its job.
    fn assert_told_once(&self, text: &str, key: &RunKey, job: &str) {
        let lines = self.saying(text);
        assert_eq!(lines.len(), 1, "{text}: {lines:#?}");
        let run_id = format!("run_id={}", key.run_id().expect("a run id"));
        for part in [&run_id, &format!("job_id={job}")] {
            assert!(lines[0].contains(part), "{part} is missing: {}", lines[0]);
        }
    }
}

#[tokio::test]
async fn message_not_sent_is_logged_with_its_run() {
    let fails = json!({ "job_id": "fails", "type": "cmd", "worker": "core", "enabled": true, "payload": "false", "iteration_limit": 2 });
    let realm = Faulty::start(&[log_job("note"), fails]).await;
    let (dispatcher, engine) = (realm.dispatcher().await, realm.engine().await);
    let (heard, _listening) = Heard::listen();
    let failing = key_of(&dispatch(&dispatcher, request("fails")).await.expect("it is taken"));
    let body = realm.message().await;
    realm.proxy.fail("SendMessageBatch", Fault::Error("AccessDenied"), ALWAYS);
    let unsent = key_of(&dispatch(&dispatcher, request("note")).await.expect("it is recorded"));
    heard.assert_told_once("a message was not sent", &unsent, "note");
    // What functions make a metric of.
    let counted = heard.saying("pumice::unsent");
    assert!(matches!(&counted[..], [line] if line.contains("count=1")), "{counted:?}");
    // The message of a retry goes the other way.
    let (heard, _listening) = Heard::listen();
    engine.handle(&body, 1, None).await;
    heard.assert_told_once("a message was not sent", &failing, "fails");
}

#[tokio::test]
async fn record_vanishing_during_its_job_is_logged_once() {
    let realm = Faulty::start(&[]).await;
    let cmd = |id: &str, seconds: f32| {
        let line = format!(
            "{}; sleep {seconds}'",
            realm.marking_job(id, 0)["payload"].as_str().expect("a line").trim_end_matches('\'')
        );
        json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": line })
    };
    let chain =
        json!({ "job_id": "chain", "type": "chain", "worker": "core", "enabled": true, "payload": "some" });
    realm.cloud.put_jobs(&[cmd("long", 600.0), cmd("short", 0.4), cmd("some", 2.5), chain]).await;
    let dispatcher = realm.dispatcher().await;
    // It is seen by the watch over the job, when the job has ended, and between two steps.
    for (marks, job) in [(1, "long"), (2, "short"), (3, "chain")] {
        let (heard, _listening) = Heard::listen();
        let key = key_of(&dispatch(&dispatcher, request(job)).await.expect("it is taken"));
        let (engine, body) = (realm.engine().await, realm.message().await);
        let working = tokio::spawn(async move { engine.handle(&body, 1, None).await });
        while realm.marks() < marks {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        realm.remove(&key).await;
        // If its message came again it would find no record, and start the job anew.
        assert_eq!(working.await.expect("it ends"), Handled::Delete, "{job}");
        heard.assert_told_once("the record is gone", &key, job);
        assert_eq!((realm.marks(), realm.load(&key).await), (marks, None), "{job}");
    }
}

#[tokio::test]
async fn missing_table_and_queue_are_named_in_the_log() {
    let realm = Faulty::start(&[log_job("note")]).await;
    let (dispatcher, engine) = (realm.dispatcher().await, realm.engine().await);
    let worker = pumice_core::ids::WorkerName::new("core").expect("a name");
    let (heard, _listening) = Heard::listen();
    dispatch(&dispatcher, request("note")).await.expect("it is taken");
    let body = realm.message().await;
    let names = |told: &str, what: &str| {
        assert!(told.contains(what) && told.contains("is the realm deployed"), "{what}: {told}");
    };

    let sqs = &realm.cloud.clients.sqs;
    let url = sqs.get_queue_url().queue_name("lava-test-core").send().await.expect("it is there");
    sqs.delete_queue().set_queue_url(url.queue_url).send().await.expect("it is deleted");
    // The run is recorded; its message is sent once the queue is deployed.
    let unsent = key_of(&dispatch(&dispatcher, request("note")).await.expect("it is recorded"));
    heard.assert_told_once("a message was not sent", &unsent, "note");
    names(&heard.saying("a message was not sent")[0], "queue lava-test-core");
    let error = realm.realm().await.queues().receive(&worker, 1, std::time::Duration::ZERO).await;
    names(&error.expect_err("there is none").to_string(), "queue lava-test-core");

    let deleted = realm.cloud.clients.dynamodb.delete_table().table_name("lava.test.runs").send().await;
    deleted.expect("it is deleted");
    let error = dispatch(&dispatcher, request("note")).await.expect_err("there is no table").to_string();
    names(&error, "table lava.test.runs");
    assert!(matches!(engine.handle(&body, 1, None).await, Handled::Again(_)));
    names(&heard.saying("a message goes back to its queue")[0], "table lava.test.runs");
}

#[tokio::test]
async fn failed_schedule_is_logged_with_its_run_and_fails_nothing() {
    let realm = Faulty::start(&[log_job("report")]).await;
    realm.cloud.make_schedule_group().await;
    let dispatcher = realm.dispatcher_at(realm.site(&realm.realm_with_schedules().await).await);
    let due = When::At(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    for (fault, told) in [
        (Fault::Error("ServiceQuotaExceededException"), "ServiceQuotaExceededException: made by a test"),
        (Fault::Invalid("no such role"), "ValidationException: no such role"),
        (Fault::Error("AccessDeniedException"), "the role in use lacks this permission"),
    ] {
        let (heard, _listening) = Heard::listen();
        // Of the services that are asked only Scheduler is asked with this method.
        realm.proxy.fail("POST", fault, 1);
        let asked = DispatchRequest { when: due, ..request("report") };
        let key = key_of(&dispatch(&dispatcher, asked).await.expect("it is taken"));
        heard.assert_told_once("has no schedule", &key, "report");
        heard.assert_told_once(told, &key, "report");
        assert!(heard.saying("the table is not").is_empty(), "that is said of DynamoDB's tables only");
        let run = realm.load(&key).await.expect("it is recorded");
        assert_eq!(
            run.due_at,
            Some(run.not_before - chrono::TimeDelta::minutes(15)),
            "the sweeper sees to it"
        );
        assert!(realm.cloud.schedule_of(&key).await.is_none());
    }
}
