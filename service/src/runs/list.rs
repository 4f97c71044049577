//! Lists of runs, and one run with everything that it started.

use std::collections::HashMap;

use pumice_core::duration::Span;
use pumice_core::filter::{Filter, FilterTime, Wanted};
use pumice_core::ids::RunKey;
use pumice_core::ports::{Order, PageCursor, RunPage, RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked;
use super::find::id_length;
use super::labels::labels;
use super::since::{ActBy, asked_by};
use super::unstarted::{Unstarted, unstarted};
use super::whole::whole_with_spec;
use super::why::{RunWhy, why_of};
use super::{RunShown, Viewpoint, find, trees};
use crate::failure::Error;
use crate::realm::Realm;

/// Which runs to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRuns {
    /// Only runs that these terms mean, as `status:failed,rejected job:etl/* since:2d -worker:gpu`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// Only runs of this job: `*` any text, `?` one character.
    #[serde(default)]
    pub job: Option<String>,
    /// Only runs in these statuses; empty for any.
    #[serde(default)]
    pub statuses: Vec<Status>,
    /// Only runs dispatched within this time.
    #[serde(default)]
    pub since: Option<Span>,
    /// Only runs dispatched longer ago than this.
    #[serde(default)]
    pub until: Option<Span>,
    /// Only runs that the backfill with this id made.
    #[serde(default)]
    pub backfill: Option<String>,
    /// In which order.
    #[serde(default)]
    pub order: Order,
    /// Where an earlier list in this order ended, as it says with `next`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub cursor: Option<PageCursor>,
    /// At most so many, from 1 to 1,000; `runs export` gives more.
    #[serde(default = "usual_limit")]
    pub limit: usize,
    /// Children of chains and the like, too.
    #[serde(default)]
    pub children: bool,
    /// With payload, parameters and large results, which costs a read for each run.
    #[serde(default)]
    pub details: bool,
}

/// The limit of a list that names none.
pub const USUAL_LIMIT: usize = 50;

const fn usual_limit() -> usize {
    USUAL_LIMIT
}

/// Most runs of one list: they are held in memory, and a list goes on by its cursor.
const MAX_LIMIT: usize = 1_000;

/// Most records that one list looks at: a tenth of a second in a folder.
const MAX_LOOKED: usize = 100_000;

/// Runs, in the order that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunList {
    /// The runs.
    pub runs: Vec<RunShown>,
    /// The cursor with which the list goes on; null when it is complete.
    #[schemars(with = "Option<String>")]
    pub next: Option<PageCursor>,
    /// How many records were looked at.
    pub looked_at: usize,
    /// Whether the list ends because so many records were looked at: there may be more.
    pub is_cut: bool,
    /// Parts that the store lacked, such as an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How many there are in all, where that is known; only in a list without details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<usize>,
    /// How many characters of its id name each of them; only in a list without details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_length: Option<usize>,
}

/// Which run to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowRun {
    /// The run: its id or the beginning of it, `latest`, or `latest:JOB`.
    pub run: String,
    /// With payload, parameters and large results of every run of the tree.
    #[serde(default)]
    pub details: bool,
}

/// A run and everything that it started, each parent before what it started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunTree {
    /// The runs.
    pub runs: Vec<RunShown>,
    /// Steps that have no record yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unstarted: Vec<Unstarted>,
    /// Whether a process runs the realm's jobs, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<bool>,
    /// Why the first of the runs waits, or ended as it did; only where one run was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<RunWhy>,
    /// Whether all have ended, and nothing is left to do about them, such as starting what their ends start.
    #[serde(default)]
    pub is_done: bool,
    /// The act that asked for the first of the runs, where the audit knows; only where one run was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ActBy>,
}

/// Lists runs.
///
/// # Errors
/// [`Error`] when no run can match, the limit is too high, the cursor is of another order, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListRuns) -> Result<RunList, Error> {
    let (order, limit, details) = (request.order, request.limit, request.details);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(Error::invalid(format!("limit: {limit} is not from 1 to {MAX_LIMIT}")));
    }
    if let (Some(since), Some(until)) = (request.since, request.until)
        && until.delta() >= since.delta()
    {
        return Err(Error::invalid(format!(
            "until: {until} ago is not after {since} ago, where the list begins: no run can match"
        )));
    }
    if request.cursor.as_ref().is_some_and(|cursor| cursor.order != order) {
        let other = if order == Order::Oldest { "newest" } else { "oldest" };
        return Err(Error::invalid(format!(
            "cursor: it is of a list in the other order: ask for order {other}"
        )));
    }
    let asked = asked::query(realm, filter(request)?, request.zone, request.children).await?;
    let cursor = request.cursor.clone();
    let query = RunQuery { order, cursor, limit, look_limit: Some(MAX_LOOKED), ..asked };
    let RunPage { runs: found, next, looked_at, is_cut, note, .. } = realm.runs().page(&query).await?;
    let from = Viewpoint { now: realm.now(), served: realm.is_served() };
    let runs = shown(realm.runs(), &found, from, details).await?;
    let (mut all, mut length) = (None, None);
    if !details {
        let counted = realm.runs().count(&query).await?;
        // A list that is whole has them all.
        let is_whole = query.cursor.is_none() && next.is_none();
        let counted = counted.map(|all| usize::try_from(all).unwrap_or(usize::MAX).max(runs.len()));
        all = counted.or(is_whole.then_some(runs.len()));
        length = Some(id_length(realm.runs(), &found).await?);
    }
    Ok(RunList { runs, next, looked_at, is_cut, note, all, id_length: length })
}

