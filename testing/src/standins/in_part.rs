//! Calls that a stand-in answers in part, and calls that report their cost.

use serde_json::{Value, json};

use super::{Message, forward};

/// Hands on a part of a batch, and reports the rest as AWS does when it did not get to it.
pub(super) fn served(request: &Message, server: u16) -> std::io::Result<Message> {
    let mut asked = request.json();
    let (field, left) = match asked.get_mut("Entries").and_then(Value::as_array_mut) {
        Some(entries) => {
            let first = entries.remove(0);
            let failed = json!({ "Id": first["Id"], "SenderFault": false, "Code": "InternalError", "Message": "made by a test" });
            ("Failed", json!([failed]))
        }
        None => ("UnprocessedKeys", keep_one(&mut asked["RequestItems"])),
    };
    let answer = forward(server, &request.with_body(&asked))?;
    let mut told = answer.json();
    told[field] = left;
    Ok(answer.with_body(&told))
}

/// Leaves one key of all that are asked for, and gives the others.
fn keep_one(tables: &mut Value) -> Value {
    let mut left = json!({});
    let mut kept = 0;
    for (table, asked) in tables.as_object_mut().into_iter().flatten() {
        let keys = asked["Keys"].as_array().cloned().unwrap_or_default();
        let (own, others) = keys.split_at((1 - kept).min(keys.len()));
        kept += own.len();
        if !others.is_empty() {
            left[table] = asked.clone();
            left[table]["Keys"] = json!(others);
        }
        asked["Keys"] = json!(own);
    }
    if let Some(tables) = tables.as_object_mut() {
        tables.retain(|_, asked| asked["Keys"] != json!([]));
    }
    left
}

/// Hands a write on, and reports how many units DynamoDB says that it took.
pub(super) fn counted(request: &Message, server: u16, tell: impl FnOnce(f64)) -> std::io::Result<Message> {
    let mut asked = request.json();
    asked["ReturnConsumedCapacity"] = json!("TOTAL");
    let answer = forward(server, &request.with_body(&asked))?;
    let consumed = &answer.json()["ConsumedCapacity"];
    let of = |one: &Value| one["CapacityUnits"].as_f64().unwrap_or_default();
    tell(consumed.as_array().map_or_else(|| of(consumed), |tables| tables.iter().map(of).sum()));
    Ok(answer)
}

/// How many items a call asks DynamoDB for by their keys.
pub(super) fn items_asked_for(action: &str, request: &Message) -> usize {
    match action {
        "GetItem" => 1,
        "BatchGetItem" => {
            let asked = request.json();
            let tables = asked["RequestItems"].as_object().into_iter().flat_map(|tables| tables.values());
            tables.filter_map(|table| table["Keys"].as_array()).map(Vec::len).sum()
        }
        _ => 0,
    }
}
