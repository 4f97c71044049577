//! The rules of a run's life: pure, so that they can be tested as tables.
//!
//! A decision is the next record and what follows from it. It is carried out by one conditional
//! write of the record, and only then by what follows; see docs/LIFECYCLE.md.

use chrono::SubsecRound;
use serde_json::{Value, json};

use super::event::bounded_text;
use super::gated::{absent, called, queue, still_in_its_place};
use super::guards::{held, not_ended, not_held, running, startable, unbegun, without_duties};
use super::input::{Decision, IllegalTransition, Input, LavaEnd, LockChange, Outcome, Wake};
use super::look::{
    HOST, OF_THE_SAME_JOB, cancelled_because, cannot_begin, crashes_so_far, is_suspended, left_in_queue,
    unsent,
};
use super::record::{Duties, Run};
use super::reports::{child_ended, has_news};
use super::status::Status;
use super::stop::StopRequest;
use super::waits::{DUTIES, Gathering, HOLD, POLL, WAKE_GRACE};
use super::wakes::{keep_first_due, lull, plain, wake};
use super::worker::{Lease, WorkPlace, Worker};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::RunKey;
use crate::job_type::Rendered;
use crate::permits;
use crate::request::MAX_DELAY;
use crate::spec::{ActionsWhen, Overlap, RetryBackoff};

/// The next record and what follows from it.
///
/// # Errors
/// [`IllegalTransition`] when the input does not fit the record as it stands.
pub fn decide(run: &Run, input: Input, now: Timestamp) -> Result<Decision, IllegalTransition> {
    let admit = match &input {
        Input::Claim { admit, .. } => *admit,
        _ => None,
    };
    let mut decision = decided(run, input, now)?;
    if run.ts_start.is_none() && (decision.run.ts_start.is_some() || decision.run.status.is_end()) {
        decision.run.leave_line();
    }
    decision.permit = permits::change(run, &decision.run, admit);
    Ok(decision)
}

fn decided(run: &Run, input: Input, now: Timestamp) -> Result<Decision, IllegalTransition> {
    match input {
        Input::Claim { worker, hostname, until, event_log, admit } => {
            startable(run, now)?;
            still_in_its_place(run, admit)?;
            Ok(claim(run, Lease { owner: worker, until }, hostname, event_log, now))
        }
        Input::Close { epoch, status, reason, on_fail, tell_parent, worker, until } => {
            without_duties(run, now)?;
            if run.epoch != epoch {
                return Err(IllegalTransition::Fenced);
            }
            let lease = Lease { owner: worker, until };
            let closed = closed(run, status, reason, lease, now);
            let fails = matches!(status, Status::Failed | Status::Rejected);
            let actions = (on_fail && fails).then_some(ActionsWhen::OnFail);
            Ok(end(closed, status, actions, tell_parent, now))
        }
        Input::Hold { by } => hold_unclaimed(run, &by, now),
        Input::Queue { ticket, ahead } => queue(run, ticket, ahead, now),
        Input::Absent => absent(run, now),
        Input::ClaimDuties { worker, until } => claim_duties(run, Lease { owner: worker, until }, now),
        Input::Finish { worker, epoch, outcome, actions, tell_parent, jitter, rendered, work } => {
            running(run, &worker, epoch)?;
            let next = rendered.map_or_else(|| run.clone(), |rendered| with_rendered(run, rendered));
            Ok(finish(Run { work: unboxed(work), ..next }, outcome, actions, tell_parent, jitter, now))
        }
        Input::Suspend { worker, epoch, resume, ends, gathers, work, fault } => {
            running(run, &worker, epoch)?;
            let gathers = gathers.or(run.gathers);
            let heard = gathers.filter(|_| has_news(run)).map(Gathering::span);
            let next = Run { gathers, work: unboxed(work), ..with_fault(run, fault) };
            Ok(suspend(next, resume.or(heard), ends, now))
        }
        Input::Gather { worker, epoch, gathers } => {
            running(run, &worker, epoch)?;
            Ok(plain(Run { gathers: Some(gathers), ..run.clone() }))
        }
        Input::Pin { worker, epoch, rendered } => {
            running(run, &worker, epoch)?;
            Ok(plain(with_rendered(run, rendered)))
        }
        Input::ActionDone { worker, epoch, index, error } => {
            held(run, &worker, epoch)?;
            action_done(run, index, error, now)
        }
        Input::DutiesDone { worker, epoch } => {
            held(run, &worker, epoch)?;
            Ok(duties_done(run, now))
        }
        Input::LeaveDuties { worker, epoch } => leave_duties(run, &worker, epoch, now),
        Input::Extend { worker, epoch, until } => {
            held(run, &worker, epoch)?;
            Ok(plain(leased(run.clone(), Lease { owner: worker, until })))
        }
        Input::Giving => giving(run, now),
        Input::HandOver => hand_over(run, now),
        Input::LavaEnded(report) => lava_end(run, report, now),
        Input::ChildEnded => child_ended(run, now),
        Input::Freed => freed(run, now),
        Input::Cancel => cancel(run, now),
        Input::Stop(request) => stop(run, request, now),
        Input::PassOver { by } => pass_over(run, by, now),
        Input::Replace { by } => replace(run, by, now),
        Input::HostGone { stopped, on_fail } => host_gone(run, stopped, on_fail, now),
        Input::Paused { until } => paused(run, until, now),
        Input::Resumed => resumed(run, now),
        Input::Sweep => sweep(run, now),
        Input::StillQueued => left_in_queue(run, now).map(plain).ok_or(IllegalTransition::Nothing),
        Input::Unsent => unsent(run, now).map(plain).ok_or(IllegalTransition::Nothing),
    }
}

