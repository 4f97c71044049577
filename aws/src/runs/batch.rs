//! Reading runs before they are asked for: with the realm, in one round trip, where a process knows neither.

use pumice_core::ids::RunKey;
use pumice_core::ports::StoreError;

use super::record::{key_of, run_key};
use crate::ahead::{Ahead, Records};
use crate::attribute::Item;
use crate::store::Store;

impl Store {
    /// Reads the realm and these runs in one round trip. The next read of each run takes it from
    /// there, once.
    ///
    /// # Errors
    /// [`StoreError`] when the tables cannot be read.
    pub async fn read_ahead(&self, keys: &[RunKey]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let runs = self.read_runs(keys).await?;
        *self.ahead() = Ahead::of(runs);
        Ok(())
    }

    pub(super) fn take_ahead(&self, key: &RunKey) -> Option<Item> {
        self.ahead().take(key)
    }

    /// Reads records, and the realm with them when it has not been read lately. One that does not exist
    /// is not among what is given. No spec is read that may have an item of its own: most have none, and
    /// a read that finds nothing is paid for too (DynamoDB, read consumption).
    pub(super) async fn read_runs(&self, keys: &[RunKey]) -> Result<Records, StoreError> {
        let (runs, realms) = (self.names.runs(), self.names.realms());
        let mut wanted: Vec<_> = keys.iter().map(|key| (runs.clone(), run_key(key))).collect();
        if self.fresh_realm().is_none() {
            wanted.push((realms.clone(), self.realm_key()));
        }
        let what = match keys {
            [key] => format!("reading run {key} from table {runs}"),
            _ => format!("reading {} runs from table {runs}", keys.len()),
        };
        let mut found = Records::new();
        for (table, item) in self.get_all(&what, wanted).await? {
            if table == realms {
                // An invalid realm is reported where it is used.
                let _ = self.take_realm(item);
            } else if let Some(key) = key_of(&item) {
                found.insert(key, item);
            }
        }
        Ok(found)
    }
}
