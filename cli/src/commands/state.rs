//! `state`: looks at state items, and changes them.

use pumice_core::document::parse_json;
use pumice_core::text::{escaped, shown};
use pumice_service::state::{
    DeleteState, ListState, PutState, StateName, StateShown, delete, get, list, masked, put,
};
use serde_json::Value;

use crate::args::{Format, Global, State};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;
use crate::view::local_time;

/// Gets, puts, lists and deletes state items.
pub(super) async fn state(global: &Global, command: State) -> Result<(), Failure> {
    let realm = match command {
        State::Put { .. } => Target::open(global, true).await?,
        State::Delete { dry_run: false, .. } => Target::open(global, false).await?,
        State::Get { .. } | State::List | State::Delete { .. } => Target::open_to_read(global).await?,
    };
    match command {
        State::Get { id } => {
            let format = if global.output == Format::Yaml { Format::Yaml } else { Format::Json };
            let value = realm.ask(get, &StateName { id: id.clone() }).await?;
            print(format, &masked(&id, value), Vec::new)
        }
        State::Put { id, value, ttl, raw, secure, publisher } => {
            let value = match secure && value == "-" {
                true => crate::files::read_text(std::path::Path::new("-"))
                    .map_err(|error| Failure::wrong(format!("the value {error}")))?
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
                false => value,
            };
            let value = read_value(value)?;
            Ok(realm.give(put, PutState { id, value, ttl, raw, secure, publisher, if_match: None }).await?)
        }
        State::List => {
            let items = realm.give(list, ListState {}).await?;
            print(global.output, &items, || table(global.output, &items))?;
            if global.output.is_table() {
                note(global, &[format!("{0} of {0} state items", items.len())]);
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
