//! Dead letters: messages and requests that were set aside. They are listed, shown, handed out once more, and dropped.

mod act;
mod asked;
mod list;

pub use act::{ActOnDead, DeadDone, DeadOutcome, DeadReceipt, DropDead, discard, redrive};
pub use list::{DeadDetails, DeadList, DeadShown, ListDead, ShowDead, counts, list, queues, show};
