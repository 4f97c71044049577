//! `runs output`: what the commands of a run printed, and print.

use std::io::{ErrorKind, IsTerminal, Write};

use pumice_core::duration::Span;
use pumice_core::run::Status;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::Realm as _;
use pumice_service::runs::{
    AskOutputs, MAX_PART, OutputPart, Printed, ReadOutput, Stream, TailListener, TailNotice, all_complete,
    copy, find, follow_output, locate, output as find_outputs, read_output,
};
use serde::Serialize;

use crate::args::{Format, Global, PrintedOutput};
use crate::failure::Failure;
use crate::output::{
    foreign_stderr, foreign_stdout, masked_stderr, masked_stdout, note, print, tell_line, warn, write_out,
};
use crate::target::Target;

/// Prints what commands printed: as it is, followed, or a part of it.
pub(super) async fn output(global: &Global, realm: &Target, options: PrintedOutput) -> Result<(), Failure> {
    let PrintedOutput { run, follow, tail, step, since, from, name, attempt } = options;
    if let Some(from) = from {
        let (from, limit) = (Some(from), MAX_PART);
        return print_from(global, realm, ReadOutput { run, step, attempt, name, from, limit }).await;
    }
    let asked = AskOutputs { run, step, since };
    match follow {
        true => print_on(global, realm, asked, tail).await,
        false if !global.output.is_table() => {
            print(global.output, &realm.ask(find_outputs, &asked).await?, Vec::new)
        }
        false => copy_outputs(global, realm, asked).await,
    }
}

/// Copies what the commands of a run and its children printed, each stream to its own.
async fn copy_outputs(global: &Global, realm: &Target, request: AskOutputs) -> Result<(), Failure> {
    let here = match realm {
        Target::Here(here) => &**here,
        Target::There(_) => return copy_from(global, realm, request).await,
    };
    let found = locate(here, &request).await?;
    let (mut notes, mut shown) = (Vec::new(), 0);
    let mut unread = None;
    for printed in &found.printed {
        let location = &printed.location;
        let copied = match printed.stream {
            Stream::Stdout => copy(here.outputs(), location, &mut *foreign_stdout()).await,
            Stream::Stderr => copy(here.outputs(), location, &mut *foreign_stderr()).await,
        };
        match copied {
            Ok(there) => {
                shown += usize::from(there);
                if !there && printed.is_recorded {
                    notes.push(format!("it is gone from {location}"));
                }
            }
            // A step may have replaced what it printed; what others printed is there.
            Err(error) if unread.is_none() => unread = Some(error),
            Err(error) => notes.push(error.to_string()),
        }
    }
    if !found.status.is_end() {
        notes.push(format!("the run is {}: its commands may print more; -f goes on with it", found.status));
    } else if shown == 0 && notes.is_empty() {
        notes.push(nothing_kept(request.since));
    }
    note(global, &notes);
    unread.map_or(Ok(()), |error| Err(error.into()))
}

/// The note where nothing was printed.
fn nothing_kept(since: Option<Span>) -> String {
    match since {
        Some(since) => format!("no step that ended within the last {since} printed anything that is kept"),
        None => "nothing that its commands printed is kept".to_owned(),
    }
}

