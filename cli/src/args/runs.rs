//! Arguments of the commands about runs.

use clap::{Args, Subcommand};
use pumice_core::bulk::BulkOutcome;
use pumice_core::duration::Span;
use pumice_core::ports::PageCursor;
use pumice_core::run::{SpecOf, Status};
use pumice_core::size::parse_size;
use pumice_service::Expected;

use super::Given;

#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List runs, the newest first
    List {
        /// Only runs that these terms mean, as 'status:failed,rejected job:etl/* since:2d -worker:gpu'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
        /// Only runs of this job: * any text, ? one character
        #[arg(long, value_name = "PATTERN")]
        job: Option<String>,
        /// Only runs in this status; several with commas, or given more than once
        #[arg(long = "status", value_name = "STATUS", value_delimiter = ',')]
        statuses: Vec<Status>,
        /// Only runs dispatched within this time
        #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
        since: Option<Span>,
        /// Only runs dispatched longer ago than this
        #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
        until: Option<Span>,
        /// Only runs that this backfill made: its id, as `schedules backfills list` shows it
        #[arg(long, value_name = "ID")]
        backfill: Option<String>,
        /// The oldest first
        #[arg(long)]
        oldest: bool,
        /// Go on where an earlier list ended, which shows its cursor
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<PageCursor>,
        /// At most so many, up to 1,000; `runs export` gives all
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Children of chains and the like, too
        #[arg(long)]
        children: bool,
    },
    /// Show a run and everything it started
    Show {
        /// The run: its id or the beginning of it, latest, or latest:JOB
        #[arg(value_name = "RUN_ID")]
        run: String,
        /// Print it as one HTML document, to be kept or sent
        #[arg(long, conflicts_with = "output")]
        html: bool,
    },
    /// Say in one sentence why a run waits, or ended as it did
    Why {
        /// The run: its id or the beginning of it, latest, or latest:JOB
        #[arg(value_name = "RUN_ID")]
        run: String,
    },
    /// Print the records of runs, whole, the oldest first, one line of JSON each
    Export {
        /// Only runs that these terms mean, as 'job:etl/* since:90d'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
        /// Children of chains, dags and foreach, too
        #[arg(long)]
        children: bool,
    },
    /// Print what the commands of a run, and of its children, printed
    Output(PrintedOutput),
    /// Do a run again that has ended, by a new run that keeps the steps that ended well
    Retry(RetryRuns),
    /// Ask runs to stop: one that waits never starts, one that runs is stopped
    Cancel {
        /// Why, for others to read: the runs' records say so
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// The runs: their ids or the beginnings of them, latest, or latest:JOB
        #[arg(
            required_unless_present = "bulk_filter",
            conflicts_with = "bulk_filter",
            value_name = "RUN_ID"
        )]
        runs: Vec<String>,
        #[command(flatten)]
        bulk: Bulk,
    },
    /// Remove the records of runs that have ended, with what their commands printed
    Delete {
        #[command(flatten)]
        bulk: Bulk,
    },
    /// Look at acts on many runs, which cancel, retry and delete have begun with --where; stop and resume them
    #[command(subcommand)]
    Bulk(BulkActs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BulkActs {
    /// List acts on many runs, the newest first
    List {
        /// Only acts that these terms mean, as 'act:delete status:stopped,failed who:ada since:7d'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show an act: how far it has come, and what became of each run
    Show {
        /// Its id
        id: String,
        /// Only receipts with this outcome, as refused
        #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
        outcome: Option<BulkOutcome>,
        /// Go on where an earlier answer ended, which shows its cursor
        #[arg(long, value_name = "N", default_value_t = 0)]
        cursor: u64,
    },
    /// Stop an act: at most the 500 runs that it has in hand are dealt with yet
    Stop {
        /// Its id
        id: String,
        /// Why, for others to read
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Go on with an act that was stopped, has failed or was interrupted, to its end
    Resume {
        /// Its id
        id: String,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

fn outcome(text: &str) -> Result<BulkOutcome, String> {
    let found = BulkOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == text);
    found.ok_or_else(|| {
        let all: Vec<&str> = BulkOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        format!("it is one of {}", all.join(", "))
    })
}

#[derive(Debug, Args)]
pub(crate) struct PrintedOutput {
    /// The run: its id or the beginning of it, latest, or latest:JOB
    #[arg(value_name = "RUN_ID")]
    pub(crate) run: String,
    /// Go on with what is printed until the run has ended, and end as it does; waits for its start
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How much of what is there already is printed first, as 64K or 1M
    #[arg(long, value_name = "SIZE", requires = "follow", default_value = "64KiB", value_parser = tail)]
    pub(crate) tail: u64,
    /// Only of this step and those below it: the id of its job, or its place as /1.2
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Only of steps that have not ended longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    pub(crate) since: Option<Span>,
    /// One output from this byte on, of a run that goes on too; a note says where to go on
    #[arg(long, value_name = "BYTE", conflicts_with_all = ["follow", "since"])]
    pub(crate) from: Option<u64>,
    /// The output of --from: stderr, or a payload and its stream as load.sh.stdout
    #[arg(long, value_name = "NAME", requires = "from", default_value = "stdout")]
    pub(crate) name: String,
    /// The attempt of --from: else the last one that printed something
    #[arg(long, value_name = "N", requires = "from")]
    pub(crate) attempt: Option<u32>,
}

fn tail(text: &str) -> Result<u64, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    u64::try_from(size).map_err(|_| format!("{text} is negative: give a size from 0"))
}

/// All runs that some terms mean.
#[derive(Debug, Args)]
pub(crate) struct Bulk {
    /// All runs that these terms mean, as 'status:waiting job:etl/*'
    #[arg(id = "bulk_filter", long = "where", value_name = "TERMS", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Only show how many there are, and the first of them
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many there were at a look, with its digest as it shows it: nothing is done where others are meant now
    #[arg(long, value_name = "N[:DIGEST]", requires = "bulk_filter")]
    pub(crate) expect: Option<Expected>,
    /// Only runs that were dispatched before this, as a look shows it: ISO 8601, local time unless it names a zone
    #[arg(long, value_name = "TIME", requires = "bulk_filter")]
    pub(crate) before: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RetryRuns {
    /// The run: its id or the beginning of it, latest, or latest:JOB
    #[arg(required_unless_present = "bulk_filter", conflicts_with = "bulk_filter", value_name = "RUN_ID")]
    pub(crate) runs: Option<String>,
    /// Keep the steps that ended well, and run the others: what is done anyway
    #[arg(long, conflicts_with_all = ["from", "all"])]
    pub(crate) from_failed: bool,
    /// Run this step again and all after it: the id of its job, or its place as /1.2; an item has its number in brackets behind the id
    #[arg(long, value_name = "STEP", conflicts_with_all = ["all", "bulk_filter"])]
    pub(crate) from: Option<String>,
    /// Run all steps again
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) given: Given,
    /// Which spec to use: latest, or pinned, which is the one that the run had
    #[arg(long, value_name = "WHICH", default_value = "latest", value_parser = spec_of)]
    pub(crate) spec: SpecOf,
    /// Idempotency key: the same asked with one key makes one run
    #[arg(long, conflicts_with = "bulk_filter")]
    pub(crate) key: Option<String>,
    /// Do it again although it has been done again before: what its steps do may then be done twice
    #[arg(long, conflicts_with = "bulk_filter")]
    pub(crate) once_more: bool,
    #[command(flatten)]
    pub(crate) bulk: Bulk,
}

pub(super) fn spec_of(text: &str) -> Result<SpecOf, String> {
    match text {
        "latest" => Ok(SpecOf::Latest),
        "pinned" => Ok(SpecOf::Pinned),
        _ => Err("it is either latest or pinned".to_owned()),
    }
}
