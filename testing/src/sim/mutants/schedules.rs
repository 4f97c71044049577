//! Deliberate bugs of schedules and of the looks at them.

use chrono::TimeDelta;
use pumice_core::clock::{Timetable, Watched};
use pumice_core::ids::{RunId, RunKey};

use super::super::world::World;
use super::Mutant;

/// A job with a schedule as the engine is to see it.
pub(crate) fn on_schedule(world: &World, job: &mut serde_json::Value) {
    let entries = job["schedule"].as_array_mut().into_iter().flatten();
    let mut more = Vec::new();
    for entry in entries {
        if world.is(Mutant::CaughtUpWithoutLimit) {
            entry["catch_up"] = "all".into();
            entry["max"] = 1_000_000.into();
            entry["window"] = (30 * 86_400).into();
        }
        if world.is(Mutant::FoldTwice) && entry["crontab"] == "30 1 * * *" {
            // In both the hours that are called one o'clock.
            entry["timezone"] = "UTC".into();
            entry["crontab"] = "30 5 * * *".into();
            let mut second = entry.clone();
            second["crontab"] = "30 6 * * *".into();
            more.push(second);
        }
    }
    if let Some(entries) = job["schedule"].as_array_mut() {
        entries.extend(more);
    }
}

/// Timetables that are due are read.
pub(crate) fn on_due_timetables(world: &mut World, due: &[Timetable]) {
    if world.is(Mutant::AlertMovedFirst) {
        return alert_moved_first(world, due);
    }
    if !world.is(Mutant::MovedFirst) {
        return;
    }
    let ahead = TimeDelta::seconds(world.clocks.setup.ahead.cast_signed());
    for timetable in due {
        let Some(Ok(job)) = world.jobs.get(&timetable.job_id) else { continue };
        let plan = timetable.schedule_of(job, &world.realm, &world.realm.settings);
        let next = timetable.look(&plan, world.now, ahead).next;
        let _ = world.put_timetable(next);
    }
}

/// Writes the outcome of timetables' limits before any alert is made.
fn alert_moved_first(world: &mut World, due: &[Timetable]) {
    let ahead = TimeDelta::seconds(world.clocks.setup.ahead.cast_signed());
    for timetable in due {
        let Some(Ok(job)) = world.jobs.get(&timetable.job_id) else { continue };
        let plan = timetable.schedule_of(job, &world.realm, &world.realm.settings);
        let watched = |key: &str| {
            let id = RunId::from_key(&world.realm.fields.realm, &timetable.job_id, &format!("key:{key}"));
            let run = world.runs.get(&RunKey::root(id))?;
            let (status, reason) = (run.status, run.reason.clone());
            Some(Watched { status, ts_start: run.ts_start, ts_end: run.ts_end, reason })
        };
        let asked = timetable.asks_for(world.now).into_iter();
        let runs = asked.map(|key| (key.to_owned(), watched(key))).collect();
        let looked = timetable.look_with(&plan, Some(&runs), world.now, ahead);
        // The mutant leaves starts alone.
        if !looked.alerts.is_empty() && looked.starts.is_empty() {
            let _ = world.put_timetable(looked.next);
        }
    }
}
