//! The torture test from the command line.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use pumice_testing::torture::clock::ClockTorture;
use pumice_testing::torture::edge::Edge;
use pumice_testing::torture::{Torture, pumice_beside};

/// Kills `pumice serve` at random while jobs of every kind run.
#[derive(Args)]
pub(crate) struct TortureCommand {
    /// How often it is killed.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// How many jobs are asked for.
    #[arg(long)]
    jobs: Option<usize>,
    /// The seed of what is asked for and when it is killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tortures the edge of the engine instead: processes, files, outputs, restarts, hostile jobs.
    #[arg(long)]
    edge: bool,
    /// Tortures the clock instead: jobs that schedules start each second.
    #[arg(long, conflicts_with = "edge")]
    clock: bool,
    /// How many realms are tortured so.
    #[arg(long, default_value_t = 1, requires = "edge")]
    rounds: usize,
    /// How many of them at the same time.
    #[arg(long, default_value_t = 3, requires = "edge")]
    at_once: usize,
}

/// How many jobs are asked for by default.
const JOBS: usize = 5_000;
const EDGE_JOBS: usize = 2_000;
const CLOCK_STARTS: usize = 2_000;

impl TortureCommand {
    /// Does it, and says what came of it.
    pub(crate) fn run(&self) -> ExitCode {
        if self.edge {
            return self.edge();
        }
        if self.clock {
            return self.clock();
        }
        let began = Instant::now();
        let jobs = self.jobs.unwrap_or(JOBS);
        let torture = Torture { kills: self.kills, jobs, seed: self.seed };
        let survived = match pumice_beside().and_then(|pumice| torture.run(&pumice)) {
            Ok(survived) => survived,
            Err(error) => {
                eprintln!("torture: {error}");
                return ExitCode::FAILURE;
            }
        };
        for wrong in survived.wrong.iter().take(20) {
            println!("wrong: {wrong}");
        }
        println!(
            "kills {}, jobs {}, runs {}, commands {}, crashes {}, wrong {}, {:.0} s",
            self.kills,
            jobs,
            survived.runs,
            survived.commands,
            survived.crashes,
            survived.wrong.len(),
            began.elapsed().as_secs_f64()
        );
        if survived.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn clock(&self) -> ExitCode {
        let began = Instant::now();
        let starts = self.jobs.unwrap_or(CLOCK_STARTS);
        let torture = ClockTorture { kills: self.kills, starts, seed: self.seed };
        let struck = match pumice_beside().and_then(|pumice| torture.run(&pumice)) {
            Ok(struck) => struck,
            Err(error) => {
                eprintln!("torture: {error}");
                return ExitCode::FAILURE;
            }
        };
        for wrong in struck.wrong.iter().take(40) {
            println!("wrong: {wrong}");
        }
        let late = |of_a_thousand| struck.late(of_a_thousand).num_milliseconds();
        println!(
            "kills {}, starts {}, late by {} ms at the median, {} ms at p99, {} ms at most, wrong {}, {:.0} s",
            self.kills,
            struck.runs,
            late(500),
            late(990),
            late(1_000),
            struck.wrong.len(),
            began.elapsed().as_secs_f64()
        );
        if struck.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn edge(&self) -> ExitCode {
        let began = Instant::now();
        let jobs = self.jobs.unwrap_or(EDGE_JOBS);
        let edge = Edge { rounds: self.rounds, jobs, at_once: self.at_once, seed: self.seed };
        let borne = match pumice_beside().and_then(|pumice| edge.run(&pumice)) {
            Ok(borne) => borne,
            Err(error) => {
                eprintln!("torture: {error}");
                return ExitCode::FAILURE;
            }
        };
        for wrong in borne.wrong.iter().take(40) {
            println!("wrong: {wrong}");
        }
        if let Some(why) = &borne.left_out {
            println!("left out: {why}");
        }
        let harms: String = borne.harms.iter().map(|(name, count)| format!(", {name} {count}")).collect();
        println!(
            "rounds {}, jobs {}, runs {}, commands {}{harms}, wrong {}, {:.0} s",
            self.rounds,
            self.rounds * jobs,
            borne.runs,
            borne.commands,
            borne.wrong.len(),
            began.elapsed().as_secs_f64()
        );
        if borne.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
