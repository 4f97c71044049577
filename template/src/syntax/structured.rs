//! Strings of a structure, which lava renders as part of a JSON text.
//!
//! In that text every backslash stands twice and every line end is an escape,
//! and what is rendered is read as JSON again. So in a string in single
//! quotes within a tag, a backslash stands for itself (lava's users write
//! `'\d+'` and `'\bx'`), and white space control finds no line ends. Strings
//! in double quotes, which lava cannot have there, are as everywhere else.

/// What line ends and tabs outside tags are written as: nothing that white
/// space control knows.
const HIDDEN: [(char, char); 3] = [('\n', '\u{fdd0}'), ('\r', '\u{fdd1}'), ('\t', '\u{fdd2}')];

/// The text to be parsed.
pub(super) struct Encoded {
    pub(super) text: String,
    /// Where in it bytes stand that the source has not.
    pub(super) inserted: Vec<u32>,
}

/// Where in a template a character stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    /// In a tag that the two characters end.
    Tag(&'static str),
    Comment,
    Quoted(char, &'static str),
}

/// The source with the backslashes of strings in single quotes doubled.
pub(super) fn encode(source: &str) -> Encoded {
    let mut encoded = Encoded { text: String::with_capacity(source.len() + 16), inserted: Vec::new() };
    let mut place = Place::Outside;
    let mut raw = false;
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        match place {
            Place::Outside if rest.starts_with("{%") => {
                raw = if raw { !is_tag(rest, "endraw") } else { is_tag(rest, "raw") };
                place = if raw { Place::Outside } else { Place::Tag("%}") };
            }
            Place::Outside if !raw && rest.starts_with("{{") => place = Place::Tag("}}"),
            Place::Outside if !raw && rest.starts_with("{#") => place = Place::Comment,
            Place::Tag(end) if rest.starts_with(end) => place = Place::Outside,
            Place::Tag(end) if matches!(c, '\'' | '"') => place = Place::Quoted(c, end),
            Place::Comment if rest.starts_with("#}") => place = Place::Outside,
            Place::Quoted(quote, end) if c == quote => place = Place::Tag(end),
            Place::Quoted('"', _) if c == '\\' => {
                // What is escaped, a quote perhaps, is passed over.
                let next = rest[1..].chars().next().map_or(0, char::len_utf8);
                encoded.text.push_str(&rest[..1 + next]);
                at += 1 + next;
                continue;
            }
            Place::Quoted('\'', _) if c == '\\' => encoded.insert("\\", 1),
            _ => {}
        }
        at += c.len_utf8();
        match HIDDEN.iter().find(|(plain, _)| *plain == c && place == Place::Outside) {
            Some((_, hidden)) => {
                let mut buffer = [0; 4];
                encoded.insert(hidden.encode_utf8(&mut buffer), 2);
            }
            None => encoded.text.push(c),
        }
    }
    encoded
}

impl Encoded {
    /// Adds `text`, of which so many bytes at its end are new.
    fn insert(&mut self, text: &str, new: u32) {
        self.text.push_str(text);
        let end = self.text.len() as u32;
        self.inserted.extend(end - new..end);
    }

    /// The places of a text that was made of this one, which has bytes more
    /// in the places `later`.
    pub(super) fn and_later(&self, later: &[u32]) -> Vec<u32> {
        let mut all = Vec::with_capacity(self.inserted.len() + later.len());
        let mut passed = 0;
        for place in &self.inserted {
            while later.get(passed).is_some_and(|at| *at <= place + passed as u32) {
                passed += 1;
            }
            all.push(place + passed as u32);
        }
        all.extend(later);
        all.sort_unstable();
        all
    }
}

fn is_tag(text: &str, name: &str) -> bool {
    let inner = text[2..].trim_start_matches(['-', '+']).trim_start();
    inner.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Text outside tags as the source has it.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| HIDDEN.iter().find(|(_, hidden)| *hidden == c).map_or(c, |(plain, _)| *plain))
        .collect()
}

/// What is left of a JSON string's inside when JSON is read: escapes become
/// characters, and what is none stays.
pub(crate) fn read_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, length) = escape(rest).unwrap_or(('\\', 1));
        out.push(c);
        rest = &rest[length..];
    }
    out + rest
}

/// The character of an escape, and the escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    let c = match text[1..].chars().next()? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = |at: usize| {
                text.get(at..at + 2).filter(|start| *start == "\\u")?;
                u16::from_str_radix(text.get(at + 2..at + 6)?, 16).ok()
            };
            let units = [unit(0)?, unit(6).unwrap_or(0)];
            let c = char::decode_utf16(units).next()?.ok()?;
            return Some((c, 6 * c.len_utf16()));
        }
        _ => return None,
    };
    Some((c, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_of_single_quotes_are_doubled() {
        let text = |source: &str| encode(source).text;
        assert_eq!(text(r"a\b {{ '\d' ~ '\' }} c\d"), r"a\b {{ '\\d' ~ '\\' }} c\d");
        assert_eq!(text(r#"{{ "\"'\d" }}"#), r#"{{ "\"'\d" }}"#);
        assert_eq!(
            text(r"{% raw %}{{ '\d' }}{% endraw %}{# '\d #}{{ '\d' }}"),
            r"{% raw %}{{ '\d' }}{% endraw %}{# '\d #}{{ '\\d' }}"
        );
        assert_eq!(shown(&text("a\n{{ 1 }}\r\n\t")), "a\n{{ 1 }}\r\n\t");
    }

    #[test]
    fn places_are_those_of_the_last_text() {
        let encoded = encode(r"{{ '\d', 1 }}");
        assert_eq!(encoded.inserted, [4]);
        assert_eq!(encoded.and_later(&[3, 12]), [3, 5, 12]);
    }

    #[test]
    fn json_escapes_are_read() {
        assert_eq!(read_json(r#"a\"b\\c\n\u00e9\ud83c\udf0b\d\"#), "a\"b\\c\né🌋\\d\\");
    }
}
