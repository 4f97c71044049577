//! A command's output, kept in pieces while it runs: for a site whose objects are not files of this machine.
//!
//! A piece of [`PIECE_BYTES`] is kept once and for all; the last one is kept again whenever it has grown, ever less
//! often. A kept piece makes room on the disk: the file of a long output holds its beginning and its end.

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
                    tracing::warn!(%location, %error, "cannot keep a command's output while it runs");
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
            tracing::warn!(%location, %error, "the end of a command's output is lost with its worker");
        }
    }

    /// Removes the pieces: the whole has its place.
    pub(crate) async fn remove(&self) {
        let sent = self.sent.load(Ordering::Relaxed);
        let pieces: Vec<String> = (0..sent.div_ceil(PIECE_BYTES).max(self.sealed() + u64::from(sent > 0)))
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

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use pumice_core::job_type::{Ended, JobError, Leaf, ParametersOf, Stop};
    use pumice_job_types::cmd;
    use serde_json::json;

    use super::*;
    use crate::capture::Capture;
    use crate::cmd::Cmd;
    use crate::fakes::World;

    fn at(name: &str) -> String {
        format!("s3://bucket/tmp/.output/top/{}/{name}", uuid::Uuid::from_u128(1))
    }

    fn world(script: &str, every: Duration) -> World {
        let mut world = World::of("cmd", json!(script), json!({}));
        world.environment.push(("PATH".into(), std::env::var_os("PATH").unwrap_or_default()));
        world.settings.output_interval = Span::from(every);
        world
    }

    /// Runs a script that waits for the file `go` in its beginning's folder, and does something once a piece was kept.
    async fn run(world: &World, script: &str, then: impl Fn()) -> Result<Ended, JobError> {
        let go = world.folder.path().join("go");
        let script =
            script.replace("wait_for_go", &format!("while ! test -e {}; do sleep 0.01; done", go.display()));
        let argv = ["sh".to_owned(), "-c".to_owned(), script];
        let parameters: ParametersOf<cmd::Cmd> = serde_json::from_value(json!({})).unwrap();
        let once_kept = async {
            while world.kept.parts.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            then();
            std::fs::write(&go, "").unwrap();
        };
        let context = world.context();
        join(Cmd.run(&context, argv.to_vec(), parameters), once_kept).await.0
    }

    #[tokio::test]
    async fn output_is_kept_in_pieces_before_the_end_and_whole_after() {
        let world = world("x", Duration::from_millis(10));
        let ended = run(&world, "echo begun; wait_for_go; echo done; echo bad >&2", || {
            let kept = world.kept.objects();
            assert_eq!(kept.get(&at("_live/0.stdout.000000")).map(String::as_str), Some("begun\n"));
        });
        assert!(matches!(ended.await, Ok(Ended::Done(_))));
        let kept: Vec<(String, String)> = world.kept.objects().into_iter().collect();
        assert_eq!(kept, [(at("stderr"), "bad\n".to_owned()), (at("stdout"), "begun\ndone\n".to_owned())]);
    }

    #[tokio::test]
    async fn worker_stopping_leaves_output_in_pieces() {
        let world = world("x", Duration::from_millis(10));
        let stop = || world.cancel.stop(Stop::Halted);
        let ended =
            run(&world, "trap 'echo stopped; exit 1' TERM; echo begun; wait_for_go; sleep 1000 & wait", stop);
        assert_eq!(ended.await.unwrap_err().message, "stopped");
        // Some shells say on standard error that they were stopped.
        let kept = world.kept.objects();
        let text = kept.get(&at("_live/0.stdout.000000")).unwrap_or_else(|| panic!("{kept:?}"));
        assert!(text.starts_with("begun\n"), "{text}");
        assert!(kept.keys().all(|place| place.contains("/_live/")), "{kept:?}");
    }

    #[tokio::test]
    async fn pieces_that_cannot_be_kept_cost_the_run_nothing() {
        let world = world("x", Duration::from_millis(10));
        world.kept.unfit.lock().unwrap().extend((0..2).map(|_| io::Error::other("no such bucket")));
        let context = world.context();
        let capture = Capture::new(&context, "stdout", None);
        capture.record(&b"printed"[..]).await.unwrap();
        let shipment = Shipment::new(&context, "stdout").unwrap();
        let file = tempfile::tempfile().unwrap();
        let clock = crate::fakes::Standing { wakes: true };
        shipment.try_to_ship(&clock, &file, 7).await;
        assert!(shipment.is_failing.load(Ordering::Relaxed) && !shipment.is_late(u64::MAX));
        assert_eq!(capture.keep(&context).await.unwrap(), Some(at("stdout")));
        assert_eq!(world.kept.objects()[&at("stdout")], "printed");
    }

    #[tokio::test]
    async fn long_output_is_kept_in_pieces_whose_room_is_given_back() {
        use std::io::Write;
        use std::os::unix::fs::MetadataExt;
        const SIZE: u64 = 5 * PIECE_BYTES + 1_000;
        let text: Vec<u8> =
            (0..SIZE).map(|at| if at % 61 == 0 { b'\n' } else { b'a' + (at % 26) as u8 }).collect();
        for every in [Duration::ZERO, Duration::from_secs(30)] {
            let world = world("x", every);
            let context = world.context();
            let shipment = Shipment::new(&context, "stdout").unwrap();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&text).unwrap();
            // The last bytes may still be cut, so the last whole piece is not kept for good.
            shipment.ship(&file, SIZE, false).await.unwrap();
            let tail = u64::from(!every.is_zero());
            assert_eq!((shipment.sealed(), world.kept.parts.lock().unwrap().len() as u64), (4, 4 + tail));
            assert!(shipment.is_late(SIZE + MAX_BEHIND) && !shipment.is_late(SIZE));
            if shipment.is_freed() {
                assert!(file.metadata().unwrap().blocks() * 512 < SIZE - PIECE_BYTES, "room is given back");
            }
            shipment.join(&at("stdout"), &file, SIZE).await.unwrap();
            assert!(world.kept.objects()[&at("stdout")].as_bytes() == text, "the whole is as it was printed");
            shipment.remove().await;
            assert_eq!(world.kept.objects().len(), 1);
        }
    }
}
