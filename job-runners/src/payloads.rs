//! Payloads of `exe` and `pkg` jobs: found below the realm's `s3_payloads` and brought to this machine.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use futures_util::future::{Either, select};
use pumice_core::duration::Span;
use pumice_core::job_type::{JobContext, JobError};
use pumice_core::payload::bad_key;
use pumice_core::ports::{Fetched, MAX_LISTED, Object, StoreError};
use pumice_core::text::shown;

use crate::cache::Cache;

/// How long it may take to fetch a payload.
const MAX_FETCH: Span = Span::from_mins(5);
/// How often a payload is looked up anew that changes while it is fetched.
const MAX_TRIES: usize = 3;
/// Most payloads of one prefix.
const MAX_PAYLOADS: usize = MAX_LISTED;

/// The payloads that this process has fetched, of all realms.
static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

/// The largest payload that a job type takes.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// In bytes.
    pub(crate) bytes: u64,
    /// The setting that says so.
    pub(crate) setting: &'static str,
}

impl Limit {
    fn check(self, object: &Object, name: &str) -> Result<(), JobError> {
        let (size, Self { bytes, setting }) = (object.size, self);
        if size <= bytes {
            return Ok(());
        }
        let message =
            format!("the payload {} has {size} bytes; the limit is {bytes} ({setting})", shown(name));
        Err(JobError::permanent(message))
    }
}

/// A payload that was found.
pub(crate) struct Payload {
    object: Object,
    limit: Limit,
    /// Its file name: the last part of its key.
    pub(crate) name: String,
}

/// Where a key is.
///
/// # Errors
/// [`JobError`] when the realm has no place for payloads.
pub(crate) fn location(context: &JobContext<'_>, key: &str) -> Result<String, JobError> {
    let base = context.realm.fields.s3_payloads.as_deref();
    let none =
        || JobError::permanent("the realm has no s3_payloads: its document must say where payloads are");
    let base = base.ok_or_else(none)?.trim_end_matches('/');
    Ok(format!("{base}/{key}"))
}

/// The payloads of a key, or all that a prefix ending in `/` has on its level, by name (lava guide, S3 Payloads). None of
/// them is fetched yet.
///
/// # Errors
/// [`JobError`] when no payload is found, when one is too large, or when they cannot be listed.
pub(crate) async fn find(
    context: &JobContext<'_>,
    key: &str,
    limit: Limit,
) -> Result<Vec<Payload>, JobError> {
    if let Some(why) = bad_key(key) {
        return Err(JobError::permanent(why));
    }
    let prefix = location(context, key)?;
    let listed =
        in_time(context, "list payloads", context.objects.list_level(&prefix, MAX_PAYLOADS + 1)).await?;
    if listed.len() > MAX_PAYLOADS {
        return Err(JobError::permanent(format!(
            "more than {MAX_PAYLOADS} payloads begin with {}",
            shown(key)
        )));
    }
    let is_folder = key.ends_with('/');
    // An object of the prefix's own name is a folder that a console made.
    let is_meant =
        |object: &&Object| if is_folder { object.location != prefix } else { object.location == prefix };
    let (found, others): (Vec<&Object>, Vec<&Object>) = listed.iter().partition(is_meant);
    if found.is_empty() {
        return Err(missing(key, &prefix, &others));
    }
    found.into_iter().map(|object| Payload::new(object.clone(), limit)).collect()
}

/// The error for a key without a payload. It suggests a name that begins so: lava takes those too.
fn missing(key: &str, prefix: &str, others: &[&Object]) -> JobError {
    let base = prefix.strip_suffix(key).unwrap_or_default();
    let other = others.first().and_then(|other| other.location.strip_prefix(base));
    let hint = match other {
        Some(other) => format!(" (did you mean {}?)", shown(other)),
        None if key.ends_with('/') => String::new(),
        None => format!("; for all payloads of a folder write {}/", shown(key)),
    };
    JobError::failed(format!("no payload {}{hint}", shown(key)))
}

