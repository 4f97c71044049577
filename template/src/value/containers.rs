//! Lists, tuples, dicts, views, ranges and one-shot iterators.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use indexmap::{Equivalent, IndexMap};

use super::{Val, teardown};

/// A list, shared and mutable as in Python.
#[derive(Default)]
pub(crate) struct List(RwLock<Vec<Val>>);

impl List {
    pub(crate) fn new(items: Vec<Val>) -> Self {
        Self(RwLock::new(items))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Vec<Val>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Vec<Val>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({} items)", self.len())
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let items = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        teardown::items(items);
    }
}

/// A tuple; the results of `isocalendar` and `timetuple` also have names.
#[derive(Debug, Default)]
pub(crate) struct Tuple {
    pub(crate) items: Vec<Val>,
    pub(crate) named: Option<&'static Fields>,
}

/// The names of a named tuple's items.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) type_name: &'static str,
    pub(crate) names: &'static [&'static str],
}

impl Tuple {
    pub(crate) fn new(items: Vec<Val>) -> Self {
        Self { items, named: None }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.named.map_or("tuple", |fields| fields.type_name)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Val> {
        let names = self.named?.names;
        let at = names.iter().position(|known| *known == name)?;
        self.items.get(at)
    }
}

impl Drop for Tuple {
    fn drop(&mut self) {
        teardown::items(&mut self.items);
    }
}

/// A value that may be a key: equal by Python's rules, so `1`, `1.0` and
/// `True` are one key. Made by [`compare::key`](super::compare::key).
#[derive(Clone, Debug)]
pub(crate) struct Key(pub(crate) Val);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        super::compare::same_key(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        super::compare::hash_key(&self.0, state);
    }
}

/// A string looked up without making a value of it.
pub(crate) struct StrKey<'a>(pub(crate) &'a str);

impl Hash for StrKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        super::compare::hash_str(self.0, state);
    }
}

impl Equivalent<Key> for StrKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.0.as_str() == Some(self.0)
    }
}

/// The entries of a dict, in order of insertion.
pub(crate) type Entries = IndexMap<Key, Val>;

/// A dict, shared and mutable as in Python.
#[derive(Default)]
pub(crate) struct Dict(RwLock<Entries>);

impl Dict {
    pub(crate) fn new(entries: Entries) -> Self {
        Self(RwLock::new(entries))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    pub(crate) fn get_str(&self, name: &str) -> Option<Val> {
        self.read().get(&StrKey(name)).cloned()
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dict({} entries)", self.len())
    }
}

impl Drop for Dict {
    fn drop(&mut self) {
        let entries = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        teardown::entries(entries);
    }
}

/// Which part of a dict a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewKind {
    Keys,
    Values,
    Items,
}

/// `d.keys()`, `d.values()` or `d.items()`: follows the dict.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) dict: Arc<Dict>,
    pub(crate) kind: ViewKind,
}

impl View {
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            ViewKind::Keys => "dict_keys",
            ViewKind::Values => "dict_values",
            ViewKind::Items => "dict_items",
        }
    }

    pub(crate) fn items(&self) -> Vec<Val> {
        let entries = self.dict.read();
        match self.kind {
            ViewKind::Keys => entries.keys().map(|key| key.0.clone()).collect(),
            ViewKind::Values => entries.values().cloned().collect(),
            ViewKind::Items => {
                entries.iter().map(|(key, value)| Val::tuple(vec![key.0.clone(), value.clone()])).collect()
            }
        }
    }
}

/// `range(start, stop, step)`; the step is never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: i64,
    pub(crate) stop: i64,
    pub(crate) step: i64,
}

impl Range {
    pub(crate) fn len(&self) -> usize {
        let (start, stop, step) = (i128::from(self.start), i128::from(self.stop), i128::from(self.step));
        let span = if step > 0 { stop - start } else { start - stop };
        let step = step.abs();
        usize::try_from((span + step - 1).max(0) / step).unwrap_or(usize::MAX)
    }

    pub(crate) fn get(&self, index: usize) -> Option<i64> {
        let index = i64::try_from(index).ok()?;
        (index < i64::try_from(self.len()).unwrap_or(i64::MAX))
            .then(|| self.start.checked_add(self.step.checked_mul(index)?))
            .flatten()
    }
}

/// The result of `map`, `select`, `batch`, …: it can be gone through once.
pub(crate) struct Iter {
    pub(crate) name: &'static str,
    items: Mutex<VecDeque<Val>>,
}

impl Iter {
    pub(crate) fn new(name: &'static str, items: Vec<Val>) -> Self {
        Self { name, items: Mutex::new(items.into()) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Val>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items are left.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Takes all that is left.
    pub(crate) fn drain(&self) -> Vec<Val> {
        std::mem::take(&mut *self.lock()).into()
    }

    pub(crate) fn next(&self) -> Option<Val> {
        self.lock().pop_front()
    }
}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iter({})", self.name)
    }
}

impl Drop for Iter {
    fn drop(&mut self) {
        let mut items = self.drain();
        teardown::items(&mut items);
    }
}

impl Range {
    pub(crate) fn contains(&self, number: i64) -> bool {
        let inside = if self.step > 0 {
            self.start <= number && number < self.stop
        } else {
            self.stop < number && number <= self.start
        };
        inside && (i128::from(number) - i128::from(self.start)) % i128::from(self.step) == 0
    }
}
