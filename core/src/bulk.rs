//! Acts on many runs at once: cancelling, retrying and deleting all runs that a filter means.
//!
//! Each act has a record, which the process that carries it out writes once a page of runs: so others can watch it and stop
//! it, and after an interruption another process can resume it. The runs of a page are in the record before any of them is
//! touched. So an act that is resumed goes on with the very runs that it had in hand, and then where the list goes on.

use async_trait::async_trait;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;
use crate::audit::{Origin, kept_text};
use crate::duration::Span;
use crate::ids::RunKey;
use crate::ports::{CommitError, PageCursor, StoreError};

/// After how long without a write an active act counts as interrupted: its process has most likely stopped.
pub const SILENCE: TimeDelta = TimeDelta::seconds(120);
/// Longest error that a receipt keeps, in bytes: a page of them must fit into an item of DynamoDB.
pub const MAX_RECEIPT_ERROR: usize = 400;
/// Longest text that a record keeps of why it was stopped or has failed, in bytes.
const MAX_WHY: usize = 2_000;

/// The act on each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkKind {
    /// It is asked to stop.
    Cancel,
    /// A new run does it again.
    Retry,
    /// Its records are removed.
    Delete,
}

impl BulkKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Retry, Self::Delete];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Delete => "delete",
        }
    }
}

/// Where an act stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum BulkState {
    /// A process carries it out, or has stopped in the midst of it.
    Active,
    /// It was carried out on all runs.
    Complete,
    /// It was stopped.
    Stopped {
        /// The person or program that stopped it.
        by: String,
        /// Why.
        why: String,
    },
    /// The store failed.
    Failed {
        /// The error.
        why: String,
    },
}

/// The outcome for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The run.
    pub run: RunKey,
    /// The outcome.
    pub outcome: BulkOutcome,
    /// The run that does it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RunKey>,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outcome of an act on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkOutcome {
    /// It never starts.
    Cancelled,
    /// It is asked to stop.
    Stopping,
    /// It is cancelled, but a worker of lava has its message, and may run it all the same.
    HandedOver,
    /// A new run does it again.
    Retried,
    /// Its records are gone.
    Deleted,
    /// It had been done before, or the run has ended or gone meanwhile.
    Already,
    /// It could not be done.
    Refused,
}

impl BulkOutcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Cancelled,
        Self::Stopping,
        Self::HandedOver,
        Self::Retried,
        Self::Deleted,
        Self::Already,
        Self::Refused,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Stopping => "stopping",
            Self::HandedOver => "handed_over",
            Self::Retried => "retried",
            Self::Deleted => "deleted",
            Self::Already => "already",
            Self::Refused => "refused",
        }
    }
}

/// The receipts of one page of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptPage {
    /// Its number, from 0.
    pub number: u64,
    /// The receipts.
    pub receipts: Vec<Receipt>,
}

impl ReceiptPage {
    /// A page as a store keeps it: errors are masked, and cut.
    #[must_use]
    pub fn kept(number: u64, receipts: &[Receipt]) -> Self {
        let one = |receipt: &Receipt| {
            let error = receipt.error.as_deref().map(|error| kept_text(error, MAX_RECEIPT_ERROR));
            Receipt { error, ..receipt.clone() }
        };
        Self { number, receipts: receipts.iter().map(one).collect() }
    }
}

/// How many runs an act has dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// To how many it was done.
    pub done: u64,
    /// How many had been dealt with before, or by others meanwhile.
    pub already: u64,
    /// To how many it could not be done.
    pub refused: u64,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub const fn dealt_with(self) -> u64 {
        self.done + self.already + self.refused
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(mut self, outcome: BulkOutcome) -> Self {
        match outcome {
            BulkOutcome::Already => self.already += 1,
            BulkOutcome::Refused => self.refused += 1,
            _ => self.done += 1,
        }
        self
    }
}

