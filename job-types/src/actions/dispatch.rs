//! Action `dispatch`: starts another job (lava guide, Action type: dispatch).

use async_trait::async_trait;
use pumice_core::duration::Span;
use pumice_core::ids::JobId;
use pumice_core::job_type::{Action, ActionContext, Named, Uses};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::request::DispatchRequest;
use pumice_core::schema::schema_of;
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DispatchAction")]
struct Fields {
    /// The job to start.
    job_id: JobId,
    /// How long it waits before it starts, at most 15 minutes.
    #[serde(default)]
    delay: Option<Span>,
    /// Sent to the job, over its own parameters.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// The action `dispatch`.
pub(crate) struct Dispatch;

#[async_trait]
impl Action for Dispatch {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    fn about(&self) -> &'static str {
        "Starts another job."
    }

    fn schema(&self) -> Value {
        schema_of::<Fields>()
    }

    fn check(&self, fields: &Value, renderer: &Renderer) -> Vec<Problem> {
        let mut problems = super::check::<Fields>(fields, renderer);
        if let Ok(fields) = super::read::<Fields>(fields)
            && let Err(message) = DispatchRequest::after(fields.delay.unwrap_or_default())
        {
            problems.push(Problem::new(JsonPath::root().field("delay"), message));
        }
        problems
    }

    fn names(&self, fields: &Value) -> Vec<Named> {
        let job_id = fields.get("job_id").and_then(Value::as_str).and_then(|id| JobId::new(id).ok());
        let delay = fields.get("delay").and_then(|delay| Span::deserialize(delay).ok()).unwrap_or_default();
        let uses = Uses::after(delay);
        let named = |job_id| Named { job_id, path: JsonPath::root().field("job_id"), uses };
        job_id.into_iter().map(named).collect()
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), String> {
        let fields: Fields = super::read_known(fields)?;
        let request = DispatchRequest {
            parameters: fields.parameters.unwrap_or_default(),
            when: DispatchRequest::after(fields.delay.unwrap_or_default())?,
            ..DispatchRequest::new(fields.job_id)
        };
        for outcome in context.dispatches.dispatch(vec![request]).await {
            outcome.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
