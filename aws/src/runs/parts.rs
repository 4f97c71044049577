//! Parts of a job's runs in the index `job`, and of what a run dispatches in `origin`.
//!
//! One key of an index takes 1,000 writes a second (DynamoDB, Partitions and throughput). Most jobs never come near that, and
//! their runs stand under one key, the job's id. Runs that are made many at once, or faster than the key takes, stand under
//! further keys: its parts. A record has its key from when it is made, and keeps it.
//!
//! Readers must know of parts before there is anything in them. An item of the table names the jobs that have some, and a
//! record says so of what its run dispatched. Both are written first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use chrono::Utc;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::StoreError;
use pumice_core::run::{NewRun, Run};
use pumice_core::spec::Overlap;

use super::record::{JOB, ORIGIN, ORIGIN_PARTS, item_key, part_key, run_key};
use crate::attribute::{Item, json, text, whole};
use crate::failure::store_error;
use crate::store::Store;

/// How many parts a job has, or a run that dispatches others, besides the key that all have.
const PARTS: u8 = 8;
/// The item that names the jobs with parts, and its attributes: since when parts are used, and the jobs.
const MARK: (&str, &str) = ("index#job", "parts");
const SINCE: &str = "at";
const JOBS: &str = "jobs";
/// How long after parts were wanted first they are used: workers and consoles of the version before, which cannot read
/// records in parts, are renewed by then, also those that a deployment shifts to step by step, one stack after the other.
const DEPLOYING: Duration = Duration::from_secs(24 * 3_600);

/// Whose runs are made in parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    jobs: BTreeSet<JobId>,
    origins: BTreeSet<RunKey>,
}

impl Spread {
    /// Puts a new record where it belongs in the indexes.
    pub(super) fn place(&self, run: &Run, record: &mut Item) {
        let part = part_of(&run.key);
        if self.jobs.contains(&run.job_id) && may_spread(run) {
            record.insert(JOB.to_owned(), text(part_key(run.job_id.as_str(), part)));
        }
        if let Some(origin) = run.dispatched_by.as_ref().filter(|origin| self.origins.contains(*origin)) {
            record.insert(ORIGIN.to_owned(), text(part_key(origin.as_str(), part)));
        }
    }

    /// Whether the runs of a job are made in parts.
    pub(super) fn has(&self, job_id: &JobId) -> bool {
        self.jobs.contains(job_id)
    }
}

/// Whether a run may stand in a part of its job's runs. One of a job that runs one at a time may not: these are few a second, and a
/// worker of an earlier version would take another lock for each part.
fn may_spread(run: &Run) -> bool {
    run.overlap == Overlap::Allow
}

/// The part in which a run is: consecutive steps of a run in consecutive parts, others by the random end of
/// their ids.
fn part_of(key: &RunKey) -> u8 {
    let last = || key.run_id().map_or(0, |run_id| run_id.0.as_bytes()[15]);
    let step = key.step().and_then(|step| u8::try_from(step % u32::from(PARTS)).ok());
    step.unwrap_or_else(last) % PARTS
}

/// The key that all have, and those of the parts.
fn keys(key: &str, has_parts: bool) -> impl Iterator<Item = String> {
    let parts = (0..PARTS).filter(move |_| has_parts).map(|part| part_key(key, part));
    std::iter::once(key.to_owned()).chain(parts).collect::<Vec<_>>().into_iter()
}

/// The keys of the index `origin` under which stands what a run dispatched, whose record is this.
pub(super) fn origin_keys(key: &RunKey, record: &Item) -> Vec<String> {
    keys(key.as_str(), record.contains_key(ORIGIN_PARTS)).collect()
}

/// Those of these that come so often.
fn many<'a, T: Ord + 'a>(least: usize, all: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut counts: BTreeMap<&T, usize> = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count >= least).map(|(one, _)| one).collect()
}

impl Store {
    /// Whose runs of a batch are made in parts, which are open by then. For a batch of few runs of each job nothing is asked.
    pub(super) async fn spread(&self, runs: &[&NewRun]) -> Spread {
        let free = runs.iter().map(|new| &new.run).filter(|run| may_spread(run));
        let jobs = many(self.many, free.map(|run| &run.job_id));
        let origins = many(self.many, runs.iter().filter_map(|new| new.run.dispatched_by.as_ref()));
        let mut spread = Spread::default();
        if !jobs.is_empty() || !origins.is_empty() {
            spread = self.open(&jobs).await;
        }
        for origin in origins.into_iter().filter(|_| self.parts().is_some()) {
            if self.open_origin(origin).await {
                spread.origins.insert(origin.clone());
            }
        }
        let known = self.parts().unwrap_or_default();
        let known = runs.iter().map(|new| &new.run.job_id).filter(|id| known.contains(id.as_str()));
        spread.jobs.extend(known.cloned());
        spread
    }

