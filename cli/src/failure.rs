//! How a command ends when it does not end well.

use pumice_core::engine::{ApplyError, BackfillError};
use pumice_core::job_type::DispatchError;
use pumice_core::ports::StoreError;
use pumice_local::HomeError;

/// Why a command did not do what was asked; each has an exit status of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A run failed: 1. What there is to say has been said.
    RunFailed,
    /// The request or a spec was wrong: 2.
    Wrong(String),
    /// The store could not be reached: 3.
    Store(String),
}

impl Failure {
    /// The process's exit status.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::RunFailed => 1,
            Self::Wrong(_) => 2,
            Self::Store(_) => 3,
        }
    }

    /// The message for a person, if there is more to say.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::RunFailed => None,
            Self::Wrong(message) | Self::Store(message) => Some(message),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::OtherRealm { .. } | HomeError::Missing(_) => Self::Wrong(error.to_string()),
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<DispatchError> for Failure {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Store(error) => error.into(),
            other => Self::Wrong(other.to_string()),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => error.into(),
            other => Self::Wrong(other.to_string()),
        }
    }
}

impl From<BackfillError> for Failure {
    fn from(error: BackfillError) -> Self {
        match error {
            BackfillError::Store(error) => error.into(),
            other => Self::Wrong(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.to_string())
    }
}
