//! One-off schedules that wake the clock before the next slot, in a realm that makes schedules.

use std::collections::BTreeSet;

use chrono::{DurationRound, TimeDelta};

use crate::Timestamp;
use crate::clock::Timetable;
use crate::job_type::Site;

/// How long before a slot its one-off schedule is due. It may come a minute late, and the look then makes the run ahead of
/// its time.
const NOTICE: TimeDelta = TimeDelta::seconds(75);
/// A slot that is nearer than this is left to the sweeper, which has seen that it comes.
const NEAR: TimeDelta = TimeDelta::minutes(3);
/// Most one-off schedules of one look; further slots are the sweeper's alone.
const MAX_MADE: usize = 64;
/// Times of looks are whole minutes: jobs whose slots are in one minute share a schedule.
const GRAIN: TimeDelta = TimeDelta::minutes(1);

/// The times at which the clock is to be looked at for the next slots of timetables, each once, the nearest first.
fn times(timetables: &[Timetable], now: Timestamp) -> Vec<Timestamp> {
    let far = timetables.iter().filter_map(|one| one.due_at).filter(|due| *due - now > NEAR);
    let times: BTreeSet<Timestamp> =
        far.filter_map(|due| (due - NOTICE).duration_trunc(GRAIN).ok()).filter(|at| *at > now).collect();
    times.into_iter().take(MAX_MADE).collect()
}

/// Has the clock looked at before the next slots of timetables that were looked at now. A look that cannot be
/// scheduled is the sweeper's alone.
pub(super) async fn schedule_looks(site: &Site, timetables: &[Timetable], now: Timestamp) {
    let Some(wake_ups) = &site.ports.wake_ups else { return };
    let times = times(timetables, now);
    if times.is_empty() {
        return;
    }
    let outcomes = wake_ups.look_at_clock(times.clone()).await;
    for (at, outcome) in times.iter().zip(outcomes) {
        if let Err(error) = outcome {
            tracing::warn!(%at, %error, "a look at the clock has no schedule; the sweeper looks");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }

    fn due(text: &str) -> Timetable {
        Timetable { due_at: Some(at(text)), ..Timetable::new(JobId::new("a").unwrap(), at("00:00:00")) }
    }

    #[test]
    fn look_comes_early_enough_though_its_schedule_is_a_minute_late() {
        for slot in ["09:00:00", "09:00:01", "09:00:59", "09:01:14", "09:01:15", "09:01:16"] {
            let times = times(&[due(slot)], at("08:00:00"));
            let [look] = times[..] else { panic!("{times:?}") };
            assert!(look + TimeDelta::minutes(1) < at(slot), "{slot}: {look}");
        }
    }

    #[test]
    fn slots_of_one_minute_share_a_look_and_near_ones_have_none() {
        let all = [due("09:00:20"), due("09:01:10"), due("10:30:00"), due("08:02:59"), due("07:00:00")];
        assert_eq!(times(&all, at("08:00:00")), [at("08:59:00"), at("10:28:00")]);
        let none = Timetable { due_at: None, ..due("09:00:00") };
        assert!(times(&[none], at("08:00:00")).is_empty());
    }

    #[test]
    fn looks_are_bounded_and_the_nearest_come_first() {
        let many: Vec<Timetable> = (0..200)
            .map(|minutes| Timetable { due_at: Some(at("09:00:00") + GRAIN * minutes), ..due("09:00:00") })
            .collect();
        let times = times(&many, at("08:00:00"));
        assert_eq!((times.len(), times[0]), (MAX_MADE, at("08:58:00")));
    }
}
