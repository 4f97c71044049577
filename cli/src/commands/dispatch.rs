//! `dispatch`: asks for runs.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use pumice_core::audit::{ActOutcome, AuditEntry};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::Clock;
use pumice_core::request::{DispatchRequest, When, check_key};
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::Realm as _;
use pumice_service::audit::Act;
use pumice_service::dispatch::{
    AcceptedRun, BATCH, Batch, Batches, FileDigest, ForeseenRequest, Giver, Intake, IntakeCounts, Keys,
    ListName, Outcomes, RefusedRequest, Repeats, Source, Unchanged, batches, read,
};
use serde_json::{Value, json};

use super::{given, instant};
use crate::args::{Dispatch, Format, Global};
use crate::failure::{Failure, of_option};
use crate::follow::follow_to_end;
use crate::intake::{Sender, Taker};
use crate::output::{note, print, tell_line, tell_text, warn, write_out};
use crate::realm::Realm;
use crate::refusals::{KeptRefusals, Refusals};
use crate::target::Target;

/// Requests between two progress notes when standard error is not a terminal.
const NOTE_EVERY: usize = 10_000;

/// Takes each request by itself; says what became of each.
pub(super) async fn dispatch(global: &Global, options: Dispatch) -> Result<(), Failure> {
    let target = Target::open(global, false).await?;
    let zone = target.zone().await?;
    let list = match &options.file {
        Some(file) => List::of(file, &options, &target).await?,
        None => List::default(),
    };
    if let Some(name) = list.name.as_ref().filter(|_| !options.dry_run) {
        let file = options.file.as_deref().unwrap_or(Path::new("-")).display();
        let how = format!("pumice dispatch --file {file} --resume {}", name.as_str());
        note(global, &[format!("should it be interrupted, it goes on with: {how}")]);
    }
    let (giver, batches) = batches();
    let mut taking = Taking {
        global,
        intake: list.taker(&target, &options, batches).await?,
        // Those that are followed are shown together, and so is YAML.
        keeps: options.wait || options.dry_run || global.output == Format::Yaml,
        dry_run: options.dry_run,
        outcomes: Outcomes::default(),
        refusals: Refusals::default(),
        kept: KeptRefusals::new(),
        roots: Vec::new(),
        printed: 0,
    };
    let act = Act::new("dispatch", &recorded(&options)).on("job", &options.jobs);
    let entry = match &target {
        Target::Here(_) if options.dry_run => None,
        Target::Here(realm) => act.begin(&**realm).await?,
        // The console writes an entry for each batch.
        Target::There(_) => None,
    };
    let asked = match &options.file {
        Some(file) => {
            list.read(file, zone.tz(), giver);
            taking.file(file, &list).await
        }
        None => {
            let requests = from_options(&options, zone)?;
            if let (Some(at), Some(When::At(instant))) =
                (&options.at, requests.first().map(|request| request.when))
                && instant < SystemClock.now()
            {
                note(global, &[format!("--at {at} is past: what is asked for starts now")]);
            }
            let placed = requests.into_iter().map(|request| Ok((request.job_id.to_string(), request)));
            // It is received below.
            let _ = giver.send(Ok(placed.collect())).await;
            drop(giver);
            taking.options().await
        }
    };
    if let (Some(entry), Target::Here(realm), Taker::Here(intake, _)) = (entry, &target, &taking.intake) {
        end(realm, &act, entry, intake, &asked).await;
    }
    let follows = options.wait && !taking.roots.is_empty() && asked.is_ok();
    taking.end(follows)?;
    asked?;
    let mut failed = false;
    if follows {
        let roots = std::mem::take(&mut taking.roots);
        let followed = follow_to_end(global, &target, &roots, options.allow_skipped).await?;
        taking.outcomes.runs = Some(followed.tree.runs.clone());
        print(global.output, &taking.outcomes, || {
            crate::view::tree(global.output, &followed.tree, SystemClock.now())
        })?;
        failed = !followed.is_complete;
    }
    taking.outcome()?;
    if failed { Err(Failure::RunFailed) } else { Ok(()) }
}

/// The options that the audit keeps.
fn recorded(options: &Dispatch) -> Value {
    let given = given(&options.given)
        .map(|(globals, parameters)| json!({ "globals": globals, "parameters": parameters }));
    json!({
        "jobs": options.jobs,
        "file": options.file.as_ref().map(|file| file.display().to_string()),
        "key": options.key,
        "resume": options.resume,
        "at": options.at,
        "delay": options.delay,
        "given": given.ok(),
    })
}

