//! Backfills as pure rules: which slots they have, what is started next, what counts.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use pumice_core::Timestamp;
use pumice_core::clock::backfill::{
    BackfillRequest, Bad, Found, MAX_BAD, Only, Progress, Refused, Taken, WantedSlot,
};
use pumice_core::clock::{Backfill, JobSchedule, Timetable, native, standings, utc};
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::run::{Run, Scheduled, Status};
use pumice_core::spec::{JobSpec, RealmSpec, Settings, Timezone};
use serde_json::{Value, json};
use uuid::Uuid;

const NOW: &str = "2026-11-28T10:00:00Z";

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn plan(schedule: &Value) -> JobSchedule {
    let job = json!({
        "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true", "schedule": schedule,
    });
    let days = json!({ "days": ["2026-03-09/2026-03-12"] });
    let realm = RealmSpec::parse(&json!({ "realm": "r", "calendars": { "audit": days } })).expect("a realm");
    JobSchedule::of(&JobSpec::parse(&job).expect("a job"), &realm, &Settings::default())
}

fn job() -> JobId {
    JobId::new("a").expect("an id")
}

fn timetable(plan: &JobSchedule, at: &str) -> Timetable {
    Timetable::new(job(), instant(at)).look(plan, instant(at), TimeDelta::zero()).next
}

fn asked(from: &str, to: &str) -> BackfillRequest {
    BackfillRequest {
        entry: None,
        from: instant(from),
        to: instant(to),
        only: Only::Missing,
        max_active: 1,
        reverse: false,
        key: None,
        by: "ann".to_owned(),
        why: String::new(),
    }
}

fn begun(plan: &JobSchedule, asked: BackfillRequest) -> Result<Backfill, Refused> {
    Backfill::begin(job(), plan, &timetable(plan, "2026-01-01T00:00:00Z"), asked, instant(NOW))
}

fn slots(backfill: &Backfill, plan: &JobSchedule) -> Vec<(String, usize)> {
    let coming = backfill.coming(plan).expect("nothing was changed");
    coming.map(|wanted| (utc(wanted.start.slot.at), wanted.start.entry)).collect()
}

/// The starts by the clock between two times, looked at whenever something is due.
fn fired(plan: &JobSchedule, from: &str, to: &str) -> Vec<(String, usize)> {
    let (mut timetable, mut fired) = (timetable(plan, from), Vec::new());
    while let Some(at) = timetable.due_at.filter(|at| *at <= instant(to)) {
        let looked = timetable.look(plan, at, TimeDelta::zero());
        fired.extend(looked.starts.iter().map(|start| (start.slot.at, start.entry, start.key.clone())));
        timetable = looked.next;
    }
    fired.sort();
    // Two starts under one key are one run.
    let mut keys = BTreeSet::new();
    fired.retain(|(_, _, key)| keys.insert(key.clone()));
    fired.into_iter().map(|(at, entry, _)| (utc(at), entry)).collect()
}

fn run(backfill: Option<&Backfill>, number: u128, status: Status) -> Run {
    let (run_id, at) = (RunId(Uuid::from_u128(number)), instant("2026-11-01T00:00:00Z"));
    let about = (job(), "cmd".to_owned(), WorkerName::new("core").expect("a name"));
    let made = Run::dispatched(RunKey::root(run_id), run_id, about, at, at, None);
    let zone = Timezone(chrono_tz::UTC);
    let backfill = backfill.map(|one| one.id.clone());
    let scheduled = Scheduled { entry: Some(0), slot: at, zone, previous: None, missed: None, backfill };
    let ended = status.is_end();
    Run {
        status,
        due_at: made.due_at.filter(|_| !ended),
        ts_end: ended.then_some(at),
        scheduled: Some(Box::new(scheduled)),
        ..made
    }
}

fn daily() -> JobSchedule {
    plan(&json!("30 2 * * *"))
}

fn nine(plan: &JobSchedule, change: impl Fn(BackfillRequest) -> BackfillRequest) -> Backfill {
    begun(plan, change(asked("2026-11-01T00:00:00Z", "2026-11-09T12:00:00Z"))).expect("it begins")
}

