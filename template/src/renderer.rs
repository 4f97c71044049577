//! The door to this crate: templates in, text out.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::cache::Cache;
use crate::error::{ErrorKind, TemplateError};
use crate::runtime::Runtime;
use crate::syntax::program::Program;
use crate::utils::re::RegexCache;
use crate::value::marks::Marks;
use crate::{Budget, Context, Limits, eval, split_command_line, structure, syntax};

/// Renders templates, and keeps compiled ones for the next time. Cheap to
/// clone: clones share the compiled templates.
#[derive(Clone)]
pub struct Renderer(Arc<Shared>);

struct Shared {
    limits: Limits,
    programs: Cache<Box<str>, Program>,
    /// Strings of structures, which are read otherwise.
    structured: Cache<Box<str>, Program>,
    regexes: RegexCache,
}

impl Renderer {
    /// A renderer that holds every template to `limits`.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            programs: Cache::new(limits.cached_templates, limits.cached_bytes),
            structured: Cache::new(limits.cached_templates, limits.cached_bytes),
            regexes: RegexCache::new(&limits),
            limits,
        }))
    }

    /// Reads and compiles a template without rendering it.
    pub fn check(&self, source: &str) -> Result<(), TemplateError> {
        if self.is_plain(source) {
            return Ok(());
        }
        self.program(source, false).map(|_| ())
    }

    /// The variables that a template reads from its context; Jinja2's own functions and `utils` are not
    /// among them.
    pub fn variables(&self, source: &str) -> Result<Vec<syntax::free::Variable>, TemplateError> {
        if self.is_plain(source) {
            return Ok(Vec::new());
        }
        Ok(syntax::free::variables(&*self.program(source, false)?))
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
        // Text without a tag is its own rendering, except for a last newline.
        let changes = source.contains('{') || source.contains(['\r', '\n']);
        self.rendered(source, changes, None, ctx, budget)
    }

    fn rendered(
        &self,
        source: &str,
        changes: bool,
        set: Option<&mut HashSet<Arc<str>>>,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<String, TemplateError> {
        if !changes && source.len() <= self.0.limits.source_bytes {
            return Ok(source.to_owned());
        }
        let _running = budget.run();
        charge_reading(source, budget)?;
        let mut program = self.program(source, set.is_some())?;
        let marks = match set {
            Some(set) => {
                look_up_alone(&program, set)?;
                Some(marks_for(&program, ctx)?)
            }
            None => None,
        };
        if program.marks != marks {
            program = Arc::new(syntax::compile(source, marks, &self.0.limits)?);
        }
        let rt = Runtime::new(&self.0.limits, ctx, &self.0.regexes, budget, &program, marks);
        eval::render(&rt, &program)
    }

    /// Renders each string leaf and each map key of a structure by itself;
    /// other leaves stay as they are, and so does the order of keys. A lone
    /// string is rendered as [`render`](Self::render) does.
    ///
    /// lava renders the JSON text of a structure and reads the result as JSON. Templates written
    /// for that mean the same here: in a string in single quotes a backslash is a plain character,
    /// and the escapes of `v|tojson|trim('"')` are read. A value of the context stays what it is,
    /// and can never break the structure. A name that one string sets and a later one looks up is
    /// an error, as in [`check_json`](Self::check_json).
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
        match value {
            Json::String(source) => self.render_within(source, ctx, budget).map(Json::String),
            structure => self.render_structure_within(structure, ctx, budget),
        }
    }

    /// As [`render_json`](Self::render_json) for a value that lava renders as a structure even if
    /// it is a lone string, as the `value` of the action `state`.
    pub fn render_structure_within(
        &self,
        value: &Json,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<Json, TemplateError> {
        let mut set = HashSet::new();
        structure::map_strings(value, self.0.limits.structure_depth, &mut |source| {
            self.rendered(source, source.contains('{'), Some(&mut set), ctx, budget)
        })
    }

    /// Renders an `enabled` template. It holds only if the text, without
    /// surrounding white space, is `true` in any case. Also gives the text.
    pub fn render_condition(&self, source: &str, ctx: &Context) -> Result<(bool, String), TemplateError> {
        self.render_condition_within(source, ctx, &self.budget())
    }

    /// As [`render_condition`](Self::render_condition), at the expense of
    /// `budget`.
    pub fn render_condition_within(
        &self,
        source: &str,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<(bool, String), TemplateError> {
        let text = self.render_within(source, ctx, budget)?;
        Ok((text.trim().eq_ignore_ascii_case("true"), text))
    }

    /// Splits a command line by the rules of a POSIX shell, as Python's
    /// `shlex.split` does, and then renders each argument by itself, so that
    /// no value can add an argument. An error carries the argument's index.
    /// All arguments together get one budget.
    pub fn render_args(&self, command_line: &str, ctx: &Context) -> Result<Vec<String>, TemplateError> {
        self.render_args_within(command_line, ctx, &self.budget())
    }

    /// As [`render_args`](Self::render_args), at the expense of `budget`.
    pub fn render_args_within(
        &self,
        command_line: &str,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<Vec<String>, TemplateError> {
        let words = split_command_line(command_line)?;
        self.render_words(&words, 0, ctx, budget)
    }

    /// As [`render_args`](Self::render_args), but the first word, the
    /// program of an `exe` or `pkg` job, is left as it is.
    pub fn render_command(&self, command_line: &str, ctx: &Context) -> Result<Vec<String>, TemplateError> {
        let words = split_command_line(command_line)?;
        self.render_words(&words, 1, ctx, &self.budget())
    }

    /// Renders all words but the first `plain` ones.
    fn render_words(
        &self,
        words: &[String],
        plain: usize,
        ctx: &Context,
        budget: &Budget,
    ) -> Result<Vec<String>, TemplateError> {
        words
            .iter()
            .enumerate()
            .map(|(index, word)| {
                if index < plain {
                    return Ok(word.clone());
                }
                self.render_within(word, ctx, budget).map_err(|error| error.under(&format!("[{index}]")))
            })
            .collect()
    }

    /// [`check`](Self::check) for each string leaf and map key of a
    /// structure.
    ///
    /// Also refuses a name that one string sets and a later one looks up: in
    /// lava the strings of a structure are one template, and here each is one
    /// by itself, so that the later one would find nothing or something else.
    pub fn check_json(&self, value: &Json) -> Result<(), TemplateError> {
        if let Json::String(source) = value {
            return self.check(source);
        }
        let mut set = HashSet::new();
        structure::each_string(value, self.0.limits.structure_depth, &mut |source| {
            if self.is_plain(source) {
                return Ok(());
            }
            let program = self.program(source, true)?;
            look_up_alone(&program, &mut set)
        })
    }

    /// Whether a text has no tag, and is not too long for a template.
    fn is_plain(&self, source: &str) -> bool {
        !source.contains('{') && source.len() <= self.0.limits.source_bytes
    }

    fn program(&self, source: &str, structured: bool) -> Result<Arc<Program>, TemplateError> {
        let programs = if structured { &self.0.structured } else { &self.0.programs };
        if let Some(program) = programs.get(source) {
            return Ok(program);
        }
        let marks = structured.then_some(Marks::USUAL);
        let program = Arc::new(syntax::compile(source, marks, &self.0.limits)?);
        programs.put(source.into(), source.len(), Arc::clone(&program));
        Ok(program)
    }
}

/// Refuses a program of a structure that looks up what one before it `set`,
/// and notes what it sets itself.
fn look_up_alone(program: &Program, set: &mut HashSet<Arc<str>>) -> Result<(), TemplateError> {
    if let Some(name) = program.looks_up(set) {
        return Err(TemplateError::new(
            ErrorKind::Undefined,
            format!(
                "\"{name}\" is set in another string of the structure: each string is a template of its own, so set it here too"
            ),
        ));
    }
    set.extend(program.leaves_set());
    Ok(())
}

/// Marks that neither the template nor a variable it names has in its texts.
fn marks_for(program: &Program, ctx: &Context) -> Result<Marks, TemplateError> {
    let taken = program.names.iter().fold(program.controls, |taken, name| taken.and(ctx.controls(name)));
    Marks::other_than(taken).ok_or_else(|| {
        let message = "the texts of this structure have too many different control characters";
        TemplateError::new(ErrorKind::Runtime, message.to_owned())
    })
}

/// Bytes of template text to a step: the price of reading and compiling it.
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
    let program = syntax::compile(&source, None, &limits)
        .map_err(|error| crate::fault::Fault::new(error.kind(), error.message()))?;
    let rt = Runtime::new(&limits, ctx, &regexes, &budget, &program, None);
    eval::only_value(&rt, &program)
}
