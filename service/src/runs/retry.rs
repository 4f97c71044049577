//! Doing runs again that have ended: what would be kept and what run, and the new run itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pumice_core::engine::{Again, Dispatcher, RedoRequest, no_such_job};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::{Plan, StepRedo, redone};
use pumice_core::ports::RunStore;
use pumice_core::run::{Redo, RedoFrom, Run, SpecOf, WorkPlace};
use pumice_core::spec::{Asked, JobSpec};
use pumice_core::text::{quoted, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::changes::{Changes, Used, changes, changes_of_step};
use super::outputs::of_last_attempt;
use super::whole::whole_with_spec;
use super::{find, trees};
use crate::audit::Act;
use crate::dispatch::AcceptedRun;
use crate::failure::Error;
use crate::realm::Realm;
use crate::specs::FieldChange;

/// Most steps that are shown one by one.
const MAX_SHOWN: usize = 1_000;
/// Most jobs of steps whose specs are compared with those of now: each costs a read.
const MAX_COMPARED: usize = 100;
/// Most keys of steps that an error names.
const FEW: usize = 5;

/// Which run to do again, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRun {
    /// The run: its id or the beginning of it, `latest`, or `latest:JOB`.
    pub run: String,
    /// Which steps are run again.
    #[serde(default)]
    pub from: RetryFrom,
    /// Which spec of the job and its steps is used.
    #[serde(default)]
    pub spec: SpecOf,
    /// Parameters over those that the run had, key by key.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Globals over those that the run had, key by key.
    #[serde(default)]
    pub globals: Map<String, Value>,
    /// A name under which the same can be asked again: it makes one run.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether it may be done again although it was: all that its steps do may then be done twice.
    #[serde(default)]
    pub once_more: bool,
    /// Only show what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which steps are run again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryFrom {
    /// Those that did not end well.
    #[default]
    Failed,
    /// This one and all after it, and those that did not end well: the id of its job, with `[N]` for the item N of a foreach,
    /// or the key of its record. No item of a foreach comes after another.
    Step(String),
    /// All.
    All,
}

/// A run that is done again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetriedRun {
    /// The run that ended.
    pub of: RunKey,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The new run; null on a dry run.
    pub accepted: Option<AcceptedRun>,
    /// Its steps, those of steps after the step; empty where the job has none.
    pub steps: Vec<RetryStep>,
    /// How many more steps there are than are shown.
    #[serde(default)]
    pub more_steps: usize,
    /// Places of the spec that are not as they were, and of those of the steps that are run again: these begin with the job of
    /// the step.
    pub spec: Vec<FieldChange>,
    /// Places of the parameters and globals that were asked for, and are not as they were.
    pub input: Vec<FieldChange>,
    /// A note.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A step of a run that is done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryStep {
    /// How deep it stands, from 0.
    pub depth: usize,
    /// Its job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in a foreach, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// The plan for it.
    pub action: RetryAction,
    /// The step that it is in the run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<RunKey>,
}

/// The plan for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryAction {
    /// It ended well, and is not run again.
    Kept,
    /// It is run again.
    Again,
    /// It had not begun, and is run.
    New,
    /// Its job is not enabled now.
    Skipped,
}

impl RetryAction {
    /// The word before the step.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Again => "runs again",
            Self::New => "runs",
            Self::Skipped => "is skipped",
        }
    }
}

/// Does a run again that has ended: a new run, which refers to it.
///
/// # Errors
/// [`Error`] when the run has not ended or may not be done again, its job, one of its steps or what a kept step printed is
/// gone, the request is refused, or the store cannot be reached.
pub async fn retry(realm: &dyn Realm, request: &RetryRun) -> Result<RetriedRun, Error> {
    let act = Act::new("runs retry", request).dry(request.dry_run);
    act.record(realm, retrying(realm, request, &act)).await
}

