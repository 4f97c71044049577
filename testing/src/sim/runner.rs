//! Runs one simulation: takes what is to happen next, polls the task that it is about, and looks
//! whether all is over.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::engine::{Engine, Halt, Handled, Limits};
use pumice_core::job_type::Site;
use pumice_core::message::Message;
use pumice_core::ports::Outgoing;
use pumice_core::spec::Settings;

use super::audit::{Violation, retention};
use super::fakes;
use super::faults::{LEASE, WATCH};
use super::files::SHARED;
use super::hand::{Hand, put_back_early};
use super::lava::lavas;
use super::mutants::Mutant;
use super::scenario::{Ask, Setup};
use super::world::{BEGIN, Event, Role, Shared, Task, TaskId, What, World, lock, worker};
use crate::memory::VISIBILITY;

/// After this time nothing goes wrong any more.
const CALM: TimeDelta = TimeDelta::hours(2);
/// All must be over by then.
const END: TimeDelta = TimeDelta::hours(36);
/// Most things that happen in one simulation.
const MAX_STEPS: u64 = 400_000;
/// Most invocations at a time.
const MAX_TASKS: usize = 16;
/// How often the sweeper comes.
pub(super) const SWEEP: TimeDelta = TimeDelta::seconds(60);
/// How long a sweep begins with further runs.
const SWEEP_LASTS: TimeDelta = TimeDelta::seconds(50);

/// How a task ended.
pub(super) enum Done {
    Handled(Handled),
    Nothing,
}

/// Notes that a task is to be polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Running {
    future: Pin<Box<dyn Future<Output = Done>>>,
    woken: Arc<Woken>,
}

pub(crate) struct Runner {
    pub(super) world: Shared,
    pub(super) engine: Engine,
    running: BTreeMap<TaskId, Running>,
    pub(super) asks: Vec<Ask>,
    limit: Option<TimeDelta>,
    /// Requests and cancels that are still to come.
    pub(super) to_come: usize,
    steps: u64,
    /// The next look whether there is room for another invocation.
    room: Option<Timestamp>,
    /// Stops the process that takes messages now.
    pub(super) halt: Halt,
}

/// The outcome of one simulation.
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    pub(crate) calls: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Vec<String>,
}

fn site(world: &Shared) -> Site {
    let lavas = if lock(world).lava.named { vec![lavas().to_string()] } else { Vec::new() };
    let (alone, folder) = {
        let world = lock(world);
        (world.alone, world.folder)
    };
    Site {
        realm: pumice_core::ids::RealmName::new("sim").expect("a name"),
        settings: Settings {
            foreign_workers: lavas,
            has_lava_table: true,
            event_ttl: retention(),
            ..Settings::default()
        },
        zone: pumice_template::Zone::Utc,
        hostname: "sim".to_owned(),
        alone,
        scratch: std::env::temp_dir(),
        shared: folder.then(|| SHARED.into()),
        environment: Vec::new(),
        credentials: Vec::new(),
        ports: Hand::new(world.clone()).ports(),
    }
}

