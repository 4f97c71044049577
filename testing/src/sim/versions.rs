//! Records as other versions of the program would read and write them.

use pumice_core::run::Run;
use serde_json::{Value, json};

use super::world::{Version, World};

/// Fields that an older version does not know: all that have a default and say nothing that a
/// worker's decisions hang on.
const NEWER_FIELDS: [&str; 3] = ["hostname", "foreach_index", "ts_attempt"];

/// A record as the current task's version reads it.
pub(crate) fn seen(world: &World, run: Run) -> Run {
    let version = world.tasks.get(&world.current).map_or(Version::Current, |task| task.version);
    if version == Version::Current {
        return run;
    }
    let Ok(Value::Object(mut fields)) = serde_json::to_value(&run) else { return run };
    match version {
        Version::Current => {}
        Version::Old => fields.retain(|name, _| !NEWER_FIELDS.contains(&name.as_str())),
        Version::New => {
            fields.insert("of_a_later_version".to_owned(), json!({ "unknown": true }));
        }
    }
    // A record that this version cannot read is one that it would lose.
    serde_json::from_value(Value::Object(fields)).expect("records of other versions are read")
}

/// A record in a few words, for the trace.
pub(crate) fn brief(run: &Run) -> String {
    let since = |at: pumice_core::Timestamp| (at - super::world::BEGIN).num_milliseconds() as f64 / 1e3;
    let lease = run.lease.as_ref().map(|lease| format!(" held until {}", since(lease.until)));
    let due = run.due_at.map_or_else(|| " done".to_owned(), |due| format!(" due {}", since(due)));
    let duties = run.duties.as_ref().map(|duties| format!(" duties {duties:?}"));
    let cancel = if run.cancel { " cancel" } else { "" };
    format!(
        "rev {} epoch {} attempt {} crashes {}{}{due}{}{cancel}",
        run.rev,
        run.epoch,
        run.attempt,
        run.crashes,
        lease.unwrap_or_default(),
        duties.unwrap_or_default(),
    )
}
