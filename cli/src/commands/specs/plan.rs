//! How a plan is shown: a line for each document, below it what changes, and how to carry the plan out.

use anstyle::{AnsiColor, Style};
use pumice_core::text::escaped;
use pumice_service::specs::{
    ChangeWord, DocumentName, DocumentUser, FieldChange, Planned, PlannedDocument, UnendedRuns,
};
use serde_json::Value;

use super::moved_lines;
use crate::args::Format;
use crate::output::{WIDTH, cut_end, cut_middle};

/// Most places of a document that are shown, unless the format is wide.
const MAX_PLACES: usize = 40;

/// A plan for people.
pub(super) fn lines(format: Format, planned: &Planned) -> Vec<String> {
    let mut lines: Vec<String> =
        planned.documents.iter().flat_map(|one| document_lines(format, one)).collect();
    lines.extend(planned.users.iter().map(user_line));
    if let (Some(scope), false) = (&planned.scope, planned.kept.is_empty()) {
        let scope = scope.to_string();
        lines.push(format!("stays within {}, as the files have none of its kind there:", escaped(&scope)));
        lines.extend(planned.kept.iter().map(|one| fitted(format, format!("    {}", named(one)))));
    }
    lines.extend(planned.moved.iter().flat_map(moved_lines));
    let count = |change| planned.count(change);
    let (added, updated, removed) =
        (count(ChangeWord::Added), count(ChangeWord::Updated), count(ChangeWord::Removed));
    lines.push(match planned.is_change() {
        true => {
            let unchanged = planned.unchanged;
            format!("{added} to add, {updated} to update, {removed} to remove, {unchanged} unchanged")
        }
        false => format!("nothing to do: {} unchanged", planned.unchanged),
    });
    if planned.documents.iter().any(|one| one.unended.is_some()) {
        lines.push(
            "apply refuses this until these runs have ended, unless --despite-runs is given".to_owned(),
        );
    }
    lines.push(format!("digest {}", planned.digest));
    lines
}

/// The sign of a change, in its colour.
fn sign(change: ChangeWord) -> String {
    let (sign, colour) = match change {
        ChangeWord::Added => ('+', AnsiColor::Green),
        ChangeWord::Updated => ('~', AnsiColor::Yellow),
        ChangeWord::Removed => ('-', AnsiColor::Red),
        ChangeWord::Unchanged => return " ".to_owned(),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{sign}{style:#}")
}

fn named(one: &DocumentName) -> String {
    format!("{} {}", one.kind.as_str(), escaped(&one.id))
}

/// A document that stays, and what it names that goes.
pub(super) fn user_line(user: &DocumentUser) -> String {
    let names: Vec<String> = user.names.iter().map(named).collect();
    let line = format!("{} {} still names {}", user.kind.as_str(), escaped(&user.id), names.join(", "));
    let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    format!("{style}!{style:#} {}", cut_end(&line, WIDTH - 2))
}

fn fitted(format: Format, line: String) -> String {
    if format == Format::Wide { line } else { cut_end(&line, WIDTH) }
}

fn document_lines(format: Format, one: &PlannedDocument) -> Vec<String> {
    let kind = one.kind.as_str();
    let id = escaped(&one.id);
    let id = match format {
        Format::Wide => id.into_owned(),
        _ => cut_middle(&id, WIDTH - 3 - kind.len()),
    };
    let mut lines = vec![format!("{} {kind} {id}", sign(one.change))];
    if one.drift {
        lines.push("    drift: changed by other means since it was applied".to_owned());
    }
    let shown = if format == Format::Wide { usize::MAX } else { MAX_PLACES };
    lines.extend(one.fields.iter().take(shown).flat_map(|field| place_lines(format, field)));
    if one.fields.len() > shown {
        lines.push(format!("    … and {} more: -o wide shows all", one.fields.len() - shown));
    }
    lines.extend(touched_lines(format, one.schedule.as_ref(), one.unended.as_ref()));
    lines
}

/// The schedule of a job that is removed, and its runs that have not ended.
pub(super) fn touched_lines(
    format: Format,
    schedule: Option<&Value>,
    unended: Option<&UnendedRuns>,
) -> Vec<String> {
    let schedule = schedule.map(|schedule| {
        fitted(format, escaped(&format!("    its schedule starts nothing more: {schedule}")).into_owned())
    });
    let unended = unended.map(|unended| fitted(format, unended_line(unended)));
    schedule.into_iter().chain(unended).collect()
}

fn unended_line(unended: &UnendedRuns) -> String {
    let runs: Vec<&str> = unended.runs.iter().map(pumice_core::ids::RunKey::as_str).collect();
    let (count, least) = (unended.count, if unended.at_least { "at least " } else { "" });
    let have = if count == 1 { "run has" } else { "runs have" };
    format!("    {least}{count} {have} not ended: {}", runs.join(", "))
}

/// A place as it is and as it would be: on one line where that fits.
pub(in crate::commands) fn place_lines(format: Format, change: &FieldChange) -> Vec<String> {
    let FieldChange { field, before, after } = change;
    let text = |value: &Value| value.to_string();
    let line = |sign: char, value: &Value| {
        let line = escaped(&format!("    {sign} {field}: {}", text(value))).into_owned();
        fitted(format, line)
    };
    match (before, after) {
        (Some(before), Some(after)) => {
            let one = escaped(&format!("    {field}: {} → {}", text(before), text(after))).into_owned();
            match unicode_width::UnicodeWidthStr::width(one.as_str()) <= WIDTH {
                true => vec![one],
                false => vec![line('-', before), line('+', after)],
            }
        }
        (Some(before), None) => vec![line('-', before)],
        (None, Some(after)) => vec![line('+', after)],
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use pumice_service::specs::DocumentKind;
    use serde_json::json;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn plan_fits_eighty_columns_and_shows_old_and_new() {
        let field = |before: Option<Value>, after: Option<Value>| FieldChange {
            field: "parameters.env.PATH".to_owned(),
            before,
            after,
        };
        let long = json!("x".repeat(200));
        let document = PlannedDocument {
            kind: DocumentKind::Job,
            id: format!("etl/{}", "日本/".repeat(60)),
            change: ChangeWord::Updated,
            drift: false,
            fields: vec![
                field(Some(json!("a")), Some(json!("b\u{202e}"))),
                field(Some(json!("a")), Some(long.clone())),
                field(None, Some(long.clone())),
                field(Some(json!(null)), None),
            ],
            schedule: Some(long),
            unended: Some(UnendedRuns { count: 30, at_least: true, runs: Vec::new() }),
        };
        let planned = Planned { documents: vec![document], digest: "d".repeat(32), ..Planned::default() };
        let plain = |format| {
            let lines = lines(format, &planned);
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>()
        };
        let shown = plain(Format::Table);
        assert!(shown.iter().all(|line| line.width() <= WIDTH), "{shown:#?}");
        assert_eq!(shown[1], "    parameters.env.PATH: \"a\" → \"b\\u{202e}\"");
        assert_eq!(shown[2], "    - parameters.env.PATH: \"a\"");
        assert!(shown.iter().any(|line| line == "    - parameters.env.PATH: null"), "{shown:#?}");
        assert!(plain(Format::Wide).iter().any(|line| line.width() > WIDTH));
    }
}
