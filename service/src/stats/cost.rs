//! The cost of runs on AWS: an estimate from their records, by the calls that `testing/tests/it/aws_calls.rs` counts.
//!
//! docs/cost.md has the sums, and names the table of prices here. A record shows how often it was written (its revision), how
//! many attempts a run had and for how long it was in the hands of a worker. Costs that the record lacks are left out, and named in
//! [`LEFT_OUT`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunId};
use pumice_core::run::{Run, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Prices in dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// The region whose list prices they are.
    pub region: &'static str,
    /// The year of that list.
    pub year: u16,
    /// A million write units of DynamoDB on demand.
    pub write_units: f64,
    /// A million read units of DynamoDB on demand.
    pub read_units: f64,
    /// A million requests of SQS.
    pub queue_requests: f64,
    /// A million invocations of Lambda.
    pub invocations: f64,
    /// A million GB-seconds of Lambda, x86-64.
    pub gb_seconds: f64,
    /// A million GB of CloudWatch Logs, taken in.
    pub log_gb: f64,
}

/// The prices of the estimate: those of docs/cost.md.
pub const PRICES: Prices = Prices {
    region: "us-east-1",
    year: 2025,
    write_units: 0.625,
    read_units: 0.125,
    queue_requests: 0.40,
    invocations: 0.20,
    gb_seconds: 16.67,
    log_gb: 500_000.0,
};

/// The memory that a worker's function has unless its stack says otherwise (`Memory` of worker.yaml), in MB.
const WORKER_MB: u64 = 512;
/// That of the dispatcher (template.yaml), in MB.
const DISPATCHER_MB: u64 = 256;
/// How long the dispatcher takes for a request.
const DISPATCH: Duration = Duration::from_millis(15);
/// How long an invocation of the worker takes at least.
const LEAST: Duration = Duration::from_millis(25);
/// How many bytes the log has of a run.
const LOGGED: u64 = 1_100;
/// Requests to a queue for a message: it is sent, received and deleted.
const BY_MESSAGE: u64 = 3;
/// Write units of a record in addition to one for each write: it enters two indexes, and leaves one.
const INDEXES: u64 = 3;

/// The prefix of the name of a worker's function (`FunctionName` of worker.yaml).
const FUNCTION: &str = "-pumice-worker-";

/// The costs that the estimate leaves out.
pub const LEFT_OUT: &str = "records of more than 1 KB, large outputs and payloads, what jobs themselves reach, actions, transfer, free tiers and what is paid for without runs";

/// The basis of an estimate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostBasis {
    /// The currency of all amounts, by ISO 4217.
    pub currency: String,
    /// The region whose list prices are used.
    pub prices_of: String,
    /// The year of that list.
    pub prices_from: u16,
    /// The region of the realm, where it is known.
    pub region: Option<String>,
    /// The memory of the workers' functions that is assumed, in MB.
    pub worker_mb: u64,
    /// The costs that are left out.
    pub left_out: String,
}

impl CostBasis {
    /// The basis for a realm in a region.
    #[must_use]
    pub fn of(region: Option<String>) -> Self {
        Self {
            currency: "USD".to_owned(),
            prices_of: PRICES.region.to_owned(),
            prices_from: PRICES.year,
            region,
            worker_mb: WORKER_MB,
            left_out: LEFT_OUT.to_owned(),
        }
    }
}

/// The usage of runs, and an estimate of its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The estimate, in millionths of the currency.
    pub micros: u64,
    /// Steps that are in it.
    pub steps: u64,
    /// Write units of the table of runs.
    pub write_units: u64,
    /// Read units of the tables.
    pub read_units: u64,
    /// Requests to queues.
    pub queue_requests: u64,
    /// Invocations of functions.
    pub invocations: u64,
    /// Time of functions by their memory, in MB-seconds.
    pub mb_seconds: u64,
    /// Bytes of logs.
    pub log_bytes: u64,
}

impl Cost {
    /// The estimate in the currency, with six places: `0.006424`.
    #[must_use]
    pub fn dollars(self) -> String {
        format!("{}.{:06}", self.micros / 1_000_000, self.micros % 1_000_000)
    }
}

/// The usage of runs. Times are kept to the millisecond, so that many short runs do not come to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    steps: u64,
    write_units: u64,
    read_units: u64,
    queue_requests: u64,
    invocations: u64,
    mb_ms: u64,
    log_bytes: u64,
}

