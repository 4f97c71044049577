//! Macros and call blocks.

use std::sync::Arc;

use super::Run;
use crate::call::Args;
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::syntax::program::{MacroDef, Slot};
use crate::value::containers::{Dict, Entries, Key};
use crate::value::{Missing, Text, Val, teardown};

/// A macro with the variables that were visible where it was defined.
///
/// The template's own variables are not among them: a macro sees those as
/// they are when it is called.
#[derive(Debug)]
pub(crate) struct Macro {
    slot: Slot,
    def: Arc<MacroDef>,
    captured: Arc<Vec<(Slot, Val)>>,
}

/// A call of a macro, with the body of the call block if there is one.
pub(crate) struct Call {
    pub(crate) args: Args,
    pub(crate) caller: Option<Val>,
}

impl Macro {
    pub(crate) fn new(slot: Slot, def: Arc<MacroDef>, captured: Arc<Vec<(Slot, Val)>>) -> Self {
        Self { slot, def, captured }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.def.name)
    }

    /// Moves all the macro holds into `pending`, to be dropped there.
    pub(crate) fn give_up(&mut self, pending: &mut Vec<Val>) {
        if let Some(captured) = Arc::get_mut(&mut self.captured) {
            pending.extend(captured.drain(..).map(|(_, value)| value));
        }
    }

    /// The attributes of a macro.
    pub(crate) fn field(&self, name: &str) -> Option<Val> {
        Some(match name {
            "name" => Val::Str(Text::plain(self.name())),
            "arguments" => Val::tuple(
                self.def.params.iter().map(|(_, name, _)| Val::Str(Text::plain(Arc::clone(name)))).collect(),
            ),
            "catch_kwargs" => Val::Bool(self.def.kwargs),
            "catch_varargs" => Val::Bool(self.def.varargs),
            "caller" => Val::Bool(self.def.caller),
            _ => return None,
        })
    }
}

impl Drop for Macro {
    fn drop(&mut self) {
        let mut held = Vec::new();
        self.give_up(&mut held);
        teardown::items(&mut held);
    }
}

impl Run<'_, '_> {
    /// The variables a macro defined here can see, besides the template's.
    pub(super) fn visible_locals(&self) -> Arc<Vec<(Slot, Val)>> {
        if self.locals.len() == self.base {
            return Arc::clone(&self.captured);
        }
        let locals = &self.locals[self.base..];
        Arc::new(self.captured.iter().chain(locals).cloned().collect())
    }

    /// Calls a macro and gives its text.
    pub(super) fn call_macro(&mut self, makro: &Arc<Macro>, call: Call) -> Outcome {
        let rt = self.rt;
        rt.deeper(|| {
            let base = std::mem::replace(&mut self.base, self.locals.len());
            let captured = std::mem::replace(&mut self.captured, Arc::clone(&makro.captured));
            let text = self.captured_text(|run| {
                run.scoped(|run| {
                    run.bind_params(makro, call)?;
                    run.body(&makro.def.body)
                })
            });
            self.base = base;
            self.captured = captured;
            text.map(|text| self.text_value(text))
        })
    }

    fn bind_params(&mut self, makro: &Arc<Macro>, call: Call) -> Outcome<()> {
        let def = &makro.def;
        let special = self.program.special;
        if !makro.captured.is_empty() || self.base > 0 {
            // A macro defined in a loop can call itself.
            self.assign(makro.slot, Val::Macro(Arc::clone(makro)));
        }
        let Call { mut args, caller } = call;
        let caller = caller.or_else(|| args.take_kw("caller"));
        let extra = args.pos.split_off(args.pos.len().min(def.params.len()));
        let mut given = args.pos.into_iter();
        for (slot, name, default) in &def.params {
            let value = match (given.next(), args.kw.iter().position(|(known, _)| known == name)) {
                (Some(_), Some(_)) => {
                    return fail(format!("macro {}() got two values for \"{name}\"", def.name));
                }
                (Some(value), None) => value,
                (None, Some(at)) => args.kw.remove(at).1,
                (None, None) => match default {
                    Some(default) => self.eval(default)?,
                    None => Val::missing(Missing::Name(Arc::clone(name))),
                },
            };
            self.assign(*slot, value);
        }
        match caller {
            Some(caller) if def.caller => self.assign(special.caller, caller),
            Some(_) => {
                return fail(format!(
                    "macro {}() has no use for a call block: it never calls caller()",
                    def.name
                ));
            }
            None if def.caller && &*def.name != "caller" => {
                self.assign(
                    special.caller,
                    Val::missing(Missing::Reason("there is no call block to be the caller")),
                );
            }
            None => {}
        }
        self.bind_rest(def, extra, args.kw)
    }

    fn bind_rest(&mut self, def: &MacroDef, extra: Vec<Val>, kw: Vec<(Arc<str>, Val)>) -> Outcome<()> {
        if def.varargs {
            self.rt.alloc_items(extra.len())?;
            self.assign(self.program.special.varargs, Val::tuple(extra));
        } else if !extra.is_empty() {
            return fail(format!(
                "macro {}() takes at most {} arguments, not {}",
                def.name,
                def.params.len(),
                def.params.len() + extra.len()
            ));
        }
        if def.kwargs {
            self.rt.alloc_entries(kw.len())?;
            let entries: Entries =
                kw.into_iter().map(|(name, value)| (Key(Val::Str(Text::plain(name))), value)).collect();
            self.assign(self.program.special.kwargs, Val::Dict(Arc::new(Dict::new(entries))));
        } else if let Some((name, _)) = kw.first() {
            return Err(Fault::new(
                ErrorKind::Runtime,
                format!("macro {}() has no parameter \"{name}\"", def.name),
            )
            .nearest(name, def.params.iter().map(|(_, name, _)| &**name)));
        }
        Ok(())
    }
}
