//! Statements: minijinja's tree into ours.

use std::sync::Arc;

use minijinja::machinery::ast;

use super::Span;
use super::guard::Guarded;
use super::lower::{Lower, Uses};
use super::program::{FilterCall, For, MacroDef, Program, Special, Stmt, Target};
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::runtime::on_large_stack;
use crate::value::marks::Marks;

/// Lowers a whole template.
pub(super) fn template(
    tree: &ast::Stmt<'_>,
    source: &Arc<str>,
    text: &str,
    marks: Option<Marks>,
    guarded: &Guarded,
) -> Outcome<Program> {
    let mut lower = Lower::new(text, marks, &guarded.pluses);
    let special = Special {
        loop_: lower.slot("loop"),
        caller: lower.slot("caller"),
        varargs: lower.slot("varargs"),
        kwargs: lower.slot("kwargs"),
    };
    let body = match tree {
        ast::Stmt::Template(template) => lower.body(&template.children)?,
        other => lower.body(std::slice::from_ref(other))?,
    };
    Ok(Program {
        source: Arc::clone(source),
        inserted: guarded.inserted.clone(),
        body,
        marks,
        controls: lower.controls,
        used: lower.used,
        names: lower.names,
        assigned: lower.assigned,
        blocks: lower.blocks,
        mutates: lower.mutates,
        special,
    })
}

