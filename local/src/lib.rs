//! Embedded adapters: a realm in a folder, with everything in one SQLite file.

mod aftermath;
mod backfills;
mod catalog;
mod checkpoint;
mod database;
mod dead;
mod found;
mod home;
mod housekeeping;
mod jobs;
mod letter;
mod line;
mod objects;
mod pages;
mod presence;
mod queue;
mod readers;
mod runs;
mod schedules;
mod schema;
mod signing;
mod spare;
mod state;
mod stored;
mod tally;
mod worker;

pub use database::{Database, Durability, OpenError};
pub use home::{Home, HomeError, InUse, ServeLock};
pub use objects::Folders;
pub use pumice_host::{SystemClock, SystemRandom};
pub use queue::{MAX_RECEIVES, VISIBILITY};
pub use worker::{DRAIN, SLOTS, Serve, Workers};
