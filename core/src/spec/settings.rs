//! A realm's settings, by lava's names.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::job::RenderAt;
use super::retention::Retention;
use super::schedule::{BadTimezone, Timezone};
use super::sql_settings::{self, SqlSettings};
use super::values::{flag, span, switch};
use crate::duration::Span;
use crate::glob::fnmatch;
use crate::ids::{ConnId, FieldText, WorkerName};
use crate::number::{Count, whole};
use crate::problem::{JsonPath, Problem, SpecError, show};
use crate::schema::is_own;
use crate::size::parse_size;

/// Reads an environment variable. A realm's settings give way to `LAVA_<NAME>`.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The settings that a realm's `config` may have (lava guide, Lava Worker Configuration). Names that lava's other
/// parts use are left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `AUDIT_TTL`: how long entries of the audit are kept; 400 days.
    pub audit_ttl: Span,
    /// `CMD_TIMEOUT`: how long a cmd job may run; 10 minutes.
    pub cmd_timeout: Span,
    /// `CW_METRICS_JOB`: whether metrics are made for jobs that do not say so themselves; no.
    pub cw_metrics_job: bool,
    /// `CW_NAMESPACE`: the namespace of the metrics of jobs; `Lava`.
    pub cw_namespace: String,
    /// `DAG_MAX_WORKERS`: the most jobs of a dag that run at a time; none: four for each processor.
    pub dag_max_workers: Option<usize>,
    /// `DAG_WORKERS`: how many jobs of a dag run at a time that does not say so itself; none: one for each processor.
    pub dag_workers: Option<usize>,
    /// `DISPATCHERS`: the dispatchers of lava's whose jobs start by the clock here, and no others; none: see
    /// [`starts`](Self::starts).
    pub dispatchers: Option<Vec<String>>,
    /// `DISPATCHER_ZONES`: the zones of lava's dispatchers by name, their `CRON_TZ`, for the schedules of their jobs; none.
    pub dispatcher_zones: BTreeMap<String, Timezone>,
    /// `DISPATCH_MAX_DEPTH`: how many levels of jobs may start each other without a delay; 32.
    pub dispatch_max_depth: u32,
    /// `EMAIL_CONN`: the connection of the action `email` that names none; none.
    pub email_conn: Option<ConnId>,
    /// `EMAIL_MAX_ATTACHMENTS`: the most attachments of an e-mail; 5.
    pub email_max_attachments: u64,
    /// `EMAIL_MAX_ATTACHMENT_SIZE`: the largest attachment, in bytes; 2 MB.
    pub email_max_attachment_size: u64,
    /// `EMAIL_MAX_SIZE`: the largest e-mail with all that is attached, in bytes; 5 MB.
    pub email_max_size: u64,
    /// `EVENT_TTL`: how long records of runs are kept, by outcome; 30 days here, 2 in lava.
    pub event_ttl: Retention,
    /// `EXE_MAX_PAYLOAD_SIZE`: the largest file that an exe job runs, in bytes; 10 MB.
    pub exe_max_payload_size: u64,
    /// `EXE_TIMEOUT`: how long each file of an exe job may run; 10 minutes.
    pub exe_timeout: Span,
    /// `FOREIGN_WORKERS`: lava workers of this realm, by name or pattern; none. [`lava_workers`](Self::lava_workers) has those
    /// that count.
    pub foreign_workers: Vec<String>,
    /// Whether the realm is kept where lava's table of events is. Lava workers report their runs there alone, so that
    /// without it there are none.
    pub has_lava_table: bool,
    /// `FOREACH_LIMIT`: the most items of a foreach that sets no limit of its own; 10.
    pub foreach_limit: usize,
    /// `FOREACH_MAX_LIMIT`: the highest limit a foreach may set; 25.
    pub foreach_max_limit: usize,
    /// `ITERATION_MAX_DELAY`: the longest `iteration_delay`; 5 minutes.
    pub iteration_max_delay: Span,
    /// `ITERATION_MAX_LIMIT`: the highest `iteration_limit`; 10.
    pub iteration_max_limit: u32,
    /// `JOB_LOCAL_TMPDIR`: whether `TMPDIR` of commands points into the run's work directory; yes.
    pub job_local_tmpdir: bool,
    /// `LAVA_EVENTS`: whether what becomes of runs is written into lava's table of events too; no.
    pub lava_events: bool,
    /// `ON_LATE_WORKER`: the worker that performs the `on_late` actions of all jobs; none: each job's own.
    pub on_late_worker: Option<WorkerName>,
    /// `OUTPUT_INTERVAL`: the longest time between two pieces of what a command prints, where those cost something; 30 seconds;
    /// 0: it is kept at the end alone.
    pub output_interval: Span,
    /// `OUTPUT_MAX_SIZE`: the most of each stream of a command that is kept, in bytes; 1 GiB.
    pub output_max_size: u64,
    /// `PKG_MAX_PAYLOAD_SIZE`: the largest archive that a pkg job unpacks, in bytes; 20 MB.
    pub pkg_max_payload_size: u64,
    /// `PKG_TIMEOUT`: how long each package of a pkg job may run; 10 minutes.
    pub pkg_timeout: Span,
    /// `PKG_UNPACK_TIMEOUT`: how long it may take to unpack an archive; 30 seconds.
    pub pkg_unpack_timeout: Span,
    /// `RENDER_AT`: when jobs are rendered that do not say so themselves; `auto`.
    pub render_at: RenderAt,
    /// `S3TRIGGER_CACHE_TTL`: how long the dispatcher function uses the triggers of a bucket before it reads them again; 60
    /// seconds.
    pub s3trigger_cache_ttl: Span,
    /// `S3TRIGGER_SETTLE`: in a folder, how long a file that was not seen to be closed must stay as it is; 5 seconds.
    pub s3trigger_settle: Span,
    /// `SES_CONFIGURATION_SET`: the configuration set of e-mail that SES sends; none.
    pub ses_configuration_set: Option<String>,
    /// `SES_FROM`: the sender of e-mail whose action and connection name none; with SES the default is `lava.<realm>@` the
    /// first verified domain.
    pub ses_from: Option<String>,
    /// `SES_REGION`: the region of SES; `us-east-1`.
    pub ses_region: Option<String>,
    /// `SQL_…`: how files of rows look.
    pub sql: SqlSettings,
    /// `STATE_MAX_TTL`: the longest life of a state item; 366 days.
    pub state_max_ttl: Span,
    /// `STATE_TTL`: the life of a state item that gives none; 7 days.
    pub state_ttl: Span,
    /// `STDERR_SIZE`: bytes of stderr kept in the record of a failed command, from its start, or from its end where
    /// negative; -1,024.
    pub stderr_size: i64,
    /// Names whose values are masked: patterns, of any case.
    pub redact: Vec<String>,
    /// `TIMEZONE`: the zone of schedules of jobs that name none; none: their dispatcher's, else UTC.
    pub timezone: Option<Timezone>,
    /// The settings that the environment names, as it says them.
    pub environment: Vec<(&'static str, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            audit_ttl: Span::from_days(400),
            cmd_timeout: Span::from_mins(10),
            cw_metrics_job: false,
            cw_namespace: "Lava".to_owned(),
            dag_max_workers: None,
            dag_workers: None,
            dispatchers: None,
            dispatcher_zones: BTreeMap::new(),
            dispatch_max_depth: 32,
            email_conn: None,
            email_max_attachments: 5,
            email_max_attachment_size: 2_000_000,
            email_max_size: 5_000_000,
            event_ttl: Retention::default(),
            exe_max_payload_size: 10_000_000,
            exe_timeout: Span::from_mins(10),
            foreign_workers: Vec::new(),
            has_lava_table: false,
            foreach_limit: 10,
            foreach_max_limit: 25,
            iteration_max_delay: Span::from_mins(5),
            iteration_max_limit: 10,
            job_local_tmpdir: true,
            lava_events: false,
            on_late_worker: None,
            output_interval: Span::from_secs(30),
            output_max_size: 1 << 30,
            pkg_max_payload_size: 20_000_000,
            pkg_timeout: Span::from_mins(10),
            pkg_unpack_timeout: Span::from_secs(30),
            render_at: RenderAt::Auto,
            s3trigger_cache_ttl: Span::from_secs(60),
            s3trigger_settle: Span::from_secs(5),
            ses_configuration_set: None,
            ses_from: None,
            ses_region: None,
            sql: SqlSettings::default(),
            state_max_ttl: Span::from_days(366),
            state_ttl: Span::from_days(7),
            stderr_size: -1024,
            redact: Vec::new(),
            timezone: None,
            environment: Vec::new(),
        }
    }
}

