//! `plan`: what `apply` would do to a realm, document by document, and what pruning would remove.

use futures_util::future::try_join_all;
use pumice_core::glob::literal;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Doc, JobChange, RunQuery};
use pumice_core::run::Status;
use pumice_core::spec::has_drifted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::apply::{change_of, marked};
use super::prune::{Removal, removals, users};
use super::{
    ChangeWord, Documents, FieldChange, IdScope, MovedEntries, Specs, Warning, other_realm, places, read,
    refuse_warnings, surroundings, without_workers,
};
use crate::failure::Error;
use crate::if_match::{IfMatch, changed, shown};
use crate::realm::Realm;

/// Most unended runs of a job that are named.
const MAX_RUNS: usize = 10;
/// Most records of a job that are looked at for unended runs.
const MAX_LOOKED: usize = 10_000;
/// How many jobs are looked at for unended runs at once.
const AT_ONCE: usize = 8;

/// Specs to compare with a realm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanSpecs {
    /// The documents.
    pub specs: Documents,
    /// Also what of this part of the realm is not among the documents, which `apply` would remove.
    #[serde(default)]
    pub prune: Option<IdScope>,
    /// Refuse specs that there are warnings about.
    #[serde(default)]
    pub strict: bool,
}

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// The realm's definition.
    Realm,
    /// A connection.
    Connection,
    /// A job.
    Job,
    /// A trigger.
    Trigger,
}

impl DocumentKind {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realm => "realm",
            Self::Connection => "connection",
            Self::Job => "job",
            Self::Trigger => "trigger",
        }
    }
}

/// A document by its kind and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DocumentName {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
}

/// The changes that `apply` would make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    /// The documents that would change, be added or removed.
    pub documents: Vec<PlannedDocument>,
    /// How many are there as they are given.
    pub unchanged: usize,
    /// The part of the realm that is pruned, if any is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<IdScope>,
    /// Documents within the scope that are not given and stay, as none of their kind is given there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<DocumentName>,
    /// Documents that still name one that is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<DocumentUser>,
    /// Entries of the realm's other jobs that would start at other times, as its definition is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedEntries>,
    /// The digest of what was compared: `apply` with this `expect` is refused when the realm or the documents are others.
    pub digest: String,
    /// Warnings: parts of the specs that are valid but probably unintended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A document that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedDocument {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// The change that would be made to it.
    pub change: ChangeWord,
    /// Whether it was changed by other means since it was applied: that is undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drift: bool,
    /// The places that would change, of one that is updated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// The schedule that would start nothing more, of a job that is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Value>,
    /// The runs that have not ended, of a job that is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unended: Option<UnendedRuns>,
}

/// Runs of a job that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnendedRuns {
    /// How many there are.
    pub count: usize,
    /// Whether there may be more, as not all records were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// The first of them: ten at most.
    pub runs: Vec<RunKey>,
}

/// A removed job with a schedule, or with runs that have not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TouchedJob {
    /// The job.
    pub job_id: String,
    /// The schedule, which starts nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Value>,
    /// The runs that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unended: Option<UnendedRuns>,
}

/// A document that stays, and names some that are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentUser {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// The documents that it names.
    pub names: Vec<DocumentName>,
}

impl Planned {
    /// How many documents have a change.
    #[must_use]
    pub fn count(&self, change: ChangeWord) -> usize {
        self.documents.iter().filter(|one| one.change == change).count()
    }

    /// The removed jobs with a schedule, or with runs that have not ended.
    pub(super) fn touched(&self) -> Vec<TouchedJob> {
        let removed = self.documents.iter().filter(|one| {
            one.kind == DocumentKind::Job
                && one.change == ChangeWord::Removed
                && (one.schedule.is_some() || one.unended.is_some())
        });
        let touched = |one: &PlannedDocument| TouchedJob {
            job_id: one.id.clone(),
            schedule: one.schedule.clone(),
            unended: one.unended.clone(),
        };
        removed.map(touched).collect()
    }

