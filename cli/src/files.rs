//! Reads job specs from files and folders, and reports every mistake at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use pumice_core::document::{parse_json, text_of};
use pumice_core::ids::JobId;
use pumice_core::job_type::{Registry, Surveyed, WARNINGS};
use pumice_core::ports::Clock;
use pumice_core::problem::{JsonPath, Problem, SpecError, did_you_mean};
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_core::text::{escaped, quoted};
use pumice_local::SystemClock;
use serde_json::{Map, Value, json};

use crate::calendar_files;
use crate::failure::Failure;
use crate::yaml::{self, Part};

/// Largest spec file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Deepest folder that is looked into, in levels.
const MAX_FOLDERS: usize = 32;
/// Most spec files read at once.
const MAX_FILES: usize = 100_000;

/// What spec files held.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    /// The jobs, by id.
    pub(crate) jobs: Vec<JobSpec>,
    /// The realm's definition, when a file held one.
    pub(crate) realm: Option<RealmSpec>,
    /// How many files were read.
    pub(crate) files: usize,
    /// Warnings that no document silences.
    pub(crate) advice: Vec<Mistake>,
    /// The names of warnings that are silenced, by job.
    pub(crate) allowed: HashMap<JobId, Vec<String>>,
}

/// The realm that is there, in which specs are looked at.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Its own document, which bounds what jobs may ask for.
    pub(crate) realm: Option<RealmSpec>,
    /// Its jobs.
    pub(crate) jobs: Vec<JobSpec>,
    /// Whether it is on AWS.
    pub(crate) is_aws: bool,
}

/// One mistake: in which file, and what.
pub(crate) type Mistake = (PathBuf, Problem);

/// Reads all specs of files and folders; nothing is given when anything is wrong. Jobs are held to the
/// settings of the realm that the files define, else to those of the realm that is there.
pub(crate) fn load(paths: &[PathBuf], registry: &Registry, there: &Surroundings) -> Result<Specs, Failure> {
    let mut reader = Reader {
        registry,
        specs: Specs::default(),
        jobs: BTreeMap::new(),
        places: Vec::new(),
        realm: None,
        mistakes: Vec::new(),
    };
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let before = files.len();
        reader.find(path, 0, &mut seen, &mut files);
        if path.is_dir() && files.len() == before && reader.mistakes.is_empty() {
            reader.add(
                path,
                Problem::new(JsonPath::root(), "the folder holds no spec file (.json, .yaml, .yml)"),
            );
        }
    }
    let mut documents = Vec::new();
    for file in &files {
        reader.read(file, &mut documents);
    }
    reader.specs.files = files.len();
    // The realm first: its settings bound what jobs may ask for.
    for (place, document) in &documents {
        if is_realm(document) {
            reader.take_realm(place, document);
        }
    }
    let realm = reader.specs.realm.clone().or_else(|| there.realm.clone());
    let settings = realm.as_ref().map(|realm| realm.settings.clone()).unwrap_or_default();
    for (place, document) in documents.into_iter().filter(|(_, document)| !is_realm(document)) {
        reader.take_job(place, &document, &settings);
    }
    reader.survey(there, realm.as_ref(), &settings);
    if reader.mistakes.is_empty() { Ok(reader.specs) } else { Err(report(&reader.mistakes)) }
}

/// Where a document stands, and the names of warnings that are silenced in it.
#[derive(Clone, Debug)]
struct Place {
    file: PathBuf,
    path: JsonPath,
    allowed: Vec<String>,
}

fn is_realm(document: &Value) -> bool {
    document.get("realm").is_some() && document.get("job_id").is_none() && document.get("type").is_none()
}

fn report(mistakes: &[Mistake]) -> Failure {
    let files: HashSet<&PathBuf> = mistakes.iter().map(|(file, _)| file).collect();
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut text = format!("{} in {}", plural(mistakes.len(), "problem"), plural(files.len(), "file"));
    for (file, problem) in mistakes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}: {problem}", escaped(&file.display().to_string()));
        for line in problem.snippet.iter().flat_map(|snippet| snippet.lines()) {
            let _ = write!(text, "\n      {line}");
        }
    }
    Failure::Wrong(text)
}

