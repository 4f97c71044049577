//! `text % values`, printf's way.

use num_traits::ToPrimitive;

use super::number;
use super::spec::Spec;
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::number::{Num, float_to_int};
use crate::value::text::escape;
use crate::value::undefined::with_article;
use crate::value::{Text, Val, compare, show};

/// Where the values of the conversions come from.
struct Values<'v> {
    list: Vec<Val>,
    next: usize,
    whole: &'v Val,
}

impl Values<'_> {
    fn next(&mut self) -> Outcome {
        let value = self.list.get(self.next).cloned();
        self.next += 1;
        match value {
            Some(value) => Ok(value),
            None => fail("there are fewer values than % conversions in the text"),
        }
    }

    fn named(&self, rt: &Runtime<'_>, name: &str) -> Outcome {
        let Val::Dict(dict) = self.whole else {
            return fail(format!("%({name}) needs a dict of values"));
        };
        match dict.read().get(&compare::key(rt, &Val::str(name))?) {
            Some(value) => Ok(value.clone()),
            None => fail(format!("there is no value \"{name}\" for %({name})")),
        }
    }
}

/// `template % values`.
pub(crate) fn format(rt: &Runtime<'_>, template: &Text, values: &Val) -> Outcome {
    if let Val::Tuple(tuple) = values {
        rt.copy_items(tuple.items.len())?;
    }
    let list = match values {
        Val::Tuple(tuple) => tuple.items.clone(),
        other => vec![other.clone()],
    };
    let mut source = Values { list, next: 0, whole: values };
    let mut out = show::Shown::new(rt);
    let mut rest = template.as_str();
    while let Some(at) = rest.find('%') {
        rt.step(1)?;
        out.push(&rest[..at])?;
        rest = conversion(rt, &rest[at + 1..], &mut source, &mut out, template.is_markup())?;
    }
    out.push(rest)?;
    let unused = source.next < source.list.len();
    // An indexable value may hold more than is used; a tuple may not.
    let optional =
        matches!(values, Val::Dict(_) | Val::List(_) | Val::Range(_) | Val::Bytes(_) | Val::Undefined(_));
    if unused && !optional {
        return fail("there are more values than % conversions in the text");
    }
    Ok(Val::Str(if template.is_markup() { Text::markup(out.text) } else { Text::plain(out.text) }))
}

/// One conversion, after its `%`; gives what follows it.
fn conversion<'t>(
    rt: &Runtime<'_>,
    text: &'t str,
    source: &mut Values<'_>,
    out: &mut show::Shown<'_, '_>,
    markup: bool,
) -> Outcome<&'t str> {
    let mut rest = text;
    let mut named = None;
    if let Some(after) = rest.strip_prefix('(') {
        let Some(end) = after.find(')') else {
            return fail("a %( in the text lacks its )");
        };
        named = Some(source.named(rt, &after[..end])?);
        rest = &after[end + 1..];
    }
    let mut spec = Spec::default();
    while let Some(flag @ ('#' | '0' | '-' | ' ' | '+')) = rest.chars().next() {
        match flag {
            '#' => spec.alternate = true,
            '0' => spec.zero = true,
            '-' => spec.align = Some('<'),
            sign if spec.sign != Some('+') => spec.sign = Some(sign),
            _ => {}
        }
        rest = &rest[1..];
    }
    if let Some(width) = count(&mut rest, source)? {
        spec.width = width.unsigned_abs() as usize;
        if width < 0 {
            spec.align = Some('<');
        }
    }
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        spec.precision = Some(usize::try_from(count(&mut rest, source)?.unwrap_or(0)).unwrap_or(0));
    }
    rest = rest.trim_start_matches(['h', 'l', 'L']);
    let Some(kind) = rest.chars().next() else {
        return fail("the text ends in an incomplete % conversion");
    };
    let rest = &rest[kind.len_utf8()..];
    if kind == '%' {
        out.push("%")?;
        return Ok(rest);
    }
    if spec.align == Some('<') {
        spec.zero = false;
    }
    let value = match named {
        Some(value) => value,
        None => source.next()?,
    };
    out.push(&convert(rt, kind, spec, &value, markup)?)?;
    Ok(rest)
}

