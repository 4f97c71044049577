//! Triggers: what starts jobs for files and objects, and what a key would start.

use axum::response::Response;
use pumice_core::ids::TriggerId;
use pumice_core::ports::Doc;
use pumice_core::text::escaped;
use pumice_service::triggers::{
    DeleteTriggers, ListTriggers, TestTriggers, TestedTrigger, TestedTriggers, TriggerName,
    delete as delete_triggers, list, show as show_trigger, test,
};
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{about, counted, document, job_link, link};

/// Most triggers of a page.
const SHOWN: usize = 200;

fn text(doc: &Doc, name: &str) -> String {
    match doc.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => escaped(text).into_owned(),
        Some(Value::Array(items)) => {
            let texts =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            escaped(&texts.collect::<Vec<_>>().join(", ")).into_owned()
        }
        Some(other) => other.to_string(),
    }
}

/// The page, with what a key would start where one is given.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let bucket = ask.query.get("bucket").map(str::to_owned);
    let key = ask.query.get("key").map(str::to_owned);
    let found = list(ask.realm(), &ListTriggers::default()).await?;
    let rows = found.triggers.iter().take(SHOWN).map(|doc| {
        let id = doc.get("trigger_id").and_then(Value::as_str).unwrap_or_default();
        json!({ "id": escaped(id), "href": link("/trigger", &[("id", id)]), "bucket": text(doc, "bucket"),
            "prefix": text(doc, "prefix"), "jobs": text(doc, "job_id"), "is_enabled": doc.get("enabled") == Some(&json!(true)),
            "description": text(doc, "description") })
    });
    let rows: Vec<Value> = rows.collect();
    let (tested, trouble) = match (&bucket, &key) {
        (Some(bucket), Some(key)) => {
            let size = ask.query.parsed::<u64>("size")?.unwrap_or(0);
            let event_type = ask.query.get("event_type").map(str::to_owned);
            let request = TestTriggers { bucket: bucket.clone(), key: key.clone(), size, event_type };
            (Some(tested(&test(ask.realm(), &request).await?)), None)
        }
        (None, None) => (None, None),
        _ => (None, Some("to try an object, give its bucket and its key")),
    };
    let own = json!({
        "rows": rows,
        "summary": counted(found.all, "trigger"),
        "more": found.triggers.len().saturating_sub(SHOWN),
        "tested": tested,
        "trouble": trouble,
        "form": { "bucket": bucket, "key": key, "size": ask.query.get("size"), "event_type": ask.query.get("event_type") },
    });
    let words = match (&bucket, &key) {
        (Some(bucket), Some(key)) => {
            ask.words(&["triggers", "test", bucket, key]).option("--size", ask.query.get("size"))
        }
        _ => ask.words(&["triggers", "list"]),
    };
    render(&ask, "triggers.html", Head::new("Triggers", "triggers", &words), own).await
}

fn tested(found: &TestedTriggers) -> Value {
    let one = |trigger: &TestedTrigger| {
        let requests = trigger.requests.iter().map(|request| json!({
            "job": escaped(&request.job_id), "href": job_link(&request.job_id), "error": request.error,
            "delay": request.delay.map(|delay| delay.to_string()),
            "globals": (!request.globals.is_empty()).then(|| document(&Value::Object(request.globals.clone()))),
            "parameters": (!request.parameters.is_empty()).then(|| document(&Value::Object(request.parameters.clone()))),
        }));
        json!({ "id": escaped(&trigger.trigger_id), "href": link("/trigger", &[("id", &trigger.trigger_id)]),
            "fits": trigger.fits, "reasons": trigger.reasons, "error": trigger.error, "requests": requests.collect::<Vec<_>>() })
    };
    json!({
        "note": found.note,
        "level": found.level.as_deref().map(escaped),
        "levels": found.levels.iter().map(|level| escaped(level)).collect::<Vec<_>>(),
        "triggers": found.triggers.iter().map(one).collect::<Vec<_>>(),
        "others": found.others.iter().map(one).collect::<Vec<_>>(),
    })
}

/// The page of one trigger.
pub(crate) async fn one(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?.to_owned();
    let trigger = TriggerId::stored(&id).map_err(|error| Fault::bad(error.to_string()))?;
    let doc = show_trigger(ask.realm(), &TriggerName { trigger }).await?;
    let names = [
        ("Bucket", "bucket"),
        ("Prefix", "prefix"),
        ("Jobs", "job_id"),
        ("Enabled", "enabled"),
        ("Owner", "owner"),
    ];
    let facts = names.map(|(name, field)| about(name, text(&doc, field)));
    let facts: Vec<_> = facts.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let jobs: Vec<&str> = match doc.get("job_id") {
        Some(Value::String(job)) => vec![job],
        Some(Value::Array(jobs)) => jobs.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let own = json!({
        "id": id,
        "trigger": escaped(&id),
        "facts": facts,
        "description": text(&doc, "description"),
        "jobs": jobs.iter().map(|job| json!({ "job": escaped(job), "href": job_link(job) })).collect::<Vec<_>>(),
        "document": document(&Value::Object(doc)),
        "delete_command": ask.words(&["triggers", "delete", &id]).line(),
    });
    let command = ask.words(&["triggers", "show", &id]);
    render(&ask, "trigger.html", Head::new(format!("Trigger {id}"), "triggers", &command), own).await
}

/// Deletes a trigger.
pub(crate) async fn delete(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let id = ask.form.need("id")?.to_owned();
    let deleted = delete_triggers(
        ask.realm(),
        &DeleteTriggers { triggers: vec![id.clone()], if_match: None, dry_run: false },
    )
    .await?;
    let is_gone = deleted.triggers.iter().any(|one| one.deleted);
    ask.tell(
        is_gone,
        format!("trigger {} {}", escaped(&id), if is_gone { "deleted" } else { "was not there" }),
    );
    Ok(see("/triggers"))
}
