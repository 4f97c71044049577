//! `payloads`: looks at what exe and pkg jobs run, and puts it there.

use std::path::PathBuf;

use pumice_core::text::{escaped, shown};
use pumice_service::payloads::{
    GetPayload, ListPayloads, PayloadFile, PayloadShown, PutDone, PutPayloads, get, list, put,
};

use crate::args::{Format, Global, Payloads};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::realm::Realm;
use crate::target::Target;
use crate::view::local_time;

/// Lists, puts and gets payloads.
pub(super) async fn payloads(global: &Global, command: Payloads) -> Result<(), Failure> {
    match command {
        Payloads::List { prefix, filter } => {
            let target = Target::open_to_read(global).await?;
            let found = target.ask(list, &ListPayloads { prefix, filter }).await?;
            print(global.output, &found, || table(global.output, &found.payloads))?;
            if global.output.is_table() {
                let count = found.payloads.len();
                let more = if found.more { "more than " } else { "" };
                note(global, &[format!("{count} of {more}{count} payloads")]);
            }
            Ok(())
        }
        Payloads::Put { files, to, dry_run } => {
            let files = with_keys(files, &to)?;
            let realm = Realm::open(global, !dry_run).await?;
            let done = put(&realm, &PutPayloads { files, dry_run }).await?;
            print(global.output, &done, || put_lines(&done, dry_run))
        }
        Payloads::Get { key, file } => {
            let realm = Realm::open_to_read(global).await?;
            let path = file.unwrap_or_else(|| PathBuf::from(key.rsplit('/').next().unwrap_or_default()));
            let got = get(&realm, &GetPayload { key, path: path.clone() }).await?;
            print(global.output, &got, || vec![format!("{} bytes in {}", got.size, path.display())])
        }
    }
}

/// The key of each file: what `--to` says, with the file's name behind a slash.
fn with_keys(files: Vec<PathBuf>, to: &str) -> Result<Vec<PayloadFile>, Failure> {
    let is_prefix = to.is_empty() || to.ends_with('/');
    if !is_prefix && files.len() > 1 {
        let message =
            format!("several files cannot have the one key {0}: write {0}/ to put them below it", shown(to));
        return Err(Failure::wrong(message));
    }
    let with_key = |path: PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let bad = || Failure::wrong(format!("{}: the file has no name that a key may have", path.display()));
        let key = if is_prefix { format!("{to}{}", name.ok_or_else(bad)?) } else { to.to_owned() };
        Ok(PayloadFile { key, path })
    };
    files.into_iter().map(with_key).collect()
}

fn put_lines(done: &PutDone, dry_run: bool) -> Vec<String> {
    let would = if dry_run { "would be " } else { "" };
    let line = |put: &pumice_service::payloads::PayloadPut| {
        let what = if put.replaced { "replaced" } else { "added" };
        format!("{} {would}{what} ({} bytes)", shown(&put.key), put.size)
    };
    done.payloads.iter().map(line).collect()
}

fn table(format: Format, payloads: &[PayloadShown]) -> Vec<String> {
    let row = |payload: &PayloadShown| {
        let modified = payload.modified.map(|at| local_time(at.0)).unwrap_or_default();
        vec![escaped(&payload.key).into_owned(), payload.size.to_string(), modified]
    };
    let heading = [Column::Path("PAYLOAD", 10), Column::Whole("BYTES"), Column::Whole("PUT")];
    columns(format, &heading, &payloads.iter().map(row).collect::<Vec<_>>())
}
