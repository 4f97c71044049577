//! Settles a message that the engine has handled: the same on every queue.

use pumice_core::Timestamp;
use pumice_core::engine::{Engine, Handled};
use pumice_core::message::Message;
use pumice_core::ports::{Consumer, Delivery};

/// Has the engine do what a message calls for, and settles the message. `ends` is the time at which this invocation must
/// have ended, if it has one.
pub async fn handle(
    engine: &Engine,
    consumer: &dyn Consumer,
    mut delivery: Delivery,
    ends: Option<Timestamp>,
) {
    let handled = engine.handle_delivery(&mut delivery, ends).await;
    settle(consumer, delivery, handled).await;
}

/// Deletes, releases or buries a message, as the engine says. When the queue cannot be reached, the message comes again once
/// its time of being hidden is over, and meets a record that says what was done.
pub async fn settle(consumer: &dyn Consumer, delivery: Delivery, handled: Handled) {
    let Delivery { body, receipt, receives, .. } = delivery;
    let settled = match handled {
        Handled::Delete => consumer.delete_soon(receipt).await,
        Handled::Again(after) => consumer.release(&receipt, after).await,
        Handled::Bury(reason) => {
            // The run that the body names, as far as it can be read.
            let read = serde_json::from_str::<Message>(&body).ok();
            let run_id = read.as_ref().map(|message| tracing::field::display(message.run_id));
            let job_id = read.as_ref().map(|message| tracing::field::display(&message.job_id));
            tracing::error!(run_id, job_id, reason, body, receives, "a message goes to the dead letters");
            consumer.bury(&receipt, &reason).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(%error, "cannot settle a message; it comes again");
    }
}
