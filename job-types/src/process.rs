//! Runs a command for a job: in the run's work directory, in a process group of its own, its output
//! kept, stopped when its time is up.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::{Either, select};
use pumice_core::duration::Span;
use pumice_core::job_type::{Ended, JobContext, JobError};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde_json::json;

/// How long a command may go on after it was asked to end, before it is killed.
const TERM_GRACE: Span = Span::from_secs(5);
/// How often to look whether all that a command started has ended.
const GROUP_POLL: Duration = Duration::from_millis(20);
/// Longest part of the last line of stderr that goes into a failure's message, in bytes.
const MAX_REASON: usize = 200;
/// What lava gives as the exit status of a command that took too long.
const STATUS_TIMEOUT: i32 = 124;

/// A command to run.
pub(crate) struct Command {
    /// The executable and its arguments.
    pub(crate) argv: Vec<String>,
    /// Variables on top of the worker's environment.
    pub(crate) env: Vec<(String, String)>,
    /// How long it may run.
    pub(crate) timeout: Span,
    /// Whether it gets the worker's AWS credentials.
    pub(crate) aws_credentials: bool,
}

/// How a command came to its end.
enum Exit {
    Status(ExitStatus),
    TimedOut,
    Stopped,
}

/// Kills a command's process group when it is dropped before the command has ended.
struct Group(Option<Pid>);

impl Group {
    /// Whether any process of it is there.
    fn is_alive(&self) -> bool {
        self.0.is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a command to its end.
pub(crate) async fn run(context: &JobContext<'_>, command: Command) -> Result<Ended, JobError> {
    let dir = context.work_dir.path()?;
    let (stdout, stderr) = (Capture::new(dir, context, "stdout"), Capture::new(dir, context, "stderr"));
    let exit = run_process(context, &command, dir, &stdout, &stderr).await?;
    let status = match &exit {
        Exit::Status(status) => status.code().unwrap_or_else(|| 128 + signal_of(*status)),
        Exit::TimedOut | Exit::Stopped => STATUS_TIMEOUT,
    };
    let tail = stderr.tail(context.site.settings.stderr_size);
    let mut output = json!({ "payload": command.argv.join(" "), "exit_status": status });
    for capture in [&stdout, &stderr] {
        if let Some(location) = capture.keep(context).await? {
            output[capture.title] = location.into();
        }
    }
    let mut result = json!({ "exit_status": status, "output": [output] });
    let message = match exit {
        Exit::Status(status) if status.success() => return Ok(Ended::Done(result)),
        Exit::TimedOut => format!("timed out after {}", command.timeout),
        // The engine knows why, and says so instead.
        Exit::Stopped => "stopped".to_owned(),
        Exit::Status(ended) => match ended.code() {
            Some(code) => format!("exit status {code}"),
            None => format!("killed by signal {}", signal_of(ended)),
        },
    };
    result["error"] = tail.clone().into();
    Err(JobError::failed(with_last_line(message, &tail)).with_data(result))
}

fn signal_of(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

/// The last line that a command wrote to stderr mostly says why it failed.
fn with_last_line(message: String, stderr: &str) -> String {
    match stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{message}: {}", &line[..line.floor_char_boundary(MAX_REASON)]),
        None => message,
    }
}

async fn run_process(
    context: &JobContext<'_>,
    command: &Command,
    dir: &Path,
    stdout: &Capture,
    stderr: &Capture,
) -> Result<Exit, JobError> {
    let Some((program, arguments)) = command.argv.split_first().filter(|(program, _)| !program.is_empty())
    else {
        return Err(JobError::permanent("the command line is empty"));
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment(context, command, dir))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(stdout.file()?)
        .stderr(stderr.file()?)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot_run(program, &error))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let clock = &context.site.ports.clock;
    let until = clock.now() + command.timeout.delta();
    let stopped = async {
        match select(std::pin::pin!(clock.sleep_until(until)), std::pin::pin!(context.cancel.stopped())).await
        {
            Either::Left(_) => Exit::TimedOut,
            Either::Right(_) => Exit::Stopped,
        }
    };
    let waited = |error: std::io::Error| JobError::failed(format!("cannot wait for {program}: {error}"));
    let why = match select(std::pin::pin!(child.wait()), std::pin::pin!(stopped)).await {
        Either::Left((status, _)) => return Ok(Exit::Status(status.map_err(waited)?)),
        Either::Right((why, _)) => why,
    };
    group.signal(Signal::TERM);
    let grace = clock.sleep_until(clock.now() + TERM_GRACE.delta());
    // The command and all that it started, for what it started may have more to put in order.
    let gone = async {
        child.wait().await.map_err(waited)?;
        while group.is_alive() {
            clock.sleep_until(clock.now() + GROUP_POLL).await;
        }
        Ok(())
    };
    if let Either::Left((gone, _)) = select(std::pin::pin!(gone), std::pin::pin!(grace)).await {
        return gone.map(|()| why);
    }
    group.signal(Signal::KILL);
    child.wait().await.map_err(waited)?;
    Ok(why)
}

fn cannot_run(program: &str, error: &std::io::Error) -> JobError {
    match error.kind() {
        std::io::ErrorKind::NotFound => JobError::failed(format!("no such command: {program}")),
        std::io::ErrorKind::PermissionDenied => JobError::failed(format!("{program} is not executable")),
        _ => JobError::failed(format!("cannot run {program}: {error}")),
    }
}

/// What a command finds in its environment, the strongest last: the worker's, the job's, lava's own
/// (lava guide, Job type: cmd, Environment).
fn environment(
    context: &JobContext<'_>,
    command: &Command,
    dir: &Path,
) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let mut env = context.site.environment.clone();
    if command.aws_credentials {
        env.extend(context.site.credentials.iter().cloned());
    }
    if context.site.settings.job_local_tmpdir {
        env.push(("TMPDIR".into(), dir.into()));
    }
    env.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
    let run = context.run;
    let own = [
        ("LAVA_JOB_ID", run.job_id.to_string()),
        ("LAVA_OWNER", context.job.fields.owner.clone().unwrap_or_default()),
        ("LAVA_REALM", context.site.realm.to_string()),
        ("LAVA_RUN_ID", run.run_id.to_string()),
        ("LAVA_S3_KEY", context.realm.fields.s3_key.clone().unwrap_or_default()),
        ("LAVA_S3_TMP", context.temp_location().unwrap_or_default()),
        ("LAVA_WORKER", run.worker.to_string()),
    ];
    env.extend(own.into_iter().map(|(name, value)| (name.into(), value.into())));
    env
}

