//! The catalog of a realm's documents, in SQLite.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::clock::{is_clock_changed, is_scheduled};
use pumice_core::ids::{JobId, StateId};
use pumice_core::ports::{
    Catalog, Clock, Doc, DocumentChange, DocumentWrite, DocumentsWritten, JobChange, JobUpsert, StateItem,
    StateType, StoreError,
};
use pumice_core::secret::MASK;
use pumice_core::spec::JobSpec;
use pumice_host::SystemClock;
use rusqlite::{Connection, params};

use crate::connections::{delete_connection, put_connection, stored_connection};
use crate::database::Database;
use crate::jobs::{job_text, parse, realm_text, stored_id};
use crate::schedules::{edit, touch_all};
use crate::state::{COLUMNS, item};
use crate::stored::broken;
use crate::triggers::{delete_trigger, put_trigger, stored_trigger};

fn put_job(connection: &Connection, job: JobSpec, dry_run: bool) -> Result<JobUpsert, rusqlite::Error> {
    let job_id = job.fields.job_id;
    let before = job_text(connection, &job_id)?.map(|text| parse(&text));
    let change = JobChange::between(before.as_ref(), &job.document);
    if !dry_run && change != JobChange::Unchanged {
        let text = serde_json::to_string(&job.document).map_err(broken)?;
        connection.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?)", params![job_id.as_str(), text])?;
        if is_scheduled(&job.document) || before.as_ref().is_some_and(is_scheduled) {
            edit(connection, &job_id, (before.as_ref(), Some(&job.document)), SystemClock.now())?;
        }
    }
    Ok(JobUpsert { job_id, change, before })
}

fn delete_job(connection: &Connection, id: &JobId) -> Result<bool, rusqlite::Error> {
    // The next look at the clock withdraws what was made ahead of its time.
    let before = job_text(connection, id)?.map(|text| parse(&text));
    edit(connection, id, (before.as_ref(), None), SystemClock.now())?;
    let mut statement = connection.prepare_cached("DELETE FROM jobs WHERE job_id = ?")?;
    statement.execute([id.as_str()]).map(|count| count > 0)
}

fn put_realm(connection: &Connection, document: &Doc) -> Result<(), rusqlite::Error> {
    let before = realm_text(connection)?.map(|text| parse(&text)).unwrap_or_default();
    let text = serde_json::to_string(document).map_err(broken)?;
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('realm', ?)", [&text])?;
    if is_clock_changed(&before, document) {
        touch_all(connection, SystemClock.now())?;
    }
    Ok(())
}

/// The document that a change is about, as it is stored.
fn stored(connection: &Connection, change: &DocumentChange) -> Result<Option<Doc>, rusqlite::Error> {
    let text = match change {
        DocumentChange::PutJob(job) => job_text(connection, &job.fields.job_id),
        DocumentChange::DeleteJob(id) => job_text(connection, id),
        DocumentChange::PutTrigger(trigger) => stored_trigger(connection, &trigger.fields.trigger_id),
        DocumentChange::DeleteTrigger(id) => stored_trigger(connection, id),
        DocumentChange::PutConnection(spec) => stored_connection(connection, &spec.conn_id),
        DocumentChange::DeleteConnection(id) => stored_connection(connection, id),
        DocumentChange::PutRealm(_) => realm_text(connection),
    };
    Ok(text?.map(|text| parse(&text)))
}

fn write(connection: &Connection, change: DocumentChange) -> Result<(), rusqlite::Error> {
    match change {
        DocumentChange::PutJob(job) => put_job(connection, *job, false).map(drop),
        DocumentChange::DeleteJob(id) => delete_job(connection, &id).map(drop),
        DocumentChange::PutTrigger(trigger) => put_trigger(connection, *trigger, false).map(drop),
        DocumentChange::DeleteTrigger(id) => delete_trigger(connection, &id).map(drop),
        DocumentChange::PutConnection(spec) => put_connection(connection, *spec, false).map(drop),
        DocumentChange::DeleteConnection(id) => delete_connection(connection, &id).map(drop),
        DocumentChange::PutRealm(spec) => put_realm(connection, &spec.document),
    }
}

/// An item as a list has it: without a value that is secret.
fn hidden(item: StateItem) -> StateItem {
    match item.r#type {
        StateType::Secure => StateItem { value: MASK.into(), ..item },
        _ => item,
    }
}

#[async_trait]
impl Catalog for Database {
    async fn put_jobs(&self, jobs: Vec<JobSpec>, dry_run: bool) -> Result<Vec<JobUpsert>, StoreError> {
        let put = move |connection: &Connection| {
            let mut applied = Vec::with_capacity(jobs.len());
            for job in jobs {
                applied.push(put_job(connection, job, dry_run)?);
            }
            Ok(applied)
        };
        if dry_run {
            return self.read(put).await;
        }
        let applied = self.run(put).await?;
        self.forget();
        Ok(applied)
    }

    async fn all_jobs(&self) -> Result<Vec<(JobId, Doc)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT job_id, spec FROM jobs ORDER BY job_id")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(rows.into_iter().filter_map(|(id, spec)| Some((stored_id(id)?, parse(&spec)))).collect())
        })
        .await
    }

    async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<Vec<bool>, StoreError> {
        let deleted =
            self.run(move |connection| ids.iter().map(|id| delete_job(connection, id)).collect()).await;
        self.forget();
        deleted
    }

    async fn write_documents(&self, writes: Vec<DocumentWrite>) -> Result<DocumentsWritten, StoreError> {
        let written = self
            .run(move |connection| {
                for DocumentWrite { change, before } in &writes {
                    if stored(connection, change)? != *before {
                        return Ok(DocumentsWritten { written: 0, moved: Some(change.about()) });
                    }
                }
                let count = writes.len();
                for one in writes {
                    write(connection, one.change)?;
                }
                Ok(DocumentsWritten { written: count, moved: None })
            })
            .await;
        self.forget();
        written
    }

    async fn put_realm(&self, document: Doc) -> Result<(), StoreError> {
        self.run(move |connection| put_realm(connection, &document)).await?;
        self.forget();
        Ok(())
    }

    async fn realm_document(&self) -> Result<Option<Doc>, StoreError> {
        self.read(|connection| Ok(realm_text(connection)?.map(|text| parse(&text)))).await
    }

    async fn all_state(&self, now: Timestamp) -> Result<Vec<StateItem>, StoreError> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM state WHERE expires > ? ORDER BY state_id");
            let mut statement = connection.prepare(&sql)?;
            let items = statement.query_map([now.timestamp_micros()], item)?;
            items.map(|item| item.map(hidden)).collect()
        })
        .await
    }

    async fn change_state(&self, before: &StateItem, after: Option<StateItem>) -> Result<bool, StoreError> {
        self.change_item(before, after).await
    }

    async fn delete_state(&self, id: StateId) -> Result<bool, StoreError> {
        self.run(move |connection| {
            connection.execute("DELETE FROM state WHERE state_id = ?", [id.as_str()]).map(|count| count > 0)
        })
        .await
    }
}
