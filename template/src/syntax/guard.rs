//! Looks at the tokens before they are parsed: a flat expression of
//! thousands of terms becomes a tree that deep.

use std::sync::Arc;

use minijinja::machinery::{Span, Token, Tokenizer};
use minijinja::syntax::SyntaxConfig;

use crate::error::{ErrorKind, TemplateError};
use crate::limits::Limits;

/// Text that is fit to be parsed.
pub(super) struct Guarded {
    /// The text as minijinja can read it, if that is another: a unary `+` is
    /// written as `-`, since the two bind alike, and a bare tuple in `{{ }}`
    /// or after `in` gets its parentheses.
    pub(super) text: Option<String>,
    /// How deep the syntax tree may be, by its tokens.
    pub(super) nesting: usize,
    /// Where in the new text those signs stand.
    pub(super) pluses: Vec<u32>,
    /// Where in the new text the parentheses stand.
    pub(super) inserted: Vec<u32>,
}

/// A change to the text.
#[derive(Clone, Copy)]
enum Edit {
    Minus,
    Insert(char),
}

/// Counts the tokens of each tag and finds the unary plus signs.
pub(super) fn check(source: &Arc<str>, limits: &Limits) -> Result<Guarded, TemplateError> {
    check_lines(source, limits)?;
    let mut tokens = Tokenizer::new(source, "template", false, SyntaxConfig::default());
    let mut count = Count::default();
    // An error of the tokenizer is the parser's to report.
    while let Ok(Some((token, span))) = tokens.next_token() {
        count.add(&token, span);
        if let Some(message) = count.excess(limits) {
            return Err(too_many(source, span, &message));
        }
    }
    let mut guarded =
        Guarded { text: None, nesting: count.nesting, pluses: Vec::new(), inserted: Vec::new() };
    if !count.edits.is_empty() {
        rewrite(source, count.edits, &mut guarded);
    }
    Ok(guarded)
}

/// Counts of a template's parts so far.
#[derive(Default)]
struct Count {
    parts: usize,
    elifs: usize,
    /// Operators of the tag at hand.
    operators: usize,
    /// Tags that are open, roughly: a few too many do no harm.
    open: usize,
    nesting: usize,
    tag_begins: bool,
    operand_before: bool,
    edits: Vec<(u32, Edit)>,
    tuple: Tuple,
}

/// Looks for a tuple without parentheses in the tag at hand.
#[derive(Default)]
struct Tuple {
    /// The tag is `for`, and `in` is still to come.
    before_in: bool,
    /// The tuple may begin with the next token.
    awaited: bool,
    from: Option<u32>,
    in_for: bool,
    comma: bool,
    depth: usize,
    last_end: u32,
}

