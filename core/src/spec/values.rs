//! Values of settings.

use serde::Deserialize as _;
use serde_json::Value;

use crate::duration::Span;
use crate::problem::show;

/// A duration: a text or a number of seconds.
pub(super) fn span(value: &Value) -> Result<Span, String> {
    if !value.is_string() && !value.is_number() {
        return Err(format!("expected a duration such as 90s or 1.5h, got {}", show(value)));
    }
    Span::deserialize(value).map_err(|error| error.to_string())
}

/// Reads a flag as lava writes it.
///
/// # Errors
/// The values that were expected.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(yes) => Ok(*yes),
        Value::String(text) if ["true", "t", "yes", "y", "1"].contains(&text.to_lowercase().as_str()) => {
            Ok(true)
        }
        Value::String(text) if ["false", "f", "no", "n", "0"].contains(&text.to_lowercase().as_str()) => {
            Ok(false)
        }
        other => Err(format!("expected true or false, got {}", show(other))),
    }
}

/// Reads a flag that may be written as `on` and `off` too, which YAML reads as texts.
///
/// # Errors
/// The values that were expected.
pub(super) fn switch(value: &Value) -> Result<bool, String> {
    match value.as_str().map(str::to_lowercase).as_deref() {
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        _ => flag(value).map_err(|_| format!("expected on or off, got {}", show(value))),
    }
}
