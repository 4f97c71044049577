//! Explains the state of a run in one sentence, from its record by the rules that decide, and from facts outside the
//! record.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::cause::{Cause, failed, rejected};
use super::look::{HOST, Look, NOT_ENABLED, is_suspended, look_on};
use super::reason::split_way;
use super::record::Run;
use super::status::Status;
use super::waits::{DUTIES, WAKE_GRACE};
use super::words::{not_served, ordinal, whole};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::{HostId, RunKey, WorkerName};
use crate::permits::Gate;
use crate::spec::Overlap;

/// How long after it was due a run counts as forgotten by the sweeper, which looks once a minute at most.
const FORGOTTEN: Span = Span::from_mins(3);
/// Most steps that a sentence names.
const MAX_NAMED: usize = 3;

/// Why a run stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The cause, in a word.
    pub cause: Cause,
    /// One sentence, without a full stop.
    pub sentence: String,
    /// Another run that it is about.
    pub by: Option<RunKey>,
    /// The time that it is about: from when on it may start, until when it is paused.
    pub at: Option<Timestamp>,
}

/// The line for a job's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockLine {
    /// The run that has the lock; `None` where it is free.
    pub holder: Option<RunKey>,
    /// The run's place, from 1; `None` where it is not among those looked at.
    pub place: Option<usize>,
}

/// The gate that a run must pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateFact {
    /// How many permits there are; `None` where the realm has no such pool.
    pub max: Option<u32>,
    /// The runs that have one.
    pub holders: Vec<RunKey>,
    /// The run's place in line, from 1; `None` where it is not among those looked at.
    pub place: Option<usize>,
    /// The first run in line.
    pub first: Option<RunKey>,
}

/// The state of the workers that could take a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Whether a process serves the folder; `None` where that cannot be known.
    pub is_served: Option<bool>,
    /// The workers that this process serves; none where it serves all, or that is not known.
    pub serves: Vec<WorkerName>,
    /// Since when this process is stopping: it begins nothing more.
    pub stopping: Option<Timestamp>,
    /// How many hosts are alive.
    pub alive: usize,
    /// When the last of those that are not was seen.
    pub last_seen: Option<Timestamp>,
    /// Messages that are ready on the queue.
    pub ready: Option<u64>,
    /// Whether one of the messages, of those in flight too, is about the run; `None` where the queue cannot list them.
    pub has_message: Option<bool>,
    /// Whether the worker has no queue.
    pub without_queue: bool,
}

/// A pause that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedBy {
    /// The paused thing: `job etl/load`, `worker core`, `the realm`.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where it ends by itself.
    pub until: Option<Timestamp>,
    /// The person or program that paused it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFact {
    /// Its job, and its item of a foreach.
    pub name: String,
    /// Where it stands.
    pub status: Status,
    /// Why its attempt could not begin, where it waits for that.
    pub fault: Option<String>,
}

/// Facts outside a run's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The line for its job's lock.
    pub line: Option<LockLine>,
    /// The gate that it must pass.
    pub gate: Option<GateFact>,
    /// The workers that could take it.
    pub workers: WorkerFacts,
    /// The pause that is in its way.
    pub paused: Option<PausedBy>,
    /// The steps of its attempt that have not ended.
    pub steps: Vec<StepFact>,
    /// Whether its host is alive, where it is for one.
    pub host_alive: Option<bool>,
    /// The run that it is a step of: where it stands, and why.
    pub parent: Option<(Status, Option<String>)>,
    /// Whether its job is run step by step.
    pub is_composite: bool,
}

/// Says why a run stands where it stands. Times are written in a zone.
#[must_use]
pub fn explain(run: &Run, facts: &Facts, now: Timestamp, zone: Tz) -> Explained {
    let explainer = Explainer { run, facts, now, zone };
    if run.status.is_end() { explainer.ended() } else { explainer.open() }
}

/// The input of a sentence.
struct Explainer<'a> {
    run: &'a Run,
    facts: &'a Facts,
    now: Timestamp,
    zone: Tz,
}

fn explained(cause: Cause, sentence: impl Into<String>) -> Explained {
    Explained { cause, sentence: sentence.into(), by: None, at: None }
}

