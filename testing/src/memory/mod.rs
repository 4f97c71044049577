//! Adapters in memory: the reference that shows what each port means, in the fewest words.

mod audit;
mod backfills;
mod bulk;
mod clock;
mod gates;
mod hosts;
mod queue;
mod runs;
mod timetables;
mod triggers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::clock::{Backfill, Timetable};
use pumice_core::duration::Span;
use pumice_core::hosts::Host;
use pumice_core::ids::{HostId, JobId, RunKey, StateId, TriggerId, WorkerName};
use pumice_core::pauses::Pauses;
use pumice_core::permits::{Gate, GateView};
use pumice_core::ports::DeadLetter;
use pumice_core::ports::{
    BackfillStore, Buried, Change, Clock, CommitError, Consumer, Counts, Created, DeadLetterPage,
    DeadLetters, DeadQueue, Delivery, Depth, Doc, DuePage, DuePlace, DueTimetables, Fetched, HostStore,
    JobStore, MAX_LISTED, MAX_PIECE, Object, ObjectPage, ObjectStore, Outgoing, Piece, Queue, RunPage,
    RunQuery, RunStore, ScheduleStore, StateItem, StateStore, StoreError, StoredJob, TriggerStore,
    TriggerUpsert, WakeUps,
};
use pumice_core::run::{NewRun, Run};
use pumice_core::spec::{JobSpec, RealmSpec, RunSpec};
use pumice_core::trigger::TriggerSpec;

pub use backfills::BackfillTable;
pub use clock::{ManualClock, SeededRandom};
pub use gates::GateTable;
pub use hosts::HostTable;
pub use queue::{MAX_RECEIVES, QueueTable, VISIBILITY};
pub use runs::RunTable;
pub use timetables::TimetableTable;
pub use triggers::TriggerTable;

/// Every store and queue of a realm, in memory. Cheap to clone; clones share what they hold.
#[derive(Clone)]
pub struct Memory {
    tables: Arc<Mutex<Tables>>,
    clock: Arc<dyn Clock>,
}

struct Tables {
    realm: Arc<RealmSpec>,
    jobs: BTreeMap<JobId, StoredJob>,
    runs: RunTable,
    pauses: Pauses,
    queues: QueueTable,
    /// The runs that have a schedule.
    schedules: BTreeSet<RunKey>,
    timetables: TimetableTable,
    backfills: BackfillTable,
    audit: audit::AuditTable,
    bulk: bulk::BulkTable,
    hosts: HostTable,
    triggers: TriggerTable,
    state: BTreeMap<StateId, StateItem>,
    objects: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// Empty stores of a realm.
    #[must_use]
    pub fn new(realm: RealmSpec, clock: Arc<dyn Clock>) -> Self {
        let tables = Tables {
            realm: Arc::new(realm),
            jobs: BTreeMap::new(),
            runs: RunTable::default(),
            pauses: Pauses::default(),
            queues: QueueTable::default(),
            schedules: BTreeSet::new(),
            timetables: TimetableTable::default(),
            backfills: BackfillTable::default(),
            audit: audit::AuditTable::new(),
            bulk: bulk::BulkTable::default(),
            hosts: HostTable::default(),
            triggers: TriggerTable::default(),
            state: BTreeMap::new(),
            objects: BTreeMap::new(),
        };
        Self { tables: Arc::new(Mutex::new(tables)), clock }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job's spec, over one that may be there.
    pub fn put_job(&self, job: JobSpec) {
        self.tables().jobs.insert(job.fields.job_id.clone(), Ok(Arc::new(job)));
    }

    /// The dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.tables().queues.dead().to_vec()
    }

    /// The object at a location.
    #[must_use]
    pub fn object(&self, location: &str) -> Option<Vec<u8>> {
        self.tables().objects.get(location).cloned()
    }
}

