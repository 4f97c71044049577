//! Performs the action `slack`.

use std::time::Duration;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::connection::{Opened, SlackHook, SlackStyle};
use pumice_core::duration::Span;
use pumice_core::ids::{FieldText, RealmName};
use pumice_core::job_type::{ACTION_TIMEOUT, ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::HttpRequest;
use pumice_core::secret::mask;
use pumice_job_types::actions::slack::{self, COLOURS, MAX_MESSAGE, MAX_SUBJECT};
use serde_json::{Value, json};

use super::notice::{cut, one_line};
use crate::web::{Tries, exchange};

/// How long one try may take (lava's `REQUESTS_TIMEOUT`).
const TRY: Duration = Duration::from_secs(10);
/// The part of the action's time that is left for its end.
const MARGIN: Duration = Duration::from_secs(1);
/// The wait before the second try.
const WAIT: Span = Span::from_secs(1);
/// Most tries after the first: as many as fit into the action's time.
const MORE_TRIES: u32 = 10;
/// Largest response that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The colour unless the action or the connection says otherwise (lava's `DEFAULT_COLOUR`).
const GREY: &str = "#bbbbbb";

/// Performs the action `slack`.
pub(crate) struct Slack;

#[async_trait]
impl Performer for Slack {
    type Of = slack::Slack;

    async fn perform(
        &self,
        context: &ActionContext<'_>,
        fields: FieldsOf<slack::Slack>,
    ) -> Result<(), JobError> {
        let until = context.clock.now() + (ACTION_TIMEOUT.get() - MARGIN);
        let conn_id = fields.slack_conn.clone();
        let opened = context.connections.open(&conn_id).await;
        let opened = opened.map_err(|error| JobError::failed(error.to_string()))?;
        let Opened::Slack(hook) = opened.what else {
            let message = format!("connection {conn_id} is of type {}, not slack", opened.r#type);
            return Err(JobError::permanent(message));
        };
        let posted = message(context.realm_name, &hook, fields, context.clock.now());
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: hook.url.reveal().to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: posted.to_string().into_bytes(),
            timeout: TRY,
            redirects: 0,
            max_response: MAX_ANSWER,
        };
        // One notice too many is better than none.
        let tries = Tries { more: MORE_TRIES, wait: WAIT, until, repeats: true };
        let is_ok = |status: u16| (200..300).contains(&status);
        let answered = exchange((context.http, context.clock), &request, tries, is_ok).await;
        answered
            .map(drop)
            .map_err(|failure| JobError::failed(format!("connection {conn_id}: {}", failure.message)))
    }
}

/// A text for people, without secrets; `None` when it is empty.
fn shown(text: Option<String>) -> Option<String> {
    text.map(|text| mask(&text).into_owned()).filter(|text| !text.is_empty())
}

/// The message for Slack (lava guide, Connector type: slack).
fn message(realm: &RealmName, hook: &SlackHook, fields: slack::Fields, now: Timestamp) -> Value {
    let subject = shown(fields.subject).map(|text| cut(one_line(&text), MAX_SUBJECT));
    let from = shown(fields.from).or_else(|| hook.from.clone()).unwrap_or_else(|| format!("lava@{realm}"));
    let from = cut(one_line(&from), MAX_SUBJECT);
    let preamble = shown(fields.preamble).or_else(|| hook.preamble.clone());
    let text = cut(mask(&fields.message).into_owned(), MAX_MESSAGE);
    let time = now.timestamp();
    let line = || {
        let subject = subject.as_ref().map(|subject| format!("*{subject}*:"));
        let parts = [preamble.clone(), Some(format!("*{from}*:")), subject, Some(text.clone())];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    match fields.style.unwrap_or(hook.style) {
        SlackStyle::Plain => json!({ "text": line() }),
        SlackStyle::Attachment => {
            let colour = fields.colour.as_ref().map(FieldText::to_string).or_else(|| hook.colour.clone());
            let mut attachment = json!({
                "fallback": text, "author_name": from, "color": colour_of(colour), "text": text,
                "footer": "Event time", "ts": time,
            });
            if let Some(subject) = subject {
                attachment["title"] = subject.into();
            }
            let mut posted = json!({ "attachments": [attachment] });
            if let Some(preamble) = preamble {
                posted["text"] = preamble.into();
            }
            posted
        }
        SlackStyle::Block => {
            let section =
                |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
            let about = subject.as_ref().map(|subject| format!("*Subject*: {subject}"));
            let head = [preamble.clone(), Some(format!("*From*: {from}")), about];
            let head = head.into_iter().flatten().collect::<Vec<_>>().join("\n");
            let when = format!("Event time: <!date^{time}^{{date_short_pretty}} at {{time}}| >");
            json!({
                "text": line(),
                "blocks": [
                    section(&head),
                    { "type": "divider" },
                    section(&text),
                    { "type": "context", "elements": [{ "type": "mrkdwn", "text": when }] },
                ],
            })
        }
    }
}

/// A colour as Slack takes it. lava puts `#` before the names too, which Slack then does not know.
fn colour_of(given: Option<String>) -> String {
    match given {
        None => GREY.to_owned(),
        Some(name) if COLOURS.contains(&name.as_str()) || name.starts_with('#') => name,
        Some(digits) => format!("#{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::ports::HttpError;
    use serde::Deserialize;

    use super::*;
    use crate::fakes::{Scripted, Ticking, World, response, start};

    async fn performed(connection: Value, fields: Value, server: &Scripted) -> Result<(), JobError> {
        let mut world = World::of("log", Value::Null, json!({}));
        let mut document = json!({ "conn_id": "chat", "type": "slack", "enabled": true,
            "webhook_url": "https://hooks.slack.example/services/canary-of-slack" });
        document.as_object_mut().unwrap().extend(connection.as_object().unwrap().clone());
        world.connections.connection(&document);
        world
            .connections
            .connection(&json!({ "conn_id": "box", "type": "generic", "enabled": true, "attributes": {} }));
        let clock = Ticking::default();
        (world.http, world.clock) = (Box::new(server.clone()), Box::new(clock.clone()));
        let mut all = json!({ "slack_conn": "chat", "message": "it *failed*" });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Slack.perform(&world.action_context(), slack::Fields::deserialize(all).unwrap()).await
    }

    async fn posted(connection: Value, fields: Value) -> Value {
        let server = Scripted::new([response(200, &[], "ok")]);
        performed(connection, fields, &server).await.unwrap();
        let request = server.sent().pop().unwrap();
        assert_eq!((request.method.as_str(), request.redirects), ("POST", 0));
        assert_eq!(request.url, "https://hooks.slack.example/services/canary-of-slack");
        serde_json::from_slice(&request.body).unwrap()
    }

    #[tokio::test]
    async fn slack_message_looks_as_lavas_in_each_style() {
        let time = start().timestamp();
        let fields =
            |style: &str| json!({ "style": style, "subject": "load", "preamble": "<!here>", "from": "ops" });
        let plain = posted(json!({}), fields("plain")).await;
        assert_eq!(plain, json!({ "text": "<!here> *ops*: *load*: it *failed*" }));
        let attachment = posted(json!({ "colour": "good" }), fields("attachment")).await;
        let wanted = json!({ "text": "<!here>", "attachments": [{
            "fallback": "it *failed*", "author_name": "ops", "color": "good", "text": "it *failed*",
            "footer": "Event time", "ts": time, "title": "load",
        }] });
        assert_eq!(attachment, wanted);
        let block = posted(json!({}), fields("block")).await;
        assert_eq!(block["text"], "<!here> *ops*: *load*: it *failed*");
        assert_eq!(block["blocks"][0]["text"]["text"], "<!here>\n*From*: ops\n*Subject*: load");
        assert_eq!(block["blocks"][2]["text"], json!({ "type": "mrkdwn", "text": "it *failed*" }));
        let when = format!("Event time: <!date^{time}^{{date_short_pretty}} at {{time}}| >");
        assert_eq!(block["blocks"][3]["elements"][0]["text"], when);
    }

    #[tokio::test]
    async fn slack_defaults_are_the_connections_then_lavas() {
        assert_eq!(posted(json!({ "style": "plain" }), json!({})).await["text"], "*lava@test*: it *failed*");
        let own = json!({ "style": "plain", "from": "conn", "preamble": "hey" });
        assert_eq!(posted(own, json!({})).await["text"], "hey *conn*: it *failed*");
        for (own, given, wanted) in [
            (json!({}), json!({}), "#bbbbbb"),
            (json!({ "colour": "#123456" }), json!({}), "#123456"),
            (json!({ "colour": "123456" }), json!({ "colour": "ff0000" }), "#ff0000"),
            (json!({}), json!({ "colour": "danger" }), "danger"),
        ] {
            let mut given = given;
            given["style"] = "attachment".into();
            assert_eq!(posted(own, given).await["attachments"][0]["color"], wanted);
        }
        assert!(posted(json!({}), json!({})).await["blocks"].is_array());
    }

    #[tokio::test]
    async fn slack_message_too_long_is_cut_with_a_note() {
        let fields =
            json!({ "style": "attachment", "message": "é".repeat(4000), "subject": "s".repeat(300) });
        let told = posted(json!({}), fields).await["attachments"][0].clone();
        let (text, title) = (told["text"].as_str().unwrap(), told["title"].as_str().unwrap());
        assert_eq!((text.chars().count(), title.chars().count()), (MAX_MESSAGE, MAX_SUBJECT));
        assert!(text.ends_with("é… [cut: 4000 characters in all]"), "{text}");
        assert!(title.ends_with("s… [cut: 300 characters in all]"), "{title}");
    }

    #[tokio::test]
    async fn slack_message_shows_no_secret() {
        pumice_core::secret::remember("canary-in-slack-7");
        let fields = json!({ "message": "got canary-in-slack-7", "subject": "canary-in-slack-7", "from": "canary-in-slack-7",
            "preamble": "canary-in-slack-7" });
        for style in ["block", "attachment", "plain"] {
            let mut fields = fields.clone();
            fields["style"] = style.into();
            let told = posted(json!({}), fields).await.to_string();
            assert!(!told.contains("canary") && told.contains("*****"), "{told}");
        }
    }

    #[tokio::test]
    async fn slack_that_refuses_fails_with_the_reason_and_no_url() {
        for (answer, wanted) in [
            (response(404, &[], "no_service"), "connection chat: the server answered 404: \"no_service\""),
            (
                Err(HttpError::Refused("https://hooks.slack.example is not called".to_owned())),
                "connection chat: https://hooks.slack.example is not called",
            ),
        ] {
            let error = performed(json!({}), json!({}), &Scripted::new([answer])).await.unwrap_err();
            assert_eq!(error.message, wanted);
        }
        let busy = [response(429, &[("retry-after", "2")], ""), response(200, &[], "ok")];
        performed(json!({}), json!({}), &Scripted::new(busy)).await.unwrap();
        for (conn, wanted) in [
            ("gone", "there is no connection \"gone\""),
            ("box", "connection box is of type generic, not slack"),
        ] {
            let error = performed(json!({}), json!({ "slack_conn": conn }), &Scripted::default()).await;
            assert_eq!(error.unwrap_err().message, wanted);
        }
    }
}
