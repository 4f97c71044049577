//! Takes requests, batch by batch.

use std::collections::HashMap;

use pumice_core::engine::{Accepted, Dispatcher, Foreseen, PreparedBatch};
use pumice_core::ids::RunId;
use pumice_core::job_type::DispatchError;
use pumice_core::ports::StoreError;
use pumice_core::request::{BadRequest, DispatchRequest, parse_value};
use pumice_core::run::Keyed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, channel};

use super::file::{Keys, Placed, check_list_key};
use super::{AcceptedRun, ForeseenRequest, Outcomes, RefusedRequest};
use crate::audit::Act;
use crate::failure::Error;
use crate::realm::Realm;

/// Requests for runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// The requests, each taken by itself.
    #[schemars(with = "Vec<pumice_core::request::RequestFields>")]
    pub requests: Vec<Value>,
    /// A name under which the same requests can be given again: what was taken is not taken twice. It is the idempotency key of
    /// the first request for each job, with `/2` behind it that of the second, and so on; other requests under it are refused.
    #[serde(default)]
    pub key: Option<String>,
    /// The name of each request in a refusal, as `line 3` of a file; default: its job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Show what would be dispatched, and dispatch nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The outcome of a batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// The requests that were taken, and those that were refused.
    pub outcomes: Outcomes,
    /// Why others of the batch may not have been taken: the store did not answer.
    pub failed: Option<Error>,
    /// Why the first request was refused whose key another request has used.
    pub key_taken: Option<String>,
}

/// Takes requests and counts them.
#[derive(Debug)]
pub struct Intake {
    dispatcher: Dispatcher,
    counts: IntakeCounts,
    /// The first runs that it made.
    first: Vec<RunId>,
    /// Where nothing is made: the keys of the requests that were foreseen.
    foreseen: Option<HashMap<RunId, Keyed>>,
}

/// Reads, checks and renders the requests of batches for an intake.
#[derive(Debug)]
pub struct Preparer {
    dispatcher: Dispatcher,
    again: Repeats,
    /// How many requests there were, those that could not be read among them.
    place: u64,
}

/// A batch that is prepared: nothing of it is recorded yet.
#[derive(Debug)]
pub struct Prepared {
    /// The names of the requests, without those that could not be read.
    places: Vec<String>,
    /// Those that could not be read.
    unread: Vec<RefusedRequest>,
    runs: Result<PreparedBatch, StoreError>,
}

/// Batches that are prepared before they are asked for.
const AHEAD: usize = 1;
/// Most runs that an intake remembers.
const MAX_FIRST: usize = 100;

/// Whether requests may be given again, and by which key they are known to be the same.
#[derive(Debug)]
pub enum Repeats {
    /// Each makes a run of its own.
    Never,
    /// Those that bring no key get one that follows from what they ask for.
    Keyed(Keys),
    /// Each makes one run by its place in the list of this name.
    Listed(String),
}

impl Preparer {
    /// Prepares a batch, each request by itself.
    pub async fn prepare(&mut self, batch: Vec<Placed>) -> Prepared {
        let mut unread = Vec::new();
        let mut places = Vec::with_capacity(batch.len());
        let mut requests: Vec<(u64, DispatchRequest)> = Vec::with_capacity(batch.len());
        for placed in batch {
            self.place += 1;
            match placed {
                Ok((place, mut request)) => {
                    if let Repeats::Keyed(keys) = &mut self.again {
                        keys.give(&mut request);
                    }
                    places.push(place);
                    requests.push((self.place, request));
                }
                Err(bad) => {
                    unread.push(RefusedRequest { request: bad.place, error: bad.error.to_string() });
                }
            }
        }
        let runs = match &self.again {
            Repeats::Listed(name) => self.dispatcher.prepare_listed(requests, name).await,
            Repeats::Never | Repeats::Keyed(_) => {
                self.dispatcher.prepare_each(requests.into_iter().map(|(_, request)| request).collect()).await
            }
        };
        Prepared { places, unread, runs }
    }

