//! How a command ends when it does not end well.

use std::fmt;

use pumice_core::engine::ApplyError;
use pumice_core::job_type::DispatchError;
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_local::{HomeError, OpenError};
use pumice_service::{Error, ErrorKind};

/// Why a command did not do what was asked; each has an exit status of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A run failed: 1. The reason has been shown.
    RunFailed,
    /// The request was refused: 2; or the store could not be reached: 3. The error's kind decides.
    Refused(Error),
}

impl Failure {
    /// The command line, the request or a spec is wrong.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self::Refused(Error::invalid(message))
    }

    /// The store cannot be reached.
    pub(crate) fn store(message: impl Into<String>) -> Self {
        Self::Refused(Error::unreachable(message))
    }

    /// Whether the same may go well in a while.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Refused(error) if error.kind().may_pass())
    }

    /// The process's exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::RunFailed => 1,
            Self::Refused(error) if error.kind().is_of_request() => 2,
            Self::Refused(_) => 3,
        }
    }

    /// The message for a person, if there is more to say.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::RunFailed => None,
            Self::Refused(error) => Some(error.message()),
        }
    }
}

/// The error of an option, under the option's name.
pub(crate) fn of_option(option: &str, error: impl fmt::Display) -> Failure {
    Failure::wrong(format!("{option}: {error}"))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<DispatchError> for Failure {
    fn from(error: DispatchError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        Self::Refused(error.into())
    }
}

/// The error of a realm's folder.
pub(crate) fn of_home(error: HomeError) -> Error {
    let kind = match &error {
        HomeError::OtherRealm { .. } | HomeError::Environment(_) | HomeError::Zone(_) => ErrorKind::Invalid,
        HomeError::Missing(_) => ErrorKind::NotFound,
        HomeError::Empty(_)
        | HomeError::NotAFile(_)
        | HomeError::LogGone { .. }
        | HomeError::OtherStore { .. }
        | HomeError::Replaced(_)
        | HomeError::Open(OpenError::Replaced(_)) => ErrorKind::Corrupt,
        HomeError::Store(error) => error.kind.into(),
        HomeError::Folder { error, .. } => StoreErrorKind::from(error.kind()).into(),
        HomeError::InUse { .. } | HomeError::Open(_) => ErrorKind::Unreachable,
    };
    let message = match &error {
        HomeError::Missing(_) => format!("{error}, or name its folder with --home"),
        HomeError::Open(OpenError::Foreign(_)) => format!("{error}: name another folder with --home"),
        _ => error.to_string(),
    };
    Error::new(kind, message).caused_by(error)
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::Refused(of_home(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let kind = StoreErrorKind::from(error.kind()).into();
        Self::Refused(Error::new(kind, error.to_string()).caused_by(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_follows_from_the_kind() {
        use ErrorKind::{Changed, Conflict, Invalid, NotFound};
        for kind in ErrorKind::ALL {
            let status = if matches!(kind, Invalid | NotFound | Conflict | Changed) { 2 } else { 3 };
            assert_eq!(Failure::from(Error::new(kind, "why")).status(), status, "{kind:?}");
        }
        for kind in StoreErrorKind::ALL {
            let status = if kind == StoreErrorKind::Invalid { 2 } else { 3 };
            let stores = || StoreError::of(kind, "why");
            assert_eq!(Failure::from(stores()).status(), status, "{kind:?}");
            assert_eq!(Failure::from(DispatchError::Store(stores())).status(), status, "{kind:?}");
            assert_eq!(Failure::from(ApplyError::Store(stores())).status(), status, "{kind:?}");
        }
        assert_eq!(Failure::RunFailed.status(), 1);
    }
}
