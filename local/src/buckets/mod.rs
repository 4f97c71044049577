//! Folders that triggers call buckets: a file that comes there is an object that was put.

mod bucket;
mod files;
mod news;
mod waiting;
mod writers;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::engine::Triggers;
use pumice_core::ports::{JobStore, StoreError};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::database::Database;
use bucket::Bucket;

/// How often triggers and the realm's `buckets` are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A bucket that is watched.
struct Watched {
    folder: PathBuf,
    since: watch::Sender<Timestamp>,
    task: AbortHandle,
}

/// Watches the folders of the buckets that the realm's triggers name, until it is dropped. `home` is the realm's folder.
pub(crate) async fn watch_buckets(database: Database, triggers: Triggers, home: PathBuf, settle: Duration) {
    let mut buckets = Buckets {
        database,
        triggers,
        home,
        settle,
        tasks: JoinSet::new(),
        watched: HashMap::new(),
        reported: HashSet::new(),
    };
    loop {
        if let Err(error) = buckets.look().await {
            tracing::warn!(%error, "cannot look for triggers");
        }
        tokio::time::sleep(EVERY).await;
    }
}

struct Buckets {
    database: Database,
    triggers: Triggers,
    home: PathBuf,
    settle: Duration,
    tasks: JoinSet<()>,
    watched: HashMap<String, Watched>,
    /// Buckets without a folder that the log has named.
    reported: HashSet<String>,
}

impl Buckets {
    async fn look(&mut self) -> Result<(), StoreError> {
        let named = self.database.buckets().await?;
        for bucket in self.watched.keys().filter(|bucket| !named.contains_key(*bucket)) {
            // When it has triggers again, what came meanwhile is old.
            self.database.forget_survey(bucket).await?;
        }
        if named.is_empty() && self.watched.is_empty() {
            return Ok(());
        }
        let realm = self.database.realm().await?;
        let mut folders = HashMap::new();
        for (bucket, since) in named {
            match realm.fields.buckets.as_ref().and_then(|buckets| buckets.get(&bucket)) {
                Some(folder) => {
                    self.reported.remove(&bucket);
                    folders.insert(bucket, (self.folder(folder), since));
                }
                None if self.reported.insert(bucket.clone()) => {
                    tracing::warn!(
                        bucket,
                        "triggers name a bucket that the realm's buckets have no folder for: they start nothing"
                    );
                }
                None => {}
            }
        }
        self.watched.retain(|bucket, watched| {
            let stays = folders.get(bucket).is_some_and(|(folder, _)| *folder == watched.folder);
            if !stays {
                watched.task.abort();
            }
            stays && !watched.task.is_finished()
        });
        for (bucket, (folder, since)) in folders {
            match self.watched.get(&bucket) {
                Some(watched) => {
                    watched.since.send_if_modified(|known| std::mem::replace(known, since) != since);
                }
                None => self.begin(bucket, folder, since).await?,
            }
        }
        while self.tasks.try_join_next().is_some() {}
        Ok(())
    }

    /// The folder of a bucket. One below the realm's own folder is made.
    fn folder(&self, named: &str) -> PathBuf {
        let folder = self.home.join(named);
        if folder.starts_with(&self.home)
            && let Err(error) = std::fs::create_dir_all(&folder)
        {
            tracing::debug!(folder = %folder.display(), %error, "the folder of a bucket cannot be made");
        }
        folder
    }

    async fn begin(&mut self, name: String, folder: PathBuf, since: Timestamp) -> Result<(), StoreError> {
        let is_surveyed = self.database.is_bucket_surveyed(&name).await?;
        tracing::info!(bucket = name, folder = %folder.display(), "watching a bucket");
        let (sender, receiver) = watch::channel(since);
        let bucket = Bucket {
            name: name.clone(),
            // News have paths below what was asked for, and so do keys.
            root: folder.canonicalize().unwrap_or_else(|_| folder.clone()),
            database: self.database.clone(),
            triggers: self.triggers.clone(),
            settle: self.settle,
            since: receiver,
            is_surveyed: Arc::new(AtomicBool::new(is_surveyed)),
        };
        let task = self.tasks.spawn(bucket.watch());
        self.watched.insert(name, Watched { folder, since: sender, task });
        Ok(())
    }
}
