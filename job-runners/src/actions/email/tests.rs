use pumice_core::ports::{StoreError, StoreErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::fakes::{Posts, Ticking, World, start};

fn world() -> (World, Ticking) {
    let mut world = World::of("log", Value::Null, json!({}));
    world.connections.connection(&json!({
        "conn_id": "post", "type": "email", "enabled": true, "host": "smtp.example", "port": 2525, "from": "lava@example.com",
        "reply_to": ["ops@example.com"], "return_path": "bounces@example.com",
    }));
    world
        .connections
        .connection(&json!({ "conn_id": "ses", "type": "ses", "enabled": true, "from": "a@b.c" }));
    world
        .connections
        .connection(&json!({ "conn_id": "bare", "type": "email", "enabled": true, "host": "h" }));
    world
        .connections
        .connection(&json!({ "conn_id": "off", "type": "email", "enabled": false, "host": "h" }));
    world
        .connections
        .connection(&json!({ "conn_id": "box", "type": "generic", "enabled": true, "attributes": {} }));
    let clock = Ticking::default();
    world.clock = Box::new(clock.clone());
    (world, clock)
}

async fn performed(world: &World, fields: Value) -> Result<(), JobError> {
    let mut all =
        json!({ "to": "ann@example.com", "subject": "failed", "message": "why", "email_conn": "post" });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    Email.perform(&world.action_context(), email::Fields::deserialize(all).unwrap()).await
}

async fn sent(world: &World, fields: Value) -> Sent {
    performed(world, fields).await.unwrap();
    world.posts.sent().pop().unwrap().1
}

#[tokio::test]
async fn email_has_the_fields_of_the_action_and_the_connection() {
    let (world, _) = world();
    let one = sent(&world, json!({})).await;
    assert_eq!(
        (one.from.as_str(), one.to, one.date),
        ("lava@example.com", vec!["ann@example.com".to_owned()], start())
    );
    assert_eq!((one.subject.as_str(), one.body.as_str(), one.is_html), ("failed", "why", false));
    assert_eq!(one.reply_to, ["ops@example.com"]);
    assert_eq!(one.return_path.as_deref(), Some("bounces@example.com"));
    let (server, _) = world.posts.sent().pop().unwrap();
    assert_eq!((server.host.as_str(), server.port, server.tls), ("smtp.example", 2525, false));
    let two =
        sent(&world, json!({ "to": ["a@b.c", "d@e.f"], "from": "me@b.c", "subject": "a\nBcc: x@y.z" })).await;
    assert_eq!((two.from.as_str(), two.subject.as_str()), ("me@b.c", "a Bcc: x@y.z"));
    assert_eq!(two.to, ["a@b.c", "d@e.f"]);
    assert_ne!(one.id, two.id);
    for (message, is_html) in [
        ("<html><b>x</b>", true),
        ("<HTML>", true),
        ("<hTmL lang=de>", false),
        (" <html>", false),
        ("<htm", false),
    ] {
        assert_eq!(sent(&world, json!({ "message": message })).await.is_html, is_html, "{message}");
    }
}

#[tokio::test]
async fn email_without_connection_goes_by_the_realms() {
    let (mut world, _) = world();
    world.settings.email_conn = Some(ConnId::new("bare").unwrap());
    let error = performed(&world, json!({ "email_conn": null })).await.unwrap_err();
    assert!(error.message.starts_with("the e-mail has no sender"), "{error}");
    world.settings.ses_from = Some("realm@example.com".to_owned());
    assert_eq!(sent(&world, json!({ "email_conn": null })).await.from, "realm@example.com");
    for (conn, wanted) in [
        ("gone", "there is no connection \"gone\""),
        ("off", "connection \"off\" is not enabled"),
        ("box", "connection box is of type generic, not email"),
    ] {
        let error = performed(&world, json!({ "email_conn": conn })).await.unwrap_err();
        assert!(error.message.starts_with(wanted), "{error}");
    }
}

#[tokio::test]
async fn email_attaches_kept_files_within_the_limits() {
    let (mut world, _) = world();
    world.settings.email_max_attachment_size = 10;
    world.settings.email_max_size = 25;
    for (place, text) in
        [("/t/a.txt", "0123456789"), ("/t/long", "01234567890"), ("s3://b/k/out", "x"), ("/t/none", "")]
    {
        world.kept.put(place, text);
    }
    let email = sent(&world, json!({ "attachments": ["/t/a.txt", "s3://b/k/out", "/t/none"] })).await;
    let names: Vec<(&str, &[u8])> = email.attachments.iter().map(|one| (&*one.name, &*one.bytes)).collect();
    assert_eq!(names, [("a.txt", &b"0123456789"[..]), ("out", b"x"), ("none", b"")]);
    for (places, wanted) in [
        (
            json!(["/t/long"]),
            "cannot attach /t/long: it has 11 bytes; the limit is 10 (EMAIL_MAX_ATTACHMENT_SIZE)",
        ),
        (json!(["/t/gone"]), "cannot attach /t/gone: there is no such file"),
        (json!(["out.csv"]), "cannot attach out.csv: it is not a whole path"),
        (json!(vec!["/t/a.txt"; 6]), "the e-mail has 6 attachments; the limit is 5 (EMAIL_MAX_ATTACHMENTS)"),
        (
            json!(["/t/a.txt", "/t/a.txt", "/t/a.txt"]),
            "the e-mail has 33 bytes; the limit is 25 (EMAIL_MAX_SIZE)",
        ),
    ] {
        let error = performed(&world, json!({ "attachments": places })).await.unwrap_err();
        assert!(error.message.starts_with(wanted), "{error}");
    }
}

#[tokio::test]
async fn email_shows_no_secret() {
    let (world, _) = world();
    pumice_core::secret::remember("canary-in-mail-7");
    world.kept.put("/t/out", "printed canary-in-mail-7");
    let fields =
        json!({ "subject": "canary-in-mail-7", "message": "canary-in-mail-7", "attachments": ["/t/out"] });
    let email = sent(&world, fields).await;
    assert_eq!((email.subject.as_str(), email.body.as_str()), ("*****", "*****"));
    assert_eq!(email.attachments[0].bytes, b"printed *****");
}

#[tokio::test]
async fn email_is_tried_again_where_that_may_help() {
    let (mut world, clock) = world();
    let busy = |text: &str| MailError::NotSent(text.to_owned());
    world.posts = Posts::failing([busy("451"), MailError::Broken("gone".to_owned())]);
    performed(&world, json!({})).await.unwrap();
    let all = world.posts.sent();
    assert_eq!((all.len(), clock.waits()), (3, vec![1, 2]));
    assert!(all.iter().all(|(_, email)| email.id == all[0].1.id));
    world.posts = Posts::failing((0..20).map(|_| busy("smtp.example:2525: 451 later")));
    let error = performed(&world, json!({})).await.unwrap_err();
    assert_eq!(error.message, "connection post: smtp.example:2525: 451 later (after 5 tries)");
    world.posts = Posts::failing([MailError::Refused("smtp.example:2525 refuses it".to_owned())]);
    let error = performed(&world, json!({})).await.unwrap_err();
    assert_eq!(
        (error.message.as_str(), world.posts.sent().len()),
        ("connection post: smtp.example:2525 refuses it", 1)
    );
}

async fn by_ses(world: &World, fields: Value) -> Result<SesEmail, JobError> {
    performed(world, fields).await?;
    Ok(world.messages.emails.lock().unwrap().pop().unwrap())
}

#[tokio::test]
async fn ses_sends_where_no_server_is_named() {
    let (mut world, _) = world();
    let bare = json!({ "email_conn": null, "to": ["a@b.c", "d@e.f"] });
    let error = performed(&world, bare.clone()).await.unwrap_err();
    let wanted = "the e-mail has no sender: set `from` in the action, or the realm's SES_FROM (SES in us-east-1 has no verified domain)";
    assert_eq!((error.message.as_str(), error.retryable), (wanted, false));
    world.messages.domain = Some("example.org".to_owned());
    let sent = by_ses(&world, bare.clone()).await.unwrap();
    assert!(
        String::from_utf8(sent.mime).unwrap().starts_with("From: lava.test@example.org\nSubject: failed")
    );
    assert_eq!((sent.to.len(), sent.region.as_str(), sent.configuration_set), (2, "us-east-1", None));
    world.settings.ses_from = Some("realm@example.com".to_owned());
    world.settings.ses_region = Some("eu-west-1".to_owned());
    world.settings.ses_configuration_set = Some("realm".to_owned());
    let sent = by_ses(&world, bare.clone()).await.unwrap();
    assert!(String::from_utf8(sent.mime).unwrap().starts_with("From: realm@example.com"));
    assert_eq!((sent.region.as_str(), sent.configuration_set.as_deref()), ("eu-west-1", Some("realm")));
    let own = json!({ "email_conn": null, "from": "me@b.c", "region": "eu-north-1" });
    let sent = by_ses(&world, own).await.unwrap();
    assert!(String::from_utf8(sent.mime).unwrap().starts_with("From: me@b.c"));
    assert_eq!(sent.region, "eu-north-1");
    world.connections.connection(&json!({
        "conn_id": "ses", "type": "ses", "enabled": true, "from": "a@b.c", "region": "ap-southeast-2",
        "configuration_set": "own", "return_path": "back@b.c",
    }));
    let sent = by_ses(&world, json!({ "email_conn": "ses" })).await.unwrap();
    assert_eq!((sent.region.as_str(), sent.configuration_set.as_deref()), ("ap-southeast-2", Some("own")));
    assert_eq!(sent.return_path.as_deref(), Some("back@b.c"));
}

#[tokio::test]
async fn ses_is_asked_again_only_where_that_may_help() {
    let (world, clock) = world();
    let trouble = |kind| StoreError::of(kind, "SES in us-east-1 did not take the e-mail: why");
    let bare = json!({ "email_conn": null, "from": "a@b.c" });
    let add = |error| world.messages.troubles.lock().unwrap().push_back(error);
    add(trouble(StoreErrorKind::Throttled));
    add(trouble(StoreErrorKind::Unreachable));
    by_ses(&world, bare.clone()).await.unwrap();
    assert_eq!(clock.waits(), [1, 2]);
    for kind in [StoreErrorKind::Invalid, StoreErrorKind::Denied, StoreErrorKind::Missing] {
        add(trouble(kind));
        let error = performed(&world, bare.clone()).await.unwrap_err();
        assert!(
            error.message.starts_with("SES in us-east-1 did not take the e-mail: why; a connection"),
            "{error}"
        );
    }
    assert_eq!(clock.waits(), [1, 2]);
}
