//! Records of runs, in a table of Pumice's own.

mod anew;
mod bad_ends;
mod batch;
mod commit;
mod create;
mod due;
mod family;
mod large;
mod listed;
mod newest;
mod parts;
mod permits;
mod record;
mod removed;
mod starts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::pauses::Pauses;
use pumice_core::permits::{Gate, GateView};
use pumice_core::ports::{
    Beginning, Change, CommitError, Created, DuePage, DuePlace, Minute, Outgoing, RunPage, RunQuery,
    RunStore, Starts, StoreError,
};
use pumice_core::run::{NewRun, Offloaded, Part, Run};
use pumice_core::spec::RunSpec;

use self::large::SpecText;
use crate::attribute::Item;
use crate::failure::store_error;
use crate::signing::Signing;
use crate::store::{Store, text_of};
pub(crate) use record::{DUE_AT, DUE_SHARD, FOR_HOST, key_of};
use record::{DUE_SHARDS, SIGNATURE, SPEC, read_run, read_spec, run_key, spec_key};

/// How far an index is behind its table, save when something is wrong: DynamoDB promises "a fraction of
/// a second, under normal conditions" (Developer Guide, Global Secondary Indexes).
const INDEX_LAG: Duration = Duration::from_secs(1);

impl Store {
    /// One item of the table of runs, strongly consistent.
    pub(crate) async fn item(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let table = self.names.runs();
        let request = self.client.get_item().table_name(&table).set_key(Some(key)).consistent_read(true);
        let answer = request.send().await;
        let answer = answer.map_err(|error| store_error(&format!("reading table {table}"), &error))?;
        Ok(answer.item.filter(|item| !item.is_empty()))
    }

    async fn record_item(&self, key: &RunKey) -> Result<Option<Item>, StoreError> {
        self.item(run_key(key)).await
    }

    /// A record with all its parts.
    async fn whole(&self, mut item: Item) -> Result<Run, StoreError> {
        let run_id = text_of(&item, "run_id").unwrap_or_default().to_owned();
        let offloaded = self.restore(&run_id, &mut item).await?;
        Ok(Run { offloaded, ..read_run(&item)? })
    }

    /// A record to be looked at: without the parts that are kept elsewhere.
    fn light(item: &Item) -> Result<Run, StoreError> {
        Ok(Run { offloaded: Self::offloaded(item), ..read_run(item)? })
    }

    /// The records with these keys that exist, in this order, to be looked at. One that cannot be read
    /// is logged, and does not stop the others.
    async fn records(&self, keys: &[RunKey]) -> Result<Vec<Run>, StoreError> {
        let (runs, unreadable) = self.readable(keys).await?;
        if let Some((_, error)) = unreadable.first() {
            tracing::error!(count = unreadable.len(), %error, "records cannot be read, and are left out");
        }
        Ok(runs)
    }

    /// The records with these keys that exist, in this order, and those that cannot be read, with the reason.
    async fn readable(&self, keys: &[RunKey]) -> Result<(Vec<Run>, Vec<(Item, String)>), StoreError> {
        let table = self.names.runs();
        let places: HashMap<&RunKey, usize> = keys.iter().zip(0..).collect();
        let wanted = keys.iter().map(|key| (table.clone(), run_key(key))).collect();
        let (mut runs, mut unreadable) = (Vec::new(), Vec::new());
        for (_, item) in self.get_all(&format!("reading table {table}"), wanted).await? {
            match Self::light(&item) {
                Ok(run) => runs.push(run),
                Err(error) => unreadable.push((item, error.message)),
            }
        }
        runs.sort_by_key(|run| places.get(&run.key).copied());
        Ok((runs, unreadable))
    }

