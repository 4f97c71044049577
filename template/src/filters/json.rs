//! `tojson`, as Python's `json.dumps`: the filter of Jinja2 and the function
//! among lava's utilities.

use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Text, Val, compare, float, show};

/// `value|tojson(indent)`: safe to stand in HTML, and markup.
pub(super) fn tojson(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [indent] = args.bind("tojson", ["indent"], 0)?;
    let style =
        Style { indent: indent_of(rt, indent.as_ref())?, sorted: true, html: true, ..Style::default() };
    let json = dumps(rt, value, style)?;
    Ok(Val::Str(Text::markup(json)))
}

/// `utils.tojson(value, indent=…, sort_keys=…, separators=…, …)`: lava's
/// `json.dumps`, which also shows what JSON has no type for.
pub(crate) fn lavas_tojson(rt: &Runtime<'_>, mut args: Args) -> Outcome {
    if let Some(name) = ["default", "cls"].into_iter().find(|name| args.take_kw(name).is_some()) {
        return fail(format!("tojson(): \"{name}\" cannot be given in templates"));
    }
    let flag = |args: &mut Args, name, default| args.take_kw(name).map_or(default, |value| value.truth());
    let mut style = Style {
        sorted: flag(&mut args, "sort_keys", false),
        ascii: flag(&mut args, "ensure_ascii", true),
        nan: flag(&mut args, "allow_nan", true),
        skips_keys: flag(&mut args, "skipkeys", false),
        lavas: true,
        ..Style::default()
    };
    flag(&mut args, "check_circular", true);
    style.indent = indent_of(rt, args.take_kw("indent").as_ref())?;
    if let Some(separators) = args.take_kw("separators").filter(|separators| !separators.is_none()) {
        let parts = rt.items(&separators)?;
        let [Val::Str(item), Val::Str(key)] = &parts[..] else {
            return fail("tojson(): \"separators\" must be two texts");
        };
        style.separators = Some((item.clone(), key.clone()));
    }
    let [value] = args.bind("tojson", ["obj"], 1)?;
    let value = value.unwrap_or(Val::None);
    let json = dumps(rt, &value, style)?;
    rt.alloc(json.len())?;
    Ok(Val::Str(Text::plain(json)))
}

/// How JSON is written.
struct Style {
    indent: Option<String>,
    /// Between items, and after keys.
    separators: Option<(Text, Text)>,
    sorted: bool,
    /// Whether it is to stand in HTML.
    html: bool,
    ascii: bool,
    nan: bool,
    skips_keys: bool,
    /// Whether other values are shown as lava shows them.
    lavas: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            indent: None,
            separators: None,
            sorted: false,
            html: false,
            ascii: true,
            nan: true,
            skips_keys: false,
            lavas: false,
        }
    }
}

fn indent_of(rt: &Runtime<'_>, indent: Option<&Val>) -> Outcome<Option<String>> {
    Ok(match indent {
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
    })
}

/// The JSON text of a value.
fn dumps(rt: &Runtime<'_>, value: &Val, style: Style) -> Outcome<String> {
    let mut writer = Writer { out: show::Shown::new(rt), rt, style, level: 0 };
    writer.value(value)?;
    Ok(writer.out.text)
}

struct Writer<'r, 'c> {
    out: show::Shown<'r, 'c>,
    rt: &'r Runtime<'c>,
    style: Style,
    level: usize,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Val) -> Outcome<()> {
        self.rt.step(1)?;
        match value {
            Val::None => self.out.push("null"),
            Val::Bool(true) => self.out.push("true"),
            Val::Bool(false) => self.out.push("false"),
            Val::Int(_) | Val::Big(_) => self.out.repr(value),
            Val::Float(number) => {
                let shown = self.float(*number)?;
                self.out.push(&shown)
            }
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
                if self.style.skips_keys {
                    entries.retain(|(key, _)| is_key(key));
                }
                if self.style.sorted {
                    compare::sort_by_key(self.rt, &mut entries, false, |(key, _)| key)?;
                }
                self.object(&entries)
            }
            other if self.style.lavas => self.other(other),
            Val::Undefined(_) => Err(self.rt.undefined(value)),
            other => {
                fail(format!("tojson cannot show {}: make text of it first", with_article(other.type_name())))
            }
        }
    }

    /// lava's `json_default`.
    fn other(&mut self, value: &Val) -> Outcome<()> {
        let text = match value {
            Val::Decimal(number) => {
                let text = number.to_string();
                let shown = if text.contains('.') {
                    self.float(number.to_float())?
                } else {
                    show::repr(self.rt, &Val::big(number.trunc()))?
                };
                return self.out.push(&shown);
            }
            Val::DateTime(at) => at.isoformat("T", "auto"),
            Val::Delta(delta) => float::repr(delta.total_seconds()),
            other => show::text(self.rt, other)?.as_str().to_owned(),
        };
        let quoted = self.quoted(&text)?;
        self.out.push(&quoted)
    }

    fn float(&self, number: f64) -> Outcome<String> {
        if !self.style.nan && !number.is_finite() {
            return fail(format!("tojson(): {} is not in JSON", float::repr(number)));
        }
        Ok(json_float(number))
    }

    fn line(&mut self) -> Outcome<()> {
        if let Some(indent) = &self.style.indent {
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
            match &writer.style.separators {
                Some((_, colon)) => writer.out.push(colon.as_str())?,
                None => writer.out.push(": ")?,
            }
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
                match &self.style.separators {
                    Some((comma, _)) => self.out.push(comma.as_str())?,
                    None => self.out.push(if self.style.indent.is_some() { "," } else { ", " })?,
                }
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
        Ok(quoted(&self.rt.readable(text), self.style.html, self.style.ascii))
    }

    fn key(&self, key: &Val) -> Outcome<String> {
        Ok(match key {
            Val::Str(text) => self.quoted(text.as_str())?,
            Val::None => "\"null\"".to_owned(),
            Val::Bool(truth) => format!("\"{truth}\""),
            Val::Float(number) => format!("\"{}\"", self.float(*number)?),
            Val::Int(_) | Val::Big(_) => format!("\"{}\"", show::repr(self.rt, key)?),
            other => {
                return fail(format!("tojson cannot use {} as a key", with_article(other.type_name())));
            }
        })
    }
}

fn is_key(key: &Val) -> bool {
    matches!(key, Val::Str(_) | Val::None | Val::Bool(_) | Val::Float(_) | Val::Int(_) | Val::Big(_))
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

/// A JSON string, perhaps in ASCII, with `<`, `>`, `&` and `'` written as
/// escapes where it is to stand in HTML.
pub(crate) fn quoted(text: &str, html: bool, ascii: bool) -> String {
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
            c if !ascii && c >= ' ' => out.push(c),
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
