//! Callers of the function: those that wait for the outcomes, and those that may not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dispatcher_lambda::{Aside, Failed, Invocation, answer_without_site, handle};
use pumice_core::Timestamp;
use pumice_core::engine::{Housekeeper, Triggers};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::Site;
use pumice_core::ports::{
    Catalog, Change, CommitError, Created, Outgoing, RunPage, RunQuery, RunStore, StoreError, StoreErrorKind,
};
use pumice_core::run::{NewRun, Run};
use pumice_core::spec::{JobSpec, RunSpec};
use pumice_local::{Database, Durability, Home};
use serde_json::{Value, json};

/// Records of which, while it is out, only the first of a batch is made.
struct Flaky {
    database: Database,
    is_out: Arc<AtomicBool>,
}

#[async_trait]
impl RunStore for Flaky {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        if !self.is_out.load(Ordering::Relaxed) {
            return self.database.create(runs).await;
        }
        let mut created = self.database.create(&runs[..1]).await?;
        let failed = || Created {
            failed: Some(StoreError::unreachable("the table does not answer")),
            ..Created::default()
        };
        created.extend(runs[1..].iter().map(|_| failed()));
        Ok(created)
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.database.load(key).await
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.database.load_with_spec(key).await
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        self.database.commit(change).await
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        self.database.children(key, attempt).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        match self.is_out.load(Ordering::Relaxed) {
            true => Err(StoreError::unreachable("the table does not answer")),
            false => RunStore::due(&self.database, now, limit).await,
        }
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.database.page(query).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.database.in_line(job_id, limit).await
    }
}

/// Dead letters that may be out of order, or not there.
#[derive(Default)]
struct Letters {
    letters: Mutex<Vec<Value>>,
    trouble: Mutex<Option<StoreErrorKind>>,
}

