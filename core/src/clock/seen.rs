//! How entries are seen that may have been changed: pure rules.

use super::cursor::{Cursor, State};
use super::early::Ahead;
use super::planned::{JobSchedule, PlannedEntry};
use super::timetable::{Looked, OneEntry, Timetable};
use crate::Timestamp;

impl Timetable {
    /// The look at a schedule that was changed: it starts nothing, and the next look, which follows at once, goes by what it wrote.
    /// So no other time of a change can have an entry begin twice. `None` where the record knows the schedule.
    #[must_use]
    pub fn settled(&self, plan: &JobSchedule, now: Timestamp) -> Option<Looked> {
        let is_known = |planned: &PlannedEntry| {
            self.cursors.iter().any(|cursor| cursor.fingerprint == planned.fingerprint)
        };
        if self.changed.is_none() && plan.entries.iter().flatten().all(is_known) {
            return None;
        }
        let mut looked = self.looked_at(plan);
        let changed = self.changed.map_or(now, |changed| changed.min(now));
        let current = self.caught_up(plan, now);
        let gone = current.see_all(plan, (changed, now), &mut looked);
        for mut gone in gone {
            looked.withdraw(&mut gone, now);
        }
        looked.again = !looked.next.cursors.is_empty();
        looked.next.due_at = looked.again.then(|| self.due_at.unwrap_or(now));
        Some(looked)
    }

    /// The record as looks would have left it at each schedule that was superseded since the last one, had they started
    /// nothing. It has no runs that were made ahead: see [`edited`](Self::edited).
    pub(super) fn caught_up(&self, plan: &JobSchedule, now: Timestamp) -> Self {
        let seen = |current: Self, (since, earlier): &(Timestamp, Option<JobSchedule>)| match earlier {
            Some(earlier) => current.seen_at(earlier, (*since).min(now)),
            None => current.lapsed(),
        };
        plan.superseded.iter().fold(self.clone(), seen)
    }

    /// The record of a job that could not be read for a while: its entries have no slots of that time.
    fn lapsed(self) -> Self {
        let cursors = self.cursors.into_iter().map(|cursor| Cursor { lapsed: true, ..cursor }).collect();
        Self { cursors, ..self }
    }

    fn seen_at(&self, plan: &JobSchedule, at: Timestamp) -> Self {
        let mut looked = Looked::new(Self { cursors: Vec::new(), superseded: Vec::new(), ..self.clone() });
        self.see_all(plan, (at, at), &mut looked);
        looked.next
    }

    /// Sees the entries as they are from `changed` on, and starts nothing. Gives the cursors of entries that are gone.
    fn see_all(
        &self,
        plan: &JobSchedule,
        (changed, now): (Timestamp, Timestamp),
        looked: &mut Looked,
    ) -> Vec<Cursor> {
        let mut before = self.matched(plan);
        let paused = &self.paused_as_a_whole();
        for (index, planned) in plan.entries.iter().enumerate() {
            let known = before.get_mut(index).and_then(Option::take);
            let cursor = match planned {
                Ok(planned) => {
                    let entry = OneEntry::new(plan, (index, planned), paused, now);
                    let (cursor, is_new) = entry.seen(known, changed, looked);
                    Cursor { unseen: is_new, ..cursor }
                }
                Err(error) => looked.out_of_use(known, (changed, now), error),
            };
            looked.next.cursors.push(cursor);
        }
        before.into_iter().flatten().collect()
    }
}

impl OneEntry<'_> {
    /// The cursor as the spec has the entry, and whether it is new: its one start at once, if it has one, is still to come.
    pub(super) fn seen(
        &self,
        known: Option<Cursor>,
        changed: Timestamp,
        looked: &mut Looked,
    ) -> (Cursor, bool) {
        let (fingerprint, given) = (&self.planned.fingerprint, self.planned.given.clone());
        // A job that was not enabled so far is seen for the first time once it is.
        let is_put = |known: &Cursor| known.state != State::Disabled || !self.enabled;
        let is_usable = |known: &Cursor| {
            !known.is_unseen() || known.unseen && known.is_due_as(self.planned) && is_put(known)
        };
        let Some(mut cursor) = known.filter(is_usable) else {
            let cursor = Cursor::new(&self.planned.entry(changed), fingerprint.clone(), changed);
            // A job that is paused as a whole stays so, be it enabled or not.
            let is_paused = *self.paused != State::Active;
            let state = if self.enabled || is_paused { self.paused.clone() } else { State::Disabled };
            let unseen = state == State::Disabled;
            return (Cursor { state, given, unseen, ..cursor }, true);
        };
        let is_new = cursor.unseen;
        cursor.unseen = is_new && cursor.state == State::Disabled;
        if cursor.given != given {
            cursor.forget_due(self.now);
        }
        cursor.given = given;
        cursor.withdraw_all(self.now);
        cursor.forget_late(self.now);
        let is_other =
            |made: &Ahead| self.made_by.as_ref().zip(made.made_by.as_ref()).is_some_and(|(a, b)| a != b);
        if cursor.fingerprint != *fingerprint {
            cursor.forget_due(self.now);
            looked.withdraw(&mut cursor, self.now);
            cursor = cursor.seen(&self.planned.entry(changed), fingerprint, changed);
        } else if cursor.ahead.iter().any(is_other) {
            // Their runs are those of the job as it was.
            looked.withdraw(&mut cursor, self.now);
        }
        let entry = self.planned.entry(cursor.since);
        // Why its last start was refused is known until its next one, and why it halted until it is resumed.
        if self.is_changed && cursor.state != State::Halted {
            cursor.trouble = None;
        }
        if cursor.next.is_none() && !self.is_over(&cursor) {
            // It could not be used for a while, or may make more starts than before.
            cursor.next =
                entry.next(cursor.last.map_or(changed, |last| last.max(changed))).map(|slot| slot.at);
        }
        cursor = cursor.awake(&entry, self.planned.jitter, self.now);
        cursor = match (&cursor.state, self.enabled) {
            (State::Active, false) => Cursor { state: State::Disabled, ..cursor },
            (State::Paused { .. } | State::Halted, false) => Cursor { lapsed: true, ..cursor },
            (State::Disabled, true) => cursor.anew(&entry, changed),
            (_, true) if cursor.lapsed => cursor.anew(&entry, changed),
            _ => cursor,
        };
        if self.is_over(&cursor) {
            cursor.next = None;
        }
        if cursor.state != State::Active {
            cursor.forget_due(self.now);
            looked.withdraw(&mut cursor, self.now);
        }
        (cursor, is_new)
    }
}
