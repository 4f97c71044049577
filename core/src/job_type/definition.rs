//! The definition of a job type: the half that every process has, the dispatcher function among them. It checks
//! specs, renders them and plans their steps; the worker's half is [`Leaf`](super::Leaf) and
//! [`Resolver`](super::Resolver).

use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::places::{Places, unmarked};
use super::typed::{check_at, read, read_parameters};
use super::{JobError, Named, Plan, Rendered, Templates, Uses};
use crate::ids::{ConnId, JobId};
use crate::problem::{JsonPath, Problem};
use crate::schema::schema_of;
use crate::spec::{JobSpec, Settings};

/// A job type, by the types of its payload and parameters. Their JSON Schemas, the check of specs and the places that are
/// templates ([`Template`](super::Template)) follow from them.
pub trait JobType: Send + Sync + Sized + 'static {
    /// The name, as in a job's `type`.
    const NAME: &'static str;
    /// Its description, in a line.
    const ABOUT: &'static str;
    /// Whether an attempt runs several payloads and keeps the outputs of each, named by payload and stream.
    const KEEPS_OUTPUT_BY_PAYLOAD: bool = false;
    /// The payload, as a spec has it.
    type Payload: DeserializeOwned + JsonSchema + Send;
    /// The parameters, as a spec has them. A parameter `jinja` of `false` turns templates off, and templates see a
    /// parameter `vars` as `vars`: the fields must be there, no more (lava guide, Jinja Rendering).
    type Parameters: DeserializeOwned + JsonSchema + Send;

    /// Checks a job beyond what the types and the syntax of templates say. Nothing by default.
    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let _ = given;
        Vec::new()
    }

    /// The parameters as a stored job runs with them, where the types are stricter than lava is: values that
    /// [`check_beside`](Self::check_beside) refuses are replaced. As they are by default.
    fn runnable(&self, parameters: Map<String, Value>) -> Map<String, Value> {
        parameters
    }

    /// Checks what `check` refuses and a stored job runs with all the same, as lava's does. Nothing by default.
    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        let _ = job;
        Vec::new()
    }

    /// Warnings about a valid job: valid but probably unintended. Unknown variables in templates are warned of anyway.
    /// None by default.
    fn advise(&self, given: &Given<'_, Self>, settings: &Settings) -> Vec<Problem> {
        let _ = (given, settings);
        Vec::new()
    }

    /// The jobs that a job of this type starts, where its spec says which. None by default; steps are named by the plan.
    fn names(&self, given: &Given<'_, Self>) -> Vec<Named> {
        let _ = given;
        Vec::new()
    }

    /// Renders payload and parameters in the type's own way. `None`, the default, renders each place that the types mark.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        let _ = (job, templates);
        None
    }
}

/// A job type whose jobs are run step by step, each step a job of its own.
pub trait Composite: JobType {
    /// Whether a worker looks something up before it plans: then a worker must have a [`Resolver`](super::Resolver).
    const RESOLVED: bool = false;

    /// The steps, from payload and parameters alone, so that they are the same each time.
    ///
    /// # Errors
    /// [`JobError`] when there is no such plan: an empty list, a cycle.
    fn plan(
        &self,
        job: &JobSpec,
        payload: Self::Payload,
        parameters: Self::Parameters,
    ) -> Result<Plan, JobError>;

    /// The plan with what the realm's settings say about it. Which steps there are does not depend on them, for a realm
    /// may change while a run is under way. As it is by default.
    fn within(&self, plan: Plan, parameters: Self::Parameters, settings: &Settings) -> Plan {
        let _ = (parameters, settings);
        plan
    }

    /// Checks that there is a plan, of a job without other mistakes.
    fn check_plan(&self, given: Given<'_, Self>) -> Vec<Problem> {
        let Given { job, payload: Some(payload), parameters: Some(parameters) } = given else {
            return Vec::new();
        };
        match self.plan(job, payload, parameters) {
            Ok(_) => Vec::new(),
            Err(error) => vec![Problem::new(JsonPath::root().field("payload"), error.message)],
        }
    }

