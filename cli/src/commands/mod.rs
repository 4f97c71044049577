//! The commands, one file a family.

mod audit;
mod backup;
mod connections;
mod console;
mod dag;
mod definition;
mod dispatch;
mod export;
mod operating;
#[cfg(test)]
mod operations;
mod pauses;
mod payloads;
mod pools;
mod render;
mod run;
mod runs;
mod schedules;
mod secrets;
mod serve;
mod specs;
mod state;
mod triggers;
#[cfg(feature = "aws")]
mod worker;

pub(crate) use run::tree;

use clap::CommandFactory;
use pumice_core::Timestamp;
use std::sync::Arc;

use pumice_core::job_type::Runners;
use pumice_core::request::{BadGiven, parse_end, parse_instant, set_given};
use pumice_core::spec::Timezone;
use pumice_core::text::shown;
use pumice_host::processes;
use pumice_template::Zone;
use serde_json::{Map, Value};

use crate::args::{Cgroups, Cli, Command, Containment, Given, Payloads};
use crate::failure::{Failure, of_option};
use crate::output::write_raw;

/// Carries out a command line.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let global = &cli.global;
    global.check()?;
    if global.url.is_some() {
        refuse_without_console(&cli.command)?;
    }
    match cli.command {
        Command::Run(options) => run::run(global, options).await,
        Command::Serve(options) => serve::serve(global, options).await,
        Command::Console(options) => console::console(global, options).await,
        #[cfg(feature = "aws")]
        Command::Worker(options) => worker::worker(global, options).await,
        Command::Apply(options) => specs::apply(global, &options).await,
        Command::Plan(options) => specs::plan(global, &options).await,
        Command::Check(options) => specs::check(global, &options).await,
        Command::Export(options) => export::export(global, &options).await,
        Command::Dag(command) => dag::dag(global, &command),
        Command::Realm(command) => definition::definition(global, command).await,
        Command::Jobs(command) => specs::jobs(global, command).await,
        Command::Backup { file } => backup::backup(global, file).await,
        Command::Restore { file, dry_run: true } => backup::foreseen(global, file).await,
        Command::Restore { file, dry_run: false } => backup::restored(global, file).await,
        Command::Audit(command) => audit::audit(global, command).await,
        Command::Workers(command) => pauses::workers(global, command).await,
        Command::Pools(command) => pools::pools(global, command).await,
        Command::Maintenance(command) => pauses::maintenance(global, command).await,
        Command::Dispatch(options) => dispatch::dispatch(global, options).await,
        Command::Runs(command) => runs::runs(global, command).await,
        Command::Operating(command) => operating::operating(global, command).await,
        Command::Schedules(command) => schedules::schedules(global, command).await,
        Command::Triggers(command) => triggers::triggers(global, command).await,
        Command::Payloads(command) => payloads::payloads(global, command).await,
        Command::State(command) => state::state(global, command).await,
        Command::Connections(command) => connections::connections(global, command).await,
        Command::Secrets(command) => secrets::secrets(global, command).await,
        Command::Render(options) => render::render(global, options).await,
        Command::Template(options) => render::template(global, &options),
        Command::Schema { of } => specs::schema(global, of),
        Command::Completions { shell } => {
            // The generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pumice", &mut script);
            write_raw(&String::from_utf8_lossy(&script))
        }
    }
}

/// Refuses the commands that no console can be asked for, with what there is instead.
///
/// # Errors
/// [`Failure`] of such a command.
fn refuse_without_console(command: &Command) -> Result<(), Failure> {
    let instead = match command {
        Command::Run(_) => "`run` runs a job on this machine: `dispatch` asks the console for a run",
        Command::Serve(_) => "`serve` runs the jobs of a folder of this machine",
        Command::Console(_) => {
            "`console` shows a realm of this machine, or one on AWS: open the URL in a browser"
        }
        #[cfg(feature = "aws")]
        Command::Worker(_) => "`worker` runs the jobs of a realm on AWS",
        Command::Backup { .. } | Command::Restore { .. } => {
            "`backup` and `restore` copy a folder: use them where it is, with --home"
        }
        Command::Dag(_) | Command::Template(_) | Command::Schema { .. } | Command::Completions { .. } => {
            "this asks no realm: leave --url out"
        }
        Command::Payloads(Payloads::Put { .. } | Payloads::Get { .. }) => {
            "a console neither reads nor writes files: copy payloads where the realm is, with --home or --aws"
        }
        Command::Apply(_)
        | Command::Plan(_)
        | Command::Check(_)
        | Command::Export(_)
        | Command::Realm(_)
        | Command::Jobs(_)
        | Command::Workers(_)
        | Command::Pools(_)
        | Command::Maintenance(_)
        | Command::Audit(_)
        | Command::Dispatch(_)
        | Command::Runs(_)
        | Command::Operating(_)
        | Command::Schedules(_)
        | Command::Triggers(_)
        | Command::Payloads(Payloads::List { .. })
        | Command::State(_)
        | Command::Connections(_)
        | Command::Secrets(_)
        | Command::Render(_) => return Ok(()),
    };
    Err(of_option("--url", instead))
}

