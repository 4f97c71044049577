//! Strings of a structure, which lava renders as part of a JSON text.
//!
//! In that text every backslash is doubled and every line end is an escape, and the rendering is
//! read as JSON again. So text outside tags is parsed as JSON has it: white space control finds no
//! line ends, and a block that `set` or `filter` takes has the same text as lava's. In a string in
//! single quotes within a tag, a backslash is a plain character (lava's users write `'\d+'` and
//! `'\bx'`). Strings in double quotes, which lava cannot have there, are as everywhere else.

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

/// The source with text outside tags as JSON has it, and the backslashes of
/// strings in single quotes doubled.
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
                // An escaped character, a quote perhaps, is skipped.
                let next = rest[1..].chars().next().map_or(0, char::len_utf8);
                encoded.text.push_str(&rest[..1 + next]);
                at += 1 + next;
                continue;
            }
            Place::Quoted('\'', _) if c == '\\' => encoded.insert("\\", 1),
            _ => {}
        }
        at += c.len_utf8();
        match c {
            '"' | '\\' | '\0'..='\x1f' if place == Place::Outside => {
                // Quotes of the JSON string itself are left out.
                let json = serde_json::Value::from(c.to_string()).to_string();
                let json = json.get(1..json.len() - 1).unwrap_or_default();
                encoded.insert(json, json.len() as u32 - 1);
            }
            c => encoded.text.push(c),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_of_single_quotes_are_doubled() {
        let text = |source: &str| encode(source).text;
        assert_eq!(text(r"a\b {{ '\d' ~ '\' }} c\d"), r"a\\b {{ '\\d' ~ '\\' }} c\\d");
        assert_eq!(text(r#"{{ "\"'\d" }}"#), r#"{{ "\"'\d" }}"#);
        assert_eq!(
            text(r"{% raw %}{{ '\d' }}{% endraw %}{# '\d #}{{ '\d' }}"),
            r"{% raw %}{{ '\\d' }}{% endraw %}{# '\d #}{{ '\\d' }}"
        );
        assert_eq!(text("a\n{{\n1 }}\r\n\t\x01\"é"), "a\\n{{\n1 }}\\r\\n\\t\\u0001\\\"é");
    }

    #[test]
    fn places_are_those_of_the_last_text() {
        let encoded = encode(r"{{ '\d', 1 }}");
        assert_eq!(encoded.inserted, [4]);
        assert_eq!(encoded.and_later(&[3, 12]), [3, 5, 12]);
    }
}