async fn retrying(realm: &dyn Realm, request: &RetryRun, act: &Act) -> Result<RetriedRun, Error> {
    let key = find(realm, &request.run).await?;
    act.touched("run", key.as_str());
    let from = match &request.from {
        RetryFrom::Failed => RedoFrom::Failed,
        RetryFrom::All => RedoFrom::All,
        RetryFrom::Step(step) => RedoFrom::Step(find_step(realm, &key, step).await?),
    };
    let redo = RedoRequest {
        redo: Redo { key: request.key.clone(), ..Redo::of(key.clone(), from, request.spec) },
        parameters: request.parameters.clone(),
        globals: request.globals.clone(),
        once_more: request.once_more,
    };
    if let Some(key) = &request.key {
        pumice_core::request::check_key(key).map_err(|why| Error::invalid(format!("key: {why}")))?;
    }
    pumice_core::problem::SpecError::check(pumice_core::request::check_globals(&redo.globals))?;
    let dispatcher = Dispatcher::new(realm.site().await?, realm.registry().clone());
    let again = dispatcher.again(&redo).await?;
    // Else what is shown would be refused.
    dispatcher.next_replay(&again.run, &redo).await?;
    let mut retried = planned(realm, &dispatcher, &redo, again).await?;
    retried.dry_run = request.dry_run;
    if !request.dry_run {
        retried.accepted = Some(dispatcher.redo(&redo).await?.into());
    }
    Ok(retried)
}

/// The outcome of a dry run.
///
/// # Errors
/// [`Error`] when it would be refused: a step that is to be kept or run is gone, or what one printed.
pub(super) async fn planned(
    realm: &dyn Realm,
    dispatcher: &Dispatcher,
    request: &RedoRequest,
    again: Again,
) -> Result<RetriedRun, Error> {
    let job = dispatcher.effective(&again)?;
    let asked =
        Asked { parameters: again.request.parameters.clone(), globals: again.request.globals.clone() };
    let is = Used { job: &job.document, asked: Some(&asked) };
    let Changes { mut spec, input } = changes(Used::from(&again.spec), is);
    let mut notes = Vec::new();
    if again.spec.asked.is_none() && request.redo.spec == SpecOf::Latest {
        notes.push(
            "the record does not say what was asked for: it is given all parameters and globals that it had"
                .to_owned(),
        );
    }
    let mut walk = Walk {
        realm,
        dispatcher,
        spec: request.redo.spec,
        steps: Vec::new(),
        more: 0,
        missing: BTreeSet::new(),
        compared: BTreeSet::new(),
        differs: Vec::new(),
        outdated: Vec::new(),
    };
    let before = dispatcher.plan_of(&again.run, &again.spec);
    let ahead = dispatcher.plan_ahead(&again, &job).await?;
    if ahead.is_none() && before.is_some() {
        notes.push(
            "its steps are worked out when it starts: those that are then as they were are kept".to_owned(),
        );
    }
    if let Some(plan) = ahead.as_ref().or(before.as_ref()) {
        Box::pin(walk.plan(plan, before.as_ref(), &again, &request.redo.from)).await?;
    }
    walk.refuse_missing().await?;
    spec.extend(walk.differs);
    if let Some(first) = walk.outdated.first() {
        let more = walk.outdated.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!(
            "the spec of {}{more} has changed since: the result that is kept is of the spec before",
            shown(first.as_str())
        ));
    }
    let (steps, more_steps) = (walk.steps, walk.more);
    refuse_gone(realm, &again.run, &steps).await?;
    let kept = steps.iter().any(|step| step.action == RetryAction::Kept);
    if kept && again.run.work.as_ref().is_some_and(WorkPlace::has_files) {
        notes.push(
            "steps that are kept left files in the directory that steps share, which went with the run: a step that needs \
             it fails, unless its job says `work_dir: fresh`; where steps read files of others, run all again"
                .to_owned(),
        );
    }
    let of = again.run.key;
    Ok(RetriedRun { of, dry_run: true, accepted: None, steps, more_steps, spec, input, notes })
}

/// Goes through the steps of a run that is done again.
struct Walk<'a> {
    realm: &'a dyn Realm,
    dispatcher: &'a Dispatcher,
    spec: SpecOf,
    steps: Vec<RetryStep>,
    more: usize,
    /// Jobs of steps that are run, and are not there.
    missing: BTreeSet<JobId>,
    /// Jobs of steps whose specs were compared with those of now.
    compared: BTreeSet<JobId>,
    /// Places of the specs of steps that are run again, and are not as they were: they begin with the job of the step.
    differs: Vec<FieldChange>,
    /// Jobs of steps that are kept, and whose specs are not as they were.
    outdated: Vec<JobId>,
}

