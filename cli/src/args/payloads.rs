//! Arguments of `payloads`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Payloads {
    /// List payloads by key
    List {
        /// Only those whose keys begin so
        prefix: Option<String>,
        /// Only those that these terms mean, as 'key:*.sh -key:old/* since:7d'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Put files as payloads; those that are there are replaced
    Put {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The key, of one file, or a prefix that ends in /, which the names of the files follow; default: their names
        #[arg(long, value_name = "KEY", default_value = "")]
        to: String,
        /// Show what would be put, and put nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy a payload into a new file
    Get {
        /// Its key
        key: String,
        /// The file; default: the name of the payload, here
        file: Option<PathBuf>,
    },
}
