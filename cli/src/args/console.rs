//! Arguments of `console`, and of `serve` for its console.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use pumice_console::{ProxyAddr, PublicUrl, Role, TrustedHeader};

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
    /// The role of the user of the login link: viewer, operator or editor. Default: editor
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<Role>,
    /// Change nothing, whatever the role
    #[arg(long)]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// A proxy that authenticates users.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the console")]
pub(crate) struct Trust {
    /// Take the user's name from this header, as from X-Forwarded-User, which an authenticating proxy sets; it is refused
    /// from everything but a --trusted-proxy
    #[arg(long = "trust-header", value_name = "NAME")]
    pub(crate) header: Option<TrustedHeader>,
    /// The address of such a proxy, as the console sees it; may be given more than once
    #[arg(long = "trusted-proxy", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) proxies: Vec<ProxyAddr>,
    /// The role of every user whom the proxy names: viewer, operator or editor
    #[arg(long = "trusted-role", value_name = "ROLE", conflicts_with = "role_header")]
    pub(crate) fixed_role: Option<Role>,
    /// Take a user's role from this header, which the proxy sets, too
    #[arg(long = "trusted-role-header", value_name = "NAME")]
    pub(crate) role_header: Option<TrustedHeader>,
}

impl Trust {
    fn is_any_given(&self) -> bool {
        let Self { header, proxies, fixed_role, role_header } = self;
        header.is_some() || !proxies.is_empty() || fixed_role.is_some() || role_header.is_some()
    }
}

impl Doors {
    /// Whether any option was given, which without a console would do nothing.
    pub(crate) fn is_any_given(&self) -> bool {
        let Self { listen, urls, tokens, role, read_only, trust } = self;
        let is_door = listen.is_some() || !urls.is_empty() || tokens.is_some() || role.is_some();
        is_door || *read_only || trust.is_any_given()
    }
}
