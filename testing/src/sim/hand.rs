//! The ports as the engine sees them: each call takes its turn, and may go wrong.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Backfill, Timetable};
use pumice_core::ids::{JobId, RunId, RunKey, StateId, WorkerName};
use pumice_core::pauses::Pauses;
use pumice_core::permits::{Gate, GateView};
use pumice_core::ports::{
    AtOnce, BackfillStore, Change, Clock, CommitError, Created, Depth, Doc, DuePage, DuePlace, DueTimetables,
    JobStore, LavaEvent, LavaEvents, Outgoing, Ports, Queue, Random, RunPage, RunQuery, RunStore,
    ScheduleStore, StateItem, StateStore, StoreError, StoreErrorKind, StoredJob, WakeUps,
};
use pumice_core::run::{NewRun, Run};
use pumice_core::spec::{RealmSpec, RunSpec};
use uuid::Uuid;

use super::faults::{Fate, Port};
use super::files::Directories;
use super::mutants::Mutant;
use super::records::{commit, create, maybe_stale};
use super::versions;
use super::world::{Shared, What, World, lock};

/// The call that reads lava's events.
const LAVAS_EVENT: &str = "lava's event";

/// Everything the engine asks of the world.
#[derive(Clone)]
pub(crate) struct Hand {
    world: Shared,
}

/// How a port call was answered.
pub(super) enum Answer<T> {
    /// As it is.
    Good(T),
    /// It did not take place.
    Refused,
    /// It took place; the caller does not know.
    Unknown,
    /// It took place; the caller gets a conflict.
    FalseConflict,
}

impl<T> Answer<T> {
    pub(super) fn or_store_error(self) -> Result<T, StoreError> {
        match self {
            Self::Good(value) => Ok(value),
            Self::Refused => Err(StoreError::of(StoreErrorKind::Throttled, "throttled")),
            Self::Unknown | Self::FalseConflict => Err(StoreError::unreachable("no answer")),
        }
    }
}

impl Answer<Result<(), CommitError>> {
    fn or_commit_error(self) -> Result<(), CommitError> {
        match self {
            Self::Good(outcome) => outcome,
            Self::Refused => Err(StoreError::of(StoreErrorKind::Throttled, "throttled").into()),
            Self::Unknown => Err(CommitError::Unknown("no answer".to_owned())),
            Self::FalseConflict => Err(CommitError::Conflict),
        }
    }
}

/// Waits until a time.
struct Turn<'a> {
    world: &'a Shared,
    until: Timestamp,
    registered: Option<Waker>,
}

impl Future for Turn<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let mut world = lock(self.world);
        if world.now >= self.until {
            return Poll::Ready(());
        }
        if self.registered.as_ref().is_none_or(|waker| !waker.will_wake(task.waker())) {
            let current = world.current;
            world.schedule(self.until, What::Wake(current, task.waker().clone()));
            drop(world);
            self.registered = Some(task.waker().clone());
        }
        Poll::Pending
    }
}

impl Hand {
    pub(crate) fn new(world: Shared) -> Self {
        Self { world }
    }

    /// The same for every port.
    pub(crate) fn ports(&self) -> Ports {
        let hand = Arc::new(self.clone());
        // Before the world is locked below.
        let hosts = super::hosts::port(&self.world, &hand);
        Ports {
            jobs: hand.clone(),
            runs: hand.clone(),
            schedules: hand.clone(),
            state: hand.clone(),
            connections: Arc::new(pumice_core::connection::NoConnections),
            secrets: Arc::new(pumice_core::connection::NoSecrets),
            queue: hand.clone(),
            wake_ups: lock(&self.world).schedules.as_ref().map(|_| hand.clone() as Arc<dyn WakeUps>),
            hosts,
            lava_events: Some(hand.clone()),
            objects: hand.clone(),
            http: Arc::new(pumice_core::ports::NoHttp),
            messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
            servers: pumice_core::ports::Servers::default(),
            clock: hand.clone(),
            random: hand,
            pool: Arc::new(AtOnce),
            workspaces: Arc::new(Directories { world: self.world.clone() }),
        }
    }

    /// The time that a look at many steps takes, in which they change.
    async fn slow_look(&self) {
        let until = {
            let mut world = lock(&self.world);
            let Some(most) = world.slow_looks.checked_sub(1) else { return };
            let millis = world.prng.within(0, most).cast_signed();
            world.now + TimeDelta::milliseconds(millis)
        };
        self.turn(until).await;
    }

