//! Tests connections, as `pumice connections test` does: connects and logs in, and changes nothing.

use std::net::{Ipv6Addr, ToSocketAddrs};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pumice_core::address::is_forbidden;
use pumice_core::connection::{
    AwsLogin, Family, Hook, Login, Mailer, Opened, OpenedConnection, SlackHook, SshLogin,
};
use pumice_core::duration::Span;
use pumice_core::job_type::Site;
use pumice_core::ports::{Composed, DatabaseError, Email, HttpRequest, SesEmail, StoreErrorKind};
use pumice_core::secret::mask;
use pumice_core::text::quoted;
use pumice_host::processes::spawn_own;
use pumice_job_types::actions::webhook::SIGNATURE_HEADER;
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use super::Kit;
use crate::actions::email::SES_REGION;
use crate::actions::webhook::signature;
use crate::web::{Tries, exchange};

/// How long any test may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The name of the connected program for a database.
const APPLICATION: &str = "lv-connections-test";
/// How long SSH waits for a host, in seconds.
const SSH_TIMEOUT: u32 = 10;
/// Longest part of what a client says that is shown, in bytes.
const MAX_SAID: usize = 500;
/// Largest response that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The text of a posted test.
const GREETING: &str = "A test of this connection, by pumice connections test.";

/// How to test a connection.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Where to connect to, for connections that name no place: `user@host` for SSH, a repository for git; the recipient
    /// of an e-mail that is sent.
    pub target: Option<String>,
    /// Whether a message is sent or posted.
    pub send: bool,
}

/// A step of a test, and why it failed if it did. Neither has a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The step that was tried.
    pub what: String,
    /// Why it failed; `None` when it went well.
    pub failure: Option<String>,
}

impl Tried {
    fn of(what: impl Into<String>, outcome: Result<(), String>) -> Self {
        Self { what: what.into(), failure: outcome.err() }
    }

    fn failed(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::of(what, Err(why.into()))
    }
}

/// Tests a connection from this machine.
pub async fn test_connection(site: &Site, opened: &OpenedConnection, probe: &Probe) -> Tried {
    match &opened.what {
        Opened::Database(login) => database(site, opened, login).await,
        Opened::Generic(values) => {
            Tried::of(format!("its {} values, which can be read", values.len()), Ok(()))
        }
        Opened::Aws(login) => aws(site, opened, login).await,
        Opened::Ssh(login) => ssh(opened, login, probe).await,
        Opened::Email(mailer) => email(site, mailer, probe).await,
        Opened::Slack(hook) => slack(site, hook, probe).await,
        Opened::Webhook(hook) => webhook(site, hook, probe).await,
    }
}

/// By the driver where there is one, else by the client of the database, as jobs connect.
async fn database(site: &Site, opened: &OpenedConnection, login: &Login) -> Tried {
    let Login { host, port, user, .. } = login;
    let databases = &site.ports.servers.databases;
    let is_local = login.family == Family::Sqlite && !host.starts_with("s3://");
    let has_driver = matches!(login.family, Family::Postgres | Family::Redshift | Family::Mysql) || is_local;
    if has_driver && databases.is_there() {
        let what = if is_local {
            format!("the tables of {host}")
        } else {
            format!("the login of {user} at {host}:{port}, select 1")
        };
        if is_local && !Path::new(host).is_file() {
            return Tried::failed(what, format!("there is no file {host}"));
        }
        let asking = async {
            let mut session = databases.connect(login, APPLICATION, LIMIT).await?;
            session.execute("select 1", &mut crate::sql::NoRows).await?;
            session.close().await;
            Ok::<(), DatabaseError>(())
        };
        let asked = timeout(LIMIT, asking).await;
        let late = || format!("no answer within {} s", LIMIT.as_secs());
        let failure = asked.map_err(|_| late()).and_then(|asked| asked.map_err(|error| error.message));
        return Tried::of(what, failure.map_err(|why| mask(&why).into_owned()));
    }
    if let Some(why) = forbidden(host).await {
        return Tried::failed(format!("the login of {user} at {host}:{port}"), why);
    }
    let (arguments, what): (&[&str], _) = match login.family {
        Family::Postgres | Family::Redshift => {
            (&["-c", "select 1"], format!("psql: {user} at {host}:{port}, select 1"))
        }
        Family::Mysql => (&["-e", "select 1"], format!("mysql: {user} at {host}:{port}, select 1")),
        Family::Mssql => (&["-Q", "select 1"], format!("sqlcmd: {user} at {host}:{port}, select 1")),
        Family::Oracle => (&["-V"], "sqlplus -V: whether the client is there".to_owned()),
        Family::Sqlite => {
            let what = format!("sqlite3: the tables of {host}");
            if !host.starts_with("s3://") && !Path::new(host).is_file() {
                return Tried::failed(what, format!("there is no file {host}"));
            }
            (&["-readonly", "-cmd", "select count(*) from sqlite_master"], what)
        }
    };
    Tried::of(what, by_client(opened, arguments).await)
}

