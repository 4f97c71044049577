//! Operators' waits, for the program as they start it, in a realm's folder.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pumice_local::Durability;
use serde_json::{Value, json};

use super::serve::pumice;

/// Requests of the file that is dispatched.
const LINES: usize = 1_000_000;
/// Runs that wait and are cancelled.
const WAITING: usize = 100_000;
/// Steps of the dag that is done again.
const STEPS: usize = 1_000;
/// Runs that are processed while the realm is copied, and how large it is, in files of so many bytes.
const PROCESSED: usize = 60_000;
const FILES: usize = 20;
const FILE_BYTES: usize = 50_000_000;
/// How often `runs why` is asked.
const ASKED: usize = 200;

/// When runs that only wait are due.
const LATER: &str = "2099-01-01T00:00:00Z";

type Measured = Result<Vec<f64>, String>;

/// The names of the figures.
pub(super) const NAMES: [&str; 10] = [
    "dispatch_file_lines_s",
    "dispatch_file_mb",
    "why_p50_ms",
    "why_p99_ms",
    "version_p50_ms",
    "cancel_100000_s",
    "cancel_mb",
    "retry_1000_steps_ms",
    "backup_1gb_s",
    "backup_slower_percent",
];

/// Their goals.
pub(super) const GOALS: [(&str, f64); 6] = [
    ("dispatch_file_lines_s", 50_000.0),
    ("dispatch_file_mb", 30.0),
    ("why_p50_ms", 10.0),
    ("cancel_100000_s", 5.0),
    ("retry_1000_steps_ms", 100.0),
    ("backup_slower_percent", 20.0),
];

/// Measures all of them, each in a realm of its own.
pub(super) fn measure(_: Durability) -> Measured {
    let mut figures = dispatch_file()?;
    figures.extend(why()?);
    figures.extend(cancel()?);
    figures.extend(retry()?);
    figures.extend(backup()?);
    Ok(figures)
}

/// A realm's folder, and the program in it.
struct Realm(tempfile::TempDir);

