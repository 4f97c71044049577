//! `console`: a realm in a browser.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use pumice_console::{BadTrust, Bounds, Role, Settings, StartError, Token, TrustedProxy, TrustedRole};
use pumice_service::Error;
use tokio::sync::watch;

use crate::args::{Console, Doors, Global, Trust};
use crate::failure::{Failure, of_option};
use crate::output::tell_line;
use crate::realm::Realm;
use crate::signals::requests_to_stop;

/// The environment variables: a token, a file of tokens, an address.
const TOKEN: &str = "PUMICE_CONSOLE_TOKEN";
const TOKENS: &str = "PUMICE_CONSOLE_TOKENS";
const LISTEN: &str = "PUMICE_CONSOLE_LISTEN";
/// Where the console listens by default.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8377);

/// Shows a realm in a browser until Ctrl-C, SIGTERM or SIGHUP.
pub(super) async fn console(global: &Global, options: Console) -> Result<(), Failure> {
    let console = open(global, options.doors).await?;
    let mut requests = requests_to_stop()?;
    tell_line(&format!(
        "console of realm {} at http://{}; Ctrl-C stops",
        console.realm,
        console.listening.address()
    ));
    console.greet();
    let stop = async move {
        // The sender lives as long as the process.
        drop(requests.wait_for(|count| *count > 0).await);
    };
    console.listening.serve(stop).await;
    Ok(())
}

/// A console that listens.
pub(super) struct Opened {
    listening: pumice_console::Console,
    realm: String,
    is_behind_proxy: bool,
}

impl Opened {
    /// Says how to log in.
    fn greet(&self) {
        if self.listening.has_links() {
            self.listening.announce();
        } else {
            tell_line(if self.is_behind_proxy {
                "the proxy authenticates users"
            } else {
                "log in with a token"
            });
        }
    }

    /// Answers next to a server until `stop` changes.
    pub(super) async fn serve_with_server(self, mut stop: watch::Receiver<bool>) {
        tracing::info!(address = %self.listening.address(), "console");
        self.greet();
        let stop = async move {
            drop(stop.wait_for(|stop| *stop).await);
        };
        self.listening.serve(stop).await;
    }
}

/// Opens the realm and listens.
pub(super) async fn open(global: &Global, doors: Doors) -> Result<Opened, Failure> {
    let tokens = tokens(&doors)?;
    let proxy = trusted(&doors.trust)?;
    let realm = Arc::new(Realm::open(global, false).await?);
    let name = pumice_service::Realm::name(&*realm).to_string();
    let Doors { listen, urls, role, read_only, .. } = doors;
    let listen = match (listen, variable(LISTEN)) {
        (Some(listen), _) => listen,
        (None, Some(text)) => text.parse().map_err(|error| of_option(LISTEN, error))?,
        (None, None) => ADDRESS,
    };
    let (kept, is_behind_proxy) = (realm.clone(), proxy.is_some());
    let settings = Settings {
        listen,
        urls,
        tokens,
        proxy,
        role: role.unwrap_or(Role::Editor),
        is_read_only: read_only,
        bounds: Bounds::default(),
        words: words_of(global, &std::path::absolute(&global.home).unwrap_or_else(|_| global.home.clone())),
        meters: Some(Box::new(crate::meters::families)),
        announce: Box::new(|link| tell_line(&format!("log in once at {link}"))),
        refresh: Some(Box::new(move || {
            let realm = kept.clone();
            Box::pin(async move { realm.know_secrets().await })
        })),
    };
    let listening = pumice_console::Console::bind(realm, settings).await.map_err(refused)?;
    Ok(Opened { listening, realm: name, is_behind_proxy })
}

fn refused(error: StartError) -> Failure {
    match error {
        StartError::NoLogin(_) => of_option(
            "--listen",
            format!("{error}, with --tokens, or --trust-header. Other machines must not find it open"),
        ),
        StartError::NoHost(_) => of_option("--listen", format!("{error}, with --public-url")),
        StartError::Listen(..) => Error::unreachable(error.to_string()).caused_by(error).into(),
    }
}

/// The proxy that authenticates users. Options that would leave a header untrusted, or trusted from everywhere, are refused.
fn trusted(trust: &Trust) -> Result<Option<TrustedProxy>, Failure> {
    let Trust { header, proxies, fixed_role, role_header } = trust;
    let Some(header) = header else {
        let given = [
            ("--trusted-proxy", !proxies.is_empty()),
            ("--trusted-role", fixed_role.is_some()),
            ("--trusted-role-header", role_header.is_some()),
        ];
        return match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => {
                Err(of_option(option, "name the header of the user, too, with --trust-header"))
            }
            None => Ok(None),
        };
    };
    let role = match (fixed_role, role_header) {
        (Some(role), _) => TrustedRole::Fixed(*role),
        (None, Some(header)) => TrustedRole::Header(header.clone()),
        (None, None) => {
            let message = "say what users may do: --trusted-role ROLE, or --trusted-role-header NAME";
            return Err(of_option("--trust-header", message));
        }
    };
    let proxy = TrustedProxy::new(header.clone(), role, proxies.clone()).map_err(|error| match error {
        BadTrust::NoProxy => {
            of_option("--trust-header", format!("{error}; name the proxy with --trusted-proxy ADDR"))
        }
        BadTrust::SameHeader => of_option("--trusted-role-header", error),
    })?;
    Ok(Some(proxy))
}

/// An environment variable that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The tokens of the file and of the environment.
fn tokens(doors: &Doors) -> Result<Vec<Token>, Failure> {
    let file = doors.tokens.clone().or_else(|| variable(TOKENS).map(PathBuf::from));
    let mut tokens = match &file {
        None => Vec::new(),
        Some(path) => {
            let name = format!("--tokens {}", pumice_core::text::shown(&path.display().to_string()));
            let text = private_text(path).map_err(|error| of_option(&name, error))?;
            Token::of_file(&text).map_err(|error| of_option(&name, error))?
        }
    };
    if let Some(secret) = variable(TOKEN) {
        let token = Token::new(&secret, Role::Editor, "token").map_err(|error| of_option(TOKEN, error))?;
        let other = tokens.iter().find(|other| other.is_same(&token) || other.name == token.name);
        if let Some(Token { name, .. }) = other {
            let what = if *name == token.name { "its name is" } else { "its token is" };
            let name = pumice_core::text::quoted(name);
            let why = format!(
                "{what} that of {name} in the file of tokens: give each a token and a name of its own"
            );
            return Err(of_option(TOKEN, why));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// The text of a file that others must not write: they could make themselves a token. One that they can read causes a warning.
fn private_text(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o022 != 0 {
        let why = format!("others may write it (mode {:o}): `chmod 600` it", mode & 0o777);
        return Err(std::io::Error::other(why));
    }
    if mode & 0o044 != 0 {
        tracing::warn!(path = %path.display(), "others may read this file of tokens: chmod 600 it");
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The beginning of a command for this realm, typed where this process was started.
pub(super) fn words(global: &Global) -> Vec<String> {
    words_of(global, &global.home)
}

/// The same with another path to the realm's folder: a command that is copied from a page is typed anywhere.
fn words_of(global: &Global, home: &std::path::Path) -> Vec<String> {
    let mut words = vec!["pumice".to_owned()];
    if let Some(url) = &global.url {
        words.push(format!("--url={url}"));
    } else if global.is_aws() {
        words.push("--aws".to_owned());
    } else if global.home != std::path::Path::new(".pumice") {
        words.push(format!("--home={}", home.display()));
    }
    words.extend(global.realm.as_ref().map(|realm| format!("--realm={realm}")));
    words
}
