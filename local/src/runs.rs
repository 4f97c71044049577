//! Records of runs, in SQLite.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::{NaiveDate, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::pauses::Pauses;
use pumice_core::permits::{Gate, GateView, PermitChange};
use pumice_core::ports::{
    Beginning, Change, CommitError, Counts, Created, Minute, Outgoing, PastCount, RunPage, RunQuery,
    RunStore, Starts, StoreError,
};
use pumice_core::run::{LockChange, NewRun, Run, Status};
use pumice_core::spec::RunSpec;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::letter::{self, QueuedMessage};
use crate::pages::{NUMBER, numbered, page};
use crate::permits;
use crate::stored::{
    ROOM, beginning, blanks, broken, corrupt_record, load, load_with_spec, micros, read, read_if_good,
    run_of, stored, text, tree, unwritable, with_blanks,
};
use crate::tally::{self, Counted, Tally};

/// The longest spec that is stored in the row of its record, in bytes; a longer one has a row of its own, so that it
/// is not written again with each change of the record.
const MAX_SPEC_IN_ROW: usize = 1024;
/// For how long a record that cannot be read is left alone.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::hours(1);

/// A run that is to be made. Its texts are written before it stands in line, where others would wait.
struct Making {
    key: RunKey,
    rev: u64,
    status: Status,
    job_id: JobId,
    dispatched_by: Option<RunKey>,
    at: Timestamp,
    due_at: Option<Timestamp>,
    expires: Timestamp,
    record: String,
    spec: String,
    message: Option<QueuedMessage>,
}

impl Making {
    fn new((NewRun { run, spec }, message): &(NewRun, Option<Outgoing>)) -> Result<Self, serde_json::Error> {
        Ok(Self {
            key: run.key.clone(),
            rev: run.rev,
            status: run.status,
            job_id: run.job_id.clone(),
            dispatched_by: run.dispatched_by.clone(),
            at: run.ts_dispatch,
            due_at: run.due_at,
            expires: run.expires,
            record: with_blanks(&serde_json::to_string(run)?, ROOM),
            spec: serde_json::to_string(spec)?,
            message: message.as_ref().map(QueuedMessage::from),
        })
    }
}

/// Makes runs; gives the record of each that is there already.
fn create(
    connection: &Connection,
    tally: &mut Tally,
    runs: &[Making],
) -> Result<Vec<Option<String>>, rusqlite::Error> {
    let mut insert = connection.prepare_cached(&INSERT)?;
    let mut post = letter::insertion(connection)?;
    let mut existing = Vec::with_capacity(runs.len());
    for run in runs {
        let in_row = Some(&run.spec).filter(|spec| spec.len() <= MAX_SPEC_IN_ROW);
        let inserted = insert.execute(params![
            micros(run.at),
            run.key.as_str(),
            run.rev.cast_signed(),
            run.status.as_str(),
            run.job_id.as_str(),
            run.dispatched_by.as_ref().map(RunKey::as_str),
            run.due_at.map(micros),
            run.expires.timestamp(),
            run.record,
            in_row,
        ])?;
        if inserted == 0 {
            existing.push(load(connection, run.key.as_str())?);
            continue;
        }
        let id = connection.last_insert_rowid();
        numbered(connection, id, run.at)?;
        tally.enters(Counted { id, job_id: &run.job_id, is_step: run.key.depth() > 0 }, run.status);
        if in_row.is_none() {
            connection
                .prepare_cached("INSERT INTO long_specs VALUES (?, ?)")?
                .execute(params![id, run.spec])?;
        }
        if let Some(letter) = &run.message {
            letter.put(&mut post)?;
        }
        existing.push(None);
    }
    Ok(existing)
}

/// The statement that makes a run.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO runs (id, key, rev, status, job_id, dispatched_by, due_at, expires, record, pinned)
         VALUES ({NUMBER}, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (key) DO NOTHING"
    )
});

/// The outcome of a run that was to be made, when such a record was there already.
fn created(existing: Option<&str>) -> Created {
    match existing.map(read) {
        None => Created { sent: true, ..Created::default() },
        Some(Ok(run)) => Created { existing: Some(Box::new(run)), ..Created::default() },
        Some(Err(error)) => Created { failed: Some(error), ..Created::default() },
    }
}

/// Whether something of a run is still to be done: only then does it hold a lock.
fn is_unfinished(connection: &Connection, key: &RunKey) -> Result<bool, rusqlite::Error> {
    connection
        .prepare_cached("SELECT 1 FROM runs WHERE key = ? AND due_at IS NOT NULL")?
        .exists([key.as_str()])
}

