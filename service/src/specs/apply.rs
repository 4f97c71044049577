//! `apply`: adds and updates job specs and the realm's definition.

use std::collections::BTreeSet;
use std::sync::Arc;

use pumice_core::connection::ConnectionSpec;
use pumice_core::engine::Dispatcher;
use pumice_core::ids::{ConnId, JobId, PoolName, RealmName, TriggerId};
use pumice_core::permits::Gate;
use pumice_core::ports::{Doc, JobChange};
use pumice_core::spec::{APPLIED, JobSpec, RealmSpec, mark_applied};
use pumice_core::trigger::TriggerSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::moved::moved;
use super::plan::{TouchedJob, look};
use super::prune::carry_out;
use super::{
    DocumentName, DocumentUser, Documents, IdScope, MovedEntries, Specs, Surroundings, Warning, places, read,
    refuse_warnings, without_workers,
};
use crate::audit::Act;
use crate::connections;
use crate::failure::Error;
use crate::if_match::IfMatch;
use crate::realm::{Realm, read_realm};

/// Specs to put, all or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The documents.
    pub specs: Documents,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse specs that there are warnings about.
    #[serde(default)]
    pub strict: bool,
    /// Remove what this part of the realm has and the documents have not.
    #[serde(default)]
    pub prune: Option<IdScope>,
    /// Remove jobs that have runs which have not ended, too.
    #[serde(default)]
    pub despite_runs: bool,
    /// The digest of the plan that is meant: refused when the documents or the realm have changed since.
    #[serde(default)]
    pub expect: Option<String>,
    /// The state of the one document that is given which it is meant to replace: refused when it is another by now.
    #[serde(default)]
    pub if_match: Option<IfMatch>,
}

/// How specs that were read are put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// As [`Apply::dry_run`].
    pub dry_run: bool,
    /// As [`Apply::prune`].
    pub prune: Option<IdScope>,
    /// As [`Apply::despite_runs`].
    pub despite_runs: bool,
    /// As [`Apply::expect`].
    pub expect: Option<String>,
    /// As [`Apply::if_match`].
    pub if_match: Option<IfMatch>,
}

/// The changes that were made, or would be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The jobs that were given.
    pub jobs: Vec<AppliedJob>,
    /// The triggers that were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<AppliedTrigger>,
    /// The connections that were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<AppliedConnection>,
    /// The documents that were removed, as they were not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<DocumentName>,
    /// Removed jobs whose schedules start nothing more, or whose runs have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touched: Vec<TouchedJob>,
    /// Documents that still name one that was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<DocumentUser>,
    /// The realm's definition, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<AppliedRealm>,
    /// Entries of the realm's other jobs that start at other times than before, as its definition is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedEntries>,
    /// Whether nothing was changed, as this was only asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Warnings: parts of the specs that are valid but probably unintended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A job that was put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedJob {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The change.
    pub change: ChangeWord,
    /// The fields that would change; only in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A trigger that was put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedTrigger {
    /// The trigger.
    #[serde(deserialize_with = "TriggerId::deserialize_stored")]
    pub trigger_id: TriggerId,
    /// The change.
    pub change: ChangeWord,
    /// The fields that would change; only in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A connection that was put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedConnection {
    /// The connection.
    #[serde(deserialize_with = "ConnId::deserialize_stored")]
    pub conn_id: ConnId,
    /// The change.
    pub change: ChangeWord,
    /// The fields that would change; only in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A realm's definition that was put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedRealm {
    /// The realm.
    pub realm: RealmName,
    /// The change.
    pub change: ChangeWord,
    /// The fields that changed: the definition is replaced as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// The change by putting a document, made or planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeWord {
    /// It was not there.
    Added,
    /// It was there and is different now.
    Updated,
    /// It was there, the same.
    Unchanged,
    /// It was there, and is not among what was given.
    Removed,
}

impl ChangeWord {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
        }
    }
}

impl From<JobChange> for ChangeWord {
    fn from(change: JobChange) -> Self {
        match change {
            JobChange::Added => Self::Added,
            JobChange::Updated => Self::Updated,
            JobChange::Unchanged => Self::Unchanged,
        }
    }
}

/// A field of a document that is not what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// As it was; missing when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// As it is now; missing when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
}

