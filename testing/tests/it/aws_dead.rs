//! Dead letters and rights on AWS: those of the dispatcher are handed to it once more, and stay while it refuses them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_sdk_sqs::types::MessageAttributeValue;
use pumice_aws::Queues;
use pumice_core::connection::AwsKeys;
use pumice_core::ports::{
    Buried, BusEvent, DeadLetter, DeadLetters, DeadQueue, FunctionAnswer, FunctionCall, Messaging,
    QueueMessage, SesEmail, StoreError, StoreErrorKind, TopicMessage,
};
use pumice_host::SystemClock;
use pumice_testing::standins::{Cloud, log_job};
use serde_json::{Value, json};

/// A dispatcher that remembers its events, and refuses them while `refuses` is set.
#[derive(Default)]
struct Dispatcher {
    events: Mutex<Vec<(String, Value)>>,
    refuses: AtomicBool,
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::invalid("nothing else is asked for"))
}

#[async_trait]
impl Messaging for Dispatcher {
    async fn publish(&self, _: TopicMessage) -> Result<(), StoreError> {
        unused()
    }

    async fn send(&self, _: QueueMessage) -> Result<(), StoreError> {
        unused()
    }

    async fn send_email(&self, _: SesEmail) -> Result<(), StoreError> {
        unused()
    }

    async fn verified_domain(&self, _: &str) -> Result<Option<String>, StoreError> {
        unused()
    }

    async fn put_event(&self, _: BusEvent) -> Result<(), StoreError> {
        unused()
    }

    async fn invoke(&self, call: FunctionCall) -> Result<FunctionAnswer, StoreError> {
        let event = serde_json::from_slice(&call.event).expect("JSON");
        let called = format!("{}:{}", call.function, call.qualifier.unwrap_or_default());
        self.events.lock().expect("no test panics within").push((called, event));
        let refused = self.refuses.load(Ordering::Relaxed);
        let answer = if refused { json!({ "errorMessage": "no such job b" }) } else { json!({}) };
        let error = refused.then(|| "Unhandled".to_owned());
        Ok(FunctionAnswer { answer: answer.to_string().into_bytes(), error, version: None })
    }

    async fn caller(&self, _: &AwsKeys, _: Option<&str>) -> Result<String, StoreError> {
        unused()
    }
}

async fn letters(queues: &Queues) -> Vec<DeadLetter> {
    queues.dead_letters_of(&DeadQueue::Dispatcher, 10).await.expect("it answers").letters
}

