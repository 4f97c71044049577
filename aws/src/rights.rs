//! The caller's rights in a realm, tried without effect: a read of a missing item, and a write that its condition
//! refuses. AWS looks at rights before conditions.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use pumice_core::ports::{JobStore, ObjectStore, StoreError};

use crate::attribute::{Item, text};
use crate::failure::store_error;
use crate::realm::Realm;
use crate::store::{REFUSED, Store};

/// The key of the item that is asked for, and is not there.
const NOBODY: &str = "pumice.doctor";

/// A right that was tried.
#[derive(Clone, Debug)]
pub struct Right {
    /// The operation that was tried.
    pub what: String,
    /// Why it failed, if it did.
    pub error: Option<StoreError>,
}

impl Realm {
    /// Tries what people's commands need. Where there is no such table or bucket, that is the error.
    pub async fn rights(&self) -> Vec<Right> {
        let (store, names) = (self.store(), &self.store().names);
        let mut rights = Vec::new();
        for (table, fields) in names.tables() {
            let key: Item = fields.iter().map(|field| ((*field).to_owned(), text(NOBODY))).collect();
            let what = format!("reading table {table}");
            let read = store.get_all(&what, vec![(table.clone(), key.clone())]).await;
            rights.push(Right { error: read.err(), what });
            rights.push(store.may_write(&table, fields[0], key).await);
        }
        // Without a definition there is no place to try.
        if let Ok(realm) = store.realm().await
            && let Some(place) = realm.fields.s3_temp.as_deref().filter(|place| place.starts_with("s3://"))
        {
            let place = format!("{}/", place.trim_end_matches('/'));
            let listed = self.objects().list_level(&place, 1).await;
            rights.push(Right { what: format!("listing {place}"), error: listed.err() });
        }
        rights
    }
}

impl Store {
    /// Removes an item that is not there, on the condition that it is.
    async fn may_write(&self, table: &str, field: &str, key: Item) -> Right {
        let what = format!("writing to table {table}");
        let request = self.client.delete_item().table_name(table).set_key(Some(key));
        let request = request.condition_expression("attribute_exists(#key)");
        let error = match request.expression_attribute_names("#key", field).send().await {
            Ok(_) => None,
            Err(error) if error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(REFUSED) => {
                None
            }
            Err(error) => Some(store_error(&what, &error)),
        };
        Right { what, error }
    }
}
