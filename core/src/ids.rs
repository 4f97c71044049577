//! Names of things: jobs, runs, workers, state items, realms.
//!
//! Each is a checked string of its own type, so that one can never be passed for another. `new` applies all rules
//! to a new name; `stored` reads a name that a store may hold under the rules of an earlier version.

use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::text::{Blemish, blemish, quoted};

/// Longest job or state id, in bytes: DynamoDB keys hold 2,048, and a run's key holds a job's id.
pub const MAX_ID_BYTES: usize = 1024;
/// Longest worker or realm name, in bytes: a queue name, `lava-<realm>-<worker>-dlq`, holds 80.
pub const MAX_NAME_BYTES: usize = 32;
/// Longest id of a host, in bytes: an idempotency key holds one next to a time.
pub const MAX_HOST_BYTES: usize = 100;
/// Longest value of a connection's field, in bytes: more than a host, a path or an ARN has.
pub const MAX_FIELD_BYTES: usize = 2048;
/// Longest part of a job id between two slashes, in bytes: folders are named after it (Linux, `NAME_MAX`).
pub const MAX_SEGMENT_BYTES: usize = 255;

/// A string that is not a valid name of its kind. A long one is cut in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {} {reason}", quoted(value))]
pub struct BadName {
    what: &'static str,
    value: String,
    reason: String,
}

