//! Escapes and character sets of a pattern.

use super::translate::{Translator, flags};
use crate::fault::Outcome;

impl Translator<'_> {
    pub(super) fn escape(&mut self) -> Outcome<()> {
        let Some(c) = self.next() else {
            return self.trouble("bad escape (end of pattern)");
        };
        let ascii = self.flags & flags::ASCII != 0;
        match c {
            'A' | 'b' | 'B' => self.out.extend(['\\', c]),
            'Z' => self.out.push_str(r"\z"),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' if ascii => {
                let negated = if c.is_ascii_uppercase() { "^" } else { "" };
                let set = ascii_set(c);
                self.out.push_str(&format!("[{negated}{set}]"));
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.out.extend(['\\', c]),
            '1'..='9' => return self.back_reference(c),
            c => {
                let literal = self.character(c)?;
                self.literal(literal);
            }
        }
        Ok(())
    }

    fn back_reference(&mut self, first: char) -> Outcome<()> {
        let mut digits = String::from(first);
        if let Some(c) = self.peek(0).filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
            let octal = |c: &char| ('0'..='7').contains(c);
            if digits.chars().all(|c| octal(&c)) && self.peek(0).is_some_and(|c| octal(&c)) {
                digits.extend(self.next());
                let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
                return match char::from_u32(code).filter(|_| code <= 0o377) {
                    Some(c) => {
                        self.literal(c);
                        Ok(())
                    }
                    None => self.trouble("octal escape out of range"),
                };
            }
        }
        let number: usize = digits.parse().unwrap_or(0);
        if number > self.groups {
            return self.trouble(&format!("invalid group reference {number}"));
        }
        self.out.push_str(&format!(r"(?:\{number})"));
        Ok(())
    }

    /// The character of an escape that means one.
    fn character(&mut self, c: char) -> Outcome<char> {
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.hex(2)?,
            'u' => self.hex(4)?,
            'U' => self.hex(8)?,
            '0' => {
                let mut code = 0;
                for _ in 0..2 {
                    let Some(digit) = self.peek(0).and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.at += 1;
                }
                char::from_u32(code).unwrap_or('\0')
            }
            c if c.is_ascii_alphanumeric() => return self.trouble(&format!("bad escape \\{c}")),
            c => c,
        })
    }

    fn hex(&mut self, count: usize) -> Outcome<char> {
        let mut code = 0;
        for _ in 0..count {
            let Some(digit) = self.next().and_then(|c| c.to_digit(16)) else {
                return self.trouble("incomplete escape");
            };
            code = code * 16 + digit;
        }
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.trouble("bad escape: no such character"),
        }
    }

    pub(super) fn class(&mut self) -> Outcome<()> {
        let start = self.at - 1;
        self.out.push('[');
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let first = self.at;
        loop {
            let Some(c) = self.next() else {
                self.at = start;
                return self.trouble("unterminated character set");
            };
            match c {
                ']' if self.at > first + 1 => break,
                '\\' => self.class_escape()?,
                '-' => {
                    let edge =
                        self.at == first + 1 || self.peek(0) == Some(']') || self.out.ends_with("\u{1}");
                    let before = self.chars.get(self.at.wrapping_sub(3)).copied();
                    let after_set = before == Some('\\')
                        && self.chars.get(self.at - 2).is_some_and(|c| "dDsSwW".contains(*c));
                    self.out.push_str(if edge || after_set { r"\-" } else { "-" });
                }
                c @ ('[' | ']' | '&' | '~' | '^' | '#' | ' ') => self.out.extend(['\\', c]),
                c => self.out.push(c),
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn class_escape(&mut self) -> Outcome<()> {
        let Some(c) = self.next() else {
            return self.trouble("bad escape (end of pattern)");
        };
        match c {
            'd' | 's' | 'w' if self.flags & flags::ASCII != 0 => self.out.push_str(ascii_set(c)),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.out.extend(['\\', c]),
            'b' => self.out.push_str(r"\x08"),
            '1'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.peek(0).and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.at += 1;
                }
                self.literal(char::from_u32(code).unwrap_or('\0'));
            }
            c => {
                let literal = self.character(c)?;
                self.literal(literal);
            }
        }
        Ok(())
    }
}

fn ascii_set(letter: char) -> &'static str {
    match letter.to_ascii_lowercase() {
        'd' => "0-9",
        's' => r"\x20\t\n\r\x0b\x0c",
        _ => "a-zA-Z0-9_",
    }
}
