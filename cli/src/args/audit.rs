//! Arguments of the commands that look at the audit.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List acts, the newest first
    List {
        /// Only entries that these terms mean, as 'who:ada act:"jobs *" what:etl/* since:2d from:console outcome:refused'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
        /// Go on where an earlier list ended
        #[arg(long)]
        cursor: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = pumice_service::audit::USUAL_LIMIT)]
        limit: usize,
    },
    /// Show an entry: what was asked, what it changed, what came of it
    Show {
        /// Its id, or the beginning of it
        #[arg(value_name = "ID")]
        entry: String,
    },
}
