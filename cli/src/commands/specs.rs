//! `apply`, `check`, `jobs` and `schema`.

use std::sync::Arc;

use pumice_core::Timestamp;
use pumice_core::clock::{Plan, describe, utc};
use pumice_core::engine;
use pumice_core::glob::fnmatch;
use pumice_core::ids::{JobId, RealmName};
use pumice_core::job_type::job_schema;
use pumice_core::ports::{Applied, Catalog, Clock, Doc, JobChange, JobStore};
use pumice_core::schema::schema_of;
use pumice_core::spec::{JobSpec, RealmFields, RealmSpec};
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::{nodes, registry};
use crate::args::{Apply, Check, Format, Global, Jobs, SchemaOf};
use crate::failure::Failure;
use crate::files::{self, Specs, Surroundings};
use crate::output::{Column, columns, note, print, warn};
use crate::realm::Realm;

/// Adds and updates job specs, all or none, and says what changed.
pub(super) async fn apply(global: &Global, options: &Apply) -> Result<(), Failure> {
    let there = is_there(global);
    let around = if there { surroundings(global).await? } else { Surroundings::default() };
    let mut specs = files::load(&options.paths, &*registry()?, &around)?;
    let without_hosts = nodes::without_hosts(global, &specs, around.realm.as_ref()).await?;
    specs.advice.extend(without_hosts);
    advise(global, &specs, options.strict)?;
    let named = specs.realm.as_ref().map(|realm| realm.fields.realm.clone());
    // What the command or its environment names is not overruled by a file: they must be the same.
    let told = global.is_aws() && std::env::var_os("LAVA_REALM").is_some();
    let named = named.filter(|_| !told);
    let own = Global { realm: global.realm.clone().or(named.clone()), home: global.home.clone(), ..*global };
    if let (Some(asked), Some(named)) = (&global.realm, &named)
        && asked != named
    {
        return Err(other_realm(named, asked));
    }
    if options.dry_run && !there {
        return all_new(global, specs.realm.as_ref(), &specs.jobs);
    }
    let realm = match options.dry_run {
        true => Realm::open_to_read(&own).await?,
        false => Realm::open(&own, true).await?,
    };
    let of_realm = put_realm(&realm, specs.realm.as_ref(), options.dry_run).await?;
    let after: Vec<Doc> = specs.jobs.iter().map(|job| Doc::clone(&job.document)).collect();
    let applied = realm.catalog().put_jobs(specs.jobs, options.dry_run).await?;
    let mut value = changes_json(&applied);
    if let Some((change, _)) = &of_realm {
        value["realm"] = json!({ "realm": realm.name(), "change": word(*change) });
    }
    print(global.output, &value, || {
        let mut lines = Vec::new();
        if let Some((change, lost_and_new)) = of_realm {
            lines.push(format!("{:<9} realm {}", word(change), realm.name()));
            // Its document is replaced as a whole: what is no more must be seen.
            lines.extend(lost_and_new);
        }
        for (applied, after) in applied.iter().zip(&after) {
            if applied.change != JobChange::Unchanged {
                lines.push(format!("{:<9} {}", word(applied.change), escaped(applied.job_id.as_str())));
                if options.dry_run
                    && let Some(before) = &applied.before
                {
                    lines.extend(difference(before, after));
                }
            }
        }
        lines.push(summary(&applied, options.dry_run));
        lines
    })
}

/// Whether there is a realm already, in a folder or on AWS.
fn is_there(global: &Global) -> bool {
    global.is_aws() || global.home.join("pumice.db").exists()
}

/// The jobs of a realm that is there, and its settings as its own document has them: they bound what jobs may
/// ask for. The defaults where a file must name the realm first.
async fn surroundings(global: &Global) -> Result<Surroundings, Failure> {
    let named = global.realm.is_some() || std::env::var_os("LAVA_REALM").is_some();
    if global.is_aws() && !named {
        return Ok(Surroundings { is_aws: true, ..Surroundings::default() });
    }
    let realm = Realm::open_to_read(global).await?;
    let stored = realm.catalog().realm_document().await?;
    // One that does not hold is told of where it is used, and may be mended by what is applied.
    let stored = stored.and_then(|stored| RealmSpec::stored(stored, &[]).ok());
    // A policy may allow to put jobs and not to list them.
    let jobs = realm.catalog().all_jobs().await.unwrap_or_else(|error| {
        note(global, &[format!("looked at without the jobs of the realm that is there: {error}")]);
        Vec::new()
    });
    let jobs = jobs.into_iter().filter_map(|(_, doc)| JobSpec::from_checked(Arc::new(doc)).ok()).collect();
    Ok(Surroundings { realm: stored, jobs, is_aws: global.is_aws() })
}

