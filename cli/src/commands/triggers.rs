//! `triggers`: looks at what starts jobs for objects, tries it, and deletes it.

use pumice_core::ports::Doc;
use pumice_core::text::escaped;
use pumice_service::triggers::{
    DeleteTriggers, ListTriggers, TestTriggers, TestedRequest, TestedTrigger, TestedTriggers, TriggerList,
    TriggerName, delete, list, show, test,
};
use serde_json::Value;

use crate::args::{Format, Global, Triggers};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;

/// Lists, shows, tries and deletes triggers.
pub(super) async fn triggers(global: &Global, command: Triggers) -> Result<(), Failure> {
    let realm = match command {
        Triggers::Delete { dry_run: false, .. } => Target::open(global, false).await?,
        _ => Target::open_to_read(global).await?,
    };
    match command {
        Triggers::List { pattern, bucket, filter } => {
            let found = realm.ask(list, &ListTriggers { pattern, bucket, filter }).await?;
            print(global.output, &found, || table(global.output, &found))?;
            if global.output.is_table() {
                let count = found.triggers.len();
                // A console does not say how many there are besides.
                let all = if found.all == 0 { String::new() } else { format!(" of {}", found.all) };
                note(global, &[format!("{count}{all} triggers")]);
            }
            Ok(())
        }
        Triggers::Show { trigger } => {
            let format = if global.output == Format::Yaml { Format::Yaml } else { Format::Json };
            print(format, &realm.ask(show, &TriggerName { trigger }).await?, Vec::new)
        }
        Triggers::Test { bucket, key, size, event_type } => {
            let request = TestTriggers { bucket, key, size, event_type: Some(event_type) };
            let tested = realm.ask(test, &request).await?;
            print(global.output, &tested, || tested_lines(&tested))
        }
        Triggers::Delete { triggers, dry_run } => {
            let deleted = realm.ask(delete, &DeleteTriggers { triggers, if_match: None, dry_run }).await?;
            let done = if dry_run { "would delete" } else { "deleted" };
            print(global.output, &deleted, || {
                let words = |deleted| if deleted { done } else { "not there:" };
                let line = |one: &pumice_service::triggers::DeletedTrigger| {
                    format!("{} {}", words(one.deleted), escaped(&one.trigger_id))
                };
                deleted.triggers.iter().map(line).collect()
            })?;
            match deleted.triggers.iter().all(|one| one.deleted) {
                true => Ok(()),
                false => Err(Failure::wrong("not every trigger was there")),
            }
        }
    }
}

fn table(format: Format, found: &TriggerList) -> Vec<String> {
    let text = |doc: &Doc, name: &str| match doc.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => escaped(text).into_owned(),
        Some(Value::Array(items)) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            escaped(&texts.join(", ")).into_owned()
        }
        Some(other) => escaped(&other.to_string()).into_owned(),
    };
    let row = |doc: &Doc| {
        ["trigger_id", "bucket", "prefix", "job_id", "enabled"].map(|name| text(doc, name)).to_vec()
    };
    let heading = [
        Column::Path("TRIGGER", 16),
        Column::Path("BUCKET", 12),
        Column::Path("PREFIX", 12),
        Column::Path("JOB", 16),
        Column::Text("ENABLED", 8),
    ];
    columns(format, &heading, &found.triggers.iter().map(row).collect::<Vec<_>>())
}

fn tested_lines(tested: &TestedTriggers) -> Vec<String> {
    let looked = format!("looked for triggers under {}", tested.levels.join(", "));
    let mut lines = vec![escaped(&looked).into_owned()];
    lines.push(match &tested.level {
        Some(level) => escaped(&format!("found under {level}:")).into_owned(),
        None => "found none: nothing is started".to_owned(),
    });
    lines.extend(tested.triggers.iter().chain(&tested.others).flat_map(trigger_lines));
    lines.extend(tested.note.as_deref().map(|note| escaped(note).into_owned()));
    lines
}

fn trigger_lines(trigger: &TestedTrigger) -> Vec<String> {
    let word = match (&trigger.error, trigger.fits) {
        (Some(error), _) => format!("cannot be used: {error}"),
        (None, true) => "fits".to_owned(),
        (None, false) => format!("does not fit: {}", trigger.reasons.join("; ")),
    };
    let first = escaped(&format!("  {} {word}", trigger.trigger_id)).into_owned();
    std::iter::once(first).chain(trigger.requests.iter().flat_map(request_lines)).collect()
}

fn request_lines(request: &TestedRequest) -> Vec<String> {
    let delay = request.delay.map(|delay| format!(" after {delay}")).unwrap_or_default();
    let error = request.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let mut lines = vec![format!("    starts {}{delay}{error}", request.job_id)];
    for (name, map) in [("globals", &request.globals), ("parameters", &request.parameters)] {
        if !map.is_empty() {
            lines.push(format!("      {name}: {}", Value::Object(map.clone())));
        }
    }
    lines.into_iter().map(|line| escaped(&line).into_owned()).collect()
}
