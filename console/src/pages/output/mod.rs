//! The output of commands: a window of it, and the whole as a text.

mod find;
mod window;

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use pumice_core::secret::Masker;
use pumice_core::text::escaped;
use pumice_service::runs::{AskOutputs, Printed, ShowRun, locate, show as show_run};
use serde_json::{Value, json};

use self::find::{Hit, Hits, MAX_WANTED, search};
use self::window::PIECE;
pub(super) use self::window::{Most, Want, window};
use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{job_link, link, run_link};

/// Most bytes and lines of a window: its page stays small, compressed, whatever they are.
const MOST: Most = Most { bytes: 32 * 1024, lines: 1_000 };

/// The query that names an output of a run: where it is, and which it is, as it has another place once its attempt has ended.
fn query<'a>(run: &'a str, printed: &'a Printed, attempt: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("id", run),
        ("at", printed.location.as_str()),
        ("step", printed.run_key.as_str()),
        ("attempt", attempt),
        ("name", printed.name.as_str()),
    ]
}

/// An output in a list: whose it is, and where its pages are.
pub(super) fn listed(run: &str, printed: &Printed) -> Value {
    let attempt = printed.attempt.to_string();
    let query = query(run, printed, &attempt);
    let name = printed.name.as_str();
    json!({
        "job": escaped(printed.job_id.as_str()),
        "step": (printed.run_key.as_str() != run).then(|| run_link(printed.run_key.as_str())),
        "attempt": attempt,
        "stream": printed.stream.name(),
        "name": escaped(name),
        "lost": printed.lost,
        "href": link("/run/output", &query),
        "raw": link("/run/output/raw", &query),
    })
}

/// The output that the command prints where no name is given.
const USUAL: &str = "stdout";

/// The output of a run that is asked for. A file that is not an output of the run is not looked at, whatever its place.
async fn asked(ask: &Ask) -> Result<(String, Printed, bool), Fault> {
    let (run, at) = (ask.query.need("id")?, ask.query.need("at")?);
    ask.app.refresh().await;
    let found = locate(ask.realm(), &AskOutputs::of(run)).await?;
    let is_open = !found.status.is_end();
    // The output of an attempt moves to its last place when it ends, and is read on from there.
    let name = ask.query.get("name").filter(|_| !found.printed.iter().any(|printed| printed.location == at));
    let attempt = ask.query.parsed::<u32>("attempt")?;
    let is_meant = |printed: &Printed| match name {
        None => printed.location == at,
        Some(name) => {
            let step = ask.query.get("step").unwrap_or(run);
            printed.run_key.as_str() == step
                && printed.name == name
                && Some(printed.attempt) == attempt
                && !printed.lost
        }
    };
    let printed = found.printed.into_iter().find(is_meant);
    let printed = printed.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "the run has no such output"))?;
    Ok((run.to_owned(), printed, is_open))
}

