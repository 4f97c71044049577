//! Filters that lay text out: `indent`, `truncate`, `wordwrap`.

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::number::Arith;
use crate::value::undefined::with_article;
use crate::value::{Text, Val, operators, show};

/// Items of a container.
fn length_of(value: &Val) -> usize {
    match value {
        Val::List(list) => list.len(),
        Val::Tuple(tuple) => tuple.items.len(),
        Val::Dict(dict) => dict.len(),
        Val::Range(range) => range.len(),
        Val::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

fn must_be_text(rt: &Runtime<'_>, filter: &str, value: &Val) -> Outcome<Text> {
    match value {
        Val::Str(text) => Ok(text.clone()),
        Val::Undefined(_) => Err(rt.undefined(value)),
        other => fail(format!("{filter} needs text, not {}", with_article(other.type_name()))),
    }
}

/// `value|indent(width, first, blank)`.
pub(super) fn indent(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"], 0)?;
    let indention = match &width {
        Some(Val::Str(text)) => {
            rt.alloc(text.as_str().len())?;
            text.as_str().to_owned()
        }
        width => {
            let width = call::int_or(rt, "indent", "width", width.as_ref(), 4)?;
            let width = usize::try_from(width).unwrap_or(0);
            rt.alloc(width)?;
            " ".repeat(width)
        }
    };
    let text = must_be_text(rt, "indent", value)?;
    let (first, blank) = (first.is_some_and(|v| v.truth()), blank.is_some_and(|v| v.truth()));
    let mut out = show::Shown::new(rt);
    if first {
        out.push(&indention)?;
    }
    for (at, line) in text.as_str().split('\n').enumerate() {
        if at > 0 {
            out.push("\n")?;
            if blank || !line.is_empty() {
                out.push(&indention)?;
            }
        }
        out.push(line)?;
    }
    Ok(Val::Str(if text.is_markup() { Text::markup(out.text) } else { Text::plain(out.text) }))
}

/// `value|truncate(length, killwords, end, leeway)`.
pub(super) fn truncate(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [length, kill, end, leeway] = args.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let length = call::int_or(rt, "truncate", "length", length.as_ref(), 255)?;
    let ending = end.unwrap_or_else(|| Val::str("..."));
    let end = call::text(rt, "truncate", "end", &ending)?;
    let leeway = match leeway {
        None | Some(Val::None) => 5,
        Some(leeway) => call::int(rt, "truncate", "leeway", &leeway)?,
    };
    let end_length = end.chars().count() as i64;
    if length < end_length || leeway < 0 {
        return fail(format!("truncate needs a length of at least {end_length} and a leeway of at least 0"));
    }
    let text = match value {
        Val::Undefined(_) => return Ok(value.clone()),
        // A container that is short enough stays as it is.
        Val::List(_) | Val::Tuple(_) | Val::Dict(_) | Val::Range(_) | Val::Bytes(_)
            if length_of(value) as i64 <= length.saturating_add(leeway) =>
        {
            return Ok(value.clone());
        }
        other => must_be_text(rt, "truncate", other)?,
    };
    if text.chars() as i64 <= length.saturating_add(leeway) {
        return Ok(Val::Str(text));
    }
    rt.rewrite(text.as_str())?;
    rt.alloc(usize::try_from(length).unwrap_or(usize::MAX).saturating_mul(4).min(text.as_str().len()))?;
    let cut: String = text.as_str().chars().take((length - end_length) as usize).collect();
    let kept = if kill.is_some_and(|kill| kill.truth()) {
        cut.as_str()
    } else {
        cut.rsplit_once(' ').map_or(cut.as_str(), |(before, _)| before)
    };
    let kept = if text.is_markup() { Text::markup(kept) } else { Text::plain(kept) };
    operators::binary(rt, Arith::Add, &Val::Str(kept), &ending)
}

/// `value|wordwrap(width, break_long_words, wrapstring, break_on_hyphens)`.
pub(super) fn wordwrap(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [width, long, wrap, hyphens] =
        args.bind("wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"], 0)?;
    let width = call::int_or(rt, "wordwrap", "width", width.as_ref(), 79)?;
    let Some(width) = usize::try_from(width).ok().filter(|width| *width > 0) else {
        return fail("wordwrap needs a width of at least 1");
    };
    let wrap = match wrap {
        None | Some(Val::None) => "\n".to_owned(),
        Some(wrap) => show::text(rt, &wrap)?.as_str().to_owned(),
    };
    let long = long.is_none_or(|long| long.truth());
    let hyphens = hyphens.is_none_or(|hyphens| hyphens.truth());
    let text = must_be_text(rt, "wordwrap", value)?;
    let mut out = show::Shown::new(rt);
    for (at, line) in text.as_str().lines().enumerate() {
        if at > 0 {
            out.push(&wrap)?;
        }
        // A word of one letter is a vector of four, and a few more lists.
        rt.step(line.len() as u64 / 2)?;
        rt.room(line.len().saturating_mul(8))?;
        for (at, part) in wrap_line(line, width, long, hyphens).iter().enumerate() {
            if at > 0 {
                out.push(&wrap)?;
            }
            out.push(part)?;
        }
    }
    rt.text(out.text)
}

/// Wraps one line as Python's `textwrap` does: blanks at the ends of lines
/// are dropped.
fn wrap_line(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    let mut chunks: Vec<&[char]> = chunks(&chars, hyphens);
    chunks.reverse();
    let mut lines = Vec::new();
    while let Some(next) = chunks.last() {
        if !lines.is_empty() && is_blank(next) {
            chunks.pop();
        }
        let mut current: Vec<&[char]> = Vec::new();
        let mut length = 0;
        while let Some(chunk) = chunks.pop() {
            if length + chunk.len() <= width {
                length += chunk.len();
                current.push(chunk);
                continue;
            }
            if chunk.len() > width {
                let room = width - length;
                if break_long {
                    let (head, tail) = chunk.split_at(break_point(chunk, room, hyphens));
                    current.push(head);
                    chunks.push(tail);
                } else if current.is_empty() {
                    current.push(chunk);
                } else {
                    chunks.push(chunk);
                }
            } else {
                chunks.push(chunk);
            }
            break;
        }
        if current.last().is_some_and(|chunk| is_blank(chunk)) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat().into_iter().collect());
        }
    }
    lines
}

