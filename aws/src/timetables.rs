//! How far schedules have come, in the table of runs.
//!
//! A timetable is an item of its own. They are together in a few partitions, so that all are found without a look at
//! the runs; the index on due times finds those that are due.

use async_trait::async_trait;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::{join_all, try_join_all};
use pumice_core::Timestamp;
use pumice_core::clock::{Cursor, Timetable, is_schedule};
use pumice_core::ids::JobId;
use pumice_core::ports::{CommitError, Doc, DuePlace, DueTimetables, ScheduleStore, StoreError};
use serde_json::Value;

use crate::attribute::{Item, json, text, whole};
use crate::failure::{store_error, write_error};
use crate::runs::{DUE_AT, DUE_SHARD};
use crate::store::{Store, text_of};

/// How many partitions timetables are spread over; never to be changed.
const SHARDS: u32 = 8;
/// Prefixes of the partition keys, and of the keys of timetables within a partition.
const PARTITION: &str = "schedules#";
const PATH: &str = "schedule/";
/// The attribute that has the digest of the rules of the last look.
const RULES: &str = "rules";
/// The attribute that has how the job was, where it was changed more than once since the last look.
const SUPERSEDED: &str = "superseded";
/// A part of the cursors, as they are written, of an entry whose job is not enabled.
const DISABLED: &str = r#""state":"disabled""#;
/// How often an edit is written that other processes are ahead of.
const TRIES: usize = 3;
/// Most writes at the same time.
const AT_ONCE: usize = 16;

/// The partition of a job's timetable: the same on every machine.
fn shard(job_id: &JobId) -> String {
    // FNV-1a (Fowler, Noll, Vo).
    let hash = job_id
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{PARTITION}{}", hash % SHARDS)
}

fn shards() -> impl Iterator<Item = String> {
    (0..SHARDS).map(|shard| format!("{PARTITION}{shard}"))
}

fn key(job_id: &JobId) -> Item {
    Item::from([
        ("run_id".to_owned(), text(shard(job_id))),
        ("path".to_owned(), text(format!("{PATH}{job_id}"))),
    ])
}

fn moment(at: Timestamp) -> AttributeValue {
    whole(at.timestamp_micros())
}

/// A timetable as an item; `None` when it cannot be written.
fn item_of(timetable: &Timetable) -> Result<Item, StoreError> {
    let cursors = serde_json::to_string(&timetable.cursors)
        .map_err(|error| StoreError::invalid(format!("a schedule cannot be written: {error}")))?;
    let mut item = key(&timetable.job_id);
    item.insert("rev".to_owned(), whole(timetable.rev));
    item.insert("cursors".to_owned(), text(cursors));
    if let Some(due) = timetable.due_at {
        item.insert(DUE_SHARD.to_owned(), text(shard(&timetable.job_id)));
        item.insert(DUE_AT.to_owned(), moment(due));
    }
    if let Some(changed) = timetable.changed {
        item.insert("changed".to_owned(), moment(changed));
    }
    if !timetable.superseded.is_empty() {
        let superseded = serde_json::to_string(&timetable.superseded)
            .map_err(|error| StoreError::invalid(format!("a schedule cannot be written: {error}")))?;
        item.insert(SUPERSEDED.to_owned(), text(superseded));
    }
    if let Some(spec) = &timetable.spec {
        item.insert("spec_digest".to_owned(), text(spec));
    }
    if let Some(rules) = &timetable.rules {
        item.insert(RULES.to_owned(), text(rules));
    }
    Ok(item)
}

/// Reads an item; `None` for one of another kind. Cursors that cannot be read begin anew, and start nothing that is
/// past: they must not stop the others.
fn timetable_of(item: &Item) -> Option<Timetable> {
    let job_id = JobId::stored(text_of(item, "path")?.strip_prefix(PATH)?).ok()?;
    let number = |name: &str| json(item.get(name)?.clone()).as_i64();
    let instant = |name: &str| number(name).and_then(Timestamp::from_timestamp_micros);
    let cursors: Vec<Cursor> = serde_json::from_str(text_of(item, "cursors").unwrap_or("[]")).unwrap_or_else(|error| {
        tracing::error!(%job_id, %error, "the cursors of a job's schedule cannot be read: they begin anew");
        Vec::new()
    });
    let rev = number("rev")?.cast_unsigned();
    let spec = text_of(item, "spec_digest").map(str::to_owned);
    let rules = text_of(item, RULES).map(str::to_owned);
    let superseded = text_of(item, SUPERSEDED).map(serde_json::from_str).transpose();
    let superseded = superseded.unwrap_or_else(|error| {
        tracing::error!(%job_id, %error, "earlier schedules of a job cannot be read: they are passed over");
        None
    });
    Some(Timetable {
        job_id,
        rev,
        due_at: instant(DUE_AT),
        changed: instant("changed"),
        superseded: superseded.unwrap_or_default(),
        spec,
        rules,
        cursors,
    })
}

