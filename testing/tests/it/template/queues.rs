//! Queues, and how the worker takes from them.

use pumice_testing::cloudformation::Template;
use serde_json::{Value, json};

use crate::template::{Templates, Wrong, names};

pub(crate) fn visibility(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let worker = &templates.worker;
    let timeouts = worker.parameter("Timeout")["AllowedValues"].as_array().cloned().unwrap_or_default();
    wrong.unless(!timeouts.is_empty(), "Timeout has no list of allowed values");
    for timeout in timeouts.iter().filter_map(Value::as_u64) {
        let seconds = &worker.document["Mappings"]["Visibility"][timeout.to_string()]["Seconds"];
        let enough = seconds.as_u64().is_some_and(|seconds| seconds >= 6 * timeout);
        wrong.unless(enough, format!("timeout {timeout}: visibility {seconds}"));
    }
    let wanted = json!({"Fn::FindInMap": ["Visibility", {"Ref": "Timeout"}, "Seconds"]});
    let queue = worker.properties("Queue");
    wrong.unless(
        queue["VisibilityTimeout"] == wanted,
        "the queue does not take its visibility from the table",
    );
    wrong.unless(worker.properties("Function")["Timeout"] == json!({"Ref": "Timeout"}), "Function.Timeout");
    wrong.0
}

pub(crate) fn dead_letters(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let queue = templates.worker.properties("Queue");
    let redrive = &queue["RedrivePolicy"];
    wrong.unless(redrive["maxReceiveCount"].as_u64() >= Some(5), "maxReceiveCount is below 5");
    wrong.unless(
        redrive["deadLetterTargetArn"] == json!({"Fn::GetAtt": "DeadLetters.Arn"}),
        "the dead letters go elsewhere",
    );
    let dead = templates.worker.properties("DeadLetters");
    let (kept, dead_kept) = (&queue["MessageRetentionPeriod"], &dead["MessageRetentionPeriod"]);
    wrong.unless(kept.as_u64() < dead_kept.as_u64(), "dead letters are not kept longer than messages");
    for (alarm, queue) in [("DeadLettersAlarm", "DeadLetters"), ("DispatcherAlarm", "DispatcherDeadLetters")]
    {
        let found = templates.of_type("AWS::CloudWatch::Alarm").find(|(name, _)| *name == alarm);
        let Some((_, found)) = found else {
            wrong.0.push(format!("there is no {alarm}"));
            continue;
        };
        let watched = json!([{"Name": "QueueName", "Value": {"Fn::GetAtt": format!("{queue}.QueueName")}}]);
        wrong.unless(found["Properties"]["Dimensions"] == watched, format!("{alarm} watches another queue"));
        wrong.unless(found["Properties"]["Threshold"] == 0, format!("{alarm} waits for more than one"));
    }
    for (name, qualifier) in
        [("DispatcherLiveInvokeConfig", "live"), ("DispatcherEventInvokeConfig", "$LATEST")]
    {
        let config = templates.realm.properties(name);
        let sent = &config["DestinationConfig"]["OnFailure"]["Destination"];
        wrong.unless(
            config["FunctionName"] == json!({"Ref": "Dispatcher"})
                && config["Qualifier"] == qualifier
                && config["MaximumRetryAttempts"] == 2
                && *sent == json!({"Fn::GetAtt": "DispatcherDeadLetters.Arn"}),
            format!("requests that the dispatcher fails at are lost: {qualifier}"),
        );
    }
    // A sweep that fails would fill the dead letters within hours.
    let wanted = json!({"FunctionName": {"Ref": "Dispatcher"}, "Qualifier": "sweep",
        "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60});
    let sweeps = templates.realm.properties("SweepInvokeConfig");
    wrong.unless(*sweeps == wanted, format!("sweeps that fail are dead letters, or come again: {sweeps}"));
    wrong.0
}

/// How many runs an invocation takes: by default, at least and at most.
fn worker_batch(worker: &Template) -> [Option<u64>; 3] {
    ["Default", "MinValue", "MaxValue"].map(|what| worker.parameter("Batch")[what].as_u64())
}

pub(crate) fn event_source(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let function = templates.worker.properties("Function");
    wrong.unless(function["RecursiveLoop"] == "Allow", "Lambda stops chains at 16 rounds");
    let source = templates.worker.properties("FunctionRuns");
    wrong.unless(
        source["EventSourceArn"] == json!({"Fn::GetAtt": "Queue.Arn"}),
        "it takes from another queue",
    );
    wrong.unless(source["FunctionName"] == json!({"Ref": "Function.Alias"}), "another function takes");
    wrong.unless(
        names(&source["FunctionResponseTypes"]).contains(&"ReportBatchItemFailures"),
        "one message that fails brings the whole batch back",
    );
    // More than ten would need a window, in which runs wait to be taken.
    let (batch, most) = (worker_batch(&templates.worker), &source["BatchSize"]);
    wrong.unless(*most == json!({"Ref": "Batch"}), format!("an invocation takes {most}"));
    wrong.unless(
        batch == [Some(1), Some(1), Some(10)],
        format!("a batch by default, at least and at most: {batch:?}"),
    );
    let enabled = &source["Enabled"];
    wrong.unless(
        *enabled == json!({"Fn::If": ["FunctionTakes", true, false]})
            && templates.worker.parameter("Takes")["Default"] == "function",
        format!("the function takes no message by default: {enabled}"),
    );
    let most = &source["ScalingConfig"]["MaximumConcurrency"];
    wrong.unless(*most == json!({"Ref": "Concurrency"}), "MaximumConcurrency is not the parameter");
    for (template, name) in [(&templates.worker, "Concurrency"), (&templates.realm, "WorkerConcurrency")] {
        let least = template.parameter(name)["MinValue"].as_u64();
        wrong.unless(least >= Some(2), format!("{name} may be below 2"));
    }
    wrong.0
}

/// Queues that are left without the statement only where the parameter says so.
pub(crate) fn unencrypted(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let denies = |queues: Value| {
        json!({"Sid": "OnlyEncryptedConnections", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
            "Resource": queues, "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    };
    let arn = |queue: &str| json!({"Fn::GetAtt": format!("{queue}.Arn")});
    for template in templates.each() {
        let default = &template.parameter("RequireTls")["Default"];
        wrong.unless(*default == "yes", format!("RequireTls is {default} by default"));
    }
    let policy = &templates.worker.document["Resources"]["QueuesPolicy"];
    let queues = json!([{"Ref": "Queue"}, {"Ref": "DeadLetters"}]);
    wrong.unless(
        policy["Condition"] == "RequiresTls"
            && policy["Properties"]["Queues"] == queues
            && policy["Properties"]["PolicyDocument"]["Statement"]
                == json!([denies(json!([arn("Queue"), arn("DeadLetters")]))]),
        "the worker's queues answer connections without TLS",
    );
    let policy = templates.realm.properties("DispatcherDeadLettersPolicy");
    let conditional =
        json!({"Fn::If": ["RequiresTls", denies(arn("DispatcherDeadLetters")), {"Ref": "AWS::NoValue"}]});
    let statements = policy["PolicyDocument"]["Statement"].as_array();
    wrong.unless(
        statements.is_some_and(|it| it.contains(&conditional)),
        "the dispatcher's dead letters answer connections without TLS",
    );
    let passed_on = &templates.realm.properties("Worker")["Parameters"]["RequireTls"];
    wrong.unless(*passed_on == json!({"Ref": "RequireTls"}), "the first worker is not given RequireTls");
    wrong.0
}
