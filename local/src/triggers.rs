//! Triggers, in SQLite, and what was seen of the objects that they are for.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::ids::TriggerId;
use pumice_core::ports::{Clock, Doc, JobChange, StoreError, TriggerStore, TriggerUpsert};
use pumice_core::trigger::TriggerSpec;
use pumice_host::SystemClock;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::jobs::parse;
use crate::stored::{broken, text};

/// Stands in a bucket's keys for the bucket itself: no object has such a key.
const SURVEYED: &str = "";

/// The store's knowledge of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its mark when its triggers were last done with.
    pub(crate) mark: Option<String>,
}

/// The text of a trigger's document.
pub(crate) fn stored_trigger(
    connection: &Connection,
    id: &TriggerId,
) -> Result<Option<String>, rusqlite::Error> {
    let sql = "SELECT spec FROM triggers WHERE trigger_id = ?";
    connection.prepare_cached(sql)?.query_row([id.as_str()], |row| text(row, 0)).optional()
}

pub(crate) fn delete_trigger(connection: &Connection, id: &TriggerId) -> Result<bool, rusqlite::Error> {
    let mut statement = connection.prepare_cached("DELETE FROM triggers WHERE trigger_id = ?")?;
    statement.execute([id.as_str()]).map(|count| count > 0)
}

pub(crate) fn put_trigger(
    connection: &Connection,
    trigger: TriggerSpec,
    dry_run: bool,
) -> Result<TriggerUpsert, rusqlite::Error> {
    let trigger_id = trigger.fields.trigger_id;
    let sql = "SELECT spec, since, bucket FROM triggers WHERE trigger_id = ?";
    let found = connection.prepare_cached(sql)?.query_row([trigger_id.as_str()], |row| {
        Ok((text(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
    });
    let found = found.optional()?;
    let before = found.as_ref().map(|(spec, ..)| parse(spec));
    let change = JobChange::between(before.as_ref(), &trigger.document);
    if !dry_run && change != JobChange::Unchanged {
        let bucket = trigger.fields.bucket;
        let now = SystemClock.now().timestamp_micros();
        // An object from before the trigger is not new; a change of the trigger does not make it older.
        let since = found.filter(|(_, _, other)| *other == bucket).map_or(now, |(_, since, _)| since);
        let spec = serde_json::to_string(&trigger.document).map_err(broken)?;
        let sql = "INSERT OR REPLACE INTO triggers (trigger_id, bucket, since, spec) VALUES (?, ?, ?, ?)";
        connection.prepare_cached(sql)?.execute(params![trigger_id.as_str(), bucket, since, spec])?;
    }
    Ok(TriggerUpsert { trigger_id, change, before })
}

#[async_trait]
impl TriggerStore for Database {
    async fn of_bucket(&self, bucket: &str) -> Result<Vec<Arc<Doc>>, StoreError> {
        let bucket = bucket.to_owned();
        self.read(move |connection| {
            let sql = "SELECT spec FROM triggers WHERE bucket = ? ORDER BY trigger_id";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map([bucket], |row| Ok(Arc::new(parse(&text(row, 0)?))))?;
            found.collect()
        })
        .await
    }

    async fn all_triggers(&self) -> Result<Vec<Doc>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT spec FROM triggers ORDER BY trigger_id")?;
            statement.query_map([], |row| Ok(parse(&text(row, 0)?)))?.collect()
        })
        .await
    }

    async fn put_triggers(
        &self,
        triggers: Vec<TriggerSpec>,
        dry_run: bool,
    ) -> Result<Vec<TriggerUpsert>, StoreError> {
        let put_all = move |connection: &Connection| {
            triggers.into_iter().map(|trigger| put_trigger(connection, trigger, dry_run)).collect()
        };
        if dry_run { self.read(put_all).await } else { self.run(put_all).await }
    }

    async fn delete_triggers(&self, ids: Vec<TriggerId>) -> Result<Vec<bool>, StoreError> {
        self.run(move |connection| ids.iter().map(|id| delete_trigger(connection, id)).collect()).await
    }
}

impl Database {
    /// The buckets of the realm's triggers, with the time at which each had its first one.
    pub(crate) async fn buckets(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT bucket, min(since) FROM triggers WHERE bucket IS NOT NULL GROUP BY bucket";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map([], |row| {
                let since = Timestamp::from_timestamp_micros(row.get(1)?).unwrap_or_default();
                Ok((row.get(0)?, since))
            })?;
            found.collect()
        })
        .await
    }

    /// The store's knowledge of objects of a bucket, in this order.
    pub(crate) async fn known_objects(
        &self,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Known>, StoreError> {
        let bucket = bucket.to_owned();
        self.read(move |connection| {
            let sql = "SELECT mark FROM objects_seen WHERE bucket = ? AND key = ?";
            let mut statement = connection.prepare_cached(sql)?;
            let known = keys.iter().map(|key| {
                let mark = statement.query_row(params![bucket, key], |row| row.get(0)).optional()?;
                Ok(Known { mark })
            });
            known.collect()
        })
        .await
    }

    /// Whether all that was in a bucket before its first trigger is known.
    pub(crate) async fn is_bucket_surveyed(&self, bucket: &str) -> Result<bool, StoreError> {
        let known = self.known_objects(bucket, vec![SURVEYED.to_owned()]).await?;
        Ok(known.iter().any(|known| known.mark.is_some()))
    }

    /// Records that it is.
    pub(crate) async fn bucket_surveyed(&self, bucket: &str) -> Result<(), StoreError> {
        self.objects_done(bucket, vec![(SURVEYED.to_owned(), "surveyed".to_owned())]).await
    }

    /// Has the bucket looked through anew once it has triggers again.
    pub(crate) async fn forget_survey(&self, bucket: &str) -> Result<(), StoreError> {
        self.forget_objects(bucket, vec![SURVEYED.to_owned()]).await
    }

    /// Records that the triggers of objects are done with: keys and what the objects were.
    pub(crate) async fn objects_done(
        &self,
        bucket: &str,
        objects: Vec<(String, String)>,
    ) -> Result<(), StoreError> {
        let bucket = bucket.to_owned();
        self.run(move |connection| {
            let sql = "INSERT OR REPLACE INTO objects_seen (bucket, key, mark) VALUES (?, ?, ?)";
            let mut statement = connection.prepare_cached(sql)?;
            for (key, mark) in &objects {
                statement.execute(params![bucket, key, mark])?;
            }
            Ok(())
        })
        .await
    }

    /// Keys of a bucket that come after `after`, of objects that were seen.
    pub(crate) async fn keys_seen(
        &self,
        bucket: &str,
        after: String,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let bucket = bucket.to_owned();
        self.read(move |connection| {
            let sql = "SELECT key FROM objects_seen WHERE bucket = ? AND key > ? ORDER BY key LIMIT ?";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map(params![bucket, after, limit.cast_signed()], |row| row.get(0))?;
            found.collect()
        })
        .await
    }

    /// Forgets objects that are gone.
    pub(crate) async fn forget_objects(&self, bucket: &str, keys: Vec<String>) -> Result<(), StoreError> {
        let bucket = bucket.to_owned();
        self.run(move |connection| {
            let sql = "DELETE FROM objects_seen WHERE bucket = ? AND key = ?";
            let mut statement = connection.prepare_cached(sql)?;
            keys.iter().try_for_each(|key| statement.execute(params![bucket, key]).map(drop))
        })
        .await
    }
}
