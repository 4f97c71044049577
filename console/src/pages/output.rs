//! What commands printed: a window of it, and the whole as a text.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use pumice_core::secret::{Masker, mask};
use pumice_core::text::escaped;
use pumice_service::runs::{Opened, Outputs, Printed, RunName, ShowRun, locate, show as show_run};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{job_link, link, plain, run_link};

/// Most bytes of a window.
const MAX_WINDOW: usize = 64 * 1024;
/// Most bytes that are passed over for a window: each is read.
const MAX_SKIPPED: u64 = 256 * 1024 * 1024;
/// How many bytes of the whole are sent at a time.
const PIECE: usize = 32 * 1024;

/// Which window of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Its end.
    Tail,
    /// From the line in which this byte is.
    From(u64),
}

/// A line of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Its number, from 1.
    number: u64,
    text: String,
}

/// A window of an output: whole lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Window {
    lines: Vec<Line>,
    /// The place of its first byte, and of the byte behind its last.
    from: u64,
    next: u64,
    /// How many bytes there are.
    size: u64,
    /// Why the window is not the one that was asked for.
    trouble: Option<String>,
}

/// A window of the output at a location. Lines come whole, so that a secret within one is masked; of a run that goes on the
/// last one waits until it is complete.
///
/// # Errors
/// [`Fault`] when the output is gone or cannot be read.
pub(super) async fn window(
    outputs: &dyn Outputs,
    location: &str,
    want: Want,
    most: usize,
    is_open: bool,
) -> Result<Window, Fault> {
    let gone = || Fault::new(StatusCode::NOT_FOUND, format!("the output at {location} is gone"));
    let Opened { size, mut reader } = outputs.open(location).await?.ok_or_else(gone)?;
    let failed =
        |error: std::io::Error| Fault::new(StatusCode::SERVICE_UNAVAILABLE, format!("{location}: {error}"));
    let start = match want {
        Want::Tail => size.saturating_sub(most as u64),
        Want::From(from) => from.min(size),
    };
    if start > MAX_SKIPPED {
        let trouble =
            format!("it has {size} bytes: only the whole can be had of what is behind {MAX_SKIPPED}");
        return Ok(Window { size, trouble: Some(trouble), ..Window::default() });
    }
    let (mut at, mut number, mut last) = (0_u64, 1_u64, b'\n');
    while at < start {
        let bytes = reader.fill_buf().await.map_err(failed)?;
        if bytes.is_empty() {
            break;
        }
        let taken = bytes.len().min(usize::try_from(start - at).unwrap_or(usize::MAX));
        number += bytes[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
        last = bytes[taken - 1];
        reader.consume(taken);
        at += taken as u64;
    }
    let mut bytes = Vec::with_capacity(most.min(usize::try_from(size).unwrap_or(most)));
    reader.take(most as u64).read_to_end(&mut bytes).await.map_err(failed)?;
    let is_end = at + bytes.len() as u64 >= size;
    // The window begins and ends with a line.
    let begin = match last {
        b'\n' => 0,
        _ => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1),
    };
    number += u64::from(begin > 0 && bytes[begin - 1] == b'\n');
    let end = match is_end && !is_open {
        true => bytes.len(),
        false => bytes.iter().rposition(|byte| *byte == b'\n').map_or(begin, |place| place + 1).max(begin),
    };
    let trouble = (begin == end && bytes.len() == most && !is_end)
        .then(|| format!("a line there has more than {most} bytes: only the whole has it"));
    // A line that is too long is passed over.
    let next = if trouble.is_some() { at + bytes.len() as u64 } else { at + end as u64 };
    Ok(Window { lines: lines(&bytes[begin..end], number), from: at + begin as u64, next, size, trouble })
}

fn lines(bytes: &[u8], first: u64) -> Vec<Line> {
    let text = String::from_utf8_lossy(bytes);
    let text = anstream::adapter::strip_str(&text).to_string();
    let text = mask(&text);
    let line =
        |(number, text): (u64, &str)| Line { number, text: plain(text.strip_suffix('\r').unwrap_or(text)) };
    (first..)
        .zip(text.strip_suffix('\n').unwrap_or(&text).split('\n'))
        .filter(|_| !bytes.is_empty())
        .map(line)
        .collect()
}

/// An output in a list: whose it is, and where its pages are.
pub(super) fn listed(run: &str, printed: &Printed) -> Value {
    let attempt = printed.attempt.to_string();
    let query = [("id", run), ("at", printed.location.as_str())];
    let name = printed.location.rsplit('/').next().unwrap_or_default();
    json!({
        "job": escaped(printed.job_id.as_str()),
        "step": (printed.run_key.as_str() != run).then(|| run_link(printed.run_key.as_str())),
        "attempt": attempt,
        "stream": printed.stream.name(),
        "name": escaped(name),
        "href": link("/run/output", &query),
        "raw": link("/run/output/raw", &query),
    })
}

/// The output of a run that is asked for. What is not an output of the run is not looked at, whatever its place.
async fn asked(ask: &Ask) -> Result<(String, Printed, bool), Fault> {
    let (run, at) = (ask.query.need("id")?, ask.query.need("at")?);
    ask.app.refresh().await;
    let found = locate(ask.realm(), &RunName { run: run.to_owned() }).await?;
    let is_open = !found.status.is_end();
    let printed = found.printed.into_iter().find(|printed| printed.location == at);
    let printed = printed.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "the run has no such output"))?;
    Ok((run.to_owned(), printed, is_open))
}

