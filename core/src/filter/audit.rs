//! The words of a filter of the audit, and what each asks of an entry.

use std::fmt;

use super::parse::{BadFilter, Mistake, Part, Vocabulary, mistake, terms, when, with_offsets};
use super::term::{FilterTime, written};
use super::zoned;
use crate::Timestamp;
use crate::audit::{ActOutcome, AuditEntry};
use crate::glob::matches;
use crate::problem::nearest;
use crate::text::quoted;

/// A word that a term begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditWord {
    /// The actor, by pattern.
    Who,
    /// The act: the words of the command, by pattern.
    Act,
    /// The target, by pattern: its name, or its kind and its name with a colon between.
    What,
    /// Begun at or after a time.
    Since,
    /// Begun before a time.
    Until,
    /// By which way, or from which machine.
    From,
    /// The outcome.
    Outcome,
}

impl AuditWord {
    /// Every word, in the order of the guide.
    pub const ALL: [Self; 7] =
        [Self::Who, Self::Act, Self::What, Self::Since, Self::Until, Self::From, Self::Outcome];

    /// The word as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Who => "who",
            Self::Act => "act",
            Self::What => "what",
            Self::Since => "since",
            Self::Until => "until",
            Self::From => "from",
            Self::Outcome => "outcome",
        }
    }
}

impl Vocabulary for AuditWord {
    type Wanted = AuditWanted;

    fn all() -> impl Iterator<Item = Self> {
        AuditWord::ALL.into_iter()
    }

    fn several() -> String {
        "from:console,api".to_owned()
    }

    fn not() -> String {
        "-act:dispatch".to_owned()
    }

    fn bare() -> [&'static str; 2] {
        ["who", "what"]
    }

    fn word(self) -> &'static str {
        self.as_str()
    }

    fn opposite(self) -> Option<&'static str> {
        match self {
            Self::Since => Some("until"),
            Self::Until => Some("since"),
            _ => None,
        }
    }

    fn wanted(self, parts: Vec<Part>) -> Result<AuditWanted, Mistake> {
        let texts = |parts: Vec<Part>| parts.into_iter().map(|part| part.text).collect();
        Ok(match self {
            Self::Who => AuditWanted::Who(texts(parts)),
            Self::Act => AuditWanted::Act(texts(parts)),
            Self::What => AuditWanted::What(texts(parts)),
            Self::Since => AuditWanted::Since(when(self.as_str(), parts)?),
            Self::Until => AuditWanted::Until(when(self.as_str(), parts)?),
            Self::From => AuditWanted::From(texts(parts)),
            Self::Outcome => AuditWanted::Outcome(parts.into_iter().map(outcome).collect::<Result<_, _>>()?),
        })
    }
}

fn outcome(part: Part) -> Result<ActOutcome, Mistake> {
    if let Some(found) = ActOutcome::ALL.into_iter().find(|one| one.as_str() == part.text) {
        return Ok(found);
    }
    let all = ActOutcome::ALL.map(ActOutcome::as_str);
    let near = nearest(&part.text, all).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
    mistake(part.at, format!("{} is not an outcome: {near}one of {}", quoted(&part.text), all.join(", ")))
}

/// The values that a term asks for: any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditWanted {
    /// An actor whose name one of these patterns matches.
    Who(Vec<String>),
    /// A command whose words one of these patterns matches.
    Act(Vec<String>),
    /// A target that one of these patterns matches.
    What(Vec<String>),
    /// Begun at or after this.
    Since(FilterTime),
    /// Begun before this.
    Until(FilterTime),
    /// A way, or a machine whose name one of these patterns matches.
    From(Vec<String>),
    /// One of these outcomes.
    Outcome(Vec<ActOutcome>),
}

/// A condition on entries of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditTerm {
    /// Whether it must not hold.
    pub is_negated: bool,
    /// The values that it asks for.
    pub wanted: AuditWanted,
}

/// The end of the words of an act on many things.
const OF_MANY: &str = " --where";

