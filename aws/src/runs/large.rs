//! Offloaded payloads: values too large for an item of a table, in S3 below the realm's `s3_temp`.

use pumice_core::ids::RunKey;
use pumice_core::ports::{CommitError, JobStore, StoreError, StoreErrorKind};
use pumice_core::run::{Offloaded, Part, Run};

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
const LARGE: [(Part, &str, &str); 2] =
    [(Part::Rendered, "rendered", "rendered_at"), (Part::Result, "result", "result_at")];
/// The attribute of a spec's own item that holds it, and the one that says where it is.
pub(super) const TEXT: &str = "text";
pub(super) const TEXT_AT: &str = "text_at";

/// The error of an object whose content is not what was put into it.
fn unreadable(location: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::of(StoreErrorKind::Corrupt, format!("{location}: {error}"))
}

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
            return Err(CommitError::Unrecordable(format!(
                "the {name} of run {key} has {bytes} bytes, more than the {limit} that a record holds: give realm {} an s3_temp",
                self.names.realm()
            )));
        };
        let location = format!("{}/.pumice/{key}/{}", base.trim_end_matches('/'), file_name(name, &text));
        self.objects.put_bytes(&location, text.into_bytes()).await?;
        Ok(location)
    }

    async fn get_apart(&self, location: &str) -> Result<Option<String>, StoreError> {
        let Some(bytes) = self.objects.get_bytes(location).await? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| unreadable(location, &error))
    }

    /// Offloads the values that are too large for a record. A value that is offloaded already stays
    /// so, even if it was not fetched or is gone.
    pub(super) async fn lighten(&self, run: &Run, item: &mut Item) -> Result<(), CommitError> {
        for (part, name, place) in LARGE {
            let known = run.place_of(part);
            let location = match item.get(name).map(value_text) {
                None => known.map(str::to_owned),
                Some(value) if value.len() <= MAX_INLINE => None,
                Some(value) => {
                    item.remove(name);
                    match known.filter(|known| known.ends_with(&file_name(name, &value))) {
                        Some(known) => Some(known.to_owned()),
                        None => Some(self.put_apart(&run.key, name, value, MAX_INLINE).await?),
                    }
                }
            };
            item.extend(location.map(|location| (place.to_owned(), text(location))));
        }
        Ok(())
    }

    /// Which parts of a record are elsewhere.
    pub(super) fn offloaded(item: &Item) -> Vec<Offloaded> {
        let places = LARGE.iter().filter_map(|(part, _, place)| Some((*part, text_of(item, place)?)));
        places
            .map(|(part, place)| Offloaded { part, place: place.to_owned(), gone: false, unsigned: false })
            .collect()
    }

    /// Puts offloaded values back into a record. A missing one is logged, and fails only a caller
    /// that needs it.
    pub(super) async fn restore(&self, run_id: &str, item: &mut Item) -> Result<Vec<Offloaded>, StoreError> {
        let mut all = Self::offloaded(item);
        for offloaded in &mut all {
            let Some((_, name, _)) = LARGE.iter().find(|(part, ..)| *part == offloaded.part) else {
                continue;
            };
            let location = &offloaded.place;
            let Some(text) = self.get_apart(location).await? else {
                tracing::warn!(run_id, location, "the {} of a run is gone", offloaded.part);
                offloaded.gone = true;
                continue;
            };
            let value = serde_json::from_str(&text).map_err(|error| unreadable(location, &error))?;
            item.insert((*name).to_owned(), attribute(value));
        }
        Ok(all)
    }

    /// The attributes of a spec's own item.
    pub(super) async fn spec_attributes(&self, key: &RunKey, spec: String) -> Result<Item, CommitError> {
        Ok(if spec.len() > MAX_SPEC {
            Item::from([(TEXT_AT.to_owned(), text(self.put_apart(key, "spec", spec, MAX_SPEC).await?))])
        } else {
            Item::from([(TEXT.to_owned(), text(spec))])
        })
    }

    /// The text of a spec, from its own item.
    pub(super) async fn spec_text(&self, item: &Item) -> Result<SpecText, StoreError> {
        let Some(location) = text_of(item, TEXT_AT) else {
            return Ok(SpecText::Found(text_of(item, TEXT).unwrap_or_default().to_owned()));
        };
        let text = self.get_apart(location).await?;
        Ok(text.map_or_else(|| SpecText::Gone { place: location.to_owned() }, SpecText::Found))
    }
}

/// The text of a spec that has an item of its own.
pub(super) enum SpecText {
    Found(String),
    /// The object with the text is gone.
    Gone {
        /// Where it was.
        place: String,
    },
}

/// A name derived from the content: equal contents are stored once, and are recognised by their
/// name.
fn file_name(name: &str, text: &str) -> String {
    let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes());
    format!("{name}-{}.json", digest.simple())
}
