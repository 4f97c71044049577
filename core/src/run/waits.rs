//! How long a run is left alone before it is looked at again.

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
