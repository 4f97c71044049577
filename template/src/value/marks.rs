//! Structures: what is JSON text, and what is a value of the context.
//!
//! lava renders the JSON text of a structure and reads the result as JSON, so its templates handle
//! JSON text: in `join('\n')` a backslash and an `n`, which become a line end at the very end.
//! Texts in a rendering of a structure are the same as in lava's Jinja2. But a value of the context
//! must stay what it is and cannot break the structure: its backslashes and quotes are replaced by
//! marks, which are compared, measured and shown as the characters that they replace, and which the
//! reader of the result takes for plain characters.

use std::borrow::Cow;
use std::sync::Arc;

use super::containers::{Dict, Entries};
use super::{Text, Val};
use crate::fault::{Outcome, fail};
use crate::runtime::on_large_stack;

/// The replacements of a backslash and a quote of a value: two control characters that no text at
/// hand has, one byte each, so that places in a text are the same with and without marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    slash: u8,
    quote: u8,
}

impl Marks {
    /// Those that are used unless a text has one of them.
    pub(crate) const USUAL: Self = Self { slash: 0x16, quote: 0x15 };
    /// Candidates for marks: control characters that are not white space, those first that are
    /// least common in texts.
    const CHARACTERS: [u8; 23] = [
        0x16, 0x15, 0x14, 0x12, 0x10, 0x17, 0x18, 0x19, 0x0e, 0x0f, 0x13, 0x11, 0x05, 0x06, 0x02, 0x03, 0x04,
        0x1a, 0x01, 0x07, 0x08, 0x1b, 0x00,
    ];

    /// Marks that differ from the control characters in `taken`.
    pub(crate) fn other_than(taken: Controls) -> Option<Self> {
        let mut free = Self::CHARACTERS.into_iter().filter(|byte| !taken.has(*byte));
        Some(Self { slash: free.next()?, quote: free.next()? })
    }

    fn of(self, c: char) -> Option<char> {
        match c {
            '\\' => Some(char::from(self.slash)),
            '"' => Some(char::from(self.quote)),
            _ => None,
        }
    }

    // One character at a time is looked for the fastest.
    fn is_in(self, text: &str) -> bool {
        text.contains(char::from(self.slash)) || text.contains(char::from(self.quote))
    }

    /// The character as it is read.
    pub(crate) fn readable_char(self, c: char) -> char {
        if c == char::from(self.slash) {
            '\\'
        } else if c == char::from(self.quote) {
            '"'
        } else {
            c
        }
    }

    /// The text as it is read: as long as the one with marks.
    pub(crate) fn readable(self, text: &str) -> Cow<'_, str> {
        if self.is_in(text) {
            text.chars().map(|c| self.readable_char(c)).collect::<String>().into()
        } else {
            text.into()
        }
    }

    /// The text with its quotes as they are read, and marks for backslashes.
    pub(crate) fn readable_quotes(self, text: &str) -> Cow<'_, str> {
        let quote = char::from(self.quote);
        if text.contains(quote) { text.replace(quote, "\"").into() } else { text.into() }
    }

    /// The text with its backslashes as they are read, and marks for quotes.
    pub(crate) fn readable_slashes(self, text: &str) -> Cow<'_, str> {
        let slash = char::from(self.slash);
        if text.contains(slash) { text.replace(slash, "\\").into() } else { text.into() }
    }

    /// A text of a value, with marks.
    pub(crate) fn protect(self, text: &str) -> Cow<'_, str> {
        if needs_marks(text) {
            text.chars().map(|c| self.of(c).unwrap_or(c)).collect::<String>().into()
        } else {
            text.into()
        }
    }

    /// A literal in single quotes: JSON text, but for its quotes, which JSON
    /// cannot have there.
    pub(crate) fn protect_quotes(self, text: &str) -> String {
        text.chars().map(|c| if c == '"' { char::from(self.quote) } else { c }).collect()
    }

    /// A value of the context, with marks in all its texts. Keys stay as they
    /// are.
    pub(crate) fn protect_value(self, value: &Val) -> Val {
        on_large_stack(|| match value {
            Val::Str(text) => match self.protect(text.as_str()) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(marked) if text.is_markup() => Val::Str(Text::markup(marked)),
                Cow::Owned(marked) => Val::Str(Text::plain(marked)),
            },
            Val::List(list) => Val::list(list.read().iter().map(|item| self.protect_value(item)).collect()),
            Val::Tuple(tuple) if tuple.named.is_none() => {
                Val::tuple(tuple.items.iter().map(|item| self.protect_value(item)).collect())
            }
            Val::Dict(dict) => {
                let entries: Entries =
                    dict.read().iter().map(|(key, item)| (key.clone(), self.protect_value(item))).collect();
                Val::Dict(Arc::new(Dict::new(entries)))
            }
            other => other.clone(),
        })
    }

    /// Whether a text is another one when JSON is read.
    pub(crate) fn is_json(self, text: &str) -> bool {
        text.contains('\\') || self.is_in(text)
    }

    /// The output of a rendering, read as the inside of a JSON string.
    pub(crate) fn read_json(self, text: &str) -> Outcome<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c != '\\' {
                out.push(self.readable_char(c));
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let Some((c, length)) = self.escape(rest) else {
                let shown: String = rest.chars().take(2).map(|c| self.readable_char(c)).collect();
                return fail(format!(
                    "the rendered text is not a string of JSON: {shown} is not an escape; lava reads \\\\ as a backslash there"
                ));
            };
            out.push(c);
            rest = &rest[length..];
        }
        Ok(out)
    }

    /// The character of an escape, and the escape's length.
    fn escape(self, text: &str) -> Option<(char, usize)> {
        let c = match self.readable_char(text[1..].chars().next()?) {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = |at: usize| {
                    text.get(at..at + 2).filter(|start| *start == "\\u")?;
                    let digits = text.get(at + 2..at + 6)?;
                    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
                    u16::from_str_radix(digits, 16).ok()
                };
                let units = [unit(0)?, unit(6).unwrap_or(0)];
                let c = char::decode_utf16(units).next()?.ok()?;
                return Some((c, 6 * c.len_utf16()));
            }
            _ => return None,
        };
        Some((c, 2))
    }
}

