//! The functions, their settings, and what invokes them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::template::{Templates, Wrong, functions_of};

/// How the functions are built.
const MAKEFILE: &str = include_str!("../../../../Makefile");

/// The variables that both functions read; the worker also reads `LAVA_WORKER`, the dispatcher what is
/// about schedules.
const VARIABLES: [&str; 7] = [
    "LAVA_REALM",
    "LAVA_PREFIX",
    "LAVA_QUEUE_URL_PREFIX",
    "PUMICE_BUCKET",
    "PUMICE_LOG",
    "PUMICE_SIGNING_KEY",
    "PUMICE_UNSIGNED_RUNS",
];

pub(crate) fn environment(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for (name, function) in templates.functions() {
        let properties = &function["Properties"];
        let variables = &properties["Environment"]["Variables"];
        let found: BTreeSet<&str> =
            variables.as_object().into_iter().flatten().map(|it| it.0.as_str()).collect();
        let mut wanted = BTreeSet::from(VARIABLES);
        if name == "Function" {
            wanted.insert("LAVA_WORKER");
        } else {
            wanted.extend([
                "PUMICE_JOBS_UNWATCHED",
                "PUMICE_SCHEDULE_GROUP",
                "PUMICE_SCHEDULE_ROLE_ARN",
                "PUMICE_CLOCK_FUNCTION",
            ]);
        }
        wrong.unless(found == wanted, format!("{name}: {found:?}"));
        // The bucket that is made or given, the one that roles are for.
        let bucket = &variables["PUMICE_BUCKET"];
        let made = json!({ "Fn::If": ["MakesBucket", { "Ref": "RealmBucket" }, { "Ref": "Bucket" }] });
        let wanted = if name == "Function" { json!({ "Ref": "Bucket" }) } else { made };
        wrong.unless(*bucket == wanted, format!("{name}: PUMICE_BUCKET {bucket}"));
        let queues = &variables["LAVA_QUEUE_URL_PREFIX"]["Fn::Sub"];
        wrong.unless(
            *queues == "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/",
            format!("{name}: LAVA_QUEUE_URL_PREFIX {queues}"),
        );
        wrong.unless(
            properties["Runtime"] == "provided.al2023" && properties["Handler"] == "bootstrap",
            format!("{name}: runtime"),
        );
        let binary = if name == "Function" { "worker-lambda" } else { "dispatcher-lambda" };
        let rule = format!("build-{name}: BINARY = {binary}\n");
        let built = function["Metadata"]["BuildMethod"] == "makefile" && MAKEFILE.contains(&rule);
        wrong.unless(built, format!("{name}: is not built from {binary}"));
    }
    wrong.0
}

pub(crate) fn logs(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for template in templates.each() {
        for (name, function) in functions_of(template) {
            let config = &function["Properties"]["LoggingConfig"];
            wrong.unless(config["LogFormat"] == "JSON", format!("{name}: {config}"));
            let group = config["LogGroup"]["Ref"].as_str().unwrap_or("?");
            let group = template.properties(group);
            wrong.unless(
                group["RetentionInDays"] == json!({"Ref": "LogRetentionDays"}),
                format!("{name}: logs are kept for ever"),
            );
            let called = function["Properties"]["FunctionName"]["Fn::Sub"].as_str().unwrap_or("?");
            wrong.unless(
                group["LogGroupName"] == json!({"Fn::Sub": format!("/aws/lambda/{called}")}),
                format!("{name}: its log is not where its name says"),
            );
        }
    }
    wrong.0
}

