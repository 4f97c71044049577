//! Runs a command for a job: in the run's work directory, its output kept, stopped with all its processes when its
//! time is up.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use futures_util::future::{Either, join, select};
use pumice_core::duration::Span;
use pumice_core::job_type::{Ended, HostFault, JobContext, JobError, Stop, Template};
use pumice_core::text::shown;
use pumice_host::processes::{self, Launch, ProcessFamily, Root, Running, Survivors};
use pumice_job_types::command::CommandParameters;
use pumice_job_types::words::Bytes;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use serde_json::{Value, json};
use tokio::process::{ChildStderr, ChildStdout};

use crate::capture::Capture;
use crate::connections::Prepared;

/// How long a command, and what it started, may go on after it was asked to end, before it is killed.
const TERM_GRACE: Span = Span::from_secs(5);
/// How long the rest of what a command printed may take to be read once it has ended.
const LAST_OUTPUT: Span = Span::from_secs(10);
/// Longest part of the last line of stderr that goes into a failure's message, in bytes.
const MAX_REASON: usize = 200;
/// How much of stderr's end its last line is looked for in, in bytes.
const LAST_LINE: i64 = 1024;
/// lava's exit status for a command that took too long.
const STATUS_TIMEOUT: i32 = 28;

/// A command to run.
pub(crate) struct Command {
    /// The command as its entry of `output` shows it: the payload in the spec, or the file of a payload that is run.
    pub(crate) line: String,
    /// The file of the payload area that it is; `None` of a program that the host has.
    pub(crate) payload: Option<Payload>,
    /// The executable and its arguments.
    pub(crate) argv: Vec<String>,
    /// Variables on top of the worker's environment.
    pub(crate) env: Vec<(String, String)>,
    /// Variables that win over those: of the command's connections.
    pub(crate) own: Vec<(String, String)>,
    /// How long it may run.
    pub(crate) timeout: Span,
    /// Whether it gets the worker's AWS credentials.
    pub(crate) aws_credentials: bool,
    /// The largest file that it may write, in bytes.
    pub(crate) file_size: Option<u64>,
}

impl Command {
    /// A command of a job with these parameters and its connections, which has no words yet. Without a limit of the job's own
    /// it may run for `timeout`.
    pub(crate) fn of(
        context: &JobContext<'_>,
        parameters: CommandParameters,
        prepared: &Prepared,
        timeout: Span,
    ) -> Self {
        let env = parameters.env.unwrap_or_default().into_iter();
        let env = env.map(|(name, Template(value))| (name, value.into_text()));
        Self {
            line: String::new(),
            payload: None,
            argv: Vec::new(),
            env: env.collect(),
            own: prepared.environment.clone(),
            timeout: parameters.timeout.or(context.job.fields.timeout).unwrap_or(timeout),
            aws_credentials: parameters.aws_credentials.unwrap_or(false),
            file_size: parameters.file_size.map(|Bytes(bytes)| bytes),
        }
    }
}

/// The payload that a command comes from.
pub(crate) struct Payload {
    /// The location that the job names, for `LAVA_S3_PAYLOAD`.
    pub(crate) location: String,
    /// How the names of its outputs begin.
    pub(crate) output: String,
    /// The folder that it starts in; the run's work directory where `None`.
    pub(crate) folder: Option<PathBuf>,
}

/// How a command came to its end.
enum Exit {
    Status(ExitStatus),
    TimedOut,
    Stopped,
}

/// Runs a command to its end, as all that a job does.
pub(crate) async fn run(context: &JobContext<'_>, command: Command) -> Result<Ended, JobError> {
    let output = within_temp(context, run_and_keep(context, &command)).await?;
    Ok(Ended::Done(json!({ "exit_status": 0, "output": [output] })))
}

