//! Action `state`: puts a state item (lava guide, Action type: state).

use async_trait::async_trait;
use pumice_core::duration::{self, Span};
use pumice_core::ids::StateId;
use pumice_core::job_type::{Action, ActionContext};
use pumice_core::ports::{StateItem, StateType};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::schema::schema_of;
use pumice_core::spec::is_reserved_global;
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateAction")]
struct Fields {
    /// The item's id.
    state_id: StateId,
    /// Its value.
    value: Value,
    /// Its form: json, raw or secure; default json.
    #[serde(default)]
    r#type: Option<StateType>,
    /// How long it lives; the realm sets the default and the longest.
    #[serde(default, deserialize_with = "duration::unless_empty")]
    #[schemars(with = "Option<duration::SpanOrEmpty>")]
    ttl: Option<Span>,
    /// Who put it there; default the job's id.
    #[serde(default)]
    publisher: Option<String>,
    /// The KMS key of a secure item.
    #[serde(default)]
    #[expect(dead_code, reason = "for stores that encrypt")]
    kms_key: Option<String>,
}

/// The action `state`.
pub(crate) struct State;

#[async_trait]
impl Action for State {
    fn name(&self) -> &'static str {
        "state"
    }

    fn structures(&self) -> &'static [&'static str] {
        &["value"]
    }

    fn about(&self) -> &'static str {
        "Puts a state item, for other jobs to read."
    }

    fn schema(&self) -> Value {
        schema_of::<Fields>()
    }

    fn check(&self, fields: &Value, renderer: &Renderer) -> Vec<Problem> {
        let mut problems = super::check::<Fields>(fields, renderer);
        if let Some(id) = fields.get("state_id").and_then(Value::as_str)
            && is_reserved_global(id)
        {
            let message =
                format!("the state id {id:?} is reserved: ids beginning with lava are the engine's own");
            problems.push(Problem::new(JsonPath::root().field("state_id"), message));
        }
        problems
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), String> {
        let fields: Fields = super::read(fields)?;
        if is_reserved_global(fields.state_id.as_str()) {
            return Err(format!("the state id {:?} is reserved", fields.state_id));
        }
        let settings = &context.site.settings;
        let ttl = fields.ttl.unwrap_or(settings.state_ttl).min(settings.state_max_ttl);
        let now = context.site.ports.clock.now();
        let item = StateItem {
            state_id: fields.state_id,
            r#type: fields.r#type.unwrap_or_default(),
            value: fields.value,
            publisher: Some(fields.publisher.unwrap_or_else(|| context.job_id.to_string())),
            timestamp: now,
            expires: now + ttl.delta(),
        };
        context.site.ports.state.put(item).await.map_err(|error| error.to_string())
    }
}