/// Sets a setting to a value of a realm's `config`.
type Setter = fn(&mut Settings, &Value) -> Result<(), String>;

/// Names lava workers.
pub(super) const FOREIGN_WORKERS: &str = "FOREIGN_WORKERS";

pub(super) const ON_LATE_WORKER: &str = "ON_LATE_WORKER";

/// The settings of a realm, by name.
const SETTINGS: [(&str, Setter); 50] = [
    ("AUDIT_TTL", |all, value| put(&mut all.audit_ttl, span(value))),
    ("CMD_TIMEOUT", |all, value| put(&mut all.cmd_timeout, span(value))),
    ("CW_METRICS_JOB", |all, value| put(&mut all.cw_metrics_job, flag(value))),
    ("CW_NAMESPACE", |all, value| put(&mut all.cw_namespace, namespace(value))),
    ("DAG_MAX_WORKERS", |all, value| {
        put(&mut all.dag_max_workers, count(value).map(|it| Some(it.as_usize())))
    }),
    ("DAG_WORKERS", |all, value| put(&mut all.dag_workers, count(value).map(|it| Some(it.as_usize())))),
    ("DISPATCHERS", |all, value| put(&mut all.dispatchers, names(value).map(Some))),
    ("DISPATCHER_ZONES", |all, value| put(&mut all.dispatcher_zones, zones(value))),
    ("DISPATCH_MAX_DEPTH", |all, value| put(&mut all.dispatch_max_depth, count(value).map(Count::as_u32))),
    ("EMAIL_CONN", |all, value| put(&mut all.email_conn, connection(value))),
    ("EMAIL_MAX_ATTACHMENTS", |all, value| put(&mut all.email_max_attachments, number(value))),
    ("EMAIL_MAX_ATTACHMENT_SIZE", |all, value| put(&mut all.email_max_attachment_size, bytes(value))),
    ("EMAIL_MAX_SIZE", |all, value| put(&mut all.email_max_size, bytes(value))),
    ("EVENT_TTL", |all, value| put(&mut all.event_ttl, Retention::read(value).map_err(String::from))),
    ("EXE_MAX_PAYLOAD_SIZE", |all, value| put(&mut all.exe_max_payload_size, bytes(value))),
    ("EXE_TIMEOUT", |all, value| put(&mut all.exe_timeout, span(value))),
    ("FOREACH_LIMIT", |all, value| put(&mut all.foreach_limit, count(value).map(Count::as_usize))),
    ("FOREACH_MAX_LIMIT", |all, value| put(&mut all.foreach_max_limit, count(value).map(Count::as_usize))),
    (FOREIGN_WORKERS, |all, value| put(&mut all.foreign_workers, names(value))),
    ("ITERATION_MAX_DELAY", |all, value| put(&mut all.iteration_max_delay, span(value))),
    ("ITERATION_MAX_LIMIT", |all, value| put(&mut all.iteration_max_limit, count(value).map(Count::as_u32))),
    ("JOB_LOCAL_TMPDIR", |all, value| put(&mut all.job_local_tmpdir, flag(value))),
    ("LAVA_EVENTS", |all, value| put(&mut all.lava_events, switch(value))),
    (ON_LATE_WORKER, |all, value| put(&mut all.on_late_worker, worker(value))),
    ("OUTPUT_INTERVAL", |all, value| put(&mut all.output_interval, span(value))),
    ("OUTPUT_MAX_SIZE", |all, value| put(&mut all.output_max_size, bytes(value))),
    ("PKG_MAX_PAYLOAD_SIZE", |all, value| put(&mut all.pkg_max_payload_size, bytes(value))),
    ("PKG_TIMEOUT", |all, value| put(&mut all.pkg_timeout, span(value))),
    ("PKG_UNPACK_TIMEOUT", |all, value| put(&mut all.pkg_unpack_timeout, span(value))),
    ("REDACT", |all, value| put(&mut all.redact, names(value))),
    ("RENDER_AT", |all, value| put(&mut all.render_at, render_at(value))),
    ("S3TRIGGER_CACHE_TTL", |all, value| put(&mut all.s3trigger_cache_ttl, span(value))),
    ("S3TRIGGER_SETTLE", |all, value| put(&mut all.s3trigger_settle, span(value))),
    ("SES_CONFIGURATION_SET", |all, value| put(&mut all.ses_configuration_set, text(value))),
    ("SES_FROM", |all, value| put(&mut all.ses_from, text(value))),
    ("SES_REGION", |all, value| put(&mut all.ses_region, text(value))),
    ("SQLC_MAX_PAYLOAD_SIZE", |all, value| put(&mut all.sql.client_max_payload_size, bytes(value))),
    ("SQLC_TIMEOUT", |all, value| put(&mut all.sql.client_timeout, span(value))),
    ("SQL_DELIMITER", |all, value| put(&mut all.sql.delimiter, sql_settings::character(value))),
    ("SQL_DIALECT", |all, value| put(&mut all.sql.dialect, sql_settings::dialect(value))),
    ("SQL_DOUBLEQUOTE", |all, value| put(&mut all.sql.doublequote, flag(value))),
    ("SQL_ESCAPECHAR", |all, value| put(&mut all.sql.escapechar, sql_settings::character_or_none(value))),
    ("SQL_MAX_PAYLOAD_SIZE", |all, value| put(&mut all.sql.max_payload_size, bytes(value))),
    ("SQL_OUTPUT_SUFFIX", |all, value| put(&mut all.sql.output_suffix, sql_settings::suffix(value))),
    ("SQL_QUOTECHAR", |all, value| put(&mut all.sql.quotechar, sql_settings::character(value))),
    ("SQL_QUOTING", |all, value| put(&mut all.sql.quoting, sql_settings::quoting(value))),
    ("STATE_MAX_TTL", |all, value| put(&mut all.state_max_ttl, span(value))),
    ("STATE_TTL", |all, value| put(&mut all.state_ttl, span(value))),
    ("STDERR_SIZE", |all, value| put(&mut all.stderr_size, size(value))),
    ("TIMEZONE", |all, value| put(&mut all.timezone, zone(value).map(Some))),
];

