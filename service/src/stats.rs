//! Figures by job: how runs ended, how long they took and waited, and how that compares with the window before.

use std::collections::BTreeMap;
use std::time::Duration;

use pumice_core::duration::Span;
use pumice_core::filter::{Filter, Wanted, When};
use pumice_core::ids::JobId;
use pumice_core::ports::{Order, RunPage, RunQuery};
use pumice_core::run::Figures;
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::realm::Realm;
use crate::runs::{parsed, query};
use crate::time::Instant;

/// Most records that are looked at for one window, the newest.
const MAX_LOOKED: usize = 50_000;
/// How many are read at once.
const PAGE: usize = 1_000;
/// The window of a request that names none.
const WINDOW: Span = Span::from_days(1);
/// How many jobs are shown unless the request says so.
const USUAL_JOBS: usize = 50;

/// What figures are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskStats {
    /// Only runs that these terms mean, as `job:etl/* since:7d`. Without a `since` those of the last day.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// At most so many jobs.
    #[serde(default = "usual_jobs")]
    pub limit: usize,
}

impl Default for AskStats {
    fn default() -> Self {
        Self { filter: None, zone: None, limit: USUAL_JOBS }
    }
}

const fn usual_jobs() -> usize {
    USUAL_JOBS
}

/// Figures by job: those with the most failures first, then those with the most runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// The terms, the window among them.
    #[serde(rename = "where")]
    pub filter: String,
    /// When the window begins.
    pub since: Instant,
    /// When it ends.
    pub until: Instant,
    /// From when on records were looked at: later than `since` where there are too many.
    pub looked_from: Instant,
    /// How many records were looked at.
    pub looked_at: usize,
    /// Whether so many are there that older ones of the window were left out.
    pub is_cut: bool,
    /// Whether that is so of the window before, which the trend compares with.
    pub before_is_cut: bool,
    /// Of all jobs together.
    pub all: JobFigures,
    /// By job.
    pub jobs: Vec<JobStats>,
    /// How many more jobs there are.
    pub more_jobs: usize,
    /// What the store had to do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The figures of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobStats {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// In the window.
    #[serde(flatten)]
    pub figures: JobFigures,
    /// In the window of the same length before it; null when there were no runs.
    pub before: Option<JobFigures>,
}

/// What runs come to together. Times are in milliseconds; those that no run tells of are null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobFigures {
    /// How many runs.
    pub runs: u64,
    /// How many ended well.
    pub complete: u64,
    /// How many failed or were rejected.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// How many have not ended.
    pub open: u64,
    /// How many of a thousand that ended well or failed are failures.
    pub failures_per_mille: Option<u64>,
    /// The time within which half of the runs ended.
    pub took_p50_ms: Option<u64>,
    /// The time within which 95 of 100 runs ended.
    pub took_p95_ms: Option<u64>,
    /// The time for which half of the runs waited at most, from when they could have started.
    pub waited_p50_ms: Option<u64>,
    /// The time for which 95 of 100 runs waited at most.
    pub waited_p95_ms: Option<u64>,
}

impl From<&Figures> for JobFigures {
    fn from(figures: &Figures) -> Self {
        let ms =
            |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Self {
            runs: figures.runs,
            complete: figures.complete,
            failed: figures.failed,
            cancelled: figures.cancelled,
            skipped: figures.skipped,
            open: figures.open,
            failures_per_mille: figures.failures_per_mille(),
            took_p50_ms: ms(figures.took(50)),
            took_p95_ms: ms(figures.took(95)),
            waited_p50_ms: ms(figures.waited(50)),
            waited_p95_ms: ms(figures.waited(95)),
        }
    }
}

/// Gives figures by job.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn stats(realm: &dyn Realm, request: &AskStats) -> Result<Stats, Error> {
    let filter = windowed(request.filter.as_deref())?;
    let words = filter.to_string();
    let query = query(realm, filter, request.zone, false).await?;
    let until = query.until.unwrap_or_else(|| realm.now());
    // A filter has a beginning by now.
    let since = query.since.unwrap_or(until);
    let query = RunQuery { until: Some(until), without_alerts: true, order: Order::Newest, ..query };
    let window = Window::read(realm, query.clone()).await?;
    let earlier = RunQuery { since: Some(since - (until - since)), until: Some(since), ..query };
    let before = Window::read(realm, earlier).await?;
    let mut jobs: Vec<JobStats> = window
        .jobs
        .iter()
        .map(|(job_id, figures)| JobStats {
            job_id: job_id.clone(),
            figures: figures.into(),
            before: before.jobs.get(job_id).map(JobFigures::from),
        })
        .collect();
    jobs.sort_by(|one, other| {
        let rank = |job: &JobStats| (job.figures.failed, job.figures.runs);
        rank(other).cmp(&rank(one)).then_with(|| one.job_id.cmp(&other.job_id))
    });
    let more_jobs = jobs.len().saturating_sub(request.limit);
    jobs.truncate(request.limit);
    Ok(Stats {
        filter: words,
        since: Instant(since),
        until: Instant(until),
        looked_from: if window.is_cut { window.oldest.unwrap_or(Instant(since)) } else { Instant(since) },
        looked_at: window.looked_at,
        is_cut: window.is_cut,
        before_is_cut: before.is_cut,
        all: (&window.all).into(),
        jobs,
        more_jobs,
        note: window.note,
    })
}

/// The terms of a request, with the window where it names none.
fn windowed(text: Option<&str>) -> Result<Filter, Error> {
    let filter = parsed(text)?;
    let has = filter.terms().iter().any(|term| matches!(term.wanted, Wanted::Since(_)));
    Ok(if has { filter } else { filter.and(Wanted::Since(When::Ago(WINDOW))) })
}

/// The figures of a window.
#[derive(Default)]
struct Window {
    all: Figures,
    jobs: BTreeMap<JobId, Figures>,
    looked_at: usize,
    is_cut: bool,
    oldest: Option<Instant>,
    note: Option<String>,
}

impl Window {
    /// Reads the newest records of a window, up to [`MAX_LOOKED`].
    async fn read(realm: &dyn Realm, mut query: RunQuery) -> Result<Self, Error> {
        let mut window = Self::default();
        query.limit = PAGE;
        loop {
            query.look_limit = Some(MAX_LOOKED.saturating_sub(window.looked_at).max(1));
            let RunPage { runs, next, looked_at, is_cut, note } = realm.runs().page(&query).await?;
            window.looked_at += looked_at;
            window.note = window.note.or(note);
            for run in &runs {
                window.all.take(run);
                window.jobs.entry(run.job_id.clone()).or_default().take(run);
                let at = Instant(run.ts_dispatch);
                window.oldest = Some(window.oldest.map_or(at, |oldest| oldest.min(at)));
            }
            window.is_cut = is_cut || (next.is_some() && window.looked_at >= MAX_LOOKED);
            match next {
                Some(next) if !window.is_cut => query.cursor = Some(next),
                _ => return Ok(window),
            }
        }
    }
}
