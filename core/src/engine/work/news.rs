//! Notifies a composite run that its record was written by another process: a step that runs elsewhere may have ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

use crate::run::Run;

/// News for the walk through the steps, from the watch over the run, which reads the record now
/// and then. A step's report writes its parent's record, so that is where it shows.
#[derive(Debug)]
pub(super) struct News {
    /// The revision of the record as it was last seen.
    rev: AtomicU64,
    news: AtomicBool,
    walk: AtomicWaker,
}

impl News {
    /// Nothing is new yet.
    pub(super) fn of(run: &Run) -> Self {
        Self { rev: AtomicU64::new(run.rev), news: AtomicBool::new(false), walk: AtomicWaker::new() }
    }

    /// The record as it stands now.
    pub(super) fn see(&self, stored: &Run) {
        if self.rev.swap(stored.rev, Ordering::Relaxed) != stored.rev {
            self.news.store(true, Ordering::Release);
            self.walk.wake();
        }
    }

    /// A write of one's own is not news.
    pub(super) fn wrote(&self, stored: &Run) {
        self.rev.store(stored.rev, Ordering::Relaxed);
    }

    /// Reading the news failed: the next look at the record counts as news.
    pub(super) fn again(&self) {
        self.rev.store(0, Ordering::Relaxed);
    }

    /// Returns when there is news.
    pub(super) async fn heard(&self) {
        std::future::poll_fn(|task| {
            self.walk.register(task.waker());
            if self.news.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
