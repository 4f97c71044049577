//! Runs that failed within a window, by cause: what their reasons have in common, whatever run or number they name.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::duration::Span;
use pumice_core::engine::has_replay;
use pumice_core::filter::{Filter, FilterTime, Wanted};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Order, RunPage, RunQuery};
use pumice_core::run::{Fingerprint, Run, Status, normalised_of};
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::changes::changes;
use super::since::last_success;
use super::whole::whole_with_spec;
use super::{ManyRuns, RetryMany, asked};
use crate::failure::Error;
use crate::realm::Realm;
use crate::specs::FieldChange;
use crate::time::Instant;

/// Most failed runs that are put into groups, the newest.
const MAX_FAILURES: usize = 10_000;
/// Most records that are looked at to find them.
const MAX_LOOKED: usize = 100_000;
/// How many are read at once.
const PAGE: usize = 500;
/// How many runs are looked up at once.
const AT_ONCE: usize = 32;
/// The window of a request that names none.
const WINDOW: Span = Span::from_days(1);
/// How many groups are shown unless the request says so.
const USUAL_GROUPS: usize = 20;
/// Most jobs of a group that are named.
const MAX_JOBS: usize = 5;
/// Most groups whose example is compared with the last success of its job: each costs three reads.
const MAX_COMPARED: usize = 20;
/// The statuses of runs that failed. Cancelled runs were meant to end.
const FAILED: [Status; 2] = [Status::Failed, Status::Rejected];

/// Which failures to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFailures {
    /// Only runs that these terms mean, as `job:etl/* since:2d`. Without a `since` those of the last day.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// At most so many groups.
    #[serde(default = "usual_groups")]
    pub limit: usize,
}

impl Default for ListFailures {
    fn default() -> Self {
        Self { filter: None, zone: None, limit: USUAL_GROUPS }
    }
}

const fn usual_groups() -> usize {
    USUAL_GROUPS
}

/// Failures by cause: those with the most runs first that have not been done again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureList {
    /// The terms, the window among them.
    #[serde(rename = "where")]
    pub filter: String,
    /// How many runs failed, of those that were looked at.
    pub runs: u64,
    /// How many of them have not been done again.
    pub open: u64,
    /// Whether so many failed that older ones were not looked at.
    pub is_cut: bool,
    /// The groups.
    pub groups: Vec<FailureGroup>,
    /// How many more there are.
    pub more_groups: usize,
    /// Parts that the store lacked, such as an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Runs that failed for one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureGroup {
    /// The name of the cause: the term `fingerprint:` takes it.
    pub fingerprint: String,
    /// The reason without what differs from run to run, and without the way to the step that failed.
    pub reason: String,
    /// How many runs.
    pub count: u64,
    /// How many of them have not been done again.
    pub open: u64,
    /// Their jobs, the one with the most of them first.
    pub jobs: Vec<FailedJob>,
    /// How many more jobs there are.
    pub more_jobs: usize,
    /// When the first of them was dispatched.
    pub first: Instant,
    /// When the last of them was dispatched.
    pub last: Instant,
    /// The last of them.
    pub example: RunKey,
    /// Its job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub example_job: JobId,
    /// Its reason, whole.
    pub example_reason: Option<String>,
    /// The last run of its job before it that ended well, where there is one near by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<RunKey>,
    /// Places of the spec that are not as they were in that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spec: Vec<FieldChange>,
    /// Places of the parameters and globals that were asked for, and are not as they were in that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<FieldChange>,
}

/// A job of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedJob {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// How many of the runs are of it.
    pub count: u64,
}

/// The terms of a request, with the window and the statuses where it names none.
fn windowed(text: Option<&str>) -> Result<Filter, Error> {
    let mut filter = asked::parsed(text)?;
    let has = |filter: &Filter, is: fn(&Wanted) -> bool| filter.terms().iter().any(|term| is(&term.wanted));
    if !has(&filter, |wanted| matches!(wanted, Wanted::Status(_))) {
        filter = filter.and(Wanted::Status(FAILED.to_vec()));
    }
    if !has(&filter, |wanted| matches!(wanted, Wanted::Since(_))) {
        filter = filter.and(Wanted::Since(FilterTime::Ago(WINDOW)));
    }
    Ok(filter)
}

/// Lists failures by cause.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn failures(realm: &dyn Realm, request: &ListFailures) -> Result<FailureList, Error> {
    let filter = windowed(request.filter.as_deref())?;
    let words = filter.to_string();
    let query = asked::query(realm, filter, request.zone, false).await?;
    let query = RunQuery { limit: PAGE, look_limit: Some(MAX_LOOKED), without_alerts: true, ..query };
    let mut found = Found::default();
    found.read(realm, query).await?;
    let Found { groups, runs, open, is_cut, note } = found;
    let mut groups: Vec<(String, Group)> = groups.into_iter().collect();
    groups.sort_by(|(_, one), (_, other)| {
        let rank = |group: &Group| (group.open, group.count, group.last.ts_dispatch);
        rank(other).cmp(&rank(one))
    });
    let more_groups = groups.len().saturating_sub(request.limit);
    groups.truncate(request.limit);
    let mut shown = Vec::with_capacity(groups.len());
    for (index, (reason, group)) in groups.into_iter().enumerate() {
        let mut group = group.shown(reason);
        if index < MAX_COMPARED {
            compare(realm, &mut group).await?;
        }
        shown.push(group);
    }
    Ok(FailureList { filter: words, runs, open, is_cut, groups: shown, more_groups, note })
}

