//! Runs jobs of type `pkg`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use pumice_core::duration::Span;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf};
use pumice_core::payload::bad_member;
use pumice_core::ports::TempDir;
use pumice_core::text::{quoted, shown};
use pumice_job_types::command::CommandParameters;
use pumice_job_types::pkg::{self, Rendition};

use crate::archive::{self, Bounds, Stop, Unpacked};
use crate::connections;
use crate::payloads::{self, Limit, Payload};
use crate::process::{self, Command};
use crate::series::Series;

/// How long beyond its limit unpacking may take to see that its time is up: it looks between two reads.
const LAST_LOOK: Span = Span::from_secs(10);

/// Runs jobs of type `pkg`.
pub(crate) struct Pkg;

/// A package that is to run, and the location that the job names for it.
struct Package {
    payload: Payload,
    location: String,
    /// How the names of its outputs begin.
    output: String,
}

#[async_trait]
impl Leaf for Pkg {
    type Of = pkg::Pkg;
    type Payload = Rendition;

    async fn run(
        &self,
        context: &JobContext<'_>,
        rendition: Rendition,
        parameters: ParametersOf<pkg::Pkg>,
    ) -> Result<Ended, JobError> {
        let settings = context.settings;
        let packages = find_all(context, &rendition.packages).await?;
        let mut parameters = CommandParameters::from(parameters);
        let named = parameters.connections.take().unwrap_or_default();
        let prepared = connections::prepare(context, &named).await?;
        let command = Command::of(context, parameters, &prepared, settings.pkg_timeout);
        let ended = process::within_temp(context, run_all(context, packages, &rendition, command)).await;
        // The scripts and what they read go after the packages.
        drop(prepared);
        ended
    }
}

/// The packages of all keys, in order. A number distinguishes the outputs of packages of one name.
async fn find_all(context: &JobContext<'_>, keys: &[String]) -> Result<Vec<Package>, JobError> {
    let limit = Limit { bytes: context.settings.pkg_max_payload_size, setting: "PKG_MAX_PAYLOAD_SIZE" };
    let mut packages: Vec<Package> = Vec::new();
    for key in keys {
        let location = payloads::location(context, key)?;
        for payload in payloads::find(context, key, limit).await? {
            let before = packages.iter().filter(|other| other.payload.name == payload.name).count();
            let output = match before {
                0 => payload.name.clone(),
                _ => format!("{}.{}", payload.name, before + 1),
            };
            packages.push(Package { payload, location: location.clone(), output });
        }
    }
    Ok(packages)
}

async fn run_all(
    context: &JobContext<'_>,
    packages: Vec<Package>,
    rendition: &Rendition,
    mut command: Command,
) -> Result<Ended, JobError> {
    let mut series = Series::default();
    for Package { mut payload, location, output } in packages {
        if context.cancel.is_stopped().is_some() {
            return Err(series.failed("", JobError::failed("stopped")));
        }
        let folder: Arc<dyn TempDir> = context.directories.temp()?.into();
        let name = payload.name.clone();
        let unpacked = unpack(context, &mut payload, folder.clone()).await;
        let program = match unpacked {
            Ok(unpacked) => find_program(folder.path(), rendition.command.as_deref(), &unpacked),
            Err(error) => Err(error),
        };
        let program = program.map_err(|error| series.failed(&name, error))?;
        let args = rendition.args.iter().cloned();
        command.argv = std::iter::once(program.display().to_string()).chain(args).collect();
        command.payload = Some(process::Payload { location, output, folder: Some(folder.path().to_owned()) });
        command.line = name;
        series.run(context, &command).await?;
    }
    Ok(series.ended())
}

/// Unpacks a package into a folder, on a thread of the pool's. The thread has the folder too: it stays until nothing is
/// written into it any more.
async fn unpack(
    context: &JobContext<'_>,
    payload: &mut Payload,
    folder: Arc<dyn TempDir>,
) -> Result<Unpacked, JobError> {
    let limit = context.settings.pkg_unpack_timeout;
    let bytes = payload.open(context).await?;
    // It may have changed until it was fetched.
    let size = payload.size();
    let stop = StopOnDrop(Stop::default());
    let asked = stop.0.clone();
    let work = move || {
        let bounds = Bounds::of(size, limit.get(), asked);
        archive::unpack(bytes, folder.path(), bounds)
    };
    let most = Span::from(limit.get() + LAST_LOOK.get());
    let working = std::pin::pin!(context.work_on_pool("unpacking", most, work));
    let unpacked = match select(working, std::pin::pin!(context.cancel.stopped())).await {
        Either::Left((unpacked, _)) => unpacked?,
        Either::Right((_, working)) => {
            stop.0.stop();
            working.await?
        }
    };
    unpacked.map_err(|error| failed(&payload.name, &error))
}

/// Stops the thread when its caller no longer waits.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn failed(name: &str, error: &io::Error) -> JobError {
    match error.kind() {
        io::ErrorKind::InvalidData => JobError::permanent(format!("the package {} {error}", shown(name))),
        io::ErrorKind::TimedOut => {
            JobError::failed(format!("the package {} {error} (PKG_UNPACK_TIMEOUT)", shown(name)))
        }
        // The engine knows why, and says so instead.
        io::ErrorKind::ConnectionAborted => JobError::failed("stopped"),
        _ => JobError::cannot_begin(format!("cannot unpack the package {}: {error}", shown(name)), error),
    }
}

/// The file of a package to run, made executable.
fn find_program(folder: &Path, command: Option<&str>, unpacked: &Unpacked) -> Result<PathBuf, JobError> {
    let member = match command {
        Some(command) => {
            if let Some(why) = bad_member(command) {
                return Err(JobError::permanent(why));
            }
            PathBuf::from(command)
        }
        None => only_launcher(&unpacked.launchers)?,
    };
    let missing = || {
        let member = member.to_string_lossy();
        JobError::permanent(format!("the package has no file {}", quoted(&member)))
    };
    // It may be a link within the package.
    let program = std::fs::canonicalize(folder.join(&member)).map_err(|_| missing())?;
    let within = std::fs::canonicalize(folder).is_ok_and(|folder| program.starts_with(folder));
    let found = std::fs::metadata(&program).map_err(|_| missing())?;
    if !within || !found.is_file() {
        return Err(missing());
    }
    let mode = found.permissions().mode() | 0o100;
    let made = std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode));
    made.map_err(|error| {
        JobError::cannot_begin(format!("cannot make {} executable: {error}", member.display()), &error)
    })?;
    // Scripts look for their neighbours next to the name that they were started by.
    Ok(folder.join(member))
}

/// The launcher of a job that Talend built, whose command need not be given.
fn only_launcher(launchers: &[PathBuf]) -> Result<PathBuf, JobError> {
    match launchers {
        [only] => Ok(only.clone()),
        [] => Err(JobError::permanent(
            "the package has no file whose name ends in _run.sh: the parameter command says what to run",
        )),
        several => {
            let names: Vec<String> = several.iter().map(|name| shown(&name.to_string_lossy())).collect();
            let names = names.join(", ");
            Err(JobError::permanent(format!(
                "the package has {names}: the parameter command says which to run"
            )))
        }
    }
}
