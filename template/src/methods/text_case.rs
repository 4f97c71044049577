//! Methods of `str`: case, padding, and classes of characters.

use super::text::{alike, own};
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::show::is_printable;
use crate::value::{Text, Val, digits};

pub(crate) const METHODS: Methods = &[
    ("capitalize", capitalize),
    ("casefold", casefold),
    ("center", center),
    ("isalnum", |rt, this, args| test(rt, this, args, is_alnum)),
    ("isalpha", |rt, this, args| test(rt, this, args, char::is_alphabetic)),
    ("isascii", isascii),
    ("isdecimal", |rt, this, args| test(rt, this, args, is_decimal)),
    ("isdigit", |rt, this, args| test(rt, this, args, is_digit)),
    ("isidentifier", isidentifier),
    ("islower", islower),
    ("isnumeric", |rt, this, args| test(rt, this, args, char::is_numeric)),
    ("isprintable", isprintable),
    ("isspace", |rt, this, args| test(rt, this, args, is_space)),
    ("istitle", istitle),
    ("isupper", isupper),
    ("ljust", ljust),
    ("lower", lower),
    ("rjust", rjust),
    ("swapcase", swapcase),
    ("title", title),
    ("upper", upper),
    ("zfill", zfill),
];

/// White space as `str.split` and `strip` see it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Charges for a text in another case: a few characters become three.
pub(crate) fn may_grow(rt: &Runtime<'_>, text: &str) -> Outcome<()> {
    rt.rewrite(text)?;
    rt.room(text.len().saturating_mul(if text.is_ascii() { 1 } else { 3 }))
}

fn is_alnum(c: char) -> bool {
    c.is_alphanumeric()
}

/// A decimal digit of any script.
pub(crate) fn is_decimal(c: char) -> bool {
    digits::decimal(c).is_some()
}

fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(u32::from(c),
            0xb2..=0xb3 | 0xb9 | 0x1369..=0x1371 | 0x19da | 0x2070 | 0x2074..=0x2079 | 0x2080..=0x2089
            | 0x2460..=0x2468 | 0x2474..=0x247c | 0x2488..=0x2490 | 0x24ea | 0x24f5..=0x24fd | 0x24ff
            | 0x2776..=0x277e | 0x2780..=0x2788 | 0x278a..=0x2792 | 0x10a40..=0x10a43 | 0x10e60..=0x10e68
            | 0x11052..=0x1105a | 0x1f100..=0x1f10a)
}

fn test(rt: &Runtime<'_>, this: &Val, args: Args, is: fn(char) -> bool) -> Outcome {
    args.none("isalnum")?;
    let text = own(rt, this)?;
    rt.rewrite(text.as_str())?;
    Ok(Val::Bool(!text.as_str().is_empty() && text.as_str().chars().all(is)))
}

fn isascii(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("isascii")?;
    Ok(Val::Bool(own(rt, this)?.as_str().is_ascii()))
}

fn isprintable(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("isprintable")?;
    let text = own(rt, this)?;
    rt.rewrite(text.as_str())?;
    Ok(Val::Bool(rt.readable(text.as_str()).chars().all(is_printable)))
}

fn isidentifier(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("isidentifier")?;
    let text = own(rt, this)?;
    rt.rewrite(text.as_str())?;
    let mut chars = text.as_str().chars();
    let first = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
    Ok(Val::Bool(first && chars.all(|c| c == '_' || c.is_alphanumeric())))
}

fn islower(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("islower")?;
    let text = own(rt, this)?;
    rt.rewrite(text.as_str())?;
    Ok(Val::Bool(is_lower(text.as_str())))
}

fn isupper(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("isupper")?;
    let text = own(rt, this)?;
    rt.rewrite(text.as_str())?;
    Ok(Val::Bool(is_upper(text.as_str())))
}

/// Cased characters, all of them lower case.
pub(crate) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// Cased characters, all of them upper case.
pub(crate) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

fn istitle(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("istitle")?;
    let (mut cased, mut before) = (false, false);
    let text = own(rt, this)?;
    rt.rewrite(text.as_str())?;
    for c in text.as_str().chars() {
        let (upper, lower) = (c.is_uppercase(), c.is_lowercase());
        if (upper && before) || (lower && !before) {
            return Ok(Val::Bool(false));
        }
        before = upper || lower;
        cased |= before;
    }
    Ok(Val::Bool(cased))
}

