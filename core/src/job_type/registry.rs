//! Which job types and actions there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumice_template::Renderer;
use serde_json::{Value, json};

use super::action::ActionKind;
use super::definition::{CompositeType, LeafType};
use super::templates::has_templates;
use super::{Action, Composite, JobType, RegisteredAction, RegisteredType};
use crate::permits::{Gate, of_steps};
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean, show};
use crate::schema;
use crate::spec::{ActionSpec, ActionsWhen, Enabled, JobFields, JobSpec, RealmSpec, Settings};
use crate::text::quoted;

/// Job types, actions and what runs them that do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRegistry {
    /// Two of something have one name.
    #[error("two {0} are called {1:?}")]
    Twice(&'static str, &'static str),
    /// A worker has nothing to run a job type or an action with.
    #[error("{0} {1:?} has no runner: a worker needs one for each")]
    NoRunner(&'static str, &'static str),
    /// A runner is for a job type or an action that is not registered.
    #[error("there is a runner and no {0} {1:?}")]
    NothingToRun(&'static str, &'static str),
}

/// The job types and actions that a process knows, and the renderer that they share. With it specs are checked and
/// requests are dispatched; to run jobs takes [`Runners`](super::Runners) besides.
#[derive(Clone, Default)]
pub struct Registry {
    types: BTreeMap<&'static str, Arc<dyn RegisteredType>>,
    actions: BTreeMap<&'static str, Arc<dyn RegisteredAction>>,
    pub(super) renderer: Renderer,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("types", &self.types.keys())
            .field("actions", &self.actions.keys())
            .finish()
    }
}

/// A [`Registry`] in the making.
#[derive(Default)]
pub struct RegistryBuilder {
    registry: Registry,
    twice: Option<BadRegistry>,
}

impl RegistryBuilder {
    /// With a type whose jobs run by themselves.
    #[must_use]
    pub fn leaf<T: JobType>(self, job_type: T) -> Self {
        self.job_type(Arc::new(LeafType::new(job_type)))
    }

    /// With a type whose jobs are run step by step.
    #[must_use]
    pub fn composite<T: Composite>(self, job_type: T) -> Self {
        self.job_type(Arc::new(CompositeType::new(job_type)))
    }

    fn job_type(mut self, job_type: Arc<dyn RegisteredType>) -> Self {
        let name = job_type.name();
        if self.registry.types.insert(name, job_type).is_some() {
            self.twice = Some(BadRegistry::Twice("job types", name));
        }
        self
    }

    /// With a kind of action.
    #[must_use]
    pub fn action<A: Action>(mut self, action: A) -> Self {
        if self.registry.actions.insert(A::NAME, Arc::new(ActionKind::new(action))).is_some() {
            self.twice = Some(BadRegistry::Twice("actions", A::NAME));
        }
        self
    }

    /// The registry.
    ///
    /// # Errors
    /// [`BadRegistry`] when two types or two actions have one name.
    pub fn build(self) -> Result<Registry, BadRegistry> {
        self.twice.map_or(Ok(self.registry), Err)
    }
}

impl Registry {
    /// Puts job types and actions together.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The renderer of templates.
    #[must_use]
    pub fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// The job type of this name.
    #[must_use]
    pub fn job_type(&self, name: &str) -> Option<&Arc<dyn RegisteredType>> {
        self.types.get(name)
    }

    /// The job types, by name.
    pub fn job_types(&self) -> impl Iterator<Item = &Arc<dyn RegisteredType>> {
        self.types.values()
    }

