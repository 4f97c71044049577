//! Arguments of the commands that pause jobs, workers and the realm.

use clap::{Args, Subcommand};
use pumice_core::duration::Span;
use pumice_core::ids::WorkerName;

/// How something is paused.
#[derive(Debug, Args)]
pub(crate) struct PauseTerms {
    /// Until when: ISO 8601, local time unless it names a zone, or for how long, as in 2h; default: until it is resumed
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Why, for others to read
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workers {
    /// List workers: what waits for them, whether their hosts are alive, whether they are paused
    List {
        /// Only workers that these terms mean, as 'worker:gpu* status:paused'; the time of since: is that of a host's last sign
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Pause workers: runs for them that have not begun wait; what has begun goes on
    Pause {
        /// The workers
        #[arg(required = true, value_name = "WORKER")]
        workers: Vec<WorkerName>,
        #[command(flatten)]
        terms: PauseTerms,
    },
    /// Drain workers: pause them, and say what they have begun and not ended
    Drain {
        /// The workers
        #[arg(required = true, value_name = "WORKER")]
        workers: Vec<WorkerName>,
        #[command(flatten)]
        terms: PauseTerms,
        /// Wait until all that they have begun has ended; exit status 1 when some has not
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
        /// How long to wait at most, as in 30m
        #[arg(long, value_name = "DURATION", requires = "wait", default_value = "1d", value_parser = Span::parse)]
        timeout: Span,
    },
    /// Resume workers: what waited starts at once
    Resume {
        /// The workers
        #[arg(required = true, value_name = "WORKER")]
        workers: Vec<WorkerName>,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pools {
    /// List pools: how many runs run at once, and how many wait
    List {
        /// Only pools that these terms mean, as 'pool:db* job:etl/*'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Maintenance {
    /// Pause the whole realm: no run begins; what has begun goes on
    On {
        #[command(flatten)]
        terms: PauseTerms,
    },
    /// End the pause of the whole realm: what waited starts at once
    Off {
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}