impl Lower<'_> {
    fn body(&mut self, stmts: &[ast::Stmt<'_>]) -> Outcome<Vec<Stmt>> {
        stmts.iter().map(|stmt| on_large_stack(|| self.stmt(stmt))).collect()
    }

    fn stmt(&mut self, stmt: &ast::Stmt<'_>) -> Outcome<Stmt> {
        Ok(match stmt {
            ast::Stmt::Template(inner) => Stmt::Block(Arc::new(self.body(&inner.children)?)),
            ast::Stmt::EmitRaw(raw) => Stmt::Text(raw.raw.into()),
            ast::Stmt::EmitExpr(emit) => Stmt::Emit(self.expr(&emit.expr)?),
            ast::Stmt::ForLoop(stmt) => Stmt::For(Arc::new(For {
                iter: self.expr(&stmt.iter)?,
                target: self.target(&stmt.target)?,
                filter: stmt.filter_expr.as_ref().map(|e| self.expr(e)).transpose()?,
                recursive: stmt.recursive,
                body: self.body(&stmt.body)?,
                otherwise: self.body(&stmt.else_body)?,
            })),
            ast::Stmt::IfCond(cond) => self.if_cond(cond)?,
            ast::Stmt::WithBlock(with) => {
                let mut assignments = Vec::with_capacity(with.assignments.len());
                for (target, value) in &with.assignments {
                    assignments.push((self.target(target)?, self.expr(value)?));
                }
                Stmt::With { assignments, body: self.body(&with.body)? }
            }
            ast::Stmt::Set(set) => Stmt::Set(self.target(&set.target)?, self.expr(&set.expr)?),
            ast::Stmt::SetBlock(set) => Stmt::SetBlock {
                target: self.target(&set.target)?,
                filters: self.filters(set.filter.as_ref())?,
                body: self.body(&set.body)?,
            },
            ast::Stmt::AutoEscape(stmt) => {
                Stmt::AutoEscape(self.expr(&stmt.enabled)?, self.body(&stmt.body)?)
            }
            ast::Stmt::FilterBlock(stmt) => {
                Stmt::FilterBlock(self.filters(Some(&stmt.filter))?, self.body(&stmt.body)?)
            }
            ast::Stmt::Block(block) => {
                let body = Arc::new(self.body(&block.body)?);
                let name = self.name(block.name);
                self.blocks.push((name, Arc::clone(&body)));
                Stmt::Block(body)
            }
            ast::Stmt::Macro(stmt) => {
                let slot = self.slot(stmt.name);
                Stmt::Macro(slot, Arc::new(self.macro_def(stmt)?))
            }
            ast::Stmt::CallBlock(stmt) => {
                let at = Span::from(stmt.call.span());
                let call = super::program::Node { at, expr: self.call(&stmt.call)? };
                Stmt::CallBlock { call, caller: Arc::new(self.macro_def(&stmt.macro_decl)?) }
            }
            ast::Stmt::Include(stmt) => return refuse("include", stmt.span()),
            ast::Stmt::Import(stmt) => return refuse("import", stmt.span()),
            ast::Stmt::FromImport(stmt) => return refuse("from", stmt.span()),
            ast::Stmt::Extends(stmt) => return refuse("extends", stmt.span()),
            ast::Stmt::Do(stmt) => {
                return Err(
                    Fault::new(ErrorKind::Syntax, "unknown tag \"do\": use set").or_at(stmt.span().into())
                );
            }
        })
    }

    /// An `elif` is an `if` that stands alone in an `else`: a chain of them
    /// is made flat.
    fn if_cond(&mut self, cond: &ast::IfCond<'_>) -> Outcome<Stmt> {
        let mut branches = Vec::new();
        let mut cond = cond;
        loop {
            branches.push((self.expr(&cond.expr)?, self.body(&cond.true_body)?));
            match &cond.false_body[..] {
                [ast::Stmt::IfCond(next)] => cond = next,
                otherwise => return Ok(Stmt::If(branches, self.body(otherwise)?)),
            }
        }
    }

    fn filters(&mut self, chain: Option<&ast::Expr<'_>>) -> Outcome<Vec<FilterCall>> {
        let mut filters = Vec::new();
        let mut next = chain;
        while let Some(ast::Expr::Filter(filter)) = next {
            let at = Span::from(filter.span());
            let call = self.filter_call(filter.name, &filter.args, at).map_err(|fault| fault.or_at(at))?;
            filters.push(call);
            next = filter.expr.as_ref();
        }
        filters.reverse();
        Ok(filters)
    }

    fn target(&mut self, target: &ast::Expr<'_>) -> Outcome<Target> {
        let at = Span::from(target.span());
        match target {
            ast::Expr::Var(var) => {
                let slot = self.slot(var.id);
                let name = self.name(var.id);
                self.assigned.push(name);
                Ok(Target::Name(slot))
            }
            ast::Expr::GetAttr(attr) => match &attr.expr {
                ast::Expr::Var(var) => {
                    let slot = self.slot(var.id);
                    Ok(Target::Attr(slot, self.name(attr.name), at))
                }
                _ => fail("only ns.name can be assigned to").map_err(|fault| fault.or_at(at)),
            },
            ast::Expr::List(list) => {
                let targets: Outcome<Vec<_>> = list.items.iter().map(|item| self.target(item)).collect();
                Ok(Target::Unpack(targets?, at))
            }
            _ => Err(Fault::new(ErrorKind::Syntax, "this cannot be assigned to: use a name").or_at(at)),
        }
    }

    fn macro_def(&mut self, def: &ast::Macro<'_>) -> Outcome<MacroDef> {
        let outer = std::mem::take(&mut self.uses);
        let first_default = def.args.len() - def.defaults.len();
        let mut params = Vec::with_capacity(def.args.len());
        for (at, arg) in def.args.iter().enumerate() {
            let ast::Expr::Var(var) = arg else {
                return fail("a macro's parameter must be a name");
            };
            let default = match at.checked_sub(first_default) {
                Some(at) => Some(self.expr(&def.defaults[at])?),
                None => None,
            };
            params.push((self.slot(var.id), self.name(var.id), default));
        }
        let body = self.body(&def.body)?;
        let declared = |name: &str| params.iter().any(|(_, param, _)| &**param == name);
        let uses = Uses {
            varargs: self.uses.varargs && !declared("varargs"),
            kwargs: self.uses.kwargs && !declared("kwargs"),
            caller: self.uses.caller,
        };
        // A call block within a macro may call the macro's own caller.
        self.uses = Uses { caller: outer.caller || (uses.caller && def.name == "caller"), ..outer };
        Ok(MacroDef {
            name: self.name(def.name),
            params,
            body,
            varargs: uses.varargs,
            kwargs: uses.kwargs,
            caller: uses.caller,
        })
    }
}

/// A job's template stands alone: there is nothing to load others from.
fn refuse<T>(tag: &str, span: minijinja::machinery::Span) -> Outcome<T> {
    Err(Fault::new(ErrorKind::Syntax, format!("\"{tag}\" is refused: a job's template stands alone"))
        .or_at(span.into()))
}