/// Copies what a console has of it, part by part. Bytes that are not UTF-8 come with a mark in their place.
async fn copy_from(global: &Global, realm: &Target, asked: AskOutputs) -> Result<(), Failure> {
    let since = asked.since;
    let found: Vec<Printed> = realm.ask(find_outputs, &asked).await?;
    let (mut notes, mut shown) = (Vec::new(), 0);
    for printed in &found {
        let mut request = ReadOutput {
            run: printed.run_key.to_string(),
            step: None,
            attempt: Some(printed.attempt),
            name: printed.name.clone(),
            from: Some(0),
            limit: MAX_PART,
        };
        loop {
            let part: OutputPart = match realm.ask(read_output, &request).await {
                Ok(part) => part,
                Err(error) if error.kind() == pumice_service::ErrorKind::NotFound => {
                    if printed.is_recorded {
                        notes.push(format!("it is gone from {}", printed.location));
                    }
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let mut out = match printed.stream {
                Stream::Stdout => masked_stdout(),
                Stream::Stderr => masked_stderr(),
            };
            match out.write_all(part.text.as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
            if part.next >= part.size || request.from == Some(part.next) {
                shown += 1;
                break;
            }
            request.from = Some(part.next);
        }
    }
    if shown == 0 && notes.is_empty() {
        notes.push(nothing_kept(since));
    }
    note(global, &notes);
    Ok(())
}

/// Prints one output from a byte on, and says where to go on.
async fn print_from(global: &Global, realm: &Target, mut request: ReadOutput) -> Result<(), Failure> {
    if !global.output.is_table() {
        return print(global.output, &realm.ask(read_output, &request).await?, Vec::new);
    }
    let mut out = masked_stdout();
    loop {
        let OutputPart { next, size, is_open, text, .. } = realm.ask(read_output, &request).await?;
        if let Some(from) = request.from.filter(|from| *from > size) {
            let beyond = format!("--from {from}: there are {size} bytes");
            if !is_open {
                return Err(Failure::wrong(beyond));
            }
            note(global, &[format!("{beyond} so far")]);
            return Ok(());
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        let is_end = next >= size || request.from == Some(next);
        request.from = Some(next);
        if is_end {
            let more = if is_open { ": there may be more" } else { "" };
            note(global, &[format!("go on with --from {next}{more}")]);
            return Ok(());
        }
    }
}

/// Follows what a run prints to its end, and ends as the run does.
async fn print_on(global: &Global, realm: &Target, asked: AskOutputs, tail: u64) -> Result<(), Failure> {
    if global.output == Format::Yaml {
        return Err(Failure::wrong(
            "-o yaml: what is followed has no end to wait for; -o json prints a line for each part",
        ));
    }
    let realm = realm.here("`runs output -f`", "`runs output --from BYTE` reads on where it ended")?;
    // A name such as latest means the run that it means now.
    let root = find(realm, &asked.run).await?;
    let asked = AskOutputs { run: root.to_string(), ..asked };
    let mut teller = Teller {
        global,
        stdout: masked_stdout(),
        stderr: masked_stderr(),
        last: None,
        shows_whose: !global.quiet && std::io::stdout().is_terminal(),
        is_gone: false,
    };
    let followed = follow_output(realm, &SystemClock, &asked, Some(tail), &mut teller).await;
    if teller.is_gone {
        return Ok(());
    }
    let runs = followed?;
    let status = runs.first().map_or(Status::Failed, |run| run.status);
    if global.output == Format::Json {
        write_out(&line(&Ended { run_key: root.to_string(), status }))?;
    } else {
        note(global, &[format!("the run is {status}")]);
    }
    if all_complete(&runs, &[root], false) { Ok(()) } else { Err(Failure::RunFailed) }
}

/// A part of an output, on a line of JSON.
#[derive(Serialize)]
struct Part<'a> {
    #[serde(flatten)]
    output: &'a Printed,
    /// The byte behind it.
    next: u64,
    text: std::borrow::Cow<'a, str>,
}

/// The last line of JSON.
#[derive(Serialize)]
struct Ended {
    run_key: String,
    status: Status,
}

fn line(value: &impl Serialize) -> String {
    // Texts and numbers always serialise.
    format!("{}\n", serde_json::to_string(value).unwrap_or_default())
}

/// Prints what is followed.
struct Teller<'a> {
    global: &'a Global,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    /// Whose output was printed last, where that is shown.
    last: Option<String>,
    shows_whose: bool,
    /// Whether the reader has gone, as `head` does.
    is_gone: bool,
}

impl TailListener for Teller<'_> {
    fn printed(&mut self, printed: &Printed, bytes: &[u8], next: u64) -> std::io::Result<()> {
        let written = if self.global.output == Format::Json {
            let text = String::from_utf8_lossy(bytes);
            let part = line(&Part { output: printed, next, text });
            self.stdout.write_all(part.as_bytes()).and_then(|()| self.stdout.flush())
        } else {
            self.say_whose(printed);
            let to = match printed.stream {
                Stream::Stdout => &mut self.stdout,
                Stream::Stderr => &mut self.stderr,
            };
            to.write_all(bytes).and_then(|()| to.flush())
        };
        self.is_gone = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        written
    }

    fn notice(&mut self, printed: Option<&Printed>, notice: TailNotice) {
        let (name, of) = match printed {
            Some(printed) => (printed.name.as_str(), format!(" of {}", escaped(printed.job_id.as_str()))),
            None => ("", String::new()),
        };
        match notice {
            TailNotice::Waits(status) => {
                note(self.global, &[format!("the run is {status}: what it prints is shown once it starts")]);
            }
            TailNotice::LeftOut(bytes) => {
                note(
                    self.global,
                    &[format!("{bytes} bytes before this are left out: --tail SIZE shows more")],
                );
            }
            TailNotice::Lost => {
                warn(
                    self.global,
                    &[format!("the worker{of} was lost: {name} ends here, and the attempt is made again")],
                );
            }
            TailNotice::Unreachable(why) => warn(self.global, &[format!("cannot read {name}{of}: {why}")]),
        }
    }
}

impl Teller<'_> {
    /// Says whose output comes, where several come between each other on a terminal.
    fn say_whose(&mut self, printed: &Printed) {
        if !self.shows_whose {
            return;
        }
        let attempt =
            if printed.attempt > 1 { format!(", attempt {}", printed.attempt) } else { String::new() };
        let whose = format!("{}{attempt}", escaped(printed.job_id.as_str()));
        let is_other = self.last.as_ref().is_some_and(|last| *last != whose);
        if is_other || self.last.is_none() && (printed.attempt > 1 || printed.run_key.parent().is_some()) {
            let dim = anstyle::Style::new().dimmed();
            tell_line(&format!("{dim}==> {whose} <=={dim:#}"));
        }
        self.last = Some(whose);
    }
}
