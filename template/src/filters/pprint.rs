//! `pprint`: `repr` on as many lines as 80 columns ask for.

use crate::call::Args;
use crate::fault::Outcome;
use crate::methods::text_case::is_space;
use crate::methods::text_split::lines_with_ends;
use crate::runtime::Runtime;
use crate::value::{Text, Val, compare, show};

/// Columns of a line.
const WIDTH: usize = 80;

/// `value|pprint`: dicts sorted by key, long containers an item a line.
pub(super) fn pprint(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [_verbose] = args.bind("pprint", ["verbose"], 0)?;
    let text = pretty(rt, value, 0, 0, true)?;
    rt.text(text)
}

/// `value` as it looks from column `at`, with `after` columns to be kept
/// free behind it. A text on several lines stands in brackets where it is
/// the whole.
fn pretty(rt: &Runtime<'_>, value: &Val, at: usize, after: usize, whole: bool) -> Outcome<String> {
    // A dict that is nested deep is sorted and shown at each of its levels.
    let flat = show::repr(rt, &sorted(rt, value)?)?;
    rt.rewrite(&flat)?;
    if flat.chars().count() + at + after <= WIDTH {
        return Ok(flat);
    }
    match value {
        Val::List(list) => {
            rt.copy_items(list.len())?;
            let items = list.read().clone();
            items_by_line(rt, "[", &items, "]", at, after)
        }
        Val::Tuple(tuple) if tuple.named.is_none() => {
            let close = if tuple.items.len() == 1 { ",)" } else { ")" };
            items_by_line(rt, "(", &tuple.items, close, at, after)
        }
        Val::Dict(dict) => {
            rt.copy_items(2 * dict.len())?;
            let mut entries: Vec<(Val, Val)> =
                dict.read().iter().map(|(key, value)| (key.0.clone(), value.clone())).collect();
            sort_entries(rt, &mut entries);
            let count = entries.len();
            let mut lines = Vec::with_capacity(count);
            for (n, (key, value)) in entries.iter().enumerate() {
                let key = show::repr(rt, key)? + ": ";
                let after = if n + 1 == count { after + 1 } else { 1 };
                let column = at + 1 + key.chars().count();
                let value = rt.deeper(|| pretty(rt, value, column, after, false))?;
                lines.push(key + &value);
            }
            join_lines(rt, "{", &lines, "}", at)
        }
        Val::Str(text) if !text.is_markup() => {
            let (at, after) = if whole { (at + 1, after + 1) } else { (at, after) };
            Ok(bracketed(text_by_line(rt, text.as_str(), at, after)?, at, whole))
        }
        Val::Bytes(bytes) if bytes.len() > 4 => {
            let (at, after) = if whole { (at + 1, after + 1) } else { (at, after) };
            Ok(bracketed(bytes_by_line(rt, bytes, at, after)?, at, whole))
        }
        _ => Ok(flat),
    }
}

/// Lines of one value, in brackets where it is the whole.
fn bracketed(lines: Vec<String>, at: usize, whole: bool) -> String {
    let text = lines.join(&format!("\n{}", " ".repeat(at)));
    // A text that stays on one line, being one word, has no brackets; bytes cannot.
    if whole && lines.len() > 1 { format!("({text})") } else { text }
}

/// A long text, at most a line of it on a line, broken after blanks (Python's `pprint._pprint_str`).
fn text_by_line(rt: &Runtime<'_>, text: &str, at: usize, after: usize) -> Outcome<Vec<String>> {
    let shown = |text: &str| show::repr(rt, &Val::Str(Text::plain(text.to_owned())));
    let width = WIDTH.saturating_sub(at);
    let lines = lines_with_ends(text);
    let mut chunks = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let is_last = number + 1 == lines.len();
        let rest = if is_last { after } else { 0 };
        let whole = shown(line)?;
        if whole.chars().count() + rest <= width {
            chunks.push(whole);
            continue;
        }
        let words = words_with_blanks(line);
        let mut current = String::new();
        for (place, word) in words.iter().enumerate() {
            let free = if is_last && place + 1 == words.len() { width.saturating_sub(after) } else { width };
            let longer = format!("{current}{word}");
            rt.rewrite(&longer)?;
            if shown(&longer)?.chars().count() > free {
                if !current.is_empty() {
                    chunks.push(shown(&current)?);
                }
                (*word).clone_into(&mut current);
            } else {
                current = longer;
            }
        }
        if !current.is_empty() {
            chunks.push(shown(&current)?);
        }
    }
    Ok(chunks)
}

