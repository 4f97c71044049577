//! Figures about runs: how they ended, how long they took and waited.

use std::time::Duration;

use super::record::Run;
use super::status::Status;
use crate::Timestamp;

/// Totals over runs. Their memory grows by two numbers with each run that started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many runs.
    pub runs: u64,
    /// How many ended well.
    pub complete: u64,
    /// How many failed, or were rejected.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// How many have not ended.
    pub open: u64,
    /// How long those took that started and ended.
    took: Vec<Duration>,
    /// How long those waited that started, from the time at which they could have.
    waited: Vec<Duration>,
}

impl Figures {
    /// Counts a run. A step that was kept was not run, and counts for nothing.
    pub fn take(&mut self, run: &Run) {
        if run.kept.is_some() {
            return;
        }
        self.runs += 1;
        *match run.status {
            Status::Complete => &mut self.complete,
            Status::Failed | Status::Rejected => &mut self.failed,
            Status::Cancelled => &mut self.cancelled,
            Status::Skipped => &mut self.skipped,
            _ => &mut self.open,
        } += 1;
        self.took.extend(took(run));
        self.waited.extend(waited(run));
    }

    /// How many of a thousand runs that ended well or failed are failures; `None` where there are none.
    #[must_use]
    pub const fn failures_per_mille(&self) -> Option<u64> {
        failures_per_mille(self.complete, self.failed)
    }

    /// The time within which this share of the runs ended that started, in hundredths.
    #[must_use]
    pub fn took(&self, hundredths: usize) -> Option<Duration> {
        percentile(&self.took, hundredths)
    }

    /// The time within which this share of the runs started, in hundredths.
    #[must_use]
    pub fn waited(&self, hundredths: usize) -> Option<Duration> {
        percentile(&self.waited, hundredths)
    }
}

/// How many of a thousand runs are failures, rounded; `None` where there are none.
#[must_use]
pub const fn failures_per_mille(complete: u64, failed: u64) -> Option<u64> {
    let all = complete + failed;
    (failed * 1_000 + all / 2).checked_div(all)
}

/// How long a run took from its first start to its end.
fn took(run: &Run) -> Option<Duration> {
    between(run.ts_start?, run.ts_end?)
}

/// How long a run waited from the time at which it could have started first.
fn waited(run: &Run) -> Option<Duration> {
    let start = run.ts_start?;
    between(run.was_due().min(start), start)
}

/// Clocks of hosts differ: what ended before it began took no time.
fn between(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Some((to - from).to_std().unwrap_or_default())
}

/// The smallest value that so many hundredths of the values do not exceed (nearest rank).
fn percentile(values: &[Duration], hundredths: usize) -> Option<Duration> {
    let rank = (values.len() * hundredths.min(100)).div_ceil(100).max(1) - 1;
    let mut values = values.to_vec();
    if rank >= values.len() {
        return None;
    }
    let (_, value, _) = values.select_nth_unstable(rank);
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Span;
    use crate::ids::{JobId, RunId, RunKey, WorkerName};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    /// A run that was due at a second, started and ended.
    fn run(status: Status, due: i64, started: Option<i64>, ended: Option<i64>) -> Run {
        let run_id: RunId = "0190a0a0-1111-7000-8000-0000000000aa".parse().unwrap();
        let about = (JobId::new("a").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
        let made = Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(due), Span::from_days(1));
        Run { status, ts_start: started.map(at), ts_end: ended.map(at), ..made }
    }

    #[test]
    fn runs_are_counted_by_how_they_ended() {
        let mut figures = Figures::default();
        for status in Status::of_runs() {
            figures.take(&run(status, 0, None, None));
        }
        figures.take(&Run {
            kept: Some(run(Status::Complete, 0, None, None).key),
            ..run(Status::Complete, 0, None, None)
        });
        let counts = (figures.complete, figures.failed, figures.cancelled, figures.skipped, figures.open);
        assert_eq!((figures.runs, counts), (9, (1, 2, 1, 1, 4)));
        assert_eq!(figures.failures_per_mille(), Some(667));
        assert_eq!(
            [(4, 5), (13, 8), (1, 1)].map(|(well, bad)| failures_per_mille(well, bad)),
            [556, 381, 500].map(Some)
        );
        assert_eq!((figures.took(50), figures.waited(50)), (None, None));
        assert_eq!(Figures::default().failures_per_mille(), None);
    }

    #[test]
    fn wait_begins_when_a_run_could_have_started() {
        let seconds = |run: &Run| waited(run).map(|waited| waited.as_secs());
        assert_eq!(seconds(&run(Status::Running, 10, Some(15), None)), Some(5));
        assert_eq!(seconds(&run(Status::Dispatched, 10, None, None)), None);
        let of_before = Run { attempt: 2, ..run(Status::Running, 60, Some(5), None) };
        assert_eq!(seconds(&of_before), Some(5), "a version before this one did not keep its first due time");
        let slow_clock = run(Status::Complete, 10, Some(8), Some(7));
        assert_eq!((seconds(&slow_clock), took(&slow_clock)), (Some(0), Some(Duration::ZERO)));
    }

    #[test]
    fn percentile_is_a_value_that_was_seen() {
        let mut figures = Figures::default();
        for seconds in (1..=20).rev() {
            figures.take(&run(Status::Complete, 0, Some(0), Some(seconds)));
        }
        let of = |hundredths| figures.took(hundredths).map(|took| took.as_secs());
        assert_eq!([of(0), of(5), of(50), of(95), of(100)], [1, 1, 10, 19, 20].map(Some));
    }
}
