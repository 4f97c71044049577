//! `pprint`: `repr` on as many lines as 80 columns ask for.

use crate::call::Args;
use crate::fault::Outcome;
use crate::runtime::Runtime;
use crate::value::{Val, compare, show};

/// Columns of a line.
const WIDTH: usize = 80;

/// `value|pprint`: dicts sorted by key, long containers an item a line.
pub(super) fn pprint(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [_verbose] = args.bind("pprint", ["verbose"], 0)?;
    let text = pretty(rt, value, 0, 0)?;
    rt.text(text)
}

/// `value` as it looks from column `at`, with `after` columns to be kept
/// free behind it.
fn pretty(rt: &Runtime<'_>, value: &Val, at: usize, after: usize) -> Outcome<String> {
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
                let value = rt.deeper(|| pretty(rt, value, column, after))?;
                lines.push(key + &value);
            }
            join_lines(rt, "{", &lines, "}", at)
        }
        _ => Ok(flat),
    }
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
        lines.push(rt.deeper(|| pretty(rt, item, at + 1, after))?);
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
