//! Performs the action `webhook`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use pumice_core::connection::{Hook, Opened};
use pumice_core::duration::Span;
use pumice_core::ids::{ConnId, SecretName};
use pumice_core::job_type::{ACTION_TIMEOUT, ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::HttpRequest;
use pumice_core::secret::SecretText;
use pumice_core::text::hex;
use pumice_job_types::actions::webhook;
use pumice_job_types::web::{Content, Method, headers_with};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::web::{Tries, exchange};

/// How long one try may take.
const TRY: Duration = Duration::from_secs(10);
/// The part of the action's time that is left for its end.
const MARGIN: Duration = Duration::from_secs(1);
/// The wait before the second try.
const WAIT: Span = Span::from_secs(1);
/// Most tries after the first: as many as fit into the action's time.
const MORE_TRIES: u32 = 10;
/// Largest response that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Performs the action `webhook`.
pub(crate) struct Webhook;

#[async_trait]
impl Performer for Webhook {
    type Of = webhook::Webhook;

    async fn perform(
        &self,
        context: &ActionContext<'_>,
        fields: FieldsOf<webhook::Webhook>,
    ) -> Result<(), JobError> {
        let until = context.clock.now() + (ACTION_TIMEOUT.get() - MARGIN);
        let request = request(context, fields).await?;
        // One notice too many is better than none: receivers know the run by its id.
        let tries = Tries { more: MORE_TRIES, wait: WAIT, until, repeats: true };
        let is_ok = |status: u16| (200..300).contains(&status);
        let answered = exchange((context.http, context.clock), &request, tries, is_ok).await;
        answered.map(drop).map_err(|failure| JobError::failed(failure.message))
    }
}

async fn request(
    context: &ActionContext<'_>,
    fields: FieldsOf<webhook::Webhook>,
) -> Result<HttpRequest, JobError> {
    // The body alone: a server may ask for a secret in the URL or a header.
    let content = fields.body.unwrap_or_else(|| Content::Json(notice(context))).masked();
    let hook = hook(context, fields.url, fields.webhook_conn).await?;
    let mut all = fields.headers.unwrap_or_default();
    for (name, value) in &hook.headers {
        if !all.keys().any(|own| own.eq_ignore_ascii_case(name)) {
            all.insert(name.clone(), value.reveal().to_owned());
        }
    }
    let mut headers = headers_with(all, Some(&content));
    headers.push(("X-Pumice-Run-Id".to_owned(), context.run_id.to_string()));
    let body = content.into_text().into_bytes();
    let secret = match fields.secret {
        None => hook.secret,
        Some(name) => {
            let failed = |error: String| JobError::failed(format!("cannot sign: {error}"));
            let name = SecretName::new(name).map_err(|error| failed(error.to_string()))?;
            let secret = context.connections.secrets.parameter(&name).await;
            Some(secret.map_err(|error| failed(error.to_string()))?)
        }
    };
    match (secret, fields.signature_header) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(JobError::permanent(
                "there is no secret to sign with: `signature_header` needs `secret`",
            ));
        }
        (Some(secret), header) => {
            let header = header.unwrap_or_else(|| webhook::SIGNATURE_HEADER.to_owned());
            headers.push((header, signature(secret.reveal().as_bytes(), &body)?));
        }
    }
    Ok(HttpRequest {
        method: fields.method.unwrap_or(Method::Post).name().to_owned(),
        url: hook.url.reveal().to_owned(),
        headers,
        body,
        timeout: TRY,
        // A notice goes to the server that the action names, and to no other.
        redirects: 0,
        max_response: MAX_ANSWER,
    })
}

