//! Kinds of actions, one file each.

pub(crate) mod dispatch;
pub(crate) mod log;
pub(crate) mod state;

use pumice_core::job_type::check_template;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::schema::schema_of;
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
fn read<T: DeserializeOwned + JsonSchema>(fields: &Value) -> Result<T, String> {
    typed::read(fields)
}

/// As [`read`], of an action whose unknown fields lava passes over, as a stored job may have them.
fn read_known<T: DeserializeOwned + JsonSchema>(fields: &Value) -> Result<T, String> {
    let mut fields = fields.clone();
    let schema = schema_of::<T>();
    if let (Some(fields), Some(known)) = (fields.as_object_mut(), schema["properties"].as_object()) {
        fields.retain(|name, _| known.contains_key(name));
    }
    typed::read(&fields)
}
