//! Text from values: `format` specs, `str.format`, and `%`.

pub(crate) mod brace;
pub(crate) mod number;
pub(crate) mod percent;
pub(crate) mod spec;