impl Runner {
    pub(crate) fn new(world: World, setup: Setup) -> Self {
        let world: Shared = Arc::new(std::sync::Mutex::new(world));
        let runners = Arc::new(fakes::runners(&world));
        let limits = Limits {
            lease: Span::from_secs(LEASE),
            watch: Span::from_secs(WATCH),
            grace: Span::from_secs(10),
        };
        let halt = Halt::default();
        let engine = Engine::new(Arc::new(site(&world)), runners, worker(), limits).halted_by(halt.clone());
        let mut to_come = setup.asks.len() + setup.letters.len() + setup.cancels.len();
        to_come += setup.redoings.len() + setup.pausings.len() + setup.resizings.len();
        {
            let mut world = lock(&world);
            for (index, ask) in setup.asks.iter().enumerate() {
                world.schedule(BEGIN + TimeDelta::milliseconds(ask.at.cast_signed()), What::Ask(index));
            }
            for letter in setup.letters {
                let at = BEGIN + TimeDelta::milliseconds(letter.at.cast_signed());
                world.schedule(at, What::Letter(letter));
            }
            for (at, drain) in &setup.stops {
                world.schedule(BEGIN + TimeDelta::milliseconds(at.cast_signed()), What::Stop(*drain));
            }
            for at in &setup.cancels {
                world.schedule(BEGIN + TimeDelta::milliseconds(at.cast_signed()), What::Cancel);
            }
            for at in &setup.removals {
                world.schedule(BEGIN + TimeDelta::milliseconds(at.cast_signed()), What::Remove);
            }
            for pausing in setup.pausings {
                let at = BEGIN + TimeDelta::milliseconds(pausing.at.cast_signed());
                world.schedule(at, What::Pause(pausing));
            }
            for resizing in setup.resizings {
                let at = BEGIN + TimeDelta::milliseconds(resizing.at.cast_signed());
                world.schedule(at, What::Resize(resizing));
            }
            for redoing in setup.redoings {
                let at = BEGIN + TimeDelta::milliseconds(redoing.at.cast_signed());
                world.schedule(at, What::Redo(redoing));
            }
            if let Some(clock) = setup.clock {
                to_come += Self::begin_clock(&mut world, clock);
            }
            world.schedule(BEGIN + SWEEP, What::Sweep);
            world.schedule(BEGIN + CALM, What::Calm);
        }
        let limit = setup.limit.map(|seconds| TimeDelta::seconds(seconds.cast_signed()));
        Self {
            world,
            engine,
            running: BTreeMap::new(),
            asks: setup.asks,
            limit,
            to_come,
            steps: 0,
            room: None,
            halt,
        }
    }

    /// Runs until all is over, or something is wrong.
    pub(crate) fn run(mut self) -> Outcome {
        while !self.step() {}
        // A task that is still under way reports to the audit when it is dropped.
        self.running.clear();
        let mut world = lock(&self.world);
        if world.audit.violation.is_none() {
            super::ending::check(&mut world);
        }
        let outcome = Outcome {
            steps: self.steps,
            calls: world.calls,
            violation: world.audit.violation.take(),
            trace: world.take_trace(),
        };
        // Tasks hold the world and the world holds their wakers: let go.
        drop(world);
        while lock(&self.world).next_event().is_some() {}
        outcome
    }

    /// Runs the next event and returns whether all is over.
    fn step(&mut self) -> bool {
        self.steps += 1;
        let event = {
            let mut world = lock(&self.world);
            let Some(event) = world.next_event() else { return true };
            world.now = world.now.max(event.at);
            world.current = 0;
            event
        };
        self.happen(event);
        let mut world = lock(&self.world);
        self.bounds(&mut world);
        let settled = self.running.is_empty()
            && self.to_come == 0
            && world.queues.is_empty()
            && world.runs.next_due().is_none()
            && world.timetables.all().is_empty()
            && world.backfills.due(Timestamp::MAX_UTC, 1).is_empty();
        settled || world.audit.violation.is_some()
    }

    fn bounds(&self, world: &mut World) {
        let runs = world.runs.len();
        let (queued, sent, writes) = (world.queues.len(), world.audit.sent, world.audit.writes);
        if queued > 40 + 20 * runs || sent > 200 + 8 * writes {
            world.audit.fail(
                "messages are bounded",
                format!("{queued} queued, {sent} sent for {runs} runs, {writes} writes"),
            );
        }
        if self.steps > MAX_STEPS || world.now > BEGIN + END {
            let open: Vec<String> = world
                .runs
                .all()
                .filter(|run| run.due_at.is_some())
                .map(|run| format!("{} {}", run.key, run.status))
                .collect();
            let detail = format!("{} steps, now {}, {queued} queued, open: {open:?}", self.steps, world.now);
            world.audit.fail("everything ends", detail);
        }
    }

