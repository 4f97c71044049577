//! Job specs and the realm, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::document::parse_json;
use pumice_core::ids::JobId;
use pumice_core::ports::{Doc, JobStore, StoreError, StoreErrorKind, StoredJob};
use pumice_core::problem::{JsonPath, Problem, SpecError, kind};
use pumice_core::spec::{JobSpec, RealmSpec};
use pumice_core::text::quoted;
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use crate::database::Database;

/// The id of a stored job; `None`, with a line in the log, for one that is not an id.
pub(crate) fn stored_id(id: String) -> Option<JobId> {
    let read = JobId::stored(id.as_str());
    read.inspect_err(|error| tracing::error!(id, %error, "a job of the store has no valid id")).ok()
}

pub(crate) fn parse(text: &str) -> Doc {
    // A stored text was JSON when it was put; any other text fails its check as a spec.
    serde_json::from_str(text).unwrap_or_default()
}

fn data_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

impl Database {
    pub(crate) fn forget(&self) {
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

    /// Reads the realm's document, with the places that it does not name.
    fn take_realm(&self, text: &str) -> Result<Arc<RealmSpec>, StoreError> {
        let (temp, payloads) = self.places();
        let places = [("s3_temp", temp.into()), ("s3_payloads", payloads.into())];
        let bad = |why: String| {
            StoreError::of(StoreErrorKind::Corrupt, format!("the realm's definition is invalid: {why}"))
        };
        let document = object(text).map_err(bad)?;
        let realm = RealmSpec::stored(document, &places).map_err(|error| bad(error.to_string()))?;
        let realm = Arc::new(realm);
        let mut cache = self.cache();
        // Said once: the file is read anew whenever another process has written to it.
        if !realm.warnings.is_empty() && cache.warned != realm.warnings {
            let warnings: Vec<String> = realm.warnings.iter().map(ToString::to_string).collect();
            let warnings = warnings.join("; ");
            tracing::warn!(realm = %realm.fields.realm, %warnings, "the realm's definition has mistakes; defaults count");
            cache.warned.clone_from(&realm.warnings);
        }
        cache.realm = Some(realm.clone());
        Ok(realm)
    }
}

pub(crate) fn realm_text(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE name = 'realm'", [], |row| row.get(0)).optional()
}

pub(crate) fn job_text(connection: &Connection, id: &JobId) -> Result<Option<String>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT spec FROM jobs WHERE job_id = ?")?;
    statement.query_row([id.as_str()], |row| row.get(0)).optional()
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
        self.current_realm().await
    }

    async fn current_realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
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
            Err(None) => Err(StoreError::of(StoreErrorKind::Missing, "the store has no realm")),
            Err(Some(text)) => self.take_realm(&text),
        }
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        {
            let mut cache = self.cache();
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
                    let job: Option<StoredJob> = job_text(connection, &id)?.map(|text| read(&id, &text));
                    cache.jobs.put(id, job.clone());
                    Ok(job)
                })
                .collect()
        })
        .await
    }

    async fn job_ids(&self) -> Result<Option<Vec<JobId>>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT job_id FROM jobs")?;
            let ids =
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(Some(ids.into_iter().filter_map(stored_id).collect()))
        })
        .await
    }
}

/// Reads a stored job, which any tool may have put there.
fn read(id: &JobId, text: &str) -> Result<Arc<JobSpec>, SpecError> {
    let bad = |path: JsonPath, why: String| SpecError::one(Problem::new(path, why));
    let document = object(text).map_err(|why| bad(JsonPath::root(), why))?;
    let path = JsonPath::root().field("job_id");
    match document.get("job_id") {
        Some(Value::String(named)) if named != id.as_str() => {
            Err(bad(path, format!("{} stands where job {} is kept", quoted(named), quoted(id.as_str()))))
        }
        _ => JobSpec::stored(Arc::new(document)).map(Arc::new),
    }
}

/// The object that a stored text is.
fn object(text: &str) -> Result<Doc, String> {
    match parse_json(text)? {
        Value::Object(document) => Ok(document),
        other => Err(format!("expected an object, got {}", kind(&other))),
    }
}
