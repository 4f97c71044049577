//! The way to the connection: operations that come at the same time share a transaction.
//!
//! A caller puts its operation in line. One that finds the connection free carries out all that
//! stand in line, in one transaction, and answers each once it is committed. So a single caller goes
//! straight through, and a busy engine pays for one commit for many writes. Operations that came meanwhile are left
//! to a task of its own, for a caller may be dropped, or not be polled while it waits: none is ever
//! waited for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use pumice_core::ports::{StoreError, StoreErrorKind};
use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::checkpoint::WriteAheadLog;
use crate::database::explain;
use crate::flight::InFlight;
use crate::held::Held;
use crate::tally::Tally;

/// Most operations in one transaction.
const MAX_BATCH: usize = 512;

/// Something that stands in line.
trait Operation: Send {
    /// Whether it writes, and needs a transaction.
    fn writes(&self) -> bool;
    fn carry_out(&mut self, connection: &Connection, tally: &mut Tally) -> Result<(), rusqlite::Error>;
    /// Answers the caller, once all is committed or none of it took place. Returns the write that is to come with the next
    /// transaction instead, where nothing waits for it.
    fn answer(self: Box<Self>, outcome: &Result<(), StoreError>) -> Option<Ahead>;
}

/// An operation and its caller, which waits for the answer.
struct Asked<T, F> {
    writes: bool,
    operation: Option<F>,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Operation for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &mut Tally) -> Result<T, rusqlite::Error> + Send,
{
    fn writes(&self) -> bool {
        self.writes
    }

    fn carry_out(&mut self, connection: &Connection, tally: &mut Tally) -> Result<(), rusqlite::Error> {
        if let Some(operation) = self.operation.take() {
            self.value = Some(operation(connection, tally)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: &Result<(), StoreError>) -> Option<Ahead> {
        let answer = match (outcome, self.value) {
            (Err(error), _) => Err(error.clone()),
            (Ok(()), value) => Ok(value?),
        };
        // The caller may have gone, and needs no answer then.
        drop(self.answer.send(answer));
        None
    }
}

/// A write that nothing waits for. It is carried out until it has taken place.
struct Unasked<F>(F);

impl<F> Operation for Unasked<F>
where
    F: Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync + 'static,
{
    fn writes(&self) -> bool {
        true
    }

    fn carry_out(&mut self, connection: &Connection, _: &mut Tally) -> Result<(), rusqlite::Error> {
        (self.0)(connection)
    }

    fn answer(self: Box<Self>, outcome: &Result<(), StoreError>) -> Option<Ahead> {
        outcome.is_err().then(|| Box::new(self.0) as Ahead)
    }
}

/// A write that comes with the next one of another.
type Ahead = Box<dyn Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync>;

/// A connection, and the operations in line for it.
pub(crate) struct Line {
    connection: Mutex<Connection>,
    waiting: Mutex<VecDeque<Box<dyn Operation>>>,
    /// Operations for the beginning of the next transaction that writes, until one has taken place.
    ahead: Mutex<Vec<Ahead>>,
    /// Whether a task of its own works the line off: callers leave it to that one.
    helped: AtomicBool,
    log: Arc<WriteAheadLog>,
    /// The messages that this process has handed out.
    in_flight: Mutex<InFlight>,
    /// The files that the connection has open.
    held: Held,
    /// SQLite's message when it found the file damaged.
    damage: OnceLock<String>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.held.is_in_place() {
            return;
        }
        // The connection that closes the store last removes its log by name, and that is the log of other processes.
        let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Ok(other) = Connection::open_in_memory() {
            std::mem::forget(std::mem::replace(connection, other));
        }
    }
}

impl Line {
    pub(crate) fn new(connection: Connection, log: Arc<WriteAheadLog>, held: Held) -> Self {
        let (connection, waiting) = (Mutex::new(connection), Mutex::default());
        let (ahead, helped) = (Mutex::default(), AtomicBool::new(false));
        let in_flight = Mutex::default();
        Self { connection, waiting, ahead, helped, log, in_flight, held, damage: OnceLock::new() }
    }

    /// The files of the store that this process has open.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// The write-ahead log, which the writer keeps short.
    pub(crate) fn log(&self) -> &Arc<WriteAheadLog> {
        &self.log
    }

    /// Carries out an operation, which may change counts; its result is given once it is committed.
    pub(crate) async fn carry_out<T, F>(self: &Arc<Self>, writes: bool, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Tally) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let (answer, mut answered) = oneshot::channel();
        self.push(Box::new(Asked { writes, operation: Some(operation), value: None, answer }));
        // Let other ready callers join in.
        yield_now().await;
        if let Ok(answer) = answered.try_recv() {
            // Another caller carried it out. Callers that are about to join the line come with the next.
            return answer;
        }
        if !self.helped.load(Ordering::SeqCst) && self.work_off() {
            self.leave_to_a_task();
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::unreachable("the store was closed")))
    }

    /// SQLite's message when it found the file damaged, if it did.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Records SQLite's message when a reader found the file damaged.
    pub(crate) fn record_damage(&self, error: String) {
        self.damage.get_or_init(|| error);
    }

    /// Queues a write for the next transaction, and for those after it until one has taken place: nothing waits for it.
    pub(crate) fn carry_out_soon<F>(&self, operation: F)
    where
        F: Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync + 'static,
    {
        self.push(Box::new(Unasked(operation)));
    }

    /// Has a write carried out with the next write of another, before it: both take place or neither does.
    pub(crate) fn carry_out_ahead<F>(&self, operation: F)
    where
        F: Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync + 'static,
    {
        self.ahead().push(Box::new(operation));
    }

    /// The messages that this process has handed out. Changes are undone with the transaction that makes them.
    pub(crate) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead(&self) -> MutexGuard<'_, Vec<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, operation: Box<dyn Operation>) {
        self.waiting().push_back(operation);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Box<dyn Operation>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out the operations in line, unless another thread does. Returns whether more have come
    /// meanwhile, which the caller must see to then.
    fn work_off(&self) -> bool {
        let connection = match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // The other thread looks at the line again after it has let go.
            Err(TryLockError::WouldBlock) => return false,
        };
        let mut batch: Vec<Box<dyn Operation>> = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(MAX_BATCH);
            waiting.drain(..count).collect()
        };
        if !batch.is_empty() {
            let writes = batch.iter().any(|operation| operation.writes());
            let ahead = if writes { std::mem::take(&mut *self.ahead()) } else { Vec::new() };
            batch.splice(..0, ahead.into_iter().map(|ahead| Box::new(Unasked(ahead)) as Box<dyn Operation>));
            let outcome = self.commit_held(&connection, &mut batch, writes).map_err(|failed| {
                if let Failed::Sqlite(error) = &failed
                    && is_damage(error)
                {
                    self.damage.get_or_init(|| error.to_string());
                }
                tracing::error!(error = %failed, "the store failed");
                failed.into_store_error()
            });
            self.in_flight().settle(outcome.is_ok());
            let again: Vec<Ahead> =
                batch.into_iter().filter_map(|operation| operation.answer(&outcome)).collect();
            if !again.is_empty() {
                self.ahead().splice(..0, again);
            }
            // Without a thread for it work goes on: writers checkpoint the log then.
            let kept = catch_unwind(AssertUnwindSafe(|| self.log.keep_short(&connection)));
            if kept.is_err() {
                tracing::warn!("the write-ahead log of the store is not kept short");
            }
        }
        drop(connection);
        !self.waiting().is_empty()
    }

    /// Carries out operations in one transaction, if those that write write to the files that other processes see.
    fn commit_held(
        &self,
        connection: &Connection,
        batch: &mut [Box<dyn Operation>],
        writes: bool,
    ) -> Result<(), Failed> {
        let check = || match writes.then(|| self.held.fault()).flatten() {
            Some(fault) => Err(Failed::Replaced(fault)),
            None => Ok(()),
        };
        check()?;
        commit(connection, batch)?;
        // They may have been replaced meanwhile: then nothing of it counts.
        check()
    }

    /// Has a task of its own work off the line until it is empty.
    fn leave_to_a_task(self: &Arc<Self>) {
        if self.helped.swap(true, Ordering::SeqCst) {
            return;
        }
        let line = self.clone();
        tokio::spawn(async move {
            loop {
                // Callers that were answered go on first, and join in with their next operations.
                yield_now().await;
                if line.work_off() {
                    continue;
                }
                line.helped.store(false, Ordering::SeqCst);
                // A caller that came before that has left it to this task.
                if line.waiting().is_empty() || line.helped.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }
}

/// Why operations were not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("{}", explain(.0))]
    Sqlite(rusqlite::Error),
    #[error("an operation panicked")]
    Panicked,
    #[error("{0}: what was to be written is not accepted")]
    Replaced(String),
}

impl Failed {
    /// The error for callers.
    pub(crate) fn into_store_error(self) -> StoreError {
        use rusqlite::ErrorCode::{
            AuthorizationForStatementDenied, DiskFull, PermissionDenied, ReadOnly, TooBig,
        };
        let kind = match &self {
            Self::Sqlite(error) if is_damage(error) => StoreErrorKind::Corrupt,
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(PermissionDenied | ReadOnly | AuthorizationForStatementDenied) => StoreErrorKind::Denied,
                Some(DiskFull) => StoreErrorKind::Full,
                Some(TooBig) => StoreErrorKind::Invalid,
                _ => StoreErrorKind::Unreachable,
            },
            Self::Panicked => StoreErrorKind::Unreachable,
            Self::Replaced(_) => StoreErrorKind::Corrupt,
        };
        StoreError::of(kind, format!("the store failed: {self}")).caused_by(self)
    }
}

