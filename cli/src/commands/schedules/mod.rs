//! `schedules`: looks at what the clock starts, and pauses it. Entries are counted from 0, as in the records of runs.

mod backfill;
mod backfills;
mod export;
mod hold;
mod list;
mod next;
mod simulate;
mod start;

use pumice_core::text::escaped;
use pumice_service::schedules::{ListSchedules, UnreadJob};

use crate::args::{Backfills, ExportFormat, Global, Schedules};
use crate::failure::Failure;
use crate::output::warn;
use crate::target::Target;

/// Carries out a command.
pub(super) async fn schedules(global: &Global, command: Schedules) -> Result<(), Failure> {
    let realm = match is_change(&command) {
        true => Target::open(global, false).await?,
        false => Target::open_to_read(global).await?,
    };
    match command {
        Schedules::List { job, filter } => list::list(global, &realm, ListSchedules { job, filter }).await,
        Schedules::Next(options) => next::next(global, &realm, options).await,
        Schedules::Pause(options) => hold::pause(global, &realm, options).await,
        Schedules::Resume(options) => hold::resume(global, &realm, options).await,
        Schedules::Run(options) => start::start(global, &realm, options).await,
        Schedules::Backfill(options) => backfill::begin(global, &realm, options).await,
        Schedules::Backfills(command) => backfills::backfills(global, &realm, command).await,
        Schedules::Simulate { job, down } => simulate::simulate(global, &realm, job, &down).await,
        Schedules::Export { job, format: ExportFormat::Eventbridge } => {
            export::export(global, &realm, job).await
        }
    }
}

/// Whether a command changes something.
const fn is_change(command: &Schedules) -> bool {
    match command {
        Schedules::Pause(options) => !options.entries.dry_run,
        Schedules::Resume(options) => !options.entries.dry_run,
        Schedules::Run(options) => !options.dry_run,
        Schedules::Backfill(options) => !options.dry_run,
        Schedules::Backfills(Backfills::Cancel { dry_run, .. } | Backfills::Resume { dry_run, .. }) => {
            !*dry_run
        }
        Schedules::Backfills(Backfills::List { .. } | Backfills::Show { .. })
        | Schedules::List { .. }
        | Schedules::Next(_)
        | Schedules::Simulate { .. }
        | Schedules::Export { .. } => false,
    }
}

/// Warns of the jobs that cannot be read.
fn warn_unread(global: &Global, unread: &[UnreadJob]) {
    let line = |one: &UnreadJob| {
        let job = escaped(one.job_id.as_str());
        format!("job {job} cannot be read, so that nothing starts it: {}", one.trouble)
    };
    warn(global, &unread.iter().map(line).collect::<Vec<_>>());
}

/// The actor's name.
pub(super) fn user() -> String {
    crate::realm::user()
}
