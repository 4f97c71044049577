//! From what a person types to a run.

use pumice_core::ids::{BadName, JobId, RunId, RunKey};
use pumice_core::ports::{Beginning, RunQuery, RunStore};
use pumice_core::run::Run;
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::realm::{Realm, no_such_job};

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunName {
    /// Its id or the beginning of it, `latest`, or `latest:JOB`.
    pub run: String,
}

/// The newest run, or the newest of a job.
const LATEST: &str = "latest";
/// Fewest characters of an id that name it.
const MIN_PREFIX: usize = 4;
/// Fewest characters of an id in a list, where ids can be looked up by them.
const MIN_SHOWN: usize = 8;
/// The same where a look costs more: the time and some of the chance that ids are made of.
const MIN_SHOWN_UNSEEN: usize = 18;
/// Most runs that an error names.
const FEW: usize = 4;

/// The run that a text names: an id or a prefix of one, `latest`, `latest:JOB`.
///
/// # Errors
/// [`Error`] when no run or several have that name, or the store cannot be read.
pub async fn find(realm: &dyn Realm, text: &str) -> Result<RunKey, Error> {
    let store = realm.runs();
    let (named, steps) = without_steps(text);
    if named != text
        && (named == LATEST || named.strip_prefix(LATEST).is_some_and(|rest| rest.starts_with(':')))
        && !is_job_of_latest(realm, text).await?
    {
        let root = Box::pin(find(realm, named)).await?;
        return format!("{root}{steps}").parse().map_err(|error: BadName| Error::invalid(error.to_string()));
    }
    if let Some(rest) = text.strip_prefix(LATEST)
        && (rest.is_empty() || rest.starts_with(':'))
    {
        let job = rest.strip_prefix(':').map(str::to_owned);
        // An alert stands under its job's name, and is not a run of it.
        let query = RunQuery { job: job.clone(), without_alerts: true, limit: 1, ..RunQuery::default() };
        if let Some(run) = store.list(&query).await?.first() {
            return Ok(run.key.clone());
        }
        let Some(job) = job else {
            return Err(Error::not_found("the realm has no runs yet: dispatch a job first"));
        };
        // Runs of a job that was deleted are found above.
        if let Ok(job_id) = JobId::new(&job)
            && realm.jobs().jobs(std::slice::from_ref(&job_id)).await?.iter().all(Option::is_none)
        {
            return Err(no_such_job(realm.jobs(), &job_id).await?);
        }
        return Err(Error::not_found(format!("job {} has no runs yet", quoted(&job))));
    }
    let wrong =
        |error: &dyn std::fmt::Display| Error::invalid(format!("{error}: a list of runs shows their ids"));
    let (id, steps) = text.split_at(text.find('/').unwrap_or(text.len()));
    if let Ok(run_id) = id.parse::<RunId>() {
        // As records write it.
        return format!("{run_id}{steps}").parse().map_err(|error: BadName| wrong(&error));
    }
    let small = id.to_ascii_lowercase();
    let hex = small.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if hex && small.len() < MIN_PREFIX {
        let message =
            format!("{} is too short for the beginning of an id: give {MIN_PREFIX} characters", quoted(id));
        return Err(Error::invalid(message));
    }
    if !hex || small.len() > 36 {
        return Err(wrong(&text.parse::<RunId>().err().map_or_else(String::new, |error| error.to_string())));
    }
    let found = store.beginning(&small, FEW).await?;
    format!("{}{steps}", the_one(&small, &found)?).parse().map_err(|error: BadName| wrong(&error))
}

/// A text that names a run, and the way to a step behind it: `/1.0/1.2`.
fn without_steps(text: &str) -> (&str, &str) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_step =
        |part: &str| part.split_once('.').is_some_and(|(one, two)| is_number(one) && is_number(two));
    let mut end = text.len();
    while let Some(at) = text[..end].rfind('/').filter(|at| is_step(&text[at + 1..end])) {
        end = at;
    }
    text.split_at(end)
}

/// Whether a text with `latest:` names a job whose id ends as the way to a step does.
async fn is_job_of_latest(realm: &dyn Realm, text: &str) -> Result<bool, Error> {
    let Some(Ok(job_id)) = text.split_once(':').map(|(_, job)| JobId::new(job)) else { return Ok(false) };
    Ok(realm.jobs().jobs(&[job_id]).await?.iter().any(Option::is_some))
}

/// The one run whose id begins so.
fn the_one<'a>(prefix: &str, found: &'a Beginning) -> Result<&'a RunKey, Error> {
    let limit = found.looked_at.map(|most| {
        format!(
            "only the newest {most} runs and steps were looked at for ids without a time; \
             give 15 characters of an id with a time, or the whole id"
        )
    });
    let message = match (found.keys.as_slice(), limit) {
        ([one], None) => return Ok(one),
        ([], None) => return Err(Error::not_found(format!("no such run {prefix}"))),
        ([], Some(limit)) => format!("no run found whose id begins with {prefix}: {limit}"),
        ([one], Some(limit)) => format!("{prefix} begins the id of {one} and perhaps of others: {limit}"),
        (more, _) => {
            let names: Vec<&str> = more.iter().map(RunKey::as_str).collect();
            format!("{prefix} begins the ids of several runs: {}", names.join(", "))
        }
    };
    Err(Error::invalid(message))
}

/// How many characters of its id name each of these runs: no other run in the store begins so.
pub(super) async fn id_length(store: &dyn RunStore, runs: &[Run]) -> Result<usize, Error> {
    let mut ids: Vec<String> = runs.iter().map(|run| run.run_id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let looked_up = store.looks_up_beginnings();
    let mut shown = if looked_up { MIN_SHOWN } else { MIN_SHOWN_UNSEEN };
    let same = |one: &str, other: &str| one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    for pair in ids.windows(2) {
        shown = shown.max(same(&pair[0], &pair[1]) + 1);
    }
    if looked_up {
        // Others that are not listed may begin the same.
        for id in &ids {
            while shown < id.len() && store.beginning(&id[..shown], 2).await?.keys.len() > 1 {
                shown += 1;
            }
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_of_an_id_names_a_run_only_if_unambiguous() {
        let key = |last: u8| RunKey::root(RunId(uuid::Uuid::from_u128(0xabcd << 112 | u128::from(last))));
        let answer = |keys: Vec<RunKey>, looked_at| match the_one("abcd", &Beginning { keys, looked_at }) {
            Ok(one) => one.to_string(),
            Err(error) => error.message().to_owned(),
        };
        let one = "abcd0000-0000-0000-0000-000000000001";
        assert_eq!(answer(vec![key(1)], None), one);
        assert_eq!(answer(vec![], None), "no such run abcd");
        let several = answer(vec![key(1), key(2)], None);
        assert!(
            several.starts_with("abcd begins the ids of several runs: ") && several.contains(one),
            "{several}"
        );
        for (keys, begins) in [
            (vec![], "no run found whose id begins with abcd: only the newest 100000 runs and steps"),
            (
                vec![key(1)],
                "abcd begins the id of abcd0000-0000-0000-0000-000000000001 and perhaps of others: only",
            ),
        ] {
            let answer = answer(keys, Some(100_000));
            assert!(answer.starts_with(begins) && answer.ends_with("or the whole id"), "{answer}");
        }
    }
}
