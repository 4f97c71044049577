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
    let body = body.as_str().unwrap_or_default().replace("${Prefix}", "lava").replace("${Realm}", "demo");
    let widgets = match serde_json::from_str::<Value>(&body) {
        Ok(body) => body["widgets"].as_array().cloned().unwrap_or_default(),
        Err(error) => {
            wrong.0.push(format!("the dashboard is not JSON: {error}"));
            return wrong.0;
        }
    };
    wrong.unless(widgets.len() == 6, "the dashboard's widgets");
    let rows: Vec<&Value> =
        widgets.iter().flat_map(|it| it["properties"]["metrics"].as_array()).flatten().collect();
    for metric in SHOWN {
        let finds = |row: &&Value| match row[0]["expression"].as_str() {
            Some(search) => Search::read(search).is_some_and(|search| search.finds(metric)),
            None => row[1] == metric,
        };
        wrong.unless(rows.iter().any(finds), format!("the dashboard does not show {metric}"));
    }
    for (row, queues) in
        rows.iter().filter_map(|row| Some((row, Search::read(row[0]["expression"].as_str()?)?.queues()?)))
    {
        let is_of_dead = queues.iter().any(|queue| queue.ends_with("-dlq"));
        let wanted = QUEUES
            .iter()
            .filter(|queue| queue.starts_with("lava-demo-") && queue.ends_with("-dlq") == is_of_dead);
        wrong.unless(queues.iter().eq(wanted), format!("{row} finds queues {queues:?}"));
    }
    wrong.0
}

/// Names of queues: those of a realm with two workers, and one of another realm.
const QUEUES: [&str; 6] = [
    "lava-demo-core",
    "lava-demo-core-dlq",
    "lava-demo-big_2",
    "lava-demo-big_2-dlq",
    "lava-demo-pumice-dispatcher-dlq",
    "lava-other-core",
];
/// A schema, its metrics, and the values of dimensions.
type Metrics = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// The metrics by their schemas; the names of queues are [`QUEUES`].
const METRICS: [Metrics; 3] = [
    (
        "Pumice,realm,status,worker",
        &["Runs", "Delay", "RunTime"],
        &[("realm", "demo"), ("status", "complete"), ("worker", "core")],
    ),
    ("Pumice,realm,reason", &["Refused"], &[("realm", "demo"), ("reason", "bad_request")]),
    ("AWS/SQS,QueueName", &["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"], &[]),
];

/// A search expression (CloudWatch User Guide, CloudWatch search expression syntax): terms that all hold.
struct Search {
    schema: String,
    terms: Vec<Term>,
}

struct Term {
    /// Of a metric's name or a dimension; of any of them without it.
    of: Option<String>,
    text: String,
    is_exact: bool,
    is_not: bool,
}

impl Search {
    fn read(expression: &str) -> Option<Self> {
        let inner = expression.strip_prefix("SEARCH('{")?.split_once("',")?.0;
        let (schema, terms) = inner.split_once('}')?;
        let (mut read, mut is_not) = (Vec::new(), false);
        for word in terms.split_whitespace() {
            if word == "NOT" {
                is_not = true;
                continue;
            }
            let (of, text) =
                word.split_once('=').map_or((None, word), |(of, text)| (Some(of.to_owned()), text));
            let is_exact = text.starts_with('"');
            read.push(Term { of, text: text.trim_matches('"').to_owned(), is_exact, is_not });
            is_not = false;
        }
        Some(Self { schema: schema.to_owned(), terms: read })
    }

    /// Whether it finds a metric with these values.
    fn matches(&self, schema: &str, values: &[(&str, &str)]) -> bool {
        let of_term = |term: &Term| {
            let of = |name: &str| term.of.as_deref().is_none_or(|of| of == name);
            values.iter().any(|(name, value)| of(name) && term.fits(value)) != term.is_not
        };
        self.schema == schema && self.terms.iter().all(of_term)
    }

    /// Whether it finds a metric of some worker, or of some queue.
    fn finds(&self, metric: &str) -> bool {
        METRICS.iter().filter(|(_, metrics, _)| metrics.contains(&metric)).any(|(schema, _, dimensions)| {
            let values = [&[("MetricName", metric)], *dimensions].concat();
            let of_queue =
                |queue: &&str| self.matches(schema, &[&values[..], &[("QueueName", queue)]].concat());
            self.matches(schema, &values) || QUEUES.iter().any(of_queue)
        })
    }

    /// The queues that it finds; `None` when it searches for something else.
    fn queues(&self) -> Option<Vec<&'static str>> {
        let (schema, metrics, _) = METRICS[2];
        let of = |queue: &&&str| {
            metrics.iter().any(|metric| self.matches(schema, &[("MetricName", metric), ("QueueName", queue)]))
        };
        (self.schema == schema).then(|| QUEUES.iter().filter(of).copied().collect())
    }
}

impl Term {
    /// In quotes it is the whole value; without quotes words of it, one after the other.
    fn fits(&self, value: &str) -> bool {
        if self.is_exact {
            return self.text == value;
        }
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect()
        };
        let wanted = words(&self.text);
        words(value).windows(wanted.len()).any(|found| found == wanted)
    }
}

#[test]
fn search_that_finds_other_queues_is_noticed() {
    for (text, instead) in [
        ("QueueName=${Prefix}-${Realm} NOT", r#"QueueName=\"${Prefix}-${Realm}\" NOT"#),
        ("QueueName=dlq", r#"QueueName=\"dlq\""#),
        (" NOT dlq", ""),
        (" QueueName=dlq", ""),
        ("QueueName=${Prefix}-${Realm} NOT", "QueueName=${Prefix} NOT"),
        ("{Pumice,realm,status,worker}", "{Pumice,realm,status}"),
        (r#"realm=\"${Realm}\""#, r#"realm=\"Realm\""#),
    ] {
        let mut templates = Templates::read();
        let body =
            &mut templates.realm.document["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
        let broken = body.as_str().expect("a text").replace(text, instead);
        assert_ne!(body.as_str(), Some(broken.as_str()), "{text}");
        *body = broken.into();
        assert!(!dashboard(&templates).is_empty(), "{text} as {instead}");
    }
}