/// Tells the warnings about specs; with `strict` there must be none.
fn advise(global: &Global, specs: &Specs, strict: bool) -> Result<(), Failure> {
    let lines = files::advice_lines(&specs.advice);
    if strict && !lines.is_empty() {
        let count = counted(specs.advice.len(), "warning");
        let told = lines.join("\n  ");
        return Err(Failure::Wrong(format!("{count}, and --strict allows none\n  {told}")));
    }
    warn(global, &lines);
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Puts the realm's document unless it is a dry run, and makes one where there is none yet. Gives what changes
/// in one that was given, and the fields that do.
async fn put_realm(
    realm: &Realm,
    spec: Option<&RealmSpec>,
    dry_run: bool,
) -> Result<Option<(JobChange, Vec<String>)>, Failure> {
    let catalog: &dyn Catalog = realm.catalog();
    let before = catalog.realm_document().await?;
    let Some(spec) = spec else {
        if before.is_none() && !dry_run {
            let document = json!({ "realm": realm.name() });
            catalog.put_realm(document.as_object().cloned().unwrap_or_default()).await?;
        }
        return Ok(None);
    };
    if spec.fields.realm != *realm.name() {
        return Err(other_realm(&spec.fields.realm, realm.name()));
    }
    let after = Doc::clone(&spec.document);
    let change = JobChange::between(before.as_ref(), &after);
    let fields = before.map(|before| difference(&before, &after)).unwrap_or_default();
    if !dry_run && change != JobChange::Unchanged {
        catalog.put_realm(after).await?;
    }
    Ok(Some((change, fields)))
}

/// Specs that say of themselves that they are another realm's.
fn other_realm(given: &RealmName, asked: &RealmName) -> Failure {
    Failure::Wrong(format!("the specs are of realm {given}, not {asked}"))
}

/// What a dry run says of a folder that holds nothing yet.
fn all_new(global: &Global, realm: Option<&RealmSpec>, jobs: &[JobSpec]) -> Result<(), Failure> {
    let applied: Vec<Applied> = jobs
        .iter()
        .map(|job| Applied { job_id: job.fields.job_id.clone(), change: JobChange::Added, before: None })
        .collect();
    let mut value = changes_json(&applied);
    if let Some(realm) = realm {
        value["realm"] = json!({ "realm": realm.fields.realm, "change": word(JobChange::Added) });
    }
    print(global.output, &value, || {
        let realm = realm.map(|realm| format!("{:<9} realm {}", word(JobChange::Added), realm.fields.realm));
        let jobs = applied.iter().map(|job| format!("{:<9} {}", word(job.change), job.job_id));
        let mut lines: Vec<String> = realm.into_iter().chain(jobs).collect();
        lines.push(summary(&applied, true));
        lines
    })
}

const fn word(change: JobChange) -> &'static str {
    match change {
        JobChange::Added => "added",
        JobChange::Updated => "updated",
        JobChange::Unchanged => "unchanged",
    }
}

fn changes_json(applied: &[Applied]) -> Value {
    json!({ "jobs": applied.iter().map(|job| json!({ "job_id": job.job_id, "change": word(job.change) })).collect::<Vec<_>>() })
}

fn summary(applied: &[Applied], dry_run: bool) -> String {
    let count = |change| applied.iter().filter(|job| job.change == change).count();
    let (added, updated) = (count(JobChange::Added), count(JobChange::Updated));
    let note = if dry_run { " (dry run: nothing was changed)" } else { "" };
    format!("{added} added, {updated} updated, {} unchanged{note}", count(JobChange::Unchanged))
}

/// The fields of a job's spec that are not what they were, each as it was and as it is.
fn difference(before: &Doc, after: &Doc) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut lines = Vec::new();
    for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
        let line = |sign: char, value: &Value| escaped(&format!("    {sign} {name}: {value}")).into_owned();
        lines.extend(before.get(name).map(|value| line('-', value)));
        lines.extend(after.get(name).map(|value| line('+', value)));
    }
    lines
}

