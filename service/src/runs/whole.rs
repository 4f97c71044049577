//! Whole records, before anything of them is shown.

use pumice_core::ids::RunKey;
use pumice_core::ports::RunStore;
use pumice_core::run::Run;
use pumice_core::secret::is_any_known;
use pumice_core::spec::RunSpec;

use crate::failure::Error;

/// A record, whole, and its spec. Values in them under names that the realm marks are masked from now on: a store keeps specs as
/// they were given.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn whole_with_spec(store: &dyn RunStore, key: &RunKey) -> Result<Option<(Run, RunSpec)>, Error> {
    let found = store.load_with_spec(key).await?;
    if let Some((run, spec)) = &found {
        run.remember_marked();
        spec.remember_marked();
    }
    Ok(found)
}

/// The same of the record alone.
pub(super) async fn whole_record(store: &dyn RunStore, key: &RunKey) -> Result<Option<Run>, Error> {
    if !is_any_known() {
        return Ok(store.load(key).await?);
    }
    Ok(whole_with_spec(store, key).await?.map(|(run, _)| run))
}
