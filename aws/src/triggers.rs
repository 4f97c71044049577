//! Triggers, in lava's table (lava guide, The S3triggers Table).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;
use pumice_core::ids::TriggerId;
use pumice_core::ports::{Doc, JobChange, StoreError, TriggerStore, TriggerUpsert};
use pumice_core::spec::Settings;
use pumice_core::trigger::TriggerSpec;

use crate::attribute::{Item, as_kept, item, object, text};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// lava's index on bucket and prefix. It is of all fields.
const INDEX: &str = "s3trigger-index";

/// A trigger without a bucket or prefix that names none: both are the keys of an index, and DynamoDB takes no item in which
/// such a key is null (DynamoDB Developer Guide, Using Global Secondary Indexes).
pub(crate) fn indexable(mut document: Doc) -> Doc {
    for name in ["bucket", "prefix"] {
        if document.get(name).is_some_and(serde_json::Value::is_null) {
            document.remove(name);
        }
    }
    document
}

fn key(id: &TriggerId) -> Item {
    Item::from([("trigger_id".to_owned(), text(id.as_str()))])
}

impl Store {
    /// How long the triggers of a bucket are used without asking again.
    fn triggers_fresh(&self) -> Duration {
        let realm = self.fresh_realm();
        let settings = || Settings::default().s3trigger_cache_ttl;
        realm.map_or_else(settings, |realm| realm.settings.s3trigger_cache_ttl).get()
    }

    async fn trigger(&self, id: &TriggerId) -> Result<Option<Doc>, StoreError> {
        let table = self.names.triggers();
        let what = format!("reading table {table}");
        let mut found = self.get_all(&what, vec![(table, key(id))]).await?;
        Ok(found.pop().map(|(_, item)| object(item)))
    }
}

#[async_trait]
impl TriggerStore for Store {
    /// All of a bucket at once, whatever their prefixes: one query where lava makes one for each part of a key.
    async fn of_bucket(&self, bucket: &str) -> Result<Vec<Arc<Doc>>, StoreError> {
        let fresh = self.triggers_fresh();
        if let Some(known) = self.known_triggers(bucket, fresh) {
            return Ok(known);
        }
        let table = self.names.triggers();
        let request = self.client.query().table_name(&table).index_name(INDEX);
        let request = request
            .key_condition_expression("#bucket = :bucket")
            .expression_attribute_names("#bucket", "bucket")
            .expression_attribute_values(":bucket", text(bucket));
        let items: Result<Vec<Item>, _> = request.into_paginator().items().send().collect().await;
        let items =
            items.map_err(|error| store_error(&format!("reading index {INDEX} of table {table}"), &error))?;
        let triggers: Vec<Arc<Doc>> = items.into_iter().map(|item| Arc::new(object(item))).collect();
        self.remember_triggers(bucket, triggers.clone());
        Ok(triggers)
    }

    async fn all_triggers(&self) -> Result<Vec<Doc>, StoreError> {
        let mut items = self.scan(&self.names.triggers(), None).await?;
        items.sort_by(|a, b| text_of(a, "trigger_id").cmp(&text_of(b, "trigger_id")));
        Ok(items.into_iter().map(object).collect())
    }

    async fn put_triggers(
        &self,
        triggers: Vec<TriggerSpec>,
        dry_run: bool,
    ) -> Result<Vec<TriggerUpsert>, StoreError> {
        let table = self.names.triggers();
        let mut applied = Vec::with_capacity(triggers.len());
        for trigger in triggers {
            let trigger_id = trigger.fields.trigger_id;
            let document = indexable(Arc::unwrap_or_clone(trigger.document));
            let before = self.trigger(&trigger_id).await?;
            let change = JobChange::between(before.as_ref(), &as_kept(document.clone()));
            if !dry_run && change != JobChange::Unchanged {
                let request = self.client.put_item().table_name(&table).set_item(Some(item(document)));
                let what = format!("writing trigger {trigger_id} to table {table}");
                request.send().await.map_err(|error| store_error(&what, &error))?;
            }
            applied.push(TriggerUpsert { trigger_id, change, before });
        }
        self.forget_triggers();
        Ok(applied)
    }

    async fn delete_triggers(&self, ids: Vec<TriggerId>) -> Result<Vec<bool>, StoreError> {
        let table = self.names.triggers();
        let mut deleted = Vec::with_capacity(ids.len());
        for id in ids {
            let request = self.client.delete_item().table_name(&table).set_key(Some(key(&id)));
            let answer = request.return_values(ReturnValue::AllOld).send().await;
            let answer =
                answer.map_err(|error| store_error(&format!("deleting from table {table}"), &error))?;
            deleted.push(answer.attributes.is_some());
        }
        self.forget_triggers();
        Ok(deleted)
    }
}
