//! The simulation, the mutants and the benchmark from the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
#[cfg(feature = "standins")]
mod cold_start;
mod commands;
#[cfg(feature = "standins")]
mod dispatch_rate;
mod templates_command;
mod torture_command;

/// Tests of Pumice that take longer than a test.
#[derive(Parser)]
#[command(name = "pumice-testing")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulates the life of runs while everything fails.
    Sim(commands::Sim),
    /// Puts in deliberate bugs and looks whether the simulation sees each.
    Mutants(commands::Mutants),
    /// Measures the embedded engine.
    Bench(bench::Bench),
    /// Measures how fast the functions start, beside lava.
    #[cfg(feature = "standins")]
    ColdStart(cold_start::ColdStart),
    /// Measures dispatch through a stand-in for AWS.
    #[cfg(feature = "standins")]
    DispatchRate(dispatch_rate::DispatchRate),
    /// Kills `pumice serve` at random while jobs of every kind run.
    Torture(torture_command::TortureCommand),
    /// Renders random templates with Jinja2 and with Pumice.
    Templates(templates_command::Templates),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Sim(sim) => sim.run(),
        Command::Mutants(mutants) => mutants.run(),
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "standins")]
        Command::ColdStart(start) => start.run(),
        #[cfg(feature = "standins")]
        Command::DispatchRate(rate) => rate.run(),
        Command::Torture(torture) => torture.run(),
        Command::Templates(templates) => templates.run(),
    }
}
