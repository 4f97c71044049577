//! Which triggers an object is for: the lookup along its key, and the conditions.

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
    let matching = |patterns: &Option<OneOrMany<String>>, text: &str| -> Option<Option<String>> {
        let patterns = patterns.as_ref()?;
        Some(patterns.iter().find(|pattern| fnmatch(pattern, text)).cloned())
    };
    let texts = [
        ("if_fnmatch", &fields.if_fnmatch, "if_not_fnmatch", &fields.if_not_fnmatch, "the key", &event.key),
        (
            "if_event_type",
            &fields.if_event_type,
            "if_not_event_type",
            &fields.if_not_event_type,
            "the event type",
            &event.event_type,
        ),
    ];
    for (name, wanted, not_name, unwanted, what, text) in texts {
        if matching(wanted, text) == Some(None) {
            reasons.push(format!("{name}: {what} {} matches none of its patterns", quoted(text)));
        }
        if let Some(Some(pattern)) = matching(unwanted, text) {
            reasons.push(format!("{not_name}: {what} {} matches {}", quoted(text), quoted(&pattern)));
        }
    }
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
