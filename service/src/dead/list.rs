//! Lists of dead letters, and one of them whole.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::document::parse_json;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::{DeadLetter, DeadQueue, StoreErrorKind};
use pumice_core::request::parse_body;
use pumice_core::run::Status;
use pumice_core::spec::Timezone;
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked::{Asked, takes_queue};
use crate::failure::Error;
use crate::listed::asked;
use crate::realm::Realm;
use crate::time::Instant;

/// Most letters of one queue that are looked at: on AWS each look hides them from others for a moment.
pub(super) const MAX_LETTERS: usize = 1_000;
/// How many a list shows unless it says otherwise.
const USUAL_LIMIT: usize = 50;
/// How many records of runs are read at once.
const AT_ONCE: usize = 16;
/// Fewest characters of a letter's id that name it.
const MIN_PREFIX: usize = 4;
/// Most letters that an error names.
const FEW: usize = 4;

/// Which dead letters to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDead {
    /// Only letters that these terms mean, as `worker:core reason:"no such job" since:2d`: of the words `worker`, `job`,
    /// `status`, `since`, `until`, `reason` and `id`, the last five of the run that a letter is about, and of its time.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// Further workers, which jobs do not name, on AWS, where nothing lists the queues.
    #[serde(default)]
    pub workers: Vec<WorkerName>,
    /// At most so many.
    #[serde(default = "usual_limit")]
    pub limit: usize,
}

impl Default for ListDead {
    fn default() -> Self {
        Self { filter: None, zone: None, workers: Vec::new(), limit: USUAL_LIMIT }
    }
}

const fn usual_limit() -> usize {
    USUAL_LIMIT
}

/// Dead letters, queue by queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadList {
    /// The letters.
    pub letters: Vec<DeadShown>,
    /// How many more of those that were looked at are meant.
    pub more: usize,
    /// The queues that have more letters than were looked at; the dispatcher is `null`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Option<WorkerName>>,
    /// The workers that have no dead-letter queue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<WorkerName>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadShown {
    /// Its id.
    pub id: String,
    /// The worker whose queue it was on; null for a request that the dispatcher did not take.
    pub worker: Option<WorkerName>,
    /// When it was set aside, or sent where the queue does not say.
    pub at: Instant,
    /// How often it was handed out, where the queue says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receives: Option<u32>,
    /// Why it was set aside, where that is known.
    pub reason: Option<String>,
    /// The run that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunKey>,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Where the run stands; missing when it has no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Whether a message may make a run anew that was turned away: one of lava's dispatch does so on AWS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub makes_anew: bool,
}

impl DeadShown {
    /// Whether its run has ended, so that nothing comes of handing it out again. A run that was turned away may be made anew
    /// by its message.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let is_rejected = self.status == Some(Status::Rejected);
        self.status.is_some_and(Status::is_end) && !(is_rejected && self.makes_anew)
    }

    pub(super) fn queue(&self) -> DeadQueue {
        self.worker.clone().map_or(DeadQueue::Dispatcher, DeadQueue::Worker)
    }
}

/// Which dead letter to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowDead {
    /// The letter: its id, or the beginning of it.
    pub letter: String,
    /// Further workers, which jobs do not name.
    #[serde(default)]
    pub workers: Vec<WorkerName>,
}

/// A dead letter, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadDetails {
    /// The letter.
    pub letter: DeadShown,
    /// Its body.
    pub body: String,
}

/// The letters that were found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) letters: Vec<(DeadShown, String)>,
    pub(super) cut: Vec<Option<WorkerName>>,
    without: Vec<WorkerName>,
}

/// The dead-letter queues of a realm: those with letters where the store lists them, else those of the workers that jobs name
/// and the dispatcher's, and those of further workers.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn queues(realm: &dyn Realm, more: &[WorkerName]) -> Result<Vec<DeadQueue>, Error> {
    let mut queues: BTreeSet<DeadQueue> = more.iter().cloned().map(DeadQueue::Worker).collect();
    match realm.dead_letters().dead_queues().await? {
        Some(all) => queues.extend(all),
        None => {
            let workers = crate::pauses::workers_of_jobs(realm).await?.workers;
            queues.extend(workers.into_keys().map(DeadQueue::Worker));
            queues.insert(DeadQueue::Dispatcher);
        }
    }
    Ok(queues.into_iter().collect())
}

