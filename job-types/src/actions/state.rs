//! Action `state`: puts a state item (lava guide, Action type: state).

use pumice_core::duration::{self, Span};
use pumice_core::ids::StateId;
use pumice_core::job_type::{Action, Structure};
use pumice_core::ports::StateType;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::is_reserved_global;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateAction")]
pub struct Fields {
    /// The item's id.
    pub state_id: StateId,
    /// Its value.
    pub value: Structure<Value>,
    /// Its form: json, raw or secure; default json.
    #[serde(default)]
    pub r#type: Option<StateType>,
    /// How long it lives; the realm sets the default and the longest.
    #[serde(default, deserialize_with = "duration::unless_empty")]
    #[schemars(with = "Option<duration::SpanOrEmpty>")]
    pub ttl: Option<Span>,
    /// The publisher of the item; default the job's id.
    #[serde(default)]
    pub publisher: Option<String>,
    /// Taken for lava's sake, and of no effect: Pumice does not use KMS.
    #[serde(default)]
    pub kms_key: Option<String>,
}

/// The action `state`.
#[derive(Clone, Copy, Debug)]
pub struct State;

impl Action for State {
    const NAME: &'static str = "state";
    const ABOUT: &'static str = "Puts a state item, for other jobs to read.";
    type Fields = Fields;

    fn check(&self, fields: &Value, _: Option<Fields>) -> Vec<Problem> {
        let id = fields.get("state_id").and_then(Value::as_str).filter(|id| is_reserved_global(id));
        let reserved = id.map(|id| {
            let message =
                format!("the state id {id:?} is reserved: ids beginning with lava are the engine's own");
            Problem::new(JsonPath::root().field("state_id"), message)
        });
        reserved.into_iter().collect()
    }
}