#[test]
fn slots_are_those_that_the_clock_starts() {
    for schedule in [
        json!("15,45 1,2 * * *"),
        json!({ "crontab": "30 2 * * *", "timezone": "America/New_York" }),
        json!({ "crontab": "15,45 1-2 * * *", "timezone": "America/New_York" }),
        json!({ "crontab": "*/20 * * * *", "timezone": "America/New_York" }),
        json!({ "crontab": "0 9 * * *", "skip": "audit", "shift": "next" }),
        json!({ "crontab": "0 */6 * * *", "only": "audit" }),
        json!({ "every": "7h", "from": "2026-01-01T00:00:00Z" }),
        json!({ "every": "7h" }),
        json!({ "at": ["2026-03-08T07:00:00Z", "2026-03-08T07:00:01Z", "2026-03-10"] }),
        json!({ "crontab": "0 * * * *", "from": "2026-03-08T06:00Z", "to": "2026-03-09T00:00Z" }),
        json!({ "crontab": "0 * * * *", "from": "2026-03-09T06:00Z", "to": "2026-03-08T00:00Z" }),
        json!(["0 7 * * *", { "crontab": "0 7 * * *", "globals": { "n": 1 } }, "0 7,8 * * *"]),
    ] {
        let plan = plan(&schedule);
        let (from, to) = ("2026-03-07T00:00:00Z", "2026-03-14T00:00:00Z");
        let timetable = timetable(&plan, from);
        let begun =
            |asked| Backfill::begin(job(), &plan, &timetable, asked, instant(NOW)).expect("it begins");
        let forward = begun(asked(from, to));
        let mut wanted = fired(&plan, from, to);
        // The clock starts what comes after an entry was seen; a range has its first moment, too.
        wanted.extend(slots(&forward, &plan).into_iter().filter(|(at, _)| at == from));
        wanted.sort();
        assert_eq!(slots(&forward, &plan), wanted, "{schedule}");
        assert_eq!(forward.planned as usize, wanted.len());
        let backward = begun(BackfillRequest { reverse: true, ..asked(from, to) });
        let mut back = slots(&backward, &plan);
        assert!(back.is_sorted_by(|one, other| one.0 >= other.0), "{schedule}: {back:?}");
        back.sort();
        assert_eq!(back, wanted, "{schedule}, the newest first");
    }
}

#[test]
fn slot_with_a_start_to_come_is_the_clocks() {
    let plan = plan(&json!({ "crontab": "* * * * *", "jitter": "1d" }));
    let jitter = plan.entries[0].as_ref().expect("an entry").jitter;
    assert!(jitter > TimeDelta::minutes(5), "{jitter}");
    let backfill = begun(&plan, asked("2026-11-25T00:00:00Z", NOW)).expect("it begins");
    let last = slots(&backfill, &plan).pop().expect("a slot");
    assert!(
        instant(&last.0) <= instant(NOW) - jitter
            && instant(&last.0) > instant(NOW) - jitter - TimeDelta::minutes(1)
    );
}

#[test]
fn every_slot_is_dealt_with_once_however_many_at_a_time() {
    let plan =
        plan(&json!(["30 2 * * *", { "crontab": "30 2 * * *", "globals": { "n": 1 } }, "0 5 * * sun"]));
    for (reverse, max_active) in [(false, 1), (true, 1), (false, 3), (true, 7)] {
        let begun = nine(&plan, |asked| BackfillRequest { reverse, max_active, ..asked });
        let (mut backfill, mut started) = (begun.clone(), Vec::new());
        for _ in 0..40 {
            let runs: Vec<Option<Run>> = (0..)
                .zip(&backfill.active)
                .map(|(n, _)| Some(run(Some(&begun), n, Status::Complete)))
                .collect();
            let settled = backfill.settled(&runs);
            let next: Vec<WantedSlot> = settled.coming(&plan).expect("unchanged").take(5).collect();
            let is_all = next.len() < 5;
            let next: Vec<(WantedSlot, Found)> =
                next.into_iter().map(|wanted| (wanted, Found::Nothing)).collect();
            let taken = settled.taken(&next, is_all);
            assert!(taken.next.active.len() <= max_active as usize);
            started.extend(taken.starts.iter().map(|wanted| (utc(wanted.start.slot.at), wanted.start.entry)));
            backfill = taken.next;
        }
        assert_eq!(started, slots(&begun, &plan));
        assert_eq!((&backfill.progress, backfill.completed, backfill.left()), (&Progress::Complete, 20, 0));
    }
}

