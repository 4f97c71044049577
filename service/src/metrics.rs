//! Figures of a realm as monitoring takes them: gauges of what is stored, queued and overdue now, in Prometheus's text format.
//!
//! A figure with several values has labels, and each label has a limited number of values: one of them takes the rest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{DeadQueue, Depth, Oldest, StoreErrorKind};
use pumice_core::run::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dead;
use crate::failure::Error;
use crate::pauses::workers_of_jobs;
use crate::realm::Realm;

/// Most workers that have values of their own: each costs a look at its queue.
const MAX_WORKERS: usize = 50;
/// Most jobs that have values of their own: those with the most failures, then those with the most runs.
const MAX_JOBS: usize = 100;
/// The label of all others.
const OTHERS: &str = "(others)";
/// Most overdue runs of a part that are counted.
const MAX_OVERDUE: usize = 1_000;
/// How long each part of the figures may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A request for all figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadMetrics {}

/// Figures of a realm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// The families, each with its values.
    pub families: Vec<MetricFamily>,
}

/// Figures of one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricFamily {
    /// The name, by Prometheus's conventions.
    pub name: String,
    /// A description.
    pub help: String,
    /// Whether it only grows while a process lives.
    pub kind: MetricType,
    /// The values.
    pub samples: Vec<Sample>,
}

/// The type of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// It goes up and down.
    Gauge,
    /// It only grows, and begins anew with its process.
    Counter,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The labels that distinguish it in its family.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

impl MetricFamily {
    /// A gauge without values.
    #[must_use]
    pub fn gauge(name: &str, help: &str) -> Self {
        Self { name: name.to_owned(), help: help.to_owned(), kind: MetricType::Gauge, samples: Vec::new() }
    }

    /// A counter without values.
    #[must_use]
    pub fn counter(name: &str, help: &str) -> Self {
        Self { kind: MetricType::Counter, ..Self::gauge(name, help) }
    }

    /// Adds a value.
    pub fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.push(Sample { labels, value });
    }

    /// The same with one value that needs no label.
    #[must_use]
    pub fn of(mut self, value: f64) -> Self {
        self.add(&[], value);
        self
    }
}