impl Used {
    /// Adds a run that was dispatched.
    pub fn take(&mut self, run: &Run) {
        self.take_record(run);
        self.log_bytes += LOGGED;
        self.invocations += 1;
        self.mb_ms += DISPATCHER_MB * ms(DISPATCH);
        if run.handed_over.is_some() {
            // A worker of lava's has it: one message, and no function of this realm.
            self.queue_requests += BY_MESSAGE;
            return;
        }
        let begun = invocations(run);
        self.queue_requests += BY_MESSAGE * begun.max(1);
        if is_on_function(run) {
            self.invocations += begun;
            self.mb_ms += WORKER_MB * ms(busy(run).max(LEAST * u32::try_from(begun).unwrap_or(u32::MAX)));
        }
    }

    /// Adds a step, which runs within an invocation of its parent.
    pub fn take_step(&mut self, step: &Run) {
        if step.kept.is_none() {
            self.steps += 1;
        }
        self.take_record(step);
    }

    /// Its record: a unit for each write, and those of the indexes.
    fn take_record(&mut self, run: &Run) {
        let bad = u64::from(matches!(
            run.status,
            Status::Failed | Status::Rejected | Status::Skipped | Status::Cancelled
        ));
        // Each further attempt moves it in the index on what is due.
        let again = u64::from(run.attempt.saturating_sub(1));
        self.write_units += run.rev + INDEXES + bad + 2 * again;
        // The job, or the record that the message of an attempt is about.
        self.read_units += if run.is_child() { 1 } else { 1 + invocations(run).max(1) };
    }

    /// The same with the estimate.
    #[must_use]
    pub fn cost(self) -> Cost {
        let gb_seconds = float(self.mb_ms) / 1_024_000.0;
        // Prices are for a million: one unit costs as many millionths.
        let micros = PRICES.write_units * float(self.write_units)
            + PRICES.read_units * float(self.read_units)
            + PRICES.queue_requests * float(self.queue_requests)
            + PRICES.invocations * float(self.invocations)
            + PRICES.gb_seconds * gb_seconds
            + PRICES.log_gb * float(self.log_bytes) / 1e9;
        Cost {
            micros: whole(micros),
            steps: self.steps,
            write_units: self.write_units,
            read_units: self.read_units,
            queue_requests: self.queue_requests,
            invocations: self.invocations,
            mb_seconds: self.mb_ms / 1_000,
            log_bytes: self.log_bytes,
        }
    }

    fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
        self.queue_requests += other.queue_requests;
        self.invocations += other.invocations;
        self.mb_ms += other.mb_ms;
        self.log_bytes += other.log_bytes;
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// A number that is not negative, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded, and never negative"
)]
fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the host that ran it last was its worker's function, and not a `pumice worker` process.
fn is_on_function(run: &Run) -> bool {
    let name = format!("{FUNCTION}{}", run.worker);
    run.hostname.as_deref().is_some_and(|host| host.ends_with(&name))
}

/// How often a worker took the run up.
fn invocations(run: &Run) -> u64 {
    let begun = run.log.entries.iter().filter(|event| event.status == Status::Running).count();
    u64::try_from(begun).unwrap_or(u64::MAX).max(u64::from(run.ts_start.is_some()))
}

/// How long workers had it in hand: from each event that says that it runs to the next one.
fn busy(run: &Run) -> Duration {
    let between = |from: Timestamp, to: Timestamp| (to - from).to_std().unwrap_or_default();
    if run.log.dropped > 0 || run.log.entries.is_empty() {
        return run.ts_start.zip(run.ts_end).map(|(from, to)| between(from, to)).unwrap_or_default();
    }
    let pairs = run.log.entries.windows(2).filter(|pair| pair[0].status == Status::Running);
    pairs.map(|pair| between(pair[0].at, pair[1].at)).sum()
}

/// The usage of the runs of a window, by job.
#[derive(Debug, Default)]
pub struct Ledger {
    jobs: BTreeMap<JobId, Used>,
    /// The job of each run, for its steps.
    of: HashMap<RunId, JobId>,
}

impl Ledger {
    /// Adds a run of the window.
    pub fn take(&mut self, run: &Run) {
        self.jobs.entry(run.job_id.clone()).or_default().take(run);
        self.of.insert(run.run_id, run.job_id.clone());
    }

    /// Whether it has a run whose steps may be looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Adds a step, where its run is one of the window: it counts for that run's job.
    pub fn take_step(&mut self, step: &Run) {
        if let Some(job) = self.of.get(&step.run_id).and_then(|job| self.jobs.get_mut(job)) {
            job.take_step(step);
        }
    }

