//! Entries with `nodes: all`: tables of the pure rules.

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::clock::backfill::{BackfillRequest, Only, Refused};
use pumice_core::clock::{Backfill, EntryPause, JobSchedule, Looked, State, Timetable, describe, standings};
use pumice_core::hosts::Hosts;
use pumice_core::ids::{HostId, JobId, RunId, RunKey, WorkerName};
use pumice_core::run::{
    DropReason, Duties, IllegalTransition, Input, Lease, Look, Run, Status, Worker, decide, look, look_on,
};
use pumice_core::spec::{ActionsWhen, JobSpec, RealmSpec, Settings};
use serde_json::{Value, json};

const AHEAD: TimeDelta = TimeDelta::seconds(90);

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn host(name: &str) -> HostId {
    HostId::new(name).expect("an id")
}

fn parsed(schedule: &Value, more: &Value) -> Result<JobSpec, String> {
    let mut document =
        json!({ "job_id": "a", "type": "cmd", "worker": "core", "enabled": true, "payload": "true" });
    let fields = document.as_object_mut().expect("an object");
    fields.insert("schedule".to_owned(), schedule.clone());
    fields.extend(more.as_object().cloned().unwrap_or_default());
    JobSpec::parse(&document).map_err(|error| error.to_string())
}

fn plan_with(schedule: &Value, more: &Value, hosts: Hosts) -> JobSchedule {
    let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
    let settings =
        Settings { foreign_workers: vec!["lavas".to_owned()], has_lava_table: true, ..Settings::default() };
    let plan = JobSchedule::of(&parsed(schedule, more).expect("a job"), &realm, &settings);
    JobSchedule { hosts, ..plan }
}

fn hourly(more: &Value) -> Value {
    let mut entry = json!({ "crontab": "0 * * * *", "nodes": "all", "timezone": "UTC" });
    entry.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    entry
}

fn plan(more: &Value, hosts: Hosts) -> JobSchedule {
    plan_with(&hourly(more), &json!({}), hosts)
}

fn alive(names: &[&str]) -> Hosts {
    Hosts::Alive(names.iter().map(|name| host(name)).collect())
}

fn seen(plan: &JobSchedule) -> Timetable {
    let at = instant("2026-03-01T08:30:00Z");
    Timetable::new(JobId::new("a").expect("an id"), at).look(plan, at, TimeDelta::zero()).next
}

fn look_at(timetable: &Timetable, plan: &JobSchedule, at: &str) -> Looked {
    timetable.look(plan, instant(at), AHEAD)
}

fn keys(looked: &Looked) -> Vec<&str> {
    looked.starts.iter().map(|start| start.key.as_str()).collect()
}

#[test]
fn slot_starts_once_on_each_host_under_its_own_key() {
    let plan = plan(&json!({}), alive(&["a-1", "b-2"]));
    let looked = look_at(&seen(&plan), &plan, "2026-03-01T08:59:00Z");
    assert_eq!(keys(&looked), ["schedule:2026-03-01T09:00:00Z@a-1", "schedule:2026-03-01T09:00:00Z@b-2"]);
    let hosts: Vec<_> = looked.starts.iter().map(|start| start.host.clone()).collect();
    assert_eq!(hosts, [Some(host("a-1")), Some(host("b-2"))]);
    assert_eq!(looked.next.cursors[0].ahead.len(), 2, "each can be withdrawn");
    assert!(look_at(&looked.next, &plan, "2026-03-01T08:59:30Z").starts.is_empty());
}

#[test]
fn single_host_takes_the_slot_under_the_key_of_the_slot() {
    let plan = plan(&json!({}), Hosts::Single);
    let looked = look_at(&seen(&plan), &plan, "2026-03-01T08:59:00Z");
    assert_eq!(keys(&looked), ["schedule:2026-03-01T09:00:00Z"]);
    assert_eq!(looked.starts[0].host, None);
}

#[test]
fn nodes_one_is_the_default_and_names_no_host() {
    for nodes in [json!("one"), Value::Null] {
        let mut entry = hourly(&json!({}));
        entry["nodes"] = nodes;
        let plan = plan_with(&entry, &json!({}), alive(&["a-1", "b-2"]));
        let looked = look_at(&seen(&plan), &plan, "2026-03-01T08:59:00Z");
        assert_eq!(keys(&looked), ["schedule:2026-03-01T09:00:00Z"]);
        assert_eq!(looked.starts[0].host, None);
    }
}

