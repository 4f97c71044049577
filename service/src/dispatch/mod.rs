//! Requests for runs.

mod file;
mod intake;
mod list;
mod outcome;

pub use file::{BATCH, Batches, Giver, Keys, Placed, Source, batches, read};
pub use intake::{Batch, Dispatch, Intake, IntakeCounts, Prepared, Preparer, Repeats, dispatch};
pub use list::{FileDigest, ListName, Unchanged};
pub use outcome::{AcceptedRun, ForeseenRequest, Outcomes, RefusedRequest};
