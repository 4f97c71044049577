//! The contract of each port: one suite, run against each adapter by [`conformance_tests`](crate::conformance_tests).
//!
//! No test waits: a hidden item is put far into the future, a visible one into the past. Only those of
//! schedules wait, for one that is due in a few seconds.

pub mod audit;
pub mod backfills;
pub mod bulk;
pub mod dead_letters;
pub mod documents;
pub mod hosts;
pub mod jobs;
pub mod objects;
pub mod permits;
pub mod queue;
pub mod runs;
pub mod runs_found;
pub mod runs_listed;
pub mod runs_locks;
pub mod state;
pub mod timetables;
pub mod triggers;
pub mod wake_ups;

use std::any::Any;
use std::sync::Arc;

use pumice_core::Timestamp;
use pumice_core::connection::ConnectionStore;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::{
    AuditStore, BulkStore, Catalog, Change, Clock, CommitError, Consumer, DeadLetters, HostStore, JobStore,
    ObjectStore, Outgoing, Queue, RunStore, ScheduleStore, StateStore, TriggerStore, WakeUps,
};
use pumice_core::run::{LockChange, NewRun, Run};
use pumice_core::spec::{JobSpec, RealmSpec, RunSpec};
use serde_json::{Value, json};
use uuid::Uuid;

/// Adapters over fresh, empty stores that hold [`realm`] and [`jobs`](stored_jobs).
pub struct Adapters {
    /// Job specs and the realm.
    pub jobs: Arc<dyn JobStore>,
    /// Records of runs.
    pub runs: Arc<dyn RunStore>,
    /// How far schedules have come.
    pub schedules: Arc<dyn ScheduleStore>,
    /// State items.
    pub state: Arc<dyn StateStore>,
    /// The audit.
    pub audit: Arc<dyn AuditStore>,
    /// Acts on many runs.
    pub bulk: Arc<dyn BulkStore>,
    /// Triggers.
    pub triggers: Arc<dyn TriggerStore>,
    /// The catalog, if the adapters belong to a realm that people use.
    pub catalog: Option<Arc<dyn Catalog>>,
    /// Connections, there too.
    pub connections: Option<Arc<dyn ConnectionStore>>,
    /// The sending end of the queues.
    pub queue: Arc<dyn Queue>,
    /// The receiving end of the queues.
    pub consumer: Arc<dyn Consumer>,
    /// The dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The wake-ups of runs that are due later than a queue holds a message, if there are any.
    pub wake_ups: Option<Arc<dyn WakeUps>>,
    /// The hosts of workers, where there may be several.
    pub hosts: Option<Arc<dyn HostStore>>,
    /// Files.
    pub objects: Arc<dyn ObjectStore>,
    /// The prefix of the locations of objects, as in `s3://bucket/tmp`.
    pub place: String,
    /// The clock that the queues go by.
    pub clock: Arc<dyn Clock>,
    /// Values that must live as long as the adapters: a folder, a server.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// The realm that the stores hold, as lava's users may have written it: with values that are invalid.
#[must_use]
pub fn realm() -> Value {
    let config = json!({ "EVENT_TTL": null, "cmd_timeout": "soon", "foreach_limit": "7" });
    json!({ "realm": "conformance", "x-note": "kept", "config": config, "on_fail": "nothing" })
}

/// A job of the stores, as lava's users may have written it: with mistakes that do not keep it from running.
#[must_use]
pub fn odd_job() -> Value {
    json!({ "job_id": "odd", "type": "log", "worker": "core", "payload": null, "colour": "red", "owner": 7,
        "schedule": "1,,2 * * * *", "iteration_limit": "2", "on_fail": ["slack", { "action": "slack" }], "x-note": "kept" })
}

/// The jobs without mistakes that the stores hold.
#[must_use]
pub fn stored_jobs() -> Vec<Value> {
    let job = |id: &str| json!({ "job_id": id, "type": "log", "worker": "core", "payload": { "message": id }, "x-note": "kept" });
    vec![job("etl/load"), job("etl/check"), job("report")]
}

/// [`realm`], read.
///
/// # Panics
/// Never: the document is a constant that holds.
#[must_use]
pub fn realm_spec() -> RealmSpec {
    RealmSpec::stored(realm().as_object().cloned().unwrap_or_default(), &[]).expect("the realm holds")
}

/// [`stored_jobs`], read, and [`odd_job`].
///
/// # Panics
/// Never: the documents are constants that hold.
#[must_use]
pub fn job_specs() -> Vec<JobSpec> {
    let odd = odd_job().as_object().cloned().unwrap_or_default();
    let odd = JobSpec::stored(Arc::new(odd)).expect("it can run");
    stored_jobs().iter().map(|job| JobSpec::parse(job).expect("the job holds")).chain([odd]).collect()
}

fn job(id: &str) -> JobId {
    JobId::new(id).expect("an id")
}

fn worker(name: &str) -> WorkerName {
    WorkerName::new(name).expect("a name")
}

fn key(number: u128) -> RunKey {
    RunKey::root(RunId(Uuid::from_u128(number)))
}

/// A moment all records of the suite begin at, and so many seconds after it.
fn at(seconds: i64) -> Timestamp {
    chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 123_456_000).expect("an instant")
}

