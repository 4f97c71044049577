//! What is too large for an item of a table stands in S3, below the realm's `s3_temp`.

use pumice_core::ids::RunKey;
use pumice_core::ports::{CommitError, JobStore, StoreError};

use super::record::value_text;
use crate::attribute::{Item, attribute, text};
use crate::store::{Store, text_of};

/// Largest value of one attribute, in bytes of JSON, that stands in a run's record: an item holds 400 KB
/// (DynamoDB, item size), and a log takes its part of it. A list of short numbers takes half as much
/// again in an item as it does as JSON.
pub(super) const MAX_INLINE: usize = 96 * 1024;
/// Largest spec, in bytes of JSON, that stands in an item of its own.
const MAX_SPEC: usize = 320 * 1024;
/// The attributes of a record that may be large, and those that then say where they are.
const LARGE: [(&str, &str); 2] = [("rendered", "rendered_at"), ("result", "result_at")];
/// The attribute of a spec's own item that holds it, and the one that says where it is.
pub(super) const TEXT: &str = "text";
pub(super) const TEXT_AT: &str = "text_at";

impl Store {
    /// Puts a text at a place of its own, and says where. One that has no place to go to can never be
    /// written: trying again would not help, unlike when S3 does not take it.
    async fn put_apart(
        &self,
        key: &RunKey,
        name: &str,
        text: String,
        limit: usize,
    ) -> Result<String, CommitError> {
        let realm = self.realm().await?;
        let bytes = text.len();
        let Some(base) = realm.fields.s3_temp.as_deref().filter(|base| base.starts_with("s3://")) else {
            return Err(CommitError::TooLarge(format!(
                "the {name} of run {key} has {bytes} bytes, more than the {limit} that a record holds: give realm {} an s3_temp",
                self.names.realm()
            )));
        };
        let location = format!("{}/.pumice/{key}/{name}-{}.json", base.trim_end_matches('/'), digest(&text));
        self.objects.put_bytes(&location, text.into_bytes()).await?;
        Ok(location)
    }

    async fn get_apart(&self, location: &str) -> Result<String, StoreError> {
        let bytes = self.objects.get_bytes(location).await?;
        String::from_utf8(bytes).map_err(|error| StoreError::new(format!("{location}: {error}")))
    }

    /// Takes what is too large out of a record.
    pub(super) async fn lighten(&self, key: &RunKey, item: &mut Item) -> Result<(), CommitError> {
        for (name, place) in LARGE {
            let Some(value) = item.get(name) else { continue };
            let value = value_text(value);
            if value.len() > MAX_INLINE {
                let location = self.put_apart(key, name, value, MAX_INLINE).await?;
                item.remove(name);
                item.insert(place.to_owned(), text(location));
            }
        }
        Ok(())
    }

    /// Puts back what was taken out of a record.
    pub(super) async fn restore(&self, item: &mut Item) -> Result<(), StoreError> {
        for (name, place) in LARGE {
            let Some(location) = text_of(item, place).map(str::to_owned) else { continue };
            let text = self.get_apart(&location).await?;
            let value = serde_json::from_str(&text)
                .map_err(|error| StoreError::new(format!("{location}: {error}")))?;
            item.insert(name.to_owned(), attribute(value));
        }
        Ok(())
    }

    /// What a spec's own item holds.
    pub(super) async fn spec_attributes(&self, key: &RunKey, spec: String) -> Result<Item, CommitError> {
        Ok(if spec.len() > MAX_SPEC {
            Item::from([(TEXT_AT.to_owned(), text(self.put_apart(key, "spec", spec, MAX_SPEC).await?))])
        } else {
            Item::from([(TEXT.to_owned(), text(spec))])
        })
    }

    /// The text of a spec, from its own item.
    pub(super) async fn spec_text(&self, item: &Item) -> Result<String, StoreError> {
        match text_of(item, TEXT_AT) {
            Some(location) => self.get_apart(location).await,
            None => Ok(text_of(item, TEXT).unwrap_or_default().to_owned()),
        }
    }
}

/// A name that follows from the content: what is put twice is put once.
fn digest(text: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}
