//! lava's code, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use pumice_testing::standins::{Server, folder};
use serde_json::{Value, json};

use crate::lava_jobs::cases::Case;
use crate::lava_jobs::compare::{Came, Event, Ran};

/// The program that runs cases with lava.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/standins/lava_run_job.py");
/// The zone of both.
pub(crate) const ZONE: &str = "Australia/Sydney";

/// lava, and the stand-in for its tables.
pub(crate) struct Lava {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _home: tempfile::TempDir,
    _server: Server,
}

impl Lava {
    pub(crate) fn start() -> Self {
        let server = Server::moto();
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join(".aws")).expect("a folder");
        // A dag asks for the profile by its name.
        std::fs::write(home.path().join(".aws/config"), "[default]\n").expect("a file");
        let mut child = Command::new(folder().join("lava/bin/python"))
            .arg(PROGRAM)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("TZ", ZONE)
            .env("PYTHONUTF8", "1")
            .env("AWS_ENDPOINT_URL", server.url())
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output, _home: home, _server: server }
    }

    /// The outcome of a case.
    pub(crate) fn run(&mut self, case: &Case) -> Came {
        let asked = json!({
            "jobs": case.jobs(), "request": case.request(), "state": case.state, "config": case.config,
            "realm": case.realm,
        });
        writeln!(self.input, "{asked}").expect("lava reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("lava answers");
        let told: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", case.name));
        let runs = told["runs"].as_array().expect("runs").iter().map(ran);
        Came {
            refused: told["refused"].as_str().map(str::to_owned),
            runs: runs.collect(),
            state: told["state"].as_object().cloned().expect("state"),
        }
    }
}

fn ran(run: &Value) -> Ran {
    let events = run["events"].as_array().expect("events").iter().map(|event| Event {
        status: event[0].as_str().expect("a status").to_owned(),
        info: event[1].clone(),
    });
    Ran {
        job_id: run["job_id"].as_str().expect("a job").to_owned(),
        delay: run["delay"].as_u64().unwrap_or_default(),
        events: events.collect(),
    }
}

impl Drop for Lava {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
