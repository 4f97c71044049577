//! Connections to servers: names looked up, addresses checked, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::address::is_forbidden;
use pumice_core::ports::HttpError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::target::Target;

/// How long one address may take to connect, and a server to begin TLS, while there are others to try.
const CONNECT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are tried.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Looks names up.
#[async_trait]
pub(crate) trait Resolve: Send + Sync {
    /// The addresses of a host.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Looks names up as the system does.
pub(crate) struct SystemNames;

#[async_trait]
impl Resolve for SystemNames {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// An open connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes connections.
pub(super) struct Connector {
    names: Arc<dyn Resolve>,
    /// The certificates that TLS trusts, read when they are needed first.
    tls: OnceCell<TlsConnector>,
}

impl Connector {
    pub(super) fn new(names: Arc<dyn Resolve>) -> Self {
        Self { names, tls: OnceCell::new() }
    }

    /// Connects to a server. A name is looked up once, each of its addresses is checked, and the connection is made to
    /// one of these: a name that means another address a moment later changes nothing.
    pub(super) async fn connect(&self, target: &Target) -> Result<Stream, HttpError> {
        let origin = target.origin();
        let unsent = |why: String| HttpError::NotSent(format!("cannot connect to {origin}: {why}"));
        let found = self.names.resolve(&target.host, target.port).await;
        let found = found.map_err(|error| unsent(format!("its name is not found: {error}")))?;
        if let Some(address) = found.iter().map(SocketAddr::ip).find(|address| is_forbidden(*address)) {
            return Err(HttpError::Refused(format!(
                "{origin} is not called: its address {address} is link-local, where clouds hand out credentials"
            )));
        }
        let mut last = unsent("its name has no address".to_owned());
        for address in found.into_iter().take(MAX_ADDRESSES) {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.encrypted(target, stream).await,
                Ok(Err(error)) => last = unsent(error.to_string()),
                Err(_) => last = unsent(format!("no answer within {} s", CONNECT.as_secs())),
            }
        }
        Err(last)
    }

    async fn encrypted(&self, target: &Target, stream: TcpStream) -> Result<Stream, HttpError> {
        let origin = target.origin();
        let unsent = |why: String| HttpError::NotSent(format!("cannot connect to {origin}: {why}"));
        // Requests are short: none waits for more to send.
        stream.set_nodelay(true).map_err(|error| unsent(error.to_string()))?;
        if !target.tls {
            return Ok(Stream::Plain(stream));
        }
        let tls = self.tls.get_or_try_init(trusting).await.map_err(unsent)?;
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| HttpError::Refused(format!("{origin} is not a host's name")))?;
        match timeout(CONNECT, tls.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(unsent(error.to_string())),
            Err(_) => Err(unsent(format!("no TLS within {} s", CONNECT.as_secs()))),
        }
    }
}

/// TLS that trusts the authorities that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise).
async fn trusting() -> Result<TlsConnector, String> {
    let reading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = reading.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!(
            "the system trusts no certificate authority (install ca-certificates, or set SSL_CERT_FILE){why}"
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
