//! `loop`, and what `namespace`, `cycler` and `joiner` make.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::call::Args;
use crate::fault::{Outcome, fail, over};
use crate::globals::MOST_FIELDS;
use crate::rrule::Rule;
use crate::runtime::Runtime;
use crate::syntax::program::For;
use crate::value::show::Shown;
use crate::value::{Missing, Text, Tuple, Val, compare, teardown};

/// The attributes of `loop`.
pub(crate) const LOOP_FIELDS: [&str; 11] = [
    "index",
    "index0",
    "revindex",
    "revindex0",
    "first",
    "last",
    "length",
    "depth",
    "depth0",
    "previtem",
    "nextitem",
];

/// An object of the template language itself.
#[derive(Debug)]
pub(crate) enum Object {
    Loop(LoopState),
    Namespace(RwLock<Vec<(Arc<str>, Val)>>),
    Cycler {
        items: Arc<Tuple>,
        at: AtomicUsize,
    },
    Joiner {
        separator: Text,
        used: AtomicBool,
    },
    /// dateutil's `parser()`.
    Parser,
    /// dateutil's `isoparser(sep)`.
    IsoParser(Option<u8>),
    /// dateutil's `rrule(…)`.
    Rule(Box<Rule>),
}

/// Where a loop stands.
#[derive(Debug)]
pub(crate) struct LoopState {
    items: Arc<Vec<Val>>,
    index: AtomicUsize,
    depth: usize,
    recursion: Option<Arc<For>>,
    changed: Mutex<Option<Vec<Val>>>,
}

impl LoopState {
    pub(crate) fn new(items: Arc<Vec<Val>>, depth: usize, recursion: Option<Arc<For>>) -> Self {
        Self { items, index: AtomicUsize::new(0), depth, recursion, changed: Mutex::new(None) }
    }

    pub(crate) fn go_to(&self, index: usize) {
        self.index.store(index, Ordering::Relaxed);
    }

    fn at(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    fn field(&self, name: &str) -> Option<Val> {
        let (at, length) = (self.at(), self.items.len());
        let neighbour = |at: Option<usize>, reason| {
            at.and_then(|at| self.items.get(at).cloned())
                .unwrap_or_else(|| Val::missing(Missing::Reason(reason)))
        };
        Some(match name {
            "index" => number(at + 1),
            "index0" => number(at),
            "revindex" => number(length - at),
            "revindex0" => number(length - at - 1),
            "first" => Val::Bool(at == 0),
            "last" => Val::Bool(at + 1 == length),
            "length" => number(length),
            "depth" => number(self.depth + 1),
            "depth0" => number(self.depth),
            "previtem" => neighbour(at.checked_sub(1), "there is no previous item"),
            "nextitem" => neighbour(Some(at + 1), "there is no next item"),
            _ => return None,
        })
    }
}

fn number(count: usize) -> Val {
    Val::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

impl Object {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Loop(_) => "LoopContext",
            Self::Namespace(_) => "Namespace",
            Self::Cycler { .. } => "Cycler",
            Self::Joiner { .. } => "Joiner",
            Self::Parser => "parser",
            Self::IsoParser(_) => "isoparser",
            Self::Rule(_) => "rrule",
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<Val> {
        match self {
            Self::Loop(state) => state.field(name),
            Self::Namespace(fields) => fields
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .find(|(known, _)| &**known == name)
                .map(|(_, value)| value.clone()),
            Self::Cycler { items, at } if name == "current" => {
                items.items.get(at.load(Ordering::Relaxed)).cloned()
            }
            Self::Cycler { items, .. } if name == "items" => Some(Val::Tuple(Arc::clone(items))),
            _ => None,
        }
    }

    pub(crate) fn field_names(&self) -> Vec<String> {
        match self {
            Self::Loop(_) => LOOP_FIELDS.iter().map(|name| (*name).to_owned()).collect(),
            Self::Namespace(fields) => fields
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|(name, _)| (**name).to_owned())
                .collect(),
            Self::Cycler { .. } => vec!["current".to_owned()],
            _ => Vec::new(),
        }
    }

    /// Sets a namespace's attribute.
    pub(crate) fn set(&self, rt: &Runtime<'_>, name: &Arc<str>, value: Val) -> Outcome<()> {
        let Self::Namespace(fields) = self else {
            return fail("only a namespace's attributes can be set");
        };
        rt.alloc_entries(1)?;
        let mut fields = fields.write().unwrap_or_else(PoisonError::into_inner);
        let full = fields.len() >= MOST_FIELDS;
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None if full => {
                return over("a namespace has too many attributes", "10000 of them");
            }
            None => fields.push((Arc::clone(name), value)),
        }
        // Names are looked for one after the other.
        rt.step(fields.len() as u64 / 16)
    }

    /// Drops what was put into the object: it may hold itself.
    pub(crate) fn untie(&self) {
        match self {
            Self::Namespace(fields) => {
                let mut fields = fields.write().unwrap_or_else(PoisonError::into_inner);
                let held = std::mem::take(&mut *fields);
                drop(fields);
                drop(held);
            }
            Self::Loop(state) => {
                let mut changed = state.changed.lock().unwrap_or_else(PoisonError::into_inner);
                let held = changed.take();
                drop(changed);
                drop(held);
            }
            _ => {}
        }
    }

