//! Performs actions, one file a kind.

pub(crate) mod dispatch;
pub(crate) mod email;
pub(crate) mod event;
pub(crate) mod log;
mod notice;
pub(crate) mod slack;
pub(crate) mod sns;
pub(crate) mod sqs;
pub(crate) mod state;
pub(crate) mod webhook;

use serde_json::Value;

/// The exit status of an attempt, of one that failed too; null for a job that has none.
fn exit_status(result: &Value) -> Value {
    let of_failed = || result.pointer("/error_data/exit_status");
    result.get("exit_status").or_else(of_failed).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pumice_core::job_type::{Action, FieldsOf, Performer};
    use pumice_core::secret::{mark_names, remember, remember_marked};
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::fakes::{Scripted, World, response};

    /// Actions that send nothing out of the realm: cli/tests/it/canary.rs looks at what they leave in it.
    const WITHIN: [&str; 3] = ["dispatch", "log", "state"];

    /// Performs an action on a world.
    async fn performed<P: Performer>(performer: P, world: &World, fields: Value) -> Result<(), String>
    where
        FieldsOf<P::Of>: for<'de> Deserialize<'de>,
    {
        let fields = Deserialize::deserialize(fields).unwrap();
        performer.perform(&world.action_context(), fields).await.map_err(|error| error.message)
    }

    /// Performs an action that goes well, and gives its name.
    async fn sends<P: Performer>(performer: P, world: &World, fields: Value) -> &'static str
    where
        FieldsOf<P::Of>: for<'de> Deserialize<'de>,
    {
        performed(performer, world, fields).await.unwrap();
        <P::Of as Action>::NAME
    }

    fn world(server: &Scripted) -> World {
        let mut world = World::of("log", Value::Null, json!({}));
        world.connections.connection(
            &json!({ "conn_id": "post", "type": "email", "enabled": true, "host": "h", "from": "a@b.c" }),
        );
        world.connections.connection(&json!({ "conn_id": "chat", "type": "slack", "enabled": true,
            "webhook_url": "https://hooks.slack.example/services/x" }));
        world.http = Box::new(server.clone());
        world
    }

    /// Everything that actions have sent.
    fn sent(world: &World, server: &Scripted) -> Vec<String> {
        let mut sent: Vec<String> =
            world.posts.sent().iter().map(|(_, sent)| format!("{} {}", sent.subject, sent.body)).collect();
        let published = world.messages.published.lock().unwrap();
        sent.extend(published.iter().map(|sent| format!("{:?} {}", sent.subject, sent.message)));
        sent.extend(world.messages.sent.lock().unwrap().iter().map(|sent| sent.message.clone()));
        let events = world.messages.events.lock().unwrap();
        sent.extend(events.iter().map(|sent| {
            format!("{} {} {:?} {}", sent.source, sent.detail_type, sent.resources, sent.detail)
        }));
        sent.extend(server.sent().into_iter().map(|sent| String::from_utf8(sent.body).unwrap()));
        sent
    }

    #[tokio::test]
    async fn message_of_every_action_shows_no_secret() {
        remember("secret-canary-8801");
        mark_names(&["*_noticed_token".to_owned()]);
        remember_marked(json!({ "my_noticed_token": "marked-canary-8802" }).as_object().unwrap());
        let server = Scripted::new(vec![response(200, &[], "ok"); 6]);
        let mut world = world(&server);
        let text = "secret-canary-8801 and {'my_noticed_token': 'marked-canary-8802'}";
        let map = json!({ "a": text, "secret-canary-8801": "b", "my_noticed_token": "brief" });
        let hook = "https://hooks.example/secret-canary-8801";
        let mut tried: BTreeSet<&str> = WITHIN.into();
        let mail = json!({ "email_conn": "post", "to": "a@b.c", "subject": text, "message": text });
        tried.insert(sends(email::Email, &world, mail).await);
        let chat =
            json!({ "slack_conn": "chat", "message": text, "subject": text, "from": text, "preamble": text });
        tried.insert(sends(slack::Slack, &world, chat).await);
        for message in [json!(text), map.clone()] {
            let topic = json!({ "topic": "t", "message": message, "subject": text });
            tried.insert(sends(sns::Sns, &world, topic).await);
            tried.insert(sends(sqs::Sqs, &world, json!({ "queue": "q", "message": message })).await);
            let event =
                json!({ "detail": message, "source": text, "detail_type": text, "resources": [text] });
            tried.insert(sends(event::Event, &world, event).await);
            tried.insert(sends(webhook::Webhook, &world, json!({ "url": hook, "body": message })).await);
        }
        sends(webhook::Webhook, &world, json!({ "url": hook, "body": [text, map] })).await;
        world.run.result = json!({ "error": text });
        sends(webhook::Webhook, &world, json!({ "url": hook })).await;
        let registry = pumice_job_types::registry().unwrap();
        let all: BTreeSet<&str> = registry.actions().map(|action| action.name()).collect();
        assert_eq!(tried, all, "an action must be tried here, or be in `WITHIN`");
        let sent = sent(&world, &server);
        assert_eq!(sent.len(), 12, "{sent:?}");
        for text in sent {
            assert!(text.contains("*****") && !text.contains("canary") && !text.contains("brief"), "{text}");
        }
        // A server may ask for it in its URL.
        assert_eq!(server.sent().pop().unwrap().url, hook);
    }

    #[tokio::test]
    async fn id_of_a_message_with_a_secret_is_refused() {
        remember("secret-canary-8803");
        let server = Scripted::default();
        for name in ["dedup_id", "group_id"] {
            let world = world(&server);
            let mut fields = json!({ "queue": "q.fifo", "message": "m", "dedup_id": "d", "group_id": "g" });
            performed(sqs::Sqs, &world, fields.clone()).await.unwrap();
            fields[name] = "of secret-canary-8803".into();
            let error = performed(sqs::Sqs, &world, fields).await.unwrap_err();
            assert_eq!(error, format!("{name} has a secret: name something else"));
            assert_eq!(world.messages.sent.lock().unwrap().len(), 1);
        }
    }
}
