//! `str.format`.

use std::sync::Arc;

use super::spec;
use crate::attributes;
use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::methods::text_case::is_decimal;
use crate::runtime::Runtime;
use crate::value::show::{self, Shown};
use crate::value::text::escape;
use crate::value::{Text, Val, digits};

/// How deep a format may stand within a format: Python's bound.
const MAX_NESTING: usize = 2;

/// The arguments, and whether fields are numbered by themselves.
struct Fields<'a> {
    args: &'a Args,
    automatic: Option<bool>,
    next: i64,
    markup: bool,
}

/// A name of decimal digits alone, which is an index; a sign makes it a name.
fn index(name: &str) -> Outcome<Option<i64>> {
    if name.is_empty() || !name.chars().all(is_decimal) {
        return Ok(None);
    }
    match digits::ascii(name).parse() {
        Ok(index) => Ok(Some(index)),
        Err(_) => fail("the format has an index of too many digits"),
    }
}

/// `template.format(*args, **kwargs)`.
pub(crate) fn format(rt: &Runtime<'_>, template: &Text, args: &Args) -> Outcome {
    let mut fields = Fields { args, automatic: None, next: 0, markup: template.is_markup() };
    let text = expand(rt, template.as_str(), &mut fields, MAX_NESTING)?;
    Ok(Val::Str(if template.is_markup() { Text::markup(text) } else { Text::plain(text) }))
}

fn expand(rt: &Runtime<'_>, template: &str, fields: &mut Fields<'_>, nesting: usize) -> Outcome<String> {
    if nesting == 0 {
        return fail("formats are nested too deeply in str.format");
    }
    let mut out = Shown::new(rt);
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        rt.step(2)?;
        out.push(&rest[..at])?;
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push(brace)?;
            rest = after;
        } else if brace == "}" {
            return fail("the format has a single }: write }} for the character");
        } else {
            let end = field_end(rest)?;
            let shown = field(rt, &rest[..end], fields, nesting)?;
            out.push(&shown)?;
            rest = &rest[end + 1..];
        }
    }
    out.push(rest)?;
    Ok(out.text)
}

/// Where the field that `text` begins in ends.
fn field_end(text: &str) -> Outcome<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Ok(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    fail("the format has a { without its }: write {{ for the character")
}

fn field(rt: &Runtime<'_>, field: &str, fields: &mut Fields<'_>, nesting: usize) -> Outcome<String> {
    rt.rewrite(field)?;
    let split = field.find([':', '!']).filter(|at| {
        // A colon within [...] belongs to the key.
        !field[..*at].contains('[') || field[..*at].contains(']')
    });
    let (name, rest) = field.split_at(split.unwrap_or(field.len()));
    let (conversion, spec) = match rest.strip_prefix('!') {
        Some(rest) => {
            let Some(conversion) = rest.chars().next() else {
                return fail("the format lacks a conversion after !");
            };
            let after = &rest[conversion.len_utf8()..];
            match after.strip_prefix(':') {
                Some(spec) => (Some(conversion), spec),
                None if after.is_empty() => (Some(conversion), ""),
                None => return fail("the format expects : after the conversion"),
            }
        }
        None => (None, rest.strip_prefix(':').unwrap_or("")),
    };
    let mut value = look_up(rt, name, fields)?;
    match conversion {
        None => {}
        Some('s') => value = Val::Str(show::text(rt, &value)?),
        Some('r' | 'a') => value = Val::str(&show::repr(rt, &value)?),
        Some(other) => return fail(format!("\"!{other}\" is not a conversion: use !s or !r")),
    }
    let spec =
        if spec.contains(['{', '}']) { expand(rt, spec, fields, nesting - 1)? } else { spec.to_owned() };
    let shown = spec::format(rt, &value, &spec)?;
    let safe = matches!(&value, Val::Str(text) if text.is_markup());
    if fields.markup && !safe { escape(rt, &shown) } else { Ok(shown) }
}

fn look_up(rt: &Runtime<'_>, name: &str, fields: &mut Fields<'_>) -> Outcome {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    rt.step(fields.args.kw.len() as u64 / 16)?;
    let mut value = argument(first, fields)?;
    while !rest.is_empty() {
        rt.step(1 + rest.len() as u64 / 64)?;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let attr: Arc<str> = after[..end].into();
            if attr.is_empty() {
                return fail("the format has an empty attribute name");
            }
            if value.is_undefined() {
                return Err(rt.undefined(&value));
            }
            match attributes::attribute(rt, &value, &attr)? {
                Some(next) => value = next,
                None => return Err(attributes::missing_method(rt, &value, &attr)),
            }
            rest = &after[end..];
        } else {
            let Some(close) = rest.find(']') else {
                return fail("the format has a [ without its ]");
            };
            let key = &rest[1..close];
            let key = index(key)?.map_or_else(|| Val::str(key), Val::Int);
            match attributes::subscript(rt, &value, &key)? {
                Some(next) => value = next,
                None => return Err(rt.undefined(&Val::missing_member(&value, show::repr(rt, &key)?))),
            }
            rest = &rest[close + 1..];
            if !rest.is_empty() && !rest.starts_with(['.', '[']) {
                return fail("the format expects . or [ after ]");
            }
        }
    }
    Ok(value)
}

fn argument(name: &str, fields: &mut Fields<'_>) -> Outcome {
    let automatic = name.is_empty();
    let index = if automatic {
        fields.next += 1;
        Some(fields.next - 1)
    } else {
        index(name)?
    };
    let Some(index) = index else {
        let found = fields.args.kw.iter().find(|(known, _)| &**known == name);
        return match found {
            Some((_, value)) => Ok(value.clone()),
            None => fail(format!("the format names \"{name}\", which is not among its arguments")),
        };
    };
    if fields.automatic.is_some_and(|before| before != automatic) {
        return fail("the format mixes {} and {0}: number all fields or none");
    }
    fields.automatic = Some(automatic);
    match usize::try_from(index).ok().and_then(|index| fields.args.pos.get(index)) {
        Some(value) => Ok(value.clone()),
        None => fail(format!("the format has no argument {index}")),
    }
}
