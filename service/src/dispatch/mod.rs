//! Requests for runs.

mod file;
mod intake;
mod list;
mod outcome;

pub use file::{BATCH, Batches, Giver, Keys, Placed, Source, batches, read};
pub use intake::{Again, Batch, Counts, Dispatch, Intake, Prepared, Preparer, dispatch};
pub use list::{FileDigest, ListName, Unchanged};
pub use outcome::{AcceptedRun, Outcomes, RefusedRequest};
