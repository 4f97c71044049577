//! Runs jobs of types `sql` and `sqli`.

mod csv;
mod query;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufWriter, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::connection::{Family, Login, Opened};
use pumice_core::duration::Span;
use pumice_core::ids::ConnId;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf};
use pumice_core::ports::{Cell, DatabaseError, Rows, Session};
use pumice_core::problem::Invalid;
use pumice_core::secret::mask;
use pumice_job_types::sql::{self, Dialect, Parameters, Statement, Texts, first_word, split};
use serde_json::{Map, Value, json};

use self::csv::Format;
pub(crate) use self::query::items;
use crate::answer::within;
use crate::connections::application;
use crate::payloads::{self, Limit};

/// How long connecting and logging in may take.
const CONNECT: Duration = Duration::from_secs(30);
/// How long the orderly end of a transaction or a connection may take.
const END: Duration = Duration::from_secs(10);
/// Why a text fails whose statements all succeeded.
const OPEN: &str = "a transaction that the text began has no end, and was rolled back: add `commit`, or have the job say `transaction: true`";
/// lava sets no limit to how long statements may take; this is one.
const NO_LIMIT: Span = Span::from_days(366);
/// Statements that may have several results, whose rows stand one after the other.
const OF_RESULTS: [&str; 2] = ["call", "execute"];
/// How much of a statement's text a failure shows, in characters.
const MAX_SHOWN: usize = 80;

/// Runs jobs of type `sql`.
pub(crate) struct Sql;

/// Runs jobs of type `sqli`.
pub(crate) struct Sqli;

/// A text of SQL.
struct Source {
    /// Its name, which its files of rows begin with.
    name: String,
    /// Its name in failures.
    shown: String,
    text: String,
}

#[async_trait]
impl Leaf for Sql {
    type Of = sql::Sql;
    type Payload = Texts;

    async fn run(
        &self,
        context: &JobContext<'_>,
        keys: Texts,
        parameters: ParametersOf<sql::Sql>,
    ) -> Result<Ended, JobError> {
        let bytes = context.settings.sql.max_payload_size;
        let limit = Limit { bytes, setting: "SQL_MAX_PAYLOAD_SIZE" };
        let mut sources: Vec<Source> = Vec::new();
        for key in keys.all() {
            for mut payload in payloads::find(context, key, limit).await? {
                let name = payload.name.clone();
                if sources.iter().any(|source| source.name == name) {
                    let message = format!("two files are called {name}: their rows would have one name");
                    return Err(JobError::permanent(message));
                }
                let mut text = String::new();
                let mut bytes = payload.open(context).await?;
                let unreadable = |error: std::io::Error| {
                    JobError::permanent(format!("cannot read {name} as UTF-8: {error}"))
                };
                bytes.read_to_string(&mut text).map_err(unreadable)?;
                // Editors of Windows put a byte order mark at its beginning, which no database takes.
                if text.starts_with('\u{feff}') {
                    text.remove(0);
                }
                sources.push(Source { shown: name.clone(), name, text });
            }
        }
        run(context, sources, parameters).await
    }
}

#[async_trait]
impl Leaf for Sqli {
    type Of = sql::Sqli;
    type Payload = Texts;

    async fn run(
        &self,
        context: &JobContext<'_>,
        texts: Texts,
        parameters: ParametersOf<sql::Sqli>,
    ) -> Result<Ended, JobError> {
        let texts = texts.all();
        let shown = |index: usize| {
            if texts.len() == 1 { "payload".to_owned() } else { format!("payload[{index}]") }
        };
        let sources = texts.iter().enumerate().map(|(index, text)| Source {
            name: index.to_string(),
            shown: shown(index),
            text: text.clone(),
        });
        run(context, sources.collect(), parameters).await
    }
}

async fn run(
    context: &JobContext<'_>,
    sources: Vec<Source>,
    parameters: Parameters,
) -> Result<Ended, JobError> {
    let login = login(context, &parameters.conn_id).await?;
    let settings = &context.settings.sql;
    let mut work = Work {
        context,
        dialect: dialect(login.family),
        format: Format {
            delimiter: parameters.delimiter.unwrap_or(settings.delimiter),
            dialect: parameters.dialect.unwrap_or(settings.dialect),
            doublequote: parameters.doublequote.unwrap_or(settings.doublequote),
            escapechar: parameters.escapechar.or(settings.escapechar),
            quotechar: parameters.quotechar.unwrap_or(settings.quotechar),
            quoting: parameters.quoting.unwrap_or(settings.quoting),
        },
        vars: [("vars", Value::Object(parameters.vars.clone().unwrap_or_default()))],
        parameters: &parameters,
        output: Map::new(),
    };
    let limit = parameters.timeout.or(context.job.fields.timeout).unwrap_or(NO_LIMIT);
    // An abandoned future is dropped, and with it the session and all that is not committed.
    let outcome = within(context, limit, work.carry_out(&login, &sources)).await.flatten();
    match outcome {
        Ok(()) => Ok(Ended::Done(json!({ "exit_status": 0, "output": work.output }))),
        Err(error) => {
            let data = json!({ "exit_status": 1, "error": error.message, "output": work.output });
            Err(error.with_data(data))
        }
    }
}

