//! Dead-man limits of an entry's runs: pure rules.
//!
//! A slot that was started is kept open until its limits are judged, by the record of its run and by no clock but the one
//! that wrote it: every sweeper, however late, comes to the same. A broken limit is an [`Alert`]. It is written into
//! the timetable first, on its `rev`, so that a sweeper with an outdated timetable makes no alert; the next look has it
//! made, under a key that follows from the broken limit.

use std::collections::BTreeMap;

use chrono::{Days, TimeDelta, TimeZone};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cron::time_of_day;
use super::cursor::{Cursor, State};
use super::planned::PlannedEntry;
use super::preview::utc;
use super::watch::{Alert, Broken, MAX_REASON, Open, Silence, Watch};
use crate::Timestamp;
use crate::request::slot_key;
use crate::run::Status;
use crate::spec::Limit;

/// How long after its time a limit is judged, for a write of that very moment.
pub(super) const GRACE: TimeDelta = TimeDelta::seconds(1);
/// The name under which an entry is paused that failed too often.
pub const PAUSED_BY: &str = "pumice";

/// Which limit of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// The run of a slot must have begun.
    MustStart,
    /// The run of a slot must have ended.
    FinishBy,
    /// A run must have ended well.
    MaxSilence,
    /// Not so many runs in a row may end badly.
    PauseAfter,
}

impl LimitKind {
    /// The name of the entry's field.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::MustStart => "must_start",
            Self::FinishBy => "finish_by",
            Self::MaxSilence => "max_silence",
            Self::PauseAfter => "pause_after",
        }
    }
}

/// A run as limits see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where it stands.
    pub status: Status,
    /// When its first attempt started.
    pub ts_start: Option<Timestamp>,
    /// When it ended.
    pub ts_end: Option<Timestamp>,
    /// Why it did not end well.
    pub reason: Option<String>,
}

impl Watched {
    fn is_over(&self) -> bool {
        self.status.is_end()
    }

    /// Whether it was cancelled by then: it is owed no more.
    fn is_called_off(&self, by: Timestamp) -> bool {
        self.status == Status::Cancelled && self.ts_end.is_none_or(|end| end <= by)
    }

    fn has_begun(&self, by: Timestamp) -> bool {
        self.ts_start.is_some_and(|start| start <= by)
    }

    /// Why it did not end well, in few words.
    fn reason(&self) -> Option<String> {
        let reason = self.reason.as_deref()?;
        let short = &reason[..reason.floor_char_boundary(MAX_REASON)];
        Some(if short.len() < reason.len() { format!("{short}…") } else { short.to_owned() })
    }

    /// Whether it had begun and ended by then, whichever way. One that was skipped or rejected never began.
    fn has_ended(&self, by: Timestamp) -> bool {
        self.is_over() && self.ts_start.is_some() && self.ts_end.is_some_and(|end| end <= by)
    }
}

/// Runs by their idempotency keys; `None` where there is no such run. A key that was not looked up is missing.
pub type Runs = BTreeMap<String, Option<Watched>>;

impl Limit {
    /// When the limit of a slot is up. A duration counts from when the start was `meant`, which jitter makes later than
    /// the slot; a time of day is the first such time after the slot. Where the clock skips that time it is the first
    /// instant after the gap. `None` beyond the calendar.
    #[must_use]
    pub fn by(self, slot: Timestamp, meant: Timestamp, zone: Tz) -> Option<Timestamp> {
        let time = match self {
            Self::After(span) => return meant.checked_add_signed(span.delta()),
            Self::At(time) => time,
        };
        let today = slot.with_timezone(&zone).date_naive();
        let days = (0..=2).filter_map(|day| today.checked_add_days(Days::new(day)));
        let instants = days.flat_map(|day| {
            let local = day.and_time(time);
            match zone.from_local_datetime(&local) {
                chrono::LocalResult::Ambiguous(one, other) => {
                    let (one, other) = (one.to_utc(), other.to_utc());
                    [Some(one.min(other)), Some(one.max(other))]
                }
                _ => [time_of_day(local, zone).map(|found| found.at), None],
            }
        });
        instants.flatten().find(|at| *at > slot)
    }
}

impl Open {
    /// Judges a limit by its run. Gives what became of it; `None` while it is still to be seen.
    fn judge(
        &self,
        limit: LimitKind,
        by: Timestamp,
        run: Option<&Watched>,
        now: Timestamp,
    ) -> Option<LimitVerdict> {
        let holds = |run: &Watched| {
            let is_met = match limit {
                LimitKind::MustStart => run.has_begun(by),
                _ => run.has_ended(by),
            };
            is_met
                .then_some(LimitVerdict::Kept)
                .or_else(|| run.is_called_off(by).then_some(LimitVerdict::CalledOff))
        };
        let up = now >= by + GRACE;
        run.and_then(holds).or_else(|| up.then_some(LimitVerdict::Broken))
    }