    /// The cost of each job, and of all together.
    #[must_use]
    pub fn costs(self) -> (BTreeMap<JobId, Cost>, Cost) {
        let mut all = Used::default();
        self.jobs.values().for_each(|used| all.add(*used));
        (self.jobs.into_iter().map(|(job, used)| (job, used.cost())).collect(), all.cost())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use pumice_core::duration::Span;
    use pumice_core::ids::{RunKey, WorkerName};
    use serde_json::Value;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        chrono::DateTime::UNIX_EPOCH + TimeDelta::milliseconds(ms)
    }

    /// A run that its worker's function ran for so many milliseconds, in one attempt.
    fn run(took: i64, status: Status) -> Run {
        let run_id: RunId = "0190a0a0-1111-7000-8000-0000000000aa".parse().unwrap();
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(0), Span::from_days(1));
        run.log.push(Status::Running, at(100), Value::Null);
        run.log.push(status, at(100 + took), Value::Null);
        let hostname = Some("lava-prod-pumice-worker-core".to_owned());
        Run { rev: 3, status, hostname, ts_start: Some(at(100)), ts_end: Some(at(100 + took)), ..run }
    }

    fn cost(runs: &[Run]) -> Cost {
        let mut used = Used::default();
        runs.iter().for_each(|run| used.take(run));
        used.cost()
    }

    #[test]
    fn million_small_runs_cost_what_the_page_says() {
        let page = include_str!("../../../docs/cost.md");
        assert!(page.contains("$6.42") && page.contains("`service/src/stats/cost.rs`"));
        let all = cost(&vec![run(2, Status::Complete); 1_000]);
        assert_eq!(all.micros, 6_421, "$6.42 a million: {all:?}");
        assert_eq!((all.write_units, all.read_units, all.queue_requests), (6_000, 2_000, 3_000));
        assert_eq!((all.invocations, all.mb_seconds, all.log_bytes), (2_000, 16_640, 1_100_000));
        // Every price of the table is on the page.
        for price in [PRICES.write_units, PRICES.read_units, PRICES.invocations, PRICES.gb_seconds] {
            let text = format!("{price}");
            assert!(page.contains(&format!("${text}")) || page.contains(&format!("${text}0")), "{text}");
        }
        assert!(page.contains("SQS $0.40\na million requests") && page.contains("CloudWatch Logs $0.50"));
    }

    #[test]
    fn time_and_attempts_and_a_bad_end_cost_more() {
        let [small, long] = [run(2, Status::Complete), run(60_000, Status::Complete)].map(|run| cost(&[run]));
        assert_eq!(long.mb_seconds - small.mb_seconds, 30_707, "60 s at 512 MB instead of 25 ms");
        assert_eq!(cost(&[run(2, Status::Failed)]).write_units, small.write_units + 1);
        // The wait between attempts is not used time.
        let mut twice = run(1_000, Status::Retrying);
        twice.log.push(Status::Running, at(600_000), Value::Null);
        twice.log.push(Status::Complete, at(601_000), Value::Null);
        let twice = Run { rev: 5, attempt: 2, status: Status::Complete, ts_end: Some(at(601_000)), ..twice };
        let twice = cost(&[twice]);
        assert_eq!((twice.invocations, twice.queue_requests, twice.write_units), (3, 6, 10));
        assert_eq!(twice.mb_seconds, 1_027, "two seconds at 512 MB, and the dispatcher");
    }

    #[test]
    fn run_of_a_process_or_of_lava_uses_no_function() {
        let process = Run { hostname: Some("node-7".to_owned()), ..run(60_000, Status::Complete) };
        let process = cost(&[process]);
        assert_eq!((process.invocations, process.mb_seconds), (1, 3));
        let lava = Run { handed_over: Some(at(5)), ..run(60_000, Status::Complete) };
        let lava = cost(&[lava]);
        assert_eq!((lava.invocations, lava.queue_requests), (1, 3));
    }

    #[test]
    fn steps_count_for_the_job_of_their_run() {
        let chain = run(50, Status::Complete);
        let mut ledger = Ledger::default();
        ledger.take(&chain);
        let step = |number| {
            let job_id = JobId::new("step").unwrap();
            Run { key: chain.key.child(1, number), job_id, rev: 2, ..chain.clone() }
        };
        (0..10).for_each(|number| ledger.take_step(&step(number)));
        // One of a run before the window.
        let other: RunId = "0190a0a0-1111-7000-8000-0000000000bb".parse().unwrap();
        ledger.take_step(&Run { run_id: other, ..step(3) });
        let (jobs, all) = ledger.costs();
        // As `chain_of_ten_costs_56_write_units` counts them.
        assert_eq!((all.write_units, all.read_units, all.steps), (56, 12, 10));
        assert_eq!(jobs.into_values().collect::<Vec<_>>(), [all]);
    }
}
