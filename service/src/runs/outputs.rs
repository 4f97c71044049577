//! What the commands of runs printed, wherever it is kept.

use std::io::Write;

use async_trait::async_trait;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::kept_at;
use pumice_core::ports::StoreError;
use pumice_core::run::{Run, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::whole::whole_record;
use super::{RunName, find, trees};
use crate::failure::Error;
use crate::realm::Realm;

/// Where a command's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// An output that is read bit by bit.
pub struct Opened {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub reader: Box<dyn AsyncBufRead + Send + Unpin>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Reads outputs where the realm keeps them.
#[async_trait]
pub trait Outputs: Send + Sync {
    /// The location that a record keeps, as it can be read.
    fn located(&self, recorded: &str) -> String {
        recorded.to_owned()
    }

    /// Where the worker writes the output of a running attempt, if that is a file of this machine.
    fn live(&self, run: &RunKey, attempt: u32, stream: Stream) -> Option<String> {
        let _ = (run, attempt, stream);
        None
    }

    /// The names of the files in a folder of outputs, without those in folders below. None where the folder is gone.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let _ = folder;
        Ok(Vec::new())
    }

    /// Opens the output at a location; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    async fn open(&self, location: &str) -> Result<Option<Opened>, StoreError>;
}

/// What one attempt of a run printed on one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Printed {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The run.
    pub run_key: RunKey,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The stream.
    pub stream: Stream,
    /// Where it is, as it can be read.
    pub location: String,
    /// Whether the record says that something was printed: else it may have been nothing.
    #[serde(rename = "recorded")]
    pub is_recorded: bool,
}

/// Where the output of a run's last attempt is, in its order.
#[must_use]
pub fn of_last_attempt(outputs: &dyn Outputs, run: &Run) -> Vec<Printed> {
    let data = run.result.get("error_data").filter(|data| data.is_object()).unwrap_or(&run.result);
    let recorded = data.get("output").and_then(Value::as_array).into_iter().flatten();
    let printed = |output: &Value, stream: Stream| {
        let location = outputs.located(output.get(stream.name())?.as_str()?);
        Some(Printed { is_recorded: true, ..possible(run, run.attempt, stream, location) })
    };
    recorded
        .flat_map(|output| Stream::ALL.into_iter().filter_map(move |stream| printed(output, stream)))
        .collect()
}

fn possible(run: &Run, attempt: u32, stream: Stream, location: String) -> Printed {
    let (job_id, run_key) = (run.job_id.clone(), run.key.clone());
    Printed { job_id, run_key, attempt, stream, location, is_recorded: false }
}

/// Where the output of each attempt of a run is, or would be: `s3_temp` is the realm's. While an attempt runs, that
/// is where the worker writes it, if that is a file of this machine.
async fn of_all_attempts(
    outputs: &dyn Outputs,
    run: &Run,
    s3_temp: Option<&str>,
) -> Result<Vec<Printed>, Error> {
    let mut all = Vec::new();
    let last = if run.status == Status::Retrying { run.attempt } else { run.attempt.saturating_sub(1) };
    let kept = |s3_temp: &str, attempt: u32| {
        let folder = kept_at(s3_temp, &run.job_id, &run.key, attempt);
        Stream::ALL.map(|stream| possible(run, attempt, stream, format!("{folder}/{}", stream.name())))
    };
    for attempt in 1..=last {
        let Some(s3_temp) = s3_temp else { break };
        if MANY.contains(&run.job_type.as_str()) {
            all.extend(of_payloads(outputs, run, s3_temp, attempt).await?);
        } else {
            all.extend(kept(s3_temp, attempt));
        }
    }
    if run.status == Status::Running {
        let live = |stream| {
            let location = outputs.live(&run.key, run.attempt, stream)?;
            Some(possible(run, run.attempt, stream, location))
        };
        all.extend(Stream::ALL.into_iter().filter_map(live));
    } else if run.status.is_end() {
        let recorded = of_last_attempt(outputs, run);
        if let (true, Some(s3_temp)) = (recorded.is_empty(), s3_temp) {
            // The record of a cancelled or lost run does not name its output.
            if MANY.contains(&run.job_type.as_str()) {
                all.extend(of_payloads(outputs, run, s3_temp, run.attempt).await?);
            } else {
                all.extend(kept(s3_temp, run.attempt));
            }
        }
        all.extend(recorded);
    }
    Ok(all)
}

