//! The hosts of workers, in the table of runs: each an item of its own, those of a worker in one partition. The runs for a
//! host are found by the index `host`, which shows each until it has ended.

use async_trait::async_trait;
use pumice_core::hosts::Host;
use pumice_core::ids::{HostId, RunKey, WorkerName};
use pumice_core::ports::{HostStore, StoreError};

use crate::attribute::{Item, text, whole};
use crate::failure::store_error;
use crate::runs::{FOR_HOST, key_of};
use crate::store::{Store, text_of};

/// Prefixes of the partition keys, and of the keys of hosts within a partition.
const PARTITION: &str = "hosts#";
const PATH: &str = "host/";

fn partition(worker: &WorkerName) -> String {
    format!("{PARTITION}{worker}")
}

fn key(worker: &WorkerName, id: &HostId) -> Item {
    Item::from([
        ("run_id".to_owned(), text(partition(worker))),
        ("path".to_owned(), text(format!("{PATH}{id}"))),
    ])
}

fn item_of(host: &Host) -> Result<Item, StoreError> {
    let record = serde_json::to_string(host)
        .map_err(|error| StoreError::invalid(format!("a host cannot be written: {error}")))?;
    let mut item = key(&host.worker, &host.id);
    item.insert("record".to_owned(), text(record));
    item.insert("ttl".to_owned(), whole(host.expires().timestamp()));
    Ok(item)
}

/// Reads an item; `None`, with a line in the log, for one that cannot be read: it must not stop the others.
fn host_of(item: &Item) -> Option<Host> {
    let id = text_of(item, "path")?.strip_prefix(PATH)?;
    let read = serde_json::from_str(text_of(item, "record")?);
    read.inspect_err(|error| tracing::error!(%id, %error, "a host cannot be read")).ok()
}

#[async_trait]
impl HostStore for Store {
    async fn put_host(&self, host: &Host) -> Result<(), StoreError> {
        let table = self.names.runs();
        let request = self.client.put_item().table_name(&table).set_item(Some(item_of(host)?));
        let written = request.send().await;
        written.map(drop).map_err(|error| {
            store_error(&format!("writing the heartbeat of a host to table {table}"), &error)
        })
    }

    async fn host(&self, worker: &WorkerName, id: &HostId) -> Result<Option<Host>, StoreError> {
        let table = self.names.runs();
        let wanted = vec![(table.clone(), key(worker, id))];
        let found = self.get_all(&format!("reading a host in table {table}"), wanted).await?;
        Ok(found.first().and_then(|(_, item)| host_of(item)))
    }

    async fn hosts(&self, worker: &WorkerName) -> Result<Vec<Host>, StoreError> {
        let table = self.names.runs();
        let request = self.client.query().table_name(&table).consistent_read(true);
        let request = request
            .key_condition_expression("run_id = :partition")
            .expression_attribute_values(":partition", text(partition(worker)));
        let items: Result<Vec<Item>, _> = request.into_paginator().items().send().collect().await;
        let items = items.map_err(|error| store_error(&format!("reading hosts in table {table}"), &error))?;
        Ok(items.iter().filter_map(host_of).collect())
    }

    async fn runs_for(&self, host: &HostId) -> Result<Vec<RunKey>, StoreError> {
        let table = self.names.runs();
        let request = self.client.query().table_name(&table).index_name("host");
        let request = request
            .key_condition_expression("#host = :host")
            .expression_attribute_names("#host", FOR_HOST)
            .expression_attribute_values(":host", text(host.as_str()));
        let items: Result<Vec<Item>, _> = request.into_paginator().items().send().collect().await;
        let items =
            items.map_err(|error| store_error(&format!("reading index host of table {table}"), &error))?;
        Ok(items.iter().filter_map(key_of).collect())
    }
}