impl Count {
    fn add(&mut self, token: &Token<'_>, span: Span) {
        self.look_for_tuple(token, span);
        if let (Token::Ident(name), true) = (token, self.tag_begins) {
            match *name {
                "elif" => self.elifs += 1,
                "else" => {}
                name if name.starts_with("end") => self.open = self.open.saturating_sub(1),
                _ => self.open += 1,
            }
        }
        self.tag_begins = matches!(token, Token::BlockStart);
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => {
                self.parts += 1;
                self.operators = 0;
            }
            Token::VariableEnd | Token::BlockEnd => {}
            Token::Ident(name) => self.operators += usize::from(is_operator(name)),
            Token::Str(_) | Token::String(_) | Token::Float(_) => {}
            Token::Int(_) | Token::Int128(_) => {}
            _ => self.operators += 1,
        }
        if matches!(token, Token::Plus) && !self.operand_before {
            self.edits.push((span.start_offset, Edit::Minus));
        }
        self.operand_before = ends_operand(token);
        self.nesting = self.nesting.max(self.operators).max(self.open + self.elifs);
    }

    fn look_for_tuple(&mut self, token: &Token<'_>, span: Span) {
        let tuple = &mut self.tuple;
        let ends = match token {
            Token::VariableEnd | Token::BlockEnd => true,
            Token::Ident("if" | "recursive") => tuple.in_for && tuple.depth == 0,
            _ => false,
        };
        if ends {
            if let (Some(from), true) = (tuple.from, tuple.comma) {
                self.edits.push((from, Edit::Insert('(')));
                self.edits.push((tuple.last_end, Edit::Insert(')')));
            }
            *tuple = Tuple::default();
            return;
        }
        if tuple.awaited {
            tuple.awaited = false;
            tuple.from = Some(span.start_offset);
        }
        match token {
            Token::VariableStart => tuple.awaited = true,
            Token::Ident("for") if self.tag_begins => tuple.before_in = true,
            Token::Ident("in") if tuple.before_in && tuple.depth == 0 => {
                tuple.before_in = false;
                tuple.in_for = true;
                tuple.awaited = true;
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => tuple.depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                tuple.depth = tuple.depth.saturating_sub(1);
            }
            Token::Comma if tuple.depth == 0 => tuple.comma = tuple.from.is_some(),
            _ => {}
        }
        tuple.last_end = span.end_offset;
    }

    fn excess(&self, limits: &Limits) -> Option<String> {
        if self.operators > limits.tag_operators {
            return Some(format!(
                "the tag has more than {} operators: build the value in steps with set (limit tag_operators)",
                limits.tag_operators
            ));
        }
        if self.elifs > limits.elifs {
            return Some(format!(
                "the template has more than {} elif tags: look the value up in a dict (limit elifs)",
                limits.elifs
            ));
        }
        (self.parts > limits.template_parts).then(|| {
            format!(
                "the template has more than {} tags and pieces of text (limit template_parts)",
                limits.template_parts
            )
        })
    }
}

/// Applies the changes to the text.
fn rewrite(source: &str, mut edits: Vec<(u32, Edit)>, guarded: &mut Guarded) {
    // A parenthesis comes before a sign at the same place.
    edits.sort_by_key(|(at, edit)| (*at, matches!(edit, Edit::Minus)));
    let mut text = String::with_capacity(source.len() + edits.len());
    let mut from = 0;
    for (at, edit) in edits {
        let at = at as usize;
        text.push_str(&source[from..at]);
        from = at;
        let place = text.len() as u32;
        match edit {
            Edit::Minus => {
                text.push('-');
                guarded.pluses.push(place);
                from += 1;
            }
            Edit::Insert(bracket) => {
                text.push(bracket);
                guarded.inserted.push(place);
            }
        }
    }
    text.push_str(&source[from..]);
    guarded.text = Some(text);
}

fn check_lines(source: &str, limits: &Limits) -> Result<(), TemplateError> {
    let tagged = ["{{", "{%", "{#"].iter().any(|open| source.contains(open));
    let longest = source.split('\n').map(str::len).max().unwrap_or(0);
    if tagged && longest > limits.line_chars {
        return Err(TemplateError::new(
            ErrorKind::Limit,
            format!(
                "a line of the template has more than {} characters (limit line_chars)",
                limits.line_chars
            ),
        ));
    }
    Ok(())
}

fn is_operator(name: &str) -> bool {
    matches!(name, "and" | "or" | "not" | "in" | "is" | "if" | "else" | "elif")
}

/// Whether a `+` after this token adds to something.
fn ends_operand(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(name) => !is_operator(name),
        Token::Str(_)
        | Token::String(_)
        | Token::Int(_)
        | Token::Int128(_)
        | Token::Float(_)
        | Token::ParenClose
        | Token::BracketClose
        | Token::BraceClose => true,
        _ => false,
    }
}

fn too_many(source: &Arc<str>, span: Span, message: &str) -> TemplateError {
    TemplateError::new(ErrorKind::Limit, message)
        .at(source, span.start_offset as usize..span.end_offset as usize)
}
