//! Deliberate bugs, each put in at the ports, as an engine or an adapter that has it would behave.

use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::ids::RunKey;
use pumice_core::job_type::Rendered;
use pumice_core::permits::PermitChange;
use pumice_core::ports::Change;
use pumice_core::run::{Lease, LockChange, NewRun, Run, Status, Worker};
use pumice_core::spec::RunSpec;

use super::world::{Role, World, task_of};

mod schedules;

pub(crate) use schedules::{on_due_timetables, on_schedule};

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A worker whose claim is history may still write.
    NoFence,
    /// A claim is taken although it still holds.
    StealLiveLease,
    /// A due time is cleared before the duties are done.
    DueClearedEarly,
    /// A run is made without a time to look at it.
    NoDueAt,
    /// Children get keys that do not follow from their place.
    RandomChildIds,
    /// A run that ends frees the lock even if another holds it.
    BlindLockRelease,
    /// A message that comes too early is put back at once.
    SendEarlyOn,
    /// A worker goes on with the epoch that it reads, not the one its claim granted.
    AdoptEpoch,
    /// Time that stood still is not noticed before a job's side effects begin.
    SkipLeaseCheck,
    /// Records are written without a check of their revision.
    Unconditional,
    /// A repeated request with a key makes another run.
    KeyIgnored,
    /// A store that could not be reached uses up an attempt.
    ErrorCountsAsAttempt,
    /// The sweeper never looks at what is due.
    NoSweeper,
    /// A child's end does not wake its parent.
    ParentNotTold,
    /// That a step has ended while its parent read the others is not noted for the parent.
    NewsForgotten,
    /// The next run in line is not woken when the lock is free.
    NextNotTold,
    /// The time before which a run must not start is not looked at.
    StartEarly,
    /// A child that runs counts as one that has ended.
    LiveCountsAsEnded,
    /// The lock is not taken on a claim.
    LockNotTaken,
    /// A request to stop is lost.
    CancelLost,
    /// The requester of a stop is forgotten.
    StopperForgotten,
    /// It is not noted that a message was not sent.
    UnsentForgotten,
    /// A lock is not given back.
    LockKept,
    /// Actions are not done.
    DutiesForgotten,
    /// Actions that a stopped process has no time for are not left to another one before its claim has run out.
    DutiesHeld,
    /// A delivery counts as a try, although the store did not answer and nothing was started.
    DeliveryCountsAsTry,
    /// A payload that is rendered at the start of each attempt is rendered once, at dispatch.
    RenderedOnce,
    /// A plan that was made for one attempt is kept for the next.
    PlanKept,
    /// A template that says that the job is not enabled is not asked.
    EnabledIgnored,
    /// A run starts however late it is.
    DelayIgnored,
    /// How long a run has waited for its job's lock is counted anew with each look.
    DueMoved,
    /// A message of lava makes another run each time it comes.
    AdoptedAnew,
    /// A run that is due later than a queue holds a message gets no schedule, in a realm that makes them.
    NotScheduled,
    /// It is not recorded that a run was given to a lava worker.
    GivenTwice,
    /// A run is given to lava without the parameters and globals that it was asked for with.
    GivenBare,
    /// Lava's events of its runs are not read.
    EndNotRead,
    /// A process that stood still takes its own runs for lost, although no other process can have them.
    OwnTakenForLost,
    /// A stop of a process counts as a lost worker.
    StopCountsAsCrash,
    /// A start by the clock is no other's, although they are for the same slot.
    StartedTwice,
    /// A slot is passed over.
    SlotLost,
    /// Slots that a changed schedule names before the change are started.
    EditStartsThePast,
    /// Of two changes of a job between two looks the first is forgotten.
    EditForgotten,
    /// That a job was not enabled while its entries were paused is forgotten.
    LapseForgotten,
    /// Slots that were due during a pause are started when it is over.
    ResumeStartsThePast,
    /// All that was missed is made up for.
    CaughtUpWithoutLimit,
    /// How far a schedule has come is written before the runs are made.
    MovedFirst,
    /// A time that comes twice on a day is taken twice.
    FoldTwice,
    /// The jitter of starts changes their slots.
    JitterMovesSlots,
    /// A pause is not kept.
    PauseLost,
    /// An older run counts as the newer one.
    TurnsMixedUp,
    /// Of those in line only the first is looked at.
    LineCutShort,
    /// A run in whose place a newer one is to be run goes on.
    ReplacedGoesOn,
    /// A sweeper writes a schedule's cursor without a check of its revision.
    StaleSweeper,
    /// A job that was changed is looked for in the index of what is due, which lags.
    EditLeftToIndex,
    /// A run that was made ahead and is no longer wanted is not cancelled.
    NotWithdrawn,
    /// A process uses the realm as it read it first, whatever was changed since.
    RealmReadOnce,
    /// How far a backfill has come is written before its runs are made.
    BackfillMovedFirst,
    /// A backfill has more runs under way than it may.
    BackfillUnbounded,
    /// A slot that is missing is not run under the key that the clock gives it.
    BackfillDoubled,
    /// A backfill goes on although it was cancelled.
    BackfillCancelLost,
    /// An alert is no other's, although it is of the same limit and slot.
    AlertTwice,
    /// That a limit was broken is written before its alert is made.
    AlertMovedFirst,
    /// A broken limit is reported only once the run has ended.
    ToldAfterTheEnd,
    /// Failures are counted in a row over runs that ended well.
    SuccessPassedOver,
    /// A host runs what is for another.
    HostTakesOthers,
    /// A host that is alive is passed over.
    HostPassedOver,
    /// A host that is gone counts as alive.
    GoneHostAlive,
    /// A step that is kept is put on its worker's queue.
    KeptIsRun,
    /// A step that failed is kept.
    FailedIsKept,
    /// A step that ended well is not kept.
    NothingKept,
    /// Of what is due only what has been due for longest is looked at.
    SweepCutShort,
    /// A worker does not ask what is paused.
    PauseIgnored,
    /// A resumed job stays paused.
    PausedForGood,
    /// No permit is taken.
    PermitNotTaken,
    /// A permit is not given back.
    PermitKept,
    /// The next run in line for a permit is not woken.
    PermitNotOffered,
    /// The last run in line for a permit goes first.
    LinePassed,
    /// One run more than there are permits passes.
    OnePermitTooMany,
    /// A run that does another again counts as ended while it goes on.
    ReplayCountsAsEnded,
    /// A record expires by when its run was dispatched.
    ExpiryFromDispatch,
    /// A record expires although its run goes on.
    ExpiryBeforeEnd,
    /// The place of the files that steps share is not recorded.
    PlaceForgotten,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 82] = [
        Self::NoFence,
        Self::StealLiveLease,
        Self::DueClearedEarly,
        Self::NoDueAt,
        Self::RandomChildIds,
        Self::BlindLockRelease,
        Self::SendEarlyOn,
        Self::AdoptEpoch,
        Self::SkipLeaseCheck,
        Self::Unconditional,
        Self::KeyIgnored,
        Self::ErrorCountsAsAttempt,
        Self::NoSweeper,
        Self::ParentNotTold,
        Self::NewsForgotten,
        Self::NextNotTold,
        Self::StartEarly,
        Self::LiveCountsAsEnded,
        Self::LockNotTaken,
        Self::CancelLost,
        Self::StopperForgotten,
        Self::LockKept,
        Self::DutiesForgotten,
        Self::DutiesHeld,
        Self::DeliveryCountsAsTry,
        Self::RenderedOnce,
        Self::PlanKept,
        Self::EnabledIgnored,
        Self::DelayIgnored,
        Self::DueMoved,
        Self::AdoptedAnew,
        Self::NotScheduled,
        Self::GivenTwice,
        Self::GivenBare,
        Self::EndNotRead,
        Self::OwnTakenForLost,
        Self::StopCountsAsCrash,
        Self::StartedTwice,
        Self::SlotLost,
        Self::EditStartsThePast,
        Self::EditForgotten,
        Self::LapseForgotten,
        Self::UnsentForgotten,
        Self::ResumeStartsThePast,
        Self::CaughtUpWithoutLimit,
        Self::MovedFirst,
        Self::FoldTwice,
        Self::JitterMovesSlots,
        Self::PauseLost,
        Self::TurnsMixedUp,
        Self::LineCutShort,
        Self::ReplacedGoesOn,
        Self::StaleSweeper,
        Self::EditLeftToIndex,
        Self::NotWithdrawn,
        Self::RealmReadOnce,
        Self::BackfillMovedFirst,
        Self::BackfillUnbounded,
        Self::BackfillDoubled,
        Self::BackfillCancelLost,
        Self::AlertTwice,
        Self::AlertMovedFirst,
        Self::ToldAfterTheEnd,
        Self::SuccessPassedOver,
        Self::HostTakesOthers,
        Self::HostPassedOver,
        Self::GoneHostAlive,
        Self::KeptIsRun,
        Self::FailedIsKept,
        Self::NothingKept,
        Self::SweepCutShort,
        Self::PauseIgnored,
        Self::PausedForGood,
        Self::PermitNotTaken,
        Self::PermitKept,
        Self::PermitNotOffered,
        Self::LinePassed,
        Self::OnePermitTooMany,
        Self::ReplayCountsAsEnded,
        Self::ExpiryFromDispatch,
        Self::ExpiryBeforeEnd,
        Self::PlaceForgotten,
    ];
}

