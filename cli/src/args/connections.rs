//! Arguments of `connections` and `secrets`.

use std::path::PathBuf;

use clap::Subcommand;
use pumice_core::ids::{BadName, ConnId, SecretName};

fn stored_connection(text: &str) -> Result<ConnId, BadName> {
    ConnId::stored(text)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Connections {
    /// List connections
    List {
        /// Only connections that these terms mean, as 'id:shop/* type:ssh -status:disabled'
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Print a connection's document, which names its secrets and holds none
    Show {
        /// The connection
        #[arg(value_name = "ID", value_parser = stored_connection)]
        connection: ConnId,
    },
    /// Connect from this machine, and say what was tried: nothing is changed, sent or posted
    Test {
        /// The connection
        #[arg(value_name = "ID", value_parser = stored_connection)]
        connection: ConnId,
        /// Where to connect to: `user@host` for ssh, scp and sftp, a repository for git; with --send the recipient of an e-mail
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// Send an e-mail, or post a message
        #[arg(long)]
        send: bool,
    },
    /// Delete a connection
    Delete {
        /// The connection
        #[arg(value_name = "ID", value_parser = stored_connection)]
        connection: ConnId,
        /// Show what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// List the names of secrets; no command shows one
    List {
        /// Only secrets that these terms mean, as 'name:/shop/* until:90d'; the time is that at which it was set
        #[arg(long = "where", value_name = "TERMS", allow_hyphen_values = true)]
        filter: Option<String>,
    },
    /// Set a secret: it is read from standard input, and from a terminal without being shown
    Set {
        /// The secret
        name: SecretName,
        /// Read it from this file instead
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Say whether there is one of that name; read and set nothing
        #[arg(long, conflicts_with = "file")]
        dry_run: bool,
    },
    /// Delete a secret
    Delete {
        /// The secret
        name: SecretName,
        /// Show what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}