async fn aws(site: &Site, opened: &OpenedConnection, login: &AwsLogin) -> Tried {
    let what = "sts get-caller-identity";
    match site.ports.messaging.caller(&login.keys, login.region.as_deref()).await {
        Ok(arn) => Tried::of(format!("{what}: {arn}"), Ok(())),
        // Built without AWS: its command line may be there.
        Err(error) if error.kind == StoreErrorKind::Missing => {
            let outcome = by_client(opened, &["sts", "get-caller-identity"]).await;
            Tried::of(format!("aws {what}"), outcome)
        }
        Err(error) => Tried::failed(what, mask(&error.to_string())),
    }
}

async fn ssh(opened: &OpenedConnection, login: &SshLogin, probe: &Probe) -> Tried {
    let Some(target) = &probe.target else {
        let what = "its private key, which ssh reads; give --target to connect to a host or a repository";
        return Tried::of(what, key(login).await);
    };
    if target.starts_with('-') || target.is_empty() {
        return Tried::failed("the target", format!("{} is not a host or a repository", quoted(target)));
    }
    if let Some(why) = forbidden(host_of(target)).await {
        return Tried::failed(format!("the target {}", quoted(target)), why);
    }
    let timeout = format!("-oConnectTimeout={SSH_TIMEOUT}");
    let (what, arguments): (_, Vec<&str>) = match opened.r#type {
        "git" => (format!("git ls-remote {target}"), vec!["ls-remote", "--", target]),
        "sftp" => (format!("sftp {target}"), vec!["-oBatchMode=yes", &timeout, "-b", "/dev/null", target]),
        _ => (format!("ssh {target} true"), vec!["-oBatchMode=yes", &timeout, target, "true"]),
    };
    // scp copies and does nothing else: it needs the same as ssh.
    let kind = if opened.r#type == "scp" { "ssh" } else { opened.r#type };
    let opened = OpenedConnection { r#type: kind, ..opened.clone() };
    Tried::of(what, by_client(&opened, &arguments).await)
}

/// The host of a target: of `user@host`, `host:path` or a URL.
fn host_of(target: &str) -> &str {
    let authority = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        // ssh takes an IPv6 address without brackets.
        None if host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) => host,
        None => host.split(':').next().unwrap_or_default(),
    };
    host.split('%').next().unwrap_or_default()
}

/// Why a host is not connected to: one of its addresses is never called. A name that is not found is left to the client, which
/// says so.
async fn forbidden(host: &str) -> Option<String> {
    if host.is_empty() {
        return None;
    }
    let place = (host.to_owned(), 0_u16);
    let looking = tokio::task::spawn_blocking(move || place.to_socket_addrs());
    let found = timeout(LIMIT, looking).await.ok()?.ok()?.ok()?;
    let address = found.map(|address| address.ip()).find(|address| is_forbidden(*address))?;
    Some(format!("its address {address} is link-local, where clouds hand out credentials: it is not called"))
}

/// Whether ssh reads a private key.
async fn key(login: &SshLogin) -> Result<(), String> {
    let folder = folder()?;
    let kit = Kit { place: folder.path(), application: String::new() };
    let path = kit.file("ssh.pem", login.key.reveal()).map_err(|error| error.to_string())?;
    let mut command = Command::new("ssh-keygen");
    // An empty passphrase: a command can use no other.
    command.args(["-y", "-P", "", "-f"]).arg(path);
    ran(command, "ssh-keygen").await
}