pub(crate) fn nested_worker(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let nested = templates.realm.properties("Worker");
    wrong.unless(nested["Location"] == "worker.yaml", "it is another template's");
    let given: BTreeSet<&String> =
        nested["Parameters"].as_object().into_iter().flatten().map(|it| it.0).collect();
    let parameters = templates.worker.document["Parameters"].as_object();
    for name in &given {
        let known = parameters.is_some_and(|all| all.contains_key(*name));
        wrong.unless(known, format!("worker.yaml takes no {name}"));
    }
    for (name, parameter) in parameters.into_iter().flatten() {
        let left_out = parameter["Default"].is_null() && !given.contains(name);
        wrong.unless(!left_out, format!("worker.yaml needs {name}"));
    }
    let pairs = [
        ("WorkerTimeout", "Timeout"),
        ("WorkerMemory", "Memory"),
        ("WorkerConcurrency", "Concurrency"),
        ("WorkerBatch", "Batch"),
    ];
    for (outer, inner) in pairs {
        let (outer_one, inner_one) = (templates.realm.parameter(outer), templates.worker.parameter(inner));
        for what in ["AllowedValues", "MinValue", "MaxValue", "Default"] {
            wrong.unless(outer_one[what] == inner_one[what], format!("{outer} and {inner}: {what}"));
        }
        let passed_on = &nested["Parameters"][inner];
        wrong.unless(*passed_on == json!({"Ref": outer}), format!("{inner} is {passed_on}"));
    }
    wrong.0
}

pub(crate) fn schedules(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let realm = &templates.realm;
    let sweep = realm.properties("Sweep");
    wrong.unless(sweep["ScheduleExpression"] == "rate(1 minute)", "the sweeper does not run every minute");
    let input = sweep["Target"]["Input"].as_str().unwrap_or_default();
    let input: Value = serde_json::from_str(input).unwrap_or_default();
    wrong.unless(input == json!({"sweep": true}), format!("the sweeper's input is {input}"));
    let target = &realm.properties("ScheduledJobRule")["Targets"][0];
    let sent = &target["InputTransformer"]["InputTemplate"]["Fn::Sub"];
    let sent: Value = serde_json::from_str(sent.as_str().unwrap_or_default()).unwrap_or_default();
    wrong.unless(
        sent == json!({"job_id": "${ScheduledJob}", "scheduled_at": "<time>"}),
        format!("the rule's input is {sent}"),
    );
    let named = &target["InputTransformer"]["InputPathsMap"];
    wrong.unless(*named == json!({"time": "$.time"}), format!("the rule's time is {named}"));
    for (target, alias) in [(&sweep["Target"], "SweepAlias"), (target, "Dispatcher.Alias")] {
        wrong.unless(target["Arn"] == json!({"Ref": alias}), format!("not invoked by {alias}"));
    }
    let objects = realm.properties("ObjectRule");
    let pattern = json!({"source": ["aws.s3"], "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": {"Ref": "TriggerBuckets"}}}});
    wrong.unless(
        objects["EventPattern"] == pattern,
        format!("what is an object: {}", objects["EventPattern"]),
    );
    let target = &objects["Targets"][0];
    wrong.unless(
        target["Arn"] == json!({"Ref": "Dispatcher.Alias"}),
        "another function is notified of objects",
    );
    let failed = json!({"Fn::GetAtt": "DispatcherDeadLetters.Arn"});
    wrong.unless(target["DeadLetterConfig"]["Arn"] == failed, "events that the rule cannot deliver are lost");
    let bucket = &realm.properties("RealmBucket")["NotificationConfiguration"]["EventBridgeConfiguration"];
    wrong.unless(bucket["EventBridgeEnabled"] == true, "the bucket sends no events of its objects");
    let named = &objects["Name"]["Fn::Sub"];
    wrong.unless(named.as_str().is_some_and(|it| it.starts_with("${Prefix}-${Realm}-")), "the rule's name");
    // A rule may invoke the dispatcher, and leave what fails, only under such a name.
    let name = &realm.properties("ScheduledJobRule")["Name"]["Fn::Sub"];
    wrong.unless(name.as_str().is_some_and(|it| it.starts_with("${Prefix}-${Realm}-")), "the rule's name");
    let subscribed = realm.properties("DispatcherTopic");
    wrong.unless(
        subscribed["TopicArn"] == json!({"Ref": "DispatchTopic"})
            && subscribed["Endpoint"] == json!({"Ref": "Dispatcher.Alias"}),
        "the topic does not reach the dispatcher",
    );
    let failed = &subscribed["RedrivePolicy"]["deadLetterTargetArn"];
    wrong.unless(
        *failed == json!({"Fn::GetAtt": "DispatcherDeadLetters.Arn"}),
        "messages that the topic cannot deliver are lost",
    );
    wrong.0
}
