//! Hosts of a worker that come, go and stand still, and jobs that the clock starts on each of them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::engine::Halt;
use pumice_core::hosts::{ALIVE, BEAT, Host};
use pumice_core::ids::{HostId, JobId, RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::{HostStore, StoreError};
use pumice_core::run::Run;
use serde_json::json;

use super::clock::{Act, Clock, began};
use super::faults::Port;
use super::hand::Hand;
use super::mutants::Mutant;
use super::runner::{Done, Runner};
use super::scenario::{Setup, short_nap};
use super::world::{BEGIN, Role, Shared, TaskId, What, World, lock, worker};
use crate::memory::HostTable;
use crate::prng::Prng;

/// For how long jobs are started by the clock, in seconds.
const LASTS: u64 = 3_600;
/// How far the clocks of two tasks are apart, at most, and how long their calls take.
const APART: TimeDelta = TimeDelta::seconds(41);

/// The life of a host, in milliseconds from the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    from: u64,
    to: u64,
    /// Whether it is stopped in order; else it is gone from one moment to the next.
    in_order: bool,
}

/// The hosts of the simulated worker.
#[derive(Debug)]
pub(crate) struct Fleet {
    visits: Vec<Visit>,
    table: HostTable,
    /// The hosts that are up, by their visits.
    up: BTreeMap<usize, Host>,
    /// Runs that hosts have found and whose time is still to come.
    waiting: BTreeSet<(usize, RunKey)>,
    /// When each host wrote its last heartbeat, and the time by its own clock.
    heard: BTreeMap<HostId, (Timestamp, Timestamp)>,
}

/// Jobs that the clock starts on each host, while hosts come and go.
pub(crate) fn hosts(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let (ahead, period) = prng.pick(&[(0, 1), (0, 20), (90, 60)]);
    let mut clock = Clock { ahead, period, racing: prng.within(1, 3), ..Clock::default() };
    let mut nap = short_nap(prng);
    nap["payload"] = json!({ "from": 0, "to": prng.pick(&[500, 20_000]), "fail": prng.pick(&[0, 30]), "panic": 0, "permanent": 0 });
    if prng.below(3) == 0 {
        nap["iteration_limit"] = json!(2);
        nap["iteration_delay"] = json!(prng.pick(&[0, 100]));
    }
    if prng.below(2) == 0 {
        nap["on_fail"] = json!([{ "action": "note", "when": "on_fail" }]);
    }
    let mut id = setup.job(nap);
    if prng.below(3) == 0 {
        let steps = json!([{ "job": id }, { "job": id, "after": [0] }]);
        id = setup.job(json!({ "type": "steps", "payload": { "steps": steps, "width": 1 } }));
    }
    let mut document = setup.jobs.pop().unwrap_or_default();
    document["schedule"] = json!([{ "every": prng.pick(&[290, 420, 600]), "from": "2026-11-01T00:00:00Z", "nodes": "all", "catch_up": prng.pick(&["none", "last"]) }]);
    clock.acts.push((prng.within(0, 60_000), Act::Put(document)));
    clock.acts.push((LASTS * 1_000, Act::Delete(id)));
    setup.clock = Some(clock);
    let visits = (0..prng.within(1, 4)).map(|_| {
        let from = prng.pick(&[0, 200_000, 1_500_000]) + prng.below(60_000);
        let to = from + prng.pick(&[30_000, 400_000, 1_500_000, 40_000_000]) + prng.below(60_000);
        Visit { from, to, in_order: prng.below(2) == 0 }
    });
    setup.hosts = visits.collect();
    setup
}

impl Fleet {
    pub(crate) fn new(visits: Vec<Visit>) -> Self {
        let (table, up, waiting, heard) = Default::default();
        Self { visits, table, up, waiting, heard }
    }

    fn is_up(&self, visit: usize, id: &HostId) -> bool {
        self.up.get(&visit).is_some_and(|host| host.id == *id)
    }

    /// Whether every look between two times has found a host alive, whatever the looker's clock says.
    fn is_surely_alive(&self, host: &Host, from: Timestamp, to: Timestamp) -> bool {
        let heard = self.heard.get(&host.id);
        host.ended.is_none()
            && heard.is_some_and(|(at, seen)| *at <= from && to + APART - *seen <= ALIVE.delta())
    }
}

