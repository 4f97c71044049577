//! Where secrets come from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::duration::Span;
use crate::ids::SecretName;
use crate::ports::{StoreError, StoreErrorKind};
use crate::secret::SecretText;

/// Keys of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// The id of the key.
    pub access_key_id: SecretText,
    /// The key.
    pub secret_access_key: SecretText,
    /// The token of a session.
    pub session_token: Option<SecretText>,
}

/// A login for a database that IAM is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenRequest {
    /// The connection's type.
    pub kind: &'static str,
    /// The host of the database.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user; Redshift Serverless names it itself.
    pub user: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// The cluster or the workgroup.
    pub group: String,
    /// How long the password is to hold.
    pub duration: Option<Span>,
    /// The region; `None` for the worker's own.
    pub region: Option<String>,
}

/// A role to assume (STS, AssumeRole).
#[derive(Clone, Debug, PartialEq)]
pub struct RoleRequest {
    /// The role.
    pub role_arn: String,
    /// The name of the session.
    pub session_name: String,
    /// The external id.
    pub external_id: Option<SecretText>,
    /// How long the session is to hold.
    pub duration: Span,
    /// Managed policies that bound the session.
    pub policy_arns: Vec<String>,
    /// A policy that bounds the session.
    pub policy: Option<Map<String, Value>>,
    /// Tags of the session.
    pub tags: BTreeMap<String, String>,
    /// The region; `None` for the worker's own.
    pub region: Option<String>,
}

/// Gives secrets by name. Errors name the secret and never hold its value.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value of an SSM parameter, decrypted; in a folder of the realm's own secret of that name.
    ///
    /// # Errors
    /// [`StoreError`] of the kind [`StoreErrorKind::Missing`] when there is none, [`StoreErrorKind::Denied`] when it may
    /// not be read.
    async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError>;

    /// The value of a secret of Secrets Manager; in a folder of the realm's own secret of that name.
    ///
    /// # Errors
    /// As [`parameter`](Self::parameter).
    async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError>;

    /// User and password for a database, as IAM gives them.
    ///
    /// # Errors
    /// [`StoreError`] when there are none.
    async fn database_token(&self, request: &TokenRequest) -> Result<(String, SecretText), StoreError> {
        Err(without_aws(&format!("a password by IAM for {}", request.host)))
    }

    /// The keys of a role's session.
    ///
    /// # Errors
    /// [`StoreError`] when there are none.
    async fn assume_role(&self, request: &RoleRequest) -> Result<AwsKeys, StoreError> {
        Err(without_aws(&format!("a session of role {}", request.role_arn)))
    }
}

/// The error of what only AWS can give.
fn without_aws(what: &str) -> StoreError {
    StoreError::of(
        StoreErrorKind::Missing,
        format!("cannot get {what}: this pumice was built without AWS (`--features aws`)"),
    )
}

/// There are no secrets.
#[derive(Clone, Copy, Debug)]
pub struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        Err(StoreError::of(StoreErrorKind::Missing, format!("there is no secret {name}")))
    }

    async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        self.parameter(name).await
    }
}
