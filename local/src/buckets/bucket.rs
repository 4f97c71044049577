//! One bucket: takes its files, once they are whole, to the triggers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::engine::Triggers;
use pumice_core::ports::{Clock, StoreError};
use pumice_host::SystemClock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::files::{NoKey, Readiness, Seen, event_of, key_of, look_at, readiness, walk};
use super::news::{Feed, News};
use super::waiting::{Due, Stage, Waiting};
use super::writers::is_open_for_writing;
use crate::database::Database;
use crate::triggers::Known;

/// How often the folder is looked through, as a net for missed notifications.
const LOOK: Duration = Duration::from_secs(10);
/// The same where the system sends no notifications.
const LOOK_WITHOUT_NEWS: Duration = Duration::from_secs(1);
/// A look takes at most one part of the time in so many.
const LOOK_SHARE: u32 = 20;
/// How long after a folder was made it is looked through: files from before the watch would be missed.
const LOOK_BELOW: Duration = Duration::from_millis(100);
/// How often the store forgets files that are gone.
const FORGET: Duration = Duration::from_mins(10);
/// Most files whose triggers are fired at the same time.
const AT_ONCE: usize = 64;
/// Most files of looks that wait at a time; the others are found by the next look, once half of them are done with.
const MAX_WAITING: usize = 50_000;
/// Most files that wait at a time with those that the system reported.
const MAX_HEARD_OF: usize = 2 * MAX_WAITING;
/// How many files of a look are asked about at once.
const PIECE: usize = 512;
/// How much earlier than the clock says the file system may have a file: it takes the time of its last tick.
const TICK: TimeDelta = TimeDelta::milliseconds(50);
/// Most pieces of news that are heard before files are taken again.
const MAX_HEARD: usize = 1_000;
/// Most paths of which the log has said why they are left out.
const MAX_REPORTED: usize = 1_000;

/// A bucket, and the means of watching it.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) database: Database,
    pub(super) triggers: Triggers,
    /// How long a file that was not seen to be closed must stay as it is.
    pub(super) settle: Duration,
    /// Since when the bucket has triggers.
    pub(super) since: watch::Receiver<Timestamp>,
    /// Whether all that was there before is known: from then on, what is not known is new.
    pub(super) is_surveyed: Arc<AtomicBool>,
}

/// The outcome of a file.
enum Taken {
    /// It is done with, or gone.
    Done,
    /// It may not be whole yet.
    Unsettled,
    /// The process that made it has it open.
    Open,
    /// A process has it open for writing, perhaps by another name, so that its end may not be reported.
    InUse,
    /// Its triggers did not start all that they should, for an event with this mark.
    Failed { error: String, mark: Option<String> },
}

/// Does something with files on a thread that may wait for them.
async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::unreachable(error.to_string()))
}

impl Bucket {
    /// Watches the bucket until it is dropped.
    pub(super) async fn watch(self) {
        let mut watcher = Watcher {
            waiting: Waiting::default(),
            feed: None,
            id: None,
            reported: HashSet::new(),
            is_missing: false,
            next_look: Instant::now(),
            below: Vec::new(),
            next_forget: Instant::now() + FORGET,
            has_left_some: false,
            has_files: false,
            firing: HashSet::new(),
            bucket: self,
        };
        watcher.run().await;
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Whether a file was there before the bucket had triggers.
    fn is_old(&self, known: &Known, seen: &Seen) -> bool {
        let is_surveyed = self.is_surveyed.load(Ordering::Relaxed);
        !is_surveyed && known.mark.is_none() && seen.changed + TICK < *self.since.borrow()
    }

    async fn take(&self, due: &Due) -> Result<Taken, StoreError> {
        let path = self.path(&due.key);
        let looked = path.clone();
        let seen = match on_blocking_thread(move || look_at(&looked)).await? {
            Ok(Some(seen)) => seen,
            // It is gone, or no file: a job may have moved it away.
            Ok(None) => return Ok(Taken::Done),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Taken::Done),
            Err(error) => return Ok(Taken::Failed { error: error.to_string(), mark: due.mark.clone() }),
        };
        let quiet = SystemClock.now() - seen.changed.max(seen.written);
        match readiness(due.stage, &seen, quiet, self.settle) {
            Readiness::Ready => {}
            Readiness::Unsettled => return Ok(Taken::Unsettled),
            Readiness::Open => return Ok(Taken::Open),
            Readiness::UnlessOpen => {
                let id = seen.id;
                if on_blocking_thread(move || is_open_for_writing(id)).await? {
                    return Ok(Taken::InUse);
                }
            }
        }
        let known = self.database.known_objects(&self.name, vec![due.key.clone()]).await?.pop();
        let known = known.unwrap_or_default();
        if known.mark.as_deref().is_some_and(|mark| seen.is_known(mark, due.stage == Stage::Whole)) {
            return Ok(Taken::Done);
        }
        let mark = seen.event_mark(due.mark.as_deref());
        let failed = |error: String| Ok(Taken::Failed { error, mark: Some(mark.clone()) });
        if !self.is_old(&known, &seen) {
            let event = event_of(&self.name, &due.key, path, &seen, &mark);
            let fired = match self.triggers.fire(&event).await {
                Ok(fired) => fired,
                Err(error) => return failed(error.to_string()),
            };
            let mut failures = Vec::new();
            for fired in &fired {
                match &fired.outcome {
                    Ok(run) => {
                        let existing = run.existing.then_some(true);
                        tracing::info!(bucket = self.name, key = due.key, trigger = fired.trigger_id, job_id = fired.job_id, run_id = %run.run_id, existing, "triggered");
                    }
                    Err(error) => failures.push(format!("{}: {error}", fired.what())),
                }
            }
            if !failures.is_empty() {
                return failed(failures.join("; "));
            }
        }
        // A file that is written meanwhile has another mark, and is news of its own.
        match self.database.objects_done(&self.name, vec![(due.key.clone(), seen.mark)]).await {
            Ok(()) => Ok(Taken::Done),
            Err(error) => failed(error.to_string()),
        }
    }
}

