//! What `console` takes, and `serve` for its console.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use pumice_console::{PublicUrl, Role};

#[derive(Debug, Args)]
pub(crate) struct Console {
    #[command(flatten)]
    pub(crate) doors: Doors,
}

/// Where a console is reached, and by whom.
#[derive(Debug, Args)]
pub(crate) struct Doors {
    /// Where the console listens; another address than the machine's own asks for tokens
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8377",
        env = "PUMICE_CONSOLE_LISTEN",
        help_heading = "Options of the console"
    )]
    pub(crate) listen: SocketAddr,
    /// A URL by which browsers reach the console besides, as behind a proxy; may be given more than once
    #[arg(long = "url", value_name = "URL", help_heading = "Options of the console")]
    pub(crate) urls: Vec<PublicUrl>,
    /// A file of tokens to log in with: role, name and token on each line. One token, with the role editor, may also be in
    /// PUMICE_CONSOLE_TOKEN
    #[arg(long, value_name = "FILE", env = "PUMICE_CONSOLE_TOKENS", help_heading = "Options of the console")]
    pub(crate) tokens: Option<PathBuf>,
    /// What the one may do who opens the login link: viewer, operator or editor
    #[arg(long, value_name = "ROLE", default_value = "editor", help_heading = "Options of the console")]
    pub(crate) role: Role,
    /// Change nothing, whatever the role
    #[arg(long, help_heading = "Options of the console")]
    pub(crate) read_only: bool,
}