/// A record as the owner of the current task once claimed it, under what others wrote since.
fn as_claimed(world: &World, run: &mut Run) {
    let current = world.current;
    let mine = run.lease.as_ref().is_some_and(|lease| task_of(&lease.owner) == Some(current));
    if let Some((owner, epoch)) = world.audit.claims.get(&(current, run.key.clone())).filter(|_| !mine) {
        run.epoch = *epoch;
        run.status = Status::Running;
        run.lease = Some(Lease { owner: owner.clone(), until: world.now + TimeDelta::seconds(100) });
    }
}

/// A record that is read again.
pub(crate) fn on_load(world: &World, mut run: Run) -> Run {
    if world.is(Mutant::NoFence) || world.is(Mutant::AdoptEpoch) {
        as_claimed(world, &mut run);
    }
    if world.is(Mutant::SuccessPassedOver) && is_by_the_clock(world) && run.status == Status::Complete {
        run.status = Status::Skipped;
    }
    let role = world.tasks.get(&world.current).map(|task| &task.role);
    let is_replay = run.redo.is_some() && matches!(role, Some(Role::Redoer));
    if world.is(Mutant::ReplayCountsAsEnded) && is_replay && !run.status.is_end() {
        run.status = Status::Failed;
    }
    on_host(world, run)
}

