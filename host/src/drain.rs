//! The end of a process that runs jobs: running jobs may end for a while, and are stopped after that.

use std::time::Duration;

use pumice_core::engine::Halt;
use tokio::task::JoinSet;

/// How long stopped attempts may take to record that, beyond their grace.
const RECORDING: Duration = Duration::from_secs(15);

/// Waits for running jobs to end. After `patience`, or when `kill` returns, it stops them, and after `grace` more it
/// drops those that have not ended.
pub async fn drain(
    running: &mut JoinSet<()>,
    halt: &Halt,
    patience: Duration,
    grace: Duration,
    kill: impl Future<Output = ()>,
) {
    halt.rest();
    let all = async |running: &mut JoinSet<()>| while running.join_next().await.is_some() {};
    tokio::select! {
        () = all(running) => return,
        () = tokio::time::sleep(patience) => {}
        () = kill => {}
    }
    if running.is_empty() {
        return;
    }
    tracing::warn!(
        running = running.len(),
        "stopping running jobs; they are run again and this attempt does not count"
    );
    halt.stop();
    if tokio::time::timeout(grace + RECORDING, all(running)).await.is_err() {
        tracing::error!(running = running.len(), "some attempts did not stop; they count as lost");
        // Dropping the tasks kills the commands that they run.
        running.shutdown().await;
    }
}
