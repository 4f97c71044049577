//! Reading runs before they are asked for: with the realm, in one round trip, where a process knows neither.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pumice_core::ids::RunKey;
use pumice_core::ports::StoreError;

use super::record::{key_of, run_key, spec_key};
use crate::attribute::Item;
use crate::store::Store;

/// For how long what was read ahead is used: others write to it meanwhile.
const AHEAD_FRESH: Duration = Duration::from_secs(2);

/// What was read of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadRun {
    pub(super) record: Option<Item>,
    /// Its spec, where that has an item of its own.
    pub(super) pinned: Option<Item>,
}

/// Runs that were read before they were asked for, and when.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    read: Option<Instant>,
    runs: HashMap<RunKey, ReadRun>,
}

impl Store {
    /// Reads the realm and these runs in one round trip. Each of them is then there once for whoever
    /// asks for it next.
    ///
    /// # Errors
    /// [`StoreError`] when the tables cannot be read.
    pub async fn read_ahead(&self, keys: &[RunKey]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let runs = self.read_runs(keys).await?;
        *self.ahead() = Ahead { read: Some(Instant::now()), runs };
        Ok(())
    }

    pub(super) fn take_ahead(&self, key: &RunKey) -> Option<ReadRun> {
        let mut ahead = self.ahead();
        let fresh = ahead.read.is_some_and(|read| read.elapsed() < AHEAD_FRESH);
        ahead.runs.remove(key).filter(|_| fresh)
    }

    /// Reads runs, and the realm with them when it has not been read lately. One that does not exist is
    /// not among what is given.
    pub(super) async fn read_runs(&self, keys: &[RunKey]) -> Result<HashMap<RunKey, ReadRun>, StoreError> {
        let (runs, realms) = (self.names.runs(), self.names.realms());
        let items = keys.iter().flat_map(|key| [run_key(key), spec_key(key)]);
        let mut wanted: Vec<_> = items.map(|key| (runs.clone(), key)).collect();
        if self.fresh_realm().is_none() {
            wanted.push((realms.clone(), self.realm_key()));
        }
        let what = match keys {
            [key] => format!("reading run {key} from table {runs}"),
            _ => format!("reading {} runs from table {runs}", keys.len()),
        };
        let mut found: HashMap<RunKey, ReadRun> = HashMap::new();
        for (table, item) in self.get_all(&what, wanted).await? {
            if table == realms {
                // A realm that does not hold is told of where it is used.
                let _ = self.take_realm(item);
            } else if let Some(key) = key_of(&item) {
                found.entry(key).or_default().record = Some(item);
            } else if let Some(key) = keys.iter().find(|key| has(&item, &spec_key(key))) {
                found.entry(key.clone()).or_default().pinned = Some(item);
            }
        }
        Ok(found)
    }
}

/// Whether an item has this key.
fn has(item: &Item, key: &Item) -> bool {
    key.iter().all(|(name, value)| item.get(name) == Some(value))
}
