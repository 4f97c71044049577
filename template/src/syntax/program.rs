//! A compiled template.

use std::collections::HashSet;
use std::sync::Arc;

use super::Span;
use super::free::read_unset;
use crate::filters::Filter;
use crate::predicates::Test;
use crate::value::Val;
use crate::value::marks::{Controls, Marks};
use crate::value::number::Arith;

/// A name the template uses, as an index into [`Program::names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) source: Arc<str>,
    /// Where the parsed text has characters that `source` has not.
    pub(crate) inserted: Vec<u32>,
    /// For a string of a structure, the marks in place of characters of values.
    pub(crate) marks: Option<Marks>,
    /// The control characters of its literals.
    pub(crate) controls: Controls,
    pub(crate) body: Vec<Stmt>,
    /// Names that are looked up, as often as they are.
    pub(crate) used: Vec<Slot>,
    pub(crate) names: Vec<Arc<str>>,
    /// Names that are assigned to, for hints.
    pub(crate) assigned: Vec<Arc<str>>,
    pub(crate) blocks: Vec<(Arc<str>, Arc<Vec<Stmt>>)>,
    /// Whether a method that changes a list or dict is named: then the
    /// rendering works on copies of the context's values.
    pub(crate) mutates: bool,
    /// The slots of names with a meaning of their own.
    pub(crate) special: Special,
}

/// Slots of `loop`, `caller`, `varargs` and `kwargs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Special {
    pub(crate) loop_: Slot,
    pub(crate) caller: Slot,
    pub(crate) varargs: Slot,
    pub(crate) kwargs: Slot,
}

impl Program {
    /// The names that a template after this one would see in lava, where the
    /// strings of a structure are one template: those set outside any scope.
    pub(crate) fn leaves_set(&self) -> Vec<Arc<str>> {
        let set = self.set_outside_scopes();
        set.into_iter().map(|slot| Arc::clone(&self.names[slot.0 as usize])).collect()
    }

    /// The names that are set outside any scope, as often as they are.
    pub(super) fn set_outside_scopes(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        set_by(&self.body, &mut slots);
        slots
    }

    /// A name out of `known` that is looked up here where it may not have been assigned to before.
    pub(crate) fn looks_up(&self, known: &HashSet<Arc<str>>) -> Option<&str> {
        if known.is_empty() {
            return None;
        }
        let unset = read_unset(self);
        // The first by its place.
        let mut used = self.used.iter().map(|slot| &*self.names[slot.0 as usize]);
        used.find(|name| known.contains(*name) && unset.contains(name))
    }
}

fn set_by(stmts: &[Stmt], slots: &mut Vec<Slot>) {
    for stmt in stmts {
        match stmt {
            Stmt::Set(target, _) | Stmt::SetBlock { target, .. } => names_of(target, slots),
            Stmt::Macro(slot, _) => slots.push(*slot),
            Stmt::If(branches, otherwise) => {
                for (_, body) in branches {
                    set_by(body, slots);
                }
                set_by(otherwise, slots);
            }
            _ => {}
        }
    }
}

fn names_of(target: &Target, slots: &mut Vec<Slot>) {
    match target {
        Target::Name(slot) => slots.push(*slot),
        Target::Attr(..) => {}
        Target::Unpack(targets, _) => targets.iter().for_each(|target| names_of(target, slots)),
    }
}

#[derive(Debug)]
pub(crate) enum Stmt {
    Text(Box<str>),
    Emit(Node),
    For(Arc<For>),
    /// `if` and `elif` with their conditions, then `else`.
    If(Vec<(Node, Vec<Stmt>)>, Vec<Stmt>),
    With {
        assignments: Vec<(Target, Node)>,
        body: Vec<Stmt>,
    },
    Set(Target, Node),
    SetBlock {
        target: Target,
        filters: Vec<FilterCall>,
        body: Vec<Stmt>,
    },
    AutoEscape(Node, Vec<Stmt>),
    FilterBlock(Vec<FilterCall>, Vec<Stmt>),
    Block(Arc<Vec<Stmt>>),
    Macro(Slot, Arc<MacroDef>),
    CallBlock {
        call: Node,
        caller: Arc<MacroDef>,
    },
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) iter: Node,
    pub(crate) filter: Option<Node>,
    pub(crate) recursive: bool,
    pub(crate) body: Vec<Stmt>,
    pub(crate) otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(crate) struct MacroDef {
    pub(crate) name: Arc<str>,
    pub(crate) params: Vec<(Slot, Arc<str>, Option<Node>)>,
    pub(crate) body: Vec<Stmt>,
    /// Whether the body names `varargs`, `kwargs` or `caller`, and so takes those arguments.
    pub(crate) varargs: bool,
    pub(crate) kwargs: bool,
    pub(crate) caller: bool,
}

/// The target of an assignment.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Slot),
    /// An attribute of a namespace.
    Attr(Slot, Arc<str>, Span),
    Unpack(Vec<Target>, Span),
}

/// An expression with its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Span,
    pub(crate) expr: Expr,
}

#[derive(Debug)]
pub(crate) enum Expr {
    Const(Val),
    Var(Slot),
    Attr(Box<Node>, Arc<str>),
    Item(Box<Node>, Box<Node>),
    Slice(Box<Node>, Box<[Option<Node>; 3]>),
    Not(Box<Node>),
    Neg(Box<Node>),
    Pos(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Arith(Arith, Box<Node>, Box<Node>),
    Concat(Vec<Node>),
    Compare(Box<Node>, Vec<(Comparison, Node)>),
    If(Box<If>),
    Filter(Box<Node>, Box<FilterCall>),
    Test(Box<Node>, Box<TestCall>),
    Call(Box<Node>, Vec<Arg>),
    Method(Box<Node>, Arc<str>, Vec<Arg>),
    /// `self.name()`.
    SelfBlock(Arc<str>),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Dict(Vec<(Node, Node)>),
}

#[derive(Debug)]
pub(crate) struct If {
    pub(crate) test: Node,
    pub(crate) then: Node,
    pub(crate) otherwise: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug)]
pub(crate) struct FilterCall {
    pub(crate) filter: &'static Filter,
    pub(crate) args: Vec<Arg>,
    pub(crate) at: Span,
}

#[derive(Debug)]
pub(crate) struct TestCall {
    pub(crate) test: &'static Test,
    pub(crate) args: Vec<Arg>,
}

#[derive(Debug)]
pub(crate) enum Arg {
    Pos(Node),
    Kw(Arc<str>, Node),
    Splat(Node),
    KwSplat(Node),
}
