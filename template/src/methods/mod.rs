//! The methods of values, as tables: a method that is in none does not exist.

pub(crate) mod bytes;
pub(crate) mod dict;
pub(crate) mod list;
pub(crate) mod numeric;
pub(crate) mod text;
pub(crate) mod text_case;
pub(crate) mod text_split;

use crate::clock;
use crate::dateparse;
use crate::eval::objects::{self, Object};
use crate::native::{MethodFn, Methods};
use crate::rrule;
use crate::utils::re;
use crate::value::Val;

const LOOP: Methods = &[("cycle", objects::loop_cycle), ("changed", objects::loop_changed)];
const CYCLER: Methods = &[("next", objects::cycler_next), ("reset", objects::cycler_reset)];

/// The tables of a value's type.
fn tables(value: &Val) -> [Methods; 3] {
    match value {
        Val::Str(_) => [text::METHODS, text_split::METHODS, text_case::METHODS],
        Val::Dict(_) => [dict::METHODS, &[], &[]],
        Val::List(_) => [list::METHODS, &[], &[]],
        Val::Tuple(_) | Val::Range(_) => [list::TUPLE_METHODS, &[], &[]],
        Val::Int(_) | Val::Big(_) | Val::Bool(_) => [numeric::INT_METHODS, &[], &[]],
        Val::Float(_) => [numeric::FLOAT_METHODS, &[], &[]],
        Val::Decimal(_) => [numeric::DECIMAL_METHODS, &[], &[]],
        Val::Bytes(_) => [bytes::METHODS, &[], &[]],
        Val::Date(_) => [clock::methods::DATE, &[], &[]],
        Val::DateTime(_) => [clock::methods::DATETIME, clock::methods::DATE, &[]],
        Val::Time(_) => [clock::time_methods::TIME, &[], &[]],
        Val::Delta(_) => [clock::methods::DELTA, &[], &[]],
        Val::Relative(_) => [clock::methods::RELATIVE, &[], &[]],
        Val::Zone(_) => [clock::methods::ZONE, &[], &[]],
        Val::Match(_) => [re::MATCH_METHODS, &[], &[]],
        Val::Pattern(_) => [re::PATTERN_METHODS, &[], &[]],
        Val::Object(object) => match &**object {
            Object::Loop(_) => [LOOP, &[], &[]],
            Object::Cycler { .. } => [CYCLER, &[], &[]],
            Object::Parser => [dateparse::PARSER_METHODS, &[], &[]],
            Object::IsoParser(_) => [dateparse::ISOPARSER_METHODS, &[], &[]],
            Object::Rule(_) => [rrule::METHODS, &[], &[]],
            _ => [&[], &[], &[]],
        },
        _ => [&[], &[], &[]],
    }
}

/// The method of that name.
pub(crate) fn find(value: &Val, name: &str) -> Option<(&'static str, MethodFn)> {
    for table in tables(value) {
        if let Some(found) = table.iter().find(|(known, _)| *known == name) {
            return Some(*found);
        }
    }
    None
}

/// The names of a value's methods.
pub(crate) fn names(value: &Val) -> impl Iterator<Item = &'static str> {
    tables(value).into_iter().flatten().map(|(name, _)| *name)
}
