//! `schedules simulate`.

use pumice_core::clock::{MAX_COUNTED, utc};
use pumice_core::text::escaped;
use pumice_service::schedules::{EntryRecovery, SimulateOutage, simulate as simulate_outage};
use pumice_service::{Instant, Slot};

use super::warn_unread;
use crate::args::Global;
use crate::commands::{instant, range_end};
use crate::failure::Failure;
use crate::output::print;
use crate::target::Target;

/// Most slots of an entry that are written out for people.
const SHOWN: usize = 5;

/// Shows what catch-up would do if nothing looked at the clock between two times.
pub(super) async fn simulate(
    global: &Global,
    realm: &Target,
    job: Option<String>,
    down: &[String],
) -> Result<(), Failure> {
    let zone = realm.zone().await?;
    let [from, to] = down else { return Err(Failure::wrong("--down takes two times")) };
    let (from, to) = (instant("--down", from, zone)?, range_end("--down", to, zone)?);
    if to <= from {
        let message = format!("--down ends at {}, not after it begins at {}", utc(to), utc(from));
        return Err(Failure::wrong(message));
    }
    let request = SimulateOutage { job, from: Instant(from), to: Instant(to) };
    let simulated = realm.ask(simulate_outage, &request).await?;
    print(global.output, &simulated, || {
        let lines = simulated.entries.iter().map(|entry| {
            format!("{} {}: {}", escaped(entry.job_id.as_str()), entry.entry, escaped(&in_words(entry)))
        });
        lines.collect()
    })?;
    if global.output.is_table() {
        warn_unread(global, &simulated.unread);
    }
    Ok(())
}

/// How many slots were missed, as far as they were counted.
fn count(count: u32) -> String {
    if count >= MAX_COUNTED { format!("{count} or more") } else { count.to_string() }
}

fn in_words(recovery: &EntryRecovery) -> String {
    if let Some(why) = &recovery.why {
        return why.clone();
    }
    let mut parts = Vec::new();
    match (recovery.first, recovery.last) {
        (Some(first), Some(last)) if first != last => {
            let (from, to) = (utc(first.0), utc(last.0));
            parts.push(format!("misses {} from {from} to {to}", count(recovery.missed)));
        }
        (Some(slot), _) | (_, Some(slot)) => parts.push(format!("misses {}", utc(slot.0))),
        (None, None) => parts.push("misses nothing".to_owned()),
    }
    if recovery.halts {
        parts.push("more than it may make up for: it halts until it is resumed".to_owned());
        return parts.join("; ");
    }
    let at_the_end = |slots: &[Slot]| {
        let shown: Vec<String> = slots.iter().take(SHOWN).map(|slot| utc(slot.0)).collect();
        let more = slots.len().saturating_sub(SHOWN);
        format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    if !recovery.made_up.is_empty() {
        parts.push(format!("makes up for {}", at_the_end(&recovery.made_up)));
    }
    if recovery.passed_over > 0 {
        parts.push(format!("passes over {}", count(recovery.passed_over)));
    }
    if !recovery.in_time.is_empty() {
        parts.push(format!("starts in time {}", at_the_end(&recovery.in_time)));
    }
    parts.join("; ")
}
