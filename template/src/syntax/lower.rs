//! Expressions: minijinja's tree into ours.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::machinery::ast::{self, BinOpKind, CompareOpKind, UnaryOpKind};
use num_bigint::BigInt;

use super::program::{Arg, Comparison, Expr, FilterCall, If, Node, Slot, TestCall};
use super::{Span, escapes};
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::runtime::on_large_stack;
use crate::value::Val;
use crate::value::marks::{Controls, Marks};
use crate::value::number::Arith;
use crate::{filters, predicates};

/// Methods that change the value they are called on.
const MUTATORS: [&str; 13] = [
    "append",
    "extend",
    "insert",
    "remove",
    "pop",
    "popitem",
    "clear",
    "update",
    "setdefault",
    "sort",
    "reverse",
    "__setitem__",
    "__delitem__",
];

/// Which of the special names a macro's body uses.
#[derive(Clone, Copy, Default)]
pub(super) struct Uses {
    pub(super) varargs: bool,
    pub(super) kwargs: bool,
    pub(super) caller: bool,
}

/// The state of lowering one template.
pub(super) struct Lower<'s> {
    pub(super) source: &'s str,
    /// For a string of a structure, the marks in place of characters of values.
    pub(super) marks: Option<Marks>,
    /// The control characters of its literals.
    pub(super) controls: Controls,
    pub(super) pluses: &'s [u32],
    /// Names that are looked up.
    pub(super) used: Vec<Slot>,
    pub(super) names: Vec<Arc<str>>,
    slots: HashMap<Arc<str>, Slot>,
    pub(super) assigned: Vec<Arc<str>>,
    pub(super) mutates: bool,
    pub(super) uses: Uses,
    pub(super) blocks: Vec<(Arc<str>, Arc<Vec<super::program::Stmt>>)>,
}

impl<'s> Lower<'s> {
    pub(super) fn new(source: &'s str, marks: Option<Marks>, pluses: &'s [u32]) -> Self {
        Self {
            source,
            marks,
            controls: Controls::default(),
            pluses,
            used: Vec::new(),
            names: Vec::new(),
            slots: HashMap::new(),
            assigned: Vec::new(),
            mutates: false,
            uses: Uses::default(),
            blocks: Vec::new(),
        }
    }