/// Takes or frees the lock of a job; gives the run that is in the way, if one is.
fn change_lock(
    connection: &Connection,
    Writing { job_id, key, .. }: &Writing,
    change: LockChange,
) -> Result<Option<RunKey>, rusqlite::Error> {
    let (job_id, key) = (job_id.as_str(), key.as_str());
    match change {
        LockChange::Free => {
            connection
                .prepare_cached("DELETE FROM locks WHERE job_id = ? AND key = ?")?
                .execute([job_id, key])?;
            Ok(None)
        }
        LockChange::Take => {
            let holder: Option<String> = connection
                .prepare_cached("SELECT key FROM locks WHERE job_id = ?")?
                .query_row([job_id], |row| row.get(0))
                .optional()?;
            let other = holder.filter(|holder| holder != key).and_then(|holder| {
                let read = holder.parse();
                // No run has such a key, so none is in the way.
                read.inspect_err(
                    |error| tracing::error!(job_id, holder, %error, "a lock is held by no valid key"),
                )
                .ok()
            });
            if let Some(other) = other
                && is_unfinished(connection, &other)?
            {
                return Ok(Some(other));
            }
            connection
                .prepare_cached("INSERT OR REPLACE INTO locks VALUES (?, ?)")?
                .execute([job_id, key])?;
            Ok(None)
        }
    }
}

/// A change of a record, as [`Making`] is a record to be made.
struct Writing {
    key: RunKey,
    rev: u64,
    status: Status,
    job_id: JobId,
    due_at: Option<Timestamp>,
    expires: Timestamp,
    record: String,
    lock: Option<LockChange>,
    permit: Option<PermitChange>,
    message: Option<QueuedMessage>,
}

impl Writing {
    fn new(Change { run, lock, permit, message }: &Change) -> Result<Self, serde_json::Error> {
        Ok(Self {
            key: run.key.clone(),
            rev: run.rev,
            status: run.status,
            job_id: run.job_id.clone(),
            due_at: run.due_at,
            expires: run.expires,
            record: serde_json::to_string(run)?,
            lock: *lock,
            permit: permit.clone(),
            message: message.as_ref().map(QueuedMessage::from),
        })
    }
}

/// Whether a record was written.
enum Committed {
    Yes,
    /// Nothing was written.
    No(CommitError),
}

fn commit(
    connection: &Connection,
    tally: &mut Tally,
    writing: &Writing,
) -> Result<Committed, rusqlite::Error> {
    let (key, expected) = (writing.key.as_str(), (writing.rev - 1).cast_signed());
    // The record first: a lock must not change hands for a write that does not take place.
    let found: Option<(i64, String, String, i64)> = connection
        .prepare_cached(
            "SELECT id, status, job_id, octet_length(record) FROM runs WHERE key = ? AND rev = ?",
        )?
        .query_row(params![key, expected], |row| Ok((row.get(0)?, text(row, 1)?, text(row, 2)?, row.get(3)?)))
        .optional()?;
    let Some((id, status, job_id, length)) = found else {
        return Ok(Committed::No(CommitError::Conflict));
    };
    if let Some(permit) = &writing.permit
        && !permits::may_change(connection, &writing.key, permit)?
    {
        return Ok(Committed::No(CommitError::Full(permit.gate().clone())));
    }
    if let Some(lock) = writing.lock
        && let Some(by) = change_lock(connection, writing, lock)?
    {
        return Ok(Committed::No(CommitError::Locked(by)));
    }
    if let Some(permit) = &writing.permit {
        permits::change(connection, &writing.key, permit)?;
    }
    connection
        .prepare_cached(
            "UPDATE runs SET rev = ?, status = ?, due_at = ?, expires = ?, record = ? WHERE id = ?",
        )?
        .execute(params![
            writing.rev.cast_signed(),
            writing.status.as_str(),
            writing.due_at.map(micros),
            writing.expires.timestamp(),
            with_blanks(&writing.record, blanks(&writing.record, length)),
            id
        ])?;
    if status != writing.status.as_str() {
        // As the row has it: the counts are those of the rows.
        if let (Ok(status), Ok(job_id)) = (status.parse(), JobId::stored(&job_id)) {
            let run = Counted { id, job_id: &job_id, is_step: writing.key.depth() > 0 };
            tally.leaves(run, status);
            tally.enters(run, writing.status);
        }
    }
    if let Some(letter) = &writing.message {
        letter.put(&mut letter::insertion(connection)?)?;
    }
    Ok(Committed::Yes)
}