#[async_trait]
impl JobStore for Memory {
    async fn realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        Ok(self.tables().realm.clone())
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        let tables = self.tables();
        Ok(ids.iter().map(|id| tables.jobs.get(id).cloned()).collect())
    }

    async fn job_ids(&self) -> Result<Option<Vec<JobId>>, StoreError> {
        Ok(Some(self.tables().jobs.keys().cloned().collect()))
    }
}

#[async_trait]
impl TriggerStore for Memory {
    async fn of_bucket(&self, bucket: &str) -> Result<Vec<Arc<Doc>>, StoreError> {
        Ok(self.tables().triggers.of_bucket(bucket))
    }

    async fn all_triggers(&self) -> Result<Vec<Doc>, StoreError> {
        Ok(self.tables().triggers.all())
    }

    async fn put_triggers(
        &self,
        triggers: Vec<TriggerSpec>,
        dry_run: bool,
    ) -> Result<Vec<TriggerUpsert>, StoreError> {
        let mut tables = self.tables();
        Ok(triggers.into_iter().map(|trigger| tables.triggers.put(trigger, dry_run)).collect())
    }

    async fn delete_triggers(&self, ids: Vec<TriggerId>) -> Result<Vec<bool>, StoreError> {
        let mut tables = self.tables();
        Ok(ids.iter().map(|id| tables.triggers.delete(id)).collect())
    }
}

#[async_trait]
impl HostStore for Memory {
    async fn put_host(&self, host: &Host) -> Result<(), StoreError> {
        self.tables().hosts.put(host.clone());
        Ok(())
    }

    async fn host(&self, worker: &WorkerName, id: &HostId) -> Result<Option<Host>, StoreError> {
        Ok(self.tables().hosts.get(worker, id).cloned())
    }

    async fn hosts(&self, worker: &WorkerName) -> Result<Vec<Host>, StoreError> {
        Ok(self.tables().hosts.of(worker))
    }

    async fn runs_for(&self, host: &HostId) -> Result<Vec<RunKey>, StoreError> {
        Ok(self.tables().runs.addressed_to(host))
    }
}

#[async_trait]
impl RunStore for Memory {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        let mut tables = self.tables();
        let mut created = Vec::with_capacity(runs.len());
        for (new, message) in runs {
            let existing = tables.runs.create(new.clone()).map(Box::new);
            let sent = existing.is_none();
            if let Some(outgoing) = message.as_ref().filter(|_| sent) {
                tables.queues.put(outgoing);
            }
            created.push(Created { existing, sent, ..Created::default() });
        }
        Ok(created)
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        Ok(self.tables().runs.get(key).cloned())
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        Ok(self.tables().runs.get_with_spec(key).map(|(run, spec)| (run.clone(), spec.clone())))
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        let mut tables = self.tables();
        tables.runs.commit(change)?;
        if let Some(outgoing) = &change.message {
            tables.queues.put(outgoing);
        }
        Ok(true)
    }

    async fn make_anew(&self, new: &NewRun) -> Result<bool, CommitError> {
        self.tables().runs.make_anew(new).map(|()| true)
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        Ok(self.tables().runs.children(key, attempt))
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        Ok(self.tables().runs.due(now, limit))
    }

    async fn due_page(
        &self,
        _: usize,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        Ok(self.tables().runs.due_page(now, after, limit))
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.tables().runs.page(query)
    }

    async fn counts(&self) -> Result<Option<Counts>, StoreError> {
        Ok(Some(self.tables().runs.counts()))
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(self.tables().pauses.clone())
    }

    async fn put_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        let mut tables = self.tables();
        if tables.pauses.rev + 1 != pauses.rev {
            return Err(CommitError::Conflict);
        }
        tables.pauses = pauses.clone();
        Ok(())
    }

    async fn remove(&self, key: &RunKey) -> Result<bool, StoreError> {
        Ok(self.tables().runs.remove(key))
    }

    async fn holder(&self, job_id: &JobId) -> Result<Option<RunKey>, StoreError> {
        Ok(self.tables().runs.holder(job_id))
    }

    async fn gate(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        Ok(self.tables().runs.gates().view(gate, limit))
    }

    async fn leave_gate(&self, gate: &Gate, key: &RunKey, _: Option<u64>) -> Result<(), StoreError> {
        self.tables().runs.leave_gate(gate, key);
        Ok(())
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        Ok(self.tables().runs.in_line(job_id, limit))
    }
}

