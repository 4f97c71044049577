//! The `pumice` command: run jobs here, serve a realm's folder, look at what ran.

mod args;
#[cfg(feature = "aws")]
mod aws;
mod calendar_files;
mod commands;
mod dag_table;
mod environment;
mod failure;
mod files;
mod follow;
mod ground;
mod intake;
mod lean;
mod meters;
mod output;
mod outside;
mod printed;
mod python;
mod realm;
mod refusals;
mod remote;
mod signals;
mod supervisor;
mod target;
mod traces;
mod view;
mod yaml;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use pumice_host::processes;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Cli, Command};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == processes::GUARD => {
            return ExitCode::from(processes::run_guard(&arguments.collect::<Vec<_>>()));
        }
        Some(first) if first == processes::SUBREAPER => return ExitCode::from(processes::run_subreaper()),
        _ => {}
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(error));
    if matches!(cli.command, Command::Console(_)) {
        lean::begin_lean();
    }
    let traces = start_log(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(&failure::Failure::store(format!("cannot start: {error}"))),
    };
    let outcome = runtime.block_on(commands::run(cli));
    // Commands have been stopped; nothing else is worth waiting for.
    runtime.shutdown_background();
    drop(traces);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

/// Ends the process for a wrong command line, or one that asks for help. Messages cut and escape the arguments
/// that they quote.
fn refuse(mut error: clap::Error) -> ! {
    use clap::error::{ContextKind, ContextValue};
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if let Some(ContextValue::String(given)) = error.get(kind) {
            let given = pumice_core::text::shown(given);
            error.insert(kind, ContextValue::String(given));
        }
    }
    error.exit()
}

fn end(failure: &failure::Failure) -> ExitCode {
    if let Some(message) = failure.message() {
        let message = message.lines().map(pumice_core::text::escaped).collect::<Vec<_>>().join("\n");
        let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        output::tell_line(&format!("{style}error{style:#}: {message}"));
    }
    ExitCode::from(failure.status())
}

/// Writes lines of the log. On a terminal characters that change the direction of text are written out; those
/// that control it are by whatever makes the lines.
struct LogLine {
    to: std::io::Stderr,
    plain: bool,
}

impl LogLine {
    fn write_whole(&mut self, text: &str) -> std::io::Result<()> {
        let acts = |c: char| !c.is_control() && pumice_core::text::acts(c);
        if self.plain || !text.contains(acts) {
            return self.to.write_all(text.as_bytes());
        }
        let shown: String = text
            .chars()
            .map(|c| if acts(c) { c.escape_unicode().to_string() } else { c.to_string() })
            .collect();
        self.to.write_all(shown.as_bytes())
    }
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A secret that an error has in it is masked.
        self.write_whole(&pumice_core::secret::mask(&String::from_utf8_lossy(bytes)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Whether a command runs jobs in this process.
const fn runs_jobs(command: &Command) -> bool {
    match command {
        Command::Serve(_) | Command::Run(_) => true,
        #[cfg(feature = "aws")]
        Command::Worker(_) => true,
        _ => false,
    }
}

/// The log goes to standard error; `PUMICE_LOG` says what of it, as in `debug` or `pumice_core=trace`.
/// All acts of `serve` are in its log; other commands have results to show instead.
fn start_log(cli: &Cli) -> Option<traces::Exporter> {
    let default = match cli.command {
        _ if cli.global.quiet => "off",
        Command::Serve(_) => "info",
        #[cfg(feature = "aws")]
        Command::Worker(_) => "info",
        // A message that could not be sent is the user's to know: its worker may have no queue. So are mistakes in the job
        // that is dispatched.
        _ => {
            "error,pumice_core::engine::ledger=warn,pumice_core::engine::jobs=warn,pumice_core::engine::dispatch=warn,pumice::job=info,pumice::store=info,pumice::traces=warn"
        }
    };
    let asked = std::env::var("PUMICE_LOG").ok().and_then(|asked| asked.parse::<Targets>().ok());
    let targets = asked.or_else(|| default.parse().ok()).unwrap_or_default();
    let ansi = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    // A progress line is drawn anew after each line of the log.
    let progress = std::io::stderr().is_terminal() && ansi && default.starts_with("error");
    let writer = move || {
        let mut to = std::io::stderr();
        if progress {
            // Where it cannot be written no reader would see it.
            let _ = to.write_all(b"\r\x1b[K");
        }
        LogLine { plain: !to.is_terminal(), to }
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi);
    let counts = matches!(&cli.command, Command::Serve(serve) if serve.console);
    let meters = counts.then(meters::layer);
    let (spans, exporter, trouble) = match runs_jobs(&cli.command).then(traces::from_environment) {
        None | Some(Ok(None)) => (None, None, None),
        Some(Ok(Some((layer, exporter)))) => (Some(layer), Some(exporter), None),
        Some(Err(trouble)) => (None, None, Some(trouble)),
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).with(meters).with(spans).init();
    if let Some(trouble) = trouble {
        tracing::warn!(target: "pumice::traces", "no traces are sent: {trouble}");
    }
    exporter
}
