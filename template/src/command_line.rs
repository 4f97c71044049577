//! Command lines, split as Python's `shlex.split` splits them.

use crate::error::{ErrorKind, TemplateError};

/// Splits a command line into arguments by the rules of a POSIX shell,
/// without expansions and without comments.
pub(crate) fn split(line: &str) -> Result<Vec<String>, TemplateError> {
    let mut args = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => args.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(unclosed('\'')),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => {
                    return Err(TemplateError::new(
                        ErrorKind::Syntax,
                        "the command line ends in a backslash: remove or double it",
                    ));
                }
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    args.extend(word);
    Ok(args)
}

/// The rest of a double-quoted part: a backslash only escapes `"` and itself.
fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), TemplateError> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(unclosed('"')),
            },
            Some(c) => word.push(c),
            None => return Err(unclosed('"')),
        }
    }
}

fn unclosed(quote: char) -> TemplateError {
    TemplateError::new(
        ErrorKind::Syntax,
        format!("the command line has an opening {quote} without a closing one"),
    )
}

#[cfg(test)]
mod tests {
    use super::split;

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
}