/// Whether the current task looks at the clock.
fn is_by_the_clock(world: &World) -> bool {
    matches!(world.tasks.get(&world.current).map(|task| &task.role), Some(Role::Striker))
}

/// A record as a host reads it.
fn on_host(world: &World, mut run: Run) -> Run {
    if let (true, Some(host)) =
        (world.is(Mutant::HostTakesOthers) && run.host.is_some(), world.current_host())
    {
        run.host = Some(host);
    }
    run
}

/// A record that is read when a message arrives.
pub(crate) fn on_first_load(world: &World, mut run: Run) -> Run {
    if world.is(Mutant::StealLiveLease)
        && let Some(lease) = &mut run.lease
    {
        lease.until = world.now - TimeDelta::seconds(100);
    }
    if world.is(Mutant::StartEarly) {
        run.not_before = run.not_before.min(world.now);
    }
    if world.is(Mutant::DueMoved) {
        run.first_due = None;
    }
    if world.is(Mutant::DeliveryCountsAsTry)
        && let Some(Role::Invocation { receives, .. }) =
            world.tasks.get(&world.current).map(|task| &task.role)
        && (1..*receives).contains(&run.retry.max_tries)
    {
        run.crashes = run.crashes.max(receives - 1);
    }
    on_host(world, run)
}

/// A run's spec, as it is read when a message arrives.
pub(crate) fn on_spec(world: &World, spec: &mut RunSpec) {
    if world.is(Mutant::EnabledIgnored) {
        Arc::make_mut(&mut spec.job).insert("enabled".to_owned(), true.into());
    }
    if world.is(Mutant::DelayIgnored) {
        Arc::make_mut(&mut spec.job).shift_remove("max_run_delay");
    }
    if world.is(Mutant::GivenBare) {
        Arc::make_mut(&mut spec.job).shift_remove("globals");
    }
}

/// The runs that wait for a job's lock.
pub(crate) fn on_line(world: &World, mut line: Vec<Run>) -> Vec<Run> {
    if world.is(Mutant::LineCutShort) {
        line.truncate(1);
    }
    if world.is(Mutant::TurnsMixedUp) {
        for (run, days) in line.iter_mut().rev().zip(1..) {
            run.turn = Some(world.now + TimeDelta::days(days));
        }
    }
    line
}

/// A child that its parent looks at.
pub(crate) fn on_child(world: &World, mut child: Run) -> Run {
    if world.is(Mutant::LiveCountsAsEnded) && !child.status.is_end() {
        child.status = Status::Complete;
    }
    if world.is(Mutant::FailedIsKept) && is_done_again(world, &child) && child.status == Status::Failed {
        child.status = Status::Complete;
    }
    if world.is(Mutant::NothingKept) && is_done_again(world, &child) {
        child.status = Status::Failed;
    }
    child
}

