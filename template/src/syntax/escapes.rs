//! String literals, where minijinja reads an escape otherwise than Python.

/// The text of one or more adjacent string literals as Python reads them,
/// or `None` if minijinja's reading stands.
pub(super) fn reread(literals: &str) -> Option<String> {
    let differs = literals
        .as_bytes()
        .windows(2)
        .any(|pair| pair[0] == b'\\' && matches!(pair[1], b'a' | b'v' | b'U' | b'/' | b'\n' | b'0'..=b'7'));
    differs.then(|| read(literals)).flatten()
}

fn read(literals: &str) -> Option<String> {
    let mut text = String::with_capacity(literals.len());
    let mut chars = literals.chars().peekable();
    loop {
        let quote = loop {
            match chars.next() {
                Some(c @ ('"' | '\'')) => break c,
                Some(c) if c.is_whitespace() => {}
                Some(_) => return None,
                None => return Some(text),
            }
        };
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\\' => match chars.next()? {
                    '\n' => {}
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    'a' => text.push('\x07'),
                    'b' => text.push('\x08'),
                    'f' => text.push('\x0c'),
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    'v' => text.push('\x0b'),
                    'x' => text.push(hex(&mut chars, 2)?),
                    'u' => text.push(hex(&mut chars, 4)?),
                    'U' => text.push(hex(&mut chars, 8)?),
                    digit @ '0'..='7' => {
                        let mut code = digit.to_digit(8)?;
                        for _ in 0..2 {
                            let Some(next) = chars.peek().and_then(|c| c.to_digit(8)) else {
                                break;
                            };
                            code = code * 8 + next;
                            chars.next();
                        }
                        text.push(char::from_u32(code)?);
                    }
                    c => text.extend(['\\', c]),
                },
                c => text.push(c),
            }
        }
    }
}

fn hex(chars: &mut impl Iterator<Item = char>, count: usize) -> Option<char> {
    let mut code = 0;
    for _ in 0..count {
        code = code * 16 + chars.next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::reread;

    #[test]
    fn reads_escapes_as_python_does() {
        assert_eq!(reread(r#""a\n""#), None);
        assert_eq!(reread(r#""\a\/" '\U0001F30B'"#).as_deref(), Some("\x07\\/🌋"));
        assert_eq!(reread("'a\\\nb'").as_deref(), Some("ab"));
        assert_eq!(reread(r"'\101'").as_deref(), Some("A"));
    }
}
