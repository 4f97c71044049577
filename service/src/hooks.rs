//! Requests over HTTP that triggers of type `http` are for.

use hmac::{Hmac, KeyInit, Mac};
use pumice_core::document::parse_json;
use pumice_core::engine::{Dispatcher, Fired, receive as fire};
use pumice_core::ids::{RunId, SecretName};
use pumice_core::trigger::{
    DELIVERY_HEADERS, DeliveryName, EVENT_HEADERS, HttpEvent, SIGNATURE_HEADER, TriggerFields, TriggerSpec,
    TriggerType, why_not_for,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::failure::Error;
use crate::realm::Realm;

/// Longest value of a header that is kept, in bytes.
const MAX_HEADER: usize = 200;

/// A request that was sent to a trigger.
#[derive(Clone, Copy)]
pub struct HookRequest<'a> {
    /// The id of the trigger, as the URL has it.
    pub trigger_id: &'a str,
    /// The value of a header, by its name in small letters.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The body, as it came.
    pub body: &'a [u8],
}

impl std::fmt::Debug for HookRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookRequest").field("trigger_id", &self.trigger_id).finish_non_exhaustive()
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// No trigger of this id takes requests, its secret cannot be read, or the signature is not right. The response does not say
    /// which.
    Refused,
    /// The trigger is not for it, for these reasons.
    Passed(Vec<String>),
    /// The outcome for each of the trigger's jobs.
    Fired(Vec<HookRun>),
}

/// The outcome for a job of a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookRun {
    /// The job; missing where the trigger itself cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Whether the run was there already, as the delivery had come before.
    pub existing: bool,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the same request may fare better later.
    #[serde(skip)]
    pub is_unreachable: bool,
}

impl From<Fired> for HookRun {
    fn from(fired: Fired) -> Self {
        let Fired { job_id, outcome, .. } = fired;
        match outcome {
            Ok(run) => {
                let (run_id, existing) = (Some(run.run_id), run.existing);
                Self { job_id, run_id, existing, error: None, is_unreachable: false }
            }
            Err(why) => {
                let (error, is_unreachable) = (Some(why.to_string()), why.is_unreachable());
                Self { job_id, run_id: None, existing: false, error, is_unreachable }
            }
        }
    }
}

/// Starts the jobs of a trigger of type `http`, when the request is signed with the trigger's secret: HMAC-SHA256 of the body in
/// hexadecimal, after `sha256=` or by itself (GitHub, Validating webhook deliveries). A delivery that names itself makes its
/// runs once, however often it comes.
///
/// # Errors
/// [`Error`] when the realm cannot be read, or a body is not of the type that it says. A secret that cannot be read is in the
/// log alone: a sender without a valid signature must not learn whether the trigger is there.
pub async fn receive(realm: &dyn Realm, request: HookRequest<'_>) -> Result<Received, Error> {
    let Some(fields) = trigger(realm, request.trigger_id).await? else { return Ok(Received::Refused) };
    let site = realm.site().await?;
    let name = fields.secret.as_deref().unwrap_or_default();
    let Ok(name) = SecretName::new(name) else {
        tracing::error!(
            trigger_id = request.trigger_id,
            "a trigger cannot be used: its secret has no valid name"
        );
        return Ok(Received::Refused);
    };
    let secret = match site.ports.secrets.parameter(&name).await {
        Ok(secret) => secret,
        // It is to be sent again.
        Err(error) if error.kind.may_pass() => {
            return Err(error.into());
        }
        Err(error) => {
            tracing::error!(trigger_id = request.trigger_id, %error, "a trigger cannot be used: its secret cannot be read");
            return Ok(Received::Refused);
        }
    };
    let header = fields.signature_header.as_deref().unwrap_or(SIGNATURE_HEADER).to_ascii_lowercase();
    let signature = (request.header)(&header).unwrap_or_default();
    if !is_signed(secret.reveal().as_bytes(), &signature, request.body) {
        return Ok(Received::Refused);
    }
    let event = event_of(realm, request)?;
    let reasons = why_not_for(&fields, &event);
    if !reasons.is_empty() {
        return Ok(Received::Passed(reasons));
    }
    let dispatcher = Dispatcher::new(site, realm.registry().clone());
    let fired = fire(&dispatcher, fields, event).await;
    Ok(Received::Fired(fired.into_iter().map(HookRun::from).collect()))
}