    /// The jobs of the steps, as far as the spec says which.
    fn jobs(&self, given: Given<'_, Self>) -> Vec<JobId> {
        let Given { job, payload: Some(payload), parameters: Some(parameters) } = given else {
            return Vec::new();
        };
        let steps = self.plan(job, payload, parameters).map(|plan| plan.steps).unwrap_or_default();
        let mut jobs: Vec<JobId> = steps.into_iter().map(|step| step.job_id).collect();
        jobs.dedup();
        jobs
    }
}

/// A job as its type sees it before templates are rendered.
#[derive(Debug)]
pub struct Given<'a, T: JobType> {
    /// The job.
    pub job: &'a JobSpec,
    /// The payload; `None` when it is not of its type.
    pub payload: Option<T::Payload>,
    /// The parameters; `None` when they are not of their type.
    pub parameters: Option<T::Parameters>,
}

impl<'a, T: JobType> Given<'a, T> {
    /// The fields of a job.
    pub fn of(job: &'a JobSpec) -> Self {
        let payload = read(&job.fields.payload).ok();
        Self { job, payload, parameters: read_parameters(&job.parameters()).ok() }
    }
}

/// A job type as the registry keeps it: without its types.
pub trait RegisteredType: Send + Sync {
    /// The name, as in a job's `type`.
    fn name(&self) -> &'static str;
    /// Its description, in a line.
    fn about(&self) -> &'static str;
    /// The JSON Schemas of payload and parameters.
    fn schemas(&self) -> (Value, Value);
    /// Checks a job of this type, beyond what every job is checked for. Templates are checked too.
    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem>;
    /// Checks what `check` refuses and a stored job runs with all the same.
    fn check_beside(&self, job: &JobSpec) -> Vec<Problem>;
    /// Warnings about a valid job of this type.
    fn advise(&self, job: &JobSpec, settings: &Settings, renderer: &Renderer) -> Vec<Problem>;
    /// The jobs that a job of this type runs or starts, where its spec says which.
    fn names(&self, job: &JobSpec) -> Vec<Named>;
    /// The connections that payload and parameters name, and where.
    fn connections(&self, job: &JobSpec) -> Vec<(JsonPath, ConnId)>;
    /// Whether an attempt keeps outputs by payload ([`JobType::KEEPS_OUTPUT_BY_PAYLOAD`]).
    fn keeps_output_by_payload(&self) -> bool;
    /// Renders the templates of payload and parameters.
    ///
    /// # Errors
    /// [`JobError`] when a template fails.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError>;
    /// How the steps are planned; `None` of a type whose jobs run by themselves.
    fn planner(&self) -> Option<&dyn Planner>;
}

/// Plans the steps of a composite type, as the registry keeps it.
pub trait Planner: Send + Sync {
    /// The steps, from payload and parameters alone.
    ///
    /// # Errors
    /// [`JobError`] when there is no such plan.
    fn plan(&self, job: &JobSpec, rendered: &Rendered) -> Result<Plan, JobError>;
    /// The plan with what the realm's settings say about it.
    fn within(&self, plan: Plan, rendered: &Rendered, settings: &Settings) -> Plan;
    /// Whether a worker looks something up before it plans.
    fn is_resolved(&self) -> bool;
}

/// A type with what follows from its payload and parameters, found out once.
struct Common<T> {
    of: T,
    payload: Value,
    parameters: Value,
    places: Places,
}

impl<T: JobType> Common<T> {
    fn new(of: T) -> Self {
        let (payload, parameters) = (schema_of::<T::Payload>(), schema_of::<T::Parameters>());
        let places = Places::of(&payload, &parameters);
        Self { of, payload, parameters, places }
    }

