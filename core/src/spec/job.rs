//! A job's definition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::action::{ActionSpec, Actions, read_list};
use super::applied::APPLIED;
use super::concurrency::Concurrency;
use super::overlap::Overlap;
use super::schedule::{Schedule, Timezone};
use super::stored;
use crate::duration::{self, Span};
use crate::globals::is_reserved_global;
use crate::ids::{JobId, PoolName, StateId, WorkerName};
use crate::number::{Count, CountOrNone};
use crate::problem::{JsonPath, Problem, SpecError};
use crate::schema;
use crate::secret::remember_marked;
use crate::text::quoted;

/// Whether a job may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// Yes or no, known at dispatch.
    Static(bool),
    /// A template that must render to `true`, known when the run starts.
    Template(String),
}

impl Default for Enabled {
    fn default() -> Self {
        Self::Static(false)
    }
}

impl Serialize for Enabled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Static(yes) => serializer.serialize_bool(*yes),
            Self::Template(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Enabled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Enabled;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a template")
            }
            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Enabled, E> {
                Ok(Enabled::Static(yes))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Enabled, E> {
                Ok(Enabled::Template(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Enabled {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Enabled".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "string"] })
    }
}

/// When payload and parameters are rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum RenderAt {
    /// By the dispatcher, and anew at the start of each attempt where a template names something that may be different
    /// by then.
    #[default]
    Auto,
    /// By the dispatcher, with the values of that moment.
    Dispatch,
    /// By the worker, at the start of each attempt.
    Run,
}

/// How the delay before a further attempt grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum RetryBackoff {
    /// `iteration_delay` each time.
    #[default]
    Fixed,
    /// A random delay between zero and `iteration_delay`, doubled with each attempt.
    Exponential,
}

/// The directory that the attempts of a run share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Keep {
    /// The folder that commands find in `LAVA_S3_TMP`.
    Attempts,
}

/// The behaviour of a job of steps without the directory that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum WorkDirs {
    /// Steps go on in an empty one when it was lost with its worker.
    Fresh,
}

