//! `schedules export`.

use std::fmt::Write as _;

use pumice_core::text::escaped;
use pumice_service::schedules::{ExportSchedules, Metadata, Template, export as export_schedules};
use serde_json::{Map, Value, json};

use super::warn_unread;
use crate::args::{Format, Global};
use crate::failure::Failure;
use crate::output::{note, print, write_raw, yaml};
use crate::target::Target;

/// Most resources of a template (AWS CloudFormation quotas).
const MAX_RESOURCES: usize = 500;

/// Prints the template.
pub(super) async fn export(global: &Global, realm: &Target, job: Option<String>) -> Result<(), Failure> {
    let template = realm.ask(export_schedules, &ExportSchedules { job }).await?;
    match global.output {
        Format::Json => print(Format::Json, &template, Vec::new)?,
        _ => write_raw(&commented(&template)?)?,
    }
    let Metadata { entries, unread } = template.metadata.unwrap_or_default();
    warn_unread(global, &unread);
    let count = template.resources.len();
    let without = entries.iter().filter(|entry| entry.resources.is_empty()).count();
    let mut notes =
        vec![format!("{count} schedules of {} entries; {without} cannot be expressed", entries.len())];
    if count > MAX_RESOURCES {
        notes.push(format!("a template has {MAX_RESOURCES} resources at most: export fewer jobs with --job"));
    }
    note(global, &notes);
    Ok(())
}

/// The template as YAML, with what is otherwise than in Pumice beside each entry.
fn commented(template: &Template) -> Result<String, Failure> {
    let head = Template { metadata: None, resources: Map::new(), ..template.clone() };
    let mut text = yaml(&head)?;
    // Resources come last, and those of each entry below its comments.
    if let Some(at) = text.rfind("Resources:").filter(|_| !template.resources.is_empty()) {
        text.truncate(at);
        text.push_str("Resources:\n");
    }
    for entry in template.metadata.iter().flat_map(|metadata| &metadata.entries) {
        let what = if entry.what.is_empty() { String::new() } else { format!(": {}", entry.what) };
        let name = format!("{} entry {}{what}", entry.job_id, entry.entry);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n  # {}", escaped(&name));
        for remark in &entry.remarks {
            let _ = writeln!(text, "  # - {}", escaped(remark));
        }
        for name in &entry.resources {
            let block: Value = json!({ name.as_str(): template.resources.get(name) });
            text.extend(yaml(&block)?.lines().map(|line| format!("  {line}\n")));
        }
    }
    Ok(text)
}