/// The record of an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkAct {
    /// Its id: version 7, so that ids are in the order in which acts began.
    pub id: String,
    /// Its revision, from 1.
    pub rev: u64,
    /// The act on each run.
    pub kind: BulkKind,
    /// The request, as it was asked for: an act that is resumed reads it again.
    pub asked: Value,
    /// The terms, those that follow from the act among them.
    pub terms: String,
    /// The jobs that had the tags of the terms, one list for each term with tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tagged: Vec<Vec<String>>,
    /// Only runs that were dispatched before this.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub before: Timestamp,
    /// The person or program that began it.
    pub by: String,
    /// By which way.
    pub from: Origin,
    /// Where it stands.
    pub state: BulkState,
    /// The process that carries it out: a mark that is another one each time.
    pub carrier: String,
    /// How many runs were meant when it began: an upper bound.
    pub count: u64,
    /// How many it has dealt with.
    pub tally: Tally,
    /// How many pages of receipts it has.
    pub pages: u64,
    /// The runs of the page that is being dealt with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_hand: Vec<RunKey>,
    /// Where the list goes on after those; `None` where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PageCursor>,
    /// When it began; times of the filter that are relative count from here.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub begun: Timestamp,
    /// When its process last wrote it.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub beat: Timestamp,
    /// When it ended, or was stopped.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<Timestamp>,
    /// When the record and its receipts expire: as long after the last write as records of runs are kept.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires: Option<Timestamp>,
}

impl BulkAct {
    /// Whether it is active, and its process has written nothing for [`SILENCE`].
    #[must_use]
    pub fn is_interrupted(&self, now: Timestamp) -> bool {
        self.state == BulkState::Active && now - self.beat > SILENCE
    }

    /// The words of its states.
    pub const WORDS: [&'static str; 5] = ["active", "interrupted", "complete", "stopped", "failed"];

    /// The word of its state.
    #[must_use]
    pub fn word(&self, now: Timestamp) -> &'static str {
        let [active, interrupted, complete, stopped, failed] = Self::WORDS;
        match self.state {
            BulkState::Active if self.is_interrupted(now) => interrupted,
            BulkState::Active => active,
            BulkState::Complete => complete,
            BulkState::Stopped { .. } => stopped,
            BulkState::Failed { .. } => failed,
        }
    }

    /// Whether no run is left for it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.in_hand.is_empty() && (self.next.is_none() || self.tally.dealt_with() >= self.count)
    }

    /// The record as its process writes it next, after some receipts: these runs are dealt with.
    #[must_use]
    pub fn after(&self, receipts: &[Receipt], now: Timestamp, keep: Option<Span>) -> Self {
        // Of a page that another process has dealt with meanwhile nothing is counted twice.
        let counted = receipts.iter().filter(|receipt| self.in_hand.contains(&receipt.run));
        let tally = counted.fold(self.tally, |tally, receipt| tally.with(receipt.outcome));
        let is_left = |key: &&RunKey| receipts.iter().all(|receipt| receipt.run != **key);
        let in_hand = self.in_hand.iter().filter(is_left).cloned().collect();
        let pages = self.pages + u64::from(!receipts.is_empty());
        Self { tally, in_hand, pages, ..self.written(now, keep) }
    }

    /// The record stopped; `None` where it is not active.
    #[must_use]
    pub fn stopped(&self, by: &str, why: &str, now: Timestamp, keep: Option<Span>) -> Option<Self> {
        let state = BulkState::Stopped { by: kept_text(by, MAX_WHY), why: kept_text(why, MAX_WHY) };
        // The time of its process's last write stays.
        let beat = self.beat;
        (self.state == BulkState::Active).then(|| Self {
            state,
            ended: Some(now),
            beat,
            ..self.written(now, keep)
        })
    }

    /// The record as its process ends it with an error, masked and cut.
    #[must_use]
    pub fn failed(self, why: &str, now: Timestamp) -> Self {
        Self { state: BulkState::Failed { why: kept_text(why, MAX_WHY) }, ended: Some(now), ..self }
    }

    /// The record in the hands of another process.
    #[must_use]
    pub fn resumed(&self, carrier: String, now: Timestamp, keep: Option<Span>) -> Self {
        Self { state: BulkState::Active, ended: None, carrier, ..self.written(now, keep) }
    }

    fn written(&self, now: Timestamp, keep: Option<Span>) -> Self {
        let expires = keep.map(|keep| now + keep.delta());
        Self { rev: self.rev + 1, beat: now, expires, ..self.clone() }
    }
}

