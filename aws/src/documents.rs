//! Writes of documents on the condition that their items are as they were read.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use pumice_core::Timestamp;
use pumice_core::clock::{is_clock_changed, is_scheduled};
use pumice_core::ids::JobId;
use pumice_core::ports::{
    Clock, Doc, DocumentChange, DocumentWrite, DocumentsWritten, StateItem, StoreError,
};
use pumice_host::SystemClock;

use crate::attribute::{Item, as_kept, item, object, text};
use crate::catalog::indexable;
use crate::failure::store_error;
use crate::state::{read_state, refuse_secure, state_item};
use crate::store::{REFUSED, Store};
use crate::triggers;

/// Most attributes that a condition compares: DynamoDB takes 300 operators in an expression (Developer Guide, Service
/// Quotas, Expression parameters).
const MAX_COMPARED: usize = 140;

/// The key of the table of connections.
const CONNECTION: &str = "conn_id";
/// The key of the table of realms.
const REALM: &str = "realm";

/// Whether a conditional write was carried out; not where its condition refused it.
fn is_written<T, E, R>(what: &str, sent: Result<T, SdkError<E, R>>) -> Result<bool, StoreError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let Err(error) = sent else { return Ok(true) };
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(REFUSED) => Ok(false),
        _ => Err(store_error(what, &error)),
    }
}

/// Where the item of a document is.
struct Place {
    table: String,
    /// The attribute that is its key.
    key: &'static str,
    id: String,
}

impl Place {
    fn item(&self) -> Item {
        Item::from([(self.key.to_owned(), text(&self.id))])
    }
}

/// That an item is as it was read: its attributes, as many as fit.
struct Unchanged {
    expression: String,
    names: HashMap<String, String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Unchanged {
    fn new(key: &str, before: Option<&Item>) -> Self {
        let Some(before) = before else {
            let names = HashMap::from([("#key".to_owned(), key.to_owned())]);
            return Self { expression: "attribute_not_exists(#key)".to_owned(), names, values: None };
        };
        let (mut terms, mut names, mut values) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut attributes: Vec<(&String, &AttributeValue)> = before.iter().collect();
        attributes.sort_by_key(|(name, _)| *name);
        for (number, (name, value)) in attributes.into_iter().take(MAX_COMPARED).enumerate() {
            terms.push(format!("#a{number} = :a{number}"));
            names.insert(format!("#a{number}"), name.clone());
            values.insert(format!(":a{number}"), value.clone());
        }
        Self { expression: terms.join(" AND "), names, values: Some(values) }
    }
}

impl Store {
    fn place_of(&self, change: &DocumentChange) -> Place {
        let (table, key, id) = match change {
            DocumentChange::PutJob(job) => (self.names.jobs(), "job_id", job.fields.job_id.as_str()),
            DocumentChange::DeleteJob(id) => (self.names.jobs(), "job_id", id.as_str()),
            DocumentChange::PutTrigger(trigger) => {
                (self.names.triggers(), "trigger_id", trigger.fields.trigger_id.as_str())
            }
            DocumentChange::DeleteTrigger(id) => (self.names.triggers(), "trigger_id", id.as_str()),
            DocumentChange::PutConnection(spec) => {
                (self.names.connections(), CONNECTION, spec.conn_id.as_str())
            }
            DocumentChange::DeleteConnection(id) => (self.names.connections(), CONNECTION, id.as_str()),
            DocumentChange::PutRealm(spec) => (self.names.realms(), REALM, spec.fields.realm.as_str()),
        };
        Place { table, key, id: id.to_owned() }
    }

    /// Writes documents as [`Catalog`](pumice_core::ports::Catalog) says: all are looked at first.
    pub(crate) async fn write_unchanged(
        &self,
        writes: Vec<DocumentWrite>,
    ) -> Result<DocumentsWritten, StoreError> {
        let mut found = Vec::with_capacity(writes.len());
        for DocumentWrite { change, before } in &writes {
            let place = self.place_of(change);
            let there = self.there(&change.about(), &place).await?;
            if there.clone().map(object) != *before {
                return Ok(DocumentsWritten { written: 0, moved: Some(change.about()) });
            }
            found.push((place, there));
        }
        let mut done = DocumentsWritten::default();
        for (DocumentWrite { change, before }, (place, there)) in writes.into_iter().zip(found) {
            let about = change.about();
            if !self.write_one(change, before.as_ref(), &place, there.as_ref()).await? {
                done.moved = Some(about);
                break;
            }
            done.written += 1;
        }
        self.forget_triggers();
        Ok(done)
    }

