//! Tables, the bucket, and encryption of all that is kept.

use serde_json::{Value, json};

use crate::template::{Templates, Wrong, one_or_more};

pub(crate) fn encryption(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let none = json!({"Ref": "AWS::NoValue"});
    let key = json!({"Ref": "KeyArn"});
    for (name, queue) in templates.of_type("AWS::SQS::Queue") {
        let (own, with_key) =
            (&queue["Properties"]["SqsManagedSseEnabled"], &queue["Properties"]["KmsMasterKeyId"]);
        let either = *own == json!({"Fn::If": ["HasKey", none, true]})
            && *with_key == json!({"Fn::If": ["HasKey", key, none]});
        wrong.unless(*own == true || either, format!("{name} is not encrypted"));
    }
    for (name, topic) in templates.of_type("AWS::SNS::Topic") {
        let found = &topic["Properties"]["KmsMasterKeyId"];
        wrong.unless(
            *found == json!({"Fn::If": ["HasKey", key, "alias/aws/sns"]}),
            format!("{name}: {found}"),
        );
    }
    for (name, table) in templates.of_type("AWS::DynamoDB::Table") {
        // Without a key of the user's, AWS's own encrypts; that cannot be turned off.
        let found = &table["Properties"]["SSESpecification"];
        let with_key = json!({"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": key});
        wrong.unless(*found == json!({"Fn::If": ["HasKey", with_key, none]}), format!("{name}: {found}"));
    }
    let bucket = templates.realm.properties("RealmBucket");
    let default =
        &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"];
    let with_key = json!({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key});
    wrong.unless(
        *default == json!({"Fn::If": ["HasKey", with_key, {"SSEAlgorithm": "AES256"}]}),
        "the bucket is not encrypted",
    );
    for setting in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
        wrong.unless(bucket["PublicAccessBlockConfiguration"][setting] == true, format!("bucket: {setting}"));
    }
    let rules = &bucket["LifecycleConfiguration"]["Rules"];
    wrong.unless(
        one_or_more(rules).iter().any(|it| it["Prefix"] == "tmp/" && !it["ExpirationInDays"].is_null()),
        "outputs are kept for ever",
    );
    // Records that point to objects below tmp/ live for EVENT_TTL, 30 days.
    let days = &templates.realm.parameter("TempDays")["Default"];
    wrong.unless(days.as_u64() > Some(30), format!("parts of records are removed after {days} days"));
    let denied = &templates.realm.properties("RealmBucketPolicy")["PolicyDocument"]["Statement"][0];
    wrong.unless(
        denied["Effect"] == "Deny"
            && denied["Condition"] == json!({"Bool": {"aws:SecureTransport": "false"}}),
        "the bucket answers connections that are not encrypted",
    );
    wrong.0
}

/// Each table: its resource, name, keys, condition, and whether its items expire.
const TABLES: [(&str, &str, &[&str], &str, bool); 6] = [
    ("RealmsTable", "${Prefix}.realms", &["realm"], "MakesRealmsTable", false),
    ("JobsTable", "${Prefix}.${Realm}.jobs", &["job_id"], "MakesRealm", false),
    ("StateTable", "${Prefix}.${Realm}.state", &["state_id"], "MakesRealm", true),
    ("ConnectionsTable", "${Prefix}.${Realm}.connections", &["conn_id"], "MakesRealm", false),
    ("TriggersTable", "${Prefix}.${Realm}.s3triggers", &["trigger_id"], "MakesRealm", false),
    ("RunsTable", "${Prefix}.${Realm}.runs", &["run_id S", "path S"], "MakesRuns", true),
];

/// Each index of Pumice's: its table, name, keys with their types, and projection.
const INDEXES: [(&str, &str, [&str; 2], &str); 7] = [
    ("RunsTable", "due", ["due_shard S", "due_at N"], "KEYS_ONLY"),
    ("RunsTable", "job", ["job_id S", "ts_dispatch N"], "KEYS_ONLY"),
    ("RunsTable", "origin", ["dispatched_by S", "ts_dispatch N"], "KEYS_ONLY"),
    ("RunsTable", "line", ["line_job S", "ts_dispatch N"], "KEYS_ONLY"),
    ("RunsTable", "bad", ["bad_end S", "ts_dispatch N"], "INCLUDE"),
    ("RunsTable", "host", ["for_host S", "ts_dispatch N"], "KEYS_ONLY"),
    ("TriggersTable", "s3trigger-index", ["bucket S", "prefix S"], "ALL"),
];

pub(crate) fn tables(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let made = templates.of_type("AWS::DynamoDB::Table").count();
    wrong.unless(made == TABLES.len(), format!("{made} tables"));
    for (resource, name, wanted, condition, expires) in TABLES {
        let whole = &templates.realm.document["Resources"][resource];
        let table = &whole["Properties"];
        wrong.unless(table["TableName"] == json!({"Fn::Sub": name}), format!("{resource}: its name"));
        wrong.unless(
            whole["Condition"].as_str().unwrap_or("") == condition,
            format!("{resource}: its condition"),
        );
        wrong.unless(table["BillingMode"] == "PAY_PER_REQUEST", format!("{resource} is not on demand"));
        let recovery = &table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"];
        wrong.unless(*recovery == true, format!("{resource} has no point-in-time recovery"));
        let ttl = &table["TimeToLiveSpecification"];
        let wanted_ttl = if expires { json!({"AttributeName": "ttl", "Enabled": true}) } else { Value::Null };
        wrong.unless(*ttl == wanted_ttl, format!("{resource}: ttl {ttl}"));
        let kept =
            whole["DeletionPolicy"] == "RetainExceptOnCreate" && whole["UpdateReplacePolicy"] == "Retain";
        wrong.unless(kept, format!("{resource} goes with the stack"));
        let keys = keys_of(table, &table["KeySchema"]);
        let wanted: Vec<String> = wanted
            .iter()
            .map(|key| if key.contains(' ') { (*key).to_owned() } else { format!("{key} S") })
            .collect();
        wrong.unless(keys == wanted, format!("{resource}: keys {keys:?}"));
    }
    for (resource, index, wanted, projection) in INDEXES {
        let table = templates.realm.properties(resource);
        let found =
            one_or_more(&table["GlobalSecondaryIndexes"]).into_iter().find(|it| it["IndexName"] == index);
        let Some(found) = found else {
            wrong.0.push(format!("{resource} has no index {index}"));
            continue;
        };
        let keys = keys_of(table, &found["KeySchema"]);
        wrong.unless(keys == wanted, format!("{resource}: index {index}: {keys:?}"));
        let projected = &found["Projection"]["ProjectionType"];
        wrong.unless(*projected == projection, format!("{resource}: index {index}: {projected}"));
        let others = &found["Projection"]["NonKeyAttributes"];
        let wanted = if projection == "INCLUDE" { json!(["job_id"]) } else { Value::Null };
        wrong.unless(*others == wanted, format!("{resource}: index {index}: {others}"));
    }
    wrong.0
}

/// Keys with their types, hash key first: `run_id S`.
fn keys_of(table: &Value, schema: &Value) -> Vec<String> {
    let attributes = one_or_more(&table["AttributeDefinitions"]);
    let mut keys = one_or_more(schema);
    keys.sort_by_key(|key| key["KeyType"] != "HASH");
    let typed = keys.into_iter().map(|key| {
        let found = attributes.iter().find(|it| it["AttributeName"] == key["AttributeName"]);
        let kind = found.and_then(|it| it["AttributeType"].as_str()).unwrap_or("?");
        format!("{} {kind}", key["AttributeName"].as_str().unwrap_or("?"))
    });
    typed.collect()
}
