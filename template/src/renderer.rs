//! The door to this crate: templates in, text out.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::cache::Cache;
use crate::error::TemplateError;
use crate::runtime::Runtime;
use crate::syntax::program::Program;
use crate::utils::re::RegexCache;
use crate::{Budget, Context, Limits, command_line, eval, structure, syntax};

/// Renders templates, and keeps compiled ones for the next time. Cheap to
/// clone: clones share the compiled templates.
#[derive(Clone)]
pub struct Renderer(Arc<Shared>);

struct Shared {
    limits: Limits,
    programs: Cache<Box<str>, Program>,
    regexes: RegexCache,
}

impl Renderer {
    /// A renderer that holds every template to `limits`.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            programs: Cache::new(limits.cached_templates, limits.cached_bytes),
            regexes: RegexCache::new(&limits),
            limits,
        }))
    }

    /// Reads and compiles a template without rendering it.
    pub fn check(&self, source: &str) -> Result<(), TemplateError> {
        self.program(source).map(|_| ())
    }

    /// Renders one template to text.
    ///
    /// As in lava, a template that is one expression still gives text:
    /// `{{ 1 + 1 }}` is `2`, the string.
    pub fn render(&self, source: &str, ctx: &Context) -> Result<String, TemplateError> {
        self.render_within(source, ctx, &self.budget())
    }

    /// A budget of all that this renderer's limits allow.
    pub fn budget(&self) -> Budget {
        Budget::new(&self.0.limits)
    }

    /// As [`render`](Self::render), at the expense of `budget`.
    pub fn render_within(
        &self,
        source: &str,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<String, TemplateError> {
        // Text without a tag is its own rendering, a last newline aside.
        if !source.contains('{')
            && !source.contains(['\r', '\n'])
            && source.len() <= self.0.limits.source_bytes
        {
            return Ok(source.to_owned());
        }
        charge_reading(source, budget)?;
        let program = self.program(source)?;
        let rt = Runtime::new(&self.0.limits, ctx, &self.0.regexes, budget, &program.assigned);
        eval::render(&rt, &program)
    }

    /// Renders each string leaf and each map key of a structure by itself;
    /// other leaves stay as they are, and so does the order of keys.
    ///
    /// An error carries the JSON path of the template. Two keys that render
    /// alike are an error. All strings together get one budget.
    pub fn render_json(&self, value: &Json, ctx: &Context) -> Result<Json, TemplateError> {
        self.render_json_within(value, ctx, &self.budget())
    }

    /// As [`render_json`](Self::render_json), at the expense of `budget`.
    pub fn render_json_within(
        &self,
        value: &Json,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<Json, TemplateError> {
        structure::map_strings(value, self.0.limits.structure_depth, &mut |source| {
            self.render_within(source, ctx, budget)
        })
    }

    /// Renders an `enabled` template. It holds only if the text, without
    /// surrounding white space, is `true` in any case. Also gives the text.
    pub fn render_condition(&self, source: &str, ctx: &Context) -> Result<(bool, String), TemplateError> {
        let text = self.render(source, ctx)?;
        Ok((text.trim().eq_ignore_ascii_case("true"), text))
    }

    /// Splits a command line by the rules of a POSIX shell, as Python's
    /// `shlex.split` does, and then renders each argument by itself, so that
    /// no value can add an argument. An error carries the argument's index.
    /// All arguments together get one budget.
    pub fn render_args(&self, command_line: &str, ctx: &Context) -> Result<Vec<String>, TemplateError> {
        let words = command_line::split(command_line)?;
        self.render_words(&words, 0, ctx)
    }

    /// As [`render_args`](Self::render_args), but the first word, the
    /// program of an `exe` or `pkg` job, is left as it is.
    pub fn render_command(&self, command_line: &str, ctx: &Context) -> Result<Vec<String>, TemplateError> {
        let words = command_line::split(command_line)?;
        self.render_words(&words, 1, ctx)
    }

    /// Renders all words but the first `plain` ones.
    fn render_words(
        &self,
        words: &[String],
        plain: usize,
        ctx: &Context,
    ) -> Result<Vec<String>, TemplateError> {
        let budget = self.budget();
        words
            .iter()
            .enumerate()
            .map(|(index, word)| {
                if index < plain {
                    return Ok(word.clone());
                }
                self.render_within(word, ctx, &budget).map_err(|error| error.under(&format!("[{index}]")))
            })
            .collect()
    }

    /// [`check`](Self::check) for each string leaf and map key of a
    /// structure.
    pub fn check_json(&self, value: &Json) -> Result<(), TemplateError> {
        structure::each_string(value, self.0.limits.structure_depth, &mut |source| self.check(source))
    }

    fn program(&self, source: &str) -> Result<Arc<Program>, TemplateError> {
        let programs = &self.0.programs;
        if let Some(program) = programs.get(source) {
            return Ok(program);
        }
        let program = Arc::new(syntax::compile(source, &self.0.limits)?);
        programs.put(source.into(), source.len(), Arc::clone(&program));
        Ok(program)
    }
}

/// Bytes of template text to a step: what reading and compiling it takes.
const BYTES_A_STEP: u64 = 4;

/// Charges for reading a template, and looks at the clock.
fn charge_reading(source: &str, budget: &Budget) -> Result<(), TemplateError> {
    let charged = budget.step(1 + source.len() as u64 / BYTES_A_STEP).and_then(|()| budget.look());
    charged.map_err(|fault| TemplateError::new(fault.kind, fault.message))
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// The value of an expression, for tests that need one.
#[cfg(test)]
pub(crate) fn value_of(expression: &str, ctx: &Context) -> crate::fault::Outcome {
    let limits = Limits::default();
    let (regexes, budget) = (RegexCache::new(&limits), Budget::new(&limits));
    let source = format!("{{{{ {expression} }}}}");
    let program = syntax::compile(&source, &limits)
        .map_err(|error| crate::fault::Fault::new(error.kind(), error.message()))?;
    let rt = Runtime::new(&limits, ctx, &regexes, &budget, &program.assigned);
    eval::only_value(&rt, &program)
}
