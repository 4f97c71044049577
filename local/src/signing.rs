//! Secrets that requests are signed with, from the environment.

use async_trait::async_trait;
use pumice_core::ports::{SigningSecrets, StoreError, StoreErrorKind};

/// What the variables that hold secrets begin with.
const VARIABLE: &str = "PUMICE_SECRET_VALUE_";

/// Secrets of the environment: the variable is `PUMICE_SECRET_VALUE_` and the secret's name in capitals, with `_` for what
/// is no letter or digit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvironmentSecrets;

fn variable_of(name: &str) -> String {
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    VARIABLE.chars().chain(name).collect()
}

#[async_trait]
impl SigningSecrets for EnvironmentSecrets {
    async fn signing_secret(&self, name: &str) -> Result<String, StoreError> {
        let variable = variable_of(name);
        let value = std::env::var(&variable).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            let message = format!("there is no secret {name}: set the variable {variable}");
            StoreError::of(StoreErrorKind::Missing, message)
        })
    }
}
