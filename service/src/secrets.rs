//! Secrets of a realm in a folder: lists, sets and deletes them. No function gives a secret back.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::filter::{ItemWord, Items};
use pumice_core::ids::SecretName;
use pumice_core::ports::StoreError;
use pumice_core::secret::SecretText;
use pumice_core::text::shown;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::audit::Act;
use crate::failure::Error;
use crate::listed::asked;
use crate::realm::Realm;
use crate::time::Instant;

/// Where a realm keeps its secrets itself.
#[async_trait]
pub trait Vault: Send + Sync {
    /// The names of the secrets, and when each was set.
    async fn list(&self) -> Result<Vec<(SecretName, Timestamp)>, StoreError>;
    /// Sets a secret; says whether there was one of that name.
    async fn set(&self, name: &SecretName, value: SecretText, now: Timestamp) -> Result<bool, StoreError>;
    /// Deletes a secret; says whether it was there.
    async fn delete(&self, name: &SecretName) -> Result<bool, StoreError>;
}

/// A secret in a request: it is never shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretValue(pub SecretText);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretText::new(text)))
    }
}

impl JsonSchema for SecretValue {
    fn schema_name() -> Cow<'static, str> {
        "SecretValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Which secrets to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSecrets {
    /// Only secrets that these terms mean: `name:`, `since:`, `until:`. The time is that at which it was set.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Secrets, without their values.
struct Secrets;

impl Items for Secrets {
    type Item = SecretShown;
    const NAME: &'static str = "secrets";
    const WORDS: &'static [ItemWord<SecretShown>] = &[
        ItemWord::pattern("name", |secret| vec![secret.name.as_str()]),
        ItemWord::since(|secret| Some(secret.updated.0)),
        ItemWord::until(|secret| Some(secret.updated.0)),
    ];
}

/// A secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretShown {
    /// Its name.
    pub name: SecretName,
    /// When it was set.
    pub updated: Instant,
}

/// A secret to set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// Its name.
    pub name: SecretName,
    /// Its value; a dry run needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<SecretValue>,
    /// Say whether there is one of that name, and set nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The outcome of setting a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretSet {
    /// Its name.
    pub name: SecretName,
    /// Whether it took the place of another value, or would.
    pub replaced: bool,
    /// Whether nothing was set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretOf {
    /// Its name.
    pub name: SecretName,
    /// Say whether it is there, and delete nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

fn vault(realm: &dyn Realm) -> Result<&dyn Vault, Error> {
    let message = "secrets of a realm on AWS are parameters of SSM: `aws ssm put-parameter --type SecureString` sets one";
    realm.vault().ok_or_else(|| Error::invalid(message))
}

async fn is_there(vault: &dyn Vault, name: &SecretName) -> Result<bool, Error> {
    Ok(vault.list().await?.iter().any(|(other, _)| other == name))
}

/// Lists the names of secrets.
///
/// # Errors
/// [`Error`] when the terms are invalid, the realm keeps none itself, or they cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListSecrets) -> Result<Vec<SecretShown>, Error> {
    let meant = asked::<Secrets>(realm, request.filter.as_deref(), None).await?;
    let all = vault(realm)?.list().await?;
    let all = all.into_iter().map(|(name, updated)| SecretShown { name, updated: Instant(updated) });
    Ok(all.filter(|secret| meant.takes(secret)).collect())
}

/// Sets a secret. Workers use a former value for two minutes more at most.
///
/// # Errors
/// [`Error`] when the realm keeps none itself, the value is missing, empty or too long, or it cannot be written.
pub async fn set(realm: &dyn Realm, request: SetSecret) -> Result<SecretSet, Error> {
    let act = Act::new("secrets set", &request).on("secret", [&request.name]).without("value");
    let act = act.dry(request.dry_run);
    act.record(realm, setting(realm, request)).await
}

async fn setting(realm: &dyn Realm, request: SetSecret) -> Result<SecretSet, Error> {
    let SetSecret { name, value, dry_run } = request;
    let vault = vault(realm)?;
    let replaced = match (dry_run, value) {
        (true, _) => is_there(vault, &name).await?,
        (false, Some(value)) => vault.set(&name, value.0, realm.now()).await?,
        (false, None) => {
            return Err(Error::invalid(format!(
                "value: it is missing: give one for {}",
                shown(name.as_str())
            )));
        }
    };
    Ok(SecretSet { name, replaced, dry_run })
}

/// Deletes a secret.
///
/// # Errors
/// [`Error`] when there is no such secret, or it cannot be deleted.
pub async fn delete(realm: &dyn Realm, request: &SecretOf) -> Result<SecretOf, Error> {
    let act = Act::new("secrets delete", request).on("secret", [&request.name]).dry(request.dry_run);
    act.record(realm, deleting(realm, request)).await
}

async fn deleting(realm: &dyn Realm, request: &SecretOf) -> Result<SecretOf, Error> {
    let vault = vault(realm)?;
    let was_there = match request.dry_run {
        true => is_there(vault, &request.name).await?,
        false => vault.delete(&request.name).await?,
    };
    if was_there {
        return Ok(request.clone());
    }
    Err(Error::not_found(format!("no such secret {}", shown(request.name.as_str()))))
}
