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

/// What a worker waits for: the first request to stop, which lets running jobs finish, and the
/// second, which stops them.
pub(crate) fn asked_to_stop() -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut first = requests_to_stop()?;
    let mut second = first.clone();
    let stop = async move {
        // The sender lives as long as the process.
        let _ = first.wait_for(|count| *count > 0).await;
        tracing::info!("stopping: running jobs finish; Ctrl-C again stops them");
    };
    let kill = async move {
        let _ = second.wait_for(|count| *count > 1).await;
        tracing::warn!("stopping running jobs; they start over when a worker takes them again");
    };
    Ok((stop, kill))
}
