//! `dispatch`: asks for runs.

use std::io::IsTerminal;

use pumice_core::engine::{Accepted, Dispatcher};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::DispatchError;
use pumice_core::ports::Clock;
use pumice_core::request::{DispatchRequest, When, check_key};
use pumice_core::text::{escaped, shown};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::{given, instant, registry};
use crate::args::{Dispatch, Format, Global};
use crate::failure::Failure;
use crate::follow::{Tell, all_complete, follow};
use crate::output::{note, print, tell_line, tell_text, warn, write_out};
use crate::realm::Realm;
use crate::requests::{self, Keys};

/// Requests between two progress notes when standard error is not a terminal.
const TOLD_EVERY: usize = 10_000;

/// Takes each request by itself; says what became of each.
pub(super) async fn dispatch(global: &Global, options: Dispatch) -> Result<(), Failure> {
    let realm = Realm::open(global, false).await?;
    let site = realm.site().await?;
    let zone = site.zone;
    let mut taking = Taking {
        global,
        dispatcher: Dispatcher::new(site, registry()?),
        // Those that are followed are shown together, and so is YAML.
        keeps: options.wait || global.output == Format::Yaml,
        accepted: Vec::new(),
        refused: Vec::new(),
        counts: Counts::default(),
    };
    let asked = match &options.file {
        Some(file) => taking.file(file, options.key.as_deref(), zone.tz()).await,
        None => {
            let requests = from_options(&options, zone)?;
            if let (Some(at), Some(When::At(instant))) =
                (&options.at, requests.first().map(|request| request.when))
                && instant < SystemClock.now()
            {
                note(global, &[format!("--at {at} is past: what is asked for starts now")]);
            }
            let named = requests.into_iter().map(|request| (request.job_id.to_string(), request)).collect();
            taking.take(named).await
        }
    };
    let roots: Vec<RunKey> = taking.accepted.iter().map(|run| RunKey::root(run.run_id)).collect();
    let follows = options.wait && !roots.is_empty() && asked.is_ok();
    let value = taking.end(follows)?;
    asked?;
    let mut failed = false;
    if follows {
        let (outputs, tell) = (realm.outputs(), Tell::fitting(global.quiet));
        let runs = follow(realm.runs(), &roots, &outputs, tell, Some(&realm)).await?;
        if global.output.is_table() {
            super::run::show(global, realm.runs(), &runs).await?;
        } else {
            let mut value = value;
            value["runs"] = super::run::runs_json(realm.runs(), &runs).await?.into();
            print(global.output, &value, Vec::new)?;
        }
        failed = !all_complete(&runs, &roots, options.allow_skipped);
    }
    taking.outcome()?;
    if failed { Err(Failure::RunFailed) } else { Ok(()) }
}

/// How many requests there were, and what became of them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    taken: usize,
    existing: usize,
    refused: usize,
}

impl Counts {
    fn all(self) -> usize {
        self.taken + self.existing + self.refused
    }

    fn summary(self) -> String {
        let Self { taken, existing, refused } = self;
        let mut parts = vec![format!("{taken} taken")];
        parts.extend((existing > 0).then(|| format!("{existing} there already")));
        parts.extend((refused > 0).then(|| format!("{refused} refused")));
        parts.join(", ")
    }
}

/// Dispatches requests batch by batch and prints the outcome of each.
struct Taking<'a> {
    global: &'a Global,
    dispatcher: Dispatcher,
    keeps: bool,
    accepted: Vec<Accepted>,
    refused: Vec<Value>,
    counts: Counts,
}

