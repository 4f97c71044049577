//! Permits: a limit on how many runs run at once. A run whose job names a pool, or has a `concurrency`, takes a permit
//! of its gate with its first start and gives it back when it is done. Runs that find none wait in the gate's line, in
//! the order in which they came.
//!
//! The rules are here and pure; a store keeps the holders and the line of a gate with the records of runs.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;
use crate::duration::Span;
use crate::ids::{PoolName, RunKey};
use crate::problem::Invalid;
use crate::run::{Run, Status};
use crate::spec::{Concurrency, Overlap};
use crate::text::quoted;

/// Most permits of a gate: a store may keep all of its holders in one item.
pub const MAX_PERMITS: u32 = 1_000;
/// Longest key, in bytes, as it was rendered.
pub const MAX_KEY_BYTES: usize = 256;
/// How many of a gate's line are looked at: more are not called at once.
pub const LINE_LOOK: usize = 64;
/// How long a run that was called has until those behind it may pass it.
pub const TURN: Span = Span::from_secs(15);
/// How long after its own look was due a run counts as one that does not come, as when no worker is there for it.
pub const NO_SHOW: Span = Span::from_mins(3);

/// A limit on how many runs pass at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// A pool of the realm, by its name.
    Pool(PoolName),
    /// The runs that give this key.
    Key(String),
}

impl Gate {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Pool(pool) => format!("pool {pool}"),
            Self::Key(key) => format!("key {}", quoted(key)),
        }
    }

    /// The gate of a key, as it was rendered.
    ///
    /// # Errors
    /// The mistake in the key.
    pub fn of_key(key: &str) -> Result<Self, BadGate> {
        let key = key.trim();
        if key.is_empty() {
            return Err(BadGate(
                "concurrency.key renders to an empty text; give a text that names what is limited".to_owned(),
            ));
        }
        if key.len() > MAX_KEY_BYTES {
            let bytes = key.len();
            return Err(BadGate(format!(
                "concurrency.key renders to {bytes} bytes; the limit is {MAX_KEY_BYTES}"
            )));
        }
        if key.contains(char::is_control) {
            let shown = quoted(key);
            return Err(BadGate(format!("concurrency.key renders to {shown}, which has control characters")));
        }
        Ok(Self::Key(key.to_owned()))
    }
}

/// A text that is not a gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadGate(String);

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(pool) => write!(f, "pool:{pool}"),
            Self::Key(key) => write!(f, "key:{key}"),
        }
    }
}

impl FromStr for Gate {
    type Err = BadGate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("pool", pool)) => {
                PoolName::new(pool).map(Self::Pool).map_err(|error| BadGate(error.to_string()))
            }
            Some(("key", key)) => Self::of_key(key),
            _ => Err(BadGate(format!("{} is neither pool:NAME nor key:TEXT", quoted(text)))),
        }
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Gate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Gate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A run's permit, in its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The gate; `None` where what its job says gives none, for the reason in `wrong`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// How many its key had when the run was made; a pool's size is the realm's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Its place in line: lower ones are before it. `None` where it does not stand in line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<u64>,
    /// When it was called from the line.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub called: Option<Timestamp>,
    /// Why it can have none: the run fails with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

impl Permit {
    /// Of a pool.
    #[must_use]
    pub const fn of_pool(pool: PoolName) -> Self {
        Self { gate: Some(Gate::Pool(pool)), max: None, ticket: None, called: None, wrong: None }
    }

    /// Of a key as it was rendered, or not.
    #[must_use]
    pub fn of_key(concurrency: &Concurrency, rendered: Result<String, Invalid>) -> Self {
        let max = Some(concurrency.max());
        let gate = rendered.and_then(|key| Gate::of_key(&key).map_err(|error| Invalid(error.to_string())));
        let (gate, wrong) = match gate {
            Ok(gate) => (Some(gate), None),
            Err(Invalid(wrong)) => (None, Some(wrong)),
        };
        Self { gate, max, ticket: None, called: None, wrong }
    }
}

/// How a run that is claimed for the first time passes its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admit {
    /// How many runs may have a permit when it takes its own: as many as there are permits, less those before it in line.
    pub max: u32,
    /// The last ticket that was given when the line was looked at: a run that does not stand in line passes only where none
    /// was given since.
    pub tickets: u64,
    /// Its own place in line then.
    pub ticket: Option<u64>,
}

/// The change to a permit, in the same write as the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermitChange {
    /// The run takes one, and leaves the line: there must be one left, unless it has one. One that does not stand in line must
    /// know the last ticket.
    Take {
        /// The gate.
        gate: Gate,
        /// On what condition.
        admit: Admit,
    },
    /// The run goes to the end of the line: its ticket must be above the last that was given.
    Wait {
        /// The gate.
        gate: Gate,
        /// Its place in line.
        ticket: u64,
    },
    /// The run gives its permit back, if it has one, and leaves the line.
    Leave {
        /// The gate.
        gate: Gate,
        /// Its place in line until now.
        ticket: Option<u64>,
    },
}

impl PermitChange {
    /// The gate that it is about.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        match self {
            Self::Take { gate, .. } | Self::Wait { gate, .. } | Self::Leave { gate, .. } => gate,
        }
    }
}