/// Advice as it is shown: what is told of many files is told once, with how many they are.
pub(crate) fn advice_lines(advice: &[Mistake]) -> Vec<String> {
    let mut told: Vec<(&Mistake, usize)> = Vec::new();
    let same = |one: &Problem, other: &Problem| one.message == other.message && one.hint == other.hint;
    for mistake in advice {
        match told.iter_mut().find(|(first, _)| same(&first.1, &mistake.1)) {
            Some((_, count)) => *count += 1,
            None => told.push((mistake, 1)),
        }
    }
    let more = |count: usize| match count {
        1 => String::new(),
        2 => ", and once more".to_owned(),
        count => format!(", and {} times more", count - 1),
    };
    let line = |((file, told), count): &(&Mistake, usize)| {
        let name = told.name.map(|name| format!(" [{name}]")).unwrap_or_default();
        format!("{}: {told}{name}{}", escaped(&file.display().to_string()), more(*count))
    };
    told.iter().map(line).collect()
}

/// Warnings as programs get them.
pub(crate) fn advice_json(advice: &[Mistake]) -> Value {
    let one = |(file, told): &Mistake| json!({ "file": file.display().to_string(), "name": told.name, "path": told.path.to_string(), "message": told.message, "hint": told.hint });
    advice.iter().map(one).collect()
}

