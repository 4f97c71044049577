//! When records of runs expire.

use super::record::{Run, expiry};
use crate::Timestamp;
use crate::duration::Span;
use crate::spec::Retention;

/// How long the record of a step is kept at least, from the end of the step: it is the journal of the run that it is a step
/// of, which may go on for longer than records of ended runs are kept.
const STEPS: Span = Span::from_days(30);

/// Notes in the record of a run that has ended when it expires. A step's stays for as long as any: the run that it is a step
/// of may be kept for so long, and to do that run again from a later step takes all its steps. So does that of a run that does
/// another again: as long as the other's is there, it says that this is done.
pub(crate) fn settle(run: &mut Run, retention: &Retention, now: Timestamp) {
    if !run.status.is_end() {
        return;
    }
    let kept = match run.is_child() {
        true => retention.longest().map(|kept| kept.max(STEPS)),
        false if run.redo.is_some() => retention.longest(),
        false => retention.keeps(run.status.as_str()),
    };
    run.expires = expiry(run.ts_end.unwrap_or(now), kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, RunId, RunKey, WorkerName};
    use crate::run::{NEVER, Status};
    use crate::spec::OUTCOMES;
    use serde_json::json;

    fn at(days: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + chrono::TimeDelta::days(days)
    }

    fn ended(key: RunKey, status: Status, end: i64) -> Run {
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let run_id = RunId(uuid::Uuid::nil());
        let made = Run::dispatched(key, run_id, about, at(0), at(0), Span::from_days(90));
        Run { status, ts_end: status.is_end().then(|| at(end)), ..made }
    }

    #[test]
    fn outcomes_of_the_setting_are_the_statuses_in_which_runs_end() {
        let ends: Vec<_> =
            Status::ALL.into_iter().filter(|status| status.is_end()).map(Status::as_str).collect();
        assert_eq!(ends, OUTCOMES);
    }

    #[test]
    fn record_expires_by_outcome_and_a_step_with_its_root() {
        let retention =
            Retention::read(&json!({ "complete": "2d", "failed": "90d", "skipped": null })).unwrap();
        let root = RunKey::root(RunId(uuid::Uuid::nil()));
        let step = root.child(1, 0);
        for (key, status, expires) in [
            (&root, Status::Complete, at(42)),
            (&root, Status::Failed, at(130)),
            (&root, Status::Rejected, at(70)),
            (&root, Status::Skipped, NEVER),
            (&step, Status::Complete, NEVER),
            (&root, Status::Running, at(90)),
        ] {
            let mut run = ended(key.clone(), status, 40);
            settle(&mut run, &retention, at(41));
            assert_eq!(run.expires, expires, "{key} {status}");
        }
        let short = Retention::of(Span::from_mins(5));
        let mut run = ended(step, Status::Complete, 40);
        settle(&mut run, &short, at(40));
        assert_eq!(run.expires, at(70), "a run may go on for longer than its steps would be kept");
    }
}
