//! Changes since a job's last run that ended well: for runs that failed.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::audit::{ActOutcome, AuditId, Origin};
use pumice_core::glob::literal;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{AuditQuery, RunQuery};
use pumice_core::run::{Run, Status, Trigger};
use pumice_core::spec::RunSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::changes::{Changes, changes, changes_of_step};
use super::whole::whole_with_spec;
use crate::failure::Error;
use crate::operations::{Access, operations};
use crate::realm::Realm;
use crate::specs::FieldChange;
use crate::time::Instant;

/// Most records that are looked at for the success.
const MAX_BEFORE: usize = 1_000;
/// Most entries of the audit that are searched for the last change of a spec, the newest first.
const MAX_ENTRIES: usize = 1_000;
/// How many of them are read at once.
const PAGE: usize = 200;
/// Most steps that failed whose specs are compared.
const MAX_STEPS: usize = 10;
/// How long before it made a run its act may have begun, for the run to be looked for in it.
const ACT: TimeDelta = TimeDelta::minutes(1);
/// How much later than it says an entry may have been written: clocks of hosts differ.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// Changes since the last run of the job that ended well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SinceSuccess {
    /// That run.
    pub success: RunKey,
    /// Places of the spec, and of those of the steps that failed: these begin with the job of the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spec: Vec<FieldChange>,
    /// Places of the parameters and globals that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<FieldChange>,
    /// The last change of the spec before the run, where the audit knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ActBy>,
}

/// The actor of an act, as the audit has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActBy {
    /// The actor's name.
    pub who: String,
    /// By which way.
    pub from: Origin,
    /// The words of the command.
    pub act: String,
    /// When.
    pub at: Instant,
    /// The id of the entry.
    pub entry: String,
}

impl From<pumice_core::audit::AuditEntry> for ActBy {
    fn from(entry: pumice_core::audit::AuditEntry) -> Self {
        let (who, from, act) = (entry.who, entry.from, entry.act);
        Self { who, from, act, at: Instant(entry.at), entry: entry.id.to_string() }
    }
}

/// The last run of a job that was dispatched before a time and ended well, where there is one near by.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub(super) async fn last_success(
    realm: &dyn Realm,
    job: &JobId,
    before: Timestamp,
) -> Result<Option<Run>, Error> {
    let query = RunQuery {
        job: Some(literal(job.as_str())),
        statuses: vec![Status::Complete],
        until: Some(before),
        limit: 1,
        look_limit: Some(MAX_BEFORE),
        without_alerts: true,
        ..RunQuery::default()
    };
    Ok(realm.runs().list(&query).await?.into_iter().next())
}

/// Changes since the last run that ended well of the job of a run that failed. `None` for all other runs, steps and alerts, and
/// where there is no such run or nothing is another.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub(super) async fn since_success(realm: &dyn Realm, run: &Run) -> Result<Option<SinceSuccess>, Error> {
    let is_failed = matches!(run.status, Status::Failed | Status::Rejected);
    if !is_failed || run.is_child() || run.late.is_some() {
        return Ok(None);
    }
    let Some(success) = last_success(realm, &run.job_id, run.ts_dispatch).await? else { return Ok(None) };
    let Some(Differences { changes, jobs }) = differences(realm, &run.key, &success.key).await? else {
        return Ok(None);
    };
    if changes.spec.is_empty() && changes.input.is_empty() {
        return Ok(None);
    }
    let changed = match jobs.is_empty() {
        true => None,
        false => changer(realm, &jobs, success.ts_dispatch, run.ts_dispatch).await,
    };
    Ok(Some(SinceSuccess { success: success.key, spec: changes.spec, input: changes.input, changed }))
}

/// In what two runs of a job differ, and the jobs whose specs do.
#[derive(Default)]
pub(super) struct Differences {
    pub(super) changes: Changes,
    pub(super) jobs: BTreeSet<JobId>,
}

/// Compares a run that failed with one of its job that ended well: their specs, their input, and the specs of the steps that
/// failed, whose places begin with the job of the step. `None` when one of them is gone.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub(super) async fn differences(
    realm: &dyn Realm,
    failed: &RunKey,
    success: &RunKey,
) -> Result<Option<Differences>, Error> {
    let failed = whole_with_spec(realm.runs(), failed).await?;
    let success = whole_with_spec(realm.runs(), success).await?;
    let (Some((failed, is)), Some((success, was))) = (failed, success) else { return Ok(None) };
    let mut found = Differences { changes: changes((&was).into(), (&is).into()), jobs: BTreeSet::new() };
    if !found.changes.spec.is_empty() {
        found.jobs.insert(failed.job_id.clone());
    }
    let mut open = vec![(failed, success)];
    let (mut seen, mut left) = (BTreeSet::new(), MAX_STEPS);
    while let Some((failed, success)) = open.pop() {
        for (step, is) in failed_steps(realm, &failed, &mut left).await? {
            let Some((before, was)) = counterpart(realm, &step, &success).await? else { continue };
            if seen.insert(step.job_id.clone()) {
                let differ = changes_of_step(&was, &is.job);
                if !differ.is_empty() {
                    found.jobs.insert(step.job_id.clone());
                }
                let job = &step.job_id;
                found.changes.spec.extend(
                    differ
                        .into_iter()
                        .map(|change| FieldChange { field: format!("{job}: {}", change.field), ..change }),
                );
            }
            open.push((step, before));
        }
    }
    Ok(Some(found))
}

