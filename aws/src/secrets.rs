//! Secrets from SSM Parameter Store and Secrets Manager, and what IAM gives in place of one.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use pumice_core::connection::{AwsKeys, RoleRequest, Secrets, TokenRequest};
use pumice_core::ids::SecretName;
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_core::secret::SecretText;
use tokio::sync::OnceCell;

use crate::connect::config;
use crate::failure::store_error;

/// How long a token for a database holds (RDS, IAM database authentication).
const TOKEN: Duration = Duration::from_secs(15 * 60);

/// Secrets of an AWS account. Nothing is asked, and no client made, before the first one is wanted.
#[derive(Debug, Default)]
pub struct AwsSecrets {
    given: Option<SdkConfig>,
    found: OnceCell<SdkConfig>,
}

impl AwsSecrets {
    /// Secrets that are asked for with a configuration.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        Self { given: Some(config), found: OnceCell::new() }
    }

    /// Secrets that are asked for with credentials, region and endpoint from where AWS's own tools take them.
    #[must_use]
    pub fn found() -> Self {
        Self::default()
    }

    async fn config(&self, region: Option<&str>) -> SdkConfig {
        let config = match &self.given {
            Some(config) => config,
            None => self.found.get_or_init(config).await,
        };
        match region {
            Some(region) => config.to_builder().region(Region::new(region.to_owned())).build(),
            None => config.clone(),
        }
    }
}

#[async_trait]
impl Secrets for AwsSecrets {
    async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        let what = format!("reading SSM parameter {name}");
        let client = aws_sdk_ssm::Client::new(&self.config(None).await);
        let answer = client.get_parameter().name(name.as_str()).with_decryption(true).send().await;
        let answer = answer.map_err(|error| {
            let is_missing = error.as_service_error().is_some_and(|error| error.is_parameter_not_found());
            if is_missing { missing("SSM parameter", name) } else { store_error(&what, &error) }
        })?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        let corrupt = || StoreError::of(StoreErrorKind::Corrupt, format!("{what}: it has no value"));
        value.map(SecretText::new).ok_or_else(corrupt)
    }

    async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        let what = format!("reading secret {name} of Secrets Manager");
        let client = aws_sdk_secretsmanager::Client::new(&self.config(None).await);
        let answer = client.get_secret_value().secret_id(name.as_str()).send().await;
        let answer = answer.map_err(|error| {
            let is_missing =
                error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception());
            if is_missing { missing("secret of Secrets Manager", name) } else { store_error(&what, &error) }
        })?;
        let text = answer.secret_string.map(SecretText::new);
        text.ok_or_else(|| StoreError::of(StoreErrorKind::Corrupt, format!("{what}: it is not a text")))
    }

    async fn database_token(&self, request: &TokenRequest) -> Result<(String, SecretText), StoreError> {
        if request.kind.starts_with("redshift") {
            let message = format!(
                "cannot get a password by IAM for {}: Pumice does that for Aurora and RDS alone; name a password",
                request.kind
            );
            return Err(StoreError::of(StoreErrorKind::Missing, message));
        }
        let user = request.user.clone().unwrap_or_default();
        let config = self.config(request.region.as_deref()).await;
        let token = rds_token(&config, &request.host, request.port, &user).await;
        let failed = |why| {
            StoreError::unreachable(format!("cannot get a password by IAM for {}: {why}", request.host))
        };
        Ok((user, SecretText::new(token.map_err(failed)?)))
    }

    async fn assume_role(&self, request: &RoleRequest) -> Result<AwsKeys, StoreError> {
        let client = aws_sdk_sts::Client::new(&self.config(request.region.as_deref()).await);
        let policies = request.policy_arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
        let mut tags = Vec::new();
        for (name, value) in &request.tags {
            let tag = Tag::builder().key(name).value(value).build();
            let invalid = |error: aws_sdk_sts::error::BuildError| {
                StoreError::of(StoreErrorKind::Invalid, error.to_string())
            };
            tags.push(tag.map_err(invalid)?);
        }
        let policy =
            request.policy.as_ref().map(|policy| serde_json::Value::Object(policy.clone()).to_string());
        let seconds = i32::try_from(request.duration.get().as_secs()).unwrap_or(i32::MAX);
        let asked = client
            .assume_role()
            .role_arn(&request.role_arn)
            .role_session_name(&request.session_name)
            .set_external_id(request.external_id.as_ref().map(|id| id.reveal().to_owned()))
            .duration_seconds(seconds)
            .set_policy_arns(Some(policies.collect::<Vec<_>>()).filter(|policies| !policies.is_empty()))
            .set_policy(policy)
            .set_tags(Some(tags).filter(|tags| !tags.is_empty()));
        let what = format!("assuming role {}", request.role_arn);
        let answer = asked.send().await.map_err(|error| store_error(&what, &error))?;
        let keys =
            answer.credentials.ok_or_else(|| StoreError::unreachable(format!("{what}: no credentials")))?;
        Ok(AwsKeys {
            access_key_id: SecretText::new(keys.access_key_id),
            secret_access_key: SecretText::new(keys.secret_access_key),
            session_token: Some(SecretText::new(keys.session_token)),
        })
    }
}

fn missing(what: &str, name: &SecretName) -> StoreError {
    StoreError::of(StoreErrorKind::Missing, format!("there is no {what} {name}"))
}

/// A token for a database of RDS: a signed request that is never sent (RDS, IAM database authentication).
async fn rds_token(config: &SdkConfig, host: &str, port: u16, user: &str) -> Result<String, String> {
    let region = config.region().ok_or("no region is set")?.to_string();
    let credentials = config.credentials_provider().ok_or("there are no AWS credentials")?;
    let credentials = credentials.provide_credentials().await.map_err(|error| error.to_string())?;
    sign_token(&credentials, (&region, SystemTime::now()), (host, port), user)
        .map_err(|error| error.to_string())
}

fn sign_token(
    credentials: &aws_credential_types::Credentials,
    (region, now): (&str, SystemTime),
    (host, port): (&str, u16),
    user: &str,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(TOKEN);
    settings.signature_location = SignatureLocation::QueryParams;
    let signing = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(now)
        .settings(settings)
        .build()?;
    let url = format!("https://{host}:{port}/?Action=connect&DBUser={}", encoded(user));
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &signing.into())?.into_parts();
    let (_, query) = instructions.into_parts();
    let mut token = url.trim_start_matches("https://").to_owned();
    for (name, value) in query {
        token.push_str(&format!("&{name}={}", encoded(&value)));
    }
    Ok(token)
}

/// A value in a query (RFC 3986, 2.3 Unreserved Characters).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_token_is_a_signed_request_without_its_scheme() {
        let credentials =
            aws_credential_types::Credentials::new("AKIDEXAMPLE", "token-sign-canary", None, None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let token = sign_token(&credentials, ("eu-west-1", now), ("db.example", 5432), "ann b").unwrap();
        assert!(token.starts_with("db.example:5432/?Action=connect&DBUser=ann%20b&"), "{token}");
        for part in [
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Feu-west-1%2Frds-db%2Faws4_request",
            "X-Amz-Expires=900",
            "X-Amz-SignedHeaders=host",
            "X-Amz-Signature=",
        ] {
            assert!(token.contains(part), "{part}: {token}");
        }
        assert!(!token.contains("canary"));
    }
}
