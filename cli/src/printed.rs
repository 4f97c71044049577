//! Outputs of commands in a realm's folder, and their first lines for a terminal.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pumice_core::ids::RunKey;
use pumice_core::job_type::live_output;
use pumice_core::ports::{ObjectStore, StoreError};
use pumice_core::run::Run;
use pumice_local::Folders;
use pumice_service::runs::{Opened, Outputs, Stream, of_last_attempt};
use rustix::fs::OFlags;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Most lines of a command's output that are shown while runs are followed, and most bytes.
const MAX_LINES: usize = 20;
const MAX_SHOWN_BYTES: u64 = 16 * 1024;

/// Most files of an attempt whose names are looked at.
pub(crate) const MAX_NAMES: usize = 10_000;

/// The outputs of a realm's folder.
#[derive(Clone, Debug)]
pub(crate) struct FolderOutputs {
    folders: Folders,
    scratch: PathBuf,
}

impl FolderOutputs {
    /// The outputs of a folder.
    pub(crate) fn new(home: &Path) -> Self {
        Self { folders: Folders::new(home), scratch: home.join("scratch") }
    }
}

#[async_trait]
impl Outputs for FolderOutputs {
    fn located(&self, recorded: &str) -> String {
        self.folders.located(recorded)
    }

    fn live(&self, run: &RunKey, attempt: u32, stream: Stream) -> Option<String> {
        Some(live_output(&self.scratch, run, attempt, stream.name()).display().to_string())
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.folders.list_level(&format!("{folder}/"), MAX_NAMES).await?;
        Ok(listed.iter().filter_map(|object| Some(object.location.rsplit('/').next()?.to_owned())).collect())
    }

    async fn open(&self, location: &str) -> Result<Option<Opened>, StoreError> {
        match open_file(location).await {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::new(format!("{location}: {error}")).caused_by(error)),
        }
    }
}

/// Opens a file that a job may have replaced: a link or a pipe is refused.
async fn open_file(place: &str) -> std::io::Result<Opened> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = tokio::fs::OpenOptions::new().read(true).custom_flags(flags).open(place).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    Ok(Opened { size: metadata.len(), reader: Box::new(BufReader::new(file)) })
}

/// For how long outputs are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// For as long as their run's record.
    ForGood,
    /// They are removed at the end.
    UntilTheEnd,
}

/// The first lines of all that a run's commands printed, and how much more there is.
pub(crate) async fn first_lines(outputs: &dyn Outputs, kept: Kept, run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for printed in of_last_attempt(outputs, run) {
        match first_lines_at(outputs, kept, &printed.location).await {
            Ok(found) => lines.extend(found),
            Err(error) => lines.push(format!("… cannot be shown: {error}")),
        }
    }
    lines
}

async fn first_lines_at(outputs: &dyn Outputs, kept: Kept, place: &str) -> Result<Vec<String>, StoreError> {
    let Some(Opened { size, reader }) = outputs.open(place).await? else { return Ok(Vec::new()) };
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
        let place = if kept == Kept::UntilTheEnd { "--keep DIR keeps them" } else { place };
        lines.push(format!("… {size} bytes in all: {place}"));
    }
    Ok(lines)
}

/// A line as a terminal may show it.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.strip_suffix('\r').unwrap_or(&line);
    line.split('\t').map(pumice_core::text::escaped).collect::<Vec<_>>().join("\t")
}