/// The rules that ids of every version follow.
fn check_stored(what: &'static str, value: &str) -> Result<(), BadName> {
    let reason = if value.is_empty() {
        "must not be empty".to_owned()
    } else if value.len() > MAX_ID_BYTES {
        format!("is longer than {MAX_ID_BYTES} bytes")
    } else {
        return Ok(());
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

/// The rules of a new id.
fn check_id(what: &'static str, value: &str) -> Result<(), BadName> {
    check_stored(what, value)?;
    let reason = match blemish(value) {
        Some(Blemish::Control(_)) => "must not hold control characters".to_owned(),
        Some(Blemish::Invisible(c)) => {
            format!(
                "must not hold zero-width or direction-changing characters, such as U+{:04X}",
                u32::from(c)
            )
        }
        Some(Blemish::Blank(c)) => {
            format!("must not hold blanks other than the plain space, such as U+{:04X}", u32::from(c))
        }
        None if value.trim() != value => "must not begin or end with blanks".to_owned(),
        None => return Ok(()),
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

/// The further rules of a new job id: folders are named after it, and command lines take it.
fn check_job_id(what: &'static str, value: &str) -> Result<(), BadName> {
    check_id(what, value)?;
    let reason = if value.starts_with('-') {
        "must not begin with -, or it would be taken for an option".to_owned()
    } else if let Some(bad) = value.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
        if bad.is_empty() {
            "must not have an empty segment: no / at its ends, and no // within it".to_owned()
        } else {
            format!("must not have the segment {bad:?}: folders are named after it")
        }
    } else if value.split('/').any(|segment| segment.len() > MAX_SEGMENT_BYTES) {
        format!("has a segment longer than {MAX_SEGMENT_BYTES} bytes, the longest name of a folder")
    } else {
        return Ok(());
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

fn check_name(what: &'static str, value: &str) -> Result<(), BadName> {
    let reason = if value.is_empty() {
        "must not be empty".to_owned()
    } else if value.len() > MAX_NAME_BYTES {
        format!("is longer than {MAX_NAME_BYTES} characters, and is part of a queue's name")
    } else if value.chars().any(|c| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
        "may hold letters, digits, - and _ only: it is part of a queue's name".to_owned()
    } else {
        return Ok(());
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

/// The end of the names of dead-letter queues.
const DEAD_LETTERS: &str = "-dlq";
/// The dispatcher's name among those of queues.
const DISPATCHER: &str = "pumice-dispatcher";

/// The rules of a worker's name: it must not have its queue be the dead letters of another, or have those of the
/// dispatcher.
fn check_worker(what: &'static str, value: &str) -> Result<(), BadName> {
    check_name(what, value)?;
    let reason = if value.ends_with(DEAD_LETTERS) {
        format!("must not end in {DEAD_LETTERS}: queues of dead letters have such names")
    } else if value == DISPATCHER {
        "must be another: the dispatcher's dead letters would be the worker's".to_owned()
    } else {
        return Ok(());
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

/// The rules of a text that stands in one line of a script or a header.
fn check_field(what: &'static str, value: &str) -> Result<(), BadName> {
    let reason = if value.is_empty() {
        "must not be empty".to_owned()
    } else if value.len() > MAX_FIELD_BYTES {
        format!("is longer than {MAX_FIELD_BYTES} bytes")
    } else if value.chars().any(char::is_control) {
        "must not have control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

fn check_host(what: &'static str, value: &str) -> Result<(), BadName> {
    let reason = if value.is_empty() {
        "must not be empty".to_owned()
    } else if value.len() > MAX_HOST_BYTES {
        format!("is longer than {MAX_HOST_BYTES} characters")
    } else if value.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        "may hold letters, digits, -, _ and . only".to_owned()
    } else {
        return Ok(());
    };
    Err(BadName { what, value: value.to_owned(), reason })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $format:literal, $check:ident $(, $stored:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes the text as a name, or says what is wrong with it.
            ///
            /// # Errors
            /// [`BadName`] when the text is empty, too long or holds a character that is not allowed.
            pub fn new(text: impl AsRef<str>) -> Result<Self, BadName> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(text.into()))
            }

            $(
                /// Takes a text that a store holds already. It may break a rule that came later: stored
                /// documents must be readable, to be looked at, mended and deleted.
                ///
                /// # Errors
                /// [`BadName`] when the text is empty or too long, which no version has stored.
                pub fn stored(text: impl AsRef<str>) -> Result<Self, BadName> {
                    let text = text.as_ref();
                    $stored($what, text)?;
                    Ok(Self(text.into()))
                }

                /// Reads a stored name: for serde's `deserialize_with`, in records.
                ///
                /// # Errors
                /// As [`Self::stored`], in the deserializer's words.
                pub fn deserialize_stored<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    Self::stored(String::deserialize(deserializer)?).map_err(de::Error::custom)
                }
            )?

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "format": $format })
            }
        }
    };
}

name_type! {
    /// A job's id, unique in its realm; often a path such as `etl/load/01` (lava guide, The Jobs Table).
    JobId, "job id", "job-id", check_job_id, check_stored
}
name_type! {
    /// A worker's name: the fleet that runs a job, and part of its queue's name (lava guide, Lava Workers).
    WorkerName, "worker name", "worker-name", check_worker
}
name_type! {
    /// The id of a host: a process that takes the runs of a worker.
    HostId, "host id", "host-id", check_host
}
name_type! {
    /// The name of a pool: how many runs of some jobs run at once.
    PoolName, "pool name", "pool-name", check_host
}
name_type! {
    /// A realm's name (lava guide, The Realms Table).
    RealmName, "realm name", "realm-name", check_name
}
name_type! {
    /// A state item's id (lava guide, The State Table).
    StateId, "state id", "state-id", check_id, check_stored
}

name_type! {
    /// A trigger's id (lava guide, The S3triggers Table).
    TriggerId, "trigger id", "trigger-id", check_id, check_stored
}
name_type! {
    /// A connection's id (lava guide, The Connections Table).
    ConnId, "connection id", "conn-id", check_id, check_stored
}
name_type! {
    /// The name of a secret: of an SSM parameter, of a secret of Secrets Manager, or of one in a realm's folder.
    SecretName, "secret name", "secret-name", check_id
}
name_type! {
    /// A value of a connection's field, in one line.
    FieldText, "text", "field-text", check_field
}

impl HostId {
    /// The id that this text is, which is known to be one.
    pub(crate) fn known(text: String) -> Self {
        Self(text.into())
    }
}

/// The UUID of a run that users see. Children of a chain, dag or foreach show their parent's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// The run of a key: the same realm, job and key give the same id, always.
    #[must_use]
    pub fn from_key(realm: &RealmName, job_id: &JobId, key: &str) -> Self {
        let name = format!("{realm}\0{job_id}\0{key}");
        Self(Uuid::new_v5(&KEYED_RUNS, name.as_bytes()))
    }
}

/// Namespace of the ids that [`RunId::from_key`] derives; never to be changed.
const KEYED_RUNS: Uuid = Uuid::from_u128(0x6f5d_2c0e_8a41_4d0b_9c5e_3b1f_7a90_d2e4);

impl JsonSchema for RunId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uuid" })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for RunId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| BadName {
            what: "run id",
            value: text.to_owned(),
            reason: "is not a UUID".to_owned(),
        })
    }
}

