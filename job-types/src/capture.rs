//! What a command prints, kept in a file while it runs.
//!
//! The command writes into a pipe, as it would for `ssh` or `docker`, so that `> /dev/stdout` empties nothing. The file
//! that the worker writes to lies outside the command's directory, and is opened once. A job may do anything to its
//! name, so all that is read later is read through the file that was opened.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use pumice_core::job_type::{JobContext, JobError, live_output};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// One of a command's output streams.
pub(crate) struct Capture {
    stream: &'static str,
    path: PathBuf,
    /// Made when something is printed.
    file: OnceLock<Arc<File>>,
}

impl Capture {
    /// A stream of this attempt.
    pub(crate) fn new(context: &JobContext<'_>, stream: &'static str) -> Self {
        let path = live_output(&context.site.scratch, &context.run.key, context.run.attempt, stream);
        Self { stream, path, file: OnceLock::new() }
    }

    /// The name of the stream.
    pub(crate) fn stream(&self) -> &'static str {
        self.stream
    }

    /// Writes down what comes out of the command until no process can write any more. What cannot be written is read
    /// all the same, for the command would wait for ever else; the error tells of it.
    pub(crate) async fn record(&self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            chunk.reserve(CHUNK);
            if from.read_buf(&mut chunk).await? == 0 {
                return outcome;
            }
            if outcome.is_err() {
                continue;
            }
            let (known, path) = (self.file.get().cloned(), self.path.clone());
            // A disk may take its time, and this thread has others to see to.
            let written = tokio::task::spawn_blocking(move || {
                let file = match known {
                    Some(file) => file,
                    None => match create(&path) {
                        Ok(file) => Arc::new(file),
                        Err(error) => return (chunk, Err(error)),
                    },
                };
                let written = io::Write::write_all(&mut &*file, &chunk);
                (chunk, written.map(|()| file))
            });
            let (read, written) = written.await.map_err(io::Error::other)?;
            chunk = read;
            outcome = written.map(|file| {
                self.file.get_or_init(|| file);
            });
        }
    }

    /// The first bytes as text, or the last where the number is negative.
    pub(crate) fn part(&self, bytes: i64) -> String {
        let Some(file) = self.file.get() else { return String::new() };
        let (bytes, from_end) = (bytes.unsigned_abs(), bytes < 0);
        let read = || -> io::Result<Vec<u8>> {
            let length = file.metadata()?.len();
            let mut part = vec![0; usize::try_from(bytes.min(length)).unwrap_or_default()];
            let mut at = if from_end { length.saturating_sub(bytes) } else { 0 };
            let mut filled = 0;
            while let Some(rest) = part.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, at) {
                    Ok(0) => break,
                    Ok(count) => (filled, at) = (filled + count, at + count as u64),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            part.truncate(filled);
            Ok(part)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).trim().to_owned()
    }

    /// Stores what was printed, if anything, and says where, as records keep it.
    pub(crate) async fn keep(&self, context: &JobContext<'_>) -> Result<Option<String>, JobError> {
        let (Some(file), Some(location)) = (self.file.get(), context.output_location(self.stream)) else {
            return Ok(None);
        };
        let objects = &context.site.ports.objects;
        let stored = objects.put_file(&location, file).await;
        stored.map_err(|error| JobError::failed(format!("cannot store {location}: {error}")))?;
        Ok(Some(objects.recorded(&location)))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.file.get().is_some() {
            // A job may have removed it, or put something else there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes a file that did not exist, which every write goes to the end of.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            open()
        }
        // Of an attempt that this worker lost: nothing writes there any more.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            open()
        }
        other => other,
    }
}
