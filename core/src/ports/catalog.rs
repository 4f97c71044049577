//! Operations on a realm's documents.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{DocumentWrite, DocumentsWritten, StateItem, StoreError};
use crate::Timestamp;
use crate::ids::{JobId, StateId};
use crate::spec::JobSpec;

/// A JSON object: a job's or a realm's document as it is stored.
pub type Doc = Map<String, Value>;

/// The effect of putting a job, real or in a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// It was not there.
    Added,
    /// It was there and is different now.
    Updated,
    /// It was there, the same.
    Unchanged,
}

impl JobChange {
    /// The change from the document before, if any, to this one.
    #[must_use]
    pub fn between(before: Option<&Doc>, after: &Doc) -> Self {
        match before {
            None => Self::Added,
            Some(before) if before == after => Self::Unchanged,
            Some(_) => Self::Updated,
        }
    }
}

/// One job that was put: its id, what changed, and the document that was there before.
#[derive(Clone, Debug)]
pub struct JobUpsert {
    /// The job.
    pub job_id: JobId,
    /// The change.
    pub change: JobChange,
    /// The document that was there before.
    pub before: Option<Doc>,
}

/// A realm's definition, jobs and state items, as people put, show and remove them. The engine does not use it.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The realm's document, when there is one.
    async fn realm_document(&self) -> Result<Option<Doc>, StoreError>;
    /// Puts the realm's document.
    async fn put_realm(&self, document: Doc) -> Result<(), StoreError>;
    /// Every job's document, by id.
    async fn all_jobs(&self) -> Result<Vec<(JobId, Doc)>, StoreError>;
    /// Puts jobs; returns the changes. Nothing is written on a `dry_run`.
    async fn put_jobs(&self, jobs: Vec<JobSpec>, dry_run: bool) -> Result<Vec<JobUpsert>, StoreError>;
    /// Removes jobs; returns which were there. Runs that were dispatched keep what they use.
    async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<Vec<bool>, StoreError>;
    /// Writes and removes documents in their order, each on the condition that the store has it as it was read. A store
    /// with transactions writes all or none; another looks at all first, and stops at the one that changes meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn write_documents(&self, writes: Vec<DocumentWrite>) -> Result<DocumentsWritten, StoreError>;
    /// Every state item that has not expired, by id.
    async fn all_state(&self, now: Timestamp) -> Result<Vec<StateItem>, StoreError>;
    /// Puts a state item in place of one that was read, or removes that, on the condition that the store has it as it was read;
    /// says whether it did.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or cannot keep the item.
    async fn change_state(&self, before: &StateItem, after: Option<StateItem>) -> Result<bool, StoreError>;
    /// Removes a state item; returns whether it was there.
    async fn delete_state(&self, id: StateId) -> Result<bool, StoreError>;
}
