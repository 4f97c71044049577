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

#[cfg(test)]
mod tests {
    use super::*;

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
