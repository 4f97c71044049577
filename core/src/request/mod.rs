//! What a caller asks: which job, with what, and when.

mod instant;
mod text;

pub use instant::{BadInstant, Instant, parse_instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Timestamp;
use crate::document::{bytes_without_mark, parse_json, text_of};
use crate::duration::Span;
use crate::ids::{HostId, JobId};
use crate::problem::{JsonPath, Problem, SpecError};
use crate::run::Scheduled;
use crate::schema;
use crate::spec::{Overlap, is_reserved_global};
use crate::text::quoted;

/// Longest delay that a queue holds a message for (SQS, DelaySeconds: 900 s).
pub const MAX_DELAY: Span = Span::from_mins(15);
/// Most requests taken in one batch.
pub const MAX_BATCH: usize = 10_000;
/// Longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// When a run is to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// As soon as a worker is free.
    #[default]
    Now,
    /// After a delay of at most [`MAX_DELAY`].
    After(Span),
    /// At an instant; one already past means now.
    At(Timestamp),
}

/// One request for a run.
#[derive(Clone, Debug, PartialEq)]
pub struct DispatchRequest {
    /// The job to run.
    pub job_id: JobId,
    /// Parameters over the job's own, key by key.
    pub parameters: Map<String, Value>,
    /// Globals over the job's own, key by key.
    pub globals: Map<String, Value>,
    /// When.
    pub when: When,
    /// Requests of one job with one key make one run.
    pub idempotency_key: Option<String>,
    /// The slot of a schedule that it is for.
    pub scheduled: Option<Box<Scheduled>>,
    /// What happens when the job is already running, over the job's own.
    pub overlap: Option<Overlap>,
    /// The host that it is for alone.
    pub host: Option<HostId>,
}

/// The idempotency key of a start by the clock: it follows from the time that the start is for, and from what is given to
/// the run, so that a schedule which is delivered twice runs once, and two that start one job at one time with different
/// things make two runs. `name` is one of the caller's for telling apart two that give the same.
#[must_use]
pub fn schedule_key(
    slot: Timestamp,
    name: Option<&Value>,
    parameters: Option<&Value>,
    globals: Option<&Value>,
) -> String {
    let when = slot.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let mut told = serde_json::json!([name, parameters, globals]);
    if told == serde_json::json!([null, null, null]) {
        return format!("schedule:{when}");
    }
    told.sort_all_objects();
    let uuid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, told.to_string().as_bytes());
    format!("schedule:{when}:{}", &uuid.simple().to_string()[..12])
}

impl DispatchRequest {
    /// A request for a job, now, with nothing else.
    #[must_use]
    pub fn new(job_id: JobId) -> Self {
        let (parameters, globals) = (Map::new(), Map::new());
        let (when, idempotency_key, scheduled, overlap) = (When::Now, None, None, None);
        Self { job_id, parameters, globals, when, idempotency_key, scheduled, overlap, host: None }
    }

    /// Checks a delay against [`MAX_DELAY`].
    ///
    /// # Errors
    /// A message that points to `at` when the delay is too long.
    pub fn after(delay: Span) -> Result<When, String> {
        if delay.is_zero() {
            Ok(When::Now)
        } else if delay > MAX_DELAY {
            Err(format!(
                "a delay of {delay} is more than {MAX_DELAY}, the longest a queue holds a message; give a time with \"at\" instead"
            ))
        } else {
            Ok(When::After(delay))
        }
    }
}

