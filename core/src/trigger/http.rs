//! A request over HTTP, as a trigger of type `http` sees it.

use pumice_template::Value as TemplateValue;
use serde_json::Value;

use super::document::TriggerFields;
use super::fit::event_reasons;
use super::render::{TriggeredStart, starts_with};
use crate::Timestamp;
use crate::ids::TriggerId;
use crate::problem::Invalid;
use pumice_template::{Renderer, Zone};

/// The header of the signature unless the trigger says otherwise: that of GitHub's webhooks.
pub const SIGNATURE_HEADER: &str = "X-Hub-Signature-256";
/// Headers that say what happened, the first that is there: of GitHub, GitLab, Bitbucket and CloudEvents (HTTP protocol
/// binding).
pub const EVENT_HEADERS: [&str; 4] = ["x-github-event", "x-gitlab-event", "x-event-key", "ce-type"];
/// Headers that name a delivery, the first that is there: the same when it comes again. Of the IETF's draft on idempotency
/// keys, Standard Webhooks, GitHub, GitLab, Bitbucket and CloudEvents.
pub const DELIVERY_HEADERS: [&str; 6] =
    ["idempotency-key", "webhook-id", "x-github-delivery", "x-gitlab-event-uuid", "x-request-uuid", "ce-id"];

/// The name of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryName {
    /// The header that has it, one of [`DELIVERY_HEADERS`]: names of different headers are of different senders.
    pub header: &'static str,
    /// The name.
    pub id: String,
}

/// A request whose signature was found right.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpEvent {
    /// Its content: of JSON the value, of a form its fields, else the text.
    pub body: Value,
    /// Its type, as `application/json`.
    pub content_type: Option<String>,
    /// The event, where a header of [`EVENT_HEADERS`] names it.
    pub event_type: Option<String>,
    /// The id of the delivery, where a header of [`DELIVERY_HEADERS`] has it.
    pub delivery: Option<DeliveryName>,
    /// When it came.
    pub time: Timestamp,
}

impl HttpEvent {
    /// The name of what a trigger makes of it: the same when the delivery comes again. One without a name of its own is
    /// given one.
    #[must_use]
    pub fn name(&self, trigger_id: &TriggerId, otherwise: &str) -> String {
        match &self.delivery {
            Some(DeliveryName { header, id }) => format!("http:{trigger_id}\0{header}\0{id}"),
            None => format!("http:{trigger_id}\0request\0{otherwise}"),
        }
    }

    /// A digest of what it says, whichever order its fields have.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut said = serde_json::json!({ "body": self.body, "event_type": self.event_type });
        said.sort_all_objects();
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, said.to_string().as_bytes()).simple().to_string()
    }

    /// The variables of templates: `event`, which is the body, and `info`.
    pub(super) fn roots(&self) -> [(&'static str, TemplateValue); 2] {
        let text = |text: &Option<String>| TemplateValue::from(serde_json::json!(text));
        let info = [
            ("event_time", TemplateValue::utc(self.time)),
            ("event_type", text(&self.event_type)),
            ("content_type", text(&self.content_type)),
            ("delivery", text(&self.delivery.as_ref().map(|delivery| delivery.id.clone()))),
        ];
        let info = TemplateValue::map(info.map(|(name, value)| (name.to_owned(), value)));
        [("event", self.body.clone().into()), ("info", info)]
    }
}

/// Why a trigger is not for a request, each reason by itself; none when it is.
#[must_use]
pub fn why_not_for(fields: &TriggerFields, event: &HttpEvent) -> Vec<String> {
    let mut reasons = Vec::new();
    if !fields.enabled {
        reasons.push("it is not enabled".to_owned());
    }
    reasons.extend(event_reasons(fields, event.event_type.as_deref().unwrap_or_default()));
    reasons
}

/// The starts that a trigger asks for on a request. A job id that fails fails by itself.
///
/// # Errors
/// Why nothing can be asked: a template of its globals or parameters fails, or they hold what they may not.
pub fn starts_for(
    fields: &TriggerFields,
    event: &HttpEvent,
    renderer: &Renderer,
    zone: Zone,
) -> Result<Vec<TriggeredStart>, Invalid> {
    starts_with(fields, event.roots(), renderer, zone)
}
