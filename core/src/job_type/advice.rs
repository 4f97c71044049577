//! Warnings: valid but probably unintended.

use serde_json::Value;

use super::variables::unknown_to_any_job;
use super::{Registry, unknown_variables};
use crate::duration::Span;
use crate::problem::{JsonPath, Problem, did_you_mean, nearest, show};
use crate::schema;
use crate::spec::{ActionsWhen, Enabled, JobSpec, RealmFields, RealmSpec, Settings};

/// The names of all warnings, under which they are silenced.
pub const WARNINGS: [&str; 40] = [
    "both-days",
    "bucket-in-folder",
    "bucket-name",
    "busy-second",
    "circle",
    "default-zone",
    "empty-file",
    "environment-name",
    "globals-not-rendered",
    "limit-order",
    "look-alike",
    "never-due",
    "never-started",
    "no-hosts",
    "no-lava-workers",
    "no-queue",
    "not-enabled",
    "only-logged",
    "other-worker",
    "pattern-not-rendered",
    "relative-program",
    "same-start",
    "secret-in-spec",
    "shell-comment",
    "shell-sign",
    "short-silence",
    "timeout-above-command",
    "too-many-items",
    "too-many-workers",
    "trigger-prefix",
    "uneven-step",
    "unknown-bucket",
    "unknown-connection",
    "unknown-field",
    "unknown-job",
    "unknown-setting",
    "unknown-variable",
    "unknown-warning",
    "unusable-entry",
    "zero-timeout",
];

/// Fields of a realm that lava's other parts use (lava guide, The Realms Table).
const FIELDS_OF_LAVA: [&str; 3] = ["docker", "description", "owner"];

impl Registry {
    /// Warnings about a valid job. A job for a lava worker has none.
    #[must_use]
    pub fn advise_job(&self, job: &JobSpec, settings: &Settings) -> Vec<Problem> {
        if settings.worker_kind(&job.fields.worker).is_lavas() {
            return Vec::new();
        }
        let root = JsonPath::root();
        let mut advice = Vec::new();
        if !job.document.contains_key("enabled") {
            let message = "not given, so that no run of the job is started";
            let warning = Problem::warning("not-enabled", root.field("enabled"), message);
            advice.push(warning.with_hint("say `enabled: true`"));
        }
        advice.extend(zero_timeout(job.fields.timeout, root.field("timeout")));
        advice.extend(advise_unrendered(job));
        advice.extend(self.advise_templates(job));
        if let Some(job_type) = self.job_type(&job.fields.r#type) {
            advice.extend(job_type.advise(job, settings, self.renderer()));
        }
        advice
    }

    /// Warnings about the actions of a realm: variables that the runs of no job have.
    #[must_use]
    pub fn advise_realm(&self, realm: &RealmSpec) -> Vec<Problem> {
        let (root, actions) = (JsonPath::root(), realm.actions());
        let mut advice = Vec::new();
        for when in ActionsWhen::ALL {
            for (index, action) in actions.get(when).unwrap_or_default().iter().enumerate() {
                let path = root.field(when.field()).item(index);
                let more: &[&str] = if when == ActionsWhen::OnLate { &["late"] } else { &["result"] };
                advice.extend(unknown_to_any_job(self.renderer(), &action.fields(), &path, more));
            }
        }
        advice
    }

    /// Unknown variables in what every type of job renders.
    fn advise_templates(&self, job: &JobSpec) -> Vec<Problem> {
        let root = JsonPath::root();
        let unknown = |value: &Value, path: &JsonPath, more: &[&str]| {
            unknown_variables(job, self.renderer(), value, path, more)
        };
        let mut advice = Vec::new();
        if let Enabled::Template(source) = &job.fields.enabled {
            advice.extend(unknown(&Value::String(source.clone()), &root.field("enabled"), &[]));
        }
        if let Some(key) = job.fields.concurrency.as_ref().and_then(|concurrency| concurrency.key.as_ref()) {
            let path = root.field("concurrency").field("key");
            advice.extend(unknown(&Value::String(key.to_string()), &path, &[]));
        }
        if let Some(event_log) = &job.fields.event_log {
            advice.extend(unknown(event_log, &root.field("event_log"), &[]));
        }
        let actions = job.actions();
        for when in ActionsWhen::ALL {
            for (index, action) in actions.get(when).unwrap_or_default().iter().enumerate() {
                let path = root.field(when.field()).item(index);
                let more: &[&str] = if when == ActionsWhen::OnLate { &["late"] } else { &["result"] };
                advice.extend(unknown(&action.fields(), &path, more));
            }
        }
        advice
    }
}

