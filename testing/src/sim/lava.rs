//! A lava worker: it runs each message that it receives, as often as it receives it, and records it in a
//! table of lava's.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pumice_core::ids::{RunId, RunKey, WorkerName};
use pumice_core::message::{Message, iso};
use pumice_core::ports::Doc;
use pumice_core::run::{Run, Status};
use serde_json::{Value, json};

use super::mutants::Mutant;
use super::runner::Runner;
use super::world::{What, World, lock};

/// The field of every request for a job of this worker by which its arrival is seen.
pub(crate) const GIVEN: &str = "given";
/// How long a message may be on its way before the sweeper may take the worker for one that keeps records, where
/// the settings do not say that it is lava's.
const SLOW: TimeDelta = TimeDelta::seconds(10);
/// How late a message may come where nothing goes wrong.
const PROMPT: TimeDelta = TimeDelta::seconds(5);

/// The state of the worker.
#[derive(Debug, Default)]
pub(crate) struct Lava {
    /// Whether the realm's settings name it.
    pub(crate) named: bool,
    /// How often each run may have been given once more: each time something went wrong between its message
    /// and the note of it.
    excuses: BTreeMap<RunId, u32>,
    /// How often it ran each run.
    ran: BTreeMap<RunId, u32>,
    /// Its table.
    events: BTreeMap<RunId, Doc>,
}

/// The worker's name.
pub(crate) fn lavas() -> WorkerName {
    WorkerName::new("lavas").expect("a name")
}

impl Lava {
    /// Its table's record of a run.
    pub(crate) fn event(&self, run_id: RunId) -> Option<Doc> {
        self.events.get(&run_id).cloned()
    }

    fn tell(&mut self, run_id: RunId, entry: Value) {
        let document = json!({ "run_id": run_id, "hostname": "ec2", "log": [] });
        let record =
            self.events.entry(run_id).or_insert_with(|| document.as_object().cloned().unwrap_or_default());
        if let Some(log) = record.get_mut("log").and_then(Value::as_array_mut) {
            log.push(entry);
        }
    }

    /// The last end that it recorded.
    fn end(&self, run_id: RunId) -> Option<&str> {
        let log = self.events.get(&run_id)?.get("log")?.as_array()?;
        let mut told = log.iter().filter_map(|entry| entry["status"].as_str());
        told.rfind(|status| ["complete", "failed"].contains(status))
    }
}

impl Runner {
    /// The worker takes what is there for it.
    pub(super) fn deliver_to_lava(&self) {
        let mut world = lock(&self.world);
        loop {
            let now = world.now;
            let Some(delivery) = world.queues.take(&lavas(), 1, now).pop() else { return };
            world.queues.delete(&delivery.receipt).expect("a receipt");
            match serde_json::from_str(&delivery.body) {
                Ok(message) => world.lava_begins(&message),
                Err(error) => world.audit.fail("messages can be read", format!("{error}: {}", delivery.body)),
            }
        }
    }
}

impl World {
    /// A message is put on the worker's queue; it is on its way for so long.
    pub(crate) fn on_the_way_to_lava(&mut self, run_id: RunId, delay: TimeDelta) {
        if delay > SLOW && !self.lava.named {
            *self.lava.excuses.entry(run_id).or_default() += 1;
        }
    }

    /// A crash or a freeze may have hit a process between giving a run to lava and noting so.
    pub(crate) fn excuse_unnoted(&mut self) {
        let unnoted = |run: &&Run| run.worker == lavas() && run.may_be_lavas() && run.handed_over.is_none();
        let runs: Vec<RunId> = self.runs.all().filter(unnoted).map(|run| run.run_id).collect();
        for run_id in runs {
            *self.lava.excuses.entry(run_id).or_default() += 1;
        }
    }

    /// Excuses the run that a failed call was about; the call's subject names it.
    pub(crate) fn excuse(&mut self, about: &str) {
        if let Ok(key) = about.parse::<RunKey>()
            && let Some(run_id) = key.run_id()
        {
            *self.lava.excuses.entry(run_id).or_default() += 1;
        }
    }

    fn lava_begins(&mut self, message: &Message) {
        let (run_id, now) = (message.run_id, self.now);
        self.note(|| format!("lava runs {run_id}"));
        let times = self.lava.ran.entry(run_id).or_default();
        *times += 1;
        let (times, named) = (*times, self.lava.named);
        let excuses = self.lava.excuses.get(&run_id).copied().unwrap_or_default();
        if times > 1 + excuses {
            self.audit.fail("lava is given a run once", format!("{run_id}: {times} times"));
        }
        let given = message.globals.as_ref().is_some_and(|globals| globals.contains_key(GIVEN));
        if named && (!given || message.run_key.is_some()) {
            self.audit.fail("lava gets the fields that it needs", format!("{message:?}"));
        }
        let due = self.runs.get(&RunKey::root(run_id)).map(|run| run.not_before.max(run.ts_dispatch));
        if self.audit.prompt && named && due.is_none_or(|due| now > due + PROMPT) {
            self.audit.fail("starts are prompt", format!("lava runs {run_id} at {now}, due {due:?}"));
        }
        self.lava.tell(run_id, json!({ "ts_event": iso(now), "status": "starting", "info": null }));
        let took = TimeDelta::milliseconds(self.prng.pick(&[0, 3_000, 100_000, 3_000_000]));
        self.schedule(now + took, What::LavaEnds(run_id));
    }

    pub(crate) fn lava_ends(&mut self, run_id: RunId) {
        let at = iso(self.now);
        let entry = |status: &str, info: Value| json!({ "ts_event": at, "status": status, "info": info });
        let end = match self.prng.below(3) {
            0 => entry("failed", json!({ "error": "it broke" })),
            _ => entry("complete", json!({ "exit_status": 0 })),
        };
        self.lava.tell(run_id, end);
        if self.prng.below(3) == 0 {
            self.lava.tell(run_id, entry("action_failed", json!("no such topic")));
        }
    }

    /// Its table's record, as the sweeper reads it.
    pub(crate) fn lavas_record(&self, run_id: RunId) -> Option<Doc> {
        self.lava.event(run_id).filter(|_| !self.is(Mutant::EndNotRead))
    }

    /// A run of the worker's that it never ran, or whose record has another end than lava's.
    pub(crate) fn untold(&self, run: &Run) -> Option<String> {
        // A client may cancel a run in the moment between its message and the note that it was given.
        if run.worker != lavas() || run.status == Status::Cancelled {
            return None;
        }
        let told = self.lava.end(run.run_id);
        let same = told == Some(run.status.as_str()) || self.lava.ran.get(&run.run_id) > Some(&1);
        (told.is_none() || !same).then(|| format!("{} is {}, lava says {told:?}", run.key, run.status))
    }
}
