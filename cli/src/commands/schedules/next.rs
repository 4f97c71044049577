//! `schedules next`.

use chrono::Timelike;
use chrono_tz::Tz;
use pumice_core::clock::utc;
use pumice_core::text::escaped;
use pumice_service::Instant;
use pumice_service::schedules::{
    MAX_SHOWN, NextStarts as Asked, SilentEntry, UpcomingSlot, next as next_starts,
};
use pumice_template::Zone;

use super::warn_unread;
use crate::args::{Format, Global, NextStarts};
use crate::commands::{instant, range_end, timezone};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;

async fn asked(realm: &Target, options: NextStarts) -> Result<Asked, Failure> {
    let NextStarts { job, number, from, to, tz } = options;
    let zone = timezone("--tz", tz.as_deref())?;
    let read_in = match zone {
        Some(zone) => Zone::Named(zone.0),
        None => realm.zone().await?,
    };
    let from = from.map(|text| instant("--from", &text, read_in).map(Instant)).transpose()?;
    let to = to.map(|text| range_end("--to", &text, read_in).map(Instant)).transpose()?;
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        return Err(Failure::wrong(format!("--to {} is before --from {}", utc(to.0), utc(from.0))));
    }
    Ok(Asked { job, number, from, to, zone })
}

/// Shows the next slots of all entries, in the order of time.
pub(super) async fn next(global: &Global, realm: &Target, options: NextStarts) -> Result<(), Failure> {
    let found = realm.ask(next_starts, &asked(realm, options).await?).await?;
    let lines: Vec<Vec<String>> = found.slots.iter().map(line).collect();
    let heading = [
        Column::Path("JOB", 10),
        Column::Whole("#"),
        Column::Whole("UTC"),
        Column::Whole("LOCAL"),
        Column::Path("ZONE", 14),
        Column::Text("", 4),
    ];
    print(global.output, &found, || columns(global.output, &heading, &lines))?;
    if found.cut {
        note(global, &[format!("the first {MAX_SHOWN} starts")]);
    }
    if !global.output.is_table() {
        return Ok(());
    }
    let silent = |one: &SilentEntry| {
        let why = one.why.as_deref().unwrap_or_default();
        format!("{} entry {}: {}", escaped(one.job_id.as_str()), one.entry, escaped(why))
    };
    note(global, &found.note.iter().cloned().collect::<Vec<_>>());
    note(global, &found.silent.iter().map(silent).collect::<Vec<_>>());
    let mut notes: Vec<String> =
        found.slots.iter().filter(|slot| !slot.notes.is_empty()).map(in_one_line).collect();
    if global.output != Format::Wide {
        notes.sort();
        notes.dedup();
        note(global, &notes);
    }
    warn_unread(global, &found.unread);
    Ok(())
}

fn in_one_line(slot: &UpcomingSlot) -> String {
    escaped(&slot.notes.join("; ")).into_owned()
}

fn line(slot: &UpcomingSlot) -> Vec<String> {
    let (at, zone) = (slot.slot.0, slot.zone.parse().unwrap_or(Tz::UTC));
    let pattern = if at.second() == 0 { "%m-%d %H:%M %z" } else { "%m-%d %H:%M:%S %z" };
    vec![
        escaped(slot.job_id.as_str()).into_owned(),
        slot.entry.to_string(),
        at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        at.with_timezone(&zone).format(pattern).to_string(),
        slot.zone.clone(),
        in_one_line(slot),
    ]
}