/// Settings of lava's that Pumice has no use for (lava guide, Lava Worker Configuration).
const NAMES_OF_LAVA: [&str; 36] = [
    "AWS_ACCESS_KEY_CACHE_SIZE",
    "AWS_ACCESS_KEY_CACHE_TTL",
    "AWS_CONN_DURATION",
    "CHECK_FOR_ZOMBIES",
    "CONN_APP_NAME",
    "CW_METRICS_PERIOD",
    "CW_METRICS_WORKER",
    "DEBUG",
    "DISPATCHER",
    "DOCKER_TIMEOUT",
    "EMAIL_MSGID_DOMAIN",
    "HEARTBEAT_FILE",
    "JUMPSTART_DELAY",
    "LOGLEVEL",
    "NO_DISPATCH",
    "ORACLE_CONNECTION_MODE",
    "ORACLE_LIB_DIR",
    "PARAM_CACHE_SIZE",
    "PARAM_CACHE_TTL",
    "PAYLOAD_DOWNLOADER",
    "PAYLOAD_SETTLING_TIME",
    "PG_COPY_TIMEOUT",
    "RS_PASSWORD_DURATION",
    "S3TRIGGER_DEDUP_CACHE_SIZE",
    "S3TRIGGER_DEDUP_TTL",
    "SMB_TIMEOUT",
    "SP_LIST_DELIMITER",
    "SP_LIST_DOUBLEQUOTE",
    "SP_LIST_ESCAPECHAR",
    "SP_LIST_QUOTECHAR",
    "SP_LIST_QUOTING",
    "SP_LOGGING",
    "SQLV_TIMEOUT",
    "SQL_BATCH_SIZE",
    "SQS_MAX_DELAY_MINS",
    "TMPDIR",
];

