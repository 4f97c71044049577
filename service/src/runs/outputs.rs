//! What the commands of runs printed, wherever it is kept.

use std::io::Write;

use async_trait::async_trait;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::{Execution, Registry, kept_at, kept_before_at, live_name};
use pumice_core::ports::{MAX_PIECE, Piece, StoreError};
use pumice_core::run::{Run, Status};
use pumice_core::secret::is_any_known;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::whole::whole_record;
use super::{find, trees};
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

    /// The stream of an output of this name: `stdout`, or a payload and the stream.
    fn of(name: &str) -> Option<Self> {
        let is_of = |stream: &Self| {
            name.strip_suffix(stream.name()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        Self::ALL.into_iter().find(is_of)
    }
}

/// An output of an execution that goes on, or whose worker was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveOutput {
    /// The execution.
    pub execution: Execution,
    /// Its name, as [`live_name`] gives it.
    pub name: String,
    /// Where it is, as [`Outputs::read`] takes it.
    pub location: String,
}

impl LiveOutput {
    /// By execution and payload, and of each standard output first.
    fn order(&self) -> (Execution, String, bool) {
        let stream = Stream::of(&self.name);
        let payload = stream.and_then(|stream| self.name.strip_suffix(stream.name())).unwrap_or(&self.name);
        (self.execution, payload.to_owned(), stream == Some(Stream::Stderr))
    }
}

/// Reads outputs where the realm keeps them.
#[async_trait]
pub trait Outputs: Send + Sync {
    /// The location that a record keeps, as it can be read.
    fn located(&self, recorded: &str) -> String {
        recorded.to_owned()
    }

    /// The outputs of an attempt that are there although it has not ended: of the execution under way, and of those whose
    /// workers were lost. `folder` is that of the attempt, where the realm has one.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be listed.
    async fn live(
        &self,
        run: &RunKey,
        attempt: u32,
        folder: Option<&str>,
    ) -> Result<Vec<LiveOutput>, StoreError> {
        let _ = (run, attempt, folder);
        Ok(Vec::new())
    }

    /// The names of the files in a folder of outputs, without those in folders below. None where the folder is gone.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let _ = folder;
        Ok(Vec::new())
    }

    /// Up to `length` bytes of the output at a location from the byte `from` on, at most [`MAX_PIECE`]; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    async fn read(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError>;
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
    /// Its name: the stream, or a payload of the job and the stream.
    pub name: String,
    /// The epoch of the execution, where that has no end: it goes on, or its worker was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Whether its worker was lost, so that the attempt was made again, or is.
    #[serde(default)]
    pub lost: bool,
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
        let name = location.rsplit('/').next().unwrap_or(stream.name()).to_owned();
        Some(Printed { is_recorded: true, ..possible(run, run.attempt, (stream, name), location) })
    };
    recorded
        .flat_map(|output| Stream::ALL.into_iter().filter_map(move |stream| printed(output, stream)))
        .collect()
}

/// Whether the record tells of what the last attempt printed, be it nothing.
fn has_told_outputs(run: &Run) -> bool {
    let data = run.result.get("error_data").filter(|data| data.is_object()).unwrap_or(&run.result);
    run.status.is_end()
        && data.get("output").and_then(Value::as_array).is_some_and(|output| !output.is_empty())
}

fn possible(run: &Run, attempt: u32, (stream, name): (Stream, String), location: String) -> Printed {
    let (job_id, run_key) = (run.job_id.clone(), run.key.clone());
    Printed { job_id, run_key, attempt, stream, name, epoch: None, lost: false, location, is_recorded: false }
}