#[test]
fn slots_that_need_no_run_take_no_place() {
    let plan = daily();
    let backfill = nine(&plan, |asked| BackfillRequest { max_active: 2, ..asked });
    let slots: Vec<WantedSlot> = backfill.coming(&plan).expect("unchanged").collect();
    let found = [Found::Enough, Found::Nothing, Found::Enough, Found::Own, Found::Enough, Found::Nothing];
    let known: Vec<(WantedSlot, Found)> = slots.iter().cloned().zip(found).collect();
    let Taken { next, starts } = backfill.taken(&known, false);
    assert_eq!(starts, [slots[1].clone()], "its own run that is there is not made again");
    assert_eq!((next.skipped, next.active.len(), next.at), (3, 2, Some(slots[4].place)), "the sixth waits");
    assert_eq!(next.free(), 0);
    // The same slots again, as after a crash: a run under way is not counted twice.
    let again = Backfill { at: None, ..next.clone() }.taken(&[(slots[1].clone(), Found::Own)], false).next;
    assert_eq!(again.active.len(), 2);
    for progress in [Progress::Complete, Progress::Stopped { why: String::new() }] {
        assert_eq!(Backfill { progress, active: Vec::new(), ..backfill.clone() }.free(), 0);
    }
}

#[test]
fn runs_that_are_done_are_counted_and_others_stay() {
    let plan = daily();
    let begun = nine(&plan, |asked| BackfillRequest { max_active: 9, ..asked });
    let slots: Vec<WantedSlot> = begun.coming(&plan).expect("unchanged").collect();
    let all: Vec<(WantedSlot, Found)> =
        slots.iter().cloned().map(|wanted| (wanted, Found::Nothing)).collect();
    let under_way = begun.taken(&all, true).next;
    let other = nine(&plan, |asked| BackfillRequest { key: Some("other".to_owned()), ..asked });
    let of = |status| run(Some(&begun), 1, status);
    // Its end is recorded, and its actions are not done.
    let with_duties = Run { due_at: Some(instant(NOW)), ..of(Status::Complete) };
    let runs = [
        Some(of(Status::Complete)),
        Some(of(Status::Failed)),
        Some(of(Status::Cancelled)),
        Some(of(Status::Skipped)),
        Some(of(Status::Running)),
        Some(with_duties),
        None,
        Some(run(Some(&other), 2, Status::Running)),
        Some(run(None, 3, Status::Failed)),
    ];
    let settled = under_way.settled(&runs);
    let left: Vec<Timestamp> = settled.active.iter().map(|one| one.slot).collect();
    assert_eq!(left, [slots[4].start.slot.at, slots[5].start.slot.at]);
    assert_eq!((settled.completed, settled.failed, settled.skipped), (1, 4, 2));
    assert_eq!((settled.started(), settled.left()), (7, 0));
    let bad: Vec<Option<Status>> = settled.bad.iter().map(|bad| bad.status).collect();
    assert_eq!(bad, [Some(Status::Failed), Some(Status::Cancelled), Some(Status::Skipped), None]);
    let many = Backfill { bad: vec![settled.bad[0].clone(); MAX_BAD], ..under_way };
    let many = many.settled(&runs);
    assert_eq!((many.bad.len(), many.bad.last().map(|bad: &Bad| bad.status)), (MAX_BAD, Some(None)));
}

