//! Requests for slots of schedules: those of the clock, and those of a caller's own schedule, as a rule of EventBridge. Where
//! the job's schedule has the slot, both ask for the same run.

use std::collections::HashMap;

use chrono::{SubsecRound, TimeDelta};

use crate::Timestamp;
use crate::clock::{Cursor, JobSchedule, PlannedEntry, Start, Timetable};
use crate::ids::JobId;
use crate::job_type::Site;
use crate::ports::{StoreError, StoredJob};
use crate::request::{DispatchRequest, When, schedule_key};
use crate::run::Scheduled;
use crate::spec::{JobSpec, RealmSpec, Settings, Timezone};

/// The request for a start, as the clock makes it.
#[must_use]
pub fn start_request(
    job_id: &JobId,
    planned: &PlannedEntry,
    start: &Start,
    now: Timestamp,
) -> DispatchRequest {
    let scheduled = Scheduled {
        entry: Some(u32::try_from(start.entry).unwrap_or(u32::MAX)),
        slot: start.slot.at,
        zone: Timezone(planned.zone),
        previous: start.previous,
        missed: start.missed.clone(),
        backfill: None,
    };
    DispatchRequest {
        parameters: planned.spec.parameters.clone().unwrap_or_default(),
        globals: planned.spec.globals.clone().unwrap_or_default(),
        when: if start.at > now { When::At(start.at) } else { When::Now },
        idempotency_key: Some(start.key.clone()),
        scheduled: Some(Box::new(scheduled)),
        overlap: planned.spec.overlap,
        host: start.host.clone(),
        ..DispatchRequest::new(job_id.clone())
    }
}

/// The requests, with what the jobs' schedules say about the slots that some of them are for.
pub(super) async fn filled(
    site: &Site,
    mut requests: Vec<DispatchRequest>,
    jobs: &[Option<StoredJob>],
    realm: &RealmSpec,
) -> Result<Vec<DispatchRequest>, StoreError> {
    let is_open = |request: &DispatchRequest| request.slot.is_some() && request.scheduled.is_none();
    let ids: Vec<JobId> =
        requests.iter().filter(|one| is_open(one)).map(|request| request.job_id.clone()).collect();
    if ids.is_empty() {
        return Ok(requests);
    }
    let known: HashMap<JobId, Timetable> = site
        .ports
        .schedules
        .load(&ids)
        .await?
        .into_iter()
        .flatten()
        .map(|one| (one.job_id.clone(), one))
        .collect();
    let (settings, now) = (site.settings.over(&realm.settings), site.ports.clock.now());
    for (request, job) in requests.iter_mut().zip(jobs).filter(|(request, _)| is_open(request)) {
        // Another job is refused anyway.
        if let Some(Ok(job)) = job {
            let plan = JobSchedule::of(job, realm, &settings);
            let slots =
                Slots { job, plan: &plan, settings: &settings, known: known.get(&request.job_id), now };
            *request = slots.filled(request);
        }
    }
    Ok(requests)
}

/// The slots of a job.
struct Slots<'a> {
    job: &'a JobSpec,
    plan: &'a JobSchedule,
    settings: &'a Settings,
    known: Option<&'a Timetable>,
    now: Timestamp,
}

/// An entry that has a slot.
struct Fitting<'a> {
    planned: &'a PlannedEntry,
    start: Start,
    cursor: Option<&'a Cursor>,
}

