//! Metrics in embedded metric format: CloudWatch takes them from the log lines that hold them
//! (CloudWatch User Guide, Embedded metric format).

use serde_json::{Map, Value, json};

/// The namespace of the metrics.
const NAMESPACE: &str = "Pumice";

/// Makes a line about a run that ended one that counts it: `Runs` by realm, worker and status, with
/// `RunTime` and `Delay` in milliseconds where they are known.
pub(super) fn add(line: &mut Map<String, Value>, timestamp: i64) {
    let mut metrics = vec![json!({ "Name": "Runs", "Unit": "Count" })];
    line.insert("Runs".to_owned(), json!(1));
    for (field, name) in [("took_ms", "RunTime"), ("delay_ms", "Delay")] {
        if let Some(value) = line.remove(field) {
            line.insert(name.to_owned(), value);
            metrics.push(json!({ "Name": name, "Unit": "Milliseconds" }));
        }
    }
    let directive =
        json!({ "Namespace": NAMESPACE, "Dimensions": [["realm", "worker", "status"]], "Metrics": metrics });
    line.insert("_aws".to_owned(), json!({ "Timestamp": timestamp, "CloudWatchMetrics": [directive] }));
}

/// Makes a line about requests that were refused one that counts them: `Refused` by realm, and by realm and reason.
pub(super) fn add_refused(line: &mut Map<String, Value>, timestamp: i64) {
    let count = line.remove("count").unwrap_or_default();
    line.insert("Refused".to_owned(), count);
    counted(line, timestamp, &["Refused"], &[&["realm"], &["realm", "reason"]]);
}

/// Makes a line about records that cannot be read one that counts them: `Unreadable` by realm.
pub(super) fn add_unreadable(line: &mut Map<String, Value>, timestamp: i64) {
    let count = line.remove("count").unwrap_or_default();
    line.insert("Unreadable".to_owned(), count);
    counted(line, timestamp, &["Unreadable"], &[&["realm"]]);
}

/// Makes a line about a sweep that is over one that counts it: `Sweeps`, and `Due` for what it looked at, by realm.
pub(super) fn add_sweep(line: &mut Map<String, Value>, timestamp: i64) {
    let swept = line.remove("swept").unwrap_or_default();
    line.insert("Sweeps".to_owned(), json!(1));
    line.insert("Due".to_owned(), swept);
    counted(line, timestamp, &["Sweeps", "Due"], &[&["realm"]]);
}

/// Makes a line one of metrics that it has, by sets of its fields.
fn counted(line: &mut Map<String, Value>, timestamp: i64, names: &[&str], dimensions: &[&[&str]]) {
    let metrics: Vec<Value> = names.iter().map(|name| json!({ "Name": name, "Unit": "Count" })).collect();
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics });
    line.insert("_aws".to_owned(), json!({ "Timestamp": timestamp, "CloudWatchMetrics": [directive] }));
}

/// Makes a line about a run whose job asks for metrics one that has lava's: `RunDelay` by realm and worker, `RunTime` and
/// `JobFailed` by realm and job (lava's `run_job`). Times are in seconds.
pub(super) fn add_of_job(line: &mut Map<String, Value>, timestamp: i64) {
    for (field, name) in [("run_time_ms", "RunTime"), ("run_delay_ms", "RunDelay")] {
        let milliseconds = line.remove(field).and_then(|value| value.as_f64()).unwrap_or_default();
        line.insert(name.to_owned(), json!(milliseconds / 1_000.0));
    }
    let failed = line.remove("failed") == Some(Value::Bool(true));
    line.insert("JobFailed".to_owned(), json!(u8::from(failed)));
    for (field, name) in [("realm", "Realm"), ("worker", "Worker"), ("job_id", "Job")] {
        line.insert(name.to_owned(), line.get(field).cloned().unwrap_or_default());
    }
    let namespace = line.remove("namespace").unwrap_or_default();
    let seconds = |name: &str| json!({ "Name": name, "Unit": "Seconds" });
    let directive = |dimensions: [&str; 2], metrics: &[Value]| json!({ "Namespace": namespace, "Dimensions": [dimensions], "Metrics": metrics });
    let directives = [
        directive(["Realm", "Worker"], &[seconds("RunDelay")]),
        directive(["Realm", "Job"], &[seconds("RunTime"), json!({ "Name": "JobFailed" })]),
    ];
    line.insert("_aws".to_owned(), json!({ "Timestamp": timestamp, "CloudWatchMetrics": directives }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_that_asks_has_lavas_metrics() {
        let fields = json!({ "realm": "r", "worker": "w", "job_id": "etl/a", "namespace": "Lava", "run_time_ms": 1_500, "run_delay_ms": 250, "failed": true });
        let mut line = fields.as_object().cloned().unwrap();
        add_of_job(&mut line, 1_767_225_600_000);
        let told =
            ["RunTime", "RunDelay", "JobFailed", "Realm", "Worker", "Job"].map(|name| line[name].clone());
        assert_eq!(json!(told), json!([1.5, 0.25, 1, "r", "w", "etl/a"]));
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let metrics = json!([
            { "Namespace": "Lava", "Dimensions": [["Realm", "Worker"]], "Metrics": [{ "Name": "RunDelay", "Unit": "Seconds" }] },
            { "Namespace": "Lava", "Dimensions": [["Realm", "Job"]], "Metrics": [{ "Name": "RunTime", "Unit": "Seconds" }, { "Name": "JobFailed" }] },
        ]);
        assert_eq!(json!(directives), metrics);
    }

    #[test]
    fn counts_that_alarms_watch_have_their_values_and_dimensions() {
        type Add = fn(&mut Map<String, Value>, i64);
        let cases: [(Value, Add, &[&str]); 3] = [
            (json!({ "realm": "r", "reason": "bad_request", "count": 3 }), add_refused, &["Refused"]),
            (json!({ "realm": "r", "count": 1_000 }), add_unreadable, &["Unreadable"]),
            (json!({ "realm": "r", "swept": 7, "started": 1 }), add_sweep, &["Sweeps", "Due"]),
        ];
        for (line, add, names) in cases {
            let Value::Object(mut line) = line else { panic!("an object") };
            add(&mut line, 1_767_225_600_000);
            let directive = line["_aws"]["CloudWatchMetrics"][0].clone();
            assert_eq!(directive["Namespace"], "Pumice");
            let told: Vec<&str> = directive["Metrics"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|it| it["Name"].as_str())
                .collect();
            assert_eq!(told, names);
            assert!(names.iter().all(|name| line[*name].is_number()), "{line:?}");
            for dimension in
                directive["Dimensions"].as_array().unwrap().iter().flat_map(|it| it.as_array().unwrap())
            {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
            }
        }
    }

    #[test]
    fn every_metric_and_dimension_has_its_value() {
        let mut line = Map::new();
        for (name, value) in [("realm", json!("r")), ("worker", json!("w")), ("status", json!("complete"))] {
            line.insert(name.to_owned(), value);
        }
        line.insert("took_ms".to_owned(), json!(12));
        add(&mut line, 1_767_225_600_000);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number());
        }
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string());
        }
        assert_eq!((line["RunTime"].clone(), line.get("Delay")), (json!(12), None));
    }
}
