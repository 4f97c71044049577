//! Dead letters.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::time::Duration;

use pumice_core::ports::{Buried, DeadLetter, DeadLetterPage, DeadQueue};

use super::{Adapters, worker};

fn queue(name: &str) -> DeadQueue {
    DeadQueue::Worker(worker(name))
}

impl Adapters {
    async fn dead(&self, name: &str, limit: usize) -> DeadLetterPage {
        self.dead_letters.dead_letters_of(&queue(name), limit).await.expect("the queue answers")
    }

    /// Sends a message about the run of this number, and buries it.
    async fn bury_one(&self, number: u32, reason: &str) -> DeadLetter {
        self.send(self.outgoing(number)).await;
        let delivery = self.take_one().await;
        self.consumer.bury(&delivery.receipt, reason).await.expect("the queue answers");
        let letters = self.dead("core", 10).await.letters;
        letters.into_iter().find(|letter| letter.body == delivery.body).expect("it is a dead letter")
    }
}

pub async fn dead_letters_are_listed_by_worker_with_their_reasons(on: &Adapters) {
    let reasons = ["it cannot be read", "its record is gone", "it is not JSON"];
    for (number, reason) in (1..).zip(reasons) {
        let letter = on.bury_one(number, reason).await;
        assert_eq!(letter.reason.as_deref(), Some(reason));
        assert_eq!(letter.queue, queue("core"));
    }
    let all = on.dead("core", 10).await;
    assert_eq!((all.letters.len(), all.has_more), (3, false));
    assert_eq!(on.dead("core", 10).await.letters.len(), 3, "a look leaves them where they are");
    let some = on.dead("core", 2).await;
    assert_eq!((some.letters.len(), some.has_more), (2, true));
    assert!(on.dead("other", 10).await.letters.is_empty());
}

pub async fn dead_letters_are_counted_by_queue(on: &Adapters) {
    let count = async |name: &str| on.dead_letters.dead_count(&queue(name)).await.expect("the queue answers");
    assert_eq!((count("core").await, count("other").await), (0, 0));
    let letter = on.bury_one(1, "one").await;
    on.bury_one(2, "two").await;
    assert_eq!((count("core").await, count("other").await), (2, 0));
    // A store that has no list of its queues says so.
    let queues = on.dead_letters.dead_queues().await.expect("the store answers");
    assert!(queues.is_none_or(|queues| queues == [queue("core")]));
    let discarded = on.dead_letters.discard(&queue("core"), &[letter.id]).await.expect("the queue answers");
    assert_eq!((discarded, count("core").await), (vec![Buried::Done], 1));
}

pub async fn dead_letter_redriven_is_handed_out_anew(on: &Adapters) {
    let (kept, back) = (on.bury_one(1, "kept").await, on.bury_one(2, "back").await);
    let ids = ["no-such-letter".to_owned(), back.id.clone()];
    let outcomes = on.dead_letters.redrive(&queue("core"), &ids).await.expect("the queue answers");
    assert_eq!(outcomes, [Buried::NotFound, Buried::Done]);
    let delivery = on.take_one().await;
    assert_eq!((delivery.body, delivery.receives), (back.body, 1));
    let left: Vec<String> = on.dead("core", 10).await.letters.into_iter().map(|letter| letter.id).collect();
    assert_eq!(left, [kept.id]);
    let again = on.dead_letters.redrive(&queue("core"), &[back.id]).await.expect("the queue answers");
    assert_eq!(again, [Buried::NotFound]);
}

pub async fn dead_letter_discarded_is_gone(on: &Adapters) {
    let (gone, kept) = (on.bury_one(1, "gone").await, on.bury_one(2, "kept").await);
    let ids = [gone.id, "no-such-letter".to_owned()];
    let elsewhere = on.dead_letters.discard(&queue("other"), &ids).await.expect("the queue answers");
    assert_eq!(elsewhere, [Buried::NotFound, Buried::NotFound], "it is another worker's");
    let outcomes = on.dead_letters.discard(&queue("core"), &ids).await.expect("the queue answers");
    assert_eq!(outcomes, [Buried::Done, Buried::NotFound]);
    let left: Vec<String> = on.dead("core", 10).await.letters.into_iter().map(|letter| letter.id).collect();
    assert_eq!(left, [kept.id]);
    let taken = on.consumer.receive(&worker("core"), 10, Duration::ZERO).await.expect("the queue answers");
    assert!(taken.is_empty());
}
