//! The query grammar: which runs a list or a bulk command is about, which entries of the audit, and which items of any other
//! list.
//!
//! A filter is terms with blanks between, all of which must hold: `status:failed,rejected job:etl/* -worker:gpu since:2d
//! reason:"exit status 3"`. A term is a word, a colon and values; several values with commas mean any of them, and a minus
//! sign before the word turns the term round, as OpenSearch's and GitHub's users write it.

mod audit;
mod items;
mod parse;
mod term;

use std::collections::BTreeSet;
use std::fmt;

pub use audit::{AuditFilter, AuditTerm, AuditWanted, AuditWord, NoEntryMatches};
pub use items::{ItemFilter, ItemQuery, ItemWord, Items, NoItemMatches};
pub use parse::{BadFilter, MAX_FILTER};
pub use term::{FilterTime, Tag, Term, Wanted, Word};

use crate::Timestamp;
use crate::glob::{literal, matches};
use crate::ids::JobId;
use crate::request::Instant;
use crate::run::{Run, Status};

/// Which runs are meant. Every term must hold; without terms all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

/// Terms that contradict each other, so that no run can match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: no run can match")]
pub struct NoneMatch(pub(crate) String);

/// The part of a filter that a store's indexes can answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The statuses, none for any.
    pub(crate) statuses: Vec<Status>,
    /// Dispatched at or after this only.
    pub(crate) since: Option<Timestamp>,
    /// Dispatched before this only.
    pub(crate) until: Option<Timestamp>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`BadFilter`] with the text and a caret below the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self, BadFilter> {
        parse::parse(text).map(|terms| Self { terms })
    }

    /// The text of a filter with the offset of a zone behind each time that names none, so that it means the same wherever it
    /// is read. A text that is not a filter stays as it is.
    #[must_use]
    pub fn with_offsets(text: &str, zone: chrono_tz::Tz) -> String {
        parse::with_offsets::<Word>(text, zone)
    }

    /// Whether it has no terms, so that every run is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The same with one more term that must hold.
    #[must_use]
    pub fn and(mut self, wanted: Wanted) -> Self {
        self.terms.push(Term { is_negated: false, wanted });
        self
    }

    /// Whether a run is meant, as far as its record alone shows; terms of times and tags were moved elsewhere.
    #[must_use]
    pub fn holds(&self, run: &Run) -> bool {
        self.terms.iter().all(|term| term.holds(run))
    }

    /// Whether runs of a job may be meant.
    #[must_use]
    pub fn takes_job(&self, job_id: &str) -> bool {
        self.terms.iter().all(|term| match &term.wanted {
            Wanted::Job(patterns) => {
                patterns.iter().any(|pattern| matches(pattern, job_id)) != term.is_negated
            }
            _ => true,
        })
    }

    /// Whether nothing but the job matters.
    #[must_use]
    pub fn asks_for_jobs_alone(&self) -> bool {
        self.terms.iter().all(|term| matches!(term.wanted, Wanted::Job(_)))
    }

    /// The patterns of job ids of which one must match; `None` when any job is meant.
    #[must_use]
    pub fn jobs(&self) -> Option<&[String]> {
        self.positive(|wanted| match wanted {
            Wanted::Job(patterns) => Some(patterns.as_slice()),
            _ => None,
        })
    }

    /// The beginnings of ids of which one must match; `None` when any id is meant.
    #[must_use]
    pub fn ids(&self) -> Option<&[String]> {
        self.positive(|wanted| match wanted {
            Wanted::Id(beginnings) => Some(beginnings.as_slice()),
            _ => None,
        })
    }

    /// The ids of the backfills that it names; only one of them made a run.
    #[must_use]
    pub fn backfills(&self) -> Option<&[String]> {
        self.positive(|wanted| match wanted {
            Wanted::Backfill(ids) => Some(ids.as_slice()),
            _ => None,
        })
    }

    fn positive<'a, T>(&'a self, of: impl Fn(&'a Wanted) -> Option<&'a [T]>) -> Option<&'a [T]> {
        self.terms.iter().filter(|term| !term.is_negated).find_map(|term| of(&term.wanted))
    }

    /// Whether it has a time that names no zone.
    #[must_use]
    pub fn asks_for_zone(&self) -> bool {
        self.terms.iter().any(|term| match &term.wanted {
            Wanted::Since(at) | Wanted::Until(at) => zoned(at),
            _ => false,
        })
    }

    /// Whether it asks for tags, which are in the specs of jobs rather than in the records of runs.
    #[must_use]
    pub fn asks_for_tags(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.wanted, Wanted::Tag(_)))
    }

    /// The same with the jobs in place of the tags that they have: `tagged` says which jobs have one of some tags.
    #[must_use]
    pub fn with_tags(mut self, tagged: impl Fn(&[Tag]) -> BTreeSet<JobId>) -> Self {
        for term in &mut self.terms {
            if let Wanted::Tag(tags) = &term.wanted {
                let jobs = tagged(tags);
                term.wanted = Wanted::Job(jobs.iter().map(|id| literal(id.as_str())).collect());
            }
        }
        self
    }

    /// The part that indexes can answer, and the rest of the filter. Times without a zone are in `zone`.
    ///
    /// # Errors
    /// [`NoneMatch`] when terms contradict each other.
    pub(crate) fn bounds(self, now: Timestamp, zone: chrono_tz::Tz) -> Result<(Bounds, Self), NoneMatch> {
        let mut bounds = Bounds::default();
        let mut allowed: Vec<Status> = Status::of_runs().collect();
        let (mut is_any, mut rest) = (true, Vec::new());
        for term in self.terms {
            match &term.wanted {
                Wanted::Status(statuses) => {
                    is_any = false;
                    let before = allowed.clone();
                    allowed.retain(|status| statuses.contains(status) != term.is_negated);
                    if allowed.is_empty() {
                        return Err(NoneMatch(format!("{term} leaves none of {}", listed(&before))));
                    }
                }
                Wanted::Since(when) => {
                    let at = when.before(now, zone);
                    bounds.since = Some(bounds.since.map_or(at, |since| since.max(at)));
                }
                Wanted::Until(when) => {
                    let at = when.before(now, zone);
                    bounds.until = Some(bounds.until.map_or(at, |until| until.min(at)));
                }
                _ => rest.push(term),
            }
        }
        if let (Some(since), Some(until)) = (bounds.since, bounds.until)
            && until <= since
        {
            let [since, until] = [since, until].map(crate::clock::utc);
            return Err(NoneMatch(format!("until: {until} is not after since: {since}")));
        }
        // A run that ended well has no reason, and no index has those.
        let asks_reason = |wanted: &Wanted| matches!(wanted, Wanted::Reason(_) | Wanted::Fingerprint(_));
        let has_reason = rest.iter().any(|term| !term.is_negated && asks_reason(&term.wanted));
        if has_reason {
            is_any = false;
            allowed.retain(|status| *status != Status::Complete);
            if allowed.is_empty() {
                return Err(NoneMatch("a run that is complete has no reason".to_owned()));
            }
        }
        if !is_any {
            bounds.statuses = allowed;
        }
        Ok((bounds, Self { terms: rest }))
    }
}

/// Whether a time names no zone, so that one must be looked up.
fn zoned(at: &FilterTime) -> bool {
    matches!(at, FilterTime::At(Instant::Wall(_)))
}

fn listed(statuses: &[Status]) -> String {
    statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{term}")?;
        }
        Ok(())
    }
}
