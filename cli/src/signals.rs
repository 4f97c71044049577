//! Requests to stop, from the terminal or from the process's supervisor.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the process was asked to stop: Ctrl-C, SIGTERM, SIGHUP.
///
/// # Errors
/// The system's error when signals cannot be received.
pub(crate) fn requests_to_stop() -> std::io::Result<watch::Receiver<u8>> {
    let (requests, receiver) = watch::channel(0_u8);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // A shell without job control has what it starts in the background ignore SIGINT, which says nothing about it.
        if kind == SignalKind::hangup() && is_ignored(kind) {
            continue;
        }
        let mut signals = signal(kind)?;
        let requests = requests.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                requests.send_modify(|count| *count = count.saturating_add(1));
            }
        });
    }
    Ok(receiver)
}

/// Whether a signal was ignored when this process was started, as `nohup` has it: then it stays so.
fn is_ignored(kind: SignalKind) -> bool {
    let number = kind.as_raw_value().cast_unsigned();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    number > 0 && mask >> (number - 1) & 1 == 1
}

/// The signals that a worker waits for: the first request to stop, which lets running jobs finish, and the
/// second, which stops them.
pub(crate) fn asked_to_stop() -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut first = requests_to_stop()?;
    let mut second = first.clone();
    let stop = async move {
        // The sender lives as long as the process.
        let _ = first.wait_for(|count| *count > 0).await;
        tracing::info!("stopping: running jobs may finish; Ctrl-C again stops them");
    };
    let kill = async move {
        let _ = second.wait_for(|count| *count > 1).await;
    };
    Ok((stop, kill))
}
