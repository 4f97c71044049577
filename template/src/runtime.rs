//! The state of one rendering, and the remainder of its limits.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::budget::Budget;
use crate::context::Context;
use crate::fault::{Fault, Outcome, fail, over};
use crate::limits::Limits;
use crate::rrule;
use crate::syntax::program::Program;
use crate::utils::re::RegexCache;
use crate::value::marks::{self, Marks};
use crate::value::undefined::{undefined_fault, with_article};
use crate::value::{Text, Val, View, ViewKind};

/// Bytes that a list item is charged.
const ITEM_BYTES: usize = 48;
/// Bytes that a dict entry is charged.
const ENTRY_BYTES: usize = 128;
/// Bytes that a text is charged besides its own.
pub(crate) const TEXT_BYTES: usize = 16;
/// Stack that must be left before another level of nesting begins.
const RED_ZONE: usize = 128 * 1024;
/// Stack that is added when less is left.
const STACK_STEP: usize = 1024 * 1024;

/// One rendering.
pub(crate) struct Runtime<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) ctx: &'a Context,
    pub(crate) regexes: &'a RegexCache,
    budget: &'a Budget,
    /// For a string of a structure, the marks in place of characters of values.
    pub(crate) marks: Option<Marks>,
    /// Whether `{% autoescape true %}` is in force.
    pub(crate) escaping: Cell<bool>,
    /// Names the template assigns to, for hints.
    assigned: &'a [Arc<str>],
    depth: Cell<usize>,
    /// Containers that got another container put into them: emptied at the
    /// end, since they may hold themselves.
    knotted: RefCell<Vec<Val>>,
}

impl<'a> Runtime<'a> {
    pub(crate) fn new(
        limits: &'a Limits,
        ctx: &'a Context,
        regexes: &'a RegexCache,
        budget: &'a Budget,
        program: &'a Program,
        marks: Option<Marks>,
    ) -> Self {
        Self {
            limits,
            ctx,
            regexes,
            budget,
            marks,
            escaping: Cell::new(false),
            assigned: &program.assigned,
            depth: Cell::new(0),
            knotted: RefCell::new(Vec::new()),
        }
    }

    /// Charges `count` steps, and looks at the clock now and then.
    #[inline]
    pub(crate) fn step(&self, count: u64) -> Outcome<()> {
        self.budget.step(count)
    }

    /// Looks at the clock, before and after work that counts few steps and
    /// may take long.
    pub(crate) fn look(&self) -> Outcome<()> {
        self.budget.look()
    }

    /// Charges for going through a text.
    #[inline]
    pub(crate) fn look_at(&self, text: &str) -> Outcome<()> {
        self.step(text.len() as u64 / 64)
    }

    /// Charges for rewriting a text character by character.
    pub(crate) fn rewrite(&self, text: &str) -> Outcome<()> {
        self.step(text.len() as u64 / 8)
    }

    /// Charges memory before it is used.
    #[inline]
    pub(crate) fn alloc(&self, bytes: usize) -> Outcome<()> {
        self.budget.alloc(bytes)
    }

    /// Charges a list of so many items.
    pub(crate) fn alloc_items(&self, count: usize) -> Outcome<()> {
        self.alloc(count.saturating_mul(ITEM_BYTES))
    }

    /// Charges a dict of so many entries, and going through them.
    pub(crate) fn alloc_entries(&self, count: usize) -> Outcome<()> {
        self.step(count as u64 / 4)?;
        self.alloc(count.saturating_mul(ENTRY_BYTES))
    }

    /// Charges going through `count` items in a copy that is dropped soon.
    pub(crate) fn copy_items(&self, count: usize) -> Outcome<()> {
        self.step(count as u64 / 8)?;
        self.budget.room(count.saturating_mul(ITEM_BYTES))
    }

    /// Refuses what has no room, without charging it.
    pub(crate) fn room(&self, bytes: usize) -> Outcome<()> {
        self.budget.room(bytes)
    }

    /// Gives back the memory of a list of so many items.
    pub(crate) fn release_items(&self, count: usize) {
        self.budget.release(count.saturating_mul(ITEM_BYTES));
    }

    pub(crate) fn list(&self, items: Vec<Val>) -> Outcome {
        self.alloc_items(items.len())?;
        Ok(Val::list(items))
    }

    /// A new string, charged.
    pub(crate) fn text(&self, text: impl Into<Arc<str>>) -> Outcome {
        let text = text.into();
        self.alloc(text.len() + TEXT_BYTES)?;
        Ok(Val::Str(Text::plain(text)))
    }

    /// Goes one level deeper, on a stack that is large enough.
    pub(crate) fn deeper<T>(&self, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let depth = self.depth.get() + 1;
        if depth > self.limits.depth {
            return over("macros, loops or values are nested too deeply", "depth");
        }
        self.depth.set(depth);
        let result = on_large_stack(run);
        self.depth.set(depth - 1);
        result
    }

    /// Notes that `container` now holds another container.
    pub(crate) fn knot(&self, container: &Val, item: &Val) {
        if matches!(
            item,
            Val::List(_)
                | Val::Dict(_)
                | Val::Tuple(_)
                | Val::Object(_)
                | Val::View(_)
                | Val::Iter(_)
                | Val::Macro(_)
                | Val::Method(_)
        ) {
            self.knotted.borrow_mut().push(container.clone());
        }
    }

