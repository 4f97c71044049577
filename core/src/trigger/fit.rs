//! Which triggers an object is for: the lookup along its key, and the conditions, some of which requests have too.

use crate::glob::fnmatch;
use crate::spec::OneOrMany;
use crate::text::quoted;

use super::document::{TriggerFields, WHOLE_BUCKET};
use super::event::ObjectEvent;

/// The prefixes under which triggers are looked for, in this order: the whole key, the key without its last part, and so
/// on, at last `*`. The first that any trigger has is the one that counts (lava guide, Dispatching Jobs from S3 Events).
#[must_use]
pub fn levels(key: &str) -> Vec<&str> {
    let mut levels = vec![key];
    let mut rest = key;
    while let Some((above, _)) = rest.rsplit_once('/') {
        rest = above;
        // No trigger has such a prefix.
        if !above.is_empty() && !above.ends_with('/') {
            levels.push(above);
        }
    }
    if levels.last() != Some(&WHOLE_BUCKET) {
        levels.push(WHOLE_BUCKET);
    }
    levels
}

/// Why a trigger is not for an object, each reason by itself; none when it is.
#[must_use]
pub fn why_not(fields: &TriggerFields, event: &ObjectEvent) -> Vec<String> {
    let mut reasons = Vec::new();
    if !fields.enabled {
        reasons.push("it is not enabled".to_owned());
    }
    let wanted = ("if_fnmatch", &fields.if_fnmatch);
    let unwanted = ("if_not_fnmatch", &fields.if_not_fnmatch);
    reasons.extend(unmatched(wanted, unwanted, "the key", &event.key));
    reasons.extend(event_reasons(fields, &event.event_type));
    let larger = |than: u64| event.size.is_some_and(|size| size > than);
    let size = || event.size.map_or_else(|| "no size".to_owned(), |size| format!("{size} bytes"));
    if let Some(than) = fields.if_size_gt.filter(|than| !larger(than.0)) {
        reasons.push(format!("if_size_gt: the object has {}, not more than {}", size(), than.0));
    }
    if let Some(than) = fields.if_not_size_gt.filter(|than| larger(than.0)) {
        reasons.push(format!("if_not_size_gt: the object has {}, more than {}", size(), than.0));
    }
    reasons
}

/// Why the type of an event is not one that a trigger is for.
pub(super) fn event_reasons(fields: &TriggerFields, event_type: &str) -> impl Iterator<Item = String> {
    let wanted = ("if_event_type", &fields.if_event_type);
    let unwanted = ("if_not_event_type", &fields.if_not_event_type);
    unmatched(wanted, unwanted, "the event type", event_type)
}

type Patterns<'a> = (&'static str, &'a Option<OneOrMany<String>>);

/// Why a text is not one of those that are wanted, or one of those that are not.
fn unmatched(
    (name, wanted): Patterns<'_>,
    (not_name, unwanted): Patterns<'_>,
    what: &str,
    text: &str,
) -> impl Iterator<Item = String> + use<> {
    let matching = |patterns: &OneOrMany<String>| patterns.iter().find(|it| fnmatch(it, text)).cloned();
    let missing = wanted.as_ref().is_some_and(|wanted| matching(wanted).is_none());
    let missing = missing.then(|| format!("{name}: {what} {} matches none of its patterns", quoted(text)));
    let matched = unwanted.as_ref().and_then(matching);
    let matched = matched.map(|it| format!("{not_name}: {what} {} matches {}", quoted(text), quoted(&it)));
    missing.into_iter().chain(matched)
}
