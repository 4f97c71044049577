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
