//! Requests for runs.

mod file;
mod intake;
mod list;
mod outcome;

pub use file::{BATCH, Keys, Placed, Source, read};
pub use intake::{Again, Batch, Counts, Dispatch, Intake, dispatch};
pub use list::{FileDigest, ListName, Unchanged};
pub use outcome::{AcceptedRun, Outcomes, RefusedRequest};
