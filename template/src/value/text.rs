//! Strings, and the strings that HTML escaping leaves alone.

use std::sync::Arc;

use crate::fault::Outcome;
use crate::runtime::Runtime;

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

/// HTML escaping as MarkupSafe does it, charged before the text grows.
pub(crate) fn escape(rt: &Runtime<'_>, text: &str) -> Outcome<String> {
    rt.rewrite(text)?;
    let grown: usize = text
        .bytes()
        .map(|byte| match byte {
            b'&' | b'\'' | b'"' => 5,
            b'<' | b'>' => 4,
            _ => 1,
        })
        .sum();
    rt.alloc(grown)?;
    let mut out = String::with_capacity(grown);
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
    Ok(out)
}