/// Whether an entry names what one of these patterns matches.
fn names(patterns: &[String], entry: &AuditEntry) -> bool {
    let any = |text: &str| patterns.iter().any(|pattern| matches(pattern, text));
    entry.what.iter().any(|target| any(&target.name) || any(&format!("{}:{}", target.kind, target.name)))
}

impl AuditTerm {
    fn holds(&self, entry: &AuditEntry) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        let has = match &self.wanted {
            AuditWanted::Since(_) | AuditWanted::Until(_) => return true,
            AuditWanted::Who(patterns) => any(patterns, &entry.who),
            // An act on all that a filter means is one on each.
            AuditWanted::Act(patterns) => {
                any(patterns, &entry.act)
                    || entry.act.strip_suffix(OF_MANY).is_some_and(|act| any(patterns, act))
            }
            // Targets that are not named may be meant, and may not: to leave the entry out would say that they are not.
            AuditWanted::What(_) if entry.unnamed > 0 => return true,
            AuditWanted::What(patterns) => names(patterns, entry),
            AuditWanted::From(patterns) => {
                let host = entry.host.as_deref();
                any(patterns, entry.from.as_str()) || host.is_some_and(|host| any(patterns, host))
            }
            AuditWanted::Outcome(all) => all.contains(&entry.outcome),
        };
        has != self.is_negated
    }

    fn parts(&self) -> (AuditWord, Vec<String>) {
        match &self.wanted {
            AuditWanted::Who(all) => (AuditWord::Who, all.clone()),
            AuditWanted::Act(all) => (AuditWord::Act, all.clone()),
            AuditWanted::What(all) => (AuditWord::What, all.clone()),
            AuditWanted::Since(at) => (AuditWord::Since, vec![at.written()]),
            AuditWanted::Until(at) => (AuditWord::Until, vec![at.written()]),
            AuditWanted::From(all) => (AuditWord::From, all.clone()),
            AuditWanted::Outcome(all) => (AuditWord::Outcome, all.iter().map(ToString::to_string).collect()),
        }
    }
}

impl fmt::Display for AuditTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, values) = self.parts();
        written(f, self.is_negated, word.as_str(), &values)
    }
}

/// Times that contradict each other, so that no entry can match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: no entry can match")]
pub struct NoEntryMatches(String);

/// Which entries of the audit are meant. Every term must hold; without terms all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    terms: Vec<AuditTerm>,
}

impl AuditFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`BadFilter`] with the text and a caret below the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self, BadFilter> {
        let terms = terms::<AuditWord>(text)?;
        let terms = terms.into_iter().map(|(is_negated, wanted)| AuditTerm { is_negated, wanted });
        Ok(Self { terms: terms.collect() })
    }

    /// The text of a filter with the offset of a zone behind each time that names none; a text that is not a filter stays as
    /// it is.
    #[must_use]
    pub fn with_offsets(text: &str, zone: chrono_tz::Tz) -> String {
        with_offsets::<AuditWord>(text, zone)
    }

    /// The same with one more term that must hold.
    #[must_use]
    pub fn and(mut self, wanted: AuditWanted) -> Self {
        self.terms.push(AuditTerm { is_negated: false, wanted });
        self
    }

    /// Whether an entry is meant; its time is left to [`AuditFilter::times`].
    #[must_use]
    pub fn holds(&self, entry: &AuditEntry) -> bool {
        self.terms.iter().all(|term| term.holds(entry))
    }

    /// Whether an entry that is meant may be about other things than are asked for, as it does not name all that it is about.
    #[must_use]
    pub fn is_unsure(&self, entry: &AuditEntry) -> bool {
        let is_open = |term: &AuditTerm| match &term.wanted {
            AuditWanted::What(patterns) => names(patterns, entry) == term.is_negated,
            _ => false,
        };
        entry.unnamed > 0 && self.terms.iter().any(is_open)
    }

    /// Whether it has a time that names no zone.
    #[must_use]
    pub fn asks_for_zone(&self) -> bool {
        self.terms.iter().any(|term| match &term.wanted {
            AuditWanted::Since(at) | AuditWanted::Until(at) => zoned(at),
            _ => false,
        })
    }

    /// The times from and before which entries are meant. Times without a zone are in `zone`.
    ///
    /// # Errors
    /// [`NoEntryMatches`] when they contradict each other.
    pub fn times(
        &self,
        now: Timestamp,
        zone: chrono_tz::Tz,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), NoEntryMatches> {
        let (mut since, mut until): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        for term in &self.terms {
            match &term.wanted {
                AuditWanted::Since(when) => {
                    let at = when.before(now, zone);
                    since = Some(since.map_or(at, |since| since.max(at)));
                }
                AuditWanted::Until(when) => {
                    let at = when.before(now, zone);
                    until = Some(until.map_or(at, |until| until.min(at)));
                }
                _ => {}
            }
        }
        match (since, until) {
            (Some(since), Some(until)) if until <= since => {
                let [since, until] = [since, until].map(crate::clock::utc);
                Err(NoEntryMatches(format!("until: {until} is not after since: {since}")))
            }
            both => Ok(both),
        }
    }
}

