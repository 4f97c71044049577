//! The value of a name that does not exist: it prints as nothing, and its error names it when it is
//! used for more.

use std::sync::Arc;

use super::Val;
use crate::error::ErrorKind;
use crate::fault::{Fault, nearest};

/// The name that was looked for, and where.
#[derive(Debug)]
pub(crate) enum Missing {
    /// A variable.
    Name(Arc<str>),
    /// An attribute or item of a value.
    Member { owner: Val, name: Arc<str> },
    /// An inline `if` without `else`, an empty `first`, …
    Reason(&'static str),
}

impl Val {
    pub(crate) fn missing(what: Missing) -> Self {
        Self::Undefined(Some(Arc::new(what)))
    }

    pub(crate) fn missing_member(owner: &Val, name: impl Into<Arc<str>>) -> Self {
        Self::missing(Missing::Member { owner: owner.clone(), name: name.into() })
    }
}

/// The error for using an undefined value; `names` are the variables that
/// do exist.
pub(crate) fn undefined_fault(value: &Val, names: &dyn Fn() -> Vec<String>) -> Box<Fault> {
    let Val::Undefined(Some(missing)) = value else {
        return Fault::new(ErrorKind::Undefined, "the value is undefined");
    };
    match &**missing {
        Missing::Name(name) => {
            let names = names();
            let mut fault = Fault::new(ErrorKind::Undefined, format!("unknown variable \"{name}\""));
            fault.hint = nearest(name, names.iter().map(String::as_str));
            fault
        }
        Missing::Member { owner, name } => member_fault(owner, name),
        Missing::Reason(reason) => Fault::new(ErrorKind::Undefined, *reason),
    }
}

/// The error for a member that a value does not have.
fn member_fault(owner: &Val, name: &str) -> Box<Fault> {
    let known = crate::attributes::member_names(owner);
    let message = match owner {
        Val::None => format!("None has no attribute \"{name}\""),
        Val::Native(native) => format!("{} has no member \"{name}\"", native.name),
        Val::Dict(_) => format!("the map has no key \"{name}\""),
        owner => format!("{} has no member \"{name}\"", with_article(owner.type_name())),
    };
    let mut fault = Fault::new(ErrorKind::Undefined, message);
    fault.hint = nearest(name, known.iter().map(String::as_str));
    fault
}

/// "a str", "an int": how messages name a value's type.
pub(crate) fn with_article(type_name: &str) -> String {
    let article =
        if type_name.starts_with(['a', 'e', 'i', 'o', 'U']) && type_name != "UUID" { "an" } else { "a" };
    format!("{article} {type_name}")
}
