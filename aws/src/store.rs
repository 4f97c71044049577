//! A realm in DynamoDB: the names of its tables, its clients, and its cache.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use pumice_core::ids::JobId;
use pumice_core::ports::{Doc, StoreError, StoreErrorKind};
use pumice_core::recent::Recent;
use pumice_core::spec::{JobSpec, RealmSpec};

use crate::ahead::Ahead;
use crate::attribute::{Item, object, text};
use crate::connect::OPERATION;
use crate::failure::store_error;
use crate::names::Names;
use crate::objects::Objects;
use crate::signing::Signing;

/// The code of a write whose condition refused it.
pub(crate) const REFUSED: &str = "ConditionalCheckFailedException";
/// How long the realm's definition is used without asking again.
const REALM_FRESH: Duration = Duration::from_secs(60);
/// How long a table of lava's that is not there is not asked for again.
const WITHOUT_LAVA_FRESH: Duration = Duration::from_secs(300);
/// The places of a realm in its bucket.
const PLACES: [(&str, &str); 2] = [("s3_temp", "tmp"), ("s3_payloads", "payloads")];
/// Most jobs that are remembered.
const MAX_REMEMBERED: usize = 10_000;
/// Most buckets whose triggers are remembered.
const MAX_BUCKETS: usize = 100;
/// Most items that one batch reads (DynamoDB, BatchGetItem: 100).
const MAX_GET: usize = 100;
/// How many runs of one job, or of one origin, are many when they are made at once: fewer are written within a second.
const MANY: usize = 250;
/// The pauses before what a batch left out is asked for again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The triggers of a bucket, and when they were read.
type OfBucket = (Instant, Vec<Arc<Doc>>);

/// A realm's tables. Clones share what is remembered.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) names: Names,
    pub(crate) objects: Objects,
    pub(crate) signing: Signing,
    remembered: Arc<Mutex<Remembered>>,
    ahead: Arc<Mutex<Ahead>>,
    hints: bool,
    bucket: Option<Arc<str>>,
    /// How many runs of one job, or of one origin, are made in parts of their indexes when they are made at once.
    pub(crate) many: usize,
    /// Whether no stream reports the jobs that other tools put.
    pub(crate) jobs_are_unwatched: bool,
}

#[derive(Debug, Default)]
struct Remembered {
    realm: Option<(Instant, Arc<RealmSpec>)>,
    /// The rules by which all schedules are looked at, as this process saw to it.
    rules: Option<String>,
    jobs: Recent<JobId, Arc<JobSpec>, MAX_REMEMBERED>,
    triggers: Recent<String, OfBucket, MAX_BUCKETS>,
    /// The jobs whose runs are made in parts of the index `job`, once parts are in use.
    parts: Option<BTreeSet<String>>,
    /// The jobs whose runs were made faster than one key of that index takes.
    hot: Recent<JobId, (), MAX_REMEMBERED>,
    /// When lava's table of events was found out not to be there, or not for this one to read.
    without_lava: Option<Instant>,
}

impl Store {
    /// The store of a realm. Values too large for an item go to `objects`.
    #[must_use]
    pub fn new(client: Client, names: Names, objects: Objects) -> Self {
        Self {
            client,
            names,
            objects,
            signing: Signing::default(),
            remembered: Arc::default(),
            ahead: Arc::default(),
            hints: false,
            bucket: None,
            many: MANY,
            jobs_are_unwatched: false,
        }
    }

    /// The same, which reads all job ids to suggest the one that was meant when a name is unknown:
    /// for people, who have few realms and make mistakes, not for functions.
    #[must_use]
    pub fn with_hints(mut self) -> Self {
        self.hints = true;
        self
    }

    /// The same for a realm that was deployed with a bucket: where its document does not say where its
    /// places are, they are `tmp` and `payloads` in it, as template.yaml lets functions use it.
    #[must_use]
    pub fn with_bucket(mut self, bucket: Option<String>) -> Self {
        self.bucket = bucket.filter(|bucket| !bucket.is_empty()).map(Arc::from);
        self
    }

    /// The same for a realm whose table of jobs has no stream that the dispatcher hears, as lava's has none.
    #[must_use]
    pub fn with_unwatched_jobs(mut self, unwatched: bool) -> Self {
        self.jobs_are_unwatched = unwatched;
        self
    }

    /// The same, which makes so many runs of one job, or of one origin, in parts of their indexes when they are made at once.
    #[must_use]
    pub fn with_parts_from(mut self, many: usize) -> Self {
        self.many = many;
        self
    }