/// Where the request goes: as the action says, or its connection.
async fn hook(
    context: &ActionContext<'_>,
    url: Option<String>,
    conn_id: Option<ConnId>,
) -> Result<Hook, JobError> {
    let conn_id = match (url, conn_id) {
        (Some(url), None) => {
            return Ok(Hook { url: SecretText::unmasked(url), headers: BTreeMap::new(), secret: None });
        }
        (None, Some(conn_id)) => conn_id,
        _ => return Err(JobError::permanent("give either `url` or `webhook_conn`")),
    };
    let opened = context.connections.open(&conn_id).await;
    let opened = opened.map_err(|error| JobError::failed(error.to_string()))?;
    match opened.what {
        Opened::Webhook(hook) => Ok(*hook),
        _ => Err(JobError::permanent(format!(
            "connection {conn_id} is of type {}, not webhook",
            opened.r#type
        ))),
    }
}

/// The notice that is sent unless the action gives another.
fn notice(context: &ActionContext<'_>) -> Value {
    json!({
        "realm": context.realm_name,
        "worker": context.worker,
        "job_id": context.job_id,
        "run_id": context.run_id,
        "exit_status": super::exit_status(context.result),
        "error": context.result.get("error").unwrap_or(&Value::Null),
    })
}

/// The signature of a body, as GitHub's webhooks have it: HMAC-SHA256 in hexadecimal (RFC 2104).
pub(crate) fn signature(secret: &[u8], body: &[u8]) -> Result<String, JobError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)
        .map_err(|error| JobError::permanent(format!("cannot sign: {error}")))?;
    mac.update(body);
    Ok(format!("sha256={}", hex(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::fakes::{Scripted, Ticking, World, response};

    async fn performed(fields: Value, server: &Scripted) -> (Result<(), JobError>, Ticking) {
        let mut world = World::of("log", Value::Null, json!({}));
        world.connections.secret("key", "Jefe");
        world.connections.secret("hook-url", "https://hooks.example/canary-of-hooks");
        world.connections.connection(&json!({ "conn_id": "hook", "type": "webhook", "enabled": true, "url": "hook-url",
            "headers": { "X-Plain": "p", "X-Own": "connection" }, "secret_headers": { "X-Key": "key" }, "secret": "key" }));
        world
            .connections
            .connection(&json!({ "conn_id": "box", "type": "generic", "enabled": true, "attributes": {} }));
        world.run.result = json!({ "error": "exit status 3", "error_data": { "exit_status": 3 } });
        let clock = Ticking::default();
        (world.http, world.clock) = (Box::new(server.clone()), Box::new(clock.clone()));
        let fields = webhook::Fields::deserialize(fields).unwrap();
        (Webhook.perform(&world.action_context(), fields).await, clock)
    }

    fn sent(server: &Scripted) -> HttpRequest {
        server.sent().pop().unwrap()
    }

    fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
        let mut found = request.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is given twice");
        first
    }

    #[tokio::test]
    async fn webhook_without_body_reports_the_run() {
        let server = Scripted::new([response(204, &[], "")]);
        performed(json!({ "url": "https://a/hook" }), &server).await.0.unwrap();
        let request = sent(&server);
        assert_eq!(
            (request.method.as_str(), request.url.as_str(), request.redirects),
            ("POST", "https://a/hook", 0)
        );
        let run_id = uuid::Uuid::from_u128(1).to_string();
        let told = json!({
            "realm": "test", "worker": "core", "job_id": "top", "run_id": run_id, "exit_status": 3, "error": "exit status 3",
        });
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), told);
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        assert_eq!(header(&request, "x-pumice-run-id"), Some(&*run_id));
        assert_eq!(header(&request, webhook::SIGNATURE_HEADER), None);
    }

    #[tokio::test]
    async fn webhook_sends_its_fields() {
        for (fields, method, body, kind) in [
            (json!({ "body": "plain" }), "POST", "plain", "text/plain; charset=utf-8"),
            (json!({ "body": { "a": [1] }, "method": "PUT" }), "PUT", r#"{"a":[1]}"#, "application/json"),
            (json!({ "body": [1, "b"] }), "POST", r#"[1,"b"]"#, "application/json"),
            (
                json!({ "body": "<a/>", "headers": { "content-TYPE": "text/xml" } }),
                "POST",
                "<a/>",
                "text/xml",
            ),
        ] {
            let server = Scripted::new([response(200, &[], "")]);
            let mut given = json!({ "url": "https://a/" });
            given.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            performed(given, &server).await.0.unwrap();
            let request = sent(&server);
            assert_eq!((request.method.as_str(), &*request.body), (method, body.as_bytes()));
            assert_eq!(header(&request, "content-type"), Some(kind));
        }
    }

    #[tokio::test]
    async fn webhook_signs_its_body_with_the_secret() {
        // RFC 4231, test case 2.
        let signature = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        for (header_name, name) in [(None, "X-Hub-Signature-256"), (Some("X-Signed"), "X-Signed")] {
            let server = Scripted::new([response(200, &[], "")]);
            let body = "what do ya want for nothing?";
            let mut fields = json!({ "url": "https://a/", "body": body, "secret": "key" });
            if let Some(name) = header_name {
                fields["signature_header"] = name.into();
            }
            performed(fields, &server).await.0.unwrap();
            assert_eq!(header(&sent(&server), name), Some(signature));
        }
    }

    #[tokio::test]
    async fn webhook_of_a_connection_has_its_url_headers_and_secret() {
        let signature = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = "what do ya want for nothing?";
        let server = Scripted::new([response(200, &[], "")]);
        let fields = json!({ "webhook_conn": "hook", "body": body, "headers": { "x-OWN": "action" } });
        performed(fields, &server).await.0.unwrap();
        let request = sent(&server);
        assert_eq!(request.url, "https://hooks.example/canary-of-hooks");
        for (name, value) in [("X-Own", "action"), ("X-Key", "Jefe"), ("X-Plain", "p")] {
            assert_eq!(header(&request, name), Some(value), "{name}");
        }
        assert_eq!(header(&request, webhook::SIGNATURE_HEADER), Some(signature));
        for (fields, why) in [
            (json!({ "webhook_conn": "box" }), "connection box is of type generic, not webhook"),
            (json!({ "webhook_conn": "gone" }), "there is no connection \"gone\""),
            (json!({}), "give either `url` or `webhook_conn`"),
        ] {
            let server = Scripted::default();
            let error = performed(fields, &server).await.0.unwrap_err();
            assert!(error.message.starts_with(why), "{error}");
            assert!(server.sent().is_empty());
        }
    }

    #[tokio::test]
    async fn webhook_that_cannot_be_signed_sends_nothing() {
        for (fields, why) in [
            (json!({ "url": "https://a/", "secret": "gone" }), "cannot sign: there is no secret gone"),
            (json!({ "url": "https://a/", "signature_header": "X" }), "there is no secret to sign with"),
        ] {
            let server = Scripted::default();
            let error = performed(fields, &server).await.0.unwrap_err();
            assert!(error.message.starts_with(why), "{error}");
            assert!(server.sent().is_empty());
        }
    }

    #[tokio::test]
    async fn webhook_is_tried_again_within_the_time_of_the_action() {
        let server = Scripted::new([500, 503, 200].map(|status| response(status, &[], "")));
        let (done, clock) = performed(json!({ "url": "https://a/" }), &server).await;
        assert_eq!((done, clock.waits(), server.sent().len()), (Ok(()), vec![1, 2], 3));
        let server = Scripted::new(vec![response(500, &[], "no"); 20]);
        let (done, clock) = performed(json!({ "url": "https://a/" }), &server).await;
        let message = "the server answered 500: \"no\" (after 5 tries); the next try would come in 16s, after the time limit";
        assert_eq!((done.unwrap_err().message.as_str(), clock.waits()), (message, vec![1, 2, 4, 8]));
        let server = Scripted::new([response(302, &[("location", "http://169.254.169.254/")], "")]);
        let error = performed(json!({ "url": "https://a/" }), &server).await.0.unwrap_err();
        assert_eq!(error.message, "the server answered 302, a redirect that is not followed");
    }
}
