//! Services that actions and `lambda` jobs reach on AWS, on a stand-in.

use aws_config::SdkConfig;
use chrono::Utc;
use pumice_aws::Outside;
use pumice_core::duration::Span;
use pumice_core::ports::{
    BusEvent, FunctionCall, Messaging, QueueMessage, SesEmail, StoreErrorKind, TopicMessage,
};
use pumice_testing::standins::{Server, config, until};
use serde_json::{Value, json};

/// A stand-in with a queue that receives the messages of a topic and a bus.
struct World {
    _server: Server,
    sqs: aws_sdk_sqs::Client,
    outside: Outside,
    url: String,
    topic: String,
}

async fn queue(client: &aws_sdk_sqs::Client, name: &str) -> String {
    use aws_sdk_sqs::types::QueueAttributeName::FifoQueue;
    let fifo = name.ends_with(".fifo").then(|| "true".to_owned());
    let request = client.create_queue().queue_name(name);
    let request = fifo.into_iter().fold(request, |request, is| request.attributes(FifoQueue, is));
    request.send().await.expect("a queue").queue_url.expect("a URL")
}

async fn arn(client: &aws_sdk_sqs::Client, url: &str) -> String {
    use aws_sdk_sqs::types::QueueAttributeName::QueueArn;
    let told = client.get_queue_attributes().queue_url(url).attribute_names(QueueArn).send().await;
    told.expect("attributes").attributes.expect("some")[&QueueArn].clone()
}

async fn listen(config: &SdkConfig, queue: &str) -> String {
    let sns = aws_sdk_sns::Client::new(config);
    let topic = sns.create_topic().name("operators").send().await.expect("a topic");
    let topic = topic.topic_arn.expect("an ARN");
    sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(queue).send().await.expect("a subscription");
    let events = aws_sdk_eventbridge::Client::new(config);
    let pattern = json!({ "detail-type": ["Lava Job Action"] }).to_string();
    for bus in ["default", "own"] {
        if bus != "default" {
            events.create_event_bus().name(bus).send().await.expect("a bus");
        }
        let rule = events.put_rule().name("hear").event_bus_name(bus).event_pattern(&pattern);
        rule.send().await.expect("a rule");
        let target =
            aws_sdk_eventbridge::types::Target::builder().id("q").arn(queue).build().expect("a target");
        let targets = events.put_targets().rule("hear").event_bus_name(bus).targets(target);
        targets.send().await.expect("a target");
    }
    topic
}

impl World {
    async fn start() -> Self {
        let server = Server::moto();
        let config = config(&server.url()).await;
        let sqs = aws_sdk_sqs::Client::new(&config);
        let url = queue(&sqs, "heard").await;
        let topic = listen(&config, &arn(&sqs, &url).await).await;
        Self { _server: server, sqs, outside: Outside::new(config), url, topic }
    }

    /// The next message of a queue: its body, deduplication id and group.
    async fn next(&self, url: &str) -> (String, Option<String>, Option<String>) {
        use aws_sdk_sqs::types::MessageSystemAttributeName::{All, MessageDeduplicationId, MessageGroupId};
        let found = until(async || {
            let request = self.sqs.receive_message().queue_url(url).message_system_attribute_names(All);
            let message = request.send().await.expect("it answers").messages?.pop()?;
            let receipt = message.receipt_handle.as_deref().expect("a receipt");
            let gone = self.sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await;
            gone.expect("it is deleted");
            let attribute = |name| message.attributes.as_ref().and_then(|all| all.get(&name)).cloned();
            let (dedup, group) = (attribute(MessageDeduplicationId), attribute(MessageGroupId));
            Some((message.body.unwrap_or_default(), dedup, group))
        });
        found.await.expect("a message comes")
    }

    async fn told(&self) -> Value {
        serde_json::from_str(&self.next(&self.url).await.0).expect("JSON")
    }
}

fn message(queue: &str) -> QueueMessage {
    QueueMessage {
        queue: queue.to_owned(),
        message: "hello".to_owned(),
        delay: Span::default(),
        dedup_id: Some("d".to_owned()),
        group_id: Some("g".to_owned()),
    }
}

fn event(bus: Option<&str>) -> BusEvent {
    BusEvent {
        bus: bus.map(str::to_owned),
        source: "lava.test".to_owned(),
        detail_type: "Lava Job Action".to_owned(),
        resources: vec!["arn:aws:s3:::b".to_owned()],
        detail: json!({ "job_id": "a" }).to_string(),
        time: Utc::now(),
    }
}

