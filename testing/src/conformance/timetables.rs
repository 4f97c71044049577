//! How far schedules have come.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::collections::BTreeSet;

use pumice_core::Timestamp;
use pumice_core::clock::{
    Ahead, Alert, Broken, Cursor, LimitKind, Missed, Open, Pending, Silence, State, Superseded, Timetable,
    Watch, Withdrawn,
};
use pumice_core::duration::Span;
use pumice_core::ids::{HostId, JobId};
use pumice_core::ports::{CommitError, DuePlace};
use pumice_core::run::Status;
use pumice_core::spec::CatchUp;
use serde_json::json;

use super::{Adapters, at};

fn job(id: &str) -> JobId {
    JobId::new(id).expect("an id")
}

fn cursor(next: Timestamp) -> Cursor {
    let paused = State::Paused { until: Some(at(50)), by: "ann".to_owned(), why: "ü \"quoted\"".to_owned() };
    Cursor {
        fingerprint: "f00d".to_owned(),
        given: "cafe".to_owned(),
        since: at(1),
        last: Some(at(2)),
        next: Some(next),
        state: paused,
        started: 3,
        ahead: vec![ahead()],
        withdrawn: vec![Withdrawn { at: at(70), key: "schedule:y".to_owned(), done: true }],
        trouble: Some("refused".to_owned()),
        unseen: true,
        lapsed: true,
        at_once: Some(at(6)),
        watch: watch(),
    }
}

fn ahead() -> Ahead {
    let missed = Missed { kind: CatchUp::All, from: at(3), to: at(4), count: 2 };
    let host = Some(HostId::new("a-1").expect("an id"));
    Ahead {
        at: at(60),
        key: "schedule:x".to_owned(),
        slot: Some(at(59)),
        after: Some(at(2)),
        made_by: Some("beef".to_owned()),
        pending: Some(Pending { previous: Some(at(58)), missed: Some(missed), host }),
    }
}

fn watch() -> Watch {
    let broken = Broken { limit: LimitKind::MaxSilence, by: at(40), slot: Some(at(30)) };
    let open = Open {
        slot: at(30),
        previous: None,
        key: "schedule:x".to_owned(),
        must_start: Some(at(31)),
        finish_by: None,
        passed: true,
        end_counts: true,
        earlier: true,
        no_run: Some("ü".to_owned()),
    };
    let silence = Silence { max: Span::from_mins(90), since: at(3), told: Some(broken.clone()) };
    let alert = Alert {
        entry: 1,
        broken: broken.clone(),
        previous: Some(at(20)),
        run: Some("schedule:x".to_owned()),
        status: Some(Status::Running),
        why: "ü".to_owned(),
        key: "k".to_owned(),
    };
    let (open, broken, alerts) = ([open].into(), vec![broken], vec![alert]);
    Watch { open, failures: 2, silence: Some(silence), broken, alerts, given_up: 7 }
}

async fn touched(on: &Adapters, ids: &[&str], when: Timestamp) -> Vec<Timetable> {
    let ids: Vec<JobId> = ids.iter().map(|id| job(id)).collect();
    on.schedules.touch(&ids, when).await.expect("the store answers");
    let found = on.schedules.load(&ids).await.expect("the store answers");
    found.into_iter().map(|one| one.expect("it is there")).collect()
}

