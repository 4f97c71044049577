//! Errors of the outside world.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of an outside failure. Callers decide by it whether to try again and which message to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreErrorKind {
    /// It did not answer, or not rightly: a later try may succeed.
    Unreachable,
    /// It refuses for now: there is too much to do.
    Throttled,
    /// The caller may not do this, or is not known.
    Denied,
    /// A table, queue, bucket or file that must exist does not.
    Missing,
    /// The stored data cannot be read.
    Corrupt,
    /// The request is impossible there, or a setting is wrong: no later try succeeds.
    Invalid,
}

/// The store, the queue or another part of the world could not be reached or did not answer
/// rightly. It says nothing about the run: the message goes back and no attempt is used up.
#[derive(Debug, Clone)]
pub struct StoreError {
    /// The failure: a lower-case fragment.
    pub message: String,
    /// Which kind of trouble.
    pub kind: StoreErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error with its message, of the kind [`StoreErrorKind::Unreachable`].
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Unreachable, message)
    }

    /// An error of a kind.
    #[must_use]
    pub fn of(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), kind, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}
