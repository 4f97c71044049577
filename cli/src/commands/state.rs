//! `state`: looks at state items, and changes them.

use pumice_core::document::parse_json;
use pumice_core::message::iso;
use pumice_core::ports::{Clock, StateItem, StateType};
use pumice_core::spec::is_reserved_global;
use pumice_core::text::{escaped, shown};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use crate::args::{Format, Global, State};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::realm::Realm;
use crate::view::local_time;

/// Gets, puts, lists and deletes state items.
pub(super) async fn state(global: &Global, command: State) -> Result<(), Failure> {
    let realm = match command {
        State::Put { .. } => Realm::open(global, true).await?,
        State::Delete { .. } => Realm::open(global, false).await?,
        State::Get { .. } | State::List => Realm::open_to_read(global).await?,
    };
    let (store, catalog) = (realm.state(), realm.catalog());
    let now = SystemClock.now();
    match command {
        State::Get { id } => {
            let found = store.get(std::slice::from_ref(&id), now).await?.pop().flatten();
            let Some(item) = found else {
                return Err(Failure::Wrong(format!("no such state item {}", shown(id.as_str()))));
            };
            let format = if global.output == Format::Yaml { Format::Yaml } else { Format::Json };
            print(format, &item.value, Vec::new)
        }
        State::Put { id, value, ttl, raw, publisher } => {
            if is_reserved_global(id.as_str()) {
                return Err(Failure::Wrong(format!(
                    "the state id {} is reserved: ids beginning with lava are the engine's own",
                    shown(id.as_str())
                )));
            }
            let settings = realm.site().await?.settings.clone();
            let ttl = ttl.unwrap_or(settings.state_ttl).min(settings.state_max_ttl);
            let item = StateItem {
                state_id: id,
                r#type: if raw { StateType::Raw } else { StateType::Json },
                value: read_value(value)?,
                publisher,
                timestamp: now,
                expires: now + ttl.delta(),
            };
            Ok(store.put(item).await?)
        }
        State::List => {
            let items = catalog.all_state(now).await?;
            let value = Value::from(items.iter().map(item_json).collect::<Vec<_>>());
            print(global.output, &value, || {
                let row = |item: &StateItem| {
                    let shown = |text: &str| escaped(text).into_owned();
                    let publisher = item.publisher.as_deref().map(shown).unwrap_or_default();
                    let (id, value) = (shown(item.state_id.as_str()), shown(&item.value.to_string()));
                    vec![id, value, publisher, local_time(item.timestamp), local_time(item.expires)]
                };
                let heading = [
                    Column::Path("STATE", 10),
                    Column::Text("VALUE", 8),
                    Column::Path("PUBLISHER", 9),
                    Column::Whole("PUT"),
                    Column::Whole("EXPIRES"),
                ];
                columns(global.output, &heading, &items.iter().map(row).collect::<Vec<_>>())
            })?;
            if global.output.is_table() {
                note(global, &[format!("{0} of {0} state items", items.len())]);
            }
            Ok(())
        }
        State::Delete { ids } => {
            let mut missing = Vec::new();
            for id in ids {
                if !catalog.delete_state(id.clone()).await? {
                    missing.push(shown(id.as_str()));
                }
            }
            if missing.is_empty() {
                Ok(())
            } else {
                Err(Failure::Wrong(format!("no such state item: {}", missing.join(", "))))
            }
        }
    }
}

/// A value of the command line: JSON, else a text. JSON that would lose something is refused.
fn read_value(text: String) -> Result<Value, Failure> {
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
        return Ok(Value::String(text));
    }
    parse_json(&text).map_err(|error| Failure::Wrong(format!("the value is {error}")))
}

fn item_json(item: &StateItem) -> Value {
    json!({
        "state_id": item.state_id,
        "type": item.r#type,
        "value": item.value,
        "publisher": item.publisher,
        "timestamp": iso(item.timestamp),
        "expires": iso(item.expires),
    })
}