/// The kind of a worker: Pumice's or lava's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// Pumice's: it reads and writes records.
    Pumice,
    /// lava's: it runs each message that it is sent, and reports in a table of its own.
    Lava,
}

impl WorkerKind {
    /// Whether it is a lava worker.
    #[must_use]
    pub const fn is_lavas(self) -> bool {
        matches!(self, Self::Lava)
    }
}

impl Settings {
    /// The names of what a realm may set.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SETTINGS.into_iter().map(|(name, _)| name)
    }

    /// Whether a setting of this name is read, in capitals or small letters: Pumice, or another part of lava. Names
    /// that begin with `x-` are the user's own.
    #[must_use]
    pub fn is_known(name: &str) -> bool {
        let own = is_own(name);
        let name = name.to_ascii_uppercase();
        own || setter(&name).is_some() || NAMES_OF_LAVA.contains(&name.as_str())
    }

    /// The settings of a realm's `config`, defaults for the rest. Small letters do as well as capitals.
    ///
    /// # Errors
    /// [`SpecError`] naming each setting whose value cannot be read, or that is given twice.
    pub fn from_config(config: &Map<String, Value>) -> Result<Self, SpecError> {
        let (settings, problems) = Self::from_stored(config);
        SpecError::check(problems)?;
        Ok(settings)
    }

    /// The settings of a `config` that is stored already: the default counts where a value cannot be read. Also gives what
    /// is wrong.
    #[must_use]
    pub fn from_stored(config: &Map<String, Value>) -> (Self, Vec<Problem>) {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        let mut set: HashMap<String, &str> = HashMap::new();
        // Capitals first: of several spellings they count.
        let capitals = |given: &str| given.chars().any(|c| c.is_ascii_lowercase());
        let mut config: Vec<(&String, &Value)> = config.iter().collect();
        config.sort_by_key(|(given, _)| capitals(given));
        for (given, value) in config {
            let name = given.to_ascii_uppercase();
            let Some(set_to) = setter(&name) else { continue };
            let path = JsonPath::root().field(given);
            if let Some(other) = set.insert(name.clone(), given) {
                problems.push(Problem::new(path, format!("{other} is given too, and counts")));
            } else if let Err(message) = set_to(&mut settings, value) {
                problems.push(Problem::new(path, message));
            }
        }
        (settings, problems)
    }

    /// The same where lava's table of events is, so that `FOREIGN_WORKERS` counts. An `ON_LATE_WORKER` that is a lava worker
    /// there is left out, and gives the mistake.
    #[must_use]
    pub fn with_lava_table(mut self) -> (Self, Option<String>) {
        self.has_lava_table = true;
        let mistake = self.check_on_late_worker().err();
        if mistake.is_some() {
            self.on_late_worker = None;
        }
        (self, mistake)
    }

    /// The same with what the environment says, under `LAVA_<NAME>`.
    ///
    /// # Errors
    /// [`SpecError`] naming each variable whose value cannot be read.
    pub fn with_environment(mut self, environment: Environment<'_>) -> Result<Self, SpecError> {
        let mut problems = Vec::new();
        for (name, set_to) in SETTINGS {
            let variable = format!("LAVA_{name}");
            let Some(text) = environment(&variable) else { continue };
            match set_to(&mut self, &Value::String(text.clone())) {
                Ok(()) => self.environment.push((name, text)),
                Err(message) => problems.push(Problem::new(JsonPath::root().field(&variable), message)),
            }
        }
        if let Err(message) = self.check_on_late_worker() {
            let variable = format!("LAVA_{ON_LATE_WORKER}");
            problems.push(Problem::new(JsonPath::root().field(&variable), message));
        }
        SpecError::check(problems)?;
        Ok(self)
    }

    /// The settings of the same realm as it is now, with what the environment said of these.
    #[must_use]
    pub fn over(&self, realm: &Self) -> Self {
        let mut settings = realm.clone();
        for (name, text) in &self.environment {
            // It was read before.
            let _ = setter(name).map(|set_to| set_to(&mut settings, &Value::String(text.clone())));
        }
        settings.environment.clone_from(&self.environment);
        settings
    }

    /// The names and patterns of the realm's lava workers: those of `FOREIGN_WORKERS`, and none where lava's table of events
    /// is missing.
    #[must_use]
    pub fn lava_workers(&self) -> &[String] {
        if self.has_lava_table { &self.foreign_workers } else { &[] }
    }

    /// The kind of a worker. All parts of Pumice ask here.
    #[must_use]
    pub fn worker_kind(&self, worker: &WorkerName) -> WorkerKind {
        let is_lavas = self.lava_workers().iter().any(|pattern| fnmatch(pattern, worker.as_str()));
        if is_lavas { WorkerKind::Lava } else { WorkerKind::Pumice }
    }

    /// The worker that performs the `on_late` actions of a job: the one that is named for these, else the job's own.
    #[must_use]
    pub fn late_worker<'a>(&'a self, own: &'a WorkerName) -> &'a WorkerName {
        self.on_late_worker.as_ref().filter(|named| !self.worker_kind(named).is_lavas()).unwrap_or(own)
    }

    /// A lava worker knows nothing of records, and would never perform these actions.
    fn check_on_late_worker(&self) -> Result<(), String> {
        match self.on_late_worker.as_ref().filter(|named| self.worker_kind(named).is_lavas()) {
            Some(named) => Err(format!("{named} is a lava worker by FOREIGN_WORKERS: name one of Pumice's")),
            None => Ok(()),
        }
    }

    /// Whether jobs of a dispatcher of lava's are started by the clock here. Where `DISPATCHERS` names some, theirs are, and
    /// no others; else those that name none, as lava's dispatchers start none of these. Jobs that name one start here
    /// where the realm has no lava worker: in a realm that has one, lava's dispatcher starts them.
    #[must_use]
    pub fn starts(&self, dispatcher: Option<&str>) -> bool {
        let named = dispatcher.filter(|name| !name.is_empty() && *name != "--");
        match (&self.dispatchers, named) {
            (Some(ours), named) => named.is_some_and(|named| ours.iter().any(|own| own == named)),
            (None, None) => true,
            (None, Some(_)) => self.lava_workers().is_empty(),
        }
    }
}

