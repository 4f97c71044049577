//! Groups of a pattern.

use super::translate::{Translator, flags};
use crate::fault::Outcome;

impl Translator<'_> {
    pub(super) fn group(&mut self) -> Outcome<()> {
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
        if self.rest_starts("?P") {
            return self.named(start);
        }
        if self.rest_starts("?(") {
            return self.conditional(start);
        }
        self.scoped_flags(start)
    }

    /// `(?P<name>…)` and `(?P=name)`.
    fn named(&mut self, start: usize) -> Outcome<()> {
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
        self.trouble("unknown extension ?P of a group")
    }

    /// `(?(group)yes|no)`.
    fn conditional(&mut self, start: usize) -> Outcome<()> {
        self.at += 2;
        let name = self.name(')')?;
        let number = match name.parse::<usize>() {
            Ok(number) => Some(number),
            Err(_) => self.names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number),
        };
        let Some(number) = number.filter(|number| *number > 0) else {
            return self.trouble(&format!("unknown group name {name}"));
        };
        self.condition = self.condition.max(number);
        self.open.push(start);
        self.out.push_str(&format!("(?({number})"));
        Ok(())
    }

    /// `(?i-s:…)`.
    fn scoped_flags(&mut self, start: usize) -> Outcome<()> {
        self.at += 1;
        let letters: String =
            self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic() || **c == '-').collect();
        let end = self.peek(letters.chars().count());
        let known = letters.chars().all(|c| c == '-' || flags::of_letter(c).is_some());
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
        // A flag for which the engine has no letter is its default.
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
}
