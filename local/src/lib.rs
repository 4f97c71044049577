//! Embedded adapters: a realm in a folder, with everything in one SQLite file.

mod aftermath;
mod audit;
mod backfills;
mod backup;
mod buckets;
mod bulk;
mod catalog;
mod checkpoint;
mod connections;
mod database;
mod dead;
mod flight;
mod found;
mod free_pages;
mod ground;
mod held;
mod home;
mod housekeeping;
mod identity;
mod jobs;
mod letter;
mod line;
mod lock;
mod lost;
mod objects;
mod pages;
mod parts;
mod pauses;
mod permits;
mod presence;
mod queue;
mod readers;
pub mod removed;
mod runs;
mod schedules;
mod schema;
mod secrets;
mod spare;
mod state;
mod stored;
mod tally;
mod triggers;
mod worker;

pub use backup::{
    BackedUpFile, BackupContent, BackupError, BackupProgress, Heading, Manifest, ProgressListener,
    Stage as BackupStage, back_up, check_backup, heading_of as backup_heading, left_behind, look_into,
    restore,
};
pub use database::{Database, Durability, OpenError};
pub use ground::{Integrity, Room, look_through, room};
pub use home::{Home, HomeError};
pub use lock::ServeLock;
pub use lost::lost_outputs;
pub use objects::Folders;
pub use pumice_host::{SystemClock, SystemRandom};
pub use queue::{MAX_RECEIVES, VISIBILITY};
pub use secrets::{FolderSecrets, MAX_SECRET_BYTES, SECRET_VARIABLE, SealError, SecretEntry, variable_of};
pub use worker::{DRAIN, SLOTS, Serve, Workers};
