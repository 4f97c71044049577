//! Finds and reads the files of job specs, and says what is wrong with each.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use pumice_core::document::{ReadError, parse_json, text_of};
use pumice_core::problem::{JsonPath, Problem};
use pumice_service::specs::{Document, Documents, Mistake, is_realm};
use serde_json::Value;

use crate::calendar_files;
use crate::environment::{Builder, Environment};
use crate::yaml::{self, Part};

/// Largest spec file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Deepest folder that is looked into, in levels.
const MAX_FOLDERS: usize = 32;
/// Most spec files read at once.
const MAX_FILES: usize = 100_000;

/// Why a file cannot be read: a lower-case fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl From<ReadError> for Unreadable {
    fn from(error: ReadError) -> Self {
        Self(error.into())
    }
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        Self(why)
    }
}

/// The documents of files that were built for an environment.
#[derive(Debug)]
pub(crate) struct Built {
    /// The documents.
    pub(crate) documents: Documents,
    /// How many files hold nothing in this environment.
    pub(crate) left_out: usize,
}

/// Reads the documents of files and folders, and gathers what cannot be read.
pub(crate) fn documents(paths: &[PathBuf]) -> Documents {
    built(paths, None).documents
}

/// The same for an environment, where there is one: files are built with its values first, and those whose names, or
/// whose folders' names, begin with `_` are left out.
pub(crate) fn built(paths: &[PathBuf], environment: Option<&Environment>) -> Built {
    let mut reader = Reader { given: Documents::default(), environment, left_out: 0 };
    let mut count = 0;
    let mut seen = HashSet::new();
    for path in paths {
        let mut files = Vec::new();
        reader.find(path, 0, &mut seen, &mut files);
        if path.is_dir() && files.is_empty() && reader.given.mistakes.is_empty() {
            reader.refuse(path, "the folder holds no spec file (.json, .yaml, .yml)");
        }
        let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let builder = environment.map(|environment| environment.builder(root).with_lava());
        for file in &files {
            reader.read(file, builder.as_ref());
        }
        count += files.len();
    }
    Built { documents: Documents { files: count, ..reader.given }, left_out: reader.left_out }
}

struct Reader<'a> {
    given: Documents,
    environment: Option<&'a Environment>,
    left_out: usize,
}

impl Reader<'_> {
    fn refuse(&mut self, file: &Path, message: impl fmt::Display) {
        let problem = Problem::new(JsonPath::root(), message);
        self.given.mistakes.push(Mistake::new(file.display().to_string(), problem));
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
                // Opening a pipe waits until another process writes to it.
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
            if !name.starts_with('.') && !self.is_apart(&path, &name) && (spec || path.is_dir()) {
                self.find(&path, depth + 1, seen, files);
            }
        }
    }

    /// Whether a file or folder is not a spec in this environment: included files, and the values themselves.
    fn is_apart(&self, path: &Path, name: &str) -> bool {
        self.environment.is_some_and(|environment| {
            name.starts_with('_') || path.canonicalize().is_ok_and(|real| environment.is_own(&real))
        })
    }

    fn read(&mut self, file: &Path, builder: Option<&Builder>) {
        let text = read_text(file).and_then(|text| match builder {
            Some(builder) => builder.build(file, &text),
            None => Ok(text),
        });
        let parts = text.and_then(|text| match builder.is_some() && text.trim().is_empty() {
            true => Ok(Vec::new()),
            false => parse_text(file, &text),
        });
        let parts = match parts {
            Ok(parts) => parts,
            Err(why) => return self.refuse(file, why.to_string()),
        };
        if builder.is_some() && parts.iter().all(|part| part.value.is_null()) {
            self.left_out += 1;
            return;
        }
        if parts.iter().all(|part| part.value.is_null()) {
            let empty = Problem::warning("empty-file", JsonPath::root(), "holds nothing, or comments alone");
            self.given.warnings.push(Mistake::new(file.display().to_string(), empty));
        }
        // The documents of a file have paths like the items of a list.
        let several = parts.len() > 1;
        for (number, Part { value, allowed }) in parts.into_iter().enumerate() {
            let root = if several { JsonPath::root().item(number) } else { JsonPath::root() };
            match value {
                // lava's framework makes one of a job that is not for this environment.
                Value::Null => {}
                Value::Array(items) => {
                    for (index, item) in items.into_iter().enumerate().filter(|(_, item)| !item.is_null()) {
                        self.add(file, &root.item(index), allowed.clone(), item);
                    }
                }
                document => self.add(file, &root, allowed, document),
            }
        }
    }

    /// Adds a document. A realm's has the days of its calendars' files put into it first.
    fn add(&mut self, file: &Path, path: &JsonPath, allowed: Vec<String>, mut document: Value) {
        let name = file.display().to_string();
        if is_realm(&document) {
            let unread = calendar_files::put_in_place(&mut document, file);
            if !unread.is_empty() {
                let mistakes = unread.into_iter().map(|problem| Mistake::new(&*name, problem.below(path)));
                return self.given.mistakes.extend(mistakes);
            }
        }
        let path = path.as_str().to_owned();
        self.given.documents.push(Document { file: name, path, allowed, document });
    }
}

/// Reads the documents of a JSON or YAML file; `-` is standard input.
pub(crate) fn parse_file(file: &Path) -> Result<Vec<Part>, Unreadable> {
    parse_text(file, &read_text(file)?)
}

/// Reads the documents of the text of a file, by the file's name.
fn parse_text(file: &Path, text: &str) -> Result<Vec<Part>, Unreadable> {
    let ends = |ending: &str| file.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    let json = || Ok(vec![Part { value: parse_json(text)?, allowed: Vec::new() }]);
    if ends("json") {
        return json();
    }
    if text.trim_start().starts_with(['{', '[']) {
        // It may be YAML all the same, which knows braces and brackets too.
        return json().or_else(|error| match ends("yaml") || ends("yml") {
            true => yaml::parse(text),
            false => Err(error),
        });
    }
    yaml::parse(text)
}

/// Reads a whole file as text, within [`MAX_FILE_BYTES`]; `-` is standard input.
pub(crate) fn read_text(file: &Path) -> Result<String, Unreadable> {
    Ok(text_of(&read_bytes(file)?)?.to_owned())
}

/// Reads a whole file, whatever is in it, within [`MAX_FILE_BYTES`]; `-` is standard input.
pub(crate) fn read_bytes(file: &Path) -> Result<Vec<u8>, Unreadable> {
    let read = |reader: &mut dyn Read| -> Result<Vec<u8>, Unreadable> {
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
        let message = format!("larger than {} MiB, the most that is read", MAX_FILE_BYTES / 1024 / 1024);
        return Err(Unreadable(message));
    }
    Ok(bytes)
}
