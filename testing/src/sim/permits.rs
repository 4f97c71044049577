//! Jobs in pools, and jobs with keys: only so many of their runs run at once, and the others wait in line.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::ids::{PoolName, RunKey};
use pumice_core::permits::{Gate, GateView, PermitChange};
use pumice_core::ports::Change;
use pumice_core::run::Run;
use pumice_core::spec::RealmSpec;
use serde_json::{Value, json};

use super::audit::{APART, PROMPT};
use super::mutants::Mutant;
use super::runner::{Done, Runner};
use super::scenario::{Setup, short_nap};
use super::world::{BEGIN, Role, TaskId, World, lock};
use crate::prng::Prng;

/// How long a worker may go by what it has read of a pool's size.
const READ: TimeDelta = TimeDelta::seconds(10);

/// A pool gets another size, or is taken away.
#[derive(Clone, Debug)]
pub(crate) struct Resizing {
    /// When, in milliseconds from the beginning.
    pub(crate) at: u64,
    size: Option<u32>,
}

/// How large the pool was, and since when.
#[derive(Debug, Default)]
pub(crate) struct PermitAudit {
    sizes: Vec<(Timestamp, u32)>,
    /// When a permit of each gate was last given back, or its size was changed.
    moved: BTreeMap<Gate, Timestamp>,
    /// Since when each run stands in line.
    since: BTreeMap<RunKey, Timestamp>,
}

/// The pool of the scenario.
const POOL: &str = "p";
/// How many runs with one key run at once.
const OF_KEY: u32 = 1;

/// Runs that need permits: by themselves, as steps, and of jobs of steps.
pub(super) fn pools(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let mut jobs = Vec::new();
    for _ in 0..prng.within(1, 2) {
        let mut document = short_nap(prng);
        match prng.below(3) {
            0 => document["concurrency"] = json!({ "max": OF_KEY }),
            1 => {
                document["concurrency"] = json!({ "key": "c-{{ globals.c | default('1') }}", "max": OF_KEY })
            }
            _ => document["pool"] = json!(POOL),
        }
        if prng.below(4) == 0 {
            document["overlap"] = json!("queue");
        }
        jobs.push(setup.job(document));
    }
    if prng.below(3) == 0 {
        let mut leaf = short_nap(prng);
        leaf["pool"] = json!(POOL);
        let leaf = setup.job(leaf);
        let steps: Vec<Value> = (0..prng.within(1, 3)).map(|_| json!({ "job": leaf, "after": [] })).collect();
        let width = prng.pick(&[1, 2, 100]);
        let mut whole =
            json!({ "type": "steps", "payload": { "steps": steps, "width": width, "can_fail": [] } });
        if prng.below(2) == 0 {
            whole["concurrency"] = json!({ "key": "whole", "max": OF_KEY });
        }
        jobs.push(setup.job(whole));
    }
    for _ in 0..prng.within(2, 6) {
        let chosen = usize::try_from(prng.below(jobs.len() as u64)).unwrap_or(0);
        let at = prng.pick(&[0, 0, 10, 2_000, 30_000]) + prng.below(50);
        let c = prng.below(2);
        setup.ask(at, &jobs[chosen]).globals.insert("c".to_owned(), json!(c));
    }
    for _ in 0..prng.below(3) {
        setup.cancels.push(prng.pick(&[10, 1_000, 20_000, 60_000]) + prng.below(1_000));
    }
    setup.resizings.push(Resizing { at: 0, size: Some(prng.pick(&[1, 1, 2])) });
    if prng.below(3) == 0 {
        let at = prng.pick(&[1_000, 20_000]);
        setup.resizings.push(Resizing { at, size: prng.pick(&[None, Some(1), Some(3)]) });
        setup.resizings.push(Resizing { at: at + prng.pick(&[5_000, 300_000]), size: Some(2) });
    }
    setup
}

fn pool() -> PoolName {
    PoolName::new(POOL).expect("a name")
}

fn realm(size: Option<u32>) -> Arc<RealmSpec> {
    let pools = size.map(|size| json!({ POOL: { "size": size } }));
    Arc::new(RealmSpec::parse(&json!({ "realm": "sim", "pools": pools })).expect("a realm"))
}

