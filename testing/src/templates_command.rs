//! Templates compared with Jinja2, from the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use pumice_testing::templates::{Beside, Difference};

/// Most differences that are shown in full.
const MAX_SHOWN: usize = 40;

/// Renders random templates with Jinja2 and with Pumice.
#[derive(Args)]
pub(crate) struct Templates {
    /// How many.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; one from the clock if not given.
    #[arg(long)]
    from: Option<u64>,
    /// A Python that has lava.
    #[arg(long, env = "PUMICE_PYTHON")]
    python: PathBuf,
}

impl Templates {
    pub(crate) fn run(&self) -> ExitCode {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let from = self.from.unwrap_or(now % 1_000_000_000_000);
        match self.differences(from) {
            Ok(found) => report(from, self.seeds, &found),
            Err(error) => {
                eprintln!("templates: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn differences(&self, from: u64) -> std::io::Result<Vec<Difference>> {
        let mut beside = Beside::start(&self.python)?;
        let mut found = Vec::new();
        for seed in from..from + self.seeds {
            found.extend(beside.compare(seed)?);
        }
        Ok(found)
    }
}

fn report(from: u64, count: u64, found: &[Difference]) -> ExitCode {
    let differ: Vec<&Difference> = found.iter().filter(|difference| difference.meant.is_none()).collect();
    for difference in differ.iter().take(MAX_SHOWN) {
        println!("seed {}: {}", difference.seed, difference.template);
        println!("  Jinja2: {:?}\n  Pumice: {:?}", difference.jinja, difference.pumice);
    }
    println!("from seed {from}, meant {}", found.len() - differ.len());
    println!("templates {count}, differ {}", differ.len());
    if differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
