//! Messages for times further ahead than a queue holds them.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::message::Message;
use pumice_core::ports::{Outgoing, WakeUps};

use super::{Adapters, message_about, run_of, worker};

/// The longest that a message may be late (a minute), and what a slow machine adds.
const LATE: Duration = Duration::from_secs(90);

impl Adapters {
    fn wake_ups(&self) -> &dyn WakeUps {
        &**self.wake_ups.as_ref().expect("the suite is for adapters that have one")
    }

    /// A message about the run of this number, in so many seconds.
    fn in_seconds(&self, number: u32, seconds: i64) -> Outgoing {
        message_about(&run_of(number, "report"), self.clock.now() + TimeDelta::seconds(seconds))
    }

    async fn schedule(&self, messages: Vec<Outgoing>) {
        let count = messages.len();
        let outcomes = self.wake_ups().schedule(messages).await;
        assert_eq!(outcomes.len(), count);
        outcomes.into_iter().for_each(|outcome| outcome.expect("it is scheduled"));
    }

    /// The messages that come to a worker until one about the run of this number.
    async fn until(&self, name: &str, number: u32) -> Vec<Message> {
        let (until, last) = (self.clock.now() + LATE, run_of(number, "report").run_id);
        let mut came: Vec<Message> = Vec::new();
        while came.last().is_none_or(|message| message.run_id != last) {
            assert!(self.clock.now() < until, "run {number} has no message: {came:?}");
            let taken = self.consumer.receive(&worker(name), 1, Duration::from_secs(20)).await;
            let taken = taken.expect("the queue answers").pop();
            came.extend(taken.map(|taken| serde_json::from_str::<Message>(&taken.body).expect("a message")));
        }
        came
    }
}

pub async fn message_comes_as_it_was_scheduled(on: &Adapters) {
    let mut outgoing = on.in_seconds(1, 2);
    outgoing.message.parameters = serde_json::json!({ "who": "wörld" }).as_object().cloned();
    outgoing.message.globals =
        serde_json::json!({ "text": "<aws.scheduler.execution-id>" }).as_object().cloned();
    let due = outgoing.at;
    on.schedule(vec![outgoing.clone()]).await;
    assert_eq!(on.until("core", 1).await, [outgoing.message]);
    assert!(on.clock.now() >= due, "it comes at its time");
}

pub async fn scheduled_message_does_not_come_before_its_time(on: &Adapters) {
    on.schedule(vec![on.in_seconds(1, 3_600), on.in_seconds(2, 1)]).await;
    let came = on.until("core", 2).await;
    assert_eq!(came.len(), 1, "{came:?}");
}

pub async fn asked_twice_for_a_run_one_message_comes(on: &Adapters) {
    let first = on.in_seconds(1, 10);
    on.schedule(vec![first.clone()]).await;
    on.schedule(vec![first]).await;
    on.schedule(vec![on.in_seconds(2, 12)]).await;
    let came = on.until("core", 2).await;
    assert_eq!(came.len(), 2, "{came:?}");
}

pub async fn batch_is_scheduled_each_for_its_worker(on: &Adapters) {
    let batch = (1..=20).map(|number| {
        let mut outgoing = on.in_seconds(number, 2);
        outgoing.message.worker = worker(if number == 20 { "other" } else { "core" });
        outgoing
    });
    on.schedule(batch.collect()).await;
    assert_eq!(on.until("other", 20).await.len(), 1);
    let mut came = Vec::new();
    while came.len() < 19 {
        let taken = on.consumer.receive(&worker("core"), 10, Duration::from_secs(20)).await;
        let taken = taken.expect("the queue answers");
        assert!(!taken.is_empty(), "{} of 19 came", came.len());
        came.extend(taken.into_iter().map(|taken| taken.body));
    }
    came.sort();
    came.dedup();
    assert_eq!(came.len(), 19, "each comes once");
}

pub async fn nothing_is_scheduled_of_no_messages(on: &Adapters) {
    on.schedule(Vec::new()).await;
    assert!(on.take(10).await.is_empty());
}