/// Does something while there is a place for `LAVA_S3_TMP`.
pub(crate) async fn within_temp<T>(
    context: &JobContext<'_>,
    work: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    let place = context.temp_location();
    let objects = context.objects;
    if let Some(place) = &place {
        let made = objects.make_folder(place).await;
        made.map_err(|error| {
            JobError::cannot_begin(format!("cannot make LAVA_S3_TMP {place}: {error}"), &error)
        })?;
    }
    let done = work.await;
    if let Some(place) = &place {
        objects.remove_empty_folder(place).await;
    }
    done
}

/// Runs a command to its end, and stores its output; gives the entry of `output` for it.
///
/// # Errors
/// [`JobError`] when it fails; with a `result` that has the entry, once it was started.
pub(crate) async fn run_and_keep(context: &JobContext<'_>, command: &Command) -> Result<Value, JobError> {
    let name = command.payload.as_ref().map(|payload| payload.output.as_str());
    let captures = [&Capture::new(context, "stdout", name), &Capture::new(context, "stderr", name)];
    let [stdout, stderr] = captures;
    let exit = run_process(context, command, stdout, stderr).await?;
    let status = match &exit {
        // As Python's subprocess has it.
        Exit::Status(status) => status.code().unwrap_or_else(|| -signal_of(*status)),
        Exit::TimedOut | Exit::Stopped => STATUS_TIMEOUT,
    };
    if context.cancel.is_stopped() == Some(Stop::Lost) {
        // Another worker makes this attempt again, and keeps its output in the same place.
        return Err(JobError::failed("stopped"));
    }
    if matches!(exit, Exit::Stopped) && context.cancel.is_stopped() == Some(Stop::Halted) {
        // The attempt is made again, and has its place: the output so far stays apart from it.
        for capture in captures {
            capture.leave().await;
        }
        return Err(JobError::failed("stopped"));
    }
    let said = stderr.part(context.settings.stderr_size);
    let mut output = json!({ "payload": command.line, "exit_status": status });
    for capture in captures {
        if let Some(location) = capture.keep(context).await? {
            output[capture.stream()] = location.into();
        }
        if capture.dropped() > 0 {
            output[format!("{}_dropped", capture.stream())] = capture.dropped().into();
        }
    }
    let failed = match exit {
        Exit::Status(ended) if ended.success() => return Ok(output),
        Exit::TimedOut => JobError::timed_out(command.timeout),
        // The engine knows why, and says so instead.
        Exit::Stopped => JobError::failed("stopped"),
        Exit::Status(ended) => {
            let message = match ended.code() {
                Some(code) => format!("exit status {code}"),
                None => format!("killed by signal {}", signal_of(ended)),
            };
            let failed = JobError::failed(message).worded(format!("Failed with exit status {status}"));
            JobError { settled: true, ..failed }
        }
    };
    let mut result = json!({ "exit_status": status, "output": [output] });
    result["error"] = if said.is_empty() { Value::Null } else { said.into() };
    let message = with_last_line(failed.message.clone(), &stderr.part(-LAST_LINE));
    Err(JobError { message, ..failed }.with_data(result))
}