struct Reader<'a> {
    registry: &'a Registry,
    specs: Specs,
    jobs: BTreeMap<JobId, PathBuf>,
    /// Where the jobs of the specs stand, in their order.
    places: Vec<Place>,
    /// Where the realm's definition stands.
    realm: Option<Place>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn add(&mut self, file: &Path, problem: Problem) {
        self.mistakes.push((file.to_owned(), problem));
    }

    fn refuse(&mut self, file: &Path, message: impl Into<String>) {
        self.add(file, Problem::new(JsonPath::root(), message));
    }

    /// Finds the spec files below a path. A folder that was seen before is not entered again, so
    /// that links which lead in a circle do no harm.
    fn find(&mut self, path: &Path, depth: usize, seen: &mut HashSet<PathBuf>, files: &mut Vec<PathBuf>) {
        if path == Path::new("-") {
            files.push(path.to_owned());
            return;
        }
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if path.is_symlink() => {
                return self.refuse(path, format!("the link leads nowhere: {error}"));
            }
            Err(error) => return self.refuse(path, format!("cannot be read: {error}")),
        };
        if !real.is_dir() {
            if depth > 0 && !real.is_file() {
                // Opening a pipe waits until somebody writes to it.
                return self.refuse(path, "it is not a regular file");
            }
            if files.len() < MAX_FILES {
                files.push(path.to_owned());
            } else if files.len() == MAX_FILES {
                self.refuse(path, format!("more than {MAX_FILES} spec files"));
            }
            return;
        }
        if !seen.insert(real) {
            return;
        }
        if depth >= MAX_FOLDERS {
            return self.refuse(path, format!("folders are nested deeper than {MAX_FOLDERS} levels"));
        }
        let entries = match std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(path, format!("cannot be read: {error}")),
        };
        let mut below: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        below.sort();
        for path in below {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let small = name.to_ascii_lowercase();
            let spec = [".json", ".yaml", ".yml"].iter().any(|ending| small.ends_with(ending));
            if !name.starts_with('.') && (spec || path.is_dir()) {
                self.find(&path, depth + 1, seen, files);
            }
        }
    }

    fn read(&mut self, file: &Path, documents: &mut Vec<(Place, Value)>) {
        let parts = match parse_file(file) {
            Ok(parts) => parts,
            Err(message) => return self.refuse(file, message),
        };
        if parts.iter().all(|part| part.value.is_null()) {
            let told = Problem::warning("empty-file", JsonPath::root(), "holds nothing, or comments alone");
            self.specs.advice.push((file.to_owned(), told));
        }
        // The documents of a file have paths like the items of a list.
        let several = parts.len() > 1;
        for (number, Part { value, allowed }) in parts.into_iter().enumerate() {
            let place = |path| Place { file: file.to_owned(), path, allowed: allowed.clone() };
            let root = if several { JsonPath::root().item(number) } else { JsonPath::root() };
            match value {
                // lava's framework makes one of a job that is not for this environment.
                Value::Null => {}
                Value::Array(items) => {
                    let items = items.into_iter().enumerate().filter(|(_, item)| !item.is_null());
                    documents.extend(items.map(|(index, item)| (place(root.item(index)), item)));
                }
                document => documents.push((place(root), document)),
            }
        }
    }

    fn take_realm(&mut self, place: &Place, document: &Value) {
        let Place { file, path, .. } = place;
        if self.specs.realm.is_some() {
            return self.add(file, Problem::new(path.clone(), "a second definition of the realm"));
        }
        let mut whole = without_schema(document);
        let unread = calendar_files::put_in_place(&mut whole, file);
        if !unread.is_empty() {
            return self.mistakes.extend(unread.into_iter().map(|told| (file.clone(), told.below(path))));
        }
        match RealmSpec::parse(&whole) {
            Ok(realm) => {
                let found = self.registry.check_realm(&realm).into_iter();
                self.mistakes.extend(found.map(|problem| (file.to_owned(), problem.below(path))));
                self.realm = Some(allowing(place.clone(), document));
                self.specs.realm = Some(realm);
            }
            Err(error) => self.add_all(file, path, error),
        }
    }

    fn take_job(&mut self, place: Place, document: &Value, settings: &Settings) {
        match self.registry.read_job(&without_schema(document), settings) {
            Ok(job) => {
                let job_id = job.fields.job_id.clone();
                match self.jobs.insert(job_id.clone(), place.file.clone()) {
                    None => {
                        self.specs.jobs.push(job);
                        self.places.push(allowing(place, document));
                    }
                    Some(other) => {
                        let name = quoted(job_id.as_str());
                        let message = format!("the job_id {name} was given before, in {}", other.display());
                        self.add(&place.file, Problem::new(place.path.field("job_id"), message));
                    }
                }
            }
            Err(error) => self.add_all(&place.file, &place.path, error),
        }
    }

    /// Warnings about the jobs, each by itself and all together, with those of the realm that is there.
    fn survey(&mut self, there: &Surroundings, realm: Option<&RealmSpec>, settings: &Settings) {
        let jobs = std::mem::take(&mut self.specs.jobs);
        let places = std::mem::take(&mut self.places);
        let others = there.jobs.iter().filter(|job| !self.jobs.contains_key(&job.fields.job_id));
        let surveyed: Vec<Surveyed<'_>> = jobs
            .iter()
            .map(|job| Surveyed { job, given: true })
            .chain(others.map(|job| Surveyed { job, given: false }))
            .collect();
        if let (Some(realm), Some(place)) = (&self.specs.realm, self.realm.take()) {
            let in_folder = if there.is_aws { Vec::new() } else { realm.advice_in_folder() };
            let advice = [realm.advice(), in_folder, self.registry.survey_realm(realm, &surveyed)].concat();
            self.advise(&place, advice);
        }
        let mut together = self.registry.survey(&surveyed, realm);
        together.extend(self.registry.survey_clock(&surveyed, realm, settings, SystemClock.now()));
        together.sort_by_key(|(index, _)| *index);
        let mut together = together.into_iter().peekable();
        for (index, (job, place)) in jobs.iter().zip(&places).enumerate() {
            if there.is_aws {
                self.refuse_reboot(job, place);
            }
            let mut advice = self.registry.advise_job(job, settings);
            while let Some((_, told)) = together.next_if(|(about, _)| *about == index) {
                advice.push(told);
            }
            self.advise(place, advice);
            self.specs.allowed.insert(job.fields.job_id.clone(), place.allowed.clone());
        }
        (self.specs.jobs, self.places) = (jobs, places);
    }

    /// Refuses entries that start with a service: on AWS there is none that starts.
    fn refuse_reboot(&mut self, job: &JobSpec, place: &Place) {
        let is_list = job.document.get("schedule").is_some_and(Value::is_array);
        let schedule = place.path.field("schedule");
        for (index, entry) in job.fields.schedule.0.iter().enumerate() {
            if entry.crontab.as_ref().is_some_and(|crontab| crontab.pattern().is_none()) {
                let path = if is_list { schedule.item(index) } else { schedule.clone() };
                let message = "@reboot is the start of `pumice serve`, and on AWS no service starts";
                self.add(
                    &place.file,
                    Problem::new(path, message).with_hint("give a time, or dispatch it by hand"),
                );
            }
        }
    }

    /// Keeps the warnings about a document that are not silenced there.
    fn advise(&mut self, place: &Place, advice: Vec<Problem>) {
        let Place { file, path, allowed } = place;
        let silenced =
            |told: &Problem| told.name.is_some_and(|name| allowed.iter().any(|allowed| allowed == name));
        let told = advice.into_iter().filter(|told| !silenced(told)).map(|told| told.below(path));
        self.specs.advice.extend(told.map(|told| (file.clone(), told)));
        for name in allowed.iter().filter(|name| !WARNINGS.contains(&name.as_str())) {
            let message = format!("there is no warning {} to allow", quoted(name));
            let mut told = Problem::warning("unknown-warning", path.clone(), message);
            told.hint = did_you_mean(name, WARNINGS);
            self.specs.advice.push((file.clone(), told));
        }
    }

    fn add_all(&mut self, file: &Path, path: &JsonPath, error: SpecError) {
        self.mistakes
            .extend(error.problems.into_iter().map(|problem| (file.to_owned(), problem.below(path))));
    }
}

