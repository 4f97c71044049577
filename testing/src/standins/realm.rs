//! The tables and queues of a realm, as template.yaml deploys them.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use pumice_aws::{Clients, Names};
use pumice_core::ids::WorkerName;

use ScalarAttributeType::{N, S};

type Key<'a> = &'a [(&'a str, ScalarAttributeType)];

/// Makes the tables of a realm.
///
/// # Panics
/// When the stand-in refuses.
pub async fn make_realm(clients: &Clients, names: &Names) {
    make_realm_without(clients, names, "").await;
    // The index has all from the beginning: no record is older.
    mark_index(clients, names, 0).await;
}

/// Says from when on, in microseconds since 1970, the index on runs that ended badly has all of them.
///
/// # Panics
/// When the stand-in refuses.
pub async fn mark_index(clients: &Clients, names: &Names, at: i64) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mark = clients.dynamodb.put_item().table_name(names.runs());
    let mark = mark.item("run_id", text("index#bad")).item("path", text("since"));
    mark.item("at", AttributeValue::N(at.to_string())).send().await.expect("the mark is put");
}

/// Has parts of the index `job` been in use for long, as in a realm that was deployed an hour ago.
///
/// # Panics
/// When the stand-in refuses.
pub async fn use_parts(clients: &Clients, names: &Names) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mark = clients.dynamodb.put_item().table_name(names.runs());
    let mark = mark.item("run_id", text("index#job")).item("path", text("parts"));
    mark.item("at", AttributeValue::N("1".to_owned())).send().await.expect("the mark is put");
}

/// Makes the tables of a realm whose table of runs lacks an index, as one that was deployed before there was that index.
///
/// # Panics
/// When the stand-in refuses.
pub async fn make_realm_without(clients: &Clients, names: &Names, lacking: &str) {
    table(clients, &names.realms(), &[("realm", S)], &[]).await;
    // As lava has it too.
    let dispatchers: [(&str, Key); 1] = [("dispatcher-index", &[("dispatcher", S), ("job_id", S)])];
    table(clients, &names.jobs(), &[("job_id", S)], &dispatchers).await;
    table(clients, &names.state(), &[("state_id", S)], &[]).await;
    let of_buckets: [(&str, Key); 1] = [("s3trigger-index", &[("bucket", S), ("prefix", S)])];
    table(clients, &names.triggers(), &[("trigger_id", S)], &of_buckets).await;
    table(clients, &names.connections(), &[("conn_id", S)], &[]).await;
    let indexes: [(&str, Key); 6] = [
        ("due", &[("due_shard", S), ("due_at", N)]),
        ("job", &[("job_id", S), ("ts_dispatch", N)]),
        ("origin", &[("dispatched_by", S), ("ts_dispatch", N)]),
        ("line", &[("line_job", S), ("ts_dispatch", N)]),
        ("bad", &[("bad_end", S), ("ts_dispatch", N)]),
        ("host", &[("for_host", S), ("ts_dispatch", N)]),
    ];
    let indexes: Vec<(&str, Key)> = indexes.into_iter().filter(|(name, _)| *name != lacking).collect();
    table(clients, &names.runs(), &[("run_id", S), ("path", S)], &indexes).await;
}

fn schema(key: Key<'_>) -> Vec<KeySchemaElement> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let element = |(name, kind): (&str, KeyType)| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a key")
    };
    key.iter().map(|(name, _)| *name).zip(kinds).map(element).collect()
}

async fn table(clients: &Clients, name: &str, key: Key<'_>, indexes: &[(&str, Key<'_>)]) {
    let mut request =
        clients.dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    request = request.set_key_schema(Some(schema(key)));
    let mut attributes: Vec<(&str, ScalarAttributeType)> = key.to_vec();
    for (index, key) in indexes {
        attributes.extend(key.iter().cloned());
        let projection = Projection::builder();
        let projection = match *index {
            "dispatcher-index" => projection
                .projection_type(ProjectionType::Include)
                .set_non_key_attributes(Some(vec!["worker".to_owned(), "schedule".to_owned()])),
            "s3trigger-index" => projection.projection_type(ProjectionType::All),
            "bad" => projection
                .projection_type(ProjectionType::Include)
                .set_non_key_attributes(Some(vec!["job_id".to_owned()])),
            _ => projection.projection_type(ProjectionType::KeysOnly),
        };
        let index = GlobalSecondaryIndex::builder().index_name(*index).set_key_schema(Some(schema(key)));
        request =
            request.global_secondary_indexes(index.projection(projection.build()).build().expect("an index"));
    }
    attributes.sort_by_key(|(name, _)| *name);
    attributes.dedup_by_key(|(name, _)| *name);
    for (attribute, kind) in attributes {
        let definition = AttributeDefinition::builder().attribute_name(attribute).attribute_type(kind);
        request = request.attribute_definitions(definition.build().expect("an attribute"));
    }
    request.send().await.unwrap_or_else(|error| panic!("making table {name}: {error:?}"));
}

/// Makes a group of schedules.
///
/// # Panics
/// When the stand-in refuses.
pub async fn make_schedule_group(config: &SdkConfig, name: &str) {
    let client = aws_sdk_scheduler::Client::new(config);
    client.create_schedule_group().name(name).send().await.expect("a group is made");
}

/// Makes a worker's queue, whose messages stay hidden for so many seconds and go to the dead letters
/// after so many receives.
///
/// # Panics
/// When the stand-in refuses.
pub async fn make_queue(
    clients: &Clients,
    names: &Names,
    worker: &WorkerName,
    visibility: u32,
    receives: u32,
) {
    let sqs = &clients.sqs;
    let dead =
        sqs.create_queue().queue_name(names.dead_letters(worker)).send().await.expect("a queue is made");
    let asked = sqs.get_queue_attributes().queue_url(dead.queue_url().unwrap_or_default());
    let answer = asked.attribute_names(QueueAttributeName::QueueArn).send().await.expect("the queue answers");
    let attributes = answer.attributes().expect("it has attributes");
    let arn = &attributes[&QueueAttributeName::QueueArn];
    let redrive = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":{receives}}}");
    sqs.create_queue()
        .queue_name(names.queue(worker))
        .attributes(QueueAttributeName::VisibilityTimeout, visibility.to_string())
        .attributes(QueueAttributeName::RedrivePolicy, redrive)
        .send()
        .await
        .expect("a queue is made");
}