    /// The alert of a limit that its run broke.
    fn alert(&self, entry: usize, limit: LimitKind, by: Timestamp, run: Option<&Watched>) -> Alert {
        let what = if limit == LimitKind::MustStart { "begun" } else { "ended" };
        let when = match (limit, run) {
            (_, None) => match &self.no_run {
                Some(why) => why.clone(),
                None => "it has no run".to_owned(),
            },
            (LimitKind::MustStart, Some(run)) => match (run.ts_start, run.reason()) {
                (Some(start), _) => format!("it began at {}", utc(start)),
                (None, Some(reason)) => format!("it is {}: {reason}", run.status),
                (None, None) => format!("it is {}", run.status),
            },
            (_, Some(run)) => match (run.ts_start.and(run.ts_end), run.reason()) {
                (Some(end), _) => format!("it ended at {}", utc(end)),
                (None, Some(reason)) => format!("it is {}: {reason}", run.status),
                (None, None) => format!("it is {}", run.status),
            },
        };
        let (slot, up) = (utc(self.slot), utc(by));
        Alert {
            entry,
            broken: Broken { limit, by, slot: Some(self.slot) },
            previous: self.previous,
            run: run.map(|_| self.key.clone()),
            status: run.map(|run| run.status),
            why: format!("the run of {slot} had not {what} by {up}: {when}"),
            // Once for a slot, whichever of its runs it is about.
            key: format!("{}:{}:{}", limit.field(), by.timestamp_micros(), slot_key(&self.key)),
        }
    }
}

/// The verdict on a limit of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LimitVerdict {
    Kept,
    CalledOff,
    Broken,
}

impl Silence {
    /// When it is up the next time. An alert is repeated once as much time has passed again, and a further slot.
    pub(super) fn up_at(&self, cursor: &Cursor, planned: &PlannedEntry) -> Option<Timestamp> {
        let since = match &self.told {
            None => self.since,
            Some(told) if cursor.last > told.slot => told.by,
            Some(_) => return None,
        };
        let after = |since: Timestamp| since.checked_add_signed(self.max.delta());
        let up = after(since)?;
        // Outside of the time in which the entry holds nothing is owed.
        match planned.window() {
            (Some(from), Some(to)) if from > to => {
                if since < from && up > to {
                    after(from)
                } else {
                    Some(up)
                }
            }
            (from, to) => {
                let up = from.map_or(Some(up), |from| after(since.max(from)))?;
                to.is_none_or(|to| up <= to).then_some(up)
            }
        }
    }
}

/// One entry that is judged.
pub(super) struct Judge<'a> {
    /// Its place in the schedule.
    pub(super) entry: usize,
    /// The entry.
    pub(super) planned: &'a PlannedEntry,
    /// The runs that were looked up.
    pub(super) runs: &'a Runs,
    /// From when a silence counts that begins now.
    pub(super) since: Timestamp,
    /// Now.
    pub(super) now: Timestamp,
}

/// The end of a run.
struct End {
    at: Timestamp,
    open: Open,
    run: Watched,
}

