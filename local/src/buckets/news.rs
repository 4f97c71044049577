//! The system's notifications about the files of a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Most pieces of news that wait to be dealt with; when there are more, the folder is looked through instead.
const MAX_NEWS: usize = 16 * 1024;

/// Something that happened to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is there: a file that was just made, or a folder.
    Made(PathBuf),
    /// It was opened, to be read or written.
    Opened(PathBuf),
    /// It was written to.
    Written(PathBuf),
    /// One that wrote to it has closed it.
    Closed(PathBuf),
    /// It was moved there.
    Moved(PathBuf),
    /// It was removed, or moved away.
    Gone(PathBuf),
}

/// News of a folder and of all below it, until it is dropped.
pub(super) struct Feed {
    news: Receiver<News>,
    missed: Arc<AtomicBool>,
    _watcher: RecommendedWatcher,
}

fn news_of(event: Event) -> Vec<News> {
    let kind: fn(PathBuf) -> News = match event.kind {
        EventKind::Create(CreateKind::File | CreateKind::Folder | CreateKind::Any) => News::Made,
        EventKind::Access(AccessKind::Open(_)) => News::Opened,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => News::Closed,
        EventKind::Modify(ModifyKind::Data(_)) => News::Written,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => News::Moved,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => News::Gone,
        _ => return Vec::new(),
    };
    event.paths.into_iter().map(kind).collect()
}

fn hand_on(event: notify::Result<Event>, to: &Sender<News>, missed: &AtomicBool) {
    let Ok(event) = event else {
        missed.store(true, Ordering::Relaxed);
        return;
    };
    if event.need_rescan() {
        missed.store(true, Ordering::Relaxed);
    }
    for news in news_of(event) {
        if to.try_send(news).is_err() {
            missed.store(true, Ordering::Relaxed);
        }
    }
}

impl Feed {
    /// Watches a folder. This looks through all folders below it.
    pub(super) fn of(root: &Path) -> notify::Result<Self> {
        let (sender, news) = channel(MAX_NEWS);
        let missed = Arc::new(AtomicBool::new(false));
        let flag = missed.clone();
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(move |event| hand_on(event, &sender, &flag), config)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Self { news, missed, _watcher: watcher })
    }

    /// The next piece of news; never returns when there is no more.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// The next piece of news if there is one already.
    pub(super) fn more(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Whether something was missed since this was asked last.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_news_than_fit_are_noted_as_missed() {
        let (sender, mut news) = channel(1);
        let missed = AtomicBool::new(false);
        let event = || Event::new(EventKind::Create(CreateKind::File)).add_path("a".into());
        hand_on(Ok(event()), &sender, &missed);
        assert!(!missed.load(Ordering::Relaxed));
        hand_on(Ok(event()), &sender, &missed);
        assert!(missed.load(Ordering::Relaxed));
        assert_eq!(news.try_recv().unwrap(), News::Made("a".into()));
    }
}