/// One of a command's output streams, kept in a file while it runs.
struct Capture {
    title: &'static str,
    path: PathBuf,
}

impl Capture {
    fn new(dir: &Path, context: &JobContext<'_>, title: &'static str) -> Self {
        // Steps of one chain share the directory, and may run at the same time.
        let name = context.run.key.as_str().replace('/', "-");
        Self { title, path: dir.join(format!(".{name}.{title}")) }
    }

    fn file(&self) -> Result<Stdio, JobError> {
        let file = File::create(&self.path);
        file.map(Stdio::from)
            .map_err(|error| JobError::failed(format!("cannot write {}: {error}", self.path.display())))
    }

    /// The last bytes, as text.
    fn tail(&self, bytes: u64) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
            let mut tail = Vec::new();
            file.take(bytes).read_to_end(&mut tail)?;
            Ok(tail)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).trim().to_owned()
    }

    /// Stores what was written, if anything, and says where.
    async fn keep(&self, context: &JobContext<'_>) -> Result<Option<String>, JobError> {
        let length = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        let (true, Some(base)) = (length > 0, context.temp_location()) else { return Ok(None) };
        let location = format!("{base}/{}", self.title);
        let stored = context.site.ports.objects.put_file(&location, &self.path).await;
        stored.map_err(|error| JobError::failed(format!("cannot store {location}: {error}")))?;
        Ok(Some(location))
    }
}
