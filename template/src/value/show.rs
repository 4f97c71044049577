//! `str` and `repr`.

use std::sync::Arc;

use super::{Text, Val, float, number::MAX_STR_DIGITS};
use crate::fault::{Outcome, over};
use crate::rrule;
use crate::runtime::Runtime;

/// Text that grows while something is shown, charged to the rendering's
/// memory as it grows.
pub(crate) struct Shown<'r, 'c> {
    rt: &'r Runtime<'c>,
    pub(crate) text: String,
    /// The containers being shown, so that one within itself ends.
    open: Vec<*const ()>,
}

impl<'r, 'c> Shown<'r, 'c> {
    pub(crate) fn new(rt: &'r Runtime<'c>) -> Self {
        Self { rt, text: String::new(), open: Vec::new() }
    }

    pub(crate) fn push(&mut self, part: &str) -> Outcome<()> {
        self.rt.alloc(part.len())?;
        self.text.push_str(part);
        Ok(())
    }

    /// Charges so many parts that are going to be pushed.
    pub(crate) fn charge(&self, parts: usize) -> Outcome<()> {
        self.rt.step(parts as u64)
    }

    /// `str(value)`.
    pub(crate) fn str(&mut self, value: &Val) -> Outcome<()> {
        match value {
            Val::Str(text) => self.push(text.as_str()),
            Val::Undefined(_) => Ok(()),
            Val::Decimal(number) => self.push(&number.to_string()),
            Val::Date(date) => self.push(&date.to_string()),
            Val::Time(time) => self.push(&time.to_string()),
            Val::DateTime(datetime) => self.push(&datetime.isoformat(" ", "auto")),
            Val::Delta(delta) => self.push(&delta.to_string()),
            Val::Zone(zone) => self.push(&zone.to_string()),
            Val::Uuid(uuid) => self.push(&uuid.hyphenated().to_string()),
            Val::Object(_) => match rrule::of(value) {
                Some(rule) => self.push(&rule.text()),
                None => self.repr(value),
            },
            other => self.repr(other),
        }
    }

    /// `repr(value)`.
    pub(crate) fn repr(&mut self, value: &Val) -> Outcome<()> {
        self.rt.step(1)?;
        match value {
            Val::Undefined(_) => self.push("Undefined"),
            Val::None => self.push("None"),
            Val::Bool(true) => self.push("True"),
            Val::Bool(false) => self.push("False"),
            Val::Int(number) => self.push(&number.to_string()),
            Val::Big(number) => {
                // Three bits and a third make a digit.
                if number.bits() * 3 / 10 > MAX_STR_DIGITS as u64 {
                    return over("the integer has more than 4300 digits to show", "4300 digits, Python's");
                }
                self.push(&number.to_string())
            }
            Val::Float(number) => self.push(&float::repr(*number)),
            Val::Decimal(number) => self.push(&format!("Decimal('{number}')")),
            Val::Str(text) if text.is_markup() => {
                self.push("Markup(")?;
                self.quoted(text.as_str())?;
                self.push(")")
            }
            Val::Str(text) => self.quoted(text.as_str()),
            Val::Bytes(bytes) => {
                self.rt.step(bytes.len() as u64 / 8)?;
                self.rt.room(bytes.len().saturating_mul(4))?;
                self.push(&repr_bytes(bytes))
            }
            Val::Uuid(uuid) => self.push(&format!("UUID('{}')", uuid.hyphenated())),
            Val::List(_) | Val::Tuple(_) | Val::Dict(_) | Val::View(_) => self.container(value),
            Val::Range(range) => {
                let step = if range.step == 1 { String::new() } else { format!(", {}", range.step) };
                self.push(&format!("range({}, {}{step})", range.start, range.stop))
            }
            Val::Iter(iter) if iter.name.ends_with(" object") => self.push(&format!("<{}>", iter.name)),
            Val::Iter(iter) => self.push(&format!("<generator object {}>", iter.name)),
            Val::Date(date) => self.push(&date.repr()),
            Val::Time(time) => self.push(&time.repr()),
            Val::DateTime(datetime) => self.push(&datetime.repr()),
            Val::Delta(delta) => self.push(&delta.repr()),
            Val::Relative(relative) => self.push(&relative.repr()),
            Val::Weekday(weekday) => self.push(&weekday.to_string()),
            Val::Zone(zone) => self.push(&zone.repr()),
            Val::Pattern(pattern) => {
                self.rt.rewrite(pattern.source())?;
                self.push(&pattern.repr())
            }
            Val::Match(found) => {
                self.rt.rewrite(found.string())?;
                self.push(&found.repr())
            }
            Val::Native(native) => self.push(&native.repr()),
            Val::Method(method) => self.push(&format!("<bound method {}>", method.name)),
            Val::Macro(makro) => self.push(&format!("<Macro {}>", repr_str(&makro.name()))),
            Val::Object(object) => object.clone().show(self),
        }
    }

