//! The trigger of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::ids::RunKey;

/// The trigger of a run. As JSON it has a `kind`, and the details of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trigger {
    /// A person or a program that asked for it.
    Caller,
    /// Another run: it is a step of that one, or was dispatched by it.
    Run {
        /// The other run; `None` of one of lava's, which keeps no record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunKey>,
    },
    /// An event of AWS.
    Event {
        /// Its name: where it is from and its id there.
        event: String,
    },
    /// An object that a trigger of the realm starts jobs for.
    Object {
        /// The id of the trigger.
        trigger_id: String,
        /// The bucket; in a folder, its name in the realm's `buckets`.
        bucket: String,
        /// The object's key.
        key: String,
        /// The event, as `ObjectCreated:Put`.
        event_type: String,
        /// The object's version, where the bucket has versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// A request over HTTP that a trigger of the realm starts jobs for.
    Http {
        /// The id of the trigger.
        trigger_id: String,
        /// The event, where the request names it, as `push`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event_type: Option<String>,
        /// The id of the delivery, where the request has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery: Option<String>,
        /// The digest of the request's content, where it names its delivery: another of that name differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    /// An entry of the job's schedule.
    Schedule {
        /// The place of the entry, from 0.
        entry: u32,
        /// The slot that it was started for; an alert may have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        slot: Option<Timestamp>,
        /// The id of the backfill that started it after the fact, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backfill: Option<String>,
    },
    /// A person or a program that asked for an ended run to be done again.
    Replay {
        /// The run that ended.
        run: RunKey,
    },
}

impl Trigger {
    /// The kinds of triggers, as JSON names them.
    pub const KINDS: [&'static str; 7] = ["caller", "run", "event", "object", "http", "schedule", "replay"];

    /// Its kind, as JSON names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Run { .. } => "run",
            Self::Event { .. } => "event",
            Self::Object { .. } => "object",
            Self::Http { .. } => "http",
            Self::Schedule { .. } => "schedule",
            Self::Replay { .. } => "replay",
        }
    }
}