fn signal_of(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

/// The last line that a command wrote to stderr mostly says why it failed.
fn with_last_line(message: String, stderr: &str) -> String {
    match telling_line(stderr) {
        Some(line) => format!("{message}: {}", &line[..line.floor_char_boundary(MAX_REASON)]),
        None => message,
    }
}

/// The line that says what is wrong: the last one, but where clients of databases and compilers show the place of an error
/// below it, and details, the line of the error.
fn telling_line(stderr: &str) -> Option<&str> {
    let mut lines = stderr.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.clone().next()?;
    if is_pointer(last) {
        // Above the pointer stands the line that it points into.
        let above = lines.nth(2);
        return Some(above.unwrap_or(last));
    }
    let is_detail =
        |line: &str| ["DETAIL:", "HINT:", "CONTEXT:", "LINE "].iter().any(|one| line.starts_with(one));
    let error = lines.find(|line| !is_detail(line) && !is_pointer(line));
    Some(
        error
            .filter(|error| is_detail(last) && ["ERROR:", "FATAL:"].iter().any(|one| error.contains(one)))
            .unwrap_or(last),
    )
}

/// Whether a line only points at a place of the one above it.
fn is_pointer(line: &str) -> bool {
    let is_sign = |c: char| matches!(c, '^' | '~' | '|' | '-' | ' ');
    line.contains('^') && line.replace("error here", "").chars().all(is_sign)
}

async fn run_process(
    context: &JobContext<'_>,
    command: &Command,
    stdout: &Capture<'_>,
    stderr: &Capture<'_>,
) -> Result<Exit, JobError> {
    let Some((program, arguments)) = command.argv.split_first().filter(|(program, _)| !program.is_empty())
    else {
        return Err(JobError::permanent("the command line is empty"));
    };
    let temp = context.directories.temp()?;
    let environment = environment(context, command, temp.path())?;
    // Looked up here, since a program that the system must look up cannot be started by posix_spawn(3), which copies
    // nothing of this process.
    let found = find(program, &environment).map_err(|error| cannot_run(command, program, &error))?;
    let (file, arg0, args) = match command.file_size {
        None => (found, program.into(), arguments.iter().map(OsString::from).collect()),
        Some(bytes) => limited(bytes, &command.argv),
    };
    let own = command.payload.as_ref().and_then(|payload| payload.folder.as_deref());
    let folder = match own {
        Some(folder) => folder,
        None => context.directories.work().await?,
    };
    let launch = Launch { file, arg0, args, env: environment, folder: folder.to_owned() };
    let started = processes::spawn(launch, context.machine.scratch).await;
    let Running { stdout: out, stderr: err, mut root, mut family } =
        started.map_err(|error| match is_gone(folder, &error) {
            true => JobError::failed(format!(
                "the directory that {program} starts in is gone: {}",
                folder.display()
            )),
            false => cannot_run(command, program, &error),
        })?;
    let recording = record(out, err, stdout, stderr);
    let mut recording = std::pin::pin!(recording);
    let clock = context.clock;
    let exit = {
        let seeing = see_through(context, command, program, &mut root, &mut family);
        match select(std::pin::pin!(seeing), recording.as_mut()).await {
            Either::Left((exit, recording)) => {
                // All processes that could write are gone; one that cannot be killed is not waited for.
                let late = async {
                    loop {
                        clock.sleep_until(clock.now() + LAST_OUTPUT.delta()).await;
                        // The output that was read is written, or the stream has the reason why not.
                        if !stdout.is_pending() && !stderr.is_pending() {
                            return;
                        }
                    }
                };
                let recorded = match select(recording, std::pin::pin!(late)).await {
                    Either::Left((recorded, _)) => recorded,
                    Either::Right(_) => stdout.finish().await.and(stderr.finish().await),
                };
                (exit, recorded)
            }
            Either::Right((recorded, seeing)) => (seeing.await, recorded),
        }
    };
    // The command's own files go once nothing can write to them any more.
    drop((family, temp));
    let (exit, recorded) = exit;
    recorded.map_err(|error| not_kept(&error))?;
    exit
}

/// The end of an attempt whose output could not be written down.
fn not_kept(error: &std::io::Error) -> JobError {
    let message = format!("cannot keep the command's output: {error}");
    // A full disk may be the command's own doing, and is its failure.
    if HostFault::is_in(error) { JobError::cannot_begin(message, error) } else { JobError::failed(message) }
}

/// Writes down what comes out of both streams to their end, and keeps pieces of it elsewhere meanwhile.
async fn record(
    out: ChildStdout,
    err: ChildStderr,
    stdout: &Capture<'_>,
    stderr: &Capture<'_>,
) -> std::io::Result<()> {
    let recording = async {
        let (out, err) = join(stdout.record(out), stderr.record(err)).await;
        out.and(err)
    };
    match select(std::pin::pin!(recording), std::pin::pin!(join(stdout.keep_up(), stderr.keep_up()))).await {
        Either::Left((recorded, _)) => recorded,
        Either::Right(((never, _), _)) => match never {},
    }
}

/// The file, own name and arguments of a command that limits the size of files before it becomes the program: a limit that is
/// set from outside comes too late for the program's first writes. POSIX's shell counts in blocks of 512 bytes.
fn limited(bytes: u64, argv: &[String]) -> (PathBuf, OsString, Vec<OsString>) {
    let script = ["-c", "ulimit -f \"$0\" && exec \"$@\""].map(OsString::from).into_iter();
    let blocks = std::iter::once(bytes.div_ceil(512).to_string().into());
    (
        "/bin/sh".into(),
        "/bin/sh".into(),
        script.chain(blocks).chain(argv.iter().map(OsString::from)).collect(),
    )
}

/// Waits for a command's end, or brings it about when its time is up. Nothing that it started is left after that.
async fn see_through(
    context: &JobContext<'_>,
    command: &Command,
    program: &str,
    root: &mut Root,
    family: &mut ProcessFamily,
) -> Result<Exit, JobError> {
    let clock = context.clock;
    let until = clock.now() + command.timeout.delta();
    let stopped = async {
        match select(std::pin::pin!(clock.sleep_until(until)), std::pin::pin!(context.cancel.stopped())).await
        {
            Either::Left(_) => Exit::TimedOut,
            Either::Right(_) => Exit::Stopped,
        }
    };
    let waiting = async {
        let status = root.wait().await;
        status.map_err(|error| JobError::failed(format!("cannot wait for {program}: {error}")))
    };
    let mut waiting = std::pin::pin!(waiting);
    let survived = |survivors: Survivors| JobError::permanent(survivors.to_string());
    match select(waiting.as_mut(), std::pin::pin!(stopped)).await {
        Either::Left((status, _)) => {
            family.end(clock, TERM_GRACE).await.map_err(survived)?;
            Ok(Exit::Status(status?))
        }
        // This process may have stood still, and the command ended meanwhile: that counts.
        Either::Right(_) if family.root_has_ended() => {
            let status = waiting.await;
            family.end(clock, TERM_GRACE).await.map_err(survived)?;
            Ok(Exit::Status(status?))
        }
        Either::Right((why, _)) => {
            let (status, ended) = join(waiting, family.end(clock, TERM_GRACE)).await;
            ended.map_err(survived)?;
            status.map(|_| why)
        }
    }
}

/// Where a system looks for programs when nothing says so (confstr(3), `_CS_PATH`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file of a program: as it is where it has a slash, else the first in the folders of `PATH` that may be run
/// (execvp(3)).
fn find(program: &str, environment: &[(OsString, OsString)]) -> std::io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let path = environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
    let mut kind = std::io::ErrorKind::NotFound;
    for folder in std::env::split_paths(path.unwrap_or(DEFAULT_PATH.as_ref())) {
        let file = folder.join(program);
        match access(&file, Access::EXEC_OK) {
            Ok(()) if file.is_file() => return Ok(file),
            Err(Errno::ACCESS) => kind = std::io::ErrorKind::PermissionDenied,
            _ => {}
        }
    }
    Err(kind.into())
}

