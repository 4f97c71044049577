//! A realm's definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::action::{ActionSpec, Actions, read_list};
use super::concurrency::Pool;
use super::schedule::Calendar;
use super::settings::{FOREIGN_WORKERS, ON_LATE_WORKER, Settings};
use super::stored;
use crate::ids::{PoolName, RealmName};
use crate::problem::{JsonPath, Problem, SpecError};
use crate::schema;
use crate::text::quoted;

/// A realm: one item of the realms table (lava guide, The Realms Table).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "Realm", extend("patternProperties" = { "^[xX]-": true }))]
pub struct RealmFields {
    /// The realm's name.
    pub realm: RealmName,
    /// Where payloads of exe and pkg jobs are kept: `s3://bucket/prefix`, or when embedded a folder by its absolute path.
    #[serde(default)]
    pub s3_payloads: Option<String>,
    /// Where outputs of jobs are put: `s3://bucket/prefix`, or when embedded a folder by its absolute path.
    #[serde(default)]
    pub s3_temp: Option<String>,
    /// In a folder: the folders that triggers call buckets, by name. One that is not absolute is below the realm's folder.
    #[serde(default)]
    pub buckets: Option<BTreeMap<String, String>>,
    /// The KMS key that outputs are encrypted with.
    #[serde(default)]
    pub s3_key: Option<String>,
    /// Actions after success of a job that has no list of its own.
    #[serde(default, deserialize_with = "read_list")]
    pub on_success: Option<Vec<ActionSpec>>,
    /// Actions after a failed attempt of a job that has no list of its own.
    #[serde(default, deserialize_with = "read_list")]
    pub on_retry: Option<Vec<ActionSpec>>,
    /// Actions after the failure of a job that has no list of its own.
    #[serde(default, deserialize_with = "read_list")]
    pub on_fail: Option<Vec<ActionSpec>>,
    /// Actions when a limit of a schedule's entry is broken, of a job that has no list of its own.
    #[serde(default, deserialize_with = "read_list")]
    pub on_late: Option<Vec<ActionSpec>>,
    /// Sets of days by name, for schedules to skip or to start on.
    #[serde(default)]
    pub calendars: Option<BTreeMap<String, Calendar>>,
    /// How many runs of the jobs that name a pool run at once, by the pool's name.
    #[serde(default)]
    pub pools: Option<BTreeMap<String, Pool>>,
    /// Settings, by lava's names.
    #[serde(default)]
    pub config: Option<Map<String, Value>>,
}

/// A realm's definition, checked, with the document it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct RealmSpec {
    /// Its fields.
    pub fields: RealmFields,
    /// The document as given: what templates see as `realm`.
    pub document: Arc<Map<String, Value>>,
    /// The settings that its `config` gives.
    pub settings: Settings,
    /// Mistakes of a stored document that keep no job from running.
    pub warnings: Vec<Problem>,
}

/// Fields without which jobs run all the same, but for jobs of pools, which wait and say so. An invalid one of a stored document
/// is left out. The key of encryption is none of these: outputs would be kept without it.
const DISPENSABLE: [&str; 6] = ["buckets", "calendars", "config", "pools", "s3_payloads", "s3_temp"];

fn is_bucket(place: &str) -> bool {
    place.starts_with("s3://")
}

/// Mistakes in calendars, whether a job uses them or not. Those of files are looked at when these are read.
fn bad_calendars(fields: &RealmFields) -> Vec<Problem> {
    let bad = |(name, calendar): (&String, &Calendar)| {
        let path = JsonPath::root().field("calendars").field(name);
        if name.trim().is_empty() {
            return Some(Problem::new(path, "a calendar has a name"));
        }
        let mistake = calendar.mistake().filter(|_| calendar.file.is_none())?;
        Some(Problem::new(path, format!("the calendar cannot be used: {mistake}")))
    };
    fields.calendars.iter().flatten().filter_map(bad).collect()
}

