//! The Lambda runtime interface emulator over a function's binary: Lambda's own protocol, without Lambda.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cloud::{ACCOUNT, Cloud, binary};
use super::server::{REGION, command, folder, free_port};

/// How long the emulator may take to listen.
const START: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// The most seconds that an invocation takes.
const TIMEOUT: &str = "30";

/// A function in the emulator; both end when this is dropped.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    port: u16,
    log: Arc<Mutex<String>>,
}

/// Where the emulator is: in the package of AWS's SAM.
fn program() -> PathBuf {
    let name = if cfg!(target_arch = "aarch64") { "aws-lambda-rie-arm64" } else { "aws-lambda-rie-x86_64" };
    let libraries = std::fs::read_dir(folder().join("aws/lib")).expect("the stand-ins are there").flatten();
    let mut found = libraries.map(|python| python.path().join("site-packages/samcli/local/rapid").join(name));
    found.find(|path| path.exists()).expect("SAM's package has the emulator")
}

impl Emulator {
    /// A function's binary on a realm. Its process starts with the first event.
    ///
    /// # Panics
    /// When the emulator does not start.
    #[must_use]
    pub fn start(cloud: &Cloud, name: &str) -> Self {
        let (port, api) = (free_port(), free_port());
        let mut command = command(&program());
        command
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api}"), "--log-level", "info"])
            .arg(binary(name))
            .arg("bootstrap")
            .envs([("AWS_LAMBDA_FUNCTION_NAME", name), ("AWS_LAMBDA_FUNCTION_TIMEOUT", TIMEOUT)])
            .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"), ("AWS_REGION", REGION)])
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_SESSION_TOKEN", "test"),
            ])
            .envs([("LAVA_REALM", "test"), ("LAVA_WORKER", "core")])
            .env("AWS_ENDPOINT_URL", cloud.server.url())
            .env("PUMICE_TMP", cloud.server.tmp())
            .env("LAVA_QUEUE_URL_PREFIX", format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/"))
            // A group of its own, so that the function goes with it.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log: Arc<Mutex<String>> = Arc::default();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            keep(out, log.clone());
            keep(err, log.clone());
        }
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < START, "the emulator does not start");
            std::thread::sleep(PAUSE);
        }
        Self { child, port, log }
    }

    /// Hands an event to the function, and gives its answer.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn invoke(&self, event: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/2015-03-31/functions/function/invocations", self.port);
        let mut answer = ureq::post(url).send(event).expect("the function answers");
        let text = answer.body_mut().read_to_string().expect("it is read");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// The output of the emulator and the function.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most memory that the function's process has had, in kilobytes.
    #[must_use]
    pub fn peak_kb(&self) -> Option<u64> {
        // Any thread of the emulator may have started it.
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?.flatten();
        let mut children =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let pid = children.find_map(|pids| pids.split_whitespace().next().map(str::to_owned))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }
}

/// Keeps what a process writes.
fn keep(from: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The group may be gone already.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}
