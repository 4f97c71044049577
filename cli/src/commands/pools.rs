//! `pools`: how many runs of some jobs run at once, and which wait.

use pumice_service::pools::{ListPools, PoolList, PoolShown, list_pools};

use crate::args::{Format, Global, Pools};
use crate::failure::Failure;
use crate::output::{Column, columns, print};
use crate::target::Target;

/// Lists pools.
pub(super) async fn pools(global: &Global, command: Pools) -> Result<(), Failure> {
    let Pools::List { filter } = command;
    let realm = Target::open_to_read(global).await?;
    let found = realm.ask(list_pools, &ListPools { filter }).await?;
    print(global.output, &found, || table(global.output, &found))
}

fn table(format: Format, found: &PoolList) -> Vec<String> {
    let row = |pool: &PoolShown| {
        let next = pool.line.first().map(|key| format!("next: {key}")).unwrap_or_default();
        let unknown = "not in the realm's definition: its runs wait".to_owned();
        vec![
            pool.pool.to_string(),
            pool.size.map_or_else(|| "–".to_owned(), |size| size.to_string()),
            pool.jobs.to_string(),
            pool.taken.to_string(),
            format!("{}{}", pool.waiting, if pool.more { "+" } else { "" }),
            if pool.size.is_none() { unknown } else { next },
        ]
    };
    let heading = [
        Column::Whole("POOL"),
        Column::Whole("SIZE"),
        Column::Whole("JOBS"),
        Column::Whole("TAKEN"),
        Column::Whole("WAITING"),
        Column::Text("", 8),
    ];
    columns(format, &heading, &found.pools.iter().map(row).collect::<Vec<_>>())
}
