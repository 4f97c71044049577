//! From JSON to the types of a plugin: one definition for the check, the schema and the run.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{JobError, Rendered};
use crate::problem::{JsonPath, Problem, SpecError};
use crate::schema;

impl Rendered {
    /// The payload, as a type.
    ///
    /// # Errors
    /// [`JobError`] that no further attempt mends, with every mistake that the schema of the type finds.
    pub fn payload<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, JobError> {
        read(&self.payload).map_err(|error| JobError::permanent(format!("bad payload: {error}")))
    }

    /// The parameters, as a type.
    ///
    /// # Errors
    /// As [`payload`](Self::payload).
    pub fn parameters<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, JobError> {
        read_parameters(&self.parameters)
    }
}

/// Parameters of a job, as a type.
///
/// # Errors
/// As [`Rendered::payload`].
pub(super) fn read_parameters<T: DeserializeOwned + JsonSchema>(
    parameters: &Map<String, Value>,
) -> Result<T, JobError> {
    read(&Value::Object(parameters.clone()))
        .map_err(|error| JobError::permanent(format!("bad parameters: {error}")))
}

/// A value as a type. A mistake in the value is worded as `check` words it.
///
/// # Errors
/// Every mistake that the schema of the type finds; else why serde refused the value.
pub(super) fn read<T: DeserializeOwned + JsonSchema>(value: &Value) -> Result<T, String> {
    T::deserialize(value.clone()).map_err(|error| {
        let problems = schema::check(&schema::schema_of::<T>(), value);
        SpecError::check(problems).err().map_or_else(|| error.to_string(), |found| found.to_string())
    })
}

/// Checks a value that stands at `path` against a schema.
pub(super) fn check_at(schema: &Value, value: &Value, path: &JsonPath) -> Vec<Problem> {
    schema::check(schema, value).into_iter().map(|problem| problem.below(path)).collect()
}