struct Watcher {
    bucket: Bucket,
    waiting: Waiting,
    feed: Option<Feed>,
    /// Which folder the news are of.
    id: Option<(u64, u64)>,
    /// Paths of which the log has said why they are left out.
    reported: HashSet<PathBuf>,
    is_missing: bool,
    next_look: Instant,
    /// Folders to be looked through, and when.
    below: Vec<(Instant, PathBuf)>,
    next_forget: Instant,
    /// Whether more files came than may wait.
    has_left_some: bool,
    /// Whether the last look found any file. An empty folder may be where a disk is missing.
    has_files: bool,
    /// The keys whose triggers are being fired: news of them waits.
    firing: HashSet<String>,
}

async fn next_news(feed: &mut Option<Feed>) -> News {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

impl Watcher {
    async fn run(&mut self) {
        let mut tasks: JoinSet<(Due, Result<Taken, StoreError>)> = JoinSet::new();
        loop {
            let now = Instant::now();
            if self.feed.as_ref().is_some_and(Feed::has_missed) {
                self.waiting.forget_writers(now);
                self.next_look = now;
            }
            if self.has_left_some && self.waiting.len() < MAX_WAITING / 2 {
                self.has_left_some = false;
                self.next_look = now;
            }
            if self.next_look <= now {
                self.look().await;
            }
            while let Some(at) = self.below.iter().position(|(at, _)| *at <= now) {
                let (_, folder) = self.below.swap_remove(at);
                self.look_below(folder).await;
            }
            if self.next_forget <= now {
                self.forget_gone().await;
            }
            for due in self.waiting.take(Instant::now(), AT_ONCE.saturating_sub(tasks.len())) {
                if !self.firing.insert(due.key.clone()) {
                    self.waiting.again(&due, now + LOOK_BELOW);
                    continue;
                }
                let bucket = self.bucket.clone();
                tasks.spawn(async move {
                    let taken = bucket.take(&due).await;
                    (due, taken)
                });
            }
            let below = self.below.iter().map(|(at, _)| *at).min();
            let due = self.waiting.next().filter(|_| tasks.len() < AT_ONCE);
            let wake = [Some(self.next_look), Some(self.next_forget), below, due].into_iter().flatten().min();
            tokio::select! {
                biased;
                Some(done) = tasks.join_next() => {
                    if let Ok((due, taken)) = done {
                        self.done(&due, taken);
                    }
                }
                news = next_news(&mut self.feed) => {
                    self.hear(news);
                    for _ in 0..MAX_HEARD {
                        let Some(news) = self.feed.as_mut().and_then(Feed::more) else { break };
                        self.hear(news);
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or(self.next_look)) => {}
            }
        }
    }

    fn done(&mut self, due: &Due, taken: Result<Taken, StoreError>) {
        self.firing.remove(&due.key);
        let now = Instant::now();
        let (error, mark) = match taken {
            Ok(Taken::Done) => return,
            Ok(Taken::Open) => return self.waiting.open(due),
            Ok(Taken::InUse) => {
                self.waiting.again(due, now + self.bucket.settle.max(LOOK_WITHOUT_NEWS));
                return;
            }
            Ok(Taken::Unsettled) => {
                self.waiting.again(due, now + self.bucket.settle.min(LOOK_WITHOUT_NEWS));
                return;
            }
            Ok(Taken::Failed { error, mark }) => (error, mark),
            Err(error) => (error.to_string(), due.mark.clone()),
        };
        let again = self.waiting.failed(due, mark, now);
        let again = pumice_core::duration::Span::from_secs(again.as_secs());
        let (bucket, key) = (&self.bucket.name, &due.key);
        tracing::error!(bucket, key, error, %again, "triggers failed; they are tried again");
    }

    fn key(&mut self, path: &Path) -> Option<String> {
        match key_of(&self.bucket.root, path) {
            Ok(key) => Some(key),
            Err(why) => {
                self.leave_out(path, &why);
                None
            }
        }
    }

    fn leave_out(&mut self, path: &Path, why: &NoKey) {
        if self.reported.len() < MAX_REPORTED && self.reported.insert(path.to_owned()) {
            let (bucket, why) = (&self.bucket.name, why.words());
            tracing::warn!(bucket, path = %path.display(), why, "a file starts no trigger");
        }
    }

    fn hear(&mut self, news: News) {
        let now = Instant::now();
        let settle = self.bucket.settle;
        match news {
            News::Opened(path) => {
                if let Ok(key) = key_of(&self.bucket.root, &path) {
                    self.waiting.opened(&key, now, settle);
                }
            }
            News::Gone(path) => {
                if let Ok(key) = key_of(&self.bucket.root, &path) {
                    self.waiting.gone(&key);
                }
            }
            News::Made(path) | News::Moved(path) if path.is_dir() && !path.is_symlink() => {
                self.below.push((now + LOOK_BELOW, path));
            }
            News::Made(path) => {
                if let Some(key) = self.key_with_room(&path) {
                    self.waiting.made(key, now, settle);
                }
            }
            News::Written(path) => {
                if let Some(key) = self.key_with_room(&path) {
                    self.waiting.written(key, now, settle);
                }
            }
            News::Closed(path) | News::Moved(path) => {
                if let Some(key) = self.key_with_room(&path) {
                    self.waiting.whole(key, now);
                }
            }
        }
    }

    /// The key of a file that may wait. Where there are too many, a look finds what is left once there is room.
    fn key_with_room(&mut self, path: &Path) -> Option<String> {
        let key = self.key(path)?;
        let has_room = self.waiting.len() < MAX_HEARD_OF || self.waiting.has(&key);
        self.has_left_some |= !has_room;
        has_room.then_some(key)
    }

    /// Watches the folder, unless it is watched already.
    async fn subscribe(&mut self) {
        use std::os::unix::fs::MetadataExt as _;
        let root = self.bucket.root.clone();
        let id = std::fs::metadata(&root).ok().filter(std::fs::Metadata::is_dir);
        let id = id.map(|found| (found.dev(), found.ino()));
        if id.is_none() {
            if !std::mem::replace(&mut self.is_missing, true) {
                let bucket = &self.bucket.name;
                tracing::warn!(bucket, folder = %root.display(), "the folder of a bucket is missing: its triggers start nothing until it is there");
            }
        } else if std::mem::take(&mut self.is_missing) {
            tracing::info!(bucket = self.bucket.name, "the folder of a bucket is there again");
        }
        if id == self.id && self.feed.is_some() {
            return;
        }
        (self.id, self.feed) = (id, None);
        if id.is_some() {
            match on_blocking_thread(move || Feed::of(&root)).await {
                Ok(Ok(feed)) => self.feed = Some(feed),
                Ok(Err(error)) => {
                    tracing::warn!(bucket = self.bucket.name, %error, "the system does not tell of a bucket's files: it is looked through each second");
                }
                Err(error) => tracing::warn!(bucket = self.bucket.name, %error, "cannot watch a bucket"),
            }
            self.waiting.forget_writers(Instant::now());
        }
    }

    /// Looks through the whole folder for files that the store does not know.
    async fn look(&mut self) {
        let began = Instant::now();
        self.subscribe().await;
        if self.id.is_some()
            && let Some(any) = self.look_through(self.bucket.root.clone()).await
        {
            self.has_files = any;
            if !self.bucket.is_surveyed.load(Ordering::Relaxed) {
                match self.bucket.database.bucket_surveyed(&self.bucket.name).await {
                    Ok(()) => self.bucket.is_surveyed.store(true, Ordering::Relaxed),
                    Err(error) => {
                        tracing::warn!(bucket = self.bucket.name, %error, "cannot record that a bucket was looked through")
                    }
                }
            }
        }
        let usual = if self.feed.is_some() { LOOK } else { LOOK_WITHOUT_NEWS };
        self.next_look = Instant::now() + usual.max(began.elapsed() * LOOK_SHARE);
    }

    async fn look_below(&mut self, folder: PathBuf) {
        self.look_through(folder).await;
    }

    /// Returns whether there is any file, once all have been seen.
    async fn look_through(&mut self, folder: PathBuf) -> Option<bool> {
        let (sender, mut found) = mpsc::channel::<Vec<PathBuf>>(4);
        let looked = folder.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let unread = walk(&looked, &mut |path| {
                piece.push(path);
                piece.len() < PIECE || sender.blocking_send(std::mem::take(&mut piece)).is_ok()
            });
            let _ = sender.blocking_send(piece);
            unread
        });
        let (mut any, mut is_whole) = (false, true);
        while let Some(piece) = found.recv().await {
            any |= !piece.is_empty();
            if let Err(error) = self.sift(piece).await {
                tracing::warn!(bucket = self.bucket.name, %error, "cannot look for files of a bucket");
                is_whole = false;
                break;
            }
            if self.waiting.len() >= MAX_WAITING {
                self.has_left_some = true;
                is_whole = false;
                break;
            }
        }
        drop(found);
        match looking.await {
            Ok(Ok(unread)) => {
                for path in unread {
                    if self.reported.len() < MAX_REPORTED && self.reported.insert(path.clone()) {
                        tracing::warn!(bucket = self.bucket.name, path = %path.display(), "a folder of a bucket cannot be read: its files start no trigger");
                    }
                }
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => is_whole = false,
            Ok(Err(error)) => {
                is_whole = false;
                tracing::warn!(bucket = self.bucket.name, path = %folder.display(), %error, "the folder of a bucket cannot be read");
            }
            Err(error) => {
                is_whole = false;
                tracing::warn!(bucket = self.bucket.name, %error, "cannot look for files of a bucket");
            }
        }
        is_whole.then_some(any)
    }

    /// Has those of some files wait that the store does not know.
    async fn sift(&mut self, paths: Vec<PathBuf>) -> Result<(), StoreError> {
        let keys: Vec<String> = paths.iter().filter_map(|path| self.key(path)).collect();
        let known = self.bucket.database.known_objects(&self.bucket.name, keys.clone()).await?;
        let bucket = self.bucket.clone();
        let sorted = on_blocking_thread(move || {
            let (mut new, mut old) = (Vec::new(), Vec::new());
            for (key, known) in keys.into_iter().zip(known) {
                let Ok(Some(seen)) = look_at(&bucket.path(&key)) else { continue };
                if known.mark.as_deref().is_some_and(|mark| seen.is_known(mark, false)) {
                } else if bucket.is_old(&known, &seen) {
                    old.push((key, seen.mark));
                } else {
                    new.push(key);
                }
            }
            (new, old)
        });
        let (new, old) = sorted.await?;
        if !old.is_empty() {
            self.bucket.database.objects_done(&self.bucket.name, old).await?;
        }
        let now = Instant::now();
        for key in new {
            if !self.firing.contains(&key) {
                self.waiting.found(key, now);
            }
        }
        Ok(())
    }

    /// Has the store forget files that are gone. Not while there are none at all: a disk may be missing.
    async fn forget_gone(&mut self) {
        self.next_forget = Instant::now() + FORGET;
        if !self.has_files {
            return;
        }
        let mut after = String::new();
        loop {
            let Ok(keys) = self.bucket.database.keys_seen(&self.bucket.name, after, PIECE).await else {
                return;
            };
            let Some(last) = keys.last().cloned() else { return };
            let bucket = self.bucket.clone();
            let gone = on_blocking_thread(move || {
                let is_gone = |key: &String| {
                    look_at(&bucket.path(key)).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
                };
                keys.into_iter().filter(is_gone).collect::<Vec<_>>()
            });
            let Ok(gone) = gone.await else { return };
            if !gone.is_empty() && self.bucket.database.forget_objects(&self.bucket.name, gone).await.is_err()
            {
                return;
            }
            after = last;
        }
    }
}
