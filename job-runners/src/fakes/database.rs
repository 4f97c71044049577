//! A database that a test plays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::connection::Login;
use pumice_core::ports::{Cell, DatabaseError, Databases, Rows, Session};

use super::lock;

/// A statement's answer: columns and rows, or an error.
pub(crate) type Answer = Result<(Vec<&'static str>, Vec<Vec<Cell>>), DatabaseError>;

/// Answers statements by how they begin; others give no rows. A statement that begins with `hang` never ends, and one with
/// `&&` in it, behind a `call` or without, gives several results.
#[derive(Clone, Default)]
pub(crate) struct Database {
    /// The error of every attempt to connect.
    pub(crate) refused: Option<DatabaseError>,
    pub(crate) answers: Vec<(&'static str, Answer)>,
    given: Arc<Mutex<Vec<String>>>,
}

impl Database {
    /// The statements so far, `connect`, `transact` and `close` among them.
    pub(crate) fn given(&self) -> Vec<String> {
        lock(&self.given).clone()
    }

    fn note(&self, what: &str) {
        lock(&self.given).push(what.to_owned());
    }
}

#[async_trait]
impl Databases for Database {
    async fn connect(
        &self,
        login: &Login,
        application: &str,
        _: Duration,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        self.note(&format!("connect {}@{} as {application}", login.user, login.host));
        match &self.refused {
            Some(error) => Err(error.clone()),
            None => Ok(Box::new(self.clone())),
        }
    }
}

#[async_trait]
impl Session for Database {
    async fn execute(&mut self, sql: &str, rows: &mut dyn Rows) -> Result<(), DatabaseError> {
        self.note(sql);
        if sql.starts_with("hang") {
            return std::future::pending().await;
        }
        for one in sql.strip_prefix("call ").unwrap_or(sql).split(" && ") {
            let answer = self.answers.iter().find(|(begin, _)| one.starts_with(begin));
            let Some((_, answer)) = answer else { continue };
            let (names, cells) = answer.clone()?;
            rows.columns(names.into_iter().map(str::to_owned).collect()).map_err(DatabaseError::passing)?;
            cells.into_iter().try_for_each(|row| rows.row(row)).map_err(DatabaseError::passing)?;
        }
        Ok(())
    }

    fn transact(&mut self) {
        self.note("transact");
    }

    async fn has_open_transaction(&mut self) -> Result<bool, DatabaseError> {
        let given = lock(&self.given);
        let last = given.iter().rev().find(|sql| ["begin", "commit"].contains(&sql.as_str()));
        Ok(last.is_some_and(|sql| sql == "begin"))
    }

    async fn close(self: Box<Self>) {
        self.note("close");
    }
}
