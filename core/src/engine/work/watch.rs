//! Watches over a run while it is worked on: cancelled, timed out, lost; its claim is extended.

use super::Engine;
use super::lease::LeaseGuard;
use super::news::News;
use super::task::Invocation;
use crate::Timestamp;
use crate::duration::Span;
use crate::engine::ledger::apply::{ApplyError, log_gone};
use crate::job_type::{Cancel, Stop};
use crate::run::{Input, Run};

/// When the time of an attempt is up, and how long that is.
#[derive(Clone, Copy)]
pub(super) struct TimeLimit {
    pub(super) ends: Timestamp,
    pub(super) limit: Span,
}

/// A run that is watched.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) engine: &'a Engine,
    pub(super) run: &'a Run,
    pub(super) invocation: &'a Invocation,
    pub(super) lease: &'a LeaseGuard,
    /// The request to stop, once there is one.
    pub(super) cancel: &'a Cancel,
    /// Where it is to be said that others wrote the record.
    pub(super) news: Option<&'a News>,
}

impl Watch<'_> {
    /// Returns when the attempt is to stop, and why.
    pub(super) async fn stopped(self, limit: Option<TimeLimit>) -> Stop {
        let clock = &self.engine.site.ports.clock;
        loop {
            let now = self.engine.now();
            if let Some(stop) = self.cancel.is_stopped() {
                return stop;
            }
            if let Some(TimeLimit { ends, limit }) = limit
                && now >= ends
            {
                return Stop::TimedOut(limit);
            }
            let next = now + self.engine.limits.watch.delta();
            clock.sleep_until(limit.map_or(next, |limit| next.min(limit.ends))).await;
            // Boxed: most attempts end before the first look.
            if let Some(stop) = Box::pin(self.look()).await {
                return stop;
            }
        }
    }

    /// Looks whether the run is still this invocation's and not cancelled, and extends the claim.
    pub(super) async fn look(self) -> Option<Stop> {
        let Self { engine, run, invocation, lease, news, .. } = self;
        let stored = match engine.site.ports.runs.peek(&run.key).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                log_gone(run);
                return Some(Stop::Lost);
            }
            // A store that does not answer now may answer next time; the lease bounds the wait.
            Err(_) => return lease.is_over(engine.now()).then_some(Stop::Lost),
        };
        if !stored.is_held(&invocation.owner, run.epoch) {
            return Some(Stop::Lost);
        }
        if stored.cancel {
            return Some(Stop::Cancelled);
        }
        if let Some(news) = news {
            news.see(&stored);
        }
        let now = engine.now();
        let half = engine.limits.lease.delta() / 2;
        if invocation.ends.is_none() && lease.until() - now < half {
            let until = now + engine.limits.lease.delta();
            let input = Input::Extend { worker: invocation.owner.clone(), epoch: run.epoch, until };
            match engine.ledger().apply(stored, input).await {
                Ok(extended) => {
                    lease.extend(until);
                    if let Some(news) = news {
                        news.wrote(&extended);
                    }
                }
                Err(ApplyError::Illegal(..)) => return Some(Stop::Lost),
                Err(_) if lease.is_over(now) => return Some(Stop::Lost),
                Err(_) => {}
            }
        }
        None
    }
}
