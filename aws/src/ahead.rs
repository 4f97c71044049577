//! Runs that were read before they are asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pumice_core::ids::RunKey;

use crate::attribute::Item;

/// For how long what was read ahead is used: others write to it meanwhile.
const AHEAD_FRESH: Duration = Duration::from_secs(2);

/// A batch of records, by their runs' keys.
pub(crate) type Records = HashMap<RunKey, Item>;

/// Runs that were read before they are asked for, and when.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    read: Option<Instant>,
    runs: Records,
}

impl Ahead {
    /// Keeps the records that were just read.
    pub(crate) fn of(runs: Records) -> Self {
        Self { read: Some(Instant::now()), runs }
    }

    /// Gives a record once, unless it was read too long ago.
    pub(crate) fn take(&mut self, key: &RunKey) -> Option<Item> {
        let fresh = self.read.is_some_and(|read| read.elapsed() < AHEAD_FRESH);
        self.runs.remove(key).filter(|_| fresh)
    }
}
