//! `secrets`: sets the secrets of a realm's folder. None is ever printed.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;

use pumice_core::secret::SecretText;
use pumice_core::text::escaped;
use pumice_local::MAX_SECRET_BYTES;
use pumice_service::secrets::{
    ListSecrets, SecretOf, SecretShown, SecretValue, SetSecret, delete, list, set,
};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use crate::args::{Format, Global, Secrets};
use crate::failure::Failure;
use crate::output::{Column, columns, listed, note, print};
use crate::target::Target;
use crate::view::local_time;

/// Lists, sets and deletes secrets.
pub(super) async fn secrets(global: &Global, command: Secrets) -> Result<(), Failure> {
    match command {
        Secrets::List { filter } => {
            let realm = Target::open_to_read(global).await?;
            let is_whole = filter.is_none();
            let all = realm.ask(list, &ListSecrets { filter }).await?;
            print(global.output, &all, || table(global.output, &all))?;
            if global.output.is_table() {
                note(global, &[listed(all.len(), is_whole, "secret")]);
            }
            Ok(())
        }
        Secrets::Set { name, dry_run: true, .. } => {
            let realm = Target::open_to_read(global).await?;
            let done = realm.give(set, SetSecret { name, value: None, dry_run: true }).await?;
            let what = if done.replaced { "would replace" } else { "would set" };
            print(global.output, &done, || vec![format!("{what} secret {}", escaped(done.name.as_str()))])
        }
        Secrets::Set { name, file, dry_run: false } => {
            let realm = Target::open(global, true).await?;
            let asked = format!("secret {}: ", escaped(name.as_str()));
            let value = read_secret(&asked, file.as_deref())?;
            // A secret does not show itself, in a request neither.
            let plain = json!({ "name": name, "value": value.reveal() });
            let request = SetSecret { name, value: Some(SecretValue(value)), dry_run: false };
            let done = realm.give_as(set, request, || plain).await?;
            let what = if done.replaced { "replaced" } else { "set" };
            print(global.output, &done, || vec![format!("{what:<9} secret {}", escaped(done.name.as_str()))])
        }
        Secrets::Delete { name, dry_run } => {
            let realm = match dry_run {
                true => Target::open_to_read(global).await?,
                false => Target::open(global, false).await?,
            };
            let deleted = realm.ask(delete, &SecretOf { name, dry_run }).await?;
            let done = if dry_run { "would delete" } else { "deleted  " };
            print(global.output, &deleted, || {
                vec![format!("{done} secret {}", escaped(deleted.name.as_str()))]
            })
        }
    }
}

fn table(format: Format, all: &[SecretShown]) -> Vec<String> {
    let row = |one: &SecretShown| vec![escaped(one.name.as_str()).into_owned(), local_time(one.updated.0)];
    let heading = [Column::Path("SECRET", 10), Column::Whole("SET")];
    columns(format, &heading, &all.iter().map(row).collect::<Vec<_>>())
}

/// Reads a secret from a file, from a terminal without showing it, or from standard input. One line break at its end is
/// not part of it.
fn read_secret(asked: &str, file: Option<&Path>) -> Result<SecretText, Failure> {
    let cannot = |error: std::io::Error| Failure::wrong(format!("cannot read the secret: {error}"));
    let text = match file {
        Some(path) => {
            let opened = std::fs::File::open(path);
            read_all(
                opened.map_err(|error| Failure::wrong(format!("cannot read {}: {error}", path.display())))?,
            )
        }
        None if std::io::stdin().is_terminal() => read_hidden(asked),
        None => read_all(std::io::stdin().lock()),
    };
    let text = text.map_err(cannot)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(SecretText::new(line))
}

fn read_all(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more shows that it is too long.
    from.take(MAX_SECRET_BYTES as u64 + 3).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads a line from the terminal, which does not show it.
fn read_hidden(asked: &str) -> std::io::Result<String> {
    let stdin = std::io::stdin();
    eprint!("{asked}");
    std::io::stderr().flush()?;
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    let shown = tcsetattr(&stdin, OptionalActions::Flush, &before);
    eprintln!();
    read?;
    shown?;
    Ok(line)
}
