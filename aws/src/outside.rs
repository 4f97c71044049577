//! Services of AWS outside the realm that actions and jobs reach: topics, queues, event buses, functions and e-mail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_ses::error::ProvideErrorMetadata;
use aws_sdk_ses::types::{IdentityType, RawMessage, VerificationStatus};
use aws_smithy_types::{Blob, DateTime};
use pumice_core::connection::AwsKeys;
use pumice_core::ports::{
    BusEvent, FunctionAnswer, FunctionCall, Messaging, QueueMessage, SesEmail, StoreError, StoreErrorKind,
    TopicMessage,
};
use tokio::sync::OnceCell;

use crate::connect::config;
use crate::failure::{kind_of_code, outside_error};

/// How long a function may run (Lambda, quotas), and a moment more for its answer to come.
const CALL: Duration = Duration::from_secs(910);
/// Most domains whose state is asked for at once (SES, GetIdentityVerificationAttributes).
const MAX_IDENTITIES: i32 = 100;
/// Errors of SES after which the same e-mail is never sent (SES, SendRawEmail, Errors).
const FINAL: [&str; 6] = [
    "AccountSendingPausedException",
    "ConfigurationSetDoesNotExist",
    "ConfigurationSetSendingPausedException",
    "InvalidParameterValue",
    "MailFromDomainNotVerifiedException",
    "MessageRejected",
];
/// The part by which lava recognises the URL of a queue (lava guide, Action type: sqs).
const QUEUE_URL: &str = ".amazonaws.com/";

/// Messages to what is outside the realm, and calls of it. Nothing is connected before it is needed.
#[derive(Clone)]
pub struct Outside {
    config: Arc<OnceCell<SdkConfig>>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outside")
    }
}

impl Outside {
    /// With this configuration.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        Self { config: Arc::new(OnceCell::new_with(Some(config))) }
    }

    /// With credentials and region from where AWS's own tools take them, once they are needed: see
    /// [`config`].
    #[must_use]
    pub fn when_needed() -> Self {
        Self { config: Arc::default() }
    }

    async fn config(&self) -> Result<&SdkConfig, StoreError> {
        let config = self.config.get_or_init(config).await;
        if config.region().is_none() {
            let message = "which AWS region? set AWS_REGION, or name a profile that has one with AWS_PROFILE";
            return Err(StoreError::of(StoreErrorKind::Denied, message));
        }
        Ok(config)
    }

    /// A client of SES in a region, which need not be that of the realm.
    async fn ses(&self, region: &str) -> aws_sdk_ses::Client {
        let config = self.config.get_or_init(config).await;
        let config =
            aws_sdk_ses::config::Builder::from(config).region(Region::new(region.to_owned())).build();
        aws_sdk_ses::Client::from_conf(config)
    }

    /// The URL of a queue, from its URL with or without `https://`, or from its name.
    async fn queue_url(&self, client: &aws_sdk_sqs::Client, queue: &str) -> Result<String, StoreError> {
        if queue.starts_with("https://") || queue.starts_with("http://") {
            return Ok(queue.to_owned());
        }
        if queue.contains(QUEUE_URL) {
            return Ok(format!("https://{queue}"));
        }
        let found = client.get_queue_url().queue_name(queue).send().await;
        let found = found.map_err(|error| outside_error(&format!("cannot find queue {queue}"), &error))?;
        let url = found.queue_url().map(str::to_owned);
        url.ok_or_else(|| {
            StoreError::of(StoreErrorKind::Missing, format!("SQS gives no URL for queue {queue}"))
        })
    }
}

fn is_final(code: &str) -> bool {
    FINAL.contains(&code)
}

#[async_trait]
impl Messaging for Outside {
    async fn publish(&self, message: TopicMessage) -> Result<(), StoreError> {
        let TopicMessage { topic, message, subject } = message;
        let request = aws_sdk_sns::Client::new(self.config().await?).publish();
        let request = request.topic_arn(&topic).message(message).set_subject(subject);
        let published = request.send().await;
        published
            .map(drop)
            .map_err(|error| outside_error(&format!("cannot publish to topic {topic}"), &error))
    }

    async fn send(&self, message: QueueMessage) -> Result<(), StoreError> {
        let client = aws_sdk_sqs::Client::new(self.config().await?);
        let url = self.queue_url(&client, &message.queue).await?;
        let is_fifo = url.ends_with(".fifo");
        let delay = i32::try_from(message.delay.get().as_secs()).ok().filter(|delay| *delay > 0);
        let request =
            client.send_message().queue_url(url).message_body(message.message).set_delay_seconds(delay);
        let request = request
            .set_message_deduplication_id(message.dedup_id.filter(|_| is_fifo))
            .set_message_group_id(message.group_id.filter(|_| is_fifo));
        let what = format!("cannot send to queue {}", message.queue);
        request.send().await.map(drop).map_err(|error| outside_error(&what, &error))
    }

