//! Reads job specs from files and folders, and reports every mistake at once.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use pumice_core::ids::JobId;
use pumice_core::job_type::Registry;
use pumice_core::problem::{JsonPath, Problem, SpecError};
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use serde_json::Value;

use crate::document::Document;
use crate::failure::Failure;

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
    /// What is allowed in them, but hardly meant.
    pub(crate) advice: Vec<Mistake>,
}

/// One mistake: in which file, and what.
pub(crate) type Mistake = (PathBuf, Problem);

/// Reads all specs of files and folders; nothing is given when anything is wrong. Jobs are held to the
/// settings of the realm that the files define, else to these.
pub(crate) fn load(paths: &[PathBuf], registry: &Registry, settings: Settings) -> Result<Specs, Failure> {
    let mut reader =
        Reader { registry, specs: Specs::default(), jobs: BTreeMap::new(), mistakes: Vec::new() };
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
    for (file, path, document) in &documents {
        if is_realm(document) {
            reader.take_realm(file, path, document);
        }
    }
    let settings = reader.specs.realm.as_ref().map_or(settings, |realm| realm.settings.clone());
    for (file, path, document) in documents.into_iter().filter(|(_, _, document)| !is_realm(document)) {
        reader.take_job(&file, &path, &document, &settings);
    }
    if reader.mistakes.is_empty() { Ok(reader.specs) } else { Err(report(&reader.mistakes)) }
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
        let _ = write!(text, "\n  {}: {problem}", file.display());
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
    told.iter().map(|((file, told), count)| format!("{}: {told}{}", file.display(), more(*count))).collect()
}

struct Reader<'a> {
    registry: &'a Registry,
    specs: Specs,
    jobs: BTreeMap<JobId, PathBuf>,
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
            Err(error) => return self.refuse(path, format!("cannot be read: {error}")),
        };
        if !real.is_dir() {
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
            let spec = [".json", ".yaml", ".yml"].iter().any(|ending| name.ends_with(ending));
            if !name.starts_with('.') && (spec || path.is_dir()) {
                self.find(&path, depth + 1, seen, files);
            }
        }
    }

    fn read(&mut self, file: &Path, documents: &mut Vec<(PathBuf, JsonPath, Value)>) {
        match parse_file(file) {
            Ok(Value::Array(items)) => {
                for (index, item) in items.into_iter().enumerate() {
                    documents.push((file.to_owned(), JsonPath::root().item(index), item));
                }
            }
            Ok(document) => documents.push((file.to_owned(), JsonPath::root(), document)),
            Err(message) => self.refuse(file, message),
        }
    }

    fn take_realm(&mut self, file: &Path, path: &JsonPath, document: &Value) {
        if self.specs.realm.is_some() {
            return self.add(file, Problem::new(path.clone(), "a second definition of the realm"));
        }
        match RealmSpec::parse(&without_schema(document)) {
            Ok(realm) => {
                for when in [
                    pumice_core::spec::ActionsWhen::OnSuccess,
                    pumice_core::spec::ActionsWhen::OnRetry,
                    pumice_core::spec::ActionsWhen::OnFail,
                ] {
                    let actions = realm.actions();
                    let found = self
                        .registry
                        .check_actions(actions.get(when).unwrap_or_default(), &path.field(when.field()));
                    self.mistakes.extend(found.into_iter().map(|problem| (file.to_owned(), problem)));
                }
                self.advise(file, path, realm.advice());
                self.specs.realm = Some(realm);
            }
            Err(error) => self.add_all(file, path, error),
        }
    }

    fn take_job(&mut self, file: &Path, path: &JsonPath, document: &Value, settings: &Settings) {
        match self.registry.read_job(&without_schema(document), settings) {
            Ok(job) => {
                self.advise(file, path, self.registry.advise_job(&job, settings));
                let job_id = job.fields.job_id.clone();
                match self.jobs.insert(job_id.clone(), file.to_owned()) {
                    None => self.specs.jobs.push(job),
                    Some(other) => {
                        let message =
                            format!("the job_id {job_id:?} was given before, in {}", other.display());
                        self.add(file, Problem::new(path.field("job_id"), message));
                    }
                }
            }
            Err(error) => self.add_all(file, path, error),
        }
    }

    fn advise(&mut self, file: &Path, path: &JsonPath, advice: Vec<Problem>) {
        self.specs.advice.extend(advice.into_iter().map(|told| (file.to_owned(), told.below(path))));
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

/// Reads a JSON or YAML file; `-` is standard input.
pub(crate) fn parse_file(file: &Path) -> Result<Value, String> {
    let text = read_text(file)?;
    let json =
        file.extension().is_some_and(|ending| ending == "json") || text.trim_start().starts_with(['{', '[']);
    if json {
        let parsed = serde_json::from_str(&text).map(|Document(value)| value);
        return parsed.map_err(|error| format!("not JSON: {error}"));
    }
    let parsed = serde_yaml_ng::from_str(&text).map(|Document(value)| value);
    parsed.map_err(|error| format!("not YAML: {error}"))
}

/// Reads a whole file as text, within [`MAX_FILE_BYTES`]; `-` is standard input.
pub(crate) fn read_text(file: &Path) -> Result<String, String> {
    String::from_utf8(read_bytes(file)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("not UTF-8: byte {} is not part of a character", at + 1)
    })
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