#[async_trait]
impl StateStore for Memory {
    async fn get(&self, ids: &[StateId], now: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError> {
        let tables = self.tables();
        let fresh = |id| tables.state.get(id).filter(|item| now < item.expires).cloned();
        Ok(ids.iter().map(fresh).collect())
    }

    async fn put(&self, item: StateItem) -> Result<(), StoreError> {
        self.tables().state.insert(item.state_id.clone(), item);
        Ok(())
    }
}

#[async_trait]
impl BackfillStore for Memory {
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError> {
        Ok(self.tables().backfills.get(id).cloned())
    }

    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        Ok(self.tables().backfills.all())
    }

    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError> {
        Ok(self.tables().backfills.due(until, limit))
    }

    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        self.tables().backfills.create(backfill)
    }

    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        self.tables().backfills.put(backfill)
    }
}

#[async_trait]
impl ScheduleStore for Memory {
    async fn load(&self, job_ids: &[JobId]) -> Result<Vec<Option<Timetable>>, StoreError> {
        let tables = self.tables();
        Ok(job_ids.iter().map(|id| tables.timetables.get(id).cloned()).collect())
    }

    async fn due(
        &self,
        _: usize,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DueTimetables, StoreError> {
        Ok(self.tables().timetables.due(until, after, limit))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.tables().timetables.next_due())
    }

    async fn all(&self) -> Result<Vec<Timetable>, StoreError> {
        Ok(self.tables().timetables.all())
    }

    async fn put(&self, timetables: Vec<Timetable>) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        let mut tables = self.tables();
        Ok(timetables.into_iter().map(|timetable| tables.timetables.put(timetable)).collect())
    }

    async fn hurry(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        self.tables().timetables.hurry(job_id, at);
        Ok(())
    }

    async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.tables();
        job_ids.iter().for_each(|id| tables.timetables.touch(id, at));
        Ok(())
    }
}

#[async_trait]
impl Queue for Memory {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let mut tables = self.tables();
        messages.iter().for_each(|outgoing| tables.queues.put(outgoing));
        vec![Ok(()); messages.len()]
    }

    async fn depth(&self, worker: &WorkerName) -> Result<Depth, StoreError> {
        Ok(self.tables().queues.depth(worker, self.clock.now()))
    }
}

#[async_trait]
impl DeadLetters for Memory {
    async fn dead_queues(&self) -> Result<Option<Vec<DeadQueue>>, StoreError> {
        Ok(Some(self.tables().queues.dead_queues()))
    }

    async fn dead_count(&self, queue: &DeadQueue) -> Result<u64, StoreError> {
        Ok(self.tables().queues.dead_of(queue, usize::MAX).letters.len() as u64)
    }

    async fn dead_letters_of(&self, queue: &DeadQueue, limit: usize) -> Result<DeadLetterPage, StoreError> {
        Ok(self.tables().queues.dead_of(queue, limit))
    }

    async fn redrive(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables());
        Ok(ids.iter().map(|id| tables.queues.redrive(queue, id, now)).collect())
    }

    async fn discard(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError> {
        let mut tables = self.tables();
        Ok(ids.iter().map(|id| tables.queues.discard(queue, id)).collect())
    }
}

#[async_trait]
impl WakeUps for Memory {
    async fn schedule(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let mut tables = self.tables();
        for outgoing in &messages {
            if tables.schedules.insert(outgoing.message.key()) {
                tables.queues.put(outgoing);
            }
        }
        vec![Ok(()); messages.len()]
    }
}

