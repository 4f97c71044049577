//! Handing dead letters out once more, and dropping them.

use std::collections::BTreeMap;

use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::ports::{Buried, DeadQueue};
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::{DeadShown, find, named};
use crate::audit::Act;
use crate::expect::{Expected, Tallied};
use crate::failure::{Error, ErrorKind};
use crate::listed::asked;
use crate::realm::Realm;

/// Most letters that a dry run shows.
const FIRST: usize = 20;
/// Most letters that a request names one by one.
const MAX_NAMED: usize = 1_000;

/// Which dead letters to act on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActOnDead {
    /// The letters: their ids, or the beginnings of them.
    #[serde(default)]
    pub letters: Vec<String>,
    /// In their place, all that these terms mean, as `worker:core reason:"no such job"`. An empty text is refused.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// Further workers, which jobs do not name.
    #[serde(default)]
    pub workers: Vec<WorkerName>,
    /// The `expect` of a look, or the number alone: where others are meant now, nothing is done.
    #[serde(default)]
    pub expect: Option<Expected>,
    /// Only count them, and show the first.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which dead letters to remove for good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropDead {
    /// Which.
    pub of: ActOnDead,
    /// Whether all that the terms mean are removed without a count that was seen before.
    #[serde(default)]
    pub yes: bool,
}

/// The letters that were found, and the outcome for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadDone {
    /// How many letters are meant.
    pub count: u64,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Their number and a digest of which they are, to be given as `expect`; of a look at what terms mean alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
    /// The first of them, of a look alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<DeadShown>,
    /// The queues that have more letters than were looked at: ask again for the rest. The dispatcher is `null`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Option<WorkerName>>,
    /// How many it was done to.
    pub done: u64,
    /// The outcome for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<DeadReceipt>,
}

/// The outcome for a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadReceipt {
    /// The letter.
    pub id: String,
    /// Its worker; null for the dispatcher.
    pub worker: Option<WorkerName>,
    /// The run that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunKey>,
    /// The outcome.
    pub outcome: DeadOutcome,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outcome for a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadOutcome {
    /// It is on its queue again, or the dispatcher has taken it.
    Redriven,
    /// It is gone.
    Dropped,
    /// It was left: its run has ended, and nothing would come of it.
    Ended,
    /// It is not there any more: another process dealt with it, or looks at it.
    Gone,
    /// The dispatcher does not take it: it stays.
    Refused,
}

/// Hands dead letters out once more. Those whose run has ended are left where they are.
///
/// # Errors
/// [`Error`] when none or several letters have a name that is given, the terms are invalid or empty, their number is not the
/// one that is expected, or a queue cannot be reached: some may be handed out then, and to ask again does no harm.
pub async fn redrive(realm: &dyn Realm, request: &ActOnDead) -> Result<DeadDone, Error> {
    let entry = Act::new("dead redrive", request).on("letter", &request.letters).dry(request.dry_run);
    entry.record(realm, act(realm, request, true)).await
}

/// Removes dead letters for good. Where terms mean them, only so many as were seen before, or with `yes`.
///
/// # Errors
/// As [`redrive`]; and when terms are given without the number of letters that they meant, or a `yes`.
pub async fn discard(realm: &dyn Realm, request: &DropDead) -> Result<DeadDone, Error> {
    let of = &request.of;
    let entry = Act::new("dead drop", request).on("letter", &of.letters).dry(of.dry_run);
    entry.record(realm, dropping(realm, request)).await
}

async fn dropping(realm: &dyn Realm, request: &DropDead) -> Result<DeadDone, Error> {
    let of = &request.of;
    let has_terms = of.filter.as_deref().is_some_and(|terms| !terms.trim().is_empty());
    if has_terms && of.expect.is_none() && !of.dry_run && !request.yes {
        let message = "expect: a letter that is dropped is gone for good: look with a dry run first, and say how many it \
                       showed, or yes";
        return Err(Error::invalid(message));
    }
    act(realm, of, false).await
}

