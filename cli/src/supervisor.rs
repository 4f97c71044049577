//! Notifies a server's supervisor, and ends the server when it stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// How often the server shows that it goes on.
const BEAT: Duration = Duration::from_secs(1);
/// How many beats may be missing until the process is ended, to be recovered as after a crash.
const MAX_MISSING: u32 = 60;
/// The exit status of a server that stood still (sysexits.h, EX_SOFTWARE).
const STOOD_STILL: i32 = 70;

/// Notifies systemd, where it asked for that, that the server is up, and from now on that it goes on. A thread of its own
/// ends the process when nothing of it went on for a minute: a job that blocks the server must not block it for good.
pub(crate) fn serving() {
    notify(NotifyState::Ready);
    let beats = Arc::new(AtomicU64::new(0));
    let beating = beats.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(BEAT);
        loop {
            tick.tick().await;
            beating.fetch_add(1, Ordering::Relaxed);
            notify(NotifyState::Watchdog);
        }
    });
    let watching = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let ticks = std::iter::repeat_with(|| std::thread::sleep(BEAT));
        if stands_still(ticks, || beats.load(Ordering::Relaxed)) {
            tracing::error!("nothing went on for {MAX_MISSING} s: ending, to be started again");
            std::process::exit(STOOD_STILL);
        }
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "no watchdog");
    }
}

/// Notifies systemd that the server is about to end.
pub(crate) fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the supervisor was not notified");
    }
}

/// Returns true once too many ticks in a row have found the same count; false when the ticks end.
fn stands_still(ticks: impl Iterator<Item = ()>, beats: impl Fn() -> u64) -> bool {
    let (mut last, mut missing) = (beats(), 0);
    for () in ticks {
        let now = beats();
        missing = if now == last { missing + 1 } else { 0 };
        last = now;
        if missing >= MAX_MISSING {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_beats_now_and_then_goes_on() {
        let count = AtomicU64::new(0);
        let ticks = |count: usize| std::iter::repeat_n((), count);
        // A beat each 50 ticks.
        let slow = || count.fetch_add(1, Ordering::Relaxed) / 50;
        assert!(!stands_still(ticks(1_000), slow));
        assert!(!stands_still(ticks(59), || 7));
        assert!(stands_still(ticks(60), || 7));
    }
}
