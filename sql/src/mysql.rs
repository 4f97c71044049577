//! MySQL and MariaDB.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use pumice_core::connection::Login;
use pumice_core::ports::{Cell, DatabaseError, Rows, Session};
use pumice_core::secret::SecretText;
use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, Row, SqlSafeStr, Statement, Type,
    TypeInfo, ValueRef,
};

use crate::give_rows::give_rows;
use crate::{first_word, may_have_columns, of_connecting, of_driver, show};

/// The number of an error in the syntax, and of a login that is refused (MySQL, Server Error Message Reference).
const SYNTAX: u16 = 1064;
const LOGIN: u16 = 1045;
/// Of a statement that is not possible within a transaction.
const IN_TRANSACTION: u16 = 1568;

/// Types whose values are bytes.
const BYTES: [&str; 8] =
    ["BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "BIT", "GEOMETRY"];

/// Words that begin statements which may have others in them.
const OF_OTHERS: [&str; 3] = ["begin", "call", "execute"];

struct Mysql {
    connection: MySqlConnection,
    /// Whether statements are to be committed by themselves, and whether the session commits them so as far as is known:
    /// a server's settings may have either.
    commits: bool,
    known: Option<bool>,
}

impl Mysql {
    /// A `BEGIN` would not do: after a statement that commits by itself, as `create table` and `truncate` do, nothing would
    /// begin the next transaction (MySQL, Statements That Cause an Implicit Commit).
    async fn set_autocommit(&mut self) -> Result<(), DatabaseError> {
        if self.known != Some(self.commits) {
            let sql = if self.commits { "SET autocommit = 1" } else { "SET autocommit = 0" };
            let set = sqlx::raw_sql(sql).execute(&mut self.connection).await;
            set.map_err(|error| of(&error, ""))?;
            self.known = Some(self.commits);
        }
        Ok(())
    }
}

/// Whether a statement may change if the session commits by itself.
fn may_set_autocommit(sql: &str) -> bool {
    let word = first_word(sql);
    word.is_empty()
        || sql.contains(';')
        || OF_OTHERS.contains(&&*word)
        || sql.to_ascii_lowercase().contains("autocommit")
}

pub(crate) async fn connect(login: &Login) -> Result<Box<dyn Session>, DatabaseError> {
    let password = login.password.as_ref().map(SecretText::reveal).unwrap_or_default();
    let mode = match (login.ssl, &login.ca_cert) {
        (true, Some(_)) => MySqlSslMode::VerifyCa,
        (true, None) => MySqlSslMode::Required,
        (false, _) => MySqlSslMode::Preferred,
    };
    let mut options = MySqlConnectOptions::new()
        .host(&login.host)
        .port(login.port)
        .username(&login.user)
        .password(password)
        .ssl_mode(mode)
        .enable_cleartext_plugin(login.is_token)
        // Statements mean what the server's own settings say.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging();
    if let Some(database) = &login.database {
        options = options.database(database);
    }
    if let Some(ca_cert) = &login.ca_cert {
        options = options.ssl_ca(ca_cert);
    }
    match options.connect().await {
        Ok(connection) => Ok(Box::new(Mysql { connection, commits: true, known: None })),
        Err(error) => Err(of_connecting(login, of(&error, ""))),
    }
}

fn of(error: &sqlx::Error, sql: &str) -> DatabaseError {
    let of_server =
        error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    let Some(of_server) = of_server else { return of_driver(error) };
    let message = of_server.message().to_owned();
    let line = message.rsplit_once(" at line ").and_then(|(_, line)| line.trim().parse::<usize>().ok());
    let retryable = of_server.number() != SYNTAX && of_server.number() != LOGIN;
    DatabaseError { place: line.map(|line| start_of_line(sql, line)), message, retryable }
}

/// Where a line begins, in characters.
fn start_of_line(sql: &str, line: usize) -> usize {
    sql.split_inclusive('\n').take(line.saturating_sub(1)).map(|line| line.chars().count()).sum()
}

#[async_trait]
impl Session for Mysql {
    async fn execute(&mut self, sql: &str, rows: &mut dyn Rows) -> Result<(), DatabaseError> {
        self.set_autocommit().await?;
        // A job that commits each statement by itself may set it as it wants.
        if !self.commits && may_set_autocommit(sql) {
            self.known = None;
        }
        give_rows!(self.connection, sql, rows, |error| of(&error, sql), cells)
    }

    fn transact(&mut self) {
        self.commits = false;
    }

    async fn has_open_transaction(&mut self) -> Result<bool, DatabaseError> {
        // It changes nothing for a connection that ends, and is refused within a transaction (MySQL, SET TRANSACTION Statement).
        let asked = sqlx::raw_sql("SET TRANSACTION READ WRITE").execute(&mut self.connection).await;
        let number = |error: &sqlx::Error| {
            let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
            Some(error.number())
        };
        match asked {
            Err(error) if number(&error) == Some(IN_TRANSACTION) => Ok(true),
            asked => asked.map(|_| false).map_err(|error| of(&error, "")),
        }
    }

    async fn close(self: Box<Self>) {
        let _ = self.connection.close().await;
    }
}

fn cells(row: &MySqlRow) -> Result<Vec<Cell>, DatabaseError> {
    (0..row.len()).map(|index| cell(row, index)).collect()
}

fn cell(row: &MySqlRow, index: usize) -> Result<Cell, DatabaseError> {
    let value = row.try_get_raw(index).map_err(|error| of(&error, ""))?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let info = value.type_info().into_owned();
    let kind = info.name().to_owned();
    let bytes: Vec<u8> = row.try_get_unchecked(index).map_err(|error| of(&error, ""))?;
    // A text whose collation compares bytes, as utf8mb4_bin, has the name of a type of bytes, too.
    let is_bytes = BYTES.contains(&kind.as_str()) && !<str as Type<MySql>>::compatible(&info);
    if is_bytes {
        return Ok(Cell::Text(show::bytes(&bytes)));
    }
    let text = show::text(bytes, index)?;
    Ok(match kind.trim_end_matches(" UNSIGNED") {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "DECIMAL" | "YEAR" => {
            Cell::Number(text)
        }
        "FLOAT" | "DOUBLE" => Cell::Number(show::float_text(&text)),
        "DATETIME" | "TIMESTAMP" => Cell::Text(show::time(&text)),
        _ => Cell::Text(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_may_set_autocommit_by_its_words() {
        for (sql, wanted) in [
            ("insert into t values (1)", false),
            ("truncate t", false),
            ("set names utf8mb4", false),
            ("SET @@session.AutoCommit = 1", true),
            ("set sql_mode = '', autocommit = on", true),
            ("call p()", true),
            ("execute s", true),
            ("begin not atomic call p()", true),
            ("select 1; call p()", true),
            ("/*!40101 set autocommit = 1 */", true),
        ] {
            assert_eq!(may_set_autocommit(sql), wanted, "{sql}");
        }
    }
}
