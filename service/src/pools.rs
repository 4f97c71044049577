//! Pools: how many runs of some jobs run at once, and which wait.

use std::collections::BTreeMap;

use pumice_core::filter::{ItemWord, Items};
use pumice_core::ids::{JobId, PoolName, RunKey};
use pumice_core::permits::Gate;
use pumice_core::spec::RealmSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::listed::asked;
use crate::realm::Realm;

/// Most runs in line that are counted.
const MAX_WAITING: usize = 1_000;
/// Most runs of a pool that are named.
const NAMED: usize = 10;

/// Which pools of a realm to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListPools {
    /// Only pools that these terms mean: `pool:`, `job:`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// A pool before its runs are counted.
struct PoolFound {
    pool: PoolName,
    size: Option<u32>,
    jobs: Vec<JobId>,
}

/// Pools, with the jobs that name them.
struct Pools;

impl Items for Pools {
    type Item = PoolFound;
    const NAME: &'static str = "pools";
    const WORDS: &'static [ItemWord<PoolFound>] = &[
        ItemWord::pattern("pool", |found| vec![found.pool.as_str()]),
        ItemWord::pattern("job", |found| found.jobs.iter().map(|job| job.as_str()).collect()),
    ];
}

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
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list_pools(realm: &dyn Realm, request: &ListPools) -> Result<PoolList, Error> {
    let meant = asked::<Pools>(realm, request.filter.as_deref(), None).await?;
    let document = realm.catalog().realm_document().await?;
    let stored = document.and_then(|document| RealmSpec::stored(document, &[]).ok());
    let mut found: BTreeMap<PoolName, PoolFound> = BTreeMap::new();
    for (name, pool) in stored.iter().flat_map(|realm| realm.fields.pools.iter().flatten()) {
        if let Ok(name) = PoolName::new(name) {
            let size = Some(pool.size.as_u32());
            found.insert(name.clone(), PoolFound { pool: name, size, jobs: Vec::new() });
        }
    }
    for (job, document) in realm.catalog().all_jobs().await? {
        let name = document.get("pool").and_then(|name| name.as_str());
        if let Some(pool) = name.and_then(|name| PoolName::new(name).ok()) {
            let found = found.entry(pool.clone());
            found.or_insert_with(|| PoolFound { pool, size: None, jobs: Vec::new() }).jobs.push(job);
        }
    }
    let mut pools = Vec::new();
    for PoolFound { pool, size, jobs } in found.into_values().filter(|found| meant.takes(found)) {
        let view = realm.runs().gate(&Gate::Pool(pool.clone()), MAX_WAITING).await?;
        pools.push(PoolShown {
            pool,
            size,
            jobs: jobs.len(),
            taken: view.holders.len(),
            waiting: view.line.len(),
            more: view.more,
            holders: view.holders.into_iter().take(NAMED).collect(),
            line: view.line.into_iter().take(NAMED).map(|(_, key)| key).collect(),
        });
    }
    Ok(PoolList { pools })
}
