//! PostgreSQL, and Redshift, which speaks its protocol.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use pumice_core::connection::{Family, Login};
use pumice_core::ports::{Cell, DatabaseError, Rows, Session};
use pumice_core::secret::SecretText;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgDatabaseError, PgErrorPosition, PgRow, PgSslMode, PgValueFormat,
};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, Row, SqlSafeStr, Statement,
    TypeInfo, ValueRef,
};

use crate::give_rows::give_rows;
use crate::{begins, first_word, may_have_columns, of_connecting, of_driver, show};

/// The state of an error in the syntax (PostgreSQL, Error Codes).
const SYNTAX: &str = "42601";
/// The state of a login that is refused.
const LOGIN: [&str; 2] = ["28000", "28P01"];

/// The server's answers to a copy from and to its client (PostgreSQL, Message Formats), which the driver names in its error.
const COPY: [&str; 3] = ["CopyInResponse", "CopyOutResponse", "CopyBothResponse"];

/// Words that end a transaction, and those that do so in Redshift alone.
const ENDING: [&str; 5] = ["abort", "commit", "end", "prepare", "rollback"];
const ENDING_REDSHIFT: [&str; 2] = ["call", "truncate"];

struct Postgres {
    connection: PgConnection,
    /// Whether every statement is part of a transaction, and whether one is open as far as is known: the driver does not
    /// show it, and a `BEGIN` within one is only warned of.
    transacts: bool,
    is_open: bool,
    /// Whether a text has begun a transaction by its words, and none has ended it.
    is_begun: bool,
    is_redshift: bool,
}

/// Whether a transaction may have ended with a text. One that begins with a comment, or has several statements, may
/// have the word anywhere.
fn may_end(sql: &str, is_redshift: bool) -> bool {
    let is_ending = |word: &str| ENDING.contains(&word) || is_redshift && ENDING_REDSHIFT.contains(&word);
    let first = first_word(sql);
    if !first.is_empty() && !sql.contains(';') {
        return is_ending(&first);
    }
    let small = sql.to_ascii_lowercase();
    small.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_ending)
}

pub(crate) async fn connect(login: &Login, application: &str) -> Result<Box<dyn Session>, DatabaseError> {
    let password = login.password.as_ref().map(SecretText::reveal).unwrap_or_default();
    let mode = match (login.ssl, &login.ca_cert) {
        (true, Some(_)) => PgSslMode::VerifyCa,
        (true, None) => PgSslMode::Require,
        (false, _) => PgSslMode::Prefer,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&login.host)
        .port(login.port)
        .username(&login.user)
        .password(password)
        .database(login.database.as_deref().unwrap_or_default())
        .application_name(application)
        .ssl_mode(mode)
        .disable_statement_logging();
    if let Some(ca_cert) = &login.ca_cert {
        options = options.ssl_root_cert(ca_cert);
    }
    match options.connect().await {
        Ok(connection) => {
            let is_redshift = login.family == Family::Redshift;
            let (transacts, is_open, is_begun) = (false, false, false);
            Ok(Box::new(Postgres { connection, transacts, is_open, is_begun, is_redshift }))
        }
        Err(error) => Err(of_connecting(login, of(&error))),
    }
}

fn of(error: &sqlx::Error) -> DatabaseError {
    let of_server = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let Some(of_server) = of_server else {
        return match of_driver(error) {
            error if COPY.iter().any(|answer| error.message.contains(answer)) => DatabaseError::lasting(
                "a copy from or to the client is not possible here: let the client do it in a sqlc job",
            ),
            error => error,
        };
    };
    let mut message = of_server.message().to_owned();
    for more in [of_server.detail(), of_server.hint()].into_iter().flatten() {
        message = format!("{message}; {more}");
    }
    let place = match of_server.position() {
        Some(PgErrorPosition::Original(place)) => Some(place.saturating_sub(1)),
        _ => None,
    };
    let retryable = of_server.code() != SYNTAX && !LOGIN.contains(&of_server.code());
    DatabaseError { message, place, retryable }
}

#[async_trait]
impl Session for Postgres {
    async fn execute(&mut self, sql: &str, rows: &mut dyn Rows) -> Result<(), DatabaseError> {
        if self.transacts {
            // An end needs no beginning, and one that follows a failure must not be kept back by it.
            let is_end = !sql.contains(';') && ENDING.contains(&&*first_word(sql));
            if !self.is_open && !is_end && !begins(sql) {
                let begun = sqlx::raw_sql("BEGIN").execute(&mut self.connection).await;
                begun.map_err(|error| of(&error))?;
            }
            self.is_open = !may_end(sql, self.is_redshift);
        }
        self.is_begun = begins(sql) || self.is_begun && !may_end(sql, self.is_redshift);
        give_rows!(self.connection, sql, rows, |error| of(&error), cells)
    }

    fn transact(&mut self) {
        self.transacts = true;
    }

    async fn has_open_transaction(&mut self) -> Result<bool, DatabaseError> {
        if self.is_redshift {
            // It has no such function, and its transactions are those of the text's words.
            return Ok(self.is_begun);
        }
        // Outside a transaction this statement is one of its own, which has no id yet (PostgreSQL, Transaction ID and Snapshot Information
        // Functions).
        let sql = "SELECT txid_current_if_assigned() IS NOT NULL";
        let row = sqlx::raw_sql(sql).fetch_one(&mut self.connection).await.map_err(|error| of(&error))?;
        let value = row.try_get_raw(0).map_err(|error| of(&error))?;
        Ok(value.as_str().is_ok_and(|text| text == "t"))
    }

    async fn close(self: Box<Self>) {
        let _ = self.connection.close().await;
    }
}

fn cells(row: &PgRow) -> Result<Vec<Cell>, DatabaseError> {
    (0..row.len()).map(|index| cell(row, index)).collect()
}

fn cell(row: &PgRow, index: usize) -> Result<Cell, DatabaseError> {
    let value = row.try_get_raw(index).map_err(|error| of(&error))?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let unreadable = || DatabaseError::lasting(format!("column {} has a value that is not text", index + 1));
    if value.format() != PgValueFormat::Text {
        return Err(unreadable());
    }
    let text = value.as_str().map_err(|_| unreadable())?;
    Ok(match value.type_info().name() {
        "BOOL" => Cell::Bool(text == "t"),
        "INT2" | "INT4" | "INT8" | "OID" | "NUMERIC" => Cell::Number(text.to_owned()),
        "FLOAT4" | "FLOAT8" => Cell::Number(show::float_text(text)),
        "TIMESTAMP" | "TIMESTAMPTZ" | "TIME" | "TIMETZ" => Cell::Text(show::time(text)),
        _ => Cell::Text(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_end_a_transaction_by_its_words() {
        for (sql, ends, ends_redshift) in [
            ("insert into t values ('commit')", false, false),
            ("select case when a then 1 end from t", false, false),
            ("truncate t", false, true),
            ("call p()", false, true),
            ("COMMIT", true, true),
            (" rollback and chain", true, true),
            ("end", true, true),
            ("Abort", true, true),
            ("prepare transaction 'a'", true, true),
            ("-- the rest\ncommit", true, true),
            ("insert into t values (1); commit; insert into t values (2)", true, true),
            ("insert into t values (1); truncate t", false, true),
            ("insert into commits values (1); select 1", false, false),
        ] {
            assert_eq!((may_end(sql, false), may_end(sql, true)), (ends, ends_redshift), "{sql}");
        }
    }
}
