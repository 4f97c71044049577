//! The items of a `foreach` that are the rows of a query (lava guide, Foreach type: query).

use pumice_core::connection::Family;
use pumice_core::duration::Span;
use pumice_core::ids::ConnId;
use pumice_core::job_type::{JobContext, JobError};
use pumice_core::ports::{Cell, Rows};
use pumice_core::problem::Invalid;
use pumice_job_types::foreach::Item;
use pumice_job_types::sql::{is_select, writes_file};
use serde_json::{Number, Value};

use super::{NoRows, connect, dialect, login, of_database};
use crate::answer::within;

/// How long a query may take.
const MAX_TIME: Span = Span::from_mins(10);

/// The statement after which a session only reads, until it ends.
const fn reading(family: Family) -> Option<&'static str> {
    match family {
        Family::Postgres | Family::Redshift => Some("BEGIN READ ONLY"),
        Family::Mysql => Some("START TRANSACTION READ ONLY"),
        Family::Sqlite => Some("PRAGMA query_only = ON"),
        Family::Oracle | Family::Mssql => None,
    }
}

/// The rows of a query, one more than `limit` at most. It is carried out where it cannot write.
///
/// # Errors
/// [`JobError`] when it is not a single select, the database cannot be reached or refuses it, or two columns have one name.
pub(crate) async fn items(
    context: &JobContext<'_>,
    conn_id: &ConnId,
    query: &str,
    limit: usize,
) -> Result<Vec<Item>, JobError> {
    let asking = async {
        let login = login(context, conn_id).await?;
        if !is_select(query, dialect(login.family)) {
            return Err(JobError::permanent(
                "the query of the items must be a single select, and not a statement that may write",
            ));
        }
        if writes_file(query, dialect(login.family)) {
            return Err(JobError::permanent(
                "the query of the items writes a file of the server, by `into outfile` or `into dumpfile`: it must only read",
            ));
        }
        let of_query = |error: &_| of_database("the query of the items: ".to_owned(), error);
        let mut session = connect(context, conn_id, &login).await?;
        let mut rows =
            Items { names: Vec::new(), items: Vec::new(), most: limit.saturating_add(1), fault: None };
        if let Some(reading) = reading(login.family) {
            session.execute(reading, &mut NoRows).await.map_err(|error| of_query(&error))?;
        }
        let asked = session.execute(query.trim().trim_end_matches(';'), &mut rows).await;
        match (asked, rows.fault) {
            (_, Some(fault)) => Err(JobError::permanent(format!("the query of the items: {fault}"))),
            // Where there are more rows than may be, no further one was taken.
            (Err(_), None) if rows.items.len() == rows.most => Ok(rows.items),
            (Err(error), None) => Err(of_query(&error)),
            (Ok(()), None) if rows.names.is_empty() => {
                Err(JobError::permanent("the query of the items gives no columns: it must be a select"))
            }
            (Ok(()), None) => Ok(rows.items),
        }
    };
    within(context, MAX_TIME, asking).await.flatten()
}

struct Items {
    names: Vec<String>,
    items: Vec<Item>,
    most: usize,
    fault: Option<String>,
}

impl Rows for Items {
    fn columns(&mut self, names: Vec<String>) -> Result<(), Invalid> {
        if !self.names.is_empty() {
            self.fault =
                Some("it gives the rows of several statements: it must be a single select".to_owned());
            return Err(String::new().into());
        }
        let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
        if let Some((_, name)) = twice {
            self.fault = Some(format!("two columns are called {name}: name them with `as`"));
            return Err(String::new().into());
        }
        self.names = names;
        Ok(())
    }

    fn row(&mut self, row: Vec<Cell>) -> Result<(), Invalid> {
        if self.items.len() == self.most {
            return Err("there are more rows than items may be".into());
        }
        let fields = self.names.iter().zip(row).map(|(name, cell)| match value(cell) {
            Ok(value) => Ok((name.clone(), value)),
            Err(text) => Err(format!(
                "column {name}: {text} is not a number that an item can have: cast the column to a text"
            )),
        });
        match fields.collect() {
            Ok(item) => self.items.push(item),
            Err(fault) => {
                self.fault = Some(fault);
                return Err(String::new().into());
            }
        }
        Ok(())
    }
}

/// A value as templates see it. A number is one whatever its digits, so that a column has numbers alone.
///
/// # Errors
/// The digits of a number that JSON does not have, or that templates would change.
fn value(cell: Cell) -> Result<Value, String> {
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => value.into(),
        Cell::Text(text) => text.into(),
        Cell::Number(text) => {
            let whole =
                text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
            let float = || text.parse::<f64>().ok().filter(|number| is_exact(&text, *number));
            whole.ok().or_else(|| float().and_then(Number::from_f64).map(Value::from)).ok_or(text)?
        }
    })
}

/// Whether a number has the same digits as its text, but for zeros at the end of its fraction.
fn is_exact(text: &str, number: f64) -> bool {
    // A database shows an exponent of floating-point numbers alone.
    if text.contains(['e', 'E']) {
        return number.is_finite();
    }
    let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    number.is_finite() && number.to_string() == plain
}
