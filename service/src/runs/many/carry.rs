//! Carries an act out on its runs, page by page, and keeps its record.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};
use pumice_core::bulk::{BulkAct, BulkOutcome, BulkState, ReceiptPage};
use pumice_core::duration::Span;
use pumice_core::ids::RunKey;
use pumice_core::ports::{CommitError, RunPage, RunQuery};

use super::{Heard, ManyDone, Receipt, RunAct, Step, unwritten};
use crate::failure::{Error, ErrorKind};
use crate::realm::Realm;
use crate::runs::bulk::BulkStop;

/// How many runs are acted on at once.
const AT_ONCE: usize = 64;
/// For how long acts of a page are begun before the record is written: others must see that the act goes on.
const UNWRITTEN: TimeDelta = TimeDelta::seconds(10);
/// How often a write of the record is tried of which it is not known whether it took place.
const MAX_TRIES: u32 = 3;
/// How many records are looked at for a page, for the same reason.
const MAX_LOOKED: usize = 20_000;

/// The process of an act.
pub(in crate::runs) struct Carrier<'c> {
    pub(in crate::runs) realm: &'c dyn Realm,
    pub(in crate::runs) act: RunAct,
    /// The query for its runs.
    pub(in crate::runs) query: RunQuery,
    /// How long its record is kept.
    pub(in crate::runs) keep: Option<Span>,
    /// Its record, as it is stored: the runs of its page are to be dealt with.
    pub(in crate::runs) record: BulkAct,
    /// The runs that were counted, where this process has counted them: no others are acted on.
    pub(in crate::runs) seen: Option<Seen>,
}

/// Runs that were counted, by a hash of each: a million takes 8 MB.
#[derive(Default)]
pub(in crate::runs) struct Seen {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Seen {
    pub(in crate::runs) fn add(&mut self, run: &RunKey) {
        self.hashes.insert(self.state.hash_one(run.as_str()));
    }

    fn has(&self, run: &RunKey) -> bool {
        self.hashes.contains(&self.state.hash_one(run.as_str()))
    }
}

impl Carrier<'_> {
    /// Acts on the runs in hand, then on those of the next page, and on no more than were counted. Each page is one write of the
    /// record, with the receipts of the page before: a write that meets another one finds that the act was stopped.
    ///
    /// # Errors
    /// [`Error`] when the store cannot be reached or another process carries the act out: the record says where it stopped.
    pub(in crate::runs) async fn carry(
        mut self,
        done: &mut ManyDone,
        heard: Heard<'_>,
    ) -> Result<BulkAct, Error> {
        loop {
            let (receipts, failed) = self.act_on_page(heard).await;
            let now = self.realm.now();
            let mut next = self.record.after(&receipts, now, self.keep);
            let failed = match failed {
                None => self.turn(&mut next).await.err(),
                failed => failed,
            };
            if let Some(error) = &failed {
                next = next.failed(error.message(), now);
            } else if next.is_done() {
                next.state = BulkState::Complete;
                next.ended = Some(now);
            }
            let page = self.page_of(&receipts);
            receipts.into_iter().for_each(|receipt| done.take(receipt));
            match self.write(&next, page.as_ref()).await {
                Ok(()) => self.record = next,
                Err(CommitError::Conflict) => return self.overtaken(page, failed, done).await,
                // The first error is worth more than the one of writing it into the record.
                Err(error) => {
                    let error = failed.unwrap_or_else(|| unwritten(&self.record.id, error));
                    return Err(left(&next, error));
                }
            }
            if let Some(error) = failed {
                return Err(left(&self.record, error));
            }
            if self.record.state == BulkState::Complete {
                return Ok(self.record);
            }
        }
    }

    /// Acts on the runs in hand, for as long as the record may go unwritten. Gives what became of them, and the last failure.
    async fn act_on_page(&self, heard: Heard<'_>) -> (Vec<Receipt>, Option<Error>) {
        let keys: Vec<RunKey> = self.record.in_hand.clone();
        let until = self.realm.now() + UNWRITTEN;
        let in_time = keys.into_iter().take_while(|_| self.realm.now() < until);
        let acts = in_time.map(|key| self.act_on(key));
        let mut acts = stream::iter(acts).buffer_unordered(AT_ONCE);
        let (mut receipts, mut failed) = (Vec::with_capacity(self.record.in_hand.len()), None);
        while let Some(outcome) = acts.next().await {
            match outcome {
                Ok(receipt) => {
                    heard(Step::Done(&receipt));
                    receipts.push(receipt);
                }
                Err(error) => failed = Some(error),
            }
        }
        (receipts, failed)
    }