/// A warning about a time limit of nothing.
#[must_use]
pub fn zero_timeout(timeout: Option<Span>, path: JsonPath) -> Option<Problem> {
    timeout.filter(|timeout| timeout.is_zero()).map(|_| {
        let warning = Problem::warning("zero-timeout", path, "a timeout of 0 stops the job at once");
        warning.with_hint("leave it out for the usual limit")
    })
}

/// Warnings about templates in globals and `vars`, which are never rendered.
fn advise_unrendered(job: &JobSpec) -> Vec<Problem> {
    let root = JsonPath::root();
    let mut places = Vec::new();
    let document = |name: &str| job.document.get(name);
    places.extend(document("globals").map(|globals| ("globals", globals, root.field("globals"))));
    let vars = document("parameters").and_then(|parameters| parameters.get("vars"));
    places.extend(vars.map(|vars| ("vars", vars, root.field("parameters").field("vars"))));
    // One entry, or a list of them.
    let path = root.field("schedule");
    match document("schedule") {
        Some(Value::Array(entries)) => {
            places.extend(entries.iter().enumerate().filter_map(|(index, entry)| {
                Some(("globals", entry.get("globals")?, path.item(index).field("globals")))
            }))
        }
        Some(entry) => {
            places.extend(entry.get("globals").map(|globals| ("globals", globals, path.field("globals"))));
        }
        None => {}
    }
    let mut advice = Vec::new();
    for (what, value, path) in places {
        for path in templates_in(value, &path) {
            let message = format!("{what} are never rendered: templates see this text as it stands");
            advice.push(Problem::warning("globals-not-rendered", path, message));
        }
    }
    advice
}

/// Warnings about templates in patterns, which are compared as they stand.
pub(crate) fn unrendered_pattern(value: &Value, path: &JsonPath) -> Vec<Problem> {
    let message = "patterns are never rendered: names are compared with this text as it stands";
    let warning = |path| Problem::warning("pattern-not-rendered", path, message);
    templates_in(value, path).into_iter().map(warning).collect()
}

/// Where a structure has names or texts that look like templates.
fn templates_in(value: &Value, path: &JsonPath) -> Vec<JsonPath> {
    let is_template = |text: &str| text.contains("{{") || text.contains("{%");
    match value {
        Value::String(text) => is_template(text).then(|| path.clone()).into_iter().collect(),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, item)| templates_in(item, &path.item(index))).collect()
        }
        Value::Object(fields) => {
            let own = |(name, item): (&String, &Value)| {
                let path = path.field(name);
                if is_template(name) { vec![path] } else { templates_in(item, &path) }
            };
            fields.iter().flat_map(own).collect()
        }
        _ => Vec::new(),
    }
}

impl RealmSpec {
    /// Warnings about a realm that holds: names that nothing reads, and buckets that S3 cannot have.
    #[must_use]
    pub fn advice(&self) -> Vec<Problem> {
        thread_local! {
            static SCHEMA: serde_json::Value = schema::schema_of::<RealmFields>();
        }
        let root = JsonPath::root();
        let mut advice = Vec::new();
        let fields: Vec<String> = SCHEMA.with(|schema| {
            let names = schema["properties"].as_object().into_iter().flat_map(|names| names.keys());
            names.cloned().collect()
        });
        let known = || fields.iter().map(String::as_str).chain(FIELDS_OF_LAVA);
        for name in self.document.keys().filter(|name| known().all(|known| known != name.as_str())) {
            // lava's users keep fields of their own in a realm: only a name that looks like a slip gets a warning.
            if let Some(meant) = nearest(name, known()) {
                let told =
                    Problem::warning("unknown-field", root.field(name), "no field of this name is read");
                advice.push(told.with_hint(format!("did you mean {meant:?}?")));
            }
        }
        let config = root.field("config");
        for name in self.fields.config.iter().flat_map(|config| config.keys()) {
            if !Settings::is_known(name) {
                let mut told = Problem::warning(
                    "unknown-setting",
                    config.field(name),
                    "no setting of this name is read",
                );
                told.hint = did_you_mean(name, Settings::names());
                advice.push(told);
            }
        }
        let settings = &self.settings;
        for (name, timeout) in [
            ("CMD_TIMEOUT", settings.cmd_timeout),
            ("EXE_TIMEOUT", settings.exe_timeout),
            ("PKG_TIMEOUT", settings.pkg_timeout),
            ("PKG_UNPACK_TIMEOUT", settings.pkg_unpack_timeout),
            ("SQLC_TIMEOUT", settings.sql.client_timeout),
        ] {
            advice.extend(zero_timeout(Some(timeout), config.field(name)));
        }
        let places = [("s3_temp", &self.fields.s3_temp), ("s3_payloads", &self.fields.s3_payloads)];
        for (name, place) in places {
            let bucket = place.as_deref().and_then(bucket_of);
            if let Some(bucket) = bucket.filter(|bucket| !is_bucket_name(bucket)) {
                let what = show(&serde_json::Value::from(bucket));
                let warning = Problem::warning(
                    "bucket-name",
                    root.field(name),
                    format!("{what} is not the name of a bucket"),
                );
                advice.push(warning.with_hint("small letters, digits, dots and hyphens, 3 to 63 of them"));
            }
        }
        advice
    }
}

