//! The sentences of runs that have ended.

use super::*;

/// Runs that have ended.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn over() -> Vec<(Run, Facts, Cause, &'static str)> {
    let by = Some(root(2));
    let step = Run { key: root(1).child(1, 0), ..ended(Status::Cancelled, Some("cancelled while it ran")) };
    let parent = Some((Status::Failed, Some("timed out after 5s".to_owned())));
    let kept = Run { kept: Some(root(2).child(1, 0)), ..unbegun(Status::Complete, "") };
    let acting = Duties { actions: Some(ActionsWhen::OnFail), done: 1, wake_parent: false };
    vec![
        (
            ended(Status::Complete, None),
            served(),
            Cause::Complete,
            "it ended well in attempt 1 of 3 after 2m",
        ),
        (
            Run { retry: RetryRule::default(), ..ended(Status::Complete, None) },
            served(),
            Cause::Complete,
            "it ended well in its only attempt after 2m",
        ),
        (
            kept,
            served(),
            Cause::Kept,
            "it ended well as 00000000-0000-0000-0000-000000000002/1.0, and was not run again",
        ),
        (
            Run { attempt: 3, ..ended(Status::Failed, Some("exit status 3: disk full")) },
            served(),
            Cause::ExitStatus,
            "it failed in attempt 3, the last that its iteration_limit of 3 allows after 2m: exit status 3: disk full",
        ),
        (
            Run { retry: RetryRule::default(), ..ended(Status::Failed, Some("timed out after 5s")) },
            served(),
            Cause::Timeout,
            "it failed after 2m: timed out after 5s",
        ),
        (
            ended(Status::Failed, Some("no such table")),
            served(),
            Cause::Failed,
            "it failed in attempt 1 of 3, after which no other was to be made after 2m: no such table",
        ),
        (
            Run { attempt: 3, ..ended(Status::Failed, Some("job mid > low: exit status 1: boom")) },
            served(),
            Cause::Step,
            "it failed in attempt 3, the last that its iteration_limit of 3 allows after 2m: its step mid > low ended so: exit status 1: boom",
        ),
        (
            Run { attempt: 3, ..ended(Status::Failed, Some("its worker was lost 6 times")) },
            served(),
            Cause::WorkerLost,
            "it failed in attempt 3, the last that its iteration_limit of 3 allows after 2m: its worker was lost 6 times",
        ),
        (
            unbegun(Status::Failed, "its host h-1 is gone before it ran"),
            served(),
            Cause::HostGone,
            "it failed before it ran: its host h-1 is gone before it ran",
        ),
        (
            Run { duties: Some(acting.clone()), ..unbegun(Status::Failed, "enabled: no such filter") },
            served(),
            Cause::Failed,
            "it failed before it ran: enabled: no such filter; its actions are still being done (1 so far)",
        ),
        (
            Run {
                duties: Some(acting.clone()),
                ts_end: Some(ago(600)),
                ..unbegun(Status::Failed, "enabled: no such filter")
            },
            served(),
            Cause::Failed,
            "it failed before it ran: enabled: no such filter; its actions wait for worker core since 2026-03-10T12:50:00+01:00, 10m ago (1 done so far)",
        ),
        (
            Run {
                duties: Some(acting.clone()),
                ts_end: Some(ago(600)),
                lease: running().lease,
                ..unbegun(Status::Failed, "enabled: no such filter")
            },
            without_queue(),
            Cause::Failed,
            "it failed before it ran: enabled: no such filter; its actions are still being done (1 so far)",
        ),
        (
            Run { duties: Some(acting.clone()), ..unbegun(Status::Failed, "enabled: no such filter") },
            without_queue(),
            Cause::Failed,
            "it failed before it ran: enabled: no such filter; its actions are not done (1 so far): worker core has no queue in this realm: nothing can take it",
        ),
        (
            Run { duties: Some(acting.clone()), ..unbegun(Status::Failed, "enabled: no such filter") },
            workers(0, Some(240), None),
            Cause::Failed,
            "it failed before it ran: enabled: no such filter; its actions are not done (1 so far): no worker core is alive: the last was seen at 2026-03-10T12:56:00+01:00, 4m ago",
        ),
        (
            unbegun(Status::Rejected, "try 3 is more than its max_tries of 2"),
            served(),
            Cause::MaxTries,
            "it was rejected: try 3 is more than its max_tries of 2",
        ),
        (
            unbegun(Status::Rejected, "was due more than its max_run_delay of 5m ago"),
            served(),
            Cause::MaxRunDelay,
            "it was rejected: was due more than its max_run_delay of 5m ago",
        ),
        (
            unbegun(Status::Rejected, "no such job type \"x\""),
            served(),
            Cause::Rejected,
            "it was rejected: no such job type \"x\"",
        ),
        (
            unbegun(Status::Skipped, "the job is not enabled"),
            served(),
            Cause::NotEnabled,
            "it was skipped: the job is not enabled",
        ),
        (
            unbegun(Status::Skipped, "run x of the same job is not done"),
            served(),
            Cause::Overlap,
            "it was skipped: run x of the same job is not done",
        ),
        (
            unbegun(Status::Skipped, "its host h-1 was stopped before it ran"),
            served(),
            Cause::HostGone,
            "it was skipped: its host h-1 was stopped before it ran",
        ),
        (
            Run {
                replaced_by: by.clone(),
                ..unbegun(Status::Skipped, "run 2 of the same job came after it")
            },
            served(),
            Cause::Replaced,
            "it was skipped: run 2 of the same job came after it",
        ),
        (
            unbegun(Status::Cancelled, "cancelled before it ran"),
            served(),
            Cause::Cancelled,
            "it was cancelled before it ran",
        ),
        (
            Run {
                replaced_by: by,
                ..ended(Status::Cancelled, Some("cancelled: run 2 of the same job takes its place"))
            },
            served(),
            Cause::Replaced,
            "it was cancelled: run 2 of the same job takes its place",
        ),
        (
            step,
            Facts { parent, ..served() },
            Cause::Cancelled,
            "it was cancelled while it ran; the run that it is a step of was failed: timed out after 5s",
        ),
    ]
}
