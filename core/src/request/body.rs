//! Reads requests from what callers send.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ask::{BadRequest, DispatchRequest, MAX_BATCH, Parsed, When, check_globals, check_key};
use super::instant::parse_instant;
use super::text;
use crate::document::{bytes_without_mark, parse_json, text_of};
use crate::duration::Span;
use crate::ids::JobId;
use crate::problem::{JsonPath, Problem, SpecError};
use crate::schema;

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

/// The schema of a request, which is asked for each of a million.
static SCHEMA: LazyLock<Value> = LazyLock::new(schema::schema_of::<RequestFields>);

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
    let fields: RequestFields = schema::read_known(&SCHEMA, item)?;
    let root = JsonPath::root();
    let mut problems = Vec::new();
    let when = match (fields.delay, &fields.at) {
        (None, None) => When::Now,
        (Some(_), Some(_)) => {
            problems.push(Problem::new(root.field("at"), "delay and at were both given; give one"));
            When::Now
        }
        (Some(delay), None) => DispatchRequest::after(delay).unwrap_or_else(|error| {
            problems.push(Problem::new(root.field("delay"), error));
            When::Now
        }),
        (None, Some(at)) => match parse_instant(at).map(|instant| instant.in_zone(zone)) {
            Ok(instant) => When::At(instant),
            Err(error) => {
                problems.push(Problem::new(root.field("at"), error));
                When::Now
            }
        },
    };
    let globals = fields.globals.unwrap_or_default();
    problems.extend(check_globals(&globals));
    if let Some(key) = &fields.idempotency_key {
        let bad = check_key(key).err();
        problems.extend(bad.map(|error| Problem::new(root.field("idempotency_key"), error)));
    }
    SpecError::check(problems)?;
    Ok(DispatchRequest {
        job_id: fields.job_id,
        parameters: fields.parameters.unwrap_or_default(),
        globals,
        when,
        idempotency_key: fields.idempotency_key,
        slot: None,
        scheduled: None,
        overlap: None,
        host: None,
        redo: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::ask::{set_dotted, set_given};
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
    fn bad_delays_have_an_error_each() {
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
        let mut given = Map::new();
        for text in ["n:=8", "on:=false", "vars.list:=[1,\"x\"]", "t= x=y ", "two:=\"a\\nb\""] {
            set_given(&mut given, text).unwrap();
        }
        let all = json!({ "n": 8, "on": false, "vars": { "list": [1, "x"] }, "t": " x=y ", "two": "a\nb" });
        assert_eq!(Value::Object(given.clone()), all);
        for wrong in ["n", "n:=", "n:=x", "n:={\"a\":1,\"a\":2}", ":=1", "vars.list.x:=1"] {
            assert!(set_given(&mut given, wrong).is_err(), "{wrong}");
        }
        assert!(set_dotted(&mut map, "a", json!("3")).is_err());
        assert!(set_dotted(&mut map, "x..y", json!("3")).is_err());
    }
}
