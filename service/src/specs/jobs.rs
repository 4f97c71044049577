//! `jobs`: lists, shows and deletes jobs.

use std::sync::Arc;

use pumice_core::glob::matches;
use pumice_core::ids::JobId;
use pumice_core::ports::{Doc, DocumentChange};
use pumice_core::spec::{JobSpec, take_mark};
use pumice_core::text::{escaped, quoted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::Act;
use crate::failure::Error;
use crate::if_match::{IfMatch, about_one, delete_if};
use crate::listed::{Jobs, asked};
use crate::realm::{Realm, no_such_job};
use crate::schedules::UnreadJob;

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListJobs {
    /// Only jobs whose id matches: `*` any text, `?` one character.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Only jobs that these terms mean: `job:`, `worker:`, `type:`, `tag:`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// The specs of jobs, by id, as they are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobList {
    /// The specs.
    pub jobs: Vec<Doc>,
    /// How many jobs the realm has.
    pub all: usize,
    /// The jobs whose specs cannot be read, and why: of these the list has the id alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadJob>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobName {
    /// Its id.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job: JobId,
}

/// Which jobs to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteJobs {
    /// The jobs, by id or pattern: `*` any text, `?` one character.
    pub jobs: Vec<String>,
    /// The state of the one job that is meant: refused when it is another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<IfMatch>,
    /// Show what would be deleted, and delete nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The outcome for the jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedJobs {
    /// Each job, and each name without a job.
    pub jobs: Vec<DeletedJob>,
    /// The jobs that still name a deleted one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<JobUser>,
    /// Whether nothing was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// A job that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedJob {
    /// The job, or the name that was given.
    pub job_id: String,
    /// Whether it was there.
    pub deleted: bool,
}

/// A job that names others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobUser {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The deleted jobs that it names.
    pub names: Vec<String>,
}

/// Lists jobs.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListJobs) -> Result<JobList, Error> {
    let meant = asked::<Jobs>(realm, request.filter.as_deref(), None).await?;
    let jobs = realm.catalog().all_jobs().await?;
    let all = jobs.len();
    let pattern = request.pattern.as_deref();
    let is_asked = |job: &(JobId, Doc)| {
        pattern.is_none_or(|pattern| matches(pattern, job.0.as_str())) && meant.takes(job)
    };
    let asked = jobs.into_iter().filter(is_asked);
    let (mut jobs, mut unread) = (Vec::new(), Vec::new());
    for (id, mut doc) in asked {
        take_mark(&mut doc);
        match doc.is_empty() {
            false => jobs.push(doc),
            true => {
                jobs.push(Doc::from_iter([("job_id".to_owned(), json!(id))]));
                unread.push(UnreadJob { trouble: unread_because(realm, &id).await?, job_id: id });
            }
        }
    }
    Ok(JobList { jobs, all, unread })
}

/// Why a job whose stored spec has no field cannot be read.
async fn unread_because(realm: &dyn Realm, id: &JobId) -> Result<String, Error> {
    match realm.jobs().jobs(std::slice::from_ref(id)).await?.pop().flatten() {
        Some(Err(error)) => Ok(error.to_string()),
        Some(Ok(_)) => Ok("it was put anew meanwhile".to_owned()),
        None => Ok("it was deleted meanwhile".to_owned()),
    }
}

/// The spec of a job as it is stored.
///
/// # Errors
/// [`Error`] when there is no such job, its spec is not a JSON object, or the store cannot be read.
pub async fn show(realm: &dyn Realm, request: &JobName) -> Result<Doc, Error> {
    show_standing(realm, request).await.map(|(doc, _)| doc)
}

/// The spec of a job, and whether it was changed by other means since it was applied.
///
/// # Errors
/// As [`show`].
pub async fn show_standing(realm: &dyn Realm, request: &JobName) -> Result<(Doc, bool), Error> {
    let found = realm.catalog().all_jobs().await?.into_iter().find(|(id, _)| *id == request.job);
    match found {
        Some((id, doc)) if doc.is_empty() => {
            let why = unread_because(realm, &id).await?;
            Err(Error::invalid(format!("job {} cannot be read: {why}", escaped(id.as_str()))))
        }
        Some((_, mut doc)) => {
            let has_drifted = take_mark(&mut doc);
            Ok((doc, has_drifted))
        }
        None => Err(no_such_job(realm.jobs(), &request.job).await?),
    }
}

/// Deletes jobs; their runs stay.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn delete(realm: &dyn Realm, request: &DeleteJobs) -> Result<DeletedJobs, Error> {
    let act = Act::new("jobs delete", request).on("job", &request.jobs).dry(request.dry_run);
    let work = async {
        let deleted = deleting(realm, request, &act).await?;
        act.refuse_without(deleted.jobs.iter().map(|job| job.deleted), "no such job");
        Ok(deleted)
    };
    act.record(realm, work).await
}

async fn deleting(realm: &dyn Realm, request: &DeleteJobs, act: &Act) -> Result<DeletedJobs, Error> {
    let all = realm.catalog().all_jobs().await?;
    let (mut ids, mut missing): (Vec<JobId>, Vec<&String>) = (Vec::new(), Vec::new());
    for text in &request.jobs {
        let exact: Vec<&JobId> = all.iter().map(|(id, _)| id).filter(|id| id.as_str() == text).collect();
        let found = match exact.is_empty() {
            false => exact,
            true => all.iter().map(|(id, _)| id).filter(|id| matches(text, id.as_str())).collect(),
        };
        if found.is_empty() {
            missing.push(text);
        }
        ids.extend(found.into_iter().filter(|id| !ids.contains(*id)).cloned().collect::<Vec<_>>());
    }
    let deleted = match &request.if_match {
        None if request.dry_run => vec![true; ids.len()],
        None => realm.catalog().delete_jobs(ids.clone()).await?,
        Some(if_match) => {
            let [asked] = request.jobs.as_slice() else { return Err(about_one()) };
            let before = all.iter().find(|(id, _)| id.as_str() == asked);
            let change = before.map(|(id, _)| DocumentChange::DeleteJob(id.clone()));
            let about = format!("job {}", quoted(asked));
            let before = before.map(|(_, doc)| doc);
            delete_if(realm, (&about, if_match), change, before, request.dry_run).await?;
            vec![true]
        }
    };
    for (id, doc) in all.iter().filter(|(id, _)| ids.contains(id)) {
        act.changed("job", id.as_str(), Some(doc), None);
    }
    let named = ids.iter().map(ToString::to_string).zip(deleted);
    let absent = missing.into_iter().map(|text| (text.clone(), false));
    let jobs = named.chain(absent).map(|(job_id, deleted)| DeletedJob { job_id, deleted }).collect();
    let left = all.into_iter().filter(|(id, _)| !ids.contains(id));
    let mut users = Vec::new();
    for job in left.filter_map(|(_, doc)| JobSpec::from_checked(Arc::new(doc)).ok()) {
        let named = realm.registry().named_by(&job).into_iter().map(|one| one.job_id);
        let mut names: Vec<String> = named.filter(|id| ids.contains(id)).map(|id| id.to_string()).collect();
        names.dedup();
        if !names.is_empty() {
            users.push(JobUser { job_id: job.fields.job_id, names });
        }
    }
    Ok(DeletedJobs { jobs, users, dry_run: request.dry_run })
}
