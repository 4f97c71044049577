//! The words of a filter, and what each asks of a run.

use std::fmt;

use crate::Timestamp;
use crate::duration::Span;
use crate::glob::matches;
use crate::request::Instant;
use crate::run::{Fingerprint, Run, Status};

/// A word that a term begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Where the run stands.
    Status,
    /// Its job, by pattern.
    Job,
    /// Dispatched at or after a time.
    Since,
    /// Dispatched before a time.
    Until,
    /// The worker it is for, by pattern.
    Worker,
    /// The type of its job.
    Type,
    /// The kind of what started it.
    Trigger,
    /// A part of its reason.
    Reason,
    /// The fingerprint of its reason.
    Fingerprint,
    /// The beginning of its id.
    Id,
    /// Its idempotency key, by pattern.
    Key,
    /// The backfill that made it.
    Backfill,
    /// The host that ran it last, by pattern.
    Host,
    /// A tag of its job.
    Tag,
}

impl Word {
    /// Every word, in the order of the guide.
    pub const ALL: [Self; 14] = [
        Self::Status,
        Self::Job,
        Self::Since,
        Self::Until,
        Self::Worker,
        Self::Type,
        Self::Trigger,
        Self::Reason,
        Self::Fingerprint,
        Self::Id,
        Self::Key,
        Self::Backfill,
        Self::Host,
        Self::Tag,
    ];

    /// The word as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Job => "job",
            Self::Since => "since",
            Self::Until => "until",
            Self::Worker => "worker",
            Self::Type => "type",
            Self::Trigger => "trigger",
            Self::Reason => "reason",
            Self::Fingerprint => "fingerprint",
            Self::Id => "id",
            Self::Key => "key",
            Self::Backfill => "backfill",
            Self::Host => "host",
            Self::Tag => "tag",
        }
    }
}

/// A time, by itself or by how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterTime {
    /// So long ago.
    Ago(Span),
    /// At a time.
    At(Instant),
}

impl FilterTime {
    /// The instant, seen from `now`; a time without a zone is one of `zone`.
    #[must_use]
    pub fn before(self, now: Timestamp, zone: chrono_tz::Tz) -> Timestamp {
        match self {
            Self::Ago(span) => now.checked_sub_signed(span.delta()).unwrap_or(Timestamp::MIN_UTC),
            Self::At(instant) => instant.in_zone(zone),
        }
    }

    /// The time as a filter writes it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Ago(span) => span.to_string(),
            Self::At(Instant::Absolute(at)) => crate::message::iso(*at),
            Self::At(Instant::Wall(wall)) => wall.format("%Y-%m-%dT%H:%M:%S").to_string(),
        }
    }
}

/// A tag of a job: its name, and its value where that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The name, by pattern.
    pub name: String,
    /// The value, by pattern.
    pub value: Option<String>,
}

impl Tag {
    /// Whether tags have this one.
    #[must_use]
    pub fn is_among<'a>(&self, mut tags: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        tags.any(|(name, value)| {
            matches(&self.name, name) && self.value.as_deref().is_none_or(|wanted| matches(wanted, value))
        })
    }
}

/// The values that a term asks for: any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these statuses.
    Status(Vec<Status>),
    /// A job whose id one of these patterns matches.
    Job(Vec<String>),
    /// Dispatched at or after this.
    Since(FilterTime),
    /// Dispatched before this.
    Until(FilterTime),
    /// A worker whose name one of these patterns matches.
    Worker(Vec<String>),
    /// One of these job types.
    Type(Vec<String>),
    /// Started by one of these kinds, as [`Trigger::kind`](crate::run::Trigger::kind) names them.
    Trigger(Vec<String>),
    /// A reason that has one of these texts in it, in capitals or not.
    Reason(Vec<String>),
    /// A reason that has one of these fingerprints.
    Fingerprint(Vec<Fingerprint>),
    /// An id that begins with one of these.
    Id(Vec<String>),
    /// An idempotency key that one of these patterns matches.
    Key(Vec<String>),
    /// Made by one of these backfills.
    Backfill(Vec<String>),
    /// A host whose name one of these patterns matches.
    Host(Vec<String>),
    /// A job that has one of these tags: [`Filter::with_tags`](super::Filter::with_tags) puts jobs in their place.
    Tag(Vec<Tag>),
}

