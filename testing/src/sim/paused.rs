//! Jobs, workers and the realm are paused, and resumed: what has not begun waits meanwhile.

use chrono::TimeDelta;
use pumice_core::engine::{ApplyError, Dispatcher, PAUSES_KEPT};
use pumice_core::ids::RunKey;
use pumice_core::pauses::{IfPaused, Pause, Pauses, Scope};
use pumice_core::ports::CommitError;
use pumice_core::run::Run;

use super::audit::APART;
use super::mutants::Mutant;
use super::runner::{Done, Runner};
use super::scenario::{Setup, chain, overlapping, retry, single};
use super::world::{Role, Shared, TaskId, World, lock, worker};
use crate::prng::Prng;

/// How often each scope is resumed at the end. Any of them may break off.
const LAST_RESUMES: u64 = 10;

/// How long a run may wait whose pause ended by itself: the sweeper finds it.
pub(super) const LAPSE: TimeDelta = TimeDelta::seconds(75);

/// The scope of a pause.
#[derive(Clone, Copy, Debug)]
enum Which {
    Realm,
    Worker,
    Jobs,
}

/// An operator pauses a scope, or resumes it.
#[derive(Clone, Debug)]
pub(crate) struct Pausing {
    /// When, in milliseconds from the beginning.
    pub(crate) at: u64,
    which: Which,
    /// For how long, in seconds; until it is resumed where `None`.
    lasts: Option<i64>,
    resumes: bool,
}

/// Runs that meet pauses.
pub(super) fn paused(prng: &mut Prng) -> Setup {
    let build =
        prng.pick(&[single as fn(&mut Prng) -> Setup, chain, retry, |prng| overlapping(prng, "queue")]);
    let mut setup = build(prng);
    let jobs: Vec<_> = setup.asks.iter().map(|ask| ask.request.job_id.to_string()).collect();
    for number in 0..prng.within(1, 4) {
        let chosen = usize::try_from(prng.below(jobs.len() as u64)).unwrap_or(0);
        setup.ask(number * 100_000 + prng.pick(&[0, 20_000, 50_000]), &jobs[chosen]);
    }
    for _ in 0..prng.within(1, 3) {
        let which = prng.pick(&[Which::Realm, Which::Worker, Which::Jobs]);
        let at = prng.pick(&[0, 10_000, 100_000, 300_000]) + prng.below(1_000);
        let lasts = prng.pick(&[None, None, Some(120), Some(1_200)]);
        setup.pausings.push(Pausing { at, which, lasts, resumes: false });
        if lasts.is_none() || prng.below(3) == 0 {
            let at = at + prng.pick(&[60_000, 400_000, 3_000_000]);
            setup.pausings.push(Pausing { at, which, lasts: None, resumes: true });
        }
    }
    // No scope stays paused for good: the last command resumes it, and is repeated when it breaks off.
    for again in 0..LAST_RESUMES {
        let at = 4_000_000 + again * 60_000;
        for which in [Which::Realm, Which::Worker, Which::Jobs] {
            setup.pausings.push(Pausing { at, which, lasts: None, resumes: true });
        }
    }
    setup
}

impl Which {
    fn scope(self) -> Scope {
        match self {
            Self::Realm => Scope::Realm,
            Self::Worker => Scope::Worker(worker()),
            Self::Jobs => Scope::Job("j*".to_owned()),
        }
    }
}

