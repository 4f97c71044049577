//! Pruning: documents in a part of a realm that are not among those given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pumice_core::ids::{ConnId, TriggerId};
use pumice_core::ports::{Doc, DocumentChange, DocumentWrite};
use pumice_core::problem::did_you_mean;
use pumice_core::spec::JobSpec;
use serde_json::Value;

use super::plan::{Compared, DocumentKind, DocumentName, DocumentUser, Look, job_id};
use super::{
    Applied, AppliedConnection, AppliedJob, AppliedRealm, AppliedTrigger, ChangeWord, IdScope, Specs,
};
use crate::ErrorKind;
use crate::audit::Act;
use crate::failure::Error;
use crate::realm::Realm;

/// A document that is to be removed, as it was read.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    pub(super) name: DocumentName,
    pub(super) document: Doc,
}

/// Every document of a realm but its definition.
async fn all(realm: &dyn Realm) -> Result<Vec<Removal>, Error> {
    let removal = |kind, id: String, document| Removal { name: DocumentName { kind, id }, document };
    let connections = realm.connections().all_connections().await?;
    let connections =
        connections.into_iter().map(|(id, doc)| removal(DocumentKind::Connection, id.to_string(), doc));
    let jobs = realm.catalog().all_jobs().await?;
    let jobs = jobs.into_iter().map(|(id, doc)| removal(DocumentKind::Job, id.to_string(), doc));
    let triggers = realm.triggers().all_triggers().await?;
    let triggers = triggers.into_iter().filter_map(|doc| {
        let id = doc.get("trigger_id").and_then(Value::as_str)?.to_owned();
        Some(removal(DocumentKind::Trigger, id, doc))
    });
    Ok(connections.chain(jobs).chain(triggers).collect())
}

/// Documents of a scope that are not among those given: those to remove, and those that stay as none of their kind is given
/// there.
///
/// # Errors
/// [`Error`] when the scope or the documents are probably not those that were meant, or the realm cannot be read.
pub(super) async fn removals(
    realm: &dyn Realm,
    compared: &[Compared],
    scope: &IdScope,
) -> Result<(Vec<Removal>, Vec<DocumentName>), Error> {
    let given: BTreeSet<(DocumentKind, &str)> =
        compared.iter().map(|one| (one.kind, one.id.as_str())).collect();
    let kinds: BTreeSet<DocumentKind> = given
        .iter()
        .filter(|(kind, id)| *kind != DocumentKind::Realm && scope.takes(id))
        .map(|(kind, _)| *kind)
        .collect();
    let all = all(realm).await?;
    if given.iter().all(|(kind, _)| *kind == DocumentKind::Realm) {
        let message = "the files have no job, trigger or connection: pruning would remove everything";
        return Err(Error::invalid(format!("{message} within scope {scope}, and nothing is done")));
    }
    if kinds.is_empty() {
        let count = all.iter().filter(|one| scope.takes(&one.name.id)).count();
        return Err(nothing_given(scope, count, given.iter().map(|(_, id)| *id), &all));
    }
    let within = all
        .into_iter()
        .filter(|one| scope.takes(&one.name.id) && !given.contains(&(one.name.kind, one.name.id.as_str())));
    let (removed, kept): (Vec<Removal>, Vec<Removal>) =
        within.partition(|one| kinds.contains(&one.name.kind));
    Ok((removed, kept.into_iter().map(|one| one.name).collect()))
}

/// The error of documents of which none is within the scope.
fn nothing_given<'a>(
    scope: &IdScope,
    count: usize,
    given: impl Iterator<Item = &'a str>,
    all: &[Removal],
) -> Error {
    if count > 0 {
        return Error::invalid(format!(
            "none of the files' documents is within scope {scope}, where the realm has {count}: pruning would remove all of them, and nothing is done"
        ));
    }
    let first = |id: &'a str| id.split('/').next().unwrap_or(id);
    let given: Vec<&str> = given.map(first).collect();
    let there = all.iter().map(|one| one.name.id.split('/').next().unwrap_or(&one.name.id));
    let wanted = scope.to_string();
    let hint = did_you_mean(wanted.trim_end_matches('/'), given.into_iter().chain(there));
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    Error::not_found(format!("neither the files nor the realm have anything within scope {scope}{hint}"))
}