#[async_trait]
impl RunStore for Database {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        let sends = runs.iter().any(|(_, message)| message.is_some());
        let runs: Vec<Making> = runs.iter().map(Making::new).collect::<Result<_, _>>().map_err(unwritable)?;
        let existing = self.run_counting(move |connection, tally| create(connection, tally, &runs)).await?;
        if sends {
            self.arrived().notify_one();
        }
        Ok(existing.iter().map(|existing| created(existing.as_deref())).collect())
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        let key = key.clone();
        let found = self.read_record(move |connection| load(connection, key.as_str())).await?;
        found.map(|record| read(&record)).transpose()
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        let key = key.clone();
        let found = self.read_record(move |connection| load_with_spec(connection, &key)).await?;
        found.map(|stored| self.run_with_spec(stored)).transpose()
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        let sends = change.message.is_some();
        let writing = Writing::new(change).map_err(unwritable)?;
        let committed =
            self.run_counting(move |connection, tally| commit(connection, tally, &writing)).await?;
        match committed {
            Committed::Yes => {
                if sends {
                    self.arrived().notify_one();
                }
                Ok(true)
            }
            Committed::No(error) => Err(error),
        }
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        // Keys of children begin with their parent's, so they stand together in the index.
        let (from, to) = (format!("{key}/{attempt}."), format!("{key}/{attempt}/"));
        let depth = key.depth() + 1;
        let family = self
            .read(move |connection| {
                let sql = "SELECT key, record FROM runs WHERE key > ? AND key < ?";
                stored(&mut *connection.prepare_cached(sql)?, [from, to])
            })
            .await?;
        let family = family.iter().map(|(_, record)| read(record)).collect::<Result<Vec<Run>, _>>()?;
        let mut children: Vec<Run> = family.into_iter().filter(|run| run.key.depth() == depth).collect();
        children.sort_by_key(|run| run.key.step());
        Ok(children)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        let due = self
            .read(move |connection| {
                let sql = "SELECT key, record FROM runs WHERE due_at <= ? ORDER BY due_at LIMIT ?";
                let parameters = params![micros(now), limit.cast_signed()];
                stored(&mut *connection.prepare_cached(sql)?, parameters)
            })
            .await?;
        let mut runs = Vec::with_capacity(due.len());
        for (key, record) in due {
            match read_if_good(&key, &record) {
                Some(run) => runs.push(run),
                None => self.put_off(key, now),
            }
        }
        Ok(runs)
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        let (place, query) = (query.place()?.map(|cursor| cursor.place), query.clone());
        self.look(move |connection| match &query.tree_of {
            Some(root) => {
                let runs = tree(connection, root)?;
                Ok(RunPage { looked_at: runs.len(), runs, ..RunPage::default() })
            }
            None => page(connection, &query, place),
        })
        .await
    }

    async fn counts(&self) -> Result<Option<Counts>, StoreError> {
        self.look(tally::counts).await
    }

    async fn count(&self, query: &RunQuery) -> Result<Option<u64>, StoreError> {
        let query = query.clone();
        self.look(move |connection| tally::count(connection, &query)).await
    }

    async fn starts(&self, since: Minute, until: Minute) -> Result<Starts, StoreError> {
        self.look(move |connection| tally::starts(connection, since, until)).await
    }

    async fn past(&self, since: NaiveDate, until: NaiveDate) -> Result<Option<Vec<PastCount>>, StoreError> {
        self.past_counts(since, until).await.map(Some)
    }

    async fn beginning(&self, prefix: &str, limit: usize) -> Result<Beginning, StoreError> {
        let prefix = prefix.to_owned();
        let found = self.look(move |connection| beginning(connection, &prefix, limit)).await?;
        Ok(Beginning { keys: found.iter().filter_map(|key| key.parse().ok()).collect(), looked_at: None })
    }

    fn looks_up_beginnings(&self) -> bool {
        true
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.read_pauses().await
    }

    async fn put_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        self.write_pauses(pauses).await
    }

    async fn remove(&self, key: &RunKey) -> Result<bool, StoreError> {
        self.remove_run(key).await
    }

    async fn holder(&self, job_id: &JobId) -> Result<Option<RunKey>, StoreError> {
        let job_id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT key FROM locks WHERE job_id = ?")?;
            let key: Option<String> =
                statement.query_row([job_id.as_str()], |row| text(row, 0)).optional()?;
            let Some(key) = key.and_then(|key| key.parse().ok()) else { return Ok(None) };
            Ok(if is_unfinished(connection, &key)? { Some(key) } else { None })
        })
        .await
    }

    async fn gate(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        self.gate_view(gate, limit).await
    }

    async fn leave_gate(&self, gate: &Gate, key: &RunKey, _: Option<u64>) -> Result<(), StoreError> {
        self.take_from_gate(gate, key).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        let job_id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, record FROM runs WHERE job_id = ? AND status = 'waiting' ORDER BY id",
            )?;
            let mut rows = statement.query([job_id.as_str()])?;
            let mut line = Vec::new();
            while line.len() < limit
                && let Some(row) = rows.next()?
            {
                line.extend(run_of(row)?.filter(Run::is_in_line));
            }
            Ok(line)
        })
        .await
    }
}