    fn happen(&mut self, event: Event) {
        match event.what {
            What::Wake(id, waker) => self.wake(id, waker),
            What::Poll => self.deliver(),
            What::Sweep => self.sweep(),
            What::Ask(index) => self.ask(index),
            What::Letter(letter) => self.letter(letter),
            What::LavaEnds(run_id) => lock(&self.world).lava_ends(run_id),
            What::Cancel => self.cancel(),
            What::Remove => lock(&self.world).remove_shared(),
            What::Pause(pausing) => self.pause(&pausing),
            What::Redo(redoing) => self.redo(&redoing),
            What::Resize(resizing) => self.resize(&resizing),
            What::Act(index) => self.act(index),
            What::Strike => self.strike(),
            What::Calm => lock(&self.world).faults.calm(),
            What::HostComes(visit) => self.host_comes(visit),
            What::HostGoes(visit) => self.host_goes(visit),
            What::Beat(visit) => self.beat(visit),
            What::Hosted(visit, id, message) => self.hosted(visit, id, &message),
            What::Kill(id) => self.time_is_up(id),
            What::Stop(drain) => self.stop(drain),
            What::Halt(halt, tasks) => self.halt(&halt, &tasks),
        }
    }

    fn wake(&mut self, id: TaskId, waker: Waker) {
        {
            let mut world = lock(&self.world);
            let now = world.now;
            let Some(task) = world.tasks.get_mut(&id) else { return };
            match task.frozen {
                Some(until) if now < until => return world.schedule(until, What::Wake(id, waker)),
                Some(_) => task.frozen = None,
                None => {}
            }
        }
        waker.wake();
        self.poll(id);
    }

    pub(super) fn spawn(
        &mut self,
        role: Role,
        future: impl FnOnce(TaskId) -> Pin<Box<dyn Future<Output = Done>>>,
    ) -> TaskId {
        let id = {
            let mut world = lock(&self.world);
            let id = world.number();
            let World { faults, prng, .. } = &mut *world;
            let (skew, version) = (faults.skew(prng), faults.version(prng));
            let task =
                Task { role, began: world.now, skew, frozen: None, lost_time: TimeDelta::zero(), version };
            world.note(|| format!("begins task {id}: {:?}", task.role));
            world.tasks.insert(id, task);
            id
        };
        let running = Running { future: future(id), woken: Arc::new(Woken(AtomicBool::new(true))) };
        self.running.insert(id, running);
        self.poll(id);
        id
    }

