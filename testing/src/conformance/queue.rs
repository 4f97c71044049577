//! The workers' queues.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::message::Message;
use pumice_core::ports::{Delivery, Depth, Oldest, Outgoing};

use super::{Adapters, message_about, run_of, worker};

const LONG: Duration = Duration::from_secs(600);

impl Adapters {
    /// A message about the run of this number that is visible now.
    pub(super) fn outgoing(&self, number: u32) -> Outgoing {
        message_about(&run_of(number, "report"), self.clock.now())
    }

    pub(super) async fn send(&self, outgoing: Outgoing) {
        for outcome in self.queue.send(vec![outgoing]).await {
            outcome.expect("it is sent");
        }
    }

    /// The messages that can be taken at once.
    pub(super) async fn take(&self, max: usize) -> Vec<Delivery> {
        self.consumer.receive(&worker("core"), max, Duration::ZERO).await.expect("the queue answers")
    }

    pub(super) async fn take_one(&self) -> Delivery {
        let mut taken = self.take(10).await;
        assert_eq!(taken.len(), 1);
        taken.remove(0)
    }
}

pub async fn message_comes_as_it_was_sent(on: &Adapters) {
    let mut outgoing = on.outgoing(1);
    outgoing.message.parameters = serde_json::json!({ "who": "wörld" }).as_object().cloned();
    on.send(outgoing.clone()).await;
    let delivery = on.take_one().await;
    assert_eq!(serde_json::from_str::<Message>(&delivery.body).expect("a message"), outgoing.message);
    assert_eq!(delivery.receives, 1);
}

pub async fn delivery_has_no_other_record_than_the_stored_one(on: &Adapters) {
    let run = run_of(1, "report");
    on.make([run.clone()]).await;
    let changed = on.change(&run.key, |run| run.crashes = 1).await;
    // The second is about a run that has no record.
    on.send(on.outgoing(1)).await;
    on.send(on.outgoing(2)).await;
    for delivery in on.take(2).await {
        // Only a queue that stands beside the records reads them with its messages.
        let Some(found) = delivery.found else { continue };
        assert_eq!((&delivery.body, &found.0), (&on.outgoing(1).message.body(), &changed));
        let stored = on.runs.load_with_spec(&run.key).await.expect("the store answers");
        assert_eq!(Some(*found), stored);
    }
}

pub async fn message_for_later_stays_hidden(on: &Adapters) {
    let mut late = on.outgoing(1);
    late.at += TimeDelta::minutes(10);
    on.send(late).await;
    on.send(on.outgoing(2)).await;
    let delivery = on.take_one().await;
    assert_eq!(delivery.body, on.outgoing(2).message.body());
}

pub async fn queue_lists_the_runs_whose_message_is_on_it(on: &Adapters) {
    let told = async || on.queue.runs_on_it(&worker("core"), 10).await.expect("the queue answers");
    let mut late = on.outgoing(1);
    late.at += TimeDelta::minutes(10);
    for outgoing in [late, on.outgoing(2), on.outgoing(3)] {
        on.send(outgoing).await;
    }
    // SQS does not list its messages.
    let Some(mut runs) = told().await else { return };
    runs.sort();
    let [first, second] = [2, 3].map(|number| on.outgoing(number).message.key());
    assert_eq!(runs, [first.clone(), second.clone()]);
    assert_eq!(on.queue.runs_on_it(&worker("other"), 10).await.expect("it answers"), Some(Vec::new()));
    assert_eq!(
        on.queue.runs_on_it(&worker("core"), 1).await.expect("it answers").map(|all| all.len()),
        Some(1)
    );
    // One that is handed out may come back; one that is dealt with does not.
    let taken = on.take(2).await;
    assert_eq!((taken.len(), told().await.map(|all| all.len())), (2, Some(2)));
    on.consumer.delete(vec![taken[0].receipt.clone()]).await.expect("the queue answers");
    let left = told().await.expect("it listed before");
    let dealt_with = Message::read(&taken[0].body).expect("a message").key();
    assert!(left.len() == 1 && left[0] != dealt_with, "{left:?}");
    on.consumer.bury(&taken[1].receipt, "it cannot be read").await.expect("the queue answers");
    assert_eq!(told().await, Some(Vec::new()));
}

pub async fn message_handed_out_is_hidden(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    on.take_one().await;
    assert!(on.take(10).await.is_empty());
}

