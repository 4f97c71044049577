//! Secrets: their names. No page, like no function, gives a secret back.

use axum::response::Response;
use pumice_core::ids::SecretName;
use pumice_core::secret::SecretText;
use pumice_service::secrets::{
    ListSecrets, SecretOf, SecretValue, SetSecret, delete as delete_secret, list, set as set_secret,
};
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::counted;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let has_vault = ask.realm().vault().is_some();
    let found = if has_vault { list(ask.realm(), &ListSecrets::default()).await? } else { Vec::new() };
    let rows: Vec<Value> = found
        .iter()
        .map(|one| json!({ "name": one.name.as_str(), "updated": clock.moment(one.updated.0) }))
        .collect();
    let own = json!({ "summary": counted(rows.len(), "secret"), "rows": rows, "has_vault": has_vault });
    let command = ask.words(&["secrets", "list"]);
    render(&ask, "secrets.html", Head::new("Secrets", "secrets", &command), own).await
}

fn name(ask: &Ask) -> Result<SecretName, Fault> {
    ask.form.need("name")?.parse().map_err(|error: pumice_core::ids::BadName| Fault::bad(error.to_string()))
}

/// Sets a secret.
pub(crate) async fn set(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let name = name(&ask)?;
    if !ask.form.is_there("value") {
        return Err(Fault::bad("the field value is missing"));
    }
    // Blanks at its ends are part of it.
    let value = ask.form.typed("value").unwrap_or_default().into_owned();
    let request =
        SetSecret { name: name.clone(), value: Some(SecretValue(SecretText::new(value))), dry_run: false };
    let set = set_secret(ask.realm(), request).await?;
    ask.tell(true, format!("secret {name} {}", if set.replaced { "replaced" } else { "set" }));
    Ok(see("/secrets"))
}

/// Deletes a secret.
pub(crate) async fn delete(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let name = name(&ask)?;
    delete_secret(ask.realm(), &SecretOf { name: name.clone(), dry_run: false }).await?;
    ask.tell(true, format!("secret {name} deleted"));
    Ok(see("/secrets"))
}
