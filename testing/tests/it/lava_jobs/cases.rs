//! Cases: jobs, and what is asked for. They stand in `testing/lava`, a file for each subject.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The behaviour that it shows.
    pub(crate) name: String,
    /// The jobs by id. Fields that every job has are added: its id, a worker, that it is enabled.
    jobs: BTreeMap<String, Map<String, Value>>,
    /// The job that is dispatched; the first if not given.
    run: Option<String>,
    /// The parameters of the request.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// The globals of the request.
    #[serde(default)]
    globals: Map<String, Value>,
    /// Items that are there before, by id.
    #[serde(default)]
    pub(crate) state: BTreeMap<String, Value>,
    /// Settings of the realm.
    #[serde(default)]
    pub(crate) config: Map<String, Value>,
    /// Fields of the realm.
    #[serde(default)]
    pub(crate) realm: Map<String, Value>,
    /// Files, by name; `FILES` in a job is replaced by their folder.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The differences that it shows, by the ids in `meant.rs`.
    #[serde(default)]
    pub(crate) meant: Vec<String>,
    #[serde(skip)]
    folder: Option<tempfile::TempDir>,
}

impl Case {
    /// The jobs as documents.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let job = |(id, given): (&String, &Map<String, Value>)| {
            let mut job = json!({ "job_id": id, "worker": "core", "enabled": true });
            job.as_object_mut().expect("an object").extend(given.clone());
            self.with_files(&job)
        };
        self.jobs.iter().map(job).collect()
    }

    /// The dispatch request.
    pub(crate) fn request(&self) -> Value {
        let first = self.jobs.keys().next().expect("a case has jobs");
        let request = json!({
            "job_id": self.run.as_ref().unwrap_or(first),
            "parameters": self.parameters,
            "globals": self.globals,
        });
        self.with_files(&request)
    }

    fn with_files(&self, document: &Value) -> Value {
        let Some(folder) = &self.folder else { return document.clone() };
        let place = folder.path().display().to_string();
        serde_json::from_str(&document.to_string().replace("FILES", &place)).expect("it is JSON still")
    }
}

/// The cases of a file, with their files written.
pub(crate) fn of(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(format!("lava/{file}.yaml")).expect("a file of cases");
    let mut cases: Vec<Case> =
        serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    for case in cases.iter_mut().filter(|case| !case.files.is_empty()) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in &case.files {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        case.folder = Some(folder);
    }
    cases
}
