//! The broken limit that an alert reports.

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::Timestamp;
use crate::clock::LimitKind;
use crate::ids::{RunId, WorkerName};
use crate::spec::Timezone;

/// The limit of a schedule's entry that was broken: what templates of `on_late` actions see as `late`. A run that has it
/// is an alert: it is made with its end recorded, and does nothing but these actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Which limit.
    pub limit: LimitKind,
    /// The place of its entry in the schedule, from 0.
    pub entry: u32,
    /// When it was up; of `pause_after` when the last run ended.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub by: Timestamp,
    /// The slot at which it was broken; `None` of a silence before the first slot.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub slot: Option<Timestamp>,
    /// The slot before it, where that is known.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<Timestamp>,
    /// The zone of the entry.
    pub zone: Timezone,
    /// The run that it is about; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Where that run stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The finding, in a sentence.
    pub why: String,
    /// The job's own worker, where the realm has another one perform these actions: the record and its spec name that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerName>,
}