impl Slots<'_> {
    /// A request for a slot: the one that the clock makes, where an entry has the slot and gives what the request gives, or
    /// the request gives nothing and has no key or name of its own. Else itself, with the slot.
    fn filled(&self, request: &DispatchRequest) -> DispatchRequest {
        let Some(slot) = request.slot.map(|slot| slot.trunc_subsecs(0)) else { return request.clone() };
        let fitting: Vec<Fitting<'_>> =
            (0..self.plan.entries.len()).filter_map(|entry| self.fitting(entry, slot)).collect();
        let key = request.idempotency_key.as_deref();
        let gives_nothing = request.parameters.is_empty() && request.globals.is_empty();
        let is_bare = gives_nothing && key == Some(schedule_key(slot, None, None, None).as_str());
        let given = fitting.iter().find(|one| key == Some(one.start.key.as_str()));
        if let Some(fitting) = given.or_else(|| fitting.first().filter(|_| is_bare)) {
            return self.of_clock(request, fitting);
        }
        let zone = fitting.first().map_or_else(|| self.zone(), |one| Timezone(one.planned.zone));
        let previous = fitting.first().and_then(|one| one.start.previous);
        let scheduled = Scheduled { entry: None, slot, zone, previous, missed: None, backfill: None };
        DispatchRequest { scheduled: Some(Box::new(scheduled)), ..request.clone() }
    }

    /// The request that the clock makes.
    fn of_clock(&self, request: &DispatchRequest, fitting: &Fitting<'_>) -> DispatchRequest {
        let Fitting { planned, start, cursor } = fitting;
        let mut made = start_request(&request.job_id, planned, start, self.now);
        // A run that was made ahead has another key where one before it was withdrawn.
        let ahead = cursor.and_then(|cursor| cursor.ahead.iter().find(|made| made.slot() == start.slot.at));
        if let Some(ahead) = ahead.filter(|_| !planned.is_for_all_nodes()) {
            made.idempotency_key = Some(ahead.key.clone());
        }
        if request.when != When::Now {
            made.when = request.when;
        }
        DispatchRequest { slot: request.slot, ..made }
    }

    /// An entry, where it has the slot.
    fn fitting(&self, entry: usize, slot: Timestamp) -> Option<Fitting<'_>> {
        let planned = self.plan.entries.get(entry)?.as_ref().ok()?;
        let cursors = self.known.map_or(&[][..], |known| &known.cursors);
        let is_due_as = |cursor: &&Cursor| cursor.fingerprint == planned.fingerprint;
        let cursor = cursors.iter().find(|one| is_due_as(one) && one.given == planned.given);
        let cursor = cursor.or_else(|| cursors.iter().find(is_due_as));
        // An interval without `from` counts from when its entry was seen first.
        let counts_from_it = planned.spec.every.is_some() && planned.spec.from.is_none();
        let since = match cursor {
            Some(cursor) => cursor.since,
            None if counts_from_it => return None,
            None => slot,
        };
        let next = planned.entry(since).next(slot - TimeDelta::seconds(1))?;
        (next.at == slot).then(|| {
            let start = Start::at_once(planned, entry, since, slot);
            Fitting { planned, start: Start { at: slot + planned.jitter, ..start }, cursor }
        })
    }

    /// The zone of the job, whatever its entries say.
    fn zone(&self) -> Timezone {
        let fields = &self.job.fields;
        let by_dispatcher = || self.settings.dispatcher_zones.get(fields.dispatcher.as_ref()?).copied();
        let given = fields.timezone.or(self.settings.timezone).or_else(by_dispatcher);
        given.unwrap_or(Timezone(chrono_tz::UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(text: &str) -> Timestamp {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }

    fn rule(slot: &str, more: &Value) -> DispatchRequest {
        let mut fields = json!({ "job_id": "load", "scheduled_at": format!("2026-03-01T{slot}Z") });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let Value::Object(fields) = fields else { panic!("an object") };
        crate::request::parse_scheduled(fields, chrono_tz::UTC).unwrap().requests.remove(0).unwrap()
    }

    fn realm() -> RealmSpec {
        RealmSpec::parse(&json!({ "realm": "test", "s3_temp": "s3://test/tmp" })).unwrap()
    }

    fn filled_by(schedule: &Value, known: Option<&Timetable>, request: &DispatchRequest) -> DispatchRequest {
        let job = json!({ "job_id": "load", "type": "log", "worker": "core", "enabled": true, "payload": null,
            "timezone": "Europe/Berlin", "schedule": schedule });
        let (job, realm) = (JobSpec::parse(&job).unwrap(), realm());
        let plan = JobSchedule::of(&job, &realm, &realm.settings);
        let slots = Slots { job: &job, plan: &plan, settings: &realm.settings, known, now: at("09:00:00") };
        slots.filled(request)
    }

    #[test]
    fn rule_for_a_slot_asks_for_the_run_of_the_clock() {
        let schedule = json!([
            "0 7 * * *",
            { "crontab": "0 9 * * *", "timezone": "UTC", "jitter": "1h", "overlap": "skip", "globals": { "n": 1 } },
            { "crontab": "0 9 * * *", "timezone": "UTC", "parameters": { "x": 2 } },
        ]);
        let bare = filled_by(&schedule, None, &rule("09:00:00", &json!({})));
        let scheduled = bare.scheduled.clone().unwrap();
        assert_eq!((scheduled.entry, scheduled.slot), (Some(1), at("09:00:00")));
        assert_eq!(scheduled.previous, Some("2026-02-28T09:00:00Z".parse().unwrap()));
        assert_eq!((&bare.globals["n"], bare.overlap), (&json!(1), Some(crate::spec::Overlap::Skip)));
        assert!(matches!(bare.when, When::At(at) if at > self::at("09:00:00")), "{:?}", bare.when);
        let exported = filled_by(&schedule, None, &rule("09:00:00", &json!({ "globals": { "n": 1 } })));
        assert_eq!(exported, bare, "the same, given or not");
        let second = filled_by(&schedule, None, &rule("09:00:00", &json!({ "parameters": { "x": 2 } })));
        assert_eq!(second.scheduled.unwrap().entry, Some(2));
        let berlin = filled_by(&schedule, None, &rule("06:00:00", &json!({})));
        let scheduled = berlin.scheduled.unwrap();
        assert_eq!((scheduled.entry, scheduled.zone.0), (Some(0), chrono_tz::Europe::Berlin));
    }

    #[test]
    fn rule_for_another_time_or_run_keeps_what_it_gives() {
        let schedule = json!({ "crontab": "0 9 * * *", "timezone": "UTC", "globals": { "n": 1 } });
        for (slot, more) in [
            ("09:30:00", json!({})),
            ("09:00:00", json!({ "globals": { "n": 2 } })),
            ("09:00:00", json!({ "schedule": "mine" })),
            ("09:00:00", json!({ "idempotency_key": "mine" })),
        ] {
            let asked = rule(slot, &more);
            let made = filled_by(&schedule, None, &asked);
            let scheduled = made.scheduled.clone().unwrap();
            assert_eq!((scheduled.entry, scheduled.slot), (None, at(slot)), "{slot} {more}");
            assert_eq!(DispatchRequest { scheduled: None, ..made }, asked, "{slot} {more}");
        }
        let none = filled_by(&json!([]), None, &rule("09:00:00", &json!({})));
        assert_eq!(none.scheduled.unwrap().zone.0, chrono_tz::Europe::Berlin, "the job's zone");
    }

    #[test]
    fn interval_is_asked_from_when_it_was_seen_first() {
        let schedule = json!({ "every": "1h" });
        let asked = rule("08:20:00", &json!({}));
        assert_eq!(filled_by(&schedule, None, &asked).scheduled.unwrap().entry, None);
        let job = json!({ "job_id": "load", "type": "log", "worker": "core", "enabled": true, "payload": null,
            "schedule": schedule });
        let (job, realm) = (JobSpec::parse(&job).unwrap(), realm());
        let plan = JobSchedule::of(&job, &realm, &realm.settings);
        let begun = Timetable::new(job.fields.job_id.clone(), at("07:20:00"));
        let known = begun.look(&plan, at("07:20:00"), TimeDelta::zero()).next;
        let made = filled_by(&schedule, Some(&known), &asked);
        assert_eq!(made.scheduled.unwrap().entry, Some(0));
    }
}
