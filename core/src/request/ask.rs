//! A request for a run: which job, with what, and when.

use serde_json::{Map, Value};

use crate::Timestamp;
use crate::document::parse_json;
use crate::duration::Span;
use crate::ids::{HostId, JobId};
use crate::problem::{JsonPath, Problem, SpecError};
use crate::run::{Redo, Scheduled};
use crate::spec::{Overlap, is_reserved_global};
use crate::text::quoted;

/// Longest delay that a queue holds a message for (SQS, DelaySeconds: 900 s).
pub const MAX_DELAY: Span = Span::from_mins(15);
/// Most requests taken in one batch.
pub const MAX_BATCH: usize = 10_000;
/// Longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// When a run is to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// As soon as a worker is free.
    #[default]
    Now,
    /// After a delay of at most [`MAX_DELAY`].
    After(Span),
    /// At an instant; one already past means now.
    At(Timestamp),
}

/// One request for a run.
#[derive(Clone, Debug, PartialEq)]
pub struct DispatchRequest {
    /// The job to run.
    pub job_id: JobId,
    /// Parameters over the job's own, key by key.
    pub parameters: Map<String, Value>,
    /// Globals over the job's own, key by key.
    pub globals: Map<String, Value>,
    /// When.
    pub when: When,
    /// Requests of one job with one key make one run.
    pub idempotency_key: Option<String>,
    /// The slot that a schedule of the caller's own makes it for: the job's schedule is asked about it.
    pub slot: Option<Timestamp>,
    /// The slot of a schedule that it is for.
    pub scheduled: Option<Box<Scheduled>>,
    /// The overlap policy when the job is already running, over the job's own.
    pub overlap: Option<Overlap>,
    /// The host that it is for alone.
    pub host: Option<HostId>,
    /// The ended run that it does again.
    pub redo: Option<Box<Redo>>,
}

impl DispatchRequest {
    /// A request for a job, now, with nothing else.
    #[must_use]
    pub fn new(job_id: JobId) -> Self {
        let (parameters, globals) = (Map::new(), Map::new());
        let (when, idempotency_key, scheduled, overlap) = (When::Now, None, None, None);
        Self {
            job_id,
            parameters,
            globals,
            when,
            idempotency_key,
            slot: None,
            scheduled,
            overlap,
            host: None,
            redo: None,
        }
    }

    /// Checks a delay against [`MAX_DELAY`].
    ///
    /// # Errors
    /// [`DelayTooLong`].
    pub fn after(delay: Span) -> Result<When, DelayTooLong> {
        if delay.is_zero() {
            Ok(When::Now)
        } else if delay > MAX_DELAY {
            Err(DelayTooLong(delay))
        } else {
            Ok(When::After(delay))
        }
    }
}

/// A delay that no queue can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a delay of {0:#} is more than {MAX_DELAY}, the longest a queue holds a message; give a time with \"at\" instead"
)]
pub struct DelayTooLong(Span);

/// An invalid idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It has no character.
    #[error("the key must not be empty")]
    Empty,
    /// It has more than [`MAX_KEY_BYTES`].
    #[error("the key is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
}

/// A dotted name at which no value can be put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDottedName {
    /// `a..b`.
    #[error("{} has an empty part", quoted(.0))]
    EmptyPart(String),
    /// `a.b`, where `a` already has a plain value.
    #[error("{} goes below {}, which already has a plain value", quoted(.name), quoted(.part))]
    BelowValue {
        /// The name.
        name: String,
        /// The part of it that has a value.
        part: String,
    },
    /// `a`, where `a.b` has a value.
    #[error("{} was already given with names below it", quoted(.0))]
    AboveValues(String),
}

/// An invalid request: its place in the batch and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {error}")]
pub struct BadRequest {
    /// `request 2` or `line 3`.
    pub place: String,
    /// The mistakes.
    pub error: SpecError,
}

/// The outcome of reading one request of a batch.
pub type Parsed = Result<DispatchRequest, BadRequest>;

/// Checks that no global of a request is one of the engine's own.
#[must_use]
pub fn check_globals(globals: &Map<String, Value>) -> Vec<Problem> {
    let path = JsonPath::root().field("globals");
    globals
        .keys()
        .filter(|name| is_reserved_global(name))
        .map(|name| {
            Problem::new(path.field(name), format!("the global {} is reserved", quoted(name)))
                .with_hint("names beginning with lava are the engine's own")
        })
        .collect()
}

/// Checks an idempotency key.
///
/// # Errors
/// [`BadKey`] when it is empty or too long.
pub const fn check_key(key: &str) -> Result<(), BadKey> {
    if key.is_empty() {
        Err(BadKey::Empty)
    } else if key.len() > MAX_KEY_BYTES {
        Err(BadKey::TooLong)
    } else {
        Ok(())
    }
}

/// A value that a person gives with its name and that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGiven {
    /// It has no equals sign.
    #[error("expected NAME=VALUE")]
    NoValue,
    /// What is behind `:=` is not JSON.
    #[error("{} is not JSON, which is expected behind :=: {error}", quoted(value))]
    NotJson {
        /// The text behind it.
        value: String,
        /// The mistake.
        error: String,
    },
    /// The name does not fit.
    #[error(transparent)]
    Name(#[from] BadDottedName),
}

/// Puts what `NAME=VALUE` says, a text, or `NAME:=JSON`, a value of any type, at a dotted name.
///
/// # Errors
/// [`BadGiven`] when it says neither, or its name does not fit to those before.
pub fn set_given(into: &mut Map<String, Value>, text: &str) -> Result<(), BadGiven> {
    let (name, value) = text.split_once('=').ok_or(BadGiven::NoValue)?;
    let (name, value) = match name.strip_suffix(':') {
        None => (name, Value::from(value)),
        Some(name) => {
            let not_json = |error: String| {
                let error = error.strip_prefix("not JSON: ").unwrap_or(&error).to_owned();
                BadGiven::NotJson { value: value.to_owned(), error }
            };
            (name, parse_json(value).map_err(|error| not_json(error.to_string()))?)
        }
    };
    Ok(set_dotted(into, name.trim(), value)?)
}

/// Puts `value` at a dotted name: `vars.name` nests.
///
/// # Errors
/// [`BadDottedName`] when the name has an empty part, or values stand above or below it.
pub fn set_dotted(into: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), BadDottedName> {
    let mut parts: Vec<&str> = name.split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(BadDottedName::EmptyPart(name.to_owned()));
    }
    let last = parts.pop().unwrap_or_default();
    let mut at = into;
    for part in parts {
        let inner = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(fields) = inner else {
            return Err(BadDottedName::BelowValue { name: name.to_owned(), part: part.to_owned() });
        };
        at = fields;
    }
    if matches!(at.get(last), Some(Value::Object(_))) {
        return Err(BadDottedName::AboveValues(name.to_owned()));
    }
    at.insert(last.to_owned(), value);
    Ok(())
}