    /// Whether anything would change.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        !self.documents.is_empty()
    }
}

/// A document that was given, and what the realm has in its place.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) kind: DocumentKind,
    pub(super) id: String,
    pub(super) before: Option<Doc>,
    pub(super) after: Doc,
    pub(super) change: ChangeWord,
}

impl Compared {
    /// The places that are not as they were; a connection's secrets are masked.
    fn places_since(&self, before: &Doc) -> Vec<FieldChange> {
        let places = places(before, &self.after);
        match self.kind {
            DocumentKind::Connection => crate::connections::masked(places, before, &self.after),
            _ => places,
        }
    }

    /// The document in words, as in `job "etl/load"`.
    fn about(&self) -> String {
        format!("{} {}", self.kind.as_str(), pumice_core::text::quoted(&self.id))
    }
}

/// All that a plan is made of.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The documents, each kind in the order in which it was given: realm, connections, jobs, triggers.
    pub(super) compared: Vec<Compared>,
    /// The documents that are removed.
    pub(super) removed: Vec<Removal>,
    pub(super) planned: Planned,
}

/// Compares specs with a realm. Nothing is written.
///
/// # Errors
/// [`Error`] with every mistake in the specs, when what is to be pruned is probably unintended, or when the realm cannot be
/// read.
pub async fn plan(realm: &dyn Realm, request: PlanSpecs) -> Result<Planned, Error> {
    let around = surroundings(realm).await?;
    let mut specs = read(request.specs, realm.registry(), realm.now(), &around)?;
    specs.warnings.extend(without_workers(realm, &specs, around.realm.as_ref()).await?);
    if request.strict {
        refuse_warnings(&specs.warnings)?;
    }
    plan_specs(realm, &specs, request.prune.as_ref()).await
}

/// Compares specs that were read with a realm.
///
/// # Errors
/// As [`plan`].
pub async fn plan_specs(realm: &dyn Realm, specs: &Specs, scope: Option<&IdScope>) -> Result<Planned, Error> {
    let mut planned = look(realm, &marked(specs.clone()), scope).await?.planned;
    planned.warnings.clone_from(&specs.warnings);
    Ok(planned)
}

/// The plan of specs for a realm that is not there: everything is new.
///
/// # Errors
/// [`Error`] when something is to be pruned: there is nothing.
pub fn plan_new(specs: &Specs, scope: Option<&IdScope>) -> Result<Planned, Error> {
    if let Some(scope) = scope {
        return Err(Error::not_found(format!("there is no realm yet, and nothing within scope {scope}")));
    }
    let specs = &marked(specs.clone());
    let compared = given(specs).map(|(kind, id, after)| Compared {
        kind,
        id,
        before: None,
        after,
        change: ChangeWord::Added,
    });
    let mut look = Look { compared: compared.collect(), ..Look::default() };
    look.sum_up(None);
    look.planned.warnings.clone_from(&specs.warnings);
    Ok(look.planned)
}

/// The documents of specs, in the order in which they are written.
fn given(specs: &Specs) -> impl Iterator<Item = (DocumentKind, String, Doc)> + '_ {
    let realm = specs
        .realm
        .iter()
        .map(|one| (DocumentKind::Realm, one.fields.realm.to_string(), Doc::clone(&one.document)));
    let connections = specs
        .connections
        .iter()
        .map(|one| (DocumentKind::Connection, one.conn_id.to_string(), Doc::clone(&one.document)));
    let jobs = specs
        .jobs
        .iter()
        .map(|one| (DocumentKind::Job, one.fields.job_id.to_string(), Doc::clone(&one.document)));
    let triggers = specs
        .triggers
        .iter()
        .map(|one| (DocumentKind::Trigger, one.fields.trigger_id.to_string(), Doc::clone(&one.document)));
    realm.chain(connections).chain(jobs).chain(triggers)
}