/// The key of a run's record: its `run_id` for a run that was dispatched, and the parent's key
/// with the parent's attempt and the step for a child, as in `<run_id>/1.0`.
///
/// A child's key follows from its place alone, so that making it twice makes it once.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(Arc<str>);

impl RunKey {
    /// The key of a run of its own.
    #[must_use]
    pub fn root(run_id: RunId) -> Self {
        Self(run_id.to_string().into())
    }

    /// The key of the child at `step` (from 0) of this run's `attempt` (from 1).
    #[must_use]
    pub fn child(&self, attempt: u32, step: u32) -> Self {
        Self(format!("{}/{attempt}.{step}", self.0).into())
    }

    /// The key of the run that this is a child of; `None` for a run of its own.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// Whether this is a step of that run, or a step of one of its steps, however deep.
    #[must_use]
    pub fn is_below(&self, above: &Self) -> bool {
        self.0.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// How many parents within the same run stand above: 0 for a run that was dispatched.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.matches('/').count()
    }

    /// The step of a child in its parent, from 0; `None` for a run of its own.
    #[must_use]
    pub fn step(&self) -> Option<u32> {
        self.0.rsplit_once('/')?.1.split_once('.')?.1.parse().ok()
    }

    /// The run id that begins the key.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        self.0.split('/').next()?.parse().ok()
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RunId> for RunKey {
    fn from(run_id: RunId) -> Self {
        Self::root(run_id)
    }
}

impl std::str::FromStr for RunKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        parts.next().unwrap_or_default().parse::<RunId>()?;
        let steps_hold = parts.all(|part| {
            part.split_once('.')
                .is_some_and(|(attempt, step)| attempt.parse::<u32>().is_ok() && step.parse::<u32>().is_ok())
        });
        if steps_hold {
            Ok(Self(text.into()))
        } else {
            Err(BadName {
                what: "run key",
                value: text.to_owned(),
                reason: "is not a run id followed by /ATTEMPT.STEP parts".to_owned(),
            })
        }
    }
}

