//! How long a run gathers the reports of its steps.
//!
//! A step that has an invocation of its own reports its end to its parent: one write of the parent's record, and a message
//! for it. Thousands of steps that run at the same time would write that record together, and each would cause a
//! look at all of them. So a run whose steps are spread gathers their reports: the first one after a look has it looked at a while
//! later, and those that come before then write nothing.

use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// Longest time for which reports are gathered while steps wait to begin, and while there is only their end to wait for.
const MOST: [usize; 2] = [2_000, 10_000];
/// Steps of which a look takes a millisecond more of its time, in the same order: a look reads all of them.
const STEPS: [usize; 2] = [5, 1];

/// How a run whose steps are spread hears of their ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// How long reports are gathered, in milliseconds.
    pub millis: u32,
    /// Whether a step has reported since the run was claimed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub news: bool,
}

impl Gathering {
    /// For a run of so many steps. While some of them wait for others to end a look comes sooner.
    #[must_use]
    pub fn of(steps: usize, some_wait: bool) -> Self {
        let which = usize::from(!some_wait);
        let millis = (steps / STEPS[which]).min(MOST[which]);
        Self { millis: u32::try_from(millis).unwrap_or(u32::MAX), news: false }
    }

    /// How long reports are gathered.
    #[must_use]
    pub fn span(self) -> Span {
        Span::from(std::time::Duration::from_millis(u64::from(self.millis)))
    }
}
