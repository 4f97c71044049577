//! State that all requests share.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::Environment;
use pumice_service::Realm;
use pumice_service::metrics::MetricFamily;
use tokio::sync::Mutex;

use crate::access::{Bounds, Denials, Hosts, Logins, PublicUrl, Role, Token, TrustedProxy, cookie_name};
use crate::live::Live;

/// How long what was brought up to date counts as such.
const FRESH: Duration = Duration::from_secs(2);

/// Brings the process up to date with what the realm keeps elsewhere, as the secrets that are to be masked.
pub type Refresh = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Gives the figures of the process itself.
pub type Meters = Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// How a console is started.
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The URLs by which browsers reach it besides.
    pub urls: Vec<PublicUrl>,
    /// The tokens by which people and programs log in.
    pub tokens: Vec<Token>,
    /// The proxy that authenticates users, if there is one.
    pub proxy: Option<TrustedProxy>,
    /// The role of the user of the login link, which there is on loopback alone.
    pub role: Role,
    /// Whether nothing can be changed, whatever the role.
    pub is_read_only: bool,
    /// The limits.
    pub bounds: Bounds,
    /// The words that a command for this realm begins with: `pumice --home x`.
    pub words: Vec<String>,
    /// Prints a login link where the console's owner sees it.
    pub announce: Box<dyn Fn(&str) + Send + Sync>,
    /// An operation before a page shows outputs of jobs.
    pub refresh: Option<Refresh>,
    /// The figures of the process itself, for monitoring.
    pub meters: Option<Meters>,
}

/// Why a console does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Others could reach it, and no login is set up.
    #[error(
        "listen {0}: other machines reach this address, and no login is set up: set PUMICE_CONSOLE_TOKEN, or give a file \
         of tokens"
    )]
    NoLogin(SocketAddr),
    /// It has no name to answer under.
    #[error(
        "listen {0}: this means every address of this machine: give the URL by which browsers reach the console"
    )]
    NoHost(SocketAddr),
    /// It cannot listen.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// State that all requests share.
pub(crate) struct App {
    pub(crate) realm: Arc<dyn Realm>,
    pub(crate) hosts: Hosts,
    pub(crate) logins: Logins,
    pub(crate) proxy: Option<TrustedProxy>,
    pub(crate) bounds: Bounds,
    pub(crate) denials: Denials,
    pub(crate) is_read_only: bool,
    /// The name of the cookie of sessions.
    pub(crate) cookie: String,
    /// Whether cookies travel by TLS alone.
    pub(crate) is_secure: bool,
    pub(crate) words: Vec<String>,
    pub(crate) templates: Environment<'static>,
    pub(crate) live: Live,
    /// The console's own URL, for links.
    pub(crate) base: String,
    /// Whether the realm works, as it was found last.
    pub(crate) health: Mutex<crate::health::Found>,
    pub(crate) meters: Option<Meters>,
    announce: Box<dyn Fn(&str) + Send + Sync>,
    refresh: Option<Refresh>,
    refreshed: Mutex<Option<Instant>>,
}

impl App {
    /// The state of a console at an address.
    ///
    /// # Errors
    /// [`StartError`] when it must not be started so.
    pub(crate) fn new(realm: Arc<dyn Realm>, at: SocketAddr, settings: Settings) -> Result<Self, StartError> {
        let Settings {
            urls,
            tokens,
            proxy,
            role,
            is_read_only,
            bounds,
            words,
            announce,
            refresh,
            meters,
            ..
        } = settings;
        let is_local = at.ip().is_loopback();
        // Requests that a proxy passes on come from other machines, too.
        if (!is_local || !urls.is_empty()) && tokens.is_empty() && proxy.is_none() {
            return Err(StartError::NoLogin(at));
        }
        let hosts = Hosts::new(at, &urls);
        if hosts.is_empty() {
            return Err(StartError::NoHost(at));
        }
        // Behind a proxy a link would be a way past it.
        let link_role = (is_local && urls.is_empty() && proxy.is_none()).then_some(role);
        let live = Live::new(realm.clone(), bounds.streams);
        Ok(Self {
            hosts,
            logins: Logins::new(tokens, link_role),
            proxy,
            bounds,
            denials: Denials::default(),
            is_read_only,
            cookie: cookie_name(at.port()),
            is_secure: !urls.is_empty() && urls.iter().all(PublicUrl::is_secure),
            words,
            templates: crate::pages::templates(),
            live,
            base: format!("http://{at}"),
            health: Mutex::new(None),
            meters,
            announce,
            refresh,
            refreshed: Mutex::new(None),
            realm,
        })
    }

    /// Prints a new login link where the console runs; says whether there is one to be seen there.
    pub(crate) fn announce_link(&self) -> bool {
        if let Some(secret) = self.logins.new_link(Instant::now()) {
            (self.announce)(&format!("{}/login?token={secret}", self.base));
        }
        self.logins.has_links()
    }

    /// Brings the process up to date, unless that was done a moment ago.
    pub(crate) async fn refresh(&self) {
        let Some(refresh) = &self.refresh else { return };
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_none_or(|at| at.elapsed() >= FRESH) {
            refresh().await;
            *refreshed = Some(Instant::now());
        }
    }
}