/// A job's definition: one item of the jobs table (lava guide, The Jobs Table).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Job", extend("patternProperties" = { "^[xX]-": true }))]
pub struct JobFields {
    /// The job's id, unique in its realm; often a path such as `etl/load/01`.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The job type that runs it.
    #[schemars(length(min = 1))]
    pub r#type: String,
    /// The worker that runs it.
    pub worker: WorkerName,
    /// The payload; its form is the job type's. May be null where the type needs none.
    pub payload: Value,
    /// Whether the job may run: true, false, or a template that must render to `true`.
    #[serde(default)]
    pub enabled: Enabled,
    /// The purpose of the job.
    #[serde(default)]
    pub description: Option<String>,
    /// The person or team that answers for the job.
    #[serde(default)]
    pub owner: Option<String>,
    /// The dispatcher that schedules the job.
    #[serde(default)]
    pub dispatcher: Option<String>,
    /// When the job is dispatched by the clock: a crontab, an object with crontab, from and to, or a list of these.
    #[serde(default)]
    pub schedule: Schedule,
    /// Sharing between the attempts of a run: `attempts` gives them one folder in `LAVA_S3_TMP`, else each has its own.
    #[serde(default)]
    pub keep: Option<Keep>,
    /// The policy when the directory that steps share is lost with its worker: the step that needs it fails,
    /// unless it says `fresh`.
    #[serde(default)]
    pub work_dir: Option<WorkDirs>,
    /// The job type's parameters.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    /// Values for templates, passed on to jobs that this one starts. Names beginning with `lava` are reserved.
    #[serde(default)]
    pub globals: Option<Map<String, Value>>,
    /// State items that templates may read, with the value to use while there is none.
    #[serde(default)]
    pub state: Option<Map<String, Value>>,
    /// Rendered and recorded when the run starts.
    #[serde(default)]
    pub event_log: Option<Value>,
    /// How many attempts are made.
    #[serde(default, deserialize_with = "Count::optional_u32")]
    #[schemars(with = "Option<Count>")]
    pub iteration_limit: Option<u32>,
    /// The delay between attempts.
    #[serde(default)]
    pub iteration_delay: Option<Span>,
    /// The longest time between dispatch and start; a later run is rejected. An empty text sets no limit.
    #[serde(default, deserialize_with = "duration::unless_empty")]
    #[schemars(with = "Option<duration::SpanOrEmpty>")]
    pub max_run_delay: Option<Span>,
    /// How often a run may be started over after crashes; 0 sets no limit of its own.
    #[serde(default, deserialize_with = "CountOrNone::optional_u32")]
    #[schemars(with = "Option<CountOrNone>")]
    pub max_tries: Option<u32>,
    /// Actions after success; replaces the realm's list.
    #[serde(default, deserialize_with = "read_list")]
    pub on_success: Option<Vec<ActionSpec>>,
    /// Actions after a failed attempt that another follows; replaces the realm's list.
    #[serde(default, deserialize_with = "read_list")]
    pub on_retry: Option<Vec<ActionSpec>>,
    /// Actions after the last failed attempt; replaces the realm's list.
    #[serde(default, deserialize_with = "read_list")]
    pub on_fail: Option<Vec<ActionSpec>>,
    /// Actions when a limit of a schedule's entry is broken; replaces the realm's list.
    #[serde(default, deserialize_with = "read_list")]
    pub on_late: Option<Vec<ActionSpec>>,
    /// Whether metrics are made for this job.
    #[serde(default)]
    pub cw_metrics: Option<bool>,
    /// When templates are rendered: `auto`, `dispatch` or `run`.
    #[serde(default)]
    pub render_at: Option<RenderAt>,
    /// The IANA time zone of `start` and of the schedule; default: the worker's own.
    #[serde(default)]
    pub timezone: Option<Timezone>,
    /// The overlap policy when the job is already running: `allow`, `skip` or `queue`.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// How many runs with the same key run at once; the others wait in the order in which they came.
    #[serde(default)]
    pub concurrency: Option<Concurrency>,
    /// The pool of the realm in which its runs are: no more of them run at once than the pool's size.
    #[serde(default)]
    pub pool: Option<PoolName>,
    /// The longest time an attempt may take.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// How the delay between attempts grows: `fixed` or `exponential`.
    #[serde(default)]
    pub retry_backoff: Option<RetryBackoff>,
    /// Labels of the user's own.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
}

/// A job's definition, checked, with the document it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Its fields.
    pub fields: JobFields,
    /// The document as given, `x-` fields and all: what templates see as `job`.
    pub document: Arc<Map<String, Value>>,
    /// Mistakes of a stored document that keep no job from running.
    pub warnings: Vec<Problem>,
}

/// Fields that no run depends on. An invalid one of a stored document is left out.
const DISPENSABLE: [&str; 6] = ["cw_metrics", "description", "dispatcher", "owner", "schedule", "tags"];

thread_local! {
    static SCHEMA: Value = schema::schema_of::<JobFields>();
}

impl JobSpec {
    /// Reads and checks everything that does not depend on the job's type.
    ///
    /// # Errors
    /// [`SpecError`] with every mistake found.
    pub fn parse(document: &Value) -> Result<Self, SpecError> {
        let mut problems = SCHEMA.with(|schema| schema::check(schema, document));
        let Value::Object(fields) = document else {
            return Err(SpecError { problems });
        };
        problems.extend(check_globals(fields));
        problems.extend(check_state(fields));
        SpecError::check(problems)?;
        Self::from_checked(Arc::new(fields.clone()))
    }

    /// Reads a stored document. lava's users write to the table with tools of their own. Only what
    /// could not run is refused; all else that is wrong is kept as [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`SpecError`] with every mistake in a field that a run depends on.
    pub fn stored(mut document: Arc<Map<String, Value>>) -> Result<Self, SpecError> {
        // The mark is the store's: a run would keep it for nothing.
        if document.contains_key(APPLIED) {
            Arc::make_mut(&mut document).shift_remove(APPLIED);
        }
        let (known, mut warnings) = SCHEMA.with(|schema| stored::sift(schema, &document, &DISPENSABLE))?;
        let fields = schema::read_unchecked(&known)?;
        warnings.extend(check_globals(&document));
        warnings.extend(check_state(&document));
        Ok(Self { fields, document, warnings })
    }

