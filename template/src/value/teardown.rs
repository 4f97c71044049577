//! Dropping nested values without recursion: a template can nest them
//! deeper than any stack.

use std::sync::Arc;

use super::containers::Entries;
use super::{Missing, Val};

/// Empties `items`, and everything only they refer to.
pub(crate) fn items(items: &mut Vec<Val>) {
    if items.iter().any(holds_values) {
        drop_all(std::mem::take(items));
    }
}

/// Empties `entries`, and everything only they refer to.
pub(crate) fn entries(entries: &mut Entries) {
    if entries.iter().any(|(key, value)| holds_values(&key.0) || holds_values(value)) {
        let mut pending = Vec::new();
        take_entries(entries, &mut pending);
        drop_all(pending);
    }
}

fn holds_values(value: &Val) -> bool {
    matches!(
        value,
        Val::List(_)
            | Val::Dict(_)
            | Val::Tuple(_)
            | Val::Iter(_)
            | Val::View(_)
            | Val::Method(_)
            | Val::Macro(_)
            | Val::Object(_)
            | Val::Undefined(Some(_))
    )
}

fn drop_all(mut pending: Vec<Val>) {
    while let Some(mut value) = pending.pop() {
        // A value that others still refer to stays as it is.
        match &mut value {
            Val::List(list) if Arc::strong_count(list) == 1 => pending.append(&mut list.write()),
            Val::Dict(dict) if Arc::strong_count(dict) == 1 => {
                take_entries(&mut dict.write(), &mut pending);
            }
            Val::Tuple(tuple) => {
                if let Some(tuple) = Arc::get_mut(tuple) {
                    pending.append(&mut tuple.items);
                }
            }
            Val::Iter(iter) if Arc::strong_count(iter) == 1 => pending.extend(iter.drain()),
            Val::View(view) => {
                if let Some(view) = Arc::get_mut(view) {
                    pending.push(Val::Dict(std::mem::take(&mut view.dict)));
                }
            }
            Val::Method(method) => {
                if let Some(method) = Arc::get_mut(method) {
                    pending.push(std::mem::replace(&mut method.this, Val::None));
                }
            }
            Val::Macro(makro) => {
                if let Some(makro) = Arc::get_mut(makro) {
                    makro.give_up(&mut pending);
                }
            }
            Val::Object(object) => {
                if let Some(object) = Arc::get_mut(object) {
                    object.give_up(&mut pending);
                }
            }
            Val::Undefined(Some(missing)) => {
                if let Some(Missing::Member { owner, .. }) = Arc::get_mut(missing) {
                    pending.push(std::mem::replace(owner, Val::None));
                }
            }
            _ => {}
        }
    }
}

fn take_entries(entries: &mut Entries, pending: &mut Vec<Val>) {
    for (key, value) in std::mem::take(entries) {
        pending.push(key.0);
        pending.push(value);
    }
}
