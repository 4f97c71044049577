//! Job types and kinds of actions: plugins, found by name in a registry.
//!
//! Each has two halves. The half that checks, renders and plans ([`JobType`], [`Composite`], [`Action`]) is in every
//! process and makes a [`Registry`]. The half that runs jobs and performs actions ([`Leaf`], [`Resolver`],
//! [`Performer`]) is on workers, and makes [`Runners`] of a registry. docs/job-types.md shows how to write one of each.

mod action;
mod advice;
mod busy_second;
mod changing;
mod clock_advice;
mod context;
mod definition;
mod directories;
mod find;
mod late_advice;
mod named_connections;
mod outputs;
mod places;
mod plan;
mod redo;
mod registry;
mod runner;
mod survey;
mod templates;
mod typed;
mod variables;

pub use action::{Action, RegisteredAction};
pub(crate) use advice::unrendered_pattern;
pub use advice::{WARNINGS, zero_timeout};
pub use changing::names_what_changes;
pub use context::{
    ActionContext, Cancel, DispatchError, Dispatches, JobContext, Machine, OriginRun, Site, Stop, on_pool,
};
pub use definition::{Composite, Given, JobType, Planner, RegisteredType};
pub use directories::Directories;
pub(crate) use directories::made;
pub use outputs::{
    Execution, FIRST_PIECE, PIECE_BYTES, Pieces, kept_at, kept_before_at, live_folder, live_name,
    live_output, next_piece, outputs_of, read_live_output, run_of_live_output, temp_at,
};
pub use places::{CommandLine, PATTERN, Structure, Template};
pub use plan::{ChildState, MAX_DEPTH, Next, Plan, PlanStep};
pub use redo::{StepRedo, redone};
pub use registry::{BadRegistry, Registry, RegistryBuilder, check_template, job_schema};
pub use runner::{
    ACTION_TIMEOUT, FieldsOf, Leaf, ParametersOf, Performer, Resolver, Runners, RunnersBuilder,
};
pub(crate) use runner::{Resolves, Runner, RunsJob};
pub use survey::{Named, Surveyed, Uses};
pub use templates::{LavaGlobals, TemplateContext, Templates, has_templates};
pub use variables::unknown_variables;

use pumice_template::TemplateError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::duration::Span;
use crate::problem::template_words;
use crate::secret::{mask_fields, mask_value, remember_marked, remember_marked_in};

/// Payload and parameters as they run: templates filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The payload.
    pub payload: Value,
    /// The parameters.
    pub parameters: Map<String, Value>,
}

impl Rendered {
    /// Has the values masked from now on that stand under names which the realm marks.
    pub fn remember_marked(&self) {
        remember_marked_in(&self.payload);
        remember_marked(&self.parameters);
    }

    /// The same with secrets and marked values masked: no worker can run it.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        mask_value(&mut masked.payload);
        mask_fields(&mut masked.parameters);
        masked
    }
}

/// An attempt that did not go well.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    /// Whether another attempt could help.
    pub retryable: bool,
    /// Why it failed: a lower-case fragment.
    pub message: String,
    /// What few errors have: see [`lava_error`](Self::lava_error) and [`host_fault`](Self::host_fault).
    pub rest: Option<Box<JobErrorRest>>,
    /// Details of the error: `result.error_data` in templates of actions.
    pub data: Value,
    /// Whether the attempt ended like this by itself: that its time was up, as was seen only then, does not change it.
    pub settled: bool,
}

/// What few errors of jobs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobErrorRest {
    error: Option<String>,
    host_fault: Option<String>,
}

impl JobError {
    /// The text of `result.error`, where lava words it otherwise than the message.
    #[must_use]
    pub fn lava_error(&self) -> Option<&str> {
        self.rest.as_ref()?.error.as_deref()
    }

    /// The fault of the host, in a few words that are the same for all runs which it keeps from going on, where the attempt
    /// could not begin because of one: it is made again later, and does not count.
    #[must_use]
    pub fn host_fault(&self) -> Option<&str> {
        self.rest.as_ref()?.host_fault.as_deref()
    }

    /// A failure that another attempt may mend.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { retryable: true, message, rest: None, data: Value::Null, settled: false }
    }

    /// An attempt whose time was up.
    #[must_use]
    pub fn timed_out(limit: Span) -> Self {
        // As Python writes a number of seconds.
        let error = format!("Timed out after {:?} seconds", limit.get().as_secs_f64());
        Self::failed(format!("timed out after {limit}")).worded(error)
    }

    /// An attempt that cannot begin because of what the system says: the host's fault where it has run out of descriptors,
    /// processes, memory or disk.
    #[must_use]
    pub fn cannot_begin(message: impl Into<String>, error: &std::io::Error) -> Self {
        let host_fault = is_exhausted(error).then(|| HostFault::kind_of(error));
        let rest = host_fault.is_some().then(|| Box::new(JobErrorRest { host_fault, error: None }));
        Self { rest, ..Self::failed(message) }
    }

    /// A failure that no attempt can mend.
    #[must_use]
    pub fn permanent(message: impl std::fmt::Display) -> Self {
        Self { retryable: false, ..Self::failed(message.to_string()) }
    }

    /// A template that failed, at `place` of the job or below it: the message has the line and a mark
    /// below the mistake.
    #[must_use]
    pub fn template(place: &str, error: &TemplateError) -> Self {
        let message = format!("{place}{}: {}", error.path(), template_words(error));
        Self::failed(message).with_data(json!({ "template": error.snippet() }))
    }

    /// The same as lava words it.
    #[must_use]
    pub fn worded(mut self, error: impl Into<String>) -> Self {
        self.rest.get_or_insert_default().error = Some(error.into());
        self
    }

    /// The same with details.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

/// Whether the system has run out of something (errno(3): EMFILE, ENFILE, EAGAIN, ENOMEM, ENOSPC, EDQUOT), or has no place
/// of its own ([`HostFault`]).
#[must_use]
pub fn is_exhausted(error: &std::io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    use std::io::ErrorKind::{OutOfMemory, QuotaExceeded, StorageFull, WouldBlock};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
        || HostFault::is_in(error)
        || matches!(error.kind(), OutOfMemory | QuotaExceeded | StorageFull | WouldBlock)
}

/// A place of the host's own that cannot be used: never the fault of the job that needs it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct HostFault {
    base: std::path::PathBuf,
    path: std::path::PathBuf,
    error: String,
}

impl HostFault {
    /// What the system says of a path below the folder `base`, as an error for which [`is_exhausted`] holds.
    #[must_use]
    pub fn of(base: &std::path::Path, path: &std::path::Path, error: &std::io::Error) -> std::io::Error {
        let fault = Self { base: base.to_owned(), path: path.to_owned(), error: error.to_string() };
        std::io::Error::new(error.kind(), fault)
    }

    /// Whether this is one.
    #[must_use]
    pub fn is_in(error: &std::io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }

    /// The kind of an error, and the folder below which the place is: paths of runs are not in it.
    fn kind_of(error: &std::io::Error) -> String {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(fault) => format!("{} in {}", error.kind(), fault.base.display()),
            None => error.kind().to_string(),
        }
    }
}

/// The end of one attempt of a job that runs by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It went well.
    Done(Value),
    /// It was stopped on request.
    Cancelled,
}