/// The request to do all runs again that failed for a cause within the window of a request: [`retry_many`](super::retry_many)
/// takes it.
///
/// # Errors
/// [`Error`] when the terms are invalid.
pub fn of_cause(fingerprint: &Fingerprint, request: &RetryMany) -> Result<RetryMany, Error> {
    let filter = windowed(Some(&request.runs.filter))?.and(Wanted::Fingerprint(vec![fingerprint.clone()]));
    let runs = ManyRuns { filter: filter.to_string(), ..request.runs.clone() };
    Ok(RetryMany { runs, ..request.clone() })
}

/// The failures that were found, by their normalised reasons.
#[derive(Default)]
struct Found {
    groups: HashMap<String, Group>,
    runs: u64,
    open: u64,
    is_cut: bool,
    note: Option<String>,
}

/// Runs with one normalised reason.
struct Group {
    count: u64,
    open: u64,
    jobs: BTreeMap<JobId, u64>,
    first: Instant,
    last: Box<Run>,
}

impl Found {
    /// Reads what a query asks for, the newest first, up to [`MAX_FAILURES`].
    async fn read(&mut self, realm: &dyn Realm, mut query: RunQuery) -> Result<(), Error> {
        let (mut left, mut looked) = (MAX_FAILURES, 0);
        query.order = Order::Newest;
        loop {
            query.limit = PAGE.min(left);
            query.look_limit = Some(MAX_LOOKED.saturating_sub(looked).max(1));
            let RunPage { runs, next, looked_at, is_cut, note } = realm.runs().page(&query).await?;
            self.note = self.note.take().or(note);
            left = left.saturating_sub(runs.len());
            looked += looked_at;
            let open = open(realm, &runs).await?;
            runs.into_iter().zip(open).for_each(|(run, is_open)| self.take(run, is_open));
            self.is_cut = is_cut || (next.is_some() && (left == 0 || looked >= MAX_LOOKED));
            match next {
                Some(next) if !self.is_cut => query.cursor = Some(next),
                _ => return Ok(()),
            }
        }
    }

    fn take(&mut self, run: Run, is_open: bool) {
        self.runs += 1;
        self.open += u64::from(is_open);
        let at = Instant(run.ts_dispatch);
        let group = self.groups.entry(normalised_of(&run)).or_insert_with(|| Group {
            count: 0,
            open: 0,
            jobs: BTreeMap::new(),
            first: at,
            last: Box::new(run.clone()),
        });
        group.count += 1;
        group.open += u64::from(is_open);
        group.first = group.first.min(at);
        // A list is in the order of the store, which is nearly that of the times.
        if run.ts_dispatch > group.last.ts_dispatch {
            *group.last = run.clone();
        }
        *group.jobs.entry(run.job_id).or_default() += 1;
    }
}

impl Group {
    fn shown(self, reason: String) -> FailureGroup {
        let mut jobs: Vec<FailedJob> =
            self.jobs.into_iter().map(|(job_id, count)| FailedJob { job_id, count }).collect();
        jobs.sort_by(|one, other| (other.count, &one.job_id).cmp(&(one.count, &other.job_id)));
        let more_jobs = jobs.len().saturating_sub(MAX_JOBS);
        jobs.truncate(MAX_JOBS);
        FailureGroup {
            fingerprint: Fingerprint::of_normalised(&reason).to_string(),
            reason,
            count: self.count,
            open: self.open,
            jobs,
            more_jobs,
            first: self.first,
            last: Instant(self.last.ts_dispatch),
            example: self.last.key,
            example_job: self.last.job_id,
            example_reason: self.last.reason,
            success: None,
            spec: Vec::new(),
            input: Vec::new(),
        }
    }
}

/// Of each of these runs, whether it has not been done again.
async fn open(realm: &dyn Realm, runs: &[Run]) -> Result<Vec<bool>, Error> {
    let site = realm.site().await?;
    let looks: Vec<_> = runs.iter().map(|run| has_replay(realm.runs(), &site.realm, run)).collect();
    let done: Vec<bool> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    Ok(done.into_iter().map(|is_done| !is_done).collect())
}

/// Compares the example of a group with the last run of its job before it that ended well.
async fn compare(realm: &dyn Realm, group: &mut FailureGroup) -> Result<(), Error> {
    let Some(success) = last_success(realm, &group.example_job, group.last.0).await? else { return Ok(()) };
    let failed = whole_with_spec(realm.runs(), &group.example).await?;
    let before = whole_with_spec(realm.runs(), &success.key).await?;
    if let (Some((_, failed)), Some((_, before))) = (failed, before) {
        let found = changes((&before).into(), (&failed).into());
        (group.spec, group.input) = (found.spec, found.input);
        group.success = Some(success.key);
    }
    Ok(())
}