async fn email(site: &Site, mailer: &Mailer, probe: &Probe) -> Tried {
    let Some(server) = &mailer.server else { return ses(site, mailer, probe).await };
    let place = format!("{}:{}", server.host, server.port);
    if !probe.send {
        return match site.ports.servers.mail.probe(server, LIMIT).await {
            Ok(said) => Tried::of(said, Ok(())),
            Err(error) => Tried::failed(format!("SMTP with {place}, without an e-mail"), error.to_string()),
        };
    }
    let Some(from) = mailer.from.clone().or_else(|| site.settings.ses_from.clone()) else {
        return Tried::failed(format!("an e-mail by {place}"), "the connection has no `from`");
    };
    let Some(to) = &probe.target else {
        return Tried::failed(
            format!("an e-mail by {place}"),
            "the recipient is missing: give --target ADDRESS",
        );
    };
    let email = greeting(site, mailer, from, to);
    let sent = site.ports.servers.mail.send(server, &email, LIMIT).await;
    Tried::of(format!("an e-mail to {to} by {place}"), sent.map_err(|error| error.to_string()))
}

/// An e-mail that says that it is a test.
fn greeting(site: &Site, mailer: &Mailer, from: String, to: &str) -> Email {
    let now = site.ports.clock.now();
    Email {
        id: format!("test.{}", now.timestamp_micros()),
        date: now,
        from,
        to: vec![to.to_owned()],
        reply_to: mailer.reply_to.clone(),
        return_path: mailer.return_path.clone(),
        subject: "Test of a connection".to_owned(),
        body: GREETING.to_owned(),
        is_html: false,
        attachments: Vec::new(),
    }
}

/// Asks SES whether it has a domain to send from; sends an e-mail where that is asked for.
async fn ses(site: &Site, mailer: &Mailer, probe: &Probe) -> Tried {
    let (ports, settings) = (&site.ports, &site.settings);
    let region = mailer.region.clone().or_else(|| settings.ses_region.clone());
    let region = region.unwrap_or_else(|| SES_REGION.to_owned());
    if !probe.send {
        return match ports.messaging.verified_domain(&region).await {
            Ok(Some(domain)) => {
                Tried::of(format!("SES in {region} sends from {domain}; nothing was sent"), Ok(()))
            }
            Ok(None) => Tried::of(
                format!("SES in {region} answered; it has no verified domain, only addresses may send"),
                Ok(()),
            ),
            Err(error) => Tried::failed(format!("SES in {region}"), error.to_string()),
        };
    }
    let what = format!("an e-mail by SES in {region}");
    let Some(from) = mailer.from.clone().or_else(|| settings.ses_from.clone()) else {
        return Tried::failed(what, "the connection has no `from`");
    };
    let Some(to) = &probe.target else {
        return Tried::failed(what, "to whom? give --target ADDRESS");
    };
    let email = greeting(site, mailer, from, to);
    let Composed { mime, to } = match ports.servers.mail.compose(&email) {
        Ok(composed) => composed,
        Err(error) => return Tried::failed(what, error.to_string()),
    };
    let configuration_set =
        mailer.configuration_set.clone().or_else(|| settings.ses_configuration_set.clone());
    let email = SesEmail { mime, to, return_path: email.return_path, region, configuration_set };
    let sent = ports.messaging.send_email(email).await;
    Tried::of(what, sent.map_err(|error| error.to_string()))
}

async fn slack(site: &Site, hook: &SlackHook, probe: &Probe) -> Tried {
    let url = hook.url.reveal();
    if !probe.send {
        return reach(site, url).await;
    }
    let body = json!({ "text": GREETING }).to_string().into_bytes();
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Tried::of("a message to the channel", request(site, "POST", url, headers, body, is_ok).await)
}

async fn webhook(site: &Site, hook: &Hook, probe: &Probe) -> Tried {
    let url = hook.url.reveal();
    if !probe.send {
        return reach(site, url).await;
    }
    let body = json!({ "test": true, "text": GREETING }).to_string().into_bytes();
    let mut headers: Vec<(String, String)> =
        hook.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let what = "a POST of a test";
    if let Some(secret) = &hook.secret {
        match signature(secret.reveal().as_bytes(), &body) {
            Ok(signature) => headers.push((SIGNATURE_HEADER.to_owned(), signature)),
            Err(error) => return Tried::failed(what, error.message),
        }
    }
    Tried::of(what, request(site, "POST", url, headers, body, is_ok).await)
}

const fn is_ok(status: u16) -> bool {
    status >= 200 && status < 300
}