impl JsonSchema for RunKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunKey".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(JobId::new("etl/load/01").is_ok());
        assert_eq!(JobId::new("").unwrap_err().to_string(), "job id \"\" must not be empty");
        assert!(JobId::new(" a").is_err());
        assert!(WorkerName::new("core-2_x").is_ok());
        assert!(WorkerName::new("a b").unwrap_err().to_string().contains("queue's name"));
        assert!(RealmName::new("x".repeat(33)).is_err());
    }

    #[test]
    fn worker_name_of_a_dead_letter_queue_is_refused() {
        for bad in ["core-dlq", "pumice-dispatcher-dlq", "-dlq", "pumice-dispatcher"] {
            let error = WorkerName::new(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("dead letters"), "{error}");
        }
        for good in ["dlq", "core-dlq-2", "coredlq", "pumice-dispatcher-2", "pumice"] {
            assert!(WorkerName::new(good).is_ok(), "{good}");
        }
        assert!(RealmName::new("core-dlq").is_ok(), "a realm's name is followed by a worker's");
    }

    #[test]
    fn job_id_that_no_path_can_bear_names_the_rule() {
        let long = format!("etl/{}", "x".repeat(MAX_SEGMENT_BYTES + 1));
        for (id, rule) in [
            ("..", "the segment \"..\""),
            (".", "the segment \".\""),
            ("etl/../../root", "the segment \"..\""),
            ("etl/./load", "the segment \".\""),
            ("etl/..", "the segment \"..\""),
            ("/etl", "an empty segment"),
            ("etl/", "an empty segment"),
            ("etl//load", "an empty segment"),
            (long.as_str(), "longer than 255 bytes"),
            ("-rf", "taken for an option"),
            ("--help", "taken for an option"),
            ("a\nb", "control characters"),
            ("a\u{1b}[2Jb", "control characters"),
            ("a\u{7f}", "control characters"),
            ("a\u{85}b", "control characters"),
            ("a\u{200b}b", "zero-width or direction-changing characters, such as U+200B"),
            ("a\u{feff}", "zero-width"),
            ("\u{feff}a", "zero-width"),
            ("a\u{ad}b", "zero-width"),
            ("a\u{34f}b", "zero-width"),
            ("a\u{fe0f}", "zero-width"),
            ("a\u{202e}b", "direction-changing"),
            ("a\u{2066}b", "direction-changing"),
            ("a\u{200f}b", "direction-changing"),
            ("a\u{2028}b", "zero-width"),
            ("a\u{3164}b", "zero-width"),
            ("a\u{2800}b", "zero-width"),
            ("a\u{a0}b", "blanks other than the plain space, such as U+00A0"),
            ("a\u{3000}b", "blanks other than"),
        ] {
            let error = JobId::new(id).unwrap_err().to_string();
            assert!(error.contains(rule), "{id:?}: {error}");
            assert!(error.chars().all(|c| !c.is_control() && blemish(&c.to_string()).is_none()), "{error:?}");
            assert!(error.len() < 300, "{error}");
            assert!(serde_json::from_value::<JobId>(id.into()).is_err(), "{id:?}");
            assert_eq!(JobId::stored(id).unwrap().as_str(), id);
        }
        for id in ["etl/load/01", "a b", "...", "a..b", ".hidden/x", "a-b", "Größe/日本", "a=b", "{{x}}"]
        {
            assert!(JobId::new(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn state_id_may_look_like_a_path_but_must_be_visible() {
        assert!(StateId::new("/etl//../last").is_ok() && StateId::new("-x").is_ok());
        assert!(StateId::new("a\u{202e}b").is_err() && StateId::new("a\u{200b}").is_err());
        assert!(StateId::stored("a\u{200b}").is_ok() && StateId::stored("").is_err());
    }

    #[test]
    fn keyed_runs_are_stable() {
        let realm = RealmName::new("demo").unwrap();
        let job = JobId::new("a").unwrap();
        let id = RunId::from_key(&realm, &job, "k");
        assert_eq!(id, RunId::from_key(&realm, &job, "k"));
        assert_ne!(id, RunId::from_key(&realm, &job, "k2"));
        assert_ne!(id, RunId::from_key(&realm, &JobId::new("b").unwrap(), "k"));
    }

    #[test]
    fn run_keys_have_their_place() {
        let root = RunKey::root(RunId(Uuid::nil()));
        let child = root.child(2, 7).child(1, 0);
        assert_eq!(child.as_str(), "00000000-0000-0000-0000-000000000000/2.7/1.0");
        assert_eq!(child.depth(), 2);
        assert_eq!(child.step(), Some(0));
        assert_eq!(root.step(), None);
        assert_eq!(child.run_id(), Some(RunId(Uuid::nil())));
        assert_eq!(child.as_str().parse::<RunKey>().unwrap(), child);
        assert!("00000000-0000-0000-0000-000000000000/x".parse::<RunKey>().is_err());
    }
}
