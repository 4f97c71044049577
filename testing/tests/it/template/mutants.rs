//! Templates broken one way at a time: the check that is named must see each.

use serde_json::Value;

use crate::template::{CHECKS, Templates};

/// Which template, where, what is put there as JSON (null: it is removed), and part of the name of
/// the check that must notice.
type Mutant = (&'static str, &'static str, &'static str, &'static str);

const MUTANTS: &[Mutant] = &[
    ("worker", "/Parameters/Worker/AllowedPattern", r#""^[A-Za-z][A-Za-z0-9_-]{0,23}$""#, "never too long"),
    ("worker", "/Parameters/Realm/AllowedPattern", r#""^[a-z][a-z0-9_]{1,23}$""#, "never too long"),
    ("realm", "/Parameters/Prefix/AllowedPattern", r#""^[a-z][a-z0-9]*$""#, "never too long"),
    ("realm", "/Parameters/Prefix/AllowedPattern", r#""^[a-z][a-z0-9]{1,7}$""#, "fail later"),
    ("realm", "/Parameters/WorkerPolicyArn/AllowedPattern", "null", "fail later"),
    ("realm", "/Parameters/DispatcherPolicyArn/AllowedPattern", r#""^$|^arn:.+$""#, "fail later"),
    (
        "worker",
        "/Parameters/PolicyArn/AllowedPattern",
        r#""^arn:[^:]+:iam::[0-9]+:policy/.+$""#,
        "fail later",
    ),
    ("realm", "/Parameters/TriggerBuckets/AllowedPattern", r#""^.*$""#, "fail later"),
    ("realm", "/Parameters/TriggerBuckets/ConstraintDescription", "null", "fail later"),
    ("worker", "/Parameters/Worker/AllowedPattern", r#""^[A-Za-z][A-Za-z0-9_-]{0,19}$""#, "fail later"),
    (
        "realm",
        "/Parameters/WorkerName/AllowedPattern",
        r#""^(?!.*-dlq$)[A-Za-z][A-Za-z0-9_-]{0,19}$""#,
        "fail later",
    ),
    (
        "realm",
        "/Resources/RealmBucket/Properties/BucketName/Fn::Sub/1/Name",
        r#"{"Ref": "Realm"}"#,
        "never too long",
    ),
    ("realm", "/Resources/SweepAlarm/Properties/TreatMissingData", r#""notBreaching""#, "alarms watch"),
    ("realm", "/Resources/SweepAlarm/Properties/EvaluationPeriods", "60", "alarms watch"),
    ("realm", "/Resources/RefusedAlarm", "null", "alarms watch"),
    ("realm", "/Resources/SweepAlarm/Properties/Dimensions/0", "null", "alarms watch"),
    ("realm", "/Resources/RefusedAlarm/Properties/Dimensions/1/Name", r#""Realm""#, "alarms watch"),
    ("realm", "/Resources/UnreadableAlarm/Properties/Dimensions/0/Value", r#""lava""#, "alarms watch"),
    ("realm", "/Resources/UnsentAlarm/Properties/MetricName", r#""Unsend""#, "alarms watch"),
    ("realm", "/Resources/LateAlarm/Properties/Threshold", "0", "alarms watch"),
    ("worker", "/Resources/QueueAgeAlarm/Properties/Threshold", "0", "alarms watch"),
    ("realm", "/Resources/Dashboard/Properties/DashboardBody/Fn::Sub", r#""{}""#, "the dashboard"),
    (
        "worker",
        "/Resources/Function/Properties/Environment/Variables/PUMICE_SIGNING_KEY",
        "null",
        "environment",
    ),
    ("worker", "/Mappings/Visibility/900/Seconds", "5399", "six times"),
    ("worker", "/Resources/Queue/Properties/VisibilityTimeout", "30", "six times"),
    ("worker", "/Parameters/Timeout/AllowedValues/0", "61", "six times"),
    ("worker", "/Resources/Queue/Properties/RedrivePolicy/maxReceiveCount", "4", "tried five times"),
    ("worker", "/Resources/Queue/Properties/RedrivePolicy", "null", "tried five times"),
    ("worker", "/Resources/DeadLetters/Properties/MessageRetentionPeriod", "345600", "tried five times"),
    ("worker", "/Resources/DeadLettersAlarm", "null", "tried five times"),
    ("realm", "/Resources/DispatcherLiveInvokeConfig", "null", "tried five times"),
    (
        "realm",
        "/Resources/DispatcherLiveInvokeConfig/Properties/Qualifier",
        r#""$LATEST""#,
        "tried five times",
    ),
    (
        "realm",
        "/Resources/DispatcherEventInvokeConfig/Properties/DestinationConfig",
        "null",
        "tried five times",
    ),
    ("realm", "/Resources/SweepInvokeConfig", "null", "tried five times"),
    ("realm", "/Resources/SweepInvokeConfig/Properties/MaximumRetryAttempts", "2", "tried five times"),
    ("realm", "/Resources/SweepInvokeConfig/Properties/Qualifier", r#""live""#, "tried five times"),
    ("worker", "/Resources/Function/Properties/RecursiveLoop", r#""Terminate""#, "takes messages"),
    ("worker", "/Parameters/Concurrency/MinValue", "1", "takes messages"),
    ("worker", "/Parameters/Takes/Default", r#""process""#, "takes messages"),
    ("realm", "/Parameters/WorkerConcurrency/MinValue", "null", "takes messages"),
    ("worker", "/Parameters/Batch/Default", "2", "takes messages"),
    ("worker", "/Parameters/Batch/MaxValue", "11", "takes messages"),
    ("realm", "/Resources/Worker/Properties/Parameters/Batch", "null", "worker.yaml's"),
    ("worker", "/Resources/FunctionRuns/Properties/FunctionResponseTypes", "[]", "takes messages"),
    ("worker", "/Resources/QueuesPolicy", "null", "without TLS"),
    ("realm", "/Parameters/RequireTls/Default", r#""no""#, "without TLS"),
    ("realm", "/Resources/Worker/Properties/Parameters/RequireTls", "null", "without TLS"),
    (
        "realm",
        "/Resources/JobChanges/Properties/EventSourceArn",
        r#"{"Fn::GetAtt": "JobsTable.StreamArn"}"#,
        "name no resource that is not",
    ),
    (
        "realm",
        "/Resources/Dispatcher/Properties/Environment/Variables/PUMICE_SIGNING_KEY/Fn::If/2",
        r#"{"Ref": "SigningKey"}"#,
        "name no resource that is not",
    ),
    ("realm", "/Resources/SigningKey/DeletionPolicy", "null", "comes back"),
    ("realm", "/Resources/RunsTable/Condition", "null", "comes back"),
    (
        "realm",
        "/Resources/ViewerPolicy/Properties/PolicyDocument/Statement/1/Action/0",
        r#""dynamodb:PutItem""#,
        "readers change nothing",
    ),
    ("worker", "/Resources/Function/Properties/Role", "null", "roles name"),
    (
        "realm",
        "/Resources/OperatorPolicy/Properties/PolicyDocument/Statement/3/Resource/0",
        r#""*""#,
        "roles name",
    ),
    (
        "worker",
        "/Resources/Role/Properties/ManagedPolicyArns",
        r#"["arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"]"#,
        "roles name",
    ),
    (
        "worker",
        "/Resources/Role/Properties/Policies/0/PolicyDocument/Statement/0/Resource",
        r#""*""#,
        "roles name",
    ),
    (
        "worker",
        "/Resources/Role/Properties/Policies/1/Fn::If/1/PolicyDocument/Statement/1",
        "null",
        "roles name",
    ),
    (
        "worker",
        "/Resources/Role/Properties/Policies/0/PolicyDocument/Statement/14/Fn::If/1/Resource",
        r#""*""#,
        "roles name",
    ),
    (
        "realm",
        "/Resources/DispatcherRole/Properties/Policies/0/PolicyDocument/Statement/3/Action/0",
        r#""dynamodb:*""#,
        "roles name",
    ),
    (
        "realm",
        "/Resources/DispatcherRole/Properties/Policies/0/PolicyDocument/Statement/5/Resource",
        r#"{"Fn::Sub": "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Prefix}.${Realm}.runs/index/*"}"#,
        "roles name",
    ),
    ("realm", "/Resources/RulesMayDispatch/Properties/SourceArn", "null", "roles name"),
    ("realm", "/Resources/DispatcherTopicPermission/Properties/SourceArn", "null", "roles name"),
    ("realm", "/Resources/DispatcherTopic/Properties/RedrivePolicy", "null", "the clock"),
    ("worker", "/Resources/Queue/Properties/SqsManagedSseEnabled", "false", "encrypted"),
    ("realm", "/Resources/DispatchTopic/Properties/KmsMasterKeyId", "null", "encrypted"),
    ("realm", "/Resources/RunsTable/Properties/SSESpecification", "null", "encrypted"),
    ("realm", "/Resources/RealmBucket/Properties/BucketEncryption", "null", "encrypted"),
    (
        "realm",
        "/Resources/RealmBucket/Properties/PublicAccessBlockConfiguration/BlockPublicPolicy",
        "false",
        "encrypted",
    ),
    ("realm", "/Resources/RealmBucket/Properties/LifecycleConfiguration", "null", "encrypted"),
    ("realm", "/Parameters/TempDays/Default", "14", "encrypted"),
    ("realm", "/Resources/RunsTable/Properties/BillingMode", r#""PROVISIONED""#, "tables"),
    ("realm", "/Resources/JobsTable/Properties/PointInTimeRecoverySpecification", "null", "tables"),
    ("realm", "/Resources/StateTable/Properties/TimeToLiveSpecification", "null", "tables"),
    ("realm", "/Resources/RunsTable/Properties/GlobalSecondaryIndexes/0", "null", "tables"),
    (
        "realm",
        "/Resources/RunsTable/Properties/GlobalSecondaryIndexes/4/Projection/NonKeyAttributes",
        "null",
        "tables",
    ),
    ("realm", "/Resources/RunsTable/Properties/AttributeDefinitions/3/AttributeType", r#""S""#, "tables"),
    ("realm", "/Resources/StateTable/Condition", "null", "tables"),
    ("realm", "/Resources/RunsTable/DeletionPolicy", r#""Delete""#, "tables"),
    ("worker", "/Resources/Log/Properties/RetentionInDays", "null", "logs"),
    ("realm", "/Resources/Dispatcher/Properties/LoggingConfig/LogFormat", r#""Text""#, "logs"),
    ("worker", "/Resources/Function/Properties/Environment/Variables/LAVA_WORKER", "null", "environment"),
    ("worker", "/Resources/Function/Properties/Environment/Variables/PUMICE_BUCKET", r#""x""#, "environment"),
    ("realm", "/Resources/Dispatcher/Properties/FunctionName", r#"{"Fn::Sub": "other"}"#, "logs"),
    ("realm", "/Resources/Worker/Properties/Parameters/Bucket", "null", "worker.yaml's"),
    ("worker", "/Parameters/Memory/MaxValue", "3008", "worker.yaml's"),
    ("realm", "/Resources/Sweep/Properties/ScheduleExpression", r#""rate(1 hour)""#, "the clock"),
    ("realm", "/Resources/ObjectRule/Properties/EventPattern/source", r#"["aws.ec2"]"#, "the clock"),
    ("realm", "/Resources/ObjectRule/Properties/Targets/0/DeadLetterConfig", "null", "the clock"),
    ("realm", "/Resources/RealmBucket/Properties/NotificationConfiguration", "null", "the clock"),
    (
        "realm",
        "/Resources/ScheduledJobRule/Properties/Targets/0/InputTransformer/InputPathsMap/time",
        r#""$.id""#,
        "the clock",
    ),
    ("realm", "/Parameters/OneOffSchedules/Default", r#""yes""#, "one-off"),
    ("realm", "/Resources/OneOffScheduleGroup/Condition", "null", "one-off"),
    ("realm", "/Resources/OneOffScheduleGroup/Properties/Name/Fn::Sub", r#""${Prefix}-${Realm}""#, "one-off"),
    (
        "realm",
        "/Resources/Dispatcher/Properties/Environment/Variables/PUMICE_SCHEDULE_ROLE_ARN",
        r#"{"Fn::GetAtt": "OneOffScheduleRole.Arn"}"#,
        "one-off",
    ),
    (
        "realm",
        "/Resources/Dispatcher/Properties/Environment/Variables/PUMICE_SCHEDULE_GROUP",
        "null",
        "one-off",
    ),
    (
        "realm",
        "/Resources/DispatcherRole/Properties/Policies/0/PolicyDocument/Statement/9/Fn::If/1/Resource/Fn::Sub",
        r#""arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/*""#,
        "one-off",
    ),
    (
        "realm",
        "/Resources/DispatcherRole/Properties/Policies/0/PolicyDocument/Statement/9/Fn::If/1/Resource/Fn::Sub",
        r#""arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/*""#,
        "roles name",
    ),
    (
        "realm",
        "/Resources/DispatcherRole/Properties/Policies/0/PolicyDocument/Statement/10/Fn::If/1/Condition",
        "null",
        "one-off",
    ),
    (
        "realm",
        "/Resources/DispatcherRole/Properties/Policies/0/PolicyDocument/Statement/10/Fn::If/1/Resource",
        r#"{"Fn::GetAtt": "ScheduleRole.Arn"}"#,
        "one-off",
    ),
    (
        "realm",
        "/Resources/OneOffScheduleRole/Properties/AssumeRolePolicyDocument/Statement/0/Condition",
        "null",
        "roles name",
    ),
    (
        "realm",
        "/Resources/ScheduleRole/Properties/AssumeRolePolicyDocument/Statement/0/Condition/StringEquals/aws:SourceArn",
        "null",
        "roles name",
    ),
    (
        "worker",
        "/Resources/Role/Properties/AssumeRolePolicyDocument/Statement/0/Principal",
        r#"{"AWS": "*"}"#,
        "roles name",
    ),
    (
        "realm",
        "/Resources/OneOffScheduleRole/Properties/Policies/0/PolicyDocument/Statement/0/Action/0",
        r#""sqs:ReceiveMessage""#,
        "one-off",
    ),
    (
        "realm",
        "/Resources/OneOffScheduleRole/Properties/Policies/0/PolicyDocument/Statement/1",
        "null",
        "one-off",
    ),
    (
        "realm",
        "/Resources/OneOffScheduleRole/Properties/Policies/0/PolicyDocument/Statement/1/Resource/1/Fn::Sub",
        r#""arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:*""#,
        "one-off",
    ),
    (
        "realm",
        "/Resources/Dispatcher/Properties/Environment/Variables/PUMICE_CLOCK_FUNCTION",
        "null",
        "one-off",
    ),
    ("worker", "/Resources/FunctionRuns/Properties/FunctionName", r#"{"Ref": "Function"}"#, "by their alias"),
    ("realm", "/Resources/JobChanges/Properties/FunctionName", r#"{"Ref": "Dispatcher"}"#, "by their alias"),
    (
        "realm",
        "/Resources/RulesOfBusesMayDispatch/Properties/FunctionName",
        r#"{"Ref": "Dispatcher"}"#,
        "by their alias",
    ),
    (
        "realm",
        "/Resources/Sweep/Properties/Target/Arn",
        r#"{"Fn::GetAtt": "Dispatcher.Arn"}"#,
        "by their alias",
    ),
    ("realm", "/Resources/Sweep/Properties/Target/Arn", r#"{"Ref": "Dispatcher.Alias"}"#, "the clock"),
    ("realm", "/Resources/SweepAlias/DependsOn", "null", "by their alias"),
    ("realm", "/Resources/SweepAlias/Properties/FunctionVersion", r#""$LATEST""#, "by their alias"),
    (
        "realm",
        "/Resources/ScheduledJobRule/Properties/Targets/0/Arn",
        r#"{"Fn::GetAtt": "Dispatcher.Arn"}"#,
        "by their alias",
    ),
    (
        "realm",
        "/Resources/ScheduleRole/Properties/Policies/0/PolicyDocument/Statement/0/Resource/1/Fn::Sub",
        r#""arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${Prefix}-${Realm}-pumice-dispatcher""#,
        "by their alias",
    ),
    (
        "realm",
        "/Resources/DispatcherTopic/Properties/Endpoint",
        r#"{"Fn::GetAtt": "Dispatcher.Arn"}"#,
        "by their alias",
    ),
    ("realm", "/Outputs/DispatcherArn/Value", r#"{"Fn::GetAtt": "Dispatcher.Arn"}"#, "by their alias"),
    ("realm", "/Outputs/DispatcherFunction/Value", r#"{"Ref": "Dispatcher"}"#, "by their alias"),
    ("worker", "/Resources/Function/Properties/AutoPublishAlias", "null", "by their alias"),
    ("realm", "/Resources/Dispatcher/Properties/AutoPublishAliasAllProperties", "null", "is a version"),
    ("realm", "/Resources/Dispatcher/Properties/VersionDescription", "null", "is a version"),
    ("worker", "/Resources/Function/Properties/Description", r#""A worker""#, "is a version"),
    ("realm", "/Resources/Dispatcher/UpdateReplacePolicy", "null", "is a version"),
    (
        "worker",
        "/Resources/Function/Properties/Environment/Variables/PUMICE_NEW",
        r#"{"Ref": "SecretPrefix"}"#,
        "is a version",
    ),
    (
        "realm",
        "/Resources/Dispatcher/Properties/Environment/Variables/PUMICE_NEW",
        r#"{"Fn::If": ["HasSchedule", "true", "false"]}"#,
        "is a version",
    ),
    ("realm", "/Parameters/Deployment/Default", r#""Canary10Percent5Minutes""#, "taken back"),
    ("worker", "/Mappings/Deployments/Linear10PercentEvery1Minute", "null", "taken back"),
    ("realm", "/Mappings/Deployments/off/Shifts", "true", "taken back"),
    ("worker", "/Resources/Function/Properties/DeploymentPreference/Alarms", "[]", "taken back"),
    (
        "realm",
        "/Resources/Dispatcher/Properties/DeploymentPreference/Alarms/0",
        r#"{"Ref": "SweepAlarm"}"#,
        "taken back",
    ),
    ("worker", "/Resources/RollbackAlarm/Properties/Dimensions/2", "null", "taken back"),
    ("worker", "/Resources/RollbackAlarm/Condition", "null", "taken back"),
    ("realm", "/Resources/DispatcherRollbackAlarm/Properties/Period", "300", "taken back"),
    ("realm", "/Resources/Worker/Properties/Parameters/Deployment", "null", "taken back"),
];

#[test]
fn every_mutant_is_seen_by_the_check_that_is_for_it() {
    let sound = Templates::read();
    let mut missed = Vec::new();
    for &(which, place, value, check) in MUTANTS {
        let value = serde_json::from_str(value).unwrap();
        let mut broken = sound.clone();
        let template = if which == "realm" { &mut broken.realm } else { &mut broken.worker };
        assert!(put(&mut template.document, place, value), "{which}.yaml has nothing at {place}");
        let named: Vec<_> = CHECKS.iter().filter(|(name, _)| name.contains(check)).collect();
        assert_eq!(named.len(), 1, "{check:?} is not one check");
        if named[0].1(&broken).is_empty() {
            missed.push(format!("{which} {place}: not seen by {:?}", named[0].0));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Puts a value in the place of another, or a field into an object whose name ends in `_NEW`; null removes it. Says whether there
/// was one.
fn put(document: &mut Value, place: &str, value: Value) -> bool {
    let Some((parent, last)) = place.rsplit_once('/') else { return false };
    if !value.is_null() {
        if let Some(Value::Object(fields)) = document.pointer_mut(parent).filter(|_| last.ends_with("_NEW")) {
            return fields.insert(last.to_owned(), value).is_none();
        }
        return document.pointer_mut(place).map(|found| *found = value).is_some();
    }
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(last).is_some(),
        Some(Value::Array(items)) => {
            let at = last.parse().ok().filter(|at| *at < items.len());
            at.map(|at: usize| items.remove(at)).is_some()
        }
        _ => false,
    }
}