    /// Prepares batches as they come, on a task of its own: one is prepared while another is written.
    #[must_use]
    pub fn ahead(
        mut self,
        mut batches: Receiver<Result<Vec<Placed>, Error>>,
    ) -> Receiver<Result<Prepared, Error>> {
        let (ready, receiver) = channel(AHEAD);
        tokio::spawn(async move {
            // A place first: no more than one batch lies ready, or is made so, while another is written.
            while let Ok(place) = ready.reserve().await
                && let Some(batch) = batches.recv().await
            {
                place.send(match batch {
                    Ok(batch) => Ok(self.prepare(batch).await),
                    Err(error) => Err(error),
                });
            }
        });
        receiver
    }
}

impl Intake {
    /// An intake of a realm, and what prepares the requests for it.
    ///
    /// # Errors
    /// [`Error`] when the realm's definition cannot be read.
    pub async fn new(realm: &dyn Realm, again: Repeats) -> Result<(Self, Preparer), Error> {
        let dispatcher = Dispatcher::new(realm.site().await?, realm.registry().clone());
        let preparer = Preparer { dispatcher: dispatcher.clone(), again, place: 0 };
        Ok((
            Self { dispatcher, counts: IntakeCounts::default(), first: Vec::new(), foreseen: None },
            preparer,
        ))
    }

    /// The same, which makes nothing: its outcomes are the runs that it would make.
    #[must_use]
    pub fn dry(self, is_dry: bool) -> Self {
        Self { foreseen: is_dry.then(HashMap::new), ..self }
    }

    /// How many requests there were, and what became of them.
    #[must_use]
    pub const fn counts(&self) -> IntakeCounts {
        self.counts
    }

    /// The first runs that it made: a hundred at most.
    #[must_use]
    pub fn first(&self) -> &[RunId] {
        &self.first
    }

    /// Takes a batch, each request by itself.
    pub async fn take(&mut self, batch: Prepared) -> Batch {
        let Prepared { places, unread, runs } = batch;
        let mut outcomes = Outcomes { refused: unread, ..Outcomes::default() };
        let (mut failed, mut key_taken) = (None, None);
        let taken = self.made(runs).await.unwrap_or_else(|error| {
            failed = Some(Error::from(error));
            Vec::new()
        });
        for (request, outcome) in places.into_iter().zip(taken) {
            match outcome {
                Ok(Made::Run(run)) => {
                    if !run.existing && self.first.len() < MAX_FIRST {
                        self.first.push(run.run_id);
                    }
                    self.counts.add(run.existing);
                    outcomes.accepted.push(AcceptedRun::from(run));
                }
                Ok(Made::Foreseen(run)) => {
                    self.counts.add(run.existing);
                    outcomes.foreseen.push(ForeseenRequest::from(run));
                }
                Err(DispatchError::Store(error)) => failed = Some(Error::from(error)),
                Err(refused) => {
                    let error = refused.to_string();
                    if matches!(refused, DispatchError::KeyTaken { .. }) {
                        key_taken.get_or_insert_with(|| error.clone());
                    }
                    outcomes.refused.push(RefusedRequest { request, error });
                }
            }
        }
        self.counts.refused += outcomes.refused.len();
        Batch { outcomes, failed, key_taken }
    }

    /// Makes the runs of a batch, or foresees them.
    async fn made(
        &mut self,
        runs: Result<PreparedBatch, StoreError>,
    ) -> Result<Vec<Result<Made, DispatchError>>, StoreError> {
        let runs = runs?;
        Ok(match &mut self.foreseen {
            None => self.dispatcher.make(runs).await?.into_iter().map(|run| run.map(Made::Run)).collect(),
            Some(seen) => {
                let foreseen = self.dispatcher.foresee(runs, seen).await?;
                foreseen.into_iter().map(|run| run.map(Made::Foreseen)).collect()
            }
        })
    }
}

/// A run of a request, made or not.
enum Made {
    Run(Accepted),
    Foreseen(Foreseen),
}

/// How many requests there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Those that made a run.
    pub taken: usize,
    /// Those whose run was there already.
    pub existing: usize,
    /// Those that were refused.
    pub refused: usize,
}

impl IntakeCounts {
    const fn add(&mut self, existing: bool) {
        *(if existing { &mut self.existing } else { &mut self.taken }) += 1;
    }