#[test]
fn failed_slots_follow_from_the_newest_run_that_had_ended() {
    let plan = daily();
    let begun = nine(&plan, |asked| BackfillRequest { only: Only::Failed, ..asked });
    let at = |hours: i64| instant(NOW) + TimeDelta::hours(hours);
    let made = |number, status: Status, dispatched: i64, end: i64| Run {
        ts_dispatch: at(dispatched),
        ts_end: status.is_end().then(|| at(end)),
        ..run(None, number, status)
    };
    let (well, badly) = (Status::Complete, Status::Failed);
    for (others, wanted, why) in [
        (vec![], Found::Enough, "what has no run has not failed"),
        (vec![made(1, badly, -3, -2)], Found::Nothing, "it failed"),
        (vec![made(1, Status::Rejected, -3, -2)], Found::Nothing, "it was rejected"),
        (vec![made(1, Status::Cancelled, -3, -2)], Found::Nothing, "it was cancelled"),
        (vec![made(1, Status::Skipped, -3, -2)], Found::Nothing, "it was skipped"),
        (vec![made(1, well, -3, -2)], Found::Enough, "it completed"),
        (vec![made(1, badly, -5, -4), made(2, well, -3, -2)], Found::Enough, "it completed then"),
        (vec![made(2, well, -5, -4), made(1, badly, -3, -2)], Found::Nothing, "it failed since"),
        (vec![made(1, Status::Running, -3, 0)], Found::Enough, "it runs"),
        (vec![made(1, badly, -3, 1)], Found::Enough, "it ran when the backfill began"),
        (vec![made(1, badly, -3, -2), made(2, well, 1, 2)], Found::Nothing, "what came later does not count"),
    ] {
        assert_eq!(begun.found(None, &others), wanted, "{why}");
    }
    let own = run(Some(&begun), 9, Status::Failed);
    assert_eq!(begun.found(Some(&own), &[made(1, badly, -3, -2)]), Found::Own);
    let missing = nine(&plan, |asked| asked);
    assert_eq!(missing.found(None, &[]), Found::Nothing);
    assert_eq!(missing.found(Some(&made(1, badly, -3, -2)), &[]), Found::Enough, "failed is not missing");
    for status in [well, badly, Status::Running] {
        assert_eq!(missing.found(None, &[made(1, status, -3, -2)]), Found::Enough, "another backfill ran it");
    }
    let all = nine(&plan, |asked| BackfillRequest { only: Only::All, ..asked });
    assert_eq!(all.found(None, &[made(1, well, -3, -2)]), Found::Nothing);
}

#[test]
fn missing_slots_get_clock_keys_and_others_backfill_keys() {
    let plan = plan(&json!([{ "crontab": "30 2 * * *", "globals": { "n": 1 } }]));
    let timetable = timetable(&plan, "2026-10-31T12:00:00Z");
    let clocks =
        timetable.look(&plan, instant("2026-11-01T02:30:10Z"), TimeDelta::zero()).starts.remove(0).key;
    let first = |only| {
        let backfill = nine(&plan, |asked| BackfillRequest { only, ..asked });
        let wanted = backfill.coming(&plan).expect("unchanged").next().expect("a slot");
        let (_, start) = backfill.start(&plan, &wanted).expect("a start");
        assert_eq!(
            start.previous,
            Some(instant("2026-10-31T02:30:00Z")),
            "the slot before, not the run before"
        );
        assert_eq!((start.at, start.missed), (start.slot.at, None));
        (backfill, start.key)
    };
    assert_eq!(first(Only::Missing).1, clocks);
    for only in [Only::Failed, Only::All] {
        let (backfill, key) = first(only);
        assert_eq!(key, format!("backfill:{}:{clocks}", backfill.id));
    }
}

