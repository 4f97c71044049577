//! Job specs and the realm, as lava keeps them (lava guide, The Jobs Table, The Realms Table).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::ids::JobId;
use pumice_core::ports::{JobStore, StoreError, StoreErrorKind, StoredJob};
use pumice_core::problem::{JsonPath, Problem, SpecError};
use pumice_core::spec::{JobSpec, RealmSpec};

use crate::attribute::{Item, check_numbers, object, text};
use crate::failure::store_error;
use crate::store::{Store, text_of};

impl Store {
    /// Every item of a table, or one attribute of each.
    pub(crate) async fn scan(&self, table: &str, only: Option<&str>) -> Result<Vec<Item>, StoreError> {
        let what = format!("reading table {table}");
        let pages = self
            .client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .set_projection_expression(only.map(|_| "#a".to_owned()))
            .set_expression_attribute_names(
                only.map(|name| HashMap::from([("#a".to_owned(), name.to_owned())])),
            )
            .into_paginator()
            .items()
            .send();
        pages.collect::<Result<_, _>>().await.map_err(|error| store_error(&what, &error))
    }

    /// The documents of these jobs that exist.
    pub(crate) async fn job_items(&self, ids: &[JobId]) -> Result<HashMap<String, Item>, StoreError> {
        let table = self.names.jobs();
        // A batch must not name a key twice.
        let distinct: HashSet<&JobId> = ids.iter().collect();
        let keys = distinct
            .into_iter()
            .map(|id| (table.clone(), Item::from([("job_id".to_owned(), text(id.as_str()))])))
            .collect();
        let found = self.get_all(&format!("reading table {table}"), keys).await?;
        Ok(found
            .into_iter()
            .filter_map(|(_, item)| Some((text_of(&item, "job_id")?.to_owned(), item)))
            .collect())
    }
}

#[async_trait]
impl JobStore for Store {
    async fn realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        match self.fresh_realm() {
            Some(realm) => Ok(realm),
            None => self.current_realm().await,
        }
    }

    async fn current_realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        let table = self.names.realms();
        let what = format!("reading realm {} from table {table}", self.names.realm());
        let request = self.client.get_item().table_name(&table).set_key(Some(self.realm_key()));
        let answer =
            request.consistent_read(true).send().await.map_err(|error| store_error(&what, &error))?;
        let item = answer.item.ok_or_else(|| {
            StoreError::of(
                StoreErrorKind::Missing,
                format!(
                    "there is no realm {} in table {table}: `pumice --aws apply` makes it",
                    self.names.realm()
                ),
            )
        })?;
        self.take_realm(item)
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        let found = self.job_items(ids).await?;
        Ok(ids
            .iter()
            .map(|id| {
                let item = found.get(id.as_str())?;
                let exact =
                    check_numbers(item).map_err(|why| SpecError::one(Problem::new(JsonPath::root(), why)));
                let read = || JobSpec::stored(Arc::new(object(item.clone())));
                Some(exact.and_then(|()| read()).map(|job| self.same_job(job)))
            })
            .collect())
    }

    async fn job_ids(&self) -> Result<Option<Vec<JobId>>, StoreError> {
        if !self.gives_hints() {
            return Ok(None);
        }
        let items = self.scan(&self.names.jobs(), Some("job_id")).await?;
        Ok(Some(items.iter().filter_map(|item| JobId::stored(text_of(item, "job_id")?).ok()).collect()))
    }
}
