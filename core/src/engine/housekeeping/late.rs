//! Judges the limits of schedules by the runs that they are about, and makes alerts of broken ones.
//!
//! An alert is a run of its own that is made with its end recorded: only its `on_late` actions are left, which are
//! done as those of every other run, again after a crash and with `action_failed` where one fails. Its id follows from
//! the broken limit, so that several sweepers make it once. The timetable names it before it is made, and no longer
//! after: a sweeper that stops in between leaves it to the next one, which finds it.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::looking::Looking;
use crate::Timestamp;
use crate::clock::{Alert, LimitKind, Runs, Timetable, Watched, utc};
use crate::engine::fresh::{keyed_run, record};
use crate::engine::ledger::Ledger;
use crate::ids::{JobId, RunId, RunKey};
use crate::job_type::Site;
use crate::message::Message;
use crate::ports::{Created, Outgoing, StoreError};
use crate::run::{Duties, Late, NewRun, Run, Status, WAKE_GRACE, settle};
use crate::spec::{ActionsWhen, JobSpec, Overlap, RealmSpec, RunSpec, Timezone};

/// The target of the lines about broken limits, which functions make a metric of.
const LATE: &str = "pumice::late";
/// Most runs that are looked at at the same time.
const AT_ONCE: usize = 16;

/// The runs by which the limits of timetables are judged, for each of them.
pub(super) async fn watched(
    ledger: &Ledger,
    timetables: &[Timetable],
    now: Timestamp,
) -> Result<Vec<Runs>, StoreError> {
    let mut asked: Vec<(usize, String, RunKey)> = Vec::new();
    for (place, timetable) in timetables.iter().enumerate() {
        let keys = timetable.asks_for(now).into_iter();
        asked.extend(keys.map(|key| {
            (place, key.to_owned(), RunKey::root(keyed_run(&ledger.site().realm, &timetable.job_id, key)))
        }));
    }
    let mut found = vec![Runs::new(); timetables.len()];
    for part in asked.chunks(AT_ONCE) {
        let runs = try_join_all(part.iter().map(|(_, _, run)| ledger.site().ports.runs.peek(run))).await?;
        for ((place, key, _), run) in part.iter().zip(runs) {
            found[*place].insert(key.clone(), run.map(watched_of));
        }
    }
    Ok(found)
}

/// Logs broken limits, and makes the runs that report them. A timetable whose alerts are not known to be made is not
/// done.
pub(super) async fn tell_late(ledger: &Ledger, looking: &mut [Looking], realm: &RealmSpec, now: Timestamp) {
    let (mut making, mut places) = (Vec::new(), Vec::new());
    for (place, one) in looking.iter().enumerate() {
        for (entry, count) in &one.looked.given_up {
            tracing::warn!(job_id = %one.looked.next.job_id, entry, count, "limits of an entry's oldest slots are given up, as too many of its runs have not ended");
        }
        for alert in &one.looked.alerts {
            let Some(new) = alert_run(ledger.site(), one, alert, realm, now) else {
                log(&one.looked.next.job_id, alert);
                continue;
            };
            let message = Message::reminder(&ledger.site().realm, &new.run);
            making.push((new, Some(Outgoing { message, at: now })));
            places.push((place, alert.clone()));
        }
    }
    if making.is_empty() {
        return;
    }
    let created = match ledger.site().ports.runs.create(&making).await {
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
    ledger.send_all(unsent).await;
}

/// The run that does the actions of an alert; `None` where there are none, or its job is lava's to run.
fn alert_run(site: &Site, one: &Looking, alert: &Alert, realm: &RealmSpec, now: Timestamp) -> Option<NewRun> {
    let job: &Arc<JobSpec> = one.job.as_ref()?;
    let has_actions = !job.actions().or(&realm.actions(), ActionsWhen::OnLate).is_empty();
    if !has_actions || site.settings.worker_kind(&job.fields.worker).is_lavas() {
        return None;
    }
    let zone = one.plan.entries.get(alert.entry)?.as_ref().ok()?.zone;
    let (job_id, own) = (&job.fields.job_id, &job.fields.worker);
    let settings = site.settings.over(&realm.settings);
    let other = Some(settings.late_worker(own)).filter(|worker| *worker != own);
    let run_id = RunId::from_key(&site.realm, job_id, &format!("late:{}", alert.key));
    let mut run = record(job, RunKey::root(run_id), run_id, now, now, site.settings.event_ttl.longest());
    // It is not a run of the job: it waits for none, and none for it.
    run.overlap = Overlap::Allow;
    let mut document = job.document.clone();
    if let Some(other) = other {
        run.worker.clone_from(other);
        // A run and its spec name one worker: the spec is what is signed, where a realm signs them.
        Arc::make_mut(&mut document).insert("worker".to_owned(), other.as_str().into());
    }
    let late = Late {
        limit: alert.broken.limit,
        entry: u32::try_from(alert.entry).unwrap_or(u32::MAX),
        by: alert.broken.by,
        slot: alert.broken.slot,
        previous: alert.previous,
        zone: Timezone(zone),
        run_id: alert.run.as_ref().map(|key| keyed_run(&site.realm, job_id, key)),
        status: alert.status,
        why: alert.why.clone(),
        worker: other.map(|_| own.clone()),
    };
    let told = format!("{}: {}", late.limit.field(), late.why);
    run.late = Some(Box::new(late));
    run.status = Status::Complete;
    run.ts_end = Some(now);
    settle(&mut run, &site.settings.event_ttl, now);
    run.log.push(Status::Complete, now, told.into());
    run.duties = Some(Duties { actions: Some(ActionsWhen::OnLate), done: 0, wake_parent: false });
    run.due_at = Some(now + WAKE_GRACE.delta());
    let spec = RunSpec::of_job(document);
    Some(NewRun { run, spec })
}

/// Logs an alert that is due though its worker had time for its actions: it is out, or has no queue. A sweeper may have no
/// actions to perform, and is the one that sees this.
pub(super) fn report_undone(run: &Run, now: Timestamp) {
    let Some(since) = run.undone_since(now) else { return };
    let waited = (now - since).num_seconds();
    tracing::error!(job_id = %run.job_id, run_id = %run.run_id, worker = %run.worker, waited, "the actions of a broken limit are not performed: their worker takes no message; start it, or name another in ON_LATE_WORKER");
}

fn watched_of(run: Run) -> Watched {
    Watched { status: run.status, ts_start: run.ts_start, ts_end: run.ts_end, reason: run.reason }
}

/// One line about a limit that was broken.
fn log(job_id: &JobId, alert: &Alert) {
    let limit: LimitKind = alert.broken.limit;
    let slot = alert.broken.slot.map(utc);
    tracing::warn!(target: LATE, %job_id, entry = alert.entry, count = 1, limit = limit.field(), by = %utc(alert.broken.by), slot, why = %alert.why, "a limit of a schedule is broken");
}
