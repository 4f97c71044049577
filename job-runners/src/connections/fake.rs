//! Connections and secrets that a test knows.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use pumice_core::connection::{
    AwsKeys, ConnectionSpec, ConnectionStore, ConnectionUpsert, RoleRequest, Secrets, TokenRequest,
};
use pumice_core::ids::{ConnId, SecretName};
use pumice_core::ports::{Doc, StoreError, StoreErrorKind};
use pumice_core::secret::SecretText;
use serde_json::Value;

/// Connections by id, and secrets by name.
#[derive(Default)]
pub(crate) struct Known {
    documents: Mutex<BTreeMap<String, Doc>>,
    secrets: Mutex<BTreeMap<String, String>>,
}

impl Known {
    pub(crate) fn connection(&self, document: &Value) {
        let document = document.as_object().cloned().expect("an object");
        let id = document["conn_id"].as_str().expect("an id").to_owned();
        self.documents.lock().expect("whole").insert(id, document);
    }

    pub(crate) fn secret(&self, name: &str, value: &str) {
        self.secrets.lock().expect("whole").insert(name.to_owned(), value.to_owned());
    }
}

#[async_trait]
impl ConnectionStore for Known {
    async fn connection(&self, id: &ConnId) -> Result<Option<Doc>, StoreError> {
        Ok(self.documents.lock().expect("whole").get(id.as_str()).cloned())
    }

    async fn all_connections(&self) -> Result<Vec<(ConnId, Doc)>, StoreError> {
        let documents = self.documents.lock().expect("whole");
        Ok(documents.iter().map(|(id, doc)| (ConnId::new(id).expect("an id"), doc.clone())).collect())
    }

    async fn put_connections(
        &self,
        _: Vec<ConnectionSpec>,
        _: bool,
    ) -> Result<Vec<ConnectionUpsert>, StoreError> {
        unimplemented_here()
    }

    async fn delete_connection(&self, _: &ConnId) -> Result<bool, StoreError> {
        unimplemented_here()
    }
}

fn unimplemented_here<T>() -> Result<T, StoreError> {
    Err(StoreError::invalid("runners only look"))
}

#[async_trait]
impl Secrets for Known {
    async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        let secrets = self.secrets.lock().expect("whole");
        let missing = || StoreError::of(StoreErrorKind::Missing, format!("there is no secret {name}"));
        secrets.get(name.as_str()).map(SecretText::new).ok_or_else(missing)
    }

    async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        self.parameter(name).await
    }

    async fn database_token(&self, request: &TokenRequest) -> Result<(String, SecretText), StoreError> {
        let user = request.user.clone().unwrap_or_else(|| "IAM:someone".to_owned());
        Ok((user, SecretText::new(format!("token-canary-{}-{}", request.kind, "x".repeat(120)))))
    }

    async fn assume_role(&self, request: &RoleRequest) -> Result<AwsKeys, StoreError> {
        Ok(AwsKeys {
            access_key_id: SecretText::new("ASIACANARY"),
            secret_access_key: SecretText::new(format!("role-canary-{}", request.session_name)),
            session_token: Some(SecretText::new("session-canary")),
        })
    }
}
