//! Names of what the templates make: however long their parameters may be, AWS takes them.

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
