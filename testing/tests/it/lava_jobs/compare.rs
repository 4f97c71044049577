//! Differences between the outcomes of a case with lava and with Pumice.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// The outcome of a case.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// Why it was not dispatched at all.
    pub(crate) refused: Option<String>,
    /// Its runs, those of steps and of jobs that were started.
    pub(crate) runs: Vec<Ran>,
    /// The items that are left, by id.
    pub(crate) state: Map<String, Value>,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its job.
    pub(crate) job_id: String,
    /// The delay it was dispatched with, in whole seconds.
    pub(crate) delay: u64,
    /// The events.
    pub(crate) events: Vec<Event>,
}

/// An entry of a run's log.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) status: String,
    pub(crate) info: Value,
}

/// A place where both differ.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// Where: `job[event].status.field`.
    pub(crate) place: String,
    pub(crate) lava: Value,
    pub(crate) pumice: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: lava {}, Pumice {}", self.place, self.lava, self.pumice)
    }
}

/// Events that both record in the same way; lava does not know of the others, or words them alone.
const COMPARED: [&str; 8] =
    ["logging", "skipped", "rejected", "retrying", "complete", "failed", "action_failed", "refused"];

/// All places where the outcomes of a case differ.
pub(crate) fn differences(lava: &Came, pumice: &Came) -> Vec<Difference> {
    let mut found = Vec::new();
    let refused = |came: &Came| Value::from(came.refused.as_deref());
    if lava.refused.is_some() || pumice.refused.is_some() {
        let place = "refused".to_owned();
        let difference = Difference { place, lava: refused(lava), pumice: refused(pumice) };
        return vec![difference];
    }
    let (theirs, mut ours) = (by_name(&lava.runs), by_name(&pumice.runs));
    for (name, run) in theirs {
        match ours.remove(&name) {
            Some(other) => compare_runs(&name, run, other, &mut found),
            None => found.push(Difference { place: name, lava: "a run".into(), pumice: Value::Null }),
        }
    }
    let more = ours.into_keys();
    found.extend(more.map(|place| Difference { place, lava: Value::Null, pumice: "a run".into() }));
    for id in lava.state.keys().chain(pumice.state.keys().filter(|id| !lava.state.contains_key(*id))) {
        let item = |came: &Came| came.state.get(id).cloned().unwrap_or_default();
        compare(&format!("state {id}"), &item(lava), &item(pumice), &mut found);
    }
    found
}

/// The runs by job; of several of one job each by its turn.
fn by_name(runs: &[Ran]) -> BTreeMap<String, &Ran> {
    let mut named = BTreeMap::new();
    for run in runs {
        let name = &run.job_id;
        let turn =
            (1..).find(|turn| !named.contains_key(&format!("{name}#{turn}"))).expect("there is a number");
        named.insert(format!("{name}#{turn}"), run);
    }
    named
}

fn compare_runs(name: &str, lava: &Ran, pumice: &Ran, found: &mut Vec<Difference>) {
    if lava.delay != pumice.delay {
        let place = format!("{name}.delay");
        found.push(Difference { place, lava: lava.delay.into(), pumice: pumice.delay.into() });
    }
    let compared = |run: &Ran| -> Vec<usize> {
        // lava gives no warnings (guide, "Stored jobs").
        let is_warning =
            |at: &usize| run.events[*at].info.as_str().is_some_and(|info| info.starts_with("warning: "));
        let is_compared = |at: &usize| COMPARED.contains(&run.events[*at].status.as_str()) && !is_warning(at);
        (0..run.events.len()).filter(is_compared).collect()
    };
    let (theirs, ours) = (compared(lava), compared(pumice));
    let statuses = |run: &Ran, which: &[usize]| -> Value {
        which.iter().map(|at| Value::from(run.events[*at].status.as_str())).collect()
    };
    let (all, others) = (statuses(lava, &theirs), statuses(pumice, &ours));
    if all != others {
        found.push(Difference { place: format!("{name}.events"), lava: all, pumice: others });
        return;
    }
    for (turn, (left, right)) in theirs.into_iter().zip(ours).enumerate() {
        let (left, right) = (&lava.events[left], &pumice.events[right]);
        compare(&format!("{name}[{turn}].{}", left.status), &left.info, &right.info, found);
    }
}

/// Lava's fields must be there; Pumice may have more.
fn compare(place: &str, lava: &Value, pumice: &Value, found: &mut Vec<Difference>) {
    match (lava, pumice) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                compare(&format!("{place}.{name}"), value, right.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{place}[{at}]"), left, right, found);
            }
        }
        (left, right) if same(left, right) => {}
        (left, right) => {
            found.push(Difference { place: place.to_owned(), lava: left.clone(), pumice: right.clone() });
        }
    }
}

/// Equal, be a number written as 2 or as 2.0.
fn same(left: &Value, right: &Value) -> bool {
    left == right || matches!((left.as_f64(), right.as_f64()), (Some(left), Some(right)) if left == right)
}
