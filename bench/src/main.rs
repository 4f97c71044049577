//! Measurements and torture tests from the command line. Every command prints its [`Report`], as text or with `--json`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pumice_bench::report::Report;

#[cfg(feature = "standins")]
mod cold_start;
mod compare;
#[cfg(feature = "standins")]
mod dispatch_rate;
mod embedded;
mod torture_command;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measurements and torture tests of Pumice.
#[derive(Parser)]
#[command(name = "pumice-bench")]
struct Cli {
    /// Print JSON: the medians, the rounds, the machine's load and the command.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures the embedded engine.
    Bench(embedded::Bench),
    /// Runs two programs in turn, and compares their figures.
    Compare(compare::Compare),
    /// The same as `bench queries`.
    Queries,
    /// Measures how fast the functions start, in comparison with lava.
    #[cfg(feature = "standins")]
    ColdStart(cold_start::ColdStart),
    /// Measures dispatch through a stand-in for AWS.
    #[cfg(feature = "standins")]
    DispatchRate(dispatch_rate::DispatchRate),
    /// Kills `pumice serve` at random while jobs of every kind run.
    Torture(torture_command::TortureCommand),
}

impl Command {
    fn run(&self, report: &mut Report) -> Result<(), String> {
        match self {
            Self::Bench(bench) => bench.run(report),
            Self::Compare(compare) => compare.run(report),
            Self::Queries => embedded::Bench::of_queries().run(report),
            #[cfg(feature = "standins")]
            Self::ColdStart(cold_start::ColdStart) => cold_start::ColdStart::run(report),
            #[cfg(feature = "standins")]
            Self::DispatchRate(dispatch_rate::DispatchRate) => dispatch_rate::DispatchRate::run(report),
            Self::Torture(torture) => torture.run(report),
        }
    }
}

fn main() -> ExitCode {
    let Cli { json, command } = Cli::parse();
    let mut report = Report::begin();
    if let Err(error) = command.run(&mut report) {
        eprintln!("pumice-bench: {error}");
        return ExitCode::FAILURE;
    }
    report.end();
    println!("{}", report.shown(json));
    if report.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
