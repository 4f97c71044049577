//! Figures by job: how runs ended, how long they took and waited, and how that compares with the window before.

pub mod cost;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveTime;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::filter::{Filter, FilterTime, Wanted};
use pumice_core::ids::JobId;
use pumice_core::ports::{Order, PastCount, RunPage, RunQuery};
use pumice_core::run::{Figures, Status, failures_per_mille};
use pumice_core::spec::Timezone;
use pumice_core::text::counted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::cost::{Cost, CostBasis, Ledger};
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

/// A request for figures.
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
    /// An estimate of what the runs of all jobs together cost, as far as their records are there; none in a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The basis of the estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_basis: Option<CostBasis>,
    /// Why there is no estimate, or what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_note: Option<String>,
    /// Parts that the store lacked, such as an index.
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
    /// An estimate of what its runs cost in the window, with their steps; none in a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// The totals of runs. Times are in milliseconds; those that no run has are null.
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
    /// How many of these runs have no record any more: they are counted, by whole days in UTC, and have no times.
    #[serde(default)]
    pub gone: u64,
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
            gone: 0,
            failures_per_mille: figures.failures_per_mille(),
            took_p50_ms: ms(figures.took(50)),
            took_p95_ms: ms(figures.took(95)),
            waited_p50_ms: ms(figures.waited(50)),
            waited_p95_ms: ms(figures.waited(95)),
        }
    }
}

impl JobFigures {
    /// Counts runs whose records are gone.
    fn count_gone(&mut self, status: Status, runs: u64) {
        self.runs += runs;
        self.gone += runs;
        match status {
            Status::Complete => self.complete += runs,
            Status::Failed | Status::Rejected => self.failed += runs,
            Status::Cancelled => self.cancelled += runs,
            Status::Skipped => self.skipped += runs,
            _ => {}
        }
        self.failures_per_mille = failures_per_mille(self.complete, self.failed);
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
    let now = realm.now();
    let until = query.until.unwrap_or(now);
    // A filter has a beginning by now.
    let since = query.since.unwrap_or(until);
    let query = RunQuery { until: Some(until), without_alerts: true, order: Order::Newest, ..query };
    let mut ledger = realm.is_aws().then(Ledger::default);
    let window = Window::read(realm, query.clone(), ledger.as_mut()).await?;
    let earlier = RunQuery { since: Some(since - (until - since)), until: Some(since), ..query.clone() };
    let before = Window::read(realm, earlier.clone(), None).await?;
    let costs = costs(realm, ledger, &query, window.is_cut).await?;
    let (window, gone) = (window.figures(), Gone::read(realm, &query, now).await?);
    let (before, gone_before) = (before.figures(), Gone::read(realm, &earlier, now).await?);
    let (all, by_job) = gone.add_to(window.all, window.jobs);
    let (_, mut before_by_job) = gone_before.add_to(before.all, before.jobs);
    let mut jobs: Vec<JobStats> = by_job
        .into_iter()
        .map(|(job_id, figures)| {
            let before = before_by_job.remove(&job_id);
            let cost = costs.jobs.get(&job_id).copied();
            JobStats { job_id, figures, before, cost }
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
        all,
        jobs,
        more_jobs,
        cost: costs.all,
        cost_basis: costs.all.map(|_| CostBasis::of(realm.aws_region())),
        cost_note: costs.note,
        note: window.note.or(gone.note),
    })
}

/// The cost of the runs of a window, by job.
#[derive(Default)]
struct Costs {
    jobs: BTreeMap<JobId, Cost>,
    all: Option<Cost>,
    note: Option<String>,
}

/// Estimates what runs cost, with their steps, which are looked for by time alone: terms are about runs.
async fn costs(
    realm: &dyn Realm,
    ledger: Option<Ledger>,
    query: &RunQuery,
    is_cut: bool,
) -> Result<Costs, Error> {
    let Some(mut ledger) = ledger else {
        let note = "costs are those of AWS: a realm in a folder has none by the call";
        return Ok(Costs { note: Some(note.to_owned()), ..Costs::default() });
    };
    let mut steps = RunQuery {
        since: query.since,
        order: Order::Newest,
        children: true,
        limit: PAGE,
        ..RunQuery::default()
    };
    let (mut looked, mut lacks_steps) = (0, false);
    while !ledger.is_empty() {
        steps.look_limit = Some(MAX_LOOKED.saturating_sub(looked).max(1));
        let page = realm.runs().page(&steps).await?;
        looked += page.looked_at;
        page.runs.iter().filter(|run| run.is_child()).for_each(|step| ledger.take_step(step));
        lacks_steps = page.is_cut || (page.next.is_some() && looked >= MAX_LOOKED);
        match page.next {
            Some(next) if !lacks_steps => steps.cursor = Some(next),
            _ => break,
        }
    }
    let mut notes = Vec::new();
    notes.extend(is_cut.then(|| "the cost is that of the runs that were looked at".to_owned()));
    notes.extend(
        lacks_steps.then(|| format!("the cost has the steps among the newest {MAX_LOOKED} records alone")),
    );
    let (jobs, all) = ledger.costs();
    Ok(Costs { jobs, all: Some(all), note: (!notes.is_empty()).then(|| notes.join("; ")) })
}

/// The terms of a request, with the window where it names none.
fn windowed(text: Option<&str>) -> Result<Filter, Error> {
    let filter = parsed(text)?;
    let has = filter.terms().iter().any(|term| matches!(term.wanted, Wanted::Since(_)));
    Ok(if has { filter } else { filter.and(Wanted::Since(FilterTime::Ago(WINDOW))) })
}

/// The figures of a window.
#[derive(Default)]
struct Window<F = Figures> {
    all: F,
    jobs: BTreeMap<JobId, F>,
    looked_at: usize,
    is_cut: bool,
    oldest: Option<Instant>,
    note: Option<String>,
}

/// Runs of a window whose records are gone.
#[derive(Default)]
struct Gone {
    counts: Vec<PastCount>,
    /// The runs that the figures leave out.
    note: Option<String>,
}

impl Gone {
    /// Reads the counts of the whole days of a window. They know of jobs and outcomes: where terms ask for more, none is
    /// taken, and the note says how many there are. Those of days that are in the window in part alone are not taken either.
    async fn read(realm: &dyn Realm, query: &RunQuery, now: Timestamp) -> Result<Self, Error> {
        let (Some(since), Some(until)) = (query.since, query.until) else { return Ok(Self::default()) };
        let (begins, ends) = (since.date_naive(), until.date_naive());
        let first = if since.time() == NaiveTime::MIN { Some(begins) } else { begins.succ_opt() };
        // A run without a record any more was dispatched by now: today is a whole day.
        let past_last = if until < now { Some(ends) } else { ends.succ_opt() };
        let (Some(first), Some(past_last), Some(after)) = (first, past_last, ends.succ_opt()) else {
            return Ok(Self::default());
        };
        let Some(mut counts) = realm.runs().past(begins, after).await? else {
            return Ok(Self { counts: Vec::new(), note: uncounted(realm, since).await? });
        };
        counts.retain(|count| {
            let wants_status = query.statuses.is_empty() || query.statuses.contains(&count.status);
            wants_status && query.takes_job(count.job_id.as_str())
        });
        let knows = |wanted: &Wanted| {
            matches!(wanted, Wanted::Status(_) | Wanted::Job(_) | Wanted::Since(_) | Wanted::Until(_))
        };
        let answers_all = query.filter.terms().iter().all(|term| knows(&term.wanted) && !term.is_negated);
        let total = |counts: &[PastCount]| counts.iter().map(|count| count.runs).sum::<u64>();
        let all = total(&counts);
        if all == 0 {
            return Ok(Self::default());
        }
        if answers_all {
            counts.retain(|count| (first..past_last).contains(&count.day));
            let runs = total(&counts);
            let mut says = Vec::new();
            if runs > 0 {
                says.push(format!(
                    "the records of {runs} of these runs are gone: they are counted by whole days in UTC"
                ));
            }
            if all > runs {
                says.push(format!(
                    "{} whose records are gone are left out: they are counted by whole days in UTC, and the window has \
                     a part of their days",
                    counted(usize::try_from(all - runs).unwrap_or(usize::MAX), "run")
                ));
            }
            return Ok(Self { counts, note: Some(says.join("; ")) });
        }
        let runs = all;
        let note = format!(
            "{runs} runs whose records are gone are left out: their counts know of jobs and outcomes alone"
        );
        Ok(Self { counts: Vec::new(), note: Some(note) })
    }

