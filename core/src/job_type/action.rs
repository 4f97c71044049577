//! Kinds of actions, which run after an attempt ends. As a job type, a kind of action has two halves: [`Action`] for
//! every process, [`Performer`](super::Performer) for workers.

use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check_template;
use super::named_connections::of_action;
use super::places::{structures, unmarked};
use super::survey::Named;
use super::typed::{check_at, read};
use crate::ids::ConnId;
use crate::problem::{JsonPath, Problem};
use crate::schema::schema_of;

/// A kind of action, by the type of its fields (lava guide, Job Actions). Every field is rendered; one that lava renders
/// as a structure even where it is a lone text is a [`Structure`](super::Structure).
pub trait Action: Send + Sync + Sized + 'static {
    /// The name, as in an action's `action`.
    const NAME: &'static str;
    /// Its description, in a line.
    const ABOUT: &'static str;
    /// Whether a stored action may have fields that the type does not know, as lava passes over them.
    const IGNORES_UNKNOWN: bool = false;
    /// Its fields, without `action`.
    type Fields: DeserializeOwned + JsonSchema + Send;

    /// Checks the fields of a spec beyond what the type and the syntax of templates say; `typed` is `None` when they
    /// are not of their type, as a template in place of a number. Nothing by default.
    fn check(&self, fields: &Value, typed: Option<Self::Fields>) -> Vec<Problem> {
        let _ = (fields, typed);
        Vec::new()
    }

    /// The jobs that it starts, as its fields name them. None by default.
    fn names(&self, fields: &Value) -> Vec<Named> {
        let _ = fields;
        Vec::new()
    }
}

/// A kind of action as the registry keeps it: without its types.
pub trait RegisteredAction: Send + Sync {
    /// The name, as in an action's `action`.
    fn name(&self) -> &'static str;
    /// Its description, in a line.
    fn about(&self) -> &'static str;
    /// The fields that are rendered as structures even where they are lone texts.
    fn structures(&self) -> &[String];
    /// The JSON Schema of its fields, without `action`.
    fn schema(&self) -> Value;
    /// Checks an action's fields as they stand in a spec.
    fn check(&self, fields: &Value, renderer: &Renderer) -> Vec<Problem>;
    /// The jobs that it starts, as its fields name them.
    fn names(&self, fields: &Value) -> Vec<Named>;
    /// The connections that the fields of an action at `path` name, and where.
    fn connections(&self, fields: &Value, path: &JsonPath) -> Vec<(JsonPath, ConnId)>;
}

/// A kind of action with what follows from its fields, found out once.
pub(super) struct ActionKind<A> {
    of: A,
    schema: Value,
    structures: Vec<String>,
}

impl<A: Action> ActionKind<A> {
    pub(super) fn new(of: A) -> Self {
        let schema = schema_of::<A::Fields>();
        Self { of, structures: structures(&schema), schema }
    }
}

impl<A: Action> RegisteredAction for ActionKind<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn about(&self) -> &'static str {
        A::ABOUT
    }

    fn structures(&self) -> &[String] {
        &self.structures
    }

    fn schema(&self) -> Value {
        unmarked(self.schema.clone())
    }

    fn check(&self, fields: &Value, renderer: &Renderer) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = check_at(&self.schema, fields, &root);
        problems.extend(check_template(renderer, fields, &root));
        problems.extend(self.of.check(fields, read(fields).ok()));
        problems
    }

    fn names(&self, fields: &Value) -> Vec<Named> {
        self.of.names(fields)
    }

    fn connections(&self, fields: &Value, path: &JsonPath) -> Vec<(JsonPath, ConnId)> {
        of_action(&self.schema, fields, path)
    }
}

/// The rendered fields of an action, as its type.
///
/// # Errors
/// Every mistake that the schema of the type finds.
pub(super) fn read_fields<A: Action>(fields: &Value) -> Result<A::Fields, String> {
    if !A::IGNORES_UNKNOWN {
        return read(fields);
    }
    let mut known = fields.clone();
    let schema = schema_of::<A::Fields>();
    if let (Some(known), Some(properties)) = (known.as_object_mut(), schema["properties"].as_object()) {
        known.retain(|name, _| properties.contains_key(name));
    }
    read(&known)
}
