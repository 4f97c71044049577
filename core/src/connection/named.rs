//! The connections that a job names.

use serde_json::{Map, Value};

use crate::ids::ConnId;
use crate::problem::JsonPath;
use crate::spec::{ActionSpec, JobSpec};

/// The fields of actions that name a connection.
const OF_ACTIONS: [&str; 3] = ["email_conn", "slack_conn", "webhook_conn"];

/// The connections that a job's parameters and actions name, and where. Templates are not looked into.
#[must_use]
pub fn named_by(job: &JobSpec) -> Vec<(JsonPath, ConnId)> {
    let root = JsonPath::root();
    let parameters = job.fields.parameters.as_ref();
    let parameter = |name: &str| parameters.and_then(|parameters| parameters.get(name));
    let path = root.field("parameters");
    let mut named: Vec<(JsonPath, &Value)> = Vec::new();
    named.extend(parameter("conn_id").map(|id| (path.field("conn_id"), id)));
    let items = parameter("foreach").and_then(|foreach| foreach.get("conn_id"));
    named.extend(items.map(|id| (path.field("foreach").field("conn_id"), id)));
    let labelled = parameter("connections").and_then(Value::as_object);
    let below = path.field("connections");
    named.extend(labelled.into_iter().flatten().map(|(label, id)| (below.field(label), id)));
    let named = named.into_iter().filter_map(|(path, id)| Some((path, conn_id(id)?)));
    let actions = job.actions();
    let lists = [
        ("on_success", &actions.on_success),
        ("on_retry", &actions.on_retry),
        ("on_fail", &actions.on_fail),
        ("on_late", &actions.on_late),
    ];
    let of_actions = lists.into_iter().flat_map(|(name, list)| {
        let path = root.field(name);
        let list = list.iter().flatten().enumerate();
        list.flat_map(|(index, action)| of_action(action, &path.item(index))).collect::<Vec<_>>()
    });
    named.chain(of_actions).collect()
}

fn of_action(action: &ActionSpec, path: &JsonPath) -> Vec<(JsonPath, ConnId)> {
    let fields: Map<String, Value> = action.fields().as_object().cloned().unwrap_or_default();
    let named = OF_ACTIONS.iter().filter_map(|name| Some((path.field(name), conn_id(fields.get(*name)?)?)));
    named.collect()
}

fn conn_id(value: &Value) -> Option<ConnId> {
    let text = value.as_str().filter(|text| !text.contains("{{") && !text.contains("{%"))?;
    ConnId::new(text).ok()
}
