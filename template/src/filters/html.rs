//! Filters for HTML.

use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Text, Val, show, text};

fn markup(text: String) -> Outcome {
    Ok(Val::Str(Text::markup(text)))
}

/// `value|escape`: markup is left alone.
pub(super) fn escape(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("escape")?;
    match value {
        Val::Str(text) if text.is_markup() => Ok(value.clone()),
        other => {
            let plain = show::text(rt, other)?;
            markup(text::escape(rt, plain.as_str())?)
        }
    }
}

/// `value|forceescape`: markup too.
pub(super) fn forceescape(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("forceescape")?;
    let plain = show::text(rt, value)?;
    markup(text::escape(rt, plain.as_str())?)
}

/// `value|safe`.
pub(super) fn safe(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("safe")?;
    let text = show::text(rt, value)?;
    Ok(Val::Str(Text::markup(std::sync::Arc::clone(text.shared()))))
}

/// `value|striptags`.
pub(super) fn striptags(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("striptags")?;
    let text = show::text(rt, value)?;
    rt.rewrite(text.as_str())?;
    rt.room(text.as_str().len().saturating_mul(20))?;
    rt.text(stripped_tags(text.as_str()))
}

/// Text without comments and tags, with single blanks, entities resolved.
pub(crate) fn stripped_tags(text: &str) -> String {
    let without = |text: &str, open: &str, close: &str| {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(open) {
            let Some((_, after)) = after.split_once(close) else {
                break;
            };
            out.push_str(before);
            rest = after;
        }
        out + rest
    };
    let plain = without(&without(text, "<!--", "-->"), "<", ">");
    let words: Vec<&str> = plain.split_whitespace().collect();
    unescaped(&words.join(" "))
}

/// The entities that escaping makes and the commonest others, resolved.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        let entity = end.and_then(|end| Some((entity(&rest[..end])?, end)));
        match entity {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out + rest
}

fn entity(name: &str) -> Option<char> {
    if let Some(code) = name.strip_prefix('#') {
        let code = match code.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => code.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "copy" => '©',
        "reg" => '®',
        "hellip" => '…',
        "mdash" => '—',
        "ndash" => '–',
        "euro" => '€',
        _ => return None,
    })
}

/// `value|xmlattr(autospace)`.
pub(super) fn xmlattr(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [autospace] = args.bind("xmlattr", ["autospace"], 0)?;
    let Val::Dict(dict) = value else {
        return fail("xmlattr needs a dict");
    };
    let mut attributes = Vec::new();
    let entries = dict.read();
    for (key, value) in entries.iter() {
        rt.step(1)?;
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let Val::Str(name) = &key.0 else {
            return fail(format!(
                "an attribute's name must be text, not {}",
                with_article(key.0.type_name())
            ));
        };
        if name.as_str().contains(|c: char| c.is_whitespace() || matches!(c, '/' | '>' | '=')) {
            return fail(format!("\"{}\" cannot be the name of an attribute", name.as_str()));
        }
        let value = show::text(rt, value)?;
        let shown =
            if value.is_markup() { value.as_str().to_owned() } else { text::escape(rt, value.as_str())? };
        rt.alloc(name.as_str().len() + shown.len())?;
        attributes.push(format!("{}=\"{shown}\"", text::escape(rt, name.as_str())?));
    }
    let mut out = attributes.join(" ");
    if autospace.is_none_or(|autospace| autospace.truth()) && !out.is_empty() {
        out.insert(0, ' ');
    }
    if rt.escaping.get() { markup(out) } else { rt.text(out) }
}
