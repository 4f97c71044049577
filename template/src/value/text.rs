//! Strings, and the strings that HTML escaping leaves alone.

use std::borrow::Cow;
use std::sync::Arc;

use crate::fault::Outcome;
use crate::runtime::Runtime;

/// An immutable string.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: Arc<str>,
    /// The text without marks, where it has some and others are looked for in
    /// it.
    searched: Option<Arc<str>>,
    /// From `escape`, `safe`, `tojson`, …: not escaped again.
    markup: bool,
}

impl Text {
    pub(crate) fn plain(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), searched: None, markup: false }
    }

    pub(crate) fn markup(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), searched: None, markup: true }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.text
    }

    /// The same text, made ready to be searched many times.
    pub(crate) fn made_searchable(mut self, rt: &Runtime<'_>) -> Outcome<Self> {
        if let Cow::Owned(readable) = rt.readable(&self.text) {
            rt.alloc(readable.len())?;
            self.searched = Some(readable.into());
        }
        Ok(self)
    }

    /// The text in which others are looked for: as long as the text itself.
    pub(crate) fn searched(&self) -> &str {
        self.searched.as_deref().unwrap_or(&self.text)
    }

    pub(crate) fn is_markup(&self) -> bool {
        self.markup
    }

    /// Length in characters, which is what Python counts.
    pub(crate) fn chars(&self) -> usize {
        if self.text.is_ascii() { self.text.len() } else { self.text.chars().count() }
    }

    /// `part` of this text.
    pub(crate) fn part(&self, rt: &Runtime<'_>, part: String) -> Outcome<Self> {
        rt.alloc(part.len())?;
        Ok(Self { text: part.into(), searched: None, markup: self.markup })
    }
}

/// HTML escaping as MarkupSafe does it, charged before the text grows.
pub(crate) fn escape(rt: &Runtime<'_>, text: &str) -> Outcome<String> {
    rt.rewrite(text)?;
    let text = &*rt.readable_quotes(text);
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
