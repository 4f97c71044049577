//! Errors of the service functions.

use std::fmt;

use pumice_core::engine::{ApplyError, BackfillError, RedoError};
use pumice_core::job_type::DispatchError;
use pumice_core::ports::{CommitError, StoreError, StoreErrorKind};
use pumice_core::problem::SpecError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::if_match::Current;

/// Why a service function did not do what was asked. The command's exit status and the status of an HTTP answer
/// follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request or a spec is wrong.
    Invalid,
    /// The job, run, state item or backfill does not exist.
    NotFound,
    /// The request contradicts what is there: another request has its key, or the run has ended.
    Conflict,
    /// The document is another than the one that the request is meant for.
    Changed,
    /// The store did not answer: a later try may succeed.
    Unreachable,
    /// The store refuses for now, or others write the same record all the time.
    Throttled,
    /// The caller may not do this, or is not known.
    Denied,
    /// A table, queue, bucket or file of the realm is missing.
    Missing,
    /// A stored record cannot be read.
    Corrupt,
    /// No room is left: a disk or a quota is full.
    Full,
    /// The store refuses for a reason that has no kind of its own: the message has it.
    Refused,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::NotFound,
        Self::Conflict,
        Self::Changed,
        Self::Unreachable,
        Self::Throttled,
        Self::Denied,
        Self::Missing,
        Self::Corrupt,
        Self::Full,
        Self::Refused,
    ];

    /// Whether the same may go well in a while, without a person who mends something.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Throttled)
    }

    /// Whether the request is at fault, and not the realm's store.
    #[must_use]
    pub const fn is_of_request(self) -> bool {
        matches!(self, Self::Invalid | Self::NotFound | Self::Conflict | Self::Changed)
    }
}

impl From<StoreErrorKind> for ErrorKind {
    fn from(kind: StoreErrorKind) -> Self {
        match kind {
            StoreErrorKind::Unreachable => Self::Unreachable,
            StoreErrorKind::Throttled => Self::Throttled,
            StoreErrorKind::Denied => Self::Denied,
            StoreErrorKind::Missing => Self::Missing,
            StoreErrorKind::Corrupt => Self::Corrupt,
            StoreErrorKind::Invalid => Self::Invalid,
            StoreErrorKind::Full => Self::Full,
            StoreErrorKind::Refused => Self::Refused,
        }
    }
}

/// An error with its kind, a message for people and, where there is one, its cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    current: Option<Box<Current>>,
}

