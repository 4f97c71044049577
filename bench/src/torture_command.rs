//! The torture test from the command line.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use pumice_bench::report::Report;
use pumice_bench::torture::clock::ClockTorture;
use pumice_bench::torture::edge::Edge;
use pumice_bench::torture::{Torture, pumice_beside};

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
    /// Does it.
    pub(crate) fn run(&self, report: &mut Report) -> Result<(), String> {
        let (began, pumice) = (Instant::now(), pumice_beside()?);
        report.settings.insert("seed".to_owned(), self.seed.into());
        if self.edge {
            self.edge(&pumice, report)?;
        } else if self.clock {
            self.clock(&pumice, report)?;
        } else {
            self.serve(&pumice, report)?;
        }
        report.add("seconds", vec![began.elapsed().as_secs_f64()]);
        report.count("wrong", report.wrong.len());
        Ok(())
    }

    fn serve(&self, pumice: &Path, report: &mut Report) -> Result<(), String> {
        let jobs = self.jobs.unwrap_or(JOBS);
        let survived = Torture { kills: self.kills, jobs, seed: self.seed }.run(pumice)?;
        report.count("kills", self.kills);
        report.count("jobs", jobs);
        report.count("runs", survived.runs);
        report.count("commands", survived.commands);
        report.add("crashes", vec![f64::from(survived.crashes)]);
        report.wrong = survived.wrong;
        Ok(())
    }

    fn clock(&self, pumice: &Path, report: &mut Report) -> Result<(), String> {
        let starts = self.jobs.unwrap_or(CLOCK_STARTS);
        let struck = ClockTorture { kills: self.kills, starts, seed: self.seed }.run(pumice)?;
        report.count("kills", self.kills);
        report.count("starts", struck.runs);
        for (name, of_a_thousand) in [("late_p50_ms", 500), ("late_p99_ms", 990), ("late_last_ms", 1_000)] {
            report.add(name, vec![struck.late(of_a_thousand).as_seconds_f64() * 1_000.0]);
        }
        report.wrong = struck.wrong;
        Ok(())
    }

    fn edge(&self, pumice: &Path, report: &mut Report) -> Result<(), String> {
        let jobs = self.jobs.unwrap_or(EDGE_JOBS);
        let edge = Edge { rounds: self.rounds, jobs, at_once: self.at_once, seed: self.seed };
        let borne = edge.run(pumice)?;
        report.count("rounds", self.rounds);
        report.count("jobs", self.rounds * jobs);
        report.count("runs", borne.runs);
        report.count("commands", borne.commands);
        for (name, count) in &borne.harms {
            report.count(name, *count);
        }
        report.left_out.extend(borne.left_out);
        report.wrong = borne.wrong;
        Ok(())
    }
}