    /// The tasks that have not ended.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.running.keys().copied().collect()
    }

    /// Lets those of these tasks go on that were woken.
    pub(super) fn poll_all(&mut self, tasks: &[TaskId]) {
        let is_frozen = |id: &TaskId| {
            let world = lock(&self.world);
            world.tasks.get(id).is_some_and(|task| task.frozen.is_some_and(|until| world.now < until))
        };
        let awake: Vec<TaskId> = tasks.iter().filter(|id| !is_frozen(id)).copied().collect();
        awake.into_iter().for_each(|id| self.poll(id));
    }

    fn poll(&mut self, id: TaskId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        lock(&self.world).current = id;
        let waker = Waker::from(running.woken.clone());
        let mut task = Context::from_waker(&waker);
        while running.woken.0.swap(false, Ordering::Relaxed) {
            let polled = running.future.as_mut().poll(&mut task);
            if !lock(&self.world).killed.is_empty() {
                return self.crash(id);
            }
            if let std::task::Poll::Ready(done) = polled {
                self.running.remove(&id);
                return self.finish(id, done);
            }
        }
    }

    /// The task ends, and its host with it.
    pub(super) fn is_gone(&mut self, id: TaskId) {
        lock(&self.world).current = id;
        self.crash(id);
    }

    /// The task crashes.
    fn crash(&mut self, id: TaskId) {
        {
            let mut world = lock(&self.world);
            world.killed.clear();
            let World { audit, runs, .. } = &mut *world;
            audit.crashed(id, runs, true);
            world.tasks.remove(&id);
        }
        self.running.remove(&id);
    }

    fn finish(&mut self, id: TaskId, done: Done) {
        let mut world = lock(&self.world);
        let Some(task) = world.tasks.remove(&id) else { return };
        let (Role::Invocation { receipt, body, receives }, Done::Handled(handled)) = (task.role, done) else {
            return;
        };
        world.note(|| format!("ends: {handled:?}"));
        {
            let World { audit, runs, .. } = &mut *world;
            audit.ended_in_order(id, runs);
        }
        let message = serde_json::from_str::<Message>(&body);
        let now = world.now;
        match handled {
            Handled::Delete => {
                let lost = {
                    let World { faults, prng, .. } = &mut *world;
                    faults.copies(prng) == 0
                };
                if !lost {
                    world.queues.delete(&receipt).expect("a receipt");
                }
                if let Ok(message) = message
                    && world.runs.get(&message.key()).is_some_and(|run| now < run.not_before)
                {
                    put_back_early(&mut world, &Outgoing { message, at: now });
                }
            }
            Handled::Again(after) => {
                world.queues.hide(&receipt, after, now).expect("a receipt");
                world.schedule(now + Span::from(after).delta(), What::Poll);
                if world.is(Mutant::ErrorCountsAsAttempt)
                    && let Ok(message) = message
                    && let Some(mut run) = world.runs.get(&message.key()).cloned()
                    && !run.status.is_end()
                {
                    let before = run.clone();
                    (run.rev, run.attempt) = (run.rev + 1, run.attempt + 1);
                    let change = pumice_core::ports::Change { run, lock: None, permit: None, message: None };
                    world.runs.overwrite(change.run.clone());
                    let World { audit, runs, .. } = &mut *world;
                    audit.committed(&before, &change, runs, now, id);
                }
            }
            Handled::Bury(reason) => {
                world.audit.fail("no message is buried", format!("{body} after {receives}: {reason}"));
            }
        }
    }

    fn deliver(&mut self) {
        self.deliver_to_lava();
        loop {
            let delivery = {
                let mut world = lock(&self.world);
                let now = world.now;
                if self.running.len() >= MAX_TASKS {
                    // Once for all that wait in line: each of them has announced itself.
                    if self.room.is_none_or(|at| at <= now) {
                        let at = now + TimeDelta::seconds(1);
                        self.room = Some(at);
                        world.schedule(at, What::Poll);
                    }
                    return;
                }
                let Some(delivery) = world.queues.take(&worker(), 1, now).pop() else { return };
                world.schedule(now + VISIBILITY.delta(), What::Poll);
                delivery
            };
            let role = Role::Invocation {
                receipt: delivery.receipt,
                body: delivery.body.clone(),
                receives: delivery.receives,
            };
            let (engine, world, limit) = (self.engine.clone(), self.world.clone(), self.limit);
            let id = self.spawn(role, |_| {
                Box::pin(async move {
                    let ends = limit.map(|limit| lock(&world).clock() + limit);
                    Done::Handled(engine.handle(&delivery.body, delivery.receives, ends).await)
                })
            });
            if let Some(limit) = self.limit {
                let mut world = lock(&self.world);
                let at = world.now + limit;
                world.schedule(at, What::Kill(id));
            }
        }
    }

    fn time_is_up(&mut self, id: TaskId) {
        if !self.running.contains_key(&id) {
            return;
        }
        {
            let mut world = lock(&self.world);
            world.current = id;
            world.note(|| "its time is up".to_owned());
            if world.audit.prompt {
                world.audit.fail("an invocation ends in time", format!("task {id}"));
            }
        }
        self.crash(id);
    }

    fn sweep(&mut self) {
        let goes = {
            let mut world = lock(&self.world);
            let next = world.now + SWEEP;
            world.schedule(next, What::Sweep);
            let World { faults, prng, .. } = &mut *world;
            let out =
                faults.sweeper_is_out(prng) || world.now < world.sweeper_from || world.is(Mutant::NoSweeper);
            // Clocks differ; nothing that is due can be missed for ever by looking a little late.
            let due = world.runs.next_due().is_some_and(|due| due <= world.now);
            due && !out
        };
        if goes {
            let (housekeeper, world) = (self.engine.housekeeper().clone(), self.world.clone());
            self.spawn(Role::Sweeper, |_| {
                Box::pin(async move {
                    let until = lock(&world).clock() + SWEEP_LASTS;
                    // The next sweep repeats a failed one.
                    let _ = housekeeper.sweep_until(until).await;
                    Done::Nothing
                })
            });
        }
    }
}
