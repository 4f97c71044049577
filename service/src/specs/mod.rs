//! Job specs and the realm's definition: check, apply, look at, delete.

mod apply;
mod check;
mod documents;
mod jobs;
mod moved;
mod nodes;
mod queues;
mod triggers;
mod warning;
mod workers;

pub(crate) use apply::differences;
pub use apply::{
    Applied, AppliedConnection, AppliedJob, AppliedRealm, AppliedTrigger, Apply, ChangeWord, FieldChange,
    all_new, apply, other_realm, put, surroundings,
};
pub use check::{Check, Checked, EntryShown, Rendering, check, check_in, rendering_words};
pub use documents::{
    Document, Documents, Mistake, Specs, Surroundings, allowed, is_connection, is_realm, read, warning_names,
};
pub use jobs::{
    DeleteJobs, DeletedJob, DeletedJobs, JobList, JobName, JobUser, ListJobs, delete, list, show,
};
pub use moved::{MovedEntries, MovedEntry, NextSlot};
pub use triggers::is_trigger;
pub use warning::{Warning, counted, refuse_warnings, warning_lines};
pub use workers::without_workers;
