//! The realm's definition, and where the realm stands.

use axum::response::Response;
use pumice_service::specs::{ShowRealm, show_realm};
use serde_json::{Value, json};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{about, document};

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let found = show_realm(ask.realm(), &ShowRealm {}).await?;
    let served = match found.is_served {
        None => "unknown",
        Some(true) => "yes",
        Some(false) => "no",
    };
    let facts = vec![
        about("Realm", found.realm.as_str()),
        about("Zone", found.zone),
        about("Kept", if found.is_aws { "on AWS" } else { "in a folder" }),
        about("Served", served),
    ];
    let own = json!({
        "facts": facts,
        "definition": found.definition.map(|definition| document(&Value::Object(definition))),
    });
    let head = Head::new("Realm", "realm", &ask.words(&["realm", "show"]));
    render(&ask, "realm.html", head, own).await
}