/// A run of a job, dispatched at [`at`]`(number)`.
fn run_of(number: u32, job_id: &str) -> Run {
    let key = key(u128::from(number));
    let run_id = key.run_id().expect("a run of its own");
    let about = (job(job_id), "log".to_owned(), worker("core"));
    let now = at(i64::from(number));
    Run::dispatched(key, run_id, about, now, now, Span::from_days(3_650))
}

fn child_of(parent: &Run, attempt: u32, step: u32) -> Run {
    Run { key: parent.key.child(attempt, step), ..parent.clone() }
}

fn new(run: Run) -> NewRun {
    let document = json!({ "job_id": run.job_id, "payload": { "of": run.key } });
    NewRun { run, spec: RunSpec::of_job(Arc::new(document.as_object().cloned().unwrap_or_default())) }
}

fn message_about(run: &Run, at: Timestamp) -> Outgoing {
    let realm = RealmName::new("conformance").expect("a name");
    Outgoing { message: Message::about(&realm, run), at }
}

impl Adapters {
    async fn make(&self, runs: impl IntoIterator<Item = Run>) {
        let runs: Vec<_> = runs.into_iter().map(|run| (new(run), None)).collect();
        let created = self.runs.create(&runs).await.expect("runs are made");
        assert!(created.iter().all(|created| created.existing.is_none()), "they were not there yet");
    }

    async fn get(&self, key: &RunKey) -> Run {
        self.runs.load(key).await.expect("the store answers").expect("the run is there")
    }

    /// Writes the next revision of a run, changed.
    async fn change(&self, key: &RunKey, edit: impl FnOnce(&mut Run)) -> Run {
        let mut run = self.get(key).await;
        run.rev += 1;
        edit(&mut run);
        let change = Change { run: run.clone(), lock: None, permit: None, message: None };
        self.runs.commit(&change).await.expect("no other writer");
        run
    }

    /// Writes the next revision of a run as it is, with a change of its job's lock.
    async fn lock(&self, key: &RunKey, lock: LockChange) -> Result<bool, CommitError> {
        let mut run = self.get(key).await;
        run.rev += 1;
        self.runs.commit(&Change { run, lock: Some(lock), permit: None, message: None }).await
    }
}

