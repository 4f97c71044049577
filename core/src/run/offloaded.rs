//! Parts of a record that are too large for where it stands, and are kept elsewhere.

use serde::{Deserialize, Serialize};

/// A part of a record that may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The result of the last attempt.
    Result,
    /// Payload and parameters as rendered at the start of the attempt.
    Rendered,
    /// The run's pinned spec.
    Spec,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Result => "result",
            Self::Rendered => "rendered payload",
            Self::Spec => "spec",
        })
    }
}

/// Where a store keeps a part of a record. A record that is only looked at comes without such
/// parts; written again, it keeps them where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offloaded {
    /// The part.
    pub part: Part,
    /// Where it is.
    pub place: String,
    /// Whether it was looked for there and is not there any more.
    #[serde(default)]
    pub gone: bool,
    /// Whether it is there and must not be used: `place` says what is wrong with its signature.
    #[serde(default)]
    pub unsigned: bool,
}

impl Offloaded {
    /// Why a part that is gone cannot be used.
    #[must_use]
    pub fn why_gone(&self) -> String {
        let Self { part, place, .. } = self;
        match self.unsigned {
            true => format!("its {part} is not trusted: {place}"),
            false => format!("its {part} is gone from {place}"),
        }
    }
}