impl Store {
    /// All timetables of one partition.
    async fn timetables_of(&self, shard: String) -> Result<Vec<Timetable>, StoreError> {
        let table = self.names.runs();
        let request = self.client.query().table_name(&table).consistent_read(true);
        let request = request
            .key_condition_expression("run_id = :shard")
            .expression_attribute_values(":shard", text(shard));
        let mut items = request.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            let item =
                item.map_err(|error| store_error(&format!("reading schedules in table {table}"), &error))?;
            found.extend(timetable_of(&item));
        }
        Ok(found)
    }

    /// A page of one part of the index on due times, and where the next one begins: of each timetable its job, and when it is
    /// due.
    async fn shown_timetables(
        &self,
        shard: &str,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Timestamp)>, Option<DuePlace>), StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .index_name("due")
            .key_condition_expression("#shard = :shard AND #due <= :until")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":until", moment(until))
            .set_exclusive_start_key(after.map(|place| start_key(shard, place)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request
            .send()
            .await
            .map_err(|error| store_error(&format!("reading schedules in table {table}"), &error))?;
        let next = answer.last_evaluated_key.as_ref().and_then(place_of);
        let items = answer.items.unwrap_or_default();
        Ok((items.iter().filter_map(named).collect(), next))
    }

    /// The jobs in one partition whose timetables say that they were not enabled, as of a moment ago: a read that may lag
    /// costs half.
    async fn disabled_in(&self, shard: String) -> Result<Vec<JobId>, StoreError> {
        let table = self.names.runs();
        let request = self.client.query().table_name(&table);
        let request = request
            .key_condition_expression("run_id = :shard")
            .filter_expression("contains(cursors, :disabled)")
            .projection_expression("#path")
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":disabled", text(DISABLED));
        let mut items = request.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            let item =
                item.map_err(|error| store_error(&format!("reading schedules in table {table}"), &error))?;
            found.extend(job_of(&item));
        }
        Ok(found)
    }

    /// The jobs in one partition whose timetables were looked at by other rules, and do not wait for a look.
    async fn by_other_rules(&self, shard: String, rules: &str) -> Result<Vec<JobId>, StoreError> {
        let table = self.names.runs();
        let request = self.client.query().table_name(&table).consistent_read(true);
        let request = request
            .key_condition_expression("run_id = :shard")
            .filter_expression(
                "attribute_not_exists(changed) AND (attribute_not_exists(#rules) OR #rules <> :rules)",
            )
            .projection_expression("#path")
            .expression_attribute_names("#rules", RULES)
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":rules", text(rules));
        let mut items = request.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            let item =
                item.map_err(|error| store_error(&format!("reading schedules in table {table}"), &error))?;
            found.extend(job_of(&item));
        }
        Ok(found)
    }

    /// The attributes that lava's index on its dispatchers has of one dispatcher's jobs (lava
    /// guide, The Jobs Table).
    async fn shown_of(&self, dispatcher: &str) -> Result<Vec<(JobId, Value)>, StoreError> {
        let table = self.names.jobs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .index_name("dispatcher-index")
            .key_condition_expression("dispatcher = :dispatcher")
            .expression_attribute_values(":dispatcher", text(dispatcher));
        let mut items = request.into_paginator().items().send();
        let mut shown = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| {
                store_error(&format!("reading index dispatcher-index of table {table}"), &error)
            })?;
            let schedule = item.get("schedule").cloned().map_or(Value::Null, json);
            let job_id = text_of(&item, "job_id").and_then(|id| JobId::stored(id).ok());
            // A job without a schedule does not concern the clock.
            shown.extend(job_id.filter(|_| is_schedule(&schedule)).map(|job_id| (job_id, schedule)));
        }
        Ok(shown)
    }

    async fn put_timetable(&self, timetable: &Timetable) -> Result<(), CommitError> {
        let table = self.names.runs();
        let what = format!("writing the schedule of job {} to table {table}", timetable.job_id);
        let expected = whole(timetable.rev - 1);
        if timetable.cursors.is_empty() {
            let request = self.client.delete_item().table_name(&table).set_key(Some(key(&timetable.job_id)));
            let request = request
                .condition_expression("rev = :expected")
                .expression_attribute_values(":expected", expected);
            return request.send().await.map(drop).map_err(|error| match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => CommitError::Conflict,
                _ => write_error(&what, &error),
            });
        }
        let request = self.client.put_item().table_name(&table).set_item(Some(item_of(timetable)?));
        let request = request
            .condition_expression("rev = :expected")
            .expression_attribute_values(":expected", expected);
        request.send().await.map(drop).map_err(|error| match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => CommitError::Conflict,
            _ => write_error(&what, &error),
        })
    }

    /// Makes a timetable due at this time. One that is due before keeps its time and changes only
    /// its `rev`.
    async fn hurry_timetable(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        let table = self.names.runs();
        let request = || {
            let request = self.client.update_item().table_name(&table).set_key(Some(key(job_id)));
            request.expression_attribute_values(":one", whole(1))
        };
        let sooner = request()
            .update_expression("SET #due = :at, #shard = :shard ADD rev :one")
            .condition_expression("attribute_exists(rev) AND (attribute_not_exists(#due) OR #due > :at)")
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_values(":at", moment(at))
            .expression_attribute_values(":shard", text(shard(job_id)));
        let what = format!("writing the schedule of job {job_id} to table {table}");
        let is_refused = |error: &SdkError<UpdateItemError>| {
            matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)))
        };
        match sooner.send().await {
            Err(error) if is_refused(&error) => {}
            other => return other.map(drop).map_err(|error| store_error(&what, &error)),
        }
        let known = request().update_expression("ADD rev :one").condition_expression("attribute_exists(rev)");
        match known.send().await {
            Err(error) if is_refused(&error) => Ok(()),
            other => other.map(drop).map_err(|error| store_error(&what, &error)),
        }
    }

    /// Has the timetable of a job looked at that was put or deleted, as [`Timetable::edited`] has it.
    pub(crate) async fn edit_timetable(
        &self,
        job_id: &JobId,
        (before, after): (Option<&Doc>, Option<&Doc>),
        at: Timestamp,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let known = ScheduleStore::load(self, std::slice::from_ref(job_id)).await?.pop().flatten();
            let Some(known) = known.filter(|known| known.changed.is_some() && !known.cursors.is_empty())
            else {
                break;
            };
            match self.put_timetable(&known.edited(before, after, at)).await {
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(()),
            }
        }
        self.touch_timetable(job_id, at).await
    }

    async fn touch_timetable(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .update_item()
            .table_name(&table)
            .set_key(Some(key(job_id)))
            .update_expression("SET #due = :at, changed = :at, #shard = :shard ADD rev :one")
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_values(":at", moment(at))
            .expression_attribute_values(":shard", text(shard(job_id)))
            .expression_attribute_values(":one", whole(1));
        let what = || format!("writing the schedule of job {job_id} to table {table}");
        request.send().await.map(drop).map_err(|error| store_error(&what(), &error))
    }
}