/// Hands all cases of the suite to another macro, after what is to run them.
#[macro_export]
macro_rules! conformance_cases {
    ($then:ident, $run:path) => {
        $crate::$then! { $run;
            jobs::come_in_the_order_asked_for,
            jobs::stored_with_mistakes_come_with_warnings,
            jobs::realm_is_whole,
            queue::message_comes_as_it_was_sent,
            queue::delivery_has_no_other_record_than_the_stored_one,
            queue::message_for_later_stays_hidden,
            queue::queue_lists_the_runs_whose_message_is_on_it,
            queue::message_handed_out_is_hidden,
            queue::released_message_comes_again_and_is_counted,
            queue::kept_message_stays_hidden,
            queue::deleted_message_is_gone,
            queue::old_receipt_does_nothing,
            queue::message_handed_out_too_often_becomes_a_dead_letter,
            queue::buried_message_does_not_come_again,
            queue::each_worker_has_a_queue_of_its_own,
            queue::queue_hands_out_at_most_the_number_asked_for,
            queue::depth_counts_ready_delayed_and_in_flight_messages,
            dead_letters::dead_letters_are_listed_by_worker_with_their_reasons,
            dead_letters::dead_letter_redriven_is_handed_out_anew,
            dead_letters::dead_letter_discarded_is_gone,
            dead_letters::dead_letters_are_counted_by_queue,
            objects::object_opened_at_a_range_gives_its_bytes_and_size,
            objects::object_that_is_missing_is_none,
            objects::objects_of_parts_are_joined_and_removed,
            objects::objects_listed_by_prefix_come_in_pages,
            runs::run_is_read_as_it_was_made,
            runs::spec_is_read_as_it_was_made_however_long,
            runs::each_of_a_batch_is_made_by_itself,
            runs::one_batch_may_name_a_run_twice,
            runs::message_goes_with_a_run_that_is_made,
            runs::existing_run_sends_no_message,
            runs::change_is_read_as_it_was_written,
            runs::change_of_an_old_revision_is_a_conflict,
            runs::change_of_a_missing_run_is_a_conflict,
            runs::message_goes_with_a_change,
            runs::conflict_sends_no_message,
            runs_locks::free_lock_is_taken_once,
            runs_locks::refused_lock_leaves_the_record_as_it_was,
            runs_locks::holder_takes_its_lock_again,
            runs_locks::freed_lock_can_be_taken,
            runs_locks::only_its_holder_frees_a_lock,
            runs_locks::lock_of_a_finished_run_can_be_taken,
            runs_locks::run_with_duties_keeps_its_lock,
            runs_locks::conflict_changes_no_lock,
            runs_locks::longest_waiting_run_is_first_in_line,
            permits::permits_are_taken_until_none_is_left,
            permits::line_is_in_the_order_of_its_tickets,
            permits::permit_taken_from_the_line_leaves_it,
            permits::newcomer_that_does_not_know_the_line_is_refused,
            permits::conflict_changes_no_permit,
            permits::lock_and_permit_are_taken_together_or_not_at_all,
            permits::run_that_is_gone_is_taken_from_its_gate,
            runs_found::children_come_by_step,
            runs_found::children_are_of_one_attempt_and_one_level,
            runs_found::due_runs_come_longest_due_first,
            runs_found::finished_run_is_not_due,
            runs_found::lists_are_newest_first_and_bounded,
            runs_found::lists_are_filtered,
            runs::finished_run_is_removed_with_its_steps,
            runs::pauses_are_written_on_their_rev,
            runs_listed::page_filtered_matches_the_model_in_both_orders,
            runs_listed::page_followed_while_runs_are_added_gives_each_once,
            runs_listed::page_of_runs_of_one_moment_gives_each_once,
            runs_listed::page_cut_by_its_look_limit_says_so_and_goes_on,
            runs_listed::page_with_a_cursor_of_the_other_order_is_refused,
            runs_listed::counts_follow_every_change,
            runs_listed::starts_are_counted_by_their_minute,
            runs_found::alert_is_made_with_its_duties_and_left_out_where_asked,
            runs_found::tree_has_parents_before_their_children,
            state::item_is_read_as_it_was_put,
            state::item_is_put_over_another,
            state::expired_item_does_not_exist,
            state::item_is_changed_as_it_was_read_alone,
            timetables::timetable_is_made_by_a_touch_and_read_as_it_was_put,
            timetables::touch_keeps_the_cursors,
            timetables::timetables_by_other_rules_are_touched,
            timetables::hurry_makes_it_due_and_old_revisions_conflict,
            timetables::timetable_of_an_old_revision_is_a_conflict,
            timetables::timetable_without_cursors_is_removed,
            timetables::timetables_that_are_due_come_longest_due_first,
            timetables::pages_of_due_timetables_have_each_once,
            timetables::disabled_jobs_are_those_of_the_last_look,
            backfills::backfill_is_read_as_it_was_written,
            backfills::existing_backfill_is_not_made_again,
            backfills::backfill_of_an_old_revision_is_a_conflict,
            backfills::backfills_that_are_due_come_longest_due_first,
            bulk::act_on_many_is_read_as_it_was_written,
            bulk::act_on_many_of_an_old_revision_is_a_conflict,
            bulk::acts_on_many_come_newest_first,
            audit::entry_comes_with_the_first_write_and_its_end_replaces_it,
            audit::act_that_writes_nothing_leaves_its_end_alone,
            audit::entries_come_newest_first_within_their_bounds,
            triggers::trigger_is_read_as_it_was_put,
            triggers::triggers_are_found_by_their_bucket,
            triggers::trigger_put_again_gives_the_change,
            triggers::trigger_deleted_is_not_found,
            documents::documents_that_are_as_they_were_read_are_written,
            documents::document_that_changed_keeps_all_from_being_written,
            documents::realm_that_changed_is_not_written,
        }
    };
}

/// The same with the cases of wake-ups, for adapters that have them.
#[macro_export]
macro_rules! wake_up_cases {
    ($then:ident, $run:path) => {
        $crate::$then! { $run;
            wake_ups::message_comes_as_it_was_scheduled,
            wake_ups::scheduled_message_does_not_come_before_its_time,
            wake_ups::asked_twice_for_a_run_one_message_comes,
            wake_ups::batch_is_scheduled_each_for_its_worker,
            wake_ups::nothing_is_scheduled_of_no_messages,
        }
    };
}

/// The same with the cases of hosts, for adapters that keep them.
#[macro_export]
macro_rules! host_cases {
    ($then:ident, $run:path) => {
        $crate::$then! { $run;
            hosts::host_put_is_read_as_it_was_written,
            hosts::hosts_are_those_of_the_worker,
            hosts::runs_for_a_host_are_found_until_they_end,
        }
    };
}

/// Makes a test of each case: `conformance_tests!(run)`, where `run` takes a function from
/// [`Adapters`] to a boxed future and runs it to its end on fresh adapters.
#[macro_export]
macro_rules! conformance_tests {
    ($run:path) => {
        $crate::conformance_cases!(conformance_tests_of, $run);
    };
}

/// A test of each of these cases.
#[macro_export]
macro_rules! conformance_tests_of {
    ($run:path; $($module:ident::$name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                $run(|adapters| Box::pin(async move { $crate::conformance::$module::$name(&adapters).await }));
            }
        )*
    };
}

/// Runs each of these cases in turn, for adapters whose start costs much: as [`crate::conformance_tests`],
/// with the case's name before the function.
#[macro_export]
macro_rules! conformance_in_turn {
    ($run:path; $($module:ident::$name:ident),* $(,)?) => {
        $(
            $run(
                concat!(stringify!($module), "::", stringify!($name)),
                |adapters| Box::pin(async move { $crate::conformance::$module::$name(&adapters).await }),
            );
        )*
    };
}