/// A gate, as a store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateView {
    /// The last ticket that was given, 0 where none was.
    pub tickets: u64,
    /// The runs that have a permit.
    pub holders: Vec<RunKey>,
    /// The first of those in line, with their tickets.
    pub line: Vec<(u64, RunKey)>,
    /// Whether there are more in line.
    pub more: bool,
}

/// Whether a run may pass a gate now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Pass(Admit),
    /// It is to wait.
    Wait {
        /// Its place in line.
        ticket: u64,
        /// How many are before it, as far as was looked.
        ahead: usize,
    },
}

impl GateView {
    /// How many permits of so many are left.
    #[must_use]
    pub fn free(&self, max: u32) -> usize {
        (max as usize).saturating_sub(self.holders.len())
    }

    /// Whether a run may pass now that wants one of `max` permits: those in line before it come first.
    #[must_use]
    pub fn admission(&self, key: &RunKey, ticket: Option<u64>, max: u32, now: Timestamp) -> Admission {
        let place = self.line.iter().position(|(_, other)| other == key);
        let ahead = place.unwrap_or(self.line.len());
        // Of a line that was not seen whole nothing is known of those in between.
        let is_known = place.is_some() || (ticket.is_none() && !self.more);
        if self.holders.contains(key) || (is_known && ahead < self.free(max)) {
            // Each of those before it must still find one: others that pass at the same time count against it.
            let max = max.saturating_sub(u32::try_from(ahead).unwrap_or(u32::MAX));
            return Admission::Pass(Admit { max, tickets: self.tickets, ticket });
        }
        // Tickets follow the time, so that those of a gate that was forgotten meanwhile do not come again.
        let next = (self.tickets + 1).max(now.timestamp_micros().unsigned_abs());
        Admission::Wait { ticket: ticket.unwrap_or(next), ahead }
    }
}

/// Whether a run in line does not come: it was called and had its turn, or has not looked for long.
#[must_use]
pub fn is_absent(run: &Run, now: Timestamp) -> bool {
    let called = run.permit.as_ref().and_then(|permit| permit.called);
    called.is_some_and(|called| called + TURN.delta() < now) || run.not_before + NO_SHOW.delta() < now
}

/// Why a run that has not started can never pass its gate, or must not wait for it: it would hold up what the run above it
/// holds, and might wait for that run.
#[must_use]
pub fn refusal(run: &Run, is_composite: bool) -> Option<String> {
    let permit = run.permit.as_deref();
    if let Some(wrong) = permit.and_then(|permit| permit.wrong.clone()) {
        return Some(wrong);
    }
    let gate = permit.and_then(|permit| permit.gate.as_ref());
    if let (Some(Gate::Pool(pool)), true) = (gate, is_composite) {
        return Some(of_steps(pool.as_str(), &run.job_type));
    }
    let above = run.below.as_ref()?;
    let waits_for_lock = matches!(run.overlap, Overlap::Queue | Overlap::Latest | Overlap::CancelRunning);
    let what = match gate {
        Some(gate @ Gate::Key(_)) => gate.words(),
        _ if waits_for_lock => format!("the lock of job {}", run.job_id),
        _ => return None,
    };
    Some(format!(
        "a run above this step has a permit of {}, and while it does, a step must not wait for {what}: give the limit to one of them",
        above.words()
    ))
}

/// The error for a job of steps that names a pool.
#[must_use]
pub fn of_steps(pool: &str, job_type: &str) -> String {
    format!(
        "a job of type {job_type} waits for its steps, which might wait for the same pool {}: give the pool to its steps, or use concurrency",
        quoted(pool)
    )
}

/// The change of a permit that follows from a run's next record.
pub(crate) fn change(before: &Run, after: &Run, admit: Option<Admit>) -> Option<PermitChange> {
    let gate = before.permit.as_ref()?.gate.clone()?;
    let ticket = before.permit.as_ref()?.ticket;
    let next = after.permit.as_ref().and_then(|permit| permit.ticket);
    if let Some(admit) = admit {
        return Some(PermitChange::Take { gate, admit });
    }
    if before.ts_start.is_some() {
        return (after.is_done() && !before.is_done()).then_some(PermitChange::Leave { gate, ticket });
    }
    match (ticket, next) {
        (None, Some(ticket)) => Some(PermitChange::Wait { gate, ticket }),
        (Some(_), None) => Some(PermitChange::Leave { gate, ticket }),
        _ => None,
    }
}

impl Run {
    /// Whether it waits in the line of a gate.
    #[must_use]
    pub fn waits_for_permit(&self) -> bool {
        self.status == Status::Waiting
            && self.ts_start.is_none()
            && self.permit.as_ref().is_some_and(|permit| permit.ticket.is_some())
    }

    /// The gate whose permit it takes.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate> {
        self.permit.as_ref()?.gate.as_ref()
    }

    /// Takes it out of the line of its gate.
    pub(crate) fn leave_line(&mut self) {
        if let Some(permit) = &mut self.permit {
            (permit.ticket, permit.called) = (None, None);
        }
    }
}
