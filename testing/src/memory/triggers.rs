//! Triggers, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use pumice_core::ids::TriggerId;
use pumice_core::ports::{Doc, JobChange, TriggerUpsert};
use pumice_core::trigger::TriggerSpec;

/// Triggers by id.
#[derive(Clone, Debug, Default)]
pub struct TriggerTable(BTreeMap<TriggerId, Arc<Doc>>);

impl TriggerTable {
    /// Those of a bucket.
    #[must_use]
    pub fn of_bucket(&self, bucket: &str) -> Vec<Arc<Doc>> {
        let has = |doc: &&Arc<Doc>| doc.get("bucket").is_some_and(|named| named == bucket);
        self.0.values().filter(has).cloned().collect()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Doc> {
        self.0.values().map(|doc| Doc::clone(doc)).collect()
    }

    /// Puts one, unless it is a dry run.
    pub fn put(&mut self, trigger: TriggerSpec, dry_run: bool) -> TriggerUpsert {
        let trigger_id = trigger.fields.trigger_id;
        let before = self.0.get(&trigger_id).map(|doc| Doc::clone(doc));
        let change = JobChange::between(before.as_ref(), &trigger.document);
        if !dry_run {
            self.0.insert(trigger_id.clone(), trigger.document);
        }
        TriggerUpsert { trigger_id, change, before }
    }

    /// Removes one and returns whether it existed.
    pub fn delete(&mut self, id: &TriggerId) -> bool {
        self.0.remove(id).is_some()
    }
}
