//! Command lines, split as Python's `shlex.split` splits them.

use std::fmt;

use crate::error::{ErrorKind, TemplateError};

/// Why a text is not a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCommandLine {
    /// This quote is opened and not closed.
    UnclosedQuote(char),
    /// It ends in a backslash, which has nothing to escape.
    TrailingBackslash,
}

impl fmt::Display for BadCommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnclosedQuote(quote) => {
                write!(f, "the command line has an opening {quote} without a closing one")
            }
            Self::TrailingBackslash => {
                f.write_str("the command line ends in a backslash: remove or double it")
            }
        }
    }
}

impl std::error::Error for BadCommandLine {}

impl From<BadCommandLine> for TemplateError {
    fn from(bad: BadCommandLine) -> Self {
        Self::new(ErrorKind::Syntax, bad.to_string())
    }
}

/// Splits a command line into words by the rules of a POSIX shell, without expansions and without comments, as Python's
/// `shlex.split` does, which lava uses (lava guide, Job type: cmd).
///
/// # Errors
/// [`BadCommandLine`] when a quote is not closed, or nothing follows a backslash.
pub fn split_command_line(line: &str) -> Result<Vec<String>, BadCommandLine> {
    split(line, false)
}

/// As [`split_command_line`], but a `#` at the beginning of a word begins a comment, which the rest of its line is.
///
/// # Errors
/// As [`split_command_line`].
pub fn split_commented_line(line: &str) -> Result<Vec<String>, BadCommandLine> {
    split(line, true)
}

fn split(line: &str, comments: bool) -> Result<Vec<String>, BadCommandLine> {
    let mut args = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => args.extend(word.take()),
            '#' if comments && word.is_none() => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(BadCommandLine::UnclosedQuote('\'')),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => {
                let escaped = chars.next().ok_or(BadCommandLine::TrailingBackslash)?;
                word.get_or_insert_default().push(escaped);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    args.extend(word);
    Ok(args)
}

/// The rest of a double-quoted part: a backslash only escapes `"` and itself.
fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), BadCommandLine> {
    let unclosed = BadCommandLine::UnclosedQuote('"');
    loop {
        match chars.next().ok_or(unclosed)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(unclosed)? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{split_command_line as split, split_commented_line};

    #[test]
    fn splits_as_shlex_does() {
        let cases: [(&str, &[&str]); 8] = [
            ("a b  c", &["a", "b", "c"]),
            ("a 'b c' \"d e\"", &["a", "b c", "d e"]),
            (r#"a"b"'c'd"#, &["abcd"]),
            (r#"'' """#, &["", ""]),
            (r#""a\"b\\c\n""#, &[r#"a"b\c\n"#]),
            (r"a\ b \x", &["a b", "x"]),
            ("a # b", &["a", "#", "b"]),
            ("", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
        for line in ["'a", "\"a", "a\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    #[test]
    fn comments_begin_with_a_word() {
        for (line, expected) in [
            ("a # b 'c", vec!["a"]),
            ("# a", vec![]),
            ("a#b x=#c '#' \\#", vec!["a#b", "x=#c", "#", "#"]),
            ("a #b\nc", vec!["a", "c"]),
        ] {
            assert_eq!(split_commented_line(line).unwrap(), expected, "{line}");
        }
    }
}