/// Writes into the audit what became of the requests.
async fn end(realm: &Realm, act: &Act, entry: AuditEntry, intake: &Intake, asked: &Result<(), Failure>) {
    let counts = intake.counts();
    let IntakeCounts { taken, existing, refused } = counts;
    let answer = json!({ "taken": taken, "existing": existing, "refused": refused, "first": intake.first() });
    let none = format!("{refused} of {refused} requests refused");
    let (outcome, answer) = match asked {
        Err(failure) => {
            let outcome = if failure.status() == 2 { ActOutcome::Refused } else { ActOutcome::Failed };
            (outcome, Err(failure.message().unwrap_or_default()))
        }
        Ok(()) if refused > 0 && refused == counts.all() => (ActOutcome::Refused, Err(none.as_str())),
        Ok(()) => (ActOutcome::Done, Ok(answer)),
    };
    act.end(realm, entry, outcome, answer).await;
}

/// A file of requests, and whether it may be given again.
#[derive(Default)]
struct List {
    /// The name under which it goes on after an interruption.
    name: Option<ListName>,
    /// The digest of its content.
    digest: Option<FileDigest>,
    is_keyed: bool,
}

impl List {
    /// A regular file has a name for its dispatch, unless a key is given: a stream cannot be read twice. Its content is
    /// remembered, so that a change while it is read is noticed.
    async fn of(file: &Path, options: &Dispatch, target: &Target) -> Result<Self, Failure> {
        let is_keyed = options.key.is_some();
        let realm = match target {
            Target::Here(realm) => realm,
            Target::There(_) if options.resume.is_some() => {
                let message = "a console keeps no lists: dispatch with --key NAME, and repeat the command where it was interrupted";
                return Err(of_option("--resume", message));
            }
            Target::There(_) => return Ok(Self { is_keyed, ..Self::default() }),
        };
        let is_regular = file != Path::new("-") && std::fs::metadata(file).is_ok_and(|found| found.is_file());
        if !is_regular {
            return match &options.resume {
                Some(_) => {
                    Err(of_option("--resume", "a stream has no beginning to go back to: use --key NAME"))
                }
                None => Ok(Self { is_keyed, ..Self::default() }),
            };
        }
        let opened = file.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let file = File::open(opened)?;
            let length = file.metadata()?.len();
            FileDigest::of(file.take(length))
        });
        let read = read.await.map_err(|error| Failure::store(error.to_string()))?;
        let digest =
            read.map_err(|error| Failure::wrong(format!("{}: cannot be read: {error}", file.display())))?;
        if is_keyed {
            return Ok(Self { digest: Some(digest), is_keyed, ..Self::default() });
        }
        let name = match &options.resume {
            Some(name) => ListName::resumed(name, digest.as_str()).map_err(|error| {
                let message = format!("--resume: {error}");
                Failure::from(error.because(message))
            })?,
            None => ListName::new(digest.as_str(), realm.site().await?.ports.random.uuid(SystemClock.now())),
        };
        Ok(Self { name: Some(name), digest: Some(digest), is_keyed })
    }

    /// The intake of its requests, which knows those that were taken before.
    async fn taker<'a>(
        &self,
        target: &'a Target,
        options: &Dispatch,
        batches: Batches,
    ) -> Result<Taker<'a>, Failure> {
        let key = options.key.as_deref().filter(|_| self.is_keyed);
        let keys = key.map(Keys::new).transpose().map_err(|error| of_option("--key", error))?;
        let realm = match target {
            Target::Here(realm) => realm,
            Target::There(_) => return Ok(Taker::There(Sender::new(target, keys, options.dry_run), batches)),
        };
        let again = match (keys, &self.name) {
            (Some(keys), _) => Repeats::Keyed(keys),
            (None, Some(name)) => Repeats::Listed(name.as_str().to_owned()),
            (None, None) => Repeats::Never,
        };
        let (intake, preparer) = Intake::new(&**realm, again).await?;
        Ok(Taker::Here(Box::new(intake.dry(options.dry_run)), preparer.ahead(batches)))
    }

    /// Has the file read, batch by batch.
    fn read(&self, file: &Path, zone: chrono_tz::Tz, to: Giver) {
        let (path, digest): (PathBuf, Option<FileDigest>) = (file.to_owned(), self.digest.clone());
        let open = move || match (path == Path::new("-"), digest) {
            (true, _) => Ok(Box::new(std::io::stdin()) as Source),
            // Text that was appended since its digest was taken is not part of it.
            (false, Some(digest)) => Ok(Box::new(Unchanged::new(File::open(path)?, digest)) as Source),
            (false, None) => Ok(Box::new(File::open(path)?) as Source),
        };
        read(file.display().to_string(), open, zone, to);
    }
}