    /// A run's spec, from its record or from an item of its own, if its signature is trusted.
    async fn spec_of(&self, key: &RunKey, record: &Item, by: &Signing) -> Result<PinnedSpec, StoreError> {
        let missing = |place, unsigned| {
            Ok(PinnedSpec::Missing(Offloaded { part: Part::Spec, place, gone: true, unsigned }))
        };
        let own = match text_of(record, SPEC) {
            Some(_) => None,
            None => self.item(spec_key(key)).await?,
        };
        let item = own.as_ref().unwrap_or(record);
        let text = match (text_of(record, SPEC), &own) {
            (Some(spec), _) => spec.to_owned(),
            (None, Some(own)) => match self.spec_text(own).await? {
                SpecText::Found(text) => text,
                SpecText::Gone { place } => return missing(place, false),
            },
            (None, None) => return missing(format!("table {}", self.names.runs()), false),
        };
        let signature = match item.get(SIGNATURE) {
            Some(AttributeValue::B(bytes)) => Some(bytes.as_ref()),
            _ => None,
        };
        match by.refuse(self.names.realm(), key, &text, signature).await? {
            Some(why) => missing(why.to_owned(), true),
            None => read_spec(key, &text).map(PinnedSpec::Found),
        }
    }

    /// A record and its spec, whose signature is checked by this.
    async fn load_checked(&self, key: &RunKey, by: &Signing) -> Result<Option<(Run, RunSpec)>, StoreError> {
        let record = match self.take_ahead(key) {
            Some(record) => record,
            None => match self.read_runs(std::slice::from_ref(key)).await?.remove(key) {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        let spec = self.spec_of(key, &record, by).await?;
        let mut run = self.whole(record).await?;
        let spec = match spec {
            PinnedSpec::Found(spec) => spec,
            PinnedSpec::Missing(offloaded) => {
                run.offloaded.push(offloaded);
                RunSpec::of_job(Arc::default())
            }
        };
        Ok(Some((run, spec)))
    }
}

/// The spec that a run's record pins.
enum PinnedSpec {
    Found(RunSpec),
    /// It is gone, or its signature is not trusted.
    Missing(Offloaded),
}

#[async_trait]
impl RunStore for Store {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        // Messages are the caller's to send: the queue is another service.
        let runs: Vec<&NewRun> = runs.iter().map(|(new, _)| new).collect();
        self.create_all(&runs).await
    }

    async fn make_anew(&self, new: &NewRun) -> Result<bool, CommitError> {
        self.put_anew(new).await.map(|()| true)
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        match self.record_item(key).await? {
            Some(item) => self.whole(item).await.map(Some),
            None => Ok(None),
        }
    }

    async fn peek(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.record_item(key).await?.map(|item| Self::light(&item)).transpose()
    }

    /// One round trip: the record, and the realm with it when it has not been read lately. None for what
    /// was read ahead. One more for a spec that has an item of its own.
    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.load_checked(key, &self.signing).await
    }

    async fn load_trusted(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.load_checked(key, &self.signing.for_pins()).await
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        self.commit_run(change).await.map(|()| false)
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        self.children_of(key, attempt).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.due_by(now, limit).await
    }

    fn due_parts(&self) -> usize {
        usize::from(DUE_SHARDS)
    }

    async fn due_page(
        &self,
        part: usize,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        match u8::try_from(part) {
            Ok(part) => self.due_in(part, now, after, limit).await,
            Err(_) => Ok(DuePage::default()),
        }
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        match &query.tree_of {
            Some(root) => {
                let runs = self.tree(root).await?;
                Ok(RunPage { looked_at: runs.len(), runs, ..RunPage::default() })
            }
            None => self.page_of(query).await,
        }
    }

    async fn starts(&self, since: Minute, until: Minute) -> Result<Starts, StoreError> {
        self.starts_of(since, until).await
    }

    async fn beginning(&self, prefix: &str, limit: usize) -> Result<Beginning, StoreError> {
        self.beginning_of(prefix, limit).await
    }

    fn lag(&self) -> Duration {
        INDEX_LAG
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.read_pauses().await
    }

    async fn put_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        self.write_pauses(pauses).await
    }

    async fn remove(&self, key: &RunKey) -> Result<bool, StoreError> {
        self.remove_run(key).await
    }

    async fn holder(&self, job_id: &JobId) -> Result<Option<RunKey>, StoreError> {
        self.lock_holder(job_id).await
    }

    async fn gate(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        self.gate_view(gate, limit).await
    }

    async fn leave_gate(&self, gate: &Gate, key: &RunKey, ticket: Option<u64>) -> Result<(), StoreError> {
        self.take_from_gate(gate, key, ticket).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.waiting_in_line(job_id, limit).await
    }
}
