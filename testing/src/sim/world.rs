//! The simulated world: the time, the stores, the queue, the tasks, and the events to come.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::engine::Halt;
use pumice_core::ids::{HostId, JobId, RunId, RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::{Outgoing, StoredJob};
use pumice_core::run::{Run, Worker};
use pumice_core::spec::RealmSpec;

use super::audit::Audit;
use super::clock::Clocks;
use super::crowd::Crowd;
use super::faults::Faults;
use super::files::Disk;
use super::hosts::Fleet;
use super::lava::Lava;
use super::mutants::Mutant;
use super::paused::{PauseTable, Pausing};
use super::permits::Resizing;
use super::process::Outage;
use super::redo::Redoing;
use super::scenario::Letter;
use crate::memory::{BackfillTable, QueueTable, RunTable, TimetableTable};
use crate::prng::Prng;

/// The moment at which every simulation begins: two hours before clocks are set back in New York.
pub(crate) const BEGIN: Timestamp = DateTime::from_timestamp(1_793_505_600, 0).unwrap();

/// How late a schedule's message may come.
pub(crate) const LATE: TimeDelta = TimeDelta::minutes(1);

/// A task: an invocation, a client, a sweep.
pub(crate) type TaskId = u64;

/// The role of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Role {
    /// A worker's invocation with one message.
    Invocation { receipt: String, body: String, receives: u32 },
    /// A client that asks for the run with this number.
    Client(usize),
    /// One that cancels a run.
    Canceller,
    /// One that does a run again.
    Redoer,
    /// One that pauses something, or resumes it.
    Pauser,
    /// The sweeper.
    Sweeper,
    /// One that looks at the clock.
    Striker,
    /// The heartbeat of a host, by its visit.
    Beat(usize, HostId),
    /// A host's invocation with a run that is for it alone.
    Hosted(usize, HostId, RunKey),
}

/// The state of a task besides its future.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) role: Role,
    pub(crate) began: Timestamp,
    /// How much its clock is ahead.
    pub(crate) skew: TimeDelta,
    /// Until when it stands still.
    pub(crate) frozen: Option<Timestamp>,
    /// How long it stood still, in all.
    pub(crate) lost_time: TimeDelta,
    /// Whether it runs the version that knows fewer fields of a record, or one that knows more.
    pub(crate) version: Version,
}

/// Which version of the program a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// One that does not know the newest fields of a record, and drops them.
    Old,
    /// This one.
    Current,
    /// One that writes fields which this one does not know.
    New,
}

/// Something that is to happen.
pub(crate) enum What {
    /// A task goes on.
    Wake(TaskId, Waker),
    /// The queue is looked at.
    Poll,
    /// The sweeper's time has come.
    Sweep,
    /// A client asks.
    Ask(usize),
    /// Lava's dispatch sends a message.
    Letter(Letter),
    /// An operator pauses a scope, or resumes it.
    Pause(Pausing),
    /// An operator redoes a run that has ended.
    Redo(Redoing),
    /// The pool gets another size.
    Resize(Resizing),
    /// A client cancels a run.
    Cancel,
    /// The directories that runs share are removed.
    Remove,
    /// An operator changes a schedule.
    Act(usize),
    /// The clock is looked at.
    Strike,
    /// From now on nothing goes wrong any more.
    Calm,
    /// A lava worker ends a run.
    LavaEnds(RunId),
    /// The invocation's time is up.
    Kill(TaskId),
    /// The process is stopped; running attempts may go on for so many milliseconds.
    Stop(u64),
    /// A host comes, by its visit.
    HostComes(usize),
    /// It goes.
    HostGoes(usize),
    /// It writes its heartbeat.
    Beat(usize),
    /// It takes up a run of its own.
    Hosted(usize, HostId, Message),
    /// Nothing of a process that is stopped may go on: its tasks.
    Halt(Halt, Vec<TaskId>),
}

pub(crate) struct Event {
    pub(crate) at: Timestamp,
    /// The order of events at the same time.
    order: (u64, u64),
    pub(crate) what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first; the earliest is wanted.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The simulated world.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) prng: Prng,
    pub(crate) faults: Faults,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) realm: Arc<RealmSpec>,
    pub(crate) jobs: BTreeMap<JobId, StoredJob>,
    pub(crate) runs: RunTable,
    pub(crate) queues: QueueTable,
    pub(crate) timetables: TimetableTable,
    pub(crate) backfills: BackfillTable,
    /// The runs that have a schedule, in a realm that makes schedules.
    pub(crate) schedules: Option<BTreeSet<RunKey>>,
    /// The sweeper is out until then.
    pub(crate) sweeper_from: Timestamp,
    /// Records as a stale index still shows them.
    pub(crate) stale: BTreeMap<RunKey, Run>,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    /// The task that is polled.
    pub(crate) current: TaskId,
    /// Tasks that crashed since the runner looked.
    pub(crate) killed: Vec<TaskId>,
    /// Port calls so far.
    pub(crate) calls: u64,
    pub(crate) audit: Audit,
    /// The messages that lava's dispatch sent so far.
    pub(crate) letters: Vec<Letter>,
    /// The lava worker.
    pub(crate) lava: Lava,
    /// The clock's schedules.
    pub(crate) clocks: Clocks,
    /// Whether no other process can run the realm's jobs.
    pub(crate) alone: bool,
    /// The hosts of the worker, where the scenario has some.
    pub(crate) fleet: Option<Fleet>,
    pub(crate) outage: Option<Outage>,
    /// The queue's other messages, where the scenario has some.
    pub(crate) crowd: Option<Crowd>,
    /// How long a look at a run's steps takes at most, in milliseconds.
    pub(crate) slow_looks: u64,
    /// Directories, and what was kept of them.
    pub(crate) disk: Disk,
    /// Whether the steps of a run share a directory that outlives invocations.
    pub(crate) folder: bool,
    /// The paused scopes.
    pub(crate) paused: PauseTable,
    trace: Option<Vec<String>>,
    events: BinaryHeap<Event>,
    made: u64,
}