/// Records of acts on many runs, and their receipts. Those whose time to expire has passed may be gone, or not.
#[async_trait]
pub trait BulkStore: Send + Sync {
    /// The record.
    async fn load_bulk(&self, id: &str) -> Result<Option<BulkAct>, StoreError>;
    /// At most so many of them, the newest first. One that cannot be read is left out, with a line in the log.
    async fn bulk_acts(&self, limit: usize) -> Result<Vec<BulkAct>, StoreError>;
    /// Writes a record that is not there yet; [`CommitError::Conflict`] when one has its id.
    async fn create_bulk(&self, act: &BulkAct) -> Result<(), CommitError>;
    /// Writes a record on the condition that its `rev` is one more than the stored one, and a page of receipts in the same
    /// transaction. A store that has none for both writes the page first: the record never counts receipts that are missing.
    async fn put_bulk(&self, act: &BulkAct, receipts: Option<&ReceiptPage>) -> Result<(), CommitError>;
    /// At most so many pages of receipts of an act, from a number on, in their order.
    async fn bulk_receipts(&self, id: &str, from: u64, pages: usize) -> Result<Vec<ReceiptPage>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> RunKey {
        RunKey::root(crate::ids::RunId(uuid::Uuid::from_u128(number)))
    }

    fn act() -> BulkAct {
        let at = chrono::DateTime::UNIX_EPOCH;
        BulkAct {
            id: "a".to_owned(),
            rev: 1,
            kind: BulkKind::Cancel,
            asked: Value::Null,
            terms: "job:*".to_owned(),
            tagged: Vec::new(),
            before: at,
            by: "ada".to_owned(),
            from: Origin::Cli,
            state: BulkState::Active,
            carrier: "c".to_owned(),
            count: 5,
            tally: Tally::default(),
            pages: 0,
            in_hand: vec![key(1), key(2), key(3)],
            next: None,
            begun: at,
            beat: at,
            ended: None,
            expires: None,
        }
    }

    fn receipt(number: u128, outcome: BulkOutcome) -> Receipt {
        Receipt { run: key(number), outcome, by: None, error: None }
    }

    #[test]
    fn runs_without_receipt_stay_in_hand() {
        let now = act().begun + TimeDelta::seconds(9);
        let some = [receipt(1, BulkOutcome::Cancelled), receipt(3, BulkOutcome::Refused)];
        let next = act().after(&some, now, Some(Span::from_days(1)));
        assert_eq!((next.in_hand.as_slice(), next.rev, next.pages), (&[key(2)][..], 2, 1));
        assert_eq!(next.tally, Tally { done: 1, already: 0, refused: 1 });
        assert_eq!((next.beat, next.expires), (now, Some(now + TimeDelta::days(1))));
        assert!(!next.is_done() && next.after(&[receipt(2, BulkOutcome::Already)], now, None).is_done());
    }

    #[test]
    fn receipts_of_a_page_dealt_with_twice_are_counted_once() {
        let now = act().begun + TimeDelta::seconds(9);
        let page = [1, 2, 3].map(|number| receipt(number, BulkOutcome::Cancelled));
        let resumed = act().resumed("d".to_owned(), now, None);
        let ahead = BulkAct { in_hand: vec![key(4), key(5)], ..resumed.after(&page, now, None) };
        let stopped = ahead.stopped("bob", "", now, None).unwrap();
        let late = stopped.after(&page, now, None);
        assert_eq!((late.tally.dealt_with(), late.in_hand.len()), (3, 2));
        assert!(!late.is_done());
    }

    #[test]
    fn silent_act_is_interrupted_and_stopped_one_is_not() {
        let (act, late) = (act(), act().begun + SILENCE + TimeDelta::milliseconds(1));
        assert_eq!((act.word(act.begun + SILENCE), act.word(late)), ("active", "interrupted"));
        let stopped = act.stopped("bob", "wrong jobs", late, None).unwrap();
        assert_eq!((stopped.word(late), stopped.beat, stopped.rev), ("stopped", act.beat, 2));
        assert_eq!(stopped.stopped("ann", "", late, None), None);
        let resumed = stopped.resumed("d".to_owned(), late, None);
        assert_eq!((resumed.word(late), resumed.ended, resumed.rev), ("active", None, 3));
    }

    #[test]
    fn receipt_keeps_a_long_error_cut() {
        let long = Receipt { error: Some("ü".repeat(900)), ..receipt(1, BulkOutcome::Refused) };
        let kept = ReceiptPage::kept(0, &[long]);
        assert!(kept.receipts[0].error.as_ref().unwrap().len() <= MAX_RECEIPT_ERROR + 20);
    }
}
