//! Whether a job's templates name something that may be different when its run starts from what it was when the run was
//! dispatched: then they are rendered anew at each start, as lava renders all.

use pumice_template::OF_THE_MOMENT;
use serde_json::Value;

/// Variables whose values change; functions and filters that change are the template engine's
/// [`OF_THE_MOMENT`].
const CHANGING: [&str; 4] = ["start", "ustart", "state", "lava"];
/// How names of changing fields of `job` begin.
const CHANGING_FIELD: &str = "ts_";
/// Variables that hold both changing and unchanging things, so that it matters which is asked for.
const MIXED: [&str; 2] = ["job", "globals"];
/// Methods that give all that a mapping holds, or values that the text does not show.
const WHOLE: [&str; 6] = ["items", "values", "keys", "get", "copy", "pop"];

/// The first thing that the templates of a payload and parameters name and that may change until the run starts;
/// `None` when there is none. A name that only looks like one counts too: it is rendered anew for nothing.
#[must_use]
pub fn names_what_changes<'a>(values: impl IntoIterator<Item = &'a Value>) -> Option<String> {
    values.into_iter().find_map(in_value)
}

fn in_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().find_map(in_value),
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| in_text(name).or_else(|| in_value(value)))
        }
        _ => None,
    }
}

fn in_text(text: &str) -> Option<String> {
    if !text.contains("{{") && !text.contains("{%") {
        return None;
    }
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        rest = rest.get(at..)?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if CHANGING.contains(&name) || OF_THE_MOMENT.contains(&name) || name.starts_with(CHANGING_FIELD) {
            return Some(name.to_owned());
        }
        if MIXED.contains(&name) && !asks_for_one(after) {
            return Some(name.to_owned());
        }
    }
    None
}

/// Whether the text after a mapping's name asks for one thing in it, by a name that can be read.
fn asks_for_one(after: &str) -> bool {
    let after = after.trim_start();
    if let Some(attribute) = after.strip_prefix('.') {
        let attribute = attribute.trim_start();
        let end = attribute.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(attribute.len());
        return !WHOLE.contains(&&attribute[..end]);
    }
    let Some(key) = after.strip_prefix('[') else { return false };
    let key = key.trim_start();
    let Some(quote) = key.chars().next().filter(|c| matches!(c, '\'' | '"')) else { return false };
    // A key that is put together shows what it is only when it is rendered.
    key.get(1..)
        .and_then(|key| key.split_once(quote))
        .is_some_and(|(_, rest)| rest.trim_start().starts_with(']'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changing_names_are_found_and_others_passed_over() {
        for (text, wanted) in [
            ("{{ start.strftime('%Y') }}", Some("start")),
            ("{{ ustart }}", Some("ustart")),
            ("{% if state['x'] %}1{% endif %}", Some("state")),
            ("{{ globals.lava.iteration }}", Some("lava")),
            ("{{ globals['lava']['iteration'] }}", Some("lava")),
            ("{{ job.ts_start }}", Some("ts_start")),
            ("{{ job['ts_dispatch'] }}", Some("ts_dispatch")),
            ("{{ job.state.x }}", Some("state")),
            ("{{ utils.uuid() }}", Some("uuid")),
            ("{{ utils.datetime.now() }}", Some("now")),
            ("{{ [1, 2] | random }}", Some("random")),
            ("{{ utils.parsedate.parse('10:00') }}", Some("parse")),
            ("{{ utils.dateutil.rrule.rrule(3, count=1)[0] }}", Some("rrule")),
            ("{{ lipsum(1) }}", Some("lipsum")),
            ("{{ job | tojson }}", Some("job")),
            ("{{ globals[name] }}", Some("globals")),
            ("{{ globals['la' ~ 'va'] }}", Some("globals")),
            ("{% for k in globals.items() %}{% endfor %}", Some("globals")),
            ("{{ globals.get(vars.name) }}", Some("globals")),
            ("{{ globals.name }} {{ job.job_id }}", None),
            ("{{ globals['region'] ~ job[\"owner\"] }}", None),
            ("{{ vars.day | upper }} {{ realm.s3_temp }}", None),
            ("start the state of lava", None),
            ("restart {{ globals.restart }} {{ globals.started }}", None),
        ] {
            assert_eq!(names_what_changes([&json!(text)]).as_deref(), wanted, "{text}");
        }
        let nested = json!({ "a": [1, { "b": "{{ start }}" }] });
        assert_eq!(names_what_changes([&json!("x"), &nested]).as_deref(), Some("start"));
        assert_eq!(names_what_changes([&json!({ "{{ start }}": 1 })]).as_deref(), Some("start"));
    }
}
