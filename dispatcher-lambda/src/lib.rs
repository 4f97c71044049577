//! The dispatcher function: events of AWS's in, runs out.

mod aside;
mod event;
mod taken;

pub use aside::Aside;
pub use event::{BadEvent, Direct, Event, Queued, Record, SpecChange, payload, put_aside};

use std::collections::{BTreeSet, HashSet};

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::engine::{Dispatcher, Housekeeper, Struck, Triggers};
use pumice_core::ids::JobId;
use pumice_core::ports::StoreError;
use serde_json::{Value, json};

use taken::{Name, Taken, fire, take};

/// How far ahead of their time runs are made that a schedule starts, so that they begin to the second though the sweeper
/// comes each minute.
const AHEAD: TimeDelta = TimeDelta::seconds(90);
/// How long before its invocation ends a sweep begins with no further runs.
const SWEEP_MARGIN: TimeDelta = TimeDelta::seconds(10);

/// Why an invocation fails: AWS delivers the event again, or moves it to the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The function does not know the event.
    #[error(transparent)]
    BadEvent(#[from] BadEvent),
    /// Requests were refused, and no caller sees their outcomes.
    #[error("{0}")]
    Refused(String),
    /// Requests could not be taken now.
    #[error("{0}")]
    NotReached(String),
    /// AWS could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failed {
    /// Its kind, in a word, as Lambda and its destinations show it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BadEvent(_) => "BadEvent",
            Self::Refused(_) => "Refused",
            Self::NotReached(_) | Self::Store(_) => "Unreachable",
        }
    }

    /// Whether the log has it already: each request has a line of its own.
    #[must_use]
    pub const fn is_logged(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NotReached(_))
    }
}

/// An invocation of the function.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// Its name, the same when AWS tries again.
    pub id: &'a str,
    /// When it is cut off.
    pub ends: Timestamp,
    /// The zone of instants that name none.
    pub zone: chrono_tz::Tz,
    /// The dead letters for refused requests whose outcome no caller sees.
    pub aside: &'a dyn Aside,
}

/// Answers an event when the realm cannot be read. A sweep fails no invocation, see [`handle`]; and the sweeper is there
/// before the first `pumice apply`: `is_untouched` says whether the realm has no document and no run.
///
/// # Errors
/// [`Failed`] for every event but a sweep.
pub async fn answer_without_site(
    event: &Value,
    error: StoreError,
    is_untouched: impl AsyncFnOnce() -> bool,
) -> Result<Value, Failed> {
    if !matches!(Event::read(event, chrono_tz::UTC), Ok(Event::Sweep)) {
        return Err(error.into());
    }
    if is_untouched().await {
        tracing::info!(target: "pumice::sweep", swept = 0, started = 0, "the realm has nothing yet");
        return Ok(json!({ "swept": 0, "started": 0 }));
    }
    Ok(failed_sweep(None, None, &error.to_string()))
}

/// The answer of a sweep that failed, in whole or in part.
fn failed_sweep(swept: Option<usize>, started: Option<usize>, error: &str) -> Value {
    tracing::error!(error, "a sweep failed, in whole or in part");
    json!({ "swept": swept, "started": started, "failed": error })
}

/// Does what an event asks. Gives the answer.
///
/// # Errors
/// [`Failed`] when the event as a whole failed, or a part whose failure nothing else would report.
pub async fn handle(
    housekeeper: &Housekeeper,
    triggers: &Triggers,
    event: &Value,
    invocation: Invocation<'_>,
) -> Result<Value, Failed> {
    let dispatcher = housekeeper.dispatcher();
    if let Some((id, event)) = put_aside(event) {
        return match Event::read(event, invocation.zone)? {
            Event::Direct(asked) => redriven(dispatcher, asked, id).await,
            // Other deliveries have names of their own.
            _ => Box::pin(handle(housekeeper, triggers, event, invocation)).await,
        };
    }
    match Event::read(event, invocation.zone)? {
        Event::Sweep => Ok(sweep(housekeeper, invocation.ends - SWEEP_MARGIN).await),
        Event::Changed(changes) => {
            let mut touched = Vec::with_capacity(changes.len());
            for SpecChange { job_id, at } in changes {
                housekeeper.touch(std::slice::from_ref(&job_id), at).await?;
                touched.push(job_id);
            }
            let count = touched.len();
            touched.sort();
            touched.dedup();
            // At once: what is due within the minute would else begin late.
            let struck = housekeeper.strike_jobs(&touched, AHEAD).await?;
            tracing::info!(
                changed = count,
                started = struck.started,
                "looked at schedules that were changed"
            );
            Ok(json!({ "changed": count, "started": struck.started }))
        }
        Event::Direct(asked) => direct(dispatcher, asked, event, invocation).await,
        Event::Delivered(records) => delivered(dispatcher, triggers, records).await,
        Event::Queued(records) => Ok(queued(dispatcher, triggers, records).await),
    }
}

