//! Changes of a job that were followed by another one before anything looked at the clock, as no service ran: the next look
//! treats each as the look would have that was due then. Pure rules.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::planned::JobSchedule;
use super::timetable::Timetable;
use crate::Timestamp;
use crate::ports::Doc;
use crate::spec::{JobSpec, RealmSpec, Settings};

/// The fields of a job that decide when it is due, and those without which it cannot be read.
const DECIDING: [&str; 8] =
    ["job_id", "type", "worker", "dispatcher", "enabled", "schedule", "timezone", "overlap"];
/// Most changes that are kept: the newest.
const MAX_KEPT: usize = 20;
/// Most bytes of them.
const MAX_BYTES: usize = 64 << 10;

/// A job as it was from a time on until another change, both since the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// From when on.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub since: Timestamp,
    /// The fields of its spec that decide when it is due; none of them where it could not be read, and `None` where there
    /// was no such job.
    pub job: Option<Doc>,
}

impl Timetable {
    /// To be looked at, as the job was changed at a time: from one document to another, or to none when it was deleted.
    #[must_use]
    pub fn edited(&self, before: Option<&Doc>, after: Option<&Doc>, at: Timestamp) -> Self {
        // Since when a job could not be read is not known, unless a look has seen it.
        let was_unread = before.is_some_and(|job| JobSpec::stored(Arc::new(job.clone())).is_err());
        let before = if was_unread { Some(Doc::new()) } else { before.map(deciding) };
        let after = after.map(deciding);
        // Where runs are made ahead of their time a change is looked at within the second, and they are withdrawn by that.
        let is_ahead = self.cursors.iter().any(|cursor| !cursor.ahead.is_empty());
        let since = self.changed.or_else(|| was_unread.then_some(at));
        let Some(since) = since.filter(|_| !is_ahead) else { return self.touched(at) };
        if before == after {
            // It is due when it was: no slot since then is passed over.
            return Self { rev: self.rev + 1, due_at: Some(at), ..self.clone() };
        }
        let mut superseded = self.superseded.clone();
        superseded.push(Superseded { since, job: before });
        let mut bytes = 0;
        let fitting = superseded.iter().rev().take(MAX_KEPT).take_while(|one| {
            bytes += one.job.as_ref().map_or(0, |job| Value::from(job.clone()).to_string().len());
            bytes <= MAX_BYTES
        });
        let over = superseded.len() - fitting.count();
        superseded.drain(..over);
        Self { superseded, ..self.touched(at) }
    }

    /// To be looked at, as the realm's rules for schedules are others from a time on. When the job was due meanwhile, by the
    /// rules before, cannot be known any more; that it was gone, not enabled or not readable can.
    #[must_use]
    pub fn under_other_rules(&self, at: Timestamp) -> Self {
        let was_gone = self.superseded.iter().any(|one| one.job.is_none());
        let is_off = |job: &Doc| job.is_empty() || job.get("enabled") == Some(&Value::Bool(false));
        let was_off = self.superseded.iter().filter_map(|one| one.job.as_ref()).any(is_off);
        let job = (!was_gone).then(Doc::new);
        let superseded = (was_gone || was_off).then_some(Superseded { since: at, job });
        let superseded = superseded.into_iter().collect();
        Self { superseded, ..self.touched(at) }
    }

    /// The job's schedule, with those that were superseded since the last look.
    #[must_use]
    pub fn schedule_of(&self, job: &JobSpec, realm: &RealmSpec, settings: &Settings) -> JobSchedule {
        let read = |one: &Superseded| match &one.job {
            None => (one.since, Some(JobSchedule::none())),
            Some(job) => {
                let job = JobSpec::from_checked(Arc::new(job.clone())).ok();
                (one.since, job.map(|job| JobSchedule::of(&job, realm, settings)))
            }
        };
        let superseded = self.superseded.iter().map(read).collect();
        JobSchedule { superseded, ..JobSchedule::of(job, realm, settings) }
    }
}

/// The fields of a job that decide when it is due.
fn deciding(job: &Doc) -> Doc {
    let kept = job.iter().filter(|(name, _)| DECIDING.contains(&name.as_str()));
    let mut kept: Doc = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    // A job cannot be read without one.
    kept.insert("payload".to_owned(), Value::Null);
    kept
}
