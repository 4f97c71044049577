//! The things that a look has shown: how many they are, and a digest of which.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use pumice_core::text::quoted;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// How many bytes of a digest are compared.
const DIGEST_BYTES: usize = 8;

/// How many things a look has shown, and which: `5:3fa9c1d2e4b6a798`. Without a digest, as in `5`, only their number counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How many.
    pub count: u64,
    /// The digest of their ids, in hexadecimal.
    pub digest: Option<String>,
}

/// A text that is not such an expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not what a look shows: give a number as 5, or with the digest of a dry run as 5:3fa9c1d2e4b6a798"
)]
pub struct BadExpected(String);

impl Expected {
    /// Why something else is meant now, where it is. `what` is the name of several.
    pub(crate) fn differs(&self, now: &Self, what: &str) -> Option<String> {
        let Self { count, digest } = now;
        let meant = match count {
            1 => format!("1 {} is meant now", what.strip_suffix('s').unwrap_or(what)),
            _ => format!("{count} {what} are meant now"),
        };
        let others = match &self.digest {
            _ if self.count != *count => format!("{meant}, and not {}", self.count),
            Some(expected) if Some(expected) != digest.as_ref() && *count == 1 => {
                format!("{meant} as before, but another than the one that was shown")
            }
            Some(expected) if Some(expected) != digest.as_ref() => {
                format!("{meant} as before, but others than the {} that were shown", self.count)
            }
            _ => return None,
        };
        Some(format!("{others}: nothing is done; look again with a dry run"))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, ":{digest}"))
    }
}

impl FromStr for Expected {
    type Err = BadExpected;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadExpected(quoted(text));
        let (count, digest) = match text.split_once(':') {
            Some((count, digest)) => (count, Some(digest)),
            None => (text, None),
        };
        let is_digest = |digest: &str| {
            digest.len() == 2 * DIGEST_BYTES
                && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !count.bytes().all(|byte| byte.is_ascii_digit()) || !digest.is_none_or(is_digest) {
            return Err(bad());
        }
        Ok(Self { count: count.parse().map_err(|_| bad())?, digest: digest.map(str::to_owned) })
    }
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.digest {
            None => serializer.serialize_u64(self.count),
            Some(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Count(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Count(count) => Ok(Self { count, digest: None }),
            Form::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for Expected {
    fn schema_name() -> Cow<'static, str> {
        "Expected".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "format": "uint64", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]{1,18}(:[0-9a-f]{16})?$" },
        ] })
    }
}

/// Counts things by their ids, and makes the digest, in their order.
#[derive(Clone, Default)]
pub(crate) struct Tallied {
    count: u64,
    hash: Sha256,
}

impl Tallied {
    pub(crate) fn of<'i>(ids: impl IntoIterator<Item = &'i str>) -> Self {
        ids.into_iter().fold(Self::default(), |mut all, id| {
            all.add(id);
            all
        })
    }

    pub(crate) fn add(&mut self, id: &str) {
        self.count += 1;
        self.hash.update((id.len() as u64).to_be_bytes());
        self.hash.update(id);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn expected(self) -> Expected {
        let digest = self.hash.finalize();
        let digest = digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Expected { count: self.count, digest: Some(digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectation_is_read_as_it_is_written() {
        for text in ["0", "5", "5:3fa9c1d2e4b6a798"] {
            let expected: Expected = text.parse().unwrap();
            assert_eq!(expected.to_string(), text);
            let json = serde_json::to_value(&expected).unwrap();
            assert_eq!(json.is_u64(), !text.contains(':'));
            assert_eq!(serde_json::from_value::<Expected>(json).unwrap(), expected);
        }
        for wrong in [
            "",
            ":",
            "-1",
            "+1",
            "5:",
            "5:3FA9C1D2E4B6A798",
            "5:3fa9",
            "x:3fa9c1d2e4b6a798",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<Expected>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn others_of_the_same_number_are_not_expected() {
        let shown = |ids: &[&str]| Tallied::of(ids.iter().copied()).expected();
        let (looked, same, others, more) =
            (shown(&["a", "b"]), shown(&["a", "b"]), shown(&["a", "c"]), shown(&["a", "b", "c"]));
        assert_eq!(looked.differs(&same, "runs"), None);
        assert_ne!(shown(&["ab", "c"]), shown(&["a", "bc"]));
        let why = looked.differs(&others, "runs").unwrap();
        assert!(
            why.starts_with("2 runs are meant now as before, but others than the 2 that were shown"),
            "{why}"
        );
        assert!(
            looked.differs(&more, "runs").unwrap().starts_with("3 runs are meant now, and not 2: nothing")
        );
        let number: Expected = "2".parse().unwrap();
        assert_eq!(number.differs(&others, "runs"), None);
        assert!(number.differs(&more, "runs").is_some());
    }
}
