//! Runs found by their parent: a run's children, and all that a run caused.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::ids::RunKey;
use pumice_core::ports::StoreError;
use pumice_core::run::Run;

use super::parts::origin_keys;
use super::record::{ORIGIN, key_of};
use crate::attribute::{Item, json, text};
use crate::failure::store_error;
use crate::store::Store;

/// Most queries for children at the same time.
const MAX_AT_ONCE: usize = 16;

/// A run's id and its path, as the table's keys have them.
fn place(key: &RunKey) -> (&str, String) {
    match key.as_str().split_once('/') {
        Some((run_id, path)) => (run_id, format!("/{path}")),
        None => (key.as_str(), "/".to_owned()),
    }
}

/// The prefix of the paths of a run's children.
fn below(path: &str) -> String {
    if path == "/" { path.to_owned() } else { format!("{path}/") }
}

impl Store {
    /// The children of one attempt, by step.
    pub(super) async fn children_of(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        let (run_id, path) = place(key);
        let depth = key.depth() + 1;
        let mut children = Vec::new();
        for item in self.between(run_id, &format!("{}{attempt}.", below(&path))).await? {
            if key_of(&item).is_some_and(|key| key.depth() == depth) {
                children.push(Self::light(&item)?);
            }
        }
        children.sort_by_key(|run| run.key.step());
        Ok(children)
    }

    /// The items of a run whose paths begin so.
    async fn between(&self, run_id: &str, start: &str) -> Result<Vec<Item>, StoreError> {
        let what = format!("reading run {run_id} from table {}", self.names.runs());
        let pages = self
            .client
            .query()
            .table_name(self.names.runs())
            .consistent_read(true)
            .key_condition_expression("run_id = :run_id AND begins_with(#path, :start)")
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":run_id", text(run_id))
            .expression_attribute_values(":start", text(start))
            .into_paginator()
            .items()
            .send();
        pages.collect::<Result<_, _>>().await.map_err(|error| store_error(&what, &error))
    }

    /// A run, its children and all that these dispatched, parents first.
    pub(super) async fn tree(&self, root: &RunKey) -> Result<Vec<Run>, StoreError> {
        let mut found = Vec::new();
        let mut next = vec![root.clone()];
        while let Some(key) = next.pop() {
            let family = self.family(&key).await?;
            let asked: Vec<_> = family.iter().map(|(_, origins)| self.dispatched_by(origins)).collect();
            let answers: Vec<Vec<RunKey>> = stream::iter(asked).buffered(MAX_AT_ONCE).try_collect().await?;
            let mut dispatched: Vec<RunKey> = answers.into_iter().flatten().collect();
            // The last is looked at first.
            dispatched.reverse();
            next.extend(dispatched);
            found.extend(family.into_iter().map(|(run, _)| run));
        }
        Ok(found)
    }

    /// A run and its children, each parent before its children, with the keys under which stands what each dispatched.
    async fn family(&self, key: &RunKey) -> Result<Vec<(Run, Vec<String>)>, StoreError> {
        let (run_id, path) = place(key);
        let mut family = Vec::new();
        family.extend(self.record_item(key).await?);
        let children = self.between(run_id, &below(&path)).await?;
        family.extend(children.into_iter().filter(|item| key_of(item).is_some_and(|child| child != *key)));
        let mut runs = Vec::with_capacity(family.len());
        for item in &family {
            let run = Self::light(item)?;
            let origins = origin_keys(&run.key, item);
            runs.push((run, origins));
        }
        runs.sort_by_cached_key(|(run, _)| steps(&run.key));
        Ok(runs)
    }

    /// The keys of what a run dispatched, the oldest first.
    async fn dispatched_by(&self, origins: &[String]) -> Result<Vec<RunKey>, StoreError> {
        let what = format!("reading index origin of table {}", self.names.runs());
        let mut items: Vec<Item> = Vec::new();
        for origin in origins {
            let pages = self
                .client
                .query()
                .table_name(self.names.runs())
                .index_name("origin")
                .key_condition_expression("#origin = :key")
                .expression_attribute_names("#origin", ORIGIN)
                .expression_attribute_values(":key", text(origin))
                .into_paginator()
                .items()
                .send();
            let part: Vec<Item> =
                pages.collect::<Result<_, _>>().await.map_err(|error| store_error(&what, &error))?;
            items.extend(part);
        }
        if origins.len() > 1 {
            // Each part is in order.
            items.sort_by_key(|item| item.get("ts_dispatch").and_then(|at| json(at.clone()).as_i64()));
        }
        Ok(items.iter().filter_map(key_of).collect())
    }
}

/// The numbers of a key's path, so that step 10 comes after step 9.
fn steps(key: &RunKey) -> Vec<u32> {
    let path = key.as_str().split_once('/').map_or("", |(_, path)| path);
    path.split(['/', '.']).filter_map(|number| number.parse().ok()).collect()
}
