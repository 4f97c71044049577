//! Requests to stop, from the terminal or from whoever supervises the process.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the process was asked to stop: Ctrl-C, SIGTERM, SIGHUP.
///
/// # Errors
/// What the system says when signals cannot be received.
pub(crate) fn requests_to_stop() -> std::io::Result<watch::Receiver<u8>> {
    let (told, receiver) = watch::channel(0_u8);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind)?;
        let told = told.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                told.send_modify(|count| *count = count.saturating_add(1));
            }
        });
    }
    Ok(receiver)
}
