//! A pattern in Python's dialect, written in that of fancy-regex.

use crate::fault::{Outcome, fail};

/// Python's flag bits.
pub(crate) mod flags {
    pub(crate) const IGNORECASE: i64 = 2;
    pub(crate) const LOCALE: i64 = 4;
    pub(crate) const MULTILINE: i64 = 8;
    pub(crate) const DOTALL: i64 = 16;
    pub(crate) const UNICODE: i64 = 32;
    pub(crate) const VERBOSE: i64 = 64;
    pub(crate) const ASCII: i64 = 256;

    /// Letter, name and bit of each flag.
    pub(crate) const ALL: [(char, &str, i64); 7] = [
        ('i', "re.IGNORECASE", IGNORECASE),
        ('L', "re.LOCALE", LOCALE),
        ('m', "re.MULTILINE", MULTILINE),
        ('s', "re.DOTALL", DOTALL),
        ('u', "re.UNICODE", UNICODE),
        ('x', "re.VERBOSE", VERBOSE),
        ('a', "re.ASCII", ASCII),
    ];

    pub(crate) fn of_letter(letter: char) -> Option<i64> {
        ALL.iter()
            .find(|(known, ..)| *known == letter)
            .map(|(.., bit)| *bit)
    }
}

/// A translated pattern.
pub(super) struct Translated {
    /// The pattern without its flags.
    pub(super) regex: String,
    /// All flags in force, the pattern's own included.
    pub(super) flags: i64,
}

/// Translates a pattern.
pub(super) fn translate(pattern: &str, flags: i64) -> Outcome<Translated> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut translator = Translator {
        chars: &chars,
        at: 0,
        flags,
        out: String::new(),
        open: Vec::new(),
        groups: 0,
        names: Vec::new(),
    };
    translator.global_flags()?;
    translator.run()?;
    let mut flags = translator.flags;
    if flags & flags::ASCII == 0 {
        flags |= flags::UNICODE;
    }
    Ok(Translated {
        regex: translator.out,
        flags,
    })
}

struct Translator<'p> {
    chars: &'p [char],
    at: usize,
    flags: i64,
    out: String,
    /// Where the groups that are open began.
    open: Vec<usize>,
    groups: usize,
    names: Vec<(String, usize)>,
}

