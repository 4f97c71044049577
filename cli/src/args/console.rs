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
#[command(next_help_heading = "Options of the console")]
pub(crate) struct Doors {
    /// Where the console listens; another address than the machine's own asks for tokens. Default: 127.0.0.1:8377, or
    /// PUMICE_CONSOLE_LISTEN
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// A URL by which browsers reach the console besides, as behind a proxy; may be given more than once
    #[arg(long = "public-url", value_name = "URL")]
    pub(crate) urls: Vec<PublicUrl>,
    /// A file of tokens to log in with: role, name and token on each line. Default: PUMICE_CONSOLE_TOKENS; the token in
    /// PUMICE_CONSOLE_TOKEN has the role editor
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// What the one may do who opens the login link: viewer, operator or editor. Default: editor
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<Role>,
    /// Change nothing, whatever the role
    #[arg(long)]
    pub(crate) read_only: bool,
}

impl Doors {
    /// Whether any option was given, which without a console would do nothing.
    pub(crate) fn is_any_given(&self) -> bool {
        let Self { listen, urls, tokens, role, read_only } = self;
        listen.is_some() || !urls.is_empty() || tokens.is_some() || role.is_some() || *read_only
    }
}
