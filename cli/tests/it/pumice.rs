//! Runs the command in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder, and the command run in it.
pub(crate) struct Pumice {
    folder: tempfile::TempDir,
    /// Where commands get cgroups of their own; as a user has it when `None`.
    cgroups: Option<&'static str>,
}

/// The output of a command, and its exit status.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Printed {
    /// The JSON that was printed, and nothing else was.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The runs of `run -o json`, by job id.
    pub(crate) fn run_of(&self, job_id: &str) -> Value {
        let json = self.json();
        let runs = json["runs"].as_array().expect("runs").clone();
        runs.into_iter()
            .find(|run| run["job_id"] == job_id)
            .unwrap_or_else(|| panic!("no run of {job_id}: {json:#}"))
    }
}

impl From<Output> for Printed {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Pumice {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), cgroups: None }
    }

    /// Each way in which commands are held together: in cgroups where there may be any, and by their marks alone.
    pub(crate) fn with_and_without_cgroups() -> [Self; 2] {
        ["auto", "off"].map(|cgroups| Self { cgroups: Some(cgroups), ..Self::new() })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The command with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pumice"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("PUMICE_HOME").env_remove("PUMICE_LOG").env("TZ", "Australia/Sydney");
        command.env_remove("PUMICE_CGROUPS").envs(self.cgroups.map(|cgroups| ("PUMICE_CGROUPS", cgroups)));
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Printed {
        self.command(arguments).output().expect("the command").into()
    }

    /// Runs the command with a standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Printed {
        use std::io::Write;
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command");
        child.stdin.take().expect("an input").write_all(input.as_ref()).expect("written");
        child.wait_with_output().expect("the output").into()
    }

    /// Runs one job of a spec given as JSON, as `run -o json`.
    pub(crate) fn run_spec(&self, spec: &Value, job: &str) -> Printed {
        self.write("jobs.json", spec.to_string());
        self.run(&["run", "--jobs", "jobs.json", job, "-o", "json"])
    }

    /// Starts `serve`, and returns once it serves.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// The same with these options.
    pub(crate) fn serve_with(&self, options: &[&str]) -> Server {
        self.serve_under(options, &[])
    }

    /// The same, with variables.
    pub(crate) fn serve_under(&self, options: &[&str], variables: &[(&str, &str)]) -> Server {
        use std::io::{BufRead, BufReader};
        let mut command = self.command(&["serve"]);
        command.args(options).envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("serve");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let serves = lines.by_ref().map_while(Result::ok).any(|line| line.contains("serving"));
        assert!(serves, "serve did not come up: {:?}", child.try_wait());
        // Its output must be read, or it would wait for that.
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        Server(child)
    }
}

/// A running `serve`; killed when dropped.
pub(crate) struct Server(pub(crate) Child);

impl Server {
    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Sends a signal until it ends.
    pub(crate) fn end_by(mut self, name: &str) -> i32 {
        let mut ended = None;
        wait_until(|| {
            ended = self.0.try_wait().expect("an end");
            if ended.is_none() {
                // It may end before this reaches it.
                let _ = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
            }
            ended.is_some()
        });
        ended.and_then(|ended| ended.code()).unwrap_or(-1)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> i32 {
        self.0.wait().expect("an end").code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A job that runs a shell script.
pub(crate) fn shell(job_id: &str, script: &str) -> Value {
    serde_json::json!({
        "job_id": job_id, "type": "cmd", "worker": "core", "enabled": true,
        "payload": "sh -c", "parameters": { "args": [script] },
    })
}

/// Waits for something that another process does: no more than it takes, and not for ever.
pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "it did not come to pass");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
