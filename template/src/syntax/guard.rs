//! Looks at the tokens before they are parsed: a flat expression of
//! thousands of terms becomes a tree that deep.

use std::sync::Arc;

use minijinja::machinery::{Span, Token, Tokenizer};
use minijinja::syntax::SyntaxConfig;

use crate::error::{ErrorKind, TemplateError};
use crate::limits::Limits;

/// Text that is fit to be parsed.
pub(super) struct Guarded {
    /// The text with each unary `+` written as `-`, if there are any:
    /// minijinja has no unary plus, and the two bind alike.
    pub(super) text: Option<String>,
    /// How deep the syntax tree may be, by its tokens.
    pub(super) nesting: usize,
    /// Where those signs stand.
    pub(super) pluses: Vec<u32>,
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
    let text = (!count.pluses.is_empty()).then(|| without_pluses(source, &count.pluses));
    Ok(Guarded { text, nesting: count.nesting, pluses: count.pluses })
}

/// What has been seen of a template.
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
    pluses: Vec<u32>,
}

impl Count {
    fn add(&mut self, token: &Token<'_>, span: Span) {
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
            self.pluses.push(span.start_offset);
        }
        self.operand_before = ends_operand(token);
        self.nesting = self.nesting.max(self.operators).max(self.open + self.elifs);
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

fn without_pluses(source: &str, pluses: &[u32]) -> String {
    let mut text = String::with_capacity(source.len());
    let mut from = 0;
    for at in pluses {
        let at = *at as usize;
        text.push_str(&source[from..at]);
        text.push('-');
        from = at + 1;
    }
    text + &source[from..]
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
