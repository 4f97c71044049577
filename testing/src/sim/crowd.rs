//! A queue that has many other messages all the time, and takes none for a while: runs whose messages were not sent.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Depth, Oldest};
use pumice_core::request::When;
use pumice_core::run::Run;
use serde_json::json;

use super::mutants::Mutant;
use super::runner::SWEEP;
use super::scenario::{Setup, short_nap};
use super::world::{BEGIN, World};
use crate::prng::Prng;

/// How many other messages the queue has.
const OTHERS: u64 = 1_000;
/// Within how many sweeps a run must be sent, of which the queue did not take the message.
const MAX_SWEEPS: i32 = 2;

/// A queue with many messages.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Until when the queue takes no message.
    until: Timestamp,
    /// Whether nothing else goes wrong.
    is_all: bool,
    /// The runs whose messages it did not take, and since when the engine has noted so.
    unsent: BTreeMap<RunKey, Timestamp>,
}

/// Runs that are due at once and later, and a queue that takes no messages for a while.
pub(super) fn crowd(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let job = setup.job(short_nap(prng));
    for _ in 0..prng.within(2, 5) {
        let at = prng.below(60_000);
        let minutes = prng.pick(&[0, 0, 5, 17]);
        let due = BEGIN + TimeDelta::minutes(minutes);
        setup.ask(at, &job).when = if minutes == 0 { When::Now } else { When::At(due) };
    }
    setup.crowd = Some(prng.pick(&[30, 100, 400]));
    setup.jobs[0]["iteration_limit"] = json!(prng.pick(&[1, 2]));
    setup
}

impl World {
    /// From now on the queue has many other messages, and takes none for so many seconds.
    pub(super) fn crowded(&mut self, seconds: u64) {
        let until = BEGIN + TimeDelta::seconds(seconds.cast_signed());
        self.crowd = Some(Crowd { until, is_all: self.faults.is_none(), unsent: BTreeMap::new() });
    }

    /// Whether the queue takes no message now.
    pub(super) fn takes_no_message(&self) -> bool {
        self.crowd.as_ref().is_some_and(|crowd| self.now < crowd.until)
    }

    /// The depth of the queue, where it has many other messages.
    pub(super) fn depth(&self) -> Option<Depth> {
        self.crowd.as_ref().map(|_| Depth {
            ready: OTHERS,
            delayed: 0,
            in_flight: 0,
            oldest: Oldest::Unknown,
        })
    }

    /// Notes a write that says that a run's message was not sent; returns whether the write is lost.
    pub(super) fn notes_unsent(&mut self, before: &Run, after: &Run) -> bool {
        let (now, is_lost) = (self.now, self.is(Mutant::UnsentForgotten));
        let Some(crowd) = &mut self.crowd else { return false };
        let is_free = after.lease.is_none() && after.duties.is_none() && !after.status.is_end();
        let is_first = after.due_at.is_some_and(|due| due < after.not_before);
        if !(before.only_waits() && is_free && is_first) {
            return false;
        }
        crowd.unsent.entry(after.key.clone()).or_insert(now);
        is_lost
    }

    /// A message is put on the queue.
    pub(super) fn is_sent(&mut self, key: &RunKey) {
        let now = self.now;
        let Some(crowd) = &mut self.crowd else { return };
        let Some(since) = crowd.unsent.remove(key).filter(|_| crowd.is_all) else { return };
        let since = since.max(crowd.until);
        self.audit.expect(
            now <= since + SWEEP * MAX_SWEEPS,
            "a run is sent within two sweeps that its queue did not take",
            || format!("{key}: unsent since {since}, sent {now}"),
        );
    }
}
