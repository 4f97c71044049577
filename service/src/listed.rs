//! Which items of a list terms mean, by the one grammar. The words of a kind of list are next to its items.

use pumice_core::filter::{ItemFilter, ItemQuery, ItemWord, Items};
use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::spec::Timezone;
use serde_json::Value;

use crate::failure::Error;
use crate::realm::Realm;

/// Reads the terms of a list; without any every item is meant. Times that name no zone are in `zone`, else in the realm's.
///
/// # Errors
/// [`Error`] when the terms are invalid, with a caret below the first mistake, or contradict each other; or when the store
/// cannot be read.
pub(crate) async fn asked<L: Items>(
    realm: &dyn Realm,
    text: Option<&str>,
    zone: Option<Timezone>,
) -> Result<ItemQuery<L>, Error> {
    let filter = ItemFilter::<L>::parse(text.unwrap_or_default());
    let filter = filter.map_err(|error| Error::invalid(format!("where: {error}")))?;
    let zone = match zone {
        Some(zone) => zone.0,
        None if filter.asks_for_zone() => realm.site().await?.zone.tz(),
        None => chrono_tz::UTC,
    };
    filter.at(realm.now(), zone).map_err(|error| Error::invalid(format!("where: {error}")))
}

/// The text of a document's field, where it has one.
pub(crate) fn text<'d>(doc: &'d Doc, field: &str) -> Vec<&'d str> {
    doc.get(field).and_then(Value::as_str).into_iter().collect()
}

/// The words of `status` for documents that are in use or not.
pub(crate) fn in_use() -> Vec<&'static str> {
    vec![ENABLED, DISABLED]
}

/// The word of `status` for a document.
pub(crate) const fn enabled(is_enabled: bool) -> &'static str {
    if is_enabled { ENABLED } else { DISABLED }
}

const ENABLED: &str = "enabled";
const DISABLED: &str = "disabled";

/// Jobs, with their stored specs, and the entries of their schedules. Of one whose spec cannot be read the id alone is known.
pub(crate) struct Jobs;

impl Items for Jobs {
    type Item = (JobId, Doc);
    const NAME: &'static str = "jobs";
    const WORDS: &'static [ItemWord<(JobId, Doc)>] = &[
        ItemWord::pattern("job", |(id, _)| vec![id.as_str()]),
        ItemWord::pattern("worker", |(_, spec)| text(spec, "worker")),
        ItemWord::whole("type", |(_, spec)| text(spec, "type")),
        ItemWord::tags("tag", |(_, spec)| {
            let tags = spec.get("tags").and_then(Value::as_object).into_iter().flatten();
            tags.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
        }),
    ];
}