impl World {
    pub(super) fn schedule_visits(&mut self, visits: &[Visit]) {
        let at = |millis: u64| BEGIN + TimeDelta::milliseconds(millis.cast_signed());
        for (index, visit) in visits.iter().enumerate() {
            self.schedule(at(visit.from), What::HostComes(index));
            self.schedule(at(visit.to), What::HostGoes(index));
        }
    }

    fn fleet(&mut self) -> &mut Fleet {
        self.fleet.as_mut().expect("the scenario has hosts")
    }

    /// The host that the current task is of.
    pub(super) fn current_host(&self) -> Option<HostId> {
        match self.tasks.get(&self.current).map(|task| &task.role) {
            Some(Role::Beat(_, id) | Role::Hosted(_, id, _)) => Some(id.clone()),
            _ => None,
        }
    }

    /// A job's own work begins: that of a run for a host on that host.
    pub(super) fn is_executed(&mut self, run: &Run) {
        let root = run.key.run_id().and_then(|id| self.runs.get(&RunKey::root(id)));
        let key = root.and_then(|root| root.keyed.as_ref()).map(|keyed| keyed.key.clone());
        let Some(wanted) = key.as_deref().and_then(|key| key.split_once('@')).map(|(_, host)| host) else {
            return;
        };
        let host = self.current_host();
        if host.as_ref().map(HostId::as_str) != Some(wanted) {
            let detail = format!("{} for {wanted} is run by {host:?}", run.key);
            self.audit.fail("no host runs another's", detail);
        }
    }

    /// A run has ended because its host is gone.
    pub(super) fn is_given_up(&mut self, before: &Run, after: &Run) {
        let is_gone = |run: &Run| run.reason.as_deref().is_some_and(|why| why.starts_with("its host "));
        let (Some(id), true) = (&after.host, is_gone(after) && !before.status.is_end()) else { return };
        if self.audit.stood_still_for(self.current) > TimeDelta::zero() {
            return;
        }
        let (from, now) = (began(self, self.current), self.now);
        let fleet = self.fleet();
        let host = fleet.table.get(&after.worker, id);
        if host.is_some_and(|host| fleet.is_surely_alive(host, from, now)) {
            let detail = format!("{}: {:?}", after.key, after.reason);
            self.audit.fail("only a host that is gone loses its runs", detail);
        }
    }

    /// Whether each host that was alive while the current task looked has a run under a key of its own.
    pub(super) fn has_run_on_each(&self, job_id: &JobId, key: &str) -> bool {
        let Some(fleet) = &self.fleet else { return true };
        if self.current == 0 || self.audit.stood_still_for(self.current) > TimeDelta::zero() {
            return true;
        }
        fleet.table.of(&worker()).iter().all(|host| {
            let is_there = self.stands(job_id, &format!("{key}@{}", host.id));
            is_there || !fleet.is_surely_alive(host, began(self, self.current), self.now)
        })
    }
}

impl Runner {
    pub(super) fn host_comes(&mut self, visit: usize) {
        let mut world = lock(&self.world);
        let number = u128::from(world.number());
        let host = Host::new(worker(), "sim", uuid::Uuid::from_u128(number), world.now);
        world.note(|| format!("host {} comes", host.id));
        world.fleet().up.insert(visit, host);
        let now = world.now;
        world.schedule(now, What::Beat(visit));
    }

    /// A host is stopped in order, or crashes.
    pub(super) fn host_goes(&mut self, visit: usize) {
        let (in_order, host) = {
            let mut world = lock(&self.world);
            let fleet = world.fleet();
            let Some(host) = fleet.up.remove(&visit) else { return };
            let in_order = fleet.visits[visit].in_order;
            fleet.waiting.retain(|(of, _)| *of != visit);
            world.note(|| format!("host {} goes, in order: {in_order}", host.id));
            (in_order, host)
        };
        let is_its = |role: &Role| matches!(role, Role::Beat(of, _) | Role::Hosted(of, ..) if *of == visit);
        let tasks = lock(&self.world).tasks.clone().into_iter().filter(|(_, task)| is_its(&task.role));
        let tasks: Vec<TaskId> = tasks.map(|(id, _)| id).collect();
        if !in_order {
            return tasks.into_iter().for_each(|task| self.is_gone(task));
        }
        // Its running attempts may end.
        let (id, hand) = (host.id.clone(), Hand::new(self.world.clone()));
        self.spawn(Role::Beat(visit, id), |_| {
            Box::pin(async move {
                let now = lock(hand.world()).clock();
                let _ = hand.put_host(&Host { seen: now, ended: Some(now), ..host }).await;
                Done::Nothing
            })
        });
    }

