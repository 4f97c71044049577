//! Which variables a template reads from its context.

use std::collections::{BTreeSet, HashSet};

use super::program::{Arg, Expr, FilterCall, For, MacroDef, Node, Program, Slot, Stmt, Target};
use crate::globals;
use crate::value::Val;

/// A variable that a template reads from its context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The attributes and items of it that are read, from the outermost: `["lava", "iteration"]` of
    /// `globals.lava.iteration`. As far as they are names, and not looked up by other variables.
    pub members: Vec<String>,
}

/// The variables of a program that it does not make itself, each way to read them once. One that the template
/// asks for with `default` or `is defined` may be missing, and is left out.
pub(crate) fn variables(program: &Program) -> Vec<Variable> {
    let mut walk = Walk { program, bound: HashSet::new(), found: BTreeSet::new() };
    walk.bound.extend(program.assigned.iter().map(|name| &**name));
    let special = program.special;
    for slot in [special.loop_, special.caller, special.varargs, special.kwargs] {
        walk.bound.extend(program.names.get(slot.0 as usize).map(|name| &**name));
    }
    // As deep as the parser goes.
    stacker::grow(super::DEEP_STACK, || {
        walk.block(&program.body);
        for (_, body) in &program.blocks {
            walk.block(body);
        }
    });
    let Walk { bound, found, .. } = walk;
    found.into_iter().filter(|used| !bound.contains(used.name.as_str())).collect()
}

struct Walk<'a> {
    program: &'a Program,
    bound: HashSet<&'a str>,
    found: BTreeSet<Variable>,
}

