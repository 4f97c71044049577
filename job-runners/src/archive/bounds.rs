//! Limits of unpacking.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::refused;

/// Most bytes that an archive unpacks to.
const MAX_UNPACKED: u64 = 1024 * 1024 * 1024;
/// Most files, folders and links of an archive.
const MAX_ENTRIES: usize = 50_000;
/// How many times larger than itself an archive may become, beyond [`FREE`].
const MAX_RATIO: u64 = 200;
/// The bytes that any archive may unpack to, however small it is.
const FREE: u64 = 32 * 1024 * 1024;
/// Most bytes that describe one entry: its name, its attributes.
const MAX_ABOUT: u64 = 1024 * 1024;

/// Stops an unpacking.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Has it stop.
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The remaining limits of one archive.
#[derive(Clone)]
pub(crate) struct Bounds {
    bytes: u64,
    entries: usize,
    ends: Instant,
    within: Duration,
    stop: Stop,
    /// Bytes that may be read before an entry's own begin; `None` while these are read.
    about: Rc<Cell<Option<u64>>>,
    read: Rc<Cell<u64>>,
}

impl Bounds {
    /// Those of an archive of so many bytes, which must be unpacked within a time from now.
    pub(crate) fn of(size: u64, within: Duration, stop: Stop) -> Self {
        let bytes = MAX_UNPACKED.min(FREE.saturating_add(size.saturating_mul(MAX_RATIO)));
        let (about, read) = (Rc::default(), Rc::default());
        Self { bytes, entries: MAX_ENTRIES, ends: Instant::now() + within, within, stop, about, read }
    }

    /// Refuses one entry more than there may be.
    pub(super) fn check_entries(&self, count: usize) -> io::Result<()> {
        if count > self.entries {
            return Err(refused(format!("holds more than {} files, folders and links", self.entries)));
        }
        self.check_time()
    }

    fn check_time(&self) -> io::Result<()> {
        if self.stop.0.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "was stopped"));
        }
        if Instant::now() >= self.ends {
            let message = format!("takes longer to unpack than {:?}", self.within);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        Ok(())
    }

    /// The bytes read from here on describe the next entry.
    pub(super) fn before_entry(&self) {
        self.about.set(Some(MAX_ABOUT));
    }

    /// From here on an entry's own bytes are read.
    pub(super) fn within_entry(&self) {
        self.about.set(None);
    }

    fn count(&self, bytes: u64) -> io::Result<()> {
        self.check_time()?;
        let read = self.read.get().saturating_add(bytes);
        self.read.set(read);
        if read > self.bytes {
            return Err(refused(format!(
                "unpacks to more than {} bytes, which is too much for its size",
                self.bytes
            )));
        }
        let Some(about) = self.about.get() else { return Ok(()) };
        let left = about.checked_sub(bytes);
        let left =
            left.ok_or_else(|| refused(format!("describes one entry with more than {MAX_ABOUT} bytes")))?;
        self.about.set(Some(left));
        Ok(())
    }

    /// Counts what is read of unpacked bytes.
    pub(super) fn counted<R: Read>(&self, inner: R) -> Counted<R> {
        Counted { inner, bounds: self.clone() }
    }

    /// The same with other limits, for tests.
    #[cfg(test)]
    pub(super) fn with(mut self, bytes: u64, entries: usize) -> Self {
        (self.bytes, self.entries) = (bytes, entries);
        self
    }
}

/// Counts what is read against the limits.
pub(super) struct Counted<R> {
    inner: R,
    bounds: Bounds,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bounds.count(count as u64)?;
        Ok(count)
    }
}
