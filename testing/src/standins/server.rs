//! A server that answers as AWS does, on this machine, for as long as it is needed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};

/// How long a server may take to answer for the first time.
const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// On how many ports a server is tried.
const PORTS: usize = 3;
/// The region that everything stands in.
pub(super) const REGION: &str = "eu-west-1";

/// A stand-in for AWS; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: Ipv4Addr,
    port: u16,
    tmp: tempfile::TempDir,
    /// Its own temporary files, as the code of its functions.
    _own: tempfile::TempDir,
}

/// The folder of the stand-ins.
///
/// # Panics
/// When `PUMICE_STANDINS` does not name it: the tests that need it are run by `cargo xtask test`.
#[must_use]
pub fn folder() -> PathBuf {
    let named = std::env::var_os("PUMICE_STANDINS");
    named
        .map(PathBuf::from)
        .expect("PUMICE_STANDINS names the folder of the stand-ins: run `cargo xtask test`")
}

/// A port without a listener.
///
/// # Panics
/// When this machine gives none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// A program with only the necessary part of this process's environment.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A program's standard output. Panics with all of its output when it does not end well.
pub(super) fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{printed}{told}", output.status);
    printed.into_owned()
}

impl Server {
    /// ministack: tables, queues, objects, and functions that run the real binaries. Its missing support of nested
    /// stacks is added (testing/standins/ministack_as_aws.py).
    #[must_use]
    pub fn ministack() -> Self {
        Self::ministack_with(Ipv4Addr::LOCALHOST, &[])
    }

    /// The same on another address of this machine, as that by which containers reach it.
    #[must_use]
    pub fn ministack_at(address: Ipv4Addr) -> Self {
        Self::ministack_with(address, &[])
    }

    /// The same, and only what a policy allows is permitted. The key `test` is the account's root.
    #[must_use]
    pub fn strict_ministack() -> Self {
        Self::ministack_with(Ipv4Addr::LOCALHOST, &[("AUTH", "true")])
    }

    fn ministack_with(address: Ipv4Addr, settings: &[(&str, &str)]) -> Self {
        Self::start(address, "/_ministack/health", |port| {
            let mut command = command(&folder().join("aws/bin/python"));
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/standins/ministack_as_aws.py"));
            command.env("BIND_HOST", address.to_string()).env("MINISTACK_HOST", address.to_string());
            command.envs([
                // Both listen on every interface.
                ("IOT_MTLS_ENABLED", "0"),
                ("SFTP_ENABLED", "0"),
                ("LAMBDA_ASYNC_RETRY_BASE_SECONDS", "0.05"),
            ]);
            // The endpoint that functions get.
            command.env("AWS_ENDPOINT_URL", format!("http://{address}:{port}"));
            command.env("GATEWAY_PORT", port.to_string());
            command.envs(settings.iter().copied());
            command
        })
    }

    /// moto: stricter about queues. Its missing parts of AWS are added (testing/standins/moto_as_aws.py).
    #[must_use]
    pub fn moto() -> Self {
        Self::start(Ipv4Addr::LOCALHOST, "/moto-api/", |port| {
            let mut command = command(&folder().join("aws/bin/python"));
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/standins/moto_as_aws.py"));
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        })
    }

    /// Starts a server on a port that was free a moment ago; on another when that port is taken.
    fn start(address: Ipv4Addr, health: &str, on: impl Fn(u16) -> Command) -> Self {
        let started = (0..PORTS).find_map(|_| {
            let port = free_port();
            Self::try_start(&mut on(port), (address, port), health)
        });
        started.unwrap_or_else(|| panic!("{:?} ends at once, on {PORTS} ports", on(0)))
    }

    /// The server once it answers; `None` when it ends instead.
    fn try_start(command: &mut Command, (address, port): (Ipv4Addr, u16), health: &str) -> Option<Self> {
        let [tmp, own] = [(), ()].map(|()| tempfile::tempdir().expect("a folder is made"));
        let child = command
            .env("TMPDIR", own.path())
            // For the functions: two servers at once must not clear up each other's folders.
            .env("PUMICE_TMP", tmp.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, address, port, tmp, _own: own };
        let began = Instant::now();
        while get(address, port, health) != Some(200) {
            if let Ok(Some(_)) = server.child.try_wait() {
                return None;
            }
            assert!(began.elapsed() < START, "{command:?} does not answer");
            std::thread::sleep(PAUSE);
        }
        Some(server)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the functions that it runs may write.
    #[must_use]
    pub fn tmp(&self) -> &Path {
        self.tmp.path()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status that a path answers with.
fn get(address: Ipv4Addr, port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((address, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer).ok()?.split(' ').nth(1)?.parse().ok()
}

/// The configuration of clients that talk to a server: as for AWS, but for the address.
pub async fn config(url: &str) -> SdkConfig {
    let credentials = aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test");
    pumice_aws::config_with(
        aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new(REGION))
            .credentials_provider(credentials),
    )
    .await
}