    /// The same, which signs and checks what runs use.
    #[must_use]
    pub(crate) fn with_signing(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    pub(crate) fn gives_hints(&self) -> bool {
        self.hints
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // Each entry is put whole.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The realm's definition, if it was read lately.
    pub(crate) fn fresh_realm(&self) -> Option<Arc<RealmSpec>> {
        let remembered = self.remembered();
        let (read, realm) = remembered.realm.as_ref()?;
        (read.elapsed() < REALM_FRESH).then(|| realm.clone())
    }

    /// Whether this process saw to it that all schedules are looked at by these rules.
    pub(crate) fn keeps_to(&self, rules: &str) -> bool {
        self.remembered().rules.as_deref() == Some(rules)
    }

    pub(crate) fn remember_rules(&self, rules: &str) {
        self.remembered().rules = Some(rules.to_owned());
    }

    pub(crate) fn forget_realm(&self) {
        self.remembered().realm = None;
    }

    /// Reads a realm's item, and remembers it.
    pub(crate) fn take_realm(&self, item: Item) -> Result<Arc<RealmSpec>, StoreError> {
        let place =
            |bucket: &Arc<str>| PLACES.map(|(name, folder)| (name, format!("s3://{bucket}/{folder}")));
        let places: Vec<(&str, String)> = self.bucket.iter().flat_map(place).collect();
        let realm = RealmSpec::stored(object(item), &places).map_err(|error| {
            let (realm, table) = (self.names.realm(), self.names.realms());
            StoreError::of(
                StoreErrorKind::Corrupt,
                format!("the definition of realm {realm} in table {table} is invalid: {error}"),
            )
        })?;
        // DynamoDB has lava's table of events.
        let (mut realm, mistake) = realm.with_lava_table();
        realm.warnings.extend(mistake);
        let known =
            self.remembered().realm.as_ref().is_some_and(|(_, known)| known.warnings == realm.warnings);
        if !known && !realm.warnings.is_empty() {
            let warnings: Vec<String> = realm.warnings.iter().map(ToString::to_string).collect();
            let warnings = warnings.join("; ");
            tracing::warn!(realm = %self.names.realm(), %warnings, "the realm's definition has mistakes; defaults count");
        }
        let realm = Arc::new(realm);
        self.remembered().realm = Some((Instant::now(), realm.clone()));
        Ok(realm)
    }

    /// The spec as it was read before, if it is still the same: one check of it is enough.
    pub(crate) fn same_job(&self, job: JobSpec) -> Arc<JobSpec> {
        let mut remembered = self.remembered();
        if let Some(known) = remembered.jobs.get(&job.fields.job_id)
            && known.document == job.document
        {
            return known.clone();
        }
        let job = Arc::new(job);
        remembered.jobs.put(job.fields.job_id.clone(), job.clone());
        job
    }

    /// The triggers of a bucket, if they were read within the last `fresh`.
    pub(crate) fn known_triggers(&self, bucket: &str, fresh: Duration) -> Option<Vec<Arc<Doc>>> {
        let mut remembered = self.remembered();
        let (read, triggers) = remembered.triggers.get(bucket)?;
        (read.elapsed() < fresh).then(|| triggers.clone())
    }

    pub(crate) fn remember_triggers(&self, bucket: &str, triggers: Vec<Arc<Doc>>) {
        self.remembered().triggers.put(bucket.to_owned(), (Instant::now(), triggers));
    }

    pub(crate) fn forget_triggers(&self) {
        self.remembered().triggers.clear();
    }

    /// The jobs whose runs are made in parts, as far as this process knows; none while parts are not in use.
    pub(crate) fn parts(&self) -> Option<BTreeSet<String>> {
        self.remembered().parts.clone()
    }

    pub(crate) fn remember_parts(&self, jobs: BTreeSet<String>) {
        self.remembered().parts = Some(jobs);
    }

    /// Whether a job's runs were made faster than one key of an index takes.
    pub(crate) fn is_hot(&self, job_id: &JobId) -> bool {
        self.remembered().hot.get(job_id).is_some()
    }

    pub(crate) fn remember_hot(&self, job_id: &JobId) {
        self.remembered().hot.put(job_id.clone(), ());
    }

    pub(crate) fn is_without_lava(&self) -> bool {
        self.remembered().without_lava.is_some_and(|found| found.elapsed() < WITHOUT_LAVA_FRESH)
    }

    pub(crate) fn remember_without_lava(&self) {
        self.remembered().without_lava = Some(Instant::now());
    }

    pub(crate) fn realm_key(&self) -> Item {
        Item::from([("realm".to_owned(), text(self.names.realm().as_str()))])
    }

    /// Reads items by their keys, strongly consistent, from as many tables as are named: all in one
    /// round trip when they are few. Items that do not exist are left out.
    pub(crate) async fn get_all(
        &self,
        what: &str,
        wanted: Vec<(String, Item)>,
    ) -> Result<Vec<(String, Item)>, StoreError> {
        let mut found = Vec::new();
        for part in wanted.chunks(MAX_GET) {
            self.get_batch(what, part, &mut found).await?;
        }
        Ok(found)
    }

    async fn get_batch(
        &self,
        what: &str,
        wanted: &[(String, Item)],
        found: &mut Vec<(String, Item)>,
    ) -> Result<(), StoreError> {
        let mut keys: HashMap<String, Vec<Item>> = HashMap::new();
        for (table, key) in wanted {
            keys.entry(table.clone()).or_default().push(key.clone());
        }
        let mut left: HashMap<String, KeysAndAttributes> = HashMap::new();
        for (table, keys) in keys {
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            left.insert(table, request.map_err(|error| StoreError::invalid(format!("{what}: {error}")))?);
        }
        // An answer with items does not mean that the table is busy: the answer may have been full.
        let (mut ends, mut pause) = (Instant::now() + OPERATION, PAUSES.0);
        loop {
            let before = found.len();
            let answer = self.client.batch_get_item().set_request_items(Some(left)).send().await;
            let answer = answer.map_err(|error| store_error(what, &error))?;
            for (table, items) in answer.responses.unwrap_or_default() {
                found.extend(items.into_iter().map(|item| (table.clone(), item)));
            }
            left = answer.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
            if found.len() > before {
                (ends, pause) = (Instant::now() + OPERATION, PAUSES.0);
            } else {
                pause = (pause * 2).min(PAUSES.1);
            }
            if Instant::now() + pause >= ends {
                let seconds = OPERATION.as_secs();
                return Err(StoreError::of(
                    StoreErrorKind::Throttled,
                    format!("{what}: the table is too busy: items were left out for {seconds} seconds"),
                ));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// A text of an item.
pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    }
}