/// The documents that stay and name some that are removed.
pub(super) async fn users(
    realm: &dyn Realm,
    specs: &Specs,
    removed: &[Removal],
) -> Result<Vec<DocumentUser>, Error> {
    if removed.is_empty() {
        return Ok(Vec::new());
    }
    let gone: BTreeSet<&DocumentName> = removed.iter().map(|one| &one.name).collect();
    let replaced: BTreeSet<&str> = specs.jobs.iter().map(|job| job.fields.job_id.as_str()).collect();
    let stored = realm.catalog().all_jobs().await?;
    let stored = stored.into_iter().filter(|(id, _)| !replaced.contains(id.as_str()));
    let stored: Vec<JobSpec> =
        stored.filter_map(|(_, doc)| JobSpec::from_checked(Arc::new(doc)).ok()).collect();
    let name = |kind, id: &str| DocumentName { kind, id: id.to_owned() };
    let mut users = Vec::new();
    for job in specs.jobs.iter().chain(&stored) {
        let own = name(DocumentKind::Job, job.fields.job_id.as_str());
        let jobs = realm.registry().named_by(job);
        let jobs = jobs.iter().map(|one| name(DocumentKind::Job, one.job_id.as_str()));
        let connections = realm.registry().connections_of(job);
        let connections = connections.iter().map(|(_, id)| name(DocumentKind::Connection, id.as_str()));
        add_user(&mut users, &gone, own, jobs.chain(connections));
    }
    let replaced: BTreeMap<&str, &Doc> = specs
        .triggers
        .iter()
        .map(|trigger| (trigger.fields.trigger_id.as_str(), &*trigger.document))
        .collect();
    for stored in realm.triggers().all_triggers().await? {
        let Some(id) = stored.get("trigger_id").and_then(Value::as_str) else { continue };
        let document = replaced.get(id).copied().unwrap_or(&stored);
        let jobs: Vec<&str> = match document.get("job_id") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            other => other.and_then(Value::as_str).into_iter().collect(),
        };
        let named = jobs.into_iter().map(|job| name(DocumentKind::Job, job));
        add_user(&mut users, &gone, name(DocumentKind::Trigger, id), named);
    }
    Ok(users)
}

fn add_user(
    users: &mut Vec<DocumentUser>,
    gone: &BTreeSet<&DocumentName>,
    own: DocumentName,
    named: impl Iterator<Item = DocumentName>,
) {
    let names: BTreeSet<DocumentName> = named.filter(|named| gone.contains(named)).collect();
    if !names.is_empty() && !gone.contains(&own) {
        users.push(DocumentUser { kind: own.kind, id: own.id, names: names.into_iter().collect() });
    }
}