/// The steps of a run's last attempt that failed, `left` at most.
async fn failed_steps(realm: &dyn Realm, run: &Run, left: &mut usize) -> Result<Vec<(Run, RunSpec)>, Error> {
    if *left == 0 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for step in realm.runs().children(&run.key, run.attempt).await? {
        if *left > 0 && matches!(step.status, Status::Failed | Status::Rejected) {
            *left -= 1;
            found.extend(whole_with_spec(realm.runs(), &step.key).await?);
        }
    }
    Ok(found)
}

/// The step of another run that is of the same job, in the same place where one there is.
async fn counterpart(realm: &dyn Realm, step: &Run, other: &Run) -> Result<Option<(Run, RunSpec)>, Error> {
    let is_same = |found: &Run| found.job_id == step.job_id && found.foreach_index == step.foreach_index;
    let place = other.key.child(other.attempt, step.key.step().unwrap_or_default());
    if let Some((found, spec)) = whole_with_spec(realm.runs(), &place).await?
        && is_same(&found)
    {
        return Ok(Some((found, spec)));
    }
    let steps = realm.runs().children(&other.key, other.attempt).await?;
    let Some(found) = steps.iter().find(|found| is_same(found)).or_else(|| {
        // An item that was not there then is of the same job.
        steps.iter().find(|found| found.job_id == step.job_id)
    }) else {
        return Ok(None);
    };
    whole_with_spec(realm.runs(), &found.key).await
}

/// The last change of one of these jobs between two times. Without the right to read the audit it is left out.
async fn changer(
    realm: &dyn Realm,
    jobs: &BTreeSet<JobId>,
    after: Timestamp,
    until: Timestamp,
) -> Option<ActBy> {
    let is_of_it = |entry: &pumice_core::audit::AuditEntry| {
        let is_job = |change: &pumice_core::audit::DocumentChange| {
            change.of.kind == "job" && jobs.iter().any(|job| job.as_str() == change.of.name)
        };
        entry.outcome == ActOutcome::Done && entry.changes.iter().any(is_job)
    };
    entry_between(realm, after, until, is_of_it).await
}

/// The newest entry of the audit between two times that is as asked; `None` also where it cannot be read.
pub(super) async fn entry_between(
    realm: &dyn Realm,
    after: Timestamp,
    until: Timestamp,
    is_it: impl Fn(&pumice_core::audit::AuditEntry) -> bool,
) -> Option<ActBy> {
    let (first, mut last) = (AuditId::first_at(after - SKEW), AuditId::first_at(until + SKEW));
    let mut looked_at = 0;
    while looked_at < MAX_ENTRIES {
        let page = realm.audit().entries(&AuditQuery { first, last, limit: PAGE }).await.ok()?;
        let (count, oldest) = (page.len(), page.last().map(|entry| entry.id));
        if let Some(entry) = page.into_iter().find(|entry| entry.at <= until && is_it(entry)) {
            return Some(entry.into());
        }
        looked_at += count;
        match oldest {
            Some(oldest) if count == PAGE => last = oldest.before(),
            _ => return None,
        }
    }
    None
}

/// The act that asked for a run, where a person or a program did and the audit knows it.
pub(super) async fn asked_by(realm: &dyn Realm, run: &Run) -> Option<ActBy> {
    let is_asked_for = match run.trigger() {
        // A slot may have been started by `schedules run`.
        Trigger::Caller | Trigger::Replay { .. } | Trigger::Schedule { .. } => true,
        Trigger::Run { .. } | Trigger::Event { .. } | Trigger::Object { .. } | Trigger::Http { .. } => false,
    };
    if !is_asked_for || run.is_child() || run.late.is_some() {
        return None;
    }
    let id = Value::from(run.run_id.to_string()).to_string();
    let starts: Vec<&str> = operations()
        .iter()
        .filter(|operation| operation.access == Access::Start)
        .map(|operation| operation.command)
        .collect();
    let has_it = |entry: &pumice_core::audit::AuditEntry| {
        starts.contains(&&*entry.act) && entry.answer.to_string().contains(&id)
    };
    entry_between(realm, run.ts_dispatch - ACT, run.ts_dispatch, has_it).await
}
