//! The connections that jobs name: the fields of job types and actions whose type is [`ConnId`]. Templates are not looked
//! into.

use serde_json::{Map, Value};

use super::Registry;
use super::find::{Found, find_in_fields};
use crate::ids::ConnId;
use crate::problem::JsonPath;
use crate::spec::{ActionsWhen, JobSpec};

impl Registry {
    /// The connections that a job's payload, parameters and actions name, and where.
    #[must_use]
    pub fn connections_of(&self, job: &JobSpec) -> Vec<(JsonPath, ConnId)> {
        let mut named = match self.job_type(&job.fields.r#type) {
            Some(job_type) => job_type.connections(job),
            None => of_lava(job),
        };
        let actions = job.actions();
        for when in ActionsWhen::ALL {
            for (index, spec) in actions.get(when).unwrap_or_default().iter().enumerate() {
                let Some(action) = self.action(spec.kind()) else { continue };
                let path = JsonPath::root().field(when.field()).item(index);
                named.extend(action.connections(&spec.fields(), &path));
            }
        }
        named
    }
}

/// Whether a schema with these words is that of a [`ConnId`].
pub(super) fn is_connection(words: &Map<String, Value>) -> bool {
    words.get("format").is_some_and(|format| format == "conn-id")
}

/// The ids among the values that were found.
pub(super) fn connections_of(found: Vec<Found<'_, '_>>) -> Vec<(JsonPath, ConnId)> {
    found.into_iter().filter_map(|found| Some((found.path, conn_id(found.value)?))).collect()
}

/// The connections that the fields of an action name, which stands at `path`.
pub(super) fn of_action(schema: &Value, fields: &Value, path: &JsonPath) -> Vec<(JsonPath, ConnId)> {
    let fields = fields.as_object().into_iter();
    fields.flat_map(|fields| connections_of(find_in_fields(schema, fields, path, &is_connection))).collect()
}

/// The connections of a job whose type only lava's workers know, by the names that all of lava's types use (lava guide,
/// Job type: exe, `connections`).
fn of_lava(job: &JobSpec) -> Vec<(JsonPath, ConnId)> {
    let path = JsonPath::root().field("parameters");
    let parameter = |name: &str| job.fields.parameters.as_ref().and_then(|parameters| parameters.get(name));
    let labelled = parameter("connections").and_then(Value::as_object).into_iter().flatten();
    let below = path.field("connections");
    let named = parameter("conn_id").map(|id| (path.field("conn_id"), id)).into_iter();
    let named = named.chain(labelled.map(|(label, id)| (below.field(label), id)));
    named.filter_map(|(path, id)| Some((path, conn_id(id)?))).collect()
}

fn conn_id(value: &Value) -> Option<ConnId> {
    let text = value.as_str().filter(|text| !text.contains("{{") && !text.contains("{%"))?;
    ConnId::new(text).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::job_type::{Action, JobType};

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "from", rename_all = "lowercase")]
    #[expect(dead_code, reason = "its schema is what counts")]
    enum Source {
        Table { conn: ConnId },
        File { conn: String },
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "its schema is what counts")]
    struct Parameters {
        target: Option<ConnId>,
        labels: Option<BTreeMap<String, ConnId>>,
        sources: Option<Vec<Source>>,
        text: Option<String>,
    }

    struct Copies;

    impl JobType for Copies {
        const NAME: &'static str = "copies";
        const ABOUT: &'static str = "Copies tables.";
        type Payload = Option<ConnId>;
        type Parameters = Parameters;
    }

    struct Rings;

    impl Action for Rings {
        const NAME: &'static str = "rings";
        const ABOUT: &'static str = "Rings.";
        type Fields = Parameters;
    }

    fn named(document: &Value) -> Vec<String> {
        let registry = Registry::builder().leaf(Copies).action(Rings).build().unwrap();
        let named = registry.connections_of(&JobSpec::parse(document).unwrap()).into_iter();
        named.map(|(path, id)| format!("{path} {id}")).collect()
    }

    #[test]
    fn connection_is_named_wherever_the_type_has_its_id() {
        let fields = json!({ "target": "a", "labels": { "X": "b", "Y": "{{ c }}" }, "text": "no",
            "sources": [{ "from": "file", "conn": "no" }, { "from": "table", "conn": "d" }] });
        let mut action = fields.clone();
        action["action"] = "rings".into();
        let document = json!({ "job_id": "j", "type": "copies", "worker": "w", "payload": "p", "parameters": fields,
            "on_late": [{ "action": "no such", "target": "no" }, action] });
        assert_eq!(
            named(&document),
            [
                "payload p",
                "parameters.target a",
                "parameters.labels.X b",
                "parameters.sources[1].conn d",
                "on_late[1].target a",
                "on_late[1].labels.X b",
                "on_late[1].sources[1].conn d"
            ]
        );
    }

    #[test]
    fn connections_of_an_unknown_type_have_the_names_of_lava() {
        let document = json!({ "job_id": "j", "type": "docker", "worker": "w", "payload": "p",
            "parameters": { "conn_id": "a", "connections": { "X": "b", "Y": "{{ c }}" }, "target": "no" } });
        assert_eq!(named(&document), ["parameters.conn_id a", "parameters.connections.X b"]);
    }
}
