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
        ALL.iter().find(|(known, ..)| *known == letter).map(|(.., bit)| *bit)
    }
}

/// A translated pattern.
pub(super) struct Translated {
    /// The pattern without its flags.
    pub(super) regex: String,
    /// All flags in force, the pattern's own included.
    pub(super) flags: i64,
    /// Characters, sets and repeats; what is repeated `n` times counts `n`
    /// times.
    pub(super) size: u64,
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
        condition: 0,
        names: Vec::new(),
        sizes: vec![Size::default()],
    };
    translator.global_flags()?;
    translator.run()?;
    let mut flags = translator.flags;
    if flags & flags::ASCII == 0 {
        flags |= flags::UNICODE;
    }
    let size = translator.sizes.first().map_or(1, |size| size.all.max(1));
    Ok(Translated { regex: translator.out, flags, size })
}

/// How large a group is when compiled, and its last item.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    all: u64,
    last: u64,
}

impl Size {
    fn add(&mut self, size: u64) {
        self.all = self.all.saturating_add(size);
        self.last = size;
    }

    /// The last item stands `count` times in all.
    fn repeat(&mut self, count: u64) {
        let size = self.last.saturating_mul(count.max(1)).saturating_add(1);
        self.all = self.all.saturating_sub(self.last);
        self.add(size);
    }
}

pub(super) struct Translator<'p> {
    pub(super) chars: &'p [char],
    pub(super) at: usize,
    pub(super) flags: i64,
    pub(super) out: String,
    /// Where the groups that are open began.
    pub(super) open: Vec<usize>,
    pub(super) groups: usize,
    /// The highest group that a condition asks for.
    pub(super) condition: usize,
    pub(super) names: Vec<(String, usize)>,
    /// The sizes of the groups that are open, from the outermost.
    pub(super) sizes: Vec<Size>,
}

impl Translator<'_> {
    pub(super) fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek(0);
        self.at += 1;
        c
    }

    pub(super) fn rest_starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    pub(super) fn trouble<T>(&self, message: &str) -> Outcome<T> {
        fail(format!(
            "the pattern is not a regular expression: {message} at position {}",
            self.at.min(self.chars.len())
        ))
    }

    /// `(?ims)` at the very start.
    fn global_flags(&mut self) -> Outcome<()> {
        while self.rest_starts("(?") {
            let letters: String =
                self.chars[self.at + 2..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
            if letters.is_empty() || self.peek(2 + letters.len()) != Some(')') || letters.starts_with('P') {
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
                '\\' => {
                    self.escape()?;
                    self.sized(1);
                }
                '[' => {
                    self.class()?;
                    self.sized(2);
                }
                '(' => {
                    let open = self.open.len();
                    self.group()?;
                    if self.open.len() > open {
                        self.sizes.push(Size::default());
                    }
                }
                ')' => {
                    if self.open.pop().is_none() {
                        self.at -= 1;
                        return self.trouble("unbalanced parenthesis");
                    }
                    self.out.push(')');
                    let group = if self.sizes.len() > 1 { self.sizes.pop() } else { None };
                    self.sized(1 + group.map_or(0, |group| group.all));
                }
                '{' => self.brace()?,
                '}' => self.out.push_str(r"\}"),
                ']' => self.out.push_str(r"\]"),
                // The end, or before a newline that ends the text.
                '$' if self.flags & flags::MULTILINE == 0 => self.out.push_str(r"(?=\n?\z)"),
                '#' if verbose => while self.next().is_some_and(|c| c != '\n') {},
                c if verbose && c.is_ascii_whitespace() => {}
                '*' | '+' | '?' => self.quantifier(c)?,
                c @ ('.' | '^' | '$' | '|') => {
                    self.out.push(c);
                    self.sized(1);
                }
                c => {
                    self.literal(c);
                    self.sized(1);
                }
            }
        }
        match self.open.last() {
            Some(at) => {
                self.at = *at;
                self.trouble("missing ), unterminated subpattern")
            }
            // The group may stand behind its condition.
            None if self.condition > self.groups => {
                self.trouble(&format!("invalid group reference {}", self.condition))
            }
            None => Ok(()),
        }
    }

    /// Counts an item of the innermost group.
    fn sized(&mut self, size: u64) {
        if let Some(group) = self.sizes.last_mut() {
            group.add(size);
        }
    }

    fn repeated(&mut self, count: u64) {
        if let Some(group) = self.sizes.last_mut() {
            group.repeat(count);
        }
    }

    pub(super) fn literal(&mut self, c: char) {
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
        self.repeated(1);
        Ok(())
    }

    /// `{m,n}`, or a brace that is a brace.
    fn brace(&mut self) -> Outcome<()> {
        let text: String = self.chars[self.at..].iter().take(24).take_while(|c| **c != '}').collect();
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
        let count = |part: &str| part.parse::<u64>().unwrap_or(0);
        self.repeated(count(low).saturating_add(1).max(count(high)));
        let low = if low.is_empty() { "0" } else { low };
        if text.contains(',') {
            self.out.push_str(&format!("{{{low},{high}}}"));
        } else {
            self.out.push_str(&format!("{{{low}}}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_repeats_count_in_the_size() {
        let size = |pattern| translate(pattern, 0).unwrap().size;
        assert_eq!(size("abc"), 3);
        assert_eq!(size("(?:ab){10}"), 34);
        assert!(size("(?:a?){1000}(?:[ab]?){1000}z") > 5_000);
        assert!(size("((a{1,1000}){1,1000}){1,1000}") > 1_000_000_000);
    }

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
        for bad in ["(", ")", "[", r"\y", "*a", "a(?i)b", r"\2(a)", "(?P<a>x)(?P<a>y)"] {
            assert!(translate(bad, 0).is_err(), "{bad}");
        }
    }
}
