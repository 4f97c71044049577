//! Job specs and a realm's definition, read and checked together.

use std::collections::{BTreeMap, HashMap, HashSet};

use pumice_core::Timestamp;
use pumice_core::connection::{ConnectionSpec, TYPES};
use pumice_core::ids::{ConnId, JobId, TriggerId};
use pumice_core::job_type::{Registry, Surveyed, WARNINGS};
use pumice_core::ports::Doc;
use pumice_core::problem::{JsonPath, Problem, SpecError, did_you_mean};
use pumice_core::secret::value_holds_secret;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_core::text::{counted, escaped, quoted};
use pumice_core::trigger::TriggerSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::on_aws;
use super::triggers::{advice as trigger_advice, is_trigger};
use super::warning::Warning;
use crate::failure::Error;

/// A document: a job's spec or a realm's definition, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The name of its file, for messages.
    #[serde(default)]
    pub file: String,
    /// Its place in the file, as `[2]`; empty for the whole file.
    #[serde(default)]
    pub path: String,
    /// The names of warnings that the file silences about it.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// The document.
    pub document: Value,
}

/// The documents of files, and what the reader of the files found wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// The documents.
    pub documents: Vec<Document>,
    /// How many files they are from.
    #[serde(default)]
    pub files: usize,
    /// Mistakes that the reader found.
    #[serde(skip)]
    pub mistakes: Vec<Mistake>,
    /// Warnings of the reader.
    #[serde(skip)]
    pub warnings: Vec<Mistake>,
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The problem, and its place.
    pub problem: Problem,
}

impl Documents {
    /// Refuses documents in whose files the reader found mistakes, and with `strict` those that it warns of; gives its
    /// warnings. A request that is sent elsewhere has neither.
    ///
    /// # Errors
    /// [`Error`] with every mistake.
    pub fn readable(&self, strict: bool) -> Result<Vec<Warning>, Error> {
        if !self.mistakes.is_empty() {
            return Err(refusal(&self.mistakes));
        }
        let warnings: Vec<Warning> = self.warnings.iter().map(Warning::of).collect();
        if strict {
            super::refuse_warnings(&warnings)?;
        }
        Ok(warnings)
    }
}

impl Mistake {
    /// A mistake in a file.
    #[must_use]
    pub fn new(file: impl Into<String>, problem: Problem) -> Self {
        Self { file: file.into(), problem }
    }
}

/// Specs that were read and hold.
#[derive(Clone, Debug, Default)]
pub struct Specs {
    /// The jobs, in their order.
    pub jobs: Vec<JobSpec>,
    /// The triggers, in their order.
    pub triggers: Vec<TriggerSpec>,
    /// The realm's definition, if there was one.
    pub realm: Option<RealmSpec>,
    /// The connections, in their order.
    pub connections: Vec<ConnectionSpec>,
    /// How many files were read.
    pub files: usize,
    /// Warnings that no document silences.
    pub warnings: Vec<Warning>,
    /// The names of warnings that are silenced, by job.
    pub allowed: HashMap<JobId, Vec<String>>,
}

impl Specs {
    /// How many documents there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.jobs.len() + self.triggers.len() + self.connections.len() + usize::from(self.realm.is_some())
    }
}

/// The realm in which specs are looked at.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Its own document, which bounds what jobs may ask for.
    pub realm: Option<RealmSpec>,
    /// Its jobs.
    pub jobs: Vec<JobSpec>,
    /// Its triggers, as they are stored.
    pub triggers: Vec<Doc>,
    /// Its connections; `None` when they may not be listed.
    pub connections: Option<Vec<ConnId>>,
    /// Whether it is on AWS.
    pub is_aws: bool,
    /// Notes on parts that could not be looked at.
    pub notes: Vec<String>,
}

