//! How files of rows look, by the settings of a realm (lava guide, Configuration for sql, sqli and sqlv jobs).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::duration::Span;
use crate::problem::show;

/// Which fields are quoted, as Python's `csv.QUOTE_…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Quoting {
    /// Every field.
    All,
    /// Fields that could not be read otherwise.
    #[default]
    Minimal,
    /// Fields that are not numbers.
    Nonnumeric,
    /// No field.
    None,
}

/// How lines end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum CsvDialect {
    /// With CR LF.
    #[default]
    Excel,
    /// With CR LF: in lava the delimiter is always given, and that is the only other difference.
    ExcelTab,
    /// With LF.
    Unix,
}

/// How files of rows look unless a job says otherwise, and which files of SQL are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSettings {
    /// `SQLC_MAX_PAYLOAD_SIZE`: the largest file for a client program, in bytes; 100 KB.
    pub client_max_payload_size: u64,
    /// `SQLC_TIMEOUT`: how long a client program may run for each file; 10 minutes.
    pub client_timeout: Span,
    /// `SQL_DELIMITER`: what stands between fields; `|`.
    pub delimiter: char,
    /// `SQL_DIALECT`: how lines end; `excel`.
    pub dialect: CsvDialect,
    /// `SQL_DOUBLEQUOTE`: whether a quote within a field stands twice; no.
    pub doublequote: bool,
    /// `SQL_ESCAPECHAR`: what stands before a delimiter or quote within a field; none.
    pub escapechar: Option<char>,
    /// `SQL_MAX_PAYLOAD_SIZE`: the largest file of SQL, in bytes; 100 KB.
    pub max_payload_size: u64,
    /// `SQL_OUTPUT_SUFFIX`: what the names of files of rows end in; `.out`.
    pub output_suffix: String,
    /// `SQL_QUOTECHAR`: what quotes fields; `"`.
    pub quotechar: char,
    /// `SQL_QUOTING`: which fields are quoted; `minimal`.
    pub quoting: Quoting,
}

impl Default for SqlSettings {
    fn default() -> Self {
        Self {
            client_max_payload_size: 100_000,
            client_timeout: Span::from_mins(10),
            delimiter: '|',
            dialect: CsvDialect::Excel,
            doublequote: false,
            escapechar: None,
            max_payload_size: 100_000,
            output_suffix: ".out".to_owned(),
            quotechar: '"',
            quoting: Quoting::Minimal,
        }
    }
}

pub(super) fn character(value: &Value) -> Result<char, String> {
    char::deserialize(value).map_err(|_| format!("expected a single character, got {}", show(value)))
}

pub(super) fn character_or_none(value: &Value) -> Result<Option<char>, String> {
    if value.is_null() || value == "" { Ok(None) } else { character(value).map(Some) }
}

pub(super) fn dialect(value: &Value) -> Result<CsvDialect, String> {
    let wanted = || format!("expected excel, excel-tab or unix, got {}", show(value));
    CsvDialect::deserialize(value).map_err(|_| wanted())
}

pub(super) fn quoting(value: &Value) -> Result<Quoting, String> {
    let wanted = || format!("expected all, minimal, nonnumeric or none, got {}", show(value));
    let text = value.as_str().ok_or_else(wanted)?.to_ascii_lowercase();
    Quoting::deserialize(&Value::from(text)).map_err(|_| wanted())
}

/// The end of a file's name, without folders.
pub(super) fn suffix(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.contains(['/', '\0']) && text.len() <= 32);
    text.map(str::to_owned)
        .ok_or_else(|| format!("expected the end of a file's name, as .out, got {}", show(value)))
}
