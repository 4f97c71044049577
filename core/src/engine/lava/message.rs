//! The fields that lava's workers read from a message.

use serde_json::{Map, Value, json};

use crate::ids::RealmName;
use crate::message::{Message, iso};
use crate::run::{Lineage, Run};

/// The message of a run with all that lava reads from it: what Pumice's own workers find in the record. `job` is
/// the run's own document, with the parameters and globals that it was asked for with. lava counts a run's
/// `max_run_delay` from `ts_dispatch`; a delay that it was asked for is not waiting.
pub(in crate::engine) fn message_for_lava(realm: &RealmName, run: &Run, job: &Map<String, Value>) -> Message {
    let given = |name: &str| job.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut globals = given("globals");
    if let Some(lineage) = &run.lineage {
        globals.insert("lava".to_owned(), own_globals(lineage));
    }
    let some = |fields: Map<String, Value>| Some(fields).filter(|fields| !fields.is_empty());
    let (parameters, globals) = (some(given("parameters")), some(globals));
    let ts_dispatch = iso(run.ts_dispatch.max(run.not_before));
    Message { parameters, globals, ts_dispatch, ..Message::about(realm, run) }
}

/// The values that lava keeps under `globals.lava` in a message (lava guide, Globals Owned by Lava).
pub(in crate::engine) fn own_globals(lineage: &Lineage) -> Value {
    let mut own = json!({
        "master_job_id": lineage.master_job_id,
        "master_start": iso(lineage.master_start),
        "master_ustart": iso(lineage.master_start),
        "parent_job_id": lineage.parent_job_id,
        "parent_start": iso(lineage.parent_start),
        "parent_ustart": iso(lineage.parent_start),
    });
    if let Some(index) = lineage.foreach_index {
        own["foreach_index"] = index.into();
    }
    own
}