    /// All of them.
    #[must_use]
    pub const fn all(self) -> usize {
        self.taken + self.existing + self.refused
    }

    /// The counts in words.
    #[must_use]
    pub fn summary(self) -> String {
        let Self { taken, existing, refused } = self;
        let mut parts = vec![format!("{taken} taken")];
        parts.extend((existing > 0).then(|| format!("{existing} there already")));
        parts.extend((refused > 0).then(|| format!("{refused} refused")));
        parts.join(", ")
    }
}

/// Asks for runs, each request by itself.
///
/// # Errors
/// [`Error`] when the key is invalid or was used for other requests, or the store did not answer and no request was taken or
/// refused.
pub async fn dispatch(realm: &dyn Realm, request: &Dispatch) -> Result<Outcomes, Error> {
    let jobs = request.requests.iter().filter_map(|one| one.get("job_id").and_then(Value::as_str));
    let act = Act::new("dispatch", request).on("job", jobs).dry(request.dry_run);
    let work = async {
        let outcomes = taking(realm, request).await?;
        let is_none = outcomes.accepted.is_empty() && outcomes.foreseen.is_empty();
        if let (true, Some(first)) = (is_none, outcomes.refused.first()) {
            act.refuse(first.error.clone());
        }
        Ok(outcomes)
    };
    act.record(realm, work).await
}

async fn taking(realm: &dyn Realm, request: &Dispatch) -> Result<Outcomes, Error> {
    let (intake, mut preparer) = Intake::new(realm, Repeats::Never).await?;
    let mut intake = intake.dry(request.dry_run);
    let zone = realm.site().await?.zone.tz();
    let mut parsed = parse_value(&Value::Array(request.requests.clone()), zone);
    if !request.places.is_empty() && request.places.len() != request.requests.len() {
        let (places, requests) = (request.places.len(), request.requests.len());
        return Err(Error::invalid(format!(
            "places: {places} for {requests} requests; nothing was dispatched"
        )));
    }
    if let Some(key) = request.key.as_deref() {
        // As with `dispatch --key`: another request under the key is refused, as its sender may have meant the same.
        check_list_key(key)?;
        give_keys(key, &request.requests, &mut parsed);
        // Before any is taken: of the rest of a list that is another by now some would be new.
        for one in parsed.iter().flatten() {
            if let Some(taken) = intake.dispatcher.key_taken(one).await? {
                let why = format!("{taken}; nothing was dispatched");
                return Err(Error::new(crate::ErrorKind::Conflict, why));
            }
        }
    }
    let placed =
        parsed.into_iter().enumerate().map(|(number, one)| match (one, request.places.get(number)) {
            (Ok(request), Some(place)) => Ok((place.clone(), request)),
            (Ok(request), None) => Ok((request.job_id.to_string(), request)),
            (Err(bad), Some(place)) => Err(BadRequest { place: place.clone(), ..bad }),
            (Err(bad), None) => Err(bad),
        });
    let Batch { outcomes, failed, key_taken } = intake.take(preparer.prepare(placed.collect()).await).await;
    let counted = |why: &str| format!("{why} ({})", intake.counts().summary());
    match (failed, key_taken.filter(|_| request.key.is_some())) {
        (None, None) => Ok(outcomes),
        (None, Some(why)) => Err(Error::new(crate::ErrorKind::Conflict, counted(&why))),
        (Some(error), _) => {
            let why = counted(&error.to_string());
            Err(error.because(why))
        }
    }
}

/// Gives requests that bring none the keys that follow from the key of their list: by the job, and by the place among all
/// that name it, those that are wrong among them.
fn give_keys(key: &str, given: &[Value], parsed: &mut [Result<DispatchRequest, BadRequest>]) {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for (given, request) in given.iter().zip(parsed) {
        let number = seen.entry(given.get("job_id").and_then(Value::as_str).unwrap_or_default()).or_default();
        *number += 1;
        let Ok(request) = request else { continue };
        if request.idempotency_key.is_none() {
            request.idempotency_key = Some(match *number {
                1 => key.to_owned(),
                number => format!("{key}/{number}"),
            });
        }
    }
}