/// How many files a server has open besides those of its commands, and how many each command takes at most.
const OWN_FILES: u64 = 48;
const FILES_OF_A_COMMAND: u64 = 12;
/// The same for processes and threads; two are a subreaper's.
const OWN_PROCESSES: u64 = 24;
const PROCESSES_OF_A_COMMAND: u64 = 6;

/// How many commands there is room for at the same time.
const fn commands_in(room: u64, own: u64, of_a_command: u64) -> u64 {
    let most = room.saturating_sub(own) / of_a_command;
    if most == 0 { 1 } else { most }
}

/// Prepares this process for starting commands; `remove` is a folder that goes with it should it be killed. Gives how many
/// of the `slots` commands its limits allow at the same time.
fn prepare_for_commands(remove: Option<&std::path::Path>, slots: usize, containment: &Containment) -> usize {
    let wanted = u64::try_from(slots).unwrap_or(u64::MAX).saturating_mul(PROCESSES_OF_A_COMMAND);
    let files = processes::raise_limits().map(|room| commands_in(room, OWN_FILES, FILES_OF_A_COMMAND));
    let room = processes::room_for_processes(wanted.saturating_add(OWN_PROCESSES));
    let tasks = room.map(|room| commands_in(room, OWN_PROCESSES, PROCESSES_OF_A_COMMAND));
    let mut held = slots;
    for (most, limit) in
        [(files, "open files (ulimit -Hn)"), (tasks, "processes (ulimit -u, or pids.max of its cgroup)")]
    {
        if let Some(most) = most.and_then(|most| usize::try_from(most).ok()).filter(|most| *most < held) {
            held = most;
            tracing::warn!(slots = held, "fewer jobs run at the same time: the limit of {limit} is low");
        }
    }
    processes::adopt_orphans();
    if containment.cgroups == Cgroups::Auto {
        processes::use_cgroups();
    }
    processes::use_subreapers(&[processes::SUBREAPER]);
    processes::use_guard(remove);
    if let Err(error) = processes::hide_from_commands() {
        tracing::warn!(%error, "commands may look into this process");
    }
    held
}

/// The job types and actions of this program, with what runs and performs them.
fn runners() -> Result<Arc<Runners>, Failure> {
    pumice_job_runners::runners().map(Arc::new).map_err(|error| Failure::wrong(error.to_string()))
}

type GlobalsAndParameters = (Map<String, Value>, Map<String, Value>);

/// Reads `-g` and `-p`.
fn given(given: &Given) -> Result<GlobalsAndParameters, Failure> {
    let read = |option: &str, texts: &[String]| -> Result<Map<String, Value>, Failure> {
        let mut map = Map::new();
        for text in texts {
            set_given(&mut map, text).map_err(|error| {
                let example = match &error {
                    BadGiven::NoValue => format!(", as in {option} day=2026-03-01"),
                    _ => String::new(),
                };
                of_option(&format!("{option} {}", shown(text)), format!("{error}{example}"))
            })?;
        }
        Ok(map)
    };
    let (globals, parameters) = (read("--global", &given.globals)?, read("--param", &given.params)?);
    pumice_core::problem::SpecError::check(pumice_core::request::check_globals(&globals))
        .map_err(pumice_service::Error::from)?;
    Ok((globals, parameters))
}

/// Reads a time of the command line, in local time unless it names a zone.
fn instant(option: &str, text: &str, zone: Zone) -> Result<Timestamp, Failure> {
    match parse_instant(text) {
        Ok(instant) => Ok(instant.in_zone(zone.tz())),
        Err(error) => Err(of_option(option, error)),
    }
}

/// Reads the end of a range of the command line: a day without a time is that whole day.
fn range_end(option: &str, text: &str, zone: Zone) -> Result<Timestamp, Failure> {
    parse_end(text, zone.tz()).map_err(|error| of_option(option, error))
}

/// Reads a zone of the command line.
fn timezone(option: &str, name: Option<&str>) -> Result<Option<Timezone>, Failure> {
    name.map(str::parse).transpose().map_err(|error| of_option(option, error))
}
