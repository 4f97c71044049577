//! Errors of the outside world.

use std::error::Error;
use std::sync::Arc;
use std::{fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of an outside failure. Callers decide by it whether to try again and which message to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreErrorKind {
    /// It did not answer, or has a fault of its own: a later try may succeed.
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
    /// No room is left: a disk or a quota is full.
    Full,
    /// It answered, and refuses for a reason that has no kind of its own: the message has it.
    Refused,
}

impl StoreErrorKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::Throttled,
        Self::Denied,
        Self::Missing,
        Self::Corrupt,
        Self::Invalid,
        Self::Full,
        Self::Refused,
    ];

    /// The kind in a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::Missing => "missing",
            Self::Corrupt => "corrupt",
            Self::Invalid => "invalid",
            Self::Full => "full",
            Self::Refused => "refused",
        }
    }

    /// Whether the same may go well in a while, without a person who mends something.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Throttled)
    }
}

impl From<io::ErrorKind> for StoreErrorKind {
    fn from(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Io;
        match kind {
            Io::NotFound | Io::NotADirectory => Self::Missing,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::Full,
            Io::InvalidData | Io::UnexpectedEof => Self::Corrupt,
            Io::InvalidInput | Io::InvalidFilename | Io::IsADirectory => Self::Invalid,
            _ => Self::Unreachable,
        }
    }
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
    /// An error of a kind.
    #[must_use]
    pub fn of(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), kind, source: None }
    }

    /// There was no answer, or no right one: of the kind [`StoreErrorKind::Unreachable`].
    #[must_use]
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Unreachable, message)
    }

    /// The request is impossible: of the kind [`StoreErrorKind::Invalid`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Invalid, message)
    }

    /// What is stored cannot be read: of the kind [`StoreErrorKind::Corrupt`].
    #[must_use]
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Corrupt, message)
    }

    /// A part that must exist does not: of the kind [`StoreErrorKind::Missing`].
    #[must_use]
    pub fn missing(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Missing, message)
    }

    /// The error of a file or a pipe: its kind follows from the system's. `what` is a place, or what was done there.
    #[must_use]
    pub fn of_io(what: impl fmt::Display, error: io::Error) -> Self {
        Self::of(error.kind().into(), format!("{what}: {error}")).caused_by(error)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_the_system_gives_its_kind() {
        use StoreErrorKind::{Corrupt, Denied, Full, Invalid, Missing, Unreachable};
        for (number, kind) in [
            (2, Missing),      // ENOENT
            (20, Missing),     // ENOTDIR
            (13, Denied),      // EACCES
            (30, Denied),      // EROFS
            (28, Full),        // ENOSPC
            (21, Invalid),     // EISDIR
            (5, Unreachable),  // EIO
            (24, Unreachable), // EMFILE
        ] {
            let error = StoreError::of_io("reading a", io::Error::from_raw_os_error(number));
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.starts_with("reading a: ") && error.source().is_some(), "{error}");
        }
        assert_eq!(StoreErrorKind::from(io::ErrorKind::InvalidData), Corrupt);
    }

    #[test]
    fn kind_has_the_word_of_its_json() {
        for kind in StoreErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str(), "{kind:?}");
        }
    }
}
