//! Requests for runs.

mod file;
mod intake;
mod outcome;

pub use file::{BATCH, Keys, Placed, Source, read};
pub use intake::{Batch, Counts, Dispatch, Intake, dispatch};
pub use outcome::{AcceptedRun, Outcomes, RefusedRequest};
