//! `state`: looks at state items, and changes them.

use pumice_core::document::parse_json;
use pumice_core::text::{escaped, shown};
use pumice_service::state::{
    DeleteState, ListState, PutItem, PutState, StateName, StateShown, delete, get, list, masked, put,
};
use serde_json::Value;

use crate::args::{Format, Global, State};
use crate::failure::Failure;
use crate::output::{Column, columns, listed, note, print};
use crate::target::Target;
use crate::view::local_time;

/// Gets, puts, lists and deletes state items.
pub(super) async fn state(global: &Global, command: State) -> Result<(), Failure> {
    let realm = match command {
        State::Put { dry_run: false, .. } => Target::open(global, true).await?,
        State::Delete { dry_run: false, .. } => Target::open(global, false).await?,
        State::Get { .. } | State::Put { .. } | State::List { .. } | State::Delete { .. } => {
            Target::open_to_read(global).await?
        }
    };
    match command {
        State::Get { id } => {
            let format = if global.output == Format::Yaml { Format::Yaml } else { Format::Json };
            let value = realm.ask(get, &StateName { id: id.clone() }).await?;
            print(format, &masked(&id, value), Vec::new)
        }
        State::Put { id, value, ttl, raw, secure, publisher, dry_run } => {
            let value = match secure && value == "-" {
                true => crate::files::read_text(std::path::Path::new("-"))
                    .map_err(|error| Failure::wrong(format!("the value {error}")))?
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
                false => value,
            };
            let value = read_value(value)?;
            let request = PutState { id, value, ttl, raw, secure, publisher, if_match: None, dry_run };
            let done = realm.give(put, request).await?;
            print(global.output, &done, || if dry_run { foreseen(&done) } else { Vec::new() })
        }
        State::List { filter } => {
            let is_whole = filter.is_none();
            let items = realm.give(list, ListState { filter }).await?;
            print(global.output, &items, || table(global.output, &items))?;
            if global.output.is_table() {
                note(global, &[listed(items.len(), is_whole, "state item")]);
            }
            Ok(())
        }
        State::Delete { ids, dry_run } => {
            let deleted = realm.give(delete, DeleteState { ids, if_match: None, dry_run }).await?;
            let would = deleted.items.iter().filter(|item| dry_run && item.deleted);
            let would = would.map(|item| format!("would delete {}", shown(item.state_id.as_str()))).collect();
            print(global.output, &deleted, || would)?;
            let missing: Vec<String> = deleted
                .items
                .iter()
                .filter(|item| !item.deleted)
                .map(|item| shown(item.state_id.as_str()))
                .collect();
            match missing.is_empty() {
                true => Ok(()),
                false => Err(Failure::wrong(format!("no such state item: {}", missing.join(", ")))),
            }
        }
    }
}

/// What a dry run shows: the item that is there, and the one that would be.
fn foreseen(done: &PutItem) -> Vec<String> {
    let id = shown(done.state_id.as_str());
    let first = match &done.before {
        Some(_) => format!("would replace state item {id}:"),
        None => format!("would put state item {id}, which is not there:"),
    };
    let line = |word: &str, item: &StateShown| {
        let (value, expires) = (item.value.to_string(), local_time(item.expires.0));
        format!("  {word:<6} {}, until {expires}", escaped(&value))
    };
    let before = done.before.as_ref().map(|item| line("before", item));
    let after = done.after.as_ref().map(|item| line("after", item));
    std::iter::once(first).chain(before).chain(after).collect()
}

fn table(format: Format, items: &[StateShown]) -> Vec<String> {
    let row = |item: &StateShown| {
        let shown = |text: &str| escaped(text).into_owned();
        let publisher = item.publisher.as_deref().map(shown).unwrap_or_default();
        let (id, value) = (shown(item.state_id.as_str()), shown(&item.value.to_string()));
        vec![id, value, publisher, local_time(item.timestamp.0), local_time(item.expires.0)]
    };
    let heading = [
        Column::Path("STATE", 10),
        Column::Text("VALUE", 8),
        Column::Path("PUBLISHER", 9),
        Column::Whole("PUT"),
        Column::Whole("EXPIRES"),
    ];
    columns(format, &heading, &items.iter().map(row).collect::<Vec<_>>())
}

/// A value of the command line: JSON, else a text. JSON that would lose something is refused.
fn read_value(text: String) -> Result<Value, Failure> {
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
        return Ok(Value::String(text));
    }
    parse_json(&text).map_err(|error| Failure::wrong(format!("the value is {error}")))
}
