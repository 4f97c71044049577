//! Starts by the clock, whichever clock it is that strikes: the key that makes a slot start its job once.

use serde_json::{Map, Value, json};

use super::{BadInstant, DispatchRequest, Parsed, parse_instant, parse_value};
use crate::Timestamp;

/// The field of a request that says for which time a schedule of the caller's own makes it.
pub const SCHEDULED_AT: &str = "scheduled_at";

/// The requests that a schedule of the caller's own makes at one of its times.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotRequests {
    /// A name that distinguishes the slot from every other one: that of the event that brings it.
    pub name: String,
    /// The requests, each with the key of the slot unless it brings its own.
    pub requests: Vec<Parsed>,
}

/// Reads the request of a caller's own schedule: an object as [`parse_object`](super::parse_object) reads it, with
/// [`SCHEDULED_AT`], and with `schedule`, a name, where several schedules give one job the same at one time. `zone` is the
/// zone of instants that name none.
///
/// # Errors
/// [`BadInstant`] when [`SCHEDULED_AT`] is missing or is not an instant.
pub fn parse_scheduled(
    mut fields: Map<String, Value>,
    zone: chrono_tz::Tz,
) -> Result<SlotRequests, BadInstant> {
    let at = fields.remove(SCHEDULED_AT).unwrap_or_default();
    let slot = parse_instant(at.as_str().unwrap_or_default())?.in_zone(zone);
    let schedule = fields.remove("schedule");
    if !fields.contains_key("idempotency_key") {
        let key = schedule_key(slot, schedule.as_ref(), fields.get("parameters"), fields.get("globals"));
        fields.insert("idempotency_key".to_owned(), key.into());
    }
    let name = schedule_key(slot, None, None, None);
    let requests = parse_value(&Value::Object(fields), zone).into_iter();
    let requests = requests.map(|request| request.map(|one| DispatchRequest { slot: Some(slot), ..one }));
    Ok(SlotRequests { name, requests: requests.collect() })
}

/// The idempotency key of a start by the clock: it follows from the time that the start is for, and from the values
/// given to the run, so that a schedule which is delivered twice runs once, and two that start one job at one time with
/// different values make two runs. `name` is one of the caller's to distinguish two that give the same.
#[must_use]
pub fn schedule_key(
    slot: Timestamp,
    name: Option<&Value>,
    parameters: Option<&Value>,
    globals: Option<&Value>,
) -> String {
    let when = slot.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let mut told = json!([name, parameters, globals]);
    if told == json!([null, null, null]) {
        return format!("schedule:{when}");
    }
    told.sort_all_objects();
    let uuid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, told.to_string().as_bytes());
    format!("schedule:{when}:{}", &uuid.simple().to_string()[..12])
}

/// The key of a further run of a start by the clock, where the runs under its key were withdrawn before they began; the key
/// itself for the first.
#[must_use]
pub fn again_key(key: &str, again: u32) -> String {
    if again == 0 { key.to_owned() } else { format!("{key}~{again}") }
}

/// The key for a start whose slot had so many other keys before, all of runs that are no longer wanted; the key itself for the
/// first.
#[must_use]
pub fn anew_key(key: &str, number: u32) -> String {
    if number == 0 { key.to_owned() } else { format!("{key}#{number}") }
}

/// The key of a start by the clock without what tells its runs apart.
#[must_use]
pub fn slot_key(key: &str) -> &str {
    key.split(['#', '~']).next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: Value) -> SlotRequests {
        let Value::Object(fields) = fields else { panic!("an object") };
        parse_scheduled(fields, chrono_tz::UTC).unwrap()
    }

    fn key(more: &Value) -> String {
        let mut fields = json!({ "job_id": "a", "scheduled_at": "2026-03-01T09:00:00Z" });
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        read(fields).requests.remove(0).unwrap().idempotency_key.unwrap()
    }

    #[test]
    fn slot_key_follows_from_time_name_and_values() {
        let plain = key(&json!({}));
        assert_eq!(plain, "schedule:2026-03-01T09:00:00Z");
        assert_eq!(key(&json!({ "scheduled_at": "2026-03-01T10:00:00+01:00" })), plain, "the same time");
        let others = [
            json!({ "scheduled_at": "2026-03-01T09:00:01Z" }),
            json!({ "schedule": "nightly" }),
            json!({ "parameters": { "x": 1 } }),
            json!({ "globals": { "x": 1 } }),
        ]
        .map(|more| key(&more));
        for (at, other) in others.iter().enumerate() {
            assert!(*other != plain && !others[..at].contains(other), "{other}");
        }
        assert_eq!(
            key(&json!({ "parameters": { "x": 1, "y": 2 } })),
            key(&json!({ "parameters": { "y": 2, "x": 1 } }))
        );
        assert_eq!(key(&json!({ "idempotency_key": "own" })), "own");
    }

    #[test]
    fn slot_name_is_the_time_alone() {
        let read =
            read(json!({ "job_id": "a", "scheduled_at": "2026-03-01T09:00:00Z", "schedule": "nightly" }));
        assert_eq!(read.name, "schedule:2026-03-01T09:00:00Z");
    }

    #[test]
    fn scheduled_at_of_another_kind_is_refused() {
        for at in [json!(null), json!(5), json!("<aws.scheduler.scheduled-time>"), json!("")] {
            let fields =
                Map::from_iter([("job_id".to_owned(), json!("a")), (SCHEDULED_AT.to_owned(), at.clone())]);
            assert!(parse_scheduled(fields, chrono_tz::UTC).is_err(), "{at}");
        }
        assert!(parse_scheduled(Map::new(), chrono_tz::UTC).is_err());
    }
}
