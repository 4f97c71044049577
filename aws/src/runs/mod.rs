//! Records of runs, in a table of Pumice's own.

mod commit;
mod create;
mod due;
mod family;
mod large;
mod newest;
mod record;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Change, CommitError, Created, Outgoing, RunQuery, RunStore, StoreError};
use pumice_core::run::{NewRun, Run};
use pumice_core::spec::RunSpec;

use crate::attribute::Item;
use crate::failure::store_error;
use crate::store::{Store, text_of};
use record::{SPEC, key_of, read_run, read_spec, run_key, spec_key};

impl Store {
    /// One item of the table of runs, strongly consistent.
    async fn item(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let table = self.names.runs();
        let request = self.client.get_item().table_name(&table).set_key(Some(key)).consistent_read(true);
        let answer = request.send().await;
        let answer = answer.map_err(|error| store_error(&format!("reading table {table}"), &error))?;
        Ok(answer.item.filter(|item| !item.is_empty()))
    }

    async fn record_item(&self, key: &RunKey) -> Result<Option<Item>, StoreError> {
        self.item(run_key(key)).await
    }

    async fn run_of(&self, mut item: Item) -> Result<Run, StoreError> {
        self.restore(&mut item).await?;
        read_run(&item)
    }

    /// The records with these keys that exist, in this order.
    async fn records(&self, keys: &[RunKey]) -> Result<Vec<Run>, StoreError> {
        let table = self.names.runs();
        let wanted = keys.iter().map(|key| (table.clone(), run_key(key))).collect();
        let mut runs = Vec::new();
        for (_, item) in self.get_all(&format!("reading table {table}"), wanted).await? {
            runs.push(self.run_of(item).await?);
        }
        runs.sort_by_key(|run| keys.iter().position(|key| *key == run.key));
        Ok(runs)
    }
}

#[async_trait]
impl RunStore for Store {
    async fn create(&self, runs: Vec<(NewRun, Option<Outgoing>)>) -> Result<Vec<Created>, StoreError> {
        // Messages are the caller's to send: the queue is another service.
        let runs: Vec<NewRun> = runs.into_iter().map(|(new, _)| new).collect();
        self.create_all(&runs).await
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        match self.record_item(key).await? {
            Some(item) => self.run_of(item).await.map(Some),
            None => Ok(None),
        }
    }

    /// One round trip: the record, its spec where that has an item of its own, and the realm when it
    /// has not been read lately.
    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        let (runs, realms) = (self.names.runs(), self.names.realms());
        let mut wanted = vec![(runs.clone(), run_key(key)), (runs.clone(), spec_key(key))];
        if self.fresh_realm().is_none() {
            wanted.push((realms.clone(), self.realm_key()));
        }
        let (mut record, mut pinned) = (None, None);
        for (table, item) in self.get_all(&format!("reading run {key} from table {runs}"), wanted).await? {
            if table == realms {
                // A realm that does not hold is told of where it is used.
                let _ = self.take_realm(item);
            } else if key_of(&item).is_some() {
                record = Some(item);
            } else {
                pinned = Some(item);
            }
        }
        let Some(record) = record else { return Ok(None) };
        let spec = match (text_of(&record, SPEC), pinned) {
            (Some(spec), _) => read_spec(key, spec)?,
            (None, Some(item)) => read_spec(key, &self.spec_text(&item).await?)?,
            (None, None) => return Err(StoreError::new(format!("the spec of run {key} is gone"))),
        };
        Ok(Some((self.run_of(record).await?, spec)))
    }

    async fn commit(&self, change: Change) -> Result<bool, CommitError> {
        self.commit_run(&change).await.map(|()| false)
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        self.children_of(key, attempt).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.due_by(now, limit).await
    }

    async fn list(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        match &query.tree_of {
            Some(root) => self.tree(root).await,
            None => self.newest(query).await,
        }
    }

    async fn next_in_line(&self, job_id: &JobId) -> Result<Option<Run>, StoreError> {
        self.first_in_line(job_id).await
    }
}