async fn act(realm: &dyn Realm, request: &ActOnDead, puts_back: bool) -> Result<DeadDone, Error> {
    let (letters, cut) = meant(realm, request).await?;
    let mut ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    // Queues give letters in any order.
    ids.sort_unstable();
    let meant = Tallied::of(ids).expected();
    let count = meant.count;
    let mut done = DeadDone {
        count,
        dry_run: request.dry_run,
        expect: None,
        first: Vec::new(),
        cut,
        done: 0,
        receipts: Vec::new(),
    };
    if let Some(why) = request.expect.as_ref().and_then(|expected| expected.differs(&meant, "dead letters")) {
        return Err(Error::new(ErrorKind::Conflict, why));
    }
    if request.dry_run {
        done.expect = request.filter.is_some().then_some(meant);
        done.first = letters.into_iter().take(FIRST).collect();
        return Ok(done);
    }
    let mut by_queue: BTreeMap<DeadQueue, Vec<DeadShown>> = BTreeMap::new();
    for letter in letters {
        if puts_back && letter.has_ended() {
            done.receipts.push(receipt(letter, DeadOutcome::Ended, None));
        } else {
            by_queue.entry(letter.queue()).or_default().push(letter);
        }
    }
    for (queue, letters) in by_queue {
        let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
        let port = realm.dead_letters();
        let outcomes =
            if puts_back { port.redrive(&queue, &ids).await } else { port.discard(&queue, &ids).await };
        let outcomes = outcomes.map_err(|error| {
            let message =
                format!("{error}; {} of {count} letters were dealt with: ask again for the rest", done.done);
            Error::from(error).because(message)
        })?;
        for (letter, outcome) in letters.into_iter().zip(outcomes) {
            done.take(letter, outcome, puts_back);
        }
    }
    Ok(done)
}

/// The letters that a request means, and the queues that have more.
async fn meant(
    realm: &dyn Realm,
    request: &ActOnDead,
) -> Result<(Vec<DeadShown>, Vec<Option<WorkerName>>), Error> {
    let ActOnDead { letters: names, filter, zone, workers, .. } = request;
    let asked = asked(realm, filter.as_deref(), *zone).await?;
    match (names.is_empty(), filter) {
        (true, None) => {
            Err(Error::invalid("letters: none is named: give their ids, or terms that mean them"))
        }
        (false, Some(_)) => Err(Error::invalid("letters: give either ids or terms, and not both")),
        (true, Some(_)) if asked.is_empty() => Err(Error::invalid(
            "where: it is empty, and would mean every dead letter: say which, as worker:core, or worker:* for all of workers",
        )),
        (true, Some(_)) => {
            let found = find(realm, &asked, workers).await?;
            Ok((found.letters.into_iter().map(|(letter, _)| letter).collect(), found.cut))
        }
        (false, None) if names.len() > MAX_NAMED => {
            Err(Error::invalid(format!("letters: {} are more than {MAX_NAMED}", names.len())))
        }
        (false, None) => {
            let found = find(realm, &asked, workers).await?;
            let mut letters: Vec<DeadShown> = Vec::new();
            for name in names {
                let (letter, _) = named(&found, name)?;
                if letters.iter().all(|other| (&other.id, &other.worker) != (&letter.id, &letter.worker)) {
                    letters.push(letter.clone());
                }
            }
            // Letters that were not looked at are not meant.
            Ok((letters, Vec::new()))
        }
    }
}

fn receipt(letter: DeadShown, outcome: DeadOutcome, error: Option<String>) -> DeadReceipt {
    DeadReceipt { id: letter.id, worker: letter.worker, run: letter.run, outcome, error }
}

impl DeadDone {
    fn take(&mut self, letter: DeadShown, outcome: Buried, puts_back: bool) {
        let (outcome, error) = match outcome {
            Buried::Done if puts_back => (DeadOutcome::Redriven, None),
            Buried::Done => (DeadOutcome::Dropped, None),
            Buried::NotFound => (DeadOutcome::Gone, None),
            Buried::Refused(why) => (DeadOutcome::Refused, Some(why)),
        };
        self.done += u64::from(matches!(outcome, DeadOutcome::Redriven | DeadOutcome::Dropped));
        self.receipts.push(receipt(letter, outcome, error));
    }
}