/// Whether a step is one of a run that another does again.
fn is_done_again(world: &World, child: &Run) -> bool {
    let parent = child.key.parent();
    child.status.is_end()
        && world.runs.all().any(|run| run.redo.as_ref().is_some_and(|redo| Some(&redo.of) == parent.as_ref()))
}

/// A run that is made.
pub(crate) fn on_create(world: &mut World, new: &mut NewRun) {
    if world.is(Mutant::NoDueAt) {
        new.run.due_at = None;
    }
    if world.is(Mutant::PlaceForgotten) {
        new.run.work = None;
    }
    if world.is(Mutant::RandomChildIds)
        && let Some(parent) = new.run.key.parent()
    {
        let step = u32::try_from(world.prng.below(1 << 20)).unwrap_or(0);
        new.run.key = parent.child(1, step);
    }
    let once = new.spec.job.get("render_at").is_some_and(|at| at == "dispatch");
    if world.is(Mutant::RenderedOnce) && !once && new.spec.rendered_for_good().is_none() {
        new.spec.anew = false;
        let mut payload = new.spec.job.get("payload").cloned().unwrap_or_default();
        payload["stamp"] = "1".into();
        new.spec.rendered = Some(Rendered { payload, parameters: serde_json::Map::new() });
    }
    let sent = world.letters.iter().any(|letter| letter.run_id == new.run.run_id);
    if world.is(Mutant::AdoptedAnew) && sent && !new.run.is_child() {
        let number = u128::from(world.number());
        new.run.run_id = pumice_core::ids::RunId(uuid::Uuid::from_u128(1 << 125 | number));
        new.run.key = RunKey::root(new.run.run_id);
    }
    if world.is(Mutant::KeptIsRun) && new.run.kept.is_some() {
        (new.run.due_at, new.run.ts_end) = (Some(new.run.ts_dispatch), None);
        new.run.log.push(Status::Dispatched, new.run.ts_dispatch, serde_json::Value::Null);
        new.run.status = Status::Dispatched;
    }
    on_start(world, &mut new.run);
    if world.is(Mutant::KeyIgnored) && new.run.keyed.is_some() && world.runs.get(&new.run.key).is_some() {
        let number = u128::from(world.number());
        new.run.run_id = pumice_core::ids::RunId(uuid::Uuid::from_u128(1 << 127 | number));
        new.run.key = RunKey::root(new.run.run_id);
    }
}

/// Whether an alert is lost that is about to be made.
pub(crate) fn is_swallowed(world: &World, run: &Run) -> bool {
    let about = run.late.as_ref().and_then(|late| late.run_id);
    let about = about.and_then(|id| world.runs.get(&RunKey::root(id)));
    world.is(Mutant::ToldAfterTheEnd) && about.is_some_and(|run| !run.status.is_end())
}

/// A run that a schedule starts, or that reports on one, is about to be made.
fn on_start(world: &mut World, run: &mut Run) {
    if world.is(Mutant::AlertTwice) && run.late.is_some() && world.runs.get(&run.key).is_some() {
        let number = u128::from(world.number());
        run.run_id = pumice_core::ids::RunId(uuid::Uuid::from_u128(1 << 127 | number));
        run.key = RunKey::root(run.run_id);
    }
    let Some(scheduled) = run.scheduled.as_mut() else { return };
    if world.is(Mutant::BackfillDoubled)
        && scheduled.backfill.is_some()
        && let Some(keyed) = run.keyed.as_mut().filter(|keyed| keyed.key.starts_with("schedule:"))
    {
        keyed.key = format!("missing:{}", keyed.key);
        let realm = world.realm.fields.realm.clone();
        run.run_id = pumice_core::ids::RunId::from_key(&realm, &run.job_id, &keyed.key);
        run.key = RunKey::root(run.run_id);
    }
    if world.is(Mutant::JitterMovesSlots) {
        scheduled.slot = run.not_before.max(scheduled.slot);
    }
    if world.is(Mutant::StartedTwice) && world.runs.get(&run.key).is_some() {
        let number = u128::from(world.number());
        run.run_id = pumice_core::ids::RunId(uuid::Uuid::from_u128(1 << 127 | number));
        run.key = RunKey::root(run.run_id);
    }
}

