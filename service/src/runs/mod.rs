//! Runs: list, show, explain, output, cancel, retry, follow; why they failed, by cause.

mod asked;
mod bulk;
mod cancel;
mod changes;
mod export;
mod failures;
mod find;
mod follow;
mod labels;
mod list;
mod many;
mod outputs;
mod remarks;
mod retry;
mod shown;
mod since;
mod tail;
mod unstarted;
mod whole;
mod why;
mod window;

pub(crate) use asked::{parsed, query};
pub use bulk::{
    BulkChanged, BulkDetails, BulkList, BulkShown, BulkStop, ListBulk, MIN_BEGINNING, ResumeBulk, ShowBulk,
    StopBulk, list_bulk, resume_bulk, resume_bulk_heard, show_bulk, stop_bulk,
};
pub use cancel::{CancelOutcome, CancelRuns, Cancelled, CancelledRun, NotCancelled, cancel, cancel_tree};
pub use export::{EXPORT_PAGE, ExportRuns, ExportedRuns, export};
pub use failures::{FailedJob, FailureGroup, FailureList, ListFailures, failures, of_cause};
pub use find::{RunName, find};
pub use follow::{Notice, Unwatched, Watcher, all_complete, are_complete, follow, trees};
pub use labels::attempt_above;
pub use list::{
    ListRuns, RecordedTree, RunList, RunTree, ShowRun, USUAL_LIMIT, list, show, show_recorded, tree,
};
pub use many::{
    Heard, ManyDone, ManyOutcome, ManyRun, ManyRuns, Receipt, RetryMany, Step, cancel_many,
    cancel_many_heard, delete_many, delete_many_heard, retry_many, retry_many_heard,
};
pub use outputs::{
    AskOutputs, LiveOutput, Outputs, Printed, RunOutputs, Stream, copy, locate, of_last_attempt, output,
    output_of,
};
pub use remarks::{TriggerAbout, TriggerWords};
pub use retry::{RetriedRun, RetryAction, RetryFrom, RetryRun, RetryStep, retry};
pub use shown::{AskedShown, EventShown, LateShown, RunShown, ScheduledShown, Viewpoint};
pub use since::{ActBy, SinceSuccess};
pub use tail::{TailListener, TailNotice, follow_output};
pub use unstarted::Unstarted;
pub use whole::whole_with_spec;
pub use why::{RunWhy, why};
pub use window::{MAX_PART, Masked, OutputPart, ReadOutput, TAIL, masked, read_output};