/// Reads documents; nothing is given when anything is wrong. Jobs are held to the settings of the realm that the
/// documents define, else to those of the realm that is there.
///
/// # Errors
/// [`Error`] with every mistake, those of the reader of files first.
pub fn read(
    given: Documents,
    registry: &Registry,
    now: Timestamp,
    there: &Surroundings,
) -> Result<Specs, Error> {
    let Documents { documents, files, mistakes, warnings } = given;
    let mut reader = Reader {
        registry,
        specs: Specs { files, ..Specs::default() },
        jobs: BTreeMap::new(),
        places: Vec::new(),
        triggers: BTreeMap::new(),
        trigger_places: Vec::new(),
        realm: None,
        mistakes,
    };
    reader.specs.warnings = warnings.iter().map(Warning::of).collect();
    let (realms, others): (Vec<Document>, Vec<Document>) =
        documents.into_iter().partition(|document| is_realm(&document.document));
    let (triggers, jobs): (Vec<Document>, Vec<Document>) =
        others.into_iter().partition(|document| is_trigger(&document.document));
    // The realm first: its settings bound what jobs may ask for.
    for Document { file, path, allowed, document } in &realms {
        reader.take_realm(&Place::new(file, path, allowed), document, there.is_aws);
    }
    let (connections, jobs): (Vec<Document>, Vec<Document>) =
        jobs.into_iter().partition(|document| is_connection(&document.document));
    for Document { file, path, allowed, document } in &connections {
        reader.take_connection(&Place::new(file, path, allowed), document);
    }
    let realm = reader.specs.realm.clone().or_else(|| there.realm.clone());
    let settings = realm.as_ref().map(|realm| realm.settings.clone()).unwrap_or_default();
    for Document { file, path, allowed, document } in &jobs {
        reader.take_job(Place::new(file, path, allowed), document, &settings);
    }
    for Document { file, path, allowed, document } in &triggers {
        reader.take_trigger(Place::new(file, path, allowed), document);
    }
    reader.hold_to_pools(there, realm.as_ref());
    reader.survey(there, realm.as_ref(), &settings, now);
    if reader.mistakes.is_empty() { Ok(reader.specs) } else { Err(refusal(&reader.mistakes)) }
}

/// Whether a document is a realm's definition.
#[must_use]
pub fn is_realm(document: &Value) -> bool {
    let others = ["job_id", "trigger_id", "type"];
    document.get("realm").is_some() && others.iter().all(|name| document.get(name).is_none())
}

/// Whether a document is a connection.
#[must_use]
pub fn is_connection(document: &Value) -> bool {
    let has = |field: &str| document.get(field).is_some();
    // One that lacks its id is known by its type.
    let has_type = || document.get("type").and_then(Value::as_str).is_some_and(|name| TYPES.contains(&name));
    !has("job_id") && !has("realm") && !has("trigger_id") && (has("conn_id") || !has("worker") && has_type())
}

/// The error that names every mistake.
fn refusal(mistakes: &[Mistake]) -> Error {
    let files: HashSet<&str> = mistakes.iter().map(|mistake| mistake.file.as_str()).collect();
    let mut lines = vec![match files.contains("") {
        true => counted(mistakes.len(), "problem"),
        false => format!("{} in {}", counted(mistakes.len(), "problem"), counted(files.len(), "file")),
    }];
    for Mistake { file, problem } in mistakes {
        lines.push(format!("  {}{problem}", in_file(file)));
        let snippet = problem.snippet.iter().flat_map(|snippet| snippet.lines());
        lines.extend(snippet.map(|line| format!("      {line}")));
    }
    let problems = mistakes.iter().map(|mistake| mistake.problem.clone()).collect();
    Error::invalid(lines.join("\n")).caused_by(SpecError { problems })
}

/// The prefix of a message about a document: its file, if it is from one.
pub(super) fn in_file(file: &str) -> String {
    if file.is_empty() { String::new() } else { format!("{}: ", escaped(file)) }
}

/// Where a document stands, and the names of warnings that are silenced in it.
#[derive(Clone, Debug)]
struct Place {
    file: String,
    path: JsonPath,
    allowed: Vec<String>,
}

impl Place {
    fn new(file: &str, path: &str, allowed: &[String]) -> Self {
        Self { file: file.to_owned(), path: JsonPath::root().join(path), allowed: allowed.to_vec() }
    }

    /// The place, with the warnings that the document's own `x-allow` silences.
    fn allowing(mut self, document: &Value) -> Self {
        self.allowed.extend(document.as_object().map(allowed).unwrap_or_default());
        self
    }
}

