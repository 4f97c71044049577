//! What a job type and a kind of action are: plugins, found by name in a registry.

mod action;
mod advice;
mod changing;
mod clean;
mod clock_advice;
mod context;
mod late_advice;
mod plan;
mod registry;
mod survey;
mod templates;
mod variables;
mod work_dir;

pub use action::{Action, ActionContext};
pub use advice::{WARNINGS, zero_timeout};
pub use changing::names_what_changes;
pub use clean::{PRIVATE, is_clean};
pub use context::{Cancel, DispatchError, Dispatches, JobContext, Origin, Site, Stop, kept_at, live_output};
pub use plan::{ChildState, Next, Plan, PlanStep};
pub use registry::{BadRegistry, Registry, check_template, job_schema};
pub use survey::{Named, Surveyed, Uses};
pub use templates::{LavaGlobals, Scene, Templates, has_templates};
pub use variables::unknown_variables;
pub use work_dir::{TempDir, WorkDir, remove_tree};

use async_trait::async_trait;
use pumice_template::TemplateError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::duration::Span;
use crate::problem::{Problem, template_words};
use crate::spec::{JobSpec, Settings};

/// Payload and parameters as they run: templates filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The payload.
    pub payload: Value,
    /// The parameters.
    pub parameters: Map<String, Value>,
}

/// An attempt that did not go well.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    /// Whether another attempt could help.
    pub retryable: bool,
    /// Why it failed: a lower-case fragment.
    pub message: String,
    /// What `result.error` says where lava words it otherwise than the message.
    pub error: Option<Box<str>>,
    /// What there is to tell besides: `result.error_data` in templates of actions.
    pub data: Value,
    /// Whether the host has run out of something, so that the attempt could not begin: it is made again later, and does
    /// not count.
    pub host_exhausted: bool,
    /// Whether the attempt ended like this by itself: that its time was up, as was seen only then, does not change it.
    pub settled: bool,
}

impl JobError {
    /// A failure that another attempt may mend.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            retryable: true,
            message,
            error: None,
            data: Value::Null,
            host_exhausted: false,
            settled: false,
        }
    }

    /// An attempt whose time was up.
    #[must_use]
    pub fn timed_out(limit: Span) -> Self {
        // As Python writes a number of seconds.
        let error = format!("Timed out after {:?} seconds", limit.get().as_secs_f64());
        Self { error: Some(error.into()), ..Self::failed(format!("timed out after {limit}")) }
    }

    /// An attempt that cannot begin because of what the system says: the host's fault where it has run out of descriptors,
    /// processes, memory or disk.
    #[must_use]
    pub fn cannot_begin(message: impl Into<String>, error: &std::io::Error) -> Self {
        Self { host_exhausted: is_exhausted(error), ..Self::failed(message) }
    }

    /// A failure that no attempt can mend.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { retryable: false, ..Self::failed(message) }
    }

    /// A template that failed, at `place` of the job or below it: told with the line and a mark
    /// below what is wrong in it.
    #[must_use]
    pub fn template(place: &str, error: &TemplateError) -> Self {
        let message = format!("{place}{}: {}", error.path(), template_words(error));
        Self::failed(message).with_data(json!({ "template": error.snippet() }))
    }

    /// The same as lava words it.
    #[must_use]
    pub fn worded(self, error: impl Into<Box<str>>) -> Self {
        Self { error: Some(error.into()), ..self }
    }

    /// The same with something to tell.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

/// Whether the system has run out of something (errno(3): EMFILE, ENFILE, EAGAIN, ENOMEM, ENOSPC, EDQUOT).
#[must_use]
pub fn is_exhausted(error: &std::io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    use std::io::ErrorKind::{OutOfMemory, QuotaExceeded, StorageFull, WouldBlock};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
        || matches!(error.kind(), OutOfMemory | QuotaExceeded | StorageFull | WouldBlock)
}

/// What came of one attempt of a job that runs by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It went well.
    Done(Value),
    /// It was stopped because somebody asked for it.
    Cancelled,
}

/// How a job type runs.
pub enum Kind<'a> {
    /// By itself.
    Leaf(&'a dyn Leaf),
    /// Step by step, each step a job of its own.
    Composite(&'a dyn Composite),
}

/// A job type that runs by itself.
#[async_trait]
pub trait Leaf: Send + Sync {
    /// Makes one attempt.
    ///
    /// # Errors
    /// [`JobError`] when the attempt fails.
    async fn run(&self, context: &JobContext<'_>, rendered: &Rendered) -> Result<Ended, JobError>;
}

/// A job type whose steps are jobs.
#[async_trait]
pub trait Composite: Send + Sync {
    /// What must be looked up once, when the run starts, and kept for good, because it may be
    /// different later. Nothing by default.
    ///
    /// # Errors
    /// [`JobError`] when it cannot be looked up.
    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError> {
        let _ = (context, rendered);
        Ok(None)
    }
    /// The steps, made from payload and parameters alone, so that they are the same each time.
    ///
    /// # Errors
    /// [`JobError`] when there is no such plan: an empty list, a cycle.
    fn plan(&self, job: &JobSpec, rendered: &Rendered) -> Result<Plan, JobError>;
    /// The plan with what the realm's settings say about it. Which steps there are does not depend on them, for a realm may
    /// change while a run is under way. As it is by default.
    fn within(&self, plan: Plan, rendered: &Rendered, settings: &Settings) -> Plan {
        let _ = (rendered, settings);
        plan
    }
}

/// A job type: a plugin, known by its name.
pub trait JobType: Send + Sync {
    /// The name, as in a job's `type`.
    fn name(&self) -> &'static str;
    /// What it does, in a line.
    fn about(&self) -> &'static str;
    /// The JSON Schemas of payload and parameters.
    fn schemas(&self) -> (Value, Value);
    /// Checks a job of this type, beyond what every job is checked for. Templates are checked too.
    fn check(&self, job: &JobSpec, renderer: &pumice_template::Renderer) -> Vec<Problem>;
    /// Checks what `check` refuses and a stored job runs with all the same, as lava's does. None by default.
    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        let _ = job;
        Vec::new()
    }
    /// Warnings about a valid job of this type: valid but probably unintended. None by default.
    fn advise(
        &self,
        job: &JobSpec,
        settings: &Settings,
        renderer: &pumice_template::Renderer,
    ) -> Vec<Problem> {
        let _ = (job, settings, renderer);
        Vec::new()
    }
    /// The jobs that a job of this type runs or starts, where its spec tells. None by default.
    fn names(&self, job: &JobSpec) -> Vec<Named> {
        let _ = job;
        Vec::new()
    }
    /// Fills in templates. What is rendered is the type's own business.
    ///
    /// # Errors
    /// [`JobError`] when a template fails.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError>;
    /// How it runs.
    fn kind(&self) -> Kind<'_>;
}