    /// Moves all the object holds into `pending`, to be dropped there.
    pub(crate) fn give_up(&mut self, pending: &mut Vec<Val>) {
        match self {
            Self::Loop(state) => {
                if let Some(items) = Arc::get_mut(&mut state.items) {
                    pending.append(items);
                }
                let changed = state.changed.get_mut().unwrap_or_else(PoisonError::into_inner);
                pending.extend(changed.take().into_iter().flatten());
            }
            Self::Namespace(fields) => {
                let fields = fields.get_mut().unwrap_or_else(PoisonError::into_inner);
                pending.extend(fields.drain(..).map(|(_, value)| value));
            }
            Self::Cycler { items, .. } => pending.push(Val::Tuple(std::mem::take(items))),
            _ => {}
        }
    }

    pub(crate) fn is_callable(&self) -> bool {
        match self {
            Self::Joiner { .. } => true,
            Self::Loop(state) => state.recursion.is_some(),
            _ => false,
        }
    }

    /// The statement that calling `loop` runs again.
    pub(crate) fn recursion(&self) -> Option<(Arc<For>, usize)> {
        match self {
            Self::Loop(state) => Some((Arc::clone(state.recursion.as_ref()?), state.depth)),
            _ => None,
        }
    }

    /// Calls a joiner: nothing the first time, then the separator.
    pub(crate) fn call(&self, _rt: &Runtime<'_>, args: Args) -> Outcome {
        match self {
            Self::Joiner { separator, used } => {
                args.none("joiner")?;
                Ok(if used.swap(true, Ordering::Relaxed) {
                    Val::Str(separator.clone())
                } else {
                    Val::str("")
                })
            }
            Self::Loop(_) => fail("loop() needs a loop marked recursive"),
            other => fail(format!("{} cannot be called", other.type_name())),
        }
    }

    pub(crate) fn show(self: Arc<Self>, shown: &mut Shown<'_, '_>) -> Outcome<()> {
        match &*self {
            Self::Loop(state) => {
                shown.push(&format!("<LoopContext {}/{}>", state.at() + 1, state.items.len()))
            }
            Self::Namespace(fields) => {
                let fields = fields.read().unwrap_or_else(PoisonError::into_inner).clone();
                shown.push("<Namespace {")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    shown.push(if at == 0 { "" } else { ", " })?;
                    shown.push(&crate::value::show::repr_str(name))?;
                    shown.push(": ")?;
                    shown.object_field(value)?;
                }
                shown.push("}>")
            }
            Self::Parser => shown.push("<dateutil.parser._parser.parser object>"),
            Self::IsoParser(_) => shown.push("<dateutil.parser.isoparser.isoparser object>"),
            Self::Rule(_) => shown.push("<dateutil.rrule.rrule object>"),
            other => shown.push(&format!("<{}>", other.type_name())),
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let mut held = Vec::new();
        self.give_up(&mut held);
        teardown::items(&mut held);
    }
}

/// `loop.cycle('odd', 'even')`.
pub(crate) fn loop_cycle(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let Val::Object(object) = this else {
        return Ok(Val::None);
    };
    let Object::Loop(state) = &**object else {
        return Ok(Val::None);
    };
    match state.at().checked_rem(args.pos.len()) {
        Some(at) => Ok(args.pos[at].clone()),
        None => fail("loop.cycle() needs something to cycle through"),
    }
}

/// `loop.changed(value)`: whether the value differs from the last call's.
pub(crate) fn loop_changed(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let Val::Object(object) = this else {
        return Ok(Val::None);
    };
    let Object::Loop(state) = &**object else {
        return Ok(Val::None);
    };
    rt.alloc_items(args.pos.len())?;
    let mut last = state.changed.lock().unwrap_or_else(PoisonError::into_inner);
    let same = match &*last {
        Some(values) if values.len() == args.pos.len() => {
            let mut same = true;
            for (a, b) in values.iter().zip(&args.pos) {
                same = same && compare::equal(rt, a, b)?;
            }
            same
        }
        _ => false,
    };
    if !same {
        for value in &args.pos {
            rt.knot(this, value);
        }
        *last = Some(args.pos);
    }
    Ok(Val::Bool(!same))
}

/// `cycler.next()`.
pub(crate) fn cycler_next(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("next")?;
    let Val::Object(object) = this else {
        return Ok(Val::None);
    };
    let Object::Cycler { items, at } = &**object else {
        return Ok(Val::None);
    };
    let now = at.load(Ordering::Relaxed);
    at.store((now + 1) % items.items.len().max(1), Ordering::Relaxed);
    Ok(items.items.get(now).cloned().unwrap_or(Val::None))
}

/// `cycler.reset()`.
pub(crate) fn cycler_reset(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("reset")?;
    if let Val::Object(object) = this
        && let Object::Cycler { at, .. } = &**object
    {
        at.store(0, Ordering::Relaxed);
    }
    Ok(Val::None)
}