/// Connects to the database of a connection.
///
/// # Errors
/// [`JobError`] naming the connection.
pub(crate) async fn connect(
    context: &JobContext<'_>,
    conn_id: &ConnId,
    login: &Login,
) -> Result<Box<dyn Session>, JobError> {
    let connected = context.databases.connect(login, &application(context), CONNECT).await;
    connected.map_err(|error| of_database(format!("connection {conn_id}: "), &error))
}

/// The login to the database of a connection.
pub(crate) async fn login(context: &JobContext<'_>, conn_id: &ConnId) -> Result<Box<Login>, JobError> {
    let opened = context.connections.open(conn_id).await;
    let opened = opened.map_err(|error| JobError::failed(error.to_string()))?;
    match opened.what {
        Opened::Database(login) => Ok(login),
        _ => {
            let message =
                format!("connection {conn_id} is of type {}, which is not a database", opened.r#type);
            Err(JobError::permanent(message))
        }
    }
}

pub(crate) fn of_database(begin: String, error: &DatabaseError) -> JobError {
    let message = format!("{begin}{}", mask(&error.message));
    JobError { retryable: error.retryable, ..JobError::failed(message) }
}

/// How a database quotes.
pub(crate) const fn dialect(family: Family) -> Dialect {
    let mysql = matches!(family, Family::Mysql);
    Dialect {
        backslashes: mysql,
        hash_comments: mysql,
        dollar_quotes: matches!(family, Family::Postgres | Family::Redshift),
        spaced_dashes: mysql,
    }
}

/// The statements of a job under way.
struct Work<'a> {
    context: &'a JobContext<'a>,
    parameters: &'a Parameters,
    dialect: Dialect,
    format: Format,
    vars: [(&'static str, Value); 1],
    /// The files of rows so far, by the name of the text.
    output: Map<String, Value>,
}

impl Work<'_> {
    async fn carry_out(&mut self, login: &Login, sources: &[Source]) -> Result<(), JobError> {
        let mut session = connect(self.context, &self.parameters.conn_id, login).await?;
        let is_transaction = self.parameters.transaction == Some(true);
        if is_transaction {
            session.transact();
        }
        let done = self.all(&mut *session, sources).await;
        let end = async {
            match (is_transaction, done) {
                (true, Ok(())) => command(&mut *session, "COMMIT").await?,
                (true, Err(error)) => {
                    // At once, and not when the server finds the connection gone.
                    let _ = tokio::time::timeout(END, command(&mut *session, "ROLLBACK")).await;
                    return Err(error);
                }
                (false, done) => {
                    done?;
                    let open = tokio::time::timeout(END, session.has_open_transaction()).await;
                    if open.is_ok_and(|open| open.is_ok_and(|is_open| is_open)) {
                        return Err(JobError::permanent(OPEN));
                    }
                }
            }
            Ok(())
        };
        end.await?;
        // All is committed: the farewell changes nothing.
        let _ = tokio::time::timeout(END, session.close()).await;
        Ok(())
    }

    async fn all(&mut self, session: &mut dyn Session, sources: &[Source]) -> Result<(), JobError> {
        for source in sources {
            self.output.insert(source.name.clone(), Value::Array(Vec::new()));
            let statements = if self.parameters.raw == Some(true) {
                vec![Statement { text: &source.text, line: 1 }]
            } else {
                split(&source.text, self.dialect)
            };
            for (index, statement) in statements.iter().enumerate() {
                self.one(session, source, index, statement).await?;
            }
        }
        Ok(())
    }

    /// Renders a statement, carries it out, and keeps its rows.
    async fn one(
        &mut self,
        session: &mut dyn Session,
        source: &Source,
        index: usize,
        statement: &Statement<'_>,
    ) -> Result<(), JobError> {
        let Statement { text, line } = statement;
        let place = |line: usize| format!("{}, statement {} (line {line}): ", source.shown, index + 1);
        let rendered = if self.parameters.jinja == Some(false) {
            (*text).to_owned()
        } else {
            let rendered = self.context.templates.text(text, &self.vars);
            rendered.map_err(|error| JobError::permanent(format!("{}{error}", place(*line))))?
        };
        // Some drivers take no semicolon (lava guide, Job type: sql).
        let sql = rendered.trim().trim_end_matches(';');
        if sql.is_empty() {
            return Ok(());
        }
        let name = format!("{}.{index}{}", source.name, self.context.settings.sql.output_suffix);
        let takes_more =
            self.parameters.raw == Some(true) || OF_RESULTS.contains(&&*first_word(sql, self.dialect));
        let mut rows = RowsFile { takes_more, ..RowsFile::new(self, &name).await? };
        if let Err(error) = session.execute(sql, &mut rows).await {
            // The rendered text may have other lines than the source.
            let is_same = rendered.trim() == text.trim();
            let within = error.place.filter(|_| is_same).map_or(0, |at| lines_before(sql, at));
            let shown: String = mask(sql).split_whitespace().collect::<Vec<_>>().join(" ");
            let shown: String = shown.chars().take(MAX_SHOWN).collect();
            let mut failed = of_database(place(line + within), &error);
            failed.message = format!("{}: {shown}", failed.message);
            return Err(failed);
        }
        if let Some(kept) = rows.keep(self.context).await?
            && let Some(Value::Array(all)) = self.output.get_mut(&source.name)
        {
            all.push(kept.into());
        }
        Ok(())
    }
}

fn lines_before(text: &str, characters: usize) -> usize {
    text.chars().take(characters).filter(|c| *c == '\n').count()
}

/// Carries out a statement of the job's own making.
async fn command(session: &mut dyn Session, sql: &str) -> Result<(), JobError> {
    session.execute(sql, &mut NoRows).await.map_err(|error| of_database(format!("{sql}: "), &error))
}

/// Takes no rows.
pub(crate) struct NoRows;

impl Rows for NoRows {
    fn columns(&mut self, _: Vec<String>) -> Result<(), Invalid> {
        Ok(())
    }

    fn row(&mut self, _: Vec<Cell>) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The rows of a statement in a file, which is made when there are any columns.
struct RowsFile {
    format: Format,
    header: bool,
    path: PathBuf,
    /// The place where the file is kept; `None` when the realm has none.
    location: Option<String>,
    file: Option<BufWriter<File>>,
    /// Whether the rows of further results follow.
    takes_more: bool,
}

impl RowsFile {
    async fn new(work: &Work<'_>, name: &str) -> Result<Self, JobError> {
        let folder = work.parameters.output.as_deref();
        let directory = work.context.directories.work().await?;
        let directory = folder.map_or_else(|| directory.to_owned(), |folder| directory.join(folder));
        let below = folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
        Ok(Self {
            format: work.format.clone(),
            header: work.parameters.header == Some(true),
            path: directory.join(name),
            location: work.context.rows_location(&below),
            file: None,
            takes_more: false,
        })
    }

    /// Puts the file where outputs are kept; gives the place.
    async fn keep(self, context: &JobContext<'_>) -> Result<Option<String>, JobError> {
        let Some(file) = self.file else { return Ok(None) };
        let unwritten =
            |error: std::io::Error| JobError::failed(format!("cannot write the rows down: {error}"));
        let file = file.into_inner().map_err(|error| unwritten(error.into_error()))?;
        let Some(location) = self.location else { return Ok(None) };
        let put = context.objects.put_file(&location, file.as_fd()).await;
        put.map_err(|error| JobError::failed(format!("cannot store {location}: {error}")))?;
        Ok(Some(context.objects.recorded(&location)))
    }
}

fn made(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A link that an earlier step left must not lead the rows elsewhere.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().read(true).write(true).create_new(true).open(path)
}

impl Rows for RowsFile {
    fn columns(&mut self, names: Vec<String>) -> Result<(), Invalid> {
        if self.file.is_some() {
            let more = "it gives the rows of several statements: put one each into texts of their own, or set raw to have all rows in one file";
            return if self.takes_more { Ok(()) } else { Err(more.into()) };
        }
        let file =
            made(&self.path).map_err(|error| format!("cannot make {}: {error}", self.path.display()))?;
        let file = self.file.insert(BufWriter::new(file));
        if self.header {
            let names: Vec<Cell> = names.into_iter().map(Cell::Text).collect();
            self.format.write(&names, file)?;
        }
        Ok(())
    }

    fn row(&mut self, row: Vec<Cell>) -> Result<(), Invalid> {
        match &mut self.file {
            Some(file) => Ok(self.format.write(&row, file)?),
            None => Err("the database gives rows without columns".into()),
        }
    }
}
