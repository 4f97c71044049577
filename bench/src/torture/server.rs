//! `pumice serve` in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Most lines of its log that are kept.
const MAX_LINES: usize = 10_000;
/// How long a server may take to end once it was asked to.
const ENDING: Duration = Duration::from_secs(90);

/// A server; killed when dropped.
pub(super) struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts one, and waits until it serves.
    pub(super) fn start(pumice: &Path, home: &Path, options: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(pumice)
            .arg("serve")
            .arg("--home")
            .arg(home)
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", pumice.display()))?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(Vec::new()));
        let server = Self { child, log: log.clone() };
        let mut told = Vec::new();
        while let Some(line) = lines.next() {
            let serves = line.contains("serving");
            told.push(line);
            if serves {
                // Its output must be read, or it would block on it.
                std::thread::spawn(move || {
                    for line in lines {
                        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                        if log.len() < MAX_LINES {
                            log.push(line);
                        }
                    }
                });
                return Ok(server);
            }
        }
        Err(format!("serve did not come up: {}", told.join("\n")))
    }

    /// Its log so far.
    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process.
    pub(super) fn id(&self) -> Result<Pid, String> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        id.ok_or_else(|| "a server has no process id".to_owned())
    }

    /// Whether it is there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal; it may have ended by itself.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), String> {
        match kill_process(self.id()?, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Kills it.
    pub(super) fn kill(mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// Waits for its end; gives its exit status, or nothing when it was ended by a signal or did not end in time.
    pub(super) fn end(&mut self) -> Option<i32> {
        let began = Instant::now();
        while self.is_alive() && began.elapsed() < ENDING {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
