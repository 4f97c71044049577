//! Text for display: escaping, cutting and look-alikes of untrusted text, digits, counts.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Longest part of a text from outside that a message shows, in characters.
pub const MAX_SHOWN: usize = 60;

/// A character that misleads a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blemish {
    /// A control character: it may act on a terminal.
    Control(char),
    /// It has no width, or changes the direction or look of its neighbours.
    Invisible(char),
    /// A blank other than the plain space.
    Blank(char),
}

/// How a character misleads a reader; `None` for visible characters and the plain space.
#[must_use]
pub fn blemish_of(c: char) -> Option<Blemish> {
    if (' '..='~').contains(&c) {
        return None;
    }
    match c.general_category() {
        GeneralCategory::Control => Some(Blemish::Control(c)),
        GeneralCategory::Format | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            Some(Blemish::Invisible(c))
        }
        GeneralCategory::SpaceSeparator => Some(Blemish::Blank(c)),
        _ if is_ignorable(c) => Some(Blemish::Invisible(c)),
        _ => None,
    }
}

/// Characters that are shown as nothing though they count as letters and marks (Unicode,
/// `Default_Ignorable_Code_Point`; those of the category `Cf` are left out here).
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{2800}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2065}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The first misleading character of a text.
#[must_use]
pub fn blemish(text: &str) -> Option<Blemish> {
    text.chars().find_map(blemish_of)
}

/// Whether a terminal acts on a character: control and direction-changing characters and line separators.
/// Joiners and variation selectors, as in names and emoji, are harmless.
#[must_use]
pub fn acts(c: char) -> bool {
    match blemish_of(c) {
        Some(Blemish::Control(_)) => true,
        Some(Blemish::Invisible(c)) => !is_ignorable(c) && !matches!(c, '\u{ad}' | '\u{200c}' | '\u{200d}'),
        _ => false,
    }
}

/// The text in one line, with every character that a terminal acts on written as `\n`, `\x1b` or `\u{202e}`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\n' | '\r' | '\t' => write!(shown, "{}", c.escape_default()),
            c if acts(c) && u32::from(c) < 0x100 => write!(shown, "\\x{:02x}", u32::from(c)),
            c if acts(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c => write!(shown, "{c}"),
        };
    }
    Cow::Owned(shown)
}

/// The first [`MAX_SHOWN`] characters of a text, with a mark where more was.
#[must_use]
pub fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// A text cut and escaped, without quotes.
#[must_use]
pub fn shown(text: &str) -> String {
    escaped(&cut(text)).into_owned()
}

/// A text in quotes, cut and with misleading characters escaped: the form of user input in messages.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut shown = String::from('"');
    for c in cut(text).chars() {
        // Writing to a String cannot fail.
        let _ = match blemish_of(c) {
            None if matches!(c, '"' | '\\') => write!(shown, "\\{c}"),
            None => write!(shown, "{c}"),
            Some(_) => write!(shown, "{}", c.escape_default()),
        };
    }
    shown.push('"');
    shown
}

/// The skeleton of a text: texts that a reader confuses have the same one (Unicode TR 39, after case folding and
/// normalisation).
#[must_use]
pub fn look(text: &str) -> String {
    let small: String = visible(text).flat_map(char::to_lowercase).collect();
    let skeleton: String = unicode_security::skeleton(&small).collect();
    skeleton.to_lowercase()
}

/// The skeleton of a text as it is written, in which a capital I is a small l.
#[must_use]
pub fn look_as_written(text: &str) -> String {
    let written: String = visible(text).collect();
    unicode_security::skeleton(&written).collect()
}

fn visible(text: &str) -> impl Iterator<Item = char> {
    text.nfkc().filter(|c| !matches!(blemish_of(*c), Some(Blemish::Control(_) | Blemish::Invisible(_))))
}

/// A count with its noun: `1 job`, `2 jobs`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Bytes in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a string never fails.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_characters_are_written_out() {
        for (text, shown) in [
            ("plain Größe 日本", "plain Größe 日本"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{1b}[2J\u{7}", "\\x1b[2J\\x07"),
            ("\u{9b}31m", "\\x9b31m"),
            ("a\u{202e}b\u{200b}", "a\\u{202e}b\\u{200b}"),
            ("\u{feff}x", "\\u{feff}x"),
            ("\u{2764}\u{fe0f} می\u{200c}خواهم", "\u{2764}\u{fe0f} می\u{200c}خواهم"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn long_texts_are_cut_at_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ö".repeat(MAX_SHOWN + 1);
        assert_eq!(cut(&long).chars().count(), MAX_SHOWN + 1);
        assert!(quoted(&"x".repeat(1 << 20)).len() < 100);
        assert_eq!(quoted("a\u{202e}\n"), "\"a\\u{202e}\\n\"");
    }

    #[test]
    fn look_alikes_look_alike() {
        for (one, other) in [
            ("etl/load", "Etl/Load"),
            ("etl/load", "еtl/load"),
            ("café", "cafe\u{301}"),
            ("job1", "jobl"),
            ("run0", "runo"),
            ("etl∕load", "etl/load"),
            ("ﬁle", "file"),
            ("a\u{200b}b", "ab"),
            ("ＡＢ", "ab"),
        ] {
            assert_eq!(look(one), look(other), "{one} {other}");
        }
        assert_eq!(look_as_written("etl/load"), look_as_written("etl/Ioad"));
        assert_ne!(look_as_written("mail"), look_as_written("mall"));
        for (one, other) in [("etl/load/01", "etl/load/02"), ("a-b", "a_b"), ("café", "cafe"), ("a", "b")] {
            assert_ne!(look(one), look(other), "{one} {other}");
        }
    }
}
