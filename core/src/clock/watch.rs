//! A cursor's state for the limits of its entry: slots whose limits are still to be judged, broken limits, and alerts
//! that are to be made.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::limits::{GRACE, LimitKind};
use super::planned::PlannedEntry;
use super::timetable::Start;
use crate::Timestamp;
use crate::duration::Span;
use crate::run::Status;
use crate::spec::Limit;

/// Most slots of an entry whose limits are still to be judged.
pub const MAX_OPEN: usize = 50;
/// The same of all entries of a job together: its timetable is one record.
const MAX_OPEN_OF_ALL: usize = 500;
/// With more than so many alerts of a job to be made, further limits are judged at the next look.
pub(super) const MAX_ALERTS: usize = 50;
/// Most bytes of a run's reason in an alert.
pub(super) const MAX_REASON: usize = 300;
/// With more than so many open slots all their runs are looked at, so that those which have ended leave.
const MANY: usize = 25;
/// Most slots that were passed over of which it is looked whether a sweeper made their runs before it stopped.
pub(super) const MAX_PASSED: usize = 20;

/// An entry's state for its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Slots whose limits are still to be judged, the oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub open: VecDeque<Open>,
    /// How many runs in a row ended badly, where that counts.
    #[serde(default, skip_serializing_if = "crate::omit::is_default")]
    pub failures: u32,
    /// Since when no run ended well, where that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
    /// Limits that were broken when they were judged last, one of a kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// Alerts that are to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// How many open slots were given up, as there were too many.
    #[serde(default, skip_serializing_if = "crate::omit::is_default")]
    pub given_up: u32,
}

/// A slot that was started, or should have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The slot.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub slot: Timestamp,
    /// The slot before it.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<Timestamp>,
    /// The idempotency key of its run.
    pub key: String,
    /// By when its run must have begun.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub must_start: Option<Timestamp>,
    /// By when its run must have ended.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub finish_by: Option<Timestamp>,
    /// Whether it was passed over: it has a run only where a sweeper stopped after it made one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed: bool,
    /// Whether it is to be seen how its run ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_counts: bool,
    /// Whether it was started before its entry was edited, paused or resumed: of its end only a success counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
    /// Why it has no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_run: Option<String>,
}

/// How long an entry is without a run that ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The limit that it is held to: with another one it begins anew.
    pub max: Span,
    /// When a run ended well last, else when the entry was first seen, edited or resumed.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub since: Timestamp,
    /// The alert that was given last since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Broken>,
}

/// A limit that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Which one.
    pub limit: LimitKind,
    /// When it was up.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub by: Timestamp,
    /// The slot that it was broken at; `None` for a silence before the first slot.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub slot: Option<Timestamp>,
}

/// A broken limit that is to be reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The place of its entry in the schedule.
    pub entry: usize,
    /// The broken limit.
    pub broken: Broken,
    /// The slot before that one.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<Timestamp>,
    /// The idempotency key of the run that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Where that run stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The finding, in a sentence.
    pub why: String,
    /// The alert's key among all alerts of the job.
    pub key: String,
}

/// How a slot is opened.
pub(super) enum SlotOutcome {
    /// Its run is made.
    Started,
    /// None is; there may be one all the same.
    Passed,
    /// None is, for a reason that is to be reported.
    Missed(String),
}

impl Watch {
    /// As it is when its entry was edited or resumed, or is paused: slots that were started keep their limits, and a run of
    /// them that ends well ends a silence.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let mut watch = Self { failures: 0, silence: None, ..self.clone() };
        for open in &mut watch.open {
            open.earlier = true;
        }
        watch
    }

    /// Opens a slot.
    pub(super) fn begin(&mut self, planned: &PlannedEntry, start: &Start, slot_of: SlotOutcome) {
        let (passed, no_run) = match slot_of {
            SlotOutcome::Started => (false, None),
            SlotOutcome::Passed => (true, None),
            SlotOutcome::Missed(why) => (false, Some(why)),
        };
        let (spec, slot) = (&planned.spec, start.slot.at);
        let by = |limit: Option<Limit>| limit.and_then(|limit| limit.by(slot, start.at, planned.zone));
        let open = Open {
            slot,
            previous: start.previous,
            key: start.key.clone(),
            must_start: by(spec.must_start),
            finish_by: by(spec.finish_by),
            passed,
            end_counts: spec.max_silence.is_some() || spec.pause_after.is_some(),
            earlier: false,
            no_run,
        };
        let is_known = self.open.iter().any(|known| known.key == open.key && known.slot == open.slot);
        if !open.is_judged() && !is_known {
            self.open.push_back(open);
        }
    }

    /// The run of a slot was refused.
    pub fn refuse(&mut self, key: &str, why: &str) {
        for open in self.open.iter_mut().filter(|open| open.key == key) {
            let why = &why[..why.floor_char_boundary(MAX_REASON)];
            open.no_run = Some(format!("its start was refused: {why}"));
            open.end_counts = false;
        }
        self.open.retain(|open| !open.is_judged());
    }

    /// Gives up the oldest open slots where there are too many. Gives how many were.
    pub(super) fn bound(&mut self, entries: usize) -> u32 {
        let most = (MAX_OPEN_OF_ALL / entries.max(1)).clamp(1, MAX_OPEN);
        let mut count = 0;
        while self.open.len() > most {
            self.open.pop_front();
            count += 1;
        }
        self.given_up = self.given_up.saturating_add(count);
        count
    }

    /// The keys of runs that are to be looked at for a judgement at a time.
    pub(super) fn asks_for(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let all = self.open.len() > MANY;
        let is_due = move |open: &&Open| all || open.passed || open.end_counts || open.is_up(now);
        self.open.iter().filter(is_due).map(|open| open.key.as_str())
    }

    /// When the next limit must be judged.
    pub(super) fn due_at(&self, cursor: &Cursor, planned: &PlannedEntry) -> Option<Timestamp> {
        let open = self.open.iter().flat_map(|open| [open.must_start, open.finish_by]).flatten();
        let silence = self.silence.as_ref().and_then(|silence| silence.up_at(cursor, planned));
        let up = open.chain(silence).min().map(|by| by + GRACE);
        self.alerts.first().map(|alert| alert.broken.by).into_iter().chain(up).min()
    }

    pub(super) fn mend(&mut self, limit: LimitKind) {
        self.broken.retain(|broken| broken.limit != limit);
    }

    pub(super) fn note(&mut self, broken: Broken) {
        self.mend(broken.limit);
        self.broken.push(broken);
    }
}

impl Open {
    pub(super) fn is_up(&self, now: Timestamp) -> bool {
        [self.must_start, self.finish_by].into_iter().flatten().any(|by| now >= by + GRACE)
    }

    pub(super) fn is_judged(&self) -> bool {
        self.must_start.is_none() && self.finish_by.is_none() && !self.end_counts
    }
}