impl Runner {
    /// The pool gets another size; the one that changed it wakes the runs that may go now.
    pub(super) fn resize(&mut self, resizing: &Resizing) {
        self.to_come -= 1;
        {
            let mut world = lock(&self.world);
            world.realm = realm(resizing.size);
            let now = world.now;
            let audit = &mut world.audit.permits;
            audit.sizes.push((now, resizing.size.unwrap_or(0)));
            audit.moved.insert(Gate::Pool(pool()), now);
        }
        let dispatcher = self.engine.dispatcher().clone();
        self.spawn(Role::Pauser, |_| {
            Box::pin(async move {
                dispatcher.call_waiting(&Gate::Pool(pool())).await;
                Done::Nothing
            })
        });
    }
}

impl World {
    /// A gate, as a worker reads it.
    pub(super) fn gate(&self, gate: &Gate, limit: usize) -> GateView {
        let mut view = self.runs.gates().view(gate, limit);
        if self.is(Mutant::LinePassed) {
            view.line.reverse();
        }
        if self.is(Mutant::OnePermitTooMany) {
            view.holders.pop();
        }
        view
    }

    /// A write took place that changes a permit, when its gate was as given: those in line before it come first.
    pub(super) fn passes_in_turn(&mut self, change: &Change, view: &GateView, task: TaskId) {
        let Some(PermitChange::Take { gate, .. }) = &change.permit else { return };
        let key = &change.run.key;
        if view.holders.contains(key) {
            return;
        }
        let slack = READ + APART + self.audit.stood_still_for(task);
        let most = self.audit.permits.most(gate, self.now - slack);
        let before = view.line.iter().take_while(|(_, other)| other != key).count();
        let free = view.free(most);
        self.audit.expect(free > 0, "no more run at once than there are permits", || {
            format!("{key} takes one of {most} of {}: {:?}", gate.words(), view.holders)
        });
        self.audit.expect(before < free, "the first run in line goes first", || {
            format!("{key} passes {:?} at {}", view.line, gate.words())
        });
    }

    /// A write took place.
    pub(super) fn has_its_permit(&mut self, before: &Run, change: &Change) {
        let (after, now) = (&change.run, self.now);
        let Some(gate) = after.gate().cloned() else { return };
        let begins = before.ts_start.is_none() && after.ts_start.is_some();
        let view = self.runs.gates().view(&gate, usize::MAX);
        let holds = view.holders.contains(&after.key);
        if after.ts_start.is_some() {
            self.audit.expect(holds != after.is_done(), "running runs have a permit, and no others", || {
                format!("{} is {}, holders of {}: {:?}", after.key, after.status, gate.words(), view.holders)
            });
        }
        let in_line = view.line.iter().any(|(_, key)| *key == after.key);
        self.audit.expect(
            in_line == after.waits_for_permit(),
            "runs that wait for a permit are in line",
            || format!("{} is {}: {:?}", after.key, after.status, view.line),
        );
        if begins && before.waits_for_permit() && self.audit.prompt {
            let moved = self.audit.permits.moved.get(&gate).copied().unwrap_or(BEGIN);
            let since = self.audit.permits.since.get(&after.key).copied().unwrap_or(now).max(moved);
            self.audit.expect(now - since <= PROMPT, "the next run for a permit starts promptly", || {
                format!("{} waited {} s", after.key, (now - since).num_seconds())
            });
        }
        if after.waits_for_permit() {
            self.audit.permits.since.entry(after.key.clone()).or_insert(now);
        } else {
            self.audit.permits.since.remove(&after.key);
        }
        if matches!(change.permit, Some(PermitChange::Leave { .. })) {
            self.audit.permits.moved.insert(gate, now);
        }
    }

    /// A gate that is left when all is over.
    pub(super) fn left_at_gates(&self) -> Option<String> {
        let (gate, view) = self.runs.gates().all().next()?;
        Some(format!("{}: {view:?}", gate.words()))
    }
}

impl PermitAudit {
    /// The most permits that a gate had since a time.
    fn most(&self, gate: &Gate, since: Timestamp) -> u32 {
        if matches!(gate, Gate::Key(_)) {
            return OF_KEY;
        }
        let first = self.sizes.iter().rposition(|(at, _)| *at <= since).unwrap_or(0);
        self.sizes[first.min(self.sizes.len())..].iter().map(|(_, size)| *size).max().unwrap_or(0)
    }
}