    fn turn(&self, until: Timestamp) -> Turn<'_> {
        Turn { world: &self.world, until, registered: None }
    }

    /// An unpredictable delay.
    async fn latency(&self) {
        let until = {
            let mut world = lock(&self.world);
            let micros = world.prng.within(1, 20_000).cast_signed();
            world.now + TimeDelta::microseconds(micros)
        };
        self.turn(until).await;
    }

    pub(super) fn world(&self) -> &Shared {
        &self.world
    }

    pub(super) async fn call<T>(
        &self,
        port: Port,
        name: &'static str,
        about: &(dyn std::fmt::Display + Sync),
        effect: impl FnOnce(&mut World) -> T,
    ) -> Answer<T> {
        self.latency().await;
        let fate = {
            let mut world = lock(&self.world);
            world.calls += 1;
            let number = world.calls;
            let is_out = world.is_out();
            let World { faults, prng, .. } = &mut *world;
            let mut fate = faults.fate(port, number, prng);
            if is_out && !matches!(port, Port::Sleep | Port::Effect) {
                fate = Fate::Refused;
            }
            world.note(|| match fate {
                Fate::Well => format!("{name} {about}"),
                fate => format!("{name} {about}: {fate:?}"),
            });
            match fate {
                Fate::Well => {}
                Fate::Refused | Fate::Unknown | Fate::FalseConflict => {
                    // Where no setting says whose the worker is, only its table does.
                    let unasked = name == LAVAS_EVENT && !world.lava.named;
                    if unasked || matches!(port, Port::Send | Port::Commit) {
                        world.excuse(&about.to_string());
                    }
                }
                _ => world.excuse_unnoted(),
            }
            fate
        };
        match fate {
            Fate::CrashBefore => self.crash().await,
            Fate::FreezeBefore(pause) => self.freeze(pause).await,
            Fate::Refused => return Answer::Refused,
            _ => {}
        }
        let value = {
            let mut world = lock(&self.world);
            let value = effect(&mut world);
            // A store may have sent the message with the record that it made.
            let untold = port == Port::Create && fate != Fate::Well;
            if untold || matches!(fate, Fate::CrashAfter | Fate::FreezeAfter(_)) {
                world.excuse_unnoted();
            }
            value
        };
        match fate {
            Fate::CrashAfter => self.crash().await,
            Fate::FreezeAfter(pause) => self.freeze(pause).await,
            Fate::Unknown => return Answer::Unknown,
            Fate::FalseConflict => return Answer::FalseConflict,
            _ => {}
        }
        Answer::Good(value)
    }

    async fn crash(&self) {
        lock(&self.world).kill();
        std::future::pending().await
    }

    async fn freeze(&self, pause: TimeDelta) {
        lock(&self.world).freeze(pause);
        self.latency().await;
    }

    /// Something that a job or an action does outside.
    pub(crate) async fn effect<T>(
        &self,
        name: &'static str,
        about: &str,
        effect: impl FnOnce(&mut World) -> T,
    ) -> T {
        match self.call(Port::Effect, name, &about, effect).await {
            Answer::Good(value) => value,
            // Only stores and queues refuse or leave without an answer.
            _ => std::future::pending().await,
        }
    }

    pub(super) async fn read<T>(
        &self,
        name: &'static str,
        about: &(dyn std::fmt::Display + Sync),
        effect: impl FnOnce(&mut World) -> T,
    ) -> Result<T, StoreError> {
        self.call(Port::Read, name, about, effect).await.or_store_error()
    }
}

#[async_trait]
impl JobStore for Hand {
    async fn realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        self.read("realm", &"", World::remembered_realm).await
    }

    async fn current_realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        self.read("current_realm", &"", World::stored_realm).await
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        self.read("jobs", &ids.len(), |world| ids.iter().map(|id| world.jobs.get(id).cloned()).collect())
            .await
    }

    async fn job_ids(&self) -> Result<Option<Vec<JobId>>, StoreError> {
        self.read("job_ids", &"", |world| Some(world.jobs.keys().cloned().collect())).await
    }
}