/// Most pools of a realm.
pub(super) const MAX_POOLS: usize = 500;

/// Mistakes in the names of pools, and in their number.
fn bad_pools(fields: &RealmFields) -> Vec<Problem> {
    let pools = fields.pools.iter().flatten();
    let path = JsonPath::root().field("pools");
    let mut bad: Vec<Problem> = pools
        .filter_map(|(name, _)| Some(Problem::new(path.field(name), PoolName::new(name).err()?.to_string())))
        .collect();
    if let Some(count) = fields.pools.as_ref().map(BTreeMap::len).filter(|count| *count > MAX_POOLS) {
        bad.push(Problem::new(path, format!("{count} pools are more than {MAX_POOLS}")));
    }
    bad
}

/// Why a place in S3 is not used in a folder.
fn in_folder(name: &str, place: &str) -> Problem {
    let message = format!("{} is in S3, and this realm is a folder: the usual folder is used", quoted(place));
    let told = Problem::warning("bucket-in-folder", JsonPath::root().field(name), message);
    told.with_hint("leave it out, or name a folder; with --aws the realm is one of AWS")
}

/// Why a place is none: each process would look for a relative folder below its own directory.
fn relative(name: &str, place: &str) -> Option<Problem> {
    let is_one = is_bucket(place) || std::path::Path::new(place).is_absolute();
    let told = || {
        let message = format!("{} is neither an absolute path nor in S3", quoted(place));
        Problem::new(JsonPath::root().field(name), message)
            .with_hint("write the whole path, from / on: a relative one is another folder for each process")
    };
    (!is_one).then(told)
}

/// Mistakes in the places of outputs and payloads.
fn bad_places(fields: &RealmFields) -> Vec<Problem> {
    let places = [("s3_temp", &fields.s3_temp), ("s3_payloads", &fields.s3_payloads)];
    places.into_iter().filter_map(|(name, place)| relative(name, place.as_deref()?)).collect()
}

/// Mistakes in the folders that are called buckets.
fn bad_buckets(fields: &RealmFields) -> Vec<Problem> {
    let bad = |(name, folder): (&String, &String)| {
        let path = JsonPath::root().field("buckets").field(name);
        if name.trim() != name || name.is_empty() || name.contains('/') {
            return Some(Problem::new(path, format!("{} is not the name of a bucket", quoted(name))));
        }
        if folder.trim().is_empty() {
            return Some(Problem::new(path, "a bucket has a folder"));
        }
        let is_above = std::path::Path::new(folder).components().any(|part| part.as_os_str() == "..");
        is_above
            .then(|| Problem::new(path, format!("{} leads upwards: name the folder itself", quoted(folder))))
    };
    fields.buckets.iter().flatten().filter_map(bad).collect()
}

thread_local! {
    static SCHEMA: Value = schema::schema_of::<RealmFields>();
}

impl RealmSpec {
    /// Reads and checks a realm's document. Fields it does not know are left alone: lava keeps
    /// defaults of its other parts there.
    ///
    /// # Errors
    /// [`SpecError`] with every mistake found.
    pub fn parse(document: &Value) -> Result<Self, SpecError> {
        let fields: RealmFields = schema::read(document)?;
        let problems =
            [bad_calendars(&fields), bad_buckets(&fields), bad_places(&fields), bad_pools(&fields)].concat();
        if !problems.is_empty() {
            return Err(SpecError { problems });
        }
        let config = fields.config.clone().unwrap_or_default();
        let settings = Settings::from_config(&config).map_err(|error| SpecError {
            problems: error
                .problems
                .into_iter()
                .map(|p| p.below(&JsonPath::root().field("config")))
                .collect(),
        })?;
        let document = Arc::new(document.as_object().cloned().unwrap_or_default());
        Ok(Self { fields, document, settings, warnings: Vec::new() })
    }

