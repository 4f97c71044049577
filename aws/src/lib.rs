//! Adapters for AWS: a realm in DynamoDB tables, SQS queues and S3 buckets, with schedules of
//! EventBridge Scheduler where it has them.
//!
//! Names and items are lava's; the table of runs is Pumice's own. See docs/ARCHITECTURE.md.

mod ahead;
mod attribute;
mod audit;
mod backfills;
mod bulk;
mod catalog;
mod connect;
mod connections;
mod documents;
mod failure;
mod folders;
mod fresh;
pub mod function;
mod hosts;
mod jobs;
mod joined;
mod lava_events;
mod names;
mod objects;
mod outside;
mod pauses;
mod queue;
mod realm;
mod rights;
mod runs;
mod secrets;
mod signing;
mod skew;
mod state;
mod store;
mod timetables;
mod triggers;
mod wake_ups;
mod worker;

pub use connect::{Clients, config, config_with};
pub use function::is_credential;
pub use names::{DEFAULT_PREFIX, Names};
pub use objects::Objects;
pub use outside::{Outside, caller};
pub use queue::{CUT_PAYLOAD, Queues};
pub use realm::{EngineHost, Realm};
pub use rights::Right;
pub use secrets::AwsSecrets;
pub use signing::is_signing_key;
pub use skew::Skew;
pub use store::Store;
pub use wake_ups::Schedules;
pub use worker::QueueWorker;