/// Takes requests batch by batch and prints the outcome of each.
struct Taking<'a> {
    global: &'a Global,
    intake: Taker<'a>,
    keeps: bool,
    dry_run: bool,
    outcomes: Outcomes,
    /// The refused requests that are reported.
    refusals: Refusals,
    /// Refused requests of a response that is printed as it comes.
    kept: KeptRefusals,
    /// The runs to follow, if any are.
    roots: Vec<RunKey>,
    /// How many accepted requests were printed, or kept.
    printed: usize,
}

impl Taking<'_> {
    fn counts(&self) -> IntakeCounts {
        self.intake.counts()
    }

    /// Dispatches the requests of a file as they are read.
    async fn file(&mut self, file: &Path, list: &List) -> Result<(), Failure> {
        while let Some(batch) = self.intake.next().await {
            match batch {
                Ok(batch) => self.tell(batch).map_err(|failure| {
                    self.clear();
                    self.interrupted(failure, list)
                })?,
                // The file cannot be read further.
                Err(error) => {
                    self.clear();
                    let message = format!("{error} ({})", self.counts().summary());
                    return Err(error.because(message).into());
                }
            }
            self.progress();
        }
        self.clear();
        if self.counts().all() == 0 {
            return Err(Failure::wrong(format!("{} holds no request", file.display())));
        }
        if self.dry_run {
            self.note_dry_run();
        } else if self.counts().all() > BATCH || self.counts().existing > 0 {
            note(self.global, &[self.counts().summary()]);
        }
        Ok(())
    }

    /// Dispatches the requests of options.
    async fn options(&mut self) -> Result<(), Failure> {
        while let Some(batch) = self.intake.next().await {
            self.tell(batch?)?;
        }
        if self.dry_run {
            self.note_dry_run();
        }
        Ok(())
    }

    fn note_dry_run(&self) {
        let counts = self.counts();
        let fine = counts.taken + counts.existing;
        note(self.global, &[format!("{fine} of {} requests would be taken; none was", counts.all())]);
    }

    /// Reports the outcome of a batch.
    fn tell(&mut self, batch: Batch) -> Result<(), Failure> {
        let Batch { outcomes, failed, .. } = batch;
        let mut lines = String::new();
        for accepted in outcomes.accepted {
            self.accept(accepted, &mut lines);
        }
        for foreseen in outcomes.foreseen {
            self.foresee(foreseen, &mut lines);
        }
        if !lines.is_empty() {
            self.clear();
            write_out(&lines)?;
        }
        outcomes.refused.into_iter().try_for_each(|refused| self.refuse(refused))?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Keeps an accepted request for later, or adds the line to print for it.
    fn accept(&mut self, accepted: AcceptedRun, lines: &mut String) {
        if let Some(warning) = &accepted.warning {
            self.clear();
            warn(self.global, &[format!("{}: {warning}", escaped(accepted.job_id.as_str()))]);
        }
        self.printed += 1;
        // Writing to a text never fails.
        let _ = match self.global.output {
            Format::Table | Format::Wide => {
                let note = if accepted.existing { "  (was there already)" } else { "" };
                writeln!(lines, "{}  {}{note}", accepted.run_id, escaped(accepted.job_id.as_str()))
            }
            Format::Json if !self.keeps => {
                let begin = if self.printed == 1 { "{\n  \"accepted\": [\n    " } else { ",\n    " };
                write!(lines, "{begin}{}", one_line(&accepted))
            }
            _ => Ok(()),
        };
        if self.keeps {
            self.roots.push(RunKey::root(accepted.run_id));
            self.outcomes.accepted.push(accepted);
        }
    }

    /// Keeps a run that would be made, or adds the line to print for it.
    fn foresee(&mut self, run: ForeseenRequest, lines: &mut String) {
        if let Some(warning) = &run.warning {
            self.clear();
            warn(self.global, &[format!("{}: {warning}", escaped(run.job_id.as_str()))]);
        }
        if !matches!(self.global.output, Format::Table | Format::Wide) {
            self.outcomes.foreseen.push(run);
            return;
        }
        let at = pumice_core::clock::utc(run.at.0);
        let what = match (&run.run_id, run.existing, run.enabled) {
            (Some(id), ..) => format!("is there already: run {id}"),
            (None, true, _) => "would be one run with that of an earlier request".to_owned(),
            (None, false, false) => "would be skipped: the job is not enabled".to_owned(),
            (None, false, true) => format!("would be dispatched to worker {}, due {at}", run.worker),
        };
        // Writing to a text never fails.
        let _ = writeln!(lines, "{}  {what}", escaped(run.job_id.as_str()));
    }

    fn refuse(&mut self, refused: RefusedRequest) -> Result<(), Failure> {
        if let Some(line) = self.refusals.take(&refused) {
            self.clear();
            tell_refused(&line);
        }
        if self.keeps {
            self.outcomes.refused.push(refused);
        } else if self.global.output == Format::Json {
            self.kept.keep(&refused).map_err(|error| {
                let why = format!("cannot keep the refused requests for the response: {error}");
                Failure::store(why)
            })?;
        }
        Ok(())
    }

    /// Prints the rest of the results, unless they are printed with the runs that are followed.
    fn end(&mut self, follows: bool) -> Result<(), Failure> {
        self.refusals.rest().iter().for_each(|line| tell_refused(line));
        match self.global.output {
            Format::Json if !self.keeps => {
                let begin = if self.printed == 0 { "{\n  \"accepted\": [" } else { "\n  " };
                write_out(&format!("{begin}],\n  \"refused\": ["))?;
                self.kept.write(write_out)?;
                write_out("]\n}\n")
            }
            Format::Json | Format::Yaml if !follows => print(self.global.output, &self.outcomes, Vec::new),
            _ => Ok(()),
        }
    }

    /// The failure of requests that were refused.
    fn outcome(&self) -> Result<(), Failure> {
        match self.counts() {
            IntakeCounts { refused: 0, .. } => Ok(()),
            counts => {
                let would = if self.dry_run { "would be " } else { "" };
                Err(Failure::wrong(format!("{} of {} requests {would}refused", counts.refused, counts.all())))
            }
        }
    }

    /// The failure of a store half-way: how many requests were taken, and how to resume.
    fn interrupted(&self, failure: Failure, list: &List) -> Failure {
        let Failure::Refused(error) = failure else { return failure };
        let how = match (&list.name, list.is_keyed) {
            (Some(name), _) => format!("go on with --resume {}", name.as_str()),
            (None, true) => "repeat the command: what was taken is not taken again".to_owned(),
            (None, false) => {
                "requests that were taken are printed above; with --key NAME a stream can be given again"
                    .to_owned()
            }
        };
        let message = format!("{error} ({}; {how})", self.counts().summary());
        error.because(message).into()
    }

    fn shows_progress(&self) -> bool {
        !self.global.quiet && std::io::stderr().is_terminal()
    }

    fn progress(&self) {
        let counts = self.counts();
        if self.shows_progress() {
            tell_text(&format!("\r\x1b[K{}", counts.summary()));
        } else if counts.all() % NOTE_EVERY < BATCH && counts.all() >= NOTE_EVERY {
            note(self.global, &[format!("so far {}", counts.summary())]);
        }
    }

    fn clear(&self) {
        if self.shows_progress() {
            tell_text("\r\x1b[K");
        }
    }
}

/// Prints a line about refused requests.
fn tell_refused(line: &str) {
    let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
    tell_line(&format!("{red}refused{red:#}: {line}"));
}

/// JSON on one line. Responses always serialise.
fn one_line(response: &impl serde::Serialize) -> String {
    serde_json::to_string(response).unwrap_or_default()
}

fn from_options(options: &Dispatch, zone: pumice_template::Zone) -> Result<Vec<DispatchRequest>, Failure> {
    let (globals, parameters) = given(&options.given)?;
    let when = match (&options.delay, &options.at) {
        (Some(delay), _) => DispatchRequest::after(*delay)
            .map_err(|error| of_option("--delay", error.to_string().replace("\"at\"", "--at")))?,
        (None, Some(at)) => When::At(instant("--at", at, zone)?),
        (None, None) => When::Now,
    };
    if let Some(key) = &options.key {
        check_key(key).map_err(|error| of_option("--key", error))?;
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
