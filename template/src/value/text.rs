//! Strings, and the strings that HTML escaping leaves alone.

use std::sync::Arc;

/// An immutable string. Markup (from `escape`, `safe`, `tojson`, …) is not
/// escaped again.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: Arc<str>,
    markup: bool,
}

impl Text {
    pub(crate) fn plain(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), markup: false }
    }

    pub(crate) fn markup(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), markup: true }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) fn is_markup(&self) -> bool {
        self.markup
    }

    /// Length in characters, which is what Python counts.
    pub(crate) fn chars(&self) -> usize {
        if self.text.is_ascii() { self.text.len() } else { self.text.chars().count() }
    }
}

/// HTML escaping as MarkupSafe does it.
pub(crate) fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
}

pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    escape_into(text, &mut out);
    out
}