impl Realm {
    fn new(jobs: &Value) -> Result<Self, String> {
        let realm = Self(tempfile::tempdir().map_err(|error| error.to_string())?);
        realm.write("jobs.json", &jobs.to_string())?;
        realm.run(&["apply", "jobs.json"])?;
        Ok(realm)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.path().join(name), text).map_err(|error| error.to_string())
    }

    fn command(&self, arguments: &[&str]) -> Result<Command, String> {
        let mut command = Command::new(pumice()?);
        command.args(arguments).current_dir(self.path()).env("PUMICE_LOG", "error").stdin(Stdio::null());
        Ok(command)
    }

    /// A command's JSON output. It may end with a failure: a run may fail.
    fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let done = self.command(&[arguments, &["-o", "json"]].concat())?.output();
        let done = done.map_err(|error| error.to_string())?;
        let said = || format!("{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).map_err(|error| format!("{error}: {}", said()))
    }

    /// Runs a command to its end: how long it took, and the most memory that it had, in MB.
    fn run(&self, arguments: &[&str]) -> Result<(Duration, f64), String> {
        let mut command = self.command(arguments)?;
        let began = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| error.to_string())?;
        let mut most: f64 = 0.0;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            most = most.max(peak(&child).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = began.elapsed();
        let done = child.wait_with_output().map_err(|error| error.to_string())?;
        match done.status.success() {
            true => Ok((took, most)),
            false => Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&done.stderr))),
        }
    }

    fn serve(&self) -> Result<Served, String> {
        let child = self.command(&["serve"])?.stderr(Stdio::null()).spawn();
        Ok(Served(child.map_err(|error| error.to_string())?))
    }

    /// How many runs have something left to do.
    fn open(&self) -> Result<usize, String> {
        let file = self.path().join(".pumice/pumice.db");
        let store = rusqlite::Connection::open(file).map_err(|error| error.to_string())?;
        let sql = "SELECT count(*) FROM runs WHERE due_at IS NOT NULL";
        let count: u32 = store.query_row(sql, [], |row| row.get(0)).map_err(|error| error.to_string())?;
        Ok(count as usize)
    }

    /// Waits until no run has anything left to do.
    fn drained(&self) -> Result<(), String> {
        while self.open()? > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A server, which is ended when it is dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most memory that a process has had so far, in MB (proc(5), VmHWM).
fn peak(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn job(id: &str, fields: &Value) -> Value {
    let mut job = json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": null });
    for (name, value) in fields.as_object().into_iter().flatten() {
        job[name] = value.clone();
    }
    job
}

fn noop() -> Value {
    json!([job("noop", &json!({}))])
}

fn at(sorted: &mut [f64], share: usize) -> f64 {
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn dispatch_file() -> Measured {
    let realm = Realm::new(&noop())?;
    let mut lines = String::new();
    for number in 0..LINES {
        writeln!(lines, "{{\"job_id\":\"noop\",\"parameters\":{{\"number\":{number}}}}}")
            .map_err(|error| error.to_string())?;
    }
    realm.write("requests.jsonl", &lines)?;
    drop(lines);
    let (took, most) = realm.run(&["dispatch", "--file", "requests.jsonl", "--quiet"])?;
    match realm.open()? {
        LINES => Ok(vec![LINES as f64 / took.as_secs_f64(), most]),
        other => Err(format!("{other} runs of {LINES} lines")),
    }
}

fn why() -> Measured {
    let realm = Realm::new(&noop())?;
    realm.run(&["dispatch", "noop", "--at", LATER])?;
    let mut waits = Vec::with_capacity(ASKED);
    let mut none = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        waits.push(realm.run(&["runs", "why", "latest"])?.0.as_secs_f64() * 1_000.0);
        none.push(realm.run(&["--version"])?.0.as_secs_f64() * 1_000.0);
    }
    Ok(vec![at(&mut waits, 50), at(&mut waits, 99), at(&mut none, 50)])
}

fn cancel() -> Measured {
    let realm = Realm::new(&noop())?;
    let line = format!("{{\"job_id\":\"noop\",\"at\":\"{LATER}\"}}\n");
    realm.write("requests.jsonl", &line.repeat(WAITING))?;
    realm.run(&["dispatch", "--file", "requests.jsonl", "--quiet"])?;
    let _served = realm.serve()?;
    let expect = WAITING.to_string();
    let (took, most) =
        realm.run(&["runs", "cancel", "--where", "job:noop status:dispatched", "--expect", &expect])?;
    match realm.open()? {
        0 => Ok(vec![took.as_secs_f64(), most]),
        open => Err(format!("{open} runs are not cancelled")),
    }
}

/// From `runs retry` to the start of the first step that is run again.
fn retry() -> Measured {
    let steps: Vec<String> = (0..STEPS).map(|number| format!("step/{number:04}")).collect();
    let payload: serde_json::Map<String, Value> = steps
        .windows(2)
        .map(|pair| (pair[1].clone(), json!([pair[0]])))
        .chain([(steps[0].clone(), json!([]))])
        .collect();
    let mut jobs: Vec<Value> = steps.iter().map(|id| job(id, &json!({}))).collect();
    let fails = json!({ "type": "cmd", "payload": "sh", "parameters": { "args": ["-c", "exit 1"] } });
    jobs[STEPS - 1] = job(&steps[STEPS - 1], &fails);
    jobs.push(job("night", &json!({ "type": "dag", "payload": payload })));
    let realm = Realm::new(&Value::Array(jobs))?;
    let _served = realm.serve()?;
    realm.ask(&["dispatch", "night", "--wait"])?;
    let mut waits = Vec::new();
    for _ in 0..5 {
        let began = chrono::Utc::now();
        realm.run(&["runs", "retry", "latest:night"])?;
        realm.drained()?;
        let file = realm.path().join(".pumice/pumice.db");
        let store = rusqlite::Connection::open(file).map_err(|error| error.to_string())?;
        let sql = "SELECT record ->> '$.ts_start' FROM runs WHERE job_id = ? AND record ->> '$.ts_start' >= ? ORDER BY id LIMIT 1";
        let started: i64 = store
            .query_row(sql, rusqlite::params![steps[STEPS - 1], began.timestamp_micros()], |row| row.get(0))
            .map_err(|error| error.to_string())?;
        waits.push((started - began.timestamp_micros()) as f64 / 1_000.0);
    }
    Ok(vec![at(&mut waits, 50)])
}

fn backup() -> Measured {
    let script = format!("head -c {FILE_BYTES} /dev/urandom | base64 -w 0 | head -c {FILE_BYTES}");
    let prints = json!({ "type": "cmd", "payload": "sh", "parameters": { "args": ["-c", script] } });
    let realm = Realm::new(&json!([job("noop", &json!({})), job("large", &prints)]))?;
    {
        let _served = realm.serve()?;
        for _ in 0..FILES {
            realm.run(&["dispatch", "large"])?;
        }
        realm.drained()?;
    }
    let requests = "noop\n".repeat(PROCESSED);
    realm.write("requests.txt", &requests)?;
    let (mut without, mut with, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..3 {
        without.push(drain(&realm)?);
        let copy = format!("copy-{number}.backup");
        let mut copying = realm.command(&["backup", &copy])?;
        let began = Instant::now();
        let child = copying.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| error.to_string())?;
        let rate = drain(&realm)?;
        let was_at_it = child.try_wait().map_err(|error| error.to_string())?.is_none();
        if !child.wait().map_err(|error| error.to_string())?.success() {
            return Err("the backup failed".to_owned());
        }
        took.push(began.elapsed().as_secs_f64());
        if !was_at_it {
            return Err("the backup was over before the runs were".to_owned());
        }
        with.push(rate);
    }
    let (without, with) = (at(&mut without, 50), at(&mut with, 50));
    Ok(vec![at(&mut took, 50), (without / with - 1.0) * 100.0])
}

/// How many runs a second a server processes of a full queue.
fn drain(realm: &Realm) -> Result<f64, String> {
    realm.run(&["dispatch", "--file", "requests.txt", "--quiet"])?;
    let began = Instant::now();
    let _served = realm.serve()?;
    realm.drained()?;
    Ok(PROCESSED as f64 / began.elapsed().as_secs_f64())
}