fn needs_marks(text: &str) -> bool {
    text.contains('\\') || text.contains('"')
}

/// Whether a text that is rendered has a quote that ends a JSON string, as
/// JSON itself has: lava's structure is broken then.
pub(crate) fn has_bare_quote(text: &str) -> bool {
    if !text.contains('"') {
        return false;
    }
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return true,
            b'\\' => _ = bytes.next(),
            _ => {}
        }
    }
    false
}

/// The end of a text from which characters behind `end` were taken away: an escaped quote right
/// there is given back, since the JSON is invalid without it.
pub(crate) fn end_of_escape(text: &str, end: usize) -> usize {
    let slashes = end - text[..end].trim_end_matches('\\').len();
    if slashes % 2 == 1 && text[end..].starts_with('"') { end + 1 } else { end }
}

/// The control characters in a text, or in all texts of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controls(u32);

impl Controls {
    fn has(self, byte: u8) -> bool {
        self.0 >> byte & 1 == 1
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn add(&mut self, text: &str) {
        for byte in text.bytes().filter(|byte| *byte < 0x20) {
            self.0 |= 1 << byte;
        }
    }
}

/// The facts about a value that a structure needs before it uses the value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    pub(crate) controls: Controls,
    /// Whether a text has a backslash or a quote.
    pub(crate) needs_marks: bool,
}

impl Looks {
    pub(crate) fn of(value: &Val) -> Self {
        let mut looks = Self::default();
        looks.see(value);
        looks
    }

    fn see(&mut self, value: &Val) {
        on_large_stack(|| match value {
            Val::Str(text) => self.see_text(text.as_str()),
            Val::List(list) => list.read().iter().for_each(|item| self.see(item)),
            Val::Tuple(tuple) => tuple.items.iter().for_each(|item| self.see(item)),
            Val::Dict(dict) => {
                for (key, item) in dict.read().iter() {
                    self.see(&key.0);
                    self.see(item);
                }
            }
            _ => {}
        });
    }

    fn see_text(&mut self, text: &str) {
        self.controls.add(text);
        self.needs_marks |= needs_marks(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks::USUAL;

    #[test]
    fn json_escapes_are_read_and_values_stay() {
        let text = format!(r#"a\"b\\c\n\u00e9\ud83c\udf0b{}"#, MARKS.protect(r#"\n"\"#));
        assert_eq!(MARKS.read_json(&text).unwrap(), "a\"b\\c\né🌋\\n\"\\");
        for bad in [r"\d", r"a\", r"\u12", r"\ud83c", r"\u+123"] {
            assert!(MARKS.read_json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn marks_are_none_that_a_text_has() {
        assert_eq!(Marks::other_than(Controls::default()), Some(Marks::USUAL));
        let mut taken = Controls::default();
        let mut tried = 0;
        while let Some(marks) = Marks::other_than(taken) {
            assert!(!taken.has(marks.slash) && !taken.has(marks.quote));
            taken.add(&marks.protect("\\"));
            tried += 1;
        }
        assert_eq!(tried, Marks::CHARACTERS.len() - 1);
    }
}
