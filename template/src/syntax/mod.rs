//! From text to program.
//!
//! minijinja reads the text: its tokenizer and parser know Jinja2's grammar
//! and whitespace rules. Its evaluator is not used: operators, attributes,
//! methods, literals, undefined values and most filters have to be Python's,
//! and everything that grows has to be charged, which leaves little of it.
//! So the syntax tree is lowered into a small program of our own. All use of
//! minijinja's unstable `machinery` is in this module.

mod escapes;
pub(crate) mod free;
mod guard;
mod lower;
mod lower_stmt;
pub(crate) mod program;
pub(crate) mod structured;

use std::sync::Arc;

use minijinja::machinery;
use minijinja::syntax::SyntaxConfig;

use crate::error::{ErrorKind, TemplateError};
use crate::limits::Limits;
use crate::value::marks::Marks;
use program::Program;

/// A byte range of the template's text as it was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The range in the text the user wrote, without what was inserted.
    pub(crate) fn original(self, inserted: &[u32]) -> std::ops::Range<usize> {
        let back = |at: u32| at as usize - inserted.partition_point(|place| *place < at);
        back(self.start)..back(self.end)
    }
}

impl From<machinery::Span> for Span {
    fn from(span: machinery::Span) -> Self {
        Self { start: span.start_offset, end: span.end_offset }
    }
}

/// Compiles a template; with marks if it is a string of a structure.
pub(crate) fn compile(source: &str, marks: Option<Marks>, limits: &Limits) -> Result<Program, TemplateError> {
    if source.len() > limits.source_bytes {
        return Err(TemplateError::new(
            ErrorKind::Limit,
            format!(
                "the template has {} bytes, more than {} (limit source_bytes)",
                source.len(),
                limits.source_bytes
            ),
        ));
    }
    let encoded = marks.map(|_| structured::encode(source));
    let (source, text): (Arc<str>, Arc<str>) = match &encoded {
        Some(encoded) => (source.into(), encoded.text.as_str().into()),
        None => {
            let source: Arc<str> = normal_newlines(source).into();
            (Arc::clone(&source), source)
        }
    };
    let mut guarded = guard::check(&text, limits)?;
    if let Some(encoded) = &encoded {
        guarded.inserted = encoded.and_later(&guarded.inserted);
    }
    let text = guarded.text.as_deref().unwrap_or(&text);
    let compile = || {
        let tree = machinery::parse(text, "template", SyntaxConfig::default())
            .map_err(|error| syntax_error(&error, &source, &guarded.inserted))?;
        lower_stmt::template(&tree, &source, text, marks, &guarded).map_err(|fault| {
            let error = TemplateError::new(fault.kind, fault.message).with_hint(fault.hint);
            match fault.at {
                Some(at) => error.at(&source, at.original(&guarded.inserted)),
                None => error,
            }
        })
    };
    // minijinja's parser grows no stack of its own.
    if guarded.nesting > SHALLOW {
        stacker::grow(DEEP_STACK, compile)
    } else {
        stacker::maybe_grow(SHALLOW_STACK, DEEP_STACK, compile)
    }
}

/// Operators in a tag, or nested tags, that need no stack of their own.
const SHALLOW: usize = 16;
/// Stack that parsing a shallow template takes at most.
const SHALLOW_STACK: usize = 768 * 1024;
/// Stack that parsing any template takes at most.
const DEEP_STACK: usize = 32 * 1024 * 1024;

/// Jinja2 reads `\r\n` and `\r` as `\n`. (Both drop one newline at the end.)
fn normal_newlines(source: &str) -> String {
    if source.contains('\r') { source.replace("\r\n", "\n").replace('\r', "\n") } else { source.to_owned() }
}

fn syntax_error(error: &minijinja::Error, source: &Arc<str>, inserted: &[u32]) -> TemplateError {
    let detail = error.detail().unwrap_or("the template cannot be read");
    let kind = if detail.contains("maximum recursion") { ErrorKind::Limit } else { ErrorKind::Syntax };
    let message = match detail.strip_prefix("unknown statement ") {
        Some(tag) => format!("unknown tag \"{tag}\""),
        None => detail.to_owned(),
    };
    let plain = TemplateError::new(kind, message);
    match error.range() {
        Some(range) => {
            let span = Span { start: range.start as u32, end: range.end as u32 };
            plain.at(source, span.original(inserted))
        }
        None => plain,
    }
}