#[async_trait]
impl Aside for Letters {
    async fn put(&self, body: String) -> Result<(), StoreError> {
        if let Some(kind) = *self.trouble.lock().expect("no test panics within") {
            return Err(StoreError::of(kind, "the queue does not take it"));
        }
        // SQS Developer Guide, Message quotas.
        let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
        if !body.chars().all(taken) {
            return Err(StoreError::of(StoreErrorKind::Invalid, "characters outside the allowed set"));
        }
        if body.len() > 1024 * 1024 {
            return Err(StoreError::of(StoreErrorKind::Invalid, "longer than a message"));
        }
        let letter = serde_json::from_str(&body).expect("JSON");
        self.letters.lock().expect("no test panics within").push(letter);
        Ok(())
    }
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let heard = Self::default();
        (heard.clone(), tracing::subscriber::set_default(heard))
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no test panics within").clone()
    }
}

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Fields(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("no test panics within").push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Realm {
    home: Home,
    housekeeper: Housekeeper,
    triggers: Triggers,
    letters: Letters,
    is_out: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Realm {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("as it is written");
        let home = Home::open(folder.path(), None, true, Durability::Normal).await.expect("as it is written");
        let jobs = ["a", "b", "c"].map(|id| {
            let job =
                json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": null });
            JobSpec::parse(&job).expect("as it is written")
        });
        home.database().put_jobs(jobs.into(), false).await.expect("as it is written");
        let is_out = Arc::new(AtomicBool::new(false));
        let mut site = Site::clone(&*home.site().await.expect("as it is written"));
        site.ports.runs = Arc::new(Flaky { database: home.database().clone(), is_out: is_out.clone() });
        let registry = Arc::new(pumice_job_types::registry().expect("as it is written"));
        let housekeeper = Housekeeper::new(Arc::new(site), registry);
        let store = Arc::new(home.database().clone());
        let triggers = Triggers::new(housekeeper.dispatcher().clone(), store);
        Self { home, housekeeper, triggers, letters: Letters::default(), is_out, _folder: folder }
    }

    async fn invoke(&self, id: &str, event: &Value) -> Result<Value, Failed> {
        let ends = chrono::Utc::now() + chrono::TimeDelta::minutes(1);
        let invocation = Invocation { id, ends, zone: chrono_tz::UTC, aside: &self.letters };
        handle(&self.housekeeper, &self.triggers, event, invocation).await
    }

    fn letters(&self) -> Vec<Value> {
        std::mem::take(&mut *self.letters.letters.lock().expect("no test panics within"))
    }

    async fn jobs(&self) -> Vec<String> {
        let query = RunQuery { limit: 1_000, ..RunQuery::default() };
        let runs = RunStore::list(self.home.database(), &query).await.expect("as it is written");
        let mut jobs: Vec<String> = runs.iter().map(|run| run.job_id.to_string()).collect();
        jobs.sort();
        jobs
    }
}

/// Events of a caller with one request that can be taken and one that cannot.
fn in_part() -> [Value; 4] {
    [
        json!([{ "job_id": "a" }, { "job_id": "no/such" }]),
        json!({ "request": [{ "job_id": "a" }, { "job_id": "no/such" }] }),
        json!({ "request": "a\nno/such" }),
        json!({ "request": "a\nno/such --what" }),
    ]
}

fn count(answer: &Value, list: &str) -> usize {
    answer[list].as_array().expect("a list").len()
}

#[tokio::test]
async fn refused_request_without_waiting_caller_becomes_dead_letter() {
    for (number, event) in in_part().iter().enumerate() {
        let realm = Realm::new().await;
        let id = format!("call-{number}");
        let answer = realm.invoke(&id, event).await.expect("it answers");
        assert_eq!((count(&answer, "accepted"), count(&answer, "refused")), (1, 1), "{answer}");
        let letters = realm.letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(
            (&letters[0]["requestPayload"], &letters[0]["requestContext"]["requestId"]),
            (event, &json!(id))
        );
        let told = letters[0]["responsePayload"]["errorMessage"].as_str().expect("a text");
        assert!(told.contains("no/such") || told.starts_with("line 2: "), "{told}");
        // Redriven from the dead letter, under the same name: nothing runs twice.
        realm.invoke(&id, &letters[0]["requestPayload"]).await.expect("it answers");
        assert_eq!(realm.jobs().await, ["a"]);
    }
}

#[tokio::test]
async fn refused_request_of_any_characters_becomes_dead_letter() {
    // A letter of all the others would be longer than a message.
    let every: String = ('\0'..='\u{10fff}').collect();
    let job = "no/such\u{fffe}\u{ffff}";
    for event in [
        json!({ "job_id": "no/such", "globals": { "a": every } }),
        json!({ "job_id": "no/such", "parameters": { (every.as_str()): 1 } }),
        json!({ "job_id": job }),
        json!({ "request": format!("no/such -g a={job}") }),
        json!({ "request": "a", (job): 1 }),
    ] {
        let realm = Realm::new().await;
        let answer = realm.invoke("call", &event).await.expect("it answers");
        assert_eq!((count(&answer, "accepted"), count(&answer, "refused")), (0, 1), "{answer}");
        assert_eq!(realm.letters()[0]["requestPayload"], event);
    }
}

#[tokio::test]
async fn dead_letter_redriven_makes_same_runs_and_fails_if_refused() {
    let realm = Realm::new().await;
    let event = json!([{ "job_id": "a" }, { "job_id": "late" }]);
    realm.invoke("call", &event).await.expect("it answers");
    let letter = realm.letters().remove(0);
    for id in ["another", "a-third"] {
        let failed = realm.invoke(id, &letter).await.expect_err("a request is refused still");
        assert_eq!(failed.kind(), "Refused");
        assert_eq!(realm.letters(), [] as [Value; 0], "the letter stays where it is");
        assert_eq!(realm.jobs().await, ["a"]);
    }
    let job = json!({ "job_id": "late", "type": "log", "worker": "core", "enabled": true, "payload": null });
    let job = JobSpec::parse(&job).expect("as it is written");
    realm.home.database().put_jobs(vec![job], false).await.expect("as it is written");
    for id in ["a-fourth", "a-fifth"] {
        let answer = realm.invoke(id, &letter).await.expect("all is taken");
        assert_eq!((count(&answer, "accepted"), count(&answer, "refused")), (2, 0), "{answer}");
        assert_eq!(realm.jobs().await, ["a", "late"]);
    }
    // An event with a name of its own is the same one, by whatever way it arrives.
    let topic =
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "MessageId": "m", "Message": "b" } }] });
    let record = json!({ "requestContext": { "requestId": "r" }, "requestPayload": topic });
    for event in [&topic, &record, &record] {
        realm.invoke("call", event).await.expect("it is taken");
        assert_eq!(realm.jobs().await, ["a", "b", "late"]);
    }
}

