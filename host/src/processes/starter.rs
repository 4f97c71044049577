//! The thread that starts commands.
//!
//! A thread that starts a process is suspended until the process has executed its program (vfork(2)), so the threads that
//! run the engine start none. There is one such thread, because this process carries a command's mark while it starts it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::family::{self, Running};
use super::subreaper::Launch;

/// A command to start.
struct Order {
    launch: Launch,
    scratch: PathBuf,
    /// The runtime that is to wait for it.
    runtime: Handle,
    done: oneshot::Sender<io::Result<Running>>,
}

/// Starts a command of the jobs of a scratch folder, in a process group of its own.
///
/// # Errors
/// The system's error when it cannot be started.
pub async fn spawn(launch: Launch, scratch: &Path) -> io::Result<Running> {
    let (done, started) = oneshot::channel();
    order(Order { launch, scratch: scratch.to_owned(), runtime: Handle::current(), done })?;
    started.await.map_err(io::Error::other)?
}

/// Sends an order to the thread, which is started when it is missing.
fn order(mut order: Order) -> io::Result<()> {
    static STARTER: Mutex<Option<mpsc::Sender<Order>>> = Mutex::new(None);
    // The end of a channel: whole even if another holder panicked.
    let mut starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(orders) = &*starter {
        match orders.send(order) {
            Ok(()) => return Ok(()),
            // The thread has panicked.
            Err(mpsc::SendError(unsent)) => order = unsent,
        }
    }
    let (orders, taken) = mpsc::channel();
    std::thread::Builder::new().name("starter".to_owned()).spawn(move || carry_out(&taken))?;
    let sent = orders.send(order).map_err(io::Error::other);
    *starter = Some(orders);
    sent
}

fn carry_out(orders: &mpsc::Receiver<Order>) {
    for Order { launch, scratch, runtime, done } in orders {
        let _runtime = runtime.enter();
        if let Err(Ok(Running { root, family, .. })) = done.send(family::start(launch, &scratch)) {
            // The attempt was dropped meanwhile. The family is killed first, while the root still has its process id.
            drop(family);
            drop(root);
        }
    }
}
