//! `runs bulk`: acts on many runs, looked at, stopped and resumed.

use std::collections::HashSet;

use pumice_core::Timestamp;
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::runs::{
    BulkChanged, BulkDetails, BulkList, BulkShown, ListBulk, MIN_BEGINNING, ManyOutcome, ResumeBulk,
    ShowBulk, StopBulk, list_bulk, resume_bulk, resume_bulk_heard, show_bulk, stop_bulk,
};

use super::many::{Progress, goes_on};
use crate::args::{BulkActs, Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;
use crate::view;

/// How wide the terms of an act stay in a list before other columns give way, and that of its actor.
const TERMS: usize = 24;
const BY: usize = 6;
/// Most receipts that are shown to a person.
const MAX_SHOWN: usize = 1_000;

/// Looks at acts on many runs, stops and resumes them.
pub(super) async fn bulk(global: &Global, realm: &Target, command: BulkActs) -> Result<(), Failure> {
    match command {
        BulkActs::List { filter, limit } => {
            let found = realm.ask(list_bulk, &ListBulk { filter, limit }).await?;
            print(global.output, &found, || table(global.output, &found, SystemClock.now()))
        }
        BulkActs::Show { id, outcome, cursor } => {
            let found = realm.ask(show_bulk, &ShowBulk { id, outcome, cursor }).await?;
            print(global.output, &found, || details(&found))?;
            let more = found.next.map(|next| format!("more receipts with --cursor {next}"));
            note(global, &more.into_iter().collect::<Vec<_>>());
            Ok(())
        }
        BulkActs::Stop { id, why, dry_run } => {
            let request = StopBulk { id, why: why.unwrap_or_default(), dry_run };
            let changed = realm.ask(stop_bulk, &request).await?;
            print_changed(global, &changed)
        }
        BulkActs::Resume { id, dry_run } => {
            let request = ResumeBulk { id, dry_run };
            let changed = match realm {
                Target::There(_) => realm.ask(resume_bulk, &request).await.map_err(goes_on),
                Target::Here(here) => {
                    let mut progress = Progress::new(global);
                    resume_bulk_heard(&**here, &request, &mut |step| progress.heard(step)).await
                }
            };
            let changed = changed?;
            print_changed(global, &changed)?;
            let is_whole = changed.dry_run || (changed.bulk.refused == 0 && changed.bulk.stopped.is_none());
            if is_whole { Ok(()) } else { Err(Failure::RunFailed) }
        }
    }
}

fn table(format: Format, found: &BulkList, now: Timestamp) -> Vec<String> {
    let is_wide = format == Format::Wide;
    let beginning = |one: &BulkShown| one.id.get(..MIN_BEGINNING).unwrap_or(&one.id).to_owned();
    let beginnings: HashSet<String> = found.bulk.iter().map(beginning).collect();
    let is_short = !is_wide && beginnings.len() == found.bulk.len();
    let row = |one: &BulkShown| {
        vec![
            if is_short { beginning(one) } else { one.id.clone() },
            one.act.as_str().to_owned(),
            one.state.clone(),
            if is_wide { view::local_time(one.begun.0) } else { view::short_time(one.begun.0, now) },
            format!("{}/{}", one.count - one.left, one.count),
            escaped(&one.by).into_owned(),
            escaped(&one.filter).into_owned(),
        ]
    };
    let heading = [
        Column::Whole("ID"),
        Column::Whole("ACT"),
        Column::Whole("STATE"),
        Column::Whole("BEGUN"),
        Column::Whole("RUNS"),
        Column::Text("BY", BY),
        Column::Reason("WHERE", TERMS),
    ];
    columns(format, &heading, &found.bulk.iter().map(row).collect::<Vec<_>>())
}

/// An act in a few lines.
fn lines(one: &BulkShown) -> Vec<String> {
    let why = one.why.as_deref().map(|why| format!(": {}", escaped(why))).unwrap_or_default();
    let mut lines = vec![
        format!("{} {}, {}", one.act.as_str(), one.id, one.state),
        format!("runs that {} means, dispatched before {}", escaped(&one.filter), iso(one.before.0)),
        format!("begun by {} from {} at {}{why}", escaped(&one.by), one.from, view::local_time(one.begun.0)),
        format!(
            "{} of {} runs: {} done, {} dealt with before, {} refused",
            one.count - one.left,
            one.count,
            one.done,
            one.already,
            one.refused
        ),
    ];
    lines.extend(one.stopped.as_ref().map(|stop| {
        let why = if stop.why.is_empty() { String::new() } else { format!(": {}", escaped(&stop.why)) };
        format!("stopped by {}{why}", escaped(&stop.by))
    }));
    lines.extend(one.error.as_deref().map(|error| format!("failed: {}", escaped(error))));
    if matches!(one.state.as_str(), "interrupted" | "failed" | "stopped") {
        let at = view::local_time(one.last_write.0);
        lines.push(format!("its process last wrote at {at}: `pumice runs bulk resume {}` goes on", one.id));
    }
    lines
}

fn iso(at: pumice_core::Timestamp) -> String {
    pumice_core::message::iso(at)
}

fn details(found: &BulkDetails) -> Vec<String> {
    let mut lines = lines(&found.bulk);
    for receipt in found.receipts.iter().take(MAX_SHOWN) {
        let by = receipt.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let error = receipt.error.as_deref().map(|error| format!(": {}", escaped(error))).unwrap_or_default();
        lines.push(format!("{}  {}{by}{error}", receipt.run, word(receipt.outcome)));
    }
    let more = found.receipts.len().saturating_sub(MAX_SHOWN);
    lines.extend((more > 0).then(|| format!("and {more} more: -o json has them")));
    lines
}

fn word(outcome: ManyOutcome) -> &'static str {
    match outcome {
        ManyOutcome::Already => "dealt with before",
        ManyOutcome::HandedOver => "cancelled, but lava's worker may run it all the same",
        outcome => outcome.as_str(),
    }
}