#[tokio::test]
async fn caller_that_waits_gets_every_outcome() {
    for event in in_part() {
        let mut event = if event.is_array() { json!({ "request": event }) } else { event };
        event["waits"] = json!(true);
        let realm = Realm::new().await;
        let answer = realm.invoke("call", &event).await.expect("it answers");
        assert_eq!((count(&answer, "accepted"), count(&answer, "refused")), (1, 1), "{answer}");
        assert_eq!(realm.letters(), [] as [Value; 0]);
    }
    let realm = Realm::new().await;
    realm.is_out.store(true, Ordering::Relaxed);
    let asked = json!({ "request": "a\nb", "waits": true });
    let answer = realm.invoke("call", &asked).await.expect("it answers");
    assert_eq!((count(&answer, "accepted"), count(&answer, "refused")), (1, 1), "{answer}");
}

#[tokio::test]
async fn unreachable_request_fails_the_invocation() {
    let realm = Realm::new().await;
    let asked = json!([{ "job_id": "a" }, { "job_id": "b" }, { "job_id": "c" }]);
    realm.is_out.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let failed = realm.invoke("call", &asked).await.expect_err("not all is taken");
        assert!(failed.kind() == "Unreachable" && failed.is_logged());
        assert!(failed.to_string().starts_with("1 requests were taken, and not: b: "), "{failed}");
        assert_eq!(realm.jobs().await, ["a"]);
        assert_eq!(realm.letters(), [] as [Value; 0], "Lambda repeats it first");
    }
    realm.is_out.store(false, Ordering::Relaxed);
    let answer = realm.invoke("call", &asked).await.expect("it answers");
    assert_eq!((count(&answer, "accepted"), count(&answer, "refused")), (3, 0));
    assert_eq!(realm.jobs().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn request_without_dead_letter_fails_the_invocation() {
    let realm = Realm::new().await;
    let asked = json!({ "job_id": "no/such" });
    *realm.letters.trouble.lock().expect("as it is written") = Some(StoreErrorKind::Throttled);
    let failed = realm.invoke("call", &asked).await.expect_err("it does not become a dead letter");
    assert!(failed.kind() == "Unreachable" && !failed.is_logged());
    *realm.letters.trouble.lock().expect("as it is written") = Some(StoreErrorKind::Missing);
    assert_eq!(count(&realm.invoke("call", &asked).await.expect("it answers"), "refused"), 1);
}

#[tokio::test]
async fn ten_thousand_malformed_requests_make_a_short_dead_letter() {
    let realm = Realm::new().await;
    let line = "a --what-is-this-option-that-no-request-has";
    let lines = json!({ "request": vec![line; 10_000].join("\n") });
    realm.invoke("call", &lines).await.expect("it answers");
    let letters = realm.letters();
    let told = letters[0]["responsePayload"]["errorMessage"].as_str().expect("a text");
    assert!(
        told.starts_with("10000 requests were refused; the first 10: line 1: ") && told.len() < 8_192,
        "{told}"
    );
    let topic = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "MessageId": "m",
        "Message": lines["request"] } }] });
    let failed = realm.invoke("call", &topic).await.expect_err("nothing is taken");
    assert!(failed.kind() == "Refused" && failed.to_string().len() < 8_192, "{failed}");
}

#[tokio::test]
async fn refused_request_too_long_for_a_letter_is_cut_and_not_redriven() {
    let realm = Realm::new().await;
    let fits = json!({ "job_id": "no/such", "globals": { "a": "x".repeat(1_040_000) } });
    realm.invoke("call", &fits).await.expect("it answers");
    assert_eq!(realm.letters()[0]["requestPayload"], fits, "it is whole");
    // Near the longest event of a call that does not wait, and longer as messages than as events.
    for text in ["x".repeat(1_048_400), "\u{fffe}".repeat(200_000), "\"".repeat(540_000)] {
        let realm = Realm::new().await;
        let event = json!({ "job_id": "no/such", "globals": { "a": text } });
        let answer = realm.invoke("call", &event).await.expect("it answers");
        assert_eq!(count(&answer, "refused"), 1, "{answer}");
        let letter = realm.letters().remove(0);
        let told = letter["responsePayload"]["errorMessage"].as_str().expect("a text");
        assert!(told.contains("no/such"), "{told}");
        let (whole, cut) = (event.to_string(), &letter["requestPayloadCut"]);
        let begins = cut["begins"].as_str().expect("a text");
        assert!(whole.starts_with(begins) && begins.len() > 400_000, "{} bytes", begins.len());
        assert_eq!((&cut["bytes"], letter.get("requestPayload")), (&json!(whole.len()), None));
        assert_eq!(realm.invoke("again", &letter).await.expect_err("it is not whole").kind(), "BadEvent");
    }
}

