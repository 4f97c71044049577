//! The simulation, the mutants and random templates from the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod templates_command;

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
    /// Renders random templates with Jinja2 and with Pumice.
    Templates(templates_command::Templates),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Sim(sim) => sim.run(),
        Command::Mutants(mutants) => mutants.run(),
        Command::Templates(templates) => templates.run(),
    }
}
