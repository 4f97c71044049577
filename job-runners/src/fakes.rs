//! Small stand-ins for what runners reach, for the tests of each.

mod database;
mod outside;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::connection::Connections;
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, StateId};
use pumice_core::job_type::{
    ActionContext, Cancel, DispatchError, Dispatches, JobContext, LavaGlobals, Machine, TemplateContext,
    Templates,
};
use pumice_core::ports::Workspace;
use pumice_core::ports::{
    BlockingPool, Clock, Fetched, Http, NoHttp, Object, ObjectPage, ObjectStore, Piece, PoolError, StateItem,
    StateStore, StoreError,
};
use pumice_core::request::DispatchRequest;
use pumice_core::run::Run;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_host::{DiskWorkspace, SystemClock};
use pumice_template::{Renderer, Zone};
use serde_json::{Map, Value, json};

pub(crate) use database::Database;
pub(crate) use outside::{Messages, Posts, Scripted, Ticking, response};

/// The ports of a job or an action in a test.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) run: Run,
    pub(crate) job: JobSpec,
    pub(crate) realm_name: RealmName,
    pub(crate) realm: RealmSpec,
    pub(crate) settings: Settings,
    pub(crate) templates: Templates,
    pub(crate) dispatches: Sent,
    pub(crate) connections: crate::connections::Known,
    pub(crate) kept: Kept,
    pub(crate) items: Items,
    pub(crate) http: Box<dyn Http>,
    pub(crate) messages: Messages,
    pub(crate) posts: Posts,
    pub(crate) database: Database,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) pool: Box<dyn BlockingPool>,
    pub(crate) work_dir: DiskWorkspace,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) credentials: Vec<(OsString, OsString)>,
    pub(crate) cancel: Cancel,
}

pub(crate) fn start() -> Timestamp {
    Timestamp::UNIX_EPOCH + chrono::TimeDelta::days(20_000)
}

