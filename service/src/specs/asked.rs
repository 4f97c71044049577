//! Which jobs a filter means: the words of the one grammar that say something of a spec.

use pumice_core::filter::{Filter, Term, Wanted};
use pumice_core::glob::matches;
use pumice_core::ports::Doc;
use serde_json::Value;

use crate::failure::Error;

/// The words that jobs are looked for by.
const WORDS: &str = "job: worker: type: tag:";

/// The jobs that are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedJobs(Filter);

impl AskedJobs {
    /// Reads terms; without any every job is meant.
    ///
    /// # Errors
    /// [`Error`] when they are invalid, or have a word that says nothing of a spec.
    pub(crate) fn read(text: Option<&str>) -> Result<Self, Error> {
        let filter = crate::runs::parsed(text)?;
        let is_asked = |wanted: &Wanted| {
            matches!(wanted, Wanted::Job(_) | Wanted::Worker(_) | Wanted::Type(_) | Wanted::Tag(_))
        };
        match filter.terms().iter().find(|term| !is_asked(&term.wanted)) {
            None => Ok(Self(filter)),
            Some(term) => {
                let message = format!("where: {term} is not asked of jobs: the words are {WORDS}");
                Err(Error::invalid(message))
            }
        }
    }

    /// Whether a job is meant. Of one whose spec cannot be read the id alone is known.
    pub(crate) fn takes(&self, job_id: &str, spec: &Doc) -> bool {
        self.0.terms().iter().all(|term| holds(term, job_id, spec))
    }
}

fn holds(term: &Term, job_id: &str, spec: &Doc) -> bool {
    let field = |name: &str| spec.get(name).and_then(Value::as_str);
    let any = |patterns: &[String], text: Option<&str>| {
        text.is_some_and(|text| patterns.iter().any(|pattern| matches(pattern, text)))
    };
    let has = match &term.wanted {
        Wanted::Job(patterns) => any(patterns, Some(job_id)),
        Wanted::Worker(patterns) => any(patterns, field("worker")),
        Wanted::Type(types) => field("type").is_some_and(|job_type| types.iter().any(|one| one == job_type)),
        Wanted::Tag(tags) => {
            let own = || spec.get("tags").and_then(Value::as_object).into_iter().flatten();
            let own = || own().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            tags.iter().any(|tag| tag.is_among(own()))
        }
        _ => false,
    };
    has != term.is_negated
}