/// As [`cancel`], with the first request to stop kept in the record.
fn stop(run: &Run, mut request: Box<StopRequest>, now: Timestamp) -> Result<Decision, IllegalTransition> {
    let mut next = run.clone();
    request.at = Some(now);
    next.stopped_by.get_or_insert(request);
    cancel(&next, now)
}

fn unboxed(work: Option<Box<WorkPlace>>) -> Option<WorkPlace> {
    work.map(|work| *work)
}

/// The record with what was looked up at the start of its attempt.
fn with_rendered(run: &Run, rendered: Rendered) -> Run {
    let mut next = run.clone();
    next.set_rendered(Some(rendered));
    next
}

/// The record with the reason why its attempt could not begin.
fn with_fault(run: &Run, fault: Option<String>) -> Run {
    let reason = fault.map(cannot_begin).or_else(|| run.reason.clone());
    Run { reason, ..run.clone() }
}

fn hold_unclaimed(run: &Run, by: &RunKey, now: Timestamp) -> Result<Decision, IllegalTransition> {
    // A run that has just begun to wait needs no second message for it.
    startable(run, now)?;
    if run.lease.is_some() {
        // This very run had the lock meanwhile, and its worker was lost.
        return Err(IllegalTransition::Held);
    }
    Ok(hold(run, by, now))
}