/// Checks job specs together with the realm that exists, and reports every problem.
pub(super) async fn check(global: &Global, options: &Check) -> Result<(), Failure> {
    let around = match is_there(global) {
        false => Surroundings::default(),
        true => surroundings(global).await.or_else(|failure| match global.is_aws() {
            true => Err(failure),
            false => {
                let why = failure.message().unwrap_or_default();
                note(global, &[format!("checked without the realm in {}: {why}", global.home.display())]);
                Ok(Surroundings::default())
            }
        })?,
    };
    let specs = files::load(&options.paths, &*registry()?, &around)?;
    advise(global, &specs, options.strict)?;
    let ids: Vec<&JobId> = specs.jobs.iter().map(|job| &job.fields.job_id).collect();
    let entries = entries(&specs, &around);
    let realm = specs.realm.as_ref().or(around.realm.as_ref());
    let render_at = realm.map(|realm| realm.settings.render_at).unwrap_or_default();
    let rendering: Vec<(&JobId, String)> = specs
        .jobs
        .iter()
        .map(|job| (&job.fields.job_id, super::render::about(&engine::rendering(job, render_at))))
        .collect();
    let value = json!({
        "jobs": ids,
        "files": specs.files,
        "rendering": rendering.iter().map(|(id, when)| json!({ "job_id": id, "when": when })).collect::<Vec<_>>(),
        "schedules": entries.iter().map(Entry::json).collect::<Vec<_>>(),
        "warnings": files::advice_json(&specs.advice),
    });
    print(global.output, &value, || {
        let shown = if global.output == Format::Wide { usize::MAX } else { MAX_ENTRIES };
        let mut lines: Vec<String> = entries.iter().take(shown).map(Entry::line).collect();
        if global.output == Format::Wide {
            lines.extend(rendering.iter().map(|(id, when)| format!("{}: {when}", escaped(id.as_str()))));
        }
        if entries.len() > shown {
            lines.push(format!("… and {} more: -o wide shows all", entries.len() - shown));
        }
        let (jobs, files) = (counted(ids.len(), "job"), counted(specs.files, "file"));
        let found = match specs.advice.len() {
            0 => "all right".to_owned(),
            count => counted(count, "warning"),
        };
        lines.push(format!("{jobs} in {files}, {found}"));
        lines
    })
}

/// Most entries of schedules that `check` says in words, unless it is asked for all.
const MAX_ENTRIES: usize = 50;

/// An entry of a schedule as it was understood.
struct Entry {
    job_id: JobId,
    entry: usize,
    /// Whether its job has others.
    is_one_of_many: bool,
    what: String,
    next: Option<Timestamp>,
    enabled: bool,
}

/// The entries of the jobs that were given, in the realm that was given or is there. One that cannot be used has a warning.
fn entries(specs: &Specs, around: &Surroundings) -> Vec<Entry> {
    let none = RealmSpec::parse(&json!({ "realm": "none" }));
    let Some(realm) = specs.realm.as_ref().or(around.realm.as_ref()).or(none.as_ref().ok()) else {
        return Vec::new();
    };
    let now = SystemClock.now();
    let mut entries = Vec::new();
    for job in &specs.jobs {
        let plan = Plan::of(job, realm, &realm.settings);
        for (entry, planned) in plan.entries.iter().enumerate() {
            let Ok(planned) = planned else { continue };
            entries.push(Entry {
                job_id: job.fields.job_id.clone(),
                entry,
                is_one_of_many: plan.entries.len() > 1,
                what: describe(planned),
                next: planned.entry(now).next(now).map(|slot| slot.at),
                enabled: plan.enabled,
            });
        }
    }
    entries
}

