//! Instants as JSON writes them.

use std::borrow::Cow;

use chrono::DateTime;
use pumice_core::Timestamp;
use pumice_core::clock::utc;
use pumice_core::message::iso;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! instant {
    ($(#[$about:meta])* $name:ident, $write:path) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub Timestamp);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$write(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let instant = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
                Ok(Self(instant.to_utc()))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "date-time" })
            }
        }
    };
}

instant! {
    /// An instant of a record, to the microsecond: `2026-11-28T12:00:00.000000+00:00`.
    Instant, iso
}
instant! {
    /// An instant of a schedule, to the second: `2026-11-28T12:00:00Z`.
    Slot, utc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_a_round_trip() {
        let at = Timestamp::from_timestamp_micros(1_798_761_600_123_456).unwrap();
        let record = serde_json::to_value(Instant(at)).unwrap();
        assert_eq!(record, "2027-01-01T00:00:00.123456+00:00");
        assert_eq!(serde_json::from_value::<Instant>(record).unwrap(), Instant(at));
        let slot = serde_json::to_value(Slot(at)).unwrap();
        assert_eq!(slot, "2027-01-01T00:00:00Z");
        assert_eq!(serde_json::from_value::<Slot>(slot).unwrap().0.timestamp(), at.timestamp());
    }
}