/// Whether a program could not be started because the directory that it starts in is gone: the system names neither.
fn is_gone(folder: &Path, error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        && !folder.is_dir()
}

/// Why a program could not be started. A file of the payload area goes by the name that it has there.
fn cannot_run(command: &Command, program: &str, error: &std::io::Error) -> JobError {
    let name = match &command.payload {
        None => program.to_owned(),
        Some(payload) => {
            // The file of a package.
            let member =
                payload.folder.as_deref().and_then(|folder| Path::new(program).strip_prefix(folder).ok());
            member.map_or_else(
                || command.line.clone(),
                |member| format!("{} of {}", member.display(), command.line),
            )
        }
    };
    if command.payload.is_some()
        && let Some(why) = unfit(Path::new(program))
    {
        return JobError::failed(format!("cannot run {name}: {why}"));
    }
    let program = name;
    match error.kind() {
        std::io::ErrorKind::NotFound => JobError::failed(format!("no such command: {program}")),
        std::io::ErrorKind::PermissionDenied => JobError::failed(format!("{program} is not executable")),
        _ => JobError::cannot_begin(format!("cannot run {program}: {error}"), error),
    }
}

/// The reason why the system does not run a file, by its beginning (execve(2), Interpreter scripts).
fn unfit(file: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(MAX_INTERPRETER).read_to_end(&mut start).ok()?;
    if start.starts_with(ELF) {
        return None;
    }
    let Some(line) = start.strip_prefix(b"#!") else {
        return Some("it is neither a program nor does it begin with #! and an interpreter".to_owned());
    };
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
    if line.ends_with('\r') {
        return Some("its lines end in CR LF, as on Windows: they must end in LF".to_owned());
    }
    let interpreter = line.split_whitespace().next().unwrap_or_default();
    (!Path::new(interpreter).exists())
        .then(|| format!("its interpreter {} does not exist", shown(interpreter)))
}