impl World {
    /// One in which a job of this type runs.
    pub(crate) fn of(job_type: &str, payload: Value, parameters: Value) -> Self {
        let document = json!({ "job_id": "top", "type": job_type, "worker": "core", "owner": "ann", "payload": payload, "parameters": parameters });
        let job = JobSpec::parse(&document).expect("a job");
        let (job_id, run_id) = (job.fields.job_id.clone(), RunId(uuid::Uuid::from_u128(1)));
        let about = (job_id.clone(), job_type.to_owned(), job.fields.worker.clone());
        let run = Run::dispatched(RunKey::root(run_id), run_id, about, start(), start(), None);
        let realm = RealmSpec::parse(
            &json!({ "realm": "test", "s3_temp": "s3://bucket/tmp", "s3_payloads": "s3://bucket/payloads" }),
        );
        let realm = realm.expect("a realm");
        let scene = TemplateContext {
            job: job.document.clone(),
            realm: realm.document.clone(),
            realm_name: "test".to_owned(),
            state: Map::new(),
            run_id,
            ts_dispatch: start(),
            start: start(),
            lava: LavaGlobals {
                master_job_id: job_id.clone(),
                master_start: start(),
                parent_job_id: job_id,
                parent_start: start(),
                iteration: 1,
                foreach_index: None,
                master_sent: false,
                parent_sent: false,
            },
            scheduled: None,
            late: None,
            zone: Zone::Utc,
        };
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            templates: Templates::new(Renderer::default(), scene),
            work_dir: DiskWorkspace::new(folder.path(), "work", None),
            folder,
            run,
            job,
            realm_name: RealmName::new("test").expect("a name"),
            realm,
            settings: Settings::default(),
            dispatches: Sent::default(),
            connections: crate::connections::Known::default(),
            kept: Kept::default(),
            items: Items::default(),
            http: Box::new(NoHttp),
            messages: Messages::default(),
            posts: Posts::default(),
            database: Database::default(),
            clock: Box::new(SystemClock),
            pool: Box::new(pumice_core::ports::AtOnce),
            environment: Vec::new(),
            credentials: Vec::new(),
            cancel: Cancel::default(),
        }
    }

    pub(crate) fn context(&self) -> JobContext<'_> {
        JobContext {
            run: &self.run,
            job: &self.job,
            realm_name: &self.realm_name,
            realm: &self.realm,
            settings: &self.settings,
            templates: &self.templates,
            dispatches: &self.dispatches,
            connections: Connections { store: &self.connections, secrets: &self.connections },
            objects: &self.kept,
            http: &*self.http,
            messaging: &self.messages,
            databases: &self.database,
            clock: &*self.clock,
            pool: &*self.pool,
            directories: &self.work_dir,
            machine: Machine {
                scratch: self.folder.path(),
                environment: &self.environment,
                credentials: &self.credentials,
            },
            cancel: &self.cancel,
        }
    }

    pub(crate) fn action_context(&self) -> ActionContext<'_> {
        ActionContext {
            realm_name: &self.realm_name,
            job_id: &self.run.job_id,
            run_id: self.run.run_id,
            worker: &self.run.worker,
            result: &self.run.result,
            settings: &self.settings,
            dispatches: &self.dispatches,
            connections: Connections { store: &self.connections, secrets: &self.connections },
            state: &self.items,
            objects: &self.kept,
            mail: &self.posts,
            http: &*self.http,
            messaging: &self.messages,
            clock: &*self.clock,
            cancel: &self.cancel,
        }
    }

    /// The directory that the job works in.
    pub(crate) fn directory(&self) -> &Path {
        Workspace::work(&self.work_dir).expect("a folder")
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes requests for all jobs but those called `gone`.
#[derive(Default)]
pub(crate) struct Sent {
    requests: Mutex<Vec<DispatchRequest>>,
}

impl Sent {
    pub(crate) fn requests(&self) -> Vec<DispatchRequest> {
        lock(&self.requests).clone()
    }
}

pub(crate) fn run_id(index: usize) -> RunId {
    RunId(uuid::Uuid::from_u128(100 + index as u128))
}

fn gone(job_id: &JobId) -> DispatchError {
    DispatchError::NoSuchJob { job_id: job_id.to_string(), hint: None }
}

#[async_trait]
impl Dispatches for Sent {
    async fn dispatch(&self, requests: Vec<DispatchRequest>) -> Vec<Result<RunId, DispatchError>> {
        let outcomes = requests.iter().enumerate().map(|(index, request)| {
            if request.job_id.as_str() == "gone" { Err(gone(&request.job_id)) } else { Ok(run_id(index)) }
        });
        let outcomes = outcomes.collect();
        lock(&self.requests).extend(requests);
        outcomes
    }

    async fn dispatch_together(&self, requests: Vec<DispatchRequest>) -> Vec<Result<RunId, DispatchError>> {
        let is_gone = |request: &DispatchRequest| request.job_id.as_str() == "gone";
        if !requests.iter().any(is_gone) {
            return self.dispatch(requests).await;
        }
        let refused = |request: &DispatchRequest| {
            if is_gone(request) { gone(&request.job_id) } else { DispatchError::Withheld }
        };
        requests.iter().map(|request| Err(refused(request))).collect()
    }
}

/// Objects in memory.
#[derive(Default)]
pub(crate) struct Kept {
    objects: Mutex<BTreeMap<String, String>>,
    /// Objects that are put before each fetch, the last first.
    pub(crate) restless: Mutex<Vec<(String, String)>>,
    /// The locations that were fetched.
    pub(crate) fetches: Mutex<Vec<String>>,
    /// The parts that were put, in order.
    pub(crate) parts: Mutex<Vec<String>>,
    /// Errors of the next parts, the last first.
    pub(crate) unfit: Mutex<Vec<std::io::Error>>,
}

impl Kept {
    /// Keeps a text.
    pub(crate) fn put(&self, location: &str, text: &str) {
        lock(&self.objects).insert(location.to_owned(), text.to_owned());
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, String> {
        lock(&self.objects).clone()
    }
}

#[async_trait]
impl ObjectStore for Kept {
    async fn put_file(&self, location: &str, file: BorrowedFd<'_>) -> std::io::Result<()> {
        let file = File::from(file.try_clone_to_owned()?);
        let length = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        lock(&self.objects).insert(location.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        Ok(())
    }

    async fn put_part(
        &self,
        location: &str,
        file: BorrowedFd<'_>,
        from: u64,
        length: u64,
    ) -> std::io::Result<()> {
        if let Some(error) = lock(&self.unfit).pop() {
            return Err(error);
        }
        let file = File::from(file.try_clone_to_owned()?);
        let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        file.read_exact_at(&mut bytes, from)?;
        lock(&self.parts).push(location.to_owned());
        lock(&self.objects).insert(location.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        Ok(())
    }

    async fn join(&self, location: &str, parts: &[String]) -> std::io::Result<()> {
        let mut objects = lock(&self.objects);
        let parts: Option<Vec<String>> = parts.iter().map(|part| objects.get(part).cloned()).collect();
        let whole = parts.ok_or(std::io::ErrorKind::NotFound)?.concat();
        objects.insert(location.to_owned(), whole);
        Ok(())
    }

    async fn remove(&self, locations: &[String]) -> Result<(), StoreError> {
        let mut objects = lock(&self.objects);
        locations.iter().for_each(|location| drop(objects.remove(location)));
        Ok(())
    }

    async fn open_range(&self, location: &str, from: u64, count: u64) -> Result<Option<Piece>, StoreError> {
        Ok(lock(&self.objects).get(location).map(|text| {
            let size = text.len() as u64;
            let end = from.saturating_add(count).min(size);
            let bytes = text.as_bytes()[from.min(end) as usize..end as usize].to_vec();
            Piece { bytes, size }
        }))
    }

    async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ObjectPage, StoreError> {
        let objects = lock(&self.objects);
        let is_asked = |(location, _): &(&String, &String)| {
            location.starts_with(prefix) && after.is_none_or(|after| location.as_str() > after)
        };
        let mut found: Vec<Object> = objects
            .iter()
            .filter(is_asked)
            .map(|(location, text)| Object {
                location: location.clone(),
                size: text.len() as u64,
                modified: None,
                version: Some(text.clone()),
                class: None,
            })
            .collect();
        let is_cut = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_cut).map(|object| object.location.clone());
        Ok(ObjectPage { objects: found, next })
    }

    async fn list_level(&self, prefix: &str, limit: usize) -> Result<Vec<Object>, StoreError> {
        let all = self.list_objects(prefix, None, usize::MAX).await?.objects.into_iter();
        Ok(all.filter(|object| !object.location[prefix.len()..].contains('/')).take(limit).collect())
    }

    async fn fetch(&self, object: &Object, into: BorrowedFd<'_>) -> Result<Fetched, StoreError> {
        let restless = lock(&self.restless).pop();
        if let Some((location, text)) = restless {
            self.put(&location, &text);
        }
        lock(&self.fetches).push(object.location.clone());
        let Some(text) = self.objects().get(&object.location).cloned() else { return Ok(Fetched::Gone) };
        if object.version.as_ref() != Some(&text) {
            return Ok(Fetched::Changed);
        }
        let file = File::from(into.try_clone_to_owned().expect("a file"));
        file.write_all_at(text.as_bytes(), 0).expect("room for a few bytes");
        Ok(Fetched::Whole)
    }
}

/// State items in memory; puts are refused where it says why.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) refused: Option<String>,
    items: Mutex<Vec<StateItem>>,
}

impl Items {
    pub(crate) fn items(&self) -> Vec<StateItem> {
        lock(&self.items).clone()
    }
}

#[async_trait]
impl StateStore for Items {
    async fn get(&self, ids: &[StateId], _: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError> {
        let items = lock(&self.items);
        Ok(ids.iter().map(|id| items.iter().find(|item| item.state_id == *id).cloned()).collect())
    }

    async fn put(&self, item: StateItem) -> Result<(), StoreError> {
        if let Some(why) = &self.refused {
            return Err(StoreError::unreachable(why.as_str()));
        }
        lock(&self.items).push(item);
        Ok(())
    }
}

/// A clock that stands at the start; sleepers wake at once, or never.
pub(crate) struct Standing {
    pub(crate) wakes: bool,
}

#[async_trait]
impl Clock for Standing {
    fn now(&self) -> Timestamp {
        start()
    }

    async fn sleep_until(&self, _: Timestamp) {
        if !self.wakes {
            std::future::pending::<()>().await;
        }
    }
}

/// A pool that never comes to work of one kind, as one whose threads all hang.
pub(crate) struct Stuck;

#[async_trait]
impl BlockingPool for Stuck {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        work();
        Ok(())
    }

    async fn read(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        std::future::pending().await
    }
}

/// The events logged while a future is polled once, by target and message.
pub(crate) fn logged<T>(future: impl Future<Output = T>) -> (Option<T>, Vec<(String, String)>) {
    use futures_util::FutureExt;

    let lines: &'static Mutex<Vec<(String, String)>> = Box::leak(Box::default());
    let ended = tracing::subscriber::with_default(Lines(lines), || future.now_or_never());
    (ended, lock(lines).clone())
}

struct Lines(&'static Mutex<Vec<(String, String)>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        lock(self.0).push((event.metadata().target().to_owned(), fields.0.join(" ")));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Fields(Vec<String>);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push(format!("{field}={value:?}"));
    }
}