impl Database {
    /// A run and its spec, as they are stored.
    pub(crate) fn run_with_spec(
        &self,
        (record, spec): (String, String),
    ) -> Result<(Run, RunSpec), StoreError> {
        Ok((read(&record)?, self.spec_of(spec)?))
    }

    /// A pinned spec. Most runs of a job have the same, which is read once.
    fn spec_of(&self, text: String) -> Result<RunSpec, StoreError> {
        if let Some(known) = self.specs().get(&text) {
            return Ok(known.clone());
        }
        let spec: RunSpec = serde_json::from_str(&text).map_err(corrupt_record)?;
        if text.len() <= MAX_SPEC_IN_ROW {
            self.specs().put(text, spec.clone());
        }
        Ok(spec)
    }

    /// Gives up every claim of a process that is gone, so that its runs are looked at at once.
    /// Only for a caller that knows that no other process works on this file.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn recover(&self, now: Timestamp) -> Result<usize, StoreError> {
        let recovered = self
            .run_counting(move |connection, tally| {
                // There may be very many that no worker has taken yet, and these need not be read.
                let sql = "SELECT key, record FROM runs WHERE due_at IS NOT NULL AND status <> 'dispatched'";
                let mut statement = connection.prepare(sql)?;
                let held: Vec<Run> = statement
                    .query_map([], run_of)?
                    .filter_map(|run| run.map(|run| run.filter(|run| run.lease.is_some())).transpose())
                    .collect::<Result<_, _>>()?;
                for run in &held {
                    let mut run = run.clone();
                    if let Some(lease) = &mut run.lease {
                        lease.until = now;
                    }
                    run.due_at = Some(now);
                    run.rev += 1;
                    let writing = Writing::new(&Change { run, lock: None, permit: None, message: None })
                        .map_err(broken)?;
                    commit(connection, tally, &writing)?;
                }
                Ok(held.len())
            })
            .await?;
        self.arrived().notify_one();
        Ok(recovered)
    }

    /// Has the sweeper look at a record that cannot be read later only: its error is to be logged, but not all the
    /// time. A process that can read it may have written it meanwhile.
    fn put_off(&self, key: String, now: Timestamp) {
        let until = micros(now + UNREADABLE_PAUSE);
        self.run_soon(move |connection| {
            let sql = "UPDATE runs SET due_at = ? WHERE key = ? AND due_at <= ?";
            connection.prepare_cached(sql)?.execute(params![until, &key, micros(now)]).map(drop)
        });
    }

    /// Of these runs, the ids of those that have ended with nothing left to do, or have no record.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn gone_or_done(&self, runs: Vec<RunId>) -> Result<Vec<RunId>, StoreError> {
        self.without(runs, "SELECT 1 FROM runs WHERE key = ? AND due_at IS NOT NULL").await
    }

    /// Of these runs, the ids of those that have no record.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn without_record(&self, runs: Vec<RunId>) -> Result<Vec<RunId>, StoreError> {
        self.without(runs, "SELECT 1 FROM runs WHERE key = ?").await
    }

    /// Of these runs, the ids of those for whose key a query gives nothing.
    async fn without(&self, runs: Vec<RunId>, query: &'static str) -> Result<Vec<RunId>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(query)?;
            let mut without = Vec::new();
            for run_id in runs {
                if !statement.exists([RunKey::root(run_id).as_str()])? {
                    without.push(run_id);
                }
            }
            Ok(without)
        })
        .await
    }

    /// The ids of all jobs that are there or have runs.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn known_jobs(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT job_id FROM jobs UNION SELECT DISTINCT job_id FROM runs";
            connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        })
        .await
    }

    /// How many runs are not done with, counted up to a limit.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn unfinished(&self, limit: usize) -> Result<usize, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE due_at IS NOT NULL LIMIT ?)";
            connection.prepare_cached(sql)?.query_row([limit.cast_signed()], |row| row.get::<_, i64>(0))
        })
        .await
        .map(|count| usize::try_from(count).unwrap_or(0))
    }
}

// The partial index on waiting runs, and what is taken over from a process that is gone, are written with
// these words.
const _: () = assert!(matches!(Status::Waiting.as_str().as_bytes(), b"waiting"));
const _: () = assert!(matches!(Status::Dispatched.as_str().as_bytes(), b"dispatched"));
