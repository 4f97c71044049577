//! Settles a message that the engine has handled: the same on every queue.

use std::borrow::Cow;

use pumice_core::Timestamp;
use pumice_core::engine::{Engine, Handled};
use pumice_core::message::Message;
use pumice_core::ports::{Consumer, Delivery};

/// Most bytes of a body, and of a reason, that a line of the log has (CloudWatch Logs, event size: 1 MiB).
const MAX_LOGGED: usize = 2_000;

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
            // The whole is in the dead letters.
            let (why, begins) = (beginning(&reason), beginning(&body));
            tracing::error!(run_id, job_id, reason = %why, body = %begins, receives, "a message goes to the dead letters");
            consumer.bury(&receipt, &reason).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(%error, "cannot settle a message; it comes again");
    }
}

/// A text, or its beginning and its length.
fn beginning(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LOGGED {
        return Cow::Borrowed(text);
    }
    let start = &text[..text.floor_char_boundary(MAX_LOGGED)];
    Cow::Owned(format!("{start}… ({} bytes in all)", text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_of_a_megabyte_is_a_short_line() {
        assert_eq!(beginning("short"), "short");
        let long = beginning(&"é".repeat(500_000)).into_owned();
        assert!(long.len() < MAX_LOGGED + 50 && long.ends_with("é… (1000000 bytes in all)"), "{long}");
    }
}
