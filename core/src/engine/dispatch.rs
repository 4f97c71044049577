//! From requests to runs: read, check, merge, render, record, send.

use std::sync::Arc;

use chrono::TimeDelta;

use super::answer::{Accepted, answer, keyed};
use super::fresh::{First, asked, first_message, keyed_run, not_before, record, skipped};
use super::jobs::{Checked, Jobs, no_such_job};
use super::lava::follow::{hand_over, may_give, refused};
use super::ledger::apply::{ApplyError, unfit};
use super::ledger::{Ledger, Sent};
use super::rendered::{AtDispatch, Hidden, WhenRendered};
use super::slots::filled;
use crate::Timestamp;
use crate::ids::{JobId, RunId, RunKey};
use crate::job_type::{DispatchError, JobError, OriginRun, Registry, Rendered, Site, Templates};
use crate::ports::{Outgoing, StoreError, StoredJob};
use crate::request::{DispatchRequest, again_key};
use crate::run::{Lineage, NewRun, Run, StopRequest, Trigger, settle};
use crate::secret::{is_any_known, value_holds_secret};
use crate::spec::{Enabled, JobSpec, RealmSpec, RunSpec, WorkerKind};

/// Longest name of an event that a record keeps, in bytes.
const MAX_EVENT: usize = 256;

/// Takes requests for runs. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    ledger: Ledger,
    jobs: Jobs,
}

/// A trigger's start for an event.
#[derive(Debug)]
pub(super) struct EventStart {
    /// Its name among all events, calls and starts that there are.
    pub(super) name: String,
    /// The trigger, as the runs' records keep it.
    pub(super) trigger: Trigger,
}

/// The one that asks for runs.
#[derive(Clone, Copy)]
enum Asker<'a> {
    /// A caller that asks once.
    Caller,
    /// A caller that may ask again under this name when it had no answer.
    Call(&'a str),
    /// An event of this name, which may be delivered again.
    Event(&'a str),
    /// A list of this name that may be given again, of which these are the places of the requests.
    List(&'a str, &'a [u64]),
    /// A trigger, whose event may be delivered again.
    Trigger(&'a EventStart),
    /// A run.
    Run(&'a OriginRun),
}

impl<'a> Asker<'a> {
    const fn origin(self) -> Option<&'a OriginRun> {
        match self {
            Self::Run(origin) => Some(origin),
            _ => None,
        }
    }

    /// The trigger of the run, where the record does not say it otherwise.
    fn trigger(self, request: &DispatchRequest) -> Option<Trigger> {
        match self {
            // The slot says more.
            Self::Event(_) if request.scheduled.as_ref().is_some_and(|slot| slot.entry.is_some()) => None,
            Self::Event(event) => {
                Some(Trigger::Event { event: event[..event.floor_char_boundary(MAX_EVENT)].to_owned() })
            }
            Self::Trigger(start) => Some(start.trigger.clone()),
            Self::Caller | Self::Call(_) | Self::List(..) | Self::Run(_) => None,
        }
    }
}

/// Whether requests stand or fall together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// Each is taken by itself.
    Each,
    /// None is taken where one is refused.
    AllOrNone,
}

/// A run about to be made, with its message.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) new: NewRun,
    first: First,
    worker: WorkerKind,
    pub(super) warning: Option<String>,
}

/// Requests that were read, checked and rendered, of which nothing is recorded yet.
#[derive(Debug)]
pub struct PreparedBatch {
    /// The runs that are to be made.
    pub(super) runs: Vec<Prepared>,
    /// Of each request why it is refused, if it is.
    pub(super) refused: Vec<Option<DispatchError>>,
}

/// Work that is left when a run has been made.
struct Made {
    reminder: Option<Outgoing>,
    worker: WorkerKind,
    warning: Option<String>,
}

/// A job as a run of it would see it, before anything is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Preview {
    /// It can be rendered.
    Rendered {
        /// Its payload and parameters.
        rendered: Rendered,
        /// When a run of it is rendered.
        when: WhenRendered,
        /// What its templates did not see.
        hidden: Hidden,
    },
    /// Why a template fails, and what it did not see.
    Failed(JobError, Hidden),
}

impl Dispatcher {
    /// A dispatcher for a realm.
    #[must_use]
    pub fn new(site: Arc<Site>, registry: Arc<Registry>) -> Self {
        Self { ledger: Ledger::new(site.clone()), jobs: Jobs::new(site, registry) }
    }