fn upper(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("upper")?;
    let text = own(rt, this)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, text.as_str().to_uppercase())
}

fn lower(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("lower")?;
    let text = own(rt, this)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, text.as_str().to_lowercase())
}

fn casefold(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("casefold")?;
    let text = own(rt, this)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, text.as_str().to_lowercase().replace('ß', "ss").replace('ς', "σ"))
}

fn swapcase(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("swapcase")?;
    let text = own(rt, this)?;
    may_grow(rt, text.as_str())?;
    let mut out = String::with_capacity(text.as_str().len());
    for c in text.as_str().chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    alike(rt, &text, out)
}

fn capitalize(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("capitalize")?;
    let text = own(rt, this)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, capitalized(text.as_str()))
}

/// The first character in title case, the rest in lower case.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => title_case(first) + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

/// One character in title case, which for a few is not upper case.
fn title_case(c: char) -> String {
    match c {
        'ß' => "Ss".to_owned(),
        'ﬁ' => "Fi".to_owned(),
        'ﬂ' => "Fl".to_owned(),
        'ǆ' | 'Ǆ' | 'ǅ' => "ǅ".to_owned(),
        c => c.to_uppercase().collect(),
    }
}

fn title(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("title")?;
    let text = own(rt, this)?;
    may_grow(rt, text.as_str())?;
    let mut out = String::with_capacity(text.as_str().len());
    let mut before = false;
    for c in text.as_str().chars() {
        if before {
            out.extend(c.to_lowercase());
        } else {
            out.push_str(&title_case(c));
        }
        before = c.is_uppercase() || c.is_lowercase();
    }
    alike(rt, &text, out)
}

/// Left and right padding, in characters.
fn padded(rt: &Runtime<'_>, text: &Text, width: i64, fill: char, left: fn(usize, usize) -> usize) -> Outcome {
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(text.chars());
    rt.alloc(missing.saturating_mul(fill.len_utf8()).saturating_add(text.as_str().len()))?;
    let before = left(missing, width);
    let pad = |count: usize| fill.to_string().repeat(count);
    alike(rt, text, pad(before) + text.as_str() + &pad(missing - before))
}

fn width_and_fill(rt: &Runtime<'_>, function: &str, args: Args) -> Outcome<(i64, char)> {
    let [width, fill] = args.bind(function, ["width", "fillchar"], 1)?;
    let width = call::int(rt, function, "width", &width.unwrap_or(Val::None))?;
    let fill = fill.unwrap_or_else(|| Val::str(" "));
    let mut chars = call::text(rt, function, "fillchar", &fill)?.chars();
    match (chars.next(), chars.next()) {
        (Some(fill), None) => Ok((width, fill)),
        _ => fail(format!("{function}() fills with one character")),
    }
}

fn ljust(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let (width, fill) = width_and_fill(rt, "ljust", args)?;
    padded(rt, &own(rt, this)?, width, fill, |_, _| 0)
}

fn rjust(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let (width, fill) = width_and_fill(rt, "rjust", args)?;
    padded(rt, &own(rt, this)?, width, fill, |missing, _| missing)
}

fn center(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let (width, fill) = width_and_fill(rt, "center", args)?;
    centered(rt, &own(rt, this)?, width, fill)
}

/// `str.center`: an odd blank goes left if the width is odd too.
pub(crate) fn centered(rt: &Runtime<'_>, text: &Text, width: i64, fill: char) -> Outcome {
    padded(rt, text, width, fill, |missing, width| missing / 2 + (missing & width & 1))
}

fn zfill(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [width] = args.bind("zfill", ["width"], 1)?;
    let width = call::int(rt, "zfill", "width", &width.unwrap_or(Val::None))?;
    let text = own(rt, this)?;
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars());
    rt.alloc(missing.saturating_add(text.as_str().len()))?;
    let signed = usize::from(text.as_str().starts_with(['+', '-']));
    let (sign, digits) = text.as_str().split_at(signed);
    alike(rt, &text, format!("{sign}{}{digits}", "0".repeat(missing)))
}
