//! How long a run waits: until it is looked at again, and for the reports of its steps.

use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// How long after a run could have started the sweeper checks that it did.
pub const WAKE_GRACE: Span = Span::from_secs(60);
/// How often a run that waits for its children looks at them unasked.
pub const POLL: Span = Span::from_mins(5);
/// How long the actions and reports after an attempt may take, at least, before another worker
/// sees to them.
pub const DUTIES: Span = Span::from_mins(2);
/// How long a run is left alone, at most, after it was looked at for nothing.
pub const MAX_LULL: Span = Span::from_mins(15);
/// How long a run waits for the one before it, at most, until it looks again.
pub const HOLD: Span = Span::from_secs(30);

/// Longest time for which reports are gathered while steps wait to begin, and while there is only their end to wait for.
const MOST: [usize; 2] = [2_000, 10_000];
/// Steps of which a look takes a millisecond more of its time, in the same order: a look reads all of them.
const STEPS: [usize; 2] = [5, 1];

/// How a run whose steps are spread hears of their ends.
///
/// A step that has an invocation of its own reports its end to its parent: one write of the parent's record, and a message
/// for it. Thousands of steps that run at the same time would write that record together, and each would cause a
/// look at all of them. So the first report after a look has the run looked at a while later, and those that come before
/// then write nothing.
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
