//! Whole records, before their outputs are shown.

use pumice_core::ids::RunKey;
use pumice_core::ports::RunStore;
use pumice_core::run::Run;
use pumice_core::secret::{is_any_known, remember_marked};

use crate::failure::Error;

/// The whole record of a run. Values of its spec under names that the realm marks are masked from now on.
pub(super) async fn whole_record(store: &dyn RunStore, key: &RunKey) -> Result<Option<Run>, Error> {
    if !is_any_known() {
        return Ok(store.load(key).await?);
    }
    let Some((run, spec)) = store.load_with_spec(key).await? else { return Ok(None) };
    remember_marked(&spec.job);
    for rendered in spec.rendered.iter().chain(&run.rendered) {
        remember_marked(&rendered.parameters);
    }
    Ok(Some(run))
}
