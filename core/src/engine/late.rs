//! Judges the limits of schedules by the runs that they are about, and has what is broken told.
//!
//! An alert is a run of its own that is made with its end recorded: what is left of it are its `on_late` actions, which are
//! done as those of every other run, again after a crash and with `action_failed` where one fails. Its id follows from what
//! was broken, so that it is made once, whoever does. That it is to be made is written into the timetable first, and taken
//! out when it is: a sweeper that stops in between leaves it to the next one, which finds it.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::dispatch::Dispatcher;
use super::strike::Looking;
use crate::Timestamp;
use crate::clock::{Alert, LimitKind, Runs, Timetable, Watched, utc};
use crate::ids::{JobId, RunId, RunKey};
use crate::message::Message;
use crate::ports::{Created, Outgoing, StoreError};
use crate::run::{Duties, Late, NewRun, Run, Status, WAKE_GRACE};
use crate::spec::{ActionsWhen, JobSpec, Overlap, RealmSpec, RunSpec, Timezone};

/// Most runs that are looked at at the same time.
const AT_ONCE: usize = 16;

impl Dispatcher {
    /// The id of the run that a job has under an idempotency key.
    pub(super) fn keyed_run(&self, job_id: &JobId, key: &str) -> RunId {
        RunId::from_key(&self.site().realm, job_id, &format!("key:{key}"))
    }

    /// The runs by which the limits of timetables are judged, for each of them.
    pub(super) async fn watched(
        &self,
        timetables: &[Timetable],
        now: Timestamp,
    ) -> Result<Vec<Runs>, StoreError> {
        let mut asked: Vec<(usize, String, RunKey)> = Vec::new();
        for (place, timetable) in timetables.iter().enumerate() {
            let keys = timetable.asks_for(now).into_iter();
            asked.extend(
                keys.map(|key| (place, key.to_owned(), RunKey::root(self.keyed_run(&timetable.job_id, key)))),
            );
        }
        let mut found = vec![Runs::new(); timetables.len()];
        for part in asked.chunks(AT_ONCE) {
            let runs = try_join_all(part.iter().map(|(_, _, run)| self.site().ports.runs.peek(run))).await?;
            for ((place, key, _), run) in part.iter().zip(runs) {
                found[*place].insert(key.clone(), run.map(watched_of));
            }
        }
        Ok(found)
    }

    /// Logs what was broken, and makes the runs that tell of it. A timetable whose alerts are not known to be made is not
    /// done.
    pub(super) async fn tell_late(&self, looking: &mut [Looking], realm: &RealmSpec, now: Timestamp) {
        let (mut making, mut places) = (Vec::new(), Vec::new());
        for (place, one) in looking.iter().enumerate() {
            for (entry, count) in &one.looked.given_up {
                tracing::warn!(job_id = %one.looked.next.job_id, entry, count, "limits of an entry's oldest slots are given up, as too many of its runs have not ended");
            }
            for alert in &one.looked.alerts {
                let Some(new) = self.alert_run(one, alert, realm, now) else {
                    log(&one.looked.next.job_id, alert);
                    continue;
                };
                let message = Message::reminder(&self.site().realm, &new.run);
                making.push((new, Some(Outgoing { message, at: now })));
                places.push((place, alert.clone()));
            }
        }
        if making.is_empty() {
            return;
        }
        let created = match self.site().ports.runs.create(&making).await {
            Ok(created) => created,
            Err(error) => {
                making.iter().map(|_| Created { failed: Some(error.clone()), ..Created::default() }).collect()
            }
        };
        let mut unsent = Vec::new();
        for (((_, message), (place, alert)), created) in making.into_iter().zip(places).zip(created) {
            let one = &mut looking[place];
            let job_id = &one.looked.next.job_id;
            if let Some(error) = &created.failed {
                tracing::warn!(%job_id, %error, "an alert is made later");
                one.is_done = false;
            } else if let Some(why) = &created.refused {
                log(job_id, &alert);
                tracing::error!(%job_id, %why, "an alert cannot be recorded: its actions are not done");
            } else if created.is_new() {
                log(job_id, &alert);
            }
            unsent.extend(message.filter(|_| created.is_unsent()));
        }
        self.send_all(unsent).await;
    }

    /// The run that does the actions of an alert; `None` where there are none, or its job is lava's to run.
    fn alert_run(&self, one: &Looking, alert: &Alert, realm: &RealmSpec, now: Timestamp) -> Option<NewRun> {
        let job: &Arc<JobSpec> = one.job.as_ref()?;
        let has_actions = !job.actions().or(&realm.actions(), ActionsWhen::OnLate).is_empty();
        if !has_actions || self.is_foreign(&job.fields.worker) {
            return None;
        }
        let zone = one.plan.entries.get(alert.entry)?.as_ref().ok()?.zone;
        let job_id = &job.fields.job_id;
        let run_id = RunId::from_key(&self.site().realm, job_id, &format!("late:{}", alert.key));
        let mut run = self.record(job, RunKey::root(run_id), run_id, now, now);
        // It is no run of the job: it waits for none, and none for it.
        run.overlap = Overlap::Allow;
        let late = Late {
            limit: alert.broken.limit,
            entry: u32::try_from(alert.entry).unwrap_or(u32::MAX),
            by: alert.broken.by,
            slot: alert.broken.slot,
            previous: alert.previous,
            zone: Timezone(zone),
            run_id: alert.run.as_ref().map(|key| self.keyed_run(job_id, key)),
            status: alert.status,
            why: alert.why.clone(),
        };
        let told = format!("{}: {}", late.limit.field(), late.why);
        run.late = Some(Box::new(late));
        run.status = Status::Complete;
        run.ts_end = Some(now);
        run.log.push(Status::Complete, now, told.into());
        run.duties = Some(Duties { actions: Some(ActionsWhen::OnLate), done: 0, wake_parent: false });
        run.due_at = Some(now + WAKE_GRACE.delta());
        let spec = RunSpec { job: job.document.clone(), rendered: None, anew: false };
        Some(NewRun { run, spec })
    }

    /// Has the clock look at a job of which a run that a schedule started has ended badly: it may have been the last that
    /// its entry may lose. Where that is not recorded the next slot finds it.
    pub(super) async fn hurry_clock(&self, before: &Run, after: &Run) {
        let ends_badly = matches!(after.status, Status::Failed | Status::Rejected);
        if before.status.is_end() || !ends_badly || after.scheduled.is_none() || after.is_child() {
            return;
        }
        if let Err(error) = self.site().ports.schedules.hurry(&after.job_id, self.now()).await {
            tracing::warn!(job_id = %after.job_id, run_id = %after.run_id, %error, "the clock sees the end of a run at its next look");
        }
    }
}

fn watched_of(run: Run) -> Watched {
    Watched { status: run.status, ts_start: run.ts_start, ts_end: run.ts_end, reason: run.reason }
}

/// One line about a limit that was broken.
fn log(job_id: &JobId, alert: &Alert) {
    let limit: LimitKind = alert.broken.limit;
    let slot = alert.broken.slot.map(utc);
    tracing::warn!(%job_id, entry = alert.entry, limit = limit.field(), by = %utc(alert.broken.by), slot, why = %alert.why, "a limit of a schedule is broken");
}
