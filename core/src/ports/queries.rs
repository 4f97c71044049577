//! Queries for runs, and their answers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{StoreError, StoreErrorKind};
use crate::Timestamp;
use crate::filter::{Bounds, Filter, NoneMatch};
use crate::glob::matches;
use crate::ids::{JobId, RunKey};
use crate::run::{Run, Status};
use crate::text::quoted;

/// The order of a list of runs, by the time at which they were dispatched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The newest run first.
    #[default]
    Newest,
    /// The oldest run first.
    Oldest,
}

impl Order {
    const fn letter(self) -> char {
        match self {
            Self::Newest => 'n',
            Self::Oldest => 'o',
        }
    }
}

/// Which runs to list. Every filter must hold.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Of this job only; the text may hold the wildcards of [`crate::glob`].
    pub job: Option<String>,
    /// In one of these statuses only; empty for any.
    pub statuses: Vec<Status>,
    /// Dispatched at or after this only.
    pub since: Option<Timestamp>,
    /// Dispatched before this only.
    pub until: Option<Timestamp>,
    /// Only the run and the children with this id, and what they dispatched. Such a tree comes whole and with
    /// parents first: nothing else of the query counts.
    pub tree_of: Option<RunKey>,
    /// Only those that the backfill with this id made.
    pub backfill: Option<String>,
    /// Only those that these terms mean, besides.
    pub filter: Filter,
    /// Whether children of chains and the like are listed too.
    pub children: bool,
    /// Whether alerts of broken limits are left out: they stand under a job's name and are not runs of it.
    pub without_alerts: bool,
    /// In which order.
    pub order: Order,
    /// Where an earlier page ended; of the same order.
    pub cursor: Option<PageCursor>,
    /// At most so many runs.
    pub limit: usize,
    /// At most so many records are looked at, and at least one, whether they are listed or not; `None` for as many as it
    /// takes.
    pub look_limit: Option<usize>,
}

impl RunQuery {
    /// Whether counts by job and status can tell how many runs it asks for.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.since.is_none()
            && self.until.is_none()
            && self.tree_of.is_none()
            && self.cursor.is_none()
            && self.backfill.is_none()
            && !self.without_alerts
            && self.filter.asks_for_jobs_alone()
    }

    /// The query for the runs that a filter means: terms that indexes can answer have fields of their own. Times
    /// without a zone are in `zone`.
    ///
    /// # Errors
    /// [`NoneMatch`] when terms of the filter contradict each other.
    pub fn of(filter: Filter, now: Timestamp, zone: chrono_tz::Tz) -> Result<Self, NoneMatch> {
        let (Bounds { statuses, since, until }, filter) = filter.bounds(now, zone)?;
        Ok(Self { statuses, since, until, filter, ..Self::default() })
    }

    /// Whether runs of a job may be asked for.
    #[must_use]
    pub fn takes_job(&self, job_id: &str) -> bool {
        self.job.as_deref().is_none_or(|glob| matches(glob, job_id)) && self.filter.takes_job(job_id)
    }

    /// The patterns of job ids of which one must match; `None` when any job is asked for. Others may have to match as well,
    /// as [`RunQuery::takes_job`] says.
    #[must_use]
    pub fn jobs(&self) -> Option<Vec<&str>> {
        match &self.job {
            Some(job) => Some(vec![job]),
            None => self.filter.jobs().map(|patterns| patterns.iter().map(String::as_str).collect()),
        }
    }

    /// Whether a run is one that the query asks for, wherever its list begins.
    #[must_use]
    pub fn holds(&self, run: &Run) -> bool {
        (self.children || !run.is_child())
            && !(self.without_alerts && run.late.is_some())
            && self.backfill.as_deref().is_none_or(|id| run.is_of_backfill(id))
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.since.is_none_or(|since| run.ts_dispatch >= since)
            && self.until.is_none_or(|until| run.ts_dispatch < until)
            && self.job.as_deref().is_none_or(|glob| matches(glob, run.job_id.as_str()))
            && self.filter.holds(run)
    }

    /// Where the list goes on.
    ///
    /// # Errors
    /// [`StoreError`] when the cursor is one of a list in the other order.
    pub fn place(&self) -> Result<Option<&PageCursor>, StoreError> {
        match &self.cursor {
            Some(cursor) if cursor.order != self.order => Err(StoreError::of(
                StoreErrorKind::Invalid,
                format!("cursor {cursor} is of a list in the other order: list the runs in that order"),
            )),
            cursor => Ok(cursor.as_ref()),
        }
    }
}

/// Where a page of a list ended. Its text is opaque; it stays right while runs are added and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// The order of the list.
    pub order: Order,
    /// The last record's place in the store's order; only the store knows its meaning.
    pub place: i64,
    /// The last record's key.
    pub key: RunKey,
}

/// A text that no list gave as a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor {0} is invalid: give one that `runs list` has shown, whole")]
pub struct BadCursor(String);

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:x}-{}", self.order.letter(), self.place, self.key)
    }
}

impl FromStr for PageCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let order =
                [Order::Newest, Order::Oldest].into_iter().find(|order| text.starts_with(order.letter()))?;
            let (place, key) = text[1..].split_once('-')?;
            let place = u64::from_str_radix(place, 16).ok()?.cast_signed();
            let cursor = Self { order, place, key: key.parse().ok()? };
            // One text for one place: any other spelling was changed on the way.
            (cursor.to_string() == text).then_some(cursor)
        };
        parse().ok_or_else(|| BadCursor(quoted(text)))
    }
}