/// How many letters each queue has; `None` where there is no such queue.
///
/// # Errors
/// [`Error`] when a queue cannot be reached.
pub async fn counts(realm: &dyn Realm) -> Result<Vec<(DeadQueue, Option<u64>)>, Error> {
    let mut counts = Vec::new();
    for queue in queues(realm, &[]).await? {
        let count = match realm.dead_letters().dead_count(&queue).await {
            Ok(count) => Some(count),
            Err(error) if error.kind == StoreErrorKind::Missing => None,
            Err(error) => return Err(error.into()),
        };
        counts.push((queue, count));
    }
    Ok(counts)
}

/// Lists dead letters.
///
/// # Errors
/// [`Error`] when the terms are invalid, or a queue cannot be reached.
pub async fn list(realm: &dyn Realm, request: &ListDead) -> Result<DeadList, Error> {
    let asked = asked(realm, request.filter.as_deref(), request.zone).await?;
    let Found { letters, cut, without } = find(realm, &asked, &request.workers).await?;
    let mut letters: Vec<DeadShown> = letters.into_iter().map(|(letter, _)| letter).collect();
    let more = letters.len().saturating_sub(request.limit);
    letters.truncate(request.limit);
    Ok(DeadList { letters, more, cut, without })
}

/// Shows a dead letter with its body.
///
/// # Errors
/// [`Error`] when there is no such letter, or a queue cannot be reached.
pub async fn show(realm: &dyn Realm, request: &ShowDead) -> Result<DeadDetails, Error> {
    let asked = asked(realm, None, None).await?;
    let found = find(realm, &asked, &request.workers).await?;
    let (letter, body) = named(&found, &request.letter)?.clone();
    Ok(DeadDetails { letter, body })
}

/// The letter that a text names.
///
/// # Errors
/// [`Error`] when none or several have that name.
pub(super) fn named<'f>(found: &'f Found, text: &str) -> Result<&'f (DeadShown, String), Error> {
    if let Some(one) = found.letters.iter().find(|(letter, _)| letter.id == text) {
        return Ok(one);
    }
    let begins = |id: &str| text.len() >= MIN_PREFIX && id.starts_with(text);
    let begin: Vec<&(DeadShown, String)> =
        found.letters.iter().filter(|(letter, _)| begins(&letter.id)).collect();
    match begin.as_slice() {
        [one] => Ok(one),
        [] if found.cut.is_empty() => Err(Error::not_found(format!("no such dead letter {}", quoted(text)))),
        [] => {
            let message = format!(
                "no such dead letter {} among the {MAX_LETTERS} of each queue that are looked at",
                quoted(text)
            );
            Err(Error::not_found(message))
        }
        several => {
            let few: Vec<&str> = several.iter().take(FEW).map(|(letter, _)| &*letter.id).collect();
            let message = format!(
                "{} is the beginning of {} dead letters: {}; give more of it",
                quoted(text),
                several.len(),
                few.join(", ")
            );
            Err(Error::invalid(message))
        }
    }
}

