//! Python's `re`.

mod characters;
mod groups;
mod matched;
mod module;
mod pattern;
mod substitute;
mod translate;

pub(crate) use matched::{MATCH_METHODS, Match};
pub(crate) use module::MODULE;
pub(crate) use pattern::{PATTERN_METHODS, Pattern, RegexCache};
