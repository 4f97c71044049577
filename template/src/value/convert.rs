//! JSON in, values out.

use std::sync::Arc;

use num_bigint::BigInt;
use serde_json::Value as Json;

use super::containers::{Dict, Entries, Key};
use super::{Text, Val};

/// A JSON value as Python's `json.loads` would give it.
///
/// The nesting of `serde_json` values is bounded by its parser; deeper ones
/// built by hand are cared for by growing the stack.
pub(crate) fn from_json(value: Json) -> Val {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || match value {
        Json::Null => Val::None,
        Json::Bool(truth) => Val::Bool(truth),
        Json::Number(number) => {
            if let Some(small) = number.as_i64() {
                Val::Int(small)
            } else if let Some(large) = number.as_u64() {
                Val::big(BigInt::from(large))
            } else {
                Val::Float(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        Json::String(text) => Val::Str(Text::plain(text)),
        Json::Array(items) => Val::list(items.into_iter().map(from_json).collect()),
        Json::Object(entries) => {
            let mut map = Entries::with_capacity(entries.len());
            for (key, value) in entries {
                map.insert(Key(Val::Str(Text::plain(key))), from_json(value));
            }
            Val::Dict(Arc::new(Dict::new(map)))
        }
    })
}
