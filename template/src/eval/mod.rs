//! Running a compiled template.

pub(crate) mod copies;
mod expr;
pub(crate) mod macros;
pub(crate) mod objects;
mod stmt;

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::TemplateError;
use crate::fault::{Outcome, over};
use crate::runtime::Runtime;
use crate::syntax::program::{Program, Slot};
use crate::value::marks::has_bare_quote;
use crate::value::{Missing, Text, Val, show};
use copies::Copies;

/// Renders a program to text.
pub(crate) fn render(rt: &Runtime<'_>, program: &Program) -> Result<String, TemplateError> {
    let mut run = Run::new(rt, program);
    match run.body(&program.body).and_then(|()| run.finish()) {
        Ok(()) => Ok(run.out),
        Err(fault) => {
            let readable = |text: String| rt.readable(&text).into_owned();
            let error =
                TemplateError::new(fault.kind, readable(fault.message)).with_hint(fault.hint.map(readable));
            Err(match fault.at {
                Some(at) => error.at(&program.source, at.original(&program.inserted)),
                None => error,
            })
        }
    }
}

/// The value of a program that is one expression.
#[cfg(test)]
pub(crate) fn only_value(rt: &Runtime<'_>, program: &Program) -> Outcome {
    let mut run = Run::new(rt, program);
    match &program.body[..] {
        [crate::syntax::program::Stmt::Emit(node)] => run.eval(node),
        _ => crate::fault::fail("not one expression"),
    }
}

/// One run of a program.
///
/// Variables live in three places, looked through in this order: `locals`
/// from `base` on (loops, `with`, the parameters of the running macro), the
/// variables the running macro captured where it was defined, and `root`,
/// the template's own. After them come the context and the built-in names.
pub(crate) struct Run<'r, 'c> {
    pub(super) rt: &'r Runtime<'c>,
    pub(super) program: &'r Program,
    pub(super) out: String,
    root: Vec<(Slot, Val)>,
    locals: Vec<(Slot, Val)>,
    /// Where the running macro's locals begin.
    base: usize,
    /// Where the innermost scope begins; `None` at the template's top level.
    scope: Option<usize>,
    captured: Arc<Vec<(Slot, Val)>>,
    copies: Option<Copies>,
    /// Variables that were given unusual marks.
    marked: Vec<(Arc<str>, Val)>,
    /// How many captures what is written goes to.
    capturing: usize,
}

impl<'r, 'c> Run<'r, 'c> {
    fn new(rt: &'r Runtime<'c>, program: &'r Program) -> Self {
        Self {
            rt,
            program,
            out: String::new(),
            root: Vec::new(),
            locals: Vec::new(),
            base: 0,
            scope: None,
            captured: Arc::default(),
            copies: program.mutates.then(Copies::default),
            marked: Vec::new(),
            capturing: 0,
        }
    }

    /// The value of a name.
    pub(super) fn lookup(&mut self, slot: Slot) -> Outcome {
        let local = self.locals[self.base..]
            .iter()
            .rev()
            .chain(self.captured.iter().rev())
            .chain(&self.root)
            .find(|(known, _)| *known == slot);
        if let Some((_, value)) = local {
            return Ok(value.clone());
        }
        let name = &self.program.names[slot.0 as usize];
        if let Some(value) = self.variable(name) {
            return match &mut self.copies {
                Some(copies) => copies.of(self.rt, &value),
                None => Ok(value),
            };
        }
        Ok(crate::globals::find(name).unwrap_or_else(|| Val::missing(Missing::Name(Arc::clone(name)))))
    }

    /// A variable of the context; in a structure with marks in its texts.
    fn variable(&mut self, name: &Arc<str>) -> Option<Val> {
        let Some(marks) = self.rt.marks else { return self.rt.ctx.get(name).cloned() };
        if let Some((_, kept)) = self.marked.iter().find(|(known, _)| known == name) {
            return Some(kept.clone());
        }
        Some(match self.rt.ctx.get_marked(name, marks)? {
            Cow::Borrowed(value) => value.clone(),
            Cow::Owned(value) => {
                self.marked.push((Arc::clone(name), value.clone()));
                value
            }
        })
    }

    /// Reads what a structure's string came to as lava reads it: as JSON.
    fn finish(&mut self) -> Outcome<()> {
        if let Some(marks) = self.rt.marks {
            self.rt.look_at(&self.out)?;
            if marks.is_json(&self.out) {
                self.rt.rewrite(&self.out)?;
                self.out = marks.read_json(&self.out)?;
            }
        }
        Ok(())
    }

    /// Sets a name in the innermost scope.
    pub(super) fn assign(&mut self, slot: Slot, value: Val) {
        let (from, list) = match self.scope {
            Some(from) => (from, &mut self.locals),
            None => (0, &mut self.root),
        };
        match list[from..].iter_mut().find(|(known, _)| *known == slot) {
            Some((_, old)) => *old = value,
            None => list.push((slot, value)),
        }
    }

    /// Runs `body` in a scope of its own.
    pub(super) fn scoped<T>(&mut self, body: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let outer = self.scope.replace(self.locals.len());
        let result = body(self);
        let from = std::mem::replace(&mut self.scope, outer).unwrap_or(0);
        self.locals.truncate(from);
        result
    }

    /// Runs `body` and gives what it wrote.
    pub(super) fn captured_text(&mut self, body: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<String> {
        let outer = std::mem::take(&mut self.out);
        self.capturing += 1;
        let result = body(self);
        self.capturing -= 1;
        let text = std::mem::replace(&mut self.out, outer);
        result.map(|()| text)
    }

    /// Captured text as a value: markup where autoescape made it safe.
    pub(super) fn text_value(&self, text: String) -> Val {
        Val::Str(if self.rt.escaping.get() { Text::markup(text) } else { Text::plain(text) })
    }

    /// Writes what an expression gave. In a structure, text with quotes that
    /// would end the JSON string, as JSON itself has, is taken as it is: in
    /// lava it breaks the structure.
    pub(super) fn put(&mut self, text: &str) -> Outcome<()> {
        match self.rt.marks {
            Some(marks) if self.capturing == 0 && has_bare_quote(text) => {
                self.rt.rewrite(text)?;
                self.rt.room(text.len())?;
                self.write(&marks.protect(text))
            }
            _ => self.write(text),
        }
    }

    /// Writes text to the output.
    pub(super) fn write(&mut self, text: &str) -> Outcome<()> {
        self.rt.alloc(text.len())?;
        if self.out.len() + text.len() > self.rt.limits.output_bytes {
            return over("the rendered text is too long", "output_bytes");
        }
        self.out.push_str(text);
        Ok(())
    }

    /// Writes a value to the output.
    pub(super) fn emit(&mut self, value: &Val) -> Outcome<()> {
        match value {
            Val::Undefined(_) => Ok(()),
            Val::Str(text) if text.is_markup() || !self.rt.escaping.get() => self.put(text.as_str()),
            other => {
                let text = show::text(self.rt, other)?;
                if self.rt.escaping.get() {
                    let safe = crate::value::text::escape(self.rt, text.as_str())?;
                    self.put(&safe)
                } else {
                    self.put(text.as_str())
                }
            }
        }
    }
}
