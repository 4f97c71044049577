//! What a command prints, kept in pieces while it runs: where objects are not files of this machine.
//!
//! A piece of [`PIECE_BYTES`] is kept once and for all; the last one is kept again whenever it has grown, ever less often. What
//! is kept makes room on the disk: the file of a long output holds its beginning and its end.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{OptionFuture, select};
use pumice_core::duration::Span;
use pumice_core::job_type::{JobContext, PIECE_BYTES, Pieces, next_piece};
use pumice_core::ports::{Clock, ObjectStore};
use rustix::fs::{FallocateFlags, fallocate};
use tokio::sync::Notify;

/// How many bytes at the end are in no piece that is kept for good: an output that is cut may lose some of them.
const MARGIN: u64 = 64 * 1024;
/// How many bytes may wait to be kept before their command waits too.
const MAX_BEHIND: u64 = 64 * 1024 * 1024;
/// How long after a failure pieces are tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The pieces of one output.
pub(crate) struct Shipment<'a> {
    objects: &'a dyn ObjectStore,
    pieces: Pieces,
    longest: Span,
    /// How many pieces are kept for good.
    sealed: AtomicU64,
    /// How many bytes are kept, and how often something was.
    sent: AtomicU64,
    times: AtomicU32,
    /// Up to where the file has given back its room.
    freed: AtomicU64,
    /// Whether the last try failed.
    is_failing: AtomicBool,
    /// Wakes what ships when there is enough for a piece.
    full: Notify,
}

impl<'a> Shipment<'a> {
    /// The pieces of an output of this attempt; `None` where objects are files of this machine, or have no place.
    pub(crate) fn new(context: &JobContext<'a>, name: &str) -> Option<Self> {
        let pieces = context.output_pieces(name).filter(|_| !context.objects.is_near())?;
        Some(Self {
            objects: context.objects,
            pieces,
            longest: context.settings.output_interval,
            sealed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            times: AtomicU32::new(0),
            freed: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            full: Notify::new(),
        })
    }

    fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// How many bytes of an output are in the file alone.
    fn behind(&self, size: u64) -> u64 {
        size.saturating_sub(self.sealed() * PIECE_BYTES)
    }

    /// Says that the file has so many bytes now.
    pub(crate) fn has_grown(&self, size: u64) {
        if self.behind(size) >= PIECE_BYTES + MARGIN {
            self.full.notify_one();
        }
    }

    /// Whether the command has to wait until more is kept. It does not wait for a store that fails.
    pub(crate) fn is_late(&self, size: u64) -> bool {
        self.behind(size) > MAX_BEHIND && !self.is_failing.load(Ordering::Relaxed)
    }

    /// Whether the file lacks what is kept in pieces.
    pub(crate) fn is_freed(&self) -> bool {
        self.freed.load(Ordering::Relaxed) > 0
    }

    /// Keeps pieces until it is dropped. `file` gives the file and how many of its bytes are written.
    pub(crate) async fn keep_up(
        &self,
        clock: &dyn Clock,
        file: impl Fn() -> Option<(std::sync::Arc<File>, u64)>,
    ) -> Infallible {
        loop {
            let pause = next_piece(self.times.load(Ordering::Relaxed), self.longest);
            let passed: OptionFuture<_> =
                pause.map(|pause| clock.sleep_until(clock.now() + pause.delta())).into();
            let passed = async {
                match passed.await {
                    Some(()) => {}
                    None => std::future::pending().await,
                }
            };
            select(pin!(passed), pin!(self.full.notified())).await;
            if let Some((file, size)) = file() {
                self.try_to_ship(clock, &file, size).await;
            }
            // A clock of a test may let no time pass.
            tokio::task::yield_now().await;
        }
    }

    async fn try_to_ship(&self, clock: &dyn Clock, file: &File, size: u64) {
        match self.ship(file, size, false).await {
            Ok(()) => self.is_failing.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    let location = &self.pieces.location;
                    tracing::warn!(%location, %error, "what a command prints cannot be kept while it runs");
                }
                clock.sleep_until(clock.now() + Span::from(AFTER_FAILURE).delta()).await;
            }
        }
    }

    /// Keeps what is not kept yet of the first `size` bytes. All of it counts at the `end`, else the last bytes may be cut.
    pub(crate) async fn ship(&self, file: &File, size: u64, end: bool) -> io::Result<()> {
        let safe = if end { size } else { size.saturating_sub(MARGIN) };
        while (self.sealed() + 1) * PIECE_BYTES <= safe {
            let index = self.sealed();
            let at = self.pieces.piece(index);
            self.objects.put_part(&at, file.as_fd(), index * PIECE_BYTES, PIECE_BYTES).await?;
            self.sealed.store(index + 1, Ordering::Relaxed);
            self.kept((index + 1) * PIECE_BYTES);
            self.free(file);
        }
        let (from, sent) = (self.sealed() * PIECE_BYTES, self.sent.load(Ordering::Relaxed));
        if size > from && sent != size && (end || !self.longest.is_zero()) {
            let at = self.pieces.piece(self.sealed());
            self.objects.put_part(&at, file.as_fd(), from, size - from).await?;
            self.kept(size);
        }
        Ok(())
    }

    fn kept(&self, size: u64) {
        self.sent.store(size, Ordering::Relaxed);
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives back the room of what is kept for good, but for the first piece and the last one, of which the record of a
    /// failure may have something. A file system that does not do so keeps the whole.
    fn free(&self, file: &File) {
        let from = self.freed.load(Ordering::Relaxed).max(PIECE_BYTES);
        let to = self.sealed().saturating_sub(1) * PIECE_BYTES;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if to > from && fallocate(file, flags, from, to - from).is_ok() {
            self.freed.store(to, Ordering::Relaxed);
        }
    }

    /// Makes one object of all pieces.
    pub(crate) async fn join(&self, location: &str, file: &File, size: u64) -> io::Result<()> {
        self.ship(file, size, true).await?;
        let count = size.div_ceil(PIECE_BYTES);
        let parts: Vec<String> = (0..count).map(|index| self.pieces.piece(index)).collect();
        self.objects.join(location, &parts).await
    }

    /// Keeps the rest, for good.
    pub(crate) async fn leave(&self, file: &File, size: u64) {
        if let Err(error) = self.ship(file, size, true).await {
            let location = &self.pieces.location;
            tracing::warn!(%location, %error, "the last of what a command printed is lost with its worker");
        }
    }

    /// Removes the pieces: the whole has its place.
    pub(crate) async fn remove(&self) {
        let sent = self.sent.load(Ordering::Relaxed);
        let pieces: Vec<String> =
            (0..sent.div_ceil(PIECE_BYTES).max(self.sealed() + u64::from(sent > 0)))
                .map(|index| self.pieces.piece(index))
                .collect();
        if pieces.is_empty() {
            return;
        }
        if let Err(error) = self.objects.remove(&pieces).await {
            // They go with the other files of the run.
            tracing::debug!(location = %self.pieces.location, %error, "pieces of an output stay");
        }
    }
}