/// The warnings that a document itself silences.
#[must_use]
pub fn allowed(document: &Map<String, Value>) -> Vec<String> {
    match document.get("x-allow").or_else(|| document.get("X-Allow")) {
        Some(Value::String(text)) => warning_names(text).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).flat_map(warning_names).collect(),
        _ => Vec::new(),
    }
}

/// Names of warnings with commas or blanks between.
pub fn warning_names(text: &str) -> impl Iterator<Item = String> {
    text.split([',', ' ', '\t']).filter(|name| !name.is_empty()).map(str::to_owned)
}

struct Reader<'a> {
    registry: &'a Registry,
    specs: Specs,
    /// The jobs and their files.
    jobs: BTreeMap<JobId, String>,
    /// Where the jobs of the specs stand, in their order.
    places: Vec<Place>,
    /// The triggers and their files.
    triggers: BTreeMap<TriggerId, String>,
    /// Where the triggers of the specs stand, in their order.
    trigger_places: Vec<Place>,
    /// Where the realm's definition stands.
    realm: Option<Place>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn add(&mut self, file: &str, problem: Problem) {
        self.mistakes.push(Mistake::new(file, problem));
    }

    fn add_all(&mut self, place: &Place, problems: Vec<Problem>) {
        let below = |problem: Problem| Mistake::new(&*place.file, problem.below(&place.path));
        self.mistakes.extend(problems.into_iter().map(below));
    }

    fn take_realm(&mut self, place: &Place, document: &Value, is_aws: bool) {
        if self.specs.realm.is_some() {
            let second = Problem::new(place.path.clone(), "a second definition of the realm");
            return self.add(&place.file, second);
        }
        match RealmSpec::parse(&without_schema(document)) {
            Ok(realm) => {
                let (realm, mistake) = if is_aws { realm.with_lava_table() } else { (realm, None) };
                self.add_all(place, mistake.into_iter().collect());
                self.add_all(place, self.registry.check_realm(&realm));
                self.realm = Some(place.clone().allowing(document));
                self.specs.realm = Some(realm);
            }
            Err(error) => self.add_all(place, error.problems),
        }
    }

    fn take_connection(&mut self, place: &Place, document: &Value) {
        let spec = match ConnectionSpec::parse(&without_schema(document)) {
            Ok(spec) => spec,
            Err(error) => return self.add_all(place, error.problems),
        };
        if self.specs.connections.iter().any(|other| other.conn_id == spec.conn_id) {
            let message = format!("the conn_id {} was given before", quoted(spec.conn_id.as_str()));
            return self.add(&place.file, Problem::new(place.path.field("conn_id"), message));
        }
        let advice = [spec.advice(), with_secret(&spec.document)].concat();
        self.advise(&place.clone().allowing(document), ("connection", spec.conn_id.as_str()), advice);
        self.specs.connections.push(spec);
    }

    /// Warnings about connections that a job names and that there are not.
    fn without_connection(&self, job: &JobSpec, there: &Surroundings) -> Vec<Problem> {
        let Some(others) = &there.connections else { return Vec::new() };
        let own: Vec<&ConnId> = self.specs.connections.iter().map(|spec| &spec.conn_id).collect();
        let missing = self
            .registry
            .connections_of(job)
            .into_iter()
            .filter(|(_, id)| !own.contains(&id) && !others.contains(id));
        missing
            .map(|(path, id)| {
                let message = format!("there is no connection {}", quoted(id.as_str()));
                let mut problem = Problem::warning("unknown-connection", path, message);
                problem.hint =
                    did_you_mean(id.as_str(), own.iter().copied().chain(others).map(ConnId::as_str));
                problem
            })
            .collect()
    }

    fn take_job(&mut self, place: Place, document: &Value, settings: &Settings) {
        match self.registry.read_job(&without_schema(document), settings) {
            Ok(job) => {
                let job_id = job.fields.job_id.clone();
                match self.jobs.insert(job_id.clone(), place.file.clone()) {
                    None => {
                        self.specs.jobs.push(job);
                        self.places.push(place.allowing(document));
                    }
                    Some(other) => self.add_second(&place, "job_id", job_id.as_str(), &other),
                }
            }
            Err(error) => self.add_all(&place, error.problems),
        }
    }

    /// Jobs must name pools that the realm has, and a realm must keep those that its jobs name: their runs would wait for good.
    fn hold_to_pools(&mut self, there: &Surroundings, realm: Option<&RealmSpec>) {
        if realm.is_none() && there.is_aws {
            // Which realm it will be is not known yet.
            return;
        }
        let lacks = |job: &JobSpec| {
            let pool = job.fields.pool.as_ref()?;
            realm.is_none_or(|realm| realm.pool_size(pool).is_none()).then(|| pool.clone())
        };
        let pools = realm.and_then(|realm| realm.fields.pools.as_ref());
        let mut mistakes = Vec::new();
        for (job, place) in self.specs.jobs.iter().zip(&self.places) {
            if let Some(pool) = lacks(job) {
                let message = format!("the realm has no pool {}", quoted(pool.as_str()));
                let mut problem = Problem::new(place.path.field("pool"), message);
                let known = pools.into_iter().flatten().map(|(name, _)| name.as_str());
                problem.hint = did_you_mean(pool.as_str(), known)
                    .or_else(|| Some("name it in the `pools` of the realm's definition".to_owned()));
                mistakes.push(Mistake::new(&*place.file, problem));
            }
        }
        if let Some(place) = &self.realm {
            let others = there.jobs.iter().filter(|job| !self.jobs.contains_key(&job.fields.job_id));
            for (job, pool) in others.filter_map(|job| Some((job, lacks(job)?))) {
                let (pool, job_id) = (quoted(pool.as_str()), quoted(job.fields.job_id.as_str()));
                let message = format!("there is no pool {pool}, which job {job_id} names");
                mistakes.push(Mistake::new(&*place.file, Problem::new(place.path.field("pools"), message)));
            }
        }
        self.mistakes.extend(mistakes);
    }

    fn take_trigger(&mut self, place: Place, document: &Value) {
        let trigger = match TriggerSpec::parse(&without_schema(document), self.registry.renderer()) {
            Ok(trigger) => trigger,
            Err(error) => return self.add_all(&place, error.problems),
        };
        let id = trigger.fields.trigger_id.clone();
        match self.triggers.insert(id.clone(), place.file.clone()) {
            None => {
                self.specs.triggers.push(trigger);
                self.trigger_places.push(place.allowing(document));
            }
            Some(other) => self.add_second(&place, "trigger_id", id.as_str(), &other),
        }
    }

    /// Refuses a document with the id of another, which is in the file `other`.
    fn add_second(&mut self, place: &Place, field: &str, id: &str, other: &str) {
        let given = if other.is_empty() { String::new() } else { format!(", in {other}") };
        let message = format!("the {field} {} was given before{given}", quoted(id));
        self.add(&place.file, Problem::new(place.path.field(field), message));
    }

    /// The jobs that triggers start: those that were given, and those of the realm that these do not replace.
    fn triggered(&self, there: &Surroundings) -> HashSet<String> {
        let given = self.specs.triggers.iter().flat_map(TriggerSpec::named_jobs).map(str::to_owned);
        let is_given = |id: &str| self.triggers.keys().any(|given| given.as_str() == id);
        let others = there
            .triggers
            .iter()
            .filter(|doc| !doc.get("trigger_id").and_then(Value::as_str).is_some_and(is_given));
        let ids = others.flat_map(|doc| match doc.get("job_id") {
            Some(Value::Array(items)) => items.clone(),
            other => other.cloned().into_iter().collect(),
        });
        given.chain(ids.filter_map(|id| id.as_str().map(str::to_owned))).collect()
    }

    /// Warnings about the triggers.
    fn survey_triggers(&mut self, surveyed: &[Surveyed<'_>], realm: Option<&RealmSpec>, is_aws: bool) {
        let places = std::mem::take(&mut self.trigger_places);
        let triggers = std::mem::take(&mut self.specs.triggers);
        for (trigger, place) in triggers.iter().zip(&places) {
            let own = trigger.advice(self.registry.renderer());
            let of = ("trigger", trigger.fields.trigger_id.as_str());
            self.advise(place, of, [own, trigger_advice(trigger, surveyed, realm, is_aws)].concat());
        }
        self.specs.triggers = triggers;
    }

    /// Warnings about the jobs, each by itself and all together, with those of the realm that is there.
    fn survey(
        &mut self,
        there: &Surroundings,
        realm: Option<&RealmSpec>,
        settings: &Settings,
        now: Timestamp,
    ) {
        let jobs = std::mem::take(&mut self.specs.jobs);
        let places = std::mem::take(&mut self.places);
        let others = there.jobs.iter().filter(|job| !self.jobs.contains_key(&job.fields.job_id));
        let surveyed: Vec<Surveyed<'_>> = jobs
            .iter()
            .map(|job| Surveyed { job, given: true })
            .chain(others.map(|job| Surveyed { job, given: false }))
            .collect();
        if let (Some(realm), Some(place)) = (&self.specs.realm, &self.realm)
            && there.is_aws
        {
            let (problems, place) = (on_aws::secure(&realm.document), place.clone());
            self.add_all(&place, problems);
        }
        if let (Some(realm), Some(place)) = (&self.specs.realm, self.realm.take()) {
            let name = realm.fields.realm.to_string();
            let in_folder = if there.is_aws { Vec::new() } else { realm.advice_in_folder() };
            let of_actions = self.registry.advise_realm(realm);
            let over_all = self.registry.survey_realm(realm, &surveyed);
            let advice = [realm.advice(), of_actions, in_folder, over_all].concat();
            self.advise(&place, ("realm", &name), advice);
        }
        self.survey_triggers(&surveyed, realm, there.is_aws);
        let triggered = self.triggered(there);
        let mut together = self.registry.survey(&surveyed, realm);
        together.retain(|(index, problem)| {
            problem.name != Some("never-started")
                || !triggered.contains(surveyed[*index].job.fields.job_id.as_str())
        });
        together.extend(self.registry.survey_clock(&surveyed, realm, settings, now));
        together.sort_by_key(|(index, _)| *index);
        let mut together = together.into_iter().peekable();
        for (index, (job, place)) in jobs.iter().zip(&places).enumerate() {
            if there.is_aws {
                self.add_all(place, on_aws::of_job(job, settings));
            }
            let mut advice = self.registry.advise_job(job, settings);
            advice.extend(self.without_connection(job, there));
            advice.extend(with_secret(&job.document));
            while let Some((_, problem)) = together.next_if(|(about, _)| *about == index) {
                advice.push(problem);
            }
            self.advise(place, ("job", job.fields.job_id.as_str()), advice);
            self.specs.allowed.insert(job.fields.job_id.clone(), place.allowed.clone());
        }
        (self.specs.jobs, self.places) = (jobs, places);
    }

    /// Keeps the warnings about a document that are not silenced there.
    fn advise(&mut self, place: &Place, (kind, id): (&str, &str), advice: Vec<Problem>) {
        let Place { file, path, allowed } = place;
        let is_silenced = |problem: &Problem| {
            problem.name.is_some_and(|name| allowed.iter().any(|allowed| allowed == name))
        };
        let mut kept: Vec<Problem> = advice
            .into_iter()
            .filter(|problem| !is_silenced(problem))
            .map(|problem| problem.below(path))
            .collect();
        for name in allowed.iter().filter(|name| !WARNINGS.contains(&name.as_str())) {
            let message = format!("there is no warning {} to allow", quoted(name));
            let mut unknown = Problem::warning("unknown-warning", path.clone(), message);
            unknown.hint = did_you_mean(name, WARNINGS);
            kept.push(unknown);
        }
        let warnings =
            kept.into_iter().map(|problem| Warning::of(&Mistake::new(&**file, problem)).about(kind, id));
        self.specs.warnings.extend(warnings);
    }
}

/// Warnings about fields that have the value of a secret of the realm.
fn with_secret(document: &Map<String, Value>) -> Vec<Problem> {
    let with = document.iter().filter(|(_, value)| value_holds_secret(value));
    let warning = |(name, _): (&String, &Value)| {
        let message = "the field has the value of a secret, in the clear";
        Problem::warning("secret-in-spec", JsonPath::root().field(name), message)
    };
    with.map(warning).collect()
}

/// A document without the `$schema` that editors look for.
fn without_schema(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.shift_remove("$schema");
    }
    document
}