#[test]
fn id_follows_from_the_key_or_else_from_the_request() {
    let plan = daily();
    let id = |change: &dyn Fn(BackfillRequest) -> BackfillRequest| nine(&plan, change).id;
    let plain = id(&|asked| asked);
    assert_eq!(
        plain,
        id(&|asked| BackfillRequest { max_active: 7, by: "bob".to_owned(), why: "x".to_owned(), ..asked })
    );
    let keyed = |key: &str| Some(key.to_owned());
    let others = [
        id(&|asked| BackfillRequest { only: Only::All, ..asked }),
        id(&|asked| BackfillRequest { reverse: true, ..asked }),
        id(&|asked| BackfillRequest { to: instant("2026-11-09T11:00:00Z"), ..asked }),
        id(&|asked| BackfillRequest { key: keyed("k"), ..asked }),
        id(&|asked| BackfillRequest { key: keyed("l"), ..asked }),
    ];
    let mut all = others.to_vec();
    all.push(plain);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6, "{all:?}");
    let with_key = nine(&plan, |asked| BackfillRequest { key: keyed("k"), ..asked });
    let other = nine(&plan, |asked| BackfillRequest { key: keyed("k"), only: Only::All, ..asked });
    assert_eq!((&with_key.id, with_key.asks_the_same(&other)), (&other.id, false));
    assert!(with_key.asks_the_same(&Backfill { rev: 7, completed: 3, max_active: 9, ..with_key.clone() }));
}

#[test]
fn record_is_over_when_its_last_run_is_done() {
    let plan = daily();
    let begun = nine(&plan, |asked| asked);
    let (now, keep) = (instant(NOW), Some(pumice_core::duration::Span::from_days(30)));
    assert_eq!(begun.written(&begun, now, keep), None, "what is as it was is not written");
    let slots: Vec<(WantedSlot, Found)> =
        begun.coming(&plan).expect("unchanged").map(|wanted| (wanted, Found::Nothing)).collect();
    let moved = begun.taken(&slots, true).next.written(&begun, now, keep).expect("it is written");
    assert_eq!((moved.rev, moved.due_at, moved.ended, moved.expires), (2, Some(now), None, None));
    let cancelled = moved.cancelled("bob".to_owned(), "no".to_owned()).expect("it goes on");
    let cancelled = cancelled.written(&moved, now, keep).expect("it is written");
    assert_eq!(
        (cancelled.due_at, cancelled.ended, cancelled.expires),
        (Some(now), Some(now), None),
        "one runs"
    );
    assert_eq!(cancelled.cancelled(String::new(), String::new()), None);
    let later = now + TimeDelta::hours(1);
    let done = cancelled.settled(&[Some(run(Some(&begun), 1, Status::Complete))]);
    let done = done.written(&cancelled, later, keep).expect("it is written");
    assert_eq!((done.due_at, done.ended, done.expires), (None, Some(now), Some(later + TimeDelta::days(30))));
    assert_eq!(done.written(&cancelled, later, None).expect("it is written").expires, None);
    let resumed =
        done.resumed().expect("it was cancelled").written(&done, later, keep).expect("it is written");
    assert_eq!((resumed.due_at, resumed.ended, resumed.expires), (Some(later), None, None));
    assert_eq!((resumed.resumed(), resumed.free()), (None, 1));
    let complete = Backfill { progress: Progress::Complete, ..done };
    assert_eq!((complete.resumed(), complete.cancelled(String::new(), String::new())), (None, None));
}

#[test]
fn edited_entry_stops_it_and_a_moved_one_does_not() {
    let before = plan(&json!(["30 2 * * *", "0 5 * * *"]));
    let backfill = nine(&before, |asked| BackfillRequest { entry: Some(0), ..asked });
    let moved = plan(&json!(["0 5 * * *", { "crontab": "30 2 * * *", "overlap": "skip" }]));
    assert!(slots(&backfill, &moved).iter().all(|(at, entry)| *entry == 1 && at.ends_with("T02:30:00Z")));
    // Its later runs would be given other values than its earlier ones.
    let given = json!([{ "crontab": "30 2 * * *", "globals": { "n": 1 } }, "0 5 * * *"]);
    for edited in [given, json!(["31 2 * * *", "0 5 * * *"]), json!("0 5 * * *"), json!([])] {
        let told = backfill.coming(&plan(&edited)).err().map(|stale| stale.to_string());
        assert_eq!(told.as_deref(), Some("entry 0 of the schedule was changed since the backfill began"));
    }
}