/// The trigger of an id, where it takes requests.
async fn trigger(realm: &dyn Realm, id: &str) -> Result<Option<TriggerFields>, Error> {
    let all = realm.triggers().all_triggers().await?;
    let is_asked = |doc: &Map<String, Value>| {
        doc.get("trigger_id").is_some_and(|it| it == id) && doc.get("type").is_some_and(|it| it == "http")
    };
    let Some(doc) = all.into_iter().find(is_asked) else { return Ok(None) };
    match TriggerSpec::parse(&Value::Object(doc), realm.registry().renderer()) {
        Ok(spec) if spec.fields.r#type == TriggerType::Http => Ok(Some(spec.fields)),
        Ok(_) => Ok(None),
        Err(error) => {
            tracing::error!(trigger_id = id, %error, "a trigger cannot be used: its document is invalid");
            Ok(None)
        }
    }
}

/// Whether a body is signed with a secret. The time that it takes does not reveal how much of a signature is right.
fn is_signed(secret: &[u8], signature: &str, body: &[u8]) -> bool {
    let hex = signature.trim().strip_prefix("sha256=").unwrap_or(signature.trim());
    let Some(bytes) = bytes_of(hex) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    mac.verify_slice(&bytes).is_ok()
}

/// Bytes in hexadecimal.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let is_hex = hex.len().is_multiple_of(2) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| {
        let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
        pairs.map_while(Result::ok).collect()
    })
}

fn event_of(realm: &dyn Realm, request: HookRequest<'_>) -> Result<HttpEvent, Error> {
    let first =
        |names: &[&str]| names.iter().find_map(|name| (request.header)(name)).filter(|it| !it.is_empty());
    let short = |what: &str, value: Option<String>| match value {
        Some(value) if value.len() > MAX_HEADER => Err(Error::invalid(format!(
            "the name of {what} has {} bytes, more than {MAX_HEADER}",
            value.len()
        ))),
        value => Ok(value),
    };
    let kind = (request.header)("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = std::str::from_utf8(request.body)
        .map_err(|error| Error::invalid(format!("the body is not UTF-8: {error}")));
    let body = match kind.as_str() {
        _ if request.body.is_empty() => Value::Null,
        "application/x-www-form-urlencoded" => Value::Object(form(request.body)),
        kind if kind == "application/json" || kind.ends_with("+json") => {
            let value = parse_json(text?);
            value.map_err(|error| Error::invalid(format!("the body is not JSON: {error}")))?
        }
        _ => Value::String(text?.to_owned()),
    };
    Ok(HttpEvent {
        body,
        content_type: Some(kind).filter(|kind| !kind.is_empty()),
        event_type: short("the event", first(&EVENT_HEADERS))?,
        delivery: delivery_of(request, short)?,
        time: realm.now(),
    })
}

/// The name of the delivery: the first header that has one.
fn delivery_of(
    request: HookRequest<'_>,
    short: impl Fn(&str, Option<String>) -> Result<Option<String>, Error>,
) -> Result<Option<DeliveryName>, Error> {
    for header in DELIVERY_HEADERS {
        if let Some(id) = (request.header)(header).filter(|id| !id.is_empty()) {
            return Ok(short("the delivery", Some(id))?.map(|id| DeliveryName { header, id }));
        }
    }
    Ok(None)
}

/// The fields of a form; one that is given more than once has all its values, in a list.
fn form(body: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let value = Value::String(value.into_owned());
        match fields.get_mut(&*name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                fields.insert(name.into_owned(), value);
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_field_of_a_form_has_all_its_values() {
        let wanted = serde_json::json!({ "a": ["1", "2", ""], "b": "x y" });
        assert_eq!(Value::Object(form(b"a=1&b=x+y&a=2&a")), wanted);
    }

    #[test]
    fn signature_is_the_one_of_githubs_example() {
        // GitHub, Validating webhook deliveries, Testing the webhook payload validation.
        let (secret, body) = (b"It's a Secret to Everybody", b"Hello, World!");
        let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(secret, &format!("sha256={right}"), body) && is_signed(secret, right, body));
        assert!(is_signed(secret, &right.to_uppercase(), body));
        let other = right.replace('7', "8");
        for wrong in ["", "sha256=", "sha1=00", &right[..62], &other, "zz", "sha256=é"] {
            assert!(!is_signed(secret, wrong, body), "{wrong:?}");
        }
        assert!(!is_signed(b"other", right, body) && !is_signed(secret, right, b"Hello, World"));
    }
}
