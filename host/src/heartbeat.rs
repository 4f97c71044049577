//! The heartbeat of a worker's process, and the runs that are for this process alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pumice_core::engine::{Engine, Halt, Handled};
use pumice_core::hosts::{BEAT, Host};
use pumice_core::ids::RunKey;
use pumice_core::ports::Outgoing;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The heartbeat of a host.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    engine: Engine,
    host: Host,
    in_hand: InHand,
    halt: Halt,
}

/// The runs for this host that it has taken up, and waits for or works on.
#[derive(Clone, Debug, Default)]
struct InHand(Arc<Mutex<BTreeSet<RunKey>>>);

impl InHand {
    fn keys(&self) -> MutexGuard<'_, BTreeSet<RunKey>> {
        // A set of keys: whole even if another holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a run up until what this gives is dropped; `None` when it is in hand already.
    fn take(&self, key: RunKey) -> Option<Taken> {
        self.keys().insert(key.clone()).then(|| Taken { all: self.clone(), key })
    }
}

/// A run that was taken up.
struct Taken {
    all: InHand,
    key: RunKey,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.all.keys().remove(&self.key);
    }
}

impl Heartbeat {
    /// The heartbeat of a host, whose runs this engine runs.
    pub(crate) fn new(engine: Engine, host: Host, halt: Halt) -> Self {
        let engine = engine.on_host(host.clone());
        Self { engine, host, in_hand: InHand::default(), halt }
    }

    /// Beats, and begins the runs that are for this host, until it is dropped.
    pub(crate) async fn beat(&self, slots: &Arc<Semaphore>, running: &mut JoinSet<()>) {
        let mut tick = tokio::time::interval(BEAT.get());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_heard = true;
        loop {
            tick.tick().await;
            while running.try_join_next().is_some() {}
            let in_hand = self.in_hand.keys().clone();
            match self.engine.beat(&self.host, &in_hand).await {
                Ok(found) => {
                    is_heard = true;
                    for outgoing in found {
                        self.begin(outgoing, slots.clone(), running);
                    }
                }
                // Once, and not with each heartbeat.
                Err(error) if is_heard => {
                    is_heard = false;
                    tracing::warn!(%error, "no heartbeat: schedules with `nodes: all` do not start jobs here");
                }
                Err(_) => {}
            }
        }
    }

    /// Has a run looked at when its time has come and a slot is free.
    fn begin(&self, outgoing: Outgoing, slots: Arc<Semaphore>, running: &mut JoinSet<()>) {
        let Some(taken) = self.in_hand.take(outgoing.message.key()) else { return };
        let (engine, halt) = (self.engine.clone(), self.halt.clone());
        running.spawn(async move {
            let turn = async {
                engine.site().ports.clock.sleep_until(outgoing.at).await;
                slots.acquire_owned().await
            };
            let _permit = tokio::select! {
                permit = turn => permit,
                () = halt.rested() => return,
            };
            if let Handled::Bury(reason) = engine.handle(&outgoing.message.body(), 1, None).await {
                tracing::error!(key = %outgoing.message.key(), reason, "a run for this host cannot be run");
            }
            // A later heartbeat finds the run again if this failed.
            drop(taken);
        });
    }

    /// Says that the host is stopped: no further run is made for it.
    pub(crate) async fn end(&self) {
        let now = self.engine.site().ports.clock.now();
        let ended = Host { seen: now, ended: Some(now), ..self.host.clone() };
        let Some(hosts) = &self.engine.site().ports.hosts else { return };
        if let Err(error) = hosts.put_host(&ended).await {
            tracing::warn!(%error, "the end of this host is not recorded: it counts as alive for a while");
        }
    }
}