/// The world, as tasks share it. One thread; the lock only satisfies the ports' bounds.
pub(crate) type Shared = Arc<Mutex<World>>;

/// The world, for a moment.
pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one queue of the simulation.
pub(crate) fn worker() -> WorkerName {
    WorkerName::new("core").expect("a name")
}

impl World {
    pub(crate) fn new(
        prng: Prng,
        faults: Faults,
        mutant: Option<Mutant>,
        realm: Arc<RealmSpec>,
        traced: bool,
    ) -> Self {
        Self {
            now: BEGIN,
            prng,
            faults,
            mutant,
            realm,
            jobs: BTreeMap::new(),
            runs: RunTable::default(),
            queues: QueueTable::default(),
            timetables: TimetableTable::default(),
            backfills: BackfillTable::default(),
            schedules: None,
            sweeper_from: BEGIN,
            stale: BTreeMap::new(),
            tasks: BTreeMap::new(),
            current: 0,
            killed: Vec::new(),
            calls: 0,
            audit: Audit::default(),
            letters: Vec::new(),
            lava: Lava::default(),
            clocks: Clocks::default(),
            alone: false,
            fleet: None,
            outage: None,
            crowd: None,
            slow_looks: 0,
            disk: Disk::default(),
            folder: false,
            paused: PauseTable::default(),
            trace: traced.then(Vec::new),
            events: BinaryHeap::new(),
            made: 0,
        }
    }

    /// A number that was not given out before.
    pub(crate) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Something is to happen at a time; what is at the same time happens in any order.
    pub(crate) fn schedule(&mut self, at: Timestamp, what: What) {
        let order = (self.prng.bits(), self.number());
        self.events.push(Event { at, order, what });
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The time as the current task's clock shows it.
    pub(crate) fn clock(&self) -> Timestamp {
        let Some(task) = self.tasks.get(&self.current) else { return self.now };
        let lost = if self.is(Mutant::SkipLeaseCheck) { task.lost_time } else { TimeDelta::zero() };
        self.now + task.skew - lost
    }

    /// Puts a message on the queue, with what may go wrong on the way.
    pub(crate) fn put(&mut self, outgoing: &Outgoing) {
        self.is_sent(&outgoing.message.key());
        // Faults of SQS on a message's way to lava are lava's concern.
        let own = outgoing.message.worker == worker();
        let copies = if own { self.faults.copies(&mut self.prng) } else { 1 };
        self.put_copies(outgoing, copies);
    }

    /// Makes a schedule that puts a message on the queue at its time, or up to [`LATE`] later; one for a run.
    pub(crate) fn put_later(&mut self, outgoing: &Outgoing) {
        let made = self.schedules.as_mut().is_some_and(|made| made.insert(outgoing.message.key()));
        if !made || self.is(Mutant::NotScheduled) {
            return;
        }
        let late = TimeDelta::milliseconds(
            self.prng.within(0, LATE.num_milliseconds().unsigned_abs()).cast_signed(),
        );
        self.put(&Outgoing { message: outgoing.message.clone(), at: outgoing.at + late });
    }

    /// Puts so many copies of a message on the queue.
    pub(crate) fn put_copies(&mut self, outgoing: &Outgoing, copies: u32) {
        self.audit.sent += 1;
        for _ in 0..copies {
            let delay = self.faults.delivery(&mut self.prng);
            if outgoing.message.worker != worker() {
                self.on_the_way_to_lava(outgoing.message.run_id, delay);
            }
            let mut late = outgoing.clone();
            late.at = outgoing.at.max(self.now) + delay;
            let at = late.at;
            self.queues.put(&late);
            self.schedule(at, What::Poll);
        }
        if copies != 1 {
            self.note(|| {
                format!("the message for {} is on the queue {copies} times", outgoing.message.key())
            });
        }
    }

    /// The current task stands still for a while.
    pub(crate) fn freeze(&mut self, pause: TimeDelta) {
        let until = self.now + pause;
        self.note(|| format!("freeze for {} s", pause.num_seconds()));
        if let Some(task) = self.tasks.get_mut(&self.current) {
            task.frozen = Some(until);
            task.lost_time += pause;
        }
        self.audit.stood_still(self.current, pause);
        // No other process can take the runs of the only one.
        let lost = pause > TimeDelta::seconds(30) && !self.audit.alone;
        self.audit.crashed(self.current, &self.runs, lost);
    }

    /// The current task crashes.
    pub(crate) fn kill(&mut self) {
        self.note(|| "crash".to_owned());
        self.killed.push(self.current);
    }

    /// One line of the trace, made only when a trace is kept.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = (self.now - BEGIN).num_microseconds().unwrap_or(0) as f64 / 1e6;
            trace.push(format!("{at:>12.6} task {:<4} {}", self.current, line()));
        }
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }
}

/// The task that a claim's owner is.
pub(crate) fn task_of(owner: &Worker) -> Option<TaskId> {
    let name = owner.0.rsplit('/').next()?;
    let bits = u128::from_str_radix(name, 16).ok()?;
    u64::try_from(bits >> 64).ok()
}
