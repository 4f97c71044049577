//! Arguments of the command line.

mod audit;
mod backfills;
mod connections;
mod console;
mod global;
mod operating;
mod pauses;
mod payloads;
mod runs;
mod specs;
mod triggers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pumice_core::duration::Span;
use pumice_core::ids::{BadName, JobId, StateId, WorkerName};

pub(crate) use audit::Audit;
pub(crate) use backfills::{Backfill as NewBackfill, Backfills};
pub(crate) use connections::{Connections, Secrets};
pub(crate) use console::{Console, Doors, Trust};
pub(crate) use global::{Format, Global};
pub(crate) use operating::{Dead, DeadLetters, Doctor, Failures, Operating, Stats};
pub(crate) use pauses::{Maintenance, PauseTerms, Pools, Workers};
pub(crate) use payloads::Payloads;
pub(crate) use runs::{Bulk, BulkActs, PrintedOutput, RetryRuns, Runs};
pub(crate) use specs::{Apply, Check, Dag, DagFrom, Export, Plan, Sources};
pub(crate) use triggers::Triggers;

const AFTER_HELP: &str = "\
Examples:
  pumice run --jobs examples/jobs demo/nightly   run a job here and now, with all that it starts
  pumice check jobs                              check the job specs of a folder
  pumice serve & pumice apply jobs               keep a realm in .pumice, and give it jobs
  pumice dispatch etl/load -p day=2026-03-01     ask for a run
  pumice runs list --status failed               look at what went wrong

Exit status: 0 done, 1 a run failed, 2 the request or a spec was wrong, 3 the store could not be reached.";

/// Config-driven job runner: lava without servers.
#[derive(Debug, Parser)]
#[command(name = "pumice", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one job here and now, in a realm that is made for it, and follow it to its end
    Run(Run),
    /// Run the jobs of a realm's folder until Ctrl-C
    Serve(Serve),
    /// Show a realm in a browser until Ctrl-C: its runs, jobs and schedules
    Console(Console),
    /// Run the jobs of one worker of a realm on AWS until Ctrl-C
    #[cfg(feature = "aws")]
    Worker(Worker),
    /// Add and update job specs; with --prune, delete those that the files no longer have
    Apply(Apply),
    /// Show what `apply` would do, field by field
    Plan(Plan),
    /// Check job specs, together with those of the realm that is there
    Check(Check),
    /// Write everything that a realm has as files that `apply` takes back
    Export(Export),
    /// Make the payload of a dag from a table
    #[command(subcommand)]
    Dag(Dag),
    /// Look at the realm's definition
    #[command(subcommand)]
    Realm(OfRealm),
    /// Look at job specs
    #[command(subcommand)]
    Jobs(Jobs),
    /// Look at workers, and pause them
    #[command(subcommand)]
    Workers(Workers),
    /// Look at pools: how many runs run at once, and how many wait
    #[command(subcommand)]
    Pools(Pools),
    /// Pause the whole realm: no run begins, what has begun goes on
    #[command(subcommand)]
    Maintenance(Maintenance),
    /// Look at the acts on the realm, with their actor, time and origin
    #[command(subcommand)]
    Audit(Audit),
    /// Copy a realm's folder into a file, while it is served
    Backup {
        /// The file, which must not exist
        file: PathBuf,
    },
    /// Restore a backup into the folder of --home, which must be empty or not exist; the realm is paused then
    Restore {
        /// The backup
        file: PathBuf,
        /// Check the backup whole, show what would be restored and what is in the way, and restore nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask for runs of jobs
    Dispatch(Dispatch),
    /// Look at runs, and cancel them
    #[command(subcommand)]
    Runs(Runs),
    #[command(flatten)]
    Operating(Operating),
    /// Look at what the clock starts, and pause it
    #[command(subcommand)]
    Schedules(Schedules),
    /// Look at what starts jobs for objects, and try it
    #[command(subcommand)]
    Triggers(Triggers),
    /// Look at what exe and pkg jobs run, and put it there
    #[command(subcommand)]
    Payloads(Payloads),
    /// Look at state items, and change them
    #[command(subcommand)]
    State(State),
    /// Look at connections
    #[command(subcommand)]
    Connections(Connections),
    /// Set the secrets of a realm's folder
    #[command(subcommand)]
    Secrets(Secrets),
    /// Show payload and parameters of a job as they would run
    Render(Render),
    /// Render a template, to try things out
    Template(Template),
    /// Print a JSON Schema
    Schema {
        /// Of what
        #[arg(default_value = "job")]
        of: SchemaOf,
    },
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum OfRealm {
    /// Show the realm's name, its zone and its definition
    Show,
}

/// The documents that have schemas.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    Job,
    Realm,
    Trigger,
    Connection,
}