impl Runner {
    /// An operator pauses a scope, or resumes it.
    pub(super) fn pause(&mut self, pausing: &Pausing) {
        self.to_come -= 1;
        let scope = pausing.which.scope();
        let (dispatcher, world) = (self.engine.dispatcher().clone(), self.world.clone());
        if pausing.resumes {
            self.spawn(Role::Pauser, |_| {
                Box::pin(async move {
                    // One that gets no answer asks again.
                    while let Err(error) = dispatcher.resume(std::slice::from_ref(&scope)).await {
                        if !is_passing(&error) {
                            lock(&world).audit.fail("a request is taken", error.to_string());
                        }
                    }
                    call(&dispatcher, &world, &scope).await;
                    Done::Nothing
                })
            });
            return;
        }
        let lasts = pausing.lasts.map(TimeDelta::seconds);
        let since = lock(&self.world).now;
        let pause = Pause {
            scope,
            since,
            until: lasts.map(|lasts| since + lasts),
            by: None,
            why: None,
            everything: false,
        };
        self.spawn(Role::Pauser, |_| {
            Box::pin(async move {
                while let Err(error) = dispatcher.pause(std::slice::from_ref(&pause), IfPaused::Replace).await
                {
                    if !is_passing(&error) {
                        lock(&world).audit.fail("a request is taken", error.to_string());
                    }
                }
                call(&dispatcher, &world, &pause.scope).await;
                Done::Nothing
            })
        });
    }
}

/// Has the runs looked at that a changed pause concerns.
async fn call(dispatcher: &Dispatcher, shared: &Shared, scope: &Scope) {
    let mut called: Vec<RunKey> = Vec::new();
    {
        let world = lock(shared);
        let (pauses, now) = (&world.paused.pauses, world.now);
        let of = world.runs.all().filter(|run| scope.has(run) && pauses.calls(run, now));
        called.extend(of.map(|run| run.key.clone()));
    }
    for key in called {
        while let Err(ApplyError::Store(_)) = dispatcher.wake_resumed(&key).await {}
    }
}

/// Whether what went wrong may go well the next time.
fn is_passing(error: &CommitError) -> bool {
    !matches!(error, CommitError::Unrecordable(_) | CommitError::Locked(_))
}

/// The pauses, as the store has them, and since when.
#[derive(Debug, Default)]
pub(crate) struct PauseTable {
    /// Whether the scenario has any.
    pub(crate) is_used: bool,
    pauses: Pauses,
    /// The first that there was, for the mutant that never lets go.
    first: Option<Pauses>,
    /// When each record was written.
    written: Vec<(pumice_core::Timestamp, Pauses)>,
}

impl World {
    pub(super) fn pauses(&self) -> Pauses {
        match &self.paused.first {
            _ if self.is(Mutant::PauseIgnored) => Pauses::default(),
            Some(first) if self.is(Mutant::PausedForGood) => first.clone(),
            _ => self.paused.pauses.clone(),
        }
    }

    pub(super) fn put_pauses(&mut self, pauses: &Pauses) -> Result<(), CommitError> {
        if self.paused.pauses.rev + 1 != pauses.rev {
            return Err(CommitError::Conflict);
        }
        self.paused.written.push((self.now, pauses.clone()));
        self.audit.unpaused.push(self.now);
        self.audit.unpaused.extend(pauses.all.iter().filter_map(|pause| pause.until));
        if !pauses.all.is_empty() {
            self.paused.first.get_or_insert_with(|| {
                let all = pauses.all.iter().map(|pause| Pause { until: None, ..pause.clone() }).collect();
                Pauses { rev: pauses.rev, all }
            });
        }
        self.paused.pauses = pauses.clone();
        Ok(())
    }

    /// A run was claimed for the first time: not while it was paused for longer than a worker may go by what it has read.
    pub(super) fn starts_unpaused(&mut self, before: &Run, after: &Run, task: TaskId) {
        if before.ts_start.is_some() || after.ts_start.is_none() || !self.paused.is_used {
            return;
        }
        let slack = PAUSES_KEPT.delta() + APART + self.audit.stood_still_for(task);
        let seen = self.now - slack;
        // It must have been paused in each record that a worker may have gone by.
        let last_before = self.paused.written.iter().rposition(|(at, _)| *at <= seen);
        let Some(first) = last_before else { return };
        let records = &self.paused.written[first..];
        let is_paused = |(_, pauses): &(_, Pauses)| {
            [seen, self.now + APART].into_iter().all(|at| pauses.of(before, at).is_some())
        };
        if records.iter().all(is_paused) {
            self.audit.fail("nothing begins that is paused", format!("{}", before.key));
        }
    }
}
