//! The torture test from the command line.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use pumice_testing::torture::{Torture, pumice_beside};

/// Kills `pumice serve` at random while jobs of every kind run.
#[derive(Args)]
pub(crate) struct TortureCommand {
    /// How often it is killed.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// How many jobs are asked for.
    #[arg(long, default_value_t = 5_000)]
    jobs: usize,
    /// The seed of what is asked for and when it is killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl TortureCommand {
    /// Does it, and says what came of it.
    pub(crate) fn run(&self) -> ExitCode {
        let began = Instant::now();
        let torture = Torture { kills: self.kills, jobs: self.jobs, seed: self.seed };
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
            self.jobs,
            survived.runs,
            survived.commands,
            survived.crashes,
            survived.wrong.len(),
            began.elapsed().as_secs_f64()
        );
        if survived.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