    /// The text without marks, where others are looked for, compared or
    /// quoted: as long as the text.
    pub(crate) fn readable<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.marks.map_or(Cow::Borrowed(text), |marks| marks.readable(text))
    }

    /// The character without its mark.
    pub(crate) fn readable_char(&self, c: char) -> char {
        self.marks.map_or(c, |marks| marks.readable_char(c))
    }

    /// The text with quotes in place of their marks, backslashes as they are.
    pub(crate) fn readable_quotes<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.marks.map_or(Cow::Borrowed(text), |marks| marks.readable_quotes(text))
    }

    /// The text with backslashes in place of their marks, quotes as they are.
    pub(crate) fn readable_slashes<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.marks.map_or(Cow::Borrowed(text), |marks| marks.readable_slashes(text))
    }

    /// The end of a text behind which characters are stripped.
    pub(crate) fn end_of_escape(&self, text: &str, end: usize) -> usize {
        if self.marks.is_some() { marks::end_of_escape(text, end) } else { end }
    }

    /// A key of a dict as a value; keys have no marks.
    pub(crate) fn key_value(&self, key: &Val) -> Val {
        self.marks.map_or_else(|| key.clone(), |marks| marks.protect_value(key))
    }

    /// The error for using an undefined value.
    pub(crate) fn undefined(&self, value: &Val) -> Box<Fault> {
        undefined_fault(value, &|| {
            let mut names: Vec<String> = self.ctx.names().map(str::to_owned).collect();
            names.extend(self.assigned.iter().map(|name| (**name).to_owned()));
            names.extend(crate::globals::NAMES.iter().map(|name| (*name).to_owned()));
            names
        })
    }

    /// The items of a view of a dict, charged.
    pub(crate) fn view_items(&self, view: &View) -> Outcome<Vec<Val>> {
        let count = view.dict.len();
        match view.kind {
            // Each pair is a tuple of its own.
            ViewKind::Items => self.alloc_entries(count)?,
            ViewKind::Keys | ViewKind::Values => self.copy_items(count)?,
        }
        Ok(match (self.marks, view.kind) {
            (None, _) | (_, ViewKind::Values) => view.items(),
            (Some(_), ViewKind::Keys) => view.items().iter().map(|key| self.key_value(key)).collect(),
            (Some(_), ViewKind::Items) => {
                let pairs = view.dict.read();
                let pairs =
                    pairs.iter().map(|(key, item)| Val::tuple(vec![self.key_value(&key.0), item.clone()]));
                pairs.collect()
            }
        })
    }

    /// Everything a value gives when it is gone through; undefined gives
    /// nothing.
    pub(crate) fn items(&self, value: &Val) -> Outcome<Vec<Val>> {
        match value {
            Val::List(list) => {
                let items = list.read();
                self.copy_items(items.len())?;
                Ok(items.clone())
            }
            Val::Tuple(tuple) => {
                self.copy_items(tuple.items.len())?;
                Ok(tuple.items.clone())
            }
            Val::Dict(dict) => {
                let entries = dict.read();
                self.copy_items(entries.len())?;
                Ok(entries.keys().map(|key| self.key_value(&key.0)).collect())
            }
            Val::View(view) => self.view_items(view),
            Val::Undefined(_) => Ok(Vec::new()),
            Val::Str(text) => {
                // Each character becomes a text of its own.
                let count = text.chars();
                self.step(count as u64 / 4)?;
                self.alloc_items(count)?;
                let mut buffer = [0; 4];
                Ok(text.as_str().chars().map(|c| Val::str(c.encode_utf8(&mut buffer))).collect())
            }
            Val::Bytes(bytes) => {
                self.copy_items(bytes.len())?;
                Ok(bytes.iter().map(|byte| Val::Int(i64::from(*byte))).collect())
            }
            Val::Range(range) => {
                let count = range.len();
                self.copy_items(count)?;
                Ok((0..count).filter_map(|at| range.get(at)).map(Val::Int).collect())
            }
            Val::Iter(iter) => {
                self.step(iter.len() as u64 / 8)?;
                Ok(iter.drain())
            }
            Val::Object(_) if rrule::of(value).is_some() => {
                rrule::of(value).map_or(Ok(Vec::new()), |rule| rule.all(self))
            }
            other => fail(format!("{} cannot be looped over", with_article(other.type_name()))),
        }
    }
}

impl Drop for Runtime<'_> {
    fn drop(&mut self) {
        for container in self.knotted.get_mut().drain(..) {
            match container {
                Val::List(list) => {
                    let items = std::mem::take(&mut *list.write());
                    drop(items);
                }
                Val::Dict(dict) => {
                    let entries = std::mem::take(&mut *dict.write());
                    drop(entries);
                }
                Val::Object(object) => object.untie(),
                _ => {}
            }
        }
    }
}

/// Runs `run` where at least [`RED_ZONE`] of stack is left.
pub(crate) fn on_large_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(RED_ZONE, STACK_STEP, run)
}