impl Translator<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0);
        self.at += 1;
        c
    }

    fn rest_starts(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn trouble<T>(&self, message: &str) -> Outcome<T> {
        fail(format!(
            "the pattern is not a regular expression: {message} at position {}",
            self.at.min(self.chars.len())
        ))
    }

    /// `(?ims)` at the very start.
    fn global_flags(&mut self) -> Outcome<()> {
        while self.rest_starts("(?") {
            let letters: String = self.chars[self.at + 2..]
                .iter()
                .take_while(|c| c.is_ascii_alphabetic())
                .collect();
            if letters.is_empty()
                || self.peek(2 + letters.len()) != Some(')')
                || letters.starts_with('P')
            {
                return Ok(());
            }
            for letter in letters.chars() {
                match flags::of_letter(letter) {
                    Some(bit) => self.flags |= bit,
                    None => return self.trouble(&format!("unknown flag {letter}")),
                }
            }
            self.at += letters.len() + 3;
        }
        Ok(())
    }

    fn run(&mut self) -> Outcome<()> {
        let verbose = self.flags & flags::VERBOSE != 0;
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    if self.open.pop().is_none() {
                        self.at -= 1;
                        return self.trouble("unbalanced parenthesis");
                    }
                    self.out.push(')');
                }
                '{' => self.brace()?,
                '}' => self.out.push_str(r"\}"),
                ']' => self.out.push_str(r"\]"),
                // The end, or before a newline that ends the text.
                '$' if self.flags & flags::MULTILINE == 0 => self.out.push_str(r"(?=\n?\z)"),
                '#' if verbose => while self.next().is_some_and(|c| c != '\n') {},
                c if verbose && c.is_ascii_whitespace() => {}
                '*' | '+' | '?' => self.quantifier(c)?,
                c @ ('.' | '^' | '$' | '|') => self.out.push(c),
                c => self.literal(c),
            }
        }
        match self.open.last() {
            Some(at) => {
                self.at = *at;
                self.trouble("missing ), unterminated subpattern")
            }
            None => Ok(()),
        }
    }

    fn literal(&mut self, c: char) {
        if r"\.+*?()|[]{}^$#&-~ ".contains(c) {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn quantifier(&mut self, c: char) -> Outcome<()> {
        if self.out.is_empty() || self.out.ends_with('|') && !self.out.ends_with(r"\|") {
            self.at -= 1;
            return self.trouble("nothing to repeat");
        }
        self.out.push(c);
        Ok(())
    }

    /// `{m,n}`, or a brace that is a brace.
    fn brace(&mut self) -> Outcome<()> {
        let text: String = self.chars[self.at..]
            .iter()
            .take(24)
            .take_while(|c| **c != '}')
            .collect();
        let closed = self.peek(text.chars().count()) == Some('}');
        let (low, high) = text.split_once(',').unwrap_or((&text, &text));
        let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !closed || text.is_empty() || !numeric(low) || !numeric(high) {
            self.out.push_str(r"\{");
            return Ok(());
        }
        if self.out.is_empty() {
            return self.trouble("nothing to repeat");
        }
        self.at += text.len() + 1;
        if let (Ok(low), Ok(high)) = (low.parse::<u64>(), high.parse::<u64>())
            && low > high
        {
            return self.trouble("min repeat greater than max repeat");
        }
        let low = if low.is_empty() { "0" } else { low };
        if text.contains(',') {
            self.out.push_str(&format!("{{{low},{high}}}"));
        } else {
            self.out.push_str(&format!("{{{low}}}"));
        }
        Ok(())
    }

    fn group(&mut self) -> Outcome<()> {
        let start = self.at - 1;
        if self.peek(0) != Some('?') {
            self.groups += 1;
            self.open.push(start);
            self.out.push('(');
            return Ok(());
        }
        if self.rest_starts("?#") {
            while self.peek(0).is_some_and(|c| c != ')') {
                self.at += 1;
            }
            if self.next().is_none() {
                return self.trouble("missing ), unterminated comment");
            }
            return Ok(());
        }
        for plain in ["?:", "?=", "?!", "?<=", "?<!", "?>"] {
            if self.rest_starts(plain) {
                self.at += plain.len();
                self.open.push(start);
                self.out.push('(');
                self.out.push_str(plain);
                return Ok(());
            }
        }
        if self.rest_starts("?P<") {
            self.at += 3;
            let name = self.name('>')?;
            if name.starts_with(|c: char| c.is_numeric()) {
                return self.trouble(&format!("bad group name {name}"));
            }
            self.groups += 1;
            if self.names.iter().any(|(known, _)| *known == name) {
                return self.trouble(&format!("the group name {name} is used twice"));
            }
            self.open.push(start);
            self.out.push_str(&format!("(?P<{name}>"));
            self.names.push((name, self.groups));
            return Ok(());
        }
        if self.rest_starts("?P=") {
            self.at += 3;
            let name = self.name(')')?;
            return match self.names.iter().find(|(known, _)| *known == name) {
                Some((_, number)) => {
                    self.out.push_str(&format!(r"(?:\{number})"));
                    Ok(())
                }
                None => self.trouble(&format!("unknown group name {name}")),
            };
        }
        if self.rest_starts("?(") {
            self.at += 2;
            let name = self.name(')')?;
            let number = match name.parse::<usize>() {
                Ok(number) => Some(number),
                Err(_) => self
                    .names
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, number)| *number),
            };
            let Some(number) = number.filter(|number| *number > 0) else {
                return self.trouble(&format!("unknown group name {name}"));
            };
            self.open.push(start);
            self.out.push_str(&format!("(?({number})"));
            return Ok(());
        }
        self.scoped_flags(start)
    }

    /// `(?i-s:…)`.
    fn scoped_flags(&mut self, start: usize) -> Outcome<()> {
        self.at += 1;
        let letters: String = self.chars[self.at..]
            .iter()
            .take_while(|c| c.is_ascii_alphabetic() || **c == '-')
            .collect();
        let end = self.peek(letters.chars().count());
        let known = letters
            .chars()
            .all(|c| c == '-' || flags::of_letter(c).is_some());
        if letters.is_empty() || !known {
            return self.trouble("unknown extension of a group");
        }
        if end == Some(')') {
            return self.trouble("global flags not at the start of the expression");
        }
        if end != Some(':') {
            return self.trouble("missing : after the flags of a group");
        }
        self.at += letters.len() + 1;
        self.open.push(start);
        // What the engine has no letter for is its default.
        let kept: String = letters.chars().filter(|c| "ims-".contains(*c)).collect();
        let kept = kept.trim_end_matches('-');
        self.out.push_str(&format!("(?{kept}:"));
        Ok(())
    }

    fn name(&mut self, end: char) -> Outcome<String> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(c) if c == end => break,
                Some(c) if c.is_alphanumeric() || c == '_' => name.push(c),
                Some(_) => return self.trouble("bad character in a group name"),
                None => return self.trouble("unterminated group name"),
            }
        }
        if name.is_empty() {
            return self.trouble("missing group name");
        }
        Ok(name)
    }

    fn escape(&mut self) -> Outcome<()> {
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

    /// The character of an escape that stands for one.
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

    fn class(&mut self) -> Outcome<()> {
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
                    let edge = self.at == first + 1
                        || self.peek(0) == Some(']')
                        || self.out.ends_with("\u{1}");
                    let before = self.chars.get(self.at.wrapping_sub(3)).copied();
                    let after_set = before == Some('\\')
                        && self
                            .chars
                            .get(self.at - 2)
                            .is_some_and(|c| "dDsSwW".contains(*c));
                    self.out
                        .push_str(if edge || after_set { r"\-" } else { "-" });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_python_patterns_for_the_engine() {
        let cases = [
            (r"a$", r"a(?=\n?\z)"),
            (r"a{,3}b{2,}c{x}", r"a{0,3}b{2,}c\{x\}"),
            (r"(?P<x>a)(?P=x)\1", r"(?P<x>a)(?:\1)(?:\1)"),
            (r"[[\]&&-]", r"[\[\]\&\&\-]"),
            (r"(?#no)a\Z", r"a\z"),
            (r"[]a]", r"[\]a]"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(translate(pattern, 0).unwrap().regex, expected, "{pattern}");
        }
        assert_eq!(translate("(?im)a$", 0).unwrap().flags, 2 + 8 + 32);
        for bad in [
            "(",
            ")",
            "[",
            r"\y",
            "*a",
            "a(?i)b",
            r"\2(a)",
            "(?P<a>x)(?P<a>y)",
        ] {
            assert!(translate(bad, 0).is_err(), "{bad}");
        }
    }
}
