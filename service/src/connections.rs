//! Connections: lists, shows, tests and deletes them.

use std::time::Instant;

use async_trait::async_trait;
use pumice_core::connection::{ConnectionSpec, Connections, OpenedConnection};
use pumice_core::filter::{ItemWord, Items};
use pumice_core::ids::{ConnId, JobId};
use pumice_core::job_type::Site;
use pumice_core::ports::{Doc, DocumentChange};
use pumice_core::problem::did_you_mean;
use pumice_core::secret::{MASK, remember};
use pumice_core::spec::{JobSpec, take_mark};
use pumice_core::text::{quoted, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::Act;
use crate::failure::Error;
use crate::if_match::{IfMatch, delete_if};
use crate::listed::{asked, enabled, in_use};
use crate::realm::Realm;
use crate::specs::FieldChange;

/// Which connections to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConnections {
    /// Only connections that these terms mean: `id:`, `type:`, `status:`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Connections in a list.
struct Listed;

impl Items for Listed {
    type Item = ConnectionShown;
    const NAME: &'static str = "connections";
    const WORDS: &'static [ItemWord<ConnectionShown>] = &[
        ItemWord::pattern("id", |one| vec![one.conn_id.as_str()]),
        ItemWord::whole("type", |one| vec![&*one.r#type]),
        ItemWord::one_of("status", in_use, |one| vec![enabled(one.enabled)]),
    ];
}

/// A connection in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionShown {
    /// Its id.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub conn_id: ConnId,
    /// Its type, as its document has it.
    pub r#type: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// Its purpose.
    pub description: Option<String>,
    /// The fault of its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionName {
    /// Its id.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub connection: ConnId,
}

/// Which connection to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteConnection {
    /// Its id.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub connection: ConnId,
    /// The state that is meant: refused when it is another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<IfMatch>,
    /// Show what would be deleted, and delete nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The outcome for a connection that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedConnection {
    /// The connection.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub conn_id: ConnId,
    /// The jobs that still name it.
    pub users: Vec<JobId>,
    /// Whether nothing was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Which connection to test, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestConnection {
    /// Its id.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub connection: ConnId,
    /// Where to connect to, for connections that name no place: `user@host` for SSH, a repository for git; and the recipient
    /// of an e-mail that is sent.
    #[serde(default)]
    pub target: Option<String>,
    /// Whether a message is sent or posted.
    #[serde(default)]
    pub send: bool,
}

/// A connection that was tested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestedConnection {
    /// Its id.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub conn_id: ConnId,
    /// Its type.
    pub r#type: String,
    /// Whether it works, as far as was tried.
    pub works: bool,
    /// The operation that was tried.
    pub tried: String,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The outcome of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The operation that was tried.
    pub tried: String,
    /// Why it failed, without secrets; `None` when it went well.
    pub failure: Option<String>,
}

/// Connects to what connections lead to.
#[async_trait]
pub trait Prober: Send + Sync {
    /// Tests a connection whose secrets are looked up, from where `site` is.
    async fn probe(&self, site: &Site, opened: &OpenedConnection, request: &TestConnection) -> Trial;
}

