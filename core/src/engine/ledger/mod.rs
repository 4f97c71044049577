//! The ledger: carries out decisions on records, sends their messages, calls the next run in line. It knows no specs and no
//! requests, and everything else stands on it.

pub(super) mod apply;
mod events;
pub(super) mod gate;
pub(super) mod line;
pub(super) mod live;
mod span;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use live::Live;

use super::trouble::Trouble;
use crate::Timestamp;
use crate::ids::{JobId, RunId, RunKey, WorkerName};
use crate::job_type::Site;
use crate::message::Message;
use crate::ports::{Outgoing, StoreErrorKind};
use crate::run::Decision;

/// The records of a realm's runs, and what follows from their changes. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    site: Arc<Site>,
    /// The invocations of this process.
    pub(super) live: Live,
    /// The messages that are to be sent together; `None` where each is sent at once.
    outbox: Option<Arc<Mutex<Vec<Outgoing>>>>,
    /// Failed writes outside the records.
    trouble: Trouble,
}

impl Ledger {
    /// The ledger of a realm.
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { site, live: Live::default(), outbox: None, trouble: Trouble::default() }
    }

    /// The same, which keeps the messages of decisions until [`Ledger::send_kept`]: many are sent in few calls. One that is
    /// lost in between costs time only, as one that could not be sent.
    pub(in crate::engine) fn collecting(&self) -> Self {
        Self { outbox: Some(Arc::default()), ..self.clone() }
    }

    /// Sends the messages that were kept.
    pub(in crate::engine) async fn send_kept(&self) {
        let kept = self
            .outbox
            .as_deref()
            .map(|outbox| std::mem::take(&mut *outbox.lock().unwrap_or_else(PoisonError::into_inner)));
        self.send_all(kept.unwrap_or_default()).await;
    }

    pub(super) fn site(&self) -> &Arc<Site> {
        &self.site
    }

    pub(super) fn now(&self) -> Timestamp {
        self.site.ports.clock.now()
    }

    pub(super) fn message(&self, decision: &Decision) -> Option<Outgoing> {
        let wake = decision.wake.as_ref()?;
        Some(Outgoing { message: Message::about(&self.site().realm, &decision.run), at: wake.at })
    }

    /// Sends the message of a decision.
    pub(in crate::engine) async fn send(&self, decision: &Decision) {
        if let Some(outgoing) = self.message(decision) {
            self.send_message(outgoing).await;
        }
    }

    /// Sends a message.
    pub(in crate::engine) async fn send_message(&self, outgoing: Outgoing) {
        match &self.outbox {
            Some(outbox) => outbox.lock().unwrap_or_else(PoisonError::into_inner).push(outgoing),
            None => drop(self.send_all(vec![outgoing]).await),
        }
    }

    /// Sends messages; returns the outcome of each. One that is not sent costs time only: the sweeper sends it, without
    /// the parameters and globals that the record has too: the log names one a minute of each worker and fault.
    /// [`Sent::Refused`] is one that no later try would send.
    pub(in crate::engine) async fn send_all(&self, messages: Vec<Outgoing>) -> Vec<Sent> {
        if messages.is_empty() {
            return Vec::new();
        }
        let about = about(&messages);
        let workers: Vec<WorkerName> = messages.iter().map(|one| one.message.worker.clone()).collect();
        let outcomes = self.site().ports.queue.send(messages).await;
        let outcomes = workers.into_iter().zip(outcomes);
        let mut late = Vec::new();
        let sent = about.into_iter().zip(outcomes).map(|((run_id, job_id, key), (worker, outcome))| match outcome {
            Ok(()) => Sent::Done,
            Err(error) if error.kind == StoreErrorKind::Invalid => {
                tracing::error!(%run_id, %job_id, %key, %error, "a message is refused for what it holds");
                Sent::Refused(error.message)
            }
            Err(error) => {
                let fault = format!("sending to {worker}: {:?}", error.kind);
                if let Some(unsent) = self.trouble.count(&fault, self.now()) {
                    tracing::warn!(%run_id, %job_id, %key, %error, unsent, "a message was not sent; the sweeper will");
                }
                late.push(key);
                Sent::Later
            }
        });
        let sent = sent.collect();
        join_all(late.iter().map(|key| self.note_unsent(key))).await;
        sent
    }

    /// Schedules messages for their time, where the realm has the port for it. One that is not costs the second way of
    /// waking its run only: the sweeper is the first.
    pub(in crate::engine) async fn schedule_all(&self, messages: Vec<Outgoing>) {
        let Some(wake_ups) = self.site().ports.wake_ups.as_ref().filter(|_| !messages.is_empty()) else {
            return;
        };
        let about = about(&messages);
        let outcomes = wake_ups.schedule(messages).await;
        for ((run_id, job_id, key), outcome) in about.into_iter().zip(outcomes) {
            if let Err(error) = outcome {
                tracing::warn!(%run_id, %job_id, %key, %error, "a run has no schedule; the sweeper wakes it");
            }
        }
    }
}

/// The outcome of sending a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Sent {
    /// It was sent.
    Done,
    /// The queue did not take it now.
    Later,
    /// The queue never takes it, for this reason.
    Refused(String),
}

/// Messages as the log names them.
fn about(messages: &[Outgoing]) -> Vec<(RunId, JobId, RunKey)> {
    messages.iter().map(|o| (o.message.run_id, o.message.job_id.clone(), o.message.key())).collect()
}
