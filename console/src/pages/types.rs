//! Texts in place of values of other types: a template would take them for texts, so they are refused.
//!
//! A global goes down to the jobs that a job starts, so all of them are asked, as far as none before has the name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::run::SpecOf;
use pumice_core::spec::JobSpec;
use pumice_core::text::escaped;
use pumice_service::Realm;
use pumice_service::runs::{RetriedRun, RetryAction, RetryRun, whole_with_spec};
use serde_json::{Map, Value};

use super::form::texts;
use crate::answer::Fault;
use crate::ask::Fields;

/// Most jobs that are asked.
const MAX_JOBS: usize = 2_000;
/// Most steps whose records are asked, each of which costs a read.
const MAX_STEPS: usize = 200;

type Globals = Map<String, Value>;

/// Refuses texts among the globals of a form, where the job, or one that it starts, has a value of another type.
///
/// # Errors
/// [`Fault`] with the name and the job.
pub(super) async fn check_job(realm: &dyn Realm, job: &JobId, form: &Fields) -> Result<(), Fault> {
    check_below(realm, job, texts(form, "globals")?).await
}

/// Refuses texts among the globals of a form that does a run again, where the run, or a step that is run again, has a value of
/// another type.
///
/// # Errors
/// [`Fault`] with the name and the job.
pub(super) async fn check_retry(
    realm: &dyn Realm,
    planned: &RetriedRun,
    request: &RetryRun,
    form: &Fields,
) -> Result<(), Fault> {
    let given = texts(form, "globals")?;
    if given.is_empty() {
        return Ok(());
    }
    let Some((run, spec)) = realm.runs().load_with_spec(&planned.of).await? else { return Ok(()) };
    let job = &run.job_id;
    let wrong = |name: String| refused(&name, job);
    let given = match &spec.asked {
        Some(asked) => settled(&given, Some(&asked.globals)).map_err(wrong)?,
        None => given,
    };
    match request.spec {
        SpecOf::Latest => {
            let now = realm.jobs().jobs(std::slice::from_ref(job)).await?.into_iter().next().flatten();
            let left = match now {
                Some(Ok(now)) => settled(&given, globals_of(&now.document)).map_err(wrong)?,
                Some(Err(_)) | None => given.clone(),
            };
            settled(&left, globals_of(&spec.job)).map_err(wrong)?;
            check_below(realm, job, given).await
        }
        SpecOf::Pinned => check_pinned(realm, planned, (job, &spec.job), given).await,
    }
}

/// Asks the specs that a run and its steps had; a job that had not begun as a step has none but that of now.
async fn check_pinned(
    realm: &dyn Realm,
    planned: &RetriedRun,
    (job, spec): (&JobId, &Arc<Doc>),
    given: Globals,
) -> Result<(), Fault> {
    let had: BTreeSet<&JobId> =
        planned.steps.iter().filter(|step| step.of.is_some()).map(|step| &step.job_id).collect();
    let mut pinned = vec![(job.clone(), spec.clone())];
    let again = planned.steps.iter().filter(|step| step.action == RetryAction::Again);
    for key in again.filter_map(|step| step.of.as_ref()).take(MAX_STEPS) {
        let found = whole_with_spec(realm.runs(), key).await?;
        pinned.extend(found.map(|(run, spec)| (run.job_id, spec.job)));
    }
    for (job, spec) in pinned {
        let left = settled(&given, globals_of(&spec)).map_err(|name| refused(&name, &job))?;
        let Ok(spec) = JobSpec::from_checked(spec) else { continue };
        let named = realm.registry().named_by(&spec).into_iter().map(|named| named.job_id);
        for job in named.filter(|job| !had.contains(job)) {
            check_below(realm, &job, left.clone()).await?;
        }
    }
    Ok(())
}

/// Goes through a job and those that it starts, as they are stored.
async fn check_below(realm: &dyn Realm, job: &JobId, given: Globals) -> Result<(), Fault> {
    let mut level = vec![(job.clone(), given)];
    let mut seen = BTreeSet::new();
    level.retain(|(_, given)| !given.is_empty());
    while !level.is_empty() {
        let ids: BTreeSet<&JobId> = level.iter().map(|(job, _)| job).collect();
        let ids: Vec<JobId> = ids.into_iter().cloned().collect();
        let stored = realm.jobs().jobs(&ids).await?;
        let stored: HashMap<JobId, _> = ids.into_iter().zip(stored).collect();
        let mut next = Vec::new();
        for (id, given) in level {
            let Some(Some(Ok(job))) = stored.get(&id) else { continue };
            let left = settled(&given, globals_of(&job.document)).map_err(|name| refused(&name, &id))?;
            if left.is_empty() {
                continue;
            }
            let of = Value::Object(left.clone()).to_string();
            for named in realm.registry().named_by(job) {
                if seen.len() < MAX_JOBS && seen.insert((named.job_id.clone(), of.clone())) {
                    next.push((named.job_id, left.clone()));
                }
            }
        }
        level = next;
    }
    Ok(())
}

fn globals_of(spec: &Doc) -> Option<&Globals> {
    spec.get("globals").and_then(Value::as_object)
}

fn refused(name: &str, job: &JobId) -> Fault {
    let (name, job) = (escaped(name), escaped(job.as_str()));
    Fault::bad(format!(
        "globals: {name} is not a text in job {job}, and {name}=VALUE is one: write {name}:=VALUE for a number, true, false or a \
         list, and {name}:=\"VALUE\" where a text is meant"
    ))
}

/// The texts whose names these globals do not have: a job below may have them.
///
/// # Errors
/// The dotted name of a text that takes the place of a value of another type.
fn settled(given: &Globals, had: Option<&Globals>) -> Result<Globals, String> {
    let mut left = Globals::new();
    for (name, value) in given {
        match (value, had.and_then(|had| had.get(name))) {
            (Value::Object(fields), Some(Value::Object(had))) => {
                let below = settled(fields, Some(had)).map_err(|below| format!("{name}.{below}"))?;
                if !below.is_empty() {
                    left.insert(name.clone(), Value::Object(below));
                }
            }
            (Value::String(_), Some(Value::String(_) | Value::Null)) => {}
            (Value::String(_), Some(_)) => return Err(name.clone()),
            (value, _) => {
                left.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_in_place_of_another_type_is_found() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let run = map(json!({ "n": 7, "vars": { "a": "x", "b": 1 }, "t": "x" }));
        let spec = map(json!({ "n": "x", "on": true, "list": [1], "none": null, "vars": { "c": false } }));
        for (given, found) in [
            (json!({ "n": "8" }), Err("n")),
            (json!({ "t": "y", "none": "x" }), Ok(json!({}))),
            (
                json!({ "new": "x", "vars": { "a": "y", "d": "z" } }),
                Ok(json!({ "new": "x", "vars": { "d": "z" } })),
            ),
            (json!({ "on": "false" }), Err("on")),
            (json!({ "list": "[2]" }), Err("list")),
            (json!({ "vars": { "a": "y", "b": "2" } }), Err("vars.b")),
            (json!({ "vars": { "c": "true" } }), Err("vars.c")),
            (json!({ "vars": "x" }), Err("vars")),
        ] {
            let left = settled(&map(given), Some(&run)).and_then(|left| settled(&left, Some(&spec)));
            assert_eq!(left, found.map(map).map_err(str::to_owned));
        }
        assert_eq!(settled(&run, None), Ok(run.clone()));
    }
}
