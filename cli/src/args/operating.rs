//! Arguments of the commands that inspect a realm and repair it.

use clap::{Args, Subcommand};
use pumice_core::duration::Span;
use pumice_core::ids::WorkerName;
use pumice_core::run::{Fingerprint, SpecOf};
use pumice_service::Expected;

use super::runs::spec_of;

#[derive(Debug, Subcommand)]
pub(crate) enum Operating {
    /// Show which runs failed lately, by cause, and do those of a cause again
    Failures(Failures),
    /// Show figures by job: how runs ended, how long they took and waited, and the trend
    Stats(Stats),
    /// Look a realm over, and say what puts it right
    Doctor(Doctor),
    /// Print the figures of a realm as Prometheus takes them
    Metrics,
    /// Look at dead letters: messages and requests that could not be handled
    #[command(subcommand)]
    Dead(Dead),
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Only runs that these terms mean, as 'job:etl/* since:7d'; without a since those of the last day
    #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Only runs dispatched within this time
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    pub(crate) since: Option<Span>,
    /// At most so many jobs
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Exit with 1 for warnings, too
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Failures {
    /// Only runs that these terms mean, as 'job:etl/* since:2d'; without a since those of the last day
    #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Only runs dispatched within this time
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    pub(crate) since: Option<Span>,
    /// At most so many causes
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Do all of them again that failed for this cause, as `runs retry` does
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) retry: Option<Fingerprint>,
    /// Run all steps again, and not only those that did not end well
    #[arg(long, requires = "retry")]
    pub(crate) all: bool,
    /// Which spec to use: latest, or pinned, which is the one that the runs had
    #[arg(long, value_name = "WHICH", default_value = "latest", value_parser = spec_of, requires = "retry")]
    pub(crate) spec: SpecOf,
    /// Only show how many would be done again, and the first of them
    #[arg(long, requires = "retry")]
    pub(crate) dry_run: bool,
    /// How many there were at a look, with its digest as it shows it: nothing is done where others are meant now
    #[arg(long, value_name = "N[:DIGEST]", requires = "retry")]
    pub(crate) expect: Option<Expected>,
    /// Only runs that were dispatched before this, as a look shows it: ISO 8601, local time unless it names a zone
    #[arg(long, value_name = "TIME", requires = "retry")]
    pub(crate) before: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List dead letters: why each could not be handled, and the status of its run
    List {
        /// Only letters that these terms mean, as 'worker:core reason:"no such job" since:2d'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        queues: Queues,
    },
    /// Show a dead letter, whole
    Show {
        /// The letter: its id or the beginning of it
        letter: String,
        #[command(flatten)]
        queues: Queues,
    },
    /// Hand dead letters out once more: the same runs as before, unless they have ended
    Redrive {
        #[command(flatten)]
        which: DeadLetters,
    },
    /// Remove dead letters for good
    Drop {
        #[command(flatten)]
        which: DeadLetters,
        /// Remove all that the terms mean without --expect
        #[arg(long, requires = "filter")]
        yes: bool,
    },
}

/// Queues that nothing names.
#[derive(Debug, Args)]
pub(crate) struct Queues {
    /// A worker that no job names; on AWS nothing lists the queues
    #[arg(long = "worker", value_name = "NAME")]
    pub(crate) workers: Vec<WorkerName>,
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct DeadLetters {
    /// The letters: their ids or the beginnings of them
    #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "LETTER")]
    pub(crate) letters: Vec<String>,
    /// All letters that these terms mean, as 'worker:core reason:"no such job"'
    #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Only show how many there are, and the first of them
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many there were at a look, with its digest as it shows it: nothing is done where others are meant now
    #[arg(long, value_name = "N[:DIGEST]", requires = "filter")]
    pub(crate) expect: Option<Expected>,
    #[command(flatten)]
    pub(crate) queues: Queues,
}
