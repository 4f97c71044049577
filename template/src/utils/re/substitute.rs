//! The replacement text of `sub`.

use std::sync::Arc;

use super::matched::Match;
use super::pattern::Pattern;
use crate::fault::{Outcome, fail};
use crate::value::show::Shown;

enum Piece {
    Text(String),
    Group(usize),
}

/// A parsed replacement.
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Reads `\1`, `\g<name>` and the escapes of a replacement.
    pub(super) fn parse(pattern: &Arc<Pattern>, template: &str) -> Outcome<Self> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut chars = template.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some(c) = chars.next() else {
                return fail("the replacement ends in a backslash");
            };
            let group = match c {
                'g' => Some(named_group(pattern, &mut chars)?),
                '0' => {
                    let mut code = 0;
                    for _ in 0..2 {
                        let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else {
                            break;
                        };
                        code = code * 8 + digit;
                        chars.next();
                    }
                    text.push(char::from_u32(code).unwrap_or('\0'));
                    None
                }
                '1'..='9' => {
                    let mut digits = String::from(c);
                    digits.extend(chars.next_if(char::is_ascii_digit));
                    let octal = |c: &char| ('0'..='7').contains(c);
                    if digits.len() == 2
                        && digits.chars().all(|c| octal(&c))
                        && let Some(third) = chars.next_if(octal)
                    {
                        digits.push(third);
                        let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
                        text.push(char::from_u32(code).unwrap_or('\0'));
                        continue;
                    }
                    Some(digits.parse().unwrap_or(usize::MAX))
                }
                'n' => push(&mut text, '\n'),
                'r' => push(&mut text, '\r'),
                't' => push(&mut text, '\t'),
                'a' => push(&mut text, '\x07'),
                'b' => push(&mut text, '\x08'),
                'f' => push(&mut text, '\x0c'),
                'v' => push(&mut text, '\x0b'),
                '\\' => push(&mut text, '\\'),
                c if c.is_ascii_alphabetic() => {
                    return fail(format!("the replacement has a bad escape \\{c}"));
                }
                c => {
                    text.extend(['\\', c]);
                    None
                }
            };
            if let Some(group) = group {
                if group > pattern.group_count() {
                    return fail(format!(
                        "the replacement names group {group}, which the pattern does not have"
                    ));
                }
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(group));
            }
        }
        pieces.push(Piece::Text(text));
        Ok(Self(pieces))
    }

    /// Writes the replacement for one match; groups without a part in it
    /// give nothing.
    pub(super) fn expand(&self, found: &Match, out: &mut Shown<'_, '_>) -> Outcome<()> {
        out.charge(self.0.len())?;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push(text)?,
                Piece::Group(group) => out.push(found.part(*group).unwrap_or(""))?,
            }
        }
        Ok(())
    }
}

fn push(text: &mut String, c: char) -> Option<usize> {
    text.push(c);
    None
}

/// `<name>` or `<number>` after `\g`.
fn named_group(pattern: &Pattern, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Outcome<usize> {
    if chars.next() != Some('<') {
        return fail("the replacement lacks the < of \\g<name>");
    }
    let mut name = String::new();
    loop {
        match chars.next() {
            Some('>') => break,
            Some(c) => name.push(c),
            None => return fail("the replacement lacks the > of \\g<name>"),
        }
    }
    match name.parse().ok().or_else(|| pattern.group_of(&name)) {
        Some(group) => Ok(group),
        None => fail(format!("the replacement names group \"{name}\", which the pattern does not have")),
    }
}
