//! Changes as they happen: one stream of events for a browser, with ids and revisions alone.
//!
//! One task looks at the realm while there is a listener, however many they are. Pages fetch what they show; a page that misses
//! events asks anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use pumice_core::ports::{RunQuery, StoreError};
use pumice_core::run::{Run, Status};
use pumice_service::Realm;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use crate::answer::Fault;
use crate::app::App;

/// How often a realm in a folder is looked at, and one on AWS, where each look costs.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How often a stream without events shows that it goes on.
const BEAT: Duration = Duration::from_secs(15);
/// Most runs that a look sees.
const MAX_RUNS: usize = 100;
/// The statuses of runs that go on.
const OPEN: [Status; 4] = [Status::Dispatched, Status::Running, Status::Waiting, Status::Retrying];

/// The runs that a look has seen, with their revisions.
type Revisions = BTreeMap<String, u64>;

/// The result of a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    number: u64,
    revisions: Revisions,
}

/// The streams of a console.
pub(crate) struct Live {
    realm: Arc<dyn Realm>,
    room: Arc<Semaphore>,
    /// Distinguishes this process's events from another's.
    process: String,
    looks: Mutex<Option<watch::Receiver<Arc<Look>>>>,
}

impl Live {
    pub(crate) fn new(realm: Arc<dyn Realm>, streams: usize) -> Self {
        let mut process = Uuid::new_v4().simple().to_string();
        process.truncate(8);
        Self { realm, room: Arc::new(Semaphore::new(streams)), process, looks: Mutex::new(None) }
    }

    /// The results of the task that looks; starts it where none looks.
    fn listen(&self) -> watch::Receiver<Arc<Look>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looking) = looks.as_ref().filter(|looking| looking.has_changed().is_ok()) {
            return looking.clone();
        }
        let (sender, receiver) = watch::channel(Arc::new(Look::default()));
        tokio::spawn(look_on(self.realm.clone(), sender));
        *looks = Some(receiver.clone());
        receiver
    }
}

/// Looks at a realm for as long as a stream listens: the receiver that is kept does not count.
async fn look_on(realm: Arc<dyn Realm>, sender: watch::Sender<Arc<Look>>) {
    let pause = if realm.is_aws() { LOOKS.1 } else { LOOKS.0 };
    let mut number = 0;
    loop {
        match revisions(&*realm).await {
            Ok(revisions) => {
                let is_other = sender.borrow().revisions != revisions || number == 0;
                if is_other {
                    number += 1;
                    sender.send_replace(Arc::new(Look { number, revisions }));
                }
            }
            Err(error) => tracing::debug!(%error, "cannot look at the realm"),
        }
        tokio::time::sleep(pause).await;
        if sender.receiver_count() <= 1 {
            return;
        }
    }
}

/// The newest runs and those that go on, steps included.
async fn revisions(realm: &dyn Realm) -> Result<Revisions, StoreError> {
    let newest = RunQuery { children: true, limit: MAX_RUNS, ..RunQuery::default() };
    let open = RunQuery { statuses: OPEN.to_vec(), look_limit: Some(10 * MAX_RUNS), ..newest.clone() };
    let revision = |run: Run| (run.key.to_string(), run.rev);
    let mut seen: Revisions = realm.runs().list(&newest).await?.into_iter().map(revision).collect();
    seen.extend(realm.runs().list(&open).await?.into_iter().map(revision));
    Ok(seen)
}

/// The runs that are new or have another revision, and those that a look sees no more, with the revision that they had last:
/// a run leaves the looks when it ends after many newer ones have begun.
fn changed(before: &Revisions, after: &Revisions) -> Revisions {
    let is_other = |(key, rev): &(&String, &u64)| before.get(*key) != Some(rev);
    let left = before.iter().filter(|(key, _)| !after.contains_key(*key));
    after.iter().filter(is_other).chain(left).map(|(key, rev)| (key.clone(), *rev)).collect()
}