    /// The figures with these runs among them.
    fn add_to(
        &self,
        mut all: JobFigures,
        mut jobs: BTreeMap<JobId, JobFigures>,
    ) -> (JobFigures, BTreeMap<JobId, JobFigures>) {
        for PastCount { job_id, status, runs, .. } in &self.counts {
            all.count_gone(*status, *runs);
            jobs.entry(job_id.clone()).or_default().count_gone(*status, *runs);
        }
        (all, jobs)
    }
}

/// The note about a window that begins before records of runs were removed which the store did not count.
async fn uncounted(realm: &dyn Realm, since: Timestamp) -> Result<Option<String>, Error> {
    let kept = realm.jobs().realm().await?.settings.event_ttl.shortest();
    let kept = kept.filter(|kept| since < realm.now() - kept.delta());
    Ok(kept
        .map(|kept| format!("records are kept for {kept}: runs that ended before are not among the figures")))
}

impl Window {
    /// The figures as they are shown.
    fn figures(self) -> Window<JobFigures> {
        let jobs = self.jobs.iter().map(|(job_id, figures)| (job_id.clone(), figures.into())).collect();
        let Self { all, looked_at, is_cut, oldest, note, .. } = self;
        Window { all: (&all).into(), jobs, looked_at, is_cut, oldest, note }
    }

    /// Reads the newest records of a window, up to [`MAX_LOOKED`].
    async fn read(
        realm: &dyn Realm,
        mut query: RunQuery,
        mut ledger: Option<&mut Ledger>,
    ) -> Result<Self, Error> {
        let mut window = Self::default();
        query.limit = PAGE;
        loop {
            query.look_limit = Some(MAX_LOOKED.saturating_sub(window.looked_at).max(1));
            let RunPage { runs, next, looked_at, is_cut, note } = realm.runs().page(&query).await?;
            window.looked_at += looked_at;
            window.note = window.note.or(note);
            for run in &runs {
                window.all.take(run);
                if let Some(ledger) = &mut ledger {
                    ledger.take(run);
                }
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
