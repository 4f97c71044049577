//! From a filter as people write it to a query.

use std::cell::RefCell;
use std::collections::BTreeSet;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::engine::BackfillError;
use pumice_core::filter::{Filter, NoneMatch, Tag};
use pumice_core::ids::JobId;
use pumice_core::ports::{Doc, RunQuery};
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use serde_json::Value;

use crate::failure::Error;
use crate::realm::Realm;

/// How much earlier than its backfill began a run may seem to be dispatched: clocks of hosts differ.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Reads a filter; without one every run is meant.
///
/// # Errors
/// [`Error`] with a caret below the first mistake.
pub(crate) fn parsed(filter: Option<&str>) -> Result<Filter, Error> {
    match filter {
        None => Ok(Filter::default()),
        Some(text) => Filter::parse(text).map_err(|error| Error::invalid(format!("where: {error}"))),
    }
}

/// The query for the runs that a filter means. Times without a zone are in `zone`, else in the realm's.
///
/// # Errors
/// [`Error`] when terms contradict each other, a backfill does not exist, or the store cannot be read.
pub(crate) async fn query(
    realm: &dyn Realm,
    filter: Filter,
    zone: Option<Timezone>,
    children: bool,
) -> Result<RunQuery, Error> {
    query_at(realm, filter, zone, children, realm.now()).await
}

/// The same, with times of the filter that are relative seen from `now`.
///
/// # Errors
/// As [`query`].
pub(crate) async fn query_at(
    realm: &dyn Realm,
    filter: Filter,
    zone: Option<Timezone>,
    children: bool,
    now: Timestamp,
) -> Result<RunQuery, Error> {
    let (filter, _) = tags_replaced(realm, filter).await?;
    let zone = match zone {
        Some(zone) => zone.0,
        None if filter.asks_for_zone() => realm.site().await?.zone.tz(),
        None => chrono_tz::UTC,
    };
    let none = |error: NoneMatch| Error::invalid(format!("where: {error}"));
    let query = RunQuery::of(filter, now, zone).map_err(none)?;
    let query = RunQuery { children, ..query };
    match query.filter.backfills() {
        Some([id]) => of_backfill(realm, &id.clone(), query).await,
        _ => Ok(query),
    }
}

/// The filter with the jobs in place of the tags that their specs have now, and these jobs, a list for each term with tags.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub(crate) async fn tags_replaced(
    realm: &dyn Realm,
    filter: Filter,
) -> Result<(Filter, Vec<Vec<String>>), Error> {
    if !filter.asks_for_tags() {
        return Ok((filter, Vec::new()));
    }
    let jobs = realm.catalog().all_jobs().await?;
    let lists = RefCell::new(Vec::new());
    let filter = filter.with_tags(|tags: &[Tag]| -> BTreeSet<JobId> {
        let has = |doc: &Doc| {
            let own = doc.get("tags").and_then(Value::as_object);
            tags.iter().any(|tag| {
                let own = own.into_iter().flatten();
                tag.is_among(own.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))))
            })
        };
        let found: BTreeSet<JobId> =
            jobs.iter().filter(|(_, doc)| has(doc)).map(|(id, _)| id.clone()).collect();
        lists.borrow_mut().push(found.iter().map(|id| id.as_str().to_owned()).collect());
        found
    });
    Ok((filter, lists.into_inner()))
}

/// The filter with the jobs in place of tags that had them at an earlier time.
pub(crate) fn with_tagged(filter: Filter, tagged: &[Vec<String>]) -> Filter {
    let lists = RefCell::new(tagged.iter());
    filter.with_tags(|_: &[Tag]| {
        let list = lists.borrow_mut().next();
        list.into_iter().flatten().filter_map(|id| JobId::stored(id).ok()).collect()
    })
}

/// The same query for the runs of a backfill alone, made since it began. All but steps are runs of its job.
async fn of_backfill(realm: &dyn Realm, id: &str, query: RunQuery) -> Result<RunQuery, Error> {
    let backfill = realm.schedules().load_backfill(id).await?;
    let backfill = backfill.ok_or_else(|| BackfillError::Unknown(id.to_owned()))?;
    let job_id = backfill.job_id.as_str();
    if !query.children && !query.takes_job(job_id) {
        let jobs = query.jobs().unwrap_or_default().join(",");
        let (jobs, job_id) = (escaped(&jobs), escaped(job_id));
        return Err(Error::invalid(format!(
            "backfill {id} is of job {job_id}, which job:{jobs} does not match: no run can match"
        )));
    }
    let begun = backfill.begun - SKEW;
    let since = query.since.map_or(begun, |since| since.max(begun));
    let job = (!query.children).then(|| pumice_core::glob::literal(job_id));
    Ok(RunQuery { job, since: Some(since), ..query })
}
