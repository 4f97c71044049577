//! Databases that jobs reach: PostgreSQL and Redshift, MySQL and MariaDB by sqlx, SQLite by rusqlite.

mod give_rows;
mod mysql;
mod postgres;
mod show;
mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use pumice_core::address::is_forbidden;
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
            if matches!(login.family, Family::Postgres | Family::Redshift | Family::Mysql) {
                check_address(login).await.map_err(|error| of_connecting(login, error))?;
            }
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

/// Refuses a server with an address that is never called. The driver looks the name up again, since a server may choose its
/// certificate by the name.
async fn check_address(login: &Login) -> Result<(), DatabaseError> {
    // The folder of a socket.
    if login.host.starts_with('/') {
        return Ok(());
    }
    let found = tokio::net::lookup_host((login.host.as_str(), login.port)).await;
    let found = found.map_err(|error| DatabaseError::passing(format!("its name is not found: {error}")))?;
    match found.map(|address| address.ip()).find(|address| is_forbidden(*address)) {
        None => Ok(()),
        Some(address) => Err(DatabaseError::lasting(format!(
            "its address {address} is link-local, where clouds hand out credentials: it is not called"
        ))),
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

/// Words that begin a transaction.
const BEGINNING: [&str; 2] = ["begin", "start"];

/// Words that statements begin with which may give no rows and have columns all the same.
const OF_ROWS: [&str; 12] = [
    "select", "with", "show", "values", "table", "explain", "call", "desc", "describe", "fetch", "check",
    "analyze",
];

/// Whether a statement that gave no row may have columns.
fn may_have_columns(sql: &str) -> bool {
    let word = first_word(sql.trim_start_matches(|c: char| c.is_whitespace() || c == '('));
    OF_ROWS.contains(&&*word) || word.is_empty() || sql.to_ascii_lowercase().contains("returning")
}

/// The word that a statement begins with, in small letters; empty when it begins with anything else, as a comment.
fn first_word(sql: &str) -> String {
    let word = sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    word.unwrap_or_default().to_ascii_lowercase()
}

/// Whether a statement begins a transaction itself.
fn begins(sql: &str) -> bool {
    BEGINNING.contains(&&*first_word(sql))
}

#[cfg(test)]
mod tests {
    use pumice_core::ports::{Cell, Rows};
    use pumice_core::problem::Invalid;

    use super::*;

    fn login(family: Family, host: &str) -> Login {
        Login {
            family,
            host: host.to_owned(),
            port: 5432,
            database: Some("d".to_owned()),
            user: "u".to_owned(),
            password: None,
            is_token: false,
            ssl: false,
            ca_cert: None,
            service_name: None,
            sid: None,
            edition: None,
            timeout: None,
        }
    }

    #[tokio::test]
    async fn link_local_server_is_never_called() {
        for family in [Family::Postgres, Family::Redshift, Family::Mysql] {
            for host in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"] {
                let refused = Drivers.connect(&login(family, host), "a", Duration::from_secs(60)).await;
                let error = refused.err().unwrap();
                assert!(
                    error.message.contains("is link-local") && !error.retryable,
                    "{family:?} {host}: {error}"
                );
            }
        }
    }

    struct All(Vec<Cell>);

    impl Rows for All {
        fn columns(&mut self, _: Vec<String>) -> Result<(), Invalid> {
            Ok(())
        }

        fn row(&mut self, row: Vec<Cell>) -> Result<(), Invalid> {
            self.0.extend(row);
            Ok(())
        }
    }

    /// The values of a statement's rows; its error.
    async fn values(sql: &str) -> Result<Vec<Cell>, DatabaseError> {
        let login = login(Family::Sqlite, ":memory:");
        let mut session = Drivers.connect(&login, "a", Duration::from_secs(60)).await?;
        let mut all = All(Vec::new());
        session.execute(sql, &mut all).await.map(|()| all.0)
    }

    #[tokio::test]
    async fn session_of_sqlite_that_only_reads_refuses_to_write() {
        // As a query of items begins (`job-runners/src/sql/query.rs`).
        let begun = "create table t (a); insert into t values (1); PRAGMA query_only = ON;";
        for write in ["delete from t returning a", "with q as (select 1) delete from t", "drop table t"] {
            let error = values(&format!("{begun} {write}")).await.unwrap_err();
            assert!(error.message.contains("readonly"), "{write}: {error}");
        }
        assert_eq!(
            values(&format!("{begun} select a from t")).await.unwrap(),
            [Cell::Number("1".to_owned())]
        );
    }

    /// The numbers that a table of SQLite has after texts that are one transaction, which ends in this way.
    async fn left(texts: &[&str], end: &str) -> Vec<String> {
        let login = login(Family::Sqlite, ":memory:");
        let mut session = Drivers.connect(&login, "a", Duration::from_secs(60)).await.unwrap();
        let mut all = All(Vec::new());
        session.execute("create table t (a)", &mut all).await.unwrap();
        session.transact();
        for text in texts.iter().chain([&end, &"select a from t order by a"]) {
            session
                .execute(text, &mut all)
                .await
                .unwrap_or_else(|error| panic!("{texts:?}: {text}: {error}"));
        }
        let shown = |cell: Cell| if let Cell::Number(number) = cell { number } else { panic!("{cell:?}") };
        all.0.into_iter().map(shown).collect()
    }

    #[tokio::test]
    async fn transaction_of_sqlite_ended_by_its_text_begins_anew() {
        let (one, two) = ("insert into t values (1)", "insert into t values (2)");
        for (texts, kept) in [
            (vec![one, two], vec![]),
            (vec![one, "commit", two], vec!["1"]),
            (vec![one, "rollback", two], vec![]),
            (vec![one, "commit", "begin", two], vec!["1"]),
            (vec![one, "commit", "begin immediate", two, "end"], vec!["1", "2"]),
            (vec!["insert into t values (1); commit; insert into t values (2)"], vec!["1"]),
            (vec!["insert into t values (1); commit;\nbegin immediate; insert into t values (2)"], vec!["1"]),
            (vec!["insert into t values (1); rollback; insert into t values (2)"], vec![]),
        ] {
            assert_eq!(left(&texts, "ROLLBACK").await, kept, "{texts:?}");
        }
        for (texts, kept) in [
            (vec![], vec![]),
            (vec![one, "commit", two], vec!["1", "2"]),
            (vec![one, "commit"], vec!["1"]),
            (vec![one, "rollback", two], vec!["2"]),
        ] {
            assert_eq!(left(&texts, "COMMIT").await, kept, "{texts:?}");
        }
    }

    #[tokio::test]
    async fn text_of_sqlite_that_is_not_utf8_is_refused() {
        let error = values("select 1, cast(x'ff41' as text)").await.unwrap_err();
        assert!(error.message.contains("column 2 has a text that is not UTF-8, \\xff41"), "{error}");
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(values("select 'ü', x'ff41'").await.unwrap(), [text("ü"), text("\\xff41")]);
    }
}
