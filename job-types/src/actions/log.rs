//! Action `log`: writes a message to the worker's log (lava guide, Action type: log).

use async_trait::async_trait;
use pumice_core::job_type::{Action, ActionContext};
use pumice_core::problem::Problem;
use pumice_core::schema::schema_of;
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LogAction")]
struct Fields {
    /// What to write.
    message: String,
}

/// The action `log`.
pub(crate) struct Log;

#[async_trait]
impl Action for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn about(&self) -> &'static str {
        "Writes a message to the worker's log."
    }

    fn schema(&self) -> Value {
        schema_of::<Fields>()
    }

    fn check(&self, fields: &Value, renderer: &Renderer) -> Vec<Problem> {
        super::check::<Fields>(fields, renderer)
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), String> {
        let fields: Fields = super::read_known(fields)?;
        tracing::info!(target: "pumice::job", job_id = %context.job_id, run_id = %context.run_id, "{}", fields.message);
        Ok(())
    }
}
