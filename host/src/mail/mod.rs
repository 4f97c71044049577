//! E-mail by SMTP (RFC 5321): one connection for each e-mail.

mod message;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Noop, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use pumice_core::address::is_forbidden;
use pumice_core::connection::MailServer;
use pumice_core::ports::{Composed as Mime, Email, Mail, MailError};
use pumice_core::secret::{MASK, mask};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls;

use crate::http::{MAX_ADDRESSES, Resolve, SystemNames};
use message::Composed;

/// The port on which a connection is encrypted from its start (RFC 8314 section 7.3).
const TLS_PORT: u16 = 465;
/// How long a server may take for its farewell, when all is done.
const FAREWELL: Duration = Duration::from_secs(1);
/// Longest part of what a server says that a message shows, in bytes.
const MAX_SAID: usize = 400;
/// Shortest word in an answer to a login that is taken for the credentials themselves, in bytes.
const MIN_ENCODED: usize = 16;

/// Sends e-mail from this machine. It needs nothing until the first one.
pub struct Smtp {
    names: Arc<dyn Resolve>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Smtp")
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self { names: Arc::new(SystemNames) }
    }
}

/// A part of an exchange, as messages name it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Encrypt,
    Login,
    Sender,
    Recipient,
    Data,
    Text,
    Noop,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Connect => "the greeting",
            Self::Encrypt => "STARTTLS",
            Self::Login => "the login",
            Self::Sender => "the sender",
            Self::Recipient => "a recipient",
            Self::Data => "DATA",
            Self::Text => "the text of the e-mail",
            Self::Noop => "NOOP",
        }
    }

    /// The error of an e-mail whose exchange broke off at this step.
    const fn broken(self, message: String) -> MailError {
        match self {
            Self::Text => MailError::Broken(message),
            _ => MailError::NotSent(message),
        }
    }
}

/// One exchange with a server.
struct Exchange<'a> {
    server: &'a MailServer,
    limit: Duration,
    until: Instant,
}

impl<'a> Exchange<'a> {
    fn new(server: &'a MailServer, limit: Duration) -> Self {
        Self { server, limit, until: Instant::now() + limit }
    }

    fn origin(&self) -> String {
        let MailServer { host, port, .. } = self.server;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Waits for a step, for no longer than there is time.
    async fn step<T>(
        &self,
        step: Step,
        doing: impl Future<Output = Result<T, SmtpError>>,
    ) -> Result<T, MailError> {
        match timeout_at(self.until, doing).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(step, &error)),
            Err(_) => Err(self.late(step)),
        }
    }

    fn late(&self, step: Step) -> MailError {
        let (origin, limit) = (self.origin(), self.limit);
        step.broken(format!("{origin}: no answer to {} within {limit:?}", step.name()))
    }

    fn failed(&self, step: Step, error: &SmtpError) -> MailError {
        let (origin, name, said) = (self.origin(), step.name(), said(step, error));
        if error.is_permanent() {
            MailError::Refused(format!("{origin} refuses {name}: {said}"))
        } else if error.is_transient() {
            MailError::NotSent(format!("{origin} does not take {name} for now: {said}"))
        } else if error.is_response() {
            MailError::Refused(format!("{origin} does not answer {name} in the way of SMTP: {said}"))
        } else if error.is_client() || is_of_tls(error) {
            MailError::Refused(format!("{origin}: {name}: {said}"))
        } else {
            step.broken(format!("{origin}: the connection broke at {name}: {said}"))
        }
    }
}

/// Whether TLS itself failed: a certificate that is not trusted now is not trusted in a second.
fn is_of_tls(error: &SmtpError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        source = cause.source();
    }
    error.is_tls()
}

/// The error's text by the server or the system, in one line, without secrets.
fn said(step: Step, error: &SmtpError) -> String {
    let mut text = error.status().map(|code| code.to_string()).unwrap_or_default();
    let mut source = std::error::Error::source(error);
    let has_source = source.is_some();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let between = if text.is_empty() || text.len() == 3 { " " } else { ": " };
            text = format!("{text}{between}{cause_text}");
        }
        source = cause.source();
    }
    if !has_source {
        text = error.to_string();
    }
    let mut words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    words.retain(|word| !word.is_empty());
    if step == Step::Login {
        // A server may repeat what it was given, and that is the password in base64.
        words.iter_mut().filter(|word| is_encoded(word)).for_each(|word| *word = MASK);
    }
    let text = words.join(" ");
    let text = mask(&text);
    text[..text.floor_char_boundary(MAX_SAID)].to_owned()
}

