//! `schedules simulate`.

use pumice_core::clock::{MAX_COUNTED, Recovery, Slot, after_outage, utc};
use pumice_core::text::escaped;
use serde_json::{Value, json};

use super::{Scheduled, Which, find};
use crate::args::Global;
use crate::commands::instant;
use crate::failure::Failure;
use crate::output::print;
use crate::realm::Realm;

/// Most slots of an entry that are written out for people.
const SHOWN: usize = 5;

/// Shows what catch-up would do if nothing looked at the clock between two times.
pub(super) async fn simulate(
    global: &Global,
    realm: &Realm,
    job: Option<&str>,
    down: &[String],
) -> Result<(), Failure> {
    let zone = realm.site().await?.zone;
    let [from, to] = down else { return Err(Failure::Wrong("--down takes two times".to_owned())) };
    let (from, to) = (instant("--down", from, zone)?, instant("--down", to, zone)?);
    if to <= from {
        return Err(Failure::Wrong(format!("--down ends at {}, before it begins at {}", utc(to), utc(from))));
    }
    let found = find(realm, job.map_or(Which::Matching(None), Which::Named)).await?;
    let mut all: Vec<(&Scheduled, Recovery)> = Vec::new();
    for one in &found.scheduled {
        let recoveries = after_outage(&one.plan, &one.timetable, (from, to), found.now);
        all.extend(recoveries.into_iter().map(|recovery| (one, recovery)));
    }
    let shown: Vec<Value> = all.iter().map(|(one, recovery)| recovery_json(one, recovery)).collect();
    print(global.output, &json!({ "from": utc(from), "to": utc(to), "entries": shown }), || {
        let lines = all.iter().map(|(one, recovery)| {
            format!("{} {}: {}", escaped(one.job_id.as_str()), recovery.entry, escaped(&in_words(recovery)))
        });
        lines.collect()
    })?;
    if global.output.is_table() {
        found.warn(global);
    }
    Ok(())
}

/// How many slots were missed, as far as they were counted.
fn count(count: u32) -> String {
    if count >= MAX_COUNTED { format!("{count} or more") } else { count.to_string() }
}

fn in_words(recovery: &Recovery) -> String {
    if let Some(silence) = &recovery.silence {
        return silence.clone();
    }
    let mut parts = Vec::new();
    match &recovery.missed {
        None => parts.push("misses nothing".to_owned()),
        Some(missed) if missed.from == missed.to => parts.push(format!("misses {}", utc(missed.from))),
        Some(missed) => {
            let (from, to) = (utc(missed.from), utc(missed.to));
            parts.push(format!("misses {} from {from} to {to}", count(missed.count)));
        }
    }
    if recovery.halts {
        parts.push("more than it may make up for: it halts until it is resumed".to_owned());
        return parts.join("; ");
    }
    let at_the_end = |slots: &[Slot]| {
        let shown: Vec<String> = slots.iter().take(SHOWN).map(|slot| utc(slot.at)).collect();
        let more = slots.len().saturating_sub(SHOWN);
        format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    if !recovery.made_up.is_empty() {
        parts.push(format!("makes up for {}", at_the_end(&recovery.made_up)));
    }
    if recovery.passed_over() > 0 {
        parts.push(format!("passes over {}", count(recovery.passed_over())));
    }
    if !recovery.in_time.is_empty() {
        parts.push(format!("starts in time {}", at_the_end(&recovery.in_time)));
    }
    parts.join("; ")
}

fn recovery_json(one: &Scheduled, recovery: &Recovery) -> Value {
    let slots = |slots: &[Slot]| slots.iter().map(|slot| utc(slot.at)).collect::<Vec<_>>();
    json!({
        "job_id": one.job_id,
        "entry": recovery.entry,
        "missed": recovery.missed.as_ref().map_or(0, |missed| missed.count),
        "first": recovery.missed.as_ref().map(|missed| utc(missed.from)),
        "last": recovery.missed.as_ref().map(|missed| utc(missed.to)),
        "made_up": slots(&recovery.made_up),
        "in_time": slots(&recovery.in_time),
        "passed_over": if recovery.halts { 0 } else { recovery.passed_over() },
        "halts": recovery.halts,
        "why": recovery.silence,
    })
}
