//! The rights of functions, schedules and people.

use serde_json::{Value, json};

use crate::template::{Templates, Wrong, names, one_or_more};

/// Resources with a `*` that roles may use, and why nothing narrower would do.
const WILDCARDS: [(&str, &str); 11] = [
    (
        "sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}-${Realm}-*",
        "workers are added later, each in its stack",
    ),
    (":parameter/${SecretPrefix}/${Realm}/*", "any secret of this realm"),
    (":secret:${SecretPrefix}/${Realm}/*", "any secret of this realm"),
    (
        ":secret:${Prefix}-${Realm}-pumice-signing-*",
        "six letters of chance, which AWS adds to a secret's name",
    ),
    (":schedule/${OneOffScheduleGroup}/*", "any schedule of this group, which has no others"),
    ("${RealmBucket.Arn}/tmp/*", "any object of this part of the bucket"),
    ("${RealmBucket.Arn}/payloads/*", "any object of this part of the bucket"),
    (":s3:::${Bucket}/payloads/*", "any object of this part of the bucket"),
    (":s3:::${Bucket}/tmp/*", "any object of this part of the bucket"),
    (":s3:::${Bucket}/tmp/*/_live/*", "pieces of the output of any run"),
    ("${Prefix}-${Realm}-*-dlq", "the dead letters of any worker of the realm, and of the dispatcher"),
];

/// The service that may assume a role. Scheduler acts for every account with schedules: AWS advises to name
/// the group (EventBridge Scheduler, confused deputy prevention).
fn trusted(role: &str) -> Value {
    let scheduler = |group: &str| {
        let account = json!({"Ref": "AWS::AccountId"});
        let group = json!({"Fn::GetAtt": format!("{group}.Arn")});
        json!({"StringEquals": {"aws:SourceAccount": account, "aws:SourceArn": group}})
    };
    let service = |name: &str| json!({"Service": format!("{name}.amazonaws.com")});
    let mut statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole"});
    let (principal, condition) = match role {
        "ScheduleRole" => (service("scheduler"), Some(scheduler("ScheduleGroup"))),
        "OneOffScheduleRole" => (service("scheduler"), Some(scheduler("OneOffScheduleGroup"))),
        _ => (service("lambda"), None),
    };
    statement["Principal"] = principal;
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    json!([statement])
}

/// What Lambda connects a function to its subnets by; EC2 knows no narrower resources for it.
const OF_VPC: [&str; 6] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

/// Whether a policy lets Lambda connect the function to its subnets, and denies the same to the function's own code.
fn is_of_vpc(policy: &Value) -> bool {
    let statements = policy["PolicyDocument"]["Statement"].as_array();
    let Some([allow, deny]) = statements.map(Vec::as_slice) else { return false };
    let own = deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]["Fn::Sub"].as_str();
    let is_own = own.is_some_and(|own| own.ends_with(":function:${Prefix}-${Realm}-pumice-worker-${Worker}"));
    let acts = |statement: &Value| names(&statement["Action"]) == OF_VPC && statement["Resource"] == "*";
    allow["Effect"] == "Allow" && deny["Effect"] == "Deny" && is_own && acts(allow) && acts(deny)
}

fn statements_name_resources(name: &str, policy: &Value, wrong: &mut Wrong) {
    let policy = policy["Fn::If"].get(1).unwrap_or(policy);
    if is_of_vpc(policy) {
        return;
    }
    for statement in policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten() {
        let statement = statement["Fn::If"].get(1).unwrap_or(statement);
        // X-Ray knows no resources (Service Authorization Reference, AWS X-Ray).
        let traces = json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"]);
        if statement["Action"] == traces && statement["Resource"] == "*" {
            continue;
        }
        let place = format!("{name} {}", statement["Sid"]);
        let actions = names(&statement["Action"]);
        wrong.unless(!actions.is_empty(), format!("{place}: no list of actions"));
        wrong.unless(!actions.iter().any(|it| it.contains('*')), format!("{place}: {actions:?}"));
        for resource in chosen(&statement["Resource"]) {
            let text = resource.to_string();
            let known = WILDCARDS.iter().any(|(end, _)| text.trim_end_matches(['"', '}']).ends_with(end));
            wrong.unless(!resource.is_null(), format!("{place}: no resource"));
            wrong.unless(known || !text.contains('*'), format!("{place}: {text}"));
        }
    }
}

/// The values of a list, whichever way its conditions go.
fn chosen(value: &Value) -> Vec<&Value> {
    match value["Fn::If"].as_array() {
        Some(branches) => branches[1..].iter().flat_map(chosen).collect(),
        None if value.is_array() => one_or_more(value).into_iter().flat_map(chosen).collect(),
        None => vec![value],
    }
}

pub(crate) fn resources(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for (name, function) in templates.functions() {
        // SAM would make a role with a policy of AWS's, which names no resource.
        wrong.unless(!function["Properties"]["Role"].is_null(), format!("{name} has no role of its own"));
    }
    for (name, role) in templates.of_type("AWS::IAM::Role") {
        let managed = &role["Properties"]["ManagedPolicyArns"];
        let (has, policy) = match name {
            "DispatcherRole" => ("HasDispatcherPolicy", "DispatcherPolicyArn"),
            _ => ("HasPolicy", "PolicyArn"),
        };
        let chosen = json!({"Fn::If": [has, [{"Ref": policy}], {"Ref": "AWS::NoValue"}]});
        wrong.unless(
            managed.is_null() || *managed == chosen,
            format!("{name} has policies of AWS's: {managed}"),
        );
        let trust = &role["Properties"]["AssumeRolePolicyDocument"]["Statement"];
        wrong.unless(*trust == trusted(name), format!("{name} may be assumed by another: {trust}"));
        for policy in role["Properties"]["Policies"].as_array().into_iter().flatten() {
            statements_name_resources(name, policy, &mut wrong);
        }
    }
    for (name, policy) in templates.of_type("AWS::IAM::ManagedPolicy") {
        statements_name_resources(name, &policy["Properties"], &mut wrong);
    }
    for (name, permission) in templates.of_type("AWS::Lambda::Permission") {
        let source = &permission["Properties"]["SourceArn"];
        wrong.unless(
            *source == json!({"Ref": "DispatchTopic"}) || source.to_string().contains("${Prefix}-${Realm}-"),
            format!("{name}: anybody's {source}"),
        );
    }
    wrong.0
}

/// The reading actions, and no others, are in the policy of readers.
const READS: [&str; 8] = [
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "sqs:GetQueueUrl",
    "sqs:GetQueueAttributes",
    "s3:GetObject",
    "s3:ListBucket",
];

pub(crate) fn viewer(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let policy = &templates.realm.properties("ViewerPolicy")["PolicyDocument"];
    let statements = policy["Statement"].as_array();
    wrong.unless(statements.is_some_and(|it| !it.is_empty()), "there is no policy for readers");
    for statement in statements.into_iter().flatten() {
        let statement = statement["Fn::If"].get(1).unwrap_or(statement);
        let actions = names(&statement["Action"]);
        let reads = |it: &&str| READS.contains(it) || *it == "kms:Decrypt";
        wrong.unless(actions.iter().all(reads), format!("{}: {actions:?}", statement["Sid"]));
    }
    wrong.0
}
