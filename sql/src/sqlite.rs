//! SQLite: a file, on a thread of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::connection::Login;
use pumice_core::ports::{Cell, DatabaseError, Rows, Session};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, InterruptHandle, OpenFlags};
use tokio::sync::mpsc::{Sender, channel};

use crate::{begins, of_connecting, show};

/// How long a statement waits for another that writes.
const BUSY: Duration = Duration::from_secs(30);
/// Most rows that are on their way to a file.
const AHEAD: usize = 256;

struct Sqlite {
    connection: Arc<Mutex<rusqlite::Connection>>,
    interrupt: InterruptHandle,
    /// Whether every statement is part of a transaction.
    transacts: bool,
}

pub(crate) async fn connect(login: &Login) -> Result<Box<dyn Session>, DatabaseError> {
    let file = login.host.clone();
    if file.starts_with("s3://") {
        let why = "a SQLite file in S3 is reached by the connection's script alone: use a cmd job";
        return Err(DatabaseError::lasting(format!("{file}: {why}")));
    }
    let opening = tokio::task::spawn_blocking(move || open(Path::new(&file)));
    let opened = opening.await.map_err(|error| DatabaseError::passing(error.to_string()))?;
    let connection = opened.map_err(|error| of_connecting(login, error))?;
    let interrupt = connection.get_interrupt_handle();
    let connection = Arc::new(Mutex::new(connection));
    Ok(Box::new(Sqlite { connection, interrupt, transacts: false }))
}

fn open(file: &Path) -> Result<rusqlite::Connection, DatabaseError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(file, flags).map_err(|error| of(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| of(&error))?;
    // A file that is not a database shows itself when it is read first.
    connection.query_row("select count(*) from sqlite_master", [], |_| Ok(())).map_err(|error| of(&error))?;
    Ok(connection)
}

fn of(error: &rusqlite::Error) -> DatabaseError {
    match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            let place =
                usize::try_from(*offset).ok().and_then(|at| sql.get(..at)).map(|text| text.chars().count());
            DatabaseError { message: msg.clone(), place, retryable: !msg.contains("syntax error") }
        }
        other => DatabaseError::passing(other.to_string()),
    }
}

/// A message from the thread of a statement.
enum Given {
    Columns(Vec<String>),
    Row(Vec<Cell>),
}

#[async_trait]
impl Session for Sqlite {
    async fn execute(&mut self, sql: &str, rows: &mut dyn Rows) -> Result<(), DatabaseError> {
        let (sender, mut given) = channel(AHEAD);
        let (connection, sql, transacts) = (self.connection.clone(), sql.to_owned(), self.transacts);
        let working = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&connection, &sql, transacts, &sender)
        });
        let mut taken = Ok(());
        while let Some(given) = given.recv().await {
            taken = match given {
                Given::Columns(names) => rows.columns(names),
                Given::Row(row) => rows.row(row),
            };
            if taken.is_err() {
                break;
            }
        }
        // The statement ends when nothing takes its rows.
        drop(given);
        let worked = working.await.map_err(|error| DatabaseError::passing(error.to_string()))?;
        taken.map_err(DatabaseError::passing)?;
        worked
    }

    fn transact(&mut self) {
        self.transacts = true;
    }

    async fn has_open_transaction(&mut self) -> Result<bool, DatabaseError> {
        Ok(!self.connection.lock().unwrap_or_else(PoisonError::into_inner).is_autocommit())
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // An abandoned statement ends on its thread, and its transaction is rolled back with the connection.
        self.interrupt.interrupt();
    }
}

fn work(
    connection: &rusqlite::Connection,
    sql: &str,
    transacts: bool,
    to: &Sender<Given>,
) -> Result<(), DatabaseError> {
    let mut batch = Batch::new(connection, sql);
    while let Some(mut statement) = batch.next().map_err(|error| of(&error))? {
        if transacts && connection.is_autocommit() && !begins(&statement.expanded_sql().unwrap_or_default()) {
            connection.execute_batch("BEGIN").map_err(|error| of(&error))?;
        }
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let count = names.len();
        if count > 0 && to.blocking_send(Given::Columns(names)).is_err() {
            return Ok(());
        }
        let mut rows = statement.query([]).map_err(|error| of(&error))?;
        while let Some(row) = rows.next().map_err(|error| of(&error))? {
            let cells = (0..count).map(|index| cell(row.get_ref(index).map_err(|error| of(&error))?, index));
            let cells = cells.collect::<Result<_, _>>()?;
            if to.blocking_send(Given::Row(cells)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn cell(value: ValueRef<'_>, index: usize) -> Result<Cell, DatabaseError> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number.to_string()),
        ValueRef::Real(number) => Cell::Number(show::float(number)),
        ValueRef::Text(text) => Cell::Text(show::text(text.to_vec(), index)?),
        ValueRef::Blob(blob) => Cell::Text(show::bytes(blob)),
    })
}