impl Entry {
    fn line(&self) -> String {
        let number = if self.is_one_of_many { format!(" {}", self.entry) } else { String::new() };
        let next =
            self.next.map(|next| format!("; next {}", next.format("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
        let enabled = if self.enabled { "" } else { "; the job is not enabled" };
        escaped(&format!("{}{number}: {}{next}{enabled}", self.job_id, self.what)).into_owned()
    }

    fn json(&self) -> Value {
        let next = self.next.map(utc);
        json!({ "job_id": self.job_id, "entry": self.entry, "what": self.what, "next": next, "enabled": self.enabled })
    }
}

/// Lists, shows and deletes jobs.
pub(super) async fn jobs(global: &Global, command: Jobs) -> Result<(), Failure> {
    let realm = match command {
        Jobs::Delete { .. } => Realm::open(global, false).await?,
        Jobs::List { .. } | Jobs::Show { .. } => Realm::open_to_read(global).await?,
    };
    let catalog = realm.catalog();
    match command {
        Jobs::List { pattern } => {
            let mut jobs = catalog.all_jobs().await?;
            let all = jobs.len();
            jobs.retain(|(id, _)| pattern.as_deref().is_none_or(|pattern| fnmatch(pattern, id.as_str())));
            let text = |doc: &Doc, name: &str| match doc.get(name) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => escaped(text).into_owned(),
                Some(other) => escaped(&other.to_string()).into_owned(),
            };
            let rows: Vec<Vec<String>> = jobs
                .iter()
                .map(|(id, doc)| {
                    let enabled =
                        if doc.contains_key("enabled") { text(doc, "enabled") } else { "false".to_owned() };
                    vec![
                        escaped(id.as_str()).into_owned(),
                        text(doc, "type"),
                        text(doc, "worker"),
                        enabled,
                        text(doc, "description"),
                    ]
                })
                .collect();
            let value = Value::from(jobs.into_iter().map(|(_, doc)| Value::Object(doc)).collect::<Vec<_>>());
            let heading = [
                Column::Path("JOB", 24),
                Column::Text("TYPE", 8),
                Column::Path("WORKER", 12),
                Column::Text("ENABLED", 8),
                Column::Text("DESCRIPTION", 12),
            ];
            print(global.output, &value, || columns(global.output, &heading, &rows))?;
            if global.output.is_table() {
                note(global, &[format!("{} of {all} jobs", rows.len())]);
            }
            Ok(())
        }
        Jobs::Show { job } => {
            let doc = catalog.all_jobs().await?.into_iter().find(|(id, _)| *id == job);
            let Some((_, doc)) = doc else { return Err(no_such_job(realm.jobs(), &job).await?) };
            let value = Value::Object(doc);
            match global.output {
                Format::Yaml => print(Format::Yaml, &value, Vec::new),
                _ => print(Format::Json, &value, Vec::new),
            }
        }
        Jobs::Delete { jobs } => delete(global, catalog, &jobs).await,
    }
}

/// Deletes jobs by id or pattern, and warns of jobs that still name a deleted one.
async fn delete(global: &Global, catalog: &dyn Catalog, asked: &[String]) -> Result<(), Failure> {
    let all = catalog.all_jobs().await?;
    let (mut ids, mut missing) = (Vec::new(), Vec::new());
    for text in asked {
        let exact: Vec<&JobId> = all.iter().map(|(id, _)| id).filter(|id| id.as_str() == text).collect();
        let found = match exact.is_empty() {
            false => exact,
            true => all.iter().map(|(id, _)| id).filter(|id| fnmatch(text, id.as_str())).collect(),
        };
        if found.is_empty() {
            missing.push(text.clone());
        }
        ids.extend(found.into_iter().filter(|id| !ids.contains(*id)).cloned().collect::<Vec<_>>());
    }
    let deleted = catalog.delete_jobs(ids.clone()).await?;
    let gone = ids.iter().zip(&deleted).map(|(job, deleted)| json!({ "job_id": job, "deleted": deleted }));
    let absent = missing.iter().map(|text| json!({ "job_id": text, "deleted": false }));
    let value = json!({ "jobs": gone.chain(absent).collect::<Vec<_>>() });
    print(global.output, &value, || {
        let told = |(job, deleted): (&JobId, &bool)| {
            format!("{} {}", if *deleted { "deleted" } else { "not there:" }, escaped(job.as_str()))
        };
        let absent = missing.iter().map(|text| format!("not there: {}", escaped(text)));
        ids.iter().zip(&deleted).map(told).chain(absent).collect()
    })?;
    let registry = registry()?;
    let left = all.into_iter().filter(|(id, _)| !ids.contains(id));
    let mut users = Vec::new();
    for job in left.filter_map(|(_, doc)| JobSpec::from_checked(Arc::new(doc)).ok()) {
        let mut named: Vec<_> = registry.named_by(&job).into_iter().map(|one| one.job_id).collect();
        named.retain(|id| ids.contains(id));
        named.dedup();
        let (user, named) = (job.fields.job_id, named.iter().map(JobId::as_str).collect::<Vec<_>>());
        if !named.is_empty() {
            users.push(format!("job {} still names {}", escaped(user.as_str()), escaped(&named.join(", "))));
        }
    }
    warn(global, &users);
    match missing.is_empty() && deleted.iter().all(|deleted| *deleted) {
        true => Ok(()),
        false => Err(Failure::Wrong("not every job was there".to_owned())),
    }
}

/// The failure that names a job which does not exist, and the one that may have been meant.
pub(super) async fn no_such_job(store: &dyn JobStore, job: &JobId) -> Result<Failure, Failure> {
    Ok(Failure::Wrong(engine::no_such_job(store, job).await?.to_string()))
}

/// Prints a JSON Schema.
pub(super) fn schema(global: &Global, of: SchemaOf) -> Result<(), Failure> {
    let value = match of {
        SchemaOf::Job => job_schema(&*registry()?),
        SchemaOf::Realm => schema_of::<RealmFields>(),
    };
    match global.output {
        Format::Yaml => print(Format::Yaml, &value, Vec::new),
        _ => print(Format::Json, &value, Vec::new),
    }
}