impl Error {
    /// An error of a kind. The message is a lower-case fragment, with lines below it where it lists something.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, current: None }
    }

    /// The request or a spec is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The thing that was asked for does not exist.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The document is another by now.
    pub(crate) fn changed(message: impl Into<String>, current: Current) -> Self {
        Self { current: Some(Box::new(current)), ..Self::new(ErrorKind::Changed, message) }
    }

    /// The current state of the document that the request was meant for, of kind [`ErrorKind::Changed`].
    #[must_use]
    pub fn current(&self) -> Option<&Current> {
        self.current.as_deref()
    }

    /// The store did not answer rightly.
    #[must_use]
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same error with another message; the former one becomes its cause.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> Self {
        let current = self.current.take();
        Self { kind: self.kind, message: message.into(), source: Some(Box::new(self)), current }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Its message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    fn of(kind: ErrorKind, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(kind, source.to_string()).caused_by(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::of(error.kind.into(), error)
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<DispatchError> for Error {
    fn from(error: DispatchError) -> Self {
        let kind = match &error {
            DispatchError::Store(error) => error.kind.into(),
            DispatchError::NoSuchJob { .. } => ErrorKind::NotFound,
            DispatchError::KeyTaken { .. } | DispatchError::DeliveryTaken { .. } => ErrorKind::Conflict,
            DispatchError::BadSpec { .. }
            | DispatchError::BadParameters { .. }
            | DispatchError::HoldsSecret { .. }
            | DispatchError::Withheld
            | DispatchError::TooDeep { .. }
            | DispatchError::TooLarge(_) => ErrorKind::Invalid,
        };
        Self::of(kind, error)
    }
}

impl From<RedoError> for Error {
    fn from(error: RedoError) -> Self {
        let kind = match error {
            RedoError::Dispatch(error) => return error.into(),
            RedoError::Store(error) => return error.into(),
            RedoError::Gone(_) | RedoError::NoStep(..) | RedoError::SpecGone(..) => ErrorKind::NotFound,
            RedoError::Runs(..) | RedoError::DoneAgain { .. } | RedoError::KeyTaken { .. } => {
                ErrorKind::Conflict
            }
            RedoError::Step(..)
            | RedoError::Alert(_)
            | RedoError::Lavas(..)
            | RedoError::EndedWell(_)
            | RedoError::NoPlan(..) => ErrorKind::Invalid,
        };
        Self::of(kind, error)
    }
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        let kind = match &error {
            ApplyError::Store(error) => error.kind.into(),
            ApplyError::Gone(_) | ApplyError::Removed(_) => ErrorKind::NotFound,
            ApplyError::Illegal(..) | ApplyError::Locked(_) | ApplyError::Full(_) => ErrorKind::Conflict,
            ApplyError::Unrecordable(_) => ErrorKind::Invalid,
        };
        Self::of(kind, error)
    }
}

impl From<BackfillError> for Error {
    fn from(error: BackfillError) -> Self {
        let kind = match &error {
            BackfillError::Store(error) => error.kind.into(),
            BackfillError::Unknown(_) => ErrorKind::NotFound,
            BackfillError::KeyTaken { .. } | BackfillError::Stale(_) => ErrorKind::Conflict,
        };
        Self::of(kind, error)
    }
}

impl From<SpecError> for Error {
    fn from(error: SpecError) -> Self {
        Self::of(ErrorKind::Invalid, error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn store_error_keeps_kind_and_source() {
        for (kind, expected) in [
            (StoreErrorKind::Unreachable, ErrorKind::Unreachable),
            (StoreErrorKind::Throttled, ErrorKind::Throttled),
            (StoreErrorKind::Denied, ErrorKind::Denied),
            (StoreErrorKind::Missing, ErrorKind::Missing),
            (StoreErrorKind::Corrupt, ErrorKind::Corrupt),
            (StoreErrorKind::Invalid, ErrorKind::Invalid),
            (StoreErrorKind::Full, ErrorKind::Full),
            (StoreErrorKind::Refused, ErrorKind::Refused),
        ] {
            let cause = std::io::Error::other("the disk");
            let store = StoreError::of(kind, "reading the table").caused_by(cause);
            for error in [
                Error::from(store.clone()),
                DispatchError::Store(store.clone()).into(),
                ApplyError::Store(store.clone()).into(),
                BackfillError::Store(store.clone()).into(),
                CommitError::Store(store.clone()).into(),
            ] {
                assert_eq!((error.kind(), error.message()), (expected, "reading the table"));
                assert_eq!(error.kind().is_of_request(), kind == StoreErrorKind::Invalid);
                let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
                assert!(causes.any(|cause| cause.to_string() == "the disk"), "{error:?}");
            }
        }
    }

    #[test]
    fn unrecordable_is_of_the_request() {
        let why = || "the record is too large".to_owned();
        for error in [
            Error::from(CommitError::Unrecordable(why())),
            ApplyError::Unrecordable(why()).into(),
            DispatchError::TooLarge(why()).into(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        }
    }

    #[test]
    fn refusal_is_of_the_request() {
        let unknown = Error::from(BackfillError::Unknown("b".to_owned()));
        assert_eq!((unknown.kind(), unknown.kind().is_of_request()), (ErrorKind::NotFound, true));
        let longer = unknown.because("more about it");
        assert_eq!((longer.kind(), longer.message()), (ErrorKind::NotFound, "more about it"));
    }
}