/// Looks at what is due, and at the clock, each by itself, so that a failure of one does not stop the other. A failed
/// sweep does not fail the invocation, since the next one is a minute away: the log says so, and the metric `Sweeps`
/// misses it.
async fn sweep(housekeeper: &Housekeeper, until: Timestamp) -> Value {
    match futures_util::future::join(housekeeper.sweep_until(until), look_at_clock(housekeeper)).await {
        (Ok(swept), Ok(struck)) => {
            let (looked_at, is_cut_off) = (swept.looked_at, swept.is_cut_off.then_some(true));
            tracing::info!(target: "pumice::sweep", swept = looked_at, started = struck.started, is_cut_off, "looked at what was due");
            json!({ "swept": looked_at, "started": struck.started })
        }
        (swept, struck) => {
            let errors: Vec<String> = [swept.as_ref().err(), struck.as_ref().err()]
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect();
            let error = errors.join("; ");
            let (swept, started) = (swept.map(|it| it.looked_at).ok(), struck.map(|it| it.started).ok());
            failed_sweep(swept, started, &error)
        }
    }
}

/// Starts what schedules have due. Those that are found to be changed are looked at by their keys: the index of what is due
/// may not show yet that they were touched.
async fn look_at_clock(housekeeper: &Housekeeper) -> Result<Struck, StoreError> {
    let (kept, noticed) = (housekeeper.keep_to_rules().await, housekeeper.notice().await);
    let touched: BTreeSet<JobId> = [&kept, &noticed].into_iter().flatten().flatten().cloned().collect();
    let touched: Vec<JobId> = touched.into_iter().collect();
    let changed = housekeeper.strike_jobs(&touched, AHEAD).await;
    let struck = housekeeper.strike(AHEAD).await;
    kept.and(noticed)?;
    let (changed, struck) = (changed?, struck?);
    Ok(Struck { moved: changed.moved + struck.moved, started: changed.started + struck.started })
}

/// Takes the requests of a caller. A caller that waits gets the outcomes. If it may not wait, an unreachable store
/// fails the invocation, which Lambda repeats: ids follow from the request id. Refused requests go to the dead letters,
/// as the answer may reach no caller.
async fn direct(
    dispatcher: &Dispatcher,
    asked: Direct,
    event: &Value,
    invocation: Invocation<'_>,
) -> Result<Value, Failed> {
    let name = format!("invocation:{}", invocation.id);
    note_if(asked.requests.is_empty(), &name);
    let taken = take(dispatcher, asked.requests, Name::Call(&name)).await;
    if asked.waits || taken.is_whole() {
        return Ok(taken.json());
    }
    let reasons = taken.outcomes.reasons();
    if taken.unreachable > 0 {
        let accepted = taken.outcomes.accepted.len();
        let before =
            if accepted == 0 { String::new() } else { format!("{accepted} requests were taken, and not: ") };
        return Err(Failed::NotReached(format!("{before}{reasons}")));
    }
    taken.tell_refused();
    aside::put(invocation.aside, event, invocation.id, &reasons).await?;
    Ok(taken.json())
}

/// Takes the requests of a failed invocation, or of one whose caller did not see that they were refused, under that
/// invocation's name: requests that were taken before are not taken again. It fails unless all are taken, so that the
/// dead letter stays.
async fn redriven(dispatcher: &Dispatcher, asked: Direct, id: &str) -> Result<Value, Failed> {
    let taken = take(dispatcher, asked.requests, Name::Call(&format!("invocation:{id}"))).await;
    if taken.is_whole() {
        return Ok(taken.json());
    }
    let reasons = taken.outcomes.reasons();
    Err(if taken.unreachable > 0 { Failed::NotReached(reasons) } else { Failed::Refused(reasons) })
}

/// Logs that an event asks for nothing, if it does: it is deleted as one that was taken.
fn note_if(is_empty: bool, event: &str) {
    if is_empty {
        tracing::warn!(event, "an event has no request: nothing is done");
    }
}

/// Takes each record of a queue by itself. After one of a group that was not taken whole, the others of the group wait for
/// it: they are in order.
async fn queued(dispatcher: &Dispatcher, triggers: &Triggers, records: Vec<Record>) -> Value {
    let (mut failures, mut stopped) = (Vec::new(), HashSet::new());
    let mut all = Taken::default();
    for record in records {
        let Record { name, queued, requests, objects } = record;
        let Some(Queued { id, group }) = queued else { continue };
        note_if(requests.is_empty() && objects.is_empty(), &name);
        if group.as_ref().is_some_and(|group| stopped.contains(group)) {
            failures.push(json!({ "itemIdentifier": id }));
            continue;
        }
        let mut taken = take(dispatcher, requests, Name::Event(&name)).await;
        fire(triggers, objects, &name, &mut taken).await;
        if !taken.is_whole() {
            failures.push(json!({ "itemIdentifier": id }));
            stopped.extend(group);
        }
        all.add(taken);
    }
    all.tell_refused();
    json!({ "batchItemFailures": failures })
}

/// Takes every record; fails when one was not taken whole. A redelivery does not take a request
/// twice.
async fn delivered(
    dispatcher: &Dispatcher,
    triggers: &Triggers,
    records: Vec<Record>,
) -> Result<Value, Failed> {
    let mut all = Taken::default();
    for Record { name, requests, objects, .. } in records {
        note_if(requests.is_empty() && objects.is_empty(), &name);
        let mut taken = take(dispatcher, requests, Name::Event(&name)).await;
        fire(triggers, objects, &name, &mut taken).await;
        all.add(taken);
    }
    all.tell_refused();
    if all.is_whole() {
        Ok(all.json())
    } else if all.unreachable > 0 {
        Err(Failed::NotReached(all.outcomes.reasons()))
    } else {
        Err(Failed::Refused(all.outcomes.reasons()))
    }
}
