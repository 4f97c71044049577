//! Job specs and the realm's definition: check, plan, apply, prune, export, look at, delete.

mod apply;
mod check;
mod definition;
mod differences;
mod documents;
mod export;
mod file_names;
mod jobs;
mod moved;
mod nodes;
mod on_aws;
mod plan;
mod prune;
mod queues;
mod scope;
mod triggers;
mod warning;
mod workers;

pub(crate) use apply::differences;
pub use apply::{
    Applied, AppliedConnection, AppliedJob, AppliedRealm, AppliedTrigger, Apply, ChangeWord, FieldChange,
    Terms, all_new, apply, other_realm, put, put_on, surroundings,
};
pub use check::{CheckSpecs, Checked, EntryShown, Rendering, check, check_in, rendering_words};
pub use definition::{RealmShown, ShowRealm, show_realm};
pub use differences::places;
pub use documents::{
    Document, Documents, Mistake, Specs, Surroundings, allowed, is_connection, is_realm, read, warning_names,
};
pub use export::{ExportSpecs, Exported, ExportedDocument, LeftOut, export};
pub use jobs::{
    DeleteJobs, DeletedJob, DeletedJobs, JobList, JobName, JobUser, ListJobs, delete, list, show,
    show_standing,
};
pub use moved::{MovedEntries, MovedEntry, NextSlot};
pub use plan::{
    DocumentKind, DocumentName, DocumentUser, PlanSpecs, Planned, PlannedDocument, TouchedJob, UnendedRuns,
    plan, plan_new, plan_specs,
};
pub use scope::{BadScope, IdScope};
pub use triggers::is_trigger;
pub use warning::{Warning, refuse_warnings, warning_lines};
pub use workers::without_workers;
