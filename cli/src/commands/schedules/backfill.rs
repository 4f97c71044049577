//! `schedules backfill`.

use pumice_core::clock::utc;
use pumice_service::Instant;
use pumice_service::schedules::{
    BackfillAnswer, BackfillForeseen, BackfillShown, BeginBackfill, begin as begin_backfill,
};
use pumice_template::Zone;

use super::backfills::line;
use super::user;
use crate::args::{Global, NewBackfill};
use crate::commands::{instant, range_end, timezone};
use crate::failure::Failure;
use crate::output::{note, print};
use crate::target::Target;

/// Begins a backfill, or shows what it would start.
pub(super) async fn begin(global: &Global, realm: &Target, options: NewBackfill) -> Result<(), Failure> {
    let zone = match timezone("--tz", options.tz.as_deref())? {
        Some(zone) => Zone::Named(zone.0),
        None => realm.zone().await?,
    };
    let request = BeginBackfill {
        from: Instant(instant("--from", &options.from, zone)?),
        to: Instant(range_end("--to", &options.to, zone)?),
        job: options.job,
        entry: options.entry,
        only: options.only.into(),
        max_active: options.max_active,
        reverse: options.reverse,
        key: options.key,
        by: user(),
        why: options.why.unwrap_or_default(),
        dry_run: options.dry_run,
    };
    let answer = realm.ask(begin_backfill, &request).await?;
    print(global.output, &answer, || match &answer {
        BackfillAnswer::Foreseen(foreseen) => foreseen_lines(foreseen),
        BackfillAnswer::Begun(begun) => {
            let there = if begun.existing { "  (was there already)" } else { "" };
            vec![format!("{}{there}", line(&begun.backfill))]
        }
    })?;
    match &answer {
        BackfillAnswer::Foreseen(foreseen) => {
            note(global, &foreseen.notes);
            note(global, &foreseen.existing.iter().map(|known| how_to_go_on(known)).collect::<Vec<_>>());
        }
        BackfillAnswer::Begun(begun) if begun.existing => note(global, &[how_to_go_on(&begun.backfill)]),
        BackfillAnswer::Begun(begun) => {
            note(global, &begun.notes);
            if realm.is_served().await == Some(false) {
                let message = "nothing serves this folder: `pumice serve` runs what was started, and goes on";
                note(global, &[message.to_owned()]);
            }
        }
    }
    Ok(())
}

fn how_to_go_on(backfill: &BackfillShown) -> String {
    match backfill.state.as_str() {
        "active" => "it goes on, and nothing is begun anew".to_owned(),
        "complete" => "it is complete: with another --key another one is begun".to_owned(),
        _ => format!(
            "`pumice schedules backfills resume {}` has it go on; with another --key another one is begun",
            backfill.id
        ),
    }
}

fn foreseen_lines(foreseen: &BackfillForeseen) -> Vec<String> {
    if let Some(known) = &foreseen.existing {
        let there = format!("{}  (was there already)", line(known));
        return vec![there, "(dry run: nothing would be started)".to_owned()];
    }
    let slots = foreseen.slots.iter().map(|slot| {
        let what = if slot.starts { "start" } else { "pass " };
        let why = slot.why.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
        format!("{what}  {}  {}  entry {}{why}", utc(slot.slot.0), slot.local, slot.entry)
    });
    let mut lines: Vec<String> = slots.collect();
    let (starts, planned) = (foreseen.starts, foreseen.planned);
    lines.push(format!("(dry run: {starts} of {planned} slots would be started)"));
    lines
}
