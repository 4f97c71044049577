//! A command's output, kept in a file while it runs.
//!
//! The command writes into a pipe, as it would for `ssh` or `docker`, so that `> /dev/stdout` empties nothing. The file
//! that the worker writes to lies outside the command's directory, and is opened once. A job may do anything to its
//! name, so all that is read later is read through the file that was opened.
//!
//! Secrets are masked before they are written: this process has opened the connections and rendered the templates, and no
//! other process need know the values.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pumice_core::duration::Span;
use pumice_core::job_type::{HostFault, JobContext, JobError, PIECE_BYTES, is_exhausted, live_output};
use pumice_core::ports::Clock;
use pumice_core::secret::Masker;
use pumice_host::{OwnFolder, remove_tree};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::shipment::Shipment;

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// How long a stream waits while the host has no disk space or descriptors; its command waits at the pipe meanwhile. A
/// stream that has written much waits for less, so that its file is removed and others get the space.
const PATIENCE: Span = Span::from_mins(1);
const SHORT_PATIENCE: Span = Span::from_secs(5);
/// How much is much, in bytes.
const MUCH: u64 = 1024 * 1024;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the longest character in UTF-8.
const LONGEST_CHARACTER: u64 = 4;

/// The bytes without those at the beginning that are the rest of a character.
fn after_torn(bytes: &[u8]) -> &[u8] {
    let torn =
        bytes.iter().take(LONGEST_CHARACTER as usize - 1).take_while(|byte| **byte & 0xc0 == 0x80).count();
    bytes.get(torn..).unwrap_or_default()
}

/// One of a command's output streams.
pub(crate) struct Capture<'a> {
    stream: &'static str,
    /// Its name in the results: the stream, or a name of a payload and the stream.
    name: String,
    path: PathBuf,
    /// Made when something is printed.
    file: OnceLock<Arc<File>>,
    clock: &'a dyn Clock,
    /// Whether something was read that is not written yet.
    pending: AtomicBool,
    /// Masks secrets, which may come in parts.
    masker: Mutex<Masker>,
    /// How many bytes are kept at most, and how many the file has.
    limit: u64,
    size: AtomicU64,
    /// How many bytes came behind the limit.
    dropped: AtomicU64,
    /// Keeps it elsewhere while the command runs.
    shipment: Option<Shipment<'a>>,
    /// Whether the file stays when this goes.
    stays: AtomicBool,
}

impl<'a> Capture<'a> {
    /// A stream of this attempt, or of the payload that it runs now.
    pub(crate) fn new(context: &JobContext<'a>, stream: &'static str, payload: Option<&str>) -> Self {
        let name = payload.map_or_else(|| stream.to_owned(), |payload| format!("{payload}.{stream}"));
        let path = live_output(context.machine.scratch, &context.run.key, context.execution(), &name);
        let shipment = Shipment::new(context, &name);
        Self::at(path, stream, name, context.clock, context.settings.output_max_size, shipment)
    }

    fn at(
        path: PathBuf,
        stream: &'static str,
        name: String,
        clock: &'a dyn Clock,
        limit: u64,
        shipment: Option<Shipment<'a>>,
    ) -> Self {
        Self {
            stream,
            name,
            path,
            file: OnceLock::new(),
            clock,
            pending: AtomicBool::new(false),
            masker: Mutex::new(Masker::new()),
            limit,
            size: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            shipment,
            stays: AtomicBool::new(false),
        }
    }

