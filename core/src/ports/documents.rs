//! Documents that are written on the condition that the store still has what was read.

use super::Doc;
use crate::connection::ConnectionSpec;
use crate::ids::{ConnId, JobId, TriggerId};
use crate::spec::{JobSpec, RealmSpec};
use crate::text::quoted;
use crate::trigger::TriggerSpec;

/// A write or a removal of one document.
#[derive(Clone, Debug)]
pub enum DocumentChange {
    /// Puts a job.
    PutJob(Box<JobSpec>),
    /// Puts a trigger.
    PutTrigger(Box<TriggerSpec>),
    /// Puts a connection.
    PutConnection(Box<ConnectionSpec>),
    /// Removes a job.
    DeleteJob(JobId),
    /// Removes a trigger.
    DeleteTrigger(TriggerId),
    /// Removes a connection.
    DeleteConnection(ConnId),
    /// Puts the realm's definition.
    PutRealm(Box<RealmSpec>),
}

impl DocumentChange {
    /// The document in words, as in `job "etl/load"`.
    #[must_use]
    pub fn about(&self) -> String {
        let (kind, id) = match self {
            Self::PutJob(job) => ("job", job.fields.job_id.as_str()),
            Self::DeleteJob(id) => ("job", id.as_str()),
            Self::PutTrigger(trigger) => ("trigger", trigger.fields.trigger_id.as_str()),
            Self::DeleteTrigger(id) => ("trigger", id.as_str()),
            Self::PutConnection(spec) => ("connection", spec.conn_id.as_str()),
            Self::DeleteConnection(id) => ("connection", id.as_str()),
            Self::PutRealm(spec) => ("realm", spec.fields.realm.as_str()),
        };
        format!("{kind} {}", quoted(id))
    }
}

/// A change of a document, on the condition that the store has it as it was read.
#[derive(Clone, Debug)]
pub struct DocumentWrite {
    /// The write or the removal.
    pub change: DocumentChange,
    /// The document as it was read; `None` when there was none.
    pub before: Option<Doc>,
}

/// The outcome of conditional writes of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentsWritten {
    /// How many were written: all, unless one had changed. A store with transactions then writes none.
    pub written: usize,
    /// The document that had changed since it was read, in words.
    pub moved: Option<String>,
}
