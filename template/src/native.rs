//! Functions, classes and modules that templates can reach, as static tables: a name that is in
//! none does not exist.

use std::sync::Arc;

use crate::call::Args;
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome};
use crate::runtime::Runtime;
use crate::value::Val;

/// The code of a function or constructor.
pub(crate) type NativeFn = fn(&Runtime<'_>, Args) -> Outcome;
/// The code of a method.
pub(crate) type MethodFn = fn(&Runtime<'_>, &Val, Args) -> Outcome;
/// The methods of one type.
pub(crate) type Methods = &'static [(&'static str, MethodFn)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    Class,
    Function,
}

/// A module, class or function.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) call: Option<NativeFn>,
    pub(crate) members: &'static [(&'static str, Member)],
}

/// A member of a module or class.
#[derive(Debug)]
pub(crate) enum Member {
    Native(&'static Native),
    Function(NativeFn),
    Value(fn() -> Val),
    /// Exists in Python, but is refused here, for the reason given.
    Refused(&'static str),
}

impl Native {
    pub(crate) const fn module(name: &'static str, members: &'static [(&'static str, Member)]) -> Self {
        Self { name, kind: Kind::Module, call: None, members }
    }

    pub(crate) const fn class(
        name: &'static str,
        call: NativeFn,
        members: &'static [(&'static str, Member)],
    ) -> Self {
        Self { name, kind: Kind::Class, call: Some(call), members }
    }

    pub(crate) const fn function(name: &'static str, call: NativeFn) -> Self {
        Self { name, kind: Kind::Function, call: Some(call), members: &[] }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Module => "module",
            Kind::Class => "type",
            Kind::Function => "function",
        }
    }

    pub(crate) fn repr(&self) -> String {
        match self.kind {
            Kind::Module => format!("<module '{}'>", self.name),
            Kind::Class => format!("<class '{}'>", self.name),
            Kind::Function => format!("<function {}>", self.name),
        }
    }

    /// The member of that name, if there is one.
    pub(crate) fn member(&'static self, name: &str) -> Option<Outcome> {
        let (known, member) = self.members.iter().find(|(known, _)| *known == name)?;
        Some(Ok(match member {
            Member::Native(native) => Val::Native(native),
            Member::Value(make) => make(),
            Member::Function(function) => Val::Method(Arc::new(BoundMethod {
                this: Val::Native(self),
                name: known,
                code: Code::Function(*function),
            })),
            Member::Refused(reason) => return Some(Err(refused(self, known, reason))),
        }))
    }

    /// Whether there is a member of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| *known == name)
    }

    /// Calls the member of that name, if there is one.
    pub(crate) fn call_member(&'static self, rt: &Runtime<'_>, name: &str, args: Args) -> Option<Outcome> {
        let (known, member) = self.members.iter().find(|(known, _)| *known == name)?;
        Some(match member {
            Member::Function(function) => function(rt, args),
            Member::Native(native) => match native.call {
                Some(call) => call(rt, args),
                None => Err(not_callable(native)),
            },
            Member::Refused(reason) => Err(refused(self, known, reason)),
            Member::Value(make) => crate::call::call_value(rt, &make(), args),
        })
    }
}

fn refused(owner: &Native, name: &str, reason: &str) -> Box<Fault> {
    Fault::new(ErrorKind::Runtime, format!("{}.{name} is refused in templates: {reason}", owner.name))
}

fn not_callable(native: &Native) -> Box<Fault> {
    Fault::new(
        ErrorKind::Runtime,
        format!("{} is a {} and cannot be called", native.name, native.type_name()),
    )
}

/// The code of a bound method.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    Method(MethodFn),
    Function(NativeFn),
}

/// A method taken from its object without being called.
#[derive(Debug)]
pub(crate) struct BoundMethod {
    pub(crate) this: Val,
    pub(crate) name: &'static str,
    pub(crate) code: Code,
}

impl BoundMethod {
    pub(crate) fn call(&self, rt: &Runtime<'_>, args: Args) -> Outcome {
        match self.code {
            Code::Method(code) => code(rt, &self.this, args),
            Code::Function(code) => code(rt, args),
        }
    }
}