#[async_trait]
impl RunStore for Hand {
    async fn create(&self, new: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        let effect = |world: &mut World| -> Vec<Created> {
            new.iter().map(|(new, message)| create(world, new.clone(), message.as_ref())).collect()
        };
        self.call(Port::Create, "create", &"", effect).await.or_store_error()
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.read("load", key, |world| {
            let run = world.runs.get(key).cloned();
            run.map(|run| versions::seen(world, super::mutants::on_load(world, run)))
        })
        .await
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.read("load_with_spec", key, |world| {
            let (run, spec) = world.runs.get_with_spec(key)?;
            let (run, mut spec) = (run.clone(), spec.clone());
            super::mutants::on_spec(world, &mut spec);
            let run = super::mutants::on_first_load(world, run);
            Some((versions::seen(world, run), spec))
        })
        .await
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        let key = change.run.key.clone();
        match self.call(Port::Commit, "commit", &key, |world| commit(world, change.clone())).await {
            Answer::Good(outcome) => outcome,
            Answer::Refused => Err(StoreError::of(StoreErrorKind::Throttled, "throttled").into()),
            Answer::Unknown => Err(CommitError::Unknown("no answer".to_owned())),
            Answer::FalseConflict => Err(CommitError::Conflict),
        }
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        let read = self.read("children", key, |world| {
            let children = world.runs.children(key, attempt);
            children.into_iter().map(|child| super::mutants::on_child(world, child)).collect()
        });
        let children = read.await?;
        self.slow_look().await;
        Ok(children)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.read("due", &limit, |world| {
            let due = world.runs.due(now, limit);
            due.into_iter().map(|run| maybe_stale(world, run)).collect()
        })
        .await
    }

    async fn due_page(
        &self,
        _: usize,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        self.read("due", &limit, |world| {
            let cut_short = world.is(Mutant::SweepCutShort);
            let mut page = world.runs.due_page(now, after, if cut_short { 1 } else { limit });
            if cut_short {
                page.next = None;
            }
            page.runs = page.runs.into_iter().map(|run| maybe_stale(world, run)).collect();
            page
        })
        .await
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.read("list", &"", |world| world.runs.page(query)).await?
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        if !lock(&self.world).paused.is_used {
            return Ok(Pauses::default());
        }
        self.read("pauses", &"", |world| world.pauses()).await
    }

    async fn put_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        match self.call(Port::Commit, "put_pauses", &pauses.rev, |world| world.put_pauses(pauses)).await {
            Answer::Good(outcome) => outcome,
            Answer::Refused => Err(StoreError::of(StoreErrorKind::Throttled, "throttled").into()),
            Answer::Unknown => Err(CommitError::Unknown("no answer".to_owned())),
            Answer::FalseConflict => Err(CommitError::Conflict),
        }
    }

    async fn remove(&self, key: &RunKey) -> Result<bool, StoreError> {
        self.read("remove", key, |world| world.runs.remove(key)).await
    }

    async fn holder(&self, job_id: &JobId) -> Result<Option<RunKey>, StoreError> {
        self.read("holder", job_id, |world| world.runs.holder(job_id)).await
    }

    async fn gate(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        self.read("gate", gate, |world| world.gate(gate, limit)).await
    }

    async fn leave_gate(&self, gate: &Gate, key: &RunKey, _: Option<u64>) -> Result<(), StoreError> {
        self.read("leave_gate", gate, |world| world.runs.leave_gate(gate, key)).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.read("in_line", job_id, |world| {
            let line = world.runs.in_line(job_id, limit);
            let line = line.into_iter().map(|run| maybe_stale(world, run)).collect();
            super::mutants::on_line(world, line)
        })
        .await
    }
}

#[async_trait]
impl StateStore for Hand {
    async fn get(&self, ids: &[StateId], _: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError> {
        self.read("state", &ids.len(), |_| ids.iter().map(|_| None).collect()).await
    }

    async fn put(&self, _: StateItem) -> Result<(), StoreError> {
        self.read("put_state", &"", |_| ()).await
    }
}

#[async_trait]
impl BackfillStore for Hand {
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError> {
        self.read("backfill", &id, |world| world.read_backfill(id)).await
    }

    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        self.read("all backfills", &"", |world| world.backfills.all()).await
    }

    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError> {
        self.read("due backfills", &limit, |world| world.due_backfills(until, limit)).await
    }

    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        let made =
            self.call(Port::Commit, "create backfill", &backfill.id, |world| world.create_backfill(backfill));
        made.await.or_commit_error()
    }

    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        let put = self.call(Port::Commit, "put backfill", &backfill.id, |world| world.put_backfill(backfill));
        put.await.or_commit_error()
    }
}