    /// The action of this name.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&Arc<dyn RegisteredAction>> {
        self.actions.get(name)
    }

    /// The actions, by name.
    pub fn actions(&self) -> impl Iterator<Item = &Arc<dyn RegisteredAction>> {
        self.actions.values()
    }

    /// Reads and checks a job's document, all of it.
    ///
    /// # Errors
    /// [`SpecError`] with every mistake found.
    pub fn read_job(&self, document: &Value, settings: &Settings) -> Result<JobSpec, SpecError> {
        match JobSpec::parse(document) {
            Ok(job) => {
                SpecError::check(self.check_job(&job, settings))?;
                Ok(job)
            }
            Err(mut error) => {
                // A mistake in one field must not hide the mistakes in the others.
                let rest = without_problems(document, &error.problems);
                if let Ok(job) = JobSpec::parse(&rest) {
                    error.problems.extend(self.check_job(&job, settings));
                }
                Err(error)
            }
        }
    }

    /// Checks the parts that depend on the job's type, its actions and the realm's settings. A job for a lava worker is
    /// lava's to check.
    #[must_use]
    pub fn check_job(&self, job: &JobSpec, settings: &Settings) -> Vec<Problem> {
        let mut problems = self.check_runnable(job, settings);
        if !settings.worker_kind(&job.fields.worker).is_lavas() {
            problems.extend(self.check_entries(job));
        }
        problems.extend(self.check_beside(job, settings));
        problems
    }

    /// Checks what keeps a job from running: its type, payload, parameters, `enabled` and iterations.
    #[must_use]
    pub fn check_runnable(&self, job: &JobSpec, settings: &Settings) -> Vec<Problem> {
        let fields = &job.fields;
        if settings.worker_kind(&fields.worker).is_lavas() {
            return Vec::new();
        }
        let root = JsonPath::root();
        let mut problems = Vec::new();
        match self.job_type(&fields.r#type) {
            Some(job_type) => problems.extend(job_type.check(job, &self.renderer)),
            None => problems.push(self.unknown_type(&fields.r#type)),
        }
        if let Enabled::Template(source) = &fields.enabled {
            let path = root.field("enabled");
            problems.extend(check_constant(source, &path));
            problems.extend(check_template(&self.renderer, &Value::String(source.clone()), &path));
        }
        problems.extend(self.check_gate(job));
        if let Some(limit) = fields.iteration_limit.filter(|limit| *limit > settings.iteration_max_limit) {
            let message = format!("{limit} is more than {}", settings.iteration_max_limit);
            problems.push(Problem::new(root.field("iteration_limit"), message));
        }
        if let Some(delay) = fields.iteration_delay.filter(|delay| *delay > settings.iteration_max_delay) {
            let message = format!("{delay:#} is more than {}", settings.iteration_max_delay);
            problems.push(Problem::new(root.field("iteration_delay"), message));
        }
        problems
    }

    /// Checks what says how many runs of a job run at once.
    fn check_gate(&self, job: &JobSpec) -> Vec<Problem> {
        let (fields, root) = (&job.fields, JsonPath::root());
        let mut problems = Vec::new();
        if let Some(pool) = &fields.pool {
            if fields.concurrency.is_some() {
                let message = "a job has a pool or a concurrency, not both: a run takes one permit";
                problems.push(Problem::new(root.field("pool"), message));
            }
            let job_type = self.job_type(&fields.r#type);
            if job_type.is_some_and(|job_type| job_type.planner().is_some()) {
                problems.push(Problem::new(root.field("pool"), of_steps(pool.as_str(), &fields.r#type)));
            }
        }
        let key = fields.concurrency.as_ref().and_then(|concurrency| concurrency.key.as_ref());
        if let Some(key) = key {
            let path = root.field("concurrency").field("key");
            problems.extend(check_template(&self.renderer, &Value::String(key.clone()), &path));
            if !has_templates(&Value::String(key.clone()))
                && let Err(error) = Gate::of_key(key)
            {
                problems.push(Problem::new(path, error.to_string()));
            }
        }
        problems
    }

    /// Checks what does not keep a job from running: `event_log`, actions, and what its type finds.
    #[must_use]
    pub fn check_beside(&self, job: &JobSpec, settings: &Settings) -> Vec<Problem> {
        if settings.worker_kind(&job.fields.worker).is_lavas() {
            return Vec::new();
        }
        let root = JsonPath::root();
        let mut problems = Vec::new();
        if let Some(job_type) = self.job_type(&job.fields.r#type) {
            problems.extend(job_type.check_beside(job));
        }
        if let Some(event_log) = &job.fields.event_log {
            problems.extend(check_template(&self.renderer, event_log, &root.field("event_log")));
        }
        let actions = job.actions();
        for when in ActionsWhen::ALL {
            let list = actions.get(when).unwrap_or_default();
            problems.extend(self.check_actions(list, &root.field(when.field())));
        }
        problems
    }

    /// Checks the actions of a realm.
    #[must_use]
    pub fn check_realm(&self, realm: &RealmSpec) -> Vec<Problem> {
        let actions = realm.actions();
        let found = ActionsWhen::ALL.into_iter().flat_map(|when| {
            self.check_actions(actions.get(when).unwrap_or_default(), &JsonPath::root().field(when.field()))
        });
        found.collect()
    }

    /// Checks a list of actions that stands at `path`.
    #[must_use]
    pub fn check_actions(&self, actions: &[ActionSpec], path: &JsonPath) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, spec) in actions.iter().enumerate() {
            let path = path.item(index);
            if let Some(fault) = spec.fault() {
                problems.push(Problem::new(path, fault));
                continue;
            }
            match self.action(spec.kind()) {
                Some(action) => {
                    let found = action.check(&spec.fields(), &self.renderer);
                    problems.extend(found.into_iter().map(|problem| problem.below(&path)));
                }
                None => {
                    let known = || self.actions.keys().copied();
                    let mut problem =
                        Problem::new(path.field("action"), format!("no such action {}", quoted(spec.kind())));
                    problem.hint = did_you_mean(spec.kind(), known()).or_else(|| Some(list_of(known())));
                    problems.push(problem);
                }
            }
        }
        problems
    }

    fn unknown_type(&self, name: &str) -> Problem {
        let known = || self.types.keys().copied();
        let mut problem =
            Problem::new(JsonPath::root().field("type"), format!("no such job type {}", quoted(name)));
        problem.hint = did_you_mean(name, known()).or_else(|| Some(list_of(known())));
        problem
    }
}

/// A document without the fields that have problems, and with names in place of bad ones.
fn without_problems(document: &Value, problems: &[Problem]) -> Value {
    let mut rest = document.clone();
    let Some(fields) = rest.as_object_mut() else { return rest };
    let wrong = |name: &str| {
        let path = JsonPath::root().field(name);
        problems.iter().any(|problem| problem.path.as_str().starts_with(path.as_str()))
    };
    fields.retain(|name, _| !wrong(name));
    for name in ["job_id", "worker"] {
        fields.entry(name).or_insert_with(|| "unknown".into());
    }
    fields.entry("payload").or_insert(Value::Null);
    rest
}

fn list_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("known: {}", names.collect::<Vec<_>>().join(", "))
}

/// Checks an `enabled` text that no template changes. In YAML 1.2 `yes` and `on` are texts, and such a
/// job would be skipped for ever without a word.
fn check_constant(source: &str, path: &JsonPath) -> Option<Problem> {
    let text = source.trim();
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) || is(&["true", "false"]) {
        return None;
    }
    let fix = if is(&["yes", "on", "y"]) {
        "write true"
    } else if is(&["no", "off", "n"]) {
        "write false"
    } else {
        "write true, false or a template"
    };
    let shown = show(&Value::String(source.to_owned()));
    let message = format!("{shown} is a text, and a job is enabled only by true");
    Some(Problem::new(path.clone(), message).with_hint(fix))
}

/// Checks that every template of a structure at `path` parses.
#[must_use]
pub fn check_template(renderer: &Renderer, value: &Value, path: &JsonPath) -> Vec<Problem> {
    match renderer.check_json(value) {
        Ok(()) => Vec::new(),
        Err(error) => vec![Problem::template(path, &error)],
    }
}

/// The JSON Schema of a job: its fields, with payload and parameters as its type has them, and
/// actions as their kinds have them.
#[must_use]
pub fn job_schema(registry: &Registry) -> Value {
    let mut root = schema::schema_of::<JobFields>();
    let mut types = Vec::new();
    for job_type in registry.job_types() {
        let (payload, parameters) = job_type.schemas();
        let (payload, parameters) = (embed(&mut root, payload), embed(&mut root, parameters));
        types.push(json!({
            "if": { "properties": { "type": { "const": job_type.name() } } },
            "then": { "properties": {
                "payload": payload,
                "parameters": { "anyOf": [parameters, { "type": "null" }] },
            } },
        }));
    }
    let names: Vec<Value> = registry
        .job_types()
        .map(|job_type| json!({ "const": job_type.name(), "description": job_type.about() }))
        .collect();
    let mut kinds = Vec::new();
    for action in registry.actions() {
        let mut fields = action.schema();
        let name = json!({ "const": action.name(), "description": action.about() });
        if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("action".to_owned(), name);
        }
        kinds.push(embed(&mut root, fields));
    }
    root["properties"]["type"]["oneOf"] = Value::Array(names);
    root["$defs"]["Action"] = json!({ "type": "object", "required": ["action"], "oneOf": kinds });
    root["allOf"] = Value::Array(types);
    root
}

/// Moves the definitions of a schema into the root's, and gives what is left.
fn embed(root: &mut Value, mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
        fields.remove("title");
        if let Some(Value::Object(definitions)) = fields.remove("$defs") {
            for (name, definition) in definitions {
                root["$defs"][name] = definition;
            }
        }
    }
    schema
}