/// Looks at what is there in place of the documents, and at what would be removed.
pub(super) async fn look(realm: &dyn Realm, specs: &Specs, scope: Option<&IdScope>) -> Result<Look, Error> {
    if let Some(given) = &specs.realm
        && given.fields.realm != *realm.name()
    {
        return Err(other_realm(&given.fields.realm, realm.name()));
    }
    let mut there = Vec::new();
    if let Some(spec) = &specs.realm {
        let before = realm.catalog().realm_document().await?;
        let change = JobChange::between(before.as_ref(), &spec.document);
        there.push((change, before));
    }
    // The form in which each store would keep a document: it may keep numbers in another form.
    if !specs.connections.is_empty() {
        let found = realm.connections().put_connections(specs.connections.clone(), true).await?;
        there.extend(found.into_iter().map(|one| (one.change, one.before)));
    }
    let found = realm.catalog().put_jobs(specs.jobs.clone(), true).await?;
    there.extend(found.into_iter().map(|one| (one.change, one.before)));
    if !specs.triggers.is_empty() {
        let found = realm.triggers().put_triggers(specs.triggers.clone(), true).await?;
        there.extend(found.into_iter().map(|one| (one.change, one.before)));
    }
    let compared = given(specs).zip(there).map(|((kind, id, after), (change, before))| {
        let change = change_of(change, before.as_ref(), &after);
        Compared { kind, id, before, after, change }
    });
    let mut look = Look { compared: compared.collect(), ..Look::default() };
    if let Some(scope) = scope {
        let (removed, kept) = removals(realm, &look.compared, scope).await?;
        look.planned.users = users(realm, specs, &removed).await?;
        (look.removed, look.planned.kept) = (removed, kept);
    }
    look.sum_up(scope);
    look.count_runs(realm).await?;
    let with_it = specs.jobs.iter().map(|job| &job.fields.job_id).collect();
    look.planned.moved = super::apply::moved_by(realm, specs.realm.as_ref(), &with_it).await?;
    Ok(look)
}

impl Look {
    /// Says what would become of each document, and signs what was compared.
    fn sum_up(&mut self, scope: Option<&IdScope>) {
        let changed = self.compared.iter().filter(|one| one.change != ChangeWord::Unchanged);
        let changed = changed.map(|one| PlannedDocument {
            kind: one.kind,
            id: one.id.clone(),
            change: one.change,
            drift: one.before.as_ref().is_some_and(has_drifted),
            fields: one.before.as_ref().map(|before| one.places_since(before)).unwrap_or_default(),
            schedule: None,
            unended: None,
        });
        let removed = self.removed.iter().map(|one| PlannedDocument {
            kind: one.name.kind,
            id: one.name.id.clone(),
            change: ChangeWord::Removed,
            drift: has_drifted(&one.document),
            fields: Vec::new(),
            schedule: one.document.get("schedule").filter(|schedule| !schedule.is_null()).cloned(),
            unended: None,
        });
        self.planned.documents = changed.chain(removed).collect();
        self.planned.unchanged =
            self.compared.iter().filter(|one| one.change == ChangeWord::Unchanged).count();
        self.planned.scope = scope.cloned();
        self.planned.digest = self.digest(scope);
    }

    /// A digest of the documents and of what is there in their place: other ones, or an edit by others, give another.
    fn digest(&self, scope: Option<&IdScope>) -> String {
        let compared = self.compared.iter().map(|one| json!([one.kind, one.id, one.before, one.after]));
        let removed = self.removed.iter().map(|one| json!([one.name.kind, one.name.id, one.document, null]));
        let mut all = json!([scope, compared.chain(removed).collect::<Vec<_>>()]);
        all.sort_all_objects();
        Uuid::new_v5(&Uuid::NAMESPACE_OID, all.to_string().as_bytes()).simple().to_string()
    }

