//! Which cursor belongs to which entry of a schedule that may have been edited: pure rules.

use super::cursor::Cursor;
use super::planned::{JobSchedule, PlannedEntry};
use super::timetable::Timetable;

impl Cursor {
    /// Whether it is of an entry that is due at the same times.
    pub(super) fn is_due_as(&self, planned: &PlannedEntry) -> bool {
        self.fingerprint == planned.fingerprint
    }

    /// Whether it is of an entry that is due at the same times and gives its runs the same.
    pub(super) fn is_of(&self, planned: &PlannedEntry) -> bool {
        self.is_due_as(planned) && self.given == planned.given
    }
}

impl Timetable {
    /// The cursor that each entry had, by its place; those of entries that are gone come last. Entries keep their cursors
    /// by when they are due and by what they give to their runs; then, as the values may have been edited, by when they are
    /// due; the rest keep their places.
    pub(super) fn matched(&self, plan: &JobSchedule) -> Vec<Option<Cursor>> {
        let mut free: Vec<Option<&Cursor>> = self.cursors.iter().map(Some).collect();
        let mut matched: Vec<Option<Cursor>> = vec![None; plan.entries.len()];
        for is_same in [Cursor::is_of, Cursor::is_due_as] {
            for at_place in [true, false] {
                for (index, planned) in plan.entries.iter().enumerate() {
                    let Ok(planned) = planned else { continue };
                    if matched[index].is_some() {
                        continue;
                    }
                    let fits = |cursor: &Option<&Cursor>| cursor.is_some_and(|one| is_same(one, planned));
                    let place = match at_place {
                        true => free.get(index).filter(|cursor| fits(cursor)).map(|_| index),
                        false => free.iter().position(fits),
                    };
                    matched[index] = place.and_then(|place| free[place].take()).cloned();
                }
            }
        }
        for (index, slot) in matched.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
            *slot = free.get_mut(index).and_then(Option::take).cloned();
        }
        matched.extend(free.into_iter().flatten().cloned().map(Some));
        matched
    }
}