/// A condition on runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whether it must not hold.
    pub is_negated: bool,
    /// The values that it asks for.
    pub wanted: Wanted,
}

impl Term {
    /// Whether a run has what is asked for, or has not where the term is negated. Times and tags are not in the way.
    pub(super) fn holds(&self, run: &Run) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        let maybe = |patterns: &[String], text: Option<&str>| text.is_some_and(|text| any(patterns, text));
        let has = match &self.wanted {
            Wanted::Since(_) | Wanted::Until(_) | Wanted::Tag(_) => return true,
            Wanted::Status(statuses) => statuses.contains(&run.status),
            Wanted::Job(patterns) => any(patterns, run.job_id.as_str()),
            Wanted::Worker(patterns) => any(patterns, run.worker.as_str()),
            Wanted::Type(types) => types.contains(&run.job_type),
            Wanted::Trigger(kinds) => kinds.iter().any(|kind| kind == run.trigger().kind()),
            Wanted::Reason(parts) => run.reason.as_deref().is_some_and(|reason| {
                let reason = reason.to_lowercase();
                parts.iter().any(|part| reason.contains(&part.to_lowercase()))
            }),
            Wanted::Fingerprint(all) => all.contains(&Fingerprint::of(run)),
            Wanted::Id(beginnings) => {
                beginnings.iter().any(|beginning| run.key.as_str().starts_with(&**beginning))
            }
            Wanted::Key(patterns) => maybe(patterns, run.keyed.as_ref().map(|keyed| &*keyed.key)),
            Wanted::Backfill(ids) => ids.iter().any(|id| run.is_of_backfill(id)),
            Wanted::Host(patterns) => maybe(patterns, run.hostname.as_deref()),
        };
        has != self.is_negated
    }

    /// The word, and its values as they are written.
    fn parts(&self) -> (Word, Vec<String>) {
        let tag = |tag: &Tag| match &tag.value {
            Some(value) => format!("{}={value}", tag.name),
            None => tag.name.clone(),
        };
        match &self.wanted {
            Wanted::Status(all) => (Word::Status, all.iter().map(ToString::to_string).collect()),
            Wanted::Job(all) => (Word::Job, all.clone()),
            Wanted::Since(at) => (Word::Since, vec![at.written()]),
            Wanted::Until(at) => (Word::Until, vec![at.written()]),
            Wanted::Worker(all) => (Word::Worker, all.clone()),
            Wanted::Type(all) => (Word::Type, all.clone()),
            Wanted::Trigger(all) => (Word::Trigger, all.clone()),
            Wanted::Reason(all) => (Word::Reason, all.clone()),
            Wanted::Fingerprint(all) => (Word::Fingerprint, all.iter().map(ToString::to_string).collect()),
            Wanted::Id(all) => (Word::Id, all.clone()),
            Wanted::Key(all) => (Word::Key, all.clone()),
            Wanted::Backfill(all) => (Word::Backfill, all.clone()),
            Wanted::Host(all) => (Word::Host, all.clone()),
            Wanted::Tag(all) => (Word::Tag, all.iter().map(tag).collect()),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, values) = self.parts();
        written(f, self.is_negated, word.as_str(), &values)
    }
}

/// Writes a term so that it is read again as the same one.
pub(super) fn written(
    f: &mut fmt::Formatter<'_>,
    is_negated: bool,
    word: &str,
    values: &[String],
) -> fmt::Result {
    write!(f, "{}{word}:", if is_negated { "-" } else { "" })?;
    for (index, value) in values.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { "," })?;
        if value.is_empty() || value.contains(|c: char| c.is_whitespace() || ",\"\\".contains(c)) {
            write!(f, "\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
        } else {
            f.write_str(value)?;
        }
    }
    Ok(())
}
