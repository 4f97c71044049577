//! Errors of templates, in words for the author of a job.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The kinds of trouble a template can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not a template: an unclosed tag, an unknown filter, …
    Syntax,
    /// A variable, attribute or item that does not exist was used for more
    /// than printing it.
    Undefined,
    /// An operation failed: wrong types, a value out of range, a division by
    /// zero, a date that cannot be parsed.
    Runtime,
    /// One of the [`Limits`](crate::Limits) was reached.
    Limit,
}

/// Why a template was refused or failed, and where.
///
/// [`Display`](fmt::Display) is one lower-case fragment with the place;
/// [`report`](Self::report) adds the line of the template with a caret.
#[derive(Clone)]
pub struct TemplateError(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    path: String,
    place: Option<Place>,
}

#[derive(Clone)]
struct Place {
    source: Arc<str>,
    range: Range<usize>,
    line: usize,
    column: usize,
}

impl TemplateError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: message.into(),
            hint: None,
            path: String::new(),
            place: None,
        }))
    }

    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    /// Notes the place, a byte range of `source`.
    pub(crate) fn at(mut self, source: &Arc<str>, range: Range<usize>) -> Self {
        let start = floor_char(source, range.start);
        let end = floor_char(source, range.end.max(start));
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        self.0.place = Some(Place {
            source: Arc::clone(source),
            range: start..end,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        });
        self
    }

    /// Puts `prefix` before the JSON path.
    pub(crate) fn under(mut self, prefix: &str) -> Self {
        self.0.path.insert_str(0, prefix);
        self
    }

    /// The kind of trouble.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message: a lower-case fragment without place or hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The nearest name that does exist, when the trouble is an unknown name.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The line of the template, from 1, if the trouble has a place.
    pub fn line(&self) -> Option<usize> {
        self.0.place.as_ref().map(|place| place.line)
    }

    /// The column in that line, in characters from 1.
    pub fn column(&self) -> Option<usize> {
        self.0.place.as_ref().map(|place| place.column)
    }

    /// Where in the rendered structure the template stands, like `.args[2]`;
    /// empty when a single template was rendered.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The template's line and, below it, carets under the part that failed.
    pub fn snippet(&self) -> Option<String> {
        let place = self.0.place.as_ref()?;
        let line_start = place.source[..place.range.start].rfind('\n').map_or(0, |at| at + 1);
        let line = place.source[line_start..].lines().next().unwrap_or("");
        let marked = place.range.end.min(line_start + line.len());
        let width = place.source.get(place.range.start..marked).map_or(0, |part| part.chars().count()).max(1);
        let number = place.line.to_string();
        let (line, column) = excerpt(line, place.column - 1);
        Some(format!(
            "{number} | {line}\n{:gutter$} | {:column$}{}",
            "",
            "",
            "^".repeat(width.min(EXCERPT_CHARS - column.min(EXCERPT_CHARS - 1))),
            gutter = number.len(),
        ))
    }

    /// The one-line message followed by the [`snippet`](Self::snippet).
    pub fn report(&self) -> String {
        match self.snippet() {
            Some(snippet) => format!("{self}\n{snippet}"),
            None => self.to_string(),
        }
    }
}

/// How much of a long line a snippet shows.
const EXCERPT_CHARS: usize = 100;

/// Cuts a long line around `column` and says where the column then stands.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let from = column.saturating_sub(EXCERPT_CHARS / 2);
    let shown: String = line
        .chars()
        .skip(from)
        .take(EXCERPT_CHARS)
        // A tab would move the caret away from its character.
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    (shown, column - from)
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " (did you mean \"{hint}\"?)")?;
        }
        if let Some(place) = &self.0.place {
            write!(f, " at line {}, column {}", place.line, place.column)?;
        }
        if !self.0.path.is_empty() {
            write!(f, " in {}", self.0.path)?;
        }
        Ok(())
    }
}

impl fmt::Debug for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TemplateError({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for TemplateError {}