#[test]
fn senseless_request_is_refused() {
    let plan = plan(
        &json!(["30 2 * * *", { "crontab": "* * * * *", "to": "2026-06-01T00:00:00Z" }, { "crontab": "0 1 * * *", "skip": "nowhere" }]),
    );
    let (from, to) = ("2026-11-01T00:00:00Z", "2026-11-09T12:00:00Z");
    let with = |change: &dyn Fn(BackfillRequest) -> BackfillRequest| begun(&plan, change(asked(from, to)));
    let told = |change: &dyn Fn(BackfillRequest) -> BackfillRequest| with(change).expect_err("it is refused");
    assert!(matches!(told(&|_| asked(to, from)), Refused::Backwards { .. }));
    assert!(matches!(told(&|_| asked(from, "2026-11-28T10:00:01Z")), Refused::Future(_)));
    assert!(with(&|_| asked(from, NOW)).is_ok(), "up to this moment");
    for max_active in [0, 101] {
        assert_eq!(told(&|asked| BackfillRequest { max_active, ..asked }), Refused::MaxActive(max_active));
    }
    assert!(with(&|asked| BackfillRequest { max_active: 100, ..asked }).is_ok());
    assert!(matches!(told(&|asked| BackfillRequest { key: Some(String::new()), ..asked }), Refused::Key(_)));
    assert_eq!(
        told(&|asked| BackfillRequest { entry: Some(3), ..asked }),
        Refused::NoEntry { entry: 3, count: 3 }
    );
    assert!(matches!(
        told(&|asked| BackfillRequest { entry: Some(2), ..asked }),
        Refused::BadEntry { entry: 2, .. }
    ));
    assert_eq!(
        with(&|asked| asked).expect("others go on").parts.len(),
        1,
        "what has no slots there is no part"
    );
    let next = Some(instant("2026-11-02T02:30:00Z"));
    assert_eq!(
        told(&|_| asked("2026-11-01T02:30:00.5Z", "2026-11-02T02:29:59.9Z")),
        Refused::NoSlots { from: instant("2026-11-01T02:30:01Z"), to: instant("2026-11-02T02:29:59Z"), next }
    );
    assert!(matches!(
        told(&|_| asked("2026-11-01T02:30:00.2Z", "2026-11-01T02:30:00.8Z")),
        Refused::NoSlots { .. }
    ));
    let one =
        with(&|_| asked("2026-11-01T02:30:00Z", "2026-11-01T02:30:00Z")).expect("both ends are included");
    assert_eq!(one.planned, 1);
    // 6 d 22 h 40 min, both ends included, is the most.
    let (from, most) = ("2026-05-01T00:01:00Z", "2026-05-07T22:39:00Z");
    let many = begun(&plan, BackfillRequest { entry: Some(1), ..asked(from, most) }).expect("it begins");
    assert_eq!(many.planned, 9_999);
    let more = begun(&plan, BackfillRequest { entry: Some(1), ..asked(from, "2026-05-07T22:41:00Z") });
    assert!(matches!(more, Err(Refused::TooMany { count: 10_001, .. })), "{more:?}");
    let off = json!({ "job_id": "a", "type": "cmd", "worker": "core", "payload": "true", "schedule": "30 2 * * *" });
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    let off = JobSchedule::of(&JobSpec::parse(&off).expect("a job"), &realm, &Settings::default());
    assert_eq!(begun(&off, asked(from, most)), Err(Refused::NotEnabled));
    assert_eq!(begun(&JobSchedule::none(), asked(from, most)), Err(Refused::NoSchedule));
}

#[test]
fn record_of_a_run_without_a_backfill_is_as_before() {
    let stored = json!({ "entry": 0, "slot": 1_793_505_600_000_000_i64, "zone": "UTC" });
    let scheduled: Scheduled = serde_json::from_value(stored.clone()).expect("it is read");
    assert_eq!(scheduled.backfill, None);
    assert_eq!(serde_json::to_value(&scheduled).expect("it is written"), stored);
}

