//! Expressions.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Run;
use super::macros::Call;
use crate::attributes;
use crate::call::{Args, call_value};
use crate::fault::{Outcome, fail, over};
use crate::methods;
use crate::native::Kind;
use crate::runtime::on_large_stack;
use crate::syntax::program::{Arg, Comparison, Expr, FilterCall, Node};
use crate::value::containers::{Dict, Entries};
use crate::value::{Missing, Val, compare, operators};

/// Keyword arguments that `**` may bring.
const MOST_KEYWORDS: usize = 1_000;

impl Run<'_, '_> {
    /// The value of an expression.
    pub(super) fn eval(&mut self, node: &Node) -> Outcome {
        match &node.expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Var(slot) => self.lookup(*slot),
            expr => {
                let value = self.rt.step(1).and_then(|()| on_large_stack(|| self.compute(expr)));
                value.map_err(|fault| fault.or_at(node.at))
            }
        }
    }

    fn compute(&mut self, expr: &Expr) -> Outcome {
        let rt = self.rt;
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Var(slot) => self.lookup(*slot),
            Expr::Attr(owner, name) => {
                let owner = self.eval(owner)?;
                attributes::attr(rt, &owner, name)
            }
            Expr::Item(owner, key) => {
                let owner = self.eval(owner)?;
                let key = self.eval(key)?;
                attributes::item(rt, &owner, &key)
            }
            Expr::Slice(owner, parts) => {
                let owner = self.eval(owner)?;
                let mut bounds = [Val::None, Val::None, Val::None];
                for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                    if let Some(part) = part {
                        *bound = self.eval(part)?;
                    }
                }
                attributes::slice(rt, &owner, &bounds)
            }
            Expr::Not(_)
            | Expr::Neg(_)
            | Expr::Pos(_)
            | Expr::And(..)
            | Expr::Or(..)
            | Expr::Arith(..)
            | Expr::Concat(_)
            | Expr::Compare(..) => self.operate(expr),
            Expr::If(cond) => {
                if self.eval(&cond.test)?.truth() {
                    self.eval(&cond.then)
                } else if let Some(otherwise) = &cond.otherwise {
                    self.eval(otherwise)
                } else {
                    Ok(Val::missing(Missing::Reason("the inline if has no else, and its condition is false")))
                }
            }
            Expr::Filter(input, call) => {
                let input = self.eval(input)?;
                self.filter(&input, call)
            }
            Expr::Test(value, call) => {
                let value = self.eval(value)?;
                let args = self.args(&call.args)?;
                (call.test.code)(rt, &value, args).map(Val::Bool)
            }
            Expr::Call(callee, args) => {
                let callee = self.eval(callee)?;
                let args = self.args(args)?;
                self.call(&callee, args)
            }
            Expr::Method(owner, name, args) => self.method(owner, name, args),
            Expr::SelfBlock(name) => self.self_block(name),
            Expr::List(items) => {
                let items = self.all(items)?;
                rt.list(items)
            }
            Expr::Tuple(items) => {
                let items = self.all(items)?;
                rt.alloc_items(items.len())?;
                Ok(Val::tuple(items))
            }
            Expr::Dict(entries) => self.dict(entries),
        }
    }

    /// Operators.
    fn operate(&mut self, expr: &Expr) -> Outcome {
        let rt = self.rt;
        match expr {
            Expr::Not(operand) => Ok(Val::Bool(!self.eval(operand)?.truth())),
            Expr::Neg(operand) => operators::negate(rt, &self.eval(operand)?),
            Expr::Pos(operand) => operators::affirm(rt, &self.eval(operand)?),
            Expr::And(left, right) => {
                let left = self.eval(left)?;
                if left.truth() { self.eval(right) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left)?;
                if left.truth() { Ok(left) } else { self.eval(right) }
            }
            Expr::Arith(op, left, right) => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                operators::binary(rt, *op, &left, &right)
            }
            Expr::Concat(parts) => {
                let parts = self.all(parts)?;
                operators::concat(rt, &parts, rt.escaping.get())
            }
            Expr::Compare(first, rest) => self.compare(first, rest),
            other => self.compute(other),
        }
    }

    fn all(&mut self, nodes: &[Node]) -> Outcome<Vec<Val>> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn dict(&mut self, nodes: &[(Node, Node)]) -> Outcome {
        let mut entries = Entries::with_capacity(nodes.len());
        self.rt.alloc_entries(nodes.len())?;
        for (key, value) in nodes {
            let key = compare::key(self.rt, &self.eval(key)?)?;
            let value = self.eval(value)?;
            entries.insert(key, value);
        }
        Ok(Val::Dict(Arc::new(Dict::new(entries))))
    }

    /// A comparison chain: `a < b < c` looks at `b` once.
    fn compare(&mut self, first: &Node, rest: &[(Comparison, Node)]) -> Outcome {
        let rt = self.rt;
        let mut left = self.eval(first)?;
        for (comparison, node) in rest {
            let right = self.eval(node)?;
            let order = |symbol| compare::order(rt, &left, &right, symbol);
            let holds = match comparison {
                Comparison::Eq => compare::equal(rt, &left, &right)?,
                Comparison::Ne => compare::unequal(rt, &left, &right)?,
                Comparison::Lt => order("<")? == Some(Ordering::Less),
                Comparison::Le => matches!(order("<=")?, Some(Ordering::Less | Ordering::Equal)),
                Comparison::Gt => order(">")? == Some(Ordering::Greater),
                Comparison::Ge => matches!(order(">=")?, Some(Ordering::Greater | Ordering::Equal)),
                Comparison::In => compare::contains(rt, &right, &left)?,
                Comparison::NotIn => !compare::contains(rt, &right, &left)?,
            };
            if !holds {
                return Ok(Val::Bool(false));
            }
            left = right;
        }
        Ok(Val::Bool(true))
    }

    /// Applies a filter of the template's text.
    pub(super) fn filter(&mut self, input: &Val, call: &FilterCall) -> Outcome {
        let args = self.args(&call.args)?;
        (call.filter.code)(self.rt, input, args).map_err(|fault| fault.or_at(call.at))
    }

    /// The arguments of a call.
    pub(super) fn args(&mut self, nodes: &[Arg]) -> Outcome<Args> {
        let mut args = Args::default();
        for node in nodes {
            match node {
                Arg::Pos(node) => args.pos.push(self.eval(node)?),
                Arg::Kw(name, node) => {
                    if args.kw.iter().any(|(known, _)| known == name) {
                        return fail(format!("the keyword argument \"{name}\" is given twice"));
                    }
                    args.kw.push((Arc::clone(name), self.eval(node)?));
                }
                Arg::Splat(node) => {
                    let list = self.eval(node)?;
                    let items = self.rt.items(&list)?;
                    self.rt.alloc_items(items.len())?;
                    args.pos.extend(items);
                }
                Arg::KwSplat(node) => {
                    let Val::Dict(dict) = self.eval(node)? else {
                        return fail("** needs a dict");
                    };
                    let entries = dict.read();
                    // Names are looked for one after the other.
                    if args.kw.len() + entries.len() > MOST_KEYWORDS {
                        return over("a call has too many keyword arguments", "1000 of them");
                    }
                    self.rt.alloc_entries(entries.len())?;
                    for (key, value) in entries.iter() {
                        let Val::Str(name) = &key.0 else {
                            return fail("** needs a dict whose keys are text");
                        };
                        args.kw.push((Arc::clone(name.shared()), value.clone()));
                    }
                }
            }
        }
        Ok(args)
    }

    fn method(&mut self, owner: &Node, name: &Arc<str>, args: &[Arg]) -> Outcome {
        let owner = self.eval(owner)?;
        let args = self.args(args)?;
        let rt = self.rt;
        // A dict's own methods win over its keys, as in Jinja2.
        if let Some((_, code)) = methods::find(&owner, name) {
            return code(rt, &owner, args);
        }
        if let Val::Native(native) = &owner {
            // `datetime.strftime(start, …)`: a method by way of its class.
            let unbound = args.pos.first().filter(|_| native.kind == Kind::Class);
            let unbound = unbound.and_then(|this| methods::find(this, name));
            if let (Some((_, code)), false) = (unbound, native.has(name)) {
                let mut args = args;
                let this = args.pos.remove(0);
                return code(rt, &this, args);
            }
            return match native.call_member(rt, name, args) {
                Some(result) => result,
                None => Err(attributes::missing_method(rt, &owner, name)),
            };
        }
        let callee = attributes::attr(rt, &owner, name)?;
        if let Val::Undefined(_) = callee {
            return Err(attributes::missing_method(rt, &owner, name));
        }
        self.call(&callee, args)
    }

    /// Calls a value.
    pub(super) fn call(&mut self, callee: &Val, args: Args) -> Outcome {
        match callee {
            Val::Macro(makro) => self.call_macro(&Arc::clone(makro), Call { args, caller: None }),
            Val::Object(object) => match object.recursion() {
                Some(recursion) => self.recurse(recursion, args),
                None => object.call(self.rt, args),
            },
            other => call_value(self.rt, other, args),
        }
    }

    fn self_block(&mut self, name: &str) -> Outcome {
        let block = self.program.blocks.iter().find(|(known, _)| **known == *name);
        let Some((_, body)) = block else {
            return fail(format!("there is no block \"{name}\""));
        };
        let body = Arc::clone(body);
        let text = self.rt.deeper(|| Ok(self.captured_text(|run| run.scoped(|run| run.body(&body)))))??;
        Ok(self.text_value(text))
    }
}
