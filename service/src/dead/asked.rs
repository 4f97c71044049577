//! Which dead letters a filter means: the words of the one grammar that say something of a letter.

use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::filter::{Filter, Term, Wanted};
use pumice_core::glob::matches;
use pumice_core::spec::Timezone;

use super::list::DeadShown;
use crate::failure::Error;
use crate::realm::Realm;

/// The words that dead letters are looked for by.
const WORDS: &str = "worker: job: status: since: until: reason: id:";

/// The terms of a request, ready to be asked.
pub(super) struct Asked {
    pub(super) filter: Filter,
    now: Timestamp,
    zone: Tz,
}

impl Asked {
    /// Reads terms; without any every letter is meant.
    ///
    /// # Errors
    /// [`Error`] when they are invalid, have a word that says nothing of letters, or the store cannot be read.
    pub(super) async fn read(
        realm: &dyn Realm,
        text: Option<&str>,
        zone: Option<Timezone>,
    ) -> Result<Self, Error> {
        let filter = crate::runs::parsed(text)?;
        if let Some(term) = filter.terms().iter().find(|term| !is_asked(&term.wanted)) {
            let message = format!("where: {term} is not asked of dead letters: the words are {WORDS}");
            return Err(Error::invalid(message));
        }
        let zone = match zone {
            Some(zone) => zone.0,
            None if filter.asks_for_zone() => realm.site().await?.zone.tz(),
            None => chrono_tz::UTC,
        };
        Ok(Self { filter, now: realm.now(), zone })
    }

    /// Whether letters of a worker may be meant; `None` is the dispatcher.
    pub(super) fn takes_queue(&self, worker: Option<&str>) -> bool {
        self.filter.terms().iter().all(|term| match &term.wanted {
            Wanted::Worker(patterns) => {
                let is_one = worker.is_some_and(|name| patterns.iter().any(|glob| matches(glob, name)));
                is_one != term.is_negated
            }
            _ => true,
        })
    }

    /// Whether a letter is meant.
    pub(super) fn takes(&self, letter: &DeadShown) -> bool {
        self.filter.terms().iter().all(|term| self.holds(term, letter))
    }

    fn holds(&self, term: &Term, letter: &DeadShown) -> bool {
        let any = |patterns: &[String], text: Option<&str>| {
            text.is_some_and(|text| patterns.iter().any(|pattern| matches(pattern, text)))
        };
        let has = match &term.wanted {
            Wanted::Since(when) => return letter.at.0 >= when.before(self.now, self.zone),
            Wanted::Until(when) => return letter.at.0 < when.before(self.now, self.zone),
            Wanted::Worker(patterns) => any(patterns, letter.worker.as_ref().map(|worker| worker.as_str())),
            Wanted::Job(patterns) => any(patterns, letter.job_id.as_deref()),
            Wanted::Status(all) => letter.status.is_some_and(|status| all.contains(&status)),
            Wanted::Reason(parts) => letter.reason.as_deref().is_some_and(|reason| {
                let reason = reason.to_lowercase();
                parts.iter().any(|part| reason.contains(&part.to_lowercase()))
            }),
            Wanted::Id(beginnings) => letter
                .run
                .as_ref()
                .is_some_and(|run| beginnings.iter().any(|begin| run.as_str().starts_with(&**begin))),
            _ => false,
        };
        has != term.is_negated
    }
}

const fn is_asked(wanted: &Wanted) -> bool {
    matches!(
        wanted,
        Wanted::Since(_)
            | Wanted::Until(_)
            | Wanted::Worker(_)
            | Wanted::Job(_)
            | Wanted::Status(_)
            | Wanted::Reason(_)
            | Wanted::Id(_)
    )
}
