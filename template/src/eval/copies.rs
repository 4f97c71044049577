//! Copies of the context's lists and dicts, for templates that change them:
//! what one rendering does must not show in the next.

use std::collections::HashMap;
use std::sync::Arc;

use crate::runtime::on_large_stack;
use crate::value::Val;
use crate::value::containers::{Dict, Entries};

/// The copies made so far; two references to one list stay one list.
#[derive(Default)]
pub(crate) struct Copies(HashMap<*const (), Val>);

impl Copies {
    /// The rendering's own copy of a value of the context.
    pub(crate) fn of(&mut self, value: &Val) -> Val {
        let address = match value {
            Val::List(list) => Arc::as_ptr(list).cast::<()>(),
            Val::Dict(dict) => Arc::as_ptr(dict).cast(),
            Val::Tuple(tuple) => Arc::as_ptr(tuple).cast(),
            other => return other.clone(),
        };
        if let Some(copy) = self.0.get(&address) {
            return copy.clone();
        }
        let copy = on_large_stack(|| match value {
            Val::List(list) => Val::list(list.read().iter().map(|item| self.of(item)).collect()),
            Val::Dict(dict) => {
                let entries: Entries =
                    dict.read().iter().map(|(key, item)| (key.clone(), self.of(item))).collect();
                Val::Dict(Arc::new(Dict::new(entries)))
            }
            Val::Tuple(tuple) => Val::tuple(tuple.items.iter().map(|item| self.of(item)).collect()),
            other => other.clone(),
        });
        self.0.insert(address, copy.clone());
        copy
    }
}
