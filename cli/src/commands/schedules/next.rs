//! `schedules next`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::Timelike;
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::clock::{Slot, Standing, Upcoming, local, notes, standings, utc};
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_template::Zone;
use serde_json::{Value, json};

use super::{Scheduled, Which, find};
use crate::args::{Global, NextStarts};
use crate::commands::instant;
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::realm::Realm;

/// How many slots are shown, where nothing else is said.
const SHOWN: usize = 10;
/// Most slots that are shown of a time that ends.
const MAX_SHOWN: usize = 10_000;

/// The time that is asked for.
struct Asked {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    number: usize,
    zone: Option<Tz>,
}

impl Asked {
    async fn read(realm: &Realm, options: &NextStarts) -> Result<Self, Failure> {
        let zone = options.tz.as_deref().map(str::parse::<Timezone>).transpose();
        let zone = zone.map_err(|error| Failure::Wrong(format!("--tz: {error}")))?.map(|zone| zone.0);
        let read_in = match zone {
            Some(zone) => Zone::Named(zone),
            None => realm.site().await?.zone,
        };
        let time = |option: &str, text: &Option<String>| -> Result<Option<Timestamp>, Failure> {
            text.as_deref().map(|text| instant(option, text, read_in)).transpose()
        };
        let (from, to) = (time("--from", &options.from)?, time("--to", &options.to)?);
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            return Err(Failure::Wrong(format!("--to {} is before --from {}", utc(to), utc(from))));
        }
        let number = options.number.unwrap_or(if to.is_some() { MAX_SHOWN } else { SHOWN });
        Ok(Self { from, to, number: number.min(MAX_SHOWN), zone })
    }
}

/// The slots of an entry.
struct Row<'a> {
    job: &'a Scheduled,
    standing: Standing<'a>,
    slots: Upcoming,
}

/// Shows the next slots of all entries, in the order of time.
pub(super) async fn next(global: &Global, realm: &Realm, options: &NextStarts) -> Result<(), Failure> {
    let asked = Asked::read(realm, options).await?;
    let which = options.job.as_deref().map_or(Which::Matching(None), Which::Named);
    let found = find(realm, which).await?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for job in &found.scheduled {
        for standing in standings(&job.plan, &job.timetable, found.now) {
            let slots = match asked.from {
                Some(from) => standing.named_after(from - chrono::TimeDelta::microseconds(1)),
                None => standing.upcoming(found.now),
            };
            rows.push(Row { job, standing, slots });
        }
    }
    let (slots, is_cut) = merged(&mut rows, &asked);
    let silent: Vec<&Row<'_>> = rows.iter().filter(|row| row.standing.silence().is_some()).collect();
    let shown: Vec<Value> = slots.iter().map(|(row, slot)| slot_json(&rows[*row], slot, &asked)).collect();
    let value =
        json!({ "slots": shown, "silent": silent.iter().map(|row| silent_json(row)).collect::<Vec<_>>() });
    let lines: Vec<Vec<String>> = slots.iter().map(|(row, slot)| line(&rows[*row], slot, &asked)).collect();
    let heading = [
        Column::Path("JOB", 10),
        Column::Whole("#"),
        Column::Whole("UTC"),
        Column::Whole("LOCAL"),
        Column::Path("ZONE", 14),
        Column::Text("", 4),
    ];
    print(global.output, &value, || columns(global.output, &heading, &lines))?;
    if global.output.is_table() {
        let line = |row: &&Row<'_>| {
            let why = row.standing.silence().unwrap_or_default();
            format!("{} entry {}: {}", escaped(row.job.job_id.as_str()), row.standing.entry, escaped(&why))
        };
        note(global, &silent.iter().map(line).collect::<Vec<_>>());
        let notes: Vec<String> =
            lines.iter().filter_map(|line| line.last().filter(|note| !note.is_empty())).cloned().collect();
        if !notes.is_empty() && global.output != crate::args::Format::Wide {
            note(global, &distinct(notes));
        }
        if is_cut {
            note(global, &[format!("the first {MAX_SHOWN} starts")]);
        }
    }
    if global.output.is_table() {
        found.warn(global);
    }
    Ok(())
}

fn distinct(mut notes: Vec<String>) -> Vec<String> {
    notes.sort();
    notes.dedup();
    notes
}

/// The slots of all entries in the order of time, and whether there are more than may be shown.
fn merged(rows: &mut [Row<'_>], asked: &Asked) -> (Vec<(usize, Slot)>, bool) {
    let mut heap = BinaryHeap::new();
    let mut pending: Vec<Option<Slot>> = rows.iter_mut().map(|row| row.slots.next()).collect();
    heap.extend(pending.iter().enumerate().filter_map(|(row, slot)| Some(Reverse((slot.as_ref()?.at, row)))));
    let mut slots = Vec::new();
    while let Some(Reverse((at, row))) = heap.pop() {
        if asked.to.is_some_and(|to| at > to) {
            break;
        }
        if slots.len() == asked.number {
            return (slots, asked.number == MAX_SHOWN);
        }
        slots.extend(pending[row].take().map(|slot| (row, slot)));
        pending[row] = rows[row].slots.next();
        heap.extend(pending[row].as_ref().map(|slot| Reverse((slot.at, row))));
    }
    (slots, false)
}

/// What is to be known of a slot.
fn all_notes(row: &Row<'_>, slot: &Slot, asked: &Asked) -> Vec<String> {
    let mut all = row.standing.planned.map(|planned| notes(slot, planned)).unwrap_or_default();
    if asked.from.is_some() {
        all.extend(row.standing.silence().filter(|_| row.standing.word() != "over"));
    } else if row.standing.overdue.contains(slot) {
        all.push("overdue: starts as soon as a server looks".to_owned());
    }
    all
}

fn zone_of(row: &Row<'_>, asked: &Asked) -> Tz {
    asked.zone.or(row.standing.planned.map(|planned| planned.zone)).unwrap_or(Tz::UTC)
}

fn slot_json(row: &Row<'_>, slot: &Slot, asked: &Asked) -> Value {
    let zone = zone_of(row, asked);
    json!({
        "job_id": row.job.job_id,
        "entry": row.standing.entry,
        "slot": utc(slot.at),
        "local": local(slot.at, zone),
        "zone": zone.name(),
        "notes": all_notes(row, slot, asked),
    })
}

fn silent_json(row: &Row<'_>) -> Value {
    json!({
        "job_id": row.job.job_id,
        "entry": row.standing.entry,
        "state": row.standing.word(),
        "why": row.standing.silence(),
    })
}

fn line(row: &Row<'_>, slot: &Slot, asked: &Asked) -> Vec<String> {
    let zone = zone_of(row, asked);
    let pattern = if slot.at.second() == 0 { "%m-%d %H:%M %z" } else { "%m-%d %H:%M:%S %z" };
    vec![
        escaped(row.job.job_id.as_str()).into_owned(),
        row.standing.entry.to_string(),
        slot.at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        slot.at.with_timezone(&zone).format(pattern).to_string(),
        zone.name().to_owned(),
        escaped(&all_notes(row, slot, asked).join("; ")).into_owned(),
    ]
}