pub async fn released_message_comes_again_and_is_counted(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    let first = on.take_one().await;
    on.consumer.release(&first.receipt, Duration::ZERO).await.expect("the queue answers");
    let second = on.take_one().await;
    assert_eq!((second.body, second.receives), (first.body, 2));
}

pub async fn kept_message_stays_hidden(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    let delivery = on.take_one().await;
    on.consumer.keep(&delivery.receipt, Duration::ZERO).await.expect("the queue answers");
    let delivery = on.take_one().await;
    on.consumer.keep(&delivery.receipt, LONG).await.expect("the queue answers");
    assert!(on.take(10).await.is_empty());
}

pub async fn deleted_message_is_gone(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    let delivery = on.take_one().await;
    on.consumer.delete(vec![delivery.receipt.clone()]).await.expect("the queue answers");
    on.consumer.release(&delivery.receipt, Duration::ZERO).await.expect("the queue answers");
    assert!(on.take(10).await.is_empty());
}

pub async fn old_receipt_does_nothing(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    let first = on.take_one().await;
    on.consumer.release(&first.receipt, Duration::ZERO).await.expect("the queue answers");
    let second = on.take_one().await;
    on.consumer.delete(vec![first.receipt.clone()]).await.expect("the queue answers");
    on.consumer.release(&first.receipt, Duration::ZERO).await.expect("the queue answers");
    assert!(on.take(10).await.is_empty(), "the current consumer keeps it");
    on.consumer.release(&second.receipt, Duration::ZERO).await.expect("the queue answers");
    assert_eq!(on.take_one().await.receives, 3);
}

pub async fn message_handed_out_too_often_becomes_a_dead_letter(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    let mut handed_out = 0;
    while let Some(delivery) = on.take(1).await.pop() {
        handed_out = delivery.receives;
        assert!(handed_out <= 10, "SQS calls this the maximum receive count");
        on.consumer.release(&delivery.receipt, Duration::ZERO).await.expect("the queue answers");
    }
    assert_eq!(handed_out, 10);
    assert!(on.take(1).await.is_empty());
}

pub async fn buried_message_does_not_come_again(on: &Adapters) {
    on.send(on.outgoing(1)).await;
    let delivery = on.take_one().await;
    on.consumer.bury(&delivery.receipt, "it cannot be read").await.expect("the queue answers");
    on.consumer.release(&delivery.receipt, Duration::ZERO).await.expect("the queue answers");
    assert!(on.take(10).await.is_empty());
}

pub async fn each_worker_has_a_queue_of_its_own(on: &Adapters) {
    let mut other = on.outgoing(1);
    other.message.worker = worker("other");
    on.send(other).await;
    assert!(on.take(10).await.is_empty());
    let taken = on.consumer.receive(&worker("other"), 10, Duration::ZERO).await.expect("the queue answers");
    assert_eq!(taken.len(), 1);
}

pub async fn queue_hands_out_at_most_the_number_asked_for(on: &Adapters) {
    for number in 1..=5 {
        on.send(on.outgoing(number)).await;
    }
    let mut bodies: Vec<String> = Vec::new();
    for most in [2, 2, 10] {
        let taken = on.take(most).await;
        assert!(taken.len() <= most);
        bodies.extend(taken.into_iter().map(|delivery| delivery.body));
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 5, "each comes once");
}

pub async fn depth_counts_ready_delayed_and_in_flight_messages(on: &Adapters) {
    let depth = async |name: &str| on.queue.depth(&worker(name)).await.expect("the queue answers");
    let empty = depth("core").await;
    assert_eq!((empty.ready, empty.delayed, empty.in_flight), (0, 0, 0));
    assert!(matches!(empty.oldest, Oldest::None | Oldest::Unknown), "{empty:?}");
    for number in 1..=3 {
        on.send(on.outgoing(number)).await;
    }
    let mut late = on.outgoing(4);
    late.at += TimeDelta::minutes(10);
    on.send(late).await;
    assert_eq!(on.take(1).await.len(), 1);
    let Depth { ready, delayed, in_flight, oldest } = depth("core").await;
    assert_eq!((ready, delayed, in_flight), (2, 1, 1));
    match oldest {
        Oldest::None => panic!("two messages wait"),
        Oldest::Age(age) => assert!(age < LONG, "{age:?}"),
        Oldest::Unknown => {}
    }
    assert_eq!(depth("other").await.ready, 0, "each worker has a queue of its own");
}