    async fn put_event(&self, event: BusEvent) -> Result<(), StoreError> {
        let client = aws_sdk_eventbridge::Client::new(self.config().await?);
        let bus = event.bus.clone().unwrap_or_else(|| "default".to_owned());
        let what = format!("cannot put an event on bus {bus}");
        let entry = PutEventsRequestEntry::builder()
            .set_event_bus_name(event.bus)
            .source(event.source)
            .detail_type(event.detail_type)
            .set_resources(Some(event.resources))
            .detail(event.detail)
            .time(DateTime::from_secs(event.time.timestamp()))
            .build();
        let answer = client.put_events().entries(entry).send().await;
        let answer = answer.map_err(|error| outside_error(&what, &error))?;
        // One that was not taken makes no error of the call.
        let refused = answer.entries().iter().find_map(|entry| entry.error_code().map(|code| (code, entry)));
        let Some((code, entry)) = refused else {
            return match answer.failed_entry_count() {
                0 => Ok(()),
                _ => Err(StoreError::unreachable(format!("{what}: it was not taken, and no reason given"))),
            };
        };
        let message = entry.error_message().unwrap_or_default();
        Err(StoreError::of(kind_of_code(code), format!("{what}: {code}: {message}")))
    }

    async fn invoke(&self, call: FunctionCall) -> Result<FunctionAnswer, StoreError> {
        let config = self.config().await?;
        // A call that was made again could run the function twice: the run's own attempts see to that.
        let timeouts = config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let timeouts =
            timeouts.operation_timeout(CALL).operation_attempt_timeout(CALL).read_timeout(CALL).build();
        let config = aws_sdk_lambda::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        let client = aws_sdk_lambda::Client::from_conf(config);
        let request = client.invoke().function_name(&call.function).set_qualifier(call.qualifier);
        let answer = request.payload(Blob::new(call.event)).send().await;
        let what = format!("cannot call function {}", call.function);
        let answer = answer.map_err(|error| outside_error(&what, &error))?;
        Ok(FunctionAnswer {
            answer: answer.payload.map(Blob::into_inner).unwrap_or_default(),
            error: answer.function_error,
            version: answer.executed_version,
        })
    }

    async fn send_email(&self, email: SesEmail) -> Result<(), StoreError> {
        let client = self.ses(&email.region).await;
        let message = RawMessage::builder().data(Blob::new(email.mime)).build();
        let message = message.map_err(|error| StoreError::of(StoreErrorKind::Invalid, error.to_string()))?;
        let request = client
            .send_raw_email()
            .raw_message(message)
            .set_destinations(Some(email.to))
            .set_source(email.return_path)
            .set_configuration_set_name(email.configuration_set);
        let what = format!("SES in {} did not take the e-mail", email.region);
        request.send().await.map(drop).map_err(|error| {
            let is_final = error.as_service_error().and_then(|error| error.code()).is_some_and(is_final);
            let failed = outside_error(&what, &error);
            if is_final { StoreError::of(StoreErrorKind::Invalid, failed.message) } else { failed }
        })
    }

    async fn verified_domain(&self, region: &str) -> Result<Option<String>, StoreError> {
        let client = self.ses(region).await;
        let what = format!("cannot ask SES in {region} for the domains that it may send from");
        let mut next = None;
        loop {
            let request = client.list_identities().identity_type(IdentityType::Domain).set_next_token(next);
            let listed = request.max_items(MAX_IDENTITIES).send().await;
            let listed = listed.map_err(|error| outside_error(&what, &error))?;
            if !listed.identities().is_empty() {
                let request = client.get_identity_verification_attributes();
                let request = request.set_identities(Some(listed.identities.clone())).send().await;
                let found = request.map_err(|error| outside_error(&what, &error))?;
                let is_verified = |domain: &&String| {
                    let known = found.verification_attributes().get(*domain);
                    known.is_some_and(|known| *known.verification_status() == VerificationStatus::Success)
                };
                if let Some(domain) = listed.identities().iter().find(is_verified) {
                    return Ok(Some(domain.clone()));
                }
            }
            next = listed.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    async fn caller(&self, keys: &AwsKeys, region: Option<&str>) -> Result<String, StoreError> {
        let token = keys.session_token.as_ref().map(|token| token.reveal().to_owned());
        let (id, key) = (keys.access_key_id.reveal(), keys.secret_access_key.reveal());
        let credentials = Credentials::new(id, key, token, None, "a connection");
        let found = self.config.get_or_init(config).await;
        let region = region.map(|region| Region::new(region.to_owned())).or_else(|| found.region().cloned());
        // Any region knows the keys.
        let region = region.unwrap_or_else(|| Region::from_static("us-east-1"));
        let config = found.to_builder().region(region);
        let config = config.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        caller(&config).await
    }
}

/// The ARN of the identity behind a configuration's credentials.
///
/// # Errors
/// [`StoreError`] when AWS does not know them, or does not answer.
pub async fn caller(config: &SdkConfig) -> Result<String, StoreError> {
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let answer = answer.map_err(|error| outside_error("AWS does not know the keys", &error))?;
    Ok(answer.arn.unwrap_or_else(|| "an ARN that AWS does not give".to_owned()))
}