/// The setter of a name in capitals.
fn setter(name: &str) -> Option<Setter> {
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, setter)| *setter)
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// CloudWatch, `PutMetricData`: 1 to 255 of these characters.
fn namespace(value: &Value) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/#:-".contains(c);
    let text = value.as_str().filter(|text| (1..=255).contains(&text.len()) && text.chars().all(allowed));
    text.map(str::to_owned).ok_or_else(|| {
        format!("expected a namespace of CloudWatch: letters, digits and . - _ / # :, got {}", show(value))
    })
}

fn render_at(value: &Value) -> Result<RenderAt, String> {
    serde_json::from_value(value.clone())
        .map_err(|_| format!("expected auto, dispatch or run, got {}", show(value)))
}

fn count(value: &Value) -> Result<Count, String> {
    Count::read(value).map_err(|_| format!("expected a whole number above 0, got {}", show(value)))
}

/// A number of which 0 allows nothing.
fn number(value: &Value) -> Result<u64, String> {
    let number = whole(value).ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| format!("expected a whole number from 0, got {}", show(value)))
}

/// The id of a connection; null or an empty text names none.
fn connection(value: &Value) -> Result<Option<ConnId>, String> {
    let Some(name) = text(value)? else { return Ok(None) };
    ConnId::new(name).map(Some).map_err(|error| error.to_string())
}

