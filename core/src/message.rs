//! The message that makes a worker look at a run: lava's dispatch message.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Timestamp;
use crate::document::parse_json;
use crate::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use crate::problem::Invalid;
use crate::run::Run;
use crate::text::cut;

/// Longest message body, in bytes (SQS, message size: 1 MiB).
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The body of a message on a worker's queue, as lava's dispatch sends it. The record carries
/// the truth; a message only says that it is time to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The realm.
    pub realm: RealmName,
    /// The worker that is meant.
    pub worker: WorkerName,
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The run.
    pub run_id: RunId,
    /// When the run was dispatched: ISO 8601 with its zone.
    pub ts_dispatch: String,
    /// The request's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// The request's globals, over those of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<Map<String, Value>>,
    /// The key of the record, where it is not the run's id, for children, or where there is to be one:
    /// without it a message that has no record is one of lava's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<RunKey>,
}

impl Message {
    /// Reads the body of a message, as strictly as every other document: lava's dispatch may have sent it.
    ///
    /// # Errors
    /// A text that is not JSON, or has a field twice, too large a number, or no value where one is needed.
    pub fn read(body: &str) -> Result<Self, Invalid> {
        let value = parse_json(body).map_err(|error| Invalid(error.to_string()))?;
        if !value.is_object() {
            return Err(Invalid(format!("not an object: {}", cut(&value.to_string()))));
        }
        serde_json::from_value(value).map_err(|error| Invalid(error.to_string()))
    }

    /// The key of the run that a body names, for a look ahead: the body is not checked further.
    #[must_use]
    pub fn key_of(body: &str) -> Option<RunKey> {
        #[derive(Deserialize)]
        struct Named {
            run_id: RunId,
            #[serde(default)]
            run_key: Option<RunKey>,
        }
        let named: Named = serde_json::from_str(body).ok()?;
        Some(named.run_key.unwrap_or_else(|| RunKey::root(named.run_id)))
    }

    /// The message about a run.
    #[must_use]
    pub fn about(realm: &RealmName, run: &Run) -> Self {
        Self {
            realm: realm.clone(),
            worker: run.worker.clone(),
            job_id: run.job_id.clone(),
            run_id: run.run_id,
            ts_dispatch: iso(run.ts_dispatch),
            parameters: None,
            globals: None,
            run_key: run.is_child().then(|| run.key.clone()),
        }
    }

    /// The message about a run that may come when its record is long gone, and starts nothing then.
    #[must_use]
    pub fn reminder(realm: &RealmName, run: &Run) -> Self {
        Self { run_key: Some(run.key.clone()), ..Self::about(realm, run) }
    }

    /// Whether it was made by [`Message::reminder`] for a run that is not a step of another.
    #[must_use]
    pub fn is_reminder(&self) -> bool {
        self.run_key.as_ref().is_some_and(|key| key.depth() == 0)
    }

    /// The key of the run's record.
    #[must_use]
    pub fn key(&self) -> RunKey {
        self.run_key.clone().unwrap_or_else(|| RunKey::root(self.run_id))
    }

    /// The body as sent, of characters that SQS takes.
    #[must_use]
    pub fn body(&self) -> String {
        // Names, strings and JSON maps always serialise.
        for_sqs(serde_json::to_string(self).unwrap_or_default())
    }
}

/// A JSON text for a message of SQS, with the two characters escaped that XML does not know and SQS does not take.
#[must_use]
pub fn for_sqs(json: String) -> String {
    match json.contains(['\u{fffe}', '\u{ffff}']) {
        // They stand within strings only.
        true => json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"),
        false => json,
    }
}

/// An instant as ISO 8601 in UTC, to the microsecond.
#[must_use]
pub fn iso(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// An instant as lava's `tu_event` writes it: ISO 8601 in UTC without saying so.
#[must_use]
pub fn iso_naive(at: Timestamp) -> String {
    at.naive_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_with_float_in_exponent_form_is_read() {
        let body = r#"{"realm":"r","worker":"w","job_id":"a","run_id":"0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55","ts_dispatch":"2026-01-01T00:00:00+00:00","parameters":{"x":[1e20,2.0]},"globals":{"y":-0},"run_key":"0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55/1.0"}"#;
        let message = Message::read(body).unwrap();
        let written = message.body();
        assert_eq!(Message::read(&written), Ok(message));
        assert!(written.contains(r#"{"x":[1e+20,2.0]},"globals":{"y":0}"#), "{written}");
    }

    #[test]
    fn key_of_a_body_is_the_key_of_its_message() {
        let ids = r#""realm":"r","worker":"w","job_id":"a","run_id":"0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55""#;
        for more in ["", r#","run_key":"0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55/1.0""#] {
            let body = format!(r#"{{{ids},"ts_dispatch":"2026-01-01T00:00:00+00:00"{more}}}"#);
            assert_eq!(Message::key_of(&body), Some(Message::read(&body).unwrap().key()), "{body}");
        }
        for body in ["", "{}", r#"{"run_id":7}"#] {
            assert_eq!(Message::key_of(body), None, "{body}");
        }
    }

    #[test]
    fn body_has_only_characters_that_sqs_takes() {
        // SQS Developer Guide, Message quotas: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
        let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
        let every: String = ('\0'..=char::MAX).collect();
        let body = r#"{"realm":"r","worker":"w","job_id":"a","run_id":"0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55","ts_dispatch":"2026-01-01T00:00:00+00:00"}"#;
        let map = Map::from_iter([(every.clone(), Value::from([every]))]);
        let bare = Message::read(body).unwrap();
        let message = Message { parameters: Some(map.clone()), globals: Some(map), ..bare };
        let sent = message.body();
        assert_eq!(sent.chars().find(|c| !taken(*c)), None);
        assert_eq!(Message::read(&sent), Ok(message));
    }

    #[test]
    fn message_that_would_lose_something_is_refused() {
        let with = |globals: &str| {
            format!(
                r#"{{"realm":"r","worker":"w","job_id":"a","run_id":"0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55","ts_dispatch":"2026-01-01T00:00:00+00:00","globals":{globals}}}"#
            )
        };
        assert!(Message::read(&with("{}")).is_ok());
        for (body, wanted) in [
            (with(r#"{"x":18446744073709551616}"#), "more than 64 bits"),
            (with(r#"{"x":1e400}"#), "larger than any float"),
            (with(r#"{"x":1,"x":2}"#), "given twice"),
            (r#"{"realm":"r"}"#.to_owned(), "missing field"),
            ("[1]".to_owned(), "not an object: [1]"),
            ("7".to_owned(), "not an object: 7"),
        ] {
            let error = Message::read(&body).unwrap_err();
            assert!(error.0.contains(wanted), "{body}: {error}");
        }
    }
}
