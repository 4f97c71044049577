//! Reads stored documents: a mistake that keeps no job from running is a warning.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::problem::{JsonPath, Problem, SpecError, did_you_mean};
use crate::schema::{self, is_own};
use crate::spec::Schedule;

/// The lists of actions: a malformed action fails when its time comes, and only then.
const ACTION_LISTS: [&str; 4] = ["on_success", "on_retry", "on_fail", "on_late"];

/// A document without the fields that are the user's own.
pub(super) fn without_own(document: &Map<String, Value>) -> Value {
    let known = document.iter().filter(|(name, _)| !is_own(name));
    known.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// The fields of a stored document that can be read, and warnings about the others: about unknown ones, and about those
/// of `dispensable` whose values are invalid. Malformed actions are warned of and kept.
///
/// # Errors
/// [`SpecError`] with every mistake elsewhere.
pub(super) fn sift(
    schema: &Value,
    document: &Map<String, Value>,
    dispensable: &[&str],
) -> Result<(Value, Vec<Problem>), SpecError> {
    let whole = without_own(document);
    // Nearly every document holds, and is read often.
    if schema::check(schema, &whole).is_empty() {
        return Ok((whole, Vec::new()));
    }
    let (mut kept, mut warnings) = (Map::new(), Vec::new());
    for (name, value) in whole.as_object().into_iter().flatten() {
        let Some(problems) = schema::check_field(schema, name, value) else {
            // A schema that lets others pass does so because lava's other parts read them.
            if schema["additionalProperties"] == false {
                warnings.push(unknown_field(schema, name));
            }
            continue;
        };
        let is_warned_of = !problems.is_empty() && dispensable.contains(&name.as_str());
        let is_dropped = is_warned_of && !is_readable(name, value);
        if is_warned_of || ACTION_LISTS.contains(&name.as_str()) {
            warnings.extend(problems);
        }
        if !is_dropped {
            kept.insert(name.clone(), value.clone());
        }
    }
    let kept = Value::Object(kept);
    let problems = schema::check(schema, &kept).into_iter();
    SpecError::check(problems.filter(|problem| !warnings.contains(problem)).collect())?;
    Ok((kept, warnings))
}

/// Whether a field can be read although `check` refuses it: of a schedule's time `check` wants more than that it is one.
fn is_readable(name: &str, value: &Value) -> bool {
    name == "schedule" && Schedule::deserialize(value).is_ok()
}

fn unknown_field(schema: &Value, name: &str) -> Problem {
    let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
    let mut problem = Problem::new(JsonPath::root().field(name), "no such field: it is ignored");
    problem.hint = did_you_mean(name, known.map(String::as_str));
    problem
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use crate::spec::{JobSpec, RealmSpec};

    fn stored(more: &Value) -> Result<JobSpec, String> {
        let mut document =
            json!({ "job_id": "a", "type": "log", "worker": "w", "payload": null, "x-note": 1 });
        document.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let Value::Object(document) = document else { unreachable!() };
        let read = JobSpec::stored(Arc::new(document.clone())).map_err(|error| error.to_string());
        let again = JobSpec::from_checked(Arc::new(document)).map_err(|error| error.to_string());
        // A run's pinned spec is read as the job was, without another warning.
        let fields = |read: &Result<JobSpec, String>| read.clone().map(|job| job.fields);
        assert_eq!(fields(&read), fields(&again), "{more}");
        assert!(again.is_err() || again.unwrap().warnings.is_empty(), "{more}");
        read
    }

    #[test]
    fn job_without_mistakes_has_no_warnings() {
        for more in [
            json!({}),
            json!({ "X-Team": {}, "tags": { "a": "b" }, "on_fail": [{ "action": "slack", "message": 5 }] }),
            json!({ "max_run_delay": "", "max_tries": "0", "iteration_limit": 2.0, "on_retry": null }),
            json!({ "schedule": [{ "crontab": "@reboot", "from": 20_190_301, "to": "1 March 2020" }, "*,5 * * * *"] }),
        ] {
            assert_eq!(stored(&more).unwrap().warnings, [], "{more}");
        }
    }

    #[test]
    fn job_with_a_bad_field_that_runs_need_is_refused() {
        for (more, wanted) in [
            (json!({ "worker": "a b" }), "worker: "),
            (json!({ "job_id": "a//b" }), "job_id: "),
            (json!({ "enabled": 1 }), "enabled: "),
            (json!({ "globals": [] }), "globals: "),
            (json!({ "state": "x" }), "state: "),
            (json!({ "parameters": "x" }), "parameters: "),
            (
                json!({ "iteration_limit": "x", "on_fail": "x", "colour": 1 }),
                "iteration_limit: expected a whole number",
            ),
            (json!({ "max_tries": -1 }), "max_tries: -1 is less than 0"),
            (json!({ "timezone": "Nowhere" }), "timezone: "),
        ] {
            let mut document = json!({ "job_id": "a", "type": "log", "worker": "w", "payload": null });
            document.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let error =
                JobSpec::stored(Arc::new(document.as_object().cloned().unwrap())).unwrap_err().to_string();
            assert!(error.starts_with(wanted) && !error.contains("colour"), "{more}: {error}");
        }
    }

    #[test]
    fn malformed_actions_keep_their_places() {
        for (list, count) in [
            (json!(["slack", { "action": "log" }, null, [1], {}]), 5),
            (json!({ "action": "log" }), 1),
            (json!("log"), 1),
            (json!(5), 1),
            (json!([]), 0),
        ] {
            let job = stored(&json!({ "on_fail": list })).unwrap();
            let actions = job.fields.on_fail.unwrap();
            assert_eq!(actions.len(), count, "{list}");
            for (index, action) in actions.iter().enumerate() {
                assert_eq!(action.fault().is_none(), list[index]["action"] == "log", "{list}");
            }
        }
        assert_eq!(stored(&json!({ "on_fail": null })).unwrap().fields.on_fail, None);
    }

    #[test]
    fn realm_in_a_folder_takes_its_places_for_those_in_s3() {
        let document = json!({ "realm": "r", "s3_temp": "s3://b/tmp", "s3_payloads": "s3://b/payloads" });
        let document = document.as_object().cloned().unwrap();
        let folder = [("s3_temp", "/t".to_owned()), ("s3_payloads", "/p".to_owned())];
        let read = RealmSpec::stored(document.clone(), &folder).unwrap();
        assert_eq!(read.fields.s3_temp.as_deref(), Some("/t"));
        assert_eq!(read.fields.s3_payloads.as_deref(), Some("/p"));
        assert_eq!((&read.document["s3_temp"], &read.document["s3_payloads"]), (&json!("/t"), &json!("/p")));
        let told: Vec<String> = read.warnings.iter().map(ToString::to_string).collect();
        assert!(told.len() == 2 && told.iter().all(|told| told.contains("is in S3")), "{told:?}");
        let bucket = [("s3_temp", "s3://c/t".to_owned()), ("s3_payloads", "s3://c/p".to_owned())];
        for places in [&bucket[..], &[]] {
            let read = RealmSpec::stored(document.clone(), places).unwrap();
            assert_eq!((read.fields.s3_temp.as_deref(), read.warnings.len()), (Some("s3://b/tmp"), 0));
        }
    }

    #[test]
    fn realm_takes_defaults_for_invalid_places() {
        let places = [("s3_temp", "/t".to_owned()), ("s3_payloads", "/p".to_owned())];
        let realm = |document: Value| RealmSpec::stored(document.as_object().cloned().unwrap(), &places);
        for value in [json!(null), json!(5), json!(["s3://b"]), json!("out"), json!("./out"), json!("")] {
            let read = realm(json!({ "realm": "r", "s3_temp": value, "s3_payloads": "/mine" })).unwrap();
            assert_eq!(read.fields.s3_temp.as_deref(), Some("/t"), "{value}");
            assert_eq!(read.fields.s3_payloads.as_deref(), Some("/mine"), "{value}");
            assert_eq!(read.document["s3_temp"], "/t", "templates see the same");
            assert_eq!(read.warnings.len(), usize::from(!value.is_null()), "{value}");
        }
        for document in [json!({ "realm": "a b" }), json!({}), json!({ "realm": "r", "s3_key": 5 })] {
            assert!(realm(document.clone()).is_err(), "{document}");
        }
    }
}
