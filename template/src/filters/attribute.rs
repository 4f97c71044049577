//! Filters that look into values: `attr`, `default`, and the `attribute`
//! parameter of others.

use crate::attributes;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::methods::text_case::is_decimal;
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Val, digits};

/// The path an `attribute` parameter names: `a.b.0`, or an index.
pub(crate) struct Path(Vec<Val>);

impl Path {
    pub(crate) fn of(attribute: &Val) -> Outcome<Self> {
        match attribute {
            Val::Int(_) => Ok(Self(vec![attribute.clone()])),
            Val::Str(text) => Ok(Self::parse(text.as_str())),
            other => {
                fail(format!("attribute must be a name or an index, not {}", with_article(other.type_name())))
            }
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        // Python's `isdigit` is not what its `int` reads, but for these.
        let index = |part: &str| digits::ascii(part).parse().ok().filter(|_| part.chars().all(is_decimal));
        let step = |part: &str| index(part).map_or_else(|| Val::str(part), Val::Int);
        Self(text.split('.').map(step).collect())
    }

    /// The value at the path, or `default` where it is undefined.
    pub(crate) fn get(&self, rt: &Runtime<'_>, value: &Val, default: Option<&Val>) -> Outcome {
        let mut value = value.clone();
        for step in &self.0 {
            rt.step(1)?;
            value = attributes::item(rt, &value, step)?;
            if let (true, Some(default)) = (value.is_undefined(), default) {
                value = default.clone();
            }
        }
        Ok(value)
    }
}

/// `value|attr(name)`: the attribute, never an item.
pub(super) fn attr(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [name] = args.bind("attr", ["name"], 1)?;
    let name = name.unwrap_or(Val::None);
    let name = call::text(rt, "attr", "name", &name)?;
    let found = attributes::attr(rt, value, &name.into())?;
    match (value, &found) {
        (Val::Dict(_), Val::Method(_)) => Ok(found),
        (Val::Dict(_), _) => Ok(Val::missing_member(value, name)),
        _ => Ok(found),
    }
}

/// `value|default(other, boolean)`.
pub(super) fn default(_rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [other, boolean] = args.bind("default", ["default_value", "boolean"], 0)?;
    let boolean = boolean.is_some_and(|boolean| boolean.truth());
    if value.is_undefined() || (boolean && !value.truth()) {
        return Ok(other.unwrap_or_else(|| Val::str("")));
    }
    Ok(value.clone())
}
