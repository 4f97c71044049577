//! Invariants of runs that were made ahead and are no longer wanted.

use pumice_core::clock::Timetable;
use pumice_core::ids::{RunId, RunKey};

use super::super::world::World;

impl World {
    /// A timetable is written: a run that it no longer names must not start.
    pub(super) fn is_withdrawn(&mut self, before: Option<&Timetable>, after: &Timetable) {
        let ahead = |one: &Timetable| {
            let made = one.cursors.iter().flat_map(|cursor| cursor.ahead.iter());
            made.map(|made| (made.at, made.key.clone())).collect::<Vec<_>>()
        };
        let kept = ahead(after);
        for (at, key) in before.map(ahead).unwrap_or_default() {
            if at <= self.clock() || kept.iter().any(|(_, other)| *other == key) {
                continue;
            }
            let realm = self.realm.fields.realm.clone();
            let run_id = RunId::from_key(&realm, &after.job_id, &format!("key:{key}"));
            let Some(run) = self.runs.get(&RunKey::root(run_id)) else { continue };
            if !run.status.is_end() && !run.cancel {
                let detail =
                    format!("{} is {}, but its timetable is written without it", run.key, run.status);
                self.audit.fail("unwanted runs are withdrawn", detail);
            }
        }
    }
}
