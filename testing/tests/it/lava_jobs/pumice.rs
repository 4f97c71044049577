//! Pumice's program, as people use it: `apply`, `serve`, `state put`, `dispatch --wait`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use chrono::{DateTime, FixedOffset};
use pumice_testing::standins::command;
use serde_json::{Value, json};

use crate::lava_jobs::beside::ZONE;
use crate::lava_jobs::cases::Case;
use crate::lava_jobs::compare::{Came, Event, Ran};

/// Servers, one for each realm that the cases ask for.
#[derive(Default)]
pub(crate) struct Pumice {
    served: BTreeMap<String, Served>,
}

struct Served {
    home: tempfile::TempDir,
    server: Child,
}

impl Pumice {
    /// The outcome of a case.
    pub(crate) fn run(&mut self, case: &Case) -> Came {
        let mut realm = json!({ "realm": "test", "config": case.config });
        realm.as_object_mut().expect("an object").extend(case.realm.clone());
        let served = self.served.entry(realm.to_string()).or_insert_with(|| Served::start(&realm));
        served.run(case)
    }
}

impl Served {
    fn start(realm: &Value) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let applied = feed(home.path(), &["apply", "-"], &realm.to_string());
        assert!(applied.status.success(), "{applied:?}");
        let mut server = program(home.path())
            .args(["serve", "--slots", "4"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // It says that it serves; its later output is not read, but must have somewhere to go.
        let mut told = BufReader::new(server.stderr.take().expect("a pipe"));
        let mut line = String::new();
        told.read_line(&mut line).expect("it says so");
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Self { home, server }
    }

    fn run(&self, case: &Case) -> Came {
        let home = self.home.path();
        let applied = feed(home, &["apply", "-"], &Value::from(case.jobs()).to_string());
        if !applied.status.success() {
            let refused = Some(String::from_utf8_lossy(&applied.stderr).into_owned());
            return Came { refused, ..Came::default() };
        }
        for (id, value) in &case.state {
            let put = program(home).args(["state", "put", id, &value.to_string()]).output().expect("it runs");
            assert!(put.status.success(), "{put:?}");
        }
        let request = json!([case.request()]).to_string();
        let told = feed(home, &["dispatch", "--file", "-", "--wait", "-o", "json"], &request);
        let read: Value = serde_json::from_slice(&told.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {told:?}", case.name));
        let refused = (read["runs"].as_array().is_none_or(Vec::is_empty))
            .then(|| String::from_utf8_lossy(&told.stderr).into_owned());
        let runs = read["runs"].as_array().into_iter().flatten().map(|run| ran(run, home)).collect();
        Came { refused, runs, state: self.state() }
    }

    /// The items that are left, which are taken away.
    fn state(&self) -> serde_json::Map<String, Value> {
        let home = self.home.path();
        let listed = program(home).args(["state", "list", "-o", "json"]).output().expect("it runs");
        let items: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("a list");
        let mut left = serde_json::Map::new();
        for item in items {
            let id = item["state_id"].as_str().expect("an id").to_owned();
            let gone = program(home).args(["state", "delete", &id]).output().expect("it runs");
            assert!(gone.status.success(), "{gone:?}");
            left.insert(
                id,
                json!({ "value": item["value"], "type": item["type"], "publisher": item["publisher"] }),
            );
        }
        left
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program in a realm's folder, without this process's environment.
fn program(home: &Path) -> Command {
    let program = std::env::var_os("PUMICE_COMMAND");
    let mut command =
        command(Path::new(&program.expect("PUMICE_COMMAND names the program: run `cargo xtask test`")));
    command.env("TZ", ZONE).env("PUMICE_HOME", home);
    command
}

fn feed(home: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = program(home)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn ran(run: &Value, home: &Path) -> Ran {
    let run_id = run["run_id"].as_str().expect("an id");
    let time = |name: &str| -> DateTime<FixedOffset> {
        run[name].as_str().and_then(|text| text.parse().ok()).expect("a time")
    };
    let events = run["log"].as_array().expect("a log").iter().map(|event| Event {
        status: event["status"].as_str().expect("a status").to_owned(),
        info: shown(&event["info"], run_id, home),
    });
    // Of a step and of a further attempt it is another time; of a run that gave way in between a moment later.
    let first = run["run_key"] == run["run_id"] && run["iteration"] == 1;
    let delay = (time("not_before") - time("ts_dispatch")).num_seconds().unsigned_abs();
    let delay = if first { delay } else { 0 };
    Ran { job_id: run["job_id"].as_str().expect("a job").to_owned(), delay, events: events.collect() }
}

/// An event's info with what commands printed in place of where it is.
fn shown(item: &Value, run_id: &str, home: &Path) -> Value {
    match item {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let place = value.as_str().filter(|_| matches!(name.as_str(), "stdout" | "stderr"));
                let printed = place.and_then(|place| std::fs::read(home.join(place)).ok());
                let value = match printed {
                    Some(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
                    None => shown(value, run_id, home),
                };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => items.iter().map(|item| shown(item, run_id, home)).collect(),
        Value::String(text) => text.replace(run_id, "RUN").into(),
        other => other.clone(),
    }
}
