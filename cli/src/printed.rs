//! What the commands of runs printed, wherever it is kept.

use std::io::Write;
use std::path::{Path, PathBuf};

use pumice_core::job_type::{kept_at, live_output};
use pumice_core::ports::{ObjectStore, StoreError};
use pumice_core::run::{Run, Status};
use pumice_local::Folders;
use rustix::fs::OFlags;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

/// Most lines of a command's output that are shown while runs are followed, and most bytes.
const MAX_LINES: usize = 20;
const MAX_SHOWN_BYTES: u64 = 16 * 1024;

/// Where it is read from.
#[derive(Clone, Debug)]
pub(crate) enum Outputs {
    /// Files of a realm's folder.
    Files(Files),
    /// Objects in S3.
    #[cfg(feature = "aws")]
    Objects(pumice_aws::Objects),
}

/// The files of a realm's folder.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    folders: Folders,
    scratch: PathBuf,
    kept: Kept,
}

/// For how long files are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// For as long as their run's record.
    ForGood,
    /// They are removed at the end.
    UntilTheEnd,
}

/// Where a command's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What one attempt of a run printed on one stream.
#[derive(Clone, Debug)]
pub(crate) struct Printed {
    pub(crate) attempt: u32,
    pub(crate) stream: Stream,
    /// Where it is, as it can be read.
    pub(crate) location: String,
    /// Whether the record says that something was printed: else it may have been nothing.
    pub(crate) is_recorded: bool,
}

type Reader = Box<dyn AsyncBufRead + Send + Unpin>;

/// Opens a file that a job may have put something else in the place of: a link or a pipe is refused.
async fn open_file(place: &str) -> std::io::Result<(u64, Reader)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = tokio::fs::OpenOptions::new().read(true).custom_flags(flags).open(place).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    Ok((metadata.len(), Box::new(BufReader::new(file))))
}

impl Outputs {
    /// The outputs of a realm's folder.
    pub(crate) fn files(home: &Path, kept: Kept) -> Self {
        let scratch = home.join("scratch");
        Self::Files(Files { folders: Folders::new(home), scratch, kept })
    }

    /// Where what a run's last attempt printed is, in its order.
    pub(crate) fn of_last_attempt(&self, run: &Run) -> Vec<Printed> {
        let data = run.result.get("error_data").filter(|data| data.is_object()).unwrap_or(&run.result);
        let outputs = data.get("output").and_then(Value::as_array).into_iter().flatten();
        let printed = |output: &Value, stream: Stream| {
            let location = self.located(output.get(stream.name())?.as_str()?);
            Some(Printed { attempt: run.attempt, stream, location, is_recorded: true })
        };
        outputs
            .flat_map(|output| Stream::ALL.into_iter().filter_map(move |stream| printed(output, stream)))
            .collect()
    }

    /// Where what each attempt of a run printed is, or would be: `s3_temp` is the realm's. While an attempt runs, that is
    /// where the worker writes it, where that is a file of this machine.
    pub(crate) fn of_all_attempts(&self, run: &Run, s3_temp: Option<&str>) -> Vec<Printed> {
        let mut all = Vec::new();
        let last = if run.status == Status::Retrying { run.attempt } else { run.attempt.saturating_sub(1) };
        if let Some(s3_temp) = s3_temp {
            for attempt in 1..=last {
                let folder = kept_at(s3_temp, &run.job_id, &run.key, attempt);
                all.extend(Stream::ALL.into_iter().map(|stream| {
                    let location = format!("{folder}/{}", stream.name());
                    Printed { attempt, stream, location, is_recorded: false }
                }));
            }
        }
        match self {
            Self::Files(files) if run.status == Status::Running => {
                all.extend(Stream::ALL.into_iter().map(|stream| {
                    let path = live_output(&files.scratch, &run.key, run.attempt, stream.name());
                    let location = path.display().to_string();
                    Printed { attempt: run.attempt, stream, location, is_recorded: false }
                }));
            }
            _ if run.status.is_end() => {
                let recorded = self.of_last_attempt(run);
                if let (true, Some(s3_temp)) = (recorded.is_empty(), s3_temp) {
                    // The record of one that was cancelled or lost does not tell.
                    let folder = kept_at(s3_temp, &run.job_id, &run.key, run.attempt);
                    all.extend(Stream::ALL.into_iter().map(|stream| Printed {
                        attempt: run.attempt,
                        stream,
                        location: format!("{folder}/{}", stream.name()),
                        is_recorded: false,
                    }));
                }
                all.extend(recorded);
            }
            _ => {}
        }
        all
    }

    fn located(&self, recorded: &str) -> String {
        match self {
            Self::Files(files) => files.folders.located(recorded),
            #[cfg(feature = "aws")]
            Self::Objects(_) => recorded.to_owned(),
        }
    }

    fn is_passing(&self) -> bool {
        matches!(self, Self::Files(files) if files.kept == Kept::UntilTheEnd)
    }

    /// What is at a place, and its size in bytes; `None` when it is gone.
    async fn open(&self, place: &str) -> Result<Option<(u64, Reader)>, StoreError> {
        match self {
            Self::Files(_) => match open_file(place).await {
                Ok(opened) => Ok(Some(opened)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::new(format!("{place}: {error}"))),
            },
            #[cfg(feature = "aws")]
            Self::Objects(objects) => {
                let opened = objects.open(place).await?;
                Ok(opened.map(|(size, reader)| (size, Box::new(reader) as Reader)))
            }
        }
    }

    /// The first lines of all that a run's commands printed, and how much more there is.
    pub(crate) async fn first_lines(&self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        for printed in self.of_last_attempt(run) {
            match self.first_lines_at(&printed.location).await {
                Ok(found) => lines.extend(found),
                Err(error) => lines.push(format!("… cannot be shown: {error}")),
            }
        }
        lines
    }

    async fn first_lines_at(&self, place: &str) -> Result<Vec<String>, StoreError> {
        let Some((size, reader)) = self.open(place).await? else { return Ok(Vec::new()) };
        let mut parts = reader.take(MAX_SHOWN_BYTES).split(b'\n');
        let mut lines = Vec::new();
        while lines.len() <= MAX_LINES
            && let Some(line) =
                parts.next_segment().await.map_err(|error| StoreError::new(format!("{place}: {error}")))?
        {
            lines.push(shown(&line));
        }
        if lines.len() > MAX_LINES || size > MAX_SHOWN_BYTES {
            lines.truncate(MAX_LINES);
            let place = if self.is_passing() { "--keep DIR keeps them" } else { place };
            lines.push(format!("… {size} bytes in all: {place}"));
        }
        Ok(lines)
    }

    /// Whether something is at a place.
    pub(crate) async fn is_there(&self, place: &str) -> Result<bool, StoreError> {
        Ok(self.open(place).await?.is_some())
    }

    /// Copies what is at a place, as it is; says whether it was still there. A reader that has gone, as
    /// `head` does, is no failure.
    pub(crate) async fn copy(&self, place: &str, to: &mut (dyn Write + Send)) -> Result<bool, StoreError> {
        let Some((_, mut reader)) = self.open(place).await? else { return Ok(false) };
        let failed = |error: std::io::Error| StoreError::new(format!("{place}: {error}"));
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
}

/// A line as a terminal may show it.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.strip_suffix('\r').unwrap_or(&line);
    line.split('\t').map(pumice_core::text::escaped).collect::<Vec<_>>().join("\t")
}
