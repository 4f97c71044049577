//! The heartbeat of a host, and the runs that are for that host alone. They have no message, which any worker might take: the
//! host asks for them with each heartbeat.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::Engine;
use crate::hosts::{BEAT, Host};
use crate::ids::RunKey;
use crate::message::Message;
use crate::ports::{Outgoing, StoreError};
use crate::run::Run;

/// Most runs that a host reads at the same time.
const AT_ONCE: usize = 16;

impl Engine {
    /// Writes the heartbeat of a host, and finds the runs that are for it: those which it is to look at before the next
    /// heartbeat, each with its time. It leaves out those that it has `in_hand`. A host that cannot look for its runs
    /// does not say that it is alive.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or the realm keeps no hosts.
    pub async fn beat(&self, host: &Host, in_hand: &BTreeSet<RunKey>) -> Result<Vec<Outgoing>, StoreError> {
        let Some(hosts) = &self.site.ports.hosts else {
            return Err(StoreError::missing("this realm keeps no hosts"));
        };
        self.housekeeper.check_clock()?;
        let keys = hosts.runs_for(&host.id).await?;
        let now = self.now();
        hosts.put_host(&Host { seen: now, ..host.clone() }).await?;
        let keys: Vec<RunKey> = keys.into_iter().filter(|key| !in_hand.contains(key)).collect();
        let mut found = Vec::new();
        for part in keys.chunks(AT_ONCE) {
            let runs = join_all(part.iter().map(|key| self.site.ports.runs.peek(key))).await;
            for (key, run) in part.iter().zip(runs) {
                match run {
                    Ok(run) => found.extend(run.and_then(|run| self.call_of(host, &run))),
                    // A fault of one record alone does not keep the others waiting.
                    Err(error) => tracing::warn!(%key, %error, "a run for this host cannot be read"),
                }
            }
        }
        Ok(found)
    }

    fn call_of(&self, host: &Host, run: &Run) -> Option<Outgoing> {
        let at = run.calls_host_at().filter(|_| run.host.as_ref() == Some(&host.id))?;
        let message = Message::reminder(&self.site.realm, run);
        (at <= self.now() + BEAT.delta()).then_some(Outgoing { message, at })
    }
}
