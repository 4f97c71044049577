//! Calls: arguments, and what can be called.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Val, show};

/// The arguments of a call.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) pos: Vec<Val>,
    pub(crate) kw: Vec<(Arc<str>, Val)>,
}

impl Args {
    pub(crate) fn of(pos: Vec<Val>) -> Self {
        Self { pos, kw: Vec::new() }
    }

    /// Sorts the arguments into the parameters `names`, the first
    /// `required` of which must be given.
    pub(crate) fn bind<const N: usize>(
        self,
        function: &str,
        names: [&str; N],
        required: usize,
    ) -> Outcome<[Option<Val>; N]> {
        let given = self.pos.len();
        if given > N {
            return fail(format!("{function}() takes at most {N} arguments, not {given}"));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.pos) {
            *slot = Some(value);
        }
        for (name, value) in self.kw {
            let Some(at) = names.iter().position(|known| *known == &*name) else {
                return Err(Fault::new(
                    ErrorKind::Runtime,
                    format!("{function}() has no parameter \"{name}\""),
                )
                .nearest(&name, names));
            };
            if bound[at].is_some() {
                return fail(format!("{function}() got two values for \"{name}\""));
            }
            bound[at] = Some(value);
        }
        match (0..required).find(|at| bound[*at].is_none()) {
            Some(at) => fail(format!("{function}() needs an argument \"{}\"", names[at])),
            None => Ok(bound),
        }
    }

    /// Refuses any argument.
    pub(crate) fn none(self, function: &str) -> Outcome<()> {
        self.bind::<0>(function, [], 0).map(|_| ())
    }

    /// Takes a keyword argument out.
    pub(crate) fn take_kw(&mut self, name: &str) -> Option<Val> {
        let at = self.kw.iter().position(|(known, _)| &**known == name)?;
        Some(self.kw.remove(at).1)
    }
}

/// An argument as an integer.
pub(crate) fn int(rt: &Runtime<'_>, function: &str, name: &str, value: &Val) -> Outcome<i64> {
    match value {
        Val::Int(number) => Ok(*number),
        Val::Bool(truth) => Ok(i64::from(*truth)),
        Val::Big(_) => fail(format!("{function}(): \"{name}\" is out of range")),
        Val::Undefined(_) => Err(rt.undefined(value)),
        other => wrong(function, name, "an int", other),
    }
}

/// An optional integer argument.
pub(crate) fn int_or(
    rt: &Runtime<'_>,
    function: &str,
    name: &str,
    value: Option<&Val>,
    default: i64,
) -> Outcome<i64> {
    value.map_or(Ok(default), |value| int(rt, function, name, value))
}

/// Whether a sort runs backwards: an int or bool, as Python's `sort` wants it.
pub(crate) fn backwards(rt: &Runtime<'_>, function: &str, value: Option<&Val>) -> Outcome<bool> {
    value.map_or(Ok(false), |value| int(rt, function, "reverse", value).map(|number| number != 0))
}

/// An argument that must be text.
pub(crate) fn text<'v>(rt: &Runtime<'_>, function: &str, name: &str, value: &'v Val) -> Outcome<&'v str> {
    match value {
        Val::Str(text) => {
            rt.look_at(text.as_str())?;
            Ok(text.as_str())
        }
        Val::Undefined(_) => Err(rt.undefined(value)),
        other => wrong(function, name, "text", other),
    }
}

/// An argument that must be text and is looked for in another.
pub(crate) fn sought<'v>(
    rt: &Runtime<'_>,
    function: &str,
    name: &str,
    value: &'v Val,
) -> Outcome<Cow<'v, str>> {
    Ok(rt.readable(text(rt, function, name, value)?))
}

/// The error for an argument of a wrong type.
pub(crate) fn wrong<T>(function: &str, name: &str, expected: &str, value: &Val) -> Outcome<T> {
    fail(format!("{function}(): \"{name}\" must be {expected}, not {}", with_article(value.type_name())))
}

/// Calls anything that needs no template code to run.
pub(crate) fn call_value(rt: &Runtime<'_>, callee: &Val, args: Args) -> Outcome {
    match callee {
        Val::Method(method) => method.call(rt, args),
        Val::Native(native) => match native.call {
            Some(call) => call(rt, args),
            None => fail(format!("{} is a module and cannot be called", native.name)),
        },
        Val::Object(object) => object.call(rt, args),
        Val::Weekday(weekday) => weekday.call(rt, args),
        Val::Undefined(_) => Err(rt.undefined(callee)),
        Val::Macro(_) => fail("a macro cannot be called from here"),
        other => {
            let shown: String = show::repr(rt, other)?.chars().take(40).collect();
            fail(format!("{shown} is {} and cannot be called", with_article(other.type_name())))
        }
    }
}

/// Whether a value can be called.
pub(crate) fn is_callable(value: &Val) -> bool {
    match value {
        Val::Method(_) | Val::Macro(_) | Val::Weekday(_) => true,
        Val::Native(native) => native.call.is_some(),
        Val::Object(object) => object.is_callable(),
        // Jinja2's Undefined defines __call__, which raises.
        Val::Undefined(_) => true,
        _ => false,
    }
}
