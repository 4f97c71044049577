//! How far schedules have come, in SQLite.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::clock::{Cursor, State, Timetable};
use pumice_core::ids::JobId;
use pumice_core::ports::{CommitError, Doc, DuePlace, DueTimetables, ScheduleStore, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::Database;
use crate::stored::{broken, micros};

const COLUMNS: &str = "job_id, rev, due_at, changed, cursors, rules, superseded";

/// The job that the first column names.
fn job_of(row: &Row<'_>) -> Result<JobId, rusqlite::Error> {
    JobId::stored(row.get::<_, String>(0)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

fn timetable(row: &Row<'_>) -> Result<Timetable, rusqlite::Error> {
    let instant = |micros: Option<i64>| micros.and_then(Timestamp::from_timestamp_micros);
    // Every write of a job into a folder touches its timetable.
    Ok(Timetable {
        spec: None,
        rules: row.get(5)?,
        job_id: job_of(row)?,
        rev: row.get::<_, i64>(1)?.cast_unsigned(),
        due_at: instant(row.get(2)?),
        changed: instant(row.get(3)?),
        cursors: cursors(row.get_ref(0)?.as_str()?, row.get_ref(4)?.as_str()?),
        superseded: match row.get_ref(6)?.as_str_or_null()? {
            Some(text) => serde_json::from_str(text).map_err(broken)?,
            None => Vec::new(),
        },
    })
}

/// The cursors of a timetable. An unreadable one begins anew, and starts nothing that is past: it must not be in the way
/// of others.
fn cursors(job_id: &str, text: &str) -> Vec<Cursor> {
    serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::error!(%job_id, %error, "how far the schedule of a job has come cannot be read: it begins anew");
        Vec::new()
    })
}

fn superseded_text(timetable: &Timetable) -> Result<Option<String>, rusqlite::Error> {
    let written = (!timetable.superseded.is_empty()).then(|| serde_json::to_string(&timetable.superseded));
    written.transpose().map_err(broken)
}

/// Has the timetable of a job looked at, as its spec was changed; makes it where there is none.
fn touch(connection: &Connection, job_id: &JobId, at: Timestamp) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO schedules VALUES (?1, 1, ?2, ?2, '[]', NULL, NULL)
        ON CONFLICT (job_id) DO UPDATE SET rev = rev + 1, due_at = ?2, changed = ?2";
    connection.prepare_cached(sql)?.execute(params![job_id.as_str(), micros(at)]).map(drop)
}

/// The same of a job that was put or deleted, as [`Timetable::edited`] has it. One that is put gets a timetable.
pub(crate) fn edit(
    connection: &Connection,
    job_id: &JobId,
    (before, after): (Option<&Doc>, Option<&Doc>),
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let sql = format!("SELECT {COLUMNS} FROM schedules WHERE job_id = ?");
    let known = connection.prepare_cached(&sql)?.query_row([job_id.as_str()], timetable).optional()?;
    let Some(known) = known else {
        return if after.is_some() { touch(connection, job_id, at) } else { Ok(()) };
    };
    let edited = known.edited(before, after, at);
    let superseded = superseded_text(&edited)?;
    let sql = "UPDATE schedules SET rev = ?, due_at = ?, changed = ?, superseded = ? WHERE job_id = ?";
    let (due_at, changed) = (edited.due_at.map(micros), edited.changed.map(micros));
    let values = params![edited.rev.cast_signed(), due_at, changed, superseded, job_id.as_str()];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// The same of all that there are, and of the jobs with a schedule that have none: others started them so far.
pub(crate) fn touch_all(connection: &Connection, at: Timestamp) -> Result<(), rusqlite::Error> {
    // As `Timetable::under_other_rules` has it.
    let sql = r#"UPDATE schedules SET rev = rev + 1, due_at = ?1, changed = ?1, superseded = CASE
        WHEN superseded LIKE '%"job":null%' THEN json_array(json_object('since', ?1, 'job', NULL))
        WHEN EXISTS (SELECT 1 FROM json_each(superseded) WHERE json_extract(value, '$.job.enabled') = 0
            OR json_extract(value, '$.job') = '{}') THEN json_array(json_object('since', ?1, 'job', json('{}')))
        END"#;
    connection.execute(sql, [micros(at)])?;
    make_missing(connection, at).map(drop)
}

/// Makes the timetables of jobs with a schedule that have none. A look removes those that it has no use for.
fn make_missing(connection: &Connection, at: Timestamp) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT OR IGNORE INTO schedules SELECT job_id, 1, ?1, ?1, '[]', NULL, NULL FROM jobs
        WHERE json_valid(spec) AND json_extract(spec, '$.schedule') IS NOT NULL";
    connection.execute(sql, [micros(at)])
}

