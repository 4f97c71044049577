//! Parts of a record that are too large for where it stands, and are kept elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::Run;
use crate::job_type::Rendered;

/// A part of a record that may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What the last attempt gave.
    Result,
    /// Payload and parameters as rendered at the start of the attempt.
    Rendered,
    /// What the run uses, pinned beside the record.
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
pub struct Apart {
    /// The part.
    pub part: Part,
    /// Where it is.
    pub place: String,
    /// Whether it was looked for there and is not there any more.
    #[serde(default)]
    pub gone: bool,
}

impl Run {
    /// Gives the run a result, in place of one that may be kept elsewhere.
    pub(super) fn set_result(&mut self, result: Value) {
        self.result = result;
        self.apart.retain(|apart| apart.part != Part::Result);
    }

    /// Gives the run what was rendered, or nothing, in place of what may be kept elsewhere.
    pub(super) fn set_rendered(&mut self, rendered: Option<Rendered>) {
        self.rendered = rendered;
        self.apart.retain(|apart| apart.part != Part::Rendered);
    }

    /// Where a part of the record was that is gone.
    #[must_use]
    pub fn gone(&self, part: Part) -> Option<&str> {
        self.apart.iter().find(|apart| apart.gone && apart.part == part).map(|apart| &*apart.place)
    }

    /// Where a part of the record is kept, unless it stands in the record.
    #[must_use]
    pub fn place_of(&self, part: Part) -> Option<&str> {
        self.apart.iter().find(|apart| apart.part == part).map(|apart| &*apart.place)
    }
}