/// The outcome of a call of the store, unless the attempt is to stop or the time is up.
pub(crate) async fn in_time<T>(
    context: &JobContext<'_>,
    what: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, JobError> {
    let clock = context.clock;
    let late = std::pin::pin!(clock.sleep_until(clock.now() + MAX_FETCH.delta()));
    let stopped = std::pin::pin!(context.cancel.stopped());
    match select(std::pin::pin!(call), select(late, stopped)).await {
        Either::Left((done, _)) => done.map_err(|error| JobError::failed(format!("cannot {what}: {error}"))),
        Either::Right((Either::Left(_), _)) => {
            Err(JobError::failed(format!("cannot {what} within {MAX_FETCH}")))
        }
        // The engine knows why, and says so instead.
        Either::Right((Either::Right(_), _)) => Err(JobError::failed("stopped")),
    }
}

impl Payload {
    /// One that was found.
    ///
    /// # Errors
    /// [`JobError`] when it is too large, or has no name.
    pub(crate) fn new(object: Object, limit: Limit) -> Result<Self, JobError> {
        let name = object.location.rsplit('/').next().unwrap_or_default().to_owned();
        if name.is_empty() || name == "." || name == ".." {
            return Err(JobError::permanent(format!("the payload {} has no file name", object.location)));
        }
        limit.check(&object, &name)?;
        Ok(Self { object, limit, name })
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.object.size
    }

    /// Makes an executable file of it in a folder that is empty.
    ///
    /// # Errors
    /// [`JobError`] when it cannot be fetched, or has become too large.
    pub(crate) async fn place(
        &mut self,
        context: &JobContext<'_>,
        folder: &Path,
    ) -> Result<PathBuf, JobError> {
        let path = folder.join(&self.name);
        let mut options = File::options();
        let made = options.read(true).write(true).create_new(true).mode(0o700).open(&path);
        let failed = |error: io::Error| {
            JobError::cannot_begin(format!("cannot make a file for {}: {error}", self.name), &error)
        };
        let file = made.map_err(failed)?;
        if context.objects.is_near() {
            self.fetch(context, &file).await?;
            return Ok(path);
        }
        let mut from = self.open(context).await?;
        let failed =
            |error: io::Error| JobError::cannot_begin(format!("cannot copy {}: {error}", self.name), &error);
        let copying = tokio::task::spawn_blocking(move || io::copy(&mut from, &mut &file));
        copying.await.map_err(io::Error::other).flatten().map_err(failed)?;
        Ok(path)
    }

    /// Its bytes, from this process's cache where they are far away.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub(crate) async fn open(&mut self, context: &JobContext<'_>) -> Result<Bytes, JobError> {
        if context.objects.is_near() {
            return Ok(Bytes::of(Arc::new(self.fetched(context).await?)));
        }
        let object = self.object.clone();
        let fetch = async {
            let file = self.fetched(context).await?;
            Ok((file, self.object.version.clone()))
        };
        CACHE.get(&object, fetch).await.map(Bytes::of)
    }

    async fn fetched(&mut self, context: &JobContext<'_>) -> Result<File, JobError> {
        let made = tempfile::tempfile_in(context.machine.scratch);
        let failed = |error: io::Error| {
            JobError::cannot_begin(format!("cannot make a file for a payload: {error}"), &error)
        };
        let file = made.map_err(failed)?;
        self.fetch(context, &file).await?;
        Ok(file)
    }

    /// Fetches it into a file; one that has changed meanwhile is looked up and fetched anew.
    async fn fetch(&mut self, context: &JobContext<'_>, file: &File) -> Result<(), JobError> {
        let name = shown(&self.name);
        let gone = || JobError::failed(format!("the payload {name} has been removed"));
        for _ in 0..MAX_TRIES {
            let fetching = context.objects.fetch(&self.object, file.as_fd());
            match in_time(context, &format!("fetch the payload {name}"), fetching).await? {
                Fetched::Whole => return Ok(()),
                Fetched::Gone => return Err(gone()),
                Fetched::Changed => {}
            }
            let location = &self.object.location;
            let listing = context.objects.list_level(location, MAX_PAYLOADS);
            let listed = in_time(context, "list payloads", listing).await?;
            let found = listed.into_iter().find(|object| object.location == *location);
            let found = found.ok_or_else(gone)?;
            self.limit.check(&found, &self.name)?;
            self.object = found;
        }
        Err(JobError::failed(format!(
            "the payload {name} changed each of {MAX_TRIES} times while it was fetched"
        )))
    }
}

/// Bytes of a file, read from a place of their own: other runs read the same file.
pub(crate) struct Bytes {
    file: Arc<File>,
    at: u64,
}

impl Bytes {
    fn of(file: Arc<File>) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