impl Walk<'_> {
    /// The steps of the run itself.
    async fn plan(
        &mut self,
        plan: &Plan,
        before: Option<&Plan>,
        again: &Again,
        from: &RedoFrom,
    ) -> Result<(), Error> {
        self.steps_of(plan, before, &again.run, from, 0).await
    }

    async fn steps_of(
        &mut self,
        plan: &Plan,
        before: Option<&Plan>,
        run: &Run,
        from: &RedoFrom,
        depth: usize,
    ) -> Result<(), Error> {
        let store = self.realm.runs();
        let ended = store.children(&run.key, run.attempt).await?;
        let forgiven = self.dispatcher.forgiven(&ended).await?;
        let redo = redone(plan, before, &ended, &forgiven, from);
        let jobs = self.jobs(plan, &redo).await?;
        for (planned, redo) in plan.steps.iter().zip(redo) {
            let (action, of) = match &redo {
                StepRedo::Kept(key) => (RetryAction::Kept, Some(key.clone())),
                _ if jobs.get(&planned.job_id).is_some_and(|job| is_off(job)) => (RetryAction::Skipped, None),
                StepRedo::Again(Some((key, _))) => (RetryAction::Again, Some(key.clone())),
                StepRedo::Again(None) => (RetryAction::New, None),
            };
            if let (Some(of), Some(job)) = (&of, jobs.get(&planned.job_id)) {
                self.compare(of, job, action).await?;
            }
            if self.steps.len() >= MAX_SHOWN {
                self.more += 1;
            } else {
                let (job_id, item) = (planned.job_id.clone(), planned.foreach_index);
                self.steps.push(RetryStep { depth, job_id, item, action, of });
            }
            if let (RetryAction::Again, StepRedo::Again(Some((key, from)))) = (action, redo)
                && let Some((below, spec)) = whole_with_spec(store, &key).await?
                && let Some(plan) = self.dispatcher.plan_of(&below, &spec)
            {
                Box::pin(self.steps_of(&plan, Some(&plan), &below, &from, depth + 1)).await?;
            }
        }
        Ok(())
    }

    /// Compares the spec that a step had with that of now, once for each job.
    async fn compare(&mut self, step: &RunKey, job: &JobSpec, action: RetryAction) -> Result<(), Error> {
        let id = &job.fields.job_id;
        if self.spec != SpecOf::Latest
            || self.compared.len() >= MAX_COMPARED
            || !self.compared.insert(id.clone())
        {
            return Ok(());
        }
        let Some((_, was)) = whole_with_spec(self.realm.runs(), step).await? else { return Ok(()) };
        let found = changes_of_step(&was, &job.document);
        if found.is_empty() {
            return Ok(());
        }
        match action {
            RetryAction::Kept => self.outdated.push(id.clone()),
            RetryAction::Again | RetryAction::New => {
                let places = found.into_iter();
                self.differs
                    .extend(places.map(|one| FieldChange { field: format!("{id}: {}", one.field), ..one }));
            }
            RetryAction::Skipped => {}
        }
        Ok(())
    }

    /// The jobs of steps as they are now; those of steps that are run and are not there are remembered.
    async fn jobs(&mut self, plan: &Plan, redo: &[StepRedo]) -> Result<BTreeMap<JobId, Arc<JobSpec>>, Error> {
        let is_run = |redo: &StepRedo| match redo {
            StepRedo::Kept(_) => false,
            // It has its spec.
            StepRedo::Again(of) => self.spec == SpecOf::Latest || of.is_none(),
        };
        let mut run: BTreeMap<JobId, bool> = BTreeMap::new();
        for (step, redo) in plan.steps.iter().zip(redo) {
            *run.entry(step.job_id.clone()).or_default() |= is_run(redo);
        }
        let (ids, run): (Vec<JobId>, Vec<bool>) = run.into_iter().unzip();
        let found = self.realm.jobs().jobs(&ids).await?;
        let mut jobs = BTreeMap::new();
        for ((id, is_run), job) in ids.into_iter().zip(run).zip(found) {
            match job {
                None if is_run => {
                    self.missing.insert(id);
                }
                Some(Ok(job)) => {
                    jobs.insert(id, job);
                }
                // A step that is kept needs no job; one whose spec is invalid says so when it is run.
                None | Some(Err(_)) => {}
            }
        }
        Ok(jobs)
    }

    /// Refuses a run of which a step cannot be run.
    async fn refuse_missing(&self) -> Result<(), Error> {
        let Some(first) = self.missing.first() else { return Ok(()) };
        let why: Error = no_such_job(self.realm.jobs(), first).await?.into();
        let kind = why.kind();
        Err(Error::new(kind, format!("a step that is to run is gone: {}", why.message())))
    }
}

