//! The triggers of a bucket on an event: those that match with their requests, the others with the reason.

use std::sync::Arc;

use pumice_template::{Renderer, Zone};
use serde_json::Value;

use super::document::TriggerSpec;
use super::event::ObjectEvent;
use super::fit::{levels, why_not};
use super::render::{TriggeredStart, starts};
use crate::ids::TriggerId;
use crate::ports::Doc;
use crate::problem::{Invalid, show};

/// The result for an event of all triggers of its bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The prefixes that were looked for, in their order.
    pub levels: Vec<String>,
    /// The one that triggers were found under.
    pub level: Option<String>,
    /// These triggers, by id.
    pub found: Vec<Assessed>,
    /// The id and prefix of the bucket's other triggers.
    pub others: Vec<(String, String)>,
}

/// The result for an event of one trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessed {
    /// Its id, as it is stored.
    pub trigger_id: String,
    /// Its verdict.
    pub verdict: TriggerVerdict,
}

/// A trigger's verdict on an event.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerVerdict {
    /// It starts these jobs.
    Fits(TriggerId, Vec<TriggeredStart>),
    /// It is not for this event.
    Unfit(Vec<String>),
    /// It is for this event, or may be, and cannot be used.
    Failed(String),
}

/// Matches the triggers of the event's bucket. A bad one does not stop the others.
#[must_use]
pub fn assess(triggers: &[Arc<Doc>], event: &ObjectEvent, renderer: &Renderer, zone: Zone) -> Assessment {
    let levels = levels(&event.key);
    let text = |doc: &Doc, name: &str| doc.get(name).and_then(Value::as_str).map(str::to_owned);
    let of_bucket: Vec<&Arc<Doc>> = triggers
        .iter()
        .filter(|doc| text(doc, "bucket").as_deref() == Some(event.bucket.as_str()))
        .filter(|doc| doc.get("type").is_none_or(|kind| kind != "http"))
        .collect();
    let has = |level: &str| of_bucket.iter().any(|doc| text(doc, "prefix").as_deref() == Some(level));
    let level = levels.iter().copied().find(|level| has(level));
    let id = |doc: &Doc| match doc.get("trigger_id") {
        Some(Value::String(id)) => id.clone(),
        other => other.map(show).unwrap_or_default(),
    };
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for doc in of_bucket {
        let prefix = text(doc, "prefix");
        if prefix.as_deref() == level && level.is_some() {
            found.push(Assessed { trigger_id: id(doc), verdict: verdict(doc, event, renderer, zone) });
        } else {
            others.push((id(doc), prefix.unwrap_or_default()));
        }
    }
    found.sort_by(|a, b| a.trigger_id.cmp(&b.trigger_id));
    others.sort();
    let levels = levels.into_iter().map(str::to_owned).collect();
    Assessment { levels, level: level.map(str::to_owned), found, others }
}

fn verdict(doc: &Arc<Doc>, event: &ObjectEvent, renderer: &Renderer, zone: Zone) -> TriggerVerdict {
    let read = TriggerSpec::parse(&Value::Object(Doc::clone(doc)), renderer);
    let trigger = match read {
        Ok(trigger) => trigger,
        // It may be kept so until it is mended.
        Err(_) if doc.get("enabled") == Some(&Value::Bool(false)) => {
            return TriggerVerdict::Unfit(vec!["it is not enabled".to_owned()]);
        }
        Err(error) => return TriggerVerdict::Failed(error.to_string()),
    };
    let reasons = why_not(&trigger.fields, event);
    if !reasons.is_empty() {
        return TriggerVerdict::Unfit(reasons);
    }
    match starts(&trigger.fields, event, renderer, zone) {
        Ok(starts) => TriggerVerdict::Fits(trigger.fields.trigger_id, starts),
        Err(Invalid(why)) => TriggerVerdict::Failed(why),
    }
}