impl Serialize for PageCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PageCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One page of a list of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunPage {
    /// The runs, in the query's order.
    pub runs: Vec<Run>,
    /// Where the list goes on; `None` when it is complete.
    pub next: Option<PageCursor>,
    /// How many records were looked at.
    pub looked_at: usize,
    /// Whether the page ended because of [`RunQuery::look_limit`]: more may or may not be found.
    pub is_cut: bool,
    /// A limitation of this answer, in words for people, as an index that the table lacks.
    pub note: Option<String>,
}

/// Puts a page together out of records that a store looks at one by one, in the order of the query.
#[derive(Debug)]
pub struct Pager<'q> {
    query: &'q RunQuery,
    page: RunPage,
    /// The last record before the one that did not fit on the page.
    last: Option<PageCursor>,
    has_more: bool,
}

impl<'q> Pager<'q> {
    /// An empty page.
    #[must_use]
    pub fn new(query: &'q RunQuery) -> Self {
        Self { query, page: RunPage::default(), last: query.cursor.clone(), has_more: false }
    }

    /// Whether the store is to look at another record.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.has_more && self.left() > 0
    }

    /// How many records the store may still look at.
    #[must_use]
    pub fn left(&self) -> usize {
        self.query.look_limit.map_or(usize::MAX, |limit| limit.max(1).saturating_sub(self.page.looked_at))
    }

    /// Takes note of a record at its place: `run` when it may be one that is asked for, `None` when it is not or
    /// cannot be read.
    pub fn look(&mut self, place: i64, key: RunKey, run: Option<Run>) {
        self.page.looked_at += 1;
        if let Some(run) = run.filter(|run| self.query.holds(run)) {
            if self.page.runs.len() >= self.query.limit {
                self.has_more = true;
                return;
            }
            self.page.runs.push(run);
        }
        self.last = Some(PageCursor { order: self.query.order, place, key });
    }

    /// The page; `is_end` says that the store has no further record to look at.
    #[must_use]
    pub fn finish(self, is_end: bool) -> RunPage {
        let is_cut = !self.has_more && !is_end;
        let next = self.last.filter(|_| self.has_more || is_cut);
        RunPage { next, is_cut, ..self.page }
    }
}

/// How many runs of a job are in a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct RunCount {
    /// The job.
    pub job_id: String,
    /// Where they stand.
    #[schemars(with = "String")]
    pub status: Status,
    /// How many were dispatched, alerts of broken limits among them.
    pub runs: u64,
    /// How many are steps of others.
    pub steps: u64,
}

/// How many runs of a job were dispatched on a day and ended in a status, whose records are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCount {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The job.
    pub job_id: JobId,
    /// How they ended.
    pub status: Status,
    /// How many.
    pub runs: u64,
}

/// How many runs a store holds, by job and status, as it keeps count of them itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// A job's statuses that no run of it is in are left out.
    pub by_job: Vec<RunCount>,
}

impl Counts {
    /// How many there are of those that a query asks for, whatever its limit; `None` where the counts do not cover it.
    #[must_use]
    pub fn of(&self, query: &RunQuery) -> Option<u64> {
        let is_meant = |count: &&RunCount| {
            (query.statuses.is_empty() || query.statuses.contains(&count.status))
                && query.takes_job(&count.job_id)
        };
        let number = |count: &RunCount| if query.children { count.runs + count.steps } else { count.runs };
        query.is_counted().then(|| self.by_job.iter().filter(is_meant).map(number).sum())
    }

    /// How many were dispatched, by status.
    #[must_use]
    pub fn by_status(&self) -> BTreeMap<&'static str, u64> {
        let mut by_status = BTreeMap::new();
        for count in self.by_job.iter().filter(|count| count.runs > 0) {
            *by_status.entry(count.status.as_str()).or_default() += count.runs;
        }
        by_status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(order: Order, place: i64) -> PageCursor {
        let key = "0190a0a0-0000-7000-8000-000000000000/1.0".parse().unwrap();
        PageCursor { order, place, key }
    }

    #[test]
    fn cursor_text_is_read_as_it_was_written() {
        for order in [Order::Newest, Order::Oldest] {
            for place in [0, 7, 1_767_225_600_123_456, i64::MAX, -1] {
                let cursor = cursor(order, place);
                assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
                let json = serde_json::to_string(&cursor).unwrap();
                assert_eq!(serde_json::from_str::<PageCursor>(&json).unwrap(), cursor);
            }
        }
    }

    #[test]
    fn cursor_that_no_list_gave_is_refused() {
        let whole = cursor(Order::Newest, 7).to_string();
        let cut = &whole[..whole.len() - 1];
        let changed = [whole.to_uppercase(), format!(" {whole}"), whole.replacen("n7", "n07", 1)];
        for bad in ["", "n", "7", "n7", "x7-0190a0a0-0000-7000-8000-000000000000", "né-1", cut]
            .into_iter()
            .chain(changed.iter().map(String::as_str))
        {
            let error = bad.parse::<PageCursor>().unwrap_err().to_string();
            assert!(error.contains("is invalid: give one"), "{bad}: {error}");
        }
    }

    #[test]
    fn cursor_of_the_other_order_is_refused() {
        let query =
            RunQuery { order: Order::Oldest, cursor: Some(cursor(Order::Newest, 1)), ..RunQuery::default() };
        assert!(query.place().unwrap_err().to_string().contains("other order"));
    }
}