/// Whether the server of a URL answers, with TLS where the URL has it. The URL itself is not asked: that may post.
async fn reach(site: &Site, url: &str) -> Tried {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let root = format!("{scheme}://{authority}/");
    let what = format!("HEAD {root}: the server, and not whether it knows the URL (--send posts)");
    Tried::of(what, request(site, "HEAD", &root, Vec::new(), Vec::new(), |_| true).await)
}

/// Makes a request once.
async fn request(
    site: &Site,
    method: &str,
    url: &str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_ok: fn(u16) -> bool,
) -> Result<(), String> {
    let clock = &*site.ports.clock;
    let asked = HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers,
        body,
        timeout: LIMIT,
        redirects: 0,
        max_response: MAX_ANSWER,
    };
    let until = clock.now() + Span::from(LIMIT).delta();
    let tries = Tries { more: 0, wait: Span::from_secs(1), until, repeats: false };
    let answered = exchange((&*site.ports.http, clock), &asked, tries, is_ok).await;
    answered.map(drop).map_err(|failure| mask(&failure.message).into_owned())
}

fn folder() -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new().prefix("pumice-test-").tempdir();
    made.map_err(|error| format!("cannot make a folder for the test: {error}"))
}

/// Runs the connection's script with arguments.
async fn by_client(opened: &OpenedConnection, arguments: &[&str]) -> Result<(), String> {
    let folder = folder()?;
    let place = folder.path().join("conn");
    let kit = Kit { place: &place, application: APPLICATION.to_owned() };
    let script = kit.make(opened).map_err(|error| error.to_string())?;
    let client = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(&script);
    command.args(arguments);
    ran(command, &client).await
}

/// Runs a client to its end, with all that it started.
async fn ran(mut command: Command, client: &str) -> Result<(), String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    let (child, own) = spawn_own(&mut command).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{client} is not installed"),
        _ => format!("cannot run {client}: {error}"),
    })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let Ok(ended) = timeout(LIMIT, child.wait_with_output()).await else {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        return Err(format!("{client} did not end within {} s", LIMIT.as_secs()));
    };
    drop(own);
    let ended = ended.map_err(|error| format!("cannot run {client}: {error}"))?;
    match ended.status.code() {
        Some(0) => Ok(()),
        Some(127) => Err(format!("{client} is not installed: {}", said(&ended.stderr))),
        _ => {
            let said = said(&ended.stderr);
            Err(if said.starts_with(client) { said } else { format!("{client}: {said}") })
        }
    }
}

/// The end of what a client says, in one line.
fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = mask(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return "it failed without a word".to_owned();
    }
    text[text.ceil_char_boundary(text.len().saturating_sub(MAX_SAID))..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_a_target_is_found_in_each_form() {
        for (target, wanted) in [
            ("host", "host"),
            ("ann@host", "host"),
            ("ann@host:/srv/a", "host"),
            ("host:a/b@c", "host"),
            ("ssh://ann@host:22/srv/a", "host"),
            ("https://ann:word@host/a?b@c", "host"),
            ("ann@10.0.0.1", "10.0.0.1"),
            ("ann@fd00:ec2::254", "fd00:ec2::254"),
            ("ann@fe80::1%eth0", "fe80::1"),
            ("ann@[fe80::1%eth0]:/a", "fe80::1"),
            ("ssh://[fd00:ec2::254]:22/a", "fd00:ec2::254"),
            ("/srv/repository", ""),
            ("file:///srv/repository", ""),
        ] {
            assert_eq!(host_of(target), wanted, "{target}");
        }
    }

    #[tokio::test]
    async fn link_local_target_is_never_called() {
        for target in [
            "root@169.254.169.254",
            "169.254.169.254:a",
            "2852039166",
            "ssh://git@169.254.169.254/a",
            "http://169.254.169.254/a",
            "ann@fd00:ec2::254",
            "ann@fe80::1%lo",
            "[::ffff:169.254.169.254]:a",
        ] {
            let why = forbidden(host_of(target)).await.unwrap_or_default();
            assert!(why.contains("is link-local"), "{target}: {why:?}");
        }
        for target in ["127.0.0.1", "ann@localhost:a", "none.invalid", "", "/srv/repository"] {
            assert_eq!(forbidden(host_of(target)).await, None, "{target}");
        }
    }
}