    /// A string in quotes: at most ten bytes for one.
    fn quoted(&mut self, text: &str) -> Outcome<()> {
        self.rt.rewrite(text)?;
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !matches!(byte, b'\'' | b'"' | b'\\')) {
            self.push("'")?;
            self.push(text)?;
            return self.push("'");
        }
        self.rt.room(text.len().saturating_mul(5))?;
        self.push(&repr_str(&self.rt.readable(text)))
    }

    fn container(&mut self, value: &Val) -> Outcome<()> {
        let address = match value {
            Val::List(list) => Arc::as_ptr(list).cast(),
            Val::Tuple(tuple) => Arc::as_ptr(tuple).cast(),
            Val::Dict(dict) => Arc::as_ptr(dict).cast(),
            Val::View(view) => Arc::as_ptr(view).cast::<()>(),
            _ => return Ok(()),
        };
        if self.open.contains(&address) {
            return self.push(match value {
                Val::Dict(_) => "{...}",
                Val::Tuple(_) => "(...)",
                _ => "[...]",
            });
        }
        self.open.push(address);
        let rt = self.rt;
        let shown = rt.deeper(|| self.members(value));
        self.open.pop();
        shown
    }

    fn members(&mut self, value: &Val) -> Outcome<()> {
        match value {
            Val::List(list) => {
                self.rt.copy_items(list.len())?;
                let items = list.read().clone();
                self.sequence("[", &items, "]")
            }
            Val::Tuple(tuple) => match tuple.named {
                // A pair of groupby shows as a plain one.
                Some(fields) if fields.type_name != "tuple" => {
                    self.push(fields.type_name)?;
                    self.push("(")?;
                    for (at, (name, item)) in fields.names.iter().zip(&tuple.items).enumerate() {
                        self.push(if at == 0 { "" } else { ", " })?;
                        self.push(name)?;
                        self.push("=")?;
                        self.repr(item)?;
                    }
                    self.push(")")
                }
                _ if tuple.items.len() == 1 => self.sequence("(", &tuple.items, ",)"),
                _ => self.sequence("(", &tuple.items, ")"),
            },
            Val::View(view) => {
                self.push(view.type_name())?;
                let items = self.rt.view_items(view)?;
                self.sequence("([", &items, "])")
            }
            Val::Dict(dict) => {
                self.rt.copy_items(2 * dict.len())?;
                let entries = dict.read().clone();
                self.push("{")?;
                for (at, (key, item)) in entries.iter().enumerate() {
                    self.push(if at == 0 { "" } else { ", " })?;
                    self.repr(&key.0)?;
                    self.push(": ")?;
                    self.repr(item)?;
                }
                self.push("}")
            }
            _ => Ok(()),
        }
    }

    /// A member of an object that may contain itself.
    pub(crate) fn object_field(&mut self, value: &Val) -> Outcome<()> {
        let rt = self.rt;
        rt.deeper(|| self.repr(value))
    }

    fn sequence(&mut self, open: &str, items: &[Val], close: &str) -> Outcome<()> {
        self.push(open)?;
        for (at, item) in items.iter().enumerate() {
            self.push(if at == 0 { "" } else { ", " })?;
            self.repr(item)?;
        }
        self.push(close)
    }
}

/// `str(value)` as text; strings are shared, not copied.
pub(crate) fn text(rt: &Runtime<'_>, value: &Val) -> Outcome<Text> {
    match value {
        Val::Str(text) => {
            rt.look_at(text.as_str())?;
            Ok(text.clone())
        }
        other => {
            let mut shown = Shown::new(rt);
            shown.str(other)?;
            Ok(Text::plain(shown.text))
        }
    }
}

/// `repr(value)`.
pub(crate) fn repr(rt: &Runtime<'_>, value: &Val) -> Outcome<String> {
    let mut shown = Shown::new(rt);
    shown.repr(value)?;
    Ok(shown.text)
}

/// A string in quotes as `repr` writes it.
pub(crate) fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&match c as u32 {
                code @ 0..=0xff => format!("\\x{code:02x}"),
                code @ 0x100..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable` for one character: not a control, format, private or
/// separator character, the space excepted.
pub(crate) fn is_printable(c: char) -> bool {
    !matches!(
        c as u32,
        0..=0x1f
            | 0x7f..=0xa0
            | 0xad
            | 0x600..=0x605
            | 0x61c
            | 0x6dd
            | 0x70f
            | 0x1680
            | 0x180e
            | 0x2000..=0x200f
            | 0x2028..=0x202f
            | 0x205f..=0x206f
            | 0x3000
            | 0xd800..=0xf8ff
            | 0xfeff
            | 0xfff0..=0xfffb
            | 0xfffe..=0xffff
            | 0x1d173..=0x1d17a
            | 0xe0000..
    )
}

fn repr_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte if char::from(*byte) == quote => out.extend(['\\', quote]),
            0x20..=0x7e => out.push(char::from(*byte)),
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
    out
}
