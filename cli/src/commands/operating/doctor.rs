//! `doctor`: looks a realm over.

use pumice_core::text::escaped;
use pumice_service::doctor::{self, AskDoctor, Check, Diagnosis, Finding, Ground as _};

use crate::args::{Doctor, Format, Global};
use crate::commands::console::words;
use crate::failure::Failure;
use crate::ground::FolderGround;
use crate::output::{print, wrapped};
use crate::target::Target;

/// Where what a check says begins, in columns.
const INDENT: usize = 9;

/// Looks a realm over. The exit status is 1 when something is at fault; of warnings when it is strict.
pub(super) async fn doctor(global: &Global, options: Doctor) -> Result<(), Failure> {
    let found = match Target::open_to_read(global).await {
        Ok(realm) => realm.ask(doctor::doctor, &AskDoctor {}).await?,
        // A command line that is wrong says so; whatever else is wrong is what it is asked for.
        Err(failure) if global.url.is_some() || (failure.status() == 2 && global.is_aws()) => {
            return Err(failure);
        }
        Err(failure) => {
            let others = match global.home.is_dir() && !global.is_aws() {
                true => FolderGround(global.home.clone()).checks().await,
                false => Vec::new(),
            };
            Diagnosis::unopened(failure.message().unwrap_or("no reason is known"), others)
        }
    };
    print(global.output, &found, || lines(global.output, &found, &words(global)))?;
    let is_bad = found.faults > 0 || (options.strict && found.warnings > 0);
    if is_bad { Err(Failure::RunFailed) } else { Ok(()) }
}

fn lines(format: Format, found: &Diagnosis, words: &[String]) -> Vec<String> {
    let mut lines: Vec<String> =
        found.checks.iter().flat_map(|check| check_lines(format, check, words)).collect();
    lines.push(match (found.faults, found.warnings) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("no faults, {warnings} to look at"),
        (faults, 0) => format!("{faults} at fault"),
        (faults, warnings) => format!("{faults} at fault, {warnings} to look at"),
    });
    lines
}

fn check_lines(format: Format, check: &Check, words: &[String]) -> Vec<String> {
    use anstyle::AnsiColor::{Blue, Green, Red, Yellow};
    let colour = match check.finding {
        Finding::Ok => Green,
        Finding::Skipped => Blue,
        Finding::Warning => Yellow,
        Finding::Fault => Red,
    };
    let style = anstyle::Style::new().fg_color(Some(colour.into()));
    let says =
        format!("{style}{:<7}{style:#}  {}: {}", check.finding.as_str(), check.name, escaped(&check.says));
    let mut lines = wrapped(format, &says, INDENT);
    if !check.fix.is_empty() {
        let line: Vec<String> = words.iter().chain(&check.fix).map(|word| quoted(word)).collect();
        lines.push(format!("{:INDENT$}{}", "", line.join(" ")));
    }
    lines
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    let word = escaped(word);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