    /// Has parts of these jobs looked at by readers. Where that is not recorded the runs stand under the key that all have,
    /// as before: then they are written more slowly.
    pub(super) async fn open(&self, jobs: &[&JobId]) -> Spread {
        let all = || jobs.iter().copied().cloned().collect();
        if self.parts().is_some_and(|known| jobs.iter().all(|id| known.contains(id.as_str()))) {
            return Spread { jobs: all(), ..Spread::default() };
        }
        let now = Utc::now().timestamp_micros();
        let soon = (Utc::now() + DEPLOYING).timestamp_micros();
        let table = self.names.runs();
        let mut update = "SET #since = if_not_exists(#since, :soon)".to_owned();
        let mut request = self.client.update_item().table_name(&table);
        if !jobs.is_empty() {
            update.push_str(" ADD #jobs :jobs");
            let ids = jobs.iter().map(|id| id.as_str().to_owned()).collect();
            request = request
                .expression_attribute_names("#jobs", JOBS)
                .expression_attribute_values(":jobs", AttributeValue::Ss(ids));
        }
        let request = request
            .set_key(Some(item_key(MARK.0, MARK.1)))
            .update_expression(update)
            .expression_attribute_names("#since", SINCE)
            .expression_attribute_values(":soon", whole(soon))
            .return_values(ReturnValue::AllNew);
        let mark = match request.send().await {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) => {
                let error = store_error(&format!("writing to table {table} which jobs have parts"), &error);
                tracing::warn!(%error, "many runs of a job are written under one key of index job, which is slower");
                return Spread::default();
            }
        };
        if mark.get(SINCE).and_then(|at| json(at.clone()).as_i64()).is_none_or(|since| since > now) {
            return Spread::default();
        }
        self.remember_parts(jobs_of(&mark));
        Spread { jobs: all(), ..Spread::default() }
    }

    /// Marks a run so that readers look at the parts of its children, too; returns whether the mark
    /// was written.
    async fn open_origin(&self, origin: &RunKey) -> bool {
        let table = self.names.runs();
        let request = self
            .client
            .update_item()
            .table_name(&table)
            .set_key(Some(run_key(origin)))
            .update_expression("SET #parts = :yes")
            .condition_expression("attribute_exists(run_id)")
            .expression_attribute_names("#parts", ORIGIN_PARTS)
            .expression_attribute_values(":yes", AttributeValue::Bool(true));
        match request.send().await {
            Ok(_) => true,
            Err(error) => {
                let error = store_error(&format!("writing run {origin} to table {table}"), &error);
                tracing::debug!(%error, "a run's children are written under one key of index origin");
                false
            }
        }
    }

    /// The keys of the index `job` under which the runs of these jobs stand.
    pub(super) async fn job_keys(&self, jobs: &[JobId]) -> Result<Vec<String>, StoreError> {
        let parted =
            self.item(item_key(MARK.0, MARK.1)).await?.map(|mark| jobs_of(&mark)).unwrap_or_default();
        Ok(jobs.iter().flat_map(|id| keys(id.as_str(), parted.contains(id.as_str()))).collect())
    }
}

fn jobs_of(mark: &Item) -> BTreeSet<String> {
    match mark.get(JOBS) {
        Some(AttributeValue::Ss(jobs)) => jobs.iter().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether a record was not made because others are written under the same key of the index `job` faster than it takes
/// (DynamoDB, Diagnosing throttling).
pub(super) fn is_hot(error: &PutItemError) -> bool {
    let reasons = match error {
        PutItemError::ProvisionedThroughputExceededException(error) => error.throttling_reasons(),
        PutItemError::ThrottlingException(error) => error.throttling_reasons(),
        _ => &[],
    };
    reasons.iter().any(|reason| {
        reason.reason() == Some("IndexWriteKeyRangeThroughputExceeded")
            && reason.resource().is_some_and(|resource| resource.ends_with("/index/job"))
    })
}
