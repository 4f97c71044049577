//! Connections that are made anew after one has failed.
//!
//! A function that was frozen, or a host that was asleep, finds its pool full of connections that the other side has closed or
//! forgotten. Each try of a call would take another of them. So the first failure gives up the whole pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Makes a client with an empty pool.
type Make = fn() -> SharedHttpClient;

/// A client of which the next call has new connections once one has failed.
#[derive(Clone, Debug)]
pub(crate) struct FreshClient(Arc<Current>);

#[derive(Debug)]
struct Current {
    make: Make,
    pool: Mutex<Arc<Pool>>,
}

/// A client with its connections.
#[derive(Debug)]
struct Pool {
    client: SharedHttpClient,
    /// Whether a call was answered: before that it keeps no connection.
    is_used: AtomicBool,
}

impl Pool {
    fn new(make: Make) -> Arc<Self> {
        Arc::new(Self { client: make(), is_used: AtomicBool::new(false) })
    }
}

impl FreshClient {
    /// A client as `make` makes them.
    pub(crate) fn new(make: Make) -> Self {
        Self(Arc::new(Current { make, pool: Mutex::new(Pool::new(make)) }))
    }
}

impl Current {
    fn pool(&self) -> Arc<Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up a pool, unless that was done already.
    fn give_up(&self, failed: &Arc<Pool>) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&pool, failed) && failed.is_used.load(Ordering::Relaxed) {
            *pool = Pool::new(self.make);
        }
    }
}

impl HttpClient for FreshClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let pool = self.0.pool();
        let connector = pool.client.http_connector(settings, components);
        SharedHttpConnector::new(FreshConnector { current: self.0.clone(), pool, connector })
    }
}

#[derive(Debug)]
struct FreshConnector {
    current: Arc<Current>,
    pool: Arc<Pool>,
    connector: SharedHttpConnector,
}

impl HttpConnector for FreshConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut watch = Watch { current: self.current.clone(), pool: self.pool.clone(), is_answered: false };
        let answer = self.connector.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            watch.is_answered = answer.is_ok();
            if watch.is_answered {
                watch.pool.is_used.store(true, Ordering::Relaxed);
            }
            answer
        })
    }
}

/// Gives up the pool of a call that fails or is dropped: its caller got no answer in time.
struct Watch {
    current: Arc<Current>,
    pool: Arc<Pool>,
    is_answered: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_answered {
            self.current.give_up(&self.pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Condvar;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_sqs::config::Credentials;
    use aws_sdk_sqs::config::timeout::TimeoutConfig;
    use futures_util::future::join_all;

    use super::*;
    use crate::connect::config_with;

    /// The fate of connections that are open at a freeze.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Freeze {
        /// The other side has forgotten them, and resets each that is used.
        Reset,
        /// Nothing is ever answered on them.
        Silent,
    }

    /// Answers as SQS does, each request once all of a burst have come.
    struct Service {
        port: u16,
        burst: Arc<Burst>,
        /// How many freezes there were: connections of before are dead.
        frozen: Arc<AtomicUsize>,
        /// How many connections were made.
        made: Arc<AtomicUsize>,
    }

    /// How many requests have come, and for how many those wait that are not answered yet.
    #[derive(Default)]
    struct Burst {
        counts: Mutex<(usize, usize)>,
        come: Condvar,
    }

    impl Burst {
        fn expect(&self, more: usize) {
            self.counts.lock().unwrap().1 += more;
        }

        fn join(&self) {
            let mut counts = self.counts.lock().unwrap();
            counts.0 += 1;
            self.come.notify_all();
            drop(self.come.wait_while(counts, |(come, wanted)| come < wanted).unwrap());
        }
    }

    fn serve(freeze: Freeze) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = Service { port, burst: Arc::default(), frozen: Arc::default(), made: Arc::default() };
        let (burst, frozen, made) = (service.burst.clone(), service.frozen.clone(), service.made.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                made.fetch_add(1, Ordering::SeqCst);
                let (burst, frozen) = (burst.clone(), frozen.clone());
                let born = frozen.load(Ordering::SeqCst);
                // A connection that breaks is the client's to make anew.
                std::thread::spawn(move || answer(&stream, freeze, &burst, &frozen, born).ok());
            }
        });
        service
    }

    fn answer(
        stream: &TcpStream,
        freeze: Freeze,
        burst: &Burst,
        frozen: &AtomicUsize,
        born: usize,
    ) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        loop {
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line)? > 2 {
                let header = line.to_ascii_lowercase();
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            if line.is_empty() {
                return Ok(());
            }
            reader.read_exact(&mut vec![0; length])?;
            if frozen.load(Ordering::SeqCst) > born {
                match freeze {
                    Freeze::Reset => return Ok(()),
                    Freeze::Silent => {
                        let _ = reader.read(&mut [0]);
                        return Ok(());
                    }
                }
            }
            burst.join();
            let body = r#"{"QueueUrl":"http://127.0.0.1/q"}"#;
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
    }

    /// How long a connection that may be silent is waited for, and one that answers on a busy machine.
    const SILENT: Duration = Duration::from_secs(3);
    const BUSY: Duration = Duration::from_secs(60);

    async fn client(port: u16, attempt: Duration) -> aws_sdk_sqs::Client {
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"));
        let config = config_with(loader).await;
        // As in use, but for how long a silent connection is waited for.
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt * 4)
            .build();
        let config = aws_sdk_sqs::config::Builder::from(&config).timeout_config(timeouts);
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    #[tokio::test]
    async fn burst_and_freeze_cost_one_try() {
        for freeze in [Freeze::Reset, Freeze::Silent] {
            let service = serve(freeze);
            let (attempt, rounds) = if freeze == Freeze::Silent { (SILENT, 1) } else { (BUSY, 3) };
            let client = client(service.port, attempt).await;
            for round in 1..=rounds {
                service.burst.expect(40);
                let burst = (0..40).map(|_| client.get_queue_url().queue_name("q").send());
                for outcome in join_all(burst).await {
                    outcome.unwrap();
                }
                assert!(service.made.load(Ordering::SeqCst) >= 40, "a burst has many connections");
                service.frozen.fetch_add(1, Ordering::SeqCst);
                // Eight invocations in a row: none fails, and the first alone needs more than a try.
                for _ in 0..8 {
                    service.burst.expect(1);
                    let sent = client.get_queue_url().queue_name("q").send().await;
                    sent.unwrap_or_else(|error| panic!("{freeze:?} {round}: {error:?}"));
                }
            }
        }
    }

    #[tokio::test]
    async fn idle_connections_are_few() {
        let service = serve(Freeze::Reset);
        let client = client(service.port, BUSY).await;
        let burst = async || {
            service.burst.expect(60);
            let sent = join_all((0..60).map(|_| client.get_queue_url().queue_name("q").send())).await;
            assert!(sent.iter().all(Result::is_ok), "{sent:?}");
            service.made.load(Ordering::SeqCst)
        };
        let (first, both) = (burst().await, burst().await);
        assert_eq!(first, 60, "each of a burst has its own");
        let kept = 60 - (both - first);
        assert!(kept <= crate::connect::MAX_IDLE, "{kept} of 60 connections were kept");
    }
}