/// The timetables that are due, of all pages of all parts, the longest due first.
async fn due(on: &Adapters, until: i64, limit: usize) -> Vec<Timetable> {
    let mut all: Vec<Timetable> = Vec::new();
    for part in 0..on.schedules.parts() {
        let mut after: Option<DuePlace> = None;
        loop {
            let page = on.schedules.due(part, at(until), after.as_ref(), limit).await;
            let page = page.expect("the store answers");
            assert!(page.found.len() <= limit && page.found.is_sorted_by_key(|one| one.due_at));
            all.extend(page.found);
            assert!(
                page.next.as_ref().is_none_or(|next| after.as_ref().is_none_or(|after| next.at >= after.at))
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    all.sort_by_key(|one| one.due_at);
    all
}

/// One after a look, due at a time.
fn looked_at(before: &Timetable, due: Timestamp) -> Timetable {
    let (rev, cursors) = (before.rev + 1, vec![cursor(due), Cursor { state: State::Active, ..cursor(due) }]);
    let rules = Some("some rules".to_owned());
    Timetable { rev, due_at: Some(due), changed: None, rules, cursors, ..before.clone() }
}

async fn put(on: &Adapters, timetable: Timetable) -> Result<(), CommitError> {
    on.schedules.put(vec![timetable]).await.expect("the store answers").remove(0)
}

pub async fn timetable_is_made_by_a_touch_and_read_as_it_was_put(on: &Adapters) {
    let made = touched(on, &["etl/load"], at(5)).await.remove(0);
    assert_eq!(made, Timetable::new(job("etl/load"), at(5)));
    let next = looked_at(&made, at(100));
    put(on, next.clone()).await.expect("it is written");
    let found = on.schedules.load(&[job("none"), job("etl/load")]).await.expect("the store answers");
    assert_eq!(found, [None, Some(next.clone())]);
    let all = on.schedules.all().await.expect("the store answers");
    // A job of the stores may have one of its own.
    assert!(all.contains(&next) && all.iter().filter(|one| one.job_id == next.job_id).count() == 1);
    let idle = async || on.schedules.without_next().await.expect("the store answers");
    assert!(!idle().await.contains(&next));
    let cursors = vec![cursor(at(100)), Cursor { next: None, ..cursor(at(100)) }];
    let job = json!({ "job_id": "etl/load", "schedule": "0 6 * * *" }).as_object().cloned();
    let superseded = [(at(90), job), (at(95), None)].map(|(since, job)| Superseded { since, job }).into();
    let over = Timetable { rev: next.rev + 1, changed: Some(at(99)), superseded, cursors, ..next };
    put(on, over.clone()).await.expect("it is written");
    assert!(idle().await.contains(&over));
    assert_eq!(touched(on, &["etl/load"], at(120)).await, [over.touched(at(120))]);
}

pub async fn touch_keeps_the_cursors(on: &Adapters) {
    let made = touched(on, &["a"], at(5)).await.remove(0);
    let next = looked_at(&made, at(100));
    put(on, next.clone()).await.expect("it is written");
    assert_eq!(touched(on, &["a"], at(7)).await, [next.touched(at(7))]);
}

pub async fn timetables_by_other_rules_are_touched(on: &Adapters) {
    let made = touched(on, &["a", "b", "c"], at(5)).await;
    let same = looked_at(&made[0], at(100));
    let other = Timetable { rules: Some("others".to_owned()), ..looked_at(&made[1], at(100)) };
    for next in [&same, &other] {
        put(on, next.clone()).await.expect("it is written");
    }
    // The third waits for its first look, and keeps the time from which it counts.
    assert_eq!(on.schedules.keep_to("some rules", at(50)).await.expect("the store answers"), [job("b")]);
    let found = on.schedules.load(&[job("a"), job("b"), job("c")]).await.expect("the store answers");
    assert_eq!(found, [Some(same), Some(other.touched(at(50))), Some(made[2].clone())]);
    assert_eq!(on.schedules.keep_to("some rules", at(60)).await.expect("the store answers"), []);
}

pub async fn hurry_makes_it_due_and_old_revisions_conflict(on: &Adapters) {
    let made = touched(on, &["a", "b"], at(5)).await;
    let next = looked_at(&made[0], at(100));
    put(on, next.clone()).await.expect("it is written");
    let idle = Timetable { due_at: None, ..looked_at(&made[1], at(100)) };
    put(on, idle.clone()).await.expect("it is written");
    let found = async |id: &str| on.schedules.load(&[job(id)]).await.expect("the store answers").remove(0);
    for id in ["a", "b", "none"] {
        on.schedules.hurry(&job(id), at(50)).await.expect("the store answers");
    }
    assert_eq!(found("a").await, Some(next.hurried(at(50))));
    assert_eq!(found("b").await, Some(idle.hurried(at(50))));
    assert_eq!(found("none").await, None);
    assert!(matches!(put(on, looked_at(&next, at(200))).await, Err(CommitError::Conflict)));
    on.schedules.hurry(&job("a"), at(60)).await.expect("the store answers");
    let again = found("a").await.expect("it is there");
    assert_eq!((again.due_at, again.rev), (Some(at(50)), next.rev + 2));
    let mut due: Vec<String> = due(on, 50, 10).await.iter().map(|one| one.job_id.to_string()).collect();
    due.sort_unstable();
    assert_eq!(due, ["a", "b"]);
}

pub async fn timetable_of_an_old_revision_is_a_conflict(on: &Adapters) {
    let made = touched(on, &["a"], at(5)).await.remove(0);
    touched(on, &["a"], at(6)).await;
    assert!(matches!(put(on, looked_at(&made, at(9))).await, Err(CommitError::Conflict)));
    let none = Timetable { rev: 2, ..Timetable::new(job("none"), at(1)) };
    assert!(matches!(put(on, looked_at(&none, at(9))).await, Err(CommitError::Conflict)));
    let removed = Timetable { rev: made.rev + 1, ..made };
    assert!(matches!(put(on, removed).await, Err(CommitError::Conflict)));
}

pub async fn timetable_without_cursors_is_removed(on: &Adapters) {
    let made = touched(on, &["a"], at(5)).await.remove(0);
    put(on, Timetable { rev: made.rev + 1, ..made }).await.expect("it is removed");
    assert_eq!(on.schedules.load(&[job("a")]).await.expect("the store answers"), [None]);
    assert_eq!(touched(on, &["a"], at(6)).await[0].rev, 1);
}

pub async fn timetables_that_are_due_come_longest_due_first(on: &Adapters) {
    let made = touched(on, &["a", "b", "c", "d"], at(5)).await;
    for (timetable, due) in made.iter().zip([Some(30), Some(10), None, Some(20)]) {
        let next = looked_at(timetable, at(due.unwrap_or(0)));
        put(on, Timetable { due_at: due.map(at), ..next }).await.expect("it is written");
    }
    for limit in [1, 10] {
        let due = async |until: i64| {
            let due = due(on, until, limit).await;
            due.iter().map(|one| one.job_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(due(20).await, ["b", "d"], "{limit}");
        assert_eq!(due(100).await, ["b", "d", "a"], "{limit}");
        assert_eq!(due(9).await, Vec::<String>::new(), "{limit}");
    }
    let longest = on.schedules.longest_due(at(100), 2).await.expect("the store answers");
    assert_eq!(longest.iter().map(|one| one.job_id.as_str()).collect::<Vec<_>>(), ["b", "d"]);
    assert_eq!(on.schedules.next_due().await.expect("the store answers"), Some(at(10)));
}

pub async fn pages_of_due_timetables_have_each_once(on: &Adapters) {
    let ids: Vec<String> = (0..40).map(|number| format!("job-{number}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    // All at one time: the places between them are by the store's tie-breaker.
    let made = touched(on, &names, at(5)).await;
    let wanted: BTreeSet<String> = ids.iter().cloned().collect();
    for limit in [1, 3, 1_000] {
        let found: Vec<String> = due(on, 5, limit).await.iter().map(|one| one.job_id.to_string()).collect();
        assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{limit}");
        assert_eq!(found.len(), wanted.len(), "{limit}: none comes twice");
    }
    // What is written between two pages neither ends them nor hides the others.
    let mut left: BTreeSet<JobId> = made.iter().map(|one| one.job_id.clone()).collect();
    for part in 0..on.schedules.parts() {
        let mut after = None;
        loop {
            let page = on.schedules.due(part, at(5), after.as_ref(), 2).await.expect("the store answers");
            for one in page.found {
                assert!(left.remove(&one.job_id), "{} comes twice", one.job_id);
                put(on, looked_at(&one, at(100))).await.expect("it is written");
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    assert_eq!(left, BTreeSet::new());
}

pub async fn disabled_jobs_are_those_of_the_last_look(on: &Adapters) {
    let made = touched(on, &["on", "off", "new"], at(5)).await;
    put(on, looked_at(&made[0], at(100))).await.expect("it is written");
    let looked = looked_at(&made[1], at(100));
    let disabled = |cursor: &Cursor| Cursor { state: State::Disabled, ..cursor.clone() };
    let cursors = looked.cursors.iter().map(disabled).collect();
    let off = Timetable { due_at: None, cursors, ..looked };
    put(on, off.clone()).await.expect("it is written");
    assert_eq!(on.schedules.disabled().await.expect("the store answers"), [job("off")]);
    put(on, looked_at(&off, at(100))).await.expect("it is written");
    assert_eq!(on.schedules.disabled().await.expect("the store answers"), []);
}