/// How far the system reads an interpreter's name, in bytes.
const MAX_INTERPRETER: u64 = 256;
/// How programs begin (elf(5)).
const ELF: &[u8] = b"\x7fELF";

/// A command's environment, the strongest last: the worker's, the job's, lava's variables (lava guide, Job
/// type: cmd, Environment). `TMPDIR` is a directory of the command's own, as lava has it.
fn environment(
    context: &JobContext<'_>,
    command: &Command,
    temp: &Path,
) -> Result<Vec<(OsString, OsString)>, JobError> {
    let mut env = context.machine.environment.to_vec();
    if command.aws_credentials {
        env.extend(context.machine.credentials.iter().cloned());
    }
    env.push(("HOME".into(), context.directories.home()?.into()));
    env.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
    if context.settings.job_local_tmpdir {
        env.push(("TMPDIR".into(), temp.into()));
    }
    let run = context.run;
    let own = [
        ("LAVA_JOB_ID", run.job_id.to_string()),
        ("LAVA_OWNER", context.job.fields.owner.clone().unwrap_or_default()),
        ("LAVA_REALM", context.realm_name.to_string()),
        ("LAVA_RUN_ID", run.run_id.to_string()),
        ("LAVA_S3_KEY", context.realm.fields.s3_key.clone().unwrap_or_default()),
        ("LAVA_S3_TMP", context.temp_location().unwrap_or_default()),
        ("LAVA_WORKER", run.worker.to_string()),
    ];
    env.extend(own.into_iter().map(|(name, value)| (name.into(), value.into())));
    if let Some(payload) = &command.payload {
        env.push(("LAVA_S3_PAYLOAD".into(), payload.location.clone().into()));
    }
    env.extend(command.own.iter().map(|(name, value)| (name.into(), value.into())));
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_the_line_that_says_what_is_wrong() {
        for (stderr, wanted) in [
            ("one\ntwo\n\n", "two"),
            (
                "ERROR:  column \"x\" does not exist\nLINE 1: select x\n               ^\n",
                "ERROR:  column \"x\" does not exist",
            ),
            (
                "NOTICE: a\npsql:a.sql:2: ERROR:  twice\nDETAIL:  Key (a)=(1) already exists.\n",
                "psql:a.sql:2: ERROR:  twice",
            ),
            ("ERROR:  no function\nLINE 2: f(1)\n        ^\nHINT:  Add casts.\n", "ERROR:  no function"),
            (
                "Parse error near line 1: no such table: k\n  select * from k\n                ^--- error here\n",
                "Parse error near line 1: no such table: k",
            ),
            (
                "Parse error near line 9: syntax error\n  select a b c\n    error here ---^\n",
                "Parse error near line 9: syntax error",
            ),
            ("x.c:1:5: error: expected\n    1 | foo\n      |     ^~~\n", "x.c:1:5: error: expected"),
            ("HINT: only this", "HINT: only this"),
            ("one\nHINT: two", "HINT: two"),
            ("^", "^"),
        ] {
            assert_eq!(telling_line(stderr), Some(wanted), "{stderr}");
        }
        assert_eq!(telling_line(" \n"), None);
    }
}
