//! `connections`: looks at connections.

use pumice_core::text::{escaped, shown};
use pumice_service::connections::{
    ConnectionName, ConnectionShown, DeleteConnection, ListConnections, TestConnection, TestedConnection,
    delete, list, show, test,
};

use crate::args::{Connections, Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, listed, note, print, warn};
use crate::target::Target;

/// Lists, shows, tests and deletes connections.
pub(super) async fn connections(global: &Global, command: Connections) -> Result<(), Failure> {
    match command {
        Connections::List { filter } => {
            let realm = Target::open_to_read(global).await?;
            let is_whole = filter.is_none();
            let all = realm.ask(list, &ListConnections { filter }).await?;
            print(global.output, &all, || table(global.output, &all))?;
            let faults = all.iter().filter_map(|one| {
                Some(format!("connection {}: {}", shown(one.conn_id.as_str()), one.fault.as_ref()?))
            });
            warn(global, &faults.collect::<Vec<_>>());
            if global.output.is_table() {
                note(global, &[listed(all.len(), is_whole, "connection")]);
            }
            Ok(())
        }
        Connections::Show { connection } => {
            let realm = Target::open_to_read(global).await?;
            let format = if global.output == Format::Yaml { Format::Yaml } else { Format::Json };
            print(format, &realm.ask(show, &ConnectionName { connection }).await?, Vec::new)
        }
        Connections::Test { connection, target, send } => {
            let realm = Target::open_to_read(global).await?;
            let tested = realm.ask(test, &TestConnection { connection, target, send }).await?;
            print(global.output, &tested, || vec![line(&tested)])?;
            if tested.works { Ok(()) } else { Err(Failure::RunFailed) }
        }
        Connections::Delete { connection, dry_run } => {
            let realm = match dry_run {
                true => Target::open_to_read(global).await?,
                false => Target::open(global, false).await?,
            };
            let deleted =
                realm.ask(delete, &DeleteConnection { connection, if_match: None, dry_run }).await?;
            let done = if dry_run { "would delete" } else { "deleted" };
            print(global.output, &deleted, || vec![format!("{done} {}", escaped(deleted.conn_id.as_str()))])?;
            let users = deleted.users.iter().map(|job| format!("job {job} still names it"));
            warn(global, &users.collect::<Vec<_>>());
            Ok(())
        }
    }
}

fn line(tested: &TestedConnection) -> String {
    let shown = |text: &str| escaped(text).into_owned();
    let (id, tried, took) = (shown(tested.conn_id.as_str()), shown(&tested.tried), tested.duration_ms);
    match &tested.failure {
        None => format!("{id} works: {tried} ({took} ms)"),
        Some(failure) => format!("{id} does not work: {tried} ({took} ms): {}", shown(failure)),
    }
}

fn table(format: Format, all: &[ConnectionShown]) -> Vec<String> {
    let row = |one: &ConnectionShown| {
        let shown = |text: &str| escaped(text).into_owned();
        let enabled = if one.enabled { "yes" } else { "no" };
        let description = one.description.as_deref().map(shown).unwrap_or_default();
        vec![shown(one.conn_id.as_str()), shown(&one.r#type), enabled.to_owned(), description]
    };
    let heading = [
        Column::Path("CONNECTION", 10),
        Column::Text("TYPE", 8),
        Column::Whole("ENABLED"),
        Column::Text("DESCRIPTION", 8),
    ];
    columns(format, &heading, &all.iter().map(row).collect::<Vec<_>>())
}
