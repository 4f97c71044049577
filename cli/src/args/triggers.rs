//! Arguments of `triggers`.

use clap::Subcommand;
use pumice_core::ids::{BadName, TriggerId};

/// A trigger that is stored already.
fn stored(text: &str) -> Result<TriggerId, BadName> {
    TriggerId::stored(text)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Triggers {
    /// List triggers
    List {
        /// Only triggers whose id matches: * any text, ? one character
        pattern: Option<String>,
        /// Only triggers of this bucket
        #[arg(long)]
        bucket: Option<String>,
        /// Only triggers that these terms mean, as 'bucket:raw,in job:etl/* status:enabled'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Print a trigger as it is stored
    Show {
        /// The trigger
        #[arg(value_parser = stored)]
        trigger: TriggerId,
    },
    /// Say which triggers an object would fit and why the others would not, and start nothing
    Test {
        /// The bucket
        bucket: String,
        /// The object's key
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// The object's size in bytes
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        size: u64,
        /// The event
        #[arg(long, value_name = "TYPE", default_value = "ObjectCreated:Put")]
        event_type: String,
    },
    /// Delete triggers
    Delete {
        /// The triggers
        #[arg(required = true, value_name = "TRIGGER")]
        triggers: Vec<String>,
        /// Show what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}
