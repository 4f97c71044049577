//! Clients of AWS services, with limits on how long they wait.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::fresh::FreshClient;
use crate::skew::Skew;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long one try of a call may take: an endpoint that hangs is given up, and asked again.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a call may take with all its tries.
pub(crate) const OPERATION: Duration = Duration::from_secs(15);
/// Most tries of a call.
const TRIES: u32 = 4;
/// How long a connection is kept that nothing uses: less than after what DynamoDB and SQS close it.
const IDLE: Duration = Duration::from_secs(20);
/// Most such connections that are kept for each service.
pub(crate) const MAX_IDLE: usize = 16;

/// Clients of the services that a realm is made of.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
    /// Objects.
    pub s3: aws_sdk_s3::Client,
    /// How far this host's clock differs from that of AWS, measured from the answers to these
    /// clients.
    pub skew: Skew,
}

impl Clients {
    /// Clients with credentials, region and endpoint from where AWS's own tools take them: the
    /// environment (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …), the shared files, the role
    /// of a function or a host (AWS SDKs and Tools Reference Guide).
    pub async fn connect() -> Self {
        Self::new(&config().await)
    }

    /// Clients with a given configuration.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let skew = Skew::default();
        let watched = aws_sdk_dynamodb::config::Builder::from(config).interceptor(skew.clone()).build();
        Self {
            skew,
            dynamodb: aws_sdk_dynamodb::Client::from_conf(watched),
            sqs: aws_sdk_sqs::Client::new(config),
            s3: aws_sdk_s3::Client::new(config),
        }
    }
}

/// A client of HTTPS with an empty pool.
fn https() -> SharedHttpClient {
    Builder::new()
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The configuration that [`Clients::connect`] uses: HTTPS by one library, timeouts, bounded retries.
pub async fn config() -> SdkConfig {
    config_with(aws_config::defaults(BehaviorVersion::latest())).await
}

/// The same on top of a given loader, as for a test's own endpoint or credentials.
pub async fn config_with(loader: ConfigLoader) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    loader
        .http_client(FreshClient::new(https))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .load()
        .await
}