    /// Whether it works on this very site.
    #[must_use]
    pub fn is_on(&self, site: &Arc<Site>) -> bool {
        Arc::ptr_eq(self.ledger.site(), site)
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(super) fn site(&self) -> &Arc<Site> {
        self.ledger.site()
    }

    /// Takes each request by itself: one that is refused does not stop the others. The outcomes are
    /// in the same order. `origin` is the run that asks, if a run does.
    pub async fn dispatch(
        &self,
        requests: Vec<DispatchRequest>,
        origin: Option<&OriginRun>,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.take(requests, origin.map_or(Asker::Caller, Asker::Run), Taking::Each).await
    }

    /// The same for requests of a run that belong together: where one is refused, none is taken.
    pub(super) async fn dispatch_together(
        &self,
        requests: Vec<DispatchRequest>,
        origin: &OriginRun,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.take(requests, Asker::Run(origin), Taking::AllOrNone).await
    }

    /// The same for an event that may be delivered more than once: its requests make one run each,
    /// however often it comes. `event` names it, among all events that there are.
    pub async fn dispatch_event(
        &self,
        requests: Vec<DispatchRequest>,
        event: &str,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.take(requests, Asker::Event(event), Taking::Each).await
    }

    /// The same for a caller that may repeat its call. `call` names it, among all calls and events that there are.
    pub async fn dispatch_call(
        &self,
        requests: Vec<DispatchRequest>,
        call: &str,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.take(requests, Asker::Call(call), Taking::Each).await
    }

    /// Reads, checks and renders requests of a list, and records nothing: [`Dispatcher::make`] makes their runs. So one batch
    /// can be prepared while another is written. Each request makes one run by its place in the list, in whatever parts the list is
    /// given again; `list` names it, among all lists, calls and events that there are.
    ///
    /// # Errors
    /// [`StoreError`] when the realm's documents cannot be read.
    pub async fn prepare_listed(
        &self,
        requests: Vec<(u64, DispatchRequest)>,
        list: &str,
    ) -> Result<PreparedBatch, StoreError> {
        let (places, requests): (Vec<u64>, Vec<DispatchRequest>) = requests.into_iter().unzip();
        self.prepare_all(requests, Asker::List(list, &places)).await
    }

    /// The same for a caller that asks once.
    ///
    /// # Errors
    /// As [`Dispatcher::prepare_listed`].
    pub async fn prepare_each(&self, requests: Vec<DispatchRequest>) -> Result<PreparedBatch, StoreError> {
        self.prepare_all(requests, Asker::Caller).await
    }

    /// The same for a trigger, whose requests make one run each, however often its event comes. A second request for the
    /// same job makes a run of its own, whatever place it has.
    pub(super) async fn dispatch_for(
        &self,
        requests: Vec<DispatchRequest>,
        start: &EventStart,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.take(requests, Asker::Trigger(start), Taking::Each).await
    }

    /// Asks a run to stop: one that waits never starts, one that runs is stopped.
    ///
    /// # Errors
    /// [`ApplyError`] when it has ended, was asked before, is gone, or the store cannot be reached.
    pub async fn cancel(&self, key: &RunKey) -> Result<Run, ApplyError> {
        self.ledger.cancel(key).await
    }

    /// The same for a person or a program, whose name the run's record keeps, with the reason.
    ///
    /// # Errors
    /// As [`Dispatcher::cancel`].
    pub async fn cancel_for(&self, key: &RunKey, request: StopRequest) -> Result<Run, ApplyError> {
        self.ledger.cancel_for(key, request).await
    }

    /// Takes a request for a job that is given, whatever is stored under its name.
    pub(super) async fn dispatch_job(
        &self,
        request: &DispatchRequest,
        job: Arc<JobSpec>,
    ) -> Result<Accepted, DispatchError> {
        let realm = self.site().ports.jobs.realm().await?;
        let prepared = self.prepare(request, Some(Ok(job)), &realm, Asker::Caller, 0).await?;
        let outcome = self.create(vec![prepared]).await?.pop();
        outcome.unwrap_or_else(|| Err(StoreError::unreachable("the store lost a run").into()))
    }

    async fn take(
        &self,
        requests: Vec<DispatchRequest>,
        asker: Asker<'_>,
        taking: Taking,
    ) -> Vec<Result<Accepted, DispatchError>> {
        let count = requests.len();
        let by_the_clock: Vec<Option<DispatchRequest>> =
            requests.iter().map(|request| request.scheduled.is_some().then(|| request.clone())).collect();
        let mut outcomes = match self.take_all(requests, asker, taking).await {
            Ok(outcomes) => outcomes,
            Err(error) => return (0..count).map(|_| Err(error.clone().into())).collect(),
        };
        for (outcome, request) in outcomes.iter_mut().zip(by_the_clock) {
            if let (Ok(Accepted { is_withdrawn: true, .. }), Some(request)) = (&*outcome, request) {
                *outcome = Box::pin(self.take_again(request, asker)).await;
            }
        }
        outcomes
    }

    /// Takes a start by the clock whose run was withdrawn before it began, and which is wanted once more.
    async fn take_again(
        &self,
        request: DispatchRequest,
        asker: Asker<'_>,
    ) -> Result<Accepted, DispatchError> {
        let key = request.idempotency_key.clone().unwrap_or_default();
        let mut again = 0;
        loop {
            again += 1;
            let request =
                DispatchRequest { idempotency_key: Some(again_key(&key, again)), ..request.clone() };
            let outcome = self.take_all(vec![request], asker, Taking::Each).await?.pop();
            match outcome {
                Some(Ok(Accepted { is_withdrawn: true, .. })) => {}
                Some(outcome) => return outcome.map(|accepted| Accepted { again, ..accepted }),
                None => return Err(StoreError::unreachable("the store lost a run").into()),
            }
        }
    }

    async fn take_all(
        &self,
        requests: Vec<DispatchRequest>,
        asker: Asker<'_>,
        taking: Taking,
    ) -> Result<Vec<Result<Accepted, DispatchError>>, StoreError> {
        let prepared = self.prepare_all(requests, asker).await?;
        if taking == Taking::AllOrNone && prepared.runs.len() < prepared.refused.len() {
            let withheld = |refused: Option<_>| Err(refused.unwrap_or(DispatchError::Withheld));
            return Ok(prepared.refused.into_iter().map(withheld).collect());
        }
        self.make(prepared).await
    }

    async fn prepare_all(
        &self,
        requests: Vec<DispatchRequest>,
        asker: Asker<'_>,
    ) -> Result<PreparedBatch, StoreError> {
        let realm = self.site().ports.jobs.realm().await?;
        let ids: Vec<JobId> = requests.iter().map(|request| request.job_id.clone()).collect();
        let jobs = self.site().ports.jobs.jobs(&ids).await?;
        let requests = filled(self.site(), requests, &jobs, &realm).await?;
        let mut prepared = PreparedBatch {
            runs: Vec::with_capacity(requests.len()),
            refused: Vec::with_capacity(requests.len()),
        };
        for (index, (request, job)) in requests.into_iter().zip(jobs).enumerate() {
            let index = match asker {
                // The list may be edited between two deliveries.
                Asker::Trigger(_) => ids[..index].iter().filter(|id| **id == request.job_id).count(),
                _ => index,
            };
            match self.prepare(&request, job, &realm, asker, index).await {
                Ok(run) => {
                    prepared.runs.push(run);
                    prepared.refused.push(None);
                }
                Err(DispatchError::Store(error)) => return Err(error),
                Err(error) => prepared.refused.push(Some(error)),
            }
        }
        Ok(prepared)
    }

    /// Makes the runs of requests that were prepared. The outcomes are in the order of the requests.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached: some of the runs may be made then.
    pub async fn make(
        &self,
        prepared: PreparedBatch,
    ) -> Result<Vec<Result<Accepted, DispatchError>>, StoreError> {
        let PreparedBatch { runs, refused } = prepared;
        let mut made = self.create(runs).await?.into_iter();
        // Every request that was prepared has its outcome from `create`.
        let lost = || Err(StoreError::unreachable("the store lost a run").into());
        let outcome = |refused: Option<_>| refused.map_or_else(|| made.next().unwrap_or_else(lost), Err);
        Ok(refused.into_iter().map(outcome).collect())
    }

    /// Makes the runs, and sends their messages or has them sent at their time.
    async fn create(&self, batch: Vec<Prepared>) -> Result<Vec<Result<Accepted, DispatchError>>, StoreError> {
        let (mut runs, mut made) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for Prepared { new, first, worker, warning } in batch {
            let (message, reminder) = match first {
                First::None => (None, None),
                First::Now(message) => (Some(message), None),
                First::Later(reminder) => (None, Some(reminder)),
            };
            runs.push((new, message));
            made.push(Made { reminder, worker, warning });
        }
        let created = self.site().ports.runs.create(&runs).await?;
        let (mut unsent, mut later, mut given) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(runs.len());
        for (((new, message), made), created) in runs.into_iter().zip(made).zip(created) {
            let lavas = message.is_some() && created.is_new() && made.worker.is_lavas();
            let may_send = !lavas || may_give(&new.run, self.ledger.now());
            let message = message.filter(|_| created.is_unsent() && may_send);
            if lavas && (created.sent || message.is_some()) {
                given.push((new.run.clone(), message.is_some().then_some(unsent.len())));
            }
            unsent.extend(message);
            later.extend(made.reminder.filter(|_| created.is_new()));
            outcomes.push(answer(&new.run, created).map(|accepted| match accepted.existing {
                false => Accepted { warning: made.warning, ..accepted },
                true => accepted,
            }));
        }
        let sent = self.ledger.send_all(unsent).await;
        self.ledger.schedule_all(later).await;
        let mut gone = Vec::new();
        for (run, place) in given {
            match place.and_then(|place| sent.get(place)) {
                None | Some(Sent::Done) => gone.push(run),
                Some(Sent::Refused(why)) => end_refused(&self.ledger, run, why).await,
                Some(Sent::Later) => {}
            }
        }
        hand_over(&self.ledger, gone).await;
        Ok(outcomes)
    }

    async fn prepare(
        &self,
        request: &DispatchRequest,
        job: Option<StoredJob>,
        realm: &RealmSpec,
        asker: Asker<'_>,
        index: usize,
    ) -> Result<Prepared, DispatchError> {
        let origin = asker.origin();
        let job_id = &request.job_id;
        let job = match job {
            Some(Ok(job)) => job,
            Some(Err(error)) => return Err(DispatchError::BadSpec { job_id: job_id.to_string(), error }),
            None => return Err(no_such_job(&*self.site().ports.jobs, job_id).await?),
        };
        if is_any_known()
            && request.parameters.values().chain(request.globals.values()).any(value_holds_secret)
        {
            return Err(DispatchError::HoldsSecret { job_id: job_id.to_string() });
        }
        let now = self.ledger.now();
        let Checked { job, warnings, worker } = self.jobs.specialise(&job, request, origin)?;
        let run_id = self.run_id(request, asker, index, now);
        let retention = &self.site().settings.event_ttl;
        let mut run = record(
            &job,
            RunKey::root(run_id),
            run_id,
            now,
            not_before(request.when, now),
            retention.longest(),
        );
        let of_realm: Vec<String> =
            realm.warnings.iter().map(|warning| format!("the realm's {warning}")).collect();
        run.warn(&[&*warnings, &*of_realm].concat(), now);
        run.trigger = asker.trigger(request);
        run.dispatched_by = origin.map(|origin| origin.key.clone());
        run.lineage = origin.map(|origin| lineage(origin, run.not_before - now));
        let limit = self.site().settings.dispatch_max_depth;
        if let Some(lineage) = run.lineage.as_ref().filter(|lineage| lineage.depth > limit) {
            let (job_id, depth) = (job_id.to_string(), lineage.depth);
            return Err(DispatchError::TooDeep { job_id, depth, limit });
        }
        run.keyed = keyed(request);
        run.scheduled = request.scheduled.clone();
        run.host.clone_from(&request.host);
        run.redo.clone_from(&request.redo);
        run.set_overlap(request.overlap.unwrap_or(run.overlap));
        if job.fields.enabled == Enabled::Static(false) {
            let spec =
                RunSpec { asked: Some(asked(request, origin)), ..RunSpec::of_job(job.document.clone()) };
            let mut run = skipped(&run, now).map_err(|error| unfit(&run.key, error))?;
            settle(&mut run, retention, now);
            return Ok(Prepared { new: NewRun { run, spec }, first: First::None, worker, warning: None });
        }
        if !worker.is_lavas() {
            run.permit = self.jobs.permit(&run, &job, realm).await?;
        }
        let AtDispatch { rendered, anew, error } = self.jobs.render_now(&run, &job, worker, realm).await?;
        let warning = error.map(|error| format!("{error}; each attempt renders it anew"));
        run.warn(warning.as_slice(), now);
        let asked = Some(asked(request, origin));
        let first = first_message(&self.site().realm, &mut run, (&job, worker), request, origin, now)?;
        Ok(Prepared {
            new: NewRun { run, spec: RunSpec { job: job.document.clone(), rendered, anew, asked } },
            first,
            worker,
            warning,
        })
    }

    /// Payload and parameters as they would run at `start`, with nothing recorded or sent, and with placeholders for secrets.
    ///
    /// # Errors
    /// [`DispatchError`] when there is no such job, its spec is invalid, or a store cannot be reached.
    pub async fn preview(
        &self,
        request: &DispatchRequest,
        start: Timestamp,
    ) -> Result<Preview, DispatchError> {
        let job = match self.jobs.stored(&request.job_id).await? {
            Some(Ok(job)) => self.jobs.specialise(&job, request, None)?.job,
            Some(Err(error)) => {
                return Err(DispatchError::BadSpec { job_id: request.job_id.to_string(), error });
            }
            None => return Err(no_such_job(&*self.site().ports.jobs, &request.job_id).await?),
        };
        Ok(self.preview_job(request, &job, start).await?)
    }

    /// The same of a job that has what is asked for in it.
    pub(super) async fn preview_job(
        &self,
        request: &DispatchRequest,
        job: &JobSpec,
        start: Timestamp,
    ) -> Result<Preview, StoreError> {
        let realm = self.site().ports.jobs.realm().await?;
        let run_id = self.run_id(request, Asker::Caller, 0, start);
        let run = record(job, RunKey::root(run_id), run_id, start, start, None);
        let (shown, scene, hidden) = self.jobs.scene_to_show(&run, job, &realm, start).await?;
        let templates = Templates::new(self.jobs.registry().renderer().clone(), scene);
        Ok(match self.jobs.render(&shown, &templates).await {
            Ok(rendered) => {
                let when = self.rendering(job).having_asked(templates.asked_for_the_moment());
                Preview::Rendered { rendered, when, hidden }
            }
            Err(error) => Preview::Failed(error, hidden),
        })
    }

    /// A request with a key, of a run or of an event has an id that follows from it: made twice, it is
    /// made once.
    fn run_id(&self, request: &DispatchRequest, asker: Asker<'_>, index: usize, now: Timestamp) -> RunId {
        let realm = &self.site().realm;
        if let Some(key) = &request.idempotency_key {
            return keyed_run(realm, &request.job_id, key);
        }
        let follows = match asker {
            Asker::Caller => return RunId(self.site().ports.random.uuid(now)),
            Asker::Call(name) | Asker::Event(name) => format!("event:{name}#{index}"),
            Asker::List(name, places) => match places.get(index) {
                Some(place) => format!("list:{name}#{place}"),
                None => return RunId(self.site().ports.random.uuid(now)),
            },
            Asker::Trigger(start) => format!("{}#{index}", start.name),
            Asker::Run(origin) => format!("run:{}#{}#{index}", origin.key, origin.label),
        };
        RunId::from_key(realm, &request.job_id, &follows)
    }

    /// When a job is rendered, and why then, as far as its templates show.
    fn rendering(&self, job: &JobSpec) -> WhenRendered {
        WhenRendered::of(job, self.site().settings.render_at)
    }
}

/// Ends a run whose message lava's queue never takes. Where that is not recorded, the sweeper finds the same.
async fn end_refused(ledger: &Ledger, run: Run, why: &str) {
    let (run_id, job_id) = (run.run_id, run.job_id.clone());
    if let Err(error) = refused(ledger, run, why).await {
        tracing::warn!(%run_id, %job_id, %error, "the end of a run is not recorded yet");
    }
}

/// Where a run comes from that starts after a delay. Jobs that start each other with one may do so for ever, as jobs that
/// poll do; without one they would take up the workers.
fn lineage(origin: &OriginRun, delay: TimeDelta) -> Lineage {
    let lineage = origin.lineage.clone();
    if delay >= TimeDelta::seconds(1) { Lineage { depth: 0, ..lineage } } else { lineage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    /// How deep the last of 100 jobs stands that start each other after a delay.
    fn depth(delay: TimeDelta) -> u32 {
        let job_id = JobId::new("again").unwrap();
        let run_id = RunId(uuid::Uuid::nil());
        let start = Timestamp::UNIX_EPOCH;
        let (master_job_id, parent_job_id) = (job_id.clone(), job_id.clone());
        let first = Lineage {
            master_job_id,
            master_start: start,
            parent_job_id,
            parent_start: start,
            depth: 1,
            foreach_index: None,
            master_sent: false,
        };
        let (key, globals, label) = (RunKey::root(run_id), Map::new(), String::new());
        let mut origin = OriginRun { key, job_id, lineage: first, globals, label };
        for _ in 0..100 {
            let below = lineage(&origin, delay);
            origin.lineage.depth = below.depth + 1;
        }
        origin.lineage.depth
    }

    #[test]
    fn jobs_that_start_each_other_after_a_second_never_get_deep() {
        assert_eq!(depth(TimeDelta::seconds(1)), 1);
        assert_eq!(depth(TimeDelta::milliseconds(999)), 101);
        assert_eq!(depth(TimeDelta::zero()), 101);
    }
}