#[test]
fn function_worker_halts_the_entry_where_it_is_and_says_why() {
    let never = || Hosts::Never("a function has no hosts".to_owned());
    let plan = plan(&json!({}), never());
    let first = seen(&plan);
    assert_eq!(first.cursors[0].state, State::Active, "nothing is due yet");
    let looked = look_at(&first, &plan, "2026-03-01T08:59:00Z");
    assert!(looked.starts.is_empty());
    let cursor = &looked.next.cursors[0];
    assert_eq!((&cursor.state, cursor.next), (&State::Halted, Some(instant("2026-03-01T09:00:00Z"))));
    assert_eq!(looked.next.due_at, None);
    // An edit of something else does not hide why it is halted.
    let again = look_at(&looked.next.touched(instant("2026-03-01T09:10:00Z")), &plan, "2026-03-01T09:10:00Z");
    let now = instant("2026-03-01T09:11:00Z");
    let silence = standings(&plan, &again.next, now)[0].silence();
    assert_eq!(silence.as_deref(), Some("halted: a function has no hosts"));
    // Once there are hosts, an operator has it go on.
    let plan = JobSchedule { hosts: alive(&["a-1"]), ..plan };
    let resumed = again.next.resumed(&plan, None, true, now).next.expect("a change");
    let looked = look_at(&resumed, &plan, "2026-03-01T09:11:00Z");
    assert_eq!(keys(&looked), ["schedule:2026-03-01T09:00:00Z@a-1"]);
    assert_eq!(looked.next.cursors[0].trouble, None);
}

#[test]
fn run_now_without_hosts_halts_too() {
    let plan = plan(&json!({ "run_now": true }), Hosts::Never("no".to_owned()));
    assert_eq!(seen(&plan).cursors[0].state, State::Halted);
}

#[test]
fn hosts_all_gone_pass_the_slot_over_and_break_its_limits() {
    let plan = plan(&json!({ "must_start": "5m" }), Hosts::Gone("no host is alive".to_owned()));
    let looked = look_at(&seen(&plan), &plan, "2026-03-01T09:00:01Z");
    let cursor = &looked.next.cursors[0];
    assert!(looked.starts.is_empty());
    assert_eq!(cursor.last, Some(instant("2026-03-01T09:00:00Z")));
    assert_eq!((&cursor.state, cursor.trouble.as_deref()), (&State::Active, Some("no host is alive")));
    assert_eq!(cursor.watch.open[0].no_run.as_deref(), Some("no host is alive"));
}

#[test]
fn limits_are_kept_for_the_run_of_each_host() {
    let plan = plan(&json!({ "must_start": "5m" }), alive(&["a-1", "b-2"]));
    let looked = look_at(&seen(&plan), &plan, "2026-03-01T09:00:01Z");
    let open: Vec<&str> = looked.next.cursors[0].watch.open.iter().map(|open| open.key.as_str()).collect();
    assert_eq!(open, keys(&looked));
}

#[test]
fn max_runs_counts_slots_and_not_hosts() {
    let plan = plan(&json!({ "max_runs": 1 }), alive(&["a-1", "b-2", "c-3"]));
    let looked = look_at(&seen(&plan), &plan, "2026-03-01T09:00:01Z");
    assert_eq!((looked.starts.len(), looked.next.cursors[0].started), (3, 1));
    assert!(look_at(&looked.next, &plan, "2026-03-01T10:00:01Z").starts.is_empty());
}

#[test]
fn pause_withdraws_the_run_of_each_host() {
    let plan = plan(&json!({}), alive(&["a-1", "b-2"]));
    let ahead = look_at(&seen(&plan), &plan, "2026-03-01T08:59:00Z");
    let pause = EntryPause { until: None, by: "ann".to_owned(), why: String::new() };
    let paused =
        ahead.next.paused(&plan, None, &pause, instant("2026-03-01T08:59:10Z")).next.expect("a change");
    assert_eq!(paused.withdrawing().collect::<Vec<_>>(), keys(&ahead));
    let looked = look_at(&paused, &plan, "2026-03-01T08:59:10Z");
    assert!(looked.starts.is_empty() && looked.next.named(keys(&ahead)[0]).is_none());
}

#[test]
fn overlap_other_than_allow_is_refused_with_the_reason() {
    for overlap in ["skip", "queue", "latest", "cancel_running"] {
        let error = parsed(&hourly(&json!({ "overlap": overlap })), &json!({})).expect_err("it is refused");
        assert!(error.contains(&format!("nodes: all with overlap: {overlap}")), "{error}");
        let of_job = plan_with(&hourly(&json!({})), &json!({ "overlap": overlap }), Hosts::Single);
        let error = of_job.entries[0].as_ref().expect_err("the lock of the job is one for all").to_string();
        assert!(error.contains("give the entry overlap: allow"), "{error}");
        let over = hourly(&json!({ "overlap": "allow" }));
        assert!(plan_with(&over, &json!({ "overlap": overlap }), Hosts::Single).entries[0].is_ok());
    }
}

#[test]
fn nodes_of_another_word_or_of_a_lava_worker_are_refused() {
    let error = parsed(&hourly(&json!({ "nodes": "each" })), &json!({})).expect_err("it is refused");
    assert!(error.contains("nodes"), "{error}");
    let lavas = plan_with(&hourly(&json!({})), &json!({ "worker": "lavas" }), Hosts::Single);
    let error = lavas.entries[0].as_ref().expect_err("lava's workers have no hosts").to_string();
    assert!(error.contains("is a lava worker"), "{error}");
}

