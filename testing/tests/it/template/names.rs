//! Names of what the templates make: however long their parameters may be, AWS takes them.

use fancy_regex::Regex;
use serde_json::Value;

use crate::template::{Templates, Wrong};

/// The longest name of a resource of each type, with the property that has it (each service's quotas).
const LIMITS: [(&str, &str, usize); 13] = [
    ("AWS::Serverless::Function", "FunctionName", 64),
    ("AWS::Lambda::Function", "FunctionName", 64),
    ("AWS::S3::Bucket", "BucketName", 63),
    ("AWS::SQS::Queue", "QueueName", 80),
    ("AWS::SNS::Topic", "TopicName", 256),
    ("AWS::DynamoDB::Table", "TableName", 255),
    ("AWS::Events::Rule", "Name", 64),
    ("AWS::Scheduler::ScheduleGroup", "Name", 64),
    ("AWS::Scheduler::Schedule", "Name", 64),
    ("AWS::SecretsManager::Secret", "Name", 512),
    ("AWS::CloudWatch::Alarm", "AlarmName", 255),
    ("AWS::CloudWatch::Dashboard", "DashboardName", 255),
    ("AWS::Logs::LogGroup", "LogGroupName", 512),
];
/// The longest name of a region, and an account's id.
const REGION: &str = "ap-southeast-2";
const ACCOUNT: &str = "123456789012";

/// The longest value that a pattern admits, of this letter.
fn longest(pattern: &str, letter: char) -> Option<String> {
    let (_, most) = pattern.rsplit_once('{')?.1.strip_suffix("}$")?.split_once(',')?;
    // The first character stands by itself.
    Some(String::from(letter).repeat(1 + most.parse::<usize>().ok()?))
}

/// A name with the longest values in it; `None` when it has others than are known.
fn filled(name: &Value, values: &[(&str, String)]) -> Option<String> {
    let sub = match &name["Fn::Sub"] {
        Value::Null => return name.as_str().map(str::to_owned),
        Value::Array(with_own) => with_own.first()?.as_str()?.to_owned(),
        text => text.as_str()?.to_owned(),
    };
    let own = [("Name", "Realm"), ("AWS::AccountId", ""), ("AWS::Region", "")];
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let mut filled = sub;
    for (name, of) in own {
        let stands_for = match name {
            "AWS::AccountId" => ACCOUNT.to_owned(),
            "AWS::Region" => REGION.to_owned(),
            _ => value(of)?,
        };
        filled = filled.replace(&format!("${{{name}}}"), &stands_for);
    }
    for (name, value) in values {
        filled = filled.replace(&format!("${{{name}}}"), value);
    }
    (!filled.contains("${")).then_some(filled)
}

pub(crate) fn lengths(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let pairs = [("Realm", "Realm"), ("Prefix", "Prefix"), ("WorkerName", "Worker")];
    for (outer, inner) in pairs {
        let patterns = [templates.realm.parameter(outer), templates.worker.parameter(inner)];
        let [outer_one, inner_one] = patterns.map(|parameter| parameter["AllowedPattern"].clone());
        wrong.unless(outer_one == inner_one, format!("{outer} {outer_one} and {inner} {inner_one}"));
    }
    let mut values = Vec::new();
    for (name, letter) in [("Realm", 'r'), ("Prefix", 'p'), ("Worker", 'w')] {
        let pattern = templates.worker.parameter(name)["AllowedPattern"].as_str().unwrap_or_default();
        match longest(pattern, letter) {
            Some(value) => values.push((name, value)),
            None => wrong.0.push(format!("{name} may be of any length: {pattern}")),
        }
    }
    for (kind, property, limit) in LIMITS {
        for (resource, found) in templates.of_type(kind) {
            let name = &found["Properties"][property];
            match filled(name, &values) {
                Some(name) => {
                    wrong.unless(name.len() <= limit, format!("{resource}: {name} is longer than {limit}"))
                }
                None if name.is_null() => {}
                None => wrong.0.push(format!("{resource}: what is {name}?")),
            }
        }
    }
    let bucket = &templates.realm.properties("RealmBucket")["BucketName"]["Fn::Sub"][1]["Name"];
    let hyphens = serde_json::json!({"Fn::Join": ["-", {"Fn::Split": ["_", {"Ref": "Realm"}]}]});
    wrong.unless(*bucket == hyphens, format!("a bucket may have an underscore in its name: {bucket}"));
    wrong.0
}

