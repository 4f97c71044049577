//! Metrics in embedded metric format: CloudWatch takes them from the log lines that hold them
//! (CloudWatch User Guide, Embedded metric format).

use serde_json::{Map, Value, json};

/// The namespace of the metrics.
const NAMESPACE: &str = "Pumice";

/// A metric's name, and the sets of dimensions by which functions write it.
pub type Metric = (&'static str, &'static [&'static [&'static str]]);

/// By realm. Two realms may have one name, under different prefixes.
const BY_REALM: &[&[&str]] = &[&["prefix", "realm"]];
/// By outcome, for runs.
const BY_OUTCOME: &[&[&str]] = &[&["prefix", "realm", "worker", "status"]];

/// All metrics of the namespace `Pumice`. Alarms and the dashboard of template.yaml find them by these dimensions.
pub const METRICS: [Metric; 9] = [
    ("Runs", BY_OUTCOME),
    ("RunTime", BY_OUTCOME),
    ("Delay", BY_OUTCOME),
    ("Refused", &[&["prefix", "realm"], &["prefix", "realm", "reason"]]),
    ("Unreadable", BY_REALM),
    ("Unsent", BY_REALM),
    ("Late", BY_REALM),
    ("Sweeps", BY_REALM),
    ("Due", BY_REALM),
];

/// Makes a line about a run that ended one that counts it: `Runs`, with `RunTime` and `Delay` in milliseconds where they
/// are known.
pub(super) fn add(line: &mut Map<String, Value>, timestamp: i64) {
    let mut metrics = vec![("Runs", "Count")];
    line.insert("Runs".to_owned(), json!(1));
    for (field, name) in [("took_ms", "RunTime"), ("delay_ms", "Delay")] {
        if let Some(value) = line.remove(field) {
            line.insert(name.to_owned(), value);
            metrics.push((name, "Milliseconds"));
        }
    }
    written(line, timestamp, &metrics);
}

/// Makes a line with a `count` one of this metric.
pub(super) fn add_count(line: &mut Map<String, Value>, name: &str, timestamp: i64) {
    let count = line.remove("count").unwrap_or_default();
    line.insert(name.to_owned(), count);
    written(line, timestamp, &[(name, "Count")]);
}

/// Makes a line about a sweep that is over one that counts it: `Sweeps`, and `Due` for what it looked at.
pub(super) fn add_sweep(line: &mut Map<String, Value>, timestamp: i64) {
    let swept = line.remove("swept").unwrap_or_default();
    line.insert("Sweeps".to_owned(), json!(1));
    line.insert("Due".to_owned(), swept);
    written(line, timestamp, &[("Sweeps", "Count"), ("Due", "Count")]);
}

/// Makes a line one of metrics that it has, each with its unit, by the dimensions of the first.
fn written(line: &mut Map<String, Value>, timestamp: i64, metrics: &[(&str, &str)]) {
    let known = METRICS.iter().find(|(name, _)| metrics.first().is_some_and(|(first, _)| first == name));
    let dimensions = known.map_or(BY_REALM, |(_, dimensions)| *dimensions);
    let metrics: Vec<Value> =
        metrics.iter().map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
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
    use std::collections::BTreeSet;

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

    /// The lines of every kind, with the metrics that they must have.
    fn lines() -> Vec<(Map<String, Value>, Vec<&'static str>)> {
        let line = |own: Value, add: &dyn Fn(&mut Map<String, Value>, i64)| {
            let mut line =
                Map::from_iter([("realm".to_owned(), json!("r")), ("prefix".to_owned(), json!("p"))]);
            line.extend(own.as_object().cloned().unwrap());
            add(&mut line, 1_767_225_600_000);
            line
        };
        let count =
            |name: &'static str| move |line: &mut Map<String, Value>, at: i64| add_count(line, name, at);
        let run = json!({ "worker": "w", "status": "complete", "took_ms": 12 });
        let delayed = json!({ "worker": "w", "status": "complete", "took_ms": 12, "delay_ms": 5 });
        vec![
            (line(run, &add), vec!["Runs", "RunTime"]),
            (line(delayed, &add), vec!["Runs", "RunTime", "Delay"]),
            (line(json!({ "reason": "bad_request", "count": 3 }), &count("Refused")), vec!["Refused"]),
            (line(json!({ "count": 1_000 }), &count("Unreadable")), vec!["Unreadable"]),
            (line(json!({ "count": 2 }), &count("Unsent")), vec!["Unsent"]),
            (line(json!({ "count": 1, "job_id": "etl/a" }), &count("Late")), vec!["Late"]),
            (line(json!({ "swept": 7, "started": 1 }), &add_sweep), vec!["Sweeps", "Due"]),
        ]
    }

    #[test]
    fn every_metric_is_written_with_its_value_and_dimensions() {
        let mut seen = BTreeSet::new();
        for (line, names) in lines() {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "Pumice");
            let metrics = directive["Metrics"].as_array().unwrap();
            let told: Vec<&str> = metrics.iter().filter_map(|it| it["Name"].as_str()).collect();
            assert_eq!(told, names);
            for name in names {
                assert!(line[name].is_number(), "{name}: {line:?}");
                let known = METRICS.iter().find(|(known, _)| *known == name).unwrap();
                assert_eq!(directive["Dimensions"], json!(known.1), "{name}");
                assert!(known.1.iter().flat_map(|set| *set).all(|it| line[*it].is_string()), "{line:?}");
                seen.insert(name);
            }
        }
        assert_eq!(seen, BTreeSet::from(METRICS.map(|(name, _)| name)), "each is tried");
        assert!(METRICS.iter().all(|(_, sets)| sets.iter().all(|set| set.starts_with(&["prefix", "realm"]))));
    }
}
