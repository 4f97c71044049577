//! Connections: by which jobs reach databases and hosts. Their documents name secrets and hold none.

use axum::response::Response;
use pumice_core::ids::ConnId;
use pumice_core::text::escaped;
use pumice_service::connections::{
    ConnectionName, DeleteConnection, ListConnections, TestConnection, delete as delete_connection, list,
    show as show_connection, test as test_connection,
};
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{counted, document, link};

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let found = list(ask.realm(), &ListConnections::default()).await?;
    let rows: Vec<Value> = found
        .iter()
        .map(|one| {
            json!({
        "id": escaped(one.conn_id.as_str()), "href": link("/connection", &[("id", one.conn_id.as_str())]),
        "type": escaped(&one.r#type), "is_enabled": one.enabled,
        "description": one.description.as_deref().map(escaped), "fault": one.fault })
        })
        .collect();
    let own = json!({ "summary": counted(rows.len(), "connection"), "rows": rows });
    let command = ask.words(&["connections", "list"]);
    render(&ask, "connections.html", Head::new("Connections", "connections", &command), own).await
}

fn named(id: &str) -> Result<ConnectionName, Fault> {
    let connection = ConnId::stored(id).map_err(|error| Fault::bad(error.to_string()))?;
    Ok(ConnectionName { connection })
}

/// The page of one connection.
pub(crate) async fn one(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?.to_owned();
    ask.app.refresh().await;
    let doc = show_connection(ask.realm(), &named(&id)?).await?;
    let own = json!({
        "id": id,
        "connection": escaped(&id),
        "type": doc.get("type").and_then(Value::as_str),
        "document": document(&Value::Object(doc)),
        "test_command": ask.words(&["connections", "test", &id]).line(),
        "delete_command": ask.words(&["connections", "delete", &id]).line(),
    });
    let command = ask.words(&["connections", "show", &id]);
    render(&ask, "connection.html", Head::new(format!("Connection {id}"), "connections", &command), own).await
}

/// Tests a connection: connects, and sends nothing.
pub(crate) async fn test(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let id = ask.form.need("id")?.to_owned();
    let target = ask.form.get("target").map(str::to_owned);
    let ConnectionName { connection } = named(&id)?;
    let tested = test_connection(ask.realm(), &TestConnection { connection, target, send: false }).await?;
    let word = if tested.works { "works" } else { "does not work" };
    let why = tested.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let notice = format!("connection {} {word}{why} (tried: {})", escaped(&id), tested.tried);
    ask.tell(tested.works, notice);
    Ok(see(&link("/connection", &[("id", &id)])))
}

/// Deletes a connection.
pub(crate) async fn delete(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let id = ask.form.need("id")?.to_owned();
    let ConnectionName { connection } = named(&id)?;
    let deleted =
        delete_connection(ask.realm(), &DeleteConnection { connection, if_match: None, dry_run: false })
            .await?;
    let users: Vec<String> = deleted.users.iter().map(|job| escaped(job.as_str()).into_owned()).collect();
    let named =
        if users.is_empty() { String::new() } else { format!("; it is still named by {}", users.join(", ")) };
    ask.tell(users.is_empty(), format!("connection {} deleted{named}", escaped(&id)));
    Ok(see("/connections"))
}
