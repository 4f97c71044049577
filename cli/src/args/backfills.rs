//! Arguments of the commands about backfills.

use clap::{Args, Subcommand, ValueEnum};
use pumice_core::clock::backfill::Only;
use pumice_core::ids::JobId;

/// Which slots a backfill starts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Slots {
    /// Those without a run
    Missing,
    /// Those whose newest run ended, and did not complete
    Failed,
    /// All
    All,
}

impl From<Slots> for Only {
    fn from(slots: Slots) -> Self {
        match slots {
            Slots::Missing => Self::Missing,
            Slots::Failed => Self::Failed,
            Slots::All => Self::All,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Backfill {
    /// The job
    pub(crate) job: JobId,
    /// The first time that a slot may have: ISO 8601, local time unless it names a zone
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// The last, which must not be in the future; a date alone means that whole day
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// Read --from and --to in this zone: an IANA name
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Only this entry, counted from 0 as in `schedules list`
    #[arg(long, value_name = "N")]
    pub(crate) entry: Option<usize>,
    /// Which slots are started
    #[arg(long, value_name = "WHICH", default_value = "missing")]
    pub(crate) only: Slots,
    /// At most so many of its runs are under way at the same time, up to 100
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) max_active: u32,
    /// The newest slot first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Why, for others to read
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Asked for again with the same key it is the same backfill; default: a key made from the request
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Show what would be started, and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Backfills {
    /// List backfills, the newest first
    List {
        /// Only jobs whose id matches: * any text, ? one character
        #[arg(long, value_name = "PATTERN")]
        job: Option<String>,
        /// Only backfills that these terms mean, as 'job:etl/* status:active,stopped who:ada since:7d'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Show a backfill: how far it has come, what runs, what did not complete
    Show {
        /// Its id
        id: String,
    },
    /// Cancel a backfill: it starts nothing more
    Cancel {
        /// Its id
        id: String,
        /// Cancel its runs that are under way, too
        #[arg(long)]
        runs: bool,
        /// Why, for others to read
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Have a backfill go on that was cancelled or has stopped
    Resume {
        /// Its id
        id: String,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}
