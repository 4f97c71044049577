//! Clients that ask for runs and for their end.

use pumice_core::ids::RealmName;
use pumice_core::job_type::DispatchError;
use pumice_core::message::{Message, iso};
use pumice_core::ports::Outgoing;
use pumice_core::run::StopRequest;
use serde_json::json;

use super::runner::{Done, Runner};
use super::scenario::Letter;
use super::world::{Role, World, lock, worker};

impl Runner {
    /// A client asks for a run.
    pub(super) fn ask(&mut self, index: usize) {
        self.to_come -= 1;
        let ask = self.asks[index].clone();
        let (dispatcher, world) = (self.engine.dispatcher().clone(), self.world.clone());
        self.spawn(Role::Client(index), |_| {
            Box::pin(async move {
                // A client that gets no answer asks again, with the same key if it has one. It may
                // find the run that it made itself.
                let mut unanswered = false;
                for _ in 0..20 {
                    let outcome = dispatcher.dispatch(vec![ask.request.clone()], None).await.pop();
                    let mut world = lock(&world);
                    match outcome {
                        Some(Ok(accepted)) => {
                            let key = accepted.run_id.into();
                            if world.runs.get(&key).is_none() {
                                world.audit.fail("accepted runs exist", format!("{key}"));
                            }
                            if ask.clashes && accepted.existing && !unanswered {
                                world.audit.fail("one key, one request", format!("{key}"));
                            }
                            break;
                        }
                        Some(Err(DispatchError::Store(_))) => unanswered = true,
                        Some(Err(DispatchError::KeyTaken { .. }))
                            if ask.request.idempotency_key.is_some() =>
                        {
                            break;
                        }
                        other => world.audit.fail("a request is taken", format!("{other:?}")),
                    }
                }
                Done::Nothing
            })
        });
    }

    /// Lava's dispatch sends a message. It arrives at least once, since only its sender knows of it.
    pub(super) fn letter(&mut self, letter: Letter) {
        self.to_come -= 1;
        let mut world = lock(&self.world);
        let now = world.now;
        let globals = json!({ "lava": letter.lava, "given": true });
        let message = Message {
            realm: RealmName::new("sim").expect("a name"),
            worker: worker(),
            job_id: letter.job_id.clone(),
            run_id: letter.run_id,
            ts_dispatch: iso(now),
            parameters: None,
            globals: globals.as_object().cloned(),
            run_key: None,
        };
        let copies = {
            let World { faults, prng, .. } = &mut *world;
            faults.copies(prng).max(1)
        };
        world.put_copies(&Outgoing { message, at: now }, copies);
        world.letters.push(letter);
    }

    /// A client cancels some run.
    pub(super) fn cancel(&mut self) {
        self.to_come -= 1;
        let chosen = {
            let mut world = lock(&self.world);
            let keys: Vec<_> = world.runs.all().map(|run| run.key.clone()).collect();
            let index = usize::try_from(world.prng.below(keys.len() as u64)).unwrap_or(0);
            keys.get(index).cloned()
        };
        let Some(key) = chosen else { return };
        let (dispatcher, world) = (self.engine.dispatcher().clone(), self.world.clone());
        self.spawn(Role::Canceller, |_| {
            Box::pin(async move {
                let request = StopRequest::new("a client", Some("it is not wanted"));
                if dispatcher.cancel_for(&key, request).await.is_ok() {
                    let mut world = lock(&world);
                    let asked = world.runs.get(&key).is_some_and(|run| run.cancel);
                    if !asked {
                        world.audit.fail("a request to stop is kept", format!("{key}"));
                    }
                }
                Done::Nothing
            })
        });
    }
}