#[tokio::test]
async fn dispatcher_dead_letter_redriven_stays_while_refused() {
    let cloud = Cloud::start(&[log_job("a")]).await;
    let dispatcher = Arc::new(Dispatcher::default());
    let queues = Queues::new(cloud.clients.sqs.clone(), cloud.names().clone(), Arc::new(SystemClock), None)
        .with_messaging(dispatcher.clone());
    let missing = queues.dead_count(&DeadQueue::Dispatcher).await.expect_err("there is no such queue yet");
    assert_eq!(missing.kind, StoreErrorKind::Missing);
    let made = cloud.clients.sqs.create_queue().queue_name(cloud.names().dispatcher_dead_letters());
    made.send().await.expect("a queue is made");
    let record = json!({ "requestContext": { "requestId": "r", "condition": "RetriesExhausted" },
        "requestPayload": { "job_id": "b" }, "responsePayload": { "errorMessage": "no such job b" } });
    queues.put_request_aside(&record.to_string()).await.expect("it is put");
    let found = letters(&queues).await;
    assert_eq!((found.len(), found[0].reason.as_deref()), (1, Some("no such job b")), "{found:?}");
    let ids = [found[0].id.clone()];

    dispatcher.refuses.store(true, Ordering::Relaxed);
    let refused = queues.redrive(&DeadQueue::Dispatcher, &ids).await.expect("it answers");
    assert_eq!(refused, [Buried::Refused("no such job b".to_owned())]);
    assert_eq!(letters(&queues).await.len(), 1, "it stays, and is seen at once");
    dispatcher.refuses.store(false, Ordering::Relaxed);
    assert_eq!(queues.redrive(&DeadQueue::Dispatcher, &ids).await.expect("it answers"), [Buried::Done]);
    assert_eq!(queues.redrive(&DeadQueue::Dispatcher, &ids).await.expect("it answers"), [Buried::NotFound]);
    let events = dispatcher.events.lock().expect("no test panics within").clone();
    let call = ("lava-test-pumice-dispatcher:live".to_owned(), record);
    assert_eq!(events, [call.clone(), call], "with the name that it had");

    // One that SNS could not deliver, by the redrive policy of its subscription.
    let url =
        cloud.clients.sqs.get_queue_url().queue_name(cloud.names().dispatcher_dead_letters()).send().await;
    let url = url.expect("it is there").queue_url;
    let envelope = json!({ "Type": "Notification", "TopicArn": "arn:x", "MessageId": "m", "Message": "a" });
    let why = MessageAttributeValue::builder().data_type("String").string_value("throttled").build();
    let send = cloud.clients.sqs.send_message().set_queue_url(url).message_body(envelope.to_string());
    let sent = send.message_attributes("ErrorMessage", why.expect("it is whole")).send().await;
    sent.expect("it is sent");
    let found = letters(&queues).await;
    assert_eq!((found.len(), found[0].reason.as_deref()), (1, Some("throttled")), "{found:?}");
    let gone = queues.discard(&DeadQueue::Dispatcher, &[found[0].id.clone()]).await.expect("it answers");
    assert_eq!(gone, [Buried::Done]);

    // One that has no event is never handed over; it can be dropped.
    queues.put_request_aside(r#"{"DDBStreamBatchInfo": {}}"#).await.expect("it is put");
    let ids = [letters(&queues).await[0].id.clone()];
    let outcome = queues.redrive(&DeadQueue::Dispatcher, &ids).await.expect("it answers");
    assert!(matches!(&outcome[..], [Buried::Refused(why)] if why.contains("drop it")), "{outcome:?}");
    assert_eq!(queues.discard(&DeadQueue::Dispatcher, &ids).await.expect("it answers"), [Buried::Done]);
    assert_eq!(dispatcher.events.lock().expect("no test panics within").len(), 2);
}

#[tokio::test]
async fn rights_are_tried_and_nothing_is_written() {
    let cloud = Cloud::start(&[log_job("a")]).await;
    let rights = cloud.realm.rights().await;
    // This realm has no table of connections.
    let failed: Vec<_> = rights.iter().filter(|right| right.error.is_some()).collect();
    let of_connections = failed.iter().all(|right| right.what.ends_with("table lava.test.connections"));
    assert!(of_connections && failed.len() <= 2 && rights.len() == 11, "{rights:?}");
    assert!(
        failed
            .iter()
            .all(|right| right.error.as_ref().is_some_and(|error| error.kind == StoreErrorKind::Missing))
    );
}

#[tokio::test]
async fn command_sees_dead_letters_of_workers_and_hands_them_out() {
    let cloud = Cloud::start(&[log_job("a")]).await;
    let dispatched: Value =
        serde_json::from_str(&cloud.pumice(&["dispatch", "a", "-o", "json"])).expect("JSON");
    let key = &dispatched["accepted"][0]["run_id"];
    let (body, _) = cloud.take("lava-test-core").await.expect("its message");
    let core = pumice_core::ids::WorkerName::new("core").expect("a name");
    cloud.realm.queues().put_aside(&core, &body, "handed out too often").await.expect("it is a dead letter");
    let listed: Value = serde_json::from_str(&cloud.pumice(&["dead", "list", "-o", "json"])).expect("JSON");
    let letter = &listed["letters"][0];
    assert_eq!((&letter["run"], &letter["status"]), (key, &json!("dispatched")), "{listed:#}");
    let id = letter["id"].as_str().expect("an id");
    let done: Value =
        serde_json::from_str(&cloud.pumice(&["dead", "redrive", id, "-o", "json"])).expect("JSON");
    assert_eq!((&done["done"], &done["receipts"][0]["outcome"]), (&json!(1), &json!("redriven")), "{done:#}");
    let (again, _) = cloud.take("lava-test-core").await.expect("its message");
    assert_eq!(again, body);
}