    pub(super) fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = Slot(self.names.len() as u32);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.slots.insert(name, slot);
        slot
    }

    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        let slot = self.slot(name);
        Arc::clone(&self.names[slot.0 as usize])
    }

    pub(super) fn boxed(&mut self, expr: &ast::Expr<'_>) -> Outcome<Box<Node>> {
        self.expr(expr).map(Box::new)
    }

    pub(super) fn expr(&mut self, expr: &ast::Expr<'_>) -> Outcome<Node> {
        let at = Span::from(expr.span());
        let expr = on_large_stack(|| self.lowered(expr, at)).map_err(|fault| fault.or_at(at))?;
        Ok(Node { at, expr })
    }

    fn lowered(&mut self, expr: &ast::Expr<'_>, at: Span) -> Outcome<Expr> {
        Ok(match expr {
            ast::Expr::Var(var) => self.var(var.id),
            ast::Expr::Const(constant) => Expr::Const(self.constant(&constant.value, at)?),
            ast::Expr::Slice(slice) => {
                let mut part =
                    |part: &Option<ast::Expr<'_>>| part.as_ref().map(|part| self.expr(part)).transpose();
                let parts = [part(&slice.start)?, part(&slice.stop)?, part(&slice.step)?];
                Expr::Slice(self.boxed(&slice.expr)?, Box::new(parts))
            }
            ast::Expr::UnaryOp(op) => {
                let operand = self.boxed(&op.expr)?;
                match op.op {
                    UnaryOpKind::Not => Expr::Not(operand),
                    UnaryOpKind::Neg if self.pluses.binary_search(&at.start).is_ok() => Expr::Pos(operand),
                    UnaryOpKind::Neg => Expr::Neg(operand),
                }
            }
            ast::Expr::BinOp(op) => self.binary(op)?,
            ast::Expr::Compare(compare) => {
                let first = self.boxed(&compare.expr)?;
                let mut rest = Vec::with_capacity(compare.ops.len());
                for op in &compare.ops {
                    rest.push((comparison(op.op), self.expr(&op.expr)?));
                }
                Expr::Compare(first, rest)
            }
            ast::Expr::IfExpr(cond) => Expr::If(Box::new(If {
                test: self.expr(&cond.test_expr)?,
                then: self.expr(&cond.true_expr)?,
                otherwise: cond.false_expr.as_ref().map(|e| self.expr(e)).transpose()?,
            })),
            ast::Expr::Filter(filter) => {
                let Some(input) = &filter.expr else {
                    return fail("a filter needs a value before it");
                };
                let input = self.boxed(input)?;
                let call = self.filter_call(filter.name, &filter.args, at)?;
                Expr::Filter(input, Box::new(call))
            }
            ast::Expr::Test(test) => {
                let value = self.boxed(&test.expr)?;
                Expr::Test(value, Box::new(self.test_call(test.name, &test.args)?))
            }
            ast::Expr::GetAttr(attr) => {
                let owner = self.boxed(&attr.expr)?;
                self.note_member(attr.name);
                Expr::Attr(owner, self.name(attr.name))
            }
            ast::Expr::GetItem(item) => {
                Expr::Item(self.boxed(&item.expr)?, self.boxed(&item.subscript_expr)?)
            }
            ast::Expr::Call(call) => self.call(call)?,
            ast::Expr::List(list) => Expr::List(self.all(&list.items)?),
            ast::Expr::Tuple(tuple) => Expr::Tuple(self.all(&tuple.items)?),
            ast::Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.keys.len());
                for (key, value) in map.keys.iter().zip(&map.values) {
                    entries.push((self.expr(key)?, self.expr(value)?));
                }
                Expr::Dict(entries)
            }
        })
    }

    fn all(&mut self, items: &[ast::Expr<'_>]) -> Outcome<Vec<Node>> {
        items.iter().map(|item| self.expr(item)).collect()
    }

    fn var(&mut self, name: &str) -> Expr {
        match name {
            "varargs" => self.uses.varargs = true,
            "kwargs" => self.uses.kwargs = true,
            "caller" => self.uses.caller = true,
            _ => {}
        }
        let slot = self.slot(name);
        self.used.push(slot);
        Expr::Var(slot)
    }

    fn constant(&mut self, value: &minijinja::Value, at: Span) -> Outcome<Val> {
        use minijinja::value::ValueKind;
        Ok(match value.kind() {
            ValueKind::Bool => Val::Bool(value.is_true()),
            ValueKind::String => {
                let literals = self.source.get(at.range()).unwrap_or("");
                let reread = escapes::reread(literals);
                let text = reread.as_deref().or(value.as_str()).unwrap_or("");
                self.controls.add(text);
                match self.marks {
                    Some(marks) if literals.starts_with('\'') => Val::str(&marks.protect_quotes(text)),
                    Some(marks) => Val::str(&marks.protect(text)),
                    None => Val::str(text),
                }
            }
            ValueKind::Number if value.is_integer() => match i64::try_from(value.clone()) {
                Ok(small) => Val::Int(small),
                Err(_) => match u128::try_from(value.clone()) {
                    Ok(large) => Val::big(BigInt::from(large)),
                    Err(_) => return fail("the integer cannot be read"),
                },
            },
            ValueKind::Number => Val::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
            _ => Val::None,
        })
    }

    fn binary(&mut self, op: &ast::BinOp<'_>) -> Outcome<Expr> {
        let arith = match op.op {
            BinOpKind::ScAnd => {
                return Ok(Expr::And(self.boxed(&op.left)?, self.boxed(&op.right)?));
            }
            BinOpKind::ScOr => return Ok(Expr::Or(self.boxed(&op.left)?, self.boxed(&op.right)?)),
            BinOpKind::Concat => {
                let left = self.expr(&op.left)?;
                let right = self.expr(&op.right)?;
                return Ok(match left.expr {
                    Expr::Concat(mut parts) => {
                        parts.push(right);
                        Expr::Concat(parts)
                    }
                    _ => Expr::Concat(vec![left, right]),
                });
            }
            BinOpKind::Add => Arith::Add,
            BinOpKind::Sub => Arith::Sub,
            BinOpKind::Mul => Arith::Mul,
            BinOpKind::Div => Arith::Div,
            BinOpKind::FloorDiv => Arith::FloorDiv,
            BinOpKind::Rem => Arith::Rem,
            BinOpKind::Pow => Arith::Pow,
            BinOpKind::Eq => return self.compare(Comparison::Eq, op),
            BinOpKind::Ne => return self.compare(Comparison::Ne, op),
            BinOpKind::Lt => return self.compare(Comparison::Lt, op),
            BinOpKind::Lte => return self.compare(Comparison::Le, op),
            BinOpKind::Gt => return self.compare(Comparison::Gt, op),
            BinOpKind::Gte => return self.compare(Comparison::Ge, op),
            BinOpKind::In => return self.compare(Comparison::In, op),
        };
        Ok(Expr::Arith(arith, self.boxed(&op.left)?, self.boxed(&op.right)?))
    }

    fn compare(&mut self, comparison: Comparison, op: &ast::BinOp<'_>) -> Outcome<Expr> {
        let left = self.boxed(&op.left)?;
        Ok(Expr::Compare(left, vec![(comparison, self.expr(&op.right)?)]))
    }

    pub(super) fn call(&mut self, call: &ast::Call<'_>) -> Outcome<Expr> {
        let args = self.args(&call.args)?;
        if let ast::Expr::GetAttr(attr) = &call.expr {
            if matches!(&attr.expr, ast::Expr::Var(var) if var.id == "self") {
                return Ok(Expr::SelfBlock(self.name(attr.name)));
            }
            self.note_member(attr.name);
            let owner = self.boxed(&attr.expr)?;
            return Ok(Expr::Method(owner, self.name(attr.name), args));
        }
        Ok(Expr::Call(self.boxed(&call.expr)?, args))
    }

    fn note_member(&mut self, name: &str) {
        self.mutates |= MUTATORS.contains(&name);
    }

    fn args(&mut self, args: &[ast::CallArg<'_>]) -> Outcome<Vec<Arg>> {
        args.iter()
            .map(|arg| {
                Ok(match arg {
                    ast::CallArg::Pos(value) => Arg::Pos(self.expr(value)?),
                    ast::CallArg::Kwarg(name, value) => Arg::Kw(self.name(name), self.expr(value)?),
                    ast::CallArg::PosSplat(value) => Arg::Splat(self.expr(value)?),
                    ast::CallArg::KwargSplat(value) => Arg::KwSplat(self.expr(value)?),
                })
            })
            .collect()
    }

    pub(super) fn filter_call(
        &mut self,
        name: &str,
        args: &[ast::CallArg<'_>],
        at: Span,
    ) -> Outcome<FilterCall> {
        let Some(filter) = filters::find(name) else {
            return Err(Fault::new(ErrorKind::Syntax, format!("unknown filter \"{name}\""))
                .nearest(name, filters::names()));
        };
        let args = self.args(args)?;
        // A value's method may be reached through `attr` and `map`.
        self.mutates |= matches!(filter.name, "attr" | "map");
        Ok(FilterCall { filter, args, at })
    }

    fn test_call(&mut self, name: &str, args: &[ast::CallArg<'_>]) -> Outcome<TestCall> {
        let Some(test) = predicates::find(name) else {
            return Err(Fault::new(ErrorKind::Syntax, format!("unknown test \"{name}\""))
                .nearest(name, predicates::names()));
        };
        Ok(TestCall { test, args: self.args(args)? })
    }
}

fn comparison(op: CompareOpKind) -> Comparison {
    match op {
        CompareOpKind::Eq => Comparison::Eq,
        CompareOpKind::Ne => Comparison::Ne,
        CompareOpKind::Lt => Comparison::Lt,
        CompareOpKind::Lte => Comparison::Le,
        CompareOpKind::Gt => Comparison::Gt,
        CompareOpKind::Gte => Comparison::Ge,
        CompareOpKind::In => Comparison::In,
        CompareOpKind::NotIn => Comparison::NotIn,
    }
}