impl Metrics {
    /// As Prometheus takes them (Prometheus, Exposition formats, text format 0.0.4). Families without values are left out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families.iter().filter(|family| !family.samples.is_empty()) {
            let kind = match family.kind {
                MetricType::Gauge => "gauge",
                MetricType::Counter => "counter",
            };
            let (name, help) = (&family.name, family.help.replace('\\', r"\\").replace('\n', r"\n"));
            // A string takes whatever is written to it.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for Sample { labels, value } in &family.samples {
                let labels: Vec<String> =
                    labels.iter().map(|(label, value)| format!("{label}=\"{}\"", quoted(value))).collect();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

/// A label's value between quotation marks, with secrets masked.
fn quoted(value: &str) -> String {
    pumice_core::secret::mask(value).replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.to_std().unwrap_or_default().as_secs_f64()
}

/// Reads the figures of a realm. A part that cannot be read is left out and counted.
///
/// # Errors
/// None: what cannot be read is in the figures.
pub async fn metrics(realm: &dyn Realm, _: &ReadMetrics) -> Result<Metrics, Error> {
    let (runs, queues, dead, due) = futures_util::future::join4(
        within(LIMIT, "runs", runs(realm)),
        within(LIMIT, "queues", queues(realm)),
        within(LIMIT, "dead_letters", dead_letters(realm)),
        within(LIMIT, "due", due(realm)),
    )
    .await;
    let mut info =
        MetricFamily::gauge("pumice_info", "The realm and the version of the program that tells of it.");
    let place = if realm.is_aws() { "aws" } else { "folder" };
    let labels = [("realm", realm.name().as_str()), ("version", env!("CARGO_PKG_VERSION")), ("place", place)];
    info.add(&labels, 1.0);
    let mut failed =
        MetricFamily::gauge("pumice_scrape_failed", "Whether this part of the figures could not be read.");
    let mut families = vec![info];
    if let Some(served) = realm.is_served() {
        let help = "Whether a process runs the jobs of the folder.";
        families.push(MetricFamily::gauge("pumice_served", help).of(f64::from(u8::from(served))));
    }
    for (part, found) in [runs, queues, dead, due] {
        failed.add(&[("part", part)], f64::from(u8::from(found.is_none())));
        families.extend(found.into_iter().flatten());
    }
    families.push(failed);
    Ok(Metrics { families })
}

/// A part of the figures within its time.
async fn within(
    limit: Duration,
    part: &'static str,
    read: impl Future<Output = Result<Vec<MetricFamily>, Error>>,
) -> (&'static str, Option<Vec<MetricFamily>>) {
    let found = match tokio::time::timeout(limit, read).await {
        Ok(Ok(families)) => Some(families),
        Ok(Err(error)) => {
            tracing::debug!(part, %error, "figures cannot be read");
            None
        }
        Err(_) => None,
    };
    (part, found)
}

/// The runs that are stored, where the store counts them.
async fn runs(realm: &dyn Realm) -> Result<Vec<MetricFamily>, Error> {
    let Some(counts) = realm.runs().counts().await? else { return Ok(Vec::new()) };
    let mut by_status: BTreeMap<Status, u64> = BTreeMap::new();
    let mut by_job: BTreeMap<&str, BTreeMap<Status, u64>> = BTreeMap::new();
    for count in &counts.by_job {
        *by_status.entry(count.status).or_default() += count.runs;
        *by_job.entry(&count.job_id).or_default().entry(count.status).or_default() += count.runs;
    }
    let mut stored =
        MetricFamily::gauge("pumice_runs", "Runs whose records are kept, by status, without steps.");
    for status in Status::of_runs() {
        stored.add(&[("status", status.as_str())], number(by_status.get(&status).copied().unwrap_or(0)));
    }
    let mut jobs: Vec<(&str, BTreeMap<Status, u64>)> = by_job.into_iter().collect();
    jobs.sort_by_key(|(_, counts)| {
        let failed =
            [Status::Failed, Status::Rejected].iter().filter_map(|status| counts.get(status)).sum::<u64>();
        std::cmp::Reverse((failed, counts.values().sum::<u64>()))
    });
    let mut of_job = MetricFamily::gauge(
        "pumice_job_runs",
        "Runs whose records are kept, by job and status, without steps.",
    );
    let rest = jobs.split_off(jobs.len().min(MAX_JOBS));
    let mut others: BTreeMap<Status, u64> = BTreeMap::new();
    for (status, count) in rest.into_iter().flat_map(|(_, counts)| counts) {
        *others.entry(status).or_default() += count;
    }
    for (job, counts) in jobs.into_iter().chain([(OTHERS, others)]) {
        for (status, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            of_job.add(&[("job_id", job), ("status", status.as_str())], number(count));
        }
    }
    Ok(vec![stored, of_job])
}

/// The workers' queues, and the hosts that take from them.
async fn queues(realm: &dyn Realm) -> Result<Vec<MetricFamily>, Error> {
    let (site, now) = (realm.site().await?, realm.now());
    let mut messages = MetricFamily::gauge(
        "pumice_queue_messages",
        "Messages on a worker's queue, by whether they can be taken now.",
    );
    let mut oldest = MetricFamily::gauge(
        "pumice_queue_oldest_seconds",
        "How long the message has waited that has waited longest.",
    );
    let mut alive = MetricFamily::gauge("pumice_hosts_alive", "Hosts of a worker that are alive.");
    let workers: Vec<WorkerName> =
        workers_of_jobs(realm).await?.workers.into_keys().take(MAX_WORKERS).collect();
    for worker in &workers {
        let label = ("worker", worker.as_str());
        match site.ports.queue.depth(worker).await {
            // The doctor says so.
            Err(error) if error.kind == StoreErrorKind::Missing => continue,
            Err(error) => return Err(error.into()),
            Ok(Depth { ready, delayed, in_flight, oldest: age }) => {
                for (state, count) in [("ready", ready), ("delayed", delayed), ("in_flight", in_flight)] {
                    messages.add(&[label, ("state", state)], number(count));
                }
                match age {
                    Oldest::None => oldest.add(&[label], 0.0),
                    Oldest::Age(age) => oldest.add(&[label], age.as_secs_f64()),
                    Oldest::Unknown => {}
                }
            }
        }
        if let Some(store) = &site.ports.hosts {
            let hosts = store.hosts(worker).await?;
            alive.add(&[label], number(hosts.iter().filter(|host| host.is_alive(now)).count() as u64));
        }
    }
    Ok(vec![messages, oldest, alive])
}

/// The dead letters.
async fn dead_letters(realm: &dyn Realm) -> Result<Vec<MetricFamily>, Error> {
    let mut letters = MetricFamily::gauge(
        "pumice_dead_letters",
        "Messages and requests that were set aside, by worker, or the dispatcher's.",
    );
    let mut all = 0;
    for (queue, count) in dead::counts(realm).await?.into_iter().take(MAX_WORKERS + 1) {
        let Some(count) = count else { continue };
        let (of, worker) = match &queue {
            DeadQueue::Worker(worker) => ("worker", worker.as_str()),
            DeadQueue::Dispatcher => ("dispatcher", ""),
        };
        all += count;
        letters.add(&[("of", of), ("worker", worker)], number(count));
    }
    let sum =
        MetricFamily::gauge("pumice_dead_letters_all", "Messages and requests that were set aside, in all.")
            .of(number(all));
    Ok(vec![letters, sum])
}

/// Runs that are due and were not looked at: they show how late the sweeper is.
async fn due(realm: &dyn Realm) -> Result<Vec<MetricFamily>, Error> {
    let (store, now) = (realm.runs(), realm.now());
    let (mut count, mut lag) = (0_u64, TimeDelta::zero());
    for part in 0..store.due_parts() {
        let found = store.due_page(part, now, None, MAX_OVERDUE).await?.runs;
        count += found.len() as u64;
        lag =
            found.iter().filter_map(|run| run.due_at).map(|due| now - due).max().unwrap_or_default().max(lag);
    }
    let late = realm.schedules().longest_due(now, 1).await?;
    let clock = late.iter().filter_map(|timetable| timetable.due_at).map(|due| now - due).max();
    let mut families = vec![
        MetricFamily::gauge("pumice_due_runs", "Runs whose time to be looked at has passed, up to a limit.")
            .of(number(count)),
        MetricFamily::gauge(
            "pumice_sweeper_lag_seconds",
            "How long the run is overdue that the sweeper should have looked at first.",
        )
        .of(seconds(lag)),
        MetricFamily::gauge(
            "pumice_schedule_lag_seconds",
            "How long the schedule is overdue that should have been looked at first.",
        )
        .of(seconds(clock.unwrap_or_default())),
    ];
    if let Some(ahead) = realm.site().await?.ports.clock.store_ahead() {
        let skew = MetricFamily::gauge(
            "pumice_clock_skew_seconds",
            "By how much the store's clock is ahead of this host's.",
        );
        families.push(skew.of(ahead.as_seconds_f64()));
    }
    Ok(families)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_are_escaped_as_prometheus_reads_them() {
        let mut family = MetricFamily::gauge("x_seconds", "A \\ and\na line.");
        family.add(&[("job_id", "etl/\"größe\"\\1\n日本"), ("a", "")], 1.5);
        let empty = MetricFamily::counter("y_total", "Nothing.");
        let text =
            Metrics { families: vec![family, empty, MetricFamily::counter("z_total", "All.").of(3.0)] }
                .text();
        let expected = "# HELP x_seconds A \\\\ and\\na line.\n# TYPE x_seconds gauge\n\
             x_seconds{a=\"\",job_id=\"etl/\\\"größe\\\"\\\\1\\n日本\"} 1.5\n\
             # HELP z_total All.\n# TYPE z_total counter\nz_total 3\n";
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn part_that_hangs_is_left_out() {
        assert_eq!(within(Duration::ZERO, "x", std::future::pending()).await.1, None);
    }
}
