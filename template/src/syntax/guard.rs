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
    let mut pluses = Vec::new();
    let (mut parts, mut operators, mut elifs) = (0usize, 0usize, 0usize);
    let (mut open, mut nesting) = (0usize, 0usize);
    let mut tag_begins = false;
    let mut operand_before = false;
    // An error of the tokenizer is the parser's to report.
    while let Ok(Some((token, span))) = tokens.next_token() {
        if let (Token::Ident(name), true) = (&token, tag_begins) {
            // Tags that open something, roughly: a few too many do no harm.
            match *name {
                "elif" => elifs += 1,
                "else" => {}
                name if name.starts_with("end") => open = open.saturating_sub(1),
                _ => open += 1,
            }
        }
        tag_begins = matches!(token, Token::BlockStart);
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => {
                parts += 1;
                operators = 0;
            }
            Token::VariableEnd | Token::BlockEnd => {}
            Token::Ident(name) => operators += usize::from(is_operator(name)),
            Token::Str(_) | Token::String(_) | Token::Float(_) => {}
            Token::Int(_) | Token::Int128(_) => {}
            Token::Plus if !operand_before => {
                operators += 1;
                pluses.push(span.start_offset);
            }
            _ => operators += 1,
        }
        operand_before = ends_operand(&token);
        nesting = nesting.max(operators).max(open + elifs);
        if operators > limits.tag_operators {
            let limit = limits.tag_operators;
            return Err(too_many(
                source,
                span,
                &format!(
                    "the tag has more than {limit} operators: build the value in steps with set (limit tag_operators)"
                ),
            ));
        }
        if elifs > limits.elifs {
            let limit = limits.elifs;
            return Err(too_many(
                source,
                span,
                &format!(
                    "the template has more than {limit} elif tags: look the value up in a dict (limit elifs)"
                ),
            ));
        }
        if parts > limits.template_parts {
            let limit = limits.template_parts;
            return Err(too_many(
                source,
                span,
                &format!(
                    "the template has more than {limit} tags and pieces of text (limit template_parts)"
                ),
            ));
        }
    }
    let text = (!pluses.is_empty()).then(|| {
        let mut text = String::with_capacity(source.len());
        let mut from = 0;
        for at in &pluses {
            let at = *at as usize;
            text.push_str(&source[from..at]);
            text.push('-');
            from = at + 1;
        }
        text + &source[from..]
    });
    Ok(Guarded {
        text,
        nesting,
        pluses,
    })
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
    matches!(
        name,
        "and" | "or" | "not" | "in" | "is" | "if" | "else" | "elif"
    )
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