    /// Counts the unended runs of the jobs that are removed.
    async fn count_runs(&mut self, realm: &dyn Realm) -> Result<(), Error> {
        let is_job =
            |one: &&mut PlannedDocument| one.change == ChangeWord::Removed && one.kind == DocumentKind::Job;
        let mut removed: Vec<&mut PlannedDocument> =
            self.planned.documents.iter_mut().filter(is_job).collect();
        for some in removed.chunks_mut(AT_ONCE) {
            let counted =
                try_join_all(some.iter().map(|one| unended(realm, &one.id)).collect::<Vec<_>>()).await?;
            for (one, unended) in some.iter_mut().zip(counted) {
                one.unended = Some(unended).filter(|unended| unended.count > 0);
            }
        }
        Ok(())
    }

    /// Refuses to go on when the realm or the documents are others than those of a plan.
    ///
    /// # Errors
    /// [`Error`] with both digests.
    pub(super) fn expect(&self, digest: Option<&str>) -> Result<(), Error> {
        match digest {
            Some(expected) if expected != self.planned.digest => Err(Error::new(
                crate::ErrorKind::Conflict,
                format!(
                    "the plan with the digest {} is not the one of now, {}: the documents or the realm have changed; look at the plan again",
                    pumice_core::text::shown(expected),
                    self.planned.digest
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses to go on when the one document that was given is to replace another state than that of now.
    ///
    /// # Errors
    /// [`Error`] with what is there now.
    pub(super) fn match_with(&self, if_match: Option<&IfMatch>) -> Result<(), Error> {
        let (Some(if_match), [one]) = (if_match, self.compared.as_slice()) else { return Ok(()) };
        if_match.check(&one.about(), one.before.as_ref().map(shown).as_ref())
    }

    /// The error of a document that changed while it was to be written.
    pub(super) fn changed(&self) -> Error {
        match self.compared.first() {
            Some(one) => changed(&one.about(), one.before.as_ref().map(shown)),
            None => Error::new(crate::ErrorKind::Conflict, "what was to be written has changed"),
        }
    }

    /// Refuses to remove jobs with runs that have not ended.
    ///
    /// # Errors
    /// [`Error`] with the jobs and their runs.
    pub(super) fn refuse_unended(&self) -> Result<(), Error> {
        let with = self.planned.documents.iter().filter_map(|one| Some((&one.id, one.unended.as_ref()?)));
        let lines: Vec<String> = with
            .map(|(id, unended)| {
                let runs: Vec<&str> = unended.runs.iter().map(RunKey::as_str).collect();
                let more = if unended.count > runs.len() || unended.at_least { " …" } else { "" };
                format!("  job {}: {}{more}", pumice_core::text::shown(id), runs.join(", "))
            })
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let message = "jobs that would be removed have runs that have not ended: wait for them, cancel them, or prune despite them";
        Err(Error::new(crate::ErrorKind::Conflict, format!("{message}\n{}", lines.join("\n"))))
    }
}

/// The runs of a job that have not ended. Steps go with the run that they belong to.
async fn unended(realm: &dyn Realm, job: &str) -> Result<UnendedRuns, Error> {
    let query = RunQuery {
        job: Some(literal(job)),
        statuses: Status::of_runs().filter(|status| !status.is_end()).collect(),
        without_alerts: true,
        limit: MAX_LOOKED,
        look_limit: Some(MAX_LOOKED),
        ..RunQuery::default()
    };
    let page = realm.runs().page(&query).await?;
    let at_least = page.is_cut || page.next.is_some();
    let runs: Vec<RunKey> =
        page.runs.into_iter().filter(|run| run.job_id.as_str() == job).map(|run| run.key).collect();
    Ok(UnendedRuns { count: runs.len(), at_least, runs: runs.into_iter().take(MAX_RUNS).collect() })
}

/// The id of a job as the stores take it.
pub(super) fn job_id(id: &str) -> Option<JobId> {
    JobId::stored(id).ok()
}
