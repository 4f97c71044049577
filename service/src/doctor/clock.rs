//! Checks of time: the clock of this host, and what the clock is to start.

use chrono::TimeDelta;
use pumice_core::ports::RunQuery;

use super::{Check, few, span};
use crate::failure::Error;
use crate::realm::Realm;
use crate::schedules::{ListSchedules, ScheduleRow, list};

/// From how large a difference of clocks on a host starts nothing by the clock.
const WRONG: TimeDelta = TimeDelta::seconds(60);
/// From how large a difference on it is worth a word.
const OFF: TimeDelta = TimeDelta::seconds(5);
/// How long after its time a timetable may be looked at: sweepers come each minute.
const OVERDUE: TimeDelta = TimeDelta::minutes(3);
const NAME: &str = "clock";
const SCHEDULES: &str = "schedules";

/// Whether this host's clock and the store's agree.
pub(super) async fn skew(realm: &dyn Realm) -> Result<Check, Error> {
    let ahead = realm.site().await?.ports.clock.store_ahead();
    let (off, whose, effect) = match ahead {
        Some(ahead) => (ahead, "the store's clock", "nothing is started by the clock"),
        // In a folder the newest record is the only other clock there is.
        None => {
            let newest = realm.runs().list(&RunQuery { limit: 1, ..RunQuery::default() }).await?;
            let now = realm.now();
            let Some(newest) = newest.first() else {
                return Ok(Check::ok(NAME, "the store is on this host, and has no run to compare it with"));
            };
            // The folder's host starts by its own clock, whatever it is.
            let off = (newest.ts_dispatch - now).max(TimeDelta::zero());
            (off, "the newest run", "jobs are started by this host's clock all the same")
        }
    };
    let seconds = off.num_seconds();
    let (far, side) = (span(seconds.abs()), if seconds < 0 { "behind" } else { "ahead of" });
    let says = format!("{whose} is {far} {side} this host's clock");
    Ok(if off.abs() >= WRONG {
        Check::fault(NAME, format!("{says}: {effect}, and claims may run out early; set the clock"))
    } else if off.abs() >= OFF {
        Check::warning(NAME, says)
    } else {
        Check::ok(NAME, format!("it differs from {whose} by less than {} seconds", OFF.num_seconds()))
    })
}

/// Whether something is to be started by the clock, and is not.
pub(super) async fn schedules(realm: &dyn Realm) -> Result<Check, Error> {
    let late = realm.now() - OVERDUE;
    let overdue: Vec<String> = realm
        .schedules()
        .longest_due(late, 100)
        .await?
        .into_iter()
        .map(|timetable| timetable.job_id.to_string())
        .collect();
    if !overdue.is_empty() {
        let says = format!(
            "the schedules of {} are due for more than {} and were not looked at",
            few(&overdue),
            span(OVERDUE.num_seconds())
        );
        return Ok(match realm.is_served() {
            Some(false) => {
                Check::warning(SCHEDULES, format!("{says}: nothing serves the realm")).fix(["serve"])
            }
            _ => Check::fault(SCHEDULES, format!("{says}: is the sweeper there?")).fix(["schedules", "list"]),
        });
    }
    let listed = list(realm, &ListSchedules::default()).await?;
    let (mut broken, mut halted, mut paused, mut active) = (Vec::new(), Vec::new(), 0, 0);
    for row in listed.schedules {
        match row {
            ScheduleRow::Unread(row) => broken.push(row.job_id.to_string()),
            ScheduleRow::Entry(entry) => match &*entry.state {
                "broken" => broken.push(entry.job_id.to_string()),
                "halted" => halted.push(entry.job_id.to_string()),
                "paused" => paused += 1,
                _ if entry.trouble.is_some() => broken.push(entry.job_id.to_string()),
                _ => active += 1,
            },
        }
    }
    Ok(if !broken.is_empty() {
        let says = format!("entries start nothing, or their last start was refused: {}", few(&broken));
        Check::fault(SCHEDULES, says).fix(["schedules", "list"])
    } else if let Some(first) = halted.first() {
        let says = format!("entries missed more than they may make up for, and are halted: {}", few(&halted));
        Check::fault(SCHEDULES, says).fix(["schedules", "resume", first])
    } else if paused > 0 {
        Check::warning(SCHEDULES, format!("{paused} entries are paused, {active} are not"))
            .fix(["schedules", "list"])
    } else {
        Check::ok(SCHEDULES, format!("{active} entries, none overdue"))
    })
}