impl Judge<'_> {
    /// Judges what is up; a run that failed once too often pauses the entry.
    pub(super) fn look(&self, cursor: &mut Cursor) -> Vec<Alert> {
        let spec = &self.planned.spec;
        // A limit that was taken away is not broken.
        cursor.watch.broken.retain(|broken| match broken.limit {
            LimitKind::MustStart => spec.must_start.is_some(),
            LimitKind::FinishBy => spec.finish_by.is_some(),
            LimitKind::MaxSilence | LimitKind::PauseAfter => true,
        });
        let mut alerts = Vec::new();
        let mut ends = Vec::new();
        for mut open in std::mem::take(&mut cursor.watch.open) {
            // A run that is still to be made is not one that is gone.
            let is_to_come = cursor.ahead.iter().any(|made| made.key == open.key && made.pending.is_some());
            if is_to_come && open.must_start.is_none_or(|by| self.now < by) {
                cursor.watch.open.push_back(open);
                continue;
            }
            if let Some(run) = self.runs.get(&open.key) {
                if open.passed && run.is_none() {
                    continue;
                }
                self.judge(&mut open, run.as_ref(), &mut cursor.watch, &mut alerts, &mut ends);
            }
            if !open.is_judged() {
                cursor.watch.open.push_back(open);
            }
        }
        ends.sort_by_key(|end| (end.at, end.open.slot));
        for end in &ends {
            alerts.extend(self.count(cursor, end));
        }
        alerts.extend(self.listen(cursor, &ends));
        alerts
    }

    fn judge(
        &self,
        open: &mut Open,
        run: Option<&Watched>,
        watch: &mut Watch,
        alerts: &mut Vec<Alert>,
        ends: &mut Vec<End>,
    ) {
        let limits = [(LimitKind::MustStart, open.must_start), (LimitKind::FinishBy, open.finish_by)];
        for (limit, by) in limits {
            let Some(by) = by else { continue };
            let Some(verdict) = open.judge(limit, by, run, self.now) else { continue };
            match limit {
                LimitKind::MustStart => open.must_start = None,
                _ => open.finish_by = None,
            }
            match verdict {
                LimitVerdict::Kept => watch.mend(limit),
                LimitVerdict::CalledOff => {}
                LimitVerdict::Broken => {
                    let alert = open.alert(self.entry, limit, by, run);
                    watch.note(alert.broken.clone());
                    alerts.push(alert);
                }
            }
        }
        if let Some(run) = run.filter(|run| open.end_counts && run.is_over()) {
            open.end_counts = false;
            let at = run.ts_end.unwrap_or(self.now);
            ends.push(End { at, open: open.clone(), run: run.clone() });
        } else if run.is_none() && open.must_start.is_none() && open.finish_by.is_none() {
            // Its record is gone, and how it ended is unknown.
            open.end_counts = false;
        }
    }

    /// Counts the end of a run: runs that were cancelled or skipped count neither way, nor does a failure in a pause or of
    /// a run that was started before one.
    fn count(&self, cursor: &mut Cursor, end: &End) -> Option<Alert> {
        let most = self.planned.spec.pause_after.map(|most| most.as_u32());
        let counts = most.is_some() && !end.open.earlier && !matches!(cursor.state, State::Paused { .. });
        match end.run.status {
            Status::Complete => cursor.watch.failures = 0,
            Status::Failed | Status::Rejected if counts => cursor.watch.failures += 1,
            _ => {}
        }
        let failures = cursor.watch.failures;
        let most = most.filter(|most| failures >= *most && cursor.state == State::Active)?;
        let reason = end.run.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let runs = if most == 1 { "a run".to_owned() } else { format!("{failures} runs in a row") };
        let why = format!("{runs} ended badly, the last for {}{reason}", utc(end.open.slot));
        *cursor = cursor.paused(None, PAUSED_BY.to_owned(), why.clone());
        let slot = end.open.slot;
        Some(Alert {
            entry: self.entry,
            broken: Broken { limit: LimitKind::PauseAfter, by: end.at, slot: Some(slot) },
            previous: end.open.previous,
            run: Some(end.open.key.clone()),
            status: Some(end.run.status),
            why,
            key: format!("{}:{}", LimitKind::PauseAfter.field(), end.open.key),
        })
    }

    /// Whether the entry was without a success for too long.
    fn listen(&self, cursor: &mut Cursor, ends: &[End]) -> Option<Alert> {
        let is_expected = match cursor.state {
            State::Active => cursor.next.is_some(),
            State::Halted => true,
            State::Paused { .. } | State::Disabled => false,
        };
        let Some(max) = self.planned.spec.max_silence.filter(|_| is_expected) else {
            cursor.watch.silence = None;
            cursor.watch.mend(LimitKind::MaxSilence);
            return None;
        };
        let known = cursor.watch.silence.take().filter(|silence| silence.max == max);
        let mut silence = known.unwrap_or(Silence { max, since: self.since, told: None });
        let good = ends.iter().filter(|end| end.run.status == Status::Complete).map(|end| end.at).max();
        if let Some(good) = good.filter(|good| *good > silence.since) {
            silence = Silence { max, since: good, told: None };
            cursor.watch.mend(LimitKind::MaxSilence);
        }
        // A sweeper that stopped may have made runs of slots that are due: the next look, which comes at once, asks for them.
        let is_due = |next: Timestamp| self.planned.start_of(next) <= self.now;
        let is_behind = cursor.state == State::Active && cursor.next.is_some_and(is_due);
        let up = silence.up_at(cursor, self.planned).filter(|by| self.now >= *by + GRACE && !is_behind);
        let alert = up.map(|by| {
            let broken = Broken { limit: LimitKind::MaxSilence, by, slot: cursor.last };
            cursor.watch.note(broken.clone());
            let since = silence.since;
            silence.told = Some(broken.clone());
            let halted = if cursor.state == State::Halted { "; the entry is halted" } else { "" };
            Alert {
                entry: self.entry,
                broken,
                previous: None,
                run: None,
                status: None,
                why: format!("no run has ended well for {max}, since {}{halted}", utc(since)),
                key: format!("max_silence:{}:{}", by.timestamp_micros(), cursor.fingerprint),
            }
        });
        cursor.watch.silence = Some(silence);
        alert
    }
}