impl fmt::Display for AuditFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{term}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditId, Origin, Target};

    fn entry() -> AuditEntry {
        let at = Timestamp::from_timestamp_millis(1_798_761_600_000).unwrap();
        AuditEntry {
            id: AuditId::first_at(at),
            at,
            who: "ada".to_owned(),
            from: Origin::Console,
            host: Some("lab-1".to_owned()),
            act: "jobs delete".to_owned(),
            what: vec![Target::new("job", "etl/load")],
            unnamed: 0,
            asked: serde_json::Value::Null,
            changes: Vec::new(),
            outcome: ActOutcome::Done,
            answer: serde_json::Value::Null,
            error: None,
            ended: None,
            expires: None,
        }
    }

    #[test]
    fn filter_means_the_entries_that_its_terms_say() {
        for (text, holds) in [
            ("", true),
            ("who:ada", true),
            ("who:a*,bob act:\"jobs *\"", true),
            ("what:etl/* outcome:done", true),
            ("what:job:etl/load", true),
            ("what:run:*", false),
            ("from:console", true),
            ("from:lab-*", true),
            ("from:cli,api", false),
            ("-act:dispatch", true),
            ("-who:ada", false),
            ("since:2d until:1h", true),
        ] {
            let filter = AuditFilter::parse(text).unwrap();
            assert_eq!(filter.holds(&entry()), holds, "{text}");
            assert_eq!(AuditFilter::parse(&filter.to_string()).unwrap(), filter, "{text}");
        }
    }

    #[test]
    fn entry_that_does_not_name_all_may_be_meant() {
        let entry = AuditEntry { unnamed: 3, ..entry() };
        for (text, is_unsure) in [
            ("what:etl/load", false),
            ("what:other", true),
            ("-what:other", false),
            ("-what:etl/*", true),
            ("", false),
        ] {
            let filter = AuditFilter::parse(text).unwrap();
            assert_eq!((filter.holds(&entry), filter.is_unsure(&entry)), (true, is_unsure), "{text}");
        }
    }

    #[test]
    fn act_on_many_is_found_by_the_words_of_the_act() {
        let entry = AuditEntry { act: "runs cancel --where".to_owned(), ..entry() };
        for (text, holds) in [
            ("act:\"runs cancel\"", true),
            ("act:\"runs cancel --where\"", true),
            ("-act:\"runs cancel\"", false),
            ("act:\"runs retry\"", false),
        ] {
            assert_eq!(AuditFilter::parse(text).unwrap().holds(&entry), holds, "{text}");
        }
    }

    #[test]
    fn filter_that_is_wrong_is_refused_with_a_caret() {
        for (text, part) in [
            ("job:x", "the words are who: act: what:"),
            ("outcome:ok", "is not an outcome"),
            ("ada", "write who:ada or what:ada"),
            ("-since:2d", "write until: instead"),
            ("since:soon", "neither how long ago"),
        ] {
            let error = AuditFilter::parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("\n  "), "{error}");
        }
        let filter = AuditFilter::parse("since:1h until:2h").unwrap();
        let error = filter.times(entry().at, chrono_tz::UTC).unwrap_err();
        assert!(error.to_string().contains("is not after"), "{error}");
    }
}
