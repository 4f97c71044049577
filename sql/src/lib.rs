//! Databases that jobs reach: PostgreSQL and Redshift, MySQL and MariaDB by sqlx, SQLite by rusqlite.

mod mysql;
mod postgres;
mod show;
mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use pumice_core::connection::{Family, Login};
use pumice_core::ports::{DatabaseError, Databases, Session};

/// Connects to databases by their drivers. Nothing is made before the first connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drivers;

#[async_trait]
impl Databases for Drivers {
    async fn connect(
        &self,
        login: &Login,
        application: &str,
        limit: Duration,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        let connecting = async {
            match login.family {
                Family::Postgres | Family::Redshift => postgres::connect(login, application).await,
                Family::Mysql => mysql::connect(login).await,
                Family::Sqlite => sqlite::connect(login).await,
                Family::Oracle | Family::Mssql => Err(DatabaseError::lasting(format!(
                    "SQL jobs reach PostgreSQL, Redshift, MySQL, MariaDB and SQLite, not {}: use the client of the connection in a cmd job",
                    if login.family == Family::Oracle { "Oracle" } else { "SQL Server" }
                ))),
            }
        };
        let late = || DatabaseError::passing(format!("{} does not answer within {limit:?}", place(login)));
        tokio::time::timeout(limit, connecting).await.map_err(|_| late())?
    }
}

/// A server, for people.
fn place(login: &Login) -> String {
    match login.family {
        Family::Sqlite => login.host.clone(),
        _ => format!("{}:{}", login.host, login.port),
    }
}

/// The error of an attempt to connect.
fn of_connecting(login: &Login, error: DatabaseError) -> DatabaseError {
    DatabaseError { message: format!("cannot log in to {}: {}", place(login), error.message), ..error }
}

/// The text of an error of sqlx that has not come from the database itself.
fn of_driver(error: &sqlx::Error) -> DatabaseError {
    let (mut text, mut next) = (error.to_string(), std::error::Error::source(error));
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    match error {
        sqlx::Error::Configuration(_) => DatabaseError::lasting(text),
        _ => DatabaseError::passing(text),
    }
}

/// Words that statements begin with which may give no rows and have columns all the same.
const OF_ROWS: [&str; 12] = [
    "select", "with", "show", "values", "table", "explain", "call", "desc", "describe", "fetch", "check",
    "analyze",
];

/// Whether a statement that gave no row may have columns.
fn may_have_columns(sql: &str) -> bool {
    let small = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(').to_ascii_lowercase();
    let word = small.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    OF_ROWS.contains(&word) || word.is_empty() || small.contains("returning")
}
