//! Jobs, requests and runs, and the rules they follow.
//!
//! Nothing here knows AWS, a database or an async runtime: time, randomness, stores and queues are
//! asked for through [`ports`], and every rule of a run's life is a pure function, [`run::decide`].

pub mod address;
pub mod audit;
pub mod bulk;
pub mod clock;
pub mod connection;
pub mod document;
pub mod duration;
pub mod engine;
pub mod filter;
pub mod glob;
pub mod globals;
pub mod hosts;
pub mod ids;
pub mod job_type;
pub mod message;
pub mod number;
pub mod omit;
pub mod pauses;
pub mod payload;
pub mod permits;
pub mod ports;
pub mod problem;
pub mod recent;
pub mod request;
pub mod run;
pub mod schema;
pub mod secret;
pub mod size;
pub mod spec;
pub mod text;
pub mod trigger;

/// An instant, in UTC. Records keep microseconds.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
