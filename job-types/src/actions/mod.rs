//! Kinds of actions, one file each.

pub(crate) mod dispatch;
pub(crate) mod log;
pub(crate) mod state;

use pumice_core::job_type::check_template;
use pumice_core::problem::{JsonPath, Problem};
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::typed;

/// Checks an action's fields against their type, and that its templates parse.
fn check<T: JsonSchema>(fields: &Value, renderer: &Renderer) -> Vec<Problem> {
    let root = JsonPath::root();
    let mut problems = typed::check_at::<T>(fields, &root);
    problems.extend(check_template(renderer, fields, &root));
    problems
}

/// Reads an action's fields after they were rendered.
fn read<T: DeserializeOwned>(fields: &Value) -> Result<T, String> {
    T::deserialize(fields.clone()).map_err(|error| error.to_string())
}
