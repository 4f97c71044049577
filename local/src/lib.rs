//! Embedded adapters: a realm in a folder, with everything in one SQLite file.

mod aftermath;
mod backfills;
mod catalog;
mod checkpoint;
mod database;
mod home;
mod housekeeping;
mod jobs;
mod letter;
mod line;
mod objects;
mod presence;
mod queue;
mod runs;
mod schedules;
mod schema;
mod scratch;
mod spare;
mod state;
mod stored;
mod worker;

pub use database::{Database, Durability, OpenError};
pub use home::{Home, HomeError, InUse, ServeLock};
pub use objects::Folders;
pub use pumice_system::{SystemClock, SystemRandom};
pub use queue::{DeadLetter, MAX_RECEIVES, VISIBILITY};
pub use scratch::Scratch;
pub use worker::{DRAIN, SLOTS, Serve, Workers};
