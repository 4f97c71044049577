//! Action `dispatch`: starts another job (lava guide, Action type: dispatch).

use pumice_core::duration::Span;
use pumice_core::ids::JobId;
use pumice_core::job_type::{Action, Named, Uses};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::request::DispatchRequest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DispatchAction")]
pub struct Fields {
    /// The job to start.
    pub job_id: JobId,
    /// How long it waits before it starts, at most 15 minutes.
    #[serde(default)]
    pub delay: Option<Span>,
    /// Sent to the job, over its own parameters.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
}

/// The action `dispatch`.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch;

impl Action for Dispatch {
    const NAME: &'static str = "dispatch";
    const ABOUT: &'static str = "Starts another job.";
    const IGNORES_UNKNOWN: bool = true;
    type Fields = Fields;

    fn check(&self, _: &Value, typed: Option<Fields>) -> Vec<Problem> {
        let delay = typed.and_then(|fields| fields.delay).unwrap_or_default();
        let late = DispatchRequest::after(delay).err();
        late.map(|message| Problem::new(JsonPath::root().field("delay"), message)).into_iter().collect()
    }

    fn names(&self, fields: &Value) -> Vec<Named> {
        let job_id = fields.get("job_id").and_then(Value::as_str).and_then(|id| JobId::new(id).ok());
        let delay = fields.get("delay").and_then(|delay| Span::deserialize(delay).ok()).unwrap_or_default();
        let uses = Uses::after(delay);
        let named = |job_id| Named { job_id, path: JsonPath::root().field("job_id"), uses };
        job_id.into_iter().map(named).collect()
    }
}
