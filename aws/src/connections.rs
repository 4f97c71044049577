//! Connections, as lava keeps them (lava guide, The Connections Table).

use async_trait::async_trait;
use pumice_core::connection::{ConnectionSpec, ConnectionStore, ConnectionUpsert};
use pumice_core::ids::ConnId;
use pumice_core::ports::{Doc, JobChange, StoreError};

use crate::attribute::{Item, as_kept, object, text};
use crate::failure::store_error;
use crate::store::{Store, text_of};

fn key(id: &ConnId) -> Item {
    Item::from([("conn_id".to_owned(), text(id.as_str()))])
}

#[async_trait]
impl ConnectionStore for Store {
    async fn connection(&self, id: &ConnId) -> Result<Option<Doc>, StoreError> {
        let table = self.names.connections();
        let request = self.client.get_item().table_name(&table).set_key(Some(key(id)));
        let answer = request.consistent_read(true).send().await;
        let what = format!("reading connection {id} from table {table}");
        Ok(answer.map_err(|error| store_error(&what, &error))?.item.map(object))
    }

    async fn all_connections(&self) -> Result<Vec<(ConnId, Doc)>, StoreError> {
        let items = self.scan(&self.names.connections(), None).await?;
        let connection = |item: Item| Some((ConnId::stored(text_of(&item, "conn_id")?).ok()?, object(item)));
        let mut all: Vec<(ConnId, Doc)> = items.into_iter().filter_map(connection).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    async fn put_connections(
        &self,
        connections: Vec<ConnectionSpec>,
        dry_run: bool,
    ) -> Result<Vec<ConnectionUpsert>, StoreError> {
        let table = self.names.connections();
        let mut applied = Vec::with_capacity(connections.len());
        for spec in connections {
            let before = self.connection(&spec.conn_id).await?;
            let document = Doc::clone(&spec.document);
            let change = JobChange::between(before.as_ref(), &as_kept(document.clone()));
            if !dry_run && change != JobChange::Unchanged {
                let what = format!("writing connection {} to table {table}", spec.conn_id);
                self.put(&table, &what, document).await?;
            }
            applied.push(ConnectionUpsert { conn_id: spec.conn_id, change, before });
        }
        Ok(applied)
    }

    async fn delete_connection(&self, id: &ConnId) -> Result<bool, StoreError> {
        self.delete(&self.names.connections(), key(id)).await
    }
}
