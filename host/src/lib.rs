//! The machine side of a process that runs jobs: its clock and its chance behind the engine's ports, the directories
//! that jobs work in, the processes that they start, and the loop that takes messages for the engine.

mod clean;
mod clock;
mod drain;
mod heartbeat;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "mail")]
mod mail;
mod messages;
mod own;
mod pool;
#[cfg(feature = "processes")]
pub mod processes;
#[cfg(feature = "processes")]
mod scratch;
mod worker;
mod workspace;

pub use clean::{PRIVATE, is_clean};
pub use clock::{SystemClock, SystemRandom};
pub use drain::drain;
#[cfg(feature = "http")]
pub use http::Web;
#[cfg(feature = "mail")]
pub use mail::Smtp;
pub use messages::{handle, settle};
pub use own::OwnFolder;
pub use pool::ThreadPool;
#[cfg(feature = "processes")]
pub use scratch::Scratch;
pub use worker::{Engines, Taking, WorkerLoop};
pub use workspace::{DiskWorkspace, DiskWorkspaces, remove_tree};