/// A field that is there, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The documents of specs, marked with what they are: a change that is not made by applying them shows.
pub(super) fn marked(mut specs: Specs) -> Specs {
    for job in &mut specs.jobs {
        mark_applied(Arc::make_mut(&mut job.document));
    }
    for trigger in &mut specs.triggers {
        mark_applied(Arc::make_mut(&mut trigger.document));
    }
    for connection in &mut specs.connections {
        mark_applied(Arc::make_mut(&mut connection.document));
    }
    specs
}

/// The change by putting a document, made or planned, whatever its mark was.
pub(super) fn change_of(change: JobChange, before: Option<&Doc>, after: &Doc) -> ChangeWord {
    match before {
        Some(before) if change == JobChange::Updated && places(before, after).is_empty() => {
            ChangeWord::Unchanged
        }
        _ => change.into(),
    }
}

/// The fields of a document that are not what they were, by name.
pub(crate) fn differences(before: &Doc, after: &Doc) -> Vec<FieldChange> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).filter(|name| *name != APPLIED).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed
        .map(|name| FieldChange {
            field: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

/// Puts specs into a realm, all or none.
///
/// # Errors
/// [`Error`] with every mistake in the specs, or when the store cannot be reached.
pub async fn apply(realm: &dyn Realm, request: Apply) -> Result<Applied, Error> {
    let asked = json!({ "documents": request.specs.documents.len(), "strict": request.strict });
    let act = Act::new("apply", &asked).dry(request.dry_run);
    act.record(realm, applying(realm, request, &act)).await
}

async fn applying(realm: &dyn Realm, request: Apply, act: &Act) -> Result<Applied, Error> {
    let around = surroundings(realm).await?;
    let mut specs = read(request.specs, realm.registry(), realm.now(), &around)?;
    specs.warnings.extend(without_workers(realm, &specs, around.realm.as_ref()).await?);
    if request.strict {
        refuse_warnings(&specs.warnings)?;
    }
    let warnings = specs.warnings.clone();
    let Apply { dry_run, prune, despite_runs, expect, if_match, .. } = request;
    let terms = Terms { dry_run, prune, despite_runs, expect, if_match };
    Ok(Applied { warnings, ..putting_on(realm, specs, &terms, act).await? })
}

/// Puts specs that were read on terms. With a scope to prune or a plan that is meant, each document is written on the
/// condition that it is as it was looked at.
///
/// # Errors
/// As [`put`]; and when the plan is another, or jobs that are to be removed have runs which have not ended.
pub async fn put_on(realm: &dyn Realm, specs: Specs, terms: &Terms) -> Result<Applied, Error> {
    let asked =
        json!({ "documents": specs.count(), "prune": terms.prune, "despite_runs": terms.despite_runs });
    let act = Act::new("apply", &asked).dry(terms.dry_run);
    act.record(realm, putting_on(realm, specs, terms, &act)).await
}

async fn putting_on(realm: &dyn Realm, specs: Specs, terms: &Terms, act: &Act) -> Result<Applied, Error> {
    if terms.prune.is_none() && terms.expect.is_none() && terms.if_match.is_none() {
        return putting(realm, specs, terms.dry_run, act).await;
    }
    if terms.if_match.is_some() && (specs.count() != 1 || terms.prune.is_some()) {
        let message = "if_match: it is about one document: give that alone, and do not prune";
        return Err(Error::invalid(format!("{message}; nothing was done")));
    }
    let specs = marked(specs);
    let look = look(realm, &specs, terms.prune.as_ref()).await?;
    look.expect(terms.expect.as_deref())?;
    look.match_with(terms.if_match.as_ref())?;
    if terms.dry_run {
        let touched = look.planned.touched();
        let removed = look.removed.into_iter().map(|one| one.name).collect();
        let users = look.planned.users;
        return Ok(Applied { removed, touched, users, ..putting(realm, specs, true, act).await? });
    }
    if !terms.despite_runs {
        look.refuse_unended()?;
    }
    let gates = gates_of(&specs.jobs, specs.realm.as_ref());
    let applied = match &terms.if_match {
        None => carry_out(realm, specs, look, act).await?,
        Some(_) => match carry_out(realm, specs.clone(), look, act).await {
            // It changed between the look and the write.
            Err(error) if error.kind() == crate::ErrorKind::Conflict => {
                return Err(super::plan::look(realm, &specs, None).await?.changed());
            }
            done => done?,
        },
    };
    call_waiting(realm, &gates).await?;
    Ok(applied)
}

/// The jobs of a realm, and its settings as its own document has them: they bound what jobs may ask for.
///
/// # Errors
/// [`Error`] when its definition cannot be read.
pub async fn surroundings(realm: &dyn Realm) -> Result<Surroundings, Error> {
    let stored = realm.catalog().realm_document().await?;
    // An invalid one is reported where it is used, and may be mended by what is applied.
    let stored = stored.and_then(|stored| read_realm(realm, stored));
    let mut notes = Vec::new();
    // They are only looked at for warnings: a realm that an earlier version made may have no table of them.
    let triggers = realm.triggers().all_triggers().await.unwrap_or_default();
    // A policy may allow to put jobs and not to list them.
    let jobs = realm.catalog().all_jobs().await.unwrap_or_else(|error| {
        notes.push(format!("looked at without the jobs of the realm that is there: {error}"));
        Vec::new()
    });
    // Without this permission there are no warnings about connections, and nothing is wrong.
    let connections = realm.connections().all_connections().await.ok();
    let connections = connections.map(|all| all.into_iter().map(|(id, _)| id).collect());
    let jobs = jobs.into_iter().filter_map(|(_, doc)| JobSpec::from_checked(Arc::new(doc)).ok()).collect();
    Ok(Surroundings { realm: stored, jobs, triggers, connections, is_aws: realm.is_aws(), notes })
}

/// Puts specs that were read, unless it is a dry run. A realm without a definition gets one.
///
/// # Errors
/// [`Error`] when the specs are of another realm, or the store cannot be reached.
pub async fn put(realm: &dyn Realm, specs: Specs, dry_run: bool) -> Result<Applied, Error> {
    let act = Act::new("apply", &json!({ "documents": specs.count() })).dry(dry_run);
    act.record(realm, putting(realm, specs, dry_run, &act)).await
}

async fn putting(realm: &dyn Realm, specs: Specs, dry_run: bool, act: &Act) -> Result<Applied, Error> {
    let specs = marked(specs);
    let with_it = specs.jobs.iter().map(|job| &job.fields.job_id).collect();
    let moved = moved_by(realm, specs.realm.as_ref(), &with_it).await?;
    let of_realm = put_realm(realm, specs.realm.as_ref(), dry_run, act).await?;
    let connections = put_connections(realm, specs.connections, dry_run, act).await?;
    let gates = gates_of(&specs.jobs, specs.realm.as_ref());
    let after: Vec<Arc<Doc>> = specs.jobs.iter().map(|job| job.document.clone()).collect();
    let put = realm.catalog().put_jobs(specs.jobs, dry_run).await?;
    let jobs = put.into_iter().zip(after).map(|(job, after)| {
        act.changed("job", job.job_id.as_str(), job.before.as_ref(), Some(&after));
        let change = change_of(job.change, job.before.as_ref(), &after);
        let before = job.before.filter(|_| dry_run && change == ChangeWord::Updated);
        let fields = before.map(|before| differences(&before, &after)).unwrap_or_default();
        AppliedJob { job_id: job.job_id, change, fields }
    });
    let jobs = jobs.collect();
    if !dry_run {
        call_waiting(realm, &gates).await?;
    }
    // Last: what they start is there.
    let triggers = put_triggers(realm, specs.triggers, dry_run, act).await?;
    Ok(Applied { jobs, triggers, connections, realm: of_realm, moved, dry_run, ..Applied::default() })
}

/// The gates that may have other permits after specs were put. Those of keys with templates are not known: the first of
/// their lines look by themselves.
fn gates_of(jobs: &[JobSpec], realm: Option<&RealmSpec>) -> Vec<Gate> {
    let pools = realm.and_then(|realm| realm.fields.pools.as_ref()).into_iter().flatten();
    let pools = pools.filter_map(|(name, _)| PoolName::new(name).ok().map(Gate::Pool));
    let keys = jobs.iter().filter_map(|job| {
        let concurrency = job.fields.concurrency.as_ref()?;
        Gate::of_key(concurrency.key.as_deref().unwrap_or(job.fields.job_id.as_str())).ok()
    });
    pools.chain(keys).collect()
}

/// Wakes the runs that wait for a permit, where there may be more permits now.
async fn call_waiting(realm: &dyn Realm, gates: &[Gate]) -> Result<(), Error> {
    if gates.is_empty() {
        return Ok(());
    }
    let dispatcher = Dispatcher::new(realm.site().await?, realm.registry().clone());
    for gate in gates {
        dispatcher.call_waiting(gate).await;
    }
    Ok(())
}

/// Puts connections before the jobs that name them.
async fn put_connections(
    realm: &dyn Realm,
    connections: Vec<ConnectionSpec>,
    dry_run: bool,
    act: &Act,
) -> Result<Vec<AppliedConnection>, Error> {
    if connections.is_empty() {
        return Ok(Vec::new());
    }
    let after: Vec<Arc<Doc>> = connections.iter().map(|spec| spec.document.clone()).collect();
    let put = realm.connections().put_connections(connections, dry_run).await?;
    let applied = put.into_iter().zip(after).map(|(one, after)| {
        act.changed("connection", one.conn_id.as_str(), one.before.as_ref(), Some(&after));
        let change = change_of(one.change, one.before.as_ref(), &after);
        let before = one.before.filter(|_| dry_run && change == ChangeWord::Updated);
        let fields = before.map(|before| connections::differences(&before, &after)).unwrap_or_default();
        AppliedConnection { conn_id: one.conn_id, change, fields }
    });
    Ok(applied.collect())
}

/// The changes by putting specs into a realm that does not exist.
#[must_use]
pub fn all_new(specs: &Specs) -> Applied {
    let added = |job: &JobSpec| AppliedJob {
        job_id: job.fields.job_id.clone(),
        change: ChangeWord::Added,
        fields: Vec::new(),
    };
    let realm = specs.realm.as_ref().map(|realm| AppliedRealm {
        realm: realm.fields.realm.clone(),
        change: ChangeWord::Added,
        fields: Vec::new(),
    });
    let trigger = |trigger: &TriggerSpec| AppliedTrigger {
        trigger_id: trigger.fields.trigger_id.clone(),
        change: ChangeWord::Added,
        fields: Vec::new(),
    };
    let triggers = specs.triggers.iter().map(trigger).collect();
    let connections = specs.connections.iter().map(|spec| AppliedConnection {
        conn_id: spec.conn_id.clone(),
        change: ChangeWord::Added,
        fields: Vec::new(),
    });
    let connections = connections.collect();
    let jobs = specs.jobs.iter().map(added).collect();
    Applied { jobs, triggers, connections, realm, dry_run: true, ..Applied::default() }
}

/// The error of specs that say that they are another realm's.
#[must_use]
pub fn other_realm(given: &RealmName, asked: &RealmName) -> Error {
    Error::invalid(format!("the specs are of realm {given}, not {asked}"))
}

/// The entries that a realm's new definition moves. A policy may allow to put jobs and not to list them: that must not keep
/// a definition from being put.
pub(super) async fn moved_by(
    realm: &dyn Realm,
    spec: Option<&RealmSpec>,
    with_it: &BTreeSet<&JobId>,
) -> Result<Option<MovedEntries>, Error> {
    let (Some(spec), Some(before)) = (spec, realm.catalog().realm_document().await?) else { return Ok(None) };
    Ok(moved(realm, &before, spec, with_it).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "it is not known which entries of schedules the realm's definition moves");
        None
    }))
}

