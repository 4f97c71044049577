//! Invariants of runs that were made ahead and are no longer wanted.

use std::collections::BTreeMap;

use pumice_core::clock::Timetable;
use pumice_core::ids::{RunId, RunKey};
use pumice_core::run::Run;

use super::super::world::World;

/// A run that a timetable names.
#[derive(PartialEq, Eq)]
enum Named {
    Pending,
    Made,
    Withdrawing,
}

fn named(timetable: &Timetable) -> BTreeMap<&str, Named> {
    let ahead = timetable.cursors.iter().flat_map(|cursor| cursor.ahead.iter());
    let state = |is_pending: bool| if is_pending { Named::Pending } else { Named::Made };
    let ahead = ahead.map(|made| (made.key.as_str(), state(made.pending.is_some())));
    ahead.chain(timetable.withdrawing().map(|key| (key, Named::Withdrawing))).collect()
}

impl World {
    /// A timetable is written: a run that it no longer names must not start, and one that is made is there.
    pub(super) fn is_withdrawn(&mut self, before: Option<&Timetable>, after: &Timetable) {
        let Some(before) = before else { return };
        let kept = named(after);
        let ahead = before.cursors.iter().flat_map(|cursor| cursor.ahead.iter());
        let begun: Vec<&str> =
            ahead.filter(|made| made.at <= self.clock()).map(|made| made.key.as_str()).collect();
        for (key, state) in named(before) {
            let run_id = RunId::from_key(&self.realm.fields.realm, &after.job_id, &format!("key:{key}"));
            let run = self.runs.get(&RunKey::root(run_id));
            if kept.get(key) == Some(&Named::Made) && state == Named::Pending && run.is_none() {
                self.audit.fail("a run that is named is made", format!("{key} of {}", after.job_id));
                return;
            }
            if begun.contains(&key) || kept.contains_key(key) {
                continue;
            }
            let is_left = |run: &&Run| !run.status.is_end() && !run.cancel;
            if let Some(run) = run.filter(is_left) {
                let detail =
                    format!("{} is {}, but its timetable is written without it", run.key, run.status);
                self.audit.fail("unwanted runs are withdrawn", detail);
                return;
            }
        }
    }
}