/// Looks up the secrets of a connection, and connects. A connection that fails is a response, not an error.
///
/// # Errors
/// [`Error`] when there is no such connection, or the store cannot be read.
pub async fn test(realm: &dyn Realm, request: &TestConnection) -> Result<TestedConnection, Error> {
    let id = &request.connection;
    let Some(document) = realm.connections().connection(id).await? else {
        return Err(no_such(realm, id).await?);
    };
    let site = realm.site().await?;
    let began = Instant::now();
    let connections = Connections { store: realm.connections(), secrets: &*site.ports.secrets };
    let (kind, trial) = match connections.open(id).await {
        Ok(opened) => (opened.r#type.to_owned(), realm.prober().probe(&site, &opened, request).await),
        Err(error) => {
            let tried = "its document and its secrets".to_owned();
            (listed(id.clone(), document).r#type, Trial { tried, failure: Some(error.to_string()) })
        }
    };
    let Trial { tried, failure } = trial;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(TestedConnection {
        conn_id: id.clone(),
        r#type: kind,
        works: failure.is_none(),
        tried,
        duration_ms,
        failure,
    })
}

fn listed(conn_id: ConnId, doc: Doc) -> ConnectionShown {
    let text = |name: &str| doc.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    ConnectionShown {
        r#type: text("type").unwrap_or_default(),
        enabled: doc.get("enabled").and_then(serde_json::Value::as_bool).unwrap_or(false),
        description: text("description"),
        fault: ConnectionSpec::stored(doc).err().map(|error| error.to_string()),
        conn_id,
    }
}

/// Lists connections, by id.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListConnections) -> Result<Vec<ConnectionShown>, Error> {
    let meant = asked::<Listed>(realm, request.filter.as_deref(), None).await?;
    let all = realm.connections().all_connections().await?;
    let all = all.into_iter().map(|(id, doc)| listed(id, doc));
    Ok(all.filter(|connection| meant.takes(connection)).collect())
}

/// The document of a connection. It names secrets, and holds none.
///
/// # Errors
/// [`Error`] when there is no such connection, or the store cannot be read.
pub async fn show(realm: &dyn Realm, request: &ConnectionName) -> Result<Doc, Error> {
    match realm.connections().connection(&request.connection).await? {
        Some(mut doc) => {
            take_mark(&mut doc);
            remember_secrets(&doc);
            Ok(doc)
        }
        None => Err(no_such(realm, &request.connection).await?),
    }
}

/// The field of a password.
const PASSWORD: &str = "password";

/// The fields of a connection's document that are secrets by themselves: they do not name one.
fn secrets_of(doc: &Doc) -> impl Iterator<Item = &str> {
    let of_web =
        doc.get("type").and_then(Value::as_str).is_some_and(|kind| ["slack", "webhook"].contains(&kind));
    let is_secret = move |name: &str| name == PASSWORD || (of_web && ["webhook_url", "url"].contains(&name));
    let is_name = |value: &Value| value.as_str().is_none_or(|text| text.starts_with('/'));
    doc.iter().filter(move |(name, value)| is_secret(name) && !is_name(value)).map(|(name, _)| name.as_str())
}

/// Has the URLs of a connection masked from now on that are secrets by themselves. A password that stands in the document is
/// there for all to see, and said so when it is applied.
pub(crate) fn remember_secrets(doc: &Doc) {
    for name in secrets_of(doc).filter(|name| *name != PASSWORD) {
        if let Some(url) = doc.get(name).and_then(Value::as_str) {
            remember(url);
        }
    }
}

/// The fields in which a connection's document differs from another, with secrets masked.
pub(crate) fn differences(before: &Doc, after: &Doc) -> Vec<FieldChange> {
    masked(crate::specs::differences(before, after), before, after)
}

/// Differences of a connection's documents with secrets masked: that one changed shows, and not into what.
pub(crate) fn masked(mut changes: Vec<FieldChange>, before: &Doc, after: &Doc) -> Vec<FieldChange> {
    for change in &mut changes {
        let field = change.field.trim_start_matches('.');
        for (value, doc) in [(&mut change.before, before), (&mut change.after, after)] {
            if value.is_some() && secrets_of(doc).any(|name| name == field) {
                *value = Some(MASK.into());
            }
        }
    }
    changes
}

async fn no_such(realm: &dyn Realm, id: &ConnId) -> Result<Error, Error> {
    let all = realm.connections().all_connections().await?;
    let hint = did_you_mean(id.as_str(), all.iter().map(|(id, _)| id.as_str()));
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    Ok(Error::not_found(format!("no such connection {}{hint}", shown(id.as_str()))))
}

/// Deletes a connection.
///
/// # Errors
/// [`Error`] when there is no such connection, or the store cannot be reached.
pub async fn delete(realm: &dyn Realm, request: &DeleteConnection) -> Result<DeletedConnection, Error> {
    let act =
        Act::new("connections delete", request).on("connection", [&request.connection]).dry(request.dry_run);
    act.record(realm, deleting(realm, request, &act)).await
}

async fn deleting(
    realm: &dyn Realm,
    request: &DeleteConnection,
    act: &Act,
) -> Result<DeletedConnection, Error> {
    let id = &request.connection;
    let before = match &request.if_match {
        None => {
            // A policy may allow to delete connections and not to read them.
            let before = realm.connections().connection(id).await.ok().flatten();
            let is_there = match request.dry_run {
                true => before.is_some(),
                false => realm.connections().delete_connection(id).await?,
            };
            if !is_there {
                return Err(no_such(realm, id).await?);
            }
            before
        }
        Some(if_match) => {
            let before = realm.connections().connection(id).await?;
            let change = before.is_some().then(|| DocumentChange::DeleteConnection(id.clone()));
            let about = format!("connection {}", quoted(id.as_str()));
            delete_if(realm, (&about, if_match), change, before.as_ref(), request.dry_run).await?;
            before
        }
    };
    act.changed("connection", id.as_str(), before.as_ref(), None);
    // A policy may allow to delete connections and not to list jobs.
    let jobs = realm.catalog().all_jobs().await.unwrap_or_default();
    let uses = |(job_id, doc)| {
        let job = JobSpec::from_checked(std::sync::Arc::new(doc)).ok()?;
        realm.registry().connections_of(&job).iter().any(|(_, named)| named == id).then_some(job_id)
    };
    let users = jobs.into_iter().filter_map(uses).collect();
    Ok(DeletedConnection { conn_id: id.clone(), users, dry_run: request.dry_run })
}
