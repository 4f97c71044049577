//! Job types `sql` and `sqli`: carry out statements on a database (lava guide, Job type: sql, Job type: sqli).

mod split;

use pumice_core::duration::Span;
use pumice_core::ids::ConnId;
use pumice_core::job_type::{Given, JobType, check_template};
use pumice_core::number::Count;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, Settings};
use pumice_core::text::quoted;
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command_line::{self, Timed};
use crate::words::check_keys;

pub use split::{Dialect, Statement, first_word, is_select, split, writes_file};

pub use pumice_core::spec::{CsvDialect, Quoting};

/// Parameters of `sql` and `sqli` jobs. Those that say how files of rows look are of Python's `csv.writer`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqlParameters")]
pub struct Parameters {
    /// The connection to the database.
    pub conn_id: ConnId,
    /// Taken for lava's sake, and of no effect: rows are written as they come.
    #[serde(default)]
    pub batch_size: Option<Count>,
    /// The delimiter between fields; default the realm's `SQL_DELIMITER`, `|`.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// `excel` ends lines with CR LF, `unix` with LF; default the realm's `SQL_DIALECT`, `excel`.
    #[serde(default)]
    pub dialect: Option<CsvDialect>,
    /// Whether a quote within a field stands twice; default the realm's `SQL_DOUBLEQUOTE`, false.
    #[serde(default)]
    pub doublequote: Option<bool>,
    /// The character before a delimiter or a quote that is part of a field; default the realm's `SQL_ESCAPECHAR`, none.
    #[serde(default)]
    pub escapechar: Option<char>,
    /// Whether files begin with the names of the columns; default false.
    #[serde(default)]
    pub header: Option<bool>,
    /// Whether statements are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// The folder of the files of rows, in the work directory and where outputs are kept.
    #[serde(default)]
    pub output: Option<String>,
    /// The character that quotes fields; default the realm's `SQL_QUOTECHAR`, `"`.
    #[serde(default)]
    pub quotechar: Option<char>,
    /// Which fields are quoted; default the realm's `SQL_QUOTING`, `minimal`.
    #[serde(default)]
    pub quoting: Option<Quoting>,
    /// Whether each text is sent as it is, and not split into statements; default false.
    #[serde(default)]
    pub raw: Option<bool>,
    /// How long all statements may take; default the job's `timeout`, else no limit.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Whether all statements are one transaction; default false: each is committed by itself.
    #[serde(default)]
    pub transaction: Option<bool>,
    /// The values that templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
}

/// Longest name of a folder of rows, in bytes.
const MAX_OUTPUT: usize = 255;

/// A text, or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    /// The texts, in their order.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// The job type `sql`.
#[derive(Clone, Copy, Debug)]
pub struct Sql;

/// The job type `sqli`.
#[derive(Clone, Copy, Debug)]
pub struct Sqli;

impl JobType for Sql {
    const NAME: &'static str = "sql";
    const ABOUT: &'static str = "Runs the SQL statements in files of the payload area.";
    /// The keys of files, or of folders that end in `/`.
    type Payload = Texts;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let mut problems = check_parameters(given.job, given.parameters.as_ref());
        problems.extend(check_keys(given.payload.as_ref().map(Texts::all)));
        problems
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        advise_timeout(given.job, given.parameters.as_ref())
    }
}

impl JobType for Sqli {
    const NAME: &'static str = "sqli";
    const ABOUT: &'static str = "Runs the SQL statements in the job's payload.";
    type Payload = Texts;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let mut problems = check_parameters(given.job, given.parameters.as_ref());
        let texts = given.payload.as_ref().map(Texts::all).unwrap_or_default();
        if given.payload.is_some() && texts.iter().all(|text| text.trim().is_empty()) {
            problems.push(Problem::new(JsonPath::root().field("payload"), "there is no statement"));
        }
        let parameters = given.parameters.as_ref();
        if parameters.is_none_or(|parameters| parameters.jinja != Some(false)) {
            let is_raw = parameters.is_some_and(|parameters| parameters.raw == Some(true));
            problems.extend(texts.iter().flat_map(|text| template_problems(text, is_raw)));
        }
        problems
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        advise_timeout(given.job, given.parameters.as_ref())
    }
}

/// Problems in the templates of a text's statements, each of which is rendered by itself.
fn template_problems(text: &str, is_raw: bool) -> Vec<Problem> {
    let (renderer, path) = (Renderer::default(), JsonPath::root().field("payload"));
    // Which database it is shows the connection; templates are the same in all.
    let statements = if is_raw { vec![Statement { text, line: 1 }] } else { split(text, Dialect::default()) };
    let check = |statement: Statement<'_>| check_template(&renderer, &Value::from(statement.text), &path);
    statements.into_iter().flat_map(check).collect()
}

/// Warnings about the time limit of the statements.
fn advise_timeout(job: &JobSpec, parameters: Option<&Parameters>) -> Vec<Problem> {
    let Some(parameters) = parameters else { return Vec::new() };
    command_line::advise_timeout(&job.fields, &Timed { what: "the SQL", timeout: parameters.timeout })
}

/// Problems of the output folder and of parameters that must be a single character.
fn check_parameters(job: &JobSpec, parameters: Option<&Parameters>) -> Vec<Problem> {
    let mut problems = check_output(parameters);
    let given = job.parameters();
    for name in ["delimiter", "escapechar", "quotechar"] {
        let Some(text) = given.get(name).and_then(Value::as_str) else { continue };
        // One that is empty or too long has been found already; a template would be rendered nowhere.
        if text.contains("{{") || text.contains("{%") {
            let path = JsonPath::root().field("parameters").field(name);
            problems.push(Problem::new(path, format!("{} must be a single character", quoted(text))));
        }
    }
    problems
}

/// A folder's name has letters, digits and `_` alone (lava guide, Job type: sql).
fn check_output(parameters: Option<&Parameters>) -> Vec<Problem> {
    let output = parameters.and_then(|parameters| parameters.output.as_deref());
    let Some(output) = output else { return Vec::new() };
    let path = JsonPath::root().field("parameters").field("output");
    if output.len() > MAX_OUTPUT {
        let message =
            format!("{} bytes are more than {MAX_OUTPUT}, the limit of a folder's name", output.len());
        return vec![Problem::new(path, message)];
    }
    let is_right = !output.is_empty() && output.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_right {
        return Vec::new();
    }
    let message = format!("{} must be letters, digits and _ only: it names a folder", quoted(output));
    vec![Problem::new(path, message)]
}