/// Writes or removes a timetable; returns whether its revision was the expected one.
fn put(connection: &Connection, timetable: &Timetable) -> Result<bool, rusqlite::Error> {
    let (job_id, before) = (timetable.job_id.as_str(), (timetable.rev - 1).cast_signed());
    if timetable.cursors.is_empty() {
        let sql = "DELETE FROM schedules WHERE job_id = ? AND rev = ?";
        return Ok(connection.prepare_cached(sql)?.execute(params![job_id, before])? > 0);
    }
    let cursors = serde_json::to_string(&timetable.cursors).map_err(broken)?;
    let superseded = superseded_text(timetable)?;
    let sql = "UPDATE schedules SET rev = ?, due_at = ?, changed = ?, cursors = ?, rules = ?, superseded = ?
        WHERE job_id = ? AND rev = ?";
    let (due_at, changed) = (timetable.due_at.map(micros), timetable.changed.map(micros));
    let rules = timetable.rules.as_deref();
    let rev = timetable.rev.cast_signed();
    let values = params![rev, due_at, changed, cursors, rules, superseded, job_id, before];
    Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
}

#[async_trait]
impl ScheduleStore for Database {
    async fn load(&self, job_ids: &[JobId]) -> Result<Vec<Option<Timetable>>, StoreError> {
        let ids = job_ids.to_vec();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM schedules WHERE job_id = ?");
            let mut statement = connection.prepare_cached(&sql)?;
            ids.iter().map(|id| statement.query_row([id.as_str()], timetable).optional()).collect()
        })
        .await
    }

    async fn due(
        &self,
        _: usize,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DueTimetables, StoreError> {
        let (at, key) =
            after.map_or((i64::MIN, String::new()), |place| (micros(place.at), place.key.clone()));
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM schedules WHERE due_at <= ?1 AND (due_at, job_id) > (?2, ?3)
                ORDER BY due_at, job_id LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let values = params![micros(until), at, key, limit.cast_signed()];
            let found: Vec<Timetable> = statement.query_map(values, timetable)?.collect::<Result<_, _>>()?;
            let last = found.last().filter(|_| found.len() == limit);
            let next = last.and_then(|one| Some(DuePlace { at: one.due_at?, key: one.job_id.to_string() }));
            Ok(DueTimetables { found, next })
        })
        .await
    }

    async fn disabled(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM schedules ORDER BY job_id");
            let mut statement = connection.prepare_cached(&sql)?;
            let is_disabled =
                |one: &Timetable| one.cursors.iter().any(|cursor| cursor.state == State::Disabled);
            // One by one: a realm may have 100,000.
            let rows = statement.query_map([], timetable)?;
            let found = rows.filter(|row| row.as_ref().map_or(true, is_disabled));
            found.map(|row| row.map(|one| one.job_id)).collect()
        })
        .await
    }

    async fn keep_to(&self, rules: &str, at: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let rules = rules.to_owned();
        self.run(move |connection| {
            let sql = "UPDATE schedules SET rev = rev + 1, due_at = ?1, changed = ?1
                WHERE changed IS NULL AND rules IS NOT ?2 RETURNING job_id";
            let mut statement = connection.prepare_cached(sql)?;
            let others =
                statement.query_map(params![micros(at), rules], job_of)?.collect::<Result<_, _>>()?;
            make_missing(connection, at)?;
            Ok(others)
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT min(due_at) FROM schedules WHERE due_at IS NOT NULL";
            let found: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(found.and_then(Timestamp::from_timestamp_micros))
        })
        .await
    }

    async fn all(&self) -> Result<Vec<Timetable>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM schedules ORDER BY job_id");
            connection.prepare_cached(&sql)?.query_map([], timetable)?.collect()
        })
        .await
    }

    async fn without_next(&self) -> Result<Vec<Timetable>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM schedules ORDER BY job_id");
            let mut statement = connection.prepare_cached(&sql)?;
            // One by one: a realm may have 100,000.
            let rows = statement.query_map([], timetable)?;
            rows.filter(|row| row.as_ref().map_or(true, Timetable::lacks_next)).collect()
        })
        .await
    }

    async fn put(&self, timetables: Vec<Timetable>) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        let written = self
            .run(move |connection| {
                timetables.iter().map(|timetable| put(connection, timetable)).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        Ok(written.into_iter().map(|written| written.then_some(()).ok_or(CommitError::Conflict)).collect())
    }

    async fn hurry(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        let job_id = job_id.clone();
        self.run(move |connection| {
            let sql = "UPDATE schedules SET rev = rev + 1, due_at = min(coalesce(due_at, ?2), ?2) WHERE job_id = ?1";
            connection.prepare_cached(sql)?.execute(params![job_id.as_str(), micros(at)]).map(drop)
        })
        .await
    }

    async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError> {
        let ids = job_ids.to_vec();
        self.run(move |connection| ids.iter().try_for_each(|id| touch(connection, id, at))).await
    }
}