fn is_encoded(word: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    word.len() >= MIN_ENCODED && word.bytes().all(is_base64)
}

/// The first line of each certificate in a file (RFC 7468).
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// How a connection is encrypted.
async fn tls(exchange: &Exchange<'_>) -> Result<Option<TlsParameters>, MailError> {
    let MailServer { host, tls, ca_cert, .. } = exchange.server;
    if !tls {
        return Ok(None);
    }
    let (host, ca_cert) = (host.clone(), ca_cert.clone());
    // The roots of trust are files, and there may be hundreds.
    let reading = tokio::task::spawn_blocking(move || {
        let mut parameters = TlsParameters::builder(host);
        let Some(path) = ca_cert else {
            return parameters.build().map_err(|error| format!("TLS: {}", said(Step::Encrypt, &error)));
        };
        let text = std::fs::read(&path).map_err(|error| format!("cannot read ca_cert {path}: {error}"))?;
        let bad = || format!("ca_cert {path} is not a file of certificates in PEM");
        if !String::from_utf8_lossy(&text).contains(CERTIFICATE) {
            return Err(bad());
        }
        parameters = parameters.add_root_certificate(Certificate::from_pem(&text).map_err(|_| bad())?);
        parameters.build().map_err(|_| bad())
    });
    let read = reading.await.map_err(|error| MailError::NotSent(error.to_string()))?;
    read.map(Some).map_err(|why| MailError::Refused(format!("{}: {why}", exchange.origin())))
}

impl Smtp {
    /// Connects, encrypts and logs in.
    async fn open(&self, exchange: &Exchange<'_>) -> Result<AsyncSmtpConnection, MailError> {
        let tls = tls(exchange).await?;
        let hello = ClientId::default();
        let (wrapper, starttls) = match tls {
            Some(tls) if exchange.server.port == TLS_PORT => (Some(tls), None),
            other => (None, other),
        };
        let mut connection = self.greeted(exchange, wrapper, &hello).await?;
        if let Some(tls) = starttls {
            exchange.step(Step::Encrypt, connection.starttls(tls, &hello)).await?;
        }
        if let Some((user, password)) = &exchange.server.login {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            let login = exchange
                .step(Step::Login, connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials));
            let done = login.await;
            done.map_err(|error| hinted(error, exchange.server, &connection))?;
        }
        Ok(connection)
    }

    /// A connection to a server that has greeted. A name is looked up once, each of its addresses is checked, and the
    /// connection is made to one of these.
    async fn greeted(
        &self,
        exchange: &Exchange<'_>,
        tls: Option<TlsParameters>,
        hello: &ClientId,
    ) -> Result<AsyncSmtpConnection, MailError> {
        let (origin, MailServer { host, port, .. }) = (exchange.origin(), exchange.server);
        let unsent = |why: String| {
            MailError::NotSent(format!("cannot connect to {origin}: its name is not found{why}"))
        };
        let found = timeout_at(exchange.until, self.names.resolve(host, *port)).await;
        let found = found.map_err(|_| unsent(format!(" within {:?}", exchange.limit)))?;
        let found = found.map_err(|error| unsent(format!(": {error}")))?;
        if let Some(address) = found.iter().map(std::net::SocketAddr::ip).find(|ip| is_forbidden(*ip)) {
            return Err(MailError::Refused(format!(
                "{origin} is not called: its address {address} is link-local, where clouds hand out credentials"
            )));
        }
        let mut last = unsent(": it has no address".to_owned());
        for address in found.into_iter().take(MAX_ADDRESSES) {
            let connecting = AsyncSmtpConnection::connect_tokio1(address, None, hello, tls.clone(), None);
            match exchange.step(Step::Connect, connecting).await {
                Err(MailError::NotSent(message)) => last = MailError::NotSent(message),
                other => return other,
            }
        }
        Err(last)
    }

    async fn deliver(
        &self,
        exchange: &Exchange<'_>,
        Composed { envelope, text }: Composed,
    ) -> Result<(), MailError> {
        let mut connection = self.open(exchange).await?;
        let parameters = parameters(&connection, exchange, &envelope)?;
        let sender = MailFrom::new(envelope.from().cloned(), parameters);
        let taken = exchange.step(Step::Sender, connection.command(sender)).await;
        taken.map_err(|error| hinted(error, exchange.server, &connection))?;
        let mut refused = Vec::new();
        for recipient in envelope.to() {
            let asked = connection.command(Rcpt::new(recipient.clone(), Vec::new()));
            match timeout_at(exchange.until, asked).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.status().is_some() => {
                    let is_final = error.is_permanent();
                    refused.push((format!("{recipient}: {}", said(Step::Recipient, &error)), is_final));
                }
                Ok(Err(error)) => return Err(exchange.failed(Step::Recipient, &error)),
                Err(_) => return Err(exchange.late(Step::Recipient)),
            }
        }
        let origin = exchange.origin();
        let reasons = refused.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>().join("; ");
        let count = envelope.to().len();
        if refused.len() == count {
            let message = format!("{origin} takes it for no recipient: {reasons}");
            let is_final = refused.iter().all(|(_, is_final)| *is_final);
            return Err(if is_final { MailError::Refused(message) } else { MailError::NotSent(message) });
        }
        exchange.step(Step::Data, connection.command(Data)).await?;
        exchange.step(Step::Text, connection.message(&text)).await?;
        farewell(connection).await;
        if refused.is_empty() {
            return Ok(());
        }
        // To send it again would give it twice to the others.
        let sent = count - refused.len();
        Err(MailError::Refused(format!(
            "{origin} took it for {sent} of {count} recipients, not for {reasons}"
        )))
    }
}