/// Where the output of each attempt of a run is, or would be: `s3_temp` is the realm's. What an attempt prints that runs is
/// where its worker writes it, if that can be read from here.
async fn of_all_attempts(
    reader: Reader<'_>,
    run: &Run,
    s3_temp: Option<&str>,
) -> Result<Vec<Printed>, Error> {
    let outputs = reader.outputs;
    let mut all = Vec::new();
    let runs = run.status == Status::Running && run.lease.is_some();
    let is_of_before = match s3_temp {
        Some(s3_temp) => is_of_before(reader, run, s3_temp).await?,
        None => false,
    };
    let place: PlaceOf = if is_of_before { kept_before_at } else { kept_at };
    for attempt in 1..=run.attempt {
        let folder = s3_temp.map(|s3_temp| place(s3_temp, &run.job_id, &run.key, attempt));
        let is_last = attempt == run.attempt;
        let recorded =
            if is_last && run.status.is_end() { of_last_attempt(outputs, run) } else { Vec::new() };
        // A record that ended well names all that was printed, be it nothing.
        let is_whole = run.status == Status::Complete && !run.offloaded.iter().any(|part| part.gone);
        let is_told = is_last && (is_whole || has_told_outputs(run));
        let is_untold =
            is_last && run.status.is_end() && recorded.is_empty() && run.ts_start.is_some() && !is_told;
        let is_under_way = is_last && run.ts_start.is_some() && !run.status.is_end();
        // A claim that did not end its attempt: its worker was lost, or has stopped.
        let is_lost = run.epoch > u64::from(run.attempt);
        let mut under_way = Vec::new();
        if is_under_way || is_lost || is_untold {
            let mut lives = outputs.live(&run.key, attempt, folder.as_deref()).await?;
            lives.sort_by_key(LiveOutput::order);
            for live in lives {
                let Some(stream) = Stream::of(&live.name) else { continue };
                let epoch = live.execution.epoch;
                let is_current = runs && is_last && epoch == run.epoch;
                let found = possible(run, attempt, (stream, live.name), live.location);
                let found = Printed { epoch: Some(epoch), lost: !is_current, is_recorded: true, ..found };
                if is_current { under_way.push(found) } else { all.push(found) }
            }
        }
        if recorded.is_empty() && !is_told {
            // No record names the outputs of an earlier attempt, nor of one that was cancelled or lost.
            let kept = match &folder {
                Some(folder) if run.ts_start.is_some() => kept(reader, run, attempt, folder).await?,
                _ => Vec::new(),
            };
            // What has its last place is not read where it was before.
            under_way.retain(|live| !kept.iter().any(|kept| kept.is_recorded && is_same(kept, live)));
            all.extend(kept.into_iter().filter(|kept| !under_way.iter().any(|live| is_same(kept, live))));
        }
        all.extend(under_way);
        all.extend(recorded);
    }
    Ok(all)
}

/// Whether a version before this one ran a run that has ended: it kept outputs among the files of the run's commands. Its
/// record says so where it names an output; else the folders do.
async fn is_of_before(reader: Reader<'_>, run: &Run, s3_temp: &str) -> Result<bool, Error> {
    /// Of so many attempts, the last ones, the folders are looked at.
    const MOST: u32 = 10;
    if !run.status.is_end() || run.ts_start.is_none() {
        return Ok(false);
    }
    let folder = |place: PlaceOf, attempt| place(s3_temp, &run.job_id, &run.key, attempt);
    if let Some(printed) = of_last_attempt(reader.outputs, run).first() {
        return Ok(printed.location.starts_with(&format!("{}/", folder(kept_before_at, run.attempt))));
    }
    if run.attempt == 1 && has_told_outputs(run) {
        return Ok(false);
    }
    for (place, is_before) in [(kept_at as PlaceOf, false), (kept_before_at, true)] {
        for attempt in run.attempt.saturating_sub(MOST) + 1..=run.attempt {
            for printed in kept(reader, run, attempt, &folder(place, attempt)).await? {
                // One that cannot be read is there.
                let is_gone =
                    || async { matches!(reader.outputs.read(&printed.location, 0, 0).await, Ok(None)) };
                if printed.is_recorded || !is_gone().await {
                    return Ok(is_before);
                }
            }
        }
    }
    Ok(false)
}

/// The place of an attempt below a realm's `s3_temp`.
type PlaceOf = fn(&str, &JobId, &RunKey, u32) -> String;

/// Whether both are the same output of an attempt.
pub(super) fn is_same(kept: &Printed, live: &Printed) -> bool {
    kept.run_key == live.run_key
        && kept.attempt == live.attempt
        && live_name(&kept.name) == live_name(&live.name)
}

/// Outputs, and the job types that say how they are named.
#[derive(Clone, Copy)]
struct Reader<'a> {
    outputs: &'a dyn Outputs,
    registry: &'a Registry,
}

impl<'a> Reader<'a> {
    fn of(realm: &'a dyn Realm) -> Self {
        Self { outputs: realm.outputs(), registry: realm.registry() }
    }
}

/// The outputs of an attempt in its folder. Of payloads no record has the names, but for that of the last attempt.
async fn kept(reader: Reader<'_>, run: &Run, attempt: u32, folder: &str) -> Result<Vec<Printed>, StoreError> {
    let is_by_payload =
        reader.registry.job_type(&run.job_type).is_some_and(|of| of.keeps_output_by_payload());
    if !is_by_payload {
        let of = |stream: Stream| {
            let name = stream.name();
            possible(run, attempt, (stream, name.to_owned()), format!("{folder}/{name}"))
        };
        return Ok(Stream::ALL.map(of).to_vec());
    }
    let mut names = reader.outputs.names(folder).await?;
    names.sort();
    let printed = names.into_iter().filter_map(|name| {
        let (stream, location) = (Stream::of(&name)?, format!("{folder}/{name}"));
        Some(Printed { is_recorded: true, ..possible(run, attempt, (stream, name), location) })
    });
    Ok(printed.collect())
}

