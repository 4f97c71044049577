//! `schedules export`.

use std::fmt::Write as _;

use pumice_core::text::escaped;
use pumice_service::schedules::{
    CloudFormationTemplate, ExportSchedules, Metadata, export as export_schedules,
};
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

/// The template as YAML, with the differences from Pumice next to each entry.
fn commented(template: &CloudFormationTemplate) -> Result<String, Failure> {
    let head = CloudFormationTemplate { metadata: None, resources: Map::new(), ..template.clone() };
    let mut text = for_old_readers(&yaml(&head)?);
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
            text.extend(for_old_readers(&yaml(&block)?).lines().map(|line| format!("  {line}\n")));
        }
    }
    Ok(text)
}

/// YAML with quotes around the texts that a reader of YAML 1.1, as CloudFormation's, takes for something else: `OFF` is
/// false there, and a time of day or a date is not a text.
fn for_old_readers(yaml: &str) -> String {
    let line = |line: &str| match line.split_once(": ") {
        Some((name, text)) if is_no_text(text) => format!("{name}: '{text}'\n"),
        _ => format!("{line}\n"),
    };
    yaml.lines().map(line).collect()
}

/// Whether a text without quotes is none in YAML 1.1 (yaml.org/type: bool, float, int, merge, null, timestamp, value).
fn is_no_text(text: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let begins_as_number = text.trim_start_matches(['+', '-', '.']).starts_with(|c: char| c.is_ascii_digit());
    is_word || begins_as_number || text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_of_a_template_has_quotes_where_yaml_1_1_needs_them() {
        for (given, wanted) in [
            ("Mode: OFF", "Mode: 'OFF'"),
            ("  A: No", "  A: 'No'"),
            ("StartDate: 2027-01-01T00:00:00Z", "StartDate: '2027-01-01T00:00:00Z'"),
            ("AWSTemplateFormatVersion: 2010-09-09", "AWSTemplateFormatVersion: '2010-09-09'"),
            ("At: 23:30", "At: '23:30'"),
            ("- Zone: UTC", "- Zone: UTC"),
            ("Type: AWS::Scheduler::Schedule", "Type: AWS::Scheduler::Schedule"),
            ("Mode: 'OFF'", "Mode: 'OFF'"),
            ("Properties:", "Properties:"),
            ("Expression: cron(0 3 * * ? *)", "Expression: cron(0 3 * * ? *)"),
        ] {
            assert_eq!(for_old_readers(given), format!("{wanted}\n"));
        }
    }
}