impl Explainer<'_> {
    /// A time, in the zone.
    fn time(&self, at: Timestamp) -> String {
        crate::clock::local(at, self.zone)
    }

    /// A time to come, and how long that is.
    fn coming(&self, at: Timestamp) -> String {
        match (at - self.now).to_std() {
            Ok(left) => format!("{}, in {}", self.time(at), whole(left)),
            Err(_) => self.time(at),
        }
    }

    /// A time that is past, and how long ago that is.
    fn past(&self, at: Timestamp) -> String {
        let ago = (self.now - at).to_std().unwrap_or_default();
        format!("{}, {} ago", self.time(at), whole(ago))
    }

    /// Whether its time has not come. A message that comes a little earlier may start it; a sentence names the time itself.
    fn is_early(&self) -> bool {
        self.now < self.run.not_before
    }

    fn attempt(&self) -> String {
        match self.run.retry.limit {
            0 | 1 if self.run.attempt == 1 => "its only attempt".to_owned(),
            limit => format!("attempt {} of {}", self.run.attempt, limit.max(self.run.attempt)),
        }
    }

    fn hostname(&self) -> &str {
        self.run.hostname.as_deref().unwrap_or("a host without a name")
    }

    /// A run that has not ended: what is asked first decides, as in [`look`](super::look()).
    fn open(&self) -> Explained {
        let run = self.run;
        // A pause does not stop a run that lava has been given.
        if let Some(paused) = self.facts.paused.as_ref().filter(|_| run.handed_over.is_none()) {
            // Of one that has begun it is the pause of a realm that stands still.
            return self.paused(paused);
        }
        match &run.lease {
            Some(lease) if self.now < lease.until => return self.held(),
            Some(lease) if run.duties.is_none() => {
                let host = self.hostname();
                let since = self.past(lease.until);
                return explained(
                    Cause::WorkerLost,
                    format!(
                        "the worker on {host} that ran it is gone: its claim ran out at {since}; {}",
                        self.taker()
                    ),
                );
            }
            _ => {}
        }
        if let Some(given) = run.handed_over {
            let given = self.past(given);
            let sentence =
                format!("lava worker {} was given it at {given}, and has not reported its end", run.worker);
            return explained(Cause::Foreign, sentence);
        }
        if run.duties.is_some() {
            return explained(
                Cause::Actions,
                format!("the actions of {} are still to be done; {}", self.attempt(), self.taker()),
            );
        }
        if is_suspended(run) {
            return self.suspended();
        }
        if let (Some(gate), Some(fact)) = (run.gate(), &self.facts.gate)
            && (run.waits_for_permit() || fact.max.is_none())
        {
            return self.for_permit(gate, fact);
        }
        if let Some(line) = self.facts.line.as_ref().filter(|line| self.is_in_line(line)) {
            return self.in_line(line);
        }
        if self.is_early() {
            return self.early();
        }
        if let Look::Close(status, reason) =
            look_on(run, run.host.as_ref(), self.facts.is_composite, self.now)
        {
            return explained(Cause::Ending, format!("it ends as {status} at the next look: {reason}"));
        }
        self.ready()
    }

    fn held(&self) -> Explained {
        let (run, host) = (self.run, self.hostname());
        if run.duties.is_some() {
            if self.facts.workers.is_served == Some(false) {
                let sentence =
                    format!("the actions of {} are still to be done; {}", self.attempt(), self.taker());
                return explained(Cause::Actions, sentence);
            }
            let why = run.reason.as_deref().map(|why| format!(", which failed: {why}")).unwrap_or_default();
            let sentence = format!("the actions of {} are being done{why}", self.attempt());
            return explained(Cause::Actions, sentence);
        }
        let since = run.attempt_start().map(|at| format!(" since {}", self.past(at))).unwrap_or_default();
        if self.facts.workers.is_served == Some(false) {
            let next = if run.cancel { "stops it" } else { "goes on with it" };
            let sentence = format!(
                "its server is gone: {} ran on {host}{since}; nothing serves this folder: `pumice serve` {next}",
                self.attempt()
            );
            return explained(Cause::WorkerLost, sentence);
        }
        let asked = if run.cancel { "; it is asked to stop" } else { "" };
        let steps = self.steps().map(|steps| format!("; under way: {steps}")).unwrap_or_default();
        explained(Cause::Running, format!("{} runs on {host}{since}{asked}{steps}", self.attempt()))
    }

    /// The steps that have not ended, in words.
    fn steps(&self) -> Option<String> {
        let steps = &self.facts.steps;
        let named = |step: &StepFact| {
            let fault = step.fault.as_ref().map(|fault| format!(", {fault}")).unwrap_or_default();
            format!("{} ({}{fault})", step.name, step.status)
        };
        let named: Vec<String> = steps.iter().take(MAX_NAMED).map(named).collect();
        let more = steps.len().saturating_sub(MAX_NAMED);
        match (named.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(named.join(", ")),
            (false, more) => Some(format!("{} and {more} more", named.join(", "))),
        }
    }

    fn suspended(&self) -> Explained {
        if let Some(fault) = self.run.host_fault() {
            let at = self.run.not_before;
            let next = match self.is_early() {
                true => format!("it is tried again at {}", self.coming(at)),
                false => format!("it is to be tried again: {}", self.ready().sentence),
            };
            return Explained {
                at: Some(at),
                ..explained(Cause::HostFault, format!("{} {fault}; {next}", self.attempt()))
            };
        }
        if let Some(steps) = self.steps() {
            return explained(Cause::Steps, format!("it waits for its steps: {steps}"));
        }
        if self.is_early() {
            let at = self.run.not_before;
            let sentence = format!("it goes on at {}", self.coming(at));
            return Explained { at: Some(at), ..explained(Cause::NotBefore, sentence) };
        }
        let ready = self.ready();
        Explained { sentence: format!("it has begun and is to go on: {}", ready.sentence), ..ready }
    }

    fn paused(&self, paused: &PausedBy) -> Explained {
        let PausedBy { what, since, until, by, reason } = paused;
        let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let until = until.map(|at| format!(", until {}", self.coming(at)));
        let until = until.unwrap_or_else(|| ", until it is resumed".to_owned());
        let why = reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let sentence = format!("{what} is paused{by} since {}{until}{why}", self.past(*since));
        Explained { at: paused.until, ..explained(Cause::Paused, sentence) }
    }

    /// Whether it waits for the lock: its record says so, or another run has it.
    fn is_in_line(&self, line: &LockLine) -> bool {
        let run = self.run;
        let has_other = line.holder.as_ref().is_some_and(|holder| *holder != run.key);
        run.overlap != Overlap::Allow && (run.is_in_line() || (has_other && !self.is_early()))
    }

    fn in_line(&self, line: &LockLine) -> Explained {
        let run = self.run;
        let place = line.place.map(|place| format!("; it is {} in line", ordinal(place))).unwrap_or_default();
        let sentence = match &line.holder {
            Some(holder) => {
                format!(
                    "run {holder} of the same job holds the lock (overlap: {}){place}",
                    run.overlap.as_str()
                )
            }
            None => {
                // It takes the lock as soon as a worker looks at it.
                let ready = self.ready();
                let sentence = match ready.cause {
                    Cause::Queue => {
                        format!("the lock of its job is free{place}; it looks again within 30 seconds")
                    }
                    _ => format!("the lock of its job is free{place}; {}", ready.sentence),
                };
                let cause = if ready.cause == Cause::Queue { Cause::Lock } else { ready.cause };
                return Explained { sentence, cause, ..ready };
            }
        };
        Explained { by: line.holder.clone(), ..explained(Cause::Lock, sentence) }
    }

    fn for_permit(&self, gate: &Gate, fact: &GateFact) -> Explained {
        let GateFact { max, holders, place: stands, first } = fact;
        let gate = gate.words();
        let place = stands.map(|place| format!("; it is {} in line", ordinal(place))).unwrap_or_default();
        let Some(max) = max else {
            let sentence = format!("it waits for {gate}, which the realm's definition does not have{place}");
            return explained(Cause::Permit, sentence);
        };
        let (taken, most) = (holders.len(), *max as usize);
        let is_behind = stands.is_some_and(|place| place > most.saturating_sub(taken));
        if let Some(first) =
            first.as_ref().filter(|first| is_behind && taken < most && **first != self.run.key)
        {
            // Others give the same key with another `max`.
            let sentence = format!(
                "it waits for {gate}, of which {taken} of {max} are taken{place}, and run {first}, which is first, goes before it"
            );
            return Explained { by: Some(first.clone()), ..explained(Cause::Permit, sentence) };
        }
        let sentence = if taken >= most {
            let mut by: Vec<&str> = holders.iter().take(MAX_NAMED).map(RunKey::as_str).collect();
            let more = taken.saturating_sub(MAX_NAMED);
            let and = format!("{more} more");
            by.extend((more > 0).then_some(and.as_str()));
            format!("it waits for {gate}: {taken} of {max} taken by {}{place}", by.join(", "))
        } else {
            format!(
                "it waits for {gate}, of which {taken} of {max} are taken{place}; it has been called or looks by itself"
            )
        };
        Explained { by: holders.first().cloned(), ..explained(Cause::Permit, sentence) }
    }

    fn early(&self) -> Explained {
        let run = self.run;
        let at = run.not_before;
        let when = self.coming(at);
        let explained = if run.status == Status::Retrying {
            let why = run.reason.as_deref().unwrap_or("it failed");
            explained(
                Cause::Retry,
                format!("{} starts at {when}; the one before failed: {why}", self.attempt()),
            )
        } else {
            explained(Cause::NotBefore, format!("it is not to start before {when}"))
        };
        Explained { at: Some(at), ..explained }
    }

    /// A run that a worker may start now.
    fn ready(&self) -> Explained {
        let run = self.run;
        if let Some(host) = run.host.as_ref().filter(|_| run.is_addressed()) {
            return self.for_host(host);
        }
        if let Some(sentence) = self.no_worker() {
            return explained(Cause::NoWorker, sentence);
        }
        if let Some(due) = run.due_at.filter(|due| *due + FORGOTTEN.delta() < self.now) {
            let due = self.past(due);
            return explained(
                Cause::NoSweeper,
                format!("nothing has looked at it since it was due at {due}: no sweeper runs"),
            );
        }
        explained(Cause::Queue, format!("it may start: {}", self.taker()))
    }

    /// Why no worker takes a message about the run, as far as that is known.
    fn no_worker(&self) -> Option<String> {
        let (worker, workers) = (&self.run.worker, &self.facts.workers);
        if workers.is_served == Some(false) {
            return Some("nothing serves this folder: `pumice serve` runs it".to_owned());
        }
        if let Some(sentence) = not_served(worker, &workers.serves) {
            return Some(sentence);
        }
        if let Some(stopping) = self.stopping() {
            return Some(format!("{stopping}; `pumice serve` runs it after that"));
        }
        if workers.without_queue {
            return Some(format!("worker {worker} has no queue in this realm: nothing can take it"));
        }
        let seen = workers.last_seen.filter(|_| workers.alive == 0)?;
        Some(format!("no worker {worker} is alive: the last was seen at {}", self.past(seen)))
    }

    /// The server that is stopping, in words.
    fn stopping(&self) -> Option<String> {
        let since = self.past(self.facts.workers.stopping?);
        Some(format!("the server of this folder is stopping since {since}, and begins nothing more"))
    }

    fn for_host(&self, host: &HostId) -> Explained {
        match self.facts.host_alive {
            Some(false) => explained(
                Cause::HostGone,
                format!("host {host}, which alone may start it, is gone: it ends at the next sweep"),
            ),
            _ => {
                explained(Cause::Host, format!("host {host}, which alone may start it, has not taken it yet"))
            }
        }
    }

    /// The next taker of the run, in words.
    fn taker(&self) -> String {
        let (run, workers) = (self.run, &self.facts.workers);
        if workers.is_served == Some(false) {
            return "nothing serves this folder: `pumice serve` goes on with it".to_owned();
        }
        if let Some(sentence) = not_served(&run.worker, &workers.serves) {
            return sentence;
        }
        if let Some(stopping) = self.stopping() {
            return format!("{stopping}; `pumice serve` goes on with it after that");
        }
        // Without a message it is looked at when it is due, as after a pause that was cut short.
        let has_none = match workers.has_message {
            Some(has) => !has,
            // A message that was sent for its time may be under way, and is not counted among those that are ready.
            None => !matches!(workers.ready, Some(1..)) && run.not_before + WAKE_GRACE.delta() < self.now,
        };
        let grace = if workers.has_message.is_some() { TimeDelta::zero() } else { WAKE_GRACE.delta() };
        if let Some(due) = run.due_at.filter(|due| has_none && self.now + grace < *due) {
            return format!("a worker {} takes it up after {}", run.worker, self.coming(due));
        }
        match workers.ready {
            // The message that is under way is not among them.
            Some(ready @ 2..) if workers.has_message != Some(false) => {
                format!("{ready} messages are on the queue of worker {}, its own among them", run.worker)
            }
            _ => format!("the next free worker {} takes it", run.worker),
        }
    }

    fn ended(&self) -> Explained {
        let run = self.run;
        let explained = self.end();
        let Some(duties) = run.duties.as_ref().filter(|duties| duties.actions.is_some()) else {
            return explained;
        };
        let (done, worker) = (duties.done, &run.worker);
        let is_late = run.ts_end.is_some_and(|end| end + DUTIES.delta() < self.now);
        let actions = match (self.no_worker().filter(|_| run.lease.is_none()), run.ts_end) {
            (Some(why), _) => format!("its actions are not done ({done} so far): {why}"),
            (None, Some(end)) if is_late && run.lease.is_none() => {
                format!("its actions wait for worker {worker} since {} ({done} done so far)", self.past(end))
            }
            _ => format!("its actions are still being done ({done} so far)"),
        };
        let sentence = format!("{}; {actions}", explained.sentence);
        Explained { sentence, ..explained }
    }

    fn end(&self) -> Explained {
        let run = self.run;
        if let Some(kept) = &run.kept {
            let sentence = format!("it ended well as {kept}, and was not run again");
            return Explained { by: Some(kept.clone()), ..explained(Cause::Kept, sentence) };
        }
        if let Some(late) = &run.late {
            return explained(
                Cause::Alert,
                format!("it reports a broken {}: {}", late.limit.field(), late.why),
            );
        }
        let took = run.ts_start.zip(run.ts_end).and_then(|(start, end)| (end - start).to_std().ok());
        let took = took.map(|took| format!(" after {}", whole(took))).unwrap_or_default();
        let why = run.reason.as_deref().unwrap_or("no reason is recorded");
        match run.status {
            Status::Complete => {
                explained(Cause::Complete, format!("it ended well in {}{took}", self.attempt()))
            }
            Status::Cancelled => self.cancelled(why),
            Status::Skipped => {
                let cause = match run.replaced_by {
                    Some(_) => Cause::Replaced,
                    None if why.starts_with(NOT_ENABLED) => Cause::NotEnabled,
                    None if why.starts_with(HOST) => Cause::HostGone,
                    None => Cause::Overlap,
                };
                let sentence = format!("it was skipped: {why}");
                Explained { by: run.replaced_by.clone(), ..explained(cause, sentence) }
            }
            Status::Rejected => explained(rejected(why), format!("it was rejected: {why}")),
            _ => self.failed(why, &took),
        }
    }

    fn cancelled(&self, why: &str) -> Explained {
        let run = self.run;
        if let Some(by) = &run.replaced_by {
            return Explained { by: Some(by.clone()), ..explained(Cause::Replaced, format!("it was {why}")) };
        }
        let stopped = match &self.facts.parent {
            Some((status, Some(reason))) if status.is_end() => {
                format!("; the run that it is a step of was {status}: {reason}")
            }
            _ => String::new(),
        };
        let sentence = match why.strip_prefix("cancelled") {
            Some(rest) => format!("it was cancelled{rest}{stopped}"),
            None => format!("it was cancelled: {why}{stopped}"),
        };
        explained(Cause::Cancelled, sentence)
    }

    fn failed(&self, why: &str, took: &str) -> Explained {
        let run = self.run;
        if run.ts_start.is_none() {
            return explained(failed(why), format!("it failed before it ran: {why}"));
        }
        let (attempt, limit) = (run.attempt, run.retry.limit.max(1));
        let rule = match (attempt, limit) {
            (1, 1) => String::new(),
            (attempt, limit) if attempt >= limit => {
                format!(" in attempt {attempt}, the last that its iteration_limit of {limit} allows")
            }
            (attempt, limit) => {
                format!(" in attempt {attempt} of {limit}, after which no other was to be made")
            }
        };
        match split_way(why) {
            Some((way, why)) => {
                let sentence = format!("it failed{rule}{took}: its step {way} ended so: {why}");
                explained(Cause::Step, sentence)
            }
            None => explained(failed(why), format!("it failed{rule}{took}: {why}")),
        }
    }
}
