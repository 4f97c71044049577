//! Invariants of runs that were made ahead and are no longer wanted.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pumice_core::clock::Timetable;
use pumice_core::ids::{RunId, RunKey};
use pumice_core::request::slot_key;
use pumice_core::run::Run;

use super::super::world::{BEGIN, World};
use super::judge::CALM;

/// How long before its time an edit withdraws a run that was made ahead: a change of a job has it looked at at once.
const EDITED: TimeDelta = TimeDelta::seconds(30);
/// How long tasks that a fault delayed go on after faults have ended.
const THAWS: TimeDelta = TimeDelta::minutes(20);

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
    /// A run is claimed for the first time: not one that was made ahead, of a job that has had no such slot since a while before
    /// it. A pause cancels the runs itself, and another zone of the realm is found by the next sweep.
    pub(in crate::sim) fn starts_wanted(&mut self, before: &Run, after: &Run) {
        let begins = before.ts_start.is_none() && after.ts_start.is_some();
        let calm = BEGIN + CALM;
        let is_sure = self.faults.is_none() && !(calm..calm + THAWS).contains(&self.now);
        if !begins || !is_sure || self.clocks.setup.ahead == 0 || self.clocks.zoned.is_some() {
            return;
        }
        let is_one = before.redo.is_none() && before.host.is_none() && !before.is_child();
        let scheduled = before.scheduled.as_ref().filter(|one| is_one && one.backfill.is_none());
        let (Some(scheduled), Some(keyed)) = (scheduled, &before.keyed) else { return };
        let due = before.was_due();
        if before.ts_dispatch > due - EDITED {
            return;
        }
        let (slot, key) = (scheduled.slot, slot_key(&keyed.key));
        let phases = self.phases_within(&before.job_id, due - EDITED, due);
        let is_wanted = phases.iter().any(|phase| {
            let has_it = phase.entries.iter().any(|entry| entry.is_due(slot) && entry.key(slot) == key);
            phase.is_enabled && has_it
        });
        if !is_wanted {
            let detail = format!("{} of {} for {slot}: {phases:?}", before.key, before.job_id);
            self.audit.fail("an edit withdraws what was made ahead", detail);
        }
    }

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
