//! Pools: how many runs of some jobs run at once, and which wait.

use std::collections::BTreeMap;

use pumice_core::ids::{PoolName, RunKey};
use pumice_core::permits::Gate;
use pumice_core::spec::RealmSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::realm::Realm;

/// Most runs in line that are counted.
const MAX_WAITING: usize = 1_000;
/// Most runs of a pool that are named.
const NAMED: usize = 10;

/// The pools of a realm, to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListPools {}

/// The pools of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolList {
    /// The pools, by name: those that the realm has, and those that jobs name.
    pub pools: Vec<PoolShown>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolShown {
    /// Its name.
    pub pool: PoolName,
    /// How many run at once; null where the realm has no such pool: runs for it wait.
    pub size: Option<u32>,
    /// How many jobs name it.
    pub jobs: usize,
    /// How many run.
    pub taken: usize,
    /// How many wait in line.
    pub waiting: usize,
    /// Whether more wait than were counted.
    pub more: bool,
    /// The first of those that run.
    pub holders: Vec<RunKey>,
    /// The first in line.
    pub line: Vec<RunKey>,
}

/// Lists pools: how large they are, what runs, and what waits.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn list_pools(realm: &dyn Realm, _: &ListPools) -> Result<PoolList, Error> {
    let document = realm.catalog().realm_document().await?;
    let stored = document.and_then(|document| RealmSpec::stored(document, &[]).ok());
    let mut found: BTreeMap<PoolName, (Option<u32>, usize)> = BTreeMap::new();
    for (name, pool) in stored.iter().flat_map(|realm| realm.fields.pools.iter().flatten()) {
        if let Ok(name) = PoolName::new(name) {
            found.insert(name, (Some(pool.size.as_u32()), 0));
        }
    }
    for (_, document) in realm.catalog().all_jobs().await? {
        let name = document.get("pool").and_then(|name| name.as_str());
        if let Some(pool) = name.and_then(|name| PoolName::new(name).ok()) {
            found.entry(pool).or_default().1 += 1;
        }
    }
    let mut pools = Vec::new();
    for (pool, (size, jobs)) in found {
        let view = realm.runs().gate(&Gate::Pool(pool.clone()), MAX_WAITING).await?;
        pools.push(PoolShown {
            pool,
            size,
            jobs,
            taken: view.holders.len(),
            waiting: view.line.len(),
            more: view.more,
            holders: view.holders.into_iter().take(NAMED).collect(),
            line: view.line.into_iter().take(NAMED).map(|(_, key)| key).collect(),
        });
    }
    Ok(PoolList { pools })
}