/// The job whose timetable an item is; `None` for one of another kind.
fn job_of(item: &Item) -> Option<JobId> {
    JobId::stored(text_of(item, "path")?.strip_prefix(PATH)?).ok()
}

fn due_of(item: &Item) -> Option<Timestamp> {
    Timestamp::from_timestamp_micros(json(item.get(DUE_AT)?.clone()).as_i64()?)
}

/// A timetable as the index shows it: its job, and when it is due.
fn named(item: &Item) -> Option<(JobId, Timestamp)> {
    Some((job_of(item)?, due_of(item)?))
}

/// The key at which a query of the index goes on.
fn start_key(shard: &str, place: &DuePlace) -> Item {
    Item::from([
        ("run_id".to_owned(), text(shard)),
        ("path".to_owned(), text(&*place.key)),
        (DUE_SHARD.to_owned(), text(shard)),
        (DUE_AT.to_owned(), moment(place.at)),
    ])
}

fn place_of(key: &Item) -> Option<DuePlace> {
    Some(DuePlace { at: due_of(key)?, key: text_of(key, "path")?.to_owned() })
}

#[async_trait]
impl ScheduleStore for Store {
    async fn load(&self, job_ids: &[JobId]) -> Result<Vec<Option<Timetable>>, StoreError> {
        let table = self.names.runs();
        let wanted = job_ids.iter().map(|id| (table.clone(), key(id))).collect();
        let items = self.get_all(&format!("reading schedules in table {table}"), wanted).await?;
        let found: Vec<Timetable> = items.iter().filter_map(|(_, item)| timetable_of(item)).collect();
        Ok(job_ids.iter().map(|id| found.iter().find(|one| one.job_id == *id).cloned()).collect())
    }