/// A document without the `$schema` that editors look for.
fn without_schema(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.shift_remove("$schema");
    }
    document
}

/// The place, with the warnings that the document's own `x-allow` silences.
fn allowing(mut place: Place, document: &Value) -> Place {
    place.allowed.extend(document.as_object().map(allowed).unwrap_or_default());
    place
}

/// The warnings that a document itself silences.
pub(crate) fn allowed(document: &Map<String, Value>) -> Vec<String> {
    match document.get("x-allow") {
        Some(Value::String(text)) => yaml::names(text).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).flat_map(yaml::names).collect(),
        _ => Vec::new(),
    }
}

/// Reads the documents of a JSON or YAML file; `-` is standard input.
pub(crate) fn parse_file(file: &Path) -> Result<Vec<Part>, String> {
    let text = read_text(file)?;
    let ends = |ending: &str| file.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    let json = || parse_json(&text).map(|value| vec![Part { value, allowed: Vec::new() }]);
    if ends("json") {
        return json();
    }
    if text.trim_start().starts_with(['{', '[']) {
        // It may be YAML all the same, which knows braces and brackets too.
        return json().or_else(|error| match ends("yaml") || ends("yml") {
            true => yaml::parse(&text),
            false => Err(error),
        });
    }
    yaml::parse(&text)
}

/// Reads a whole file as text, within [`MAX_FILE_BYTES`]; `-` is standard input.
pub(crate) fn read_text(file: &Path) -> Result<String, String> {
    text_of(&read_bytes(file)?).map(str::to_owned)
}

/// Reads a whole file, whatever is in it, within [`MAX_FILE_BYTES`]; `-` is standard input.
pub(crate) fn read_bytes(file: &Path) -> Result<Vec<u8>, String> {
    let read = |reader: &mut dyn Read| -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let taken = reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
        taken.map_err(|error| format!("cannot be read: {error}"))?;
        Ok(bytes)
    };
    let bytes = if file == Path::new("-") {
        read(&mut std::io::stdin().lock())?
    } else {
        let mut opened = std::fs::File::open(file).map_err(|error| format!("cannot be read: {error}"))?;
        read(&mut opened)?
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("larger than {} MiB, the most that is read", MAX_FILE_BYTES / 1024 / 1024));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reboot_on_aws_is_refused_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.json");
        let job = |schedule: Value| json!({ "job_id": "a", "type": "log", "worker": "w", "payload": null, "enabled": true, "schedule": schedule });
        let registry = pumice_job_types::registry().unwrap();
        for (schedule, path) in [
            (json!("@reboot"), "schedule: "),
            (json!({ "crontab": "@Reboot" }), "schedule: "),
            (json!(["@hourly", "@reboot"]), "schedule[1]: "),
        ] {
            std::fs::write(&file, job(schedule.clone()).to_string()).unwrap();
            let aws = Surroundings { is_aws: true, ..Surroundings::default() };
            let paths = [file.clone()];
            let message = load(&paths, &registry, &aws).unwrap_err();
            let message = message.message().unwrap_or_default();
            let wanted =
                format!("{path}@reboot is the start of `pumice serve`, and on AWS no service starts");
            assert!(message.contains(&wanted), "{schedule}: {message}");
            assert!(load(&paths, &registry, &Surroundings::default()).is_ok(), "{schedule}");
        }
    }
}