    /// Writes a document unless its item is another by now; says whether it did.
    async fn write_one(
        &self,
        change: DocumentChange,
        before: Option<&Doc>,
        place: &Place,
        there: Option<&Item>,
    ) -> Result<bool, StoreError> {
        let about = change.about();
        let had_schedule = before.is_some_and(is_scheduled);
        let (document, job_id): (Option<Doc>, Option<JobId>) = match change {
            DocumentChange::PutJob(job) => {
                (Some(indexable(Arc::unwrap_or_clone(job.document))), Some(job.fields.job_id))
            }
            DocumentChange::PutTrigger(trigger) => {
                (Some(triggers::indexable(Arc::unwrap_or_clone(trigger.document))), None)
            }
            DocumentChange::PutConnection(spec) => (Some(Doc::clone(&spec.document)), None),
            DocumentChange::PutRealm(spec) => (Some(Doc::clone(&spec.document)), None),
            DocumentChange::DeleteJob(id) => {
                // First: should deleting fail, it is tried again.
                if let Err(error) = self.remember_deleted(std::iter::once(&id), SystemClock.now()).await {
                    tracing::warn!(%error, "lists show the runs of the deleted job only when it is named");
                }
                (None, Some(id))
            }
            DocumentChange::DeleteTrigger(_) | DocumentChange::DeleteConnection(_) => (None, None),
        };
        let has_schedule = document.as_ref().is_some_and(is_scheduled);
        let (none, is_realm) = (Doc::new(), place.key == REALM);
        let moves_all = is_realm
            && document.as_ref().is_some_and(|after| is_clock_changed(before.unwrap_or(&none), after));
        let unchanged = Unchanged::new(place.key, there);
        let mut after = None;
        let written = match document {
            Some(document) => {
                after = job_id.is_some().then(|| document.clone());
                self.put_unchanged(&about, place, document, unchanged).await?
            }
            None => self.delete_unchanged(&about, place, unchanged).await?,
        };
        if let Some(id) = job_id.filter(|_| written && (had_schedule || has_schedule)) {
            self.edit_timetable(&id, (before, after.as_ref()), SystemClock.now()).await?;
        }
        if written && is_realm {
            self.forget_realm();
        }
        if written && moves_all {
            self.touch_scheduled().await?;
        }
        Ok(written)
    }

    /// As [`Catalog::change_state`](pumice_core::ports::Catalog::change_state).
    pub(crate) async fn change_item(
        &self,
        before: &StateItem,
        after: Option<StateItem>,
    ) -> Result<bool, StoreError> {
        let id = before.state_id.as_str().to_owned();
        let about = format!("state item {id}");
        let place = Place { table: self.names.state(), key: "state_id", id };
        let Some(there) = self.there(&about, &place).await? else { return Ok(false) };
        // One that has expired since it was read is what it was.
        if read_state(there.clone(), Timestamp::UNIX_EPOCH)?.as_ref() != Some(before) {
            return Ok(false);
        }
        let unchanged = Unchanged::new(place.key, Some(&there));
        match after {
            Some(after) => {
                refuse_secure(&after, &format!("writing {about} to table {}", place.table))?;
                self.put_unchanged(&about, &place, object(state_item(after)), unchanged).await
            }
            None => self.delete_unchanged(&about, &place, unchanged).await,
        }
    }

    async fn put_unchanged(
        &self,
        about: &str,
        place: &Place,
        document: Doc,
        unchanged: Unchanged,
    ) -> Result<bool, StoreError> {
        let Unchanged { expression, names, values } = unchanged;
        let wanted = as_kept(document.clone());
        let request = self.client.put_item().table_name(&place.table).set_item(Some(item(document)));
        let request = request.condition_expression(expression).set_expression_attribute_names(Some(names));
        let sent = request.set_expression_attribute_values(values).send().await;
        if is_written(&format!("writing {about} to table {}", place.table), sent)? {
            return Ok(true);
        }
        // A write that was repeated after a lost answer finds itself.
        Ok(self.there(about, place).await?.map(object) == Some(wanted))
    }

    async fn delete_unchanged(
        &self,
        about: &str,
        place: &Place,
        unchanged: Unchanged,
    ) -> Result<bool, StoreError> {
        let Unchanged { expression, names, values } = unchanged;
        let request = self.client.delete_item().table_name(&place.table).set_key(Some(place.item()));
        let request = request.condition_expression(expression).set_expression_attribute_names(Some(names));
        let sent = request.set_expression_attribute_values(values).send().await;
        if is_written(&format!("deleting {about} from table {}", place.table), sent)? {
            return Ok(true);
        }
        Ok(self.there(about, place).await?.is_none())
    }

    /// The item of a document as it is now. Policies of people allow batches of jobs, triggers and state items, and single
    /// connections and realms.
    async fn there(&self, about: &str, place: &Place) -> Result<Option<Item>, StoreError> {
        let what = format!("reading {about} from table {}", place.table);
        if place.key != CONNECTION && place.key != REALM {
            let mut found = self.get_all(&what, vec![(place.table.clone(), place.item())]).await?;
            return Ok(found.pop().map(|(_, item)| item));
        }
        let request = self.client.get_item().table_name(&place.table).set_key(Some(place.item()));
        let answer = request.consistent_read(true).send().await;
        Ok(answer.map_err(|error| store_error(&what, &error))?.item)
    }
}
