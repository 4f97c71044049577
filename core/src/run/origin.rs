//! Where a run comes from: the runs above it, the slot of a schedule, the key of a request.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::clock::Missed;
use crate::ids::JobId;
use crate::spec::Timezone;

/// The starter of a run, and the origin of the whole chain (lava guide, Globals Owned by Lava).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The job at the top of the tree.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub master_job_id: JobId,
    /// When its run started.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub master_start: Timestamp,
    /// The job that started this one.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub parent_job_id: JobId,
    /// When its run started.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub parent_start: Timestamp,
    /// How many jobs stand above that started each other without a delay: 1 for a job that the first one started.
    pub depth: u32,
    /// The place in a foreach of the nearest run above that has one, from 0: lava hands it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach_index: Option<u32>,
    /// Whether the start of the run at the top came in a message to a run above this one: it is not one of the runs of which
    /// this one is a step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub master_sent: bool,
}

/// The slot of a schedule that a run was started for: what its templates see as `schedule`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The place of its entry in the schedule, from 0; `None` where a schedule of the caller's own made a run that is none of
    /// an entry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u32>,
    /// The slot, whenever the run starts.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub slot: Timestamp,
    /// The zone of the entry.
    pub zone: Timezone,
    /// The slot before.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<Timestamp>,
    /// Slots that were missed up to this one, as nothing was there to start them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// The id of the backfill that started it after the fact, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<String>,
}

/// The idempotency key of a run, and the request that brought it: a key belongs to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    /// The caller's key.
    pub key: String,
    /// The digest of the request.
    pub fingerprint: String,
    /// The request in words for people, bounded; empty in records of before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
}