/// Where to break a chunk longer than a line, after a hyphen if one is near.
fn break_point(chunk: &[char], room: usize, hyphens: bool) -> usize {
    let hyphen = chunk[..room.min(chunk.len())].iter().rposition(|c| *c == '-');
    match hyphen {
        Some(at) if hyphens && at > 0 && chunk[..at].iter().any(|c| *c != '-') => at + 1,
        _ => room,
    }
}

/// Whether a chunk is a run of blanks, by its first character.
fn is_blank(chunk: &[char]) -> bool {
    chunk.first().is_none_or(char::is_ascii_whitespace)
}

/// Runs of blanks, and words; hyphenated words in parts.
fn chunks(chars: &[char], hyphens: bool) -> Vec<&[char]> {
    let mut chunks = Vec::new();
    let letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphabetic() || *c == '_');
    let mut from = 0;
    for at in 1..chars.len() {
        let turns = chars[at - 1].is_ascii_whitespace() != chars[at].is_ascii_whitespace();
        let after_hyphen = hyphens
            && at >= 3
            && chars[at - 1] == '-'
            && letter(at - 2)
            // Two letters before it, or a letter between hyphens.
            && (letter(at - 3) || (at >= 4 && chars[at - 3] == '-' && letter(at - 4)))
            && letter(at)
            && (letter(at + 1) || (chars.get(at + 1) == Some(&'-') && letter(at + 2)));
        if turns || after_hyphen {
            chunks.push(&chars[from..at]);
            from = at;
        }
    }
    if from < chars.len() {
        chunks.push(&chars[from..]);
    }
    if hyphens {
        chunks = chunks.into_iter().flat_map(split_dashes).collect();
    }
    chunks
}

/// Two hyphens or more between words are a dash, and a chunk of their own.
fn split_dashes(chunk: &[char]) -> Vec<&[char]> {
    let word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < chunk.len() {
        let dashes = chunk[at..].iter().take_while(|c| **c == '-').count();
        let before = at > 0 && (word(chunk.get(at - 1)) || "!\"'&.,?".contains(chunk[at - 1]));
        if dashes >= 2 && before && word(chunk.get(at + dashes)) {
            parts.push(&chunk[from..at]);
            parts.push(&chunk[at..at + dashes]);
            from = at + dashes;
        }
        at += dashes.max(1);
    }
    parts.push(&chunk[from..]);
    parts
}