/// Texts that may be anything: a job's id, and an expression that EventBridge reads.
const FREE: [&str; 2] = ["ScheduledJob", "ScheduleExpression"];
/// Parameters by the end of their names, with values that AWS takes and values that it refuses much later, or takes for
/// something else.
const VALUES: [(&str, &[&str], &[&str]); 10] = [
    (
        "PolicyArn",
        &["", "arn:aws:iam::123456789012:policy/team/jobs", "arn:aws-cn:iam::aws:policy/ReadOnly"],
        &["jobs", "arn:aws:iam::123456789012:role/jobs", "arn:aws:iam::123456789012:policy/"],
    ),
    (
        "KeyArn",
        &["", "arn:aws:kms:eu-west-1:123456789012:key/1-2"],
        &["alias/mine", "arn:aws:kms:eu-west-1:123456789012:alias/mine", "1-2"],
    ),
    (
        "TopicArn",
        &["", "arn:aws:sns:eu-west-1:123456789012:t"],
        &["t", "arn:aws:sqs:eu-west-1:123456789012:t"],
    ),
    (
        "StreamArn",
        &["", "arn:aws:dynamodb:eu-west-1:123456789012:table/lava.demo.jobs/stream/2026-01-01T00:00:00.000"],
        &["arn:aws:dynamodb:eu-west-1:123456789012:table/lava.demo.jobs"],
    ),
    (
        "Bucket",
        &["my-bucket", "a.b.c"],
        &["arn:aws:s3:::my-bucket", "s3://my-bucket", "My-Bucket", "ab", "-ab"],
    ),
    ("Buckets", &["", "my-bucket"], &["arn:aws:s3:::my-bucket", " my-bucket", "My-Bucket", "a/b"]),
    (
        "Worker",
        &["core", "none", "W_2-x", "dlq", "x-dlq-2"],
        &["", "core-dlq", "pumice-dispatcher", "2x", "a b", "-dlq"],
    ),
    (
        "WorkerName",
        &["core", "none", "W_2-x", "dlq", "x-dlq-2"],
        &["", "core-dlq", "pumice-dispatcher", "2x", "a b", "-dlq"],
    ),
    ("SecretPrefix", &["lava", "team/lava"], &["", "/lava", "lava/", "a b"]),
    // The name of a bucket that is made begins with it.
    ("Prefix", &[], &["sthree", "Lava", "la-va", "l", "lavalavax"]),
];

pub(crate) fn patterns(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for template in templates.each() {
        for (name, parameter) in template.document["Parameters"].as_object().into_iter().flatten() {
            let is_text = parameter["Type"] != "Number" && parameter["AllowedValues"].is_null();
            if !is_text || FREE.contains(&name.as_str()) {
                continue;
            }
            let Some(pattern) = parameter["AllowedPattern"].as_str() else {
                wrong.0.push(format!("{name} takes any text"));
                continue;
            };
            let Ok(pattern) = Regex::new(pattern) else {
                wrong.0.push(format!("{name}: {pattern} is not a pattern"));
                continue;
            };
            let admits = |value: &str| pattern.is_match(value).unwrap_or(false);
            wrong.unless(
                parameter["ConstraintDescription"].is_string(),
                format!("{name} does not say what would be right"),
            );
            let default = parameter["Default"].as_str();
            wrong.unless(default.is_none_or(admits), format!("{name} refuses its default"));
            let known = VALUES.iter().filter(|(end, ..)| name.ends_with(end));
            if let Some((_, good, bad)) = known.max_by_key(|(end, ..)| end.len()) {
                for value in good.iter().filter(|value| !admits(value)) {
                    wrong.0.push(format!("{name} refuses {value:?}"));
                }
                for value in bad.iter().filter(|value| admits(value)) {
                    wrong.0.push(format!("{name} admits {value:?}"));
                }
            }
        }
    }
    wrong.0
}