/// The JSON form of a request.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DispatchRequest", extend("patternProperties" = { "^[xX]-": true }))]
pub struct RequestFields {
    /// The job to run.
    pub job_id: JobId,
    /// Parameters over the job's own.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    /// Globals over the job's own.
    #[serde(default)]
    pub globals: Option<Map<String, Value>>,
    /// How long to wait, at most 15 minutes.
    #[serde(default)]
    pub delay: Option<Span>,
    /// The instant to start at, instead of a delay.
    #[serde(default)]
    #[schemars(extend("format" = "instant"))]
    pub at: Option<String>,
    /// Requests of one job with one key make one run.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// A request that does not hold: its place in the batch and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {error}")]
pub struct BadRequest {
    /// `request 2` or `line 3`.
    pub place: String,
    /// What is wrong.
    pub error: SpecError,
}

/// The outcome of reading one request of a batch.
pub type Parsed = Result<DispatchRequest, BadRequest>;

/// Reads a body: a JSON object, a JSON list of them, or text with a request a line.
/// `zone` is the zone of instants that name none.
#[must_use]
pub fn parse_body(body: &str, zone: chrono_tz::Tz) -> Vec<Parsed> {
    parse_bytes(body.as_bytes(), zone)
}

/// The same, of bytes that may not be UTF-8: of a text the lines that are not are bad requests by
/// themselves, a JSON document is bad as a whole.
#[must_use]
pub fn parse_bytes(body: &[u8], zone: chrono_tz::Tz) -> Vec<Parsed> {
    if !is_json(body) {
        return text::parse(bytes_without_mark(body));
    }
    match text_of(body).and_then(parse_json) {
        Ok(value) => parse_value(&value, zone),
        Err(message) => vec![Err(bad(1, Problem::new(JsonPath::root(), message)))],
    }
}

/// Whether a body is JSON, and not text with a request a line.
#[must_use]
pub fn is_json(body: &[u8]) -> bool {
    matches!(bytes_without_mark(body).trim_ascii_start(), [b'{' | b'[', ..])
}

/// Reads a JSON object or a JSON list of them.
#[must_use]
pub fn parse_value(body: &Value, zone: chrono_tz::Tz) -> Vec<Parsed> {
    let items = match body {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    if items.len() > MAX_BATCH {
        let message = format!("{} requests are more than {MAX_BATCH} in one batch", items.len());
        return vec![Err(bad(1, Problem::new(JsonPath::root(), message)))];
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            parse_object(item, zone)
                .map_err(|error| BadRequest { place: format!("request {}", index + 1), error })
        })
        .collect()
}

fn bad(number: usize, problem: Problem) -> BadRequest {
    BadRequest { place: format!("request {number}"), error: SpecError::one(problem) }
}

/// Reads one request from its JSON object.
///
/// # Errors
/// [`SpecError`] with every mistake found.
pub fn parse_object(item: &Value, zone: chrono_tz::Tz) -> Result<DispatchRequest, SpecError> {
    let fields: RequestFields = schema::read_known(item)?;
    let root = JsonPath::root();
    let mut problems = Vec::new();
    let when = match (fields.delay, &fields.at) {
        (None, None) => When::Now,
        (Some(_), Some(_)) => {
            problems.push(Problem::new(root.field("at"), "delay and at were both given; give one"));
            When::Now
        }
        (Some(delay), None) => DispatchRequest::after(delay).unwrap_or_else(|message| {
            problems.push(Problem::new(root.field("delay"), message));
            When::Now
        }),
        (None, Some(at)) => match parse_instant(at).map(|instant| instant.in_zone(zone)) {
            Ok(instant) => When::At(instant),
            Err(error) => {
                problems.push(Problem::new(root.field("at"), error.to_string()));
                When::Now
            }
        },
    };
    let globals = fields.globals.unwrap_or_default();
    problems.extend(check_globals(&globals));
    if let Some(key) = &fields.idempotency_key {
        problems
            .extend(check_key(key).err().map(|message| Problem::new(root.field("idempotency_key"), message)));
    }
    SpecError::check(problems)?;
    Ok(DispatchRequest {
        job_id: fields.job_id,
        parameters: fields.parameters.unwrap_or_default(),
        globals,
        when,
        idempotency_key: fields.idempotency_key,
        scheduled: None,
        overlap: None,
        host: None,
    })
}

/// Checks that no global of a request is one of the engine's own.
#[must_use]
pub fn check_globals(globals: &Map<String, Value>) -> Vec<Problem> {
    let path = JsonPath::root().field("globals");
    globals
        .keys()
        .filter(|name| is_reserved_global(name))
        .map(|name| {
            Problem::new(path.field(name), format!("the global {} is reserved", quoted(name)))
                .with_hint("names beginning with lava are the engine's own")
        })
        .collect()
}

/// Checks an idempotency key.
///
/// # Errors
/// A message when it is empty or too long.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        Err("the key must not be empty".to_owned())
    } else if key.len() > MAX_KEY_BYTES {
        Err(format!("the key is longer than {MAX_KEY_BYTES} bytes"))
    } else {
        Ok(())
    }
}