impl<'a> Walk<'a> {
    fn name(&self, slot: Slot) -> &'a str {
        self.program.names.get(slot.0 as usize).map_or("", |name| name)
    }

    fn block(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Text(_) => {}
            Stmt::Emit(node) => self.node(node),
            Stmt::For(each) => {
                let For { target, iter, filter, body, otherwise, .. } = &**each;
                self.target(target);
                self.node(iter);
                filter.iter().for_each(|node| self.node(node));
                self.block(body);
                self.block(otherwise);
            }
            Stmt::If(branches, otherwise) => {
                for (condition, body) in branches {
                    self.node(condition);
                    self.block(body);
                }
                self.block(otherwise);
            }
            Stmt::With { assignments, body } => {
                for (target, node) in assignments {
                    self.target(target);
                    self.node(node);
                }
                self.block(body);
            }
            Stmt::Set(target, node) => {
                self.target(target);
                self.node(node);
            }
            Stmt::SetBlock { target, filters, body } => {
                self.target(target);
                self.filters(filters);
                self.block(body);
            }
            Stmt::AutoEscape(node, body) => {
                self.node(node);
                self.block(body);
            }
            Stmt::FilterBlock(filters, body) => {
                self.filters(filters);
                self.block(body);
            }
            Stmt::Block(body) => self.block(body),
            Stmt::Macro(slot, definition) => {
                let name = self.name(*slot);
                self.bound.insert(name);
                self.definition(definition);
            }
            Stmt::CallBlock { call, caller } => {
                self.node(call);
                self.definition(caller);
            }
        }
    }

    fn definition(&mut self, definition: &'a MacroDef) {
        for (slot, _, default) in &definition.params {
            let name = self.name(*slot);
            self.bound.insert(name);
            default.iter().for_each(|node| self.node(node));
        }
        self.block(&definition.body);
    }

    fn target(&mut self, target: &'a Target) {
        match target {
            Target::Name(slot) | Target::Attr(slot, ..) => {
                let name = self.name(*slot);
                self.bound.insert(name);
            }
            Target::Unpack(targets, _) => targets.iter().for_each(|target| self.target(target)),
        }
    }

    fn filters(&mut self, filters: &'a [FilterCall]) {
        for filter in filters {
            self.args(&filter.args);
        }
    }

    fn args(&mut self, args: &'a [Arg]) {
        for arg in args {
            let (Arg::Pos(node) | Arg::Kw(_, node) | Arg::Splat(node) | Arg::KwSplat(node)) = arg;
            self.node(node);
        }
    }

    /// The variable and members of `a.b['c']`; `None` when the expression does not begin with a variable.
    fn path(&self, node: &'a Node) -> Option<Variable> {
        match &node.expr {
            Expr::Var(slot) => Some(Variable { name: self.name(*slot).to_owned(), members: Vec::new() }),
            Expr::Attr(base, name) => {
                let mut path = self.path(base)?;
                path.members.push(name.to_string());
                Some(path)
            }
            Expr::Item(base, key) => {
                let Expr::Const(Val::Str(text)) = &key.expr else { return None };
                let mut path = self.path(base)?;
                path.members.push(text.as_str().to_owned());
                Some(path)
            }
            _ => None,
        }
    }

    fn node(&mut self, node: &'a Node) {
        if let Some(path) = self.path(node) {
            if !globals::NAMES.contains(&path.name.as_str()) {
                self.found.insert(path);
            }
            return;
        }
        match &node.expr {
            Expr::Const(_) | Expr::Var(_) | Expr::SelfBlock(_) => {}
            Expr::Attr(base, _) | Expr::Not(base) | Expr::Neg(base) | Expr::Pos(base) => self.node(base),
            Expr::Item(one, other)
            | Expr::And(one, other)
            | Expr::Or(one, other)
            | Expr::Arith(_, one, other) => {
                self.node(one);
                self.node(other);
            }
            Expr::Slice(base, parts) => {
                self.node(base);
                parts.iter().flatten().for_each(|part| self.node(part));
            }
            Expr::Concat(nodes) | Expr::List(nodes) | Expr::Tuple(nodes) => {
                nodes.iter().for_each(|node| self.node(node));
            }
            Expr::Compare(first, others) => {
                self.node(first);
                others.iter().for_each(|(_, node)| self.node(node));
            }
            Expr::If(choice) => {
                self.node(&choice.test);
                self.node(&choice.then);
                choice.otherwise.iter().for_each(|node| self.node(node));
            }
            Expr::Filter(base, call) => {
                if !(matches!(call.filter.name, "default" | "d") && self.path(base).is_some()) {
                    self.node(base);
                }
                self.args(&call.args);
            }
            Expr::Test(base, call) => {
                if !(matches!(call.test.name, "defined" | "undefined") && self.path(base).is_some()) {
                    self.node(base);
                }
                self.args(&call.args);
            }
            Expr::Call(base, args) | Expr::Method(base, _, args) => {
                self.node(base);
                self.args(args);
            }
            Expr::Dict(entries) => {
                for (key, value) in entries {
                    self.node(key);
                    self.node(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Renderer;

    fn read(source: &str) -> Vec<String> {
        let found = Renderer::default().variables(source).unwrap();
        found.into_iter().map(|used| [vec![used.name], used.members].concat().join(".")).collect()
    }

    #[test]
    fn variables_of_the_context_are_found() {
        for (source, wanted) in [
            ("plain", &[] as &[&str]),
            ("{{ a.b['c'] }} {{ a.b.c }}", &["a.b.c"]),
            ("{{ a[b] }}", &["a", "b"]),
            ("{{ globals.x | upper }}{{ f(y, k=z) }}", &["f", "globals.x", "y", "z"]),
            ("{{ start.strftime('%Y') + utils.uuid() }}", &["start"]),
            ("{% for x in xs if x.ok %}{{ x }}{{ loop.index }}{{ y }}{% endfor %}", &["xs", "y"]),
            ("{% set a = b %}{{ a }}{% with c = d %}{{ c }}{% endwith %}", &["b", "d"]),
            ("{% macro m(p, q=r) %}{{ p }}{{ q }}{{ s }}{% endmacro %}{{ m(1) }}", &["r", "s"]),
            ("{% if a is defined %}{{ b | default('x') }}{{ c | d(e) }}{% endif %}", &["e"]),
            (
                "{{ x if y else z }}{{ [p, (q,), {r: s}] }}{{ not t and u ~ v }}",
                &["p", "q", "r", "s", "t", "u", "v", "x", "y", "z"],
            ),
            ("{{ range(n) | list }}{{ w[1:m] }}", &["m", "n", "w"]),
        ] {
            assert_eq!(read(source), wanted, "{source}");
        }
        assert!(Renderer::default().variables("{{").is_err());
    }
}
