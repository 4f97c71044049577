//! Alarms, and what they watch.

use serde_json::{Value, json};

use crate::template::{Templates, Wrong};

/// Each alarm with its metric, its threshold, and what no data means.
const ALARMS: [(&str, &str, &str, &str); 15] = [
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
    ("UnsentAlarm", "Unsent", "0", "notBreaching"),
    ("LateAlarm", "Late", "AlarmLate", "notBreaching"),
];
/// The dashboard's rows name these metrics.
const SHOWN: [&str; 10] = [
    "Runs",
    "Delay",
    "RunTime",
    "ApproximateNumberOfMessagesVisible",
    "ApproximateAgeOfOldestMessage",
    "Refused",
    "Unsent",
    "Late",
    "Sweeps",
    "Due",
];

/// The metrics of the namespace `Pumice`, with the sets of dimensions by which functions write them:
/// `functions_write_these_dimensions` compares.
const WRITTEN: [(&str, &[&[&str]]); 9] = [
    ("Runs", &[&["prefix", "realm", "worker", "status"]]),
    ("RunTime", &[&["prefix", "realm", "worker", "status"]]),
    ("Delay", &[&["prefix", "realm", "worker", "status"]]),
    ("Refused", &[&["prefix", "realm"], &["prefix", "realm", "reason"]]),
    ("Unreadable", &[&["prefix", "realm"]]),
    ("Unsent", &[&["prefix", "realm"]]),
    ("Late", &[&["prefix", "realm"]]),
    ("Sweeps", &[&["prefix", "realm"]]),
    ("Due", &[&["prefix", "realm"]]),
];

#[cfg(feature = "standins")]
#[test]
fn functions_write_these_dimensions() {
    assert_eq!(WRITTEN, pumice_aws::function::METRICS);
}

/// Whether functions write a metric by these dimensions, in whatever order.
fn is_written(metric: &str, dimensions: &[&str]) -> bool {
    let sorted = |set: &[&str]| {
        let mut set: Vec<String> = set.iter().map(|it| (*it).to_owned()).collect();
        set.sort();
        set
    };
    let wanted = sorted(dimensions);
    WRITTEN.iter().any(|(name, sets)| *name == metric && sets.iter().any(|set| sorted(set) == wanted))
}

/// Whether an alarm watches its metric of this realm alone: `None` for metrics of AWS's own.
fn is_of_realm(alarm: &Value) -> Option<bool> {
    if alarm["Namespace"] != "Pumice" {
        return None;
    }
    let all = alarm["Dimensions"].as_array()?;
    let names: Vec<&str> = all.iter().filter_map(|it| it["Name"].as_str()).collect();
    let value_of = |name: &str| all.iter().find(|it| it["Name"] == name).map(|it| it["Value"].clone());
    let (prefix, realm) = (Some(json!({"Ref": "Prefix"})), Some(json!({"Ref": "Realm"})));
    let is_own = value_of("prefix") == prefix && value_of("realm") == realm;
    Some(is_own && is_written(alarm["MetricName"].as_str().unwrap_or_default(), &names))
}

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
        wrong.unless(
            is_of_realm(alarm).is_none_or(|is_own| is_own),
            format!("{name} does not watch what functions of this realm write: {}", alarm["Dimensions"]),
        );
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
            None => row[1] == metric && names_realm(row),
        };
        wrong.unless(rows.iter().any(finds), format!("the dashboard does not show {metric}"));
    }
    for search in rows.iter().filter_map(|row| Search::read(row[0]["expression"].as_str()?)) {
        wrong.unless(!search.finds_others(), format!("a search finds another realm's {}", search.schema));
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

/// Whether a row names a metric as functions of the realm `demo` under the prefix `lava` write it.
fn names_realm(row: &Value) -> bool {
    let words: Vec<&str> = row.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ["Pumice", metric, dimensions @ ..] = &words[..] else { return false };
    let (pairs, rest) = dimensions.as_chunks::<2>();
    let names: Vec<&str> = pairs.iter().map(|[name, _]| *name).collect();
    let is_own = pairs.contains(&["prefix", "lava"]) && pairs.contains(&["realm", "demo"]);
    rest.is_empty() && is_own && is_written(metric, &names)
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
        "Pumice,prefix,realm,status,worker",
        &["Runs", "Delay", "RunTime"],
        &[("prefix", "lava"), ("realm", "demo"), ("status", "complete"), ("worker", "core")],
    ),
    (
        "Pumice,prefix,realm,reason",
        &["Refused"],
        &[("prefix", "lava"), ("realm", "demo"), ("reason", "bad_request")],
    ),
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

    /// Whether it finds a metric of another realm, or of a realm of this name under another prefix.
    fn finds_others(&self) -> bool {
        METRICS.iter().any(|(schema, metrics, dimensions)| {
            let of_other = |own: &str, value| {
                let with =
                    |&(name, it): &(&'static str, &'static str)| (name, if name == own { value } else { it });
                let has = dimensions.iter().any(|(name, _)| *name == own);
                let others: Vec<(&str, &str)> = dimensions.iter().map(with).collect();
                let found =
                    |metric: &&str| self.matches(schema, &[&[("MetricName", *metric)], &others[..]].concat());
                has && metrics.iter().any(found)
            };
            of_other("prefix", "lavb") || of_other("realm", "other")
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
        ("{Pumice,prefix,realm,status,worker}", "{Pumice,prefix,realm,status}"),
        (r#"realm=\"${Realm}\""#, r#"realm=\"Realm\""#),
        (r#""Sweeps", "prefix", "${Prefix}", "#, r#""Sweeps", "#),
        (r#""Unsent", "prefix", "${Prefix}""#, r#""Unsent", "prefix", "lavb""#),
        (r#""Late", "prefix", "${Prefix}""#, r#""Late", "prefix", "lavb""#),
        (r#" prefix=\"${Prefix}\""#, ""),
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