/// The terms of a request, its short forms among them.
fn filter(request: &ListRuns) -> Result<Filter, Error> {
    let mut filter = asked::parsed(request.filter.as_deref())?;
    let short = [
        request.job.clone().map(|job| Wanted::Job(vec![job])),
        Some(request.statuses.clone()).filter(|all| !all.is_empty()).map(Wanted::Status),
        request.since.map(|since| Wanted::Since(FilterTime::Ago(since))),
        request.until.map(|until| Wanted::Until(FilterTime::Ago(until))),
        request.backfill.clone().map(|id| Wanted::Backfill(vec![id])),
    ];
    for wanted in short.into_iter().flatten() {
        filter = filter.and(wanted);
    }
    Ok(filter)
}

/// Shows a run and everything that it started.
///
/// # Errors
/// [`Error`] when there is no such run, or the store cannot be read.
pub async fn show(realm: &dyn Realm, request: &ShowRun) -> Result<RunTree, Error> {
    show_recorded(realm, request).await.map(|recorded| recorded.tree)
}

/// A run and everything that it started, with the records that say so: other looks at the same runs need not read them again.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedTree {
    /// The runs that are shown.
    pub tree: RunTree,
    /// The records, as the store lists them: each parent before what it started.
    pub records: Vec<Run>,
}

/// Shows a run as [`show`] does, with the records that were read.
///
/// # Errors
/// As [`show`].
pub async fn show_recorded(realm: &dyn Realm, request: &ShowRun) -> Result<RecordedTree, Error> {
    let key = find(realm, &request.run).await?;
    let found = trees(realm.runs(), std::slice::from_ref(&key)).await?;
    if found.is_empty() {
        return Err(Error::not_found(format!("no such run {key}")));
    }
    let from = Viewpoint { now: realm.now(), served: realm.is_served() };
    let mut tree = tree(realm.runs(), realm.registry(), &found, from, request.details).await?;
    tree.why = Some(why_of(realm, &found[0]).await?);
    tree.by = asked_by(realm, &found[0]).await;
    // A list leaves out what is large.
    if !request.details
        && let Some((whole, spec)) = whole_with_spec(realm.runs(), &key).await?
    {
        let label = tree.runs[0].label.take();
        tree.runs[0] = RunShown { label, ..RunShown::of(&whole, Some(&spec), from) };
    }
    Ok(RecordedTree { tree, records: found })
}

/// Runs as a tree. With `details` each is read whole, and steps without a record are left out.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn tree(
    store: &dyn RunStore,
    registry: &pumice_core::job_type::Registry,
    runs: &[Run],
    from: Viewpoint,
    details: bool,
) -> Result<RunTree, Error> {
    let unstarted = match details {
        true => Vec::new(),
        false => unstarted(store, registry, runs).await?,
    };
    let served = from.served.filter(|_| !details);
    let is_done = runs.iter().all(Run::is_done);
    let runs = shown(store, runs, from, details).await?;
    Ok(RunTree { runs, unstarted, served, why: None, by: None, is_done })
}

/// Runs as people and programs get them.
async fn shown(
    store: &dyn RunStore,
    runs: &[Run],
    from: Viewpoint,
    details: bool,
) -> Result<Vec<RunShown>, Error> {
    let mut shown = Vec::with_capacity(runs.len());
    if details {
        for run in runs {
            // A list leaves out what is large.
            let found = whole_with_spec(store, &run.key).await?;
            let (whole, spec) = found.map_or((None, None), |(whole, spec)| (Some(whole), Some(spec)));
            shown.push(RunShown::of(whole.as_ref().unwrap_or(run), spec.as_ref(), from));
        }
        return Ok(shown);
    }
    let mut labels: HashMap<RunKey, String> = labels(store, runs).await?;
    for run in runs {
        let label = labels.remove(&run.key);
        shown.push(RunShown { label, ..RunShown::of(run, None, from) });
    }
    Ok(shown)
}