/// The slots of a backfill as a process finds them when it looks.
#[derive(Clone, Debug)]
struct World {
    /// Which slots have a run of the clock.
    clocks: Vec<bool>,
    /// Which have one of the backfill's.
    own: Vec<bool>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of processes that look at the same record, each at a time of its own while the clock makes runs too, all together
    /// make no more runs than there may be.
    #[test]
    fn processes_that_race_make_no_more_runs_than_one(
        max_active in 1_u32..5,
        looks in prop::collection::vec(prop::collection::vec(0_usize..9, 0..4), 1..6),
    ) {
        let plan = daily();
        let begun = nine(&plan, |asked| BackfillRequest { max_active, ..asked });
        let slots: Vec<WantedSlot> = begun.coming(&plan).expect("unchanged").collect();
        let mut world = World { clocks: vec![false; slots.len()], own: vec![false; slots.len()] };
        // Each has looked, and makes its runs later than those that look after it.
        let mut to_make = Vec::new();
        for clocks in looks {
            for place in clocks {
                world.clocks[place] |= !world.own[place];
            }
            let found = |place: usize| match (world.own[place], world.clocks[place]) {
                (true, _) => Found::Own,
                (_, true) => Found::Enough,
                _ => Found::Nothing,
            };
            let known: Vec<(WantedSlot, Found)> = slots.iter().cloned().enumerate().map(|(n, one)| (one, found(n))).collect();
            to_make.push(begun.taken(&known, true).starts);
        }
        for wanted in to_make.iter().rev().flatten() {
            let place = slots.iter().position(|one| one == wanted).expect("one of them");
            world.own[place] |= !world.clocks[place];
        }
        prop_assert!(world.own.iter().filter(|own| **own).count() <= max_active as usize, "{world:?}");
    }
}

#[test]
fn backfill_of_the_same_entries_is_one_however_they_are_named() {
    let entry_0 = |asked| BackfillRequest { entry: Some(0), ..asked };
    let entry_1 = |asked| BackfillRequest { entry: Some(1), ..asked };
    let all_nodes = json!({ "crontab": "0 4 * * *", "nodes": "all" });
    let broken = json!({ "crontab": "0 5 * * *", "skip": "unknown" });
    for schedule in [json!("30 2 * * *"), json!(["30 2 * * *"]), json!(["30 2 * * *", all_nodes, broken])] {
        let plan = plan(&schedule);
        let (named, unnamed) = (nine(&plan, entry_0), nine(&plan, |asked| asked));
        assert_eq!(named.id, unnamed.id, "{schedule}");
        assert!(named.asks_the_same(&unnamed) && unnamed.asks_the_same(&named), "{schedule}");
        let keyed = |asked| BackfillRequest { key: Some("k".to_owned()), ..asked };
        let (named, unnamed) = (nine(&plan, |asked| keyed(entry_0(asked))), nine(&plan, keyed));
        assert!(named.id == unnamed.id && named.asks_the_same(&unnamed), "{schedule}");
    }
    for schedule in [
        json!(["30 2 * * *", "30 3 * * *"]),
        json!(["30 2 * * *", { "crontab": "30 2 * * *", "globals": { "n": 1 } }]),
    ] {
        let plan = plan(&schedule);
        let (first, second, both) = (nine(&plan, entry_0), nine(&plan, entry_1), nine(&plan, |asked| asked));
        assert!(first.id != second.id && first.id != both.id && second.id != both.id, "{schedule}");
        let keyed = |one: Backfill| Backfill { id: "k".to_owned(), key: Some("k".to_owned()), ..one };
        assert!(!keyed(first).asks_the_same(&keyed(second)), "{schedule}");
    }
}

#[test]
fn standing_of_an_entry_before_its_first_look_has_no_starts() {
    let plan =
        plan(&json!([{ "every": "1h", "run_now": true }, { "crontab": "* * * * *", "catch_up": "all" }]));
    let at = instant("2026-11-01T00:00:00Z");
    let unseen = Timetable::new(job(), at);
    for now in [at, at + TimeDelta::minutes(1)] {
        for standing in standings(&plan, &unseen, now) {
            assert_eq!((standing.last, standing.started), (None, 0), "entry {} at {now}", standing.entry);
        }
    }
    let stored = unseen.look(&plan, at, TimeDelta::zero()).next;
    assert_eq!(standings(&plan, &stored, at)[0].started, 1);
}

