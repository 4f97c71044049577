//! Statements.

use std::sync::Arc;

use super::Run;
use super::macros::{Call, Macro};
use super::objects::{LoopState, Object};
use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::syntax::program::{Expr, FilterCall, For, Node, Stmt, Target};
use crate::value::undefined::with_article;
use crate::value::{Val, show};

impl Run<'_, '_> {
    /// Runs statements one after the other.
    pub(super) fn body(&mut self, stmts: &[Stmt]) -> Outcome<()> {
        for stmt in stmts {
            self.rt.step(1)?;
            self.stmt(stmt)?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Outcome<()> {
        match stmt {
            Stmt::Text(text) => self.write(text),
            Stmt::Emit(node) => {
                let value = self.eval(node)?;
                self.emit(&value).map_err(|fault| fault.or_at(node.at))
            }
            Stmt::If(branches, otherwise) => self.if_else(branches, otherwise),
            Stmt::For(stmt) => self.for_loop(stmt),
            Stmt::With { assignments, body } => {
                let mut values = Vec::with_capacity(assignments.len());
                for (_, node) in assignments {
                    values.push(self.eval(node)?);
                }
                self.nested(|run| {
                    for ((target, _), value) in assignments.iter().zip(values) {
                        run.store(target, value)?;
                    }
                    run.body(body)
                })
            }
            Stmt::Set(target, node) => {
                let value = self.eval(node)?;
                self.store(target, value)
            }
            Stmt::SetBlock { target, filters, body } => {
                let text = self.block_text(body)?;
                let value = self.filtered(text, filters)?;
                self.store(target, value)
            }
            Stmt::AutoEscape(node, body) => {
                let escaping = self.eval(node)?.truth();
                let outer = self.rt.escaping.replace(escaping);
                let result = self.nested(|run| run.body(body));
                self.rt.escaping.set(outer);
                result
            }
            Stmt::FilterBlock(filters, body) => {
                let text = self.block_text(body)?;
                // As it is: text between the two was escaped before.
                match self.filtered(text, filters)? {
                    Val::Str(text) => self.put(text.as_str()),
                    other => fail(format!("a filter block must give text, not {}", other.type_name())),
                }
            }
            Stmt::Block(body) => self.nested(|run| run.body(body)),
            Stmt::Macro(slot, def) => {
                let captured = self.visible_locals();
                self.assign(*slot, Val::Macro(Arc::new(Macro::new(*slot, Arc::clone(def), captured))));
                Ok(())
            }
            Stmt::CallBlock { call, caller } => {
                let captured = self.visible_locals();
                let slot = self.program.special.caller;
                let caller = Val::Macro(Arc::new(Macro::new(slot, Arc::clone(caller), captured)));
                let value = self.call_with_caller(call, caller)?;
                self.emit(&value)
            }
        }
    }

    fn if_else(&mut self, branches: &[(Node, Vec<Stmt>)], otherwise: &[Stmt]) -> Outcome<()> {
        for (test, body) in branches {
            if self.eval(test)?.truth() {
                return crate::runtime::on_large_stack(|| self.body(body));
            }
        }
        crate::runtime::on_large_stack(|| self.body(otherwise))
    }

    fn nested<T>(&mut self, body: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        crate::runtime::on_large_stack(|| self.scoped(body))
    }

    fn block_text(&mut self, body: &[Stmt]) -> Outcome<Val> {
        let text = self.captured_text(|run| run.nested(|run| run.body(body)))?;
        Ok(self.text_value(text))
    }

    fn filtered(&mut self, mut value: Val, filters: &[FilterCall]) -> Outcome {
        for filter in filters {
            value = self.filter(&value, filter)?;
        }
        Ok(value)
    }

    fn call_with_caller(&mut self, call: &Node, caller: Val) -> Outcome {
        let result = match &call.expr {
            Expr::Call(callee, args) => {
                let callee = self.eval(callee)?;
                let mut args = self.args(args)?;
                match callee {
                    Val::Macro(makro) => self.call_macro(&makro, Call { args, caller: Some(caller) }),
                    other => {
                        args.kw.push(("caller".into(), caller));
                        self.call(&other, args)
                    }
                }
            }
            _ => fail("call needs a macro to call"),
        };
        result.map_err(|fault| fault.or_at(call.at))
    }

    /// Stores a value in a name, an attribute of a namespace, or several.
    pub(super) fn store(&mut self, target: &Target, value: Val) -> Outcome<()> {
        match target {
            Target::Name(slot) => {
                self.assign(*slot, value);
                Ok(())
            }
            Target::Attr(slot, name, at) => {
                let owner = self.lookup(*slot)?;
                match &owner {
                    Val::Object(object) => {
                        self.rt.knot(&owner, &value);
                        object.set(self.rt, name, value)
                    }
                    other => fail(format!(
                        "only a namespace's attributes can be set, not those of {}",
                        with_article(other.type_name())
                    )),
                }
                .map_err(|fault| fault.or_at(*at))
            }
            Target::Unpack(targets, at) => {
                let items = self.rt.items(&value).map_err(|fault| fault.or_at(*at))?;
                if items.len() != targets.len() {
                    let shown: String = show::repr(self.rt, &value)?.chars().take(60).collect();
                    return fail(format!(
                        "{} names cannot take the {} items of {shown}",
                        targets.len(),
                        items.len()
                    ))
                    .map_err(|fault| fault.or_at(*at));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.store(target, item)?;
                }
                Ok(())
            }
        }
    }

    fn for_loop(&mut self, stmt: &Arc<For>) -> Outcome<()> {
        let list = self.eval(&stmt.iter)?;
        crate::runtime::on_large_stack(|| self.run_loop(stmt, &list, 0))
    }

    /// `loop(items)` within a recursive loop: gives the text.
    pub(super) fn recurse(&mut self, recursion: (Arc<For>, usize), args: Args) -> Outcome {
        let (stmt, depth) = recursion;
        let [list] = args.bind("loop", ["iterable"], 1)?;
        let list = list.unwrap_or(Val::None);
        let rt = self.rt;
        let text = rt.deeper(|| self.captured_text(|run| run.run_loop(&stmt, &list, depth + 1)))?;
        Ok(self.text_value(text))
    }

    fn run_loop(&mut self, stmt: &Arc<For>, list: &Val, depth: usize) -> Outcome<()> {
        let mut items = self.rt.items(list).map_err(|fault| fault.or_at(stmt.iter.at))?;
        if let Some(filter) = &stmt.filter {
            let mut kept = Vec::new();
            for item in items {
                let keep = self.scoped(|run| {
                    run.store(&stmt.target, item.clone())?;
                    Ok(run.eval(filter)?.truth())
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(|run| run.body(&stmt.otherwise));
        }
        // The loop's own copy is there until it ends, however deep it nests.
        let count = items.len();
        self.rt.alloc_items(count)?;
        let recursion = stmt.recursive.then(|| Arc::clone(stmt));
        let items = Arc::new(items);
        let state = Arc::new(Object::Loop(LoopState::new(Arc::clone(&items), depth, recursion)));
        for (index, item) in items.iter().enumerate() {
            self.rt.step(1)?;
            if let Object::Loop(state) = &*state {
                state.go_to(index);
            }
            self.scoped(|run| {
                run.store(&stmt.target, item.clone())?;
                run.assign(run.program.special.loop_, Val::Object(Arc::clone(&state)));
                run.body(&stmt.body)
            })?;
        }
        // A loop that was kept keeps its items.
        if Arc::strong_count(&state) == 1 {
            self.rt.release_items(count);
        }
        Ok(())
    }
}
