//! A timetable that is looked at, with all that there is to do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use crate::Timestamp;
use crate::clock::{JobSchedule, Looked, Runs, Timetable, digest};
use crate::hosts::Hosts;
use crate::ids::WorkerName;
use crate::ports::StoredJob;
use crate::spec::{JobSpec, RealmSpec, Settings};

/// How long a job whose spec cannot be read is left alone: a change of it is looked at at once.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::hours(1);

/// A timetable with what there is to do about it.
pub(super) struct Looking {
    pub(super) looked: Looked,
    pub(super) plan: JobSchedule,
    /// The job; `None` where it is gone or cannot be read.
    pub(super) job: Option<Arc<JobSpec>>,
    /// Whether all that is to be done first is done.
    pub(super) is_done: bool,
}

/// The context of a look at timetables.
#[derive(Clone, Copy)]
pub(super) struct Lookout<'a> {
    pub(super) realm: &'a RealmSpec,
    pub(super) settings: &'a Settings,
    /// The hosts of each worker with jobs that start on every host.
    pub(super) hosts: &'a BTreeMap<WorkerName, Hosts>,
    pub(super) now: Timestamp,
    pub(super) ahead: TimeDelta,
}

impl Looking {
    /// The result of a look at a timetable.
    pub(super) fn of(
        timetable: &Timetable,
        job: Option<StoredJob>,
        runs: &Runs,
        lookout: &Lookout<'_>,
    ) -> Self {
        let (none, Lookout { realm, settings, hosts, now, ahead }) = (JobSchedule::none(), *lookout);
        let (looked, plan, job) = match job {
            None => (timetable.ended(now), none, None),
            Some(Ok(job)) => {
                let mut plan = timetable.schedule_of(&job, realm, settings);
                plan.hosts = hosts.get(&job.fields.worker).cloned().unwrap_or_default();
                plan.made_by = (ahead > TimeDelta::zero()).then(|| made_by(&job, realm));
                let looked = timetable.settled(&plan, now);
                let looked = looked.unwrap_or_else(|| timetable.look_with(&plan, Some(runs), now, ahead));
                (looked, plan, Some(job))
            }
            Some(Err(error)) => {
                let why = format!("the job cannot be read: {error}");
                tracing::error!(job_id = %timetable.job_id, error = %why, "a schedule starts nothing");
                (timetable.unreadable(&why, now, now + UNREADABLE_PAUSE), none, None)
            }
        };
        let looked = looked.in_steps(timetable, now);
        for halted in &looked.halted {
            let missed = "it missed more starts than it may make up for";
            let why = looked.next.cursors[*halted].trouble.as_deref().unwrap_or(missed);
            tracing::error!(job_id = %timetable.job_id, entry = halted, why, "an entry of a schedule is halted");
        }
        Self { looked, plan, job, is_done: true }
    }
}

/// The digest of what runs are made from.
fn made_by(job: &JobSpec, realm: &RealmSpec) -> String {
    digest(&json!([&*job.document, &*realm.document]))
}