/// Writes what a look has found to be different, each document on the condition that it is as it was read; what is
/// removed and the realm's definition go last.
///
/// # Errors
/// [`Error`] when a document has changed since, or the store cannot be reached.
pub(super) async fn carry_out(
    realm: &dyn Realm,
    specs: Specs,
    look: Look,
    act: &Act,
) -> Result<Applied, Error> {
    let writes = writes(&specs, &look);
    let all = writes.len();
    if !writes.is_empty() {
        let done = realm.catalog().write_documents(writes).await?;
        if let Some(moved) = done.moved {
            let what = match done.written {
                0 => "nothing was written".to_owned(),
                written => format!("{written} of {all} changes were made before that, and no other"),
            };
            let message =
                format!("{moved} has changed since it was looked at: {what}; look at the plan again");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    if specs.realm.is_none() {
        // A realm without a definition gets one.
        super::apply::put_realm(realm, None, false, act).await?;
    }
    record(act, &look);
    Ok(applied(realm, &specs, look))
}

/// The documents to write: connections before the jobs that name them, triggers after those that they start, removals in the
/// reverse order, the realm's definition last.
fn writes(specs: &Specs, look: &Look) -> Vec<DocumentWrite> {
    let changed = |kind| {
        let of_kind = look.compared.iter().filter(move |one| one.kind == kind);
        of_kind.map(|one| (one.change != ChangeWord::Unchanged, one.before.clone()))
    };
    let write = |change, (is_changed, before): (bool, Option<Doc>)| {
        is_changed.then_some(DocumentWrite { change, before })
    };
    let connections = specs.connections.iter().zip(changed(DocumentKind::Connection));
    let connections = connections
        .filter_map(|(spec, there)| write(DocumentChange::PutConnection(Box::new(spec.clone())), there));
    let jobs = specs.jobs.iter().zip(changed(DocumentKind::Job));
    let jobs = jobs.filter_map(|(spec, there)| write(DocumentChange::PutJob(Box::new(spec.clone())), there));
    let triggers = specs.triggers.iter().zip(changed(DocumentKind::Trigger));
    let triggers =
        triggers.filter_map(|(spec, there)| write(DocumentChange::PutTrigger(Box::new(spec.clone())), there));
    let removals = look.removed.iter().rev().filter_map(|Removal { name, document }| {
        let change = match name.kind {
            DocumentKind::Realm => return None,
            DocumentKind::Connection => DocumentChange::DeleteConnection(ConnId::stored(&*name.id).ok()?),
            DocumentKind::Job => DocumentChange::DeleteJob(job_id(&name.id)?),
            DocumentKind::Trigger => DocumentChange::DeleteTrigger(TriggerId::stored(&*name.id).ok()?),
        };
        Some(DocumentWrite { change, before: Some(document.clone()) })
    });
    let definition = specs.realm.iter().zip(changed(DocumentKind::Realm));
    let definition =
        definition.filter_map(|(spec, there)| write(DocumentChange::PutRealm(Box::new(spec.clone())), there));
    connections.chain(jobs).chain(triggers).chain(removals).chain(definition).collect()
}

/// Has the audit keep what was changed.
fn record(act: &Act, look: &Look) {
    for one in look.compared.iter().filter(|one| one.change != ChangeWord::Unchanged) {
        act.changed(one.kind.as_str(), one.id.as_str(), one.before.as_ref(), Some(&one.after));
    }
    for Removal { name, document } in &look.removed {
        act.changed(name.kind.as_str(), name.id.as_str(), Some(document), None);
    }
}

/// The outcome of an apply, for its caller.
fn applied(realm: &dyn Realm, specs: &Specs, look: Look) -> Applied {
    let Look { compared, removed, planned } = look;
    let change = |kind, id: &str| {
        let found = compared.iter().find(|one| one.kind == kind && one.id == id);
        found.map_or(ChangeWord::Unchanged, |one| one.change)
    };
    let jobs = specs.jobs.iter().map(|job| AppliedJob {
        job_id: job.fields.job_id.clone(),
        change: change(DocumentKind::Job, job.fields.job_id.as_str()),
        fields: Vec::new(),
    });
    let triggers = specs.triggers.iter().map(|trigger| AppliedTrigger {
        trigger_id: trigger.fields.trigger_id.clone(),
        change: change(DocumentKind::Trigger, trigger.fields.trigger_id.as_str()),
        fields: Vec::new(),
    });
    let connections = specs.connections.iter().map(|spec| AppliedConnection {
        conn_id: spec.conn_id.clone(),
        change: change(DocumentKind::Connection, spec.conn_id.as_str()),
        fields: Vec::new(),
    });
    let of_realm = compared.iter().find(|one| one.kind == DocumentKind::Realm).map(|one| AppliedRealm {
        realm: realm.name().clone(),
        change: one.change,
        fields: one.before.as_ref().map(|before| super::differences(before, &one.after)).unwrap_or_default(),
    });
    Applied {
        jobs: jobs.collect(),
        triggers: triggers.collect(),
        connections: connections.collect(),
        removed: removed.into_iter().map(|one| one.name).collect(),
        touched: planned.touched(),
        users: planned.users,
        realm: of_realm,
        moved: planned.moved,
        ..Applied::default()
    }
}
