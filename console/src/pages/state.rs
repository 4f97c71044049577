//! State: small named values that outlive runs.

use axum::response::Response;
use pumice_core::document::parse_json;
use pumice_core::duration::Span;
use pumice_core::ids::StateId;
use pumice_core::ports::StateType;
use pumice_core::secret::is_marked;
use pumice_core::text::escaped;
use pumice_service::state::{
    DeleteState, ListState, PutState, delete as delete_state, list, put as put_state,
};
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{counted, document};

/// The fields of the form that puts an item, with their labels.
const FIELDS: [(&str, &str); 3] =
    [("id", "Item"), ("value", "Value (JSON, else taken as a text)"), ("ttl", "Lives (7d)")];
/// Most items of a page.
const SHOWN: usize = 200;
/// Most characters of a value in the list.
const MAX_VALUE: usize = 200;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    ask.app.refresh().await;
    let found = list(ask.realm(), ListState::default()).await?;
    let rows: Vec<Value> = found.iter().take(SHOWN).map(|item| {
        // Encrypted values are not for a list.
        let value = match item.r#type {
            StateType::Secure => "*****".to_owned(),
            StateType::Json | StateType::Raw => document(&item.value).text,
        };
        let cut = value.char_indices().nth(MAX_VALUE).map(|(end, _)| end);
        json!({
            "id": item.state_id.as_str(), "item": escaped(item.state_id.as_str()),
            "type": item.r#type, "value": cut.map_or(value.as_str(), |end| &value[..end]), "is_cut": cut.is_some(),
            "publisher": item.publisher.as_deref().map(escaped), "put": clock.moment(item.timestamp.0),
            "expires": clock.moment(item.expires.0),
            "command": ask.words(&["state", "get", item.state_id.as_str()]).line(),
        })
    }).collect();
    let own = json!({
        "summary": counted(found.len(), "item"),
        "rows": rows,
        "more": found.len().saturating_sub(SHOWN),
    });
    let command = ask.words(&["state", "list"]);
    render(&ask, "state.html", Head::new("State", "state", &command), own).await
}

/// Puts an item, whole.
pub(crate) async fn put(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let answer = putting(&ask).await;
    let answer = ask.kept(answer, &FIELDS);
    let is_secret = ask.form.get("kind") == Some("secure") || ask.form.get("id").is_some_and(is_marked);
    if is_secret { answer.map_err(|fault| fault.without("value")) } else { answer }
}

async fn putting(ask: &Ask) -> Result<Response, Fault> {
    let id: StateId = ask
        .form
        .need("id")?
        .parse()
        .map_err(|error: pumice_core::ids::BadName| Fault::bad(error.to_string()))?;
    let typed = ask.form.typed("value").unwrap_or_default();
    let text = &*typed;
    let ttl = ask.form.get("ttl").map(Span::parse).transpose();
    let ttl = ttl.map_err(|error| Fault::bad(format!("ttl: {error}")))?;
    // JSON, else taken as a text, as the command does.
    let value = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => parse_json(text).map_err(|error| Fault::bad(format!("value: {error}")))?,
        Err(_) => Value::String(text.to_owned()),
    };
    let (raw, secure) = (ask.form.get("kind") == Some("raw"), ask.form.get("kind") == Some("secure"));
    let publisher = Some(ask.caller.name.clone());
    let request =
        PutState { id: id.clone(), value, ttl, raw, secure, publisher, if_match: None, dry_run: false };
    put_state(ask.realm(), request).await?;
    ask.tell(true, format!("state item {} put", escaped(id.as_str())));
    Ok(see("/state"))
}

/// Deletes an item.
pub(crate) async fn delete(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let id = StateId::stored(ask.form.need("id")?).map_err(|error| Fault::bad(error.to_string()))?;
    let deleted =
        delete_state(ask.realm(), DeleteState { ids: vec![id.clone()], if_match: None, dry_run: false })
            .await?;
    let is_gone = deleted.items.iter().any(|item| item.deleted);
    let word = if is_gone { "deleted" } else { "was not there" };
    ask.tell(is_gone, format!("state item {} {word}", escaped(id.as_str())));
    Ok(see("/state"))
}