    /// Acts on a run. One that cannot be read must not keep the act from all others.
    async fn act_on(&self, key: RunKey) -> Result<Receipt, Error> {
        match self.act.on(self.realm, key.clone()).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let error = Some(error.message().to_owned());
                Ok(Receipt { run: key, outcome: BulkOutcome::Refused, by: None, error })
            }
            done => done,
        }
    }

    /// Puts the runs of the next page into a record that has none in hand. A page may have none: watchers see that the
    /// act goes on.
    async fn turn(&self, record: &mut BulkAct) -> Result<(), Error> {
        if record.in_hand.is_empty()
            && let Some(cursor) = record.next.take_if(|_| record.tally.dealt_with() < record.count)
        {
            let query =
                RunQuery { cursor: Some(cursor.clone()), look_limit: Some(MAX_LOOKED), ..self.query.clone() };
            let page = self.realm.runs().page(&query).await;
            let RunPage { runs, next, .. } = page.inspect_err(|_| record.next = Some(cursor))?;
            let left = usize::try_from(record.count - record.tally.dealt_with()).unwrap_or(usize::MAX);
            let is_meant = |run: &RunKey| self.seen.as_ref().is_none_or(|seen| seen.has(run));
            record.in_hand = runs.into_iter().map(|run| run.key).filter(is_meant).take(left).collect();
            record.next = next;
        }
        Ok(())
    }

    fn page_of(&self, receipts: &[Receipt]) -> Option<ReceiptPage> {
        (!receipts.is_empty()).then(|| ReceiptPage::kept(self.record.pages, receipts))
    }

    /// Writes the record. Where there is no answer, the stored record shows whether it was written.
    async fn write(&self, next: &BulkAct, page: Option<&ReceiptPage>) -> Result<(), CommitError> {
        let store = self.realm.bulk();
        let mut tries = 1;
        loop {
            match store.put_bulk(next, page).await {
                // A write that was tried again meets itself.
                Err(CommitError::Conflict | CommitError::Unknown(_)) => {
                    match store.load_bulk(&next.id).await? {
                        Some(stored) if stored == *next => return Ok(()),
                        // It did not take place, and no other process has written.
                        Some(stored) if stored.rev + 1 == next.rev && tries < MAX_TRIES => tries += 1,
                        _ => return Err(CommitError::Conflict),
                    }
                }
                written => return written,
            }
        }
    }

    /// Another wrote the record: the act was stopped, or another process carries it out. Receipts of the page are put
    /// into the record of one that was stopped. An act that had failed when it was stopped ends with the failure: some runs of
    /// the page may not have been dealt with because of it.
    async fn overtaken(
        self,
        page: Option<ReceiptPage>,
        failed: Option<Error>,
        done: &mut ManyDone,
    ) -> Result<BulkAct, Error> {
        let (store, id) = (self.realm.bulk(), &self.record.id);
        let stored = store.load_bulk(id).await?;
        let stored = stored.ok_or_else(|| Error::not_found(format!("the record of act {id} is gone")))?;
        // A stop of one that has taken it over is not for this one.
        let (BulkState::Stopped { by, why }, true) = (&stored.state, stored.carrier == self.record.carrier)
        else {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("another process has gone on with act {id}: this one has stopped"),
            ));
        };
        let failed = failed.map(|error| {
            let why = format!("{error}; the act was stopped by {by} meanwhile");
            error.because(why)
        });
        done.stopped = Some(BulkStop { by: by.clone(), why: why.clone() });
        let receipts = page.as_ref().map_or(&[][..], |page| &page.receipts);
        let mut last = stored.after(receipts, self.realm.now(), self.keep);
        if last.is_done() {
            // The stop came when nothing was left.
            last.state = BulkState::Complete;
            done.stopped = None;
        }
        match store.put_bulk(&last, page.as_ref()).await {
            Ok(()) => match failed {
                None => Ok(last),
                Some(error) => Err(left(&last, error)),
            },
            Err(CommitError::Conflict) => Err(Error::new(
                ErrorKind::Conflict,
                format!("act {id} was stopped, and another process has gone on with it"),
            )),
            Err(error) => Err(failed.map_or_else(|| unwritten(id, error), |failed| left(&last, failed))),
        }
    }
}

/// The error with how far the act has come.
fn left(record: &BulkAct, error: Error) -> Error {
    let BulkAct { id, count, tally, .. } = record;
    let why = format!(
        "{error}; {} of {count} runs were dealt with: resume act {id} for the rest",
        tally.dealt_with()
    );
    error.because(why)
}