#[tokio::test]
async fn event_without_a_request_is_logged() {
    let queued =
        |body: &str| json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body }] });
    let topic = |message: &str| {
        let sns = json!({ "MessageId": "m", "Message": message });
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": sns }] })
    };
    let bus = |detail: Value| json!({ "id": "m", "detail-type": "ask", "detail": detail });
    let realm = Realm::new().await;
    for (event, name) in [
        (queued(""), "sqs:m"),
        (queued("[]"), "sqs:m"),
        (queued("# x"), "sqs:m"),
        (topic(" "), "sns:m"),
        (bus(json!({ "request": "" })), "eventbridge:m"),
        (json!([]), "invocation:call"),
        (json!({ "request": "", "waits": true }), "invocation:call"),
    ] {
        let (heard, _listening) = Heard::listen();
        realm.invoke("call", &event).await.expect("it is taken");
        let lines: Vec<String> =
            heard.lines().into_iter().filter(|line| line.contains("no request")).collect();
        assert!(matches!(&lines[..], [line] if line.contains(name)), "{event}: {lines:?}");
    }
    let (heard, _listening) = Heard::listen();
    realm.invoke("call", &queued("a")).await.expect("it is taken");
    assert!(!heard.lines().iter().any(|line| line.contains("no request")));
}

#[tokio::test]
async fn fifo_queue_keeps_the_order_of_each_group() {
    let record = |id: &str, group: &str, body: &str| {
        json!({ "messageId": id, "body": body, "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q.fifo", "attributes": { "MessageGroupId": group } })
    };
    let records = [
        record("1", "x", "a"),
        record("2", "x", "no/such"),
        record("3", "y", "b"),
        record("4", "x", "c"),
        record("5", "y", "a -p n=2"),
    ];
    let realm = Realm::new().await;
    let answer = realm.invoke("call", &json!({ "Records": records })).await.expect("it answers");
    let failed: Vec<&str> = answer["batchItemFailures"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["itemIdentifier"].as_str())
        .collect();
    assert_eq!(failed, ["2", "4"]);
    assert_eq!(realm.jobs().await, ["a", "a", "b"]);
    // A queue that keeps no order hands each out by itself.
    let plain = records.map(|mut record| {
        record["eventSourceARN"] = json!("arn:aws:sqs:eu-west-1:1:q");
        record
    });
    let answer = Realm::new().await.invoke("call", &json!({ "Records": plain })).await.expect("it answers");
    assert_eq!(answer["batchItemFailures"], json!([{ "itemIdentifier": "2" }]));
}

/// Before a sweep the function reads the realm, which fails when the store does not answer.
#[tokio::test]
async fn sweep_of_realm_that_cannot_be_read_fails_no_invocation() {
    let error = || StoreError::unreachable("reading realm test: no answer");
    let sweep = json!({ "sweep": true });
    let answer = answer_without_site(&sweep, error(), async || false).await.expect("it answers");
    assert_eq!(answer, json!({ "swept": null, "started": null, "failed": "reading realm test: no answer" }));
    let answer = answer_without_site(&sweep, error(), async || true).await.expect("it answers");
    assert_eq!(answer, json!({ "swept": 0, "started": 0 }));
    for event in [json!({ "job_id": "a" }), json!({ "sweep": false }), json!([])] {
        let failed = answer_without_site(&event, error(), async || true).await.expect_err("it is no sweep");
        assert_eq!(failed.kind(), "Unreachable", "{event}");
    }
}

#[tokio::test]
async fn sweep_that_fails_says_so_and_fails_no_invocation() {
    let realm = Realm::new().await;
    let sweep = json!({ "sweep": true });
    let answer = realm.invoke("call", &sweep).await.expect("it answers");
    assert_eq!(answer, json!({ "swept": 0, "started": 0 }));
    realm.is_out.store(true, Ordering::Relaxed);
    let answer = realm.invoke("call", &sweep).await.expect("Lambda would put it into the dead letters");
    assert_eq!(answer, json!({ "swept": null, "started": 0, "failed": "the table does not answer" }));
    assert_eq!(realm.letters(), [] as [Value; 0]);
}
