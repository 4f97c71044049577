//! `tojson`, as Python's `json.dumps` with sorted keys.

use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Text, Val, compare, float, show};

/// `value|tojson(indent)`: safe to stand in HTML, and markup.
pub(super) fn tojson(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [indent] = args.bind("tojson", ["indent"], 0)?;
    let json = dumps(rt, value, indent.as_ref(), true)?;
    Ok(Val::Str(Text::markup(json)))
}

/// The JSON text of a value.
pub(crate) fn dumps(rt: &Runtime<'_>, value: &Val, indent: Option<&Val>, html: bool) -> Outcome<String> {
    let indent = match indent {
        None | Some(Val::None) => None,
        Some(Val::Str(text)) => {
            rt.alloc(text.as_str().len())?;
            Some(text.as_str().to_owned())
        }
        Some(other) => {
            let width = crate::call::int(rt, "tojson", "indent", other)?;
            let width = usize::try_from(width).unwrap_or(0);
            rt.alloc(width)?;
            Some(" ".repeat(width))
        }
    };
    let mut writer = Writer { out: show::Shown::new(rt), rt, indent, level: 0, html };
    writer.value(value)?;
    Ok(writer.out.text)
}

struct Writer<'r, 'c> {
    out: show::Shown<'r, 'c>,
    rt: &'r Runtime<'c>,
    indent: Option<String>,
    level: usize,
    /// Whether to write for HTML, with keys in order, as the filter does.
    html: bool,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Val) -> Outcome<()> {
        self.rt.step(1)?;
        match value {
            Val::None => self.out.push("null"),
            Val::Bool(true) => self.out.push("true"),
            Val::Bool(false) => self.out.push("false"),
            Val::Int(_) | Val::Big(_) => self.out.repr(value),
            Val::Float(number) => self.out.push(&json_float(*number)),
            Val::Str(text) => {
                let quoted = self.quoted(text.as_str())?;
                self.out.push(&quoted)
            }
            Val::List(list) => {
                self.rt.copy_items(list.len())?;
                let items = list.read().clone();
                self.array(&items)
            }
            Val::Tuple(tuple) => self.array(&tuple.items),
            Val::Dict(dict) => {
                self.rt.copy_items(2 * dict.len())?;
                let mut entries: Vec<(Val, Val)> =
                    dict.read().iter().map(|(key, value)| (key.0.clone(), value.clone())).collect();
                compare::sort_by_key(self.rt, &mut entries, false, |(key, _)| key)?;
                self.object(&entries)
            }
            Val::Undefined(_) => Err(self.rt.undefined(value)),
            other => {
                fail(format!("tojson cannot show {}: make text of it first", with_article(other.type_name())))
            }
        }
    }

    fn line(&mut self) -> Outcome<()> {
        if let Some(indent) = &self.indent {
            self.out.push("\n")?;
            for _ in 0..self.level {
                self.out.push(indent)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, items: &[Val]) -> Outcome<()> {
        self.group("[", "]", items.len(), |writer, at| writer.value(&items[at]))
    }

    fn object(&mut self, entries: &[(Val, Val)]) -> Outcome<()> {
        self.group("{", "}", entries.len(), |writer, at| {
            let (key, value) = &entries[at];
            let key = writer.key(key)?;
            writer.out.push(&key)?;
            writer.out.push(": ")?;
            writer.value(value)
        })
    }

    fn group(
        &mut self,
        open: &str,
        close: &str,
        count: usize,
        mut each: impl FnMut(&mut Self, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        self.out.push(open)?;
        if count == 0 {
            return self.out.push(close);
        }
        let rt = self.rt;
        self.level += 1;
        for at in 0..count {
            if at > 0 {
                self.out.push(if self.indent.is_some() { "," } else { ", " })?;
            }
            self.line()?;
            rt.deeper(|| each(self, at))?;
        }
        self.level -= 1;
        self.line()?;
        self.out.push(close)
    }

    /// A string in quotes; no character takes more than six for one byte.
    fn quoted(&self, text: &str) -> Outcome<String> {
        self.rt.rewrite(text)?;
        self.rt.room(text.len().saturating_mul(6))?;
        Ok(quoted(text, self.html))
    }

    fn key(&self, key: &Val) -> Outcome<String> {
        Ok(match key {
            Val::Str(text) => self.quoted(text.as_str())?,
            Val::None => "\"null\"".to_owned(),
            Val::Bool(truth) => format!("\"{truth}\""),
            Val::Float(number) => format!("\"{}\"", json_float(*number)),
            Val::Int(_) | Val::Big(_) => format!("\"{}\"", show::repr(self.rt, key)?),
            other => {
                return fail(format!("tojson cannot use {} as a key", with_article(other.type_name())));
            }
        })
    }
}

fn json_float(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        float::repr(number)
    }
}

/// A JSON string in ASCII, with `<`, `>`, `&` and `'` written as escapes
/// where it is to stand in HTML.
fn quoted(text: &str, html: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut units = [0u16; 2];
    let escape = |out: &mut String, unit: u16| {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from(HEX[usize::from(unit >> shift & 15)]));
        }
    };
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\'' if html => escape(&mut out, c as u16),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut units) {
                    escape(&mut out, *unit);
                }
            }
        }
    }
    out.push('"');
    out
}