fn claim_duties(run: &Run, lease: Lease, now: Timestamp) -> Result<Decision, IllegalTransition> {
    not_held(run, now)?;
    if run.duties.is_none() {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = leased(run.clone(), lease);
    next.epoch += 1;
    Ok(plain(next))
}

/// The record with a lease, due for the sweeper some time after the lease ends.
fn leased(mut run: Run, lease: Lease) -> Run {
    run.due_at = Some(lease.until + WAKE_GRACE.delta());
    run.lease = Some(lease);
    run
}

fn claim(run: &Run, lease: Lease, hostname: String, event_log: Option<Value>, now: Timestamp) -> Decision {
    let mut next = run.clone();
    let resumed = is_suspended(run);
    next.crashes = crashes_so_far(run);
    if run.ts_start.is_none() {
        next.ts_start = Some(now);
        next.log.push(Status::Starting, now, Value::Null);
        if let Some(info) = event_log {
            next.log.push(Status::Logging, now, info);
        }
    }
    if next.attempt > 1 {
        next.ts_attempt.get_or_insert(now);
    }
    let about = match (resumed, next.crashes > run.crashes) {
        (true, _) => format!("Iteration {}, resumed", run.attempt),
        (_, true) => format!("Iteration {}, again after its worker was lost", run.attempt),
        _ => format!("Iteration {}", run.attempt),
    };
    next.handed_over = None;
    next.reason = next.reason.filter(|_| run.host_fault().is_none());
    if let Some(gathers) = &mut next.gathers {
        gathers.news = false;
    }
    next.status = Status::Running;
    next.log.push(Status::Running, now, Value::String(about));
    next.epoch += 1;
    next.due_at = Some(lease.until + WAKE_GRACE.delta());
    next.lease = Some(lease);
    next.hostname = Some(hostname);
    let lock = (run.overlap != Overlap::Allow).then_some(LockChange::Take);
    Decision { run: next, wake: None, lock, permit: None }
}

/// The record of a run that ends without an attempt.
fn closed(run: &Run, status: Status, reason: String, lease: Lease, now: Timestamp) -> Run {
    let mut next = run.clone();
    next.crashes = crashes_so_far(run);
    next.epoch += 1;
    let reason = bounded_text(reason);
    next.set_result(json!({ "error": reason }));
    next.log.push(status, now, Value::String(reason.clone()));
    next.reason = Some(reason);
    next.lease = Some(lease);
    next
}

fn hold(run: &Run, by: &RunKey, now: Timestamp) -> Decision {
    let mut next = run.clone();
    if run.status != Status::Waiting {
        next.log.push(Status::Waiting, now, Value::String(format!("run {by} {OF_THE_SAME_JOB} is not done")));
    }
    next.status = Status::Waiting;
    next.leave_line();
    next.lease = None;
    next.handed_over = None;
    keep_first_due(&mut next);
    next.not_before = now + HOLD.delta();
    // The run in the way sends a message when it has ended; should it not, the sweeper looks.
    next.due_at = Some(next.not_before);
    plain(next)
}

fn finish(
    mut next: Run,
    outcome: Outcome,
    actions: [bool; 3],
    tell_parent: bool,
    jitter: f64,
    now: Timestamp,
) -> Decision {
    let [on_success, on_retry, on_fail] = actions;
    match outcome {
        Outcome::Success(mut result) => {
            // As lava's run_job does, for the record; actions do not see it.
            if let Some(fields) = result.as_object_mut() {
                fields.entry("error").or_insert(Value::Null);
            }
            next.set_result(result);
            next.reason = None;
            next.log.push(Status::Complete, now, Value::Null);
            let due = on_success.then_some(ActionsWhen::OnSuccess);
            end(next, Status::Complete, due, tell_parent, now)
        }
        Outcome::Cancelled => {
            next.reason = Some(cancelled_because(&next, "cancelled while it ran"));
            next.set_result(json!({ "error": "cancelled" }));
            next.log.push(Status::Cancelled, now, Value::Null);
            end(next, Status::Cancelled, None, tell_parent, now)
        }
        Outcome::Failure { reason, result, retryable } => {
            let reason = bounded_text(reason);
            next.set_result(result);
            next.reason = Some(reason.clone());
            if retryable && next.attempt < next.retry.limit && !next.cancel {
                return retry(next, on_retry, jitter, now);
            }
            next.log.push(Status::Failed, now, Value::Null);
            let due = on_fail.then_some(ActionsWhen::OnFail);
            end(next, Status::Failed, due, tell_parent, now)
        }
    }
}

fn retry(mut next: Run, on_retry: bool, jitter: f64, now: Timestamp) -> Decision {
    let delay = retry_delay(&next, jitter);
    let info = next.log_retrying(delay);
    next.log.push(Status::Retrying, now, info);
    next.status = Status::Retrying;
    keep_first_due(&mut next);
    // Records keep microseconds: a record that is read must equal the one that was written.
    next.not_before = (now + delay.delta()).trunc_subsecs(6);
    if on_retry {
        // The actions see the attempt that failed; its number is raised when they are done.
        next.duties = Some(Duties { actions: Some(ActionsWhen::OnRetry), done: 0, wake_parent: false });
        return plain(with_duties(next, now));
    }
    begin_next(&mut next);
    let wake = wake(&mut next, now);
    Decision { run: next, wake, lock: None, permit: None }
}

fn end(
    mut next: Run,
    status: Status,
    actions: Option<ActionsWhen>,
    tell_parent: bool,
    now: Timestamp,
) -> Decision {
    next.status = status;
    next.ts_end = Some(now);
    let wake_parent = tell_parent && next.is_child();
    if actions.is_some() || wake_parent {
        next.duties = Some(Duties { actions, done: 0, wake_parent });
        return plain(with_duties(next, now));
    }
    ended(next)
}

/// Keeps the lease for as long as the duties may take, so that no two workers see to them.
fn with_duties(mut next: Run, now: Timestamp) -> Run {
    let until = next.lease.as_ref().map_or(now, |lease| lease.until).max(now + DUTIES.delta());
    if let Some(lease) = &mut next.lease {
        lease.until = until;
    }
    next.due_at = Some(until + WAKE_GRACE.delta());
    next
}

fn ended(mut next: Run) -> Decision {
    next.duties = None;
    next.lease = None;
    next.due_at = None;
    let lock = (next.overlap != Overlap::Allow && next.ts_start.is_some()).then_some(LockChange::Free);
    Decision { run: next, wake: None, lock, permit: None }
}

fn suspend(mut next: Run, resume: Option<Span>, ends: Option<Timestamp>, now: Timestamp) -> Decision {
    next.status = Status::Waiting;
    next.lease = None;
    keep_first_due(&mut next);
    next.not_before = now + resume.unwrap_or_default().delta();
    let about = match (next.host_fault(), resume) {
        (Some(fault), _) => fault,
        (None, Some(_)) => "goes on in another invocation",
        (None, None) => "for its children",
    };
    let about = Value::String(about.to_owned());
    next.log.push(Status::Waiting, now, about);
    if resume.is_some() {
        let wake = wake(&mut next, now);
        return Decision { run: next, wake, lock: None, permit: None };
    }
    // When its time is up its steps are stopped; after that there is only their end to wait for.
    let poll = now + POLL.delta();
    next.due_at = Some(ends.filter(|ends| now < *ends).map_or(poll, |ends| ends.min(poll)));
    plain(next)
}

fn action_done(
    run: &Run,
    index: u32,
    error: Option<String>,
    now: Timestamp,
) -> Result<Decision, IllegalTransition> {
    let mut next = run.clone();
    let duties = next.duties.as_mut().ok_or(IllegalTransition::Nothing)?;
    duties.done = index + 1;
    if let Some(error) = error {
        next.log.push(Status::ActionFailed, now, Value::String(error));
    }
    Ok(plain(next))
}

fn duties_done(run: &Run, now: Timestamp) -> Decision {
    let mut next = run.clone();
    if next.status.is_end() {
        return ended(next);
    }
    next.duties = None;
    begin_next(&mut next);
    let wake = wake(&mut next, now);
    Decision { run: next, wake, lock: None, permit: None }
}

fn leave_duties(
    run: &Run,
    worker: &Worker,
    epoch: u64,
    now: Timestamp,
) -> Result<Decision, IllegalTransition> {
    held(run, worker, epoch)?;
    if run.duties.is_none() {
        return Err(IllegalTransition::Nothing);
    }
    Ok(woken(plain(Run { lease: None, ..run.clone() }), now))
}

fn freed(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    not_ended(run)?;
    if run.status != Status::Waiting || is_suspended(run) || run.lease.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    if run.waits_for_permit() {
        return called(run, now);
    }
    let mut next = run.clone();
    next.not_before = now;
    let wake = wake(&mut next, now);
    Ok(Decision { run: next, wake, lock: None, permit: None })
}

fn cancel(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    not_ended(run)?;
    if run.cancel {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    next.cancel = true;
    let busy = run.lease.is_some() || run.duties.is_some();
    if busy {
        return Ok(plain(next));
    }
    if is_suspended(run) {
        next.not_before = now;
        let wake = wake(&mut next, now);
        return Ok(Decision { run: next, wake, lock: None, permit: None });
    }
    let reason = if run.handed_over.is_some() {
        "cancelled; the lava worker that it was given to may run it all the same"
    } else if run.ts_start.is_some() {
        "cancelled while it waited for another attempt"
    } else {
        "cancelled before it ran"
    };
    next.reason = Some(cancelled_because(run, reason));
    next.set_result(json!({ "error": "cancelled" }));
    Ok(left(next, Status::Cancelled, now))
}

/// Stops a run for a newer one of its job.
fn replace(run: &Run, by: RunKey, now: Timestamp) -> Result<Decision, IllegalTransition> {
    let mut next = run.clone();
    next.replaced_by.get_or_insert(by);
    cancel(&next, now)
}

/// Leaves out a run that waits, for a newer one of its job.
fn pass_over(run: &Run, by: RunKey, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    if run.ts_start.is_some() || run.lease.is_some() || run.handed_over.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    let reason = format!("run {by} {OF_THE_SAME_JOB} came after it");
    next.set_result(json!({ "error": reason }));
    next.reason = Some(reason);
    next.replaced_by = Some(by);
    Ok(left(next, Status::Skipped, now))
}

/// Ends a run whose host is gone. A run that had not begun when its host was stopped in order is skipped; any other
/// has failed.
fn host_gone(run: &Run, stopped: bool, on_fail: bool, now: Timestamp) -> Result<Decision, IllegalTransition> {
    not_held(run, now)?;
    not_ended(run)?;
    let Some(host) = &run.host else { return Err(IllegalTransition::Nothing) };
    if run.duties.is_some() {
        // First any worker sees to the actions of the attempt that has failed.
        let next = Run { due_at: Some(now + WAKE_GRACE.delta()), ..run.clone() };
        return Ok(Decision { run: next, wake: Some(Wake { at: now }), lock: None, permit: None });
    }
    let how = if stopped { "was stopped" } else { "is gone" };
    let when = if run.ts_start.is_none() { "before it ran" } else { "before it had ended" };
    let reason = format!("{HOST}{host} {how} {when}");
    let mut next = run.clone();
    next.crashes = crashes_so_far(run);
    next.lease = None;
    next.set_result(json!({ "error": reason }));
    next.reason = Some(reason);
    let status = if stopped && run.ts_start.is_none() { Status::Skipped } else { Status::Failed };
    next.epoch += 1;
    next.log.push(status, now, Value::Null);
    let actions = (on_fail && status == Status::Failed).then_some(ActionsWhen::OnFail);
    Ok(woken(end(next, status, actions, true, now), now))
}

/// Ends an unclaimed run.
fn left(mut next: Run, status: Status, now: Timestamp) -> Decision {
    next.epoch += 1;
    next.log.push(status, now, Value::Null);
    woken(end(next, status, None, true, now), now)
}

/// A record that no worker is seeing to, with a message for the duties that are left, if any are.
fn woken(mut decision: Decision, now: Timestamp) -> Decision {
    if decision.run.duties.is_some() {
        decision.run.due_at = Some(now + WAKE_GRACE.delta());
        decision.wake = Some(Wake { at: now });
    }
    decision
}

/// Of several that would send the same message, one may.
fn giving(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    let due = run.due_at.is_some_and(|due| due <= now);
    if !due || !run.may_be_lavas() || run.handed_over.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    Ok(plain(Run { due_at: Some(now + lull(run, now)), ..run.clone() }))
}

fn hand_over(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    if !run.may_be_lavas() || run.handed_over.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    next.handed_over = Some(now);
    next.due_at = Some(run.not_before.max(now) + WAKE_GRACE.delta());
    let about = format!("given to lava worker {}", run.worker);
    next.log.push(Status::Dispatched, now, Value::String(about));
    Ok(plain(next))
}

/// The end that a lava worker has recorded. Retries and actions were its own business.
fn lava_end(run: &Run, report: LavaEnd, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    if !run.may_be_lavas() || !report.status.is_end() {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    // Fences out a claim that is based on the record as it was.
    next.epoch += 1;
    next.reason = report.reason();
    next.hostname = report.hostname;
    let info = if report.status == Status::Complete { Value::Null } else { report.info.clone() };
    next.log.push(report.status, report.ended, info);
    next.set_result(match report.info {
        Value::String(text) => json!({ "error": text }),
        info => info,
    });
    let mut decision = end(next, report.status, None, false, report.ended);
    // Only now: a run that was never claimed has no lock to free.
    decision.run.ts_start = report.began;
    Ok(decision)
}

/// Makes the record that of the next attempt, which looks everything up anew.
fn begin_next(next: &mut Run) {
    next.attempt += 1;
    next.lease = None;
    next.set_rendered(None);
    next.gathers = None;
    next.ts_attempt = None;
}

/// The delay before the attempt after this one.
fn retry_delay(run: &Run, jitter: f64) -> Span {
    match run.retry.backoff {
        RetryBackoff::Fixed => run.retry.delay,
        RetryBackoff::Exponential => {
            let most = run.retry.delay.get().saturating_mul(1 << (run.attempt - 1).min(20));
            Span::from(most.min(MAX_DELAY.get()).mul_f64(jitter.clamp(0.0, 1.0)))
        }
    }
}

/// Leaves a run alone that is paused: for ever longer, and until the pause ends at most.
fn paused(run: &Run, until: Option<Timestamp>, now: Timestamp) -> Result<Decision, IllegalTransition> {
    unbegun(run, now)?;
    let later = now + lull(run, now);
    let due_at = Some(until.map_or(later, |until| until.clamp(now, later)));
    let mut next = Run { due_at, ..run.clone() };
    // Others must not wait for it.
    next.leave_line();
    Ok(plain(next))
}

/// Has a run looked at that was paused.
fn resumed(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    unbegun(run, now)?;
    let mut next = run.clone();
    let wake = wake(&mut next, now);
    Ok(Decision { run: next, wake, lock: None, permit: None })
}

/// The sweeper looks at a due run: a message for it, and a later time for the next look.
fn sweep(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    if run.due_at.is_none_or(|due| now < due) {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    if run.handed_over.is_some() && run.may_be_lavas() {
        // A message of its own would start it once more: lava runs what it is sent.
        next.due_at = Some(now + lull(run, now));
        return Ok(plain(next));
    }
    let wake = wake(&mut next, now);
    if let Some(wake) = &wake {
        next.due_at = Some(wake.at + lull(run, now));
    }
    Ok(Decision { run: next, wake, lock: None, permit: None })
}
