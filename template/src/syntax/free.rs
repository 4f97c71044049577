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
    let Walk { made, found, .. } = Walk::through(program);
    found.into_iter().filter(|used| !made.contains(used.name.as_str())).collect()
}

/// The names that a program looks up where it may not have assigned to them itself before.
pub(crate) fn read_unset(program: &Program) -> HashSet<&str> {
    Walk::through(program).unset
}

/// Goes through a program in the order of its text.
struct Walk<'a> {
    program: &'a Program,
    /// The names that are surely assigned to at this place.
    bound: HashSet<&'a str>,
    /// All names that are assigned to anywhere.
    made: HashSet<&'a str>,
    /// The names that were looked up while they were not bound.
    unset: HashSet<&'a str>,
    found: BTreeSet<Variable>,
}

impl<'a> Walk<'a> {
    fn through(program: &'a Program) -> Self {
        let (made, unset, found) = (HashSet::new(), HashSet::new(), BTreeSet::new());
        let mut walk = Walk { program, bound: HashSet::new(), made, unset, found };
        walk.made.extend(program.assigned.iter().map(|name| &**name));
        let special = program.special;
        for slot in [special.loop_, special.caller, special.varargs, special.kwargs] {
            walk.bind(slot);
        }
        // As deep as the parser goes.
        stacker::grow(super::DEEP_STACK, || {
            walk.block(&program.body);
            // What is set outside any scope is set where a block is called by its name.
            for (_, body) in &program.blocks {
                walk.block(body);
            }
        });
        walk
    }

    fn name(&self, slot: Slot) -> &'a str {
        self.program.names.get(slot.0 as usize).map_or("", |name| name)
    }

    fn bind(&mut self, slot: Slot) {
        let name = self.name(slot);
        self.bound.insert(name);
        self.made.insert(name);
    }

    /// Goes through a part whose assignments end with it.
    fn scope(&mut self, part: impl FnOnce(&mut Self)) {
        let outer = self.bound.clone();
        part(self);
        self.bound = outer;
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
                self.node(iter);
                self.scope(|walk| {
                    walk.target(target);
                    filter.iter().for_each(|node| walk.node(node));
                    walk.block(body);
                });
                self.scope(|walk| walk.block(otherwise));
            }
            Stmt::If(branches, otherwise) => self.branches(branches, otherwise),
            Stmt::With { assignments, body } => {
                assignments.iter().for_each(|(_, node)| self.node(node));
                self.scope(|walk| {
                    assignments.iter().for_each(|(target, _)| walk.target(target));
                    walk.block(body);
                });
            }
            Stmt::Set(target, node) => {
                self.node(node);
                self.target(target);
            }
            Stmt::SetBlock { target, filters, body } => {
                self.filters(filters);
                self.scope(|walk| walk.block(body));
                self.target(target);
            }
            Stmt::AutoEscape(node, body) => {
                self.node(node);
                self.scope(|walk| walk.block(body));
            }
            Stmt::FilterBlock(filters, body) => {
                self.filters(filters);
                self.scope(|walk| walk.block(body));
            }
            Stmt::Block(body) => self.scope(|walk| walk.block(body)),
            Stmt::Macro(slot, definition) => {
                self.bind(*slot);
                self.definition(definition);
            }
            Stmt::CallBlock { call, caller } => {
                self.node(call);
                self.definition(caller);
            }
        }
    }

    /// After branches is bound what each of them binds.
    fn branches(&mut self, branches: &'a [(Node, Vec<Stmt>)], otherwise: &'a [Stmt]) {
        let before = self.bound.clone();
        let mut after: Option<HashSet<&'a str>> = None;
        let mut branch = |walk: &mut Self, body: &'a [Stmt]| {
            walk.block(body);
            let bound = std::mem::replace(&mut walk.bound, before.clone());
            after = Some(match after.take() {
                Some(after) => &after & &bound,
                None => bound,
            });
        };
        for (condition, body) in branches {
            self.node(condition);
            branch(self, body);
        }
        branch(self, otherwise);
        self.bound = after.unwrap_or(before);
    }

    fn definition(&mut self, definition: &'a MacroDef) {
        // It is called later, when all is set that this program sets outside any scope.
        let set: Vec<Slot> = self.program.set_outside_scopes();
        self.scope(|walk| {
            set.iter().for_each(|slot| walk.bind(*slot));
            for (slot, _, default) in &definition.params {
                default.iter().for_each(|node| walk.node(node));
                walk.bind(*slot);
            }
            walk.block(&definition.body);
        });
    }

    fn target(&mut self, target: &'a Target) {
        match target {
            Target::Name(slot) => self.bind(*slot),
            Target::Attr(slot, ..) => {
                self.look_up(*slot);
                self.made.insert(self.name(*slot));
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

    fn look_up(&mut self, slot: Slot) {
        let name = self.name(slot);
        if !self.bound.contains(name) {
            self.unset.insert(name);
        }
    }

    /// Notes the variable that a path begins with.
    fn look_up_first(&mut self, mut node: &'a Node) {
        while let Expr::Attr(base, _) | Expr::Item(base, _) = &node.expr {
            node = base;
        }
        if let Expr::Var(slot) = &node.expr {
            self.look_up(*slot);
        }
    }

    fn node(&mut self, node: &'a Node) {
        if let Some(path) = self.path(node) {
            self.look_up_first(node);
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
                match matches!(call.filter.name, "default" | "d") && self.path(base).is_some() {
                    true => self.look_up_first(base),
                    false => self.node(base),
                }
                self.args(&call.args);
            }
            Expr::Test(base, call) => {
                match matches!(call.test.name, "defined" | "undefined") && self.path(base).is_some() {
                    true => self.look_up_first(base),
                    false => self.node(base),
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