/// The state that a stream has sent.
struct Listener {
    looks: watch::Receiver<Arc<Look>>,
    sent: Option<Arc<Look>>,
    /// The last event that the browser had, when it comes again.
    last: Option<String>,
    process: String,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let woken = tokio::time::timeout(BEAT, self.looks.changed()).await;
        match woken {
            Err(_) => return Some(":\n\n".to_owned()),
            // Nothing looks any more: the browser comes again, and has another one look.
            Ok(Err(_)) => {
                self.is_over = true;
                return Some("event: gone\ndata: {}\n\n".to_owned());
            }
            Ok(Ok(())) => {}
        }
        let look = self.looks.borrow_and_update().clone();
        let id = format!("{}-{}", self.process, look.number);
        let before = self.sent.replace(look.clone());
        let (event, data) = match before {
            None if self.last.take().is_none_or(|last| last == id) => ("sync", Revisions::new()),
            // The browser has missed something.
            None => ("change", look.revisions.clone()),
            Some(before) => ("change", changed(&before.revisions, &look.revisions)),
        };
        // Names and numbers always serialise.
        let data = serde_json::to_string(&data).unwrap_or_default();
        Some(format!("id: {id}\nevent: {event}\ndata: {data}\n\n"))
    }
}

/// The stream of events.
pub(crate) async fn stream(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Fault> {
    let full = || {
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too many event streams: pages ask now and then instead")
    };
    let place = app.live.room.clone().try_acquire_owned().map_err(|_| full())?;
    let mut looks = app.live.listen();
    looks.mark_changed();
    if looks.borrow().number == 0 {
        // The first look is under way.
        looks.mark_unchanged();
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let listener = Listener {
        looks,
        sent: None,
        last,
        process: app.live.process.clone(),
        is_over: false,
        _place: place,
    };
    let pieces = stream::unfold(listener, |mut listener| async move {
        let piece = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), listener))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(runs: &[(&str, u64)]) -> Revisions {
        runs.iter().map(|(key, rev)| ((*key).to_owned(), *rev)).collect()
    }

    #[test]
    fn event_has_what_changed_and_no_more() {
        let before = seen(&[("a", 1), ("b", 2)]);
        assert_eq!(changed(&before, &before), seen(&[]));
        assert_eq!(changed(&before, &seen(&[("a", 1), ("b", 3), ("c", 1)])), seen(&[("b", 3), ("c", 1)]));
        // A run that is seen no more may have ended meanwhile.
        assert_eq!(changed(&before, &seen(&[("a", 1)])), seen(&[("b", 2)]));
    }

    fn listener(last: Option<&str>, look: Look) -> (Listener, watch::Sender<Arc<Look>>) {
        let (sender, mut looks) = watch::channel(Arc::new(look));
        looks.mark_changed();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let last = last.map(str::to_owned);
        (Listener { looks, sent: None, last, process: "p".to_owned(), is_over: false, _place: place }, sender)
    }

    #[tokio::test]
    async fn browser_that_reconnects_gets_missed_events() {
        for (last, event) in
            [(None, "sync"), (Some("p-3"), "sync"), (Some("p-2"), "change"), (Some("q-3"), "change")]
        {
            let look = Look { number: 3, revisions: seen(&[("a", 1)]) };
            let (mut listener, sender) = listener(last, look);
            let piece = listener.next().await.unwrap();
            assert!(piece.starts_with(&format!("id: p-3\nevent: {event}\ndata: ")), "{last:?} {piece}");
            sender.send_replace(Arc::new(Look { number: 4, revisions: seen(&[("a", 2)]) }));
            let next = listener.next().await;
            assert_eq!(next.as_deref(), Some("id: p-4\nevent: change\ndata: {\"a\":2}\n\n"));
            drop(sender);
            assert_eq!(listener.next().await.as_deref(), Some("event: gone\ndata: {}\n\n"));
            assert_eq!(listener.next().await, None);
        }
    }
}