/// A width or precision: digits, or `*` for the next value.
fn count(rest: &mut &str, source: &mut Values<'_>) -> Outcome<Option<i64>> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        return match source.next()? {
            Val::Int(number) => Ok(Some(number)),
            other => fail(format!("* needs an int, not {}", with_article(other.type_name()))),
        };
    }
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Ok(None);
    }
    let number = rest[..digits].parse().unwrap_or(i64::from(u32::MAX) << 10);
    *rest = &rest[digits..];
    Ok(Some(number))
}

fn convert(rt: &Runtime<'_>, kind: char, mut spec: Spec, value: &Val, markup: bool) -> Outcome<String> {
    match kind {
        's' | 'r' | 'a' => {
            if let Val::Str(text) = value {
                rt.room(text.as_str().len().saturating_mul(4))?;
            }
            let mut text = match (kind, value) {
                ('s', Val::Str(text)) if markup && text.is_markup() => text.as_str().to_owned(),
                ('s', value) => show::text(rt, value)?.as_str().to_owned(),
                (_, value) => show::repr(rt, value)?,
            };
            if kind == 'a' {
                rt.rewrite(&text)?;
                rt.room(text.len().saturating_mul(5))?;
                text = ascii(&text);
            }
            if markup && !matches!(value, Val::Str(text) if text.is_markup()) {
                text = escape(rt, &text)?;
            }
            if let Some(precision) = spec.precision {
                rt.rewrite(&text)?;
                text = text.chars().take(precision).collect();
            }
            spec.zero = false;
            spec.pad(rt, &text, '>')
        }
        'c' => {
            let text = match value {
                Val::Str(text) if text.chars() == 1 => text.as_str().to_owned(),
                Val::Bool(truth) => char::from(u8::from(*truth)).to_string(),
                Val::Int(code) => match code.to_u32().and_then(char::from_u32) {
                    Some(c) => c.to_string(),
                    None => return fail("%c needs a character or its code"),
                },
                _ => return fail("%c needs a character or its code"),
            };
            spec.zero = false;
            spec.pad(rt, &text, '>')
        }
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
            let number = integer(rt, kind, value)?;
            let digits = spec.precision.take();
            spec.kind = Some(if matches!(kind, 'i' | 'u') { 'd' } else { kind });
            let Some(digits) = digits else {
                return number::format(rt, &number, &spec);
            };
            // At least so many digits, after sign and prefix.
            let bare =
                Spec { kind: spec.kind, sign: spec.sign, alternate: spec.alternate, ..Spec::default() };
            let body = number::format(rt, &number, &bare)?;
            let signed = usize::from(body.starts_with(['-', '+', ' ']));
            let (sign, rest) = body.split_at(signed);
            let prefix = if spec.alternate && kind.eq_ignore_ascii_case(&'x') { 2 } else { 0 };
            let (prefix, rest) = rest.split_at(prefix);
            rt.alloc(digits)?;
            // format! takes no width beyond 16 bits.
            let zeros = "0".repeat(digits.saturating_sub(rest.len()));
            let body = format!("{sign}{prefix}{zeros}{rest}");
            spec.pad(rt, &body, '>')
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let number = match Num::of(value) {
                Some(number) => number.to_float()?,
                None => return needs_number(rt, kind, value),
            };
            spec.kind = Some(kind);
            number::format(rt, &Num::Float(number), &spec)
        }
        kind => fail(format!("\"%{kind}\" is not a conversion: write %% for a percent sign")),
    }
}

/// `ascii()`: what is not ASCII as escapes.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            0..=0x7f => out.push(c),
            code @ 0x80..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

fn integer(rt: &Runtime<'_>, kind: char, value: &Val) -> Outcome<Num> {
    match Num::of(value) {
        Some(Num::Float(number)) if matches!(kind, 'd' | 'i' | 'u') => {
            match float_to_int(number).as_ref().and_then(Num::of) {
                Some(number) => Ok(number),
                None => fail(format!("%{kind} cannot show {}", crate::value::float::repr(number))),
            }
        }
        Some(Num::Decimal(number)) if matches!(kind, 'd' | 'i' | 'u') => {
            Ok(Num::of(&Val::big(number.trunc())).unwrap_or(Num::Int(0)))
        }
        Some(number @ (Num::Int(_) | Num::Big(_))) => Ok(number),
        _ => needs_number(rt, kind, value),
    }
}

fn needs_number<T>(rt: &Runtime<'_>, kind: char, value: &Val) -> Outcome<T> {
    if value.is_undefined() {
        return Err(rt.undefined(value));
    }
    fail(format!("%{kind} needs a number, not {}", with_article(value.type_name())))
}
