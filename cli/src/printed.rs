//! Outputs of commands in a realm's folder, and their first lines for a terminal.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pumice_core::ids::RunKey;
use pumice_core::job_type::{live_folder, read_live_output};
use pumice_core::ports::{MAX_PIECE, ObjectStore, Piece, StoreError};
use pumice_core::run::Run;
use pumice_local::{Folders, lost_outputs};
use pumice_service::runs::{LiveOutput, Outputs, of_last_attempt};
use rustix::fs::OFlags;

/// Most lines of a command's output that are shown while runs are followed, and most bytes.
const MAX_LINES: usize = 20;
const MAX_SHOWN_BYTES: u64 = 16 * 1024;

/// Most files of an attempt whose names are looked at.
pub(crate) const MAX_NAMES: usize = 10_000;

/// The outputs of a realm's folder.
#[derive(Clone, Debug)]
pub(crate) struct FolderOutputs {
    folders: Folders,
    /// Where outputs are while they are written, and where those are whose worker is gone.
    live: [PathBuf; 2],
}

impl FolderOutputs {
    /// The outputs of a folder.
    pub(crate) fn new(home: &Path) -> Self {
        let live = [live_folder(&home.join("scratch")), lost_outputs(home)];
        Self { folders: Folders::new(home), live }
    }
}

#[async_trait]
impl Outputs for FolderOutputs {
    fn located(&self, recorded: &str) -> String {
        self.folders.located(recorded)
    }

    async fn live(&self, run: &RunKey, attempt: u32, _: Option<&str>) -> Result<Vec<LiveOutput>, StoreError> {
        let (folders, run) = (self.live.clone(), run.clone());
        on_blocking_thread("what is printed now", move || live_in(&folders, &run, attempt)).await
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.folders.list_level(&format!("{folder}/"), MAX_NAMES).await?;
        Ok(listed.iter().filter_map(|object| Some(object.location.rsplit('/').next()?.to_owned())).collect())
    }

    async fn read(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        let path = PathBuf::from(location);
        on_blocking_thread(location, move || match read_file(&path, from, length) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            read => read.map(Some),
        })
        .await
    }
}

/// Does what reads files apart from the threads that others wait for.
async fn on_blocking_thread<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|error| StoreError::of_io(what, error))
}

/// The outputs of an attempt in folders of files that are written.
fn live_in(folders: &[PathBuf], run: &RunKey, attempt: u32) -> io::Result<Vec<LiveOutput>> {
    let mut found = Vec::new();
    for folder in folders {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries.take(MAX_NAMES) {
            let path = entry?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if let Some((execution, name)) = read_live_output(name, run)
                && execution.attempt == attempt
            {
                found.push(LiveOutput { execution, name, location: path.display().to_string() });
            }
        }
    }
    Ok(found)
}

/// Reads some bytes of a file that a job may have replaced: a link or a pipe is refused.
fn read_file(path: &Path, from: u64, length: u64) -> io::Result<Piece> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is not a regular file"));
    }
    let size = metadata.len();
    let length = length.min(MAX_PIECE).min(size.saturating_sub(from));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Piece { bytes, size })
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
    let Some(Piece { bytes, size }) = outputs.read(place, 0, MAX_SHOWN_BYTES).await? else {
        return Ok(Vec::new());
    };
    let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let mut lines: Vec<String> = match whole.is_empty() && bytes.is_empty() {
        true => Vec::new(),
        false => whole.split(|byte| *byte == b'\n').take(MAX_LINES + 1).map(shown).collect(),
    };
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