/// Whether a job never runs.
fn is_off(job: &JobSpec) -> bool {
    job.fields.enabled == pumice_core::spec::Enabled::Static(false)
}

/// Refuses to keep a step when what it printed is gone.
async fn refuse_gone(realm: &dyn Realm, run: &Run, steps: &[RetryStep]) -> Result<(), Error> {
    let kept: BTreeSet<&RunKey> = steps
        .iter()
        .filter(|step| step.action == RetryAction::Kept)
        .filter_map(|step| step.of.as_ref())
        .collect();
    let store: &dyn RunStore = realm.runs();
    for key in kept {
        let Some(ended) = store.load(key).await? else {
            return Err(Error::not_found(format!(
                "step {key}, which is to be kept, is gone: do all of run {} again",
                run.key
            )));
        };
        for printed in of_last_attempt(realm.outputs(), &ended) {
            if realm.outputs().read(&printed.location, 0, 0).await?.is_none() {
                return Err(Error::not_found(format!(
                    "what step {} ({key}) printed is gone from {}: run it again too, from it or all",
                    shown(ended.job_id.as_str()),
                    printed.location
                )));
            }
        }
    }
    Ok(())
}

/// The step of a run's last attempts that a text names: the key of its record or what stands in it after the run's id, or the
/// id of its job.
async fn find_step(realm: &dyn Realm, run: &RunKey, text: &str) -> Result<RunKey, Error> {
    let tree = trees(realm.runs(), std::slice::from_ref(run)).await?;
    let Some(root) = tree.first() else { return Err(Error::not_found(format!("no such run {run}"))) };
    let by_key: BTreeMap<&RunKey, &Run> = tree.iter().map(|run| (&run.key, run)).collect();
    let is_last = |step: &&Run| {
        let attempt = super::attempt_above(&step.key);
        let above = step.key.parent().and_then(|parent| by_key.get(&parent).copied());
        above.is_some_and(|above| Some(above.attempt) == attempt)
    };
    let steps: Vec<&Run> =
        tree.iter().filter(|step| step.is_child() && step.run_id == root.run_id).filter(is_last).collect();
    let path = format!("{run}/{}", text.trim_start_matches('/'));
    if let Some(step) = steps.iter().find(|step| step.key.as_str() == text || step.key.as_str() == path) {
        return Ok(step.key.clone());
    }
    let (job, item) = match text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        Some((job, item)) => (job, item.parse::<u32>().ok()),
        None => (text, None),
    };
    let is_named = |step: &&&Run| {
        step.job_id.as_str() == text
            || (item.is_some() && step.job_id.as_str() == job && step.foreach_index == item)
    };
    let named: Vec<&Run> = steps.iter().filter(is_named).copied().collect();
    match named.as_slice() {
        [step] => Ok(step.key.clone()),
        [] => {
            let known: BTreeSet<&str> = steps.iter().map(|step| step.job_id.as_str()).collect();
            let hint = pumice_core::problem::did_you_mean(text, known);
            let hint = hint.unwrap_or_else(|| {
                "`runs show` lists its steps; one that did not begin runs anyway".to_owned()
            });
            Err(Error::not_found(format!("run {run} ran no step {}: {hint}", quoted(text))))
        }
        several => {
            let keys: Vec<String> = several
                .iter()
                .take(FEW)
                .map(|step| step.key.as_str()[run.as_str().len()..].to_owned())
                .collect();
            let more = if several.len() > FEW { ", …" } else { "" };
            Err(Error::invalid(format!(
                "{} steps of run {run} are of job {}: name one as {}{more}",
                several.len(),
                quoted(text),
                keys.join(", ")
            )))
        }
    }
}