#[async_trait]
impl Consumer for Memory {
    async fn receive(
        &self,
        worker: &WorkerName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let until = self.clock.now() + Span::from(wait).delta();
        loop {
            let now = self.clock.now();
            let (taken, next) = {
                let mut tables = self.tables();
                (tables.queues.take(worker, max, now), tables.queues.next_visible())
            };
            if !taken.is_empty() || now >= until {
                return Ok(taken);
            }
            self.clock.sleep_until(next.filter(|next| *next > now).unwrap_or(until).min(until)).await;
        }
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        receipts.iter().try_for_each(|receipt| tables.queues.delete(receipt))
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError> {
        self.keep(receipt, after).await
    }

    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.tables().queues.hide(receipt, hidden, now)
    }

    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.tables().queues.put_aside(receipt, reason, now)
    }
}

#[async_trait]
impl ObjectStore for Memory {
    async fn put_file(&self, location: &str, file: BorrowedFd<'_>) -> std::io::Result<()> {
        let mut file = std::fs::File::from(file.try_clone_to_owned()?);
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes))?;
        self.tables().objects.insert(location.to_owned(), bytes);
        Ok(())
    }

    async fn put_part(
        &self,
        location: &str,
        file: BorrowedFd<'_>,
        from: u64,
        length: u64,
    ) -> std::io::Result<()> {
        let mut file = std::fs::File::from(file.try_clone_to_owned()?);
        file.seek(std::io::SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        self.tables().objects.insert(location.to_owned(), bytes);
        Ok(())
    }

    async fn join(&self, location: &str, parts: &[String]) -> std::io::Result<()> {
        let mut tables = self.tables();
        let parts = parts.iter().map(|part| tables.objects.get(part).cloned());
        let parts: Option<Vec<Vec<u8>>> = parts.collect();
        let whole = parts.ok_or(std::io::ErrorKind::NotFound)?.concat();
        tables.objects.insert(location.to_owned(), whole);
        Ok(())
    }

    async fn remove(&self, locations: &[String]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for location in locations {
            tables.objects.remove(location);
        }
        Ok(())
    }

    async fn open_range(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        Ok(self.tables().objects.get(location).map(|bytes| {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let end = from.saturating_add(length.min(MAX_PIECE));
            Piece { bytes: bytes[place(from)..place(end)].to_vec(), size: bytes.len() as u64 }
        }))
    }

    async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ObjectPage, StoreError> {
        let tables = self.tables();
        let found = tables.objects.iter().filter(|(location, _)| location.starts_with(prefix));
        let mut found = found.filter(|(location, _)| after.is_none_or(|after| location.as_str() > after));
        let object = |(location, bytes): (&String, &Vec<u8>)| Object {
            location: location.clone(),
            size: bytes.len() as u64,
            modified: None,
            version: Some(format!("{bytes:?}")),
            class: None,
        };
        let objects: Vec<Object> = found.by_ref().take(limit.clamp(1, MAX_LISTED)).map(object).collect();
        let next = found.next().and(objects.last()).map(|last| last.location.clone());
        Ok(ObjectPage { objects, next })
    }

    async fn list_level(&self, prefix: &str, limit: usize) -> Result<Vec<Object>, StoreError> {
        let all = self.list_objects(prefix, None, MAX_LISTED).await?.objects.into_iter();
        Ok(all.filter(|object| !object.location[prefix.len()..].contains('/')).take(limit).collect())
    }

    async fn fetch(&self, object: &Object, into: BorrowedFd<'_>) -> Result<Fetched, StoreError> {
        let now = self.list_objects(&object.location, None, 1).await?.objects;
        let Some(now) = now.into_iter().find(|now| now.location == object.location) else {
            return Ok(Fetched::Gone);
        };
        if now.version != object.version {
            return Ok(Fetched::Changed);
        }
        let bytes = self.tables().objects.get(&object.location).cloned().unwrap_or_default();
        let failed = |error: std::io::Error| StoreError::of_io(&object.location, error);
        let mut file = std::fs::File::from(into.try_clone_to_owned().map_err(failed)?);
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        Ok(Fetched::Whole)
    }
}