#[test]
fn entry_holds_in_its_window_and_on_days_of_its_calendars() {
    let zone = "Europe/Berlin";
    for (more, at, wanted) in [
        (json!({}), "2026-03-09T12:00:00Z", true),
        (json!({ "from": "2026-03-09" }), "2026-03-08T22:59:59Z", false),
        (json!({ "from": "2026-03-09" }), "2026-03-08T23:00:00Z", true),
        (json!({ "to": "2026-03-09T12:00" }), "2026-03-09T11:00:00Z", true),
        (json!({ "to": "2026-03-09T12:00" }), "2026-03-09T11:00:01Z", false),
        (json!({ "from": "2026-03-20", "to": "2026-03-01" }), "2026-03-09T12:00:00Z", false),
        (json!({ "from": "2026-03-20", "to": "2026-03-01" }), "2026-02-09T12:00:00Z", true),
        (json!({ "from": "2026-03-20", "to": "2026-03-01" }), "2026-03-29T12:00:00Z", true),
        (json!({ "skip": "audit" }), "2026-03-09T12:00:00Z", false),
        (json!({ "skip": "audit" }), "2026-03-08T22:59:59Z", true),
        (json!({ "skip": "audit" }), "2026-03-08T23:00:00Z", false),
        (json!({ "only": "audit" }), "2026-03-09T12:00:00Z", true),
        (json!({ "only": "audit" }), "2026-03-13T12:00:00Z", false),
    ] {
        let mut entry = json!({ "crontab": "@reboot", "timezone": zone });
        entry.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let plan = plan(&entry);
        let planned = plan.entries[0].as_ref().expect("an entry");
        assert_eq!(planned.entry(instant(at)).holds(instant(at)), wanted, "{entry} at {at}");
    }
}

#[test]
fn instant_in_a_gap_or_a_fold_is_noted() {
    for (at, wanted) in [
        ("2026-03-29T02:30", vec!["02:30 does not exist: it is 03:30"]),
        ("2026-10-25T02:30", vec!["02:30 comes twice: the first"]),
        ("2026-10-25T02:30+01:00", vec![]),
        ("2026-03-29T03:30", vec![]),
    ] {
        let plan = plan(&json!({ "at": [at], "timezone": "Europe/Berlin" }));
        let start = instant("2026-01-01T00:00:00Z");
        let timetable = Timetable::new(JobId::new("a").expect("an id"), start);
        let standing = standings(&plan, &timetable, start).remove(0);
        let slot = standing.upcoming(start).next().expect("a slot");
        assert_eq!(standing.notes(&slot), wanted, "{at}");
    }
}

#[test]
fn export_has_remarks_on_hours_hosts_and_beginnings() {
    let now = instant("2026-11-01T00:00:00Z");
    let told = |mut entry: Value| {
        entry["timezone"] = json!("Europe/Berlin");
        let plan = plan(&entry);
        native(plan.entries[0].as_ref().expect("an entry"), now, now)
    };
    for (crontab, counts) in [("@hourly", true), ("0 * * * *", true), ("@daily", false), ("@monthly", false)]
    {
        let remarks = told(json!({ "crontab": crontab })).remarks;
        assert_eq!(remarks[0].contains("hour that comes twice"), counts, "{crontab}: {remarks:?}");
    }
    let hosts = told(json!({ "crontab": "0 4 * * *", "nodes": "all" }));
    assert!(hosts.schedules.is_empty() && hosts.remarks[0].contains("hosts"), "{hosts:?}");
    let later = told(json!({ "every": "1h", "from": "2027-01-01T00:00:00Z" })).remarks;
    assert!(later[0].starts_with("it begins at 2027-01-01T00:00:00Z"), "{later:?}");
}