/// The page of an output.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let (run, printed, is_open) = asked(&ask).await?;
    let want = ask.query.parsed::<u64>("from")?.map_or(Want::Tail, Want::From);
    let found = window(ask.realm().outputs(), &printed.location, want, MAX_WINDOW, is_open).await?;
    let query = [("id", run.as_str()), ("at", printed.location.as_str())];
    let at = |from: u64| link("/run/output", &[&query[..], &[("from", &from.to_string())]].concat());
    let tree = show_run(ask.realm(), &ShowRun { run: run.clone(), details: false }).await?;
    let status = tree.runs.first().map(|run| crate::view::StatusShown::from(run.status));
    let own = json!({
        "output": listed(&run, &printed),
        "run": { "key": run, "href": run_link(&run), "status": status },
        "job_href": job_link(printed.job_id.as_str()),
        "is_open": is_open,
        "earlier": (found.from > 0).then(|| at(found.from.saturating_sub(MAX_WINDOW as u64))),
        "later": (found.next < found.size && !is_open).then(|| at(found.next)),
        "tail": link("/run/output", &query),
        "window": found,
    });
    let title = format!("{} · {}", printed.stream.name(), printed.job_id);
    let head = Head::new(title, "runs", &ask.words(&["runs", "output", &run]));
    render(&ask, "output.html", head.live(""), own).await
}

/// An output as a text: the whole, or what has come since a byte.
pub(crate) async fn raw(ask: Ask) -> Result<Response, Fault> {
    let (_, printed, is_open) = asked(&ask).await?;
    if let Some(from) = ask.query.parsed::<u64>("from")? {
        return piece(&ask, &printed, from, is_open).await;
    }
    let opened = ask.realm().outputs().open(&printed.location).await?;
    let opened = opened.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "the output is gone"))?;
    let pieces = stream::unfold(Some((opened.reader, Masker::new())), |state| async move {
        let (mut reader, mut masker) = state?;
        let mut bytes = vec![0; PIECE];
        match reader.read(&mut bytes).await {
            Ok(0) => Some((Ok::<_, Infallible>(masker.finish()), None)),
            Ok(count) => Some((Ok(masker.push(&bytes[..count])), Some((reader, masker)))),
            Err(error) => Some((Ok(format!("\n(cannot be read further: {error})\n").into_bytes()), None)),
        }
    });
    Ok(text(Body::from_stream(pieces)))
}

/// What has come since a byte, for a page that follows.
async fn piece(ask: &Ask, printed: &Printed, from: u64, is_open: bool) -> Result<Response, Fault> {
    let found =
        window(ask.realm().outputs(), &printed.location, Want::From(from), MAX_WINDOW, is_open).await?;
    let value =
        json!({ "lines": found.lines, "next": found.next, "is_open": is_open, "trouble": found.trouble });
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
mod tests {
    use async_trait::async_trait;
    use pumice_core::ports::StoreError;

    use super::*;

    struct Text(Vec<u8>);

    #[async_trait]
    impl Outputs for Text {
        async fn open(&self, _: &str) -> Result<Option<Opened>, StoreError> {
            let reader = Box::new(std::io::Cursor::new(self.0.clone()));
            Ok(Some(Opened { size: self.0.len() as u64, reader }))
        }
    }

    async fn seen(text: &str, want: Want, most: usize, is_open: bool) -> (Vec<(u64, String)>, u64, u64) {
        let found = window(&Text(text.as_bytes().to_vec()), "x", want, most, is_open).await.unwrap();
        (found.lines.into_iter().map(|line| (line.number, line.text)).collect(), found.from, found.next)
    }

    fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn window_has_whole_lines_and_their_numbers() {
        let text = "one\ntwo\nthree\nfour";
        for (want, most, is_open, lines, from, next) in [
            (Want::From(0), 100, false, &[(1, "one"), (2, "two"), (3, "three"), (4, "four")][..], 0, 18),
            (Want::From(0), 100, true, &[(1, "one"), (2, "two"), (3, "three")], 0, 14),
            (Want::From(4), 100, false, &[(2, "two"), (3, "three"), (4, "four")], 4, 18),
            (Want::From(5), 100, false, &[(3, "three"), (4, "four")], 8, 18),
            (Want::From(0), 9, false, &[(1, "one"), (2, "two")], 0, 8),
            (Want::Tail, 5, false, &[(4, "four")], 14, 18),
            (Want::Tail, 4, false, &[(4, "four")], 14, 18),
            (Want::From(18), 9, false, &[], 18, 18),
            (Want::From(99), 9, false, &[], 18, 18),
        ] {
            let found = seen(text, want, most, is_open).await;
            assert_eq!(found, (numbered(lines), from, next), "{want:?} {most} {is_open}");
        }
        assert_eq!(seen("", Want::Tail, 9, false).await, (numbered(&[]), 0, 0));
        assert_eq!(seen("\n\n", Want::Tail, 9, false).await, (numbered(&[(1, ""), (2, "")]), 0, 2));
    }

    #[tokio::test]
    async fn line_that_is_too_long_is_told_and_passed_over() {
        let text = format!("{}\nshort\n", "x".repeat(50));
        let found = window(&Text(text.clone().into_bytes()), "x", Want::From(0), 20, true).await.unwrap();
        assert!(found.lines.is_empty() && found.next == 20 && found.trouble.is_some(), "{found:?}");
        let (lines, ..) = seen(&text, Want::From(40), 20, true).await;
        assert_eq!(lines, numbered(&[(2, "short")]));
    }

    #[tokio::test]
    async fn line_shows_neither_colours_nor_secrets() {
        pumice_core::secret::remember("output-canary-9");
        let (lines, ..) =
            seen("\u{1b}[31mred\u{1b}[0m output-canary-9\r\n\u{7}", Want::Tail, 99, false).await;
        assert_eq!(lines, numbered(&[(1, "red *****")]));
    }
}