/// The bucket of `s3://bucket/prefix`.
fn bucket_of(place: &str) -> Option<&str> {
    place.strip_prefix("s3://").map(|rest| rest.split_once('/').map_or(rest, |(bucket, _)| bucket))
}

/// Whether S3 may have a bucket of this name (Amazon S3, General purpose bucket naming rules).
fn is_bucket_name(name: &str) -> bool {
    let ends_well = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.starts_with(ends_well)
        && name.ends_with(ends_well)
        && name.chars().all(|c| ends_well(c) || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of_realm(document: &Value) -> Vec<String> {
        RealmSpec::parse(document).unwrap().advice().iter().map(ToString::to_string).collect()
    }

    fn of_job(fields: &Value) -> Vec<String> {
        let mut document = json!({ "job_id": "a", "type": "any", "worker": "core", "payload": null });
        document.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        let job = JobSpec::parse(&document).unwrap();
        Registry::default().advise_job(&job, &Settings::default()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_realm_of_lavas_is_left_alone() {
        let config = json!({ "CMD_TIMEOUT": "5m", "EXE_TIMEOUT": "5m", "SQL_DELIMITER": "|", "FOREIGN_WORKERS": "gp-*" });
        let docker = json!({ "image": "x" });
        let realm = json!({ "realm": "r", "s3_temp": "s3://my-bucket/tmp", "x-team": 1, "team": "data", "docker": docker, "config": config });
        assert_eq!(of_realm(&realm), [] as [&str; 0]);
        assert_eq!(of_realm(&json!({ "realm": "r", "s3_temp": "/var/tmp/REALM" })), [] as [&str; 0]);
    }

    #[test]
    fn slips_in_a_realm_are_warned_of() {
        let realm = json!({ "realm": "r", "s3_tmp": "s3://b/t", "s3_temp": "s3://BUCKET/tmp", "config": { "FOREIGN_WORKER": "a", "COLOUR": 1, "CMD_TIMEOUT": 0 } });
        let told = of_realm(&realm).join("\n");
        for part in [
            "s3_tmp: no field of this name is read (did you mean \"s3_temp\"?)",
            "config.FOREIGN_WORKER: no setting of this name is read (did you mean \"FOREIGN_WORKERS\"?)",
            "config.COLOUR: no setting of this name is read",
            "config.CMD_TIMEOUT: a timeout of 0",
            "s3_temp: \"BUCKET\" is not the name of a bucket",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn job_that_cannot_run_is_warned_of() {
        assert!(of_job(&json!({})).join("\n").contains("enabled: not given"));
        assert_eq!(of_job(&json!({ "enabled": false, "schedule": "--" })), [] as [&str; 0]);
        assert_eq!(of_job(&json!({ "enabled": true, "schedule": "0 3 * * *" })), [] as [&str; 0]);
    }

    #[test]
    fn fields_that_every_job_has_are_warned_of() {
        for (fields, wanted) in [
            (json!({ "timeout": 0 }), "timeout: a timeout of 0"),
            (json!({ "timeout": "0s" }), "timeout: a timeout of 0"),
            (
                json!({ "globals": { "a": { "day": ["{{ start }}"] } } }),
                "globals.a.day[0]: globals are never rendered",
            ),
            (json!({ "enabled": "{{ globls.x }}" }), "enabled: unknown variable \"globls\""),
            (json!({ "event_log": { "x": "{{ nowhere }}" } }), "event_log.x: unknown variable"),
        ] {
            let mut fields = fields;
            fields.as_object_mut().unwrap().entry("enabled").or_insert(true.into());
            let told = of_job(&fields);
            assert!(told.len() == 1 && told[0].starts_with(wanted), "{fields}: {told:?}");
        }
        assert_eq!(
            of_job(&json!({ "enabled": "{{ globals.x }}", "timeout": "1s", "globals": { "x": "{" } })),
            [] as [&str; 0]
        );
    }
}
