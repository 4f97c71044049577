//! The catalog of a realm (jobs, documents, state), in lava's tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;
use pumice_core::Timestamp;
use pumice_core::clock::{is_clock_changed, is_scheduled};
use pumice_core::ids::{JobId, StateId};
use pumice_core::ports::{
    Catalog, Clock, Doc, DocumentWrite, DocumentsWritten, JobChange, JobUpsert, ScheduleStore, StateItem,
    StoreError,
};
use pumice_core::spec::JobSpec;
use pumice_host::SystemClock;

use crate::attribute::{Item, as_kept, item, object, text};
use crate::failure::store_error;
use crate::state::read_state;
use crate::store::{Store, text_of};

impl Store {
    pub(crate) async fn put(&self, table: &str, what: &str, document: Doc) -> Result<(), StoreError> {
        let request = self.client.put_item().table_name(table).set_item(Some(item(document)));
        request.send().await.map(drop).map_err(|error| store_error(what, &error))
    }

    /// Deletes an item and returns whether it existed.
    pub(crate) async fn delete(&self, table: &str, key: Item) -> Result<bool, StoreError> {
        let request = self.client.delete_item().table_name(table).set_key(Some(key));
        let answer = request.return_values(ReturnValue::AllOld).send().await;
        answer
            .map(|answer| answer.attributes.is_some())
            .map_err(|error| store_error(&format!("deleting from table {table}"), &error))
    }
}

/// A job without a `dispatcher` that names none. It is the key of an index of lava's, and DynamoDB takes no
/// item in which such a key is empty or null (DynamoDB Developer Guide, Using Global Secondary Indexes).
pub(crate) fn indexable(mut document: Doc) -> Doc {
    if document.get("dispatcher").is_some_and(|it| it.is_null() || it == "") {
        document.remove("dispatcher");
    }
    document
}

impl Store {
    /// Has the clock look at every job that it starts, and at those that others may have started so far.
    pub(crate) async fn touch_scheduled(&self) -> Result<(), StoreError> {
        let known = ScheduleStore::all(self).await?.into_iter().map(|one| one.job_id);
        let scheduled = self.all_jobs().await?.into_iter().filter(|(_, job)| is_scheduled(job));
        let ids: BTreeSet<JobId> = known.chain(scheduled.map(|(job_id, _)| job_id)).collect();
        let ids: Vec<JobId> = ids.into_iter().collect();
        self.touch(&ids, SystemClock.now()).await
    }
}

#[async_trait]
impl Catalog for Store {
    async fn realm_document(&self) -> Result<Option<Doc>, StoreError> {
        let table = self.names.realms();
        let request = self.client.get_item().table_name(&table).set_key(Some(self.realm_key()));
        let answer = request.consistent_read(true).send().await;
        let answer = answer.map_err(|error| store_error(&format!("reading table {table}"), &error))?;
        Ok(answer.item.map(object))
    }

    async fn put_realm(&self, document: Doc) -> Result<(), StoreError> {
        let table = self.names.realms();
        let before = self.realm_document().await?.unwrap_or_default();
        let is_changed = is_clock_changed(&before, &document);
        self.put(&table, &format!("writing the realm to table {table}"), document).await?;
        self.forget_realm();
        if is_changed {
            self.touch_scheduled().await?;
        }
        Ok(())
    }

    async fn all_jobs(&self) -> Result<Vec<(JobId, Doc)>, StoreError> {
        let mut jobs: Vec<(JobId, Doc)> = self
            .scan(&self.names.jobs(), None)
            .await?
            .into_iter()
            .filter_map(|item| Some((JobId::stored(text_of(&item, "job_id")?).ok()?, object(item))))
            .collect();
        jobs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(jobs)
    }

    async fn put_jobs(&self, jobs: Vec<JobSpec>, dry_run: bool) -> Result<Vec<JobUpsert>, StoreError> {
        let table = self.names.jobs();
        let ids: Vec<JobId> = jobs.iter().map(|job| job.fields.job_id.clone()).collect();
        let mut there = self.job_items(&ids).await?;
        let (mut applied, mut unchanged) = (Vec::with_capacity(jobs.len()), Vec::new());
        for job in jobs {
            let (job_id, document) = (job.fields.job_id, indexable(Arc::unwrap_or_clone(job.document)));
            let before = there.remove(job_id.as_str()).map(object);
            let change = JobChange::between(before.as_ref(), &as_kept(document.clone()));
            if !dry_run && change != JobChange::Unchanged {
                let has_schedule = is_scheduled(&document) || before.as_ref().is_some_and(is_scheduled);
                self.put(&table, &format!("writing job {job_id} to table {table}"), document.clone()).await?;
                if has_schedule {
                    let edit = (before.as_ref(), Some(&document));
                    self.edit_timetable(&job_id, edit, SystemClock.now()).await?;
                }
            } else if !dry_run && is_scheduled(&document) {
                unchanged.push(job_id.clone());
            }
            applied.push(JobUpsert { job_id, change, before });
        }
        // Those that were there before anything acted on schedules.
        let known = ScheduleStore::load(self, &unchanged).await?;
        let unseen = unchanged.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|(id, _)| id);
        self.touch(&unseen.collect::<Vec<_>>(), SystemClock.now()).await?;
        Ok(applied)
    }

    async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<Vec<bool>, StoreError> {
        let table = self.names.jobs();
        let there = self.job_items(&ids).await?;
        let known = ids.iter().filter(|id| there.contains_key(id.as_str()));
        // Before the deletions: should one fail, the caller tries again. A caller that may only delete still deletes.
        if let Err(error) = self.remember_deleted(known, SystemClock.now()).await {
            tracing::warn!(%error, "lists show the runs of the deleted jobs only when their job is named");
        }
        let mut deleted = Vec::with_capacity(ids.len());
        for id in ids {
            let key = Item::from([("job_id".to_owned(), text(id.as_str()))]);
            deleted.push(self.delete(&table, key).await?);
            let before = there.get(id.as_str()).map(|job| object(job.clone()));
            if before.as_ref().is_some_and(is_scheduled) {
                self.edit_timetable(&id, (before.as_ref(), None), SystemClock.now()).await?;
            }
        }
        Ok(deleted)
    }

    async fn write_documents(&self, writes: Vec<DocumentWrite>) -> Result<DocumentsWritten, StoreError> {
        self.write_unchanged(writes).await
    }

    async fn all_state(&self, now: Timestamp) -> Result<Vec<StateItem>, StoreError> {
        let mut items = Vec::new();
        for item in self.scan(&self.names.state(), None).await? {
            // One item of another kind must not hide the others.
            match read_state(item, now) {
                Ok(item) => items.extend(item),
                Err(error) => tracing::warn!(%error, "a state item cannot be shown"),
            }
        }
        items.sort_by(|a, b| a.state_id.cmp(&b.state_id));
        Ok(items)
    }

    async fn change_state(&self, before: &StateItem, after: Option<StateItem>) -> Result<bool, StoreError> {
        self.change_item(before, after).await
    }

    async fn delete_state(&self, id: StateId) -> Result<bool, StoreError> {
        let key = Item::from([("state_id".to_owned(), text(id.as_str()))]);
        self.delete(&self.names.state(), key).await
    }
}
