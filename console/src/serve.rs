//! Listens and answers: connections within the bounds.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pumice_service::Realm;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::access::{Place, Room};
use crate::app::{App, Settings, StartError};
use crate::router::{answer, router};

/// How long to wait when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long answers that are under way may take when the console stops.
const LAST: Duration = Duration::from_secs(2);

/// A console that listens.
pub struct Console {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Console {
    /// Listens; what connects waits until [`Console::serve`] is called.
    ///
    /// # Errors
    /// [`StartError`] when other machines could reach it without a login, or it cannot listen.
    pub async fn bind(realm: Arc<dyn Realm>, settings: Settings) -> Result<Self, StartError> {
        let asked = settings.listen;
        let failed = |error| StartError::Listen(asked, error);
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = Arc::new(App::new(realm, address, settings)?);
        Ok(Self { app, listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether people log in with a link that is printed, and not with tokens alone.
    #[must_use]
    pub fn has_links(&self) -> bool {
        self.app.logins.has_links()
    }

    /// Prints a login link.
    pub fn announce(&self) {
        self.app.announce_link();
    }

    /// Answers until `stop` is ready.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { app, listener, .. } = self;
        let router = router(app.clone());
        let room = Room::new(app.bounds.connections);
        let (stopping, stopped) = watch::channel(false);
        tokio::pin!(stop);
        loop {
            let next = async {
                let (stream, peer) = listener.accept().await?;
                let place = room.enter(peer.ip()).await;
                Ok((stream, peer, place))
            };
            let accepted: std::io::Result<_> = tokio::select! {
                () = &mut stop => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let shared = (app.clone(), router.clone());
                    tokio::spawn(connection(shared, (stream, peer.ip()), place, stopped.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // The receivers are gone when no connection is left.
        let _ = stopping.send(true);
        drop(stopped);
        let _ = tokio::time::timeout(LAST, stopping.closed()).await;
    }
}

/// Answers one connection until it ends, its time is up, its place is given to another or the console stops.
async fn connection(
    (app, router): (Arc<App>, Router),
    (stream, peer): (TcpStream, IpAddr),
    place: Place,
    mut stopped: watch::Receiver<bool>,
) {
    let bounds = app.bounds;
    // A page is written whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let at = &place;
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, router) = (app.clone(), router.clone());
        async move {
            at.begin();
            let (response, is_known) = answer(&app, router, peer, request.map(Body::new)).await;
            at.end(is_known);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .max_buf_size(bounds.head)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let stopped = async move {
        // The guard must not live on.
        drop(stopped.wait_for(|stopped| *stopped).await);
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(bounds.connection_time) => return,
        () = place.ended() => return,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            // An event stream never ends by itself.
            let _ = tokio::time::timeout(LAST, connection).await;
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