fn print_changed(global: &Global, changed: &BulkChanged) -> Result<(), Failure> {
    print(global.output, changed, || {
        let mut all = lines(&changed.bulk);
        all.extend((!changed.changed).then(|| "(nothing changed)".to_owned()));
        all.extend(changed.dry_run.then(|| "(dry run: nothing was changed)".to_owned()));
        all
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn act(id: &str, filter: &str) -> serde_json::Value {
        json!({
            "id": id, "act": "cancel", "state": "interrupted", "where": filter,
            "before": "2026-11-28T10:00:00Z", "by": "arn:aws:sts::1:assumed-role/ops/ada", "from": "cli",
            "begun": "2026-11-28T10:00:00Z", "last_write": "2026-11-28T10:00:01Z", "ended": null,
            "count": 100_000, "done": 90_000, "already": 0, "refused": 0, "left": 10_000,
        })
    }

    #[test]
    fn terms_of_an_act_are_cut_with_a_mark_and_whole_when_wide() {
        let now = "2026-11-29T10:00:00Z".parse().unwrap();
        let filter =
            "job:etl/customers/* status:dispatched,waiting,active worker:core reason:\"exit status 3\"";
        let ids = ["01a226ff-8f0d-72b8-929f-8fd573c0c005", "01a226ff-8f48-72b8-929f-8fd573c0c005"];
        let list = |ids: &[&str]| -> BulkList {
            let acts: Vec<_> = ids.iter().map(|id| act(id, filter)).collect();
            serde_json::from_value(json!({ "bulk": acts })).unwrap()
        };
        let lines = table(Format::Table, &list(&ids), now);
        assert!(lines.iter().all(|line| line.width() <= 80), "{lines:#?}");
        for (line, id) in lines[1..].iter().zip(ids) {
            let terms = line.rsplit("  ").next().unwrap();
            assert!(terms.contains('…') && terms.starts_with("job:"), "{line}");
            assert!(line.starts_with(&id[..MIN_BEGINNING]), "{line}");
        }
        let wide = table(Format::Wide, &list(&ids), now);
        assert!(wide[1].contains(filter) && wide[1].contains(ids[0]), "{wide:#?}");
        // Ids that begin alike are whole: each names its act.
        let alike = table(Format::Table, &list(&[ids[0], "01a226ff-8f0d-7fff-929f-8fd573c0c005"]), now);
        assert!(alike[1].starts_with(ids[0]) && alike[1].contains('…'), "{alike:#?}");
    }
}
