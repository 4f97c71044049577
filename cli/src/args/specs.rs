//! Arguments of the commands about specs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pumice_service::specs::IdScope;

/// Where specs are.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// Files, folders, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Build the files for an environment: <{ }>, <% %> and <# #> in them are rendered with the values of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) env: Option<PathBuf>,
}

/// The part that is pruned.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove what the realm has within --scope and the files have not
    #[arg(long, requires = "scope")]
    pub(crate) prune: bool,
    /// The part of the realm that --prune is held to: etl for etl and all below it, etl/ for all below it, * for all
    #[arg(long, value_name = "PREFIX", requires = "prune")]
    pub(crate) scope: Option<IdScope>,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) sources: Sources,
    #[command(flatten)]
    pub(crate) prune: Prune,
    /// With --prune: remove jobs that have runs which have not ended, too
    #[arg(long, requires = "prune")]
    pub(crate) despite_runs: bool,
    /// Only what `plan` has shown: its digest; refused when the files or the realm have changed since
    #[arg(long, value_name = "DIGEST")]
    pub(crate) expect: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Refuse specs that there are warnings about
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) sources: Sources,
    #[command(flatten)]
    pub(crate) prune: Prune,
    /// Exit with 1 when something would change, as `diff` does
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Refuse specs that there are warnings about
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// Fail when there are warnings
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder; it is made, and must be empty
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Only what is within this scope: etl for etl and all below it, etl/ for all below it
    #[arg(long, value_name = "PREFIX")]
    pub(crate) scope: Option<IdScope>,
    /// Write into a folder that holds other files; a file of the same name is replaced
    #[arg(long)]
    pub(crate) into: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dag {
    /// Print the payload of a dag made from a CSV file, as lava-dag-gen does
    Generate(DagFrom),
    /// Print the CSV file of a dag's payload
    Table {
        /// A job of type dag, or a payload: a JSON or YAML file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DagFrom {
    /// The CSV file: a matrix, whose first row names predecessors and whose first column names jobs, or a table with the
    /// columns job and depends_on
    #[arg(value_name = "FILE.csv")]
    pub(crate) file: PathBuf,
    /// Of a table with a column job_group only the rows of this group
    #[arg(short, long)]
    pub(crate) group: Option<String>,
    /// Put before each job id
    #[arg(short, long, default_value = "")]
    pub(crate) prefix: String,
    /// Put the payload under this key
    #[arg(short, long, value_name = "KEY")]
    pub(crate) wrap: Option<String>,
    /// Shorter: one predecessor as a text, none as null, and no entry for jobs that have none and are named anyway
    #[arg(short, long)]
    pub(crate) compact: bool,
    /// Print the jobs in an order in which they may run, batch by batch, instead of the payload
    #[arg(long)]
    pub(crate) order: bool,
}
