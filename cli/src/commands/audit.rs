//! `audit`: acts on the realm with their actor, time and origin.

use pumice_core::audit::{ActOutcome, AuditId, DocumentChange};
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::audit::{AuditList, AuditShown, ListAudit, ShowAudit, list, show};
use pumice_service::specs::FieldChange;
use serde_json::Value;

use super::specs::place_lines;
use crate::args::{Audit, Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;
use crate::view;

/// Lists entries of the audit, and shows them.
pub(super) async fn audit(global: &Global, command: Audit) -> Result<(), Failure> {
    let realm = Target::open_to_read(global).await?;
    match command {
        Audit::List { filter, cursor, limit } => {
            let details = !global.output.is_table();
            let is_rest = cursor.is_some();
            let request = ListAudit { filter, zone: None, cursor, limit, details };
            let found = realm.ask(list, &request).await?;
            print(global.output, &found, || table(global.output, &found))?;
            if !details {
                note(global, &counted(&found, is_rest));
            }
            Ok(())
        }
        Audit::Show { entry } => {
            let found = realm.ask(show, &ShowAudit { entry }).await?;
            print(global.output, &found, || lines(&found))
        }
    }
}

fn table(format: Format, found: &AuditList) -> Vec<String> {
    let now = SystemClock.now();
    let row = |entry: &AuditShown| {
        let shown = |text: &str| escaped(text).into_owned();
        let (id, at) = match format {
            Format::Wide => (entry.id.clone(), view::local_time(entry.at.0)),
            _ => (entry.id.chars().take(AuditId::SHORT).collect(), view::short_time(entry.at.0, now)),
        };
        let what = match entry.what.as_slice() {
            [] => String::new(),
            [one] if entry.unnamed == 0 => shown(&one.to_string()),
            [one, more @ ..] => {
                format!("{} and {} more", shown(&one.to_string()), more.len() as u64 + entry.unnamed)
            }
        };
        let outcome = match (&entry.error, entry.outcome) {
            (_, ActOutcome::Done) => String::new(),
            (Some(error), outcome) => {
                format!("{outcome}: {}", shown(error.lines().next().unwrap_or_default()))
            }
            (None, outcome) => outcome.to_string(),
        };
        vec![id, at, shown(&entry.who), entry.from.to_string(), shown(&entry.act), what, outcome]
    };
    let heading = [
        Column::Whole("ENTRY"),
        Column::Whole("WHEN"),
        Column::Text("WHO", 6),
        Column::Whole("FROM"),
        Column::Text("ACT", 14),
        Column::Path("WHAT", 8),
        Column::Text("", 6),
    ];
    columns(format, &heading, &found.entries.iter().map(row).collect::<Vec<_>>())
}

/// Notes on a list of entries.
fn counted(found: &AuditList, is_rest: bool) -> Vec<String> {
    let count = found.entries.len();
    let mut notes = vec![format!("{count} {}", if count == 1 { "entry" } else { "entries" })];
    match &found.next {
        Some(next) if found.is_cut => notes.push(format!(
            "only {} entries were looked at, and there may be more: go on with --cursor {next}",
            found.looked_at
        )),
        Some(next) => notes.push(format!("more with --cursor {next}")),
        None if is_rest => notes.push("the list ends here".to_owned()),
        None => {}
    }
    if found.unsure > 0 {
        let (count, does) = (found.unsure, if found.unsure == 1 { "does" } else { "do" });
        notes.push(format!(
            "{count} of these {does} not name all that was touched, and may not be about what is asked for"
        ));
    }
    notes
}

fn lines(entry: &AuditShown) -> Vec<String> {
    let shown = |text: &str| escaped(text).into_owned();
    let from = match &entry.host {
        Some(host) => format!("{}, {}", entry.from, shown(host)),
        None => entry.from.to_string(),
    };
    let mut lines = vec![
        format!("{} by {} ({from})", shown(&entry.act), shown(&entry.who)),
        format!("entry    {}", entry.id),
        format!("begun    {}", view::local_time(entry.at.0)),
    ];
    match (entry.ended, entry.outcome) {
        (Some(ended), outcome) => lines.push(format!("{outcome:<8} {}", view::local_time(ended.0))),
        (None, _) => lines.push(
            "its end is not recorded: it is under way, or its process stopped in the midst of it".to_owned(),
        ),
    }
    lines.extend(
        entry.error.iter().flat_map(|error| error.lines()).map(|line| format!("         {}", shown(line))),
    );
    lines.extend(entry.what.iter().map(|target| format!("to       {}", shown(&target.to_string()))));
    if entry.unnamed > 0 {
        lines.push(format!("         and {} more, which are not named", entry.unnamed));
    }
    if let Some(count) = entry.answer.get("unchanged").and_then(Value::as_u64) {
        lines.push(format!(
            "         {} stayed as {}",
            counted_documents(count),
            if count == 1 { "it was" } else { "they were" }
        ));
    }
    let mut of = None;
    for change in &entry.changes {
        if of != Some(&change.of) {
            lines.push(String::new());
            lines.push(format!("{}:", shown(&change.of.to_string())));
            of = Some(&change.of);
        }
        let DocumentChange { field, before, after, .. } = change.clone();
        lines.extend(place_lines(Format::Wide, &FieldChange { field, before, after }));
    }
    for (name, value) in [("request", &entry.asked), ("response", &entry.answer)] {
        if !value.is_null() {
            lines.push(String::new());
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            lines.extend(format!("{name} {text}").lines().map(shown));
        }
    }
    lines
}

fn counted_documents(count: u64) -> String {
    pumice_core::text::counted(usize::try_from(count).unwrap_or(usize::MAX), "document")
}
