//! How fast the embedded engine is: the whole path, on a file, from request to record.

mod figures;
mod queries;
mod realm;
mod schedules;
mod serve;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use pumice_local::Durability;
use serde_json::{Map, Value, json};

/// How often each figure is measured, unless its realm is made once; the median is told.
const ROUNDS: usize = 5;

/// Measures the embedded engine, each figure five times, and prints the medians.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Wait for the disk with each commit: SQLite's synchronous=FULL.
    #[arg(long)]
    durable: bool,
    /// Measure only figures whose name begins so.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Start each command in a cgroup of its own, where there may be one.
    #[arg(long)]
    cgroups: bool,
    /// Measure how speed changes with the number of waiting runs instead.
    #[arg(long)]
    curve: bool,
    /// Measure the clock instead.
    #[arg(long)]
    schedules: bool,
    /// What else to measure instead.
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists and trees of a realm with a million runs, while 1,000 a second are processed; once.
    Queries {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// How many runs wait, at the points of the curve.
const BACKLOGS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A figure: its names, and one measurement of it.
type Figure = (&'static [&'static str], fn(Durability) -> Result<Vec<f64>, String>);

/// In the order in which they are printed.
const FIGURES: [Figure; 11] = [
    (&["sqlite_s"], figures::sqlite),
    (&["enqueue_s"], figures::enqueue),
    (&["enqueue_16_s"], figures::enqueue_16),
    (&["enqueue_bulk_s"], figures::enqueue_bulk),
    (&["process_s"], figures::process),
    (&["process_100k_s"], figures::process_100k),
    (&["cmd_true_s"], figures::cmd_true),
    (&["lat_p50_ms", "lat_p99_ms"], figures::latency),
    (&["chain_child_ms"], figures::chain_child),
    (&["dag_child_ms", "foreach_child_ms"], figures::other_children),
    (&["rss_mb", "startup_ms"], serve::measure),
];

/// Measured once: to make the realm takes most of the time, and the figure is a median already.
const MADE_ONCE: &str = "100000_daily";

/// What is measured of the clock.
const SCHEDULES: [Figure; 2] = [
    (&["1000_at_once_p50_ms", "1000_at_once_p99_ms", "1000_at_once_last_ms"], schedules::together),
    (&["100000_daily_look_cpu_ms", "100000_daily_first_look_s", "100000_daily_more_mb"], schedules::daily),
];

impl Bench {
    /// Measures and prints.
    pub(crate) fn run(&self) -> ExitCode {
        let durability = if self.durable { Durability::Full } else { Durability::Normal };
        if self.cgroups {
            pumice_system::processes::use_cgroups();
        }
        let outcome = if self.what.is_some() {
            queries::measure(durability)
                .map(|values| medians(&queries::NAMES, &[values]).into_iter().collect())
        } else if self.curve {
            Self::curve(durability)
        } else {
            self.measure(durability)
        };
        match outcome {
            Ok(figures) => {
                self.print(&figures, durability);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("bench: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self, durability: Durability) -> Result<Map<String, Value>, String> {
        let mut told = Map::new();
        let figures: &[Figure] = if self.schedules { &SCHEDULES } else { &FIGURES };
        for (names, figure) in figures {
            if names.iter().any(|name| name.starts_with(&self.only)) {
                let count = if names[0].starts_with(MADE_ONCE) { 1 } else { ROUNDS };
                let rounds = (0..count).map(|_| figure(durability)).collect::<Result<Vec<_>, _>>()?;
                told.extend(medians(names, &rounds));
            }
        }
        Ok(told)
    }

    /// Each round measures all points in turn, so that an hour in which the machine does less is no slope.
    fn curve(durability: Durability) -> Result<Map<String, Value>, String> {
        let mut rounds = BACKLOGS.map(|_| Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            for (backlog, rounds) in BACKLOGS.into_iter().zip(&mut rounds) {
                rounds.push(figures::with_backlog(backlog, durability)?);
            }
        }
        let mut told = Map::new();
        for (backlog, rounds) in BACKLOGS.into_iter().zip(&rounds) {
            let names = [format!("enqueue_bulk_s with {backlog}"), format!("process_s with {backlog}")];
            told.extend(medians(&names, rounds));
        }
        Ok(told)
    }

    fn print(&self, figures: &Map<String, Value>, durability: Durability) {
        if self.json || matches!(self.what, Some(What::Queries { json: true })) {
            let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
            println!("{:#}", json!({ "synchronous": synchronous, "figures": figures }));
        } else {
            for (name, value) in figures {
                println!("{name:<32} {value}");
            }
        }
    }
}

/// The median of each of a figure's values over the rounds; all of them are told on the way.
fn medians(names: &[impl AsRef<str>], rounds: &[Vec<f64>]) -> Vec<(String, Value)> {
    let median = |(index, name): (usize, &dyn AsRef<str>)| {
        let name = name.as_ref();
        let mut values: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
        values.sort_by(f64::total_cmp);
        eprintln!("{name}: {values:.3?}");
        (name.to_owned(), json!((values[values.len() / 2] * 1000.0).round() / 1000.0))
    };
    names.iter().enumerate().map(|(index, name)| median((index, name))).collect()
}