/// Which outputs of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskOutputs {
    /// The run: its id or the beginning of it, `latest`, or `latest:JOB`.
    pub run: String,
    /// Only of this step and those below it: the id of its job, or its place as `/1.2`.
    #[serde(default)]
    pub step: Option<String>,
    /// Only of steps that have not ended longer ago than this.
    #[serde(default)]
    pub since: Option<Span>,
}

impl AskOutputs {
    /// All outputs of a run.
    #[must_use]
    pub fn of(run: impl Into<String>) -> Self {
        Self { run: run.into(), ..Self::default() }
    }

    /// Whether the outputs of a run of the tree below `root` are asked for, at a time.
    pub(super) fn wants(&self, root: &RunKey, run: &Run, now: pumice_core::Timestamp) -> bool {
        let is_recent = match (self.since, run.ts_end) {
            (Some(since), Some(ended)) => ended >= now - since.delta(),
            _ => true,
        };
        let is_step = |step: &str| {
            let place: Option<RunKey> = format!("{root}/{}", step.trim_start_matches('/')).parse().ok();
            run.job_id.as_str() == step
                || place.is_some_and(|place| run.key == place || run.key.is_below(&place))
        };
        is_recent && self.step.as_deref().is_none_or(is_step)
    }
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
/// [`Error`] when there is no such run or step, or the store cannot be read.
pub async fn locate(realm: &dyn Realm, request: &AskOutputs) -> Result<RunOutputs, Error> {
    let key = find(realm, &request.run).await?;
    let tree = trees(realm.runs(), std::slice::from_ref(&key)).await?;
    locate_in(realm, request, &key, &tree).await
}

/// [`locate`], among the records of a run and what it started.
async fn locate_in(
    realm: &dyn Realm,
    request: &AskOutputs,
    key: &RunKey,
    tree: &[Run],
) -> Result<RunOutputs, Error> {
    let Some(root) = tree.first() else { return Err(Error::not_found(format!("no such run {key}"))) };
    let definition = realm.jobs().realm().await?;
    let s3_temp = definition.fields.s3_temp.as_deref();
    let (mut printed, mut is_step_there) = (Vec::new(), request.step.is_none());
    // The runs that it dispatched are runs of their own.
    for run in tree.iter().filter(|run| run.run_id == root.run_id) {
        is_step_there |= AskOutputs { since: None, ..request.clone() }.wants(key, run, realm.now());
        if request.wants(key, run, realm.now()) {
            printed.extend(of_run(realm, run, s3_temp).await?);
        }
    }
    if !is_step_there {
        return Err(no_such_step(request, tree));
    }
    Ok(RunOutputs { status: root.status, printed })
}

/// The error that names a step which is not there.
pub(super) fn no_such_step(request: &AskOutputs, tree: &[Run]) -> Error {
    const FEW: usize = 5;
    let Some(root) = tree.first() else { return Error::not_found("no such run") };
    let steps: Vec<&str> =
        tree.iter().skip(1).filter(|run| run.run_id == root.run_id).map(|run| run.job_id.as_str()).collect();
    let step = request.step.as_deref().unwrap_or_default();
    let told = match steps.len() {
        0 => "it has no steps".to_owned(),
        count => {
            let more = if count > FEW { ", …" } else { "" };
            format!("its steps are {}{more}", steps[..count.min(FEW)].join(", "))
        }
    };
    Error::not_found(format!("run {} has no step {}: {told}", root.key, pumice_core::text::quoted(step)))
}

/// The outputs of one run of a tree.
pub(super) async fn of_run(
    realm: &dyn Realm,
    run: &Run,
    s3_temp: Option<&str>,
) -> Result<Vec<Printed>, Error> {
    if let Some(kept) = &run.kept {
        return of_kept(realm, kept, s3_temp).await;
    }
    // A list leaves out what is kept apart, and the spec, which says what is masked.
    let whole = match is_any_known() || !run.offloaded.is_empty() {
        true => whole_record(realm.runs(), &run.key).await?,
        false => None,
    };
    of_all_attempts(Reader::of(realm), whole.as_ref().unwrap_or(run), s3_temp).await
}

/// What a step that is kept printed, and the steps of it, in the run where they ran.
async fn of_kept(realm: &dyn Realm, kept: &RunKey, s3_temp: Option<&str>) -> Result<Vec<Printed>, Error> {
    let store = realm.runs();
    let mut printed = Vec::new();
    for run in trees(store, std::slice::from_ref(kept)).await? {
        if run.key == *kept || run.key.is_below(kept) {
            let whole = whole_record(store, &run.key).await?;
            printed
                .extend(of_all_attempts(Reader::of(realm), whole.as_ref().unwrap_or(&run), s3_temp).await?);
        }
    }
    Ok(printed)
}

/// Where each output of a run and its children is that is there or that a record names.
///
/// # Errors
/// [`Error`] when there is no such run, or the store cannot be read.
pub async fn output(realm: &dyn Realm, request: &AskOutputs) -> Result<Vec<Printed>, Error> {
    there(realm, locate(realm, request).await?).await
}

/// The same of all runs whose records were read, the first of which is the run that is asked about.
///
/// # Errors
/// [`Error`] when there is none, or the store cannot be read.
pub async fn output_of(realm: &dyn Realm, tree: &[Run]) -> Result<Vec<Printed>, Error> {
    let Some(root) = tree.first() else { return Err(Error::not_found("no such run")) };
    let request = AskOutputs::of(root.key.as_str());
    there(realm, locate_in(realm, &request, &root.key, tree).await?).await
}

/// Those of the outputs that a record names or that are there.
async fn there(realm: &dyn Realm, located: RunOutputs) -> Result<Vec<Printed>, Error> {
    let mut there = Vec::new();
    for printed in located.printed {
        if printed.is_recorded || realm.outputs().read(&printed.location, 0, 0).await?.is_some() {
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
    let failed = |error: std::io::Error| StoreError::of_io(location, error);
    let mut at = 0;
    loop {
        let Some(piece) = outputs.read(location, at, MAX_PIECE).await? else { return Ok(at > 0) };
        match to.write_all(&piece.bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(true),
            other => other.map_err(failed)?,
        }
        at += piece.bytes.len() as u64;
        if piece.bytes.is_empty() || at >= piece.size {
            to.flush().map_err(failed)?;
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::Timestamp;
    use pumice_core::ids::{RunId, WorkerName};
    use serde_json::json;

    use super::*;

    /// Outputs that are there.
    struct There(Vec<String>);

    #[async_trait]
    impl Outputs for There {
        async fn read(&self, location: &str, _: u64, _: u64) -> Result<Option<Piece>, StoreError> {
            let is_there = self.0.iter().any(|there| there == location);
            Ok(is_there.then(|| Piece { bytes: Vec::new(), size: 0 }))
        }
    }

    fn run(status: Status, result: Value) -> Run {
        let run_id = RunId(uuid::Uuid::from_u128(7));
        let job = (JobId::new("a").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
        let now = Timestamp::UNIX_EPOCH;
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, job, now, now, None);
        (run.status, run.attempt, run.epoch, run.ts_start, run.result) = (status, 2, 2, Some(now), result);
        run
    }

    /// The places of a run's outputs, those that may be nothing among them.
    async fn places(there: &[&str], run: &Run) -> Vec<String> {
        let key = run.key.to_string();
        let there = There(there.iter().map(|place| place.replace("RUN", &key)).collect());
        let reader = Reader { outputs: &there, registry: &Registry::default() };
        let printed = of_all_attempts(reader, run, Some("/t")).await.unwrap();
        printed.into_iter().map(|printed| printed.location.replace(&key, "RUN")).collect()
    }

    #[tokio::test]
    async fn run_of_before_has_its_outputs_among_its_files() {
        let named = |location: &str| {
            let run = run(Status::Complete, Value::Null);
            let location = location.replace("RUN", run.key.as_str());
            Run { result: json!({ "output": [{ "stdout": location }] }), ..run }
        };
        let before = named("/t/a/RUN/attempt-2/stdout");
        assert_eq!(
            places(&[], &before).await,
            ["/t/a/RUN/stdout", "/t/a/RUN/stderr", "/t/a/RUN/attempt-2/stdout"]
        );
        let now = named("/t/.output/a/RUN-attempt-2/stdout");
        let of_now =
            ["/t/.output/a/RUN/stdout", "/t/.output/a/RUN/stderr", "/t/.output/a/RUN-attempt-2/stdout"];
        assert_eq!(places(&["/t/a/RUN/stdout"], &now).await, of_now);
        // No record names an output of one that was cancelled.
        let cancelled = run(Status::Cancelled, Value::Null);
        let of_now = |place: &str| place.starts_with("/t/.output/");
        assert!(
            places(&["/t/.output/a/RUN/stdout", "/t/a/RUN/stdout"], &cancelled)
                .await
                .iter()
                .all(|place| of_now(place))
        );
        let found = places(&["/t/a/RUN/attempt-2/stderr"], &cancelled).await;
        assert!(found.len() == 4 && !found.iter().any(|place| of_now(place)), "{found:?}");
    }

    #[tokio::test]
    async fn attempt_that_printed_nothing_has_no_output() {
        let silent = run(Status::Complete, json!({ "output": [{ "payload": "true", "exit_status": 0 }] }));
        let silent = Run { attempt: 1, epoch: 1, ..silent };
        assert!(places(&["/t/a/RUN/stdout"], &silent).await.is_empty());
    }
}