impl Taking<'_> {
    /// Dispatches the requests of a file as they are read.
    async fn file(
        &mut self,
        file: &std::path::Path,
        key: Option<&str>,
        zone: chrono_tz::Tz,
    ) -> Result<(), Failure> {
        let mut keys =
            key.map(Keys::new).transpose().map_err(|error| Failure::Wrong(format!("--key: {error}")))?;
        let mut batches = requests::read(file, zone);
        let mut broken = None;
        while let Some(batch) = batches.recv().await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(message) => {
                    broken = Some(message);
                    break;
                }
            };
            let mut named = Vec::with_capacity(batch.len());
            for parsed in batch {
                match parsed {
                    Ok((place, mut request)) => {
                        if let Some(keys) = &mut keys {
                            keys.give(&mut request);
                        }
                        named.push((place, request));
                    }
                    Err(bad) => self.refuse(&bad.place, &bad.error.to_string()),
                }
            }
            if let Err(failure) = self.take(named).await {
                self.clear();
                return Err(self.interrupted(&failure, key.is_some()));
            }
            self.progress();
        }
        self.clear();
        if let Some(message) = broken {
            return Err(Failure::Wrong(format!("{message} ({})", self.counts.summary())));
        }
        if self.counts.all() == 0 {
            return Err(Failure::Wrong(format!("{} holds no request", file.display())));
        }
        if self.counts.all() > requests::BATCH || self.counts.existing > 0 {
            note(self.global, &[self.counts.summary()]);
        }
        Ok(())
    }

    /// Dispatches a batch.
    async fn take(&mut self, requests: Vec<(String, DispatchRequest)>) -> Result<(), Failure> {
        let (names, requests): (Vec<String>, Vec<DispatchRequest>) = requests.into_iter().unzip();
        let outcomes = self.dispatcher.dispatch(requests, None).await;
        let (mut lines, mut unreachable) = (String::new(), None);
        for (name, outcome) in names.into_iter().zip(outcomes) {
            match outcome {
                Ok(accepted) => {
                    *(if accepted.existing { &mut self.counts.existing } else { &mut self.counts.taken }) +=
                        1;
                    lines.push_str(&self.accept(accepted));
                }
                Err(DispatchError::Store(error)) => unreachable = Some(Failure::from(error)),
                Err(error) => self.refuse(&name, &error.to_string()),
            }
        }
        if !lines.is_empty() {
            self.clear();
            write_out(&lines)?;
        }
        unreachable.map_or(Ok(()), Err)
    }

    /// Keeps an accepted request for later, or returns the line to print for it.
    fn accept(&mut self, accepted: Accepted) -> String {
        if let Some(warning) = &accepted.warning {
            self.clear();
            warn(self.global, &[format!("{}: {warning}", escaped(accepted.job_id.as_str()))]);
        }
        let line = match self.global.output {
            Format::Table | Format::Wide => {
                let note = if accepted.existing { "  (was there already)" } else { "" };
                format!("{}  {}{note}\n", accepted.run_id, escaped(accepted.job_id.as_str()))
            }
            Format::Json if !self.keeps => {
                let first = self.counts.taken + self.counts.existing == 1;
                let begin = if first { "{\n  \"accepted\": [\n    " } else { ",\n    " };
                format!("{begin}{}", accepted_json(&accepted))
            }
            _ => String::new(),
        };
        if self.keeps {
            self.accepted.push(accepted);
        }
        line
    }

    fn refuse(&mut self, place: &str, error: &str) {
        self.counts.refused += 1;
        if !self.global.output.is_table() {
            self.refused.push(json!({ "request": place, "error": error }));
        }
        self.clear();
        let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        tell_line(&format!("{red}refused{red:#}: {}: {}", shown(place), escaped(error)));
    }

    /// Prints the rest of the results, and returns them for the output that includes the runs.
    fn end(&self, follows: bool) -> Result<Value, Failure> {
        let accepted: Vec<Value> = self.accepted.iter().map(accepted_json).collect();
        let value = json!({ "accepted": accepted, "refused": self.refused });
        match self.global.output {
            Format::Json if !self.keeps => {
                let none = self.counts.taken + self.counts.existing == 0;
                let begin = if none { "{\n  \"accepted\": [" } else { "\n  " };
                let refused = Value::from(self.refused.clone());
                write_out(&format!("{begin}],\n  \"refused\": {refused}\n}}\n"))?;
            }
            Format::Json | Format::Yaml if !follows => print(self.global.output, &value, Vec::new)?,
            _ => {}
        }
        Ok(value)
    }

    /// The failure of requests that were refused.
    fn outcome(&self) -> Result<(), Failure> {
        match self.counts {
            Counts { refused: 0, .. } => Ok(()),
            counts => Err(Failure::Wrong(format!("{} of {} requests refused", counts.refused, counts.all()))),
        }
    }

    /// The failure of a store half-way: how many requests were taken, and how to resume.
    fn interrupted(&self, failure: &Failure, keyed: bool) -> Failure {
        let why = failure.message().unwrap_or_default();
        let how = match keyed {
            true => "repeat the command: what was taken is not taken again",
            false => "requests that were taken are printed above; with --key NAME a file can be given again",
        };
        Failure::Store(format!("{why} ({}; {how})", self.counts.summary()))
    }

    fn shows_progress(&self) -> bool {
        !self.global.quiet && std::io::stderr().is_terminal()
    }

    fn progress(&self) {
        if self.shows_progress() {
            tell_text(&format!("\r\x1b[K{}", self.counts.summary()));
        } else if self.counts.all() % TOLD_EVERY < requests::BATCH && self.counts.all() >= TOLD_EVERY {
            note(self.global, &[format!("so far {}", self.counts.summary())]);
        }
    }

    fn clear(&self) {
        if self.shows_progress() {
            tell_text("\r\x1b[K");
        }
    }
}

pub(super) fn accepted_json(run: &Accepted) -> Value {
    let mut value =
        json!({ "job_id": run.job_id, "run_id": run.run_id, "status": run.status, "existing": run.existing });
    if let Some(warning) = &run.warning {
        value["warning"] = warning.as_str().into();
    }
    value
}

fn from_options(options: &Dispatch, zone: pumice_template::Zone) -> Result<Vec<DispatchRequest>, Failure> {
    let (globals, parameters) = given(&options.given)?;
    let when = match (&options.delay, &options.at) {
        (Some(delay), _) => DispatchRequest::after(*delay)
            .map_err(|error| Failure::Wrong(format!("--delay: {}", error.replace("\"at\"", "--at"))))?,
        (None, Some(at)) => When::At(instant("--at", at, zone)?),
        (None, None) => When::Now,
    };
    if let Some(key) = &options.key {
        check_key(key).map_err(|error| Failure::Wrong(format!("--key: {error}")))?;
    }
    let request = |job: &JobId| DispatchRequest {
        parameters: parameters.clone(),
        globals: globals.clone(),
        when,
        idempotency_key: options.key.clone(),
        ..DispatchRequest::new(job.clone())
    };
    Ok(options.jobs.iter().map(request).collect())
}
