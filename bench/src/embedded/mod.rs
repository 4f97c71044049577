//! How fast the embedded engine is: the whole path, on a file, from request to record.

mod console;
mod figures;
mod history;
mod operating;
mod queries;
mod realm;
mod schedules;
mod serve;
mod triggers;

use clap::{Args, Subcommand, value_parser};
use pumice_bench::report::Report;
use pumice_local::Durability;

/// How often each figure is measured, unless its realm is made once; the report gives the median.
const ROUNDS: u32 = 5;

/// Measures the embedded engine, each figure five times, and prints the medians.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Wait for the disk with each commit: SQLite's synchronous=FULL.
    #[arg(long)]
    durable: bool,
    /// Measure only figures whose name begins so.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Measure each figure so often.
    #[arg(long, value_name = "COUNT", default_value_t = ROUNDS, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// Start each command in a cgroup of its own, where there may be one.
    #[arg(long)]
    cgroups: bool,
    /// Measure how speed changes with the number of waiting runs instead.
    #[arg(long)]
    curve: bool,
    /// Measure the clock instead.
    #[arg(long)]
    schedules: bool,
    /// Measure the console instead, in a realm with a million runs; once.
    #[arg(long)]
    console: bool,
    /// Another measurement in place of these.
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists and trees of a realm with a million runs, while 1,000 a second are processed; once.
    Queries,
    /// Operators' waits: a file of a million requests, a bulk cancel, a retry, a backup; once.
    Operating,
    /// A file with up to ten million ended runs, and the expiry of a million while others are processed; once. Needs 20 GB.
    History,
    /// From a file that comes to a bucket to the start of its trigger's run, a hundred files a second; once.
    Triggers,
}

/// How many runs wait, at the points of the curve.
const BACKLOGS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A figure: its names, and one measurement of it.
type Figure = (&'static [&'static str], fn(Durability) -> Result<Vec<f64>, String>);

/// In the order in which they are printed.
const FIGURES: [Figure; 12] = [
    (&["sqlite_s"], figures::sqlite),
    (&["enqueue_s"], figures::enqueue),
    (&["enqueue_16_s"], figures::enqueue_16),
    (&["enqueue_bulk_s"], figures::enqueue_bulk),
    (&["process_s", "process_cpu_us"], figures::process),
    (&["process_100k_s", "process_100k_cpu_us"], figures::process_100k),
    (&["cmd_true_s"], figures::cmd_true),
    (&["exe_1mb_more_ms"], figures::payload),
    (&["lat_p50_ms", "lat_p99_ms"], figures::latency),
    (&["chain_child_ms"], figures::chain_child),
    (&["dag_child_ms", "foreach_child_ms"], figures::other_children),
    (&["rss_mb", "startup_ms"], serve::measure),
];

/// Measured once: to make the realm takes most of the time, and the figure is a median already.
const MADE_ONCE: &str = "100000_daily";

/// Figures of the clock.
const SCHEDULES: [Figure; 2] = [
    (&["1000_at_once_p50_ms", "1000_at_once_p99_ms", "1000_at_once_last_ms"], schedules::together),
    (&["100000_daily_look_cpu_ms", "100000_daily_first_look_s", "100000_daily_more_mb"], schedules::daily),
];

impl Bench {
    /// Measures the answers to queries alone.
    pub(crate) const fn of_queries() -> Self {
        Self {
            durable: false,
            only: String::new(),
            rounds: ROUNDS,
            cgroups: false,
            curve: false,
            schedules: false,
            console: false,
            what: Some(What::Queries),
        }
    }

    /// Measures.
    pub(crate) fn run(&self, report: &mut Report) -> Result<(), String> {
        let durability = if self.durable { Durability::Full } else { Durability::Normal };
        let synchronous = if self.durable { "FULL" } else { "NORMAL" };
        report.settings.insert("synchronous".to_owned(), synchronous.into());
        report.settings.insert("cgroups".to_owned(), self.cgroups.into());
        if self.cgroups {
            pumice_host::processes::use_cgroups();
        }
        match self.what {
            Some(What::Queries) => report.add_all(&queries::NAMES, &[queries::measure(durability)?]),
            Some(What::Operating) => {
                report.add_all(&operating::NAMES, &[operating::measure(durability)?]);
                for (name, goal) in operating::GOALS {
                    report.goal(name, goal);
                }
            }
            Some(What::History) => {
                for ended in history::POINTS {
                    let names = history::NAMES.map(|name| format!("{name} with {ended}"));
                    measured(report, &names, &[history::with_ended(ended, durability)?]);
                }
                measured(report, &history::EXPIRY, &[history::expiry(durability)?]);
                report.goal("slower_percent", 10.0);
            }
            Some(What::Triggers) => report.add_all(&triggers::NAMES, &[triggers::measure(durability)?]),
            None if self.console => {
                report.add_all(&console::NAMES, &[console::measure(durability)?]);
                for (name, goal) in console::GOALS {
                    report.goal(name, goal);
                }
            }
            None if self.curve => self.curve(durability, report)?,
            None => self.measure(durability, report)?,
        }
        Ok(())
    }

    fn measure(&self, durability: Durability, report: &mut Report) -> Result<(), String> {
        let figures: &[Figure] = if self.schedules { &SCHEDULES } else { &FIGURES };
        for (names, figure) in figures {
            if names.iter().any(|name| name.starts_with(&self.only)) {
                let count = if names[0].starts_with(MADE_ONCE) { 1 } else { self.rounds };
                let rounds = (0..count).map(|_| figure(durability)).collect::<Result<Vec<_>, _>>()?;
                measured(report, names, &rounds);
            }
        }
        if report.medians.is_empty() {
            return Err(format!("no figure's name begins with {:?}", self.only));
        }
        Ok(())
    }

    /// Each round measures all points in turn, so that an hour in which the machine does less is not a slope.
    fn curve(&self, durability: Durability, report: &mut Report) -> Result<(), String> {
        let mut rounds = BACKLOGS.map(|_| Vec::new());
        for _ in 0..self.rounds {
            for (backlog, rounds) in BACKLOGS.into_iter().zip(&mut rounds) {
                rounds.push(figures::with_backlog(backlog, durability)?);
            }
        }
        for (backlog, rounds) in BACKLOGS.into_iter().zip(&rounds) {
            let names = [format!("enqueue_bulk_s with {backlog}"), format!("process_s with {backlog}")];
            measured(report, &names, rounds);
        }
        Ok(())
    }
}

/// Adds figures to the report, and shows what their rounds measured: the next figure may take minutes.
fn measured(report: &mut Report, names: &[impl AsRef<str>], rounds: &[Vec<f64>]) {
    report.add_all(names, rounds);
    for name in names {
        let name = name.as_ref();
        eprintln!("{name}: {}", report.rounds[name]);
    }
}
