//! `schedules pause` and `schedules resume`.

use pumice_core::clock::utc;
use pumice_core::duration::Span;
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::Instant;
use pumice_service::schedules::{
    EntryOutcome, Held, HeldEntry, PauseEntries, ResumeEntries, pause as pause_entries,
    resume as resume_entries,
};

use super::user;
use crate::args::{Entries, Global, Pause, Resume};
use crate::commands::instant;
use crate::failure::{Failure, of_option};
use crate::output::print;
use crate::target::Target;

/// Pauses entries.
pub(super) async fn pause(global: &Global, realm: &Target, options: Pause) -> Result<(), Failure> {
    let until = match &options.until {
        // Digits alone are a day of the basic form: 20270301.
        Some(text) if text.ends_with(|c: char| "smhdw".contains(c)) => {
            let span = Span::parse(text).map_err(|error| of_option("--until", error))?;
            Some(SystemClock.now() + span.delta())
        }
        Some(text) => Some(instant("--until", text, realm.zone().await?)?),
        None => None,
    };
    if let Some(until) = until.filter(|until| *until <= SystemClock.now()) {
        return Err(Failure::wrong(format!("--until {} is past", utc(until))));
    }
    let Entries { jobs, entry, dry_run } = options.entries;
    let (until, by, why) = (until.map(Instant), user(), options.why.unwrap_or_default());
    let request = PauseEntries { jobs, entry, until, by, why, dry_run };
    show(global, &realm.ask(pause_entries, &request).await?)
}

/// Resumes entries.
pub(super) async fn resume(global: &Global, realm: &Target, options: Resume) -> Result<(), Failure> {
    let Entries { jobs, entry, dry_run } = options.entries;
    let request = ResumeEntries { jobs, entry, catch_up: options.catch_up, dry_run };
    show(global, &realm.ask(resume_entries, &request).await?)
}

fn show(global: &Global, held: &Held) -> Result<(), Failure> {
    print(global.output, held, || {
        let mut lines: Vec<String> = held.entries.iter().map(line).collect();
        if held.dry_run {
            lines.push("(dry run: nothing was changed)".to_owned());
        }
        lines
    })?;
    let halted: Vec<String> =
        held.entries.iter().filter(|one| one.outcome == EntryOutcome::Halted).map(name).collect();
    if halted.is_empty() {
        return Ok(());
    }
    let message = "would halt again, as more was missed than may be made up for: raise its max, or resume it without --catch-up";
    Err(Failure::wrong(format!("{} {message}", halted.join(", "))))
}

fn name(one: &HeldEntry) -> String {
    format!("{} entry {}", escaped(one.job_id.as_str()), one.entry)
}

fn line(one: &HeldEntry) -> String {
    let next = one.next.map(|next| format!(", next {}", utc(next.0))).unwrap_or_default();
    let why = match (one.outcome, &one.why) {
        (EntryOutcome::Paused | EntryOutcome::Halted, _) | (_, None) => String::new(),
        (_, Some(silence)) => format!(" ({})", escaped(silence)),
    };
    let caught_up = one.caught_up.as_ref().map(|caught_up| format!(", {}", caught_up.text()));
    let caught_up = caught_up.unwrap_or_default();
    format!("{:<9} {}{next}{caught_up}{why}", one.outcome.as_str(), name(one))
}
