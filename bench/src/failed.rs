//! The error of a test or a measurement that cannot be carried out.

/// Why a test or a measurement cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.0
    }
}
