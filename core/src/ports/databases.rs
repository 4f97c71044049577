//! Databases that speak SQL.

use std::time::Duration;

use async_trait::async_trait;

use crate::connection::Login;
use crate::problem::Invalid;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as Python's `str` shows it.
    Number(String),
    /// Any other value, as Python's `str` shows it where the database does not show it better.
    Text(String),
}

impl Cell {
    /// The text that a file has; empty for null.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Bool(true) => "True",
            Self::Bool(false) => "False",
            Self::Number(text) | Self::Text(text) => text,
        }
    }
}

/// Takes the rows of a statement as they come.
pub trait Rows: Send {
    /// The names of the columns, before the first row, and again before the rows of each further result. A statement that
    /// gives no rows, as an insert, has none.
    ///
    /// # Errors
    /// Why they cannot be taken: the statement is given up.
    fn columns(&mut self, names: Vec<String>) -> Result<(), Invalid>;

    /// A row.
    ///
    /// # Errors
    /// As [`columns`](Self::columns).
    fn row(&mut self, row: Vec<Cell>) -> Result<(), Invalid>;
}

/// A database's refusal, or the reason why it cannot be reached. Messages hold no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
    /// The database's message: a lower-case fragment, or its own words.
    pub message: String,
    /// The place in the statement that it names, in characters from 0.
    pub place: Option<usize>,
    /// Whether another attempt may go well.
    pub retryable: bool,
}

impl DatabaseError {
    /// An error after which another attempt may go well.
    #[must_use]
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, retryable: true }
    }

    /// An error that stays.
    #[must_use]
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, retryable: false }
    }
}

/// A connection to a database. Dropping it rolls uncommitted work back.
#[async_trait]
pub trait Session: Send {
    /// Carries out a text of SQL, and gives the rows to `rows`.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database refuses it, the connection breaks, or `rows` does not take a row.
    async fn execute(&mut self, sql: &str, rows: &mut dyn Rows) -> Result<(), DatabaseError>;

    /// Has every further statement be part of a transaction: where none is open, as after a statement that committed, the
    /// next one begins another. `COMMIT` and `ROLLBACK` end the last one. Without it each statement is committed by itself.
    fn transact(&mut self);

    /// Whether a statement has begun a transaction that holds changes and that none has ended: they are lost with the connection.
    ///
    /// # Errors
    /// [`DatabaseError`] when the server does not answer.
    async fn has_open_transaction(&mut self) -> Result<bool, DatabaseError>;

    /// Ends the connection in an orderly way. It is good manners, and nothing depends on it.
    async fn close(self: Box<Self>);
}

/// Connects to databases.
#[async_trait]
pub trait Databases: Send + Sync {
    /// Whether this process has drivers at all.
    fn is_there(&self) -> bool {
        true
    }

    /// Connects and logs in within `limit`, as the program `application`.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database cannot be reached or refuses the login, or speaks a protocol that the
    /// implementation does not.
    async fn connect(
        &self,
        login: &Login,
        application: &str,
        limit: Duration,
    ) -> Result<Box<dyn Session>, DatabaseError>;
}

/// Connects to none.
#[derive(Clone, Copy, Debug)]
pub struct NoDatabases {
    /// Why: completes "cannot connect to a database: …".
    pub why: &'static str,
}

#[async_trait]
impl Databases for NoDatabases {
    fn is_there(&self) -> bool {
        false
    }

    async fn connect(&self, _: &Login, _: &str, _: Duration) -> Result<Box<dyn Session>, DatabaseError> {
        Err(DatabaseError::lasting(format!("cannot connect to a database: {}", self.why)))
    }
}
