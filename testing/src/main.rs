//! The simulation, the mutants and the benchmark from the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod commands;

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
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Sim(sim) => sim.run(),
        Command::Mutants(mutants) => mutants.run(),
        Command::Bench(bench) => bench.run(),
    }
}