/// Where the commands of jobs get cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cgroups {
    /// Where this process's own cgroup is delegated to it, or is the root of all that it can see
    Auto,
    /// Nowhere
    Off,
}

/// How commands of jobs are held together.
#[derive(Debug, Args)]
pub(crate) struct Containment {
    /// Whether each command runs in a cgroup of its own, by which all that it started is found
    #[arg(
        long,
        value_name = "WHERE",
        env = "PUMICE_CGROUPS",
        default_value = "auto",
        hide_short_help = true
    )]
    pub(crate) cgroups: Cgroups,
}

/// Input of a job in addition to its spec.
#[derive(Debug, Default, Args)]
pub(crate) struct Given {
    /// A global, a text; NAME:=JSON gives a number, true, false or a list; dots in the name nest
    #[arg(short, long = "global", value_name = "NAME=VALUE")]
    pub(crate) globals: Vec<String>,
    /// A parameter in the same way
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The job
    pub(crate) job: JobId,
    /// Where job specs are: a file or a folder; default: the jobs of the realm's folder
    #[arg(long, value_name = "PATH")]
    pub(crate) jobs: Vec<PathBuf>,
    /// The folder of payloads; default: what the realm says
    #[arg(long, value_name = "DIR")]
    pub(crate) payloads: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) given: Given,
    /// Keep the realm that is made for the run, in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// How many jobs run at the same time
    #[arg(long, value_name = "N", default_value_t = pumice_local::SLOTS)]
    pub(crate) slots: usize,
    #[command(flatten)]
    pub(crate) containment: Containment,
    /// A skipped run counts as complete
    #[arg(long)]
    pub(crate) allow_skipped: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Serve only this worker's queue; may be given more than once
    #[arg(long = "worker", value_name = "NAME")]
    pub(crate) workers: Vec<WorkerName>,
    /// How many jobs run at the same time
    #[arg(long, value_name = "N", default_value_t = pumice_local::SLOTS)]
    pub(crate) slots: usize,
    #[command(flatten)]
    pub(crate) containment: Containment,
    /// Which writes survive a power failure, too: all of them, at the cost of speed
    #[arg(long)]
    pub(crate) durable: bool,
    #[command(flatten)]
    pub(crate) drain: Drain,
    /// Show the realm in a browser, too, as `pumice console` does
    #[arg(long)]
    pub(crate) console: bool,
    #[command(flatten)]
    pub(crate) doors: Doors,
    /// How long a claim holds unless it is extended; for tests, in which a server stands still for longer
    #[arg(long, value_name = "DURATION", default_value = "5m", hide = true)]
    pub(crate) lease: Span,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// How long running jobs may go on once asked to stop, as in 30s; then they are stopped, to be made again
    #[arg(long, value_name = "DURATION", env = "PUMICE_DRAIN", default_value = "30s")]
    pub(crate) drain: Span,
}

#[cfg(feature = "aws")]
#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// The worker
    pub(crate) name: WorkerName,
    /// How many jobs run at the same time
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) slots: usize,
    #[command(flatten)]
    pub(crate) containment: Containment,
    #[command(flatten)]
    pub(crate) drain: Drain,
}