    fn schemas(&self) -> (Value, Value) {
        (unmarked(self.payload.clone()), unmarked(self.parameters.clone()))
    }

    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = check_at(&self.payload, &job.fields.payload, &root.field("payload"));
        let parameters = Value::Object(self.of.runnable(job.parameters()));
        problems.extend(check_at(&self.parameters, &parameters, &root.field("parameters")));
        problems.extend(self.places.check(job, renderer));
        problems.extend(self.of.check(&Given::of(job)));
        problems
    }

    fn advise(&self, job: &JobSpec, settings: &Settings, renderer: &Renderer) -> Vec<Problem> {
        let mut advice = self.of.advise(&Given::of(job), settings);
        advice.extend(self.places.advise(job, renderer));
        advice.extend(self.places.advise_patterns(job));
        advice
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        self.of.render(job, templates).unwrap_or_else(|| self.places.render(job, templates))
    }
}

/// A type whose jobs run by themselves.
pub(super) struct LeafType<T>(Common<T>);

/// A type whose jobs are run step by step.
pub(super) struct CompositeType<T>(Common<T>);

impl<T: JobType> LeafType<T> {
    pub(super) fn new(of: T) -> Self {
        Self(Common::new(of))
    }
}

impl<T: Composite> CompositeType<T> {
    pub(super) fn new(of: T) -> Self {
        Self(Common::new(of))
    }
}

impl<T: JobType> RegisteredType for LeafType<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn about(&self) -> &'static str {
        T::ABOUT
    }

    fn schemas(&self) -> (Value, Value) {
        self.0.schemas()
    }

    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        self.0.check(job, renderer)
    }

    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        self.0.of.check_beside(job)
    }

    fn advise(&self, job: &JobSpec, settings: &Settings, renderer: &Renderer) -> Vec<Problem> {
        self.0.advise(job, settings, renderer)
    }

    fn names(&self, job: &JobSpec) -> Vec<Named> {
        self.0.of.names(&Given::of(job))
    }

    fn connections(&self, job: &JobSpec) -> Vec<(JsonPath, ConnId)> {
        self.0.places.connections(job)
    }

    fn keeps_output_by_payload(&self) -> bool {
        T::KEEPS_OUTPUT_BY_PAYLOAD
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        self.0.render(job, templates)
    }

    fn planner(&self) -> Option<&dyn Planner> {
        None
    }
}

impl<T: Composite> RegisteredType for CompositeType<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn about(&self) -> &'static str {
        T::ABOUT
    }

    fn schemas(&self) -> (Value, Value) {
        self.0.schemas()
    }

    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let mut problems = self.0.check(job, renderer);
        if problems.is_empty() {
            problems.extend(self.0.of.check_plan(Given::of(job)));
        }
        problems
    }

    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        self.0.of.check_beside(job)
    }

    fn advise(&self, job: &JobSpec, settings: &Settings, renderer: &Renderer) -> Vec<Problem> {
        self.0.advise(job, settings, renderer)
    }

    fn names(&self, job: &JobSpec) -> Vec<Named> {
        let mut named = self.0.of.names(&Given::of(job));
        let step = |job_id| Named { job_id, path: JsonPath::root().field("payload"), uses: Uses::Step };
        named.extend(self.0.of.jobs(Given::of(job)).into_iter().map(step));
        named
    }

    fn connections(&self, job: &JobSpec) -> Vec<(JsonPath, ConnId)> {
        self.0.places.connections(job)
    }

    fn keeps_output_by_payload(&self) -> bool {
        T::KEEPS_OUTPUT_BY_PAYLOAD
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        self.0.render(job, templates)
    }

    fn planner(&self) -> Option<&dyn Planner> {
        Some(self)
    }
}

impl<T: Composite> Planner for CompositeType<T> {
    fn plan(&self, job: &JobSpec, rendered: &Rendered) -> Result<Plan, JobError> {
        self.0.of.plan(job, rendered.payload()?, rendered.parameters()?)
    }

    fn within(&self, plan: Plan, rendered: &Rendered, settings: &Settings) -> Plan {
        match rendered.parameters() {
            Ok(parameters) => self.0.of.within(plan, parameters, settings),
            Err(_) => plan,
        }
    }

    fn is_resolved(&self) -> bool {
        T::RESOLVED
    }
}