/// The parameters that the sender's and the recipients' addresses need (RFC 6531).
fn parameters(
    connection: &AsyncSmtpConnection,
    exchange: &Exchange<'_>,
    envelope: &Envelope,
) -> Result<Vec<MailParameter>, MailError> {
    let all = envelope.from().into_iter().chain(envelope.to());
    let Some(foreign) = all.into_iter().find(|address| !AsRef::<str>::as_ref(address).is_ascii()) else {
        return Ok(Vec::new());
    };
    if connection.server_info().supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    let origin = exchange.origin();
    Err(MailError::Refused(format!("{origin} takes addresses in ASCII only (no SMTPUTF8), not {foreign}")))
}

/// An error with what may help: many servers want encryption before anything else.
fn hinted(error: MailError, server: &MailServer, connection: &AsyncSmtpConnection) -> MailError {
    match error {
        MailError::Refused(message) if !server.tls && connection.can_starttls() => MailError::Refused(
            format!("{message}; the server offers STARTTLS: give the connection `tls: true`"),
        ),
        other => other,
    }
}

/// Ends a connection whose work is done; what the server says to that changes nothing.
async fn farewell(mut connection: AsyncSmtpConnection) {
    let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
}

#[async_trait]
impl Mail for Smtp {
    async fn send(&self, server: &MailServer, email: &Email, limit: Duration) -> Result<(), MailError> {
        let composed = message::compose(email).map_err(MailError::Refused)?;
        self.deliver(&Exchange::new(server, limit), composed).await
    }

    fn compose(&self, email: &Email) -> Result<Mime, MailError> {
        let composed = message::compose(email).map_err(MailError::Refused)?;
        let to = composed.envelope.to().iter().map(ToString::to_string).collect();
        Ok(Mime { mime: composed.text, to })
    }

    async fn probe(&self, server: &MailServer, limit: Duration) -> Result<String, MailError> {
        let exchange = Exchange::new(server, limit);
        let mut connection = self.open(&exchange).await?;
        exchange.step(Step::Noop, connection.command(Noop)).await?;
        let encrypted = match (server.tls, server.port) {
            (false, _) => "",
            (true, TLS_PORT) => ", over TLS",
            (true, _) => ", over STARTTLS",
        };
        let login = match &server.login {
            Some((user, _)) => format!(", took the login of {user}"),
            None => String::new(),
        };
        farewell(connection).await;
        Ok(format!("{} greeted{encrypted}{login}; nothing was sent", exchange.origin()))
    }
}