/// The id of a job that may be stored under the rules of an earlier version.
fn stored_id(text: &str) -> Result<JobId, BadName> {
    JobId::stored(text)
}

/// The id of a state item that may be stored under the rules of an earlier version.
fn stored_state(text: &str) -> Result<StateId, BadName> {
    StateId::stored(text)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List jobs
    List {
        /// Only jobs whose id matches: * any text, ? one character
        pattern: Option<String>,
        /// Only jobs that these terms mean, as 'job:etl/* worker:core -type:log tag:nightly'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Show a job's spec
    Show {
        /// The job
        #[arg(value_parser = stored_id)]
        job: JobId,
    },
    /// Pause jobs: their runs that have not begun wait; what has begun goes on
    Pause {
        /// The jobs, by id or pattern: * any text, ? one character
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
        #[command(flatten)]
        terms: PauseTerms,
    },
    /// Resume jobs, named as they were paused: what waited starts at once
    Resume {
        /// The jobs, as they were paused
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete jobs; their runs stay
    Delete {
        /// The jobs, by id or pattern: * any text, ? one character
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
        /// Show what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Dispatch {
    /// The jobs
    #[arg(value_name = "JOB", required_unless_present = "file")]
    pub(crate) jobs: Vec<JobId>,
    /// Any number of requests, as text or JSON, from a file or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jobs", "globals", "params", "delay", "at"])]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) given: Given,
    /// How long to wait before the start, at most 15m
    #[arg(short, long, value_name = "DURATION", value_parser = Span::parse, allow_hyphen_values = true)]
    pub(crate) delay: Option<Span>,
    /// When to start: ISO 8601, local time unless it names a zone
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    pub(crate) at: Option<String>,
    /// Idempotency key: requests of one job with one key make one run; with --file, a name under which the file
    /// can be given again, and what was taken is not taken twice
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Go on with a file where a dispatch of it was interrupted: the name that it printed
    #[arg(long, value_name = "NAME", requires = "file", conflicts_with = "key")]
    pub(crate) resume: Option<String>,
    /// Wait for the runs, and everything they start, to end; the exit status is 1 unless all complete
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: a skipped run counts as complete
    #[arg(long, requires = "wait")]
    pub(crate) allow_skipped: bool,
    /// Check every request and show the runs that would be made; dispatch nothing
    #[arg(long, conflicts_with_all = ["wait", "resume"])]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schedules {
    /// List the entries of schedules: what they say, their next start, the last that the clock made, their state
    ///
    /// LAST is the last slot that the clock started or passed over; what `schedules run` and backfills started does not count.
    List {
        /// Only jobs whose id matches: * any text, ? one character
        #[arg(long, value_name = "PATTERN")]
        job: Option<String>,
        /// Only entries of jobs that these terms mean, as 'job:etl/* worker:core -type:log tag:nightly'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Show the next starts, each in UTC and in its zone
    Next(NextStarts),
    /// Pause entries: they start nothing until they are resumed
    Pause(Pause),
    /// Resume entries that are paused or halted; they wait for their next slot
    Resume(Resume),
    /// Start a job now, as an entry of its schedule would
    Run(RunEntry),
    /// Start the slots between two times after the fact, a few at a time
    Backfill(NewBackfill),
    /// Look at backfills, cancel them, have them go on
    #[command(subcommand)]
    Backfills(Backfills),
    /// Show what catch-up would do if nothing looked at the clock for a while
    Simulate {
        /// Only this job, by id or pattern
        job: Option<String>,
        /// From when until when nothing looks at the clock: ISO 8601, local time unless it names a zone; a date alone at the
        /// end means that whole day
        #[arg(long, num_args = 2, value_names = ["FROM", "TO"], required = true)]
        down: Vec<String>,
    },
    /// Print schedules for another service that start the same runs
    Export {
        /// Only jobs whose id matches: * any text, ? one character
        #[arg(long, value_name = "PATTERN")]
        job: Option<String>,
        /// For which service
        #[arg(long)]
        format: ExportFormat,
    },
}

/// The services that schedules can be exported for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExportFormat {
    /// CloudFormation with schedules of Amazon EventBridge Scheduler
    Eventbridge,
}

#[derive(Debug, Args)]
pub(crate) struct NextStarts {
    /// Only this job, by id or pattern: * any text, ? one character
    pub(crate) job: Option<String>,
    /// At most so many, up to 10,000; default: 10, or all of a time that ends
    #[arg(short, value_name = "N")]
    pub(crate) number: Option<usize>,
    /// All slots from this time on, whatever the state of their entries: ISO 8601; default: the slots that start from now on
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only up to this time; a date alone means that whole day
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Show local times in this zone instead of the entry's, and read --from and --to in it: an IANA name
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}

/// Entries of schedules.
#[derive(Debug, Args)]
pub(crate) struct Entries {
    /// The jobs, by id or pattern: * any text, ? one character
    #[arg(required = true, value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// Only this entry of each, counted from 0 as in `schedules list`
    #[arg(long, value_name = "N")]
    pub(crate) entry: Option<usize>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    pub(crate) entries: Entries,
    /// Until when: ISO 8601, local time unless it names a zone, or for how long, as in 2h; default: until they are resumed
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Why, for others to read
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) entries: Entries,
    /// Make up for what was missed meanwhile, as the entries' `catch_up` says
    #[arg(long)]
    pub(crate) catch_up: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunEntry {
    /// The job
    pub(crate) job: JobId,
    /// Which entry, counted from 0 as in `schedules list`; may be left out where there is one
    #[arg(long, value_name = "N")]
    pub(crate) entry: Option<usize>,
    /// As the start of this slot, which makes one run however often it is asked for: ISO 8601, local time unless it names
    /// a zone
    #[arg(long, value_name = "SLOT")]
    pub(crate) at: Option<String>,
    /// Show what would be started, and start nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Wait for the run, and everything it starts, to end; the exit status is 1 unless all complete
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Print an item's value
    Get {
        /// The item
        #[arg(value_parser = stored_state)]
        id: StateId,
    },
    /// Put an item, whole
    Put {
        /// The item
        id: StateId,
        /// Its value: JSON, else taken as a text
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// How long it lives; default: the realm's
        #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
        ttl: Option<Span>,
        /// Keep it as it is, instead of as JSON text
        #[arg(long)]
        raw: bool,
        /// Encrypt it: the value is read from standard input where it is -
        #[arg(long, conflicts_with = "raw")]
        secure: bool,
        /// The publisher
        #[arg(long)]
        publisher: Option<String>,
        /// Show what is there and what would replace it, and put nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List items
    List {
        /// Only items that these terms mean, as 'id:etl/* -type:secure since:2d'; the time is that at which it was put
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Delete items
    Delete {
        /// The items
        #[arg(required = true, value_name = "ID", value_parser = stored_state)]
        ids: Vec<StateId>,
        /// Show what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// When and where a template is rendered.
#[derive(Debug, Args)]
pub(crate) struct Moment {
    /// The time of `start`: ISO 8601; default now
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<String>,
    /// The zone of `start`: an IANA name; default the machine's
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// The job
    pub(crate) job: JobId,
    /// Where job specs are: a file or a folder; default: the jobs of the realm's folder
    #[arg(long, value_name = "PATH")]
    pub(crate) jobs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) given: Given,
    #[command(flatten)]
    pub(crate) moment: Moment,
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    /// The template, or - for standard input
    #[arg(default_value = "-", allow_hyphen_values = true)]
    pub(crate) text: String,
    /// A JSON or YAML file with the variables
    #[arg(long, value_name = "FILE")]
    pub(crate) context: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) moment: Moment,
}