async fn put_triggers(
    realm: &dyn Realm,
    triggers: Vec<TriggerSpec>,
    dry_run: bool,
    act: &Act,
) -> Result<Vec<AppliedTrigger>, Error> {
    if triggers.is_empty() {
        return Ok(Vec::new());
    }
    let after: Vec<Arc<Doc>> = triggers.iter().map(|trigger| trigger.document.clone()).collect();
    let put = realm.triggers().put_triggers(triggers, dry_run).await?;
    let applied = put.into_iter().zip(after).map(|(put, after)| {
        act.changed("trigger", put.trigger_id.as_str(), put.before.as_ref(), Some(&after));
        let change = change_of(put.change, put.before.as_ref(), &after);
        let before = put.before.filter(|_| dry_run && change == ChangeWord::Updated);
        let fields = before.map(|before| differences(&before, &after)).unwrap_or_default();
        AppliedTrigger { trigger_id: put.trigger_id, change, fields }
    });
    Ok(applied.collect())
}

pub(super) async fn put_realm(
    realm: &dyn Realm,
    spec: Option<&RealmSpec>,
    dry_run: bool,
    act: &Act,
) -> Result<Option<AppliedRealm>, Error> {
    let catalog = realm.catalog();
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
    act.changed("realm", realm.name().as_str(), before.as_ref(), Some(&after));
    let fields = before.map(|before| differences(&before, &after)).unwrap_or_default();
    if !dry_run && change != JobChange::Unchanged {
        catalog.put_realm(after).await?;
    }
    Ok(Some(AppliedRealm { realm: realm.name().clone(), change: change.into(), fields }))
}