/// The letters that terms mean.
pub(super) async fn find(realm: &dyn Realm, asked: &Asked, more: &[WorkerName]) -> Result<Found, Error> {
    let mut found = Found::default();
    for queue in queues(realm, more).await? {
        let worker = match &queue {
            DeadQueue::Worker(worker) => Some(worker.clone()),
            DeadQueue::Dispatcher => None,
        };
        if !takes_queue(asked, worker.as_ref().map(WorkerName::as_str)) {
            continue;
        }
        let page = match realm.dead_letters().dead_letters_of(&queue, MAX_LETTERS).await {
            Ok(page) => page,
            Err(error) if error.kind == StoreErrorKind::Missing => {
                found.without.extend(worker);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if page.has_more {
            found.cut.push(worker);
        }
        let read = page.letters.into_iter().map(|letter| shown(realm, letter));
        let letters: Vec<(DeadShown, String)> = stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        found.letters.extend(letters.into_iter().filter(|(letter, _)| asked.takes(letter)));
    }
    Ok(found)
}

/// A letter, with what its run's record says.
async fn shown(realm: &dyn Realm, letter: DeadLetter) -> Result<(DeadShown, String), Error> {
    let DeadLetter { id, queue, body, receives, reason, at } = letter;
    let mut shown = DeadShown {
        id,
        worker: None,
        at: Instant(at),
        receives,
        reason,
        run: None,
        job_id: None,
        status: None,
        makes_anew: realm.is_aws(),
    };
    match queue {
        DeadQueue::Dispatcher => shown.job_id = job_of_request(&body),
        DeadQueue::Worker(worker) => {
            shown.worker = Some(worker);
            if let Ok(message) = Message::read(&body) {
                let key = message.key();
                shown.status = realm.runs().peek(&key).await?.map(|run| run.status);
                (shown.run, shown.job_id) = (Some(key), Some(message.job_id.to_string()));
            }
        }
    }
    Ok((shown, body))
}

/// The job of an event that asks for one run: of a caller, EventBridge or a topic.
fn job_of_request(body: &str) -> Option<String> {
    let letter = parse_json(body).ok()?;
    let event = letter.get("requestPayload").unwrap_or(&letter);
    let topic = if event["TopicArn"].is_string() { event } else { &event["Records"][0]["Sns"] };
    let request = event.get("detail").unwrap_or(event);
    let request = topic.get("Message").or_else(|| request.get("request")).unwrap_or(request);
    match request {
        Value::String(text) => match parse_body(text, chrono_tz::UTC).as_slice() {
            [Ok(request)] => Some(request.job_id.to_string()),
            _ => None,
        },
        request => request.get("job_id").and_then(Value::as_str).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::Letters;
    use super::*;
    use pumice_core::filter::ItemFilter;
    use serde_json::json;

    fn of(worker: Option<&str>) -> DeadShown {
        DeadShown {
            id: "1".to_owned(),
            worker: worker.map(|worker| WorkerName::new(worker).unwrap()),
            at: Instant(pumice_core::Timestamp::UNIX_EPOCH),
            receives: None,
            reason: None,
            run: None,
            job_id: None,
            status: None,
            makes_anew: false,
        }
    }

    #[test]
    fn letters_of_the_dispatcher_are_meant_by_its_name_alone() {
        for (terms, dispatchers, workers) in [
            ("worker:(dispatcher)", true, false),
            ("-worker:(dispatcher)", false, true),
            ("worker:*", false, true),
            ("worker:c*,(dispatcher)", true, true),
            ("", true, true),
        ] {
            let asked = ItemFilter::<Letters>::parse(terms).unwrap();
            let asked = asked.at(pumice_core::Timestamp::UNIX_EPOCH, chrono_tz::UTC).unwrap();
            let queues = [None, Some("core")].map(|worker| takes_queue(&asked, worker));
            let letters = [None, Some("core")].map(|worker| asked.takes(&of(worker)));
            assert_eq!((queues, letters), ([dispatchers, workers], [dispatchers, workers]), "{terms}");
        }
    }

    #[test]
    fn letter_of_a_run_turned_away_has_ended_where_none_is_made_anew() {
        for (status, makes_anew, has_ended) in [
            (None, false, false),
            (Some(Status::Waiting), false, false),
            (Some(Status::Failed), true, true),
            (Some(Status::Rejected), false, true),
            (Some(Status::Rejected), true, false),
        ] {
            let letter = DeadShown { status, makes_anew, ..of(None) };
            assert_eq!(letter.has_ended(), has_ended, "{status:?} {makes_anew}");
        }
    }

    #[test]
    fn letter_about_one_request_shows_its_job_by_every_way() {
        let topic = |message: &str| json!({ "Type": "Notification", "TopicArn": "arn:x", "MessageId": "m", "Message": message });
        let by_function =
            |event: Value| json!({ "requestContext": { "requestId": "r" }, "requestPayload": event });
        let sns = |message: &str| json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "MessageId": "m", "Message": message } }] });
        for letter in [
            json!({ "job_id": "a" }),
            by_function(json!({ "job_id": "a" })),
            by_function(json!({ "request": { "job_id": "a" } })),
            by_function(json!({ "request": "a -g x=1" })),
            json!({ "id": "1", "detail-type": "ask", "detail": { "job_id": "a" } }),
            topic("a -g x=1"),
            topic(r#"{"job_id": "a"}"#),
            by_function(sns("a")),
        ] {
            assert_eq!(job_of_request(&letter.to_string()).as_deref(), Some("a"), "{letter}");
        }
        for letter in
            [json!([]), json!({ "sweep": true }), topic("a\nb"), topic("a --what"), by_function(sns("[]"))]
        {
            assert_eq!(job_of_request(&letter.to_string()), None, "{letter}");
        }
    }
}