/// The page of an output.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let (run, printed, is_open) = asked(&ask).await?;
    let (from, before) = (ask.query.parsed::<u64>("from")?, ask.query.parsed::<u64>("before")?);
    let attempt = printed.attempt.to_string();
    let query = query(&run, &printed, &attempt);
    let part =
        |word: &str, place: u64| link("/run/output", &[&query[..], &[(word, &place.to_string())]].concat());
    let at = |from: u64| part("from", from);
    let looked_for = match ask.query.get("find").filter(|text| !text.is_empty()) {
        Some(text) if text.len() > MAX_WANTED => {
            return Err(Fault::bad(format!("find: it has {} bytes, {MAX_WANTED} at most", text.len())));
        }
        Some(text) => {
            let Hits { hits, next } =
                search(ask.realm().outputs(), &printed.location, text, from.unwrap_or(0)).await?;
            let hit = |hit: &Hit| json!({ "line": hit.line, "href": format!("{}#L{}", at(hit.at), hit.line.number) });
            let more = next
                .map(|next| format!("{}&{}", at(next), link("", &[("find", text)]).trim_start_matches('?')));
            Some(json!({ "text": text, "hits": hits.iter().map(hit).collect::<Vec<_>>(), "more": more }))
        }
        None => None,
    };
    let want = match (from, before) {
        (None, None) => Want::Tail,
        (Some(from), _) => Want::From(from),
        (None, Some(before)) => Want::Before(before),
    };
    let found = window(ask.realm().outputs(), &printed.location, want, MOST, is_open).await?;
    let tree = show_run(ask.realm(), &ShowRun { run: run.clone(), details: false }).await?;
    let status = tree.runs.first().map(|run| crate::view::StatusShown::from(run.status));
    let from = found.from.to_string();
    let command = ask
        .words(&["runs", "output", printed.run_key.as_str()])
        .option("--from", Some(&from))
        .option("--name", (printed.name != USUAL).then_some(printed.name.as_str()))
        .option("--attempt", Some(&attempt));
    let own = json!({
        "output": listed(&run, &printed),
        "run": { "key": run, "href": run_link(&run), "status": status },
        "job_href": job_link(printed.job_id.as_str()),
        "is_open": is_open,
        "is_slow": ask.realm().is_aws(),
        "earlier": (found.from > 0).then(|| part("before", found.from)),
        "later": (found.next < found.size && !(is_open && want == Want::Tail)).then(|| at(found.next)),
        "tail": link("/run/output", &query),
        "search": looked_for,
        "at": printed.location,
        "window": found,
    });
    let title = format!("{} · {}", printed.stream.name(), printed.job_id);
    let head = Head::new(title, "runs", &command);
    render(&ask, "output.html", head.live(""), own).await
}

/// An output as a text: the whole, or what has come since a byte.
pub(crate) async fn raw(ask: Ask) -> Result<Response, Fault> {
    let (_, printed, is_open) = asked(&ask).await?;
    if let Some(from) = ask.query.parsed::<u64>("from")? {
        let line = ask.query.parsed::<u64>("line")?;
        let want = line.map_or(Want::From(from), |line| Want::On(from, line));
        return piece(&ask, &printed, want, is_open).await;
    }
    let gone = || Fault::new(StatusCode::NOT_FOUND, "the output is gone");
    let first = ask.realm().outputs().read(&printed.location, 0, 0).await?;
    first.ok_or_else(gone)?;
    let (realm, location) = (ask.app.realm.clone(), printed.location.clone());
    let pieces = stream::unfold(Some((0_u64, Masker::new())), move |state| {
        let (realm, location) = (realm.clone(), location.clone());
        async move {
            let (at, mut masker) = state?;
            match realm.outputs().read(&location, at, PIECE).await {
                Ok(Some(piece)) if !piece.bytes.is_empty() => {
                    let next = at + piece.bytes.len() as u64;
                    Some((Ok::<_, Infallible>(masker.push(&piece.bytes)), Some((next, masker))))
                }
                Ok(_) => Some((Ok(masker.finish()), None)),
                Err(error) => Some((Ok(format!("\n(cannot be read further: {error})\n").into_bytes()), None)),
            }
        }
    });
    Ok(text(Body::from_stream(pieces)))
}

/// Output since a byte, for a page that follows.
async fn piece(ask: &Ask, printed: &Printed, want: Want, is_open: bool) -> Result<Response, Fault> {
    let found = window(ask.realm().outputs(), &printed.location, want, MOST, is_open).await?;
    let value = json!({
        "lines": found.lines,
        "next": found.next,
        "line": found.line,
        "size": found.size,
        "is_open": is_open,
        "trouble": found.trouble,
    });
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn text(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"output.txt\""));
    response
}

#[cfg(test)]
mod texts {
    use async_trait::async_trait;
    use pumice_core::ports::{Piece, StoreError};
    use pumice_service::runs::Outputs;

    /// An output.
    pub(super) struct Text(Vec<u8>);

    impl Text {
        pub(super) fn of(text: impl Into<Vec<u8>>) -> Self {
            Self(text.into())
        }
    }

    #[async_trait]
    impl Outputs for Text {
        async fn read(&self, _: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
            let place = |at: u64| usize::try_from(at).unwrap().min(self.0.len());
            let bytes = self.0[place(from)..place(from + length)].to_vec();
            Ok(Some(Piece { bytes, size: self.0.len() as u64 }))
        }
    }
}