    /// Reads a document that was checked or read before: as [`stored`](Self::stored), without looking for warnings.
    ///
    /// # Errors
    /// [`SpecError`] when the document is invalid.
    pub fn from_checked(document: Arc<Map<String, Value>>) -> Result<Self, SpecError> {
        match schema::read_unchecked(&stored::without_own(&document)) {
            Ok(fields) => Ok(Self { fields, document, warnings: Vec::new() }),
            Err(_) => Ok(Self { warnings: Vec::new(), ..Self::stored(document)? }),
        }
    }

    /// The lists of actions.
    #[must_use]
    pub fn actions(&self) -> Actions {
        Actions {
            on_success: self.fields.on_success.clone(),
            on_retry: self.fields.on_retry.clone(),
            on_fail: self.fields.on_fail.clone(),
            on_late: self.fields.on_late.clone(),
        }
    }

    /// Puts other globals into it.
    pub fn set_globals(&mut self, globals: Map<String, Value>) {
        Arc::make_mut(&mut self.document).insert("globals".to_owned(), Value::Object(globals.clone()));
        self.fields.globals = Some(globals);
    }

    /// Puts other parameters into it.
    pub fn set_parameters(&mut self, parameters: Map<String, Value>) {
        Arc::make_mut(&mut self.document).insert("parameters".to_owned(), Value::Object(parameters.clone()));
        self.fields.parameters = Some(parameters);
    }

    /// The parameters, empty when none are given.
    #[must_use]
    pub fn parameters(&self) -> Map<String, Value> {
        self.fields.parameters.clone().unwrap_or_default()
    }
}

fn check_globals(fields: &Map<String, Value>) -> Vec<Problem> {
    let path = JsonPath::root().field("globals");
    let globals = fields.get("globals").and_then(Value::as_object);
    globals
        .into_iter()
        .flat_map(Map::keys)
        .filter(|name| is_reserved_global(name))
        .map(|name| {
            Problem::new(path.field(name), format!("the global {} is reserved", quoted(name)))
                .with_hint("names beginning with lava are the engine's own")
        })
        .collect()
}

fn check_state(fields: &Map<String, Value>) -> Vec<Problem> {
    let path = JsonPath::root().field("state");
    let state = fields.get("state").and_then(Value::as_object);
    state
        .into_iter()
        .flat_map(Map::keys)
        .filter_map(|id| StateId::new(id).err().map(|error| Problem::new(path.field(id), error.to_string())))
        .collect()
}

/// The spec of one run of a job: pinned when the run is made, so that later changes of the job do
/// not reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The job's document, with the request's parameters and the merged globals in it.
    pub job: Arc<Map<String, Value>>,
    /// Payload and parameters as rendered, where the dispatcher rendered them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<crate::job_type::Rendered>,
    /// Whether they are rendered anew at the start of each attempt: then `rendered` only shows them as of the dispatch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// The request's values over the job's own spec; `None` of a step, and of a record of before, which does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<Asked>>,
}

/// The values that a request gave its run over those of the job's spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Parameters.
    #[serde(rename = "p", default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Globals, those of the run that asked among them.
    #[serde(rename = "g", default, skip_serializing_if = "Map::is_empty")]
    pub globals: Map<String, Value>,
}

impl RunSpec {
    /// The spec of a run that renders nothing before it starts.
    #[must_use]
    pub fn of_job(job: Arc<Map<String, Value>>) -> Self {
        Self { job, rendered: None, anew: false, asked: None }
    }

    /// Payload and parameters as they were rendered for good; `None` where each start renders them.
    #[must_use]
    pub fn rendered_for_good(&self) -> Option<&crate::job_type::Rendered> {
        self.rendered.as_ref().filter(|_| !self.anew)
    }

    /// Has the values masked from now on that stand under names which the realm marks.
    pub fn remember_marked(&self) {
        remember_marked(&self.job);
        if let Some(rendered) = &self.rendered {
            rendered.remember_marked();
        }
        if let Some(Asked { parameters, globals }) = self.asked.as_deref() {
            remember_marked(parameters);
            remember_marked(globals);
        }
    }
}
