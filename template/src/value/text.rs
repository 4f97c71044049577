//! Strings, and the strings that HTML escaping leaves alone.

use std::sync::Arc;

use crate::fault::Outcome;
use crate::runtime::Runtime;
use crate::syntax::structured;

/// An immutable string.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: Arc<str>,
    /// For a literal of a structure's string: what lava's Jinja2 sees, in
    /// which the escapes that JSON is to read are still there. Where text is
    /// looked for, that counts; where text is written, what JSON reads.
    exact: Option<Arc<Box<str>>>,
    mark: Mark,
}

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Plain,
    /// From `escape`, `safe`, `tojson`, …: not escaped again.
    Markup,
    /// A string in JSON, with its quotes.
    Json,
    JsonMarkup,
}

impl Text {
    fn new(text: Arc<str>, mark: Mark) -> Self {
        Self { text, exact: None, mark }
    }

    pub(crate) fn plain(text: impl Into<Arc<str>>) -> Self {
        Self::new(text.into(), Mark::Plain)
    }

    pub(crate) fn markup(text: impl Into<Arc<str>>) -> Self {
        Self::new(text.into(), Mark::Markup)
    }

    /// A literal of a structure's string.
    pub(crate) fn literal(text: impl Into<Arc<str>>, exact: &str) -> Self {
        Self { exact: Some(Arc::new(exact.into())), ..Self::plain(text) }
    }

    /// A string in JSON, with its quotes.
    pub(crate) fn json(text: impl Into<Arc<str>>, markup: bool) -> Self {
        Self::new(text.into(), if markup { Mark::JsonMarkup } else { Mark::Json })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The text where others are looked for or compared.
    pub(crate) fn exact(&self) -> &str {
        self.exact.as_ref().map_or(&self.text, |exact| exact)
    }

    pub(crate) fn is_literal(&self) -> bool {
        self.exact.is_some()
    }

    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) fn is_markup(&self) -> bool {
        matches!(self.mark, Mark::Markup | Mark::JsonMarkup)
    }

    /// Length in characters, which is what Python counts.
    pub(crate) fn chars(&self) -> usize {
        if self.text.is_ascii() { self.text.len() } else { self.text.chars().count() }
    }

    /// `part` of this text. In a structure, where lava reads what is rendered
    /// as JSON, a JSON string that lost its quotes becomes what it says.
    pub(crate) fn part(&self, rt: &Runtime<'_>, part: String) -> Outcome<Self> {
        let json = matches!(self.mark, Mark::Json | Mark::JsonMarkup);
        if !json || !rt.structured {
            rt.alloc(part.len())?;
            return Ok(Self::new(part.into(), if self.is_markup() { Mark::Markup } else { Mark::Plain }));
        }
        rt.rewrite(&part)?;
        rt.alloc(part.len())?;
        if part.starts_with('"') || (part.ends_with('"') && !part.ends_with("\\\"")) {
            return Ok(Self::new(part.into(), self.mark));
        }
        let mut read = structured::read_json(&part);
        let slashes = part.len() - part.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            // A quote at the end was taken for one of JSON's own.
            read.pop();
            read.push('"');
        }
        Ok(Self::plain(read))
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