/// The name of a worker; null or an empty text names none.
fn worker(value: &Value) -> Result<Option<WorkerName>, String> {
    let Some(name) = text(value)? else { return Ok(None) };
    WorkerName::new(name).map(Some).map_err(|error| error.to_string())
}

/// A text in one line; null or an empty one is none.
fn text(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => {
            FieldText::new(text).map(|text| Some(text.to_string())).map_err(|error| error.to_string())
        }
        _ => Err(format!("expected a text, got {}", show(value))),
    }
}

fn zone(value: &Value) -> Result<Timezone, String> {
    let name = value.as_str().ok_or_else(|| format!("expected an IANA time zone, got {}", show(value)))?;
    name.parse().map_err(|error: BadTimezone| error.to_string())
}

/// Zones by name: an object, or its JSON where the environment gives it.
fn zones(value: &Value) -> Result<BTreeMap<String, Timezone>, String> {
    let parsed = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    let Some(zones) = parsed.as_ref().unwrap_or(value).as_object() else {
        return Err(format!("expected an object with a zone for each dispatcher, got {}", show(value)));
    };
    zones.iter().map(|(name, value)| Ok((name.clone(), zone(value)?))).collect()
}

/// A list of names, or a text that has them with commas between.
fn names(value: &Value) -> Result<Vec<String>, String> {
    let texts: Option<Vec<&str>> = match value {
        Value::String(text) => Some(text.split(',').collect()),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let texts = texts.ok_or_else(|| format!("expected names, with commas between, got {}", show(value)))?;
    Ok(texts.into_iter().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn size(value: &Value) -> Result<i64, String> {
    match value {
        Value::String(text) => parse_size(text).map_err(|error| error.to_string()),
        other => whole(other).map_err(|_| format!("expected a size, got {}", show(other))),
    }
}

fn bytes(value: &Value) -> Result<u64, String> {
    let size = size(value)?;
    let positive = u64::try_from(size).ok().filter(|bytes| *bytes > 0);
    positive.ok_or_else(|| format!("expected a size above 0, got {}", show(value)))
}

#[cfg(test)]
mod tests;