#[test]
fn backfill_of_nodes_all_is_refused() {
    let plan = plan(&json!({}), Hosts::Single);
    let asked = BackfillRequest {
        entry: None,
        from: instant("2026-02-01T00:00:00Z"),
        to: instant("2026-02-02T00:00:00Z"),
        only: Only::All,
        max_active: 1,
        reverse: false,
        key: None,
        by: String::new(),
        why: String::new(),
    };
    let now = instant("2026-03-01T09:00:00Z");
    let refused = Backfill::begin(JobId::new("a").expect("an id"), &plan, &seen(&plan), asked, now);
    assert_eq!(refused.map(drop), Err(Refused::AllNodes(0)));
}

#[test]
fn entry_in_words_says_on_each_host() {
    let plan = plan(&json!({}), Hosts::Single);
    let words = describe(plan.entries[0].as_ref().expect("an entry"));
    assert!(words.ends_with(", on each host"), "{words}");
}

fn run() -> Run {
    let id = RunId(uuid::Uuid::from_u128(7));
    let about = (JobId::new("a").expect("an id"), "log".to_owned(), WorkerName::new("core").expect("a name"));
    let at = instant("2026-03-01T09:00:00Z");
    Run { host: Some(host("a-1")), ..Run::dispatched(RunKey::root(id), id, about, at, at, None) }
}

fn held(until: &str) -> Run {
    let lease = Lease { owner: Worker("w".to_owned()), until: instant(until) };
    let at = instant("2026-03-01T09:00:00Z");
    Run { status: Status::Running, epoch: 1, ts_start: Some(at), lease: Some(lease), ..run() }
}

#[test]
fn run_for_a_host_is_started_there_and_nowhere_else() {
    let now = instant("2026-03-01T09:00:01Z");
    let retrying = Run { status: Status::Retrying, attempt: 2, ..run() };
    let duties = Duties { actions: Some(ActionsWhen::OnRetry), done: 0, wake_parent: false };
    for run in [run(), retrying, held("2026-03-01T09:00:00Z"), Run { cancel: true, ..run() }] {
        for other in [None, Some(host("b-2"))] {
            let looked = look_on(&run, other.as_ref(), false, now);
            assert_eq!(looked, Look::Drop(DropReason::Elsewhere), "{run:?} on {other:?}");
        }
        assert!(!matches!(look_on(&run, Some(&host("a-1")), false, now), Look::Drop(_)), "{run:?}");
    }
    let ended = Run { status: Status::Failed, duties: Some(duties), ..run() };
    assert_eq!(look(&ended, false, now), Look::Duties, "any worker sees to what is left");
}

#[test]
fn run_for_a_host_has_no_message_and_calls_at_its_time() {
    let due = instant("2026-03-01T09:01:00Z");
    let swept = decide(&run(), Input::Sweep, due).expect("it is due");
    assert_eq!(swept.wake, None);
    assert_eq!(run().calls_host_at(), Some(instant("2026-03-01T09:00:00Z")));
    assert_eq!(swept.run.calls_host_at(), Some(due), "its host finds it at once");
    let mut later = Run { not_before: instant("2026-03-01T12:00:00Z"), ..run() };
    assert_eq!(pumice_core::run::first_wake(&mut later, due), None);
    assert_eq!(later.calls_host_at(), Some(instant("2026-03-01T12:00:00Z")));
    assert_eq!(Run { host: None, ..run() }.calls_host_at(), None);
}

#[test]
fn run_whose_host_is_gone_ends_with_the_reason() {
    let now = instant("2026-03-01T09:02:00Z");
    let gone = |run: &Run, stopped| decide(run, Input::HostGone { stopped, on_fail: true }, now);
    for (run, stopped, status, reason) in [
        (run(), false, Status::Failed, "its host a-1 is gone before it ran"),
        (run(), true, Status::Skipped, "its host a-1 was stopped before it ran"),
        (held("2026-03-01T09:01:00Z"), false, Status::Failed, "its host a-1 is gone before it had ended"),
        (held("2026-03-01T09:01:00Z"), true, Status::Failed, "its host a-1 was stopped before it had ended"),
    ] {
        let ended = gone(&run, stopped).expect("it ends");
        assert_eq!((ended.run.status, ended.run.reason.as_deref()), (status, Some(reason)));
        let has_actions = status == Status::Failed;
        assert_eq!(ended.run.duties.is_some(), has_actions, "{reason}");
        assert_eq!(ended.wake.is_some(), has_actions, "a message for what is left");
        assert!(!ended.run.is_addressed() && ended.run.lease.is_none());
    }
    let duties = Duties { actions: Some(ActionsWhen::OnRetry), done: 0, wake_parent: false };
    let retrying = Run { status: Status::Retrying, duties: Some(duties), ..run() };
    let first = gone(&retrying, false).expect("its actions come first");
    assert_eq!((first.run.status, first.wake.is_some()), (Status::Retrying, true));
    assert_eq!(gone(&held("2026-03-01T09:05:00Z"), false), Err(IllegalTransition::Held));
    assert_eq!(gone(&Run { host: None, ..run() }, false), Err(IllegalTransition::Nothing));
    let over = Run { status: Status::Complete, ..run() };
    assert_eq!(gone(&over, false), Err(IllegalTransition::Ended));
}
