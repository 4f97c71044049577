//! The part of a realm that pruning is held to.

use std::fmt;
use std::str::FromStr;

use pumice_core::text::shown;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The scope that is the whole realm.
const WHOLE: &str = "*";
/// The separator of the segments of an id.
const SEPARATOR: char = '/';

/// A path of ids: itself, and all that is below it. `etl` means `etl` and `etl/load`, and never `etl-old`; `etl/` only what is
/// below; `*` the whole realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdScope(String);

/// A text that is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScope {
    /// It is empty.
    #[error("a scope is empty: give the beginning of ids, as in etl/, or * for the whole realm")]
    Empty,
    /// It has a sign of a pattern.
    #[error("scope {0} is not a pattern: give the beginning of ids, as in etl/, or * for the whole realm")]
    Pattern(String),
}

impl IdScope {
    /// Whether an id is within the scope.
    #[must_use]
    pub fn takes(&self, id: &str) -> bool {
        if self.0 == WHOLE {
            return true;
        }
        let Some(rest) = id.strip_prefix(&self.0) else { return false };
        match self.0.ends_with(SEPARATOR) {
            true => !rest.is_empty(),
            false => rest.is_empty() || rest.starts_with(SEPARATOR),
        }
    }
}

impl fmt::Display for IdScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IdScope {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            _ if text.trim_matches(SEPARATOR).trim().is_empty() => Err(BadScope::Empty),
            WHOLE => Ok(Self(text.to_owned())),
            _ if text.contains(['*', '?']) => Err(BadScope::Pattern(shown(text))),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl Serialize for IdScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IdScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for IdScope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IdScope".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A path of ids: itself and all below it; with a / at its end only what is below; * for the whole realm.",
            "type": "string",
            "minLength": 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_takes_whole_segments() {
        for (scope, within, outside) in [
            ("etl", vec!["etl", "etl/load", "etl/a/b"], vec!["etl-old", "etl2/load", "other/etl", ""]),
            ("etl/", vec!["etl/load", "etl/a/b"], vec!["etl", "etl-old", "etl2/a"]),
            ("etl/größe", vec!["etl/größe", "etl/größe/x"], vec!["etl/größer", "etl/grö"]),
            ("*", vec!["etl", "a/b"], vec![]),
        ] {
            let scope: IdScope = scope.parse().unwrap();
            assert!(within.iter().all(|id| scope.takes(id)), "{scope}: {within:?}");
            assert!(!outside.iter().any(|id| scope.takes(id)), "{scope}: {outside:?}");
        }
    }

    #[test]
    fn scope_that_is_empty_or_a_pattern_is_refused() {
        for text in ["", " ", "/", "//", "etl/*", "*/load", "e?l"] {
            assert!(text.parse::<IdScope>().is_err(), "{text:?}");
        }
    }
}
