//! Texts for people: in one line, or cut to a length.

/// A text in one line: control characters become blanks.
pub(crate) fn one_line(given: &str) -> String {
    let parts = given.split(char::is_control).map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// A text of at most `limit` characters; one that was cut ends in a note that says how long it was.
pub(crate) fn cut(text: String, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text;
    }
    let note = format!("… [cut: {count} characters in all]");
    let kept = limit.saturating_sub(note.chars().count());
    text.chars().take(kept).chain(note.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_longer_than_its_limit_is_cut_with_a_note() {
        for length in [0, 1, 249, 250] {
            assert_eq!(cut("ü".repeat(length), 250), "ü".repeat(length));
        }
        let text = cut("ü".repeat(251), 250);
        assert_eq!(text.chars().count(), 250);
        assert!(text.ends_with("ü… [cut: 251 characters in all]"), "{text}");
    }

    #[test]
    fn subject_with_line_breaks_becomes_one_line() {
        for (given, wanted) in
            [("a", "a"), ("a\r\nBcc: b\tc\n", "a Bcc: b c"), ("\n", ""), (" a  b ", "a  b")]
        {
            assert_eq!(one_line(given), wanted);
        }
    }
}