/// Long bytes, broken after each fourth (Python's `pprint._wrap_bytes_repr`).
fn bytes_by_line(rt: &Runtime<'_>, bytes: &[u8], at: usize, after: usize) -> Outcome<Vec<String>> {
    let shown = |bytes: &[u8]| show::repr(rt, &Val::Bytes(bytes.to_vec().into()));
    let width = WIDTH.saturating_sub(at);
    let last = bytes.len() / 4 * 4;
    let (mut lines, mut begin) = (Vec::new(), 0);
    for from in (0..bytes.len()).step_by(4) {
        let to = bytes.len().min(from + 4);
        let free = if from == last { width.saturating_sub(after) } else { width };
        rt.room(4 * (to - begin))?;
        if shown(&bytes[begin..to])?.chars().count() > free {
            if from > begin {
                lines.push(shown(&bytes[begin..from])?);
            }
            begin = from;
        }
    }
    if begin < bytes.len() {
        lines.push(shown(&bytes[begin..])?);
    }
    Ok(lines)
}

/// The words of a line, each with the blanks after it.
fn words_with_blanks(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let end = rest[word..].find(|c| !is_space(c)).map_or(rest.len(), |blanks| word + blanks);
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}

fn items_by_line(
    rt: &Runtime<'_>,
    open: &str,
    items: &[Val],
    close: &str,
    at: usize,
    after: usize,
) -> Outcome<String> {
    let mut lines = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let after = if n + 1 == items.len() { after + close.len() } else { 1 };
        lines.push(rt.deeper(|| pretty(rt, item, at + 1, after, false))?);
    }
    join_lines(rt, open, &lines, close, at)
}

fn join_lines(rt: &Runtime<'_>, open: &str, lines: &[String], close: &str, at: usize) -> Outcome<String> {
    let size: usize = lines.iter().map(|line| line.len() + at + 3).sum();
    rt.alloc(size)?;
    let separator = format!(",\n{}", " ".repeat(at + 1));
    Ok(format!("{open}{}{close}", lines.join(&separator)))
}

/// The value with the keys of its dicts in order.
fn sorted(rt: &Runtime<'_>, value: &Val) -> Outcome {
    Ok(match value {
        Val::Dict(dict) => {
            rt.alloc_entries(dict.len())?;
            let mut entries: Vec<(Val, Val)> = Vec::with_capacity(dict.len());
            for (key, value) in dict.read().iter() {
                entries.push((key.0.clone(), rt.deeper(|| sorted(rt, value))?));
            }
            sort_entries(rt, &mut entries);
            let entries =
                entries.into_iter().map(|(key, value)| (crate::value::containers::Key(key), value)).collect();
            Val::Dict(std::sync::Arc::new(crate::value::Dict::new(entries)))
        }
        Val::List(list) => {
            rt.alloc_items(list.len())?;
            rt.step(list.len() as u64 / 8)?;
            let items = list.read();
            let items: Outcome<Vec<Val>> = items.iter().map(|item| rt.deeper(|| sorted(rt, item))).collect();
            Val::list(items?)
        }
        Val::Tuple(tuple) if tuple.named.is_none() => {
            rt.alloc_items(tuple.items.len())?;
            let items: Outcome<Vec<Val>> =
                tuple.items.iter().map(|item| rt.deeper(|| sorted(rt, item))).collect();
            Val::tuple(items?)
        }
        other => other.clone(),
    })
}

/// Keys that cannot be compared stay where they are.
fn sort_entries(rt: &Runtime<'_>, entries: &mut Vec<(Val, Val)>) {
    let mut ordered = entries.clone();
    if compare::sort_by_key(rt, &mut ordered, false, |(key, _)| key).is_ok() {
        *entries = ordered;
    }
}