/// Types of jobs that run several payloads, whose outputs begin with the payload's name.
const MANY: [&str; 2] = ["exe", "pkg"];

/// What the payloads of an attempt printed. No record has their names, but for that of the last attempt.
async fn of_payloads(
    outputs: &dyn Outputs,
    run: &Run,
    s3_temp: &str,
    attempt: u32,
) -> Result<Vec<Printed>, Error> {
    let folder = kept_at(s3_temp, &run.job_id, &run.key, attempt);
    let mut names = outputs.names(&folder).await?;
    names.sort();
    let stream_of = |name: &str| {
        let is_of =
            |stream: &Stream| name.strip_suffix(stream.name()).is_some_and(|rest| rest.ends_with('.'));
        Stream::ALL.into_iter().find(is_of)
    };
    let printed = names.iter().filter_map(|name| {
        let stream = stream_of(name)?;
        Some(Printed { is_recorded: true, ..possible(run, attempt, stream, format!("{folder}/{name}")) })
    });
    Ok(printed.collect())
}

/// The outputs of a run and its children.
#[derive(Clone, Debug)]
pub struct RunOutputs {
    /// Where the run stands.
    pub status: Status,
    /// The outputs, those that may turn out to be nothing among them.
    pub printed: Vec<Printed>,
}

/// Finds where the commands of a run, and of its children, printed to.
///
/// # Errors
/// [`Error`] when there is no such run, or the store cannot be read.
pub async fn locate(realm: &dyn Realm, request: &RunName) -> Result<RunOutputs, Error> {
    let key = find(realm, &request.run).await?;
    let store = realm.runs();
    let tree = trees(store, std::slice::from_ref(&key)).await?;
    let Some(root) = tree.first() else { return Err(Error::not_found(format!("no such run {key}"))) };
    let definition = realm.jobs().realm().await?;
    let s3_temp = definition.fields.s3_temp.as_deref();
    let mut printed = Vec::new();
    // The runs that it dispatched are runs of their own.
    for run in tree.iter().filter(|run| run.run_id == root.run_id) {
        if let Some(kept) = &run.kept {
            printed.extend(of_kept(realm, kept, s3_temp).await?);
            continue;
        }
        // A list leaves out what is large.
        let whole = whole_record(store, &run.key).await?;
        printed.extend(of_all_attempts(realm.outputs(), whole.as_ref().unwrap_or(run), s3_temp).await?);
    }
    Ok(RunOutputs { status: root.status, printed })
}

/// What a step that is kept printed, and the steps of it, in the run where they ran.
async fn of_kept(realm: &dyn Realm, kept: &RunKey, s3_temp: Option<&str>) -> Result<Vec<Printed>, Error> {
    let store = realm.runs();
    let mut printed = Vec::new();
    for run in trees(store, std::slice::from_ref(kept)).await? {
        if run.key == *kept || run.key.is_below(kept) {
            let whole = whole_record(store, &run.key).await?;
            printed.extend(of_all_attempts(realm.outputs(), whole.as_ref().unwrap_or(&run), s3_temp).await?);
        }
    }
    Ok(printed)
}

/// Where each output of a run and its children is that is there or that a record names.
///
/// # Errors
/// [`Error`] when there is no such run, or the store cannot be read.
pub async fn output(realm: &dyn Realm, request: &RunName) -> Result<Vec<Printed>, Error> {
    let mut there = Vec::new();
    for printed in locate(realm, request).await?.printed {
        if printed.is_recorded || realm.outputs().open(&printed.location).await?.is_some() {
            there.push(printed);
        }
    }
    Ok(there)
}

/// Copies the output at a location, unchanged; returns whether it was still there. A reader that has gone, as
/// `head` does, is not a failure.
///
/// # Errors
/// [`StoreError`] when the output cannot be read or the copy not written.
pub async fn copy(
    outputs: &dyn Outputs,
    location: &str,
    to: &mut (dyn Write + Send),
) -> Result<bool, StoreError> {
    let Some(Opened { mut reader, .. }) = outputs.open(location).await? else { return Ok(false) };
    let failed = |error: std::io::Error| StoreError::new(format!("{location}: {error}")).caused_by(error);
    loop {
        let bytes = reader.fill_buf().await.map_err(failed)?;
        let count = bytes.len();
        match to.write_all(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(true),
            other => other.map_err(failed)?,
        }
        if count == 0 {
            to.flush().map_err(failed)?;
            return Ok(true);
        }
        reader.consume(count);
    }
}
