//! Actions after an attempt ends, or when a limit of a schedule is broken.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::problem::given;
use crate::schema::is_own;

/// One action: its kind under `action`, and the fields of that kind (lava guide, Job Actions). One that a store holds may
/// be malformed: it fails when its time comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub struct ActionSpec {
    value: Value,
    /// Whether it stands in a list; a value in place of one is one action that fails.
    in_list: bool,
}

impl From<Value> for ActionSpec {
    fn from(value: Value) -> Self {
        Self { value, in_list: true }
    }
}

impl From<ActionSpec> for Value {
    fn from(action: ActionSpec) -> Self {
        action.value
    }
}

impl ActionSpec {
    /// The kind of action, as registered; empty when there is none.
    #[must_use]
    pub fn kind(&self) -> &str {
        let named = self.value.get("action").filter(|_| self.in_list);
        named.and_then(Value::as_str).unwrap_or_default()
    }

    /// The mistake in an action that names no kind.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if !self.kind().is_empty() {
            return None;
        }
        Some(match &self.value {
            value if !self.in_list => format!("not a list of actions: got {}", given(value)),
            Value::Object(_) => "not an action: the field \"action\" must name its kind".to_owned(),
            other => format!("not an action: expected an object, got {}", given(other)),
        })
    }

    /// The fields of the kind, without `action` and without those beginning `x-`.
    #[must_use]
    pub fn fields(&self) -> Value {
        let fields = self.value.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| *name != "action" && !is_own(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// Reads a list of actions, whatever stands in it: for serde's `deserialize_with`. A value that is not a list is one action
/// that fails, as lava's do.
pub(super) fn read_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<ActionSpec>>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::Array(actions) => Some(actions.into_iter().map(ActionSpec::from).collect()),
        value => Some(vec![ActionSpec { value, in_list: false }]),
    })
}

impl JsonSchema for ActionSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An action: its kind and that kind's own fields.",
            "type": "object",
            "required": ["action"],
            "properties": { "action": { "type": "string", "minLength": 1 } },
            "additionalProperties": true
        })
    }
}

/// When an action runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionsWhen {
    /// The run succeeded.
    OnSuccess,
    /// An attempt failed and another follows.
    OnRetry,
    /// The last attempt failed.
    OnFail,
    /// A limit of a schedule's entry was broken.
    OnLate,
}

impl ActionsWhen {
    /// Every moment.
    pub const ALL: [Self; 4] = [Self::OnSuccess, Self::OnRetry, Self::OnFail, Self::OnLate];
    /// Those at which an attempt ends.
    pub const ENDS: [Self; 3] = [Self::OnSuccess, Self::OnRetry, Self::OnFail];

    /// The name of the spec's field.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::OnSuccess => "on_success",
            Self::OnRetry => "on_retry",
            Self::OnFail => "on_fail",
            Self::OnLate => "on_late",
        }
    }
}

/// The lists of a job or a realm; `None` where the list is not given at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions {
    /// After success.
    pub on_success: Option<Vec<ActionSpec>>,
    /// After a failed attempt that is followed by another.
    pub on_retry: Option<Vec<ActionSpec>>,
    /// After the last failed attempt.
    pub on_fail: Option<Vec<ActionSpec>>,
    /// After a limit of a schedule's entry was broken.
    pub on_late: Option<Vec<ActionSpec>>,
}

impl Actions {
    /// The list for one moment, when given.
    #[must_use]
    pub fn get(&self, when: ActionsWhen) -> Option<&[ActionSpec]> {
        match when {
            ActionsWhen::OnSuccess => self.on_success.as_deref(),
            ActionsWhen::OnRetry => self.on_retry.as_deref(),
            ActionsWhen::OnFail => self.on_fail.as_deref(),
            ActionsWhen::OnLate => self.on_late.as_deref(),
        }
    }

    /// A job's list, else its realm's: a given list replaces the other whole (lava guide, Job Actions).
    #[must_use]
    pub fn or<'a>(&'a self, realm: &'a Self, when: ActionsWhen) -> &'a [ActionSpec] {
        self.get(when).or_else(|| realm.get(when)).unwrap_or_default()
    }
}