    fn parts(&self) -> usize {
        SHARDS as usize
    }

    async fn due(
        &self,
        part: usize,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DueTimetables, StoreError> {
        let Some(shard) = shards().nth(part) else { return Ok(DueTimetables::default()) };
        let (shown, next) = self.shown_timetables(&shard, until, after, limit).await?;
        // The index lags: a timetable that it shows may have been looked at meanwhile.
        let ids: Vec<JobId> = shown.into_iter().map(|(job_id, _)| job_id).collect();
        let found = ScheduleStore::load(self, &ids).await?;
        // An unreadable one must not hold up the others for good.
        let unreadable: Vec<Item> =
            ids.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(id, _)| key(id)).collect();
        self.put_off_unreadable(unreadable.iter(), until).await?;
        let mut found: Vec<Timetable> =
            found.into_iter().flatten().filter(|one| one.due_at.is_some_and(|due| due <= until)).collect();
        found.sort_by_key(|one| one.due_at);
        Ok(DueTimetables { found, next })
    }

    async fn disabled(&self) -> Result<Vec<JobId>, StoreError> {
        let parts = shards().map(|shard| self.disabled_in(shard));
        let mut disabled: Vec<JobId> = try_join_all(parts).await?.into_iter().flatten().collect();
        disabled.sort();
        Ok(disabled)
    }

    async fn keep_to(&self, rules: &str, at: Timestamp) -> Result<Vec<JobId>, StoreError> {
        if self.keeps_to(rules) {
            return Ok(Vec::new());
        }
        let parts = shards().map(|shard| self.by_other_rules(shard, rules));
        let others: Vec<JobId> = try_join_all(parts).await?.into_iter().flatten().collect();
        self.touch(&others, at).await?;
        self.remember_rules(rules);
        Ok(others)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        // The index gives the first of each part first.
        let shards: Vec<String> = shards().collect();
        let parts = shards.iter().map(|shard| self.shown_timetables(shard, Timestamp::MAX_UTC, None, 1));
        let firsts = try_join_all(parts).await?;
        Ok(firsts.into_iter().flat_map(|(shown, _)| shown).map(|(_, due)| due).min())
    }

    async fn all(&self) -> Result<Vec<Timetable>, StoreError> {
        let parts = shards().map(|shard| self.timetables_of(shard));
        let mut all: Vec<Timetable> = try_join_all(parts).await?.into_iter().flatten().collect();
        all.sort_by(|a, b| a.job_id.cmp(&b.job_id));
        Ok(all)
    }

    async fn shown(&self, dispatchers: &[String]) -> Result<Option<Vec<(JobId, Value)>>, StoreError> {
        if !self.jobs_are_unwatched {
            return Ok(None);
        }
        let shown = dispatchers.iter().map(|dispatcher| self.shown_of(dispatcher));
        Ok(Some(try_join_all(shown).await?.into_iter().flatten().collect()))
    }

    async fn put(&self, timetables: Vec<Timetable>) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        let mut outcomes = Vec::with_capacity(timetables.len());
        for part in timetables.chunks(AT_ONCE) {
            outcomes.extend(join_all(part.iter().map(|timetable| self.put_timetable(timetable))).await);
        }
        Ok(outcomes)
    }

    async fn hurry(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        self.hurry_timetable(job_id, at).await
    }

    async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError> {
        for part in job_ids.chunks(AT_ONCE) {
            try_join_all(part.iter().map(|id| self.touch_timetable(id, at))).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumice_core::clock::State;

    #[test]
    fn partition_of_a_job_stays() {
        let shard = |id: &str| super::shard(&JobId::new(id).unwrap());
        assert_eq!(
            [shard("a"), shard("etl/load"), shard("b")],
            ["schedules#4", "schedules#1", "schedules#5"]
        );
    }

    #[test]
    fn cursor_of_a_job_that_is_not_enabled_is_found_by_its_text() {
        let written = |state: State| {
            let trouble = Some(DISABLED.to_owned());
            let cursor = Cursor { state, trouble, ..Cursor::unusable(Timestamp::UNIX_EPOCH) };
            serde_json::to_string(&[cursor]).unwrap()
        };
        assert!(written(State::Disabled).contains(DISABLED));
        let paused = State::Paused { until: None, by: String::new(), why: DISABLED.to_owned() };
        assert!(!written(paused).contains(DISABLED) && !written(State::Halted).contains(DISABLED));
    }
}