/// A record that is about to be written.
pub(crate) fn on_commit(world: &mut World, change: &mut Change) {
    let Some(mutant) = world.mutant else { return };
    let stored = world.runs.get(&change.run.key).cloned();
    let run = &mut change.run;
    match (mutant, stored) {
        (Mutant::PlaceForgotten, _) => run.work = None,
        (Mutant::AdoptEpoch, Some(stored)) => run.epoch = run.epoch.max(stored.epoch),
        (Mutant::NoFence | Mutant::Unconditional, Some(stored)) => run.rev = stored.rev + 1,
        (Mutant::PlanKept, Some(stored)) if run.attempt > stored.attempt => run.rendered = stored.rendered,
        (Mutant::StopCountsAsCrash, Some(stored))
            if stored.status == Status::Running && run.status == Status::Waiting =>
        {
            run.crashes += 1;
        }
        (Mutant::ExpiryFromDispatch, Some(stored)) if run.status.is_end() => run.expires = stored.expires,
        (Mutant::ExpiryBeforeEnd, _) if !run.status.is_end() => {
            run.expires = run.ts_dispatch + TimeDelta::days(2);
        }
        (Mutant::GivenTwice, _) => run.handed_over = None,
        (Mutant::DueClearedEarly, _) if run.status.is_end() => run.due_at = None,
        (Mutant::LockNotTaken, _) if change.lock == Some(LockChange::Take) => change.lock = None,
        (Mutant::LockKept, _) if change.lock == Some(LockChange::Free) => change.lock = None,
        (Mutant::PermitNotTaken, _) if matches!(change.permit, Some(PermitChange::Take { .. })) => {
            change.permit = None;
        }
        (Mutant::PermitKept, _)
            if matches!(change.permit, Some(PermitChange::Leave { ticket: None, .. })) =>
        {
            change.permit = None;
        }
        (Mutant::OnePermitTooMany, _) => {
            if let Some(PermitChange::Take { admit, .. }) = &mut change.permit {
                admit.max += 1;
            }
        }
        (Mutant::CancelLost, Some(stored)) if stored.cancel => run.cancel = false,
        (Mutant::StopperForgotten, Some(stored)) if stored.stopped_by.is_some() => run.stopped_by = None,
        (Mutant::ReplacedGoesOn, Some(stored)) if run.cancel && run.replaced_by != stored.replaced_by => {
            change.run = Run { rev: run.rev, ..stored };
        }
        (Mutant::DutiesHeld, Some(stored))
            if stored.lease.is_some()
                && stored.duties.is_some()
                && run.duties.is_some()
                && run.lease.is_none() =>
        {
            change.run = Run { rev: run.rev, ..stored };
        }
        (Mutant::DutiesForgotten, _) => {
            if let Some(duties) = &mut run.duties {
                duties.actions = None;
            }
        }
        _ => {}
    }
}

/// Whether a write is lost: it reports an end to a waiting run (the parent, or the next in line for the job's lock), or
/// cancels a run that was made ahead.
pub(crate) fn is_untold(world: &World, before: &Run, change: &Change) -> bool {
    if world.is(Mutant::NotWithdrawn)
        && is_by_the_clock(world)
        && change.run.status == Status::Cancelled
        && change.run.scheduled.as_ref().is_some_and(|scheduled| scheduled.backfill.is_none())
    {
        return true;
    }
    let called = before.ts_start.is_none()
        && [before.status, change.run.status] == [Status::Waiting; 2]
        && change.run.not_before < before.not_before;
    if world.is(Mutant::NextNotTold) && called {
        return true;
    }
    let called_at = |run: &Run| run.permit.as_ref().and_then(|permit| permit.called);
    if world.is(Mutant::PermitNotOffered) && called_at(&change.run).is_some() && called_at(before).is_none() {
        return true;
    }
    let is_new = |run: &Run| run.gathers.is_some_and(|gathers| gathers.news);
    if world.is(Mutant::NewsForgotten) && is_new(&change.run) && !is_new(before) {
        return true;
    }
    let told =
        before.status == Status::Waiting && before.ts_start.is_some() && change.run.epoch == before.epoch;
    world.is(Mutant::ParentNotTold) && told && before.due_at.is_some_and(|due| world.now < due)
}

/// A record that was written.
pub(crate) fn after_commit(world: &mut World, change: &Change) {
    let run = &change.run;
    if world.is(Mutant::BlindLockRelease) && run.is_done() {
        world.runs.break_lock(&run.job_id);
    }
    if (world.is(Mutant::NoFence) || world.is(Mutant::AdoptEpoch))
        && let Some(Lease { owner, .. }) = &run.lease
    {
        let owner: Worker = owner.clone();
        world.audit.claims.entry((world.current, run.key.clone())).or_insert((owner, run.epoch));
    }
}
