//! `export`: everything that people have put into a realm, as files that `apply` takes back.

use pumice_core::ports::Doc;
use pumice_core::problem::JsonPath;
use pumice_core::secret::value_holds_secret;
use pumice_core::spec::take_mark;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file_names::file_names;
use super::plan::{DocumentKind, DocumentName};
use super::{Document, Documents, IdScope, Surroundings, read};
use crate::failure::Error;
use crate::realm::Realm;

/// A request for an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSpecs {
    /// Only what is within this scope; the realm's definition is not.
    #[serde(default)]
    pub scope: Option<IdScope>,
}

/// The documents of a realm, and the files that they belong into.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exported {
    /// The documents: the realm's definition, connections, jobs, triggers, each kind by id.
    pub documents: Vec<ExportedDocument>,
    /// Documents that are not among them, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Why `apply` would not take the documents as they are: they were put by other tools, or under earlier rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A document, and its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportedDocument {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// The path of its file, with `/` between folders.
    pub file: String,
    /// The document.
    pub document: Doc,
}

/// A document that is not exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// The document.
    #[serde(flatten)]
    pub name: DocumentName,
    /// Why.
    pub reason: String,
}

/// Gives the documents of a realm. Secrets are not among them: documents name them.
///
/// # Errors
/// [`Error`] when nothing is within the scope, or the realm cannot be read.
pub async fn export(realm: &dyn Realm, request: &ExportSpecs) -> Result<Exported, Error> {
    let scope = request.scope.as_ref();
    let takes = |id: &str| scope.is_none_or(|scope| scope.takes(id));
    let mut exported = Exported::default();
    if let (None, Some(document)) = (scope, realm.catalog().realm_document().await?) {
        let (id, file) = (realm.name().to_string(), "realm.json".to_owned());
        exported.add(ExportedDocument { kind: DocumentKind::Realm, id, file, document });
    }
    let connections = realm.connections().all_connections().await?;
    connections.iter().for_each(|(_, doc)| crate::connections::remember_secrets(doc));
    let connections = connections.into_iter().map(|(id, doc)| (id.to_string(), doc));
    exported.add_all(DocumentKind::Connection, "connections", connections.filter(|(id, _)| takes(id)));
    let jobs = realm.catalog().all_jobs().await?;
    let jobs = jobs.into_iter().map(|(id, doc)| (id.to_string(), doc));
    exported.add_all(DocumentKind::Job, "jobs", jobs.filter(|(id, _)| takes(id)));
    let triggers = realm.triggers().all_triggers().await?;
    let triggers = triggers.into_iter().map(|doc| {
        let id = doc.get("trigger_id").and_then(Value::as_str).unwrap_or_default();
        (id.to_owned(), doc)
    });
    exported.add_all(DocumentKind::Trigger, "triggers", triggers.filter(|(id, _)| takes(id)));
    if let (Some(scope), true) = (scope, exported.documents.is_empty() && exported.left_out.is_empty()) {
        return Err(Error::not_found(format!("the realm has nothing within scope {scope}")));
    }
    exported.refused = refused(realm, &exported.documents);
    Ok(exported)
}

impl Exported {
    fn add_all(&mut self, kind: DocumentKind, folder: &str, all: impl Iterator<Item = (String, Doc)>) {
        let all: Vec<(String, Doc)> = all.collect();
        let ids: Vec<&str> = all.iter().map(|(id, _)| id.as_str()).collect();
        let files = file_names(&ids);
        for ((id, document), file) in all.into_iter().zip(files) {
            self.add(ExportedDocument { kind, id, file: format!("{folder}/{file}"), document });
        }
    }

    /// Adds a document, unless it cannot be read or has a secret in the clear.
    fn add(&mut self, mut one: ExportedDocument) {
        take_mark(&mut one.document);
        let secret = one.document.iter().find(|(_, value)| value_holds_secret(value));
        let reason = match secret {
            _ if one.document.is_empty() => "what is stored is not a JSON object".to_owned(),
            None => return self.documents.push(one),
            Some((name, _)) => {
                let path = JsonPath::root().field(name);
                format!("{path} has the value of a secret, in the clear: name the secret there instead")
            }
        };
        self.left_out.push(LeftOut { name: DocumentName { kind: one.kind, id: one.id }, reason });
    }
}

/// Why these documents would not be taken as they are, if they would not.
fn refused(realm: &dyn Realm, documents: &[ExportedDocument]) -> Option<String> {
    let documents = documents.iter().map(|one| Document {
        file: one.file.clone(),
        path: String::new(),
        allowed: Vec::new(),
        document: Value::Object(one.document.clone()),
    });
    let documents = Documents { documents: documents.collect(), ..Documents::default() };
    let around = Surroundings { is_aws: realm.is_aws(), ..Surroundings::default() };
    read(documents, realm.registry(), realm.now(), &around).err().map(|error| error.message().to_owned())
}