#[async_trait]
impl ScheduleStore for Hand {
    async fn load(&self, job_ids: &[JobId]) -> Result<Vec<Option<Timetable>>, StoreError> {
        let find = |world: &mut World| job_ids.iter().map(|id| world.timetables.get(id).cloned()).collect();
        self.read("timetables", &job_ids.len(), find).await
    }

    async fn due(
        &self,
        _: usize,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DueTimetables, StoreError> {
        self.read("due timetables", &limit, |world| {
            let page = world.shown_timetables(until, after, limit);
            super::mutants::on_due_timetables(world, &page.found);
            page
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read("next due", &"", |world| world.timetables.next_due()).await
    }

    async fn all(&self) -> Result<Vec<Timetable>, StoreError> {
        self.read("all timetables", &"", |world| world.timetables.all()).await
    }

    async fn put(&self, timetables: Vec<Timetable>) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        let mut outcomes = Vec::with_capacity(timetables.len());
        for timetable in timetables {
            let job_id = timetable.job_id.clone();
            let written =
                self.call(Port::Commit, "put timetable", &job_id, |world| world.put_timetable(timetable));
            outcomes.push(written.await.or_commit_error());
        }
        Ok(outcomes)
    }

    async fn hurry(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        let hurry = |world: &mut World| world.timetables.hurry(job_id, at);
        self.call(Port::Commit, "hurry", job_id, hurry).await.or_store_error()
    }

    async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError> {
        let touch = |world: &mut World| job_ids.iter().for_each(|id| world.timetables.touch(id, at));
        self.call(Port::Commit, "touch", &job_ids.len(), touch).await.or_store_error()
    }
}

#[async_trait]
impl Queue for Hand {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for outgoing in messages {
            let key = outgoing.message.key();
            if lock(&self.world).takes_no_message() {
                outcomes.push(Err(StoreError::unreachable("the queue takes no message")));
                continue;
            }
            let answer = self.call(Port::Send, "send", &key, |world| world.put(&outgoing)).await;
            outcomes.push(answer.or_store_error());
        }
        outcomes
    }

    async fn depth(&self, _: &WorkerName) -> Result<Depth, StoreError> {
        let depth = lock(&self.world).depth();
        depth.ok_or_else(|| StoreError::invalid("the scenario has no use for the depth of a queue"))
    }
}

#[async_trait]
impl WakeUps for Hand {
    async fn schedule(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for outgoing in messages {
            let key = outgoing.message.key();
            let answer = self.call(Port::Send, "schedule", &key, |world| world.put_later(&outgoing)).await;
            outcomes.push(answer.or_store_error());
        }
        outcomes
    }
}

#[async_trait]
impl LavaEvents for Hand {
    async fn event(&self, _: &JobId, run_id: RunId) -> Result<Option<Doc>, StoreError> {
        self.read(LAVAS_EVENT, &run_id, |world| world.lavas_record(run_id)).await
    }

    async fn put_event(&self, event: &LavaEvent) -> Result<(), StoreError> {
        self.read("put lava's event", &event.rev, |_| ()).await
    }
}

#[async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        lock(&self.world).clock()
    }

    async fn sleep_until(&self, until: Timestamp) {
        let wakes = {
            let world = lock(&self.world);
            let left = until - world.clock();
            world.now + left.max(TimeDelta::microseconds(1))
        };
        self.turn(wakes).await;
        // A sleeping task may be stopped there as well.
        let _ = self.call(Port::Sleep, "slept", &"", |_| ()).await;
    }
}

impl Random for Hand {
    fn uuid(&self, _: Timestamp) -> Uuid {
        let mut world = lock(&self.world);
        let (task, number) = (world.current, world.number());
        Uuid::from_u128((u128::from(task) << 64) | u128::from(number))
    }

    fn unit(&self) -> f64 {
        lock(&self.world).prng.unit()
    }
}

/// A task whose message is early, put back by the mutant that does so.
pub(crate) fn put_back_early(world: &mut World, outgoing: &Outgoing) {
    if world.is(Mutant::SendEarlyOn) {
        world.put(outgoing);
    }
}
