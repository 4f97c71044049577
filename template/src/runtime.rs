//! What one rendering has at hand, and what it may still use up.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use crate::context::Context;
use crate::fault::{Fault, Outcome, fail, over};
use crate::limits::Limits;
use crate::utils::re::RegexCache;
use crate::value::undefined::{undefined_fault, with_article};
use crate::value::{Text, Val};

/// Bytes that a list item or dict entry is charged.
const ITEM_BYTES: usize = 48;
/// Steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: u64 = 2_048;
/// Stack that must be left before another level of nesting begins.
const RED_ZONE: usize = 128 * 1024;
/// Stack that is added when less is left.
const STACK_STEP: usize = 1024 * 1024;

/// One rendering.
pub(crate) struct Runtime<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) ctx: &'a Context,
    pub(crate) regexes: &'a RegexCache,
    /// Whether `{% autoescape true %}` is in force.
    pub(crate) escaping: Cell<bool>,
    /// Names the template assigns to, for hints.
    assigned: &'a [Arc<str>],
    steps: Cell<u64>,
    next_look: Cell<u64>,
    memory: Cell<usize>,
    depth: Cell<usize>,
    started: Instant,
    /// Containers that got another container put into them: emptied at the
    /// end, since they may hold themselves.
    knotted: RefCell<Vec<Val>>,
}

impl<'a> Runtime<'a> {
    pub(crate) fn new(
        limits: &'a Limits,
        ctx: &'a Context,
        regexes: &'a RegexCache,
        assigned: &'a [Arc<str>],
    ) -> Self {
        Self {
            limits,
            ctx,
            regexes,
            escaping: Cell::new(false),
            assigned,
            steps: Cell::new(0),
            next_look: Cell::new(STEPS_BETWEEN_LOOKS),
            memory: Cell::new(0),
            depth: Cell::new(0),
            started: Instant::now(),
            knotted: RefCell::new(Vec::new()),
        }
    }

    /// Charges `count` steps, and looks at the clock now and then.
    #[inline]
    pub(crate) fn step(&self, count: u64) -> Outcome<()> {
        let steps = self.steps.get().saturating_add(count);
        self.steps.set(steps);
        if steps < self.next_look.get() {
            return Ok(());
        }
        self.look(steps)
    }

    #[cold]
    fn look(&self, steps: u64) -> Outcome<()> {
        self.next_look.set(steps.saturating_add(STEPS_BETWEEN_LOOKS));
        if steps > self.limits.steps {
            return over("the template takes too many steps", "steps");
        }
        if self.started.elapsed() > self.limits.deadline {
            return over("the template takes too long", "deadline");
        }
        Ok(())
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
        let memory = self.memory.get().saturating_add(bytes);
        self.memory.set(memory);
        if memory > self.limits.memory_bytes {
            return over("the template uses too much memory", "memory_bytes");
        }
        // Copying is work too.
        self.step(bytes as u64 / 256)
    }

    pub(crate) fn alloc_items(&self, count: usize) -> Outcome<()> {
        self.alloc(count.saturating_mul(ITEM_BYTES))
    }

    pub(crate) fn list(&self, items: Vec<Val>) -> Outcome {
        self.alloc_items(items.len())?;
        Ok(Val::list(items))
    }

    /// A new string, charged.
    pub(crate) fn text(&self, text: impl Into<Arc<str>>) -> Outcome {
        let text = text.into();
        self.alloc(text.len())?;
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

    /// The error for using an undefined value.
    pub(crate) fn undefined(&self, value: &Val) -> Box<Fault> {
        undefined_fault(value, &|| {
            let mut names: Vec<String> = self.ctx.names().map(str::to_owned).collect();
            names.extend(self.assigned.iter().map(|name| (**name).to_owned()));
            names.extend(crate::globals::NAMES.iter().map(|name| (*name).to_owned()));
            names
        })
    }

    /// Everything a value gives when it is gone through; undefined gives
    /// nothing.
    pub(crate) fn items(&self, value: &Val) -> Outcome<Vec<Val>> {
        let charged = |items: Vec<Val>| {
            self.step(items.len() as u64 / 8)?;
            Ok(items)
        };
        match value {
            Val::List(list) => charged(list.read().clone()),
            Val::Tuple(tuple) => charged(tuple.items.clone()),
            Val::Dict(dict) => charged(dict.read().keys().map(|key| key.0.clone()).collect()),
            Val::View(view) => {
                self.alloc_items(view.dict.len())?;
                charged(view.items())
            }
            Val::Undefined(_) => Ok(Vec::new()),
            Val::Str(text) => {
                self.alloc_items(text.chars())?;
                let mut buffer = [0; 4];
                charged(text.as_str().chars().map(|c| Val::str(c.encode_utf8(&mut buffer))).collect())
            }
            Val::Bytes(bytes) => {
                self.alloc_items(bytes.len())?;
                charged(bytes.iter().map(|byte| Val::Int(i64::from(*byte))).collect())
            }
            Val::Range(range) => {
                let count = range.len();
                self.alloc_items(count)?;
                self.step(count as u64)?;
                Ok((0..count).filter_map(|at| range.get(at)).map(Val::Int).collect())
            }
            Val::Iter(iter) => charged(iter.drain()),
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