#[tokio::test]
async fn message_reaches_the_subscribers_of_its_topic() {
    let world = World::start().await;
    for subject in [Some("it failed"), None] {
        let message = TopicMessage {
            topic: world.topic.clone(),
            message: "why".to_owned(),
            subject: subject.map(str::to_owned),
        };
        world.outside.publish(message).await.expect("it is published");
        let told = world.told().await;
        assert_eq!((&told["Message"], told["Subject"].as_str()), (&json!("why"), subject));
    }
    let topic = world.topic.replace("operators", "gone");
    let message = TopicMessage { topic: topic.clone(), message: "m".to_owned(), subject: None };
    let error = world.outside.publish(message).await.expect_err("there is no such topic");
    assert!(error.message.starts_with(&format!("cannot publish to topic {topic}: ")), "{error}");
    assert_eq!(error.kind, StoreErrorKind::Missing, "{error}");
}

#[tokio::test]
async fn message_reaches_a_queue_by_name_and_by_url() {
    let world = World::start().await;
    let fifo = queue(&world.sqs, "ordered.fifo").await;
    for (named, url) in [("heard", &world.url), (&world.url, &world.url)] {
        world.outside.send(message(named)).await.expect("it is sent");
        assert_eq!(world.next(url).await, ("hello".to_owned(), None, None), "{named}");
    }
    for named in ["ordered.fifo", &fifo] {
        let sent = QueueMessage { dedup_id: Some(named.replace(['/', ':'], "-")), ..message(named) };
        world.outside.send(sent.clone()).await.expect("it is sent");
        let group = Some("g".to_owned());
        assert_eq!(world.next(&fifo).await, ("hello".to_owned(), sent.dedup_id, group), "{named}");
    }
    let error = world.outside.send(message("gone")).await.expect_err("there is no such queue");
    assert!(error.message.starts_with("cannot find queue gone: "), "{error}");
    assert_eq!(error.kind, StoreErrorKind::Missing, "{error}");
}

#[tokio::test]
async fn event_reaches_the_rules_of_its_bus() {
    let world = World::start().await;
    for bus in [None, Some("default"), Some("own")] {
        world.outside.put_event(event(bus)).await.expect("it is put");
        let told = world.told().await;
        assert_eq!((&told["source"], &told["detail"]), (&json!("lava.test"), &json!({ "job_id": "a" })));
        assert_eq!(told["resources"], json!(["arn:aws:s3:::b"]));
    }
    let odd = BusEvent { detail: "no JSON".to_owned(), ..event(None) };
    let error = world.outside.put_event(odd).await.expect_err("it is not taken");
    assert!(error.message.starts_with("cannot put an event on bus default: MalformedDetail"), "{error}");
}

#[tokio::test]
async fn function_that_is_not_there_is_named() {
    let world = World::start().await;
    let call = FunctionCall { function: "gone".to_owned(), qualifier: None, event: b"{}".to_vec() };
    let error = world.outside.invoke(call).await.expect_err("there is no such function");
    assert!(error.message.starts_with("cannot call function gone: "), "{error}");
    assert_eq!(error.kind, StoreErrorKind::Missing, "{error}");
}

#[tokio::test]
async fn ses_sends_from_the_first_verified_domain() {
    let server = Server::moto();
    let config = config(&server.url()).await;
    let region = "eu-north-1";
    let own = aws_sdk_ses::config::Builder::from(&config);
    let own = own.region(aws_config::Region::new(region)).build();
    let (ses, outside) = (aws_sdk_ses::Client::from_conf(own), Outside::new(config));
    assert_eq!(outside.verified_domain(region).await.expect("it answers"), None);
    // An address is not a domain.
    ses.verify_email_identity().email_address("ann@example.com").send().await.expect("an identity");
    assert_eq!(outside.verified_domain(region).await.expect("it answers"), None);
    ses.verify_domain_identity().domain("example.org").send().await.expect("an identity");
    assert_eq!(outside.verified_domain(region).await.expect("it answers").as_deref(), Some("example.org"));
    assert_eq!(outside.verified_domain("us-east-1").await.expect("it answers"), None, "a region has its own");
    let email = |from: &str| SesEmail {
        mime: format!("From: {from}\r\nTo: ops@example.net\r\nSubject: failed\r\n\r\nwhy\r\n").into_bytes(),
        to: vec!["ops@example.net".to_owned(), "dev@example.net".to_owned()],
        return_path: None,
        region: region.to_owned(),
        configuration_set: None,
    };
    outside.send_email(email("lava.test@example.org")).await.expect("it is sent");
    let quota = ses.get_send_quota().send().await.expect("it answers");
    assert!(quota.sent_last24_hours() > 0.0, "{quota:?}");
    let refused = outside.send_email(email("eve@example.net")).await.expect_err("not verified");
    assert_eq!(refused.kind, StoreErrorKind::Invalid, "{refused}");
    assert!(
        refused.message.starts_with("SES in eu-north-1 did not take the e-mail: MessageRejected"),
        "{refused}"
    );
}
