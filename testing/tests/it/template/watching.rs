//! Alarms, and what they watch.

use serde_json::{Value, json};

use crate::template::{Templates, Wrong};

/// Each alarm with its metric, its threshold, and what no data means.
const ALARMS: [(&str, &str, &str, &str); 13] = [
    ("DeadLettersAlarm", "ApproximateNumberOfMessagesVisible", "0", "notBreaching"),
    ("DispatcherAlarm", "ApproximateNumberOfMessagesVisible", "0", "notBreaching"),
    ("QueueAgeAlarm", "ApproximateAgeOfOldestMessage", "AlarmQueueAge", "notBreaching"),
    ("ErrorsAlarm", "Errors", "AlarmErrors", "notBreaching"),
    ("ThrottlesAlarm", "Throttles", "AlarmThrottles", "notBreaching"),
    ("DispatcherErrorsAlarm", "Errors", "AlarmErrors", "notBreaching"),
    ("DispatcherThrottlesAlarm", "Throttles", "AlarmThrottles", "notBreaching"),
    ("RollbackAlarm", "Errors", "AlarmRollback", "notBreaching"),
    ("DispatcherRollbackAlarm", "Errors", "AlarmRollback", "notBreaching"),
    ("DestinationAlarm", "DestinationDeliveryFailures", "0", "notBreaching"),
    ("SweepAlarm", "Sweeps", "1", "breaching"),
    ("RefusedAlarm", "Refused", "AlarmRefused", "notBreaching"),
    ("UnreadableAlarm", "Unreadable", "0", "notBreaching"),
];
/// The dashboard's rows name these metrics.
const SHOWN: [&str; 8] = [
    "Runs",
    "Delay",
    "RunTime",
    "ApproximateNumberOfMessagesVisible",
    "ApproximateAgeOfOldestMessage",
    "Refused",
    "Sweeps",
    "Due",
];

pub(crate) fn alarms(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let found: Vec<(&str, &Value)> = templates.of_type("AWS::CloudWatch::Alarm").collect();
    for (name, metric, threshold, missing) in ALARMS {
        let Some((_, alarm)) = found.iter().find(|(other, _)| *other == name) else {
            wrong.0.push(format!("there is no {name}"));
            continue;
        };
        let alarm = &alarm["Properties"];
        wrong.unless(alarm["MetricName"] == metric, format!("{name} watches {}", alarm["MetricName"]));
        let wanted =
            threshold.parse::<u64>().map_or_else(|_| json!({"Ref": threshold}), |number| json!(number));
        wrong.unless(alarm["Threshold"] == wanted, format!("{name}: {}", alarm["Threshold"]));
        wrong.unless(alarm["TreatMissingData"] == missing, format!("{name}: no data"));
        let told = json!({"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]});
        wrong.unless(
            alarm["AlarmActions"] == told && alarm["OKActions"] == told,
            format!("{name} notifies no topic"),
        );
    }
    for (name, _) in &found {
        wrong.unless(ALARMS.iter().any(|(known, ..)| known == name), format!("{name} is not known here"));
    }
    let sweep = templates.realm.properties("SweepAlarm");
    let minutes = sweep["Period"].as_u64().zip(sweep["EvaluationPeriods"].as_u64());
    wrong.unless(
        minutes == Some((60, 5)) && sweep["ComparisonOperator"] == "LessThanThreshold",
        "no sweep for five minutes is not an alarm",
    );
    wrong.0
}

pub(crate) fn dashboard(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let body = &templates.realm.properties("Dashboard")["DashboardBody"]["Fn::Sub"];
    let body = body.as_str().unwrap_or_default();
    match serde_json::from_str::<Value>(body) {
        Ok(body) => {
            wrong.unless(body["widgets"].as_array().map(Vec::len) == Some(6), "the dashboard's widgets")
        }
        Err(error) => wrong.0.push(format!("the dashboard is not JSON: {error}")),
    }
    for metric in SHOWN {
        let shown = body.contains(&format!("\\\"{metric}\\\"")) || body.contains(&format!("\"{metric}\""));
        wrong.unless(shown, format!("the dashboard does not show {metric}"));
    }
    wrong.0
}
