//! From a job's JSON to a job type's own types: one definition for the check, the schema and the run.

use pumice_core::job_type::{Composite, JobError, Named, Rendered, Uses, check_template};
use pumice_core::problem::{JsonPath, Problem, SpecError};
use pumice_core::schema;
use pumice_core::spec::JobSpec;
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Checks payload and parameters against their types.
pub(crate) fn check<P: JsonSchema, Q: JsonSchema>(job: &JobSpec) -> Vec<Problem> {
    let root = JsonPath::root();
    let mut problems = check_at::<P>(&job.fields.payload, &root.field("payload"));
    problems.extend(check_at::<Q>(&Value::Object(job.parameters()), &root.field("parameters")));
    problems
}

/// Checks payload and parameters against their types, and that there is a plan for them.
pub(crate) fn check_plan<P: JsonSchema, Q: JsonSchema>(
    composite: &dyn Composite,
    job: &JobSpec,
) -> Vec<Problem> {
    let problems = check::<P, Q>(job);
    if !problems.is_empty() {
        return problems;
    }
    let rendered = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    match composite.plan(job, &rendered) {
        Ok(_) => Vec::new(),
        Err(error) => vec![Problem::new(JsonPath::root().field("payload"), error.message)],
    }
}

/// Checks one value that stands at `path`.
pub(crate) fn check_at<T: JsonSchema>(value: &Value, path: &JsonPath) -> Vec<Problem> {
    schema::check(&schema::schema_of::<T>(), value).into_iter().map(|problem| problem.below(path)).collect()
}

/// Checks that the templates in a job's payload or one of its parameters parse.
pub(crate) fn check_templates(job: &JobSpec, names: &[&str], renderer: &Renderer) -> Vec<Problem> {
    let found = rendered_values(job, names).into_iter();
    found.flat_map(|(value, path)| check_template(renderer, value, &path)).collect()
}

/// The same for parameters whose texts lava renders one by one, and not as a structure: those in lists, and the values of
/// maps.
pub(crate) fn check_texts(job: &JobSpec, names: &[&str], renderer: &Renderer) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (value, path) in rendered_values(job, names) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    problems.extend(check_template(renderer, item, &path.item(index)));
                }
            }
            Value::Object(fields) => {
                for (name, item) in fields {
                    problems.extend(check_template(renderer, item, &path.field(name)));
                }
            }
            other => problems.extend(check_template(renderer, other, &path)),
        }
    }
    problems
}

/// A job's payload and those of its parameters that have these names, as far as they are given, and where they
/// stand.
pub(crate) fn rendered_values<'a>(job: &'a JobSpec, names: &[&str]) -> Vec<(&'a Value, JsonPath)> {
    let root = JsonPath::root();
    let value = |name: &&str| match *name {
        "payload" => Some((&job.fields.payload, root.field("payload"))),
        name => {
            let value = job.fields.parameters.as_ref()?.get(name)?;
            Some((value, root.field("parameters").field(name)))
        }
    };
    names.iter().filter_map(value).collect()
}

/// The steps of a job as jobs that it names, each where the payload stands.
pub(crate) fn steps(composite: &dyn Composite, job: &JobSpec) -> Vec<Named> {
    let rendered = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    let mut named: Vec<Named> = Vec::new();
    for step in composite.plan(job, &rendered).map(|plan| plan.steps).unwrap_or_default() {
        if named.last().is_none_or(|before| before.job_id != step.job_id) {
            named.push(Named {
                job_id: step.job_id,
                path: JsonPath::root().field("payload"),
                uses: Uses::Step,
            });
        }
    }
    named
}

/// Reads parameters that were checked before they were rendered.
pub(crate) fn parameters<T: DeserializeOwned + JsonSchema>(
    parameters: &Map<String, Value>,
) -> Result<T, JobError> {
    read(&Value::Object(parameters.clone()))
        .map_err(|error| JobError::permanent(format!("bad parameters: {error}")))
}

/// Reads a payload that was checked before it was rendered.
pub(crate) fn payload<T: DeserializeOwned + JsonSchema>(payload: &Value) -> Result<T, JobError> {
    read(payload).map_err(|error| JobError::permanent(format!("bad payload: {error}")))
}

/// Reads a value; what is wrong with one is said as `check` says it.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(value: &Value) -> Result<T, String> {
    T::deserialize(value.clone()).map_err(|error| {
        let found = SpecError::check(check_at::<T>(value, &JsonPath::root()));
        found.err().map_or_else(|| error.to_string(), |found| found.to_string())
    })
}