    /// A host writes its heartbeat, and finds its runs.
    pub(super) fn beat(&mut self, visit: usize) {
        let host = {
            let mut world = lock(&self.world);
            let Some(host) = world.fleet().up.get(&visit).cloned() else { return };
            let next = world.now + BEAT.delta();
            world.schedule(next, What::Beat(visit));
            // One at a time: it may stand still.
            if world.tasks.values().any(|task| matches!(task.role, Role::Beat(of, _) if of == visit)) {
                return;
            }
            host
        };
        let in_hand = {
            let mut world = lock(&self.world);
            let hosted = world.tasks.values().filter_map(|task| match &task.role {
                Role::Hosted(of, _, key) if *of == visit => Some(key.clone()),
                _ => None,
            });
            let mut in_hand: BTreeSet<RunKey> = hosted.collect();
            in_hand.extend(
                world.fleet().waiting.iter().filter(|(of, _)| *of == visit).map(|(_, key)| key.clone()),
            );
            in_hand
        };
        let (engine, shared) = (self.engine.clone().on_host(host.clone()), self.world.clone());
        self.spawn(Role::Beat(visit, host.id.clone()), |_| {
            Box::pin(async move {
                let found = engine.beat(&host, &in_hand).await.unwrap_or_default();
                let mut world = lock(&shared);
                for outgoing in
                    found.into_iter().filter(|_| world.fleet().is_up(visit, &host.id)).collect::<Vec<_>>()
                {
                    let at = outgoing.at.max(world.now);
                    world.fleet().waiting.insert((visit, outgoing.message.key()));
                    world.schedule(at, What::Hosted(visit, host.id.clone(), outgoing.message));
                }
                Done::Nothing
            })
        });
    }

    /// A host takes up a run of its own.
    pub(super) fn hosted(&mut self, visit: usize, id: HostId, message: &Message) {
        let (key, body) = (message.key(), message.body());
        let host = {
            let mut world = lock(&self.world);
            let fleet = world.fleet();
            if !fleet.is_up(visit, &id) {
                return;
            }
            fleet.waiting.remove(&(visit, key.clone()));
            fleet.up[&visit].clone()
        };
        let engine = self.engine.clone().on_host(host).halted_by(Halt::default());
        self.spawn(Role::Hosted(visit, id, key), |_| {
            Box::pin(async move {
                let _ = engine.handle(&body, 1, None).await;
                Done::Nothing
            })
        });
    }
}

#[async_trait]
impl HostStore for Hand {
    async fn put_host(&self, host: &Host) -> Result<(), StoreError> {
        self.call(Port::Commit, "put host", &host.id, |world| {
            let now = world.now;
            let fleet = world.fleet();
            fleet.heard.insert(host.id.clone(), (now, host.seen));
            fleet.table.put(host.clone());
        })
        .await
        .or_store_error()
    }

    async fn host(&self, worker: &WorkerName, id: &HostId) -> Result<Option<Host>, StoreError> {
        self.read("host", id, |world| {
            let now = world.clock();
            let immortal = world.is(Mutant::GoneHostAlive);
            let host = world.fleet().table.get(worker, id).cloned();
            host.map(|host| if immortal { Host { seen: now, ended: None, ..host } } else { host })
        })
        .await
    }

    async fn hosts(&self, worker: &WorkerName) -> Result<Vec<Host>, StoreError> {
        self.read("hosts", worker, |world| {
            let mut hosts = world.fleet().table.of(worker);
            if world.is(Mutant::HostPassedOver) && hosts.len() > 1 {
                hosts.pop();
            }
            hosts
        })
        .await
    }

    async fn runs_for(&self, host: &HostId) -> Result<Vec<RunKey>, StoreError> {
        self.read("runs for host", host, |world| {
            if world.is(Mutant::HostTakesOthers) {
                return world
                    .runs
                    .all()
                    .filter(|run| run.is_addressed())
                    .map(|run| run.key.clone())
                    .collect();
            }
            world.runs.addressed_to(host)
        })
        .await
    }
}

/// The hosts of a simulated realm, where its scenario has some.
pub(super) fn port(world: &Shared, hand: &std::sync::Arc<Hand>) -> Option<std::sync::Arc<dyn HostStore>> {
    lock(world).fleet.as_ref().map(|_| hand.clone() as std::sync::Arc<dyn HostStore>)
}