    /// Reads the stored document. lava's users write to the table with tools of their own. One bad
    /// value stops no job: the default counts, and [`warnings`](Self::warnings) say what is wrong. `places` has what
    /// `s3_temp` and `s3_payloads` are where the document does not say.
    ///
    /// # Errors
    /// [`SpecError`] when the name or the encryption key is invalid.
    pub fn stored(mut document: Map<String, Value>, places: &[(&str, String)]) -> Result<Self, SpecError> {
        let (mut known, mut warnings) =
            SCHEMA.with(|schema| stored::sift(schema, &document, &DISPENSABLE))?;
        for (name, place) in places {
            // A realm that lava made, and that was put in a folder.
            let bucket = known.get(*name).and_then(Value::as_str).filter(|given| is_bucket(given));
            if let Some(bucket) = bucket.filter(|_| !is_bucket(place)) {
                warnings.push(in_folder(name, bucket));
                known[*name] = Value::Null;
            }
            let bad = known.get(*name).and_then(Value::as_str).and_then(|given| relative(name, given));
            if let Some(bad) = bad {
                warnings.push(bad);
                known[*name] = Value::Null;
            }
            if known.get(*name).is_none_or(Value::is_null) {
                known[*name] = place.as_str().into();
                document.insert((*name).to_owned(), place.as_str().into());
            }
        }
        let fields: RealmFields = schema::read_unchecked(&known)?;
        let (settings, bad) = Settings::from_stored(&fields.config.clone().unwrap_or_default());
        let config = JsonPath::root().field("config");
        warnings.extend(bad.into_iter().map(|problem| problem.below(&config)));
        Ok(Self { fields, document: Arc::new(document), settings, warnings })
    }

    /// The same where lava's table of events is, so that `FOREIGN_WORKERS` counts. Also gives the mistake that shows there
    /// alone; the default counts then.
    #[must_use]
    pub fn with_lava_table(mut self) -> (Self, Option<Problem>) {
        let (settings, mistake) = self.settings.with_lava_table();
        self.settings = settings;
        let path = JsonPath::root().field("config").field(self.config_name(ON_LATE_WORKER));
        (self, mistake.map(|message| Problem::new(path, message)))
    }

    /// A setting's name as `config` spells it.
    fn config_name<'a>(&'a self, name: &'a str) -> &'a str {
        let given = self.fields.config.iter().flat_map(Map::keys);
        given.filter(|given| given.eq_ignore_ascii_case(name)).min().map_or(name, String::as_str)
    }

    /// Warnings of what a realm in a folder cannot have: places in S3 and lava workers.
    #[must_use]
    pub fn advice_in_folder(&self) -> Vec<Problem> {
        let places = [("s3_temp", &self.fields.s3_temp), ("s3_payloads", &self.fields.s3_payloads)];
        let places = places.into_iter().filter_map(|(name, place)| Some((name, place.as_deref()?)));
        let places = places.filter(|(_, place)| is_bucket(place)).map(|(name, place)| in_folder(name, place));
        let lavas = (!self.settings.foreign_workers.is_empty()).then(|| {
            let path = JsonPath::root().field("config").field(self.config_name(FOREIGN_WORKERS));
            let message = "it has no effect in a folder: Pumice runs all jobs of this realm itself";
            let warning = Problem::warning("no-lava-workers", path, message);
            warning.with_hint("leave it out; with --aws the realm is one of AWS")
        });
        places.chain(lavas).collect()
    }

    /// How many runs of a pool run at once; `None` where there is no such pool.
    #[must_use]
    pub fn pool_size(&self, pool: &PoolName) -> Option<u32> {
        self.fields.pools.as_ref()?.get(pool.as_str()).map(|pool| pool.size.as_u32())
    }

    /// The realm's default actions.
    #[must_use]
    pub fn actions(&self) -> Actions {
        Actions {
            on_success: self.fields.on_success.clone(),
            on_retry: self.fields.on_retry.clone(),
            on_fail: self.fields.on_fail.clone(),
            on_late: self.fields.on_late.clone(),
        }
    }
}
