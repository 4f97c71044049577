//! How fast the embedded engine is: the whole path, on a file, from request to record.

mod figures;
mod realm;
mod serve;

use std::process::ExitCode;

use clap::Args;
use pumice_local::Durability;
use serde_json::{Map, Value, json};

/// How often each figure is measured; the median is told.
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
    /// Measure how speed changes with the number of waiting runs instead.
    #[arg(long)]
    curve: bool,
}

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

impl Bench {
    /// Measures and prints.
    pub(crate) fn run(&self) -> ExitCode {
        let durability = if self.durable { Durability::Full } else { Durability::Normal };
        let outcome = if self.curve { figures::curve(durability) } else { self.measure(durability) };
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
        let mut medians = Map::new();
        for (names, figure) in FIGURES {
            if !names.iter().any(|name| name.starts_with(&self.only)) {
                continue;
            }
            let mut rounds = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                rounds.push(figure(durability)?);
            }
            for (index, name) in names.iter().enumerate() {
                let mut values: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
                values.sort_by(f64::total_cmp);
                eprintln!("{name}: {values:.3?}");
                medians.insert((*name).to_owned(), json!((values[ROUNDS / 2] * 1000.0).round() / 1000.0));
            }
        }
        Ok(medians)
    }

    fn print(&self, figures: &Map<String, Value>, durability: Durability) {
        if self.json {
            let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
            println!("{:#}", json!({ "synchronous": synchronous, "figures": figures }));
        } else {
            for (name, value) in figures {
                println!("{name:<24} {value}");
            }
        }
    }
}
