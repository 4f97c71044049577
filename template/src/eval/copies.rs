//! Copies of the context's lists and dicts, for templates that change them: a change by one
//! rendering must not show in the next.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fault::{Fault, Outcome};
use crate::runtime::{Runtime, on_large_stack};
use crate::value::Val;
use crate::value::containers::{Dict, Entries};

/// The copies made so far; two references to one list stay one list.
#[derive(Default)]
pub(crate) struct Copies(HashMap<*const (), Val>);

impl Copies {
    /// The rendering's own copy of a value of the context.
    pub(crate) fn of(&mut self, rt: &Runtime<'_>, value: &Val) -> Outcome {
        let address = match value {
            Val::List(list) => Arc::as_ptr(list).cast::<()>(),
            Val::Dict(dict) => Arc::as_ptr(dict).cast(),
            Val::Tuple(tuple) => Arc::as_ptr(tuple).cast(),
            other => return Ok(other.clone()),
        };
        if let Some(copy) = self.0.get(&address) {
            return Ok(copy.clone());
        }
        let copy = on_large_stack(|| {
            Ok::<_, Box<Fault>>(match value {
                Val::List(list) => {
                    let items = list.read();
                    rt.alloc_items(items.len())?;
                    Val::list(items.iter().map(|item| self.of(rt, item)).collect::<Outcome<_>>()?)
                }
                Val::Dict(dict) => {
                    let entries = dict.read();
                    rt.alloc_entries(entries.len())?;
                    let copied = entries.iter().map(|(key, item)| Ok((key.clone(), self.of(rt, item)?)));
                    Val::Dict(Arc::new(Dict::new(copied.collect::<Outcome<Entries>>()?)))
                }
                Val::Tuple(tuple) => {
                    rt.alloc_items(tuple.items.len())?;
                    Val::tuple(tuple.items.iter().map(|item| self.of(rt, item)).collect::<Outcome<_>>()?)
                }
                other => other.clone(),
            })
        })?;
        self.0.insert(address, copy.clone());
        Ok(copy)
    }
}