/// Whether the file is not what SQLite wrote.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure, Unknown};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => true,
        // A file is shorter than what was written to it.
        Some(SystemIoFailure) => {
            let code = error.sqlite_error().map(|error| error.extended_code);
            code == Some(rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
        }
        // A table that each version has is gone, or has another form.
        Some(Unknown) => {
            let message = error.to_string();
            ["no such table", "no such column", "has no column named", "no such index"]
                .iter()
                .any(|missing| message.contains(missing))
        }
        _ => false,
    }
}

/// Carries out operations in one transaction. When one fails or panics, none took place.
fn commit(connection: &Connection, batch: &mut [Box<dyn Operation>]) -> Result<(), Failed> {
    // Else rolling back failed the last time.
    roll_back(connection)?;
    let begin = match (batch.len(), batch.iter().any(|operation| operation.writes())) {
        (_, true) => Some("BEGIN IMMEDIATE"),
        // A statement alone is a transaction of its own.
        (1, false) => None,
        (_, false) => Some("BEGIN"),
    };
    let carried_out = catch_unwind(AssertUnwindSafe(|| {
        // Not rusqlite's transactions, whose statements are compiled each time.
        if let Some(begin) = begin {
            connection.prepare_cached(begin)?.execute([])?;
        }
        let mut tally = Tally::default();
        batch.iter_mut().try_for_each(|operation| operation.carry_out(connection, &mut tally))?;
        tally.write(connection)?;
        if begin.is_some() {
            connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }));
    let outcome = match carried_out {
        Ok(outcome) => outcome.map_err(Failed::Sqlite),
        Err(_) => Err(Failed::Panicked),
    };
    if outcome.is_err() {
        roll_back(connection)?;
    }
    outcome
}

/// Leaves a transaction that was not ended.
fn roll_back(connection: &Connection) -> Result<(), Failed> {
    if connection.is_autocommit() {
        return Ok(());
    }
    connection.execute_batch("ROLLBACK").map_err(Failed::Sqlite)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use crate::database::{Database, Durability};

    use super::*;

    fn open(folder: &tempfile::TempDir) -> Database {
        Database::open(&folder.path().join("realm.db"), folder.path(), Durability::Normal).unwrap()
    }

    fn put(connection: &Connection, name: &str) -> Result<usize, rusqlite::Error> {
        connection.execute("INSERT INTO meta VALUES (?, '')", [name])
    }

    fn is_there(connection: &Connection, name: &str) -> Result<bool, rusqlite::Error> {
        connection.prepare("SELECT 1 FROM meta WHERE name = ?")?.exists([name])
    }

    #[tokio::test]
    async fn operation_that_panics_fails_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let panicking = database.run(|connection| -> Result<(), _> {
            panic!("after {:?}", put(connection, "half"));
        });
        let error = panicking.await.unwrap_err().to_string();
        assert!(error.contains("panicked"), "{error}");
        // A read alone, which has no transaction of its own, and a write.
        assert!(!database.read(|connection| is_there(connection, "half")).await.unwrap());
        database.run(|connection| put(connection, "whole")).await.unwrap();
        assert!(database.read(|connection| is_there(connection, "whole")).await.unwrap());
    }

    #[tokio::test]
    async fn failed_operation_returns_its_error_to_its_caller() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let bad = database.run(|connection| connection.execute("INSERT INTO nowhere VALUES (1)", []));
        let error = bad.await.unwrap_err().to_string();
        assert!(error.contains("no such table: nowhere"), "{error}");
    }

    #[tokio::test]
    async fn write_ahead_comes_with_the_next_write_that_takes_place() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        database.run_ahead(|connection| put(connection, "ahead").map(drop));
        assert!(
            !database.read(|connection| is_there(connection, "ahead")).await.unwrap(),
            "a read brings it not"
        );
        let bad = database.run(|connection| connection.execute("INSERT INTO nowhere VALUES (1)", []));
        bad.await.unwrap_err();
        assert!(!database.read(|connection| is_there(connection, "ahead")).await.unwrap());
        let both = |connection: &Connection| Ok((is_there(connection, "ahead")?, put(connection, "own")?));
        assert_eq!(database.run(both).await.unwrap(), (true, 1), "it is before the write that brings it");
        assert!(database.read(|connection| is_there(connection, "own")).await.unwrap());
    }

    /// A parent that waits for something else does not poll its children meanwhile.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn caller_that_is_not_polled_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let (began, begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let busy = database.clone();
        let first = tokio::spawn(async move {
            busy.run(move |_| {
                began.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            })
            .await
        });
        tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        let mut abandoned = pin!(database.run(|connection| put(connection, "abandoned")));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(abandoned.as_mut().poll(&mut context).is_pending());
        }
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        let next = database.read(|connection| is_there(connection, "abandoned"));
        let found = tokio::time::timeout(Duration::from_secs(20), next).await.expect("it is carried out");
        assert!(found.unwrap());
    }
}
