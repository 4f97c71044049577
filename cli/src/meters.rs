//! Counters and usage of this process, for monitoring: the ends of runs, memory, files, processor time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pumice_core::run::Status;
use pumice_service::metrics::MetricFamily;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of the events that say that a run ended or is tried again.
const RUN: &str = "pumice::run";
/// Most workers that are counted by themselves.
const MAX_WORKERS: usize = 50;
/// The label of all others.
const OTHERS: &str = "(others)";

/// The counters by worker.
static COUNTED: Mutex<BTreeMap<String, Counted>> = Mutex::new(BTreeMap::new());

/// The counters of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counted {
    ended: BTreeMap<Status, u64>,
    retries: u64,
    took_seconds: f64,
    waited_seconds: f64,
}

/// Counts the ends of runs that this process records.
pub(crate) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    Counts.with_filter(Targets::new().with_target(RUN, Level::INFO))
}

struct Counts;

impl<S: Subscriber> Layer<S> for Counts {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut counted, seen);
    }
}

/// The fields of an event that count.
#[derive(Debug, Default)]
struct Seen {
    worker: String,
    status: String,
    took_ms: Option<i64>,
    delay_ms: Option<i64>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "worker" => self.worker = format!("{value:?}"),
            "status" => self.status = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match field.name() {
            "took_ms" => self.took_ms = Some(value),
            "delay_ms" => self.delay_ms = Some(value),
            _ => {}
        }
    }
}

fn count(all: &mut BTreeMap<String, Counted>, seen: Seen) {
    let Ok(status) = seen.status.parse::<Status>() else { return };
    let is_known = all.contains_key(&seen.worker);
    let worker = if is_known || all.len() < MAX_WORKERS { seen.worker } else { OTHERS.to_owned() };
    let counted = all.entry(worker).or_default();
    if status.is_end() {
        *counted.ended.entry(status).or_default() += 1;
    } else {
        counted.retries += 1;
    }
    let seconds = |ms: Option<i64>| {
        ms.map_or(0.0, |ms| std::time::Duration::from_millis(ms.max(0).unsigned_abs()).as_secs_f64())
    };
    counted.took_seconds += seconds(seen.took_ms);
    counted.waited_seconds += seconds(seen.delay_ms);
}

/// The figures of this process; those about runs where it counts them.
pub(crate) fn families() -> Vec<MetricFamily> {
    let counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut families = of_runs(&counted);
    families.extend(of_process());
    families
}

fn of_runs(counted: &BTreeMap<String, Counted>) -> Vec<MetricFamily> {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let number = |count: u64| count as f64;
    let mut ended = MetricFamily::counter(
        "pumice_runs_ended_total",
        "Runs and steps whose end this process recorded, by worker and outcome.",
    );
    let mut retries = MetricFamily::counter(
        "pumice_attempts_failed_total",
        "Attempts that failed and are followed by another.",
    );
    let mut took = MetricFamily::counter(
        "pumice_run_seconds_total",
        "How long the runs took whose end this process recorded.",
    );
    let mut waited = MetricFamily::counter(
        "pumice_wait_seconds_total",
        "How long they waited after they could have started.",
    );
    for (worker, counted) in counted {
        let worker = ("worker", worker.as_str());
        for (status, count) in &counted.ended {
            ended.add(&[worker, ("outcome", status.as_str())], number(*count));
        }
        retries.add(&[worker], number(counted.retries));
        took.add(&[worker], counted.took_seconds);
        waited.add(&[worker], counted.waited_seconds);
    }
    vec![ended, retries, took, waited]
}

/// The system's figures of this process (proc(5)), under the names that Prometheus's own clients give.
fn of_process() -> Vec<MetricFamily> {
    let mut families = Vec::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u32>().ok()
    };
    if let Some(kib) = kib("VmRSS") {
        let resident = MetricFamily::gauge("process_resident_memory_bytes", "Memory of this process.");
        families.push(resident.of(f64::from(kib) * 1024.0));
    }
    if let Some(count) = kib("Threads") {
        families
            .push(MetricFamily::gauge("process_threads", "Threads of this process.").of(f64::from(count)));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let count = u32::try_from(open.count()).unwrap_or(u32::MAX);
        families.push(
            MetricFamily::gauge("process_open_fds", "Files that this process has open.").of(f64::from(count)),
        );
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_runs_are_counted_by_worker_and_outcome() {
        let mut all = BTreeMap::new();
        let seen = |worker: &str, status: &str, took_ms| Seen {
            worker: worker.to_owned(),
            status: status.to_owned(),
            took_ms,
            delay_ms: Some(250),
        };
        for (status, took) in [
            ("complete", Some(1_500)),
            ("complete", None),
            ("failed", Some(-5)),
            ("retrying", None),
            ("?", None),
        ] {
            count(&mut all, seen("core", status, took));
        }
        let text = pumice_service::metrics::Metrics { families: of_runs(&all) }.text();
        for line in [
            "pumice_runs_ended_total{outcome=\"complete\",worker=\"core\"} 2",
            "pumice_runs_ended_total{outcome=\"failed\",worker=\"core\"} 1",
            "pumice_attempts_failed_total{worker=\"core\"} 1",
            "pumice_run_seconds_total{worker=\"core\"} 1.5",
            "pumice_wait_seconds_total{worker=\"core\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        for number in 0..2 * MAX_WORKERS {
            count(&mut all, seen(&format!("w{number}"), "complete", None));
        }
        assert!(all.len() == MAX_WORKERS + 1 && all[OTHERS].ended[&Status::Complete] > 1);
    }

    #[test]
    fn events_of_the_engine_are_counted() {
        use tracing_subscriber::layer::SubscriberExt;
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            let (worker, status) = ("of-a-test", Status::Complete);
            tracing::info!(target: "pumice::run", worker = %worker, status = %status, took_ms = Some(2_000_i64), "run");
            tracing::info!(target: "pumice::other", worker = %worker, status = %status, "run");
        });
        let counted = COUNTED.lock().unwrap()["of-a-test"].clone();
        assert_eq!((counted.ended[&Status::Complete], counted.took_seconds), (1, 2.0));
    }

    #[test]
    fn process_tells_of_its_memory() {
        let names: Vec<String> = of_process().into_iter().map(|family| family.name).collect();
        assert!(names.contains(&"process_resident_memory_bytes".to_owned()), "{names:?}");
    }
}