    /// The name of the stream.
    pub(crate) fn stream(&self) -> &'static str {
        self.stream
    }

    /// Whether something was read that is not written yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// How many bytes were not kept, as there were too many.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Writes down the command's output, with secrets masked, until no process can write any more. Output that cannot be
    /// written is read all the same, or else the command would wait for ever; the error reports it.
    pub(crate) async fn record(&self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            chunk.reserve(CHUNK);
            if from.read_buf(&mut chunk).await? == 0 {
                outcome?;
                return self.finish().await;
            }
            if self.dropped() > 0 {
                self.dropped.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            } else if outcome.is_ok() {
                self.pending.store(true, Ordering::Relaxed);
                let masked = self.masker().push(&chunk);
                outcome = self.take(masked).await;
                self.pending.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Writes the last bytes down, which could have begun a secret: nothing comes behind them.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        let rest = self.masker().finish();
        if rest.is_empty() || self.dropped() > 0 {
            self.dropped.fetch_add(rest.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        self.pending.store(true, Ordering::Relaxed);
        let outcome = self.take(rest).await;
        self.pending.store(false, Ordering::Relaxed);
        outcome
    }

    fn masker(&self) -> MutexGuard<'_, Masker> {
        self.masker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps pieces of what is written elsewhere, for as long as the command runs.
    pub(crate) async fn keep_up(&self) -> Infallible {
        match &self.shipment {
            None => std::future::pending().await,
            Some(shipment) => {
                let file = || Some((self.file.get()?.clone(), self.size()));
                shipment.keep_up(self.clock, file).await
            }
        }
    }

    /// Writes as much of a chunk as may be kept.
    async fn take(&self, mut chunk: Vec<u8>) -> io::Result<()> {
        let room = self.limit - self.size();
        let over = (chunk.len() as u64).saturating_sub(room);
        chunk.truncate(chunk.len() - usize::try_from(over).unwrap_or(chunk.len()));
        self.make_room().await;
        if !chunk.is_empty() {
            let length = chunk.len() as u64;
            self.write(&mut chunk).await?;
            let size = self.size.fetch_add(length, Ordering::Relaxed) + length;
            if let Some(shipment) = &self.shipment {
                shipment.has_grown(size);
            }
        }
        if over > 0 { self.cut(over).await } else { Ok(()) }
    }

    /// Waits until enough is kept elsewhere, so that the disk need not hold all of it.
    async fn make_room(&self) {
        let Some(shipment) = &self.shipment else { return };
        let began = self.clock.now();
        while shipment.is_late(self.size()) && self.clock.now() - began < PATIENCE.delta() {
            self.clock.sleep_until(self.clock.now() + PAUSE).await;
        }
    }

    /// Notes in the output that it ends here, although the command goes on.
    async fn cut(&self, over: u64) -> io::Result<()> {
        self.dropped.store(over, Ordering::Relaxed);
        let mut note = format!(
            "\n(pumice keeps the first {} bytes: OUTPUT_MAX_SIZE; the command goes on)\n",
            self.limit
        )
        .into_bytes();
        let length = note.len() as u64;
        self.write(&mut note).await?;
        self.size.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    /// Writes all of a chunk to the file. While the host has run out of something it is tried again.
    async fn write(&self, chunk: &mut Vec<u8>) -> io::Result<()> {
        let began = self.clock.now();
        loop {
            let (known, path, mut rest) =
                (self.file.get().cloned(), self.path.clone(), std::mem::take(chunk));
            // A disk may take its time, and this thread has others to see to.
            let writing = tokio::task::spawn_blocking(move || {
                let file = match known.map_or_else(|| create(&path).map(Arc::new), Ok) {
                    Ok(file) => file,
                    Err(error) => return (rest, None, Err(error)),
                };
                let written = write_all(&file, &mut rest);
                (rest, Some(file), written)
            });
            let (rest, file, written) = writing.await.map_err(io::Error::other)?;
            *chunk = rest;
            if let Some(file) = file {
                self.file.get_or_init(|| file);
            }
            match written {
                Err(error) if is_passing(&error) && self.clock.now() - began < self.patience().delta() => {
                    self.clock.sleep_until(self.clock.now() + PAUSE).await;
                }
                Err(error) if HostFault::is_in(&error) => return Err(error),
                Err(error) => {
                    let path = self.path.display();
                    return Err(io::Error::new(error.kind(), format!("{path}: {error}")));
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn patience(&self) -> Span {
        let length = self.file.get().and_then(|file| file.metadata().ok()).map_or(0, |found| found.len());
        if length > MUCH { SHORT_PATIENCE } else { PATIENCE }
    }

    /// The first characters, or the last bytes where the number is negative, as Python reads text (lava's
    /// `read_head_or_tail`). Of an output whose middle the file lacks, a piece at most.
    pub(crate) fn part(&self, size: i64) -> String {
        let Some(file) = self.file.get() else { return String::new() };
        let (mut count, from_end) = (size.unsigned_abs(), size < 0);
        if self.is_freed() {
            count = count.min(PIECE_BYTES / LONGEST_CHARACTER);
        }
        let bytes = if from_end { count } else { count.saturating_mul(LONGEST_CHARACTER) };
        let read = || -> io::Result<Vec<u8>> {
            let length = file.metadata()?.len();
            let at = if from_end { length.saturating_sub(bytes) } else { 0 };
            read_at(file, at, bytes.min(length))
        };
        let part = read().unwrap_or_default();
        let part = if from_end { after_torn(&part) } else { &part };
        let text = String::from_utf8_lossy(part).replace("\r\n", "\n").replace('\r', "\n");
        let end = usize::try_from(count).ok().and_then(|count| text.char_indices().nth(count));
        text.get(..end.map_or(text.len(), |(at, _)| at)).unwrap_or(&text).trim().to_owned()
    }

    /// Leaves what was printed where it is read while the command runs: it is that of an execution which has no end.
    pub(crate) async fn leave(&self) {
        match (&self.shipment, self.file.get()) {
            (None, _) => self.stays.store(true, Ordering::Relaxed),
            (Some(shipment), Some(file)) => shipment.leave(file, self.size()).await,
            (Some(_), None) => {}
        }
    }

    fn is_freed(&self) -> bool {
        self.shipment.as_ref().is_some_and(Shipment::is_freed)
    }

    /// Stores what was printed, if anything, and says where, as records keep it.
    pub(crate) async fn keep(&self, context: &JobContext<'_>) -> Result<Option<String>, JobError> {
        let Some(location) = context.output_location(&self.name) else { return Ok(None) };
        let objects = context.objects;
        let Some(file) = self.file.get() else {
            // An execution of this attempt whose end was not recorded may have kept what it printed.
            if context.run.epoch > u64::from(context.run.attempt)
                && let Err(error) = objects.remove(std::slice::from_ref(&location)).await
            {
                tracing::warn!(key = %context.run.key, %location, %error, "the output of an earlier execution is not removed");
            }
            return Ok(None);
        };
        let began = self.clock.now();
        loop {
            let kept = match self.shipment.as_ref().filter(|shipment| shipment.is_freed()) {
                Some(shipment) => shipment.join(&location, file, self.size()).await,
                None => objects.put_file(&location, file.as_fd()).await,
            };
            match kept {
                Ok(()) => break,
                Err(error) if is_passing(&error) && self.clock.now() - began < self.patience().delta() => {
                    self.clock.sleep_until(self.clock.now() + PAUSE).await;
                }
                Err(error) => return Err(JobError::failed(format!("cannot store {location}: {error}"))),
            }
        }
        if let Some(shipment) = &self.shipment {
            shipment.remove().await;
        }
        Ok(Some(objects.recorded(&location)))
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if self.file.get().is_some() && !self.stays.load(Ordering::Relaxed) {
            // A job may have removed it, or put something else there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Up to so many bytes of a file from a place on.
fn read_at(file: &File, mut at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut part = vec![0; usize::try_from(length).unwrap_or_default()];
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
}

/// Writes bytes to the end of a file, and takes away those that were written.
fn write_all(mut file: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
    while !bytes.is_empty() {
        match io::Write::write(&mut file, bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => drop(bytes.drain(..count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the host has run out of something that it may have again in a while, unlike rights.
fn is_passing(error: &io::Error) -> bool {
    let lasts = matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound);
    is_exhausted(error) && !lasts
}

/// How many levels above a file the folder is which the user chose: files are in the folder `live` of a scratch folder.
const LEVELS: usize = 3;

/// Makes a file that did not exist, which every write goes to the end of. That it cannot be made is the host's fault. Where
/// the host has run out of something it is as for a write: the command itself may have filled the disk.
fn create(path: &Path) -> io::Result<File> {
    let (Some(base), Some(folder), Some(name)) =
        (path.ancestors().nth(LEVELS), path.parent(), path.file_name())
    else {
        return Err(ErrorKind::InvalidInput.into());
    };
    // A job may have put a link there, or a file.
    let folder = OwnFolder::make(base, folder)?;
    let own = folder.path().join(name);
    let open = || OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&own);
    let created = folder.with_rights(|| match open() {
        // Of an attempt that this worker lost: nothing writes there any more.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            match std::fs::remove_file(&own) {
                Err(error) if error.kind() == ErrorKind::IsADirectory => remove_tree(&own)?,
                removed => removed?,
            }
            open()
        }
        other => other,
    });
    created.map_err(|error| if is_exhausted(&error) { error } else { HostFault::of(base, path, &error) })
}

#[cfg(test)]
mod tests;
