//! Texts of jobs as pages show them: masked, and never longer than a page bears.

use pumice_core::secret::{mask, mask_value};
use pumice_core::text::acts;
use serde::Serialize;
use serde_json::Value;

/// Most bytes of a text within a page.
pub(crate) const MAX_TEXT: usize = 32 * 1024;

/// A text, or the beginning of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// The text.
    pub(crate) text: String,
    /// How many bytes more there are.
    pub(crate) more: usize,
}

/// A value as JSON for people, with secrets masked.
pub(crate) fn document(value: &Value) -> Shown {
    document_within(value, MAX_TEXT)
}

/// The same with at most so many bytes.
pub(crate) fn document_within(value: &Value, most: usize) -> Shown {
    let mut value = value.clone();
    mask_value(&mut value);
    // A value always serialises.
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Shown { text: plain(&text[..end]), more: text.len() - end }
}

/// A text of several lines in which the characters are written out that change the direction of others or act otherwise.
pub(crate) fn plain(text: &str) -> String {
    if !text.contains(|c| acts(c) && c != '\n' && c != '\t') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Puts a mask in place of each secret in the texts of what a template is given. The names of fields are the page's own.
pub(crate) fn mask_texts(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(masked) = mask(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_texts),
        Value::Object(fields) => fields.values_mut().for_each(mask_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn document_is_cut_between_characters() {
        let shown = document(&json!("é".repeat(MAX_TEXT)));
        assert!(shown.text.len() <= MAX_TEXT && shown.more > MAX_TEXT / 2);
        assert_eq!(document(&json!({ "a": 1 })), Shown { text: "{\n  \"a\": 1\n}".to_owned(), more: 0 });
    }

    #[test]
    fn character_that_misleads_is_written_out() {
        assert_eq!(plain("a\n\tb\u{202e}c\u{1b}"), "a\n\tb\\u{202e}c\\u{1b}");
    }

    #[test]
    fn number_is_shown_as_it_is_stored() {
        // A script would make 9007199254740992 of it.
        assert_eq!(document(&json!(9_007_199_254_740_993_u64)).text, "9007199254740993");
    }

    #[test]
    fn secret_is_masked_in_texts_and_not_in_names() {
        pumice_core::secret::remember("console-canary-1");
        let mut value = json!({ "console-canary-1": ["a console-canary-1"], "n": 1 });
        mask_texts(&mut value);
        assert_eq!(value, json!({ "console-canary-1": ["a *****"], "n": 1 }));
    }
}
