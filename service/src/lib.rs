//! Operations of a realm, as functions over plain data: the command line calls them, and so can an HTTP API.
//!
//! Each function takes a [`Realm`] and a request, and returns a response. Requests and responses have JSON Schemas:
//! [`operations()`] lists them, one for each command. Nothing here knows a terminal, a database or AWS.

pub mod audit;
pub mod connections;
pub mod dead;
pub mod dispatch;
pub mod doctor;
pub mod drain;
pub mod hooks;
pub mod metrics;
pub mod pauses;
pub mod payloads;
pub mod pools;
pub mod render;
pub mod runs;
pub mod schedules;
pub mod secrets;
pub mod specs;
pub mod state;
pub mod stats;
pub mod triggers;
pub mod workers;

mod calls;
mod expect;
mod failure;
mod if_match;
mod listed;
mod operations;
mod realm;
mod time;

pub use calls::{Borrows, Takes};
pub use expect::{BadExpected, Expected};
pub use failure::{Error, ErrorKind};
pub use if_match::{BadIfMatch, Current, IfMatch, tag};
pub use operations::{Access, LocalCommand, Operation, WITHOUT_REALM, operations};
pub use realm::{Realm, no_such_job};
pub use time::{Instant, Slot};
