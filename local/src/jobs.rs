//! Job specs and the realm, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::ids::JobId;
use pumice_core::ports::{JobStore, StoreError, StoredJob};
use pumice_core::problem::SpecError;
use pumice_core::spec::{JobSpec, RealmSpec};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};

use crate::database::Database;

/// A JSON object: a job's document as it is stored.
pub type Doc = Map<String, Value>;

/// What putting a job did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// It was not there.
    Added,
    /// It was there and is different now.
    Updated,
    /// It was there, the same.
    Unchanged,
}

/// One job that was put: its id, what changed, and the document that was there before.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The job.
    pub job_id: JobId,
    /// What changed.
    pub change: JobChange,
    /// What was there before.
    pub before: Option<Doc>,
}

fn parse(text: &str) -> Doc {
    // What is stored was JSON when it was put; anything else fails its check as a spec.
    serde_json::from_str(text).unwrap_or_default()
}

fn data_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

impl Database {
    /// Puts jobs, all or none; tells what changed. Nothing is written on a `dry_run`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn put_jobs(&self, jobs: Vec<JobSpec>, dry_run: bool) -> Result<Vec<Applied>, StoreError> {
        let applied = self
            .run(move |connection| {
                let mut applied = Vec::with_capacity(jobs.len());
                for job in jobs {
                    applied.push(put_job(connection, job, dry_run)?);
                }
                Ok(applied)
            })
            .await?;
        self.forget();
        Ok(applied)
    }

    /// Every job's document, by id; only those whose id matches the pattern, when one is given.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn all_jobs(&self) -> Result<Vec<(JobId, Doc)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT job_id, spec FROM jobs ORDER BY job_id")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(rows.into_iter().filter_map(|(id, spec)| Some((JobId::new(id).ok()?, parse(&spec)))).collect())
        })
        .await
    }

    /// Removes jobs; tells which were there. Runs that were dispatched keep what they use.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<Vec<bool>, StoreError> {
        let deleted = self
            .run(move |connection| {
                let mut statement = connection.prepare_cached("DELETE FROM jobs WHERE job_id = ?")?;
                ids.iter().map(|id| statement.execute([id.as_str()]).map(|count| count > 0)).collect()
            })
            .await;
        self.forget();
        deleted
    }

    /// Puts the realm's document.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn put_realm(&self, document: Doc) -> Result<(), StoreError> {
        let text = Value::Object(document).to_string();
        self.run(move |connection| {
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('realm', ?)", [text]).map(drop)
        })
        .await?;
        self.forget();
        Ok(())
    }

    /// The realm's document, when there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn realm_document(&self) -> Result<Option<Doc>, StoreError> {
        self.run(|connection| Ok(realm_text(connection)?.map(|text| parse(&text)))).await
    }

    fn forget(&self) {
        let mut cache = self.cache();
        cache.jobs.clear();
        cache.realm = None;
    }

    /// Drops what was parsed before another process changed the file.
    fn refresh(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let version = data_version(connection)?;
        let mut cache = self.cache();
        cache.looked = Some(std::time::Instant::now());
        if cache.version != version {
            cache.version = version;
            cache.jobs.clear();
            cache.realm = None;
        }
        Ok(())
    }

    fn with_places(&self, mut document: Doc) -> Doc {
        let (temp, payloads) = self.places();
        for (name, place) in [("s3_temp", temp), ("s3_payloads", payloads)] {
            document.entry(name).or_insert_with(|| place.into());
        }
        document
    }
}

fn realm_text(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE name = 'realm'", [], |row| row.get(0)).optional()
}

fn job_text(connection: &Connection, id: &JobId) -> Result<Option<String>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT spec FROM jobs WHERE job_id = ?")?;
    statement.query_row([id.as_str()], |row| row.get(0)).optional()
}

fn put_job(connection: &Connection, job: JobSpec, dry_run: bool) -> Result<Applied, rusqlite::Error> {
    let job_id = job.fields.job_id;
    let before = job_text(connection, &job_id)?.map(|text| parse(&text));
    let change = match &before {
        None => JobChange::Added,
        Some(before) if *before == job.document => JobChange::Unchanged,
        Some(_) => JobChange::Updated,
    };
    if !dry_run && change != JobChange::Unchanged {
        let text = Value::Object(job.document).to_string();
        connection.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?)", params![job_id.as_str(), text])?;
    }
    Ok(Applied { job_id, change, before })
}

#[async_trait]
impl JobStore for Database {
    async fn realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        {
            let cache = self.cache();
            if let Some(realm) = cache.realm.as_ref().filter(|_| cache.is_fresh()) {
                return Ok(realm.clone());
            }
        }
        let database = self.clone();
        let found = self
            .read(move |connection| {
                database.refresh(connection)?;
                match database.cache().realm.clone() {
                    Some(realm) => Ok(Ok(realm)),
                    None => realm_text(connection).map(Err),
                }
            })
            .await?;
        match found {
            Ok(realm) => Ok(realm),
            Err(None) => Err(StoreError::new("the store has no realm")),
            Err(Some(text)) => {
                let document = Value::Object(self.with_places(parse(&text)));
                let realm = RealmSpec::parse(&document).map_err(|error| {
                    StoreError::new(format!("the realm's definition does not hold: {error}"))
                })?;
                let realm = Arc::new(realm);
                self.cache().realm = Some(realm.clone());
                Ok(realm)
            }
        }
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        {
            let cache = self.cache();
            if cache.is_fresh()
                && let Some(known) = ids.iter().map(|id| cache.jobs.get(id).cloned()).collect()
            {
                return Ok(known);
            }
        }
        let ids = ids.to_vec();
        let database = self.clone();
        self.read(move |connection| {
            database.refresh(connection)?;
            let mut cache = database.cache();
            ids.into_iter()
                .map(|id| {
                    if let Some(known) = cache.jobs.get(&id) {
                        return Ok(known.clone());
                    }
                    let job: Option<StoredJob> = job_text(connection, &id)?.map(|text| read(&text));
                    cache.jobs.insert(id, job.clone());
                    Ok(job)
                })
                .collect()
        })
        .await
    }

    async fn job_ids(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT job_id FROM jobs")?;
            let ids =
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(ids.into_iter().filter_map(|id| JobId::new(id).ok()).collect())
        })
        .await
    }
}

fn read(text: &str) -> Result<Arc<JobSpec>, SpecError> {
    JobSpec::parse(&Value::Object(parse(text))).map(Arc::new)
}