/// Puts `value` at a dotted name: `vars.name` nests.
///
/// # Errors
/// A message when the name has an empty part, or a part of it already holds a plain value.
pub fn set_dotted(into: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), String> {
    let mut parts: Vec<&str> = name.split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("{} has an empty part", quoted(name)));
    }
    let last = parts.pop().unwrap_or_default();
    let mut at = into;
    for part in parts {
        let inner = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(fields) = inner else {
            return Err(format!(
                "{} goes below {}, which already has a plain value",
                quoted(name),
                quoted(part)
            ));
        };
        at = fields;
    }
    if matches!(at.get(last), Some(Value::Object(_))) {
        return Err(format!("{} was already given with names below it", quoted(name)));
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const UTC: chrono_tz::Tz = chrono_tz::UTC;

    #[test]
    fn objects_and_lists_are_read() {
        let parsed = parse_body(
            r#"[{"job_id":"a","delay":"5m","parameters":{"x":1}},{"job_id":"b","at":"2026-01-02T03:04:05Z"},{"job":"c"}]"#,
            UTC,
        );
        assert_eq!(parsed[0].as_ref().unwrap().when, When::After(Span::from_mins(5)));
        assert!(matches!(parsed[1].as_ref().unwrap().when, When::At(_)));
        let error = parsed[2].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("request 3: ") && error.contains("job_id"), "{error}");
    }

    #[test]
    fn byte_order_mark_is_skipped_in_every_form() {
        for body in ["\u{feff}b -g x=1\n", "\u{feff}[{\"job_id\": \"b\"}]", "\u{feff} {\"job_id\": \"b\"}"] {
            let parsed = parse_body(body, UTC);
            assert_eq!(parsed[0].as_ref().unwrap().job_id.as_str(), "b", "{body:?}");
        }
    }

    #[test]
    fn json_that_would_lose_something_is_refused() {
        for (body, wanted) in [
            (r#"{"job_id": "a", "job_id": "b"}"#, "the key \"job_id\" is given twice"),
            (r#"[{"job_id": "a", "globals": {"x": 1, "x": 2}}]"#, "the key \"x\" is given twice"),
            (r#"{"job_id": "a", "globals": {"x": 18446744073709551616}}"#, "more than 64 bits"),
        ] {
            let error = parse_body(body, UTC)[0].as_ref().unwrap_err().to_string();
            assert!(error.contains(wanted), "{body}: {error}");
        }
    }

    #[test]
    fn odd_job_ids_are_refused_in_every_form() {
        for id in ["..", "a/../b", "/a", "a\u{202e}b", "a\u{200b}"] {
            let list = json!([{ "job_id": id }]).to_string();
            for body in [json!({ "job_id": id }).to_string(), list, format!("{id} -g x=1")] {
                let error = parse_body(&body, UTC)[0].as_ref().unwrap_err().to_string();
                assert!(error.contains("job id") && error.contains("must not"), "{body}: {error}");
            }
        }
        let error = parse_value(&json!({ "job_id": "-rf" }), UTC)[0].as_ref().unwrap_err().to_string();
        assert!(error.contains("option"), "{error}");
    }

    #[test]
    fn bad_delays_are_told_apart() {
        for (delay, wanted) in
            [(json!("16m"), "\"at\""), (json!("-1s"), "negative"), (json!("abc"), "not a duration")]
        {
            let error = parse_object(&json!({"job_id": "a", "delay": delay}), UTC).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn reserved_globals_are_refused() {
        let error =
            parse_object(&json!({"job_id": "a", "globals": {"LavaX": 1}}), UTC).unwrap_err().to_string();
        assert!(error.contains("reserved"), "{error}");
    }

    #[test]
    fn dotted_names_nest() {
        let mut map = Map::new();
        set_dotted(&mut map, "a.b", json!("1")).unwrap();
        set_dotted(&mut map, "a.c", json!("2")).unwrap();
        assert_eq!(Value::Object(map.clone()), json!({"a": {"b": "1", "c": "2"}}));
        assert!(set_dotted(&mut map, "a.b.c", json!("3")).is_err());
        assert!(set_dotted(&mut map, "a", json!("3")).is_err());
        assert!(set_dotted(&mut map, "x..y", json!("3")).is_err());
    }
}
